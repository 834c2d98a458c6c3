//! A store in the memory of this process.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::SystemTime;

use buffer_core::{
    Condition, ListCursor, ListPage, ListedObject, Location, Object, ReadOutcome, Rope, UnixMillis,
    Version, WriteOutcome, rope_len,
};
use bytes::{Bytes, BytesMut};

use crate::client::StoreClient;
use crate::store::StoreFailure;

/// How many objects a page of a listing has at the most.
const PAGE: usize = 1000;

/// A store in the memory of this process, for tests and for what may be lost with it.
///
/// Payloads are kept in the pieces that they came in, and joined by who reads
/// them first; small pieces of large buffers keep those alive.
///
/// ```
/// use buffer_driver::MemoryStore;
///
/// let one = MemoryStore::shared("a name");
/// assert!(std::sync::Arc::ptr_eq(&one, &MemoryStore::shared("a name")));
/// assert_eq!(one.to_string(), "memory:a name");
/// ```
pub struct MemoryStore {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Location, Arc<Stored>>,
    /// How many versions were made. No two writes make the same, not even of different keys.
    versions: u64,
}

/// One state of an object.
struct Stored {
    /// Joined to one piece by who reads it first.
    pieces: Mutex<Rope>,
    version: Version,
    written: UnixMillis,
}

impl MemoryStore {
    /// An empty store that nobody else has, whatever its name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), state: Mutex::default() }
    }

    /// The store of this name, which all in the process share who ask for it, and which lives as
    /// long as one of them keeps it.
    #[must_use]
    pub fn shared(name: &str) -> Arc<Self> {
        static STORES: OnceLock<Mutex<BTreeMap<String, Weak<MemoryStore>>>> = OnceLock::new();
        let mut stores = lock(STORES.get_or_init(Mutex::default));
        if let Some(store) = stores.get(name).and_then(Weak::upgrade) {
            return store;
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let store = Arc::new(Self::new(name));
        stores.insert(name.to_owned(), Arc::downgrade(&store));
        store
    }
}

impl Stored {
    fn bytes(&self) -> Bytes {
        let mut pieces = lock(&self.pieces);
        if pieces.len() != 1 {
            let joined = join(mem::take(&mut *pieces));
            pieces.push(joined);
        }
        pieces[0].clone()
    }
}

impl StoreClient for MemoryStore {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        location.validate()?;
        let written = now();
        // What is replaced is dropped after the lock is free: it may be large.
        let _replaced;
        let mut state = lock(&self.state);
        let present = state.objects.get(&location);
        let holds = match condition {
            Condition::Absent => present.is_none(),
            Condition::Version(version) => present.is_some_and(|it| it.version == version),
        };
        if !holds {
            return Ok(WriteOutcome::Conflict);
        }
        state.versions += 1;
        let version = Version::from_e_tag(format!("\"{}\"", state.versions));
        let stored = Stored { pieces: Mutex::new(payload), version: version.clone(), written };
        _replaced = state.objects.insert(location, Arc::new(stored));
        drop(state);
        Ok(WriteOutcome::Stored(version))
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        location.validate()?;
        let Some(stored) = lock(&self.state).objects.get(&location).cloned() else {
            return Ok(ReadOutcome::Missing);
        };
        if unless.is_some_and(|unless| unless == stored.version) {
            return Ok(ReadOutcome::NotModified);
        }
        let (version, last_modified) = (stored.version.clone(), Some(stored.written));
        Ok(ReadOutcome::Found(Object { bytes: stored.bytes(), version, last_modified }))
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        prefix.validate()?;
        let below = format!("{prefix}/");
        let start = match after {
            Some(cursor) if *cursor.0 >= *below => Bound::Excluded(Location::new(&*cursor.0)),
            Some(_) | None => Bound::Included(Location::from(below.as_str())),
        };
        let state = lock(&self.state);
        let mut found = state
            .objects
            .range((start, Bound::Unbounded))
            .take_while(|(location, _)| location.as_str().starts_with(&below));
        let objects: Vec<_> = found
            .by_ref()
            .take(PAGE)
            .map(|(location, stored)| ListedObject {
                location: location.clone(),
                last_modified: Some(stored.written),
                bytes: Some(rope_len(&lock(&stored.pieces)) as u64),
            })
            .collect();
        let next = found.next().is_some().then(|| {
            let last = objects.last().expect("a page that is not the last is full");
            ListCursor(last.location.as_str().into())
        });
        Ok(ListPage { objects, next })
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        let remove = |location: &Location| {
            location.validate()?;
            let removed = lock(&self.state).objects.remove(location);
            drop(removed);
            Ok(())
        };
        locations.iter().map(remove).collect()
    }
}

