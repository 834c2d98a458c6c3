//! A store that counts.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreErrorKind, Version,
    WriteOutcome, rope_len,
};

use crate::client::StoreClient;
use crate::store::{Store, StoreFailure};

/// What a request was about, and what was answered.
///
/// ```
/// use buffer_driver::buffer_core::Condition;
/// use buffer_driver::measure::{CountingStore, RequestKind};
/// use buffer_driver::{MemoryStore, Store};
///
/// # fn main() -> Result<(), buffer_driver::StoreFailure> {
/// # futures_lite::future::block_on(async {
/// let manifest = "ingest/manifest".into();
/// let store = CountingStore::new(MemoryStore::new("kinds"), "ingest/manifest".into());
/// store.read(&manifest, None).await?;
/// store.write(&manifest, vec!["one".into()], Condition::Absent).await?;
/// store.write(&manifest, vec!["two".into()], Condition::Absent).await?;
///
/// let counts = store.counts();
/// let seen = RequestKind::ALL.into_iter().filter(|kind| counts.of(*kind).requests > 0);
/// assert!(seen.map(RequestKind::name).eq(["swap_won", "swap_lost", "manifest_missing"]));
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// A batch was written.
    BatchPut,
    /// A batch was not written: its name was taken.
    BatchRefused,
    /// The manifest was swapped, or created.
    SwapWon,
    /// The manifest was not swapped: somebody else had.
    SwapLost,
    /// The manifest was not swapped: the store asked for fewer writes.
    SwapThrottled,
    /// The manifest was read.
    ManifestGet,
    /// The manifest was asked for, and not modified: no body was transferred.
    ManifestNotModified,
    /// The manifest was asked for, and there was none.
    ManifestMissing,
    /// A batch was read.
    BatchGet,
    /// A batch was asked for, and there was none.
    BatchMissing,
    /// A page of a listing.
    List,
    /// An object was deleted.
    Delete,
    /// A write of the manifest or of a batch that was not answered, or with another error.
    WriteFailed,
    /// A read, a listing or a deletion that was not answered, or with an error.
    OtherFailed,
}

/// Requests of one kind.
///
/// ```
/// use buffer_driver::buffer_core::Condition;
/// use buffer_driver::measure::{CountingStore, RequestKind};
/// use buffer_driver::{MemoryStore, Store};
///
/// # fn main() -> Result<(), buffer_driver::StoreFailure> {
/// # futures_lite::future::block_on(async {
/// let store = CountingStore::new(MemoryStore::new("tally"), "ingest/manifest".into());
/// store.write(&"ingest/a".into(), vec!["123".into(), "45".into()], Condition::Absent).await?;
/// store.delete(vec!["ingest/a".into(), "ingest/b".into()]).await;
///
/// let put = store.counts().of(RequestKind::BatchPut);
/// assert_eq!((put.requests, put.bytes), (1, 5));
/// println!("a batch took {:?}", put.time / put.requests as u32);
/// assert_eq!(store.counts().of(RequestKind::Delete).requests, 2, "one for each key");
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were; a deletion counts once for each key.
    pub requests: u64,
    /// The bytes of the bodies that they carried, in one direction or the other.
    pub bytes: u64,
    /// How long they took, all together.
    pub time: Duration,
}

/// How many requests of which kind there were.
///
/// ```
/// use buffer_driver::measure::{CountingStore, RequestKind};
/// use buffer_driver::{MemoryStore, Store};
///
/// # fn main() -> Result<(), buffer_driver::StoreFailure> {
/// # futures_lite::future::block_on(async {
/// let store = CountingStore::new(MemoryStore::new("counts"), "ingest/manifest".into());
/// store.read(&"ingest/manifest".into(), None).await?;
/// let before = store.counts();
/// store.read(&"ingest/manifest".into(), None).await?;
/// store.list(&"ingest".into(), None).await?;
///
/// let since = store.counts().since(&before);
/// assert_eq!(since.requests(), 2);
/// assert_eq!(since.of(RequestKind::List).requests, 1);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    tallies: [Tally; RequestKind::ALL.len()],
}

/// A store that counts what is asked of the one below it.
///
/// A request whose future is dropped before it was answered, as those are that
/// take too long, counts as failed.
///
/// ```
/// use buffer_driver::buffer_core::Condition;
/// use buffer_driver::measure::{CountingStore, RequestKind};
/// use buffer_driver::{MemoryStore, Store};
///
/// # fn main() -> Result<(), buffer_driver::StoreFailure> {
/// # futures_lite::future::block_on(async {
/// let store = CountingStore::new(MemoryStore::new("counted"), "ingest/manifest".into());
/// let batch = "ingest/batch".into();
/// store.write(&batch, vec!["12345".into()], Condition::Absent).await?;
/// store.read(&batch, None).await?;
/// store.inner().read(&batch, None).await?; // past the counters
///
/// let read = store.counts().of(RequestKind::BatchGet);
/// assert_eq!((read.requests, read.bytes), (1, 5));
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct CountingStore<S> {
    inner: S,
    manifest: Location,
    counters: [Counter; RequestKind::ALL.len()],
}

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
    nanos: AtomicU64,
}

