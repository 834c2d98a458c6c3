//! What a database must have after what happened to its queue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use buffer_core::format::{Codec, Manifest};
use buffer_core::{Location, Sequence};
use bytes::Bytes;

use super::violation::{Text, Violation};
use crate::{Applied, ProcessId, SimStore};

/// An entry that is in effect in a database.
///
/// ```
/// use buffer_sim::kit::{AppliedEntry, Oracle};
/// use buffer_sim::scenarios::queue::{Queue, manifest, one_by_one, produce};
///
/// let queue = Queue::new(1);
/// let oracle = Oracle::watch(&queue.store, &manifest());
/// let producer = queue.producer(&one_by_one());
/// let batches = queue.runtime.block_on(async {
///     produce(&producer, "one").await.watcher.await_durable().await?;
///     Ok::<_, Box<dyn std::error::Error>>(queue.drain().await)
/// })?;
///
/// // A journal has a row for each entry, in the order in which they take effect.
/// let mut journal = Vec::new();
/// for batch in batches {
///     let sequence = batch.sequence;
///     journal.extend(batch.entries.into_iter().map(|entry| AppliedEntry { sequence, entry }));
/// }
/// assert_eq!(journal, [AppliedEntry { sequence: 0, entry: "one".into() }]);
/// oracle.check(&journal)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedEntry {
    /// The sequence of the batch that it came in.
    pub sequence: u64,
    /// The entry.
    pub entry: Bytes,
}

/// Sees everything that a queue lists, and judges what a database has made of it.
///
/// [`check`](super::check) has one already; this is for a world that you write by hand. It
/// judges by what was stored, not by what somebody was told. Clones see the same.
///
/// ```
/// use buffer_core::Location;
/// use buffer_sim::kit::{AppliedEntry, Oracle, Violation};
/// use buffer_sim::scenarios::queue::{Queue, one_by_one, produce};
///
/// let queue = Queue::new(1);
/// let oracle = Oracle::watch(&queue.store, &Location::from("ingest/manifest"));
/// let producer = queue.producer(&one_by_one());
/// queue.runtime.block_on(async {
///     for entry in ["one", "two"] {
///         produce(&producer, entry).await.watcher.await_durable().await.expect("all is well");
///     }
/// });
///
/// let one = AppliedEntry { sequence: 0, entry: "one".into() };
/// let two = AppliedEntry { sequence: 1, entry: "two".into() };
/// assert_eq!(oracle.batches(), 2);
/// oracle.check(&[one.clone(), two.clone()]).expect("each is there once");
/// let repeated = oracle.check(&[one.clone(), one, two]).expect_err("one is there twice");
/// assert_eq!(repeated.sequence(), Some(0));
/// ```
#[derive(Clone)]
pub struct Oracle(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    codec: Codec,
    /// The entries of batches that were uploaded.
    uploaded: BTreeMap<Location, Vec<Bytes>>,
    /// Batches that were listed, by sequence.
    listed: BTreeMap<u64, Listed>,
    /// Their keys.
    known: BTreeSet<Location>,
    epoch: u64,
    /// The first sequence that is listed.
    first: u64,
}

/// What became of a queue.
pub(super) enum QueueEvent<'a> {
    /// A batch is listed; `again` if it was before.
    Listed { sequence: u64, entries: &'a [Bytes], again: bool },
    /// A consumer has taken over.
    TakenOver { epoch: u64 },
    /// What was before this sequence has left the queue.
    Dequeued { first: u64 },
}

impl fmt::Display for QueueEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed { sequence, entries, again } => {
                let entries: Vec<String> = entries.iter().map(|it| Text(it).to_string()).collect();
                let again = if *again { "again, as " } else { "" };
                write!(f, "lists {again}sequence {sequence}: {}", entries.join(", "))
            }
            Self::TakenOver { epoch } => write!(f, "takes the queue over, in epoch {epoch}"),
            Self::Dequeued { first } => write!(f, "dequeues all before sequence {first}"),
        }
    }
}

/// A batch that was listed.
struct Listed {
    entries: Vec<Bytes>,
    /// Its batch was listed before: the one repeat that version 1 of the format has. A consumer may drop it.
    again: bool,
}

