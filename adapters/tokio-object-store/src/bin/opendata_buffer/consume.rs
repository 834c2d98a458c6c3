//! `consume`: from a queue to standard output.

mod skip;

use std::sync::Arc;
use std::time::Duration;

use buffer::buffer_core::{Location, ReadOutcome};
use buffer::{ConsumedBatch, Consumer, ConsumerConfig, NextError, Resume, Store, SystemClock};
use clap::Args;

use crate::LAST_WRITE;
use crate::exit::{Failure, Outcome, is_broken_pipe};
use crate::input::Delimiter;
use crate::interrupt::Interrupt;
use crate::metrics;
use crate::output::{Entries, Format, Output};
use crate::queue::{self, Queue};
use crate::say::say;

use skip::Skip;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// Ends after this many entries; a batch that was not taken whole is not acknowledged
    #[arg(short = 'n', long, value_name = "N")]
    entries: Option<u64>,
    /// Waits for more instead of ending when the queue is empty
    #[arg(short, long)]
    follow: bool,
    /// Starts after the batch with this sequence, and refuses a queue that does not fit
    #[arg(long, value_name = "SEQUENCE")]
    after: Option<u64>,

    /// Goes on although batches after --after are gone from the queue: their entries are lost to you
    #[arg(long, requires = "after")]
    accept_gap: bool,

    /// Goes on although the queue never got to --after: it was recreated, and all of it is new
    #[arg(long, requires = "after")]
    accept_reset: bool,
    /// How an entry is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// What is written after each entry, if raw; takes \n \r \t \0 \\ \xHH
    #[arg(short = 'D', long, default_value = "\\n")]
    delimiter: Delimiter,
    /// Leaves everything in the queue (its consumer is fenced all the same)
    #[arg(long)]
    no_ack: bool,
    #[command(flatten)]
    skip: Skip,
    #[command(flatten)]
    collecting: Collecting,
    #[command(flatten)]
    metrics: metrics::Told,
}

/// When batches that nobody needs any more are deleted.
#[derive(Args, Debug)]
struct Collecting {
    /// How often batches that nobody needs any more are deleted, while this runs
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    gc_interval: Duration,
    /// How long a batch is left alone; the same for all who use the queue, or entries can be lost
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    gc_grace_period: Duration,
    /// Deletes nothing
    #[arg(long)]
    no_gc: bool,
}

/// How the reading came to its end.
enum End {
    /// The queue is empty, or enough was written.
    Done,
    /// Nobody reads standard output any more.
    BrokenPipe,
    Interrupted,
}

/// What became of the batch that was to be skipped.
#[derive(Default)]
struct Past {
    sequence: Option<u64>,
    is_skipped: bool,
    /// A later batch was acknowledged, and takes it out of the queue.
    is_left_behind: bool,
}

impl Past {
    /// Skips the batch that an error is about, if it is the one.
    async fn skip(&mut self, consumer: &Consumer, error: NextError) -> Outcome {
        let found = match &error {
            NextError::BatchMissing { sequence, .. } | NextError::BatchCorrupt { sequence, .. } => {
                sequence.0
            }
            NextError::NotInitialized
            | NextError::Ended(_)
            | NextError::BatchUnreadable { .. }
            | NextError::ManifestUnreadable(_)
            | _ => return Err(error.into()),
        };
        if self.sequence != Some(found) {
            let hint = format!(
                "`consume {}--skip {found} --reason TEXT` saves what it can, and goes past it",
                self.still_listed().map_or_else(String::new, |before| format!("--after {before} ")),
            );
            return Err(Failure::from(error).hint(&hint));
        }
        consumer.skip(found).await?;
        say!("skipped batch {found}");
        self.is_skipped = true;
        Ok(())
    }

    /// The batch that was skipped, if nothing takes it out of the queue yet.
    fn still_listed(&self) -> Option<u64> {
        self.sequence.filter(|_| self.is_skipped && !self.is_left_behind)
    }

    /// Says what is still to be done, also where the reading has failed.
    fn tell(&self) {
        if let Some(sequence) = self.still_listed() {
            say!(
                "batch {sequence} stays listed until a later one is acknowledged; \
                 --after {sequence} goes on behind it"
            );
        }
    }

    fn conclude(&self) -> Outcome {
        match self.sequence.filter(|_| !self.is_skipped) {
            None => Ok(()),
            Some(sequence) => {
                let message =
                    format!("batch {sequence} was not skipped: the reading ended before it");
                Err(Failure::failed(message))
            }
        }
    }
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    options.skip.prepare(&options.queue).await?;
    let endpoint = options.metrics.listen().await?;
    let Some(consumer) = unless_stopped(&stop, open(options)).await? else {
        return Err(Failure::interrupted());
    };
    let consumer = Arc::new(consumer);
    let told = Arc::clone(&consumer);
    endpoint.before_each(move || told.refresh_metrics());
    let Some(taken) = unless_stopped(&stop, take_over(&consumer, options)).await? else {
        return Err(Failure::interrupted());
    };
    say!("took over: epoch {}, was {}", taken.epoch, taken.previous);