impl RequestKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::BatchPut,
        Self::BatchRefused,
        Self::SwapWon,
        Self::SwapLost,
        Self::SwapThrottled,
        Self::ManifestGet,
        Self::ManifestNotModified,
        Self::ManifestMissing,
        Self::BatchGet,
        Self::BatchMissing,
        Self::List,
        Self::Delete,
        Self::WriteFailed,
        Self::OtherFailed,
    ];

    /// A name for it, in lower case with underscores.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BatchPut => "batch_put",
            Self::BatchRefused => "batch_refused",
            Self::SwapWon => "swap_won",
            Self::SwapLost => "swap_lost",
            Self::SwapThrottled => "swap_throttled",
            Self::ManifestGet => "manifest_get",
            Self::ManifestNotModified => "manifest_not_modified",
            Self::ManifestMissing => "manifest_missing",
            Self::BatchGet => "batch_get",
            Self::BatchMissing => "batch_missing",
            Self::List => "list",
            Self::Delete => "delete",
            Self::WriteFailed => "write_failed",
            Self::OtherFailed => "other_failed",
        }
    }
}

impl RequestCounts {
    /// Those of one kind.
    #[must_use]
    pub const fn of(&self, kind: RequestKind) -> Tally {
        self.tallies[kind as usize]
    }

    /// How many there were in all.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.requests).sum()
    }

    /// What came since `earlier` was counted, by the same store.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let tallies = array::from_fn(|index| {
            let (now, then) = (self.tallies[index], earlier.tallies[index]);
            Tally {
                requests: now.requests.saturating_sub(then.requests),
                bytes: now.bytes.saturating_sub(then.bytes),
                time: now.time.saturating_sub(then.time),
            }
        });
        Self { tallies }
    }
}

impl<S: Store> CountingStore<S> {
    /// Counts what is asked of `inner`; what `manifest` names is the manifest, everything else is a batch.
    pub fn new(inner: S, manifest: Location) -> Self {
        Self { inner, manifest, counters: Default::default() }
    }

    /// The store below; what is asked of that one is not counted.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// What was counted so far. Requests that are under way are not in it.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        let tallies = array::from_fn(|index| {
            let counter = &self.counters[index];
            Tally {
                requests: counter.requests.load(Ordering::Relaxed),
                bytes: counter.bytes.load(Ordering::Relaxed),
                time: Duration::from_nanos(counter.nanos.load(Ordering::Relaxed)),
            }
        });
        RequestCounts { tallies }
    }

    fn begin(&self, otherwise: RequestKind, bytes: u64) -> Counting<'_, S> {
        Counting { store: self, started: Instant::now(), kind: otherwise, requests: 1, bytes }
    }
}

/// A request that is under way. It is counted when it is dropped, answered or not.
struct Counting<'a, S> {
    store: &'a CountingStore<S>,
    started: Instant,
    kind: RequestKind,
    requests: u64,
    bytes: u64,
}

impl<S> Drop for Counting<'_, S> {
    fn drop(&mut self) {
        let counter = &self.store.counters[self.kind as usize];
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        counter.requests.fetch_add(self.requests, Ordering::Relaxed);
        counter.bytes.fetch_add(self.bytes, Ordering::Relaxed);
        counter.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl<S: Store> StoreClient for CountingStore<S> {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        let mut counting = self.begin(RequestKind::WriteFailed, rope_len(&payload) as u64);
        let outcome = self.inner.write(&location, payload, condition).await;
        counting.kind = match (&outcome, location == self.manifest) {
            (Ok(WriteOutcome::Stored(_)), true) => RequestKind::SwapWon,
            (Ok(WriteOutcome::Stored(_)), false) => RequestKind::BatchPut,
            (Ok(WriteOutcome::Conflict), true) => RequestKind::SwapLost,
            (Ok(WriteOutcome::Conflict), false) => RequestKind::BatchRefused,
            (Err(failure), true) if failure.kind == StoreErrorKind::Throttled => {
                RequestKind::SwapThrottled
            }
            (Err(_), true | false) => RequestKind::WriteFailed,
        };
        outcome
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        let is_manifest = location == self.manifest;
        let mut counting = self.begin(RequestKind::OtherFailed, 0);
        let outcome = self.inner.read(&location, unless).await;
        counting.kind = match (&outcome, is_manifest) {
            (Ok(ReadOutcome::Found(object)), _) => {
                counting.bytes = object.bytes.len() as u64;
                if is_manifest { RequestKind::ManifestGet } else { RequestKind::BatchGet }
            }
            // Nobody asks for a batch on a condition.
            (Ok(ReadOutcome::NotModified), _) => RequestKind::ManifestNotModified,
            (Ok(ReadOutcome::Missing), true) => RequestKind::ManifestMissing,
            (Ok(ReadOutcome::Missing), false) => RequestKind::BatchMissing,
            (Err(_), _) => RequestKind::OtherFailed,
        };
        outcome
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        let mut counting = self.begin(RequestKind::OtherFailed, 0);
        let page = self.inner.list(&prefix, after).await;
        if page.is_ok() {
            counting.kind = RequestKind::List;
        }
        page
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        let keys = locations.len() as u64;
        let mut counting = self.begin(RequestKind::OtherFailed, 0);
        counting.requests = keys;
        let results = self.inner.delete(locations).await;
        let failed = results.iter().filter(|result| result.is_err()).count() as u64;
        counting.kind = RequestKind::Delete;
        counting.requests = keys.saturating_sub(failed);
        let counter = &self.counters[RequestKind::OtherFailed as usize];
        counter.requests.fetch_add(failed, Ordering::Relaxed);
        results
    }
}

