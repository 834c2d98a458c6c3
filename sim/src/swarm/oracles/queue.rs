//! The store's bytes: every write and every deletion, as it takes effect.

use buffer_core::Location;
use bytes::Bytes;

use super::raw::{self, RawEntry, RawManifest};
use super::{Batch, BatchNumber, Oracles, Role};
use crate::swarm::Invariant::{
    Acks, Agreement, DurableAck, Fencing, NoPhantom, NoRepeats, SafeCollection, Sequences,
};
use crate::swarm::exemption::Exemption;
use crate::swarm::foreign;
use crate::{Applied, Change, ProcessId, Requester};

/// How many characters a ULID has.
const ULID: usize = 26;

impl Oracles {
    /// Whether this is the key of a batch of the queue that is judged.
    pub(super) fn is_batch(&self, location: &Location) -> bool {
        let name = location.as_str().strip_prefix(&self.rules.prefix);
        let name = name.and_then(|rest| rest.strip_prefix('/')?.strip_suffix(".batch"));
        name.is_some_and(|name| {
            // Crockford's digits, in upper case.
            let is_digit = |byte: u8| match byte {
                b'I' | b'L' | b'O' | b'U' => false,
                _ => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
            };
            name.len() == ULID && name.bytes().all(is_digit)
        })
    }

    /// How many batches are listed.
    pub(crate) const fn backlog(&self) -> u64 {
        self.manifest.count
    }

    /// Something took effect in the store.
    pub(crate) fn applied(&mut self, applied: &Applied) {
        let by = applied.request;
        if by.is_none() && applied.location == self.rules.manifest {
            self.replaced_at = self.totals.requests;
        }
        // Sent before an operator came by, and landing on a version that came back with him.
        self.lands_late = applied.request.is_some_and(|request| request.number <= self.replaced_at);
        match &applied.change {
            Change::Written(written) => {
                let told = written.last_modified.map(|told| told.0);
                let now = told
                    .unwrap_or_else(|| i64::try_from(applied.time.as_millis()).unwrap_or(i64::MAX));
                self.written(by, &applied.location, &written.bytes, now);
            }
            Change::Deleted => self.deleted(by.map(|by| by.process), &applied.location),
        }
    }

    /// An object was written. `by` is nobody when it was an operator; `now` is the store's clock.
    pub(crate) fn written(
        &mut self,
        request: Option<Requester>,
        location: &Location,
        bytes: &Bytes,
        now: i64,
    ) {
        let by = request.map(|request| request.process);
        if *location == self.rules.manifest {
            self.manifest_written(request, bytes, now);
        } else if self.is_batch(location) {
            self.batch_written(by, location, bytes, now);
        } else if location.as_str().ends_with(".batch")
            && let Some(process) = by
        {
            // A manifest elsewhere is who was told a wrong path.
            let what = format!("{process} wrote {location}, where nobody looks for it");
            self.violated(DurableAck, what);
        }
    }

    fn batch_written(
        &mut self,
        by: Option<ProcessId>,
        location: &Location,
        bytes: &Bytes,
        now: i64,
    ) {
        if let Some(&known) = self.by_location.get(location) {
            if !self.batches[known].deleted {
                // Batches are written once; a second time is for stores that ignore conditions.
                self.violated(Agreement, format!("{location} was written over"));
            }
            return;
        }
        let foreign = by.is_none_or(|by| self.role(by) == Some(Role::Foreign));
        let records = raw::records(&mut self.codec, location, bytes).unwrap_or_else(|| {
            self.violated(NoPhantom, format!("{location} is no batch"));
            Vec::new()
        });
        self.totals.largest_batch = self.totals.largest_batch.max(bytes.len() as u64);
        self.by_location.insert(location.clone(), self.batches.len());
        self.batches.push(Batch {
            location: location.clone(),
            foreign,
            uploaded: now,
            records,
            metadata: Vec::new(),
            places: Vec::new(),
            deleted: false,
            lost: false,
            handed: Vec::new(),
            stored: None,
        });
    }

