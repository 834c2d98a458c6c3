//! All metrics, in one table.

use metrics::Unit;

/// A metric: its name, and what it tells.
///
/// ```
/// use buffer_driver::metrics::METRICS;
///
/// let mut metrics = METRICS.iter();
/// let bytes = metrics.find(|metric| metric.name == "buffer.bytes_flushed").ok_or("it is there")?;
/// assert_eq!((bytes.unit.as_str(), bytes.labels), ("bytes", &["queue"][..]));
/// assert_eq!(bytes.help, "Bytes of these entries, before compression");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name. Prometheus writes an underscore for the dot.
    pub name: &'static str,
    /// How it is to be read.
    pub kind: MetricKind,
    /// What is counted.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells, in a few words.
    pub help: &'static str,
}

/// How a metric is to be read.
///
/// ```
/// use buffer_driver::metrics::{METRICS, MetricKind};
///
/// // What to ask of Prometheus.
/// let query = |name: &str| {
///     let metric = METRICS.iter().find(|metric| metric.name == name)?;
///     let name = name.replace('.', "_");
///     Some(match metric.kind {
///         MetricKind::Counter => format!("rate({name}[5m])"),
///         MetricKind::Gauge => name,
///         MetricKind::Histogram => format!("histogram_quantile(0.99, rate({name}_bucket[5m]))"),
///     })
/// };
/// assert_eq!(query("buffer.acks").as_deref(), Some("rate(buffer_acks[5m])"));
/// assert_eq!(query("buffer.queue_length").as_deref(), Some("buffer_queue_length"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It rises from zero.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Single values, of which a recorder keeps how many there were of which size.
    Histogram,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    unit: Unit,
    help: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Counter, unit, labels, help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, unit, labels: QUEUE, help }
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, unit: Unit::Seconds, labels: QUEUE, help }
}

const QUEUE: &[&str] = &["queue"];
const ROLE: &[&str] = &["queue", "role"];
const FAILED: &[&str] = &["queue", "outcome", "reason"];
const REQUEST: &[&str] = &["queue", "role", "operation", "kind"];

/// Where histograms tell durations apart, in seconds: from a local disk's to a request's time-out. For recorders
/// that want buckets, as that of Prometheus does for quantiles; [`METRICS`] with the unit of seconds are those.
///
/// ```
/// use std::collections::BTreeMap;
/// use buffer_driver::metrics::{DURATION_BUCKETS, METRICS, MetricKind};
///
/// // For a recorder that takes buckets by the name of a metric.
/// let histograms = METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram);
/// let buckets: BTreeMap<_, _> =
///     histograms.map(|metric| (metric.name, &DURATION_BUCKETS[..])).collect();
/// // A flush of 80 ms falls into the bucket of those that took no more than 100 ms.
/// let of_flushes = buckets["buffer.flush_duration_seconds"];
/// assert_eq!(of_flushes.iter().find(|bound| **bound >= 0.08), Some(&0.1));
/// ```
pub const DURATION_BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// All metrics: first those of producers, then those of consumers, then those of both.
///
/// `role` is `producer` or `consumer`; `operation` is `put_batch`, `read_manifest`, `swap_manifest`, `read_batch`,
/// `list_batches` or `delete_batch`; `kind` is a [`StoreErrorKind::name`](crate::StoreErrorKind::name), and of retries
/// also `conflict` (of an upload), `missing` or `corrupt`; `outcome` is
/// `not_delivered` or `unknown`; and `reason` is a [`DeliveryFailure::name`](crate::DeliveryFailure::name).
///
/// ```
/// use buffer_driver::metrics::METRICS;
///
/// let told_by_role = METRICS.iter().filter(|metric| metric.labels.contains(&"role"));
/// let names: Vec<_> = told_by_role.map(|metric| metric.name).collect();
/// assert!(names.contains(&"buffer.manifest_conflicts"));
/// assert!(!names.contains(&"buffer.acks"), "only a consumer counts these");
/// ```
pub const METRICS: &[Metric] = &[
    counter(
        "buffer.batches_flushed",
        QUEUE,
        Unit::Count,
        "Batches that became durable: written and listed",
    ),
    counter(
        "buffer.entries_flushed",
        QUEUE,
        Unit::Count,
        "Entries of the batches that became durable",
    ),
    counter(
        "buffer.bytes_flushed",
        QUEUE,
        Unit::Bytes,
        "Bytes of these entries, before compression",
    ),
    counter(
        "buffer.bytes_written",
        QUEUE,
        Unit::Bytes,
        "Bytes of these batches' objects, after compression",
    ),
    seconds(
        "buffer.flush_duration_seconds",
        "From the beginning of a batch's encoding until it was durable",
    ),
    counter(
        "buffer.batches_failed",
        FAILED,
        Unit::Count,
        "Batches that were given up: not delivered, or with an unknown outcome",
    ),
    gauge("buffer.inflight_batches", Unit::Count, "Batches past sealing and not settled"),
    gauge(
        "buffer.inflight_bytes",
        Unit::Bytes,
        "Bytes held for what is submitted and not settled, as max_buffered_bytes counts them",
    ),
    gauge(
        "buffer.oldest_unflushed_age_seconds",
        Unit::Seconds,
        "For how long the oldest submission that is not settled has waited; zero if all are",
    ),
    counter(
        "buffer.backpressure_waits",
        QUEUE,
        Unit::Count,
        "Calls of produce that had to wait for room",
    ),
    seconds("buffer.backpressure_wait_seconds", "How long such a call waited"),
    counter("buffer.batches_collected", QUEUE, Unit::Count, "Batches fetched and opened"),
    counter("buffer.entries_collected", QUEUE, Unit::Count, "Entries of the batches fetched"),
    counter("buffer.bytes_collected", QUEUE, Unit::Bytes, "Bytes of these batches' objects"),
    seconds(
        "buffer.fetch_duration_seconds",
        "From a request for a batch until its bytes were there",
    ),
    counter(
        "buffer.descriptors_handed_out",
        QUEUE,
        Unit::Count,
        "Descriptors given to callers that fetch by themselves",
    ),
    gauge(
        "buffer.consumer_lag_seconds",
        Unit::Seconds,
        "Age of the batch that was handed out last, by its last ingestion time",
    ),
    gauge(
        "buffer.queue_length",
        Unit::Count,
        "Batches in the manifest, as it was last read or written",
    ),
    counter("buffer.acks", QUEUE, Unit::Count, "Batches acknowledged"),
    counter(
        "buffer.repeats_dropped",
        QUEUE,
        Unit::Count,
        "Batches listed a second time and not handed out again",
    ),
    counter("buffer.gc_files_deleted", QUEUE, Unit::Count, "Batches that the collector deleted"),
    counter("buffer.gc_files_failed", QUEUE, Unit::Count, "Deletions by the collector that failed"),
    seconds("buffer.gc_duration_seconds", "How long a cycle of the collector took"),
    counter("buffer.manifest_writes", ROLE, Unit::Count, "Attempts to write the manifest"),
    counter(
        "buffer.manifest_conflicts",
        ROLE,
        Unit::Count,
        "Those that were answered with a conflict",
    ),
    counter(
        "buffer.request_failures",
        REQUEST,
        Unit::Count,
        "Requests to the store that were answered with an error, or not in time",
    ),
    counter(
        "buffer.request_retries",
        REQUEST,
        Unit::Count,
        "Requests that are tried again, by what went wrong; conflicts of the manifest do not count",
    ),
];
