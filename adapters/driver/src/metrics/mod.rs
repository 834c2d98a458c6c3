//! What producers and consumers tell of themselves as metrics, through the facade of the crate [`metrics`].
//!
//! Whoever installs a recorder gets them; without one they cost next to nothing. Install it before
//! producers and consumers are made: each takes its metrics from the recorder that it finds then.
//! Work is counted by batch and by request, never by entry.
//!
//! [`METRICS`] lists them all, and [`queue_name`] tells what their label `queue` is:
//!
//! ```
//! use buffer_driver::metrics::{METRICS, MetricKind};
//!
//! let lag = METRICS.iter().find(|metric| metric.name == "buffer.consumer_lag_seconds").unwrap();
//! assert_eq!((lag.kind, lag.labels), (MetricKind::Gauge, &["queue"][..]));
//! ```
//!
//! # Gauges
//!
//! A gauge is set when its producer or consumer does something, and
//! [`Producer::refresh_metrics`](crate::Producer::refresh_metrics) and
//! [`Consumer::refresh_metrics`](crate::Consumer::refresh_metrics) bring it up to date: call them before metrics are
//! read, or every few seconds, if ages have to be right while a request hangs. Several producers of one queue in one
//! process add up in `inflight_batches` and `inflight_bytes`; of `oldest_unflushed_age_seconds`, the last one that
//! did something is seen.
//!
//! # Spans
//!
//! The same work can be followed with the crate [`tracing`]: `submit` (at the level of traces), `flush` with
//! `encode` and `upload` in it, `commit`, `read_manifest`, `take_over`, `fetch`, `decode`, `ack`, `dequeue`, and
//! `collect` with `list` and `delete` in it, all of these at the level of debugging.

mod consumer;
mod level;
mod producer;
mod requests;
mod table;

use std::sync::Arc;

use ::metrics::{Counter, with_recorder};

pub(crate) use consumer::ConsumerMetrics;
pub(crate) use producer::{ProducerMetrics, outcome};
pub(crate) use requests::{RequestMetrics, Retried};
pub use table::{DURATION_BUCKETS, METRICS, Metric, MetricKind};

use crate::store::Store;

/// What the label `queue` says of a queue: its store and its manifest, without an endpoint and without secrets.
///
/// ```
/// use buffer_driver::{MemoryStore, metrics::queue_name};
///
/// let store = MemoryStore::new("orders");
/// assert_eq!(&*queue_name(&store, "ingest/manifest"), "memory:orders/ingest/manifest");
/// ```
#[must_use]
pub fn queue_name(store: &dyn Store, manifest_path: &str) -> Arc<str> {
    let store = store.to_string();
    let place = match store.split_once(" at ") {
        // A bucket says which endpoint it is at.
        Some((bucket, _)) if bucket.contains("://") => bucket,
        Some(_) | None => &store,
    };
    format!("{}/{manifest_path}", place.trim_end_matches('/')).into()
}

/// Tells the recorder what the metrics are.
pub(crate) fn describe() {
    with_recorder(|recorder| {
        for metric in METRICS {
            let (name, unit, help) = (metric.name.into(), Some(metric.unit), metric.help.into());
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, unit, help),
                MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
                MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
            }
        }
    });
}

/// Adds what has been added to a total since it was last looked at.
fn add(counter: &Counter, before: u64, after: u64) {
    if after > before {
        counter.increment(after - before);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store_url::{StoreOptions, StorePlace};
    use crate::{MemoryStore, PrefixedStore};

    #[test]
    fn a_queue_is_named_by_its_store_and_its_manifest() {
        let store = PrefixedStore::new(MemoryStore::new("m"), "a at b".into());
        assert_eq!(&*queue_name(&store, "q/manifest"), "memory:m/a at b/q/manifest");
    }

    #[test]
    fn a_bucket_is_named_without_its_endpoint_and_its_secrets() {
        let url = "s3://bucket/orders?endpoint=http://127.0.0.1:9000&allow_http=true&region=x\
                   &access_key_id=known&secret_access_key=hidden";
        let place = StorePlace::resolve(&url.into(), &StoreOptions::new(), &|_| None);
        let Ok(StorePlace::Cloud(cloud)) = place else { panic!("{place:?}") };
        let open = |_: &_| Ok(Arc::new(MemoryStore::new("m")) as Arc<dyn Store>);
        let store = cloud.open(open).expect("it opens");
        assert_eq!(&*queue_name(&*store, "ingest/manifest"), "s3://bucket/orders/ingest/manifest");
    }

    #[test]
    fn each_metric_has_its_own_name_and_says_what_it_is() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(metric.name.starts_with("buffer."), "{metric:?}");
            assert!(metric.labels.contains(&"queue"), "{metric:?}");
            assert!(metric.help.ends_with(|last: char| last.is_alphanumeric()), "{metric:?}");
            let in_seconds = metric.unit == ::metrics::Unit::Seconds;
            assert_eq!(metric.name.ends_with("_seconds"), in_seconds, "{metric:?}");
        }
    }
}
