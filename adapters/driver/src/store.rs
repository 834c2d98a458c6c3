//! What the driver asks of an object store.

use std::fmt;
use std::sync::Arc;

use buffer_core::{
    Condition, ListCursor, ListPage, Location, LocationError, ReadOutcome, Rope, StoreError,
    StoreErrorKind, StoreOperation, Version, WriteOutcome,
};

use crate::runtime::BoxFuture;

/// An object store as far as a buffer needs one. Its `Display` names it to people.
///
/// Every method starts its request once and never repeats it: retries, back-off
/// and time-outs are the caller's. A future that is dropped may leave its
/// request under way.
///
/// ```
/// use buffer_driver::buffer_core::{Condition, ReadOutcome, WriteOutcome};
/// use buffer_driver::{MemoryStore, Store, StoreFailure};
///
/// # futures_lite::future::block_on(async {
/// let store: &dyn Store = &MemoryStore::new("one");
/// let key = "q/manifest".into();
/// let written = store.write(&key, vec!["one".into()], Condition::Absent).await?;
/// let WriteOutcome::Stored(version) = written else { panic!("there was nothing yet") };
/// let again = store.write(&key, vec!["two".into()], Condition::Absent).await?;
/// assert!(matches!(again, WriteOutcome::Conflict));
/// let unchanged = store.read(&key, Some(version)).await?;
/// assert!(matches!(unchanged, ReadOutcome::NotModified));
///
/// assert_eq!(store.list(&"q".into(), None).await?.objects[0].location, key);
/// let deleted = store.delete(vec![key, "q/gone".into()]).await;
/// assert!(deleted.iter().all(Result::is_ok), "what is gone is deleted as well");
/// # Ok::<(), StoreFailure>(())
/// # }).unwrap();
/// ```
pub trait Store: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Writes a whole object if `condition` holds, in one step that readers see whole or not at all.
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>>;

    /// Reads a whole object with its version and time; [`ReadOutcome::NotModified`] if it is still at `unless`.
    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>>;

    /// Lists the objects whose keys begin with `prefix` and a slash, however deep, one page at a time.
    ///
    /// `after` is where an earlier page of the same store ended. Objects that
    /// were there before the first page and are there after the last one come
    /// at least once; the order is the store's own.
    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>>;

    /// Deletes objects; deleting what is gone is a success. One result for each key, in their order.
    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        (**self).write(location, payload, condition)
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        (**self).read(location, unless)
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        (**self).list(prefix, after)
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        (**self).delete(locations)
    }
}

/// A request that failed, before the driver says which one it was.
///
/// ```
/// use buffer_driver::{StoreErrorKind, StoreFailure};
///
/// let plain: StoreFailure = StoreErrorKind::Refused.into();
/// assert!(plain.source.is_none());
/// let told = StoreFailure::new(StoreErrorKind::Refused, "no space left on device");
/// assert!(told.source.is_some());
/// ```
#[derive(Clone, Debug)]
pub struct StoreFailure {
    /// What it means for whoever asked.
    pub kind: StoreErrorKind,
    /// What the store's client said.
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StoreFailure {
    /// A failure of this kind, with what the store's client said.
    pub fn new(
        kind: StoreErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, source: Some(Arc::from(source.into())) }
    }

    /// One for a store that named no version where there must be one: what it keeps cannot be swapped.
    ///
    /// ```
    /// use buffer_driver::{StoreErrorKind, StoreFailure};
    ///
    /// // What an adapter says when an answer has no `ETag`.
    /// let failure = StoreFailure::without_version();
    /// assert_eq!(failure.kind, StoreErrorKind::Unsupported);
    /// assert_eq!(
    ///     failure.source.map(|source| source.to_string()).as_deref(),
    ///     Some("the store names no version of the object")
    /// );
    /// ```
    pub fn without_version() -> Self {
        Self::new(StoreErrorKind::Unsupported, "the store names no version of the object")
    }

    /// Adds which request it was.
    pub(crate) fn of(self, operation: StoreOperation, location: Location) -> StoreError {
        let mut error = StoreError::new(self.kind, operation, location);
        error.source = self.source;
        error
    }
}

impl From<LocationError> for StoreFailure {
    fn from(error: LocationError) -> Self {
        Self::new(StoreErrorKind::InvalidLocation, error)
    }
}

impl From<StoreErrorKind> for StoreFailure {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }
}
