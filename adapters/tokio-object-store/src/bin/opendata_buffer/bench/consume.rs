//! `bench consume`: a consumer alone, with a backlog before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::buffer_core::Condition;
use buffer::{ConsumedBatch, Consumer, Store, SystemClock};
use clap::Args;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde_json::json;

use crate::exit::{Failure, Outcome, Status};
use crate::interrupt::Interrupt;
use crate::size::{self, counted};

use super::backlog_store::{self, BacklogStore, Bodies};
use super::course::{histogram, micros};
use super::meter::{self, Memory};
use super::options::{Compression, MadeOf, Output, Reading, Where, at_least_one, positive};
use super::payload::Payload;
use super::place::{self, Place};
use super::prices::Prices;
use super::report::{self, Measured, Quantiles, Report, Verified, Whole};
use super::run::SAMPLE;
use super::sums::{Expected, Sums};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Where,
    /// How large an entry is
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = size::parse)]
    entry_size: usize,
    /// How many entries a call had
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    entries_per_call: usize,
    /// How large batches are
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size::parse)]
    batch_size: usize,
    /// How batches are compressed
    #[arg(long, value_enum, default_value_t)]
    compression: Compression,
    #[command(flatten)]
    made_of: MadeOf,
    #[command(flatten)]
    reading: Reading,
    /// How many batches wait in the queue. In a real store they are written first
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    batches: Option<usize>,
    /// Ends after so long, if the backlog is not empty before
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = positive)]
    seconds: f64,
    /// Makes the body of each batch anew whenever it is read, as a network does, to see what memory
    /// the consumer takes. Without it batches in memory share some bodies, which costs nothing
    #[arg(long, conflicts_with = "queue")]
    drop_bodies: bool,
    #[command(flatten)]
    output: Output,
}

/// How many bytes all bodies together have in memory.
const MANY_BODIES: usize = 256 << 20;

/// And how many where the consumer's memory is asked for.
const FEW_BODIES: usize = 32 << 20;

/// How many batches wait in a store in memory, where they cost some bytes each.
const BATCHES: usize = 20_000;

/// How many wait in a real store.
const WRITTEN_BATCHES: usize = 100;

/// How many batches of a backlog are written at a time.
const WRITTEN_AT_ONCE: usize = 8;

pub(crate) async fn run(options: &Options, stop: &Interrupt) -> Outcome {
    let prices = Prices::load(options.output.prices.as_deref())?;
    let block = options.made_of.block(options.compression, options.place.seed)?;
    let payload = Payload::new(block, options.entry_size, options.entries_per_call, 1)?;
    let default = if options.place.queue.is_some() { WRITTEN_BATCHES } else { BATCHES };
    let batches = options.batches.unwrap_or(default) as u64;
    // Memory that is there already would hide what the consumer takes.
    let most = if options.drop_bodies { FEW_BODIES } else { MANY_BODIES };
    let compression = options.compression.into();
    let bodies = Bodies::new(&payload, options.batch_size, compression, batches, most)?;
    let backlog = Backlog { bodies: Arc::new(bodies), batches };
    let settings = json!({
        "store": options.place.settings(),
        "entry_size": options.entry_size,
        "entries_per_call": options.entries_per_call,
        "batch_size": options.batch_size,
        "compression": options.compression,
        "batches": batches,
        "reading": options.reading,
    });
    let mut report = Report::new("consume", place::name(&options.place), settings);
    for latency in &options.place.latency {
        report.runs.push(measure(options, &backlog, *latency, &prices, stop).await?);
    }
    report.publish(&options.output)
}

/// What waits in the queue.
struct Backlog {
    bodies: Arc<Bodies>,
    batches: u64,
}

async fn measure(
    options: &Options,
    backlog: &Backlog,
    latency: Duration,
    prices: &Prices,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let place = Place::open(&options.place, latency, |base, prefix, _| {
        let bodies = Arc::clone(&backlog.bodies);
        Arc::new(BacklogStore::new(base, prefix, bodies, options.drop_bodies))
    })?;
    let measured = match backlog.fill(&place, stop).await {
        Ok(()) => measure_in(options, &place, backlog, latency, prices, stop).await,
        Err(failure) => Err(failure),
    };
    place.clean_up().await;
    measured
}

