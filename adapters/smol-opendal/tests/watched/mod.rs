//! A store that notes whether it is asked within a tokio runtime.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use buffer_smol::buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
};
use buffer_smol::{BoxFuture, Store, StoreFailure};

#[derive(Debug)]
pub(crate) struct Watched {
    store: Arc<dyn Store>,
    pub(crate) calls: AtomicUsize,
    pub(crate) inside_tokio: AtomicUsize,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl Watched {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, calls: AtomicUsize::new(0), inside_tokio: AtomicUsize::new(0) }
    }

    pub(crate) async fn read_nothing(&self) {
        let read = self.read(&Location::from("nothing"), None).await;
        assert_eq!(read.expect("the store is well"), ReadOutcome::Missing);
    }

    /// Looks when the request is first polled, and when it has ended: in the task that waits for it.
    fn looking<'a, T: Send + 'a>(&'a self, request: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let before = tokio::runtime::Handle::try_current().is_ok();
            let result = request.await;
            let after = tokio::runtime::Handle::try_current().is_ok();
            self.inside_tokio.fetch_add(usize::from(before || after), Ordering::Relaxed);
            result
        })
    }
}

impl Store for Watched {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        self.looking(self.store.write(location, payload, condition))
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        self.looking(self.store.read(location, unless))
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        self.looking(self.store.list(prefix, after))
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        self.looking(self.store.delete(locations))
    }
}
