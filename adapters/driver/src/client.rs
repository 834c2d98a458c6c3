//! How most stores are written: as futures that nobody has boxed yet.

use std::fmt;
use std::future::Future;

use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
};

use crate::runtime::BoxFuture;
use crate::store::{Store, StoreFailure};

/// A [`Store`] written with `async fn`.
///
/// Whoever implements this has a [`Store`], whose contract holds here too: the methods do the same
/// under other names, and take what they need by value.
///
/// ```
/// use std::fmt;
/// use buffer_driver::buffer_core::{
///     Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreErrorKind, Version,
///     WriteOutcome,
/// };
/// use buffer_driver::{Store, StoreClient, StoreFailure};
///
/// /// Has nothing, and takes nothing.
/// #[derive(Debug)]
/// struct Nothing;
///
/// impl fmt::Display for Nothing {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("nothing")
///     }
/// }
///
/// impl StoreClient for Nothing {
///     async fn put(
///         &self,
///         _: Location,
///         _: Rope,
///         _: Condition,
///     ) -> Result<WriteOutcome, StoreFailure> {
///         Err(StoreErrorKind::Refused.into())
///     }
///
///     async fn get(&self, _: Location, _: Option<Version>) -> Result<ReadOutcome, StoreFailure> {
///         Ok(ReadOutcome::Missing)
///     }
///
///     async fn page(&self, _: Location, _: Option<ListCursor>) -> Result<ListPage, StoreFailure> {
///         Ok(ListPage::default())
///     }
///
///     async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
///         vec![Ok(()); locations.len()]
///     }
/// }
///
/// let store: &dyn Store = &Nothing;
/// let read = store.read(&"q/manifest".into(), None);
/// assert!(matches!(futures_lite::future::block_on(read), Ok(ReadOutcome::Missing)));
/// ```
///
/// Whoever has such a store itself, and not as a `dyn Store`, can call it without a box:
///
/// ```
/// use buffer_driver::buffer_core::{Condition, ReadOutcome};
/// use buffer_driver::{MemoryStore, StoreClient, StoreFailure};
///
/// # futures_lite::future::block_on(async {
/// let store = MemoryStore::new("one");
/// store.put("q/a".into(), vec!["one".into()], Condition::Absent).await?;
/// let read = store.get("q/a".into(), None).await?;
/// assert!(matches!(read, ReadOutcome::Found(object) if object.bytes == "one"));
/// assert_eq!(store.page("q".into(), None).await?.objects.len(), 1);
/// assert!(matches!(&store.remove(vec!["q/a".into()]).await[..], [Ok(())]));
/// # Ok::<(), StoreFailure>(())
/// # }).unwrap();
/// ```
pub trait StoreClient: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// See [`Store::write`].
    fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> impl Future<Output = Result<WriteOutcome, StoreFailure>> + Send;

    /// See [`Store::read`].
    fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> impl Future<Output = Result<ReadOutcome, StoreFailure>> + Send;

    /// See [`Store::list`].
    fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> impl Future<Output = Result<ListPage, StoreFailure>> + Send;

    /// See [`Store::delete`].
    fn remove(
        &self,
        locations: Vec<Location>,
    ) -> impl Future<Output = Vec<Result<(), StoreFailure>>> + Send;
}

impl<C: StoreClient> Store for C {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        Box::pin(self.put(location.clone(), payload, condition))
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        Box::pin(self.get(location.clone(), unless))
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        Box::pin(self.page(prefix.clone(), after))
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        Box::pin(self.remove(locations))
    }
}
