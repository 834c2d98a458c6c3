//! Whether everything that is listed is there, and whole.

use std::collections::{BTreeMap, BTreeSet};

use buffer_core::format::{FormatError, ManifestEntry};
use buffer_core::{ListedObject, Location, LocationError, Sequence, StoreError, batch_time};

use super::{InspectError, Inspector, LookError, Reading};
use crate::join;

/// How many batches are read at one time.
const READS: usize = 4;

/// How many problems are told; the rest are counted.
const MOST_PROBLEMS: usize = 1000;

/// How closely a queue is looked at.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::buffer_core::Condition;
/// use buffer_driver::{Depth, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store.clone(), clock)?;
/// let reading = inspector.read().await?;
/// let key = reading.entry(0).expect("it is listed").location;
/// let version = inspector.batch(&key).await?.object.version;
/// // Somebody overwrites the batch.
/// let _ = store.write(&key, vec!["no batch".into()], Condition::Version(version)).await;
///
/// assert!(inspector.verify(Depth::Exists).await?.is_sound(), "something is there");
/// assert!(!inspector.verify(Depth::Decodes).await?.is_sound(), "but no batch");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Whether each listed batch is there. Takes a listing, and a read for each batch that is not in it.
    #[default]
    Exists,
    /// Whether it decodes too, and agrees with its manifest entry. Reads every listed batch, a few at a time.
    Decodes,
}

/// What [`Inspector::verify`] found.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::Depth;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # for entries in [vec!["one".into(), "two".into()], vec!["three".into()]] {
/// #     producer.produce(entries, "".into()).await?;
/// #     producer.flush().await?;
/// # }
/// # producer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// let found = inspector.verify(Depth::Decodes).await?;
/// assert!(found.is_sound());
/// assert_eq!((found.batches, found.decoded, found.records), (2, 2, 3));
/// assert_eq!((found.first_sequence, found.next_sequence), (0, 2));
/// assert_eq!(found.orphans, 0, "nobody has left anything");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Verification {
    /// The epoch when the manifest was read.
    pub epoch: u64,
    /// The sequence of the oldest batch that was listed then.
    pub first_sequence: u64,
    /// The sequence that the next batch would have got.
    pub next_sequence: u64,
    /// Batches that were listed, and that this is about.
    pub batches: u64,
    /// Those that were dequeued before they were looked at: no problem, and nothing to say of them.
    pub dequeued: u64,
    /// Those that were read and decoded.
    pub decoded: u64,
    /// The records in those.
    pub records: u64,
    /// Batches under the prefix that nobody lists: uploaded and not listed yet, dequeued and not deleted yet, or
    /// left over. The collector deletes them in time; see [`Inspector::sweep`].
    pub orphans: u64,
    /// How many bytes these take, as far as the listing says.
    pub orphan_bytes: u64,
    /// How many bytes the listed batches under the prefix take, as far as the listing says.
    pub batch_bytes: u64,
    /// What is wrong, by sequence; a thousand problems at the most.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more_problems: u64,
}

/// What lies under a queue's prefix, by a listing.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::Store;
/// use buffer_driver::buffer_core::Condition;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store.clone(), clock)?;
/// // A producer uploads a batch, and dies before it is listed.
/// let key = "ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch".into();
/// let _ = store.write(&key, vec!["a batch".into()], Condition::Absent).await;
///
/// let reading = inspector.read().await?;
/// let objects = inspector.objects(&reading).await?;
/// assert_eq!((objects.orphans, objects.orphan_bytes), (1, 7));
/// let listed = inspector.batch(&reading.entry(0).expect("it is listed").location).await?;
/// assert_eq!(objects.batch_bytes, listed.object.bytes.len() as u64);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueObjects {
    /// How many bytes the listed batches take, as far as the listing says. Those that lie elsewhere are left out.
    pub batch_bytes: u64,
    /// Batches that nobody lists; see [`Verification::orphans`].
    pub orphans: u64,
    /// How many bytes these take, as far as the listing says.
    pub orphan_bytes: u64,
}