impl fmt::Display for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory:{}", self.name)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = lock(&self.state).objects.len();
        f.debug_struct("MemoryStore").field("name", &self.name).field("objects", &objects).finish()
    }
}

fn join(pieces: Rope) -> Bytes {
    let mut joined = BytesMut::with_capacity(rope_len(&pieces));
    for piece in pieces {
        joined.extend_from_slice(&piece);
    }
    joined.freeze()
}

/// No step leaves half of a change behind, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use buffer_core::StoreErrorKind;
    use futures_lite::future::block_on;

    use super::*;
    use crate::prefixed::PrefixedStore;
    use crate::store::Store;

    fn write(
        store: &dyn Store,
        key: &str,
        pieces: &[&'static str],
        condition: Condition,
    ) -> WriteOutcome {
        let payload = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        block_on(store.write(&key.into(), payload, condition)).expect("memory does not fail")
    }

    #[track_caller]
    fn create(store: &dyn Store, key: &str, pieces: &[&'static str]) -> Version {
        match write(store, key, pieces, Condition::Absent) {
            WriteOutcome::Stored(version) => version,
            WriteOutcome::Conflict => panic!("{key} is there"),
        }
    }

    fn text(store: &dyn Store, key: &str) -> Option<String> {
        match block_on(store.read(&key.into(), None)).expect("memory does not fail") {
            ReadOutcome::Found(object) => Some(String::from_utf8_lossy(&object.bytes).into()),
            ReadOutcome::Missing => None,
            ReadOutcome::NotModified => panic!("nobody asked that"),
        }
    }

    #[test]
    fn conditions_are_exact_and_versions_never_come_again() {
        let store = MemoryStore::new("x");
        let first = create(&store, "k", &["a", "b"]);
        assert_eq!(write(&store, "k", &["c"], Condition::Absent), WriteOutcome::Conflict);
        assert_eq!(text(&store, "k").as_deref(), Some("ab"));
        let swap = write(&store, "k", &["ab"], Condition::Version(first.clone()));
        let WriteOutcome::Stored(second) = swap else { panic!("{swap:?}") };
        let stale = Condition::Version(first.clone());
        assert_eq!(write(&store, "k", &["d"], stale.clone()), WriteOutcome::Conflict);
        assert_eq!(write(&store, "none", &["d"], stale), WriteOutcome::Conflict);
        block_on(store.delete(vec!["k".into(), "none".into()])).into_iter().for_each(|result| {
            result.expect("memory does not fail");
        });
        assert_eq!(text(&store, "k"), None);
        let third = create(&store, "k", &[]);
        assert!(first != second && second != third && first != third);
        assert_eq!(text(&store, "k").as_deref(), Some(""));
        let unless = block_on(store.read(&"k".into(), Some(third))).expect("memory does not fail");
        assert_eq!(unless, ReadOutcome::NotModified);
        let unless = block_on(store.read(&"k".into(), Some(first))).expect("memory does not fail");
        assert!(matches!(unless, ReadOutcome::Found(_)));
    }

    #[test]
    fn pieces_are_joined_once_and_one_piece_is_never_copied() {
        let store = MemoryStore::new("x");
        let piece = Bytes::from(vec![7; 1000]);
        let at = piece.as_ptr();
        block_on(store.write(&"k".into(), vec![piece], Condition::Absent)).expect("it writes");
        let bytes = |key: &str| match block_on(store.get(key.into(), None)) {
            Ok(ReadOutcome::Found(object)) => object.bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes("k").as_ptr(), at);
        create(&store, "two", &["a", "b"]);
        assert_eq!(bytes("two").as_ptr(), bytes("two").as_ptr());
    }

    #[test]
    fn one_of_many_racing_swaps_wins() {
        let store = MemoryStore::new("x");
        let version = create(&store, "k", &["0"]);
        let wins = std::thread::scope(|scope| {
            let swap = || write(&store, "k", &["1"], Condition::Version(version.clone()));
            let racers: Vec<_> = (0..8).map(|_| scope.spawn(swap)).collect();
            let outcomes = racers.into_iter().map(|racer| racer.join().expect("it ends"));
            outcomes.filter(|outcome| matches!(outcome, WriteOutcome::Stored(_))).count()
        });
        assert_eq!(wins, 1);
    }

    fn pages(store: &dyn Store, prefix: &str) -> Vec<Vec<String>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = block_on(store.list(&prefix.into(), after)).expect("memory does not fail");
            pages.push(page.objects.iter().map(|object| object.location.to_string()).collect());
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn a_listing_is_complete_and_in_pages_and_shows_nothing_else() {
        let store = MemoryStore::new("x");
        for count in [0_usize, 1, 999, 1000, 1001, 2000] {
            let prefix = format!("q{count}");
            for number in 0..count {
                create(&store, &format!("{prefix}/{number:05}"), &["x"]);
            }
            create(&store, &format!("{prefix}!"), &[]);
            create(&store, &format!("{prefix}0/below"), &[]);
            let pages = pages(&store, &prefix);
            let expected: Vec<_> =
                (0..count).map(|number| format!("{prefix}/{number:05}")).collect();
            assert_eq!(pages.concat(), expected);
            assert_eq!(pages.len(), count.div_ceil(1000).max(1), "{count}");
        }
    }

    #[test]
    fn a_listing_goes_on_though_its_cursor_was_deleted() {
        let store = MemoryStore::new("x");
        for number in 0..1500 {
            create(&store, &format!("q/{number:05}"), &["x"]);
        }
        let first = block_on(store.list(&"q".into(), None)).expect("memory does not fail");
        block_on(store.delete(first.objects.into_iter().map(|object| object.location).collect()));
        let rest = block_on(store.list(&"q".into(), first.next)).expect("memory does not fail");
        assert_eq!((rest.objects.len(), rest.next), (500, None));
    }

    #[test]
    fn a_key_that_names_nothing_is_refused() {
        let store = MemoryStore::new("x");
        for key in ["", "a//b", "../a", "a/"] {
            let failure = block_on(store.get(key.into(), None)).expect_err(key);
            assert_eq!(failure.kind, StoreErrorKind::InvalidLocation);
            let prefixed = PrefixedStore::new(MemoryStore::new("y"), "p".into());
            let failure = block_on(prefixed.read(&key.into(), None)).expect_err(key);
            assert_eq!(failure.kind, StoreErrorKind::InvalidLocation);
        }
    }

    #[test]
    fn a_prefix_is_seen_below_and_not_above() {
        let below = MemoryStore::shared("prefixed");
        let store = PrefixedStore::new(Arc::clone(&below), "a/b".into());
        let version = create(&store, "q/one", &["1"]);
        create(&*below, "q/one", &["not this"]);
        create(&*below, "a/bq/two", &["nor this"]);
        assert_eq!(text(&store, "q/one").as_deref(), Some("1"));
        assert_eq!(text(&*below, "a/b/q/one").as_deref(), Some("1"));
        assert_eq!(pages(&store, "q"), [["q/one"]]);
        let swap = write(&store, "q/one", &["2"], Condition::Version(version));
        assert!(matches!(swap, WriteOutcome::Stored(_)));
        for number in 0..1000 {
            create(&store, &format!("many/{number}"), &[]);
        }
        assert_eq!(pages(&store, "many").concat().len(), 1000);
        assert!(block_on(store.delete(vec!["q/one".into()]))[0].is_ok());
        assert_eq!(text(&*below, "a/b/q/one"), None);
        assert_eq!(text(&*below, "q/one").as_deref(), Some("not this"));
    }

    #[test]
    fn a_store_is_shared_by_its_name_while_somebody_has_it() {
        let one = MemoryStore::shared("here");
        create(&*one, "k", &["x"]);
        assert_eq!(text(&*MemoryStore::shared("here"), "k").as_deref(), Some("x"));
        assert_eq!(text(&*MemoryStore::shared("there"), "k"), None);
        drop(one);
        assert_eq!(text(&*MemoryStore::shared("here"), "k"), None);
    }
}
