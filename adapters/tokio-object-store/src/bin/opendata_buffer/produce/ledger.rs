//! What became of what was submitted.

use std::collections::VecDeque;

use buffer::{DeliveryError, DurabilityWatcher};
use bytes::Bytes;

use crate::size::counted;

/// Entries and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Count {
    pub(super) fn of(entries: &[Bytes]) -> Self {
        let bytes = entries.iter().map(|entry| entry.len() as u64).sum();
        Self { entries: entries.len() as u64, bytes }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// One watcher and one count for each batch that is not settled.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    unsettled: VecDeque<(DurabilityWatcher, Count)>,
    pub(super) durable: Count,
    batches: u64,
    not_delivered: Count,
    unknown: Count,
    failure: Option<DeliveryError>,
}

impl Ledger {
    pub(super) fn push(&mut self, watcher: DurabilityWatcher, count: Count) {
        match self.unsettled.back_mut() {
            Some((last, counted)) if last.is_same_batch(&watcher) => counted.add(count),
            Some(_) | None => self.unsettled.push_back((watcher, count)),
        }
    }

    /// These were not even taken.
    pub(super) fn refused(&mut self, count: Count) {
        self.not_delivered.add(count);
    }

    /// Waits until the oldest batch is settled; without end if there is none.
    pub(super) async fn first_settled(&self) {
        match self.unsettled.front() {
            // How it ended is for `collect` to see.
            Some((watcher, _)) => drop(watcher.await_durable().await),
            None => std::future::pending().await,
        }
    }

    /// Counts what was settled, in order.
    pub(super) fn collect(&mut self) {
        while let Some(outcome) = self.unsettled.front().and_then(|(first, _)| first.result()) {
            let Some((_, count)) = self.unsettled.pop_front() else { return };
            match outcome {
                Ok(()) => {
                    self.durable.add(count);
                    self.batches += 1;
                }
                Err(error) => {
                    let losses = if error.is_unknown() {
                        &mut self.unknown
                    } else {
                        &mut self.not_delivered
                    };
                    losses.add(count);
                    self.failure.get_or_insert(error);
                }
            }
        }
    }

    /// The first thing that went wrong.
    pub(super) fn failure(&self) -> Option<&DeliveryError> {
        self.failure.as_ref()
    }

    pub(super) fn durable_text(&self) -> String {
        format!(
            "{}, {}, in {}",
            counted(self.durable.entries, "entry", "entries"),
            counted(self.durable.bytes, "byte", "bytes"),
            counted(self.batches, "batch", "batches"),
        )
    }

    pub(super) fn losses_text(&self) -> String {
        format!(
            "of the entries read, {} are certainly in the queue, {} are certainly not, \
             and of {} it is not known",
            self.durable.entries, self.not_delivered.entries, self.unknown.entries,
        )
    }
}
