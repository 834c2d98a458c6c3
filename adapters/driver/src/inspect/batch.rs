//! One batch object, for looking at.

use std::sync::Arc;

use buffer_core::format::{self, BatchFooter, FormatError, Metadata};
use buffer_core::{Location, Object, ReadOutcome, StoreError, StoreErrorKind, StoreOperation};
use bytes::Bytes;

use super::Inspector;
use crate::codecs;

/// A batch object as it lies in the store, damaged or not.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into(), "two".into()], "".into()).await?;
/// # producer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// let entry = inspector.read().await?.entry(0).expect("it is listed");
/// let batch = inspector.batch(&entry.location).await?;
/// assert_eq!(batch.footer()?.record_count, 2);
/// assert_eq!(batch.records()?, ["one", "two"]);
/// assert_eq!(batch.records_of(&entry.metadata)?, ["one", "two"], "its manifest entry agrees");
///
/// let mut torn = batch;
/// torn.object.bytes.truncate(10);
/// let error = torn.footer().unwrap_err();
/// assert!(error.to_string().starts_with(entry.location.as_str()), "{error}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchObject {
    /// Its key.
    pub location: Location,
    /// The object, with its version and the time when it was written.
    pub object: Object,
    limit: usize,
}

/// Why a batch object cannot be looked at.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, SystemClock};
/// use buffer_driver::LookError;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// let error = inspector.batch(&"ingest/gone.batch".into()).await.unwrap_err();
/// assert_eq!(error.to_string(), "there is no object ingest/gone.batch in memory:one");
/// // A key that leads out of the queue's place is never asked for.
/// let error = inspector.batch(&"ingest/../secret".into()).await.unwrap_err();
/// assert!(matches!(error, LookError::Store(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// There is no such object.
    #[error("there is no object {location} in {store}")]
    Missing {
        /// The key.
        location: Location,
        /// The store.
        store: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl BatchObject {
    /// What its footer says: compression and number of records.
    ///
    /// # Errors
    ///
    /// [`FormatError`] if it has no footer that this build reads.
    pub fn footer(&self) -> Result<BatchFooter, FormatError> {
        BatchFooter::parse(&self.location, &self.object.bytes)
    }

    /// Its records, on the calling thread; they share the object's memory unless it is compressed.
    ///
    /// # Errors
    ///
    /// [`FormatError`] says where it is damaged, or that it has more bytes of records than `max_batch_bytes`.
    pub fn records(&self) -> Result<Vec<Bytes>, FormatError> {
        codecs::with(|codec| codec.decode_batch(&self.location, &self.object.bytes, self.limit))
    }

    /// The records, once it is checked that what the manifest says of them can be.
    ///
    /// # Errors
    ///
    /// Those of [`records`](Self::records), and a metadata item that starts past the records' end.
    pub fn records_of(&self, metadata: &[Metadata]) -> Result<Vec<Bytes>, FormatError> {
        let records = self.records()?;
        format::check_metadata(&self.location, metadata, records.len())?;
        Ok(records)
    }
}

impl Inspector {
    /// Reads a batch object, listed or not, without opening it.
    ///
    /// # Errors
    ///
    /// [`LookError`].
    pub async fn batch(&self, location: &Location) -> Result<BatchObject, LookError> {
        let failed = |failure: crate::StoreFailure| {
            LookError::Store(failure.of(StoreOperation::ReadBatch, location.clone()))
        };
        // The key of a hostile manifest must not lead out of the store.
        location.validate().map_err(|error| failed(error.into()))?;
        let request = {
            let (store, location) = (Arc::clone(&self.host.store), location.clone());
            async move { store.read(&location, None).await }
        };
        match self.host.within(self.timeout, request).await {
            Ok(ReadOutcome::Found(object)) => {
                Ok(BatchObject { location: location.clone(), object, limit: self.limit })
            }
            Ok(ReadOutcome::Missing) => Err(LookError::Missing {
                location: location.clone(),
                store: self.host.store.to_string(),
            }),
            Ok(ReadOutcome::NotModified) => Err(failed(StoreErrorKind::Unsupported.into())),
            Err(failure) => Err(failed(failure)),
        }
    }
}
