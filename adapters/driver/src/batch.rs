//! Batches as users see them.

use buffer_core as core;
use buffer_core::format::Metadata;
use buffer_core::{Location, Sequence};
use bytes::Bytes;

/// A batch, as a consumer hands it out.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let flush_interval = std::time::Duration::from_secs(60); // however slow the machine is
/// # let config = ProducerConfig { flush_interval, ..ProducerConfig::default() };
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// producer.produce(vec!["a".into(), "b".into()], "from one".into()).await?;
/// producer.produce(vec!["c".into()], "from another".into()).await?;
/// producer.flush().await?;
///
/// let batch = consumer.wait_batch().await?;
/// assert_eq!(batch.sequence, 0);
/// assert_eq!(batch.entries, ["a", "b", "c"]);
/// // Each item covers the entries from its own first one to the next item's.
/// let items = batch.metadata.iter().map(|item| (item.start_index, &item.payload[..]));
/// assert!(items.eq([(0, &b"from one"[..]), (2, b"from another")]));
/// # consumer.ack(batch.sequence).await?;
/// # consumer.close().await?;
/// # producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumedBatch {
    /// The entries, in the order in which they were submitted.
    pub entries: Vec<Bytes>,
    /// The batch's place in the queue; acknowledge it, and store it with the entries.
    pub sequence: u64,
    /// The batch's key in the store.
    pub location: String,
    /// What the submissions in it attached, and which entries each item covers.
    pub metadata: Vec<Metadata>,
}

/// A batch that is there to be fetched.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # for note in ["wanted", "not wanted"] {
/// #     producer.produce(vec!["entry".into()], note.into()).await?;
/// #     producer.flush().await?;
/// # }
/// # producer.close().await?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// let fetch = consumer.fetch_handle();
/// let mut fetched = Vec::new();
/// for descriptor in consumer.next_descriptors(10).await? {
///     // The manifest tells the metadata, before anything is transferred.
///     if descriptor.metadata.iter().any(|item| item.payload == "wanted") {
///         fetched.push(fetch.fetch(descriptor).await?.sequence);
///     }
/// }
/// assert_eq!(fetched, [0]);
/// consumer.ack_through(1).await?; // the other one is done with as well
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchDescriptor {
    /// The batch's place in the queue.
    pub sequence: u64,
    /// The batch's key in the store.
    pub location: String,
    /// What the submissions in it attached.
    pub metadata: Vec<Metadata>,
}

impl BatchDescriptor {
    pub(crate) fn with_entries(self, entries: Vec<Bytes>) -> ConsumedBatch {
        let Self { sequence, location, metadata } = self;
        ConsumedBatch { entries, sequence, location, metadata }
    }
}

impl From<core::BatchDescriptor> for BatchDescriptor {
    fn from(core: core::BatchDescriptor) -> Self {
        let core::BatchDescriptor { sequence, location, metadata } = core;
        Self { sequence: sequence.0, location: location.to_string(), metadata }
    }
}

impl From<core::ConsumedBatch> for ConsumedBatch {
    fn from(core: core::ConsumedBatch) -> Self {
        BatchDescriptor::from(core.descriptor).with_entries(core.entries)
    }
}

/// Where a consumer takes up a queue.
///
/// ```
/// use buffer_driver::Resume;
///
/// // The database has stored everything up to sequence 41.
/// let resume = Resume::after(Some(41));
/// assert!(!resume.accept_gap);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// The last sequence that was consumed; `None` starts at the first batch that is listed.
    pub last: Option<u64>,
    /// Go on although batches after `last` were dequeued: they are lost to this caller.
    pub accept_gap: bool,
    /// Go on although the queue never got to `last`: it is another queue, and all of it is new.
    pub accept_reset: bool,
}

impl Resume {
    /// Goes on after `last`, and refuses a queue that does not fit it.
    #[must_use]
    pub fn after(last: Option<u64>) -> Self {
        Self { last, ..Self::default() }
    }

    pub(crate) fn to_core(self) -> core::Resume {
        let Self { last, accept_gap, accept_reset } = self;
        core::Resume { last: last.map(Sequence), accept_gap, accept_reset }
    }
}

/// What [`Consumer::initialize`](crate::Consumer::initialize) did.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, MemoryStore, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let new = || buffer::Consumer::with_store(ConsumerConfig::default(), store.clone(), clock.clone());
/// let (first, second) = (new()?, new()?);
/// let taken = first.initialize(None).await?;
/// assert_eq!((taken.epoch, taken.previous), (1, 0));
/// let taken = second.initialize(None).await?;
/// assert_eq!((taken.epoch, taken.previous), (2, 1));
///
/// let error = first.next_batch().await.unwrap_err();
/// let told = "fenced: the consumer of epoch 1 was replaced by that of epoch 2";
/// assert_eq!(error.to_string(), told);
/// assert_eq!((first.epoch(), second.epoch()), (None, Some(2)));
/// # second.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakeOver {
    /// This consumer's epoch, higher than that of any before it.
    pub epoch: u64,
    /// The epoch that was found and is fenced now; zero if nobody had ever consumed the queue.
    pub previous: u64,
}

pub(crate) fn location_of(descriptor: &BatchDescriptor) -> Location {
    Location::new(descriptor.location.as_str())
}
