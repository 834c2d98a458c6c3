//! What `Probe` finds out about stores that keep their word, and stores that do not.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod local_support;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use buffer_core::{
    Condition, Instant, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreErrorKind, Version,
    WriteOutcome,
};
use buffer_driver::{
    BoxFuture, LocalDirectory, MemoryStore, Probe, ProbeCheck, ProbeOptions, ProbeReport, Runtime,
    Store, StoreClient, StoreFailure, SystemClock,
};
use event_listener::Event;
use futures_lite::future::block_on;
use local_support::Scratch;

#[derive(Debug)]
struct Threads(std::time::Instant);

impl Runtime for Threads {
    fn monotonic(&self) -> Instant {
        Instant::from_origin(self.0.elapsed())
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        std::thread::spawn(|| block_on(task));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(work);
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let delay = deadline.saturating_since(self.monotonic());
        // Requests are timed by the hundred, and none takes this long here.
        if delay > Duration::from_secs(1) {
            return Box::pin(std::future::pending());
        }
        let rung = Arc::new(Event::new());
        let listener = rung.listen();
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            rung.notify(usize::MAX);
        });
        Box::pin(listener)
    }

    fn entropy(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(Threads(std::time::Instant::now()))
}

/// Probes with few requests, and expects that everything is cleaned up.
fn probe(store: Arc<dyn Store>) -> Result<ProbeReport, buffer_core::StoreError> {
    let options = ProbeOptions {
        samples: 10,
        object_bytes: 1000,
        swapping: Duration::from_millis(50),
        monthly_dollars: None,
        ..ProbeOptions::default()
    };
    fn assert_send<T: Send>(it: T) -> T {
        it
    }
    let probe = Probe::new(Arc::clone(&store), Arc::new(SystemClock), runtime(), options);
    let report = block_on(assert_send(probe.run()));
    assert_eq!(block_on(probe.clean_up()), 0);
    let left = block_on(store.list(probe.scratch(), None)).unwrap();
    assert!(left.objects.is_empty(), "{left:?}");
    report
}

#[test]
fn memory_and_a_local_directory_are_all_well() {
    let scratch = Scratch::new("probe");
    let directory = LocalDirectory::open(scratch.path(), runtime()).unwrap();
    let stores: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::new("probe")), Arc::new(directory)];
    for store in stores {
        let name = store.to_string();
        let report = probe(store).unwrap();
        assert!(report.is_all_well() && report.can_compare_and_swap(), "{name}: {report:?}");
        assert_eq!(report.checks.len(), 7);
        assert!(report.swaps_per_second > 0.0 && report.put.p50 <= report.put.p99, "{report:?}");
        assert!(report.clock_ahead_ms.unwrap().abs() < 60_000, "{report:?}");
        let advice = report.advice.unwrap();
        assert!(advice.flush_interval >= Duration::from_millis(100), "{advice:?}");
    }
}

/// A store that does one thing wrong.
#[derive(Debug)]
struct Wrong {
    inner: Arc<MemoryStore>,
    how: How,
    calls: AtomicUsize,
    broken: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Replaces an object whatever the condition says.
    IgnoresConditions,
    /// Creates only what is not there, and swaps whatever the version says.
    IgnoresVersions,
    /// Reads what was there before, now and then.
    ReadsOld,
    /// Leaves an object out of listings.
    ListsLess,
    /// Tells no times.
    HasNoTimes,
    /// Says that it cannot.
    Unsupported,
    /// Fails for now, every seventh time, after it did what it was asked.
    LosesReplies,
    /// Fails for good.
    Denied,
}

fn wrong(how: How) -> Arc<dyn Store> {
    let inner = Arc::new(MemoryStore::new("wrong"));
    Arc::new(Wrong { inner, how, calls: AtomicUsize::new(0), broken: AtomicBool::new(false) })
}

impl Wrong {
    fn is_lost(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.how == How::LosesReplies && call % 7 == 6
    }

