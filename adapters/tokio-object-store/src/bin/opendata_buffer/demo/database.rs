//! The database behind the queue: it takes a batch and its sequence in one step,
//! refuses consumers that were replaced, and here also knows what should come.

use std::fmt;
use std::sync::Arc;

use buffer::ConsumedBatch;
use indicatif::ProgressBar;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::feed::PRODUCERS;
use super::script::{Script, Tag};
use crate::exit::{Failure, Status};

/// How much of a line an error shows, in characters.
const SHOWN: usize = 80;

#[derive(Debug)]
pub(super) struct Database {
    script: Arc<Script>,
    stored: Mutex<Stored>,
    /// How many lines are stored.
    lines: watch::Sender<u64>,
    progress: ProgressBar,
}

/// What changes in one step.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Who may store.
    pub(super) epoch: u64,
    /// The last batch that was stored.
    pub(super) last: Option<u64>,
    /// How many lines of each producer were stored.
    lines: [u64; PRODUCERS],
    /// Batches of consumers that had been replaced.
    late: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Stored,
    /// Its consumer was replaced: not stored, and not to be acknowledged.
    Late,
}

/// How what came out is not what went in.
#[derive(Debug)]
enum Difference<'a> {
    Untagged,
    Order { producer: usize, expected: u64, found: u64 },
    TooMany { producer: usize, found: u64 },
    Payload { tag: Tag, expected: &'a [u8], found: &'a [u8] },
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged => f.write_str("its metadata names no producer and line"),
            Self::Order { producer, expected, found } => {
                write!(f, "producer {producer}, line {found} came where line {expected} is due")
            }
            Self::TooMany { producer, found } => {
                write!(f, "producer {producer}, line {found} was never fed")
            }
            Self::Payload { tag: Tag { producer, line }, expected, found } => write!(
                f,
                "producer {producer}, line {line} differs:\n  went in:  {}\n  came out: {}",
                excerpt(expected),
                excerpt(found)
            ),
        }
    }
}

fn excerpt(line: &[u8]) -> String {
    let shown: String = line.escape_ascii().take(SHOWN).map(char::from).collect();
    let more = if line.escape_ascii().count() > SHOWN { "..." } else { "" };
    format!("\"{shown}\"{more}")
}

impl Database {
    pub(super) fn new(script: Arc<Script>, progress: ProgressBar) -> Self {
        Self { script, stored: Mutex::default(), lines: watch::Sender::new(0), progress }
    }

    /// Keeps everybody from storing while a consumer takes over.
    pub(super) async fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().await
    }

    /// Stores a batch, if it comes from the consumer whose epoch counts and is what was due.
    pub(super) async fn store(
        &self,
        epoch: u64,
        batch: &ConsumedBatch,
    ) -> Result<Verdict, Failure> {
        let mut stored = self.stored.lock().await;
        if stored.epoch != epoch {
            stored.late += 1;
            return Ok(Verdict::Late);
        }
        let due = stored.last.map_or(0, |last| last + 1);
        if batch.sequence != due {
            let message = format!("batch {} was handed out where {due} is due", batch.sequence);
            return Err(Failure::new(Status::Differs, message));
        }
        for (index, found) in batch.entries.iter().enumerate() {
            self.compare(&mut stored, batch, index, found).map_err(|difference| {
                let (sequence, location) = (batch.sequence, &batch.location);
                let at = format!("sequence {sequence} ({location}), entry {index}");
                Failure::new(Status::Differs, format!("{at}: {difference}"))
            })?;
        }
        stored.last = Some(batch.sequence);
        let lines = stored.lines.iter().sum();
        self.lines.send_replace(lines);
        self.progress.set_position(lines);
        Ok(Verdict::Stored)
    }

    fn compare<'a>(
        &'a self,
        stored: &mut Stored,
        batch: &'a ConsumedBatch,
        index: usize,
        found: &'a [u8],
    ) -> Result<(), Difference<'a>> {
        let covers = |start: u32| start as usize <= index;
        let items = batch.metadata.partition_point(|item| covers(item.start_index));
        let item = items.checked_sub(1).map(|last| &batch.metadata[last]);
        let item = item.ok_or(Difference::Untagged)?;
        let first = Tag::from_metadata(&item.payload).ok_or(Difference::Untagged)?;
        let line = first.line + (index - item.start_index as usize) as u64;
        let tag = Tag { line, ..first };
        let lines = &mut stored.lines[tag.producer - 1];
        let expected_line = *lines + 1;
        if line != expected_line {
            let (producer, expected) = (tag.producer, expected_line);
            return Err(Difference::Order { producer, expected, found: line });
        }
        let too_many = Difference::TooMany { producer: tag.producer, found: line };
        let expected = self.script.line(line).ok_or(too_many)?;
        if expected != found {
            return Err(Difference::Payload { tag, expected, found });
        }
        *lines += 1;
        Ok(())
    }

    /// Waits until this many lines are stored.
    pub(super) async fn has_lines(&self, count: u64) {
        let mut lines = self.lines.subscribe();
        let _ = lines.wait_for(|lines| *lines >= count).await;
    }

    /// Checks that nothing is missing. Returns how many batches were refused because they came late.
    pub(super) async fn expect_everything(&self) -> Result<u64, Failure> {
        let stored = self.stored.lock().await;
        let fed = self.script.per_producer();
        for (producer, lines) in (1..).zip(stored.lines) {
            if lines != fed {
                let message = format!(
                    "producer {producer}: {fed} lines became durable, \
                     and the queue ended after line {lines}"
                );
                return Err(Failure::new(Status::Differs, message));
            }
        }
        Ok(stored.late)
    }
}
