//! What the application sees of the store, counted beside the metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreErrorKind, Version,
    WriteOutcome, rope_len,
};
use buffer_driver::{Store, StoreClient, StoreFailure};
use buffer_sim::SimStore;

/// What was asked of a store, and answered.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) swaps: u64,
    pub(crate) conflicts: u64,
    pub(crate) upload_conflicts: u64,
    pub(crate) fetched: u64,
    pub(crate) deleted: u64,
    /// Requests that failed, by operation and kind.
    pub(crate) failures: BTreeMap<(&'static str, &'static str), u64>,
    /// Bytes of every batch that was sent.
    pub(crate) objects: BTreeMap<Location, u64>,
}

impl Seen {
    /// Requests of an operation that failed.
    pub(crate) fn failed(&self, operation: &str) -> u64 {
        let fitting = self.failures.iter().filter(|((of, _), _)| *of == operation);
        fitting.map(|(_, count)| count).sum()
    }
}

/// A store between a producer or consumer and the simulated one.
#[derive(Clone)]
pub(crate) struct Observer {
    store: SimStore,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Observer {
    pub(crate) fn new(store: &SimStore) -> Self {
        Self { store: store.clone(), seen: Arc::default() }
    }

    /// Waits for an answer; if nobody waits any longer, the request has timed out.
    async fn ask<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, StoreFailure>>,
    ) -> Result<T, StoreFailure> {
        let mut asked = Asked { seen: Arc::clone(&self.seen), operation, kind: None };
        asked.kind = Some("timed_out");
        let result = request.await;
        asked.kind = result.as_ref().err().map(|failure| failure.kind.name());
        result
    }
}

struct Asked {
    seen: Arc<Mutex<Seen>>,
    operation: &'static str,
    kind: Option<&'static str>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(kind) = self.kind {
            *self
                .seen
                .lock()
                .expect("nobody panics")
                .failures
                .entry((self.operation, kind))
                .or_default() += 1;
        }
    }
}

fn is_batch(location: &Location) -> bool {
    location.as_str().ends_with(".batch")
}

impl StoreClient for Observer {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        let batch = is_batch(&location);
        if batch {
            let bytes = rope_len(&payload) as u64;
            self.seen.lock().expect("nobody panics").objects.insert(location.clone(), bytes);
        } else {
            self.seen.lock().expect("nobody panics").swaps += 1;
        }
        let operation = if batch { "put_batch" } else { "swap_manifest" };
        let result = self.ask(operation, self.store.write(&location, payload, condition)).await;
        if matches!(result, Ok(WriteOutcome::Conflict)) {
            let mut seen = self.seen.lock().expect("nobody panics");
            *if batch { &mut seen.upload_conflicts } else { &mut seen.conflicts } += 1;
        }
        result
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        let batch = is_batch(&location);
        let operation = if batch { "read_batch" } else { "read_manifest" };
        let result = self.ask(operation, self.store.read(&location, unless)).await;
        if batch && matches!(result, Ok(ReadOutcome::Found(_))) {
            self.seen.lock().expect("nobody panics").fetched += 1;
        }
        result
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.ask("list_batches", self.store.list(&prefix, after)).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        let results = self.store.delete(locations).await;
        let mut seen = self.seen.lock().expect("nobody panics");
        for result in &results {
            match result {
                Ok(()) => seen.deleted += 1,
                Err(failure) => {
                    let key = ("delete_batch", StoreErrorKind::name(failure.kind));
                    *seen.failures.entry(key).or_default() += 1;
                }
            }
        }
        drop(seen);
        results
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sim:world")
    }
}
