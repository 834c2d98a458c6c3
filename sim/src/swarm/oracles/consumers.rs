//! What consumers handed out, what was acknowledged, and what the database stored.

use std::time::Duration;

use buffer_core::Location;
use buffer_driver::ConsumedBatch;

use super::raw::RawManifest;
use super::{BatchNumber, Oracles};
use crate::ProcessId;
use crate::swarm::Invariant::{
    self, Acks, Agreement, CorruptionShows, ExactlyOnce, Fencing, NoLoss, NoPhantom, NoRepeats,
};
use crate::swarm::exemption::Exemption;

impl Oracles {
    /// A consumer begins to take over, and is to resume after what the database has: that is
    /// acknowledged, unless the queue never got there. Beside that it takes the queue as it finds it.
    pub(crate) fn resumes(&mut self, process: ProcessId, last: Option<u64>, now: Duration) {
        let last = last.filter(|last| *last < self.manifest.next);
        if let Some(life) = self.life(process) {
            life.resumed = last;
            (life.seen, life.missing) = ((0, 0, 0), 0);
            life.spending.begin_term(now);
            life.taking_over = true;
        }
    }

    /// A consumer took over under this epoch.
    pub(crate) fn initialized(&mut self, process: ProcessId, epoch: u64) {
        let owner = self.owners.get(&epoch).copied();
        if owner != Some(process) {
            let what = format!("{process} believes in epoch {epoch}, which {owner:?} raised");
            self.violated(Fencing, what);
        }
        let Some(life) = self.life(process) else { return };
        life.term += 1;
        life.epoch = Some(epoch);
        life.fenced_by = None;
        life.handed.clear();
        life.acked = life.resumed;
        life.taking_over = false;
        self.totals.terms += 1;
    }

    /// A process was shown a manifest that it asked for in this term. What was damaged on the way
    /// is not told here. An answer to an earlier term tells the present one nothing.
    pub(crate) fn shown(
        &mut self,
        process: ProcessId,
        term: u64,
        bytes: &bytes::Bytes,
        now: Duration,
    ) {
        let Some(seen) = RawManifest::read(bytes) else { return };
        // A stale answer from before an operator came by: the queue is no more what it shows.
        let present = &self.manifest;
        let is_past = seen.next > present.next || seen.epoch > present.epoch;
        let Some(life) = self.life(process) else { return };
        let known = (seen.first(), seen.next, seen.epoch);
        life.shown_empty |= seen.count == 0;
        // What it asked before it began anew it does not look at.
        let is_answer = !is_past && life.spending.terms() == term;
        if is_answer && known.0 >= life.seen.0 && known.1 >= life.seen.1 && known.2 >= life.seen.2 {
            life.seen = known;
            let fenced = life.epoch.is_some_and(|epoch| seen.epoch > epoch);
            // Since when, if it was shown that before.
            let since = life.fenced_by.map_or(now, |(_, since)| since);
            if fenced {
                life.fenced_by = Some((seen.epoch, since));
            }
        }
    }

    /// A process was shown that there is a manifest, or that there is none.
    pub(crate) fn shown_missing(&mut self, process: ProcessId, term: u64, is_missing: bool) {
        if let Some(life) = self.life(process)
            && life.spending.terms() == term
        {
            life.missing = if is_missing { life.missing + 1 } else { 0 };
        }
    }

    /// A process was shown a manifest that is damaged in a way that the format can tell.
    pub(crate) fn shown_damaged(&mut self, process: ProcessId) {
        if let Some(life) = self.life(process) {
            life.misled = true;
        }
    }

    /// A process learned that what it wrote is the manifest.
    pub(crate) fn knows_written(&mut self, process: ProcessId, term: u64) {
        if let Some(life) = self.life(process)
            && life.spending.terms() == term
            && !life.wrote_earlier()
        {
            (life.seen, life.missing) = (life.written, 0);
        }
    }

    /// What is broken when a process says or does what the queue's bytes do not.
    pub(super) fn blame(&mut self, process: ProcessId, invariant: Invariant) -> Invariant {
        // Where the queue is another one, nobody can say which of the two it was.
        let misled = !self.is_exempt(Exemption::Regrown)
            && self.life(process).is_some_and(|life| life.misled);
        if misled { CorruptionShows } else { invariant }
    }

    /// A batch was read damaged in a way that the format can tell.
    pub(crate) fn read_damaged(&mut self, location: &Location) {
        self.damaged.insert(location.clone());
    }

    /// A batch may be read changed in a way that version 1 cannot tell.
    pub(crate) fn read_undetectably(&mut self, location: &Location) {
        self.undetectable.insert(location.clone());
    }

