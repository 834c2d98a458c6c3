//! Fetching batches by hand.

use std::time::Duration;

use buffer_core::format::{self, FormatError};
use buffer_core::{Location, ReadOutcome, StoreError, StoreErrorKind, StoreOperation};
use bytes::Bytes;
use tracing::Instrument;

use crate::batch::{BatchDescriptor, ConsumedBatch, location_of};
use crate::codecs;
use crate::host::{self, Host};

/// Fetches batches by their descriptors, from as many tasks as its caller likes.
///
/// It holds no cursor and knows nothing of epochs: what it was handed before
/// its consumer was fenced it still fetches, as long as the object is there.
/// Each call is one request; nothing is tried again.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = ProducerConfig { store: "memory:doc fetch".into(), ..ProducerConfig::default() };
/// # let producer = buffer::Producer::new(config, Arc::new(SystemClock))?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// # let config = ConsumerConfig { store: "memory:doc fetch".into(), ..ConsumerConfig::default() };
/// # let consumer = buffer::Consumer::new(config, Arc::new(SystemClock))?;
/// consumer.initialize(None).await?;
/// let fetch = consumer.fetch_handle();
/// for descriptor in consumer.next_descriptors(10).await? {
///     // Or in a task of its own, with a clone of the handle.
///     let batch = fetch.fetch(descriptor).await?;
///     assert_eq!(batch.entries, ["one"]);
///     consumer.ack(batch.sequence).await?;
/// }
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FetchHandle {
    host: Host,
    manifest: Location,
    limit: usize,
    timeout: Duration,
}

/// A batch that could not be fetched.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::{FetchError, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store.clone(), clock)?;
/// # consumer.initialize(None).await?;
/// let descriptor = consumer.next_descriptors(1).await?.remove(0);
/// let key = descriptor.location.clone();
/// store.delete(vec![key.as_str().into()]).await; // somebody tidies up by hand
///
/// let error = consumer.fetch_handle().fetch(descriptor).await.unwrap_err();
/// assert!(matches!(error, FetchError::Missing { sequence: 0, .. }));
/// assert_eq!(error.to_string(), format!("batch 0: there is no object {key}"));
/// assert!(!error.is_retryable(), "it does not come back");
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no such object.
    #[error("batch {sequence}: there is no object {location}")]
    Missing {
        /// The batch's sequence.
        sequence: u64,
        /// The batch's key.
        location: String,
    },
    /// The object is not what it should be.
    #[error("batch {sequence}: {source}")]
    Corrupt {
        /// The batch's sequence.
        sequence: u64,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The store failed.
    #[error("batch {sequence}: {source}")]
    Store {
        /// The batch's sequence.
        sequence: u64,
        /// What the store said.
        source: StoreError,
    },
}

impl FetchError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.is_retryable(),
            Self::Missing { .. } | Self::Corrupt { .. } => false,
        }
    }
}

impl FetchHandle {
    pub(crate) const fn new(
        host: Host,
        manifest: Location,
        limit: usize,
        timeout: Duration,
    ) -> Self {
        Self { host, manifest, limit, timeout }
    }

    /// Fetches and opens a batch. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`FetchError`] says which batch, and whether trying again makes sense.
    pub async fn fetch(&self, descriptor: BatchDescriptor) -> Result<ConsumedBatch, FetchError> {
        let bytes = self.fetch_raw(&descriptor).await?;
        let batch = self.decode(descriptor, &bytes)?;
        self.host.metrics.opened(1, batch.entries.len() as u64, bytes.len() as u64);
        Ok(batch)
    }

    fn span(&self, location: &Location) -> tracing::Span {
        tracing::debug_span!("fetch", queue = %self.host.metrics.queue(), %location)
    }

    /// Fetches a batch object's bytes without opening them. Cancel-safe.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
    /// # let config = ProducerConfig::default();
    /// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
    /// # producer.produce(vec!["one".into()], "".into()).await?;
    /// # producer.close().await?;
    /// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
    /// # consumer.initialize(None).await?;
    /// # let descriptor = consumer.next_descriptors(1).await?.remove(0);
    /// let fetch = consumer.fetch_handle();
    /// let bytes = fetch.fetch_raw(&descriptor).await?; // keep them, or send them on
    /// let batch = fetch.decode(descriptor, &bytes)?; // where computing disturbs nobody
    /// assert_eq!(batch.entries, ["one"]);
    /// # consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fetch`](Self::fetch), but never [`FetchError::Corrupt`].
    pub async fn fetch_raw(&self, descriptor: &BatchDescriptor) -> Result<Bytes, FetchError> {
        let sequence = descriptor.sequence;
        let location = location_of(descriptor);
        let request = self.host.fetch(&location).instrument(self.span(&location));
        let failed = |kind| StoreError::new(kind, StoreOperation::ReadBatch, location.clone());
        match self.host.within(self.timeout, request).await {
            Ok(ReadOutcome::Found(object)) => Ok(object.bytes),
            Ok(ReadOutcome::Missing) => {
                Err(FetchError::Missing { sequence, location: descriptor.location.clone() })
            }
            Ok(ReadOutcome::NotModified) => {
                let source = failed(StoreErrorKind::Unsupported);
                Err(FetchError::Store { sequence, source })
            }
            Err(failure) => {
                let source = failure.of(StoreOperation::ReadBatch, location.clone());
                host::note_failure(&self.host.metrics, &source);
                Err(FetchError::Store { sequence, source })
            }
        }
    }

    /// Opens a batch object's bytes, on the calling thread.
    ///
    /// # Errors
    ///
    /// [`FetchError::Corrupt`].
    pub fn decode(
        &self,
        descriptor: BatchDescriptor,
        bytes: &Bytes,
    ) -> Result<ConsumedBatch, FetchError> {
        let sequence = descriptor.sequence;
        let corrupt = |source| FetchError::Corrupt { sequence, source };
        let location = location_of(&descriptor);
        let decoded = codecs::with(|codec| codec.decode_batch(&location, bytes, self.limit));
        let entries = decoded.map_err(corrupt)?;
        format::check_metadata(&self.manifest, &descriptor.metadata, entries.len())
            .map_err(corrupt)?;
        Ok(descriptor.with_entries(entries))
    }
}
