//! `tail`: a queue's entries, without taking them from its consumer.

use std::str::FromStr;
use std::time::Duration;

use buffer::buffer_core::Sequence;
use buffer::buffer_core::format::ManifestEntry;
use buffer::{BatchObject, Inspector, InspectorConfig, LookError, Reading, SystemClock};
use bytes::Bytes;
use clap::Args;

use crate::exit::{Failure, Outcome, Status, chain, written};
use crate::input::Delimiter;
use crate::interrupt::Interrupt;
use crate::output::{Entries, Format, Output};
use crate::queue::{self, Queue};
use crate::say::say;
use crate::size::counted;

/// How many entries are printed if nothing else is said.
const LAST: u64 = 10;

/// How often --follow looks at the manifest.
const POLL: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// Prints this many entries: the last ones, by default 10, or with --from or --since the first from there, by default all
    #[arg(short = 'n', long, value_name = "N")]
    entries: Option<u64>,
    /// Goes on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Where to begin: at a batch that is listed, at the oldest, or at the newest
    #[arg(long, value_name = "SEQUENCE|oldest|newest")]
    from: Option<From>,
    /// Begins with what was submitted so long ago, by the clocks of producers
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// How an entry is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// What is written after each entry, if raw; takes \n \r \t \0 \\ \xHH
    #[arg(short = 'D', long, default_value = "\\n")]
    delimiter: Delimiter,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Sequence(u64),
    Oldest,
    Newest,
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "oldest" => Ok(Self::Oldest),
            "newest" => Ok(Self::Newest),
            _ => text
                .parse()
                .map(Self::Sequence)
                .map_err(|_| "it is neither a sequence nor `oldest` or `newest`".to_owned()),
        }
    }
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    let inspector = queue::inspect(&options.queue, InspectorConfig::default())?;
    let mut tail = Tail::new(&inspector, options);
    tokio::select! {
        biased;
        () = stop.raised() => Err(Failure::interrupted()),
        outcome = tail.run() => outcome,
    }
}

/// Whether there is somebody to read on.
#[derive(PartialEq, Eq)]
enum Reader {
    Listens,
    IsGone,
}

struct Tail<'a> {
    inspector: &'a Inspector,
    options: &'a Options,
    output: Output,
    since_ms: Option<i64>,
    /// The sequence of the next batch to print.
    next: u64,
    /// How many entries are still to be printed.
    left: u64,
    /// Batches that could not be shown.
    damaged: u64,
}

