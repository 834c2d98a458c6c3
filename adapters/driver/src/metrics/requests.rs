//! What single requests came to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use buffer_core::{Retries, StoreError, StoreErrorKind, StoreOperation};
use metrics::{Counter, Histogram, counter, histogram};

/// The metrics of requests to the store, of one producer or consumer.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    queue: Arc<str>,
    role: &'static str,
    batches: Counter,
    entries: Counter,
    bytes: Counter,
    fetch_duration: Histogram,
    /// Counters of failures, from the first of each kind on.
    failures: Mutex<Vec<(StoreOperation, StoreErrorKind, Counter)>>,
}

impl RequestMetrics {
    /// Those of who writes.
    pub(crate) fn of_producer(queue: Arc<str>) -> Self {
        Self { queue, role: "producer", ..Self::of_nobody() }
    }

    /// Whoever only looks at a queue counts nothing.
    pub(crate) fn of_nobody() -> Self {
        Self {
            queue: "".into(),
            role: "",
            batches: Counter::noop(),
            entries: Counter::noop(),
            bytes: Counter::noop(),
            fetch_duration: Histogram::noop(),
            failures: Mutex::default(),
        }
    }

    /// Those of who reads.
    pub(crate) fn of_consumer(queue: Arc<str>) -> Self {
        let total = |name| counter!(name, "queue" => Arc::clone(&queue));
        Self {
            batches: total("buffer.batches_collected"),
            entries: total("buffer.entries_collected"),
            bytes: total("buffer.bytes_collected"),
            fetch_duration: histogram!("buffer.fetch_duration_seconds", "queue" => Arc::clone(&queue)),
            queue,
            role: "consumer",
            failures: Mutex::default(),
        }
    }

    /// The name of the queue.
    pub(crate) const fn queue(&self) -> &Arc<str> {
        &self.queue
    }

    /// A request was answered with an error, or not at all.
    pub(crate) fn failed(&self, error: &StoreError) {
        let (operation, kind) = (error.operation, error.kind);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = failures.iter().find(|(of, as_what, _)| (*of, *as_what) == (operation, kind));
        if let Some((_, _, counter)) = known {
            return counter.increment(1);
        }
        let counter = counter!(
            "buffer.request_failures",
            "queue" => Arc::clone(&self.queue),
            "role" => self.role,
            "operation" => operation.name(),
            "kind" => kind.name(),
        );
        counter.increment(1);
        failures.push((operation, kind, counter));
    }

    /// The bytes of a batch are there.
    pub(crate) fn fetched(&self, took: Duration) {
        self.fetch_duration.record(took);
    }

    /// So many batches were fetched and opened, with so many entries, from objects of so many bytes.
    pub(crate) fn opened(&self, batches: u64, entries: u64, bytes: u64) {
        self.batches.increment(batches);
        self.entries.increment(entries);
        self.bytes.increment(bytes);
    }
}

/// What was told already of requests that are tried again.
#[derive(Debug)]
pub(crate) struct Retried<const N: usize> {
    count: u64,
    by_operation: Option<[(StoreOperation, Retries); N]>,
}

impl<const N: usize> Default for Retried<N> {
    fn default() -> Self {
        Self { count: 0, by_operation: None }
    }
}

impl<const N: usize> Retried<N> {
    /// Tells what has come since. That is as rare as failures.
    pub(crate) fn report(
        &mut self,
        metrics: &RequestMetrics,
        count: u64,
        by_operation: &[(StoreOperation, Retries); N],
    ) {
        if count == self.count {
            return;
        }
        self.count = count;
        let told = self.by_operation.replace(*by_operation);
        for (index, (operation, now)) in by_operation.iter().enumerate() {
            let before = told.map_or_else(Retries::default, |told| told[index].1);
            for ((kind, before), (_, now)) in before.by_kind().into_iter().zip(now.by_kind()) {
                if now > before {
                    counter!(
                        "buffer.request_retries",
                        "queue" => Arc::clone(&metrics.queue),
                        "role" => metrics.role,
                        "operation" => operation.name(),
                        "kind" => kind,
                    )
                    .increment(now - before);
                }
            }
        }
    }
}