impl Backlog {
    async fn fill(&self, place: &Place, stop: &Interrupt) -> Result<(), Failure> {
        let manifest = self.bodies.manifest(place.prefix(), self.batches)?;
        if !place.is_memory() {
            self.write(place, stop).await?;
        }
        write(&*place.base, &place.manifest(), manifest.to_rope()).await
    }

    async fn write(&self, place: &Place, stop: &Interrupt) -> Result<(), Failure> {
        let mut numbers = 0..self.batches;
        loop {
            let some = numbers.by_ref().take(WRITTEN_AT_ONCE).map(|number| async move {
                let location = backlog_store::location(place.prefix(), number);
                write(&*place.base, &location, vec![self.bodies.bytes(number)]).await
            });
            let written = futures_util::future::join_all(some).await;
            if written.is_empty() {
                return Ok(());
            }
            written.into_iter().collect::<Result<Vec<_>, _>>()?;
            if stop.is_raised() {
                return Err(Failure::interrupted());
            }
        }
    }
}

async fn write(
    store: &dyn Store,
    location: &buffer::buffer_core::Location,
    payload: buffer::buffer_core::Rope,
) -> Result<(), Failure> {
    match store.write(location, payload, Condition::Absent).await {
        Ok(_) => Ok(()),
        Err(failure) => {
            let why = failure.source.map_or(failure.kind.to_string(), |source| source.to_string());
            Err(Failure::failed(format!("cannot write {location}: {why}")))
        }
    }
}

/// What the consumer got, and when.
struct Got {
    batches: u64,
    sums: Sums,
    waits: Histogram<u64>,
    samples: Vec<(f64, f64)>,
    took: Duration,
}

async fn measure_in(
    options: &Options,
    place: &Place,
    backlog: &Backlog,
    latency: Duration,
    prices: &Prices,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let config = place.consumer_config(options.reading.config());
    let consumer = Consumer::with_store(config, place.measured(), Arc::new(SystemClock))?;
    meter::forget_peak();
    let memory_before = Memory::now();
    let started = Instant::now();
    consumer.initialize(None).await?;
    let take_over = started.elapsed();
    let counts_before = place.store.counts();
    let cpu_before = meter::cpu_time();
    let name = report::name_of(latency, None);
    let length = Duration::try_from_secs_f64(options.seconds).unwrap_or(Duration::MAX);
    let bar = meter::progress(name.clone(), length);
    let got = backlog.take(&consumer, length, &bar, stop).await;
    bar.finish_and_clear();
    let cpu = meter::cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let counts = place.store.counts().since(&counts_before);
    let memory = Memory::now();
    let got = got?;
    consumer.close().await?;

    let durable = backlog.bodies.sums(got.batches);
    let compared = Expected { durable, unknown: Sums::default() }.compare(&got.sums)?;
    let seconds = got.took.as_secs_f64();
    let gigabytes = got.sums.bytes as f64 / 1e9;
    let mut whole = Whole::of(&counts, got.took, got.sums.bytes);
    whole.batches = got.batches;
    let waits = Quantiles::of(&got.waits).map(|waits| ("waited for a batch", waits));
    let measured = Measured {
        name,
        latency_ms: Some(latency.as_secs_f64() * 1e3),
        seconds,
        mb_per_second: gigabytes * 1e3 / seconds,
        entries_per_second: got.sums.entries as f64 / seconds,
        times: waits.into_iter().collect(),
        figures: [("take-over, ms", take_over.as_secs_f64() * 1e3)].into(),
        whole,
        cpu_seconds_per_gb: cpu.map(|cpu| cpu.as_secs_f64() / gigabytes),
        cpus: cpu.map(|cpu| cpu.as_secs_f64() / seconds),
        verified: Some(Verified { compared, found: got.sums }),
        progress: got.samples,
        ..Measured::default()
    };
    Ok(measured.with_memory(memory_before, memory).with_prices(prices, &counts, got.took))
}