    let mut past = Past { sequence: options.skip.sequence(), ..Past::default() };
    let read = read(&consumer, options, &mut past, &stop).await;
    // Whatever happened: what was written out must not come again.
    let closed = consumer.close().await;
    past.tell();
    match read? {
        End::Done | End::BrokenPipe => {
            closed?;
            past.conclude()
        }
        End::Interrupted => {
            closed?;
            Err(Failure::interrupted())
        }
    }
}

async fn unless_stopped<T>(
    stop: &Interrupt,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    tokio::select! {
        biased;
        () = stop.raised() => Ok(None),
        done = work => done.map(Some),
    }
}

/// Opens the queue if there is one: reading must not make any.
async fn open(options: &Options) -> Result<Consumer, Failure> {
    let Queue { store: location, options: told, keys } = &options.queue;
    queue::refuse_memory(location)?;
    queue::expect_directory(location)?;
    let store = queue::open(location, &told.parse()?)?;
    if !options.follow {
        let hint = "--follow waits for one, --manifest-path names another";
        let explain = |failure: Failure| failure.hint(&queue::elsewhere(location, hint));
        expect_manifest(&*store, &keys.manifest_path).await?.map_err(explain)?;
    }
    let config = ConsumerConfig {
        data_path_prefix: keys.data_path_prefix.clone(),
        manifest_path: keys.manifest_path.clone(),
        // Who only looks leaves everything where it is.
        gc_enabled: !options.collecting.no_gc && !options.no_ack,
        gc_interval: options.collecting.gc_interval,
        gc_grace_period: options.collecting.gc_grace_period,
        ..ConsumerConfig::default()
    };
    Ok(Consumer::with_store(config, store, Arc::new(SystemClock))?)
}

/// Whether there is a queue, once that is known.
async fn expect_manifest(store: &dyn Store, manifest_path: &str) -> Result<Outcome, Failure> {
    Ok(match queue::read_manifest(store, &Location::from(manifest_path)).await? {
        ReadOutcome::Found(_) | ReadOutcome::NotModified => Ok(()),
        ReadOutcome::Missing => Err(Failure::failed(format!(
            "no such queue: there is no manifest {manifest_path} in {store}"
        ))),
    })
}

async fn take_over(consumer: &Consumer, options: &Options) -> Result<buffer::TakeOver, Failure> {
    let Options { after, accept_gap, accept_reset, .. } = *options;
    Ok(consumer.initialize_with(Resume { last: after, accept_gap, accept_reset }).await?)
}

/// Writes batches out and acknowledges them, until there is a reason to end.
async fn read(
    consumer: &Consumer,
    options: &Options,
    past: &mut Past,
    stop: &Interrupt,
) -> Result<End, Failure> {
    let output = Output { format: options.format, delimiter: options.delimiter.clone() };
    let mut left = options.entries.unwrap_or(u64::MAX);
    while left > 0 {
        let batch = tokio::select! {
            biased;
            () = stop.raised() => return Ok(End::Interrupted),
            batch = next(consumer, options.follow) => batch,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                past.skip(consumer, error).await?;
                continue;
            }
        };
        let Some(batch) = batch else { return Ok(End::Done) };
        let (sequence, entries) = (batch.sequence, batch.entries.len() as u64);
        let taken = entries.min(left);
        match write(&output, batch, taken, stop).await? {
            End::Done => {}
            end @ (End::BrokenPipe | End::Interrupted) => return Ok(end),
        }
        left -= taken;
        if taken == entries && !options.no_ack {
            consumer.ack(sequence).await?;
            past.is_left_behind |= past.is_skipped;
        }
    }
    Ok(End::Done)
}

async fn next(consumer: &Consumer, follow: bool) -> Result<Option<ConsumedBatch>, NextError> {
    if follow { consumer.wait_batch().await.map(Some) } else { consumer.next_batch().await }
}

/// Writes out the first `count` entries; a reader that hangs must not keep us from ending.
async fn write(
    output: &Output,
    batch: ConsumedBatch,
    count: u64,
    stop: &Interrupt,
) -> Result<End, Failure> {
    let output = output.clone();
    let work = move || output.write(&Entries::first_of(&batch, count));
    let mut writing = tokio::task::spawn_blocking(work);
    let written = tokio::select! {
        written = &mut writing => written,
        () = stop.raised() => match tokio::time::timeout(LAST_WRITE, &mut writing).await {
            Ok(written) => written,
            Err(_) => return Ok(End::Interrupted),
        },
    };
    match written {
        Ok(Ok(_)) => Ok(End::Done),
        Ok(Err(error)) if is_broken_pipe(&error) => Ok(End::BrokenPipe),
        Ok(Err(error)) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
        Err(error) => Err(Failure::failed(format!("writing out failed: {error}"))),
    }
}