/// Something that is wrong with a queue.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::{Depth, Problem, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store.clone(), clock)?;
/// let key = inspector.read().await?.entry(0).expect("it is listed").location;
/// store.delete(vec![key.clone()]).await; // somebody tidies up by hand
///
/// let found = inspector.verify(Depth::Exists).await?;
/// let [problem @ Problem::Missing { .. }] = &found.problems[..] else { panic!("{found:?}") };
/// assert_eq!(problem.sequence().0, 0);
/// assert_eq!(problem.to_string(), format!("batch 0 is listed, but there is no object {key}"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A listed batch is not in the store. Its entries are lost; a consumer stops before it.
    #[error("batch {sequence} is listed, but there is no object {location}")]
    Missing {
        /// Its sequence.
        sequence: Sequence,
        /// Its key.
        location: Location,
    },
    /// A batch does not decode, or does not agree with its manifest entry. A consumer stops before it.
    #[error("batch {sequence}: {source}")]
    Corrupt {
        /// Its sequence.
        sequence: Sequence,
        /// What is wrong, and where.
        source: FormatError,
    },
    /// The manifest lists a key that no store can hold.
    #[error("batch {sequence}: {source}")]
    BadLocation {
        /// Its sequence.
        sequence: Sequence,
        /// What is wrong with the key.
        source: LocationError,
    },
    /// One batch is listed twice. A consumer of this project drops the second; one that restarts in between does not.
    #[error("batch {sequence} is the same object as batch {first}: {location}")]
    Repeated {
        /// Its sequence.
        sequence: Sequence,
        /// The lower sequence under which it is listed as well.
        first: Sequence,
        /// Its key.
        location: Location,
    },
    /// A batch could not be read, so that nothing is known of it. It may work later.
    #[error("batch {sequence} could not be looked at: {source}")]
    Unreadable {
        /// Its sequence.
        sequence: Sequence,
        /// What the store said.
        source: StoreError,
    },
}

impl Problem {
    /// The batch that it is about.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        match self {
            Self::Missing { sequence, .. }
            | Self::Corrupt { sequence, .. }
            | Self::BadLocation { sequence, .. }
            | Self::Repeated { sequence, .. }
            | Self::Unreadable { sequence, .. } => *sequence,
        }
    }
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, problem: Problem) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more_problems += 1;
        }
    }
}

/// What one read of a batch came to.
enum Read {
    /// It is there; so many records, if it was decoded.
    Sound(Option<u64>),
    Missing(Problem),
    Wrong(Problem),
}

impl Inspector {
    /// Looks whether every batch that is listed is there, and decodes if so asked, and whether any is listed twice.
    ///
    /// Gaps between sequences are no matter of this: a manifest that has one is corrupt. Consumers and producers
    /// may go on meanwhile: what they dequeue is left out, and what they list is not asked about.
    /// Decoding is done on the calling task, and holds four batches at the most.
    ///
    /// # Errors
    ///
    /// [`InspectError`] when the manifest cannot be read or the objects cannot be listed.
    pub async fn verify(&self, depth: Depth) -> Result<Verification, InspectError> {
        let reading = self.read().await?;
        let manifest = &reading.manifest;
        let mut found = Verification {
            epoch: manifest.epoch().0,
            first_sequence: manifest.first_sequence().0,
            next_sequence: manifest.next_sequence().0,
            batches: manifest.len(),
            ..Verification::default()
        };
        let (there, unlisted) = self.listed_and_not(&reading, &mut found).await?;
        let mut missing = Vec::new();
        let mut entries = self.to_read(&reading, depth, &there, &mut found).into_iter().peekable();
        while entries.peek().is_some() {
            let some: Vec<_> = entries.by_ref().take(READS).collect();
            for read in join::all(some.iter().map(|entry| self.look_at(entry, depth))).await {
                match read {
                    Read::Sound(records) => {
                        found.decoded += u64::from(records.is_some());
                        found.records += records.unwrap_or(0);
                    }
                    Read::Missing(problem) => missing.push(problem),
                    Read::Wrong(problem) => found.add(problem),
                }
            }
        }
        self.settle(&reading, missing, unlisted, &mut found).await?;
        found.problems.sort_by_key(Problem::sequence);
        Ok(found)
    }

    /// Lists what lies under the queue's prefix, a request for each thousand objects or so.
    ///
    /// # Errors
    ///
    /// [`InspectError`].
    pub async fn objects(&self, reading: &Reading) -> Result<QueueObjects, InspectError> {
        let mut found = Verification::default();
        let (_, unlisted) = self.listed_and_not(reading, &mut found).await?;
        self.settle(reading, Vec::new(), unlisted, &mut found).await?;
        let Verification { batch_bytes, orphans, orphan_bytes, .. } = found;
        Ok(QueueObjects { batch_bytes, orphans, orphan_bytes })
    }

