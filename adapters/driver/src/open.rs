//! From a configuration to a store.

use std::path::Path;
use std::sync::Arc;

use crate::config::ConfigError;
use crate::local::LocalDirectory;
use crate::memory::MemoryStore;
use crate::runtime::Runtime;
use crate::store::{Store, StoreFailure};
use crate::store_url::{CloudStore, StoreLocation, StoreOptions, StorePlace, process_environment};

/// Opens the store that a configuration names.
///
/// Directories (made when they are not there) and `memory:NAME` (shared by all that name it in
/// this process, for as long as one of them lives) are opened here. For a bucket,
/// `open_bucket` makes a store of the whole bucket, to which the prefix is added here; whatever
/// that store says, the secrets among its options are taken out of it. The environment is this process's.
///
/// ```
/// use std::sync::Arc;
/// use buffer_driver::{CloudStore, ConfigError, MemoryStore, Runtime, Store, StoreOptions, open_store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime: Arc<dyn Runtime> = Arc::new(buffer::TokioRuntime::current()?);
/// // An adapter makes a client here; memory stands for it.
/// let open_bucket = |cloud: &CloudStore| -> Result<Arc<dyn Store>, ConfigError> {
///     Ok(Arc::new(MemoryStore::new(cloud.bucket())))
/// };
/// let options = StoreOptions::new();
/// let store = open_store(&"memory:doc open".into(), &options, &runtime, open_bucket)?;
/// assert_eq!(store.to_string(), "memory:doc open");
/// let url = "s3://orders/queue?region=eu-west-1".into();
/// let store = open_store(&url, &options, &runtime, open_bucket)?;
/// assert_eq!(store.to_string(), "s3://orders/queue", "it is called as it was named");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ConfigError`] when the store is not one that there is, an option is wrong,
/// or it cannot be opened; and what `open_bucket` says.
pub fn open_store(
    location: &StoreLocation,
    options: &StoreOptions,
    runtime: &Arc<dyn Runtime>,
    open_bucket: impl FnOnce(&CloudStore) -> Result<Arc<dyn Store>, ConfigError>,
) -> Result<Arc<dyn Store>, ConfigError> {
    let open_directory = |path: &Path| LocalDirectory::open(path, Arc::clone(runtime));
    open(location, options, open_directory, open_bucket)
}

/// Opens the store that a configuration names as [`open_store`] does, but only to read and to delete: a directory
/// has to be there, and nothing is ever made in it.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::Runtime;
/// use buffer_driver::{ConfigError, StoreOptions, open_existing_store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime: Arc<dyn Runtime> = Arc::new(buffer::TokioRuntime::current()?);
/// let no_buckets = |cloud: &_| Err(ConfigError::missing_feature(cloud));
/// let options = StoreOptions::new();
/// let opened = open_existing_store(&"no/such/queue".into(), &options, &runtime, no_buckets);
/// assert!(matches!(opened, Err(ConfigError::Open { .. })));
/// assert!(!std::path::Path::new("no").exists(), "it was not made");
/// let opened = open_existing_store(&"s3://orders?region=x".into(), &options, &runtime, no_buckets);
/// assert!(matches!(opened, Err(ConfigError::MissingFeature { feature: "aws", .. })));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`open_store`]; [`ConfigError::Open`] with `NoSuchStore` for a directory that is not there.
pub fn open_existing_store(
    location: &StoreLocation,
    options: &StoreOptions,
    runtime: &Arc<dyn Runtime>,
    open_bucket: impl FnOnce(&CloudStore) -> Result<Arc<dyn Store>, ConfigError>,
) -> Result<Arc<dyn Store>, ConfigError> {
    let open_directory =
        |path: &Path| LocalDirectory::open_existing_to_delete(path, Arc::clone(runtime));
    open(location, options, open_directory, open_bucket)
}

fn open(
    location: &StoreLocation,
    options: &StoreOptions,
    open_directory: impl FnOnce(&Path) -> Result<LocalDirectory, StoreFailure>,
    open_bucket: impl FnOnce(&CloudStore) -> Result<Arc<dyn Store>, ConfigError>,
) -> Result<Arc<dyn Store>, ConfigError> {
    match StorePlace::resolve(location, options, &process_environment)? {
        StorePlace::Directory(path) => match open_directory(&path) {
            Ok(store) => Ok(Arc::new(store)),
            Err(failure) => Err(ConfigError::cannot_open(path.display(), failure)),
        },
        StorePlace::Memory(name) => Ok(MemoryStore::shared(&name)),
        StorePlace::Cloud(cloud) => cloud.open(open_bucket),
    }
}