    fn manifest_written(&mut self, request: Option<Requester>, bytes: &Bytes, now: i64) {
        let Some(new) = RawManifest::read(bytes) else {
            return self.violated(Sequences, format!("{request:?} wrote what is no manifest"));
        };
        let Some(Requester { number, process: by }) = request else {
            return self.replaced(new, now);
        };
        let old = std::mem::replace(&mut self.manifest, new.clone());
        let base_modified = std::mem::replace(&mut self.manifest_modified, now);
        self.check_base(by, number, &old);
        let (before, after) =
            ((old.first(), old.next, old.epoch), (new.first(), new.next, new.epoch));
        if let Some(life) = self.life(by) {
            // Two may take over with the same bytes, where a store ignores the condition of the second.
            let known = life.swaps.iter().find(|(swap, _)| *swap == number);
            if after.2 > known.map_or(before.2, |(_, seen)| seen.2) {
                life.spending.forget_fetches();
            }
        }
        let rises = after.0 >= before.0 && after.1 >= before.1 && after.2 >= before.2;
        if !rises || after == before {
            return self.violated(Sequences, format!("{by}: {before:?} became {after:?}"));
        }
        self.totals.swaps += 1;
        self.check_writer(by, before, after);
        let kept = old.without((after.0 - before.0).min(old.count)).unwrap_or_default();
        let Some(added) = new.after(&kept) else {
            let invariant = self.blame(by, Agreement);
            return self.violated(invariant, format!("{by} changed entries that were listed"));
        };
        let Some(entries) = raw::entries(added) else {
            return self.violated(Sequences, format!("{by} wrote entries that are none"));
        };
        if !entries.is_empty() {
            self.listed_together(by, entries.iter().map(RawEntry::name));
        }
        let mut expected = before.1.max(after.0);
        for entry in entries {
            if entry.sequence != expected {
                let what = format!("{by} wrote {} where {expected} comes", entry.sequence);
                return self.violated(Sequences, what);
            }
            expected += 1;
            self.listed(by, entry, base_modified);
        }
        if expected != after.1 {
            self.violated(Sequences, format!("{by}: {} is next after {expected}", after.1));
        }
        if let Some(life) = self.life(by) {
            life.written = after;
        }
    }

    /// Nobody goes on from a manifest that is older than the one that it knew when it sent its swap.
    fn check_base(&mut self, by: ProcessId, number: u64, old: &RawManifest) {
        let base = (old.first(), old.next, old.epoch);
        let Some(life) = self.life(by) else { return };
        let sent = life.swaps.iter().find(|(sent, _)| *sent == number);
        let seen = sent.map_or((0, 0, 0), |(_, seen)| *seen);
        if base.0 < seen.0 || base.1 < seen.1 || base.2 < seen.2 {
            let what = format!("{by} had seen {seen:?}, and went on from {base:?}");
            // Only what grew again before anybody looked could not be told.
            if !self.is_exempt(Exemption::UndetectableFlips) && !self.lands_late {
                self.violated_without_excuse(Sequences, what);
            }
        }
    }

    /// Producers append; of the consumers, the one that raised the epoch last dequeues.
    fn check_writer(&mut self, by: ProcessId, before: (u64, u64, u64), after: (u64, u64, u64)) {
        let (dequeued, appended, raised) =
            (after.0 > before.0, after.1 > before.1, after.2 > before.2);
        match self.role(by) {
            Some(Role::Producer { .. } | Role::Foreign) => {
                if dequeued || raised {
                    let what = format!("producer {by}: dequeued {dequeued}, raised {raised}");
                    self.violated(Fencing, what);
                }
            }
            Some(Role::Consumer { .. }) | None => {
                if appended {
                    self.violated(Fencing, format!("consumer {by} appended"));
                }
                if raised {
                    self.owners.insert(after.2, by);
                    self.totals.raised += 1;
                    if dequeued {
                        self.violated(Fencing, format!("{by} dequeued while it took over"));
                    }
                } else if dequeued {
                    self.check_dequeue(by, after);
                }
            }
        }
    }

    fn check_dequeue(&mut self, by: ProcessId, after: (u64, u64, u64)) {
        let owner = self.owners.get(&after.2).copied();
        if owner != Some(by) {
            let what = format!("{by} dequeued under epoch {}, which is of {owner:?}", after.2);
            return self.violated(Fencing, what);
        }
        // Whoever resumed may dequeue before its caller is told that it took over.
        let acked = self.life(by).and_then(|life| life.acked.max(life.resumed));
        if acked.is_none_or(|acked| after.0 > acked + 1) {
            let what = format!("{by} dequeued all before {}, acknowledged is {acked:?}", after.0);
            self.violated(Acks, what);
        }
    }

