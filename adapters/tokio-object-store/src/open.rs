//! From a path or a URL to a store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use buffer_driver::buffer_core::{Location, StoreError, StoreOperation};
use buffer_driver::{ConfigError, LocalDirectory, Runtime, Store, StoreLocation};
use object_store::memory::InMemory;
use url::Url;

use crate::store::ObjectStoreAdapter;

/// Opens the store that a configuration names.
///
/// A directory is created when it is not there. `memory:NAME` is a store in
/// this process, shared by all that name it, for as long as one of them lives.
///
/// # Errors
///
/// [`ConfigError`] when the store is not one that this build knows, cannot
/// compare and swap, or cannot be opened.
pub fn open_store(
    location: &StoreLocation,
    runtime: &Arc<dyn Runtime>,
) -> Result<Arc<dyn Store>, ConfigError> {
    match location {
        StoreLocation::Directory(path) => open_directory(path, runtime),
        StoreLocation::Url(url) => open_url(url, runtime),
    }
}

fn open_directory(path: &Path, runtime: &Arc<dyn Runtime>) -> Result<Arc<dyn Store>, ConfigError> {
    match LocalDirectory::open(path, Arc::clone(runtime)) {
        Ok(store) => Ok(Arc::new(store)),
        Err(failure) => {
            let mut source = StoreError::new(
                failure.kind,
                StoreOperation::Open,
                Location::new(path.display().to_string()),
            );
            source.source = failure.source;
            Err(ConfigError::Open { store: path.display().to_string(), source })
        }
    }
}

fn open_url(text: &str, runtime: &Arc<dyn Runtime>) -> Result<Arc<dyn Store>, ConfigError> {
    let unknown = |reason: &str| ConfigError::UnknownStore {
        store: text.to_owned(),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| unknown(&error.to_string()))?;
    match url.scheme() {
        "file" => {
            let path = url.to_file_path();
            let path = path.map_err(|()| unknown("a file: URL names an absolute path"))?;
            open_directory(&path, runtime)
        }
        "memory" => Ok(Arc::new(ObjectStoreAdapter::new(memory(url.path()))?)),
        "http" | "https" | "webdav" => Err(ConfigError::NoCompareAndSwap {
            store: text.to_owned(),
            reason: "WebDAV cannot replace an object on a condition".to_owned(),
        }),
        "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss" | "azure" => Err(unknown(
            "this build opens directories and memory: by itself; \
             make the cloud's client and give it to `with_object_store`",
        )),
        _ => Err(unknown("write a path, file:///PATH or memory:NAME")),
    }
}

/// The in-memory store of this name, which lives as long as somebody uses it.
fn memory(name: &str) -> Arc<InMemory> {
    static STORES: OnceLock<Mutex<BTreeMap<String, Weak<InMemory>>>> = OnceLock::new();
    let stores = STORES.get_or_init(Mutex::default);
    let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
    stores.retain(|_, store| store.strong_count() > 0);
    let found = stores.get(name).and_then(Weak::upgrade);
    found.unwrap_or_else(|| {
        let store = Arc::new(InMemory::new());
        stores.insert(name.to_owned(), Arc::downgrade(&store));
        store
    })
}