impl Backlog {
    /// Takes batches and acknowledges them, until there are no more or time is up.
    async fn take(
        &self,
        consumer: &Consumer,
        length: Duration,
        bar: &ProgressBar,
        stop: &Interrupt,
    ) -> Result<Got, Failure> {
        let mut got = Got {
            batches: 0,
            sums: Sums::default(),
            waits: histogram(),
            samples: Vec::new(),
            took: Duration::ZERO,
        };
        let begun = Instant::now();
        let mut sampled = Duration::ZERO;
        while got.batches < self.batches && got.took < length {
            let batch = tokio::select! {
                biased;
                () = stop.raised() => return Err(Failure::interrupted()),
                batch = consumer.next_batch() => batch?,
            };
            let waited = begun.elapsed().saturating_sub(got.took);
            got.waits.saturating_record(micros(waited));
            let Some(batch) = batch else {
                let missing = counted(self.batches - got.batches, "batch", "batches");
                let message =
                    format!("the queue is empty, and {missing} of the backlog never came");
                return Err(Failure::new(Status::Differs, message));
            };
            got.take(&batch, self.bodies.entries_per_call());
            let sequence = batch.sequence;
            drop(batch);
            consumer.ack(sequence).await?;
            got.took = begun.elapsed();
            if got.took >= sampled + SAMPLE {
                sampled = got.took;
                got.samples.push((got.took.as_secs_f64(), got.sums.bytes as f64 / 1e6));
                got.show(bar);
            }
        }
        Ok(got)
    }
}

impl Got {
    fn take(&mut self, batch: &ConsumedBatch, entries_per_call: usize) {
        self.batches += 1;
        self.sums.add_calls(&batch.entries, entries_per_call);
    }

    fn show(&self, bar: &ProgressBar) {
        let rate = self.sums.bytes as f64 / self.took.as_secs_f64() / 1e6;
        bar.set_position(u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{rate:.0} MB/s, {} batches", self.batches));
    }
}

#[cfg(test)]
mod tests {
    use buffer::{CompressionType, ConsumerConfig, MemoryStore};

    use super::*;
    use crate::bench::payload::{Kind, block};

    /// Takes a backlog of two batches, of which the manifest lists so many.
    async fn take_listed(listed: u64) -> Result<u64, Failure> {
        let payload = Payload::new(block(Kind::Random, 1), 100, 3, 1)?;
        let bodies = Bodies::new(&payload, 1000, CompressionType::None, 2, 1 << 20)?;
        let backlog = Backlog { bodies: Arc::new(bodies), batches: 2 };
        let ConsumerConfig { data_path_prefix, manifest_path, .. } = ConsumerConfig::default();
        let (memory, bodies) = (Arc::new(MemoryStore::new("short")), Arc::clone(&backlog.bodies));
        let store = Arc::new(BacklogStore::new(memory, &data_path_prefix, bodies, false));
        let manifest = backlog.bodies.manifest(&data_path_prefix, listed)?.to_rope();
        write(&*store, &manifest_path.as_str().into(), manifest).await?;
        let consumer =
            Consumer::with_store(ConsumerConfig::default(), store, Arc::new(SystemClock))?;
        consumer.initialize(None).await?;
        let (bar, stop) = (ProgressBar::hidden(), Interrupt::listen().expect("inside a runtime"));
        Ok(backlog.take(&consumer, Duration::MAX, &bar, &stop).await?.batches)
    }

    #[tokio::test]
    async fn a_backlog_that_ends_too_early_is_found_out() {
        assert_eq!(take_listed(2).await.expect("all of it is there"), 2);
        let failure = take_listed(1).await.expect_err("one is missing");
        assert_eq!(failure.status, Status::Differs);
    }
}
