//! `bench backlog`: what a long manifest costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::buffer_core::{Condition, Sequence};
use buffer::measure::RequestKind;
use buffer::{CompressionType, Consumer, Producer, SystemClock};
use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::exit::{Failure, Outcome, Status};
use crate::interrupt::Interrupt;
use crate::size::{self, counted};

use super::backlog_store::{BacklogStore, Bodies};
use super::course::{histogram, micros};
use super::meter::{self, Memory};
use super::options::{Output, Where, at_least_one};
use super::payload::{self, Kind, Payload};
use super::place::{self, Place};
use super::report::{Measured, Quantiles, Report, Verified, Whole};
use super::sums::{Compared, Expected, Sums};
use super::verify;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Where,
    /// How many batches are listed before; several numbers, with commas between them, are measured
    /// one after the other
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "10,1000,100000")]
    entries: Vec<u32>,
    /// How often something is appended, and how often something is dequeued
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one)]
    rounds: usize,
    /// How large the entry is that is appended each time
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = size::parse)]
    entry_size: usize,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: &Options, stop: &Interrupt) -> Outcome {
    if options.place.queue.is_some() {
        return Err(Failure::usage(
            "the batches of a long backlog are not written anywhere: leave QUEUE out",
        ));
    }
    let block = payload::block(Kind::Random, options.place.seed);
    let payload = Payload::new(block, options.entry_size, 1, 1)?;
    let settings = json!({
        "store": options.place.settings(),
        "rounds": options.rounds,
        "entry_size": options.entry_size,
    });
    let mut report = Report::new("backlog", place::name(&options.place), settings);
    for latency in &options.place.latency {
        for entries in &options.entries {
            let bench = Bench { options, payload: &payload, latency: *latency, entries: *entries };
            report.runs.push(bench.measure(stop).await?);
        }
    }
    report.publish(&options.output)
}

struct Bench<'a> {
    options: &'a Options,
    payload: &'a Payload,
    latency: Duration,
    entries: u32,
}

/// What it takes to do something many times.
struct Taken {
    times: Histogram<u64>,
    cpu: Option<Duration>,
    rounds: usize,
}

impl Taken {
    fn cpu_ms(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() * 1e3 / self.rounds.max(1) as f64)
    }
}

