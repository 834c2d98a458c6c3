//! What the measurements have in common on the command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use buffer::{CompressionType, ConsumerConfig, ProducerConfig, StoreLocation};
use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::queue::{self, StoreTold};
use crate::size;

use super::payload::{self, Kind, Payload};

/// Where the measured queue is.
#[derive(Args, Debug)]
pub(crate) struct Where {
    /// A directory or a URL such as s3://bucket/prefix, to measure that store; without one it is a
    /// store in memory, as slow as the options say. The queue is a new one below bench-.../, and
    /// is deleted afterwards
    #[arg(value_name = "QUEUE", value_parser = queue::store_location())]
    pub(crate) queue: Option<StoreLocation>,
    #[command(flatten)]
    pub(crate) told: StoreTold,
    /// What a request takes in the median, half of it before the store looks; several, with commas
    /// between them, are measured one after the other
    #[arg(long, value_name = "DURATION", value_delimiter = ',', default_value = "0ms", value_parser = humantime::parse_duration)]
    #[arg(conflicts_with = "queue")]
    pub(crate) latency: Vec<Duration>,
    /// What the slowest hundredth of requests takes at least: log-normal. Without it all take the same
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "queue")]
    pub(crate) latency_p99: Option<Duration>,
    /// How fast one request's body is transferred, in MB a second
    #[arg(long, value_name = "MB/s", conflicts_with = "queue", value_parser = positive)]
    pub(crate) bandwidth: Option<f64>,
    /// How many writes a second one key takes before the store answers 429; Google's takes one
    #[arg(long, value_name = "N", conflicts_with = "queue", value_parser = positive)]
    pub(crate) key_rate: Option<f64>,
    /// What payload and latencies are drawn by
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Leaves the measured queue in the store
    #[arg(long, requires = "queue")]
    pub(crate) keep: bool,
}

impl Where {
    /// What was asked of the store, but for its name and its secrets.
    pub(crate) fn settings(&self) -> Value {
        let millis = |latency: &Duration| latency.as_secs_f64() * 1e3;
        json!({
            "latency_ms": self.latency.iter().map(millis).collect::<Vec<_>>(),
            "latency_p99_ms": self.latency_p99.as_ref().map(millis),
            "bandwidth_mb_per_second": self.bandwidth,
            "key_rate": self.key_rate,
            "seed": self.seed,
        })
    }
}

/// How producers make batches.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Batching {
    /// At which size a batch is sealed
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size::parse)]
    pub(crate) batch_size: usize,
    /// How long after its first entry a batch is sealed
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration)]
    #[serde(rename = "flush_interval_ms", serialize_with = "as_millis")]
    pub(crate) flush_interval: Duration,
    /// At how many calls a batch is sealed
    #[arg(long, value_name = "N", default_value_t = ProducerConfig::default().max_buffered_inputs)]
    pub(crate) max_buffered_inputs: usize,
    /// How batches are compressed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) compression: Compression,
    /// How many bytes one producer may hold
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size::parse)]
    pub(crate) max_buffered: usize,
    /// How many batches of one producer may be under way
    #[arg(long, value_name = "N", default_value_t = ProducerConfig::default().max_inflight_batches)]
    pub(crate) max_inflight_batches: usize,
}

#[derive(Clone, Copy, Debug, Default, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    #[default]
    None,
    Zstd,
}

/// What producers are given.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Load {
    /// How large an entry is
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = size::parse)]
    pub(crate) entry_size: usize,
    /// How many entries a call has
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub(crate) entries_per_call: usize,
    /// How many calls of one producer may wait to be durable at a time; `max` is as many as it takes
    #[arg(long, value_name = "N", default_value = "1310")]
    pub(crate) calls_in_flight: CallsInFlight,
    /// How many tasks share that, for each producer
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) tasks: usize,
    /// How many calls a second one producer gets, however long they take; `max` is as many as it
    /// takes, and the default but for end-to-end, which has 100
    #[arg(long, value_name = "CALLS/s")]
    pub(crate) rate: Option<Rate>,
    /// How many producers there are: 1 by default, for contend 16; several numbers, with commas
    /// between them, are measured one after the other
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = at_least_one)]
    pub(crate) producers: Vec<usize>,
    /// Entries lie in memory that is never freed. Without it they are slices of one buffer for each
    /// call, counted as those of network clients are, which costs the caller and the library
    #[arg(long)]
    pub(crate) static_entries: bool,
    #[command(flatten)]
    #[serde(skip)]
    pub(crate) made_of: MadeOf,
}