    /// Writes without a condition, by asking for the present version first.
    async fn replace(&self, location: &Location, payload: Rope) -> WriteOutcome {
        loop {
            let condition = match self.inner.read(location, None).await.unwrap() {
                ReadOutcome::Found(object) => Condition::Version(object.version),
                ReadOutcome::Missing | ReadOutcome::NotModified => Condition::Absent,
            };
            let outcome = self.inner.write(location, payload.clone(), condition).await.unwrap();
            if outcome != WriteOutcome::Conflict {
                return outcome;
            }
        }
    }
}

impl StoreClient for Wrong {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        let swaps = matches!(condition, Condition::Version(_));
        match self.how {
            How::IgnoresConditions => return Ok(self.replace(&location, payload).await),
            How::IgnoresVersions if swaps => return Ok(self.replace(&location, payload).await),
            How::Unsupported if swaps => return Err(StoreErrorKind::Unsupported.into()),
            How::Denied => return Err(StoreErrorKind::Denied.into()),
            How::IgnoresVersions
            | How::Unsupported
            | How::ReadsOld
            | How::ListsLess
            | How::HasNoTimes
            | How::LosesReplies => {}
        }
        let outcome = self.inner.write(&location, payload, condition).await;
        if self.is_lost() { Err(StoreErrorKind::Transient.into()) } else { outcome }
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        // A conditional read right after a write, answered from a cache.
        if self.how == How::ReadsOld
            && unless.is_some()
            && !self.broken.swap(true, Ordering::Relaxed)
        {
            return Ok(ReadOutcome::NotModified);
        }
        let outcome = self.inner.read(&location, unless).await;
        if self.is_lost() {
            return Err(StoreErrorKind::TimedOut.into());
        }
        match outcome {
            Ok(ReadOutcome::Found(mut object)) if self.how == How::HasNoTimes => {
                object.last_modified = None;
                Ok(ReadOutcome::Found(object))
            }
            outcome => outcome,
        }
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        let mut page = self.inner.list(&prefix, after).await?;
        if self.how == How::ListsLess {
            page.objects.pop();
        }
        Ok(page)
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.inner.delete(locations).await
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a store that {:?}", self.how)
    }
}

#[track_caller]
fn assert_fails(how: How, check: ProbeCheck) {
    let report = probe(wrong(how)).unwrap();
    assert!(report.failures().any(|(failed, _)| failed == check), "{how:?}: {report:?}");
    assert_eq!(report.can_compare_and_swap(), !check.is_compare_and_swap(), "{report:?}");
    assert!(!report.is_all_well());
    assert_eq!(report.advice.is_none(), check.is_compare_and_swap(), "{report:?}");
}

#[test]
fn a_store_that_ignores_conditions_is_found_out() {
    assert_fails(How::IgnoresConditions, ProbeCheck::CreateOnly);
    assert_fails(How::IgnoresConditions, ProbeCheck::StaleCondition);
    assert_fails(How::IgnoresConditions, ProbeCheck::OneWinner);
    assert_fails(How::IgnoresVersions, ProbeCheck::StaleCondition);
    assert_fails(How::IgnoresVersions, ProbeCheck::OneWinner);
    assert_fails(How::Unsupported, ProbeCheck::StaleCondition);
}

#[test]
fn reads_listings_and_times_that_are_wrong_are_found_out() {
    assert_fails(How::ListsLess, ProbeCheck::CompleteListing);
    assert_fails(How::HasNoTimes, ProbeCheck::Times);
    let report = probe(wrong(How::ReadsOld)).unwrap();
    let failed: Vec<_> = report.failures().map(|(check, _)| check).collect();
    assert_eq!(failed, [ProbeCheck::FreshReads]);
}

/// Goal: what was not answered is no proof of anything, and does not end the probe.
#[test]
fn lost_replies_are_not_taken_for_a_broken_word() {
    for _ in 0..5 {
        match probe(wrong(How::LosesReplies)) {
            Ok(report) => assert!(report.can_compare_and_swap(), "{report:?}"),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

#[test]
fn a_store_that_denies_is_an_error() {
    assert_eq!(probe(wrong(How::Denied)).unwrap_err().kind, StoreErrorKind::Denied);
}