impl Bench<'_> {
    async fn measure(&self, stop: &Interrupt) -> Result<Measured, Failure> {
        let listed = u64::from(self.entries);
        let bodies = Bodies::new(
            self.payload,
            self.options.entry_size,
            CompressionType::None,
            listed.max(1),
            1 << 20,
        )?;
        let bodies = Arc::new(bodies);
        let place = Place::open(&self.options.place, self.latency, |base, prefix, _| {
            Arc::new(BacklogStore::new(base, prefix, Arc::clone(&bodies), false))
        })?;
        let manifest = bodies.manifest(place.prefix(), listed)?;
        let manifest_bytes = manifest.encoded_len();
        let written = place.base.write(&place.manifest(), manifest.to_rope(), Condition::Absent);
        written.await.map_err(|failure| Failure::failed(failure.kind.to_string()))?;
        drop(manifest);
        meter::forget_peak();
        let memory_before = Memory::now();
        let begun = Instant::now();

        let appended = self.append(&place, stop).await?;
        let appending = place.store.counts();
        let (take_over, dequeued, found) = self.dequeue(&place, stop).await?;
        let (counts, took) = (place.store.counts(), begun.elapsed());
        let memory = Memory::now();

        self.check(&place, listed, found, bodies.sums(found.entries)).await?;
        let verified = self.check_appended(&place, listed).await?;
        let swapped = appending.of(RequestKind::SwapWon);
        let mut figures = vec![
            ("manifest, bytes", manifest_bytes as f64),
            ("bytes/append", swapped.bytes as f64 / swapped.requests.max(1) as f64),
            ("take-over, ms", take_over.as_secs_f64() * 1e3),
        ];
        figures.extend(appended.cpu_ms().map(|cpu| ("CPU ms/append", cpu)));
        figures.extend(dequeued.cpu_ms().map(|cpu| ("CPU ms/dequeue", cpu)));
        let times = [("append", &appended.times), ("dequeue", &dequeued.times)];
        let times =
            times.into_iter().filter_map(|(name, times)| Some((name, Quantiles::of(times)?)));
        let measured = Measured {
            name: format!("{}, {} ms", size::grouped(listed), self.latency.as_secs_f64() * 1e3),
            latency_ms: Some(self.latency.as_secs_f64() * 1e3),
            seconds: took.as_secs_f64(),
            times: times.collect(),
            figures: figures.into_iter().collect(),
            whole: Whole::of(&counts, took, 0),
            verified: Some(verified),
            ..Measured::default()
        };
        Ok(measured.with_memory(memory_before, memory))
    }

    /// Appends batches of one call, one after the other.
    async fn append(&self, place: &Place, stop: &Interrupt) -> Result<Taken, Failure> {
        let config = place.producer_config(buffer::ProducerConfig::default());
        let producer = Producer::with_store(config, place.measured(), Arc::new(SystemClock))?;
        let mut times = histogram();
        let cpu = meter::cpu_time();
        for call in 0..self.options.rounds as u64 {
            let started = Instant::now();
            let handle = producer.produce(self.payload.call(0, call), Bytes::new()).await;
            handle.map_err(|error| Failure::failed(crate::exit::chain(&error)))?;
            producer.flush().await?;
            times.saturating_record(micros(started.elapsed()));
            if stop.is_raised() {
                return Err(Failure::interrupted());
            }
        }
        let cpu = meter::cpu_time().zip(cpu).map(|(after, before)| after.saturating_sub(before));
        producer.close().await?;
        Ok(Taken { times, cpu, rounds: self.options.rounds })
    }

    /// Takes over, and dequeues batches, one after the other. Says what was in them.
    async fn dequeue(
        &self,
        place: &Place,
        stop: &Interrupt,
    ) -> Result<(Duration, Taken, Sums), Failure> {
        let config = buffer::ConsumerConfig { gc_enabled: false, ..Default::default() };
        let config = place.consumer_config(config);
        let consumer = Consumer::with_store(config, place.measured(), Arc::new(SystemClock))?;
        let started = Instant::now();
        consumer.initialize(None).await?;
        let take_over = started.elapsed();
        let mut times = histogram();
        let mut found = Sums::default();
        let rounds = self.options.rounds.min(self.entries as usize);
        let cpu = meter::cpu_time();
        for _ in 0..rounds {
            let Some(batch) = consumer.next_batch().await? else { break };
            found.add_calls(&batch.entries, 1);
            consumer.ack(batch.sequence).await?;
            let started = Instant::now();
            consumer.flush().await?;
            times.saturating_record(micros(started.elapsed()));
            if stop.is_raised() {
                return Err(Failure::interrupted());
            }
        }
        let cpu = meter::cpu_time().zip(cpu).map(|(after, before)| after.saturating_sub(before));
        consumer.close().await?;
        Ok((take_over, Taken { times, cpu, rounds }, found))
    }

    /// The manifest lists what it must, and what was dequeued was what stood first.
    async fn check(
        &self,
        place: &Place,
        listed: u64,
        found: Sums,
        durable: Sums,
    ) -> Result<(), Failure> {
        Expected { durable, unknown: Sums::default() }.compare(&found)?;
        let manifest = verify::read_manifest(place).await?;
        let next = listed + self.options.rounds as u64;
        let first = self.options.rounds.min(self.entries as usize) as u64;
        if (manifest.first_sequence(), manifest.next_sequence())
            == (Sequence(first), Sequence(next))
        {
            return Ok(());
        }
        let message = format!(
            "the manifest should list sequences {first} to {next}, and lists {} of them from {} on",
            counted(manifest.len(), "batch", "batches"),
            manifest.first_sequence().0
        );
        Err(Failure::new(Status::Differs, message))
    }

    /// What was appended is behind the backlog, byte for byte.
    async fn check_appended(&self, place: &Place, listed: u64) -> Result<Verified, Failure> {
        let mut found = Sums::default();
        verify::read(place, listed.checked_sub(1), |entries| {
            entries.iter().for_each(|entry| found.add(entry));
        })
        .await?;
        let mut durable = Sums::default();
        for call in 0..self.options.rounds as u64 {
            self.payload.entries(0, call).for_each(|entry| durable.add(entry));
        }
        let compared: Compared = Expected { durable, unknown: Sums::default() }.compare(&found)?;
        Ok(Verified { compared, found })
    }
}
