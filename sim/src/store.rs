//! A store in memory that does what a script says.

mod active;
mod applied;
#[cfg(feature = "object-store")]
mod client;
mod counts;
mod flight;
mod latency;
mod listing;
mod objects;
mod profile;
mod request;
mod rules;
mod serve;
mod shop;
mod verdict;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use buffer_core::format::Manifest;
use buffer_core::{
    Condition, ListCursor, ListPage, Location, Object, ReadOutcome, Rope, Version, WriteOutcome,
    rope_len,
};
use buffer_driver::{BoxFuture, Store, StoreFailure};
use bytes::Bytes;

use crate::clock::SimClock;
use crate::decisions::Random;
use crate::runtime::SimRuntime;
use crate::slab::Slab;

pub use applied::{Applied, Change, Requester, Written};
pub use counts::Counts;
pub use latency::{Jitter, Latency};
pub use profile::{ListingOrder, ModifiedTimes, Profile, Versions};
pub use request::{Kind, Operation, Request};
pub use rules::FaultGuard;
pub use verdict::{Quirk, Verdict};

use active::Active;
use applied::Observers;
use flight::{Ask, Draft, Flight};
pub(crate) use objects::KeyHasher;
use objects::{Objects, content_hash};
use rules::Rules;
use shop::Shop;

/// A store of the world: exact compare-and-swap, and whatever faults the script asks for.
///
/// A request is sent when its future is first polled. From there on the store
/// works on it by itself: a caller that goes away, or crashes, changes nothing.
/// Clones are handles of the same store.
///
/// It is a [`Store`] of the driver and, with the feature `object-store`, an `ObjectStore` as well. Where both traits are
/// imported, `list` and `delete` have to say whose they are: `Store::list(&store, ...)`.
///
/// ```
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::GCS);
/// let location = Location::new("queue/manifest");
/// store.put_raw(&location, "first");
/// store.put_raw(&location, "second");
///
/// let _stale = store.fault(|_| Verdict::Stale(1));
/// let read = runtime.block_on(store.read(&location, None));
/// assert!(format!("{read:?}").contains("first"));
/// assert_eq!(store.counts().manifest_reads, 1);
/// assert_eq!(store.active()["stale/read-manifest"], 1, "somebody saw the difference");
/// ```
#[derive(Clone)]
pub struct SimStore {
    inner: Arc<Inner>,
}

/// A store, shared by its handles, its requests and its fault guards.
struct Inner {
    runtime: SimRuntime,
    clock: SimClock,
    profile: Profile,
    observers: Observers,
    state: Mutex<State>,
}

struct State {
    objects: Objects,
    rules: Rules,
    latency: Latency,
    random: Random,
    flights: Slab<Flight>,
    requests: u64,
    batch_writes_in_flight: u64,
    counts: Counts,
    active: Active,
    keeps_log: bool,
    log: Vec<Applied>,
}

impl SimStore {
    /// An empty store of this world, with no latency.
    #[must_use]
    pub fn new(runtime: &SimRuntime, profile: Profile) -> Self {
        let state = State {
            objects: Objects::new(profile),
            rules: Rules::default(),
            latency: Latency::default(),
            random: runtime.random("store"),
            flights: Slab::new(),
            requests: 0,
            batch_writes_in_flight: 0,
            counts: Counts::default(),
            active: Active::default(),
            keeps_log: true,
            log: Vec::new(),
        };
        let (runtime, clock) = (runtime.clone(), runtime.clock());
        let (observers, state) = (Observers::default(), Mutex::new(state));
        Self { inner: Arc::new(Inner { runtime, clock, profile, observers, state }) }
    }

