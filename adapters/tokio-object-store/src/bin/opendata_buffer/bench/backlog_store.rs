//! A store in memory with a backlog in it, however long: many batches have the same body.

use std::fmt;
use std::sync::Arc;

use buffer::buffer_core::format::{EncodeError, Manifest, Metadata, NewEntry, encode_batch};
use buffer::buffer_core::{
    Condition, ListCursor, ListPage, Location, Object, ReadOutcome, Rope, Version, WriteOutcome,
};
use buffer::{CompressionType, Store, StoreClient, StoreFailure};
use bytes::Bytes;

use crate::exit::{self, Failure};

use super::payload::Payload;
use super::sums::Sums;

/// Serves batches of a backlog; everything else is the store's below.
#[derive(Debug)]
pub(crate) struct BacklogStore {
    inner: Arc<dyn Store>,
    prefix: String,
    bodies: Arc<Bodies>,
    /// Whether each reading gets memory of its own, as from a network.
    copies: bool,
}

/// What batches have in them: the batch of number n has body n, and they begin again after the last.
#[derive(Debug)]
pub(crate) struct Bodies {
    bodies: Vec<Body>,
    calls_per_batch: usize,
    entries_per_call: usize,
}

#[derive(Debug)]
struct Body {
    bytes: Bytes,
    /// Of its calls.
    sums: Sums,
}

impl Bodies {
    /// Bodies for this many batches, each of a size of `batch_size` at the most, but with one call
    /// at least, and of `most_bytes` in all before they begin again.
    pub(crate) fn new(
        payload: &Payload,
        batch_size: usize,
        compression: CompressionType,
        batches: u64,
        most_bytes: usize,
    ) -> Result<Self, Failure> {
        let with_lengths = payload.call_bytes() + 4 * payload.entries_per_call();
        let calls_per_batch = (batch_size / with_lengths).max(1);
        let most = (most_bytes / (calls_per_batch * with_lengths)).max(1) as u64;
        let body = |number: u64| {
            let first = number * calls_per_batch as u64;
            let calls = first..first + calls_per_batch as u64;
            let entries: Vec<_> = calls.flat_map(|call| payload.call(0, call)).collect();
            let mut sums = Sums::default();
            sums.add_calls(&entries, payload.entries_per_call());
            let rope = encode_batch(entries.iter(), compression.into())?;
            Ok(Body { bytes: rope.concat().into(), sums })
        };
        let bodies: Result<_, EncodeError> = (0..batches.min(most)).map(body).collect();
        let bodies = bodies.map_err(|error| Failure::failed(exit::chain(&error)))?;
        Ok(Self { bodies, calls_per_batch, entries_per_call: payload.entries_per_call() })
    }

    fn of(&self, number: u64) -> &Body {
        let index = number % self.bodies.len() as u64;
        &self.bodies[usize::try_from(index).expect("there are not that many")]
    }

    pub(crate) fn bytes(&self, number: u64) -> Bytes {
        self.of(number).bytes.clone()
    }

    /// What the calls of the first batches sum up to.
    pub(crate) fn sums(&self, batches: u64) -> Sums {
        let mut sums = Sums::default();
        (0..batches).for_each(|number| sums.merge(self.of(number).sums));
        sums
    }

    pub(crate) const fn entries_per_call(&self) -> usize {
        self.entries_per_call
    }

    /// A manifest that lists this many batches, with the metadata that calls without any leave.
    pub(crate) fn manifest(&self, prefix: &str, batches: u64) -> Result<Manifest, Failure> {
        let records = u32::try_from(self.calls_per_batch * self.entries_per_call);
        let records = records.map_err(|_| Failure::usage("a batch has too many entries"))?;
        // Calls that come in the same millisecond share an item: about two for each batch.
        let item = |start_index| Metadata {
            start_index,
            ingestion_time_ms: 1_767_225_600_000 + i64::from(start_index),
            payload: Bytes::new(),
        };
        let metadata = [item(0), item(records / 2)];
        let locations: Vec<_> = (0..batches).map(|number| location(prefix, number)).collect();
        let entries: Vec<_> =
            locations.iter().map(|location| NewEntry { location, metadata: &metadata }).collect();
        Manifest::absent().append(&entries).map_err(|error| Failure::failed(exit::chain(&error)))
    }
}

/// The key of a batch of the backlog: a ULID that is older than any that is made now.
pub(crate) fn location(prefix: &str, number: u64) -> Location {
    Location::from(format!("{prefix}/{number:026}.batch"))
}

impl BacklogStore {
    pub(crate) fn new(
        inner: Arc<dyn Store>,
        prefix: &str,
        bodies: Arc<Bodies>,
        copies: bool,
    ) -> Self {
        Self { inner, prefix: format!("{prefix}/"), bodies, copies }
    }

    /// The number of a batch of the backlog.
    fn number(&self, location: &Location) -> Option<u64> {
        let name = location.as_str().strip_prefix(&self.prefix)?.strip_suffix(".batch")?;
        name.parse().ok()
    }

    fn body(&self, number: u64) -> Object {
        let bytes = self.bodies.bytes(number);
        let bytes = if self.copies { Bytes::copy_from_slice(&bytes) } else { bytes };
        Object { bytes, version: Version::from_e_tag("\"backlog\""), last_modified: None }
    }
}

impl StoreClient for BacklogStore {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.inner.write(&location, payload, condition).await
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        match self.number(&location) {
            Some(number) => Ok(ReadOutcome::Found(self.body(number))),
            None => self.inner.read(&location, unless).await,
        }
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.inner.list(&prefix, after).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.inner.delete(locations).await
    }
}

impl fmt::Display for BacklogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
