//! `bench consume`: a consumer alone, with a backlog before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::buffer_core::Condition;
use buffer::{ConsumedBatch, Consumer, Store, SystemClock};
use clap::Args;
use serde_json::json;

use crate::exit::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::size;

use super::backlog_store::{self, BacklogStore, Bodies};
use super::course::{histogram, micros};
use super::meter::{self, Memory};
use super::options::{Compression, MadeOf, Output, Reading, Where, at_least_one, positive};
use super::payload::Payload;
use super::place::{self, Place};
use super::prices::Prices;
use super::report::{Measured, Quantiles, Report, Verified, Whole};
use super::sums::{Depth, Expected, Sums};

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
    let bodies = Bodies::new(&payload, options.batch_size, options.compression.into(), batches)?;
    let backlog = Backlog { bodies: Arc::new(bodies), batches };
    let mut report = Report::new("consume", place::name(&options.place), json!({}));
    for latency in &options.place.latency {
        report.runs.push(measure(options, &backlog, *latency, &prices, stop).await?);
    }
    report.print(&options.output)
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
    let measured = async {
        backlog.fill(&place, stop).await?;
        measure_in(options, &place, backlog, latency, prices, stop).await
    };
    let measured = measured.await;
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

/// What the consumer got.
struct Got {
    batches: u64,
    sums: Sums,
    samples: Vec<(f64, f64)>,
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
    let name = super::report::name_of(latency, None);
    meter::forget_peak();
    let (memory_before, cpu_before) = (Memory::now(), meter::cpu_time());
    let started = Instant::now();
    consumer.initialize(None).await?;
    let took_over = started.elapsed();
    let counts_before = place.store.counts();
    let mut waits = histogram();
    let length = Duration::try_from_secs_f64(options.seconds).unwrap_or(Duration::MAX);
    let bar = meter::progress(name.clone(), length);
    let mut got = Got { batches: 0, sums: Sums::default(), samples: Vec::new() };
    let mut asked = Instant::now();
    let begun = asked;
    let mut last_sample = begun;
    while got.batches < backlog.batches {
        let batch = tokio::select! {
            biased;
            () = stop.raised() => return Err(Failure::interrupted()),
            batch = consumer.next_batch() => batch?,
        };
        let now = Instant::now();
        waits.saturating_record(micros(now.saturating_duration_since(asked)));
        let Some(batch) = batch else { break };
        got.take(&batch);
        let sequence = batch.sequence;
        drop(batch);
        consumer.ack(sequence).await?;
        asked = Instant::now();
        let elapsed = asked.saturating_duration_since(begun);
        if asked.saturating_duration_since(last_sample) >= Duration::from_millis(100) {
            last_sample = asked;
            got.samples.push((elapsed.as_secs_f64(), got.sums.bytes as f64 / 1e6));
            bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
            let rate = got.sums.bytes as f64 / elapsed.as_secs_f64() / 1e6;
            bar.set_message(format!("{rate:.0} MB/s, {} batches", got.batches));
        }
        if elapsed >= length {
            break;
        }
    }
    let took = begun.elapsed();
    bar.finish_and_clear();
    let cpu = meter::cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let counts = place.store.counts().since(&counts_before);
    let memory = Memory::now();
    consumer.close().await?;

    let durable = backlog.bodies.sums(got.batches);
    let compared = Expected { durable, unknown: Sums::default() }.compare(&got.sums)?;
    let seconds = took.as_secs_f64();
    let gigabytes = got.sums.bytes as f64 / 1e9;
    let mut whole = Whole::of(&counts, took, got.sums.bytes);
    whole.batches = got.batches;
    let mut take_over = histogram();
    take_over.saturating_record(micros(took_over));
    let times = [("take-over", &take_over), ("waited for a batch", &waits)];
    let measured = Measured {
        name,
        latency_ms: Some(latency.as_secs_f64() * 1e3),
        seconds,
        mb_per_second: gigabytes * 1e3 / seconds,
        entries_per_second: got.sums.entries as f64 / seconds,
        calls_per_second: 0.0,
        times: times
            .into_iter()
            .filter_map(|(name, times)| Some((name, Quantiles::of(times)?)))
            .collect(),
        whole,
        cpu_seconds_per_gb: cpu.map(|cpu| cpu.as_secs_f64() / gigabytes),
        cpus: cpu.map(|cpu| cpu.as_secs_f64() / seconds),
        verified: Some(Verified { compared, found: got.sums }),
        progress: got.samples,
        ..Measured::default()
    };
    Ok(measured.with_memory(memory_before, memory).with_prices(prices, &counts, took))
}

impl Got {
    fn take(&mut self, batch: &ConsumedBatch) {
        self.batches += 1;
        for entry in &batch.entries {
            self.sums.add(entry, Depth::Ends);
        }
    }
}