    /// Sets how long requests take from here on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_core::{Condition, Location};
    /// use buffer_driver::Store;
    /// use buffer_sim::{Latency, Profile, SimRuntime, SimStore};
    ///
    /// let runtime = SimRuntime::new(1);
    /// let store = SimStore::new(&runtime, Profile::S3);
    /// let quick = Latency::fixed(Duration::from_millis(20));
    /// store.set_latency(Latency { write: Duration::from_millis(50), ..quick });
    /// let location = Location::new("queue/manifest");
    /// runtime.block_on(store.read(&location, None))?;
    /// runtime.block_on(store.write(&location, vec!["one".into()], Condition::Absent))?;
    /// assert_eq!(runtime.elapsed(), Duration::from_millis(70));
    /// # Ok::<(), buffer_driver::StoreFailure>(())
    /// ```
    pub fn set_latency(&self, latency: Latency) {
        self.inner.state().latency = latency;
    }

    /// Adds a rule that decides what becomes of requests, until the guard is dropped.
    ///
    /// The newest rule is asked first; the others only if it lets the request pass.
    ///
    /// # Panics
    ///
    /// The request that follows panics, if the verdict is one that cannot be of
    /// it: a read has no conflict, a write nothing stale.
    ///
    /// ```
    /// use buffer_core::{Condition, Location, StoreErrorKind};
    /// use buffer_driver::Store;
    /// use buffer_sim::{Profile, SimRuntime, SimStore, Verdict};
    ///
    /// let runtime = SimRuntime::new(1);
    /// let store = SimStore::new(&runtime, Profile::S3);
    /// let _all = store.fault(|_| Verdict::Fail(StoreErrorKind::Denied));
    /// let _reads = store.fault(|request| match request.is_read() {
    ///     true => Verdict::Throttle,
    ///     false => Verdict::Pass,
    /// });
    /// let location = Location::new("queue/manifest");
    /// let read = runtime.block_on(store.read(&location, None));
    /// assert_eq!(read.expect_err("by the newer rule").kind, StoreErrorKind::Throttled);
    /// let write = store.write(&location, vec!["one".into()], Condition::Absent);
    /// let write = runtime.block_on(write);
    /// assert_eq!(write.expect_err("by the older rule").kind, StoreErrorKind::Denied);
    /// ```
    pub fn fault(&self, rule: impl FnMut(&Request) -> Verdict + Send + 'static) -> FaultGuard {
        let id = self.inner.state().rules.add(Box::new(rule));
        FaultGuard::new(&self.inner, id)
    }

    /// The store's own clock, from which `last_modified` comes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_core::Location;
    /// use buffer_sim::{Profile, SimRuntime, SimStore};
    ///
    /// let runtime = SimRuntime::new(1);
    /// let store = SimStore::new(&runtime, Profile::S3);
    /// store.clock().jump(Duration::from_secs(3600)); // an hour ahead of everybody else's
    /// let location = Location::new("queue/manifest");
    /// store.put_raw(&location, "one");
    /// let written = store.object(&location).and_then(|object| object.last_modified);
    /// let written = written.expect("it is there, and S3 says when");
    /// let ahead = written.saturating_since(runtime.clock().unix_millis());
    /// assert_eq!(ahead, Duration::from_secs(3600));
    /// ```
    #[must_use]
    pub fn clock(&self) -> &SimClock {
        &self.inner.clock
    }

