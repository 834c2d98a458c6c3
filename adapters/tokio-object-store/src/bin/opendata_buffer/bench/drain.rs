//! The consumer of a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::buffer_core::Location;
use buffer::{ConsumedBatch, Consumer, NextError, Store};
use hdrhistogram::Histogram;
use tokio::sync::watch;

use crate::exit::Failure;

use super::course::{self, Course};
use super::sums::Sums;

/// A consumer that takes everything and acknowledges it at once.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) consumer: Arc<Consumer>,
    pub(crate) course: Arc<Course>,
    /// Where bodies are deleted that were consumed: nobody collects them while this runs.
    pub(crate) forget: Option<Arc<dyn Store>>,
    pub(crate) entries_per_call: usize,
    /// Whether calls carry the time at which they were made.
    pub(crate) stamped: bool,
}

/// What a consumer got.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) batches: u64,
    /// Of the ends of calls: they are looked at while time is taken.
    pub(crate) sums: Sums,
    /// Bytes of entries that came while it was measured.
    pub(crate) measured_bytes: u64,
    /// From the call to its arrival here, for calls that carry their time.
    pub(crate) latency: Histogram<u64>,
}

impl Drain {
    /// Takes batches until `all_written` says so and the queue is empty.
    pub(crate) async fn run(
        self,
        mut all_written: watch::Receiver<bool>,
    ) -> Result<Drained, Failure> {
        let mut drained = Drained {
            batches: 0,
            sums: Sums::default(),
            measured_bytes: 0,
            latency: course::histogram(),
        };
        while let Some(batch) = self.next(&mut all_written).await? {
            let now = Instant::now();
            let bytes = drained.take(&batch, self.entries_per_call);
            self.course.add_consumed(bytes);
            if self.course.is_measured(now) {
                drained.measured_bytes += bytes;
                if self.stamped {
                    self.record(&batch, now, &mut drained.latency);
                }
            }
            let ConsumedBatch { sequence, location, entries, .. } = batch;
            drop(entries);
            self.consumer.ack(sequence).await?;
            if let Some(store) = &self.forget {
                // What fails stays, and costs memory.
                store.delete(vec![Location::from(location)]).await;
            }
        }
        Ok(drained)
    }

    async fn next(
        &self,
        all_written: &mut watch::Receiver<bool>,
    ) -> Result<Option<ConsumedBatch>, NextError> {
        tokio::select! {
            biased;
            batch = self.consumer.wait_batch() => return batch.map(Some),
            _ = all_written.wait_for(|all_written| *all_written) => {}
        }
        self.consumer.next_batch().await
    }

    fn record(&self, batch: &ConsumedBatch, now: Instant, latency: &mut Histogram<u64>) {
        for item in &batch.metadata {
            let Ok(stamp) = <[u8; 8]>::try_from(&item.payload[..]) else { continue };
            let made = self.course.origin + Duration::from_nanos(u64::from_le_bytes(stamp));
            let took = now.saturating_duration_since(made);
            latency.saturating_record(course::micros(took));
        }
    }
}

impl Drained {
    fn take(&mut self, batch: &ConsumedBatch, per_call: usize) -> u64 {
        let before = self.sums.bytes;
        self.sums.add_calls(&batch.entries, per_call);
        self.batches += 1;
        self.sums.bytes - before
    }
}
