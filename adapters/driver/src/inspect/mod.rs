//! Looking at a queue, beside whoever produces and consumes.

mod batch;
mod reading;
mod sweep;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::format::{FormatError, Manifest};
use buffer_core::{
    ListCursor, ListPage, Location, ReadOutcome, StoreError, StoreErrorKind, StoreOperation,
    UnixMillis, Version,
};

use crate::config::{ConfigError, InspectorConfig};
use crate::host::{Host, unix_millis};
use crate::metrics::RequestMetrics;
use crate::runtime::{Clock, Runtime};
use crate::store::{Store, StoreFailure};

pub use batch::{BatchObject, LookError};
pub use reading::{OldestBatch, QueueStatus, Reading};
pub use sweep::{Sweep, SweepError, SweptFile, SweptPage};
pub use verify::{Depth, Problem, QueueObjects, Verification};

/// Looks at a queue, and takes nothing from whoever consumes it: it never writes the manifest, never raises the
/// epoch, and deletes nothing unless [`Sweep::delete`] is called.
///
/// Each call sends its requests once, and waits for each no longer than `request_timeout`; nothing is tried
/// again. All calls are cancel-safe, but for `Sweep::delete`, whose request may go on.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{Inspector, InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// let inspector = Inspector::with_store(&InspectorConfig::default(), store, clock, runtime)?;
/// assert_eq!(inspector.store().to_string(), "memory:one");
/// assert_eq!(inspector.data_path_prefix().as_str(), "ingest");
/// assert_eq!(inspector.manifest_path().as_str(), "ingest/manifest");
///
/// let reading = inspector.read().await?;
/// let status = inspector.status(&reading);
/// println!("{} batches wait, the oldest for {:?}", status.depth, status.lag());
/// assert_eq!(status.depth, 1);
/// # Ok(())
/// # }
/// ```
pub struct Inspector {
    host: Host,
    prefix: Location,
    manifest: Location,
    /// The largest batch that is opened, in bytes of its records.
    limit: usize,
    grace: Duration,
    timeout: Duration,
}

/// Why a queue cannot be looked at.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(MemoryStore::new("empty"));
/// let config = InspectorConfig::default();
/// let inspector = buffer::Inspector::with_store(config, store, Arc::new(SystemClock))?;
/// let error = inspector.read().await.unwrap_err();
/// let told = "no such queue: there is no manifest ingest/manifest in memory:empty";
/// assert_eq!(error.to_string(), told);
/// assert!(!error.is_retryable(), "until somebody produces");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no manifest: nobody has produced or consumed here, or the path is wrong.
    #[error("no such queue: there is no manifest {manifest} in {store}")]
    NoQueue {
        /// The manifest's key.
        manifest: Location,
        /// The store.
        store: String,
    },
    /// The manifest is not what it should be.
    #[error(transparent)]
    ManifestCorrupt(FormatError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl InspectError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::NoQueue { .. } | Self::ManifestCorrupt(_) => false,
        }
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inspector({}, {})", self.host.store, self.manifest)
    }
}

impl Inspector {
    /// An inspector over a store, on a runtime. Adapters offer more convenient constructors.
    ///
    /// `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn with_store(
        config: &InspectorConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, ConfigError> {
        let checked = config.to_core();
        checked.validate()?;
        Ok(Self {
            host: Host::new(runtime, store, clock, Arc::new(RequestMetrics::of_nobody())),
            prefix: checked.data_path_prefix,
            manifest: checked.manifest_path,
            limit: checked.max_batch_bytes,
            grace: checked.gc_grace_period,
            timeout: checked.request_timeout,
        })
    }

    /// The store, for its name.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.host.store
    }

    /// Where the queue's batches lie.
    #[must_use]
    pub const fn data_path_prefix(&self) -> &Location {
        &self.prefix
    }

    /// The manifest's key.
    #[must_use]
    pub const fn manifest_path(&self) -> &Location {
        &self.manifest
    }

    /// Reads the manifest, whole.
    ///
    /// # Errors
    ///
    /// [`InspectError`].
    pub async fn read(&self) -> Result<Reading, InspectError> {
        match self.read_unless(None, &Manifest::absent()).await? {
            Some(reading) => Ok(reading),
            // It named no version.
            None => Err(InspectError::Store(self.failed(StoreErrorKind::Unsupported.into()))),
        }
    }

    /// Reads the manifest if it has changed since; `None` if it has not, which transfers no body.
    ///
    /// # Errors
    ///
    /// [`InspectError`].
    pub async fn read_after(&self, earlier: &Reading) -> Result<Option<Reading>, InspectError> {
        self.read_unless(Some(earlier.version.clone()), &earlier.manifest).await
    }

    /// What a reading tells of the queue, by this clock.
    #[must_use]
    pub fn status(&self, reading: &Reading) -> QueueStatus {
        QueueStatus::of(reading, &self.prefix, self.wall())
    }

    /// Goes through the objects under the queue's prefix, and judges of each whether it may be deleted.
    #[must_use]
    pub const fn sweep(&self) -> Sweep<'_> {
        Sweep::new(self)
    }

    fn wall(&self) -> UnixMillis {
        unix_millis(self.host.clock.now())
    }

    async fn read_unless(
        &self,
        unless: Option<Version>,
        earlier: &Manifest,
    ) -> Result<Option<Reading>, InspectError> {
        let request = {
            let (store, location) = (Arc::clone(&self.host.store), self.manifest.clone());
            async move { store.read(&location, unless).await }
        };
        match self.host.within(self.timeout, request).await {
            Ok(ReadOutcome::Found(object)) => {
                Reading::of(&self.manifest, object, earlier, self.wall()).map(Some)
            }
            Ok(ReadOutcome::NotModified) => Ok(None),
            Ok(ReadOutcome::Missing) => Err(InspectError::NoQueue {
                manifest: self.manifest.clone(),
                store: self.host.store.to_string(),
            }),
            Err(failure) => Err(InspectError::Store(self.failed(failure))),
        }
    }

    fn failed(&self, failure: StoreFailure) -> StoreError {
        failure.of(StoreOperation::ReadManifest, self.manifest.clone())
    }

    /// A page of what lies under the prefix.
    async fn list(&self, after: Option<ListCursor>) -> Result<ListPage, StoreError> {
        let request = {
            let (store, prefix) = (Arc::clone(&self.host.store), self.prefix.clone());
            async move { store.list(&prefix, after).await }
        };
        let listed = self.host.within(self.timeout, request).await;
        listed.map_err(|failure| failure.of(StoreOperation::ListBatches, self.prefix.clone()))
    }
}