    /// A batch gets a place. `base_modified` is when the manifest before was written.
    fn listed(&mut self, by: ProcessId, entry: RawEntry, base_modified: i64) {
        let location = entry.name();
        let Some(&number) = self.by_location.get(location) else {
            self.places.push_back(BatchNumber::MAX);
            let what = format!("{location} is listed as {} and was never stored", entry.sequence);
            return self.violated(DurableAck, what);
        };
        self.places.push_back(number);
        let batch = &self.batches[number];
        let foreign = batch.foreign;
        if batch.deleted && !foreign && !batch.lost {
            let what = format!("{location} is listed as {} and was deleted", entry.sequence);
            self.violated(SafeCollection, what);
        }
        let age = base_modified - self.batches[number].uploaded;
        let grace = i64::try_from((self.rules.grace + self.rules.time_grain).as_millis());
        let late = grace.is_ok_and(|grace| age > grace);
        if late && foreign {
            // Nothing protects it: a deletion that was decided before may still come.
            self.batches[number].lost = true;
        } else if late && !self.is_exempt(Exemption::FrozenClocks) {
            let what = format!("{by} listed {location} when it could have been collected");
            self.violated(SafeCollection, what);
        }
        if let Some(&earlier) = self.batches[number].places.last() {
            // Still listed: nobody could take it for lost.
            if earlier >= self.manifest.first() && !foreign {
                let what = format!("{location} is listed as {earlier} and as {}", entry.sequence);
                self.violated(NoRepeats, what);
            }
            self.batches[number].places.push(entry.sequence);
            self.totals.listed_again += 1;
            return;
        }
        self.totals.batches += 1;
        let batch = &mut self.batches[number];
        batch.places.push(entry.sequence);
        // Copied, so that a batch does not keep the whole manifest that listed it.
        batch.metadata = entry.metadata;
        for item in &mut batch.metadata {
            item.payload = Bytes::copy_from_slice(&item.payload);
        }
        if !foreign {
            self.submissions_listed(by, number);
        }
    }

    /// An operator wrote the manifest: from here on the queue is another one.
    fn replaced(&mut self, new: RawManifest, now: i64) {
        let entries = new.after(&[]).and_then(raw::entries).unwrap_or_default();
        for batch in self.batches.iter_mut() {
            batch.lost |= !batch.places.is_empty() && batch.stored.is_none();
        }
        self.places_from = new.first();
        self.places.clear();
        for entry in entries {
            let number = self.by_location.get(entry.name()).copied();
            if let Some(number) = number {
                self.batches[number].lost = false;
                self.batches[number].places.push(entry.sequence);
            }
            self.places.push_back(number.unwrap_or(BatchNumber::MAX));
        }
        self.owners.clear();
        self.last_stored = None;
        self.manifest = new;
        self.manifest_modified = now;
    }

    /// An object was deleted.
    pub(crate) fn deleted(&mut self, by: Option<ProcessId>, location: &Location) {
        if *location == self.rules.manifest {
            return match by {
                None => self.replaced(RawManifest::absent(), 0),
                Some(by) => self.violated(SafeCollection, format!("{by} deleted the manifest")),
            };
        }
        let Some(by) = by else {
            if let Some(&number) = self.by_location.get(location) {
                self.batches[number].deleted = true;
                self.batches[number].lost = true;
            }
            return;
        };
        let Some(&number) = self.by_location.get(location) else {
            // Nothing was listed that could have told it whose the prefix is.
            let other = format!("{}/", foreign::OTHER_PREFIX);
            let could_not_tell = self.life(by).is_some_and(|life| life.shown_empty);
            if could_not_tell && location.as_str().starts_with(&other) {
                return;
            }
            return self
                .violated(SafeCollection, format!("{by} deleted {location}, a foreign key"));
        };
        self.batches[number].deleted = true;
        self.totals.collected += 1;
        let batch = &self.batches[number];
        let listed = batch.places.last().is_some_and(|place| *place >= self.manifest.first());
        if listed && !batch.lost {
            let what = format!("{by} deleted {location}, which is listed as {:?}", batch.places);
            return self.violated(SafeCollection, what);
        }
        if self.manifest.next == 0 {
            let what = format!("{by} deleted {location} for a queue that never had an entry");
            return self.violated(SafeCollection, what);
        }
        let age = self.manifest_modified - batch.uploaded;
        let grace = i64::try_from(self.rules.grace.as_millis()).unwrap_or(i64::MAX);
        let grain = i64::try_from(self.rules.time_grain.as_millis()).unwrap_or(0);
        if age + grain <= grace && !self.is_exempt(Exemption::SmallerGrace) {
            let what = format!("{by} deleted {location}, which could still be listed: {age} ms");
            self.violated(SafeCollection, what);
        }
    }
}
