//! `produce`: from standard input or a file to a queue.

mod ledger;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use buffer::{CompressionType, Producer, ProducerConfig, SubmitError, SystemClock};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::exit::{self, Failure, Outcome};
use crate::input::{Delimiter, Source, Splitter, read_ahead};
use crate::interrupt::Interrupt;
use crate::metrics;
use crate::queue::{self, Queue};
use crate::say::say;
use crate::size::{self, counted};

use ledger::{Count, Ledger};

/// About how much goes into one call, in bytes that holding it takes.
const GROUP: usize = 1 << 20;

/// What holding an entry takes besides its bytes, roughly.
const ENTRY_OVERHEAD: usize = 64;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// Reads this file; without it, or for `-`, standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// What ends an entry; takes \n \r \t \0 \\ \xHH
    #[arg(short = 'D', long, default_value = "\\n")]
    delimiter: Delimiter,
    /// Bytes about the entries, for the consumer
    #[arg(long, value_name = "TEXT", default_value = "")]
    metadata: String,
    /// How long entries wait for company before they are written
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration)]
    flush_interval: Duration,
    /// How much is written at once at the most, about
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size::parse)]
    flush_size: usize,
    /// How much is held in memory until it is durable; no entry may be larger
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size::parse)]
    max_buffered: usize,
    /// How long a batch is tried before it is given up; less than half of --gc-grace-period
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    delivery_timeout: Duration,
    /// How long the consumer's collector leaves a batch alone: what `consume` is told
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    gc_grace_period: Duration,
    /// How batches are compressed
    #[arg(long, value_enum, default_value_t)]
    compression: Compression,
    #[command(flatten)]
    metrics: metrics::Told,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Compression {
    #[default]
    None,
    Zstd,
}

impl Options {
    fn config(&self) -> Result<ProducerConfig, Failure> {
        Ok(ProducerConfig {
            store: self.queue.store.clone(),
            store_options: self.queue.options.parse()?,
            data_path_prefix: self.queue.keys.data_path_prefix.clone(),
            manifest_path: self.queue.keys.manifest_path.clone(),
            flush_interval: self.flush_interval,
            flush_size_bytes: self.flush_size,
            max_buffered_bytes: self.max_buffered,
            delivery_timeout: self.delivery_timeout,
            gc_grace_period: self.gc_grace_period,
            batch_compression: match self.compression {
                Compression::None => CompressionType::None,
                Compression::Zstd => CompressionType::Zstd,
            },
            ..ProducerConfig::default()
        })
    }
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    queue::refuse_memory(&options.queue.store)?;
    // The input first: a mistyped file name must not leave an empty queue behind.
    let source = Source::new(options.input.as_deref());
    let (from, length) = source
        .open()
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", source.name())))?;
    let endpoint = options.metrics.listen().await?;
    let producer = Arc::new(Producer::new(options.config()?, Arc::new(SystemClock))?);
    let told = Arc::clone(&producer);
    endpoint.before_each(move || told.refresh_metrics());
    let mut feed = Feed {
        producer,
        source,
        metadata: Bytes::from(options.metadata.clone()),
        limit: options.max_buffered,
        splitter: Splitter::new(options.delimiter.clone()),
        delimiter_len: options.delimiter.as_bytes().len() as u64,
        group: Vec::new(),
        group_cost: 0,
        taken: Count::default(),
        ledger: Ledger::default(),
        progress: progress(length),
    };
    let read = feed.read(from, &stop).await;
    feed.finish(read, &stop).await
}

/// Entries on their way from the source to the queue.
struct Feed {
    producer: Arc<Producer>,
    source: Source,
    metadata: Bytes,
    /// No entry may be larger.
    limit: usize,
    splitter: Splitter,
    delimiter_len: u64,
    /// Entries for the next call.
    group: Vec<Bytes>,
    group_cost: usize,
    /// What was cut from the source, delimiters not counted.
    taken: Count,
    ledger: Ledger,
    progress: ProgressBar,
}

impl Feed {
    /// Submits the source's entries until it ends, something fails, or a signal comes.
    async fn read(&mut self, from: Box<dyn std::io::Read + Send>, stop: &Interrupt) -> Outcome {
        let mut chunks = read_ahead(from);
        let mut stopping = false;
        while self.ledger.failure().is_none() {
            let chunk = tokio::select! {
                biased;
                () = stop.raised(), if !stopping => {
                    // What was read already still goes in.
                    stopping = true;
                    chunks.close();
                    continue;
                }
                () = self.ledger.first_settled() => {
                    self.settle();
                    continue;
                }
                chunk = chunks.recv() => chunk,
            };
            match chunk {
                Some(Ok(chunk)) => self.take(&chunk).await?,
                Some(Err(error)) => {
                    let name = self.source.name();
                    let message = format!("cannot read {name} to its end: {error}");
                    return Err(Failure::failed(message));
                }
                None if stopping => break,
                None => return self.take_last().await,
            }
        }
        Ok(())
    }