    /// A consumer handed a batch to its caller, who says so at once; or earlier, with `fetched`,
    /// when the caller took the descriptor and fetched the batch by itself.
    pub(crate) fn handed_out(
        &mut self,
        process: ProcessId,
        batch: &ConsumedBatch,
        fetched: bool,
        now: Duration,
    ) {
        let sequence = batch.sequence;
        self.totals.handed_out += 1;
        let Some(number) = self.check_place(process, batch) else { return };
        let Some(life) = self.life(process) else { return };
        let (term, fenced_by) = (life.term, life.fenced_by);
        let in_order = life.handed.back().is_none_or(|last| *last < sequence)
            && life.acked.is_none_or(|acked| acked < sequence);
        life.handed.push_back(sequence);
        if !in_order {
            self.violated(NoRepeats, format!("{process} handed out {sequence} out of order"));
        }
        // What was handed out just before may reach its caller in the same instant.
        if let Some((by, since)) = fenced_by
            && !fetched
            && since < now
        {
            self.violated(Fencing, format!("{process}, fenced by {by}, handed out {sequence}"));
        }
        let location = &self.batches[number].location;
        if self.batches[number].handed.contains(&(process, term)) {
            let what = format!("{process} handed out {location} a second time, as {sequence}");
            return self.violated(NoRepeats, what);
        }
        self.batches[number].handed.push((process, term));
    }

    /// Whether a batch is what its sequence names, byte for byte.
    fn check_place(&mut self, process: ProcessId, batch: &ConsumedBatch) -> Option<BatchNumber> {
        let sequence = batch.sequence;
        let number = self.place(sequence).filter(|number| *number != BatchNumber::MAX);
        let Some(number) = number else {
            let what = format!("{process} handed out {sequence}, where nothing is listed");
            let invariant = self.blame(process, Agreement);
            self.violated(invariant, what);
            return None;
        };
        let known = &self.batches[number];
        if known.location.as_str() != batch.location {
            let what =
                format!("{sequence} is {}, and {} was handed out", known.location, batch.location);
            let invariant = self.blame(process, Agreement);
            self.violated(invariant, what);
            return None;
        }
        let same_metadata = known.metadata.len() == batch.metadata.len()
            && known.metadata.iter().zip(&batch.metadata).all(|(listed, told)| {
                listed.start_index == told.start_index
                    && listed.ingestion_time_ms == told.ingestion_time_ms
                    && listed.payload == told.payload
            });
        let same = known.stored.is_some() || known.records == batch.entries;
        if (!same || !same_metadata) && !self.undetectable.contains(&known.location) {
            let damaged = self.damaged.contains(&known.location);
            let invariant = if damaged { CorruptionShows } else { NoPhantom };
            let what = format!("{process} handed out other bytes as {sequence}");
            self.violated(invariant, what);
        }
        Some(number)
    }

    /// A consumer accepted or refused an acknowledgement.
    pub(crate) fn acked(&mut self, process: ProcessId, sequence: u64, through: bool, taken: bool) {
        let Some(life) = self.life(process) else { return };
        let first = life.handed.front().copied();
        let fits = if through { life.handed.contains(&sequence) } else { first == Some(sequence) };
        let mut acks = 0;
        if taken {
            life.acked = life.acked.max(Some(sequence));
            while life.handed.front().is_some_and(|first| *first <= sequence) {
                life.handed.pop_front();
                acks += 1;
            }
        }
        self.totals.acks += acks;
        if taken && !fits {
            let what =
                format!("{process} took an acknowledgement of {sequence}, first is {first:?}");
            self.violated(Acks, what);
        }
        if !taken && fits {
            let what = format!("{process} refused the acknowledgement of {sequence}");
            self.violated(Acks, what);
        }
    }

    /// A consumer went past a batch on its caller's word.
    pub(crate) fn skipped(&mut self, sequence: u64) {
        self.skipped.insert(sequence);
        if let Some(number) = self.place(sequence).filter(|number| *number != BatchNumber::MAX) {
            self.batches[number].lost = true;
        }
    }

    /// The database stored a batch and its sequence.
    pub(crate) fn stored(&mut self, process: ProcessId, batch: &ConsumedBatch) {
        let sequence = batch.sequence;
        let last = self.last_stored.replace(sequence);
        if last.is_some_and(|last| last >= sequence) {
            return self.violated(ExactlyOnce, format!("{sequence} was stored after {last:?}"));
        }
        // Only what was ever listed can be passed over: a damaged sequence may be any number.
        let listed = self.places_from..self.places_from.saturating_add(self.places.len() as u64);
        let from = last.map_or(listed.start, |last| listed.start.max(last + 1));
        for passed in from..sequence.min(listed.end) {
            let place = self.place(passed).and_then(|number| self.batches.get(number));
            let over = place.is_none_or(|it| it.stored.is_some() || it.lost || it.foreign);
            if !over && !self.skipped.contains(&passed) {
                self.violated(NoLoss, format!("{passed} was passed over before {sequence}"));
            }
        }
        let term = self.life(process).map_or(0, |life| life.term);
        let Some(number) = self.place(sequence).filter(|number| *number != BatchNumber::MAX) else {
            return;
        };
        let batch = &mut self.batches[number];
        let earlier = batch.stored.replace((process, term, sequence));
        if let Some((by, in_term, first)) = earlier {
            self.totals.gaps += 1;
            // The one documented gap: listed again in case 4, with another term in between.
            self.exempt(Exemption::RestartInCaseFour);
            let batch = &self.batches[number];
            let again = batch.places.len() > 1 && first != sequence;
            if (!again || (by, in_term) == (process, term)) && !batch.foreign {
                let what = format!("{} was stored as {first} and as {sequence}", batch.location);
                self.violated(ExactlyOnce, what);
            }
            return;
        }
        // From here on only names matter.
        batch.records = Vec::new();
    }
}