impl<S: fmt::Display> fmt::Display for CountingStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use bytes::Bytes;
    use futures_lite::future::{block_on, poll_once};

    use super::*;
    use crate::memory::MemoryStore;

    fn counting() -> CountingStore<MemoryStore> {
        CountingStore::new(MemoryStore::new("counted"), "q/manifest".into())
    }

    fn write(store: &dyn Store, key: &str, bytes: usize, condition: Condition) -> WriteOutcome {
        let payload = vec![Bytes::from(vec![0; bytes])];
        block_on(store.write(&key.into(), payload, condition)).expect("memory does not fail")
    }

    fn counted(store: &CountingStore<impl Store>) -> Vec<(RequestKind, u64, u64)> {
        let counts = store.counts();
        let tallies = RequestKind::ALL.map(|kind| (kind, counts.of(kind)));
        let seen = tallies.iter().filter(|(_, tally)| tally.requests > 0);
        seen.map(|(kind, tally)| (*kind, tally.requests, tally.bytes)).collect()
    }

    #[test]
    fn every_request_is_counted_once_by_what_became_of_it() {
        let store = counting();
        let WriteOutcome::Stored(version) = write(&store, "q/manifest", 5, Condition::Absent)
        else {
            panic!("nothing was there");
        };
        write(&store, "q/manifest", 6, Condition::Absent);
        write(&store, "q/a.batch", 100, Condition::Absent);
        write(&store, "q/a.batch", 7, Condition::Absent);
        let read = |key: &str, unless| block_on(store.read(&key.into(), unless));
        read("q/manifest", None).expect("it reads");
        read("q/manifest", Some(version)).expect("it reads");
        read("q/a.batch", None).expect("it reads");
        read("q/b.batch", None).expect("it reads");
        read("", None).expect_err("no such key");
        block_on(store.list(&"q".into(), None)).expect("it lists");
        block_on(store.delete(vec!["q/a.batch".into(), "".into(), "q/none".into()]));
        let expected = [
            (RequestKind::BatchPut, 1, 100),
            (RequestKind::BatchRefused, 1, 7),
            (RequestKind::SwapWon, 1, 5),
            (RequestKind::SwapLost, 1, 6),
            (RequestKind::ManifestGet, 1, 5),
            (RequestKind::ManifestNotModified, 1, 0),
            (RequestKind::BatchGet, 1, 100),
            (RequestKind::BatchMissing, 1, 0),
            (RequestKind::List, 1, 0),
            (RequestKind::Delete, 2, 0),
            (RequestKind::OtherFailed, 2, 0),
        ];
        assert_eq!(counted(&store), expected);
        let before = store.counts();
        read("q/manifest", None).expect("it reads");
        let since = store.counts().since(&before);
        assert_eq!(since.requests(), 1);
        assert_eq!(since.of(RequestKind::ManifestGet).bytes, 5);
    }

    /// A store that never answers.
    #[derive(Debug)]
    struct Silent;

    impl fmt::Display for Silent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("silence")
        }
    }

    impl StoreClient for Silent {
        async fn put(
            &self,
            _: Location,
            _: Rope,
            _: Condition,
        ) -> Result<WriteOutcome, StoreFailure> {
            pending().await
        }

        async fn get(&self, _: Location, _: Option<Version>) -> Result<ReadOutcome, StoreFailure> {
            pending().await
        }

        async fn page(&self, _: Location, _: Option<ListCursor>) -> Result<ListPage, StoreFailure> {
            pending().await
        }

        async fn remove(&self, _: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
            pending().await
        }
    }

    #[test]
    fn a_request_that_is_given_up_counts_as_failed() {
        let store = CountingStore::new(Silent, "m".into());
        let payload = vec![Bytes::from_static(b"abc")];
        block_on(poll_once(store.write(&"m".into(), payload, Condition::Absent)));
        block_on(poll_once(store.read(&"m".into(), None)));
        let expected = [(RequestKind::WriteFailed, 1, 3), (RequestKind::OtherFailed, 1, 0)];
        assert_eq!(counted(&store), expected);
    }
}
