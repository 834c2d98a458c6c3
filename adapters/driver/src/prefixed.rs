//! A part of a store, as a store of its own.

use std::fmt;

use buffer_core::{
    Condition, ListCursor, ListPage, ListedObject, Location, ReadOutcome, Rope, Version,
    WriteOutcome,
};

use crate::client::StoreClient;
use crate::store::{Store, StoreFailure};

/// A store whose keys all have a prefix in the store below, which nobody above sees.
///
/// ```
/// use buffer_driver::{MemoryStore, PrefixedStore};
///
/// let store = PrefixedStore::new(MemoryStore::new("one"), "queues/a".into());
/// assert_eq!(store.to_string(), "memory:one/queues/a");
/// assert_eq!(store.prefix().as_str(), "queues/a");
/// ```
#[derive(Debug)]
pub struct PrefixedStore<S> {
    inner: S,
    prefix: Location,
}

impl<S: Store> PrefixedStore<S> {
    /// Puts `prefix` and a slash before every key of `inner`.
    pub const fn new(inner: S, prefix: Location) -> Self {
        Self { inner, prefix }
    }

    /// What stands before every key.
    pub const fn prefix(&self) -> &Location {
        &self.prefix
    }

    fn inside(&self, location: &Location) -> Location {
        Location::from(format!("{}/{location}", self.prefix))
    }

    /// What is listed, without the prefix.
    fn outside(&self, page: ListPage) -> ListPage {
        let strip = |object: ListedObject| {
            let below = object.location.as_str().strip_prefix(self.prefix.as_str())?;
            let location = Location::from(below.strip_prefix('/')?);
            Some(ListedObject { location, ..object })
        };
        ListPage { objects: page.objects.into_iter().filter_map(strip).collect(), ..page }
    }
}

impl<S: Store> StoreClient for PrefixedStore<S> {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.inner.write(&self.inside(&location), payload, condition).await
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.inner.read(&self.inside(&location), unless).await
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.inner.list(&self.inside(&prefix), after).await.map(|page| self.outside(page))
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.inner.delete(locations.iter().map(|location| self.inside(location)).collect()).await
    }
}

impl<S: Store> fmt::Display for PrefixedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.inner, self.prefix)
    }
}