impl Oracle {
    /// Watches the queue of this manifest. What was stored before is not seen.
    ///
    /// ```
    /// use buffer_sim::kit::Oracle;
    /// use buffer_sim::scenarios::queue::{Queue, manifest, one_by_one, produce};
    ///
    /// let queue = Queue::new(1);
    /// let producer = queue.producer(&one_by_one());
    /// let early = Oracle::watch(&queue.store, &manifest());
    /// let watcher = queue.runtime.block_on(produce(&producer, "one")).watcher;
    /// queue.runtime.block_on(watcher.await_durable())?;
    /// let late = Oracle::watch(&queue.store, &manifest());
    /// assert_eq!((early.batches(), late.batches()), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn watch(store: &SimStore, manifest: &Location) -> Self {
        Self::watch_and_tell(store, manifest, |_, _| {})
    }

    /// The same; calls `tell` with everything that becomes of the queue, and who did it.
    pub(super) fn watch_and_tell(
        store: &SimStore,
        manifest: &Location,
        mut tell: impl FnMut(Option<ProcessId>, QueueEvent<'_>) + Send + 'static,
    ) -> Self {
        let (oracle, manifest) = (Self(Arc::default()), manifest.clone());
        let seen = oracle.clone();
        store.observe(move |applied| {
            let by = applied.request.map(|request| request.process);
            seen.seen().observe(&manifest, applied, |event| tell(by, event));
        });
        oracle
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics while it holds the oracle")
    }

    /// Whether a database has every entry that was ever listed, each once and in order.
    ///
    /// # Errors
    ///
    /// The [`Violation`] that says most: first what should not be there, then what is not, then the order.
    pub fn check(&self, applied: &[AppliedEntry]) -> Result<(), Violation> {
        let seen = self.seen();
        let mut of: BTreeMap<u64, Vec<&Bytes>> = BTreeMap::new();
        for AppliedEntry { sequence, entry } in applied {
            of.entry(*sequence).or_default().push(entry);
        }
        for (sequence, found) in &of {
            let Some(listed) = seen.listed.get(sequence) else {
                let entry = Bytes::clone(found[0]);
                return Err(Violation::Foreign { sequence: *sequence, entry });
            };
            listed.check_no_more(*sequence, found)?;
        }
        for (sequence, listed) in &seen.listed {
            match of.get(sequence) {
                None if listed.again => {}
                found => listed.check_no_less(*sequence, found.map_or(&[], Vec::as_slice))?,
            }
        }
        seen.check_order(applied)
    }

    /// Whether everything that a producer's caller was told to be durable was ever listed.
    ///
    /// ```
    /// use buffer_sim::kit::{Oracle, ViolationKind};
    /// use buffer_sim::scenarios::queue::{Queue, manifest, one_by_one, produce};
    ///
    /// let queue = Queue::new(1);
    /// let oracle = Oracle::watch(&queue.store, &manifest());
    /// let producer = queue.producer(&one_by_one());
    /// let watcher = queue.runtime.block_on(produce(&producer, "one")).watcher;
    /// queue.runtime.block_on(watcher.await_durable())?;
    /// oracle.check_durable(&["one".into()])?;
    /// let never = oracle.check_durable(&["two".into()]).expect_err("nobody sent it");
    /// assert_eq!(never.kind(), ViolationKind::NotListed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Violation::NotListed`], which no consumer can be blamed for.
    pub fn check_durable(&self, durable: &[Bytes]) -> Result<(), Violation> {
        let mut listed: BTreeMap<Bytes, usize> = BTreeMap::new();
        for entry in self.seen().listed.values().flat_map(|listed| &listed.entries) {
            *listed.entry(entry.clone()).or_default() += 1;
        }
        for entry in durable {
            match listed.get_mut(entry) {
                Some(left) if *left > 0 => *left -= 1,
                Some(_) | None => return Err(Violation::NotListed { entry: entry.clone() }),
            }
        }
        Ok(())
    }

    /// How many batches were listed so far.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.seen().listed.len()
    }
}