impl<'a> Tail<'a> {
    fn new(inspector: &'a Inspector, options: &'a Options) -> Self {
        let output = Output { format: options.format, delimiter: options.delimiter.clone() };
        let since_ms = options.since.map(|since| {
            let since = buffer::Clock::now(&SystemClock).checked_sub(since);
            let since = since.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            since.map_or(0, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
        });
        let left = options.entries.unwrap_or(u64::MAX);
        Self { inspector, options, output, since_ms, next: 0, left, damaged: 0 }
    }

    async fn run(&mut self) -> Outcome {
        let explain = |error| queue::unreadable(error, &self.options.queue);
        let reading = self.inspector.read().await.map_err(explain)?;
        let begins_somewhere = self.options.from.is_some() || self.since_ms.is_some();
        let reader = if begins_somewhere {
            self.next = self.start(&reading)?;
            self.print_listed(&reading).await?
        } else {
            self.print_last(&reading, self.options.entries.unwrap_or(LAST)).await?
        };
        if reader == Reader::Listens && self.options.follow {
            self.follow(reading, begins_somewhere).await?;
        }
        if self.damaged > 0 {
            let damaged = counted(self.damaged, "batch", "batches");
            return Err(Failure::new(Status::Differs, format!("{damaged} could not be shown")));
        }
        Ok(())
    }

    /// The sequence to begin with.
    fn start(&self, reading: &Reading) -> Result<u64, Failure> {
        let (first, next) =
            (reading.manifest.first_sequence().0, reading.manifest.next_sequence().0);
        Ok(match self.options.from {
            None | Some(From::Oldest) => first,
            Some(From::Newest) => next.saturating_sub(1).max(first),
            Some(From::Sequence(sequence)) if sequence < first => {
                say!("batches {sequence} to {} were dequeued", first - 1);
                first
            }
            Some(From::Sequence(sequence)) if sequence >= next && !self.options.follow => {
                let message =
                    format!("batch {sequence} is not listed: the queue has only got to {next}");
                return Err(Failure::failed(message));
            }
            Some(From::Sequence(sequence)) => sequence,
        })
    }

    /// Prints the last `count` entries: back to where that many are, and forward from there.
    async fn print_last(&mut self, reading: &Reading, count: u64) -> Result<Reader, Failure> {
        let first = reading.manifest.first_sequence().0;
        self.next = reading.manifest.next_sequence().0;
        let (mut found, mut batches) = (0, Vec::new());
        let mut sequence = self.next;
        while found < count && sequence > first {
            sequence -= 1;
            let entry = reading.entry(sequence).expect("sequences have no gaps");
            if let Some(records) = self.fetch(&entry).await? {
                found += records.len() as u64;
                batches.push((entry, records));
            }
        }
        let mut skip = found.saturating_sub(count);
        while let Some((entry, records)) = batches.pop() {
            if self.print(&entry, &records, skip, u64::MAX)? == Reader::IsGone {
                return Ok(Reader::IsGone);
            }
            skip = 0;
        }
        Ok(Reader::Listens)
    }

    /// Prints what is listed from `next` on, as far as it is wanted.
    async fn print_listed(&mut self, reading: &Reading) -> Result<Reader, Failure> {
        for entry in reading.manifest.entries_from(Sequence(self.next)) {
            if self.left == 0 {
                break;
            }
            if entry.sequence.0 > self.next {
                say!("batches {} to {} were dequeued", self.next, entry.sequence.0 - 1);
            }
            self.next = entry.sequence.0 + 1;
            if self.is_too_early(&entry) {
                continue;
            }
            if let Some(records) = self.fetch(&entry).await?
                && self.print(&entry, &records, 0, self.left)? == Reader::IsGone
            {
                return Ok(Reader::IsGone);
            }
        }
        Ok(Reader::Listens)
    }

    /// Goes on with what comes. A failure that may pass is told, and does not end it.
    async fn follow(&mut self, mut reading: Reading, is_limited: bool) -> Outcome {
        if !is_limited {
            self.left = u64::MAX;
        }
        while self.left > 0 {
            tokio::time::sleep(POLL).await;
            match self.inspector.read_after(&reading).await {
                Ok(None) => continue,
                Ok(Some(later)) => reading = later,
                Err(error) if error.is_retryable() => {
                    say!("{error}");
                    continue;
                }
                Err(error) => return Err(queue::unreadable(error, &self.options.queue)),
            }
            if reading.manifest.next_sequence().0 < self.next {
                let message = "the manifest went back: it was recreated, or restored from a copy";
                return Err(Failure::failed(message));
            }
            if self.print_listed(&reading).await? == Reader::IsGone {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether all of a batch was submitted before --since.
    fn is_too_early(&self, entry: &ManifestEntry) -> bool {
        let latest = entry.metadata.iter().map(|item| item.ingestion_time_ms).max();
        latest.zip(self.since_ms).is_some_and(|(latest, since)| latest < since)
    }

    /// The records of a batch; none if it cannot be shown, which is told.
    async fn fetch(&mut self, entry: &ManifestEntry) -> Result<Option<Vec<Bytes>>, Failure> {
        let opened = match self.inspector.batch(&entry.location).await {
            Ok(batch) => open(&batch, entry),
            Err(LookError::Missing { location, .. }) => {
                let later = self.inspector.read().await;
                let later = later.map_err(|error| queue::unreadable(error, &self.options.queue))?;
                if entry.sequence < later.manifest.first_sequence() {
                    say!("batch {} was dequeued", entry.sequence);
                    return Ok(None);
                }
                Err(format!("there is no object {location}"))
            }
            Err(error) => return Err(Failure::from(error)),
        };
        Ok(match opened {
            Ok(records) => Some(records),
            Err(message) => {
                self.damaged += 1;
                say!("batch {}: {message}", entry.sequence);
                None
            }
        })
    }

    fn print(
        &mut self,
        entry: &ManifestEntry,
        records: &[Bytes],
        skip: u64,
        take: u64,
    ) -> Result<Reader, Failure> {
        let (sequence, metadata, since_ms) = (entry.sequence.0, &entry.metadata[..], self.since_ms);
        let entries = Entries { sequence, payloads: records, metadata, skip, take, since_ms };
        Ok(match written(self.output.write(&entries))? {
            Some(count) => {
                self.left -= count.min(self.left);
                Reader::Listens
            }
            None => Reader::IsGone,
        })
    }
}

fn open(batch: &BatchObject, entry: &ManifestEntry) -> Result<Vec<Bytes>, String> {
    batch.records_of(&entry.metadata).map_err(|error| chain(&error))
}
