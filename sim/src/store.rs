//! A store in memory that does what a script says.

mod counts;
mod fault;
mod latency;
mod objects;
mod serve;

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use buffer_core::format::Manifest;
use buffer_core::{
    Condition, ListCursor, ListPage, Location, Object, ReadOutcome, Rope, Version, WriteOutcome,
    rope_len,
};
use buffer_driver::{BoxFuture, Store, StoreFailure};
use bytes::Bytes;
use fastrand::Rng;

use crate::ProcessId;
use crate::clock::SimClock;
use crate::oneshot;
use crate::runtime::SimRuntime;

pub use counts::{Applied, Counts};
pub use fault::{FaultGuard, Operation, Request, Verdict};
pub use latency::{Jitter, Latency};
pub use objects::Profile;

use fault::{Rules, Short, is_batch};
use objects::{Objects, content_hash};

/// A store of the world: exact compare-and-swap, and whatever faults the script asks for.
///
/// A request is sent when its future is first polled. From there on the store
/// works on it by itself: a caller that goes away, or crashes, changes nothing.
/// Clones are handles of the same store.
///
/// ```
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::Gcs);
/// let location = Location::new("queue/manifest");
/// store.put_raw(&location, "first");
/// store.put_raw(&location, "second");
///
/// let _stale = store.fault(|_| Verdict::Stale(1));
/// let read = runtime.block_on(store.read(&location, None));
/// assert!(format!("{read:?}").contains("first"));
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
    state: Mutex<State>,
}

struct State {
    objects: Objects,
    rules: Rules,
    latency: Latency,
    random: Rng,
    requests: u64,
    batch_writes_in_flight: u64,
    counts: Counts,
    log: Vec<Applied>,
    #[allow(clippy::type_complexity)]
    pub(crate) observer: Option<Box<dyn FnMut(Option<ProcessId>, &Location, &Bytes, i64) + Send>>,
}

impl SimStore {
    pub(crate) fn observe(
        &self,
        observer: impl FnMut(Option<ProcessId>, &Location, &Bytes, i64) + Send + 'static,
    ) {
        self.inner.state().observer = Some(Box::new(observer));
    }

    /// An empty store of this world, with no latency.
    #[must_use]
    pub fn new(runtime: &SimRuntime, profile: Profile) -> Self {
        let state = State {
            objects: Objects::new(profile),
            rules: Rules::default(),
            latency: Latency::default(),
            random: runtime.random("store"),
            requests: 0,
            batch_writes_in_flight: 0,
            counts: Counts::default(),
            log: Vec::new(),
            observer: None,
        };
        let (runtime, clock) = (runtime.clone(), runtime.clock());
        Self { inner: Arc::new(Inner { runtime, clock, profile, state: Mutex::new(state) }) }
    }

    /// Sets how long requests take from here on.
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
    pub fn fault(&self, rule: impl FnMut(&Request) -> Verdict + Send + 'static) -> FaultGuard {
        let id = self.inner.state().rules.add(Box::new(rule));
        FaultGuard::new(&self.inner, id)
    }

    /// The store's own clock, from which `last_modified` comes.
    #[must_use]
    pub fn clock(&self) -> &SimClock {
        &self.inner.clock
    }

    /// What was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.state().counts
    }

    /// The writes that took effect, in that order.
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
        let version = self.inner.store(None, location, bytes.into());
        self.inner.runtime.record(format_args!("put {location} as {}", Short(&version)));
        version
    }

    /// Removes an object at once, without a request; says whether there was one.
    pub fn remove(&self, location: &Location) -> bool {
        let removed = self.inner.state().objects.remove(location);
        self.inner.runtime.record(format_args!("removed {location}: {removed}"));
        removed
    }

    /// Puts an object back to the bytes, or the absence, of this many changes ago, at once.
    ///
    /// It is a change like any other: with [`Profile::Gcs`] the old bytes get a new version.
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

    /// Takes note of a request, and decides what becomes of it.
    fn accept(&self, location: &Location, operation: Operation) -> (Request, Verdict) {
        let inner = &self.inner;
        let (process, time) = (inner.runtime.current_process(), inner.runtime.elapsed());
        let (number, rules) = {
            let mut state = inner.state();
            state.requests += 1;
            match &operation {
                Operation::Write { bytes, .. } => state.counts.write_sent(location, *bytes),
                Operation::Read { .. } => state.counts.read_sent(location),
            }
            (state.requests, state.rules.clone())
        };
        let request = Request { number, process, operation, location: location.clone(), time };
        // A rule is somebody else's code: it may look into the store or crash a process.
        let verdict = rules.judge(&request);
        verdict.assert_fits(&request);
        inner.runtime.record(format_args!("{request}: {verdict:?}"));
        (request, verdict)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the store")
    }

    /// Writes an object, whatever was there.
    fn store(&self, request: Option<u64>, location: &Location, bytes: Bytes) -> Version {
        let (time, now) = (self.runtime.elapsed(), self.clock.unix_millis());
        self.state().store(request, None, location, bytes, time, now)
    }
}

impl Store for SimStore {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        let location = location.clone();
        Box::pin(async move {
            let operation = Operation::Write { condition, bytes: rope_len(&payload) };
            let (request, verdict) = self.accept(&location, operation);
            let _waiting = is_batch(&location).then(|| InFlight::begin(&self.inner));
            let (reply, answer) = oneshot::channel();
            let served = serve::write(Arc::clone(&self.inner), request, verdict, payload, reply);
            self.inner.spawn(served);
            answered(answer).await
        })
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        let location = location.clone();
        Box::pin(async move {
            let (request, verdict) = self.accept(&location, Operation::Read { unless });
            let (reply, answer) = oneshot::channel();
            self.inner.spawn(serve::read(Arc::clone(&self.inner), request, verdict, reply));
            answered(answer).await
        })
    }

    fn list(
        &self,
        _prefix: &Location,
        _after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        Box::pin(async { Err(buffer_core::StoreErrorKind::Unsupported.into()) })
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        let refused = locations
            .iter()
            .map(|_| Err(buffer_core::StoreErrorKind::Unsupported.into()))
            .collect();
        Box::pin(async { refused })
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore").field("profile", &self.inner.profile).finish_non_exhaustive()
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated store ({:?})", self.inner.profile)
    }
}

/// Waits for the answer, for ever if there will be none.
async fn answered<T>(answer: oneshot::Receiver<T>) -> T {
    match answer.await {
        Some(answer) => answer,
        None => pending().await,
    }
}

/// A batch write that its caller waits for.
struct InFlight<'a>(&'a Inner);

impl<'a> InFlight<'a> {
    fn begin(inner: &'a Inner) -> Self {
        let mut state = inner.state();
        state.batch_writes_in_flight += 1;
        let most = state.counts.most_batch_writes_in_flight.max(state.batch_writes_in_flight);
        state.counts.most_batch_writes_in_flight = most;
        Self(inner)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().batch_writes_in_flight -= 1;
    }
}

#[cfg(test)]
mod tests;