    async fn take(&mut self, chunk: &[u8]) -> Outcome {
        self.splitter.push(chunk);
        while let Some(entry) = self.splitter.next_entry() {
            self.add(entry).await?;
        }
        if self.splitter.held() > self.limit {
            let largest = self.splitter.held();
            self.submit().await?;
            return Err(self.too_long(largest));
        }
        // Whoever types a line wants it written, and not to wait for another one.
        self.submit().await
    }

    async fn take_last(&mut self) -> Outcome {
        if let Some(last) = self.splitter.finish() {
            self.add(last).await?;
        }
        self.submit().await
    }

    async fn add(&mut self, entry: Bytes) -> Outcome {
        let cost = entry.len() + ENTRY_OVERHEAD;
        if self.group_cost + cost > GROUP.min(self.limit / 4) {
            self.submit().await?;
        }
        self.group_cost += cost;
        self.group.push(entry);
        Ok(())
    }

    /// Submits the group; while it waits for room, what becomes durable is counted.
    async fn submit(&mut self) -> Outcome {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        self.group_cost = 0;
        let count = Count::of(&group);
        let longest = group.iter().map(Bytes::len).max().unwrap_or_default();
        let submitted = {
            let call = self.producer.produce(group, self.metadata.clone());
            tokio::pin!(call);
            loop {
                tokio::select! {
                    biased;
                    submitted = &mut call => break submitted,
                    () = self.ledger.first_settled() => {
                        self.ledger.collect();
                        self.show_progress();
                    }
                }
            }
        };
        match submitted {
            Ok(handle) => {
                self.taken.add(count);
                self.ledger.push(handle.watcher, count);
                self.settle();
                Ok(())
            }
            Err(SubmitError::TooLarge { .. }) => Err(self.too_long(longest)),
            Err(error) => {
                self.ledger.refused(count);
                Err(Failure::failed(exit::chain(&error)))
            }
        }
    }

    fn too_long(&self, bytes: usize) -> Failure {
        let Self { taken, limit, .. } = self;
        Failure::failed(format!(
            "entry {} of {} takes {} or more, and --max-buffered is {}: \
             raise that, or choose another --delimiter",
            size::grouped(taken.entries + 1),
            self.source.name(),
            counted(bytes as u64, "byte", "bytes"),
            counted(*limit as u64, "byte", "bytes"),
        ))
    }

    fn settle(&mut self) {
        self.ledger.collect();
        self.show_progress();
    }

    /// Delimiters count here: the bar is as long as the file.
    fn show_progress(&self) {
        let Count { entries, bytes } = self.ledger.durable;
        self.progress.set_position(bytes + entries * self.delimiter_len);
    }

    /// Waits until all is settled, and says what became of it.
    async fn finish(mut self, read: Outcome, stop: &Interrupt) -> Outcome {
        let closed = {
            let close = self.producer.close();
            tokio::pin!(close);
            loop {
                tokio::select! {
                    biased;
                    () = self.ledger.first_settled() => {
                        self.ledger.collect();
                        self.show_progress();
                    }
                    closed = &mut close => break closed,
                }
            }
        };
        self.settle();
        self.progress.finish_and_clear();
        say!("durable: {}", self.ledger.durable_text());
        if let Some(failure) = self.ledger.failure() {
            let failure = Failure::from(failure.clone());
            return Err(failure.context(&self.ledger.losses_text()));
        }
        read?;
        closed?;
        if stop.is_raised() {
            if self.splitter.held() > 0 {
                let held = counted(self.splitter.held() as u64, "byte", "bytes");
                say!("interrupted: {held} of an unfinished entry were not taken");
            }
            return Err(Failure::interrupted());
        }
        debug_assert_eq!(self.taken.entries, self.ledger.durable.entries);
        Ok(())
    }
}

/// A bar if the length is known, else a spinner; nothing unless stderr is a terminal.
fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:30} {bytes}/{total_bytes} durable, {bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} durable, {bytes_per_sec}"),
    };
    bar.with_finish(ProgressFinish::AndClear)
        .with_style(ProgressStyle::with_template(template).expect("the template is sound"))
}
