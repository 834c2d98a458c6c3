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
/// # Errors
///
/// [`ConfigError`] when this build lacks the provider's feature, or when no client can be made of the options.
pub fn open_cloud_store(cloud: CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    cloud.open(cloud::open_bucket)
}
