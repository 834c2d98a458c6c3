//! A store that counts what it is asked.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use buffer::buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
};
use buffer::{BoxFuture, Store, StoreFailure};

#[derive(Debug)]
pub(super) struct Counting {
    store: Arc<dyn Store>,
    manifest: Location,
    batch_writes: AtomicU64,
    batch_reads: AtomicU64,
    manifest_reads: AtomicU64,
    unchanged: AtomicU64,
    swaps: AtomicU64,
    conflicts: AtomicU64,
    deleted: AtomicU64,
}

/// How often it was asked for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) batch_writes: u64,
    pub(super) batch_reads: u64,
    pub(super) manifest_reads: u64,
    /// Those that were answered with "not modified", without a body.
    pub(super) unchanged: u64,
    pub(super) swaps: u64,
    /// Those that came too late.
    pub(super) conflicts: u64,
    /// Objects, not requests.
    pub(super) deleted: u64,
}

impl Counting {
    pub(super) fn new(store: Arc<dyn Store>, manifest: Location) -> Self {
        Self {
            store,
            manifest,
            batch_writes: AtomicU64::new(0),
            batch_reads: AtomicU64::new(0),
            manifest_reads: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            swaps: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            batch_writes: read(&self.batch_writes),
            batch_reads: read(&self.batch_reads),
            manifest_reads: read(&self.manifest_reads),
            unchanged: read(&self.unchanged),
            swaps: read(&self.swaps),
            conflicts: read(&self.conflicts),
            deleted: read(&self.deleted),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl Store for Counting {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        let swaps = *location == self.manifest;
        count(if swaps { &self.swaps } else { &self.batch_writes });
        let written = self.store.write(location, payload, condition);
        Box::pin(async move {
            let outcome = written.await;
            if swaps && matches!(outcome, Ok(WriteOutcome::Conflict)) {
                count(&self.conflicts);
            }
            outcome
        })
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        let polls = *location == self.manifest;
        count(if polls { &self.manifest_reads } else { &self.batch_reads });
        let read = self.store.read(location, unless);
        Box::pin(async move {
            let outcome = read.await;
            if polls && matches!(outcome, Ok(ReadOutcome::NotModified)) {
                count(&self.unchanged);
            }
            outcome
        })
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        self.store.list(prefix, after)
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        let delete = self.store.delete(locations);
        Box::pin(async move {
            let results = delete.await;
            let deleted = results.iter().filter(|result| result.is_ok()).count();
            self.deleted.fetch_add(deleted as u64, Ordering::Relaxed);
            results
        })
    }
}