/// What entries are made of.
#[derive(Args, Clone, Debug)]
pub(crate) struct MadeOf {
    /// What entries are made of; without it text where batches are compressed, else random
    #[arg(long, value_enum)]
    payload: Option<Kind>,
    /// Cuts entries from this file instead, so that `zstd -b3` can be asked about the same
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    payload_file: Option<PathBuf>,
}

/// When the timed part begins and ends.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Length {
    /// How long it goes on, warming up included
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// What is settled before is not measured; a fifth of the whole at the most
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    #[serde(rename = "warm_up_ms", serialize_with = "as_millis")]
    pub(crate) warm_up: Duration,
}

/// How many calls may be unsettled.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CallsInFlight {
    #[serde(rename = "max")]
    AsManyAsGo,
    #[serde(untagged)]
    Limit(usize),
}

/// How often a producer is called.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rate {
    #[serde(rename = "max")]
    AsManyAsGo,
    #[serde(untagged)]
    PerSecond(f64),
}

/// How the consumer reads.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Reading {
    /// How many batches the consumer fetches ahead
    #[arg(long, value_name = "N", default_value_t = ConsumerConfig::default().prefetch_batches)]
    pub(crate) prefetch_batches: usize,
    /// How many bytes those may take
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size::parse)]
    pub(crate) prefetch_bytes: usize,
    /// How often a waiting consumer looks at the manifest
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration)]
    #[serde(rename = "poll_interval_ms", serialize_with = "as_millis")]
    pub(crate) poll_interval: Duration,
    /// After how many acknowledgements the manifest is dequeued
    #[arg(long, value_name = "N", default_value_t = ConsumerConfig::default().dequeue_acks)]
    pub(crate) dequeue_acks: usize,
}

/// What is done with the results.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Prints the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Draws throughput over time, or over latency if several are measured
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Computes dollars by this table; `bench prices` prints the one that is used without it
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
}

impl Batching {
    pub(crate) fn config(&self) -> ProducerConfig {
        ProducerConfig {
            flush_interval: self.flush_interval,
            flush_size_bytes: self.batch_size,
            max_buffered_inputs: self.max_buffered_inputs,
            batch_compression: self.compression.into(),
            max_buffered_bytes: self.max_buffered,
            max_inflight_batches: self.max_inflight_batches,
            ..ProducerConfig::default()
        }
    }
}

impl Reading {
    pub(crate) fn config(&self) -> ConsumerConfig {
        ConsumerConfig {
            prefetch_batches: self.prefetch_batches,
            prefetch_bytes: self.prefetch_bytes,
            poll_interval: self.poll_interval,
            poll_interval_max: ConsumerConfig::default().poll_interval_max.max(self.poll_interval),
            dequeue_acks: self.dequeue_acks,
            // Nothing gets old enough to be collected while this runs.
            gc_enabled: false,
            ..ConsumerConfig::default()
        }
    }
}

impl MadeOf {
    /// The block that entries are cut from.
    pub(crate) fn block(
        &self,
        compression: Compression,
        seed: u64,
    ) -> Result<&'static [u8], Failure> {
        match (&self.payload_file, self.payload, compression) {
            (Some(file), _, _) => payload::block_of_file(file),
            (None, Some(kind), _) => Ok(payload::block(kind, seed)),
            (None, None, Compression::None) => Ok(payload::block(Kind::Random, seed)),
            (None, None, Compression::Zstd) => Ok(payload::block(Kind::Text, seed)),
        }
    }
}

impl Load {
    /// How many producers there are, run by run.
    pub(crate) fn producers(&self, default: usize) -> Vec<usize> {
        if self.producers.is_empty() { vec![default] } else { self.producers.clone() }
    }

    pub(crate) fn payload(
        &self,
        block: &'static [u8],
        producers: usize,
    ) -> Result<Payload, Failure> {
        let payload = Payload::new(block, self.entry_size, self.entries_per_call, producers)?;
        Ok(if self.static_entries { payload.uncounted() } else { payload })
    }
}

impl Length {
    pub(crate) fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::MAX)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.warm_up.min(self.duration() / 5)
    }
}

impl From<Compression> for CompressionType {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Zstd => Self::Zstd,
        }
    }
}

impl FromStr for CallsInFlight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::AsManyAsGo);
        }
        at_least_one(text).map(Self::Limit)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::AsManyAsGo);
        }
        positive(text).map(Self::PerSecond)
    }
}

/// In milliseconds, as in all of the report.
fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1e3)
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no number from 1 on"))
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| format!("{text:?} is no number above 0"))
}