impl Seen {
    fn observe(
        &mut self,
        manifest: &Location,
        applied: &Applied,
        mut tell: impl FnMut(QueueEvent<'_>),
    ) {
        let Some(written) = applied.written() else { return };
        if applied.location == *manifest {
            // What is no manifest is for whoever reads it to complain of.
            if let Ok(manifest) = Manifest::parse(manifest, written.bytes.clone()) {
                self.read(&manifest, &mut tell);
            }
        } else if applied.location.as_str().ends_with(".batch") {
            let entries = self.codec.decode_batch(&applied.location, &written.bytes, usize::MAX);
            self.uploaded.insert(applied.location.clone(), entries.unwrap_or_default());
        }
    }

    fn read(&mut self, manifest: &Manifest, tell: &mut impl FnMut(QueueEvent<'_>)) {
        let (epoch, first) = (manifest.epoch().0, manifest.first_sequence().0);
        if epoch > self.epoch {
            tell(QueueEvent::TakenOver { epoch });
        }
        if first > self.first {
            tell(QueueEvent::Dequeued { first });
        }
        (self.epoch, self.first) = (epoch, first);
        let next = self.listed.last_key_value().map_or(0, |(sequence, _)| sequence + 1);
        for entry in manifest.entries_from(Sequence(next)) {
            let entries = self.uploaded.get(&entry.location).cloned().unwrap_or_default();
            let (sequence, again) = (entry.sequence.0, !self.known.insert(entry.location));
            tell(QueueEvent::Listed { sequence, entries: &entries, again });
            self.listed.insert(sequence, Listed { entries, again });
        }
    }

    /// Whether the sequences rise; what is in them is known to be right.
    fn check_order(&self, applied: &[AppliedEntry]) -> Result<(), Violation> {
        let mut applied_before: Option<&AppliedEntry> = None;
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        for found in applied {
            let place = places.entry(found.sequence).or_default();
            let expected = self.listed.get(&found.sequence).and_then(|it| it.entries.get(*place));
            *place += 1;
            let falls = applied_before.is_some_and(|before| before.sequence > found.sequence);
            if falls || expected != Some(&found.entry) {
                let (sequence, entry) = (found.sequence, found.entry.clone());
                let after = applied_before.map_or(sequence, |before| before.sequence);
                return Err(Violation::OutOfOrder { sequence, entry, after });
            }
            applied_before = Some(found);
        }
        Ok(())
    }
}

impl Listed {
    fn check_no_more(&self, sequence: u64, found: &[&Bytes]) -> Result<(), Violation> {
        for entry in found {
            let is_same = |other: &&Bytes| *other == *entry;
            let is = found.iter().filter(|other| **other == *entry).count();
            let should_be = self.entries.iter().filter(is_same).count();
            let entry = Bytes::clone(entry);
            match should_be {
                0 => return Err(Violation::Foreign { sequence, entry }),
                _ if is > should_be => {
                    return Err(Violation::Repeated { sequence, entry, times: is - should_be + 1 });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_no_less(&self, sequence: u64, found: &[&Bytes]) -> Result<(), Violation> {
        let mut left: Vec<&Bytes> = found.to_vec();
        for entry in &self.entries {
            match left.iter().position(|other| *other == entry) {
                Some(place) => {
                    left.remove(place);
                }
                None => return Err(Violation::Lost { sequence, entry: entry.clone() }),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.seen();
        let listed = seen.listed.iter().map(|(sequence, listed)| {
            let entries: Vec<String> =
                listed.entries.iter().map(|entry| Text(entry).to_string()).collect();
            (sequence, entries)
        });
        f.debug_map().entries(listed).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::ViolationKind;

    fn oracle() -> Oracle {
        let oracle = Oracle(Arc::default());
        let batches: [(u64, &[&str], bool); 4] = [
            (3, &["a", "b"], false),
            (4, &["c"], false),
            (5, &["a", "b"], true),
            (6, &["d", "d"], false),
        ];
        for (sequence, entries, again) in batches {
            let entries = entries.iter().map(|entry| Bytes::copy_from_slice(entry.as_bytes()));
            oracle.seen().listed.insert(sequence, Listed { entries: entries.collect(), again });
        }
        oracle
    }

    fn applied(text: &str) -> Vec<AppliedEntry> {
        let words = text.split_whitespace().map(|word| {
            let (sequence, entry) = word.split_at(1);
            let sequence = sequence.parse().expect("it begins with a digit");
            AppliedEntry { sequence, entry: Bytes::copy_from_slice(entry.as_bytes()) }
        });
        words.collect()
    }

    #[test]
    fn each_way_of_being_wrong_has_its_name() {
        use ViolationKind::{Foreign, Lost, OutOfOrder, Repeated};
        for (found, kind) in [
            ("3a 3b 4c 6d 6d", None),
            ("3a 3b 4c 5a 5b 6d 6d", None),
            ("3a 3b 6d 6d", Some(Lost)),
            ("3a 3b 4c 6d", Some(Lost)),
            ("3a 3b 4c 5a 6d 6d", Some(Lost)),
            ("", Some(Lost)),
            ("3a 3b 3a 3b 4c 6d 6d", Some(Repeated)),
            ("3a 3b 4c 6d 6d 6d", Some(Repeated)),
            ("3a 3b 4c 5a 5b 5a 5b 6d 6d", Some(Repeated)),
            ("3b 3a 4c 6d 6d", Some(OutOfOrder)),
            ("4c 3a 3b 6d 6d", Some(OutOfOrder)),
            ("3a 4c 3b 6d 6d", Some(OutOfOrder)),
            ("3a 3b 4x 6d 6d", Some(Foreign)),
            ("3a 3b 4c 6d 6d 7e", Some(Foreign)),
        ] {
            let told = oracle().check(&applied(found)).err().map(|violation| violation.kind());
            assert_eq!(told, kind, "{found}");
        }
    }

    #[test]
    fn what_is_durable_and_not_listed_is_noticed() {
        let entries = |text: &str| text.chars().map(|it| Bytes::from(it.to_string())).collect();
        let check = |text: &str| {
            let durable: Vec<Bytes> = entries(text);
            oracle().check_durable(&durable)
        };
        assert_eq!(check("abcd"), Ok(()));
        assert_eq!(check("abcdx").map_err(|it| it.kind()), Err(ViolationKind::NotListed));
        assert_eq!(check("cc").map_err(|it| it.kind()), Err(ViolationKind::NotListed));
    }
}
