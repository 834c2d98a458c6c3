//! What callers of producers submitted, and what they were told.

use std::mem;

use buffer_core::Location;
use bytes::Bytes;

use super::{BatchNumber, Oracles, Outcome, Submission, entry};
use crate::ProcessId;
use crate::swarm::Invariant::{DurableAck, ExactlyOnce, NoPhantom, Order, ThreeOutcomes};

impl Oracles {
    /// A call begins; gives back its number, which its entries are to carry.
    pub(crate) fn next_submission(&self) -> u64 {
        self.submissions.len() as u64
    }

    /// A call begins.
    pub(crate) fn submitted(&mut self, process: ProcessId, entries: &[Bytes], metadata: &Bytes) {
        self.forget();
        self.submissions.push(Submission {
            process,
            entries: entries.to_vec(),
            count: entries.len(),
            bytes: entries.iter().map(Bytes::len).sum(),
            metadata: metadata.clone(),
            taken: None,
            outcome: None,
            stored: false,
            batch: None,
        });
    }

    /// A producer took it, as the `order`th of its life, and stamped a time on it.
    pub(crate) fn taken(&mut self, number: u64, order: u64, stamp: i64) {
        let Some(submission) = self.submission(number) else { return };
        submission.taken = Some((order, stamp));
        let (process, bytes, stored) = (submission.process, submission.bytes, submission.stored);
        let framed = bytes + submission.count * 4;
        self.totals.taken_bytes += framed as u64;
        if !stored {
            self.hold(process, bytes);
        }
    }

    /// A producer was told that the store has a batch of it: it need not hold that any more.
    pub(crate) fn knows_stored(&mut self, location: &Location) {
        let Some(&batch) = self.by_location.get(location) else { return };
        let entries = self.batches[batch].records.iter();
        let mut numbers: Vec<u64> = entries.filter_map(|it| Some(entry::read(it)?.0)).collect();
        numbers.dedup();
        for number in numbers {
            let Some(submission) = self.submission(number) else { continue };
            let was_stored = mem::replace(&mut submission.stored, true);
            let (process, bytes) = (submission.process, submission.bytes);
            if !was_stored && submission.taken.is_some() && submission.outcome.is_none() {
                self.let_go(process, bytes);
            }
        }
    }

    /// What a caller was told, if it was.
    pub(crate) fn outcome(&self, number: u64) -> Option<Outcome> {
        self.submissions.get(usize::try_from(number).ok()?)?.outcome
    }

    /// A caller was told.
    pub(crate) fn settled(&mut self, number: u64, outcome: Outcome) {
        let Some(submission) = self.submission(number) else { return };
        let (process, listed) = (submission.process, submission.batch);
        let (bytes, entries) = (submission.bytes, submission.count as u64);
        submission.outcome = Some(outcome);
        if !submission.stored {
            self.let_go(process, bytes);
        }
        if outcome != Outcome::Durable
            && let Some(life) = self.life(process)
        {
            life.spending.has_given_up = true;
        }
        match outcome {
            Outcome::Durable => {
                self.totals.durable_entries += entries;
                self.check_durable(number, listed);
            }
            Outcome::NotDelivered => {
                self.totals.not_delivered += 1;
                if let Some(batch) = listed {
                    let location = &self.batches[batch].location;
                    let what = format!(
                        "{number} of {process} was told to have failed, and is in {location}"
                    );
                    self.violated(ThreeOutcomes, what);
                }
            }
            Outcome::Unknown => self.totals.unknown += 1,
        }
    }

    fn check_durable(&mut self, number: u64, listed: Option<BatchNumber>) {
        let Some(batch) = listed else {
            return self
                .violated(DurableAck, format!("{number} is called durable, and is not listed"));
        };
        let batch = &self.batches[batch];
        let waits = batch.places.last().is_some_and(|place| *place >= self.manifest.first());
        if waits && batch.deleted && !batch.lost {
            let what = format!("{number} is called durable, and {} is gone", batch.location);
            self.violated(DurableAck, what);
        }
    }

    pub(super) fn submission(&mut self, number: u64) -> Option<&mut Submission> {
        self.submissions.get_mut(usize::try_from(number).ok()?)
    }

    /// A batch is listed for the first time: what is in it was submitted, whole and in order.
    pub(super) fn submissions_listed(&mut self, by: ProcessId, batch: BatchNumber) {
        let records = std::mem::take(&mut self.batches[batch].records);
        let metadata = std::mem::take(&mut self.batches[batch].metadata);
        let mut at = 0;
        while at < records.len() {
            let known = entry::read(&records[at]).filter(|(_, index)| *index == 0);
            let number = known.map(|(number, _)| number);
            let Some(submission) = number.and_then(|number| self.submission(number)) else {
                let location = self.batches[batch].location.clone();
                self.violated(NoPhantom, format!("{location} holds what nobody submitted"));
                break;
            };
            let number = number.expect("it was just found");
            let end = at + submission.count;
            let whole = records.get(at..end) == Some(&submission.entries[..]);
            // The item that covers its first entry.
            let item = metadata
                .iter()
                .rfind(|item| usize::try_from(item.start_index).is_ok_and(|start| start <= at));
            let labelled = item.is_some_and(|item| {
                item.payload == submission.metadata
                    && submission.taken.is_none_or(|(_, stamp)| stamp == item.ingestion_time_ms)
            });
            let process = submission.process;
            let earlier = submission.batch.replace(batch);
            let (taken, outcome) = (submission.taken, submission.outcome);
            submission.entries = Vec::new();
            if let Some(earlier) = earlier {
                let names = (&self.batches[earlier].location, &self.batches[batch].location);
                let what = format!("{number} is in {} and in {}", names.0, names.1);
                self.violated(ExactlyOnce, what);
                break;
            }
            if !whole || !labelled || process != by {
                let location = &self.batches[batch].location;
                let what =
                    format!("{number} of {process} is not whole in {location} of {by}: {item:?}");
                self.violated(NoPhantom, what);
                break;
            }
            if outcome == Some(Outcome::NotDelivered) {
                let what = format!("{number} was told to have failed, and is listed after that");
                self.violated(ThreeOutcomes, what);
            }
            if let Some((order, _)) = taken {
                self.check_order(process, number, order);
            }
            at = end;
        }
        self.batches[batch].metadata = metadata;
        self.batches[batch].records = records;
    }

    fn check_order(&mut self, process: ProcessId, number: u64, order: u64) {
        let Some(life) = self.life(process) else { return };
        let earlier = life.listed_order.replace(order);
        if earlier.is_some_and(|earlier| earlier >= order) {
            let what = format!("{number}, the {order}th of {process}, comes after {earlier:?}");
            self.violated(Order, what);
        }
    }
}
