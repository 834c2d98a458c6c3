//! From a configuration to a store.

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Runtime, Store, StoreLocation, StoreOptions};

/// Opens the store that a configuration names.
///
/// A directory is created when it is not there. `memory:NAME` is a store in this process, shared by
/// all that name it, for as long as one of them lives. A bucket needs the feature of its
/// provider: `aws`, `azure` or `gcp`, or `cloud` for all.
///
/// ```
/// # fn main() -> Result<(), buffer_smol::ConfigError> {
/// use std::sync::Arc;
/// use buffer_smol::{Runtime, SmolRuntime, StoreOptions, open_store};
///
/// let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime::new());
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
    buffer_driver::open_store(location, options, runtime, open_bucket)
}

/// Opens the store that a configuration names only to read and to delete: a directory has to be there, and nothing
/// is ever made in it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use buffer_smol::{ConfigError, Runtime, SmolRuntime, StoreErrorKind, StoreLocation, StoreOptions};
/// use buffer_smol::{open_existing_store, open_store};
///
/// let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime::new());
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
    buffer_driver::open_existing_store(location, options, runtime, open_bucket)
}

fn open_bucket(cloud: &CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    return crate::cloud::open(cloud);
    #[cfg(not(any(feature = "aws", feature = "azure", feature = "gcp")))]
    Err(ConfigError::missing_feature(cloud))
}
