//! The metrics of consumers.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::format::Metadata;
use buffer_core::{Consumer, ConsumerStats, Now, UnixMillis};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::{RequestMetrics, Retried, add, describe};

/// What one consumer tells.
#[derive(Debug)]
pub(crate) struct ConsumerMetrics {
    /// What was told already.
    told: ConsumerStats,
    retried: Retried<4>,
    /// Shared with whoever fetches by hand.
    requests: Arc<RequestMetrics>,
    descriptors: Counter,
    lag: Gauge,
    queue_length: Gauge,
    acks: Counter,
    repeats: Counter,
    deleted: Counter,
    not_deleted: Counter,
    cycle_duration: Histogram,
    swaps: Counter,
    conflicts: Counter,
}

impl ConsumerMetrics {
    pub(crate) fn new(requests: Arc<RequestMetrics>) -> Self {
        describe();
        let (queue, role) = (requests.queue(), "consumer");
        let total = |name| counter!(name, "queue" => Arc::clone(queue));
        let of_role = |name| counter!(name, "queue" => Arc::clone(queue), "role" => role);
        let now = |name| gauge!(name, "queue" => Arc::clone(queue));
        let seconds = |name| histogram!(name, "queue" => Arc::clone(queue));
        Self {
            told: ConsumerStats::default(),
            retried: Retried::default(),
            descriptors: total("buffer.descriptors_handed_out"),
            lag: now("buffer.consumer_lag_seconds"),
            queue_length: now("buffer.queue_length"),
            acks: total("buffer.acks"),
            repeats: total("buffer.repeats_dropped"),
            deleted: total("buffer.gc_files_deleted"),
            not_deleted: total("buffer.gc_files_failed"),
            cycle_duration: seconds("buffer.gc_duration_seconds"),
            swaps: of_role("buffer.manifest_writes"),
            conflicts: of_role("buffer.manifest_conflicts"),
            requests,
        }
    }

    /// Tells what was done since it was last told.
    pub(crate) fn report(&mut self, machine: &Consumer) {
        self.retried.report(&self.requests, machine.retry_count(), machine.retries());
        let stats = machine.stats();
        if stats != self.told {
            let told = mem::replace(&mut self.told, stats);
            self.requests.opened(
                stats.batches_fetched - told.batches_fetched,
                stats.entries_fetched - told.entries_fetched,
                stats.bytes_fetched - told.bytes_fetched,
            );
            add(&self.acks, told.acks, stats.acks);
            add(&self.repeats, told.repeats_dropped, stats.repeats_dropped);
            add(&self.deleted, told.gc_files_deleted, stats.gc_files_deleted);
            add(&self.not_deleted, told.gc_files_failed, stats.gc_files_failed);
            add(&self.swaps, told.swaps, stats.swaps);
            add(&self.conflicts, told.conflicts, stats.conflicts);
        }
        // Once it has ended, the queue is another's to tell of.
        if machine.epoch().is_some() {
            self.queue_length.set(machine.listed() as f64);
        }
    }

    /// A batch is handed out.
    pub(crate) fn handed_out(&self, metadata: &[Metadata], now: Now) {
        if let Some(last) = metadata.last() {
            self.lag.set(now.wall.saturating_since(UnixMillis(last.ingestion_time_ms)));
        }
    }

    /// So many descriptors are handed out.
    pub(crate) fn described(&self, count: usize) {
        self.descriptors.increment(count as u64);
    }

    /// A cycle of the collector is over.
    pub(crate) fn collected(&self, took: Duration) {
        self.cycle_duration.record(took);
    }
}