    /// The objects under the prefix: which listed ones are there, and which batches are not listed.
    async fn listed_and_not(
        &self,
        reading: &Reading,
        found: &mut Verification,
    ) -> Result<(BTreeSet<Location>, Vec<ListedObject>), InspectError> {
        let manifest = &reading.manifest;
        let listed: BTreeSet<_> =
            manifest.locations_from(manifest.first_sequence()).map(|(_, key)| key).collect();
        let (mut there, mut unlisted) = (BTreeSet::new(), Vec::new());
        let mut cursor = None;
        loop {
            let page = self.list(cursor.clone()).await.map_err(InspectError::Store)?;
            for object in page.objects {
                if listed.contains(&object.location) {
                    // A listing may show a key twice.
                    let bytes = object.bytes.unwrap_or(0);
                    found.batch_bytes += if there.insert(object.location) { bytes } else { 0 };
                } else if batch_time(&self.prefix, &object.location).is_some() {
                    unlisted.push(object);
                }
            }
            if page.next.is_none() || page.next == cursor {
                return Ok((there, unlisted));
            }
            cursor = page.next;
        }
    }

    /// The entries whose batches are to be read. What is wrong with an entry alone is noted at once.
    fn to_read(
        &self,
        reading: &Reading,
        depth: Depth,
        there: &BTreeSet<Location>,
        found: &mut Verification,
    ) -> Vec<ManifestEntry> {
        let mut firsts: BTreeMap<Location, Sequence> = BTreeMap::new();
        let mut to_read = Vec::new();
        for entry in reading.manifest.entries() {
            let (sequence, location) = (entry.sequence, entry.location.clone());
            if let Err(source) = location.validate() {
                found.add(Problem::BadLocation { sequence, source });
            } else if let Some(&first) = firsts.get(&location) {
                found.add(Problem::Repeated { sequence, first, location });
            } else {
                let is_wanted = depth == Depth::Decodes || !there.contains(&location);
                firsts.insert(location, sequence);
                if is_wanted {
                    to_read.push(entry);
                }
            }
        }
        to_read
    }

    async fn look_at(&self, entry: &ManifestEntry, depth: Depth) -> Read {
        let (sequence, location) = (entry.sequence, &entry.location);
        match self.batch(location).await {
            Err(LookError::Missing { .. }) => {
                Read::Missing(Problem::Missing { sequence, location: location.clone() })
            }
            Err(LookError::Store(source)) => Read::Wrong(Problem::Unreadable { sequence, source }),
            Ok(_) if depth == Depth::Exists => Read::Sound(None),
            Ok(batch) => match batch.records_of(&entry.metadata) {
                Ok(records) => Read::Sound(Some(records.len() as u64)),
                Err(source) => Read::Wrong(Problem::Corrupt { sequence, source }),
            },
        }
    }

    /// Reads the manifest once more where something looks wrong: what was dequeued may be deleted, and what
    /// was listed meanwhile is no orphan.
    async fn settle(
        &self,
        reading: &Reading,
        missing: Vec<Problem>,
        mut unlisted: Vec<ListedObject>,
        found: &mut Verification,
    ) -> Result<(), InspectError> {
        if missing.is_empty() && unlisted.is_empty() {
            return Ok(());
        }
        let later = self.read_after(reading).await?;
        let manifest = later.as_ref().map_or(&reading.manifest, |later| &later.manifest);
        for problem in missing {
            if problem.sequence() < manifest.first_sequence() {
                found.dequeued += 1;
            } else {
                found.add(problem);
            }
        }
        let new = manifest.locations_from(reading.manifest.next_sequence());
        let new: BTreeSet<_> = new.map(|(_, key)| key).collect();
        unlisted.retain(|object| !new.contains(&object.location));
        // A listing may show a key twice.
        unlisted.sort_by(|one, other| one.location.cmp(&other.location));
        unlisted.dedup_by(|one, other| one.location == other.location);
        found.orphans = unlisted.len() as u64;
        found.orphan_bytes = unlisted.iter().filter_map(|object| object.bytes).sum();
        Ok(())
    }
}
