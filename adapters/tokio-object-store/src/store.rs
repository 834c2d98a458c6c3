//! The driver's store, over any `object_store` client that can compare and swap.

mod delete;
mod failure;
mod listing;

use std::fmt;
use std::sync::Arc;

use buffer_driver::buffer_core::{
    Condition, ListCursor, ListPage, Location, Object, ReadOutcome, Rope, StoreErrorKind,
    UnixMillis, Version, WriteOutcome,
};
use buffer_driver::{ConfigError, Listings, StoreClient, StoreFailure, unquoted_e_tag};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, UpdateVersion,
};

use failure::{failure, is_without_store};

/// An `object_store` client as a store for buffers.
///
/// The client's own retries should be off (`RetryConfig { max_retries: 0, .. }`):
/// the buffer retries by itself, and knows after a lost reply what it may repeat.
/// With retries on nothing is lost or repeated, but conflicts with itself cost requests.
///
/// ```
/// use std::sync::Arc;
/// use buffer::{ConfigError, ObjectStoreAdapter};
/// use object_store::{local::LocalFileSystem, memory::InMemory};
///
/// assert!(ObjectStoreAdapter::new(Arc::new(InMemory::new())).is_ok());
/// let refused = ObjectStoreAdapter::new(Arc::new(LocalFileSystem::new()));
/// assert!(matches!(refused, Err(ConfigError::NoCompareAndSwap { .. })));
/// ```
pub struct ObjectStoreAdapter {
    client: Arc<dyn ObjectStore>,
    listings: Listings,
    unquoted_e_tags: bool,
}

impl fmt::Debug for ObjectStoreAdapter {
    /// The client's own `Debug` may show its keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStoreAdapter({self}, {:?})", self.listings)
    }
}

impl fmt::Display for ObjectStoreAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}

impl ObjectStoreAdapter {
    /// Takes a client.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoCompareAndSwap`] for a client that is known not to write on a condition.
    pub fn new(client: Arc<dyn ObjectStore>) -> Result<Self, ConfigError> {
        let store = client.to_string();
        // The client's trait has no way to ask; these are the ones that answer `NotImplemented`.
        let lacking = [
            (
                "LocalFileSystem",
                "object_store's local file system cannot replace an object on a condition; give the directory's path instead",
            ),
            ("HttpStore", "WebDAV cannot replace an object on a condition"),
        ];
        match lacking.iter().find(|(name, _)| store.contains(name)) {
            Some((_, reason)) => {
                Err(ConfigError::NoCompareAndSwap { store, reason: (*reason).to_owned() })
            }
            None => Ok(Self { client, listings: Listings::default(), unquoted_e_tags: false }),
        }
    }

    /// Takes the quotes off an ETag before it is sent as the condition of a write.
    ///
    /// For services that compare it so, such as Ceph and DigitalOcean Spaces. The others need the quotes.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use buffer::buffer_driver::buffer_core::{Condition, WriteOutcome};
    /// use buffer::{ObjectStoreAdapter, Store};
    /// use object_store::memory::InMemory;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let key = "ingest/manifest".into();
    /// let memory = || Arc::new(InMemory::new());
    /// for (unquoted, taken) in [(false, true), (true, false)] {
    ///     let store = ObjectStoreAdapter::new(memory())?.with_unquoted_e_tags(unquoted);
    ///     let created = store.write(&key, vec!["one".into()], Condition::Absent).await;
    ///     let Ok(WriteOutcome::Stored(version)) = created else { panic!("{created:?}") };
    ///     let swapped = store.write(&key, vec!["two".into()], Condition::Version(version)).await;
    ///     // This client is one of the others: to it, an ETag without its quotes is another one.
    ///     assert_eq!(matches!(swapped, Ok(WriteOutcome::Stored(_))), taken);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_unquoted_e_tags(mut self, unquoted: bool) -> Self {
        self.unquoted_e_tags = unquoted;
        self
    }
}

impl StoreClient for ObjectStoreAdapter {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        let path = parse(&location)?;
        let to_match = |e_tag| if self.unquoted_e_tags { unquoted_e_tag(e_tag) } else { e_tag };
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            Condition::Version(version) => PutMode::Update(UpdateVersion {
                e_tag: version.e_tag.as_deref().map(|e_tag| to_match(e_tag).to_owned()),
                version: version.generation.as_deref().map(str::to_owned),
            }),
        };
        let swaps = matches!(mode, PutMode::Update(_));
        let payload = PutPayload::from_iter(payload);
        let result = self.client.put_opts(&path, payload, PutOptions::from(mode)).await;
        match result {
            Ok(result) => version_of(result.e_tag, result.version).map(WriteOutcome::Stored),
            Err(error) if is_without_store(&error) => Err(failure(error)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                Ok(WriteOutcome::Conflict)
            }
            // Some stores answer so when the object that was to be replaced is gone.
            Err(Error::NotFound { .. }) if swaps => Ok(WriteOutcome::Conflict),
            Err(error) => Err(failure(error)),
        }
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        let path = parse(&location)?;
        let if_none_match = unless.as_ref().and_then(|version| version.e_tag.as_deref());
        let options =
            GetOptions { if_none_match: if_none_match.map(str::to_owned), ..GetOptions::default() };
        let found = match self.client.get_opts(&path, options).await {
            Ok(found) => found,
            Err(error) if is_without_store(&error) => return Err(failure(error)),
            Err(Error::NotFound { .. }) => return Ok(ReadOutcome::Missing),
            Err(Error::NotModified { .. }) => return Ok(ReadOutcome::NotModified),
            Err(error) => return Err(failure(error)),
        };
        let meta = found.meta.clone();
        let version = version_of(meta.e_tag, meta.version)?;
        if unless.is_some_and(|unless| unless == version) {
            return Ok(ReadOutcome::NotModified);
        }
        let bytes = found.bytes().await.map_err(failure)?;
        let last_modified = Some(UnixMillis(meta.last_modified.timestamp_millis()));
        Ok(ReadOutcome::Found(Object { bytes, version, last_modified }))
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        listing::page(&self.listings, &*self.client, &parse(&prefix)?, after).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        delete::delete(&*self.client, locations).await
    }
}

/// A location is a key as it is; `Path::from` would encode it, and then what is
/// written under a key with `~` or `%` in it is not found when it is read.
fn parse(location: &Location) -> Result<Path, StoreFailure> {
    location.validate()?;
    Path::parse(location.as_str())
        .map_err(|error| StoreFailure::new(StoreErrorKind::InvalidLocation, error))
}

fn version_of(e_tag: Option<String>, generation: Option<String>) -> Result<Version, StoreFailure> {
    if e_tag.is_none() && generation.is_none() {
        return Err(StoreFailure::without_version());
    }
    Ok(Version { e_tag: e_tag.map(Into::into), generation: generation.map(Into::into) })
}
