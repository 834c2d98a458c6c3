//! The metrics of producers.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::{DeliveryError, Instant, Producer, ProducerStats};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::level::Level;
use super::{RequestMetrics, Retried, add, describe};

/// What one producer tells.
#[derive(Debug)]
pub(crate) struct ProducerMetrics {
    requests: Arc<RequestMetrics>,
    /// What was told already.
    told: ProducerStats,
    retried: Retried<3>,
    batches: Counter,
    entries: Counter,
    entry_bytes: Counter,
    object_bytes: Counter,
    flush_duration: Histogram,
    inflight_batches: Level,
    inflight_bytes: Level,
    oldest_age: Gauge,
    waits: Counter,
    wait_duration: Histogram,
    swaps: Counter,
    conflicts: Counter,
}

impl ProducerMetrics {
    pub(crate) fn new(requests: Arc<RequestMetrics>) -> Self {
        describe();
        let (queue, role) = (requests.queue(), "producer");
        let total = |name| counter!(name, "queue" => Arc::clone(queue));
        let of_role = |name| counter!(name, "queue" => Arc::clone(queue), "role" => role);
        let now = |name| gauge!(name, "queue" => Arc::clone(queue));
        let seconds = |name| histogram!(name, "queue" => Arc::clone(queue));
        Self {
            told: ProducerStats::default(),
            retried: Retried::default(),
            batches: total("buffer.batches_flushed"),
            entries: total("buffer.entries_flushed"),
            entry_bytes: total("buffer.bytes_flushed"),
            object_bytes: total("buffer.bytes_written"),
            flush_duration: seconds("buffer.flush_duration_seconds"),
            inflight_batches: Level::new(now("buffer.inflight_batches")),
            inflight_bytes: Level::new(now("buffer.inflight_bytes")),
            oldest_age: now("buffer.oldest_unflushed_age_seconds"),
            waits: total("buffer.backpressure_waits"),
            wait_duration: seconds("buffer.backpressure_wait_seconds"),
            swaps: of_role("buffer.manifest_writes"),
            conflicts: of_role("buffer.manifest_conflicts"),
            requests,
        }
    }

    /// Tells what was done since it was last told, and what is held now.
    pub(crate) fn report(&mut self, machine: &Producer, now: Instant) {
        self.report_done(machine);
        self.inflight_batches.set(machine.inflight_batches());
        self.inflight_bytes.set(machine.buffered_bytes());
        let age = |since| now.saturating_since(since);
        self.oldest_age.set(machine.oldest_submission().map_or(Duration::ZERO, age));
    }

    /// Tells what was done since it was last told.
    pub(crate) fn report_done(&mut self, machine: &Producer) {
        self.retried.report(&self.requests, machine.retry_count(), machine.retries());
        let stats = machine.stats();
        if stats != self.told {
            let told = mem::replace(&mut self.told, stats);
            add(&self.batches, told.batches_durable, stats.batches_durable);
            add(&self.entries, told.entries_durable, stats.entries_durable);
            add(&self.entry_bytes, told.entry_bytes_durable, stats.entry_bytes_durable);
            add(&self.object_bytes, told.object_bytes_durable, stats.object_bytes_durable);
            add(&self.swaps, told.swaps, stats.swaps);
            add(&self.conflicts, told.conflicts, stats.conflicts);
        }
    }

    /// A batch is durable, so long after its encoding began.
    pub(crate) fn flushed(&self, took: Duration) {
        self.flush_duration.record(took);
    }

    /// A batch was given up.
    pub(crate) fn gave_up(&self, error: &DeliveryError) {
        counter!(
            "buffer.batches_failed",
            "queue" => Arc::clone(self.requests.queue()),
            "outcome" => outcome(error),
            "reason" => error.failure().name(),
        )
        .increment(1);
    }

    /// A call begins to wait for room.
    pub(crate) fn waits(&self) {
        self.waits.increment(1);
    }

    /// A call that waited was taken or refused.
    pub(crate) fn waited(&self, took: Duration) {
        self.wait_duration.record(took);
    }
}

impl Drop for ProducerMetrics {
    fn drop(&mut self) {
        self.oldest_age.set(0.0);
    }
}

/// What is certain of a batch that was given up.
pub(crate) const fn outcome(error: &DeliveryError) -> &'static str {
    if error.is_unknown() { "unknown" } else { "not_delivered" }
}
