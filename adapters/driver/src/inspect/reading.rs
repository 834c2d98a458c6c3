//! One reading of the manifest, and what it tells.

use std::time::Duration;

use buffer_core::format::{Manifest, ManifestEntry};
use buffer_core::{Location, Object, Sequence, UnixMillis, Version, batch_time};

use super::InspectError;

/// A manifest as it was read: contents, version and time of one answer.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "a note".into()).await?;
/// # producer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// let reading = inspector.read().await?;
/// assert_eq!(reading.manifest.len(), 1);
/// let entry = reading.entry(0).expect("it is listed");
/// assert_eq!(entry.metadata[0].payload, "a note");
/// assert_eq!(reading.entry_at(&entry.location), Some(entry));
/// assert_eq!(reading.entry(1), None);
///
/// assert!(inspector.read_after(&reading).await?.is_none(), "nothing has changed since");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reading {
    /// The contents.
    pub manifest: Manifest,
    /// What the store calls this state of it.
    pub version: Version,
    /// When it was written, by the store's own clock; `None` where the store does not say.
    pub last_modified: Option<UnixMillis>,
    /// When it was read, by the inspector's clock.
    pub read_at: UnixMillis,
}

impl Reading {
    pub(super) fn of(
        location: &Location,
        object: Object,
        earlier: &Manifest,
        read_at: UnixMillis,
    ) -> Result<Self, InspectError> {
        let Object { bytes, version, last_modified } = object;
        let manifest = Manifest::parse_after(location, bytes, earlier)
            .map_err(InspectError::ManifestCorrupt)?;
        Ok(Self { manifest, version, last_modified, read_at })
    }

    /// The entry with this sequence, if it is listed.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Option<ManifestEntry> {
        let sequence = Sequence(sequence);
        let found = self.manifest.entries_from(sequence).next();
        found.filter(|entry| entry.sequence == sequence)
    }

    /// The first entry that lists this key.
    #[must_use]
    pub fn entry_at(&self, location: &Location) -> Option<ManifestEntry> {
        let mut keys = self.manifest.locations_from(self.manifest.first_sequence());
        let (sequence, _) = keys.find(|(_, key)| key == location)?;
        self.entry(sequence.0)
    }
}

/// What a manifest tells of its queue.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use buffer_driver::{ConsumerConfig, InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ConsumerConfig::default();
/// # let consumer = buffer::Consumer::with_store(config, store.clone(), clock.clone())?;
/// # consumer.initialize(None).await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// // Somebody has taken over a queue that is empty.
/// let status = inspector.status(&inspector.read().await?);
/// assert_eq!((status.epoch, status.depth, status.next_sequence), (1, 0, 0));
/// assert_eq!((status.oldest.as_ref(), status.lag()), (None, Some(Duration::ZERO)));
/// assert!(!status.manifest_is_large());
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// When it was taken, by the inspector's clock.
    pub taken_at: UnixMillis,
    /// The epoch of whoever consumes the queue; zero if nobody ever has.
    pub epoch: u64,
    /// The sequence of the oldest batch; `next_sequence` if there is none.
    pub first_sequence: u64,
    /// The sequence that the next batch will get.
    pub next_sequence: u64,
    /// How many batches are listed.
    pub depth: u64,
    /// How many bytes the manifest takes: so many are written with each commit and each dequeue.
    pub manifest_bytes: u64,
    /// When it was written, by the store's own clock; `None` where the store does not say.
    pub last_modified: Option<UnixMillis>,
    /// The batch that has waited longest.
    pub oldest: Option<OldestBatch>,
}

/// The batch that has waited longest.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// let handle = producer.produce(vec!["one".into()], "".into()).await?;
/// producer.flush().await?;
///
/// let status = inspector.status(&inspector.read().await?);
/// assert_eq!(status.lag(), status.oldest.as_ref().and_then(|oldest| oldest.age));
/// let oldest = status.oldest.expect("one waits");
/// assert_eq!(oldest.sequence, 0);
/// assert_eq!(oldest.ingestion_time.map(|time| time.0), Some(handle.ingestion_time_ms));
/// # producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OldestBatch {
    /// Its sequence.
    pub sequence: u64,
    /// Its key.
    pub location: Location,
    /// When its first entry was submitted, by its producer's clock; when it was named, if no metadata tells, and
    /// `None` if its name does not either.
    pub ingestion_time: Option<UnixMillis>,
    /// How long ago that was when the status was taken; zero for what lies ahead of the inspector's clock.
    pub age: Option<Duration>,
}

impl QueueStatus {
    /// From how many bytes on rewriting the manifest starts to cost: a producer that commits ten times a second
    /// writes 10 MiB a second for the manifest alone.
    pub const LARGE_MANIFEST_BYTES: u64 = 1 << 20;

    pub(super) fn of(reading: &Reading, prefix: &Location, wall: UnixMillis) -> Self {
        let manifest = &reading.manifest;
        let oldest = manifest.entries().next().map(|entry| OldestBatch::of(entry, prefix, wall));
        Self {
            taken_at: wall,
            epoch: manifest.epoch().0,
            first_sequence: manifest.first_sequence().0,
            next_sequence: manifest.next_sequence().0,
            depth: manifest.len(),
            manifest_bytes: manifest.encoded_len() as u64,
            last_modified: reading.last_modified,
            oldest,
        }
    }

    /// How long the oldest entry has waited: zero for an empty queue, `None` if nothing tells when it was submitted.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.oldest.as_ref().map_or(Some(Duration::ZERO), |oldest| oldest.age)
    }

    /// Whether the manifest is so large that rewriting it costs; see [`LARGE_MANIFEST_BYTES`](Self::LARGE_MANIFEST_BYTES).
    #[must_use]
    pub const fn manifest_is_large(&self) -> bool {
        self.manifest_bytes >= Self::LARGE_MANIFEST_BYTES
    }
}

impl OldestBatch {
    fn of(entry: ManifestEntry, prefix: &Location, wall: UnixMillis) -> Self {
        let told = entry.metadata.iter().map(|item| UnixMillis(item.ingestion_time_ms)).min();
        let ingestion_time = told.or_else(|| batch_time(prefix, &entry.location));
        let age = ingestion_time.map(|time| wall.saturating_since(time));
        Self { sequence: entry.sequence.0, location: entry.location, ingestion_time, age }
    }
}
