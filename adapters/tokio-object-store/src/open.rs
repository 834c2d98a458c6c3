//! From a configuration to a store.

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Runtime, Store, StoreLocation, StoreOptions};

use crate::cloud;

/// Opens the store that a configuration names.
///
/// A directory is created when it is not there. `memory:NAME` is a store in
/// this process, shared by all that name it, for as long as one of them lives.
/// Buckets need the feature of their provider: `aws`, `gcp`, `azure`, or `cloud` for all.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use buffer::{Runtime, StoreOptions, TokioRuntime, open_store};
///
/// let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
/// let store = open_store(&"memory:opened".into(), &StoreOptions::new(), &runtime)?;
/// assert_eq!(store.to_string(), "memory:opened");
/// let error = open_store(&"ftp://host/queue".into(), &StoreOptions::new(), &runtime).unwrap_err();
/// assert!(error.to_string().starts_with("cannot use the store"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ConfigError`] when the store is not one that this build knows, an option
/// is wrong, or the store cannot compare and swap, or cannot be opened.
pub fn open_store(
    location: &StoreLocation,
    options: &StoreOptions,
    runtime: &Arc<dyn Runtime>,
) -> Result<Arc<dyn Store>, ConfigError> {
    buffer_driver::open_store(location, options, runtime, cloud::open_bucket)
}

/// Opens the store that a configuration names only to read and to delete: a directory has to be there, and nothing
/// is ever made in it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use buffer::{ConfigError, Runtime, StoreErrorKind, StoreLocation, StoreOptions, TokioRuntime};
/// use buffer::{open_existing_store, open_store};
///
/// let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
/// # let parent = tempfile::tempdir()?;
/// # let directory = parent.path().join("queue");
/// let (queue, options) = (StoreLocation::from(directory.clone()), StoreOptions::new());
/// let Err(ConfigError::Open { source, .. }) = open_existing_store(&queue, &options, &runtime) else {
///     panic!("nobody has made {queue}");
/// };
/// assert_eq!(source.kind, StoreErrorKind::NoSuchStore);
/// assert!(!directory.exists(), "nor was it made now");
///
/// open_store(&queue, &options, &runtime)?;
/// assert!(open_existing_store(&queue, &options, &runtime).is_ok());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`open_store`]; [`ConfigError::Open`] for a directory that is not there.
pub fn open_existing_store(
    location: &StoreLocation,
    options: &StoreOptions,
    runtime: &Arc<dyn Runtime>,
) -> Result<Arc<dyn Store>, ConfigError> {
    buffer_driver::open_existing_store(location, options, runtime, cloud::open_bucket)
}

/// Opens a bucket, with its prefix if it has one.
///
/// ```
/// # fn main() -> Result<(), buffer::ConfigError> {
/// use buffer::{CloudStore, StoreOptions, open_cloud_store};
///
/// let url = "s3://bucket/queue?endpoint=http://127.0.0.1:9000&allow_http=true";
/// let keys = [("access_key_id", "me"), ("secret_access_key", "abc")];
/// let cloud = CloudStore::parse(url, &StoreOptions::from_iter(keys), &|_| None)?;
/// # #[cfg(feature = "aws")]
/// # {
/// let store = open_cloud_store(cloud)?; // sends nothing yet
/// assert_eq!(store.to_string(), "s3://bucket/queue at http://127.0.0.1:9000");
/// # }
/// # #[cfg(not(feature = "aws"))]
/// # assert!(open_cloud_store(cloud).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ConfigError`] when this build lacks the provider's feature, or when no client can be made of the options.
pub fn open_cloud_store(cloud: CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    cloud.open(cloud::open_bucket)
}