    /// What was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.state().counts
    }

    /// Calls this for everything that takes effect, at the very moment.
    ///
    /// It may look into the store, but changes nothing in it.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use buffer_core::Location;
    /// use buffer_sim::{Profile, SimRuntime, SimStore};
    ///
    /// let store = SimStore::new(&SimRuntime::new(1), Profile::S3);
    /// let (sender, seen) = mpsc::channel();
    /// store.observe(move |applied| sender.send(applied.location.clone()).expect("it is there"));
    /// let location = Location::new("queue/manifest");
    /// store.put_raw(&location, "first");
    /// assert_eq!(seen.try_recv(), Ok(location));
    /// ```
    pub fn observe(&self, observer: impl FnMut(&Applied) + Send + 'static) {
        self.inner.observers.add(Box::new(observer));
    }

    /// Sets whether [`SimStore::log`] holds what takes effect from here on. At first it does.
    ///
    /// ```
    /// use buffer_core::Location;
    /// use buffer_sim::{Profile, SimRuntime, SimStore};
    ///
    /// let store = SimStore::new(&SimRuntime::new(1), Profile::S3);
    /// let location = Location::new("queue/manifest");
    /// store.put_raw(&location, "one");
    /// store.set_keeps_log(false); // a long run would fill the memory with it
    /// store.put_raw(&location, "two");
    /// assert_eq!(store.log().len(), 1);
    /// assert_eq!(store.log()[0].bytes(), "one");
    /// ```
    pub fn set_keeps_log(&self, keeps: bool) {
        self.inner.state().keeps_log = keeps;
    }

    /// How often each fault changed what a process saw, by `"{fault}/{operation}"`, such as `"lost-reply/swap"`.
    ///
    /// A fault changed something if an answer other than the true one, or none
    /// in time, reached a caller that still waited for it, or if the store
    /// became something else. What the store refuses because of its
    /// [`Profile`] counts as `"hot-key/..."`.
    ///
    /// ```
    /// use buffer_core::{Condition, Location};
    /// use buffer_driver::Store;
    /// use buffer_sim::{Profile, SimRuntime, SimStore, Verdict};
    ///
    /// let runtime = SimRuntime::new(1);
    /// let store = SimStore::new(&runtime, Profile::S3);
    /// let _rule = store.fault(|_| Verdict::FalseConflict);
    /// let location = Location::new("queue/manifest");
    /// let create = || store.write(&location, vec!["one".into()], Condition::Absent);
    /// runtime.block_on(create())?; // a conflict, though there is no such object
    /// store.put_raw(&location, "zero");
    /// runtime.block_on(create())?; // a conflict, and rightly so
    /// assert_eq!(store.active()["false-conflict/swap"], 1);
    /// # Ok::<(), buffer_driver::StoreFailure>(())
    /// ```
    #[must_use]
    pub fn active(&self) -> BTreeMap<&'static str, u64> {
        self.inner.state().active.by_name()
    }

    /// What took effect, in that order.
    #[must_use]
    pub fn log(&self) -> Vec<Applied> {
        self.inner.state().log.clone()
    }

    /// The keys of all objects, in order.
    #[must_use]
    pub fn locations(&self) -> Vec<Location> {
        self.inner.state().objects.locations().cloned().collect()
    }

    /// An object as it is now.
    #[must_use]
    pub fn object(&self, location: &Location) -> Option<Object> {
        self.inner.state().objects.get(location).cloned()
    }

    /// The manifest that is stored here now; an empty one where there is no object.
    ///
    /// # Panics
    ///
    /// When the object is not a manifest.
    ///
    /// ```
    /// use buffer_core::format::Manifest;
    /// use buffer_core::{Epoch, Location};
    /// use buffer_sim::{Profile, SimRuntime, SimStore};
    ///
    /// let store = SimStore::new(&SimRuntime::new(1), Profile::S3);
    /// let location = Location::new("queue/manifest");
    /// assert!(store.manifest(&location).is_empty(), "there is none yet");
    /// let claimed = Manifest::absent().with_epoch(Epoch(3));
    /// store.put_raw(&location, claimed.to_rope().concat());
    /// assert_eq!(store.manifest(&location).epoch(), Epoch(3));
    /// ```
    #[must_use]
    pub fn manifest(&self, location: &Location) -> Manifest {
        match self.object(location) {
            None => Manifest::absent(),
            Some(object) => Manifest::parse(location, object.bytes)
                .unwrap_or_else(|error| panic!("{location} holds no manifest: {error:?}")),
        }
    }

    /// Writes an object at once, without a request.
    pub fn put_raw(&self, location: &Location, bytes: impl Into<Bytes>) -> Version {
        self.inner.at_once(|shop| shop.put(None, location, bytes.into()))
    }

    /// Removes an object at once, without a request; says whether there was one.
    ///
    /// ```
    /// use buffer_core::Location;
    /// use buffer_sim::{Profile, SimRuntime, SimStore};
    ///
    /// let store = SimStore::new(&SimRuntime::new(1), Profile::S3);
    /// let batch = Location::new("queue/1.batch");
    /// store.put_raw(&batch, "entries");
    /// assert_eq!(store.locations(), [batch.clone()]);
    /// assert!(store.remove(&batch)); // as by somebody who tidied up
    /// assert!(!store.remove(&batch), "it is gone");
    /// assert!(store.locations().is_empty());
    /// ```
    pub fn remove(&self, location: &Location) -> bool {
        self.inner.at_once(|shop| shop.remove(None, location))
    }

    /// Puts an object back to the bytes, or the absence, of this many changes ago, at once.
    ///
    /// It is a change like any other: with [`Profile::GCS`] the old bytes get a new version.
    ///
    /// ```
    /// use buffer_core::Location;
    /// use buffer_sim::{Profile, SimRuntime, SimStore};
    ///
    /// let store = SimStore::new(&SimRuntime::new(1), Profile::S3);
    /// let manifest = Location::new("queue/manifest");
    /// store.put_raw(&manifest, "first");
    /// store.put_raw(&manifest, "second");
    /// store.restore(&manifest, 1);
    /// assert_eq!(store.object(&manifest).expect("it is there").bytes, "first");
    /// store.restore(&manifest, 3); // before all of these changes
    /// assert_eq!(store.object(&manifest), None);
    /// ```
    pub fn restore(&self, location: &Location, changes: usize) {
        let past = self.inner.state().objects.past(location, changes).cloned();
        match past {
            Some(object) => {
                self.put_raw(location, object.bytes);
            }
            None => {
                self.remove(location);
            }
        }
    }

    /// Writes a whole object, whatever is there: what a database may do, and a queue never does.
    ///
    /// A request like any other: it takes its time, and a rule may decide what becomes of it. It ends
    /// with a conflict only if a rule says so.
    ///
    /// ```
    /// use buffer_core::Location;
    /// use buffer_sim::{Profile, SimRuntime, SimStore};
    ///
    /// let runtime = SimRuntime::new(1);
    /// let store = SimStore::new(&runtime, Profile::S3);
    /// let location = Location::new("database/table");
    /// for contents in ["first", "second"] {
    ///     let written = store.overwrite(&location, vec![contents.into()]);
    ///     runtime.block_on(written).expect("nothing is wrong");
    /// }
    /// assert_eq!(store.object(&location).expect("it is there").bytes, "second");
    /// ```
    pub fn overwrite(
        &self,
        location: &Location,
        payload: Rope,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        self.send_write(location, payload, None)
    }

    fn send_write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        let operation = Operation::Write { condition, bytes: rope_len(&payload) };
        self.ask(location.clone(), operation, payload)
    }

    fn ask<R: flight::Reply + 'static>(
        &self,
        location: Location,
        operation: Operation,
        payload: Rope,
    ) -> BoxFuture<'_, R> {
        Box::pin(Ask::new(&self.inner, Draft { location, operation, payload }))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the store")
    }

    /// Does something to the objects, without a request.
    fn at_once<T>(&self, change: impl FnOnce(&mut Shop<'_>) -> T) -> T {
        let now = (self.runtime.elapsed(), self.clock.unix_millis());
        let (result, effects) = {
            let mut state = self.state();
            let State { objects, counts, random, .. } = &mut *state;
            let mut shop = Shop::new(self, objects, counts, random, now);
            let result = change(&mut shop);
            (result, shop.into_effects())
        };
        self.tell(effects);
        result
    }
}

impl Store for SimStore {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        self.send_write(location, payload, Some(condition))
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        self.ask(location.clone(), Operation::Read { unless }, Rope::new())
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        self.ask(prefix.clone(), Operation::List { after }, Rope::new())
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        let first = locations.first().cloned().unwrap_or_else(|| Location::new(""));
        self.ask(first, Operation::Delete { keys: locations }, Rope::new())
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore").field("profile", &self.inner.profile).finish_non_exhaustive()
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated store ({})", self.inner.profile.name)
    }
}

#[cfg(test)]
mod tests;
