//! What a store really does: a few small requests under a scratch prefix, and what follows from them.
//!
//! What a client claims is checked when a store is opened; that a service keeps
//! it shows only when something is written, so only on request.

mod advice;
mod checks;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buffer_core::{
    Condition, ListedObject, Location, Object, ReadOutcome, StoreError, StoreErrorKind,
    StoreOperation, UnixMillis, Version, WriteOutcome,
};
use bytes::Bytes;
use futures_lite::future;

use crate::host;
use crate::runtime::{BoxFuture, Clock, Runtime};
use crate::store::{Store, StoreFailure};

pub use advice::{FlushAdvice, FlushBound};

/// How many keys are deleted in one request.
const DELETED_AT_ONCE: usize = 256;

/// How many failures that say nothing of the store are put up with, for each question.
const MOST_FAILURES: usize = 3;

/// Asks a store what it does, and how fast it is.
///
/// It writes below `{data_path_prefix}/.doctor-{random}/` alone, where neither a
/// consumer nor a collector looks for anything. Call
/// [`clean_up`](Self::clean_up) at the end, whatever happened before.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use buffer_driver::{MemoryStore, Probe, ProbeOptions, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// let store = Arc::new(MemoryStore::new("probed"));
/// let options = ProbeOptions { swapping: Duration::from_millis(10), ..ProbeOptions::default() };
/// let probe = Probe::new(store, Arc::new(SystemClock), runtime, options);
/// assert!(probe.scratch().as_str().starts_with("ingest/.doctor-"));
///
/// let report = probe.run().await;
/// assert_eq!(probe.clean_up().await, 0, "something is left");
/// assert!(report?.can_compare_and_swap());
/// # Ok(())
/// # }
/// ```
pub struct Probe {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    runtime: Arc<dyn Runtime>,
    options: ProbeOptions,
    scratch: Location,
    /// Every key that was written to, and whether an object is surely there.
    written: Mutex<BTreeMap<Location, bool>>,
}

/// How much a probe asks for.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use buffer_driver::{Probe, ProbeOptions};
/// # use buffer_driver::{MemoryStore, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("probed"));
/// // A short look, with objects of the size that batches will have.
/// let options = ProbeOptions {
///     samples: 4,
///     object_bytes: 1 << 20,
///     swapping: Duration::from_millis(10),
///     monthly_dollars: None,
///     ..ProbeOptions::default()
/// };
/// let report = Probe::new(store, Arc::new(SystemClock), runtime, options).run().await?;
/// assert!(report.is_all_well());
/// println!("one object takes {:.0} swaps a second", report.swaps_per_second);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeOptions {
    /// Where the queue's batches are; the scratch prefix lies below. Default: `ingest`.
    pub data_path_prefix: Location,
    /// How often each request is timed. Default: 50.
    pub samples: usize,
    /// How large the objects are that are timed, in bytes. Default: 64 KiB.
    pub object_bytes: usize,
    /// How many race for one object. Default: 8.
    pub racers: usize,
    /// How long one object is swapped as fast as it goes. Default: 2 s.
    pub swapping: Duration,
    /// How long to wait for one request. Default: 30 s.
    pub request_timeout: Duration,
    /// How many producers the advice is for. Default: 1.
    pub producers: usize,
    /// What the writes of one busy producer may cost a month, in dollars at S3's prices; `None`
    /// where requests cost nothing. Default: 100.
    pub monthly_dollars: Option<f64>,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            data_path_prefix: Location::from("ingest"),
            samples: 50,
            object_bytes: 64 << 10,
            racers: 8,
            swapping: Duration::from_secs(2),
            request_timeout: Duration::from_secs(30),
            producers: 1,
            monthly_dollars: Some(100.0),
        }
    }
}

/// What a queue needs of its store.
///
/// ```
/// use buffer_driver::ProbeCheck;
///
/// // A store that fails this one can keep no queue.
/// let vital = ProbeCheck::NoLostSwap;
/// assert!(vital.is_compare_and_swap());
/// assert_eq!(format!("{}: {vital}", vital.name()), "no_lost_swap: of many swaps none is lost");
/// // One that fails this one can, but the collector deletes nothing there.
/// assert!(!ProbeCheck::Times.is_compare_and_swap());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProbeCheck {
    /// A write that may only create leaves an object alone that is there.
    CreateOnly,
    /// A write on the condition of an old version changes nothing.
    StaleCondition,
    /// Of many that create one object, or swap one version, exactly one does.
    OneWinner,
    /// Of many swaps after each other, by several writers, none is lost.
    NoLostSwap,
    /// What was written is what the next read finds.
    FreshReads,
    /// A listing shows what was written, all of it, and not what was deleted.
    CompleteListing,
    /// Reads and listings tell when an object was written.
    Times,
}

impl ProbeCheck {
    /// A word for it, as in `--json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateOnly => "create_only",
            Self::StaleCondition => "stale_condition",
            Self::OneWinner => "one_winner",
            Self::NoLostSwap => "no_lost_swap",
            Self::FreshReads => "fresh_reads",
            Self::CompleteListing => "complete_listing",
            Self::Times => "times",
        }
    }

    /// Whether it is part of a compare-and-swap, without which there is no queue.
    #[must_use]
    pub const fn is_compare_and_swap(self) -> bool {
        match self {
            Self::CreateOnly | Self::StaleCondition | Self::OneWinner | Self::NoLostSwap => true,
            Self::FreshReads | Self::CompleteListing | Self::Times => false,
        }
    }
}

impl fmt::Display for ProbeCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateOnly => "a write that may only create leaves what is there",
            Self::StaleCondition => "a write on an old version is refused",
            Self::OneWinner => "of many racing writers exactly one wins",
            Self::NoLostSwap => "of many swaps none is lost",
            Self::FreshReads => "a read finds what was just written",
            Self::CompleteListing => "a listing is complete",
            Self::Times => "objects have times",
        })
    }
}

/// How a check came out.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use buffer_driver::{CheckResult, Probe, ProbeCheck, ProbeOptions};
/// # use buffer_driver::{MemoryStore, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("probed"));
/// # let options = ProbeOptions::default();
/// # let options = ProbeOptions { samples: 4, swapping: Duration::from_millis(10), ..options };
/// let report = Probe::new(store, Arc::new(SystemClock), runtime, options).run().await?;
/// assert_eq!(report.checks[0], CheckResult { check: ProbeCheck::CreateOnly, failure: None });
/// for CheckResult { check, failure } in &report.checks {
///     println!("{check}: {}", failure.as_deref().unwrap_or("yes"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// What was checked.
    pub check: ProbeCheck,
    /// What the store did instead; `None` when it did what it should.
    pub failure: Option<String>,
}

/// How long requests took.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use buffer_driver::{Latency, Probe, ProbeOptions};
/// # use buffer_driver::{MemoryStore, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("probed"));
/// # let options = ProbeOptions::default();
/// # let options = ProbeOptions { samples: 4, swapping: Duration::from_millis(10), ..options };
/// let report = Probe::new(store, Arc::new(SystemClock), runtime, options).run().await?;
/// let Latency { p50, p99 } = report.put;
/// println!("a write takes {p50:?}, a slow one {p99:?}");
/// assert!(p50 <= p99);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50: Duration,
    /// Ninety-nine in a hundred took no longer.
    pub p99: Duration,
}

/// What a probe found.
///
/// ```
/// # use std::{fmt, sync::Arc, time::Duration};
/// # use buffer_driver::buffer_core::{
/// #     Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
/// # };
/// # use buffer_driver::{MemoryStore, StoreClient, StoreFailure, SystemClock};
/// use buffer_driver::{Probe, ProbeCheck, ProbeOptions};
///
/// # type Answer<T> = Result<T, StoreFailure>;
/// #
/// # /// Writes without a look at the condition.
/// # #[derive(Debug)]
/// # struct Careless(MemoryStore);
/// #
/// # impl fmt::Display for Careless {
/// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
/// #         self.0.fmt(f)
/// #     }
/// # }
/// #
/// # impl StoreClient for Careless {
/// #     async fn put(&self, at: Location, payload: Rope, _: Condition) -> Answer<WriteOutcome> {
/// #         self.0.remove(vec![at.clone()]).await;
/// #         self.0.put(at, payload, Condition::Absent).await
/// #     }
/// #
/// #     async fn get(&self, at: Location, unless: Option<Version>) -> Answer<ReadOutcome> {
/// #         self.0.get(at, unless).await
/// #     }
/// #
/// #     async fn page(&self, prefix: Location, after: Option<ListCursor>) -> Answer<ListPage> {
/// #         self.0.page(prefix, after).await
/// #     }
/// #
/// #     async fn remove(&self, locations: Vec<Location>) -> Vec<Answer<()>> {
/// #         self.0.remove(locations).await
/// #     }
/// # }
/// #
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let options = ProbeOptions::default();
/// # let options = ProbeOptions { samples: 4, swapping: Duration::from_millis(10), ..options };
/// // A store that writes without a look at the condition.
/// let store = Arc::new(Careless(MemoryStore::new("probed")));
/// let report = Probe::new(store, Arc::new(SystemClock), runtime, options).run().await?;
/// assert!(!report.is_all_well() && !report.can_compare_and_swap());
/// assert_eq!(report.advice, None, "no interval would do");
/// let (check, failure) = report.failures().next().ok_or("it has no failure")?;
/// assert_eq!(check, ProbeCheck::CreateOnly);
/// assert_eq!(failure, "a write that may only create was taken although the object was there");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbeReport {
    /// Every check, with its result.
    pub checks: Vec<CheckResult>,
    /// Writing a new object of [`ProbeOptions::object_bytes`].
    pub put: Latency,
    /// Reading one.
    pub get: Latency,
    /// Swapping a small object, with nobody else about.
    pub swap: Latency,
    /// How many swaps a second one object took from four writers.
    pub swaps_per_second: f64,
    /// By how much the store's clock is ahead of this machine's, in milliseconds, give or take a
    /// request; `None` where the store tells no times.
    pub clock_ahead_ms: Option<i64>,
    /// What follows for producers; `None` for a store that cannot keep a queue.
    pub advice: Option<FlushAdvice>,
}

impl ProbeReport {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_all_well(&self) -> bool {
        self.failures().next().is_none()
    }

    /// Whether a queue can be kept in the store at all.
    #[must_use]
    pub fn can_compare_and_swap(&self) -> bool {
        self.failures().all(|(check, _)| !check.is_compare_and_swap())
    }

    /// What failed, and what the store did.
    pub fn failures(&self) -> impl Iterator<Item = (ProbeCheck, &str)> {
        self.checks.iter().filter_map(|it| Some((it.check, it.failure.as_deref()?)))
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe({}, {:?})", self.store, self.scratch)
    }
}

impl Probe {
    /// A probe of this store; nothing is asked yet.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
        options: ProbeOptions,
    ) -> Self {
        let random = runtime.entropy();
        let scratch = Location::from(format!("{}/.doctor-{random:016x}", options.data_path_prefix));
        Self { store, clock, runtime, options, scratch, written: Mutex::default() }
    }

    /// Where it writes.
    pub const fn scratch(&self) -> &Location {
        &self.scratch
    }

    /// Asks everything. What it wrote is still there afterwards.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked: not reached, denied, or
    /// failing again and again. A store that answers wrongly is no error but a report.
    pub async fn run(&self) -> Result<ProbeReport, StoreError> {
        let mut checks = vec![
            self.check(ProbeCheck::CreateOnly, |n| Box::pin(self.create_only(n))).await?,
            self.check(ProbeCheck::StaleCondition, |n| Box::pin(self.stale_condition(n))).await?,
            self.check(ProbeCheck::OneWinner, |n| Box::pin(self.one_winner(n))).await?,
        ];
        let rate = self.again(|n| Box::pin(self.many_swaps(n))).await?;
        checks.push(CheckResult::new(ProbeCheck::NoLostSwap, &rate));
        checks.push(self.check(ProbeCheck::FreshReads, |n| Box::pin(self.fresh_reads(n))).await?);
        let put = self.time_puts().await?;
        let get = self.time_gets().await?;
        let swap = self.time_swaps().await?;
        checks.push(
            self.check(ProbeCheck::CompleteListing, |n| Box::pin(self.complete_listing(n))).await?,
        );
        let times = self.again(|n| Box::pin(self.times(n))).await?;
        checks.push(CheckResult::new(ProbeCheck::Times, &times));

        let mut report = ProbeReport {
            checks,
            put,
            get,
            swap,
            swaps_per_second: rate.unwrap_or_default(),
            clock_ahead_ms: times.ok(),
            advice: None,
        };
        if report.can_compare_and_swap() {
            let rate = report.swaps_per_second;
            report.advice = Some(FlushAdvice::of(swap.p99, rate, &self.options));
        }
        Ok(report)
    }

    /// Deletes everything that it wrote, and says how many objects may be left.
    pub async fn clean_up(&self) -> usize {
        for _ in 0..2 {
            let keys: Vec<_> = self.lock().keys().cloned().collect();
            for keys in keys.chunks(DELETED_AT_ONCE) {
                let deleting = async { Ok(self.store.delete(keys.to_vec()).await) };
                let results = self.within(deleting).await;
                for (key, result) in keys.iter().zip(results.unwrap_or_default()) {
                    if result.is_ok() {
                        self.lock().remove(key);
                    }
                }
            }
        }
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Location, bool>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn check<'a>(
        &'a self,
        check: ProbeCheck,
        run: impl Fn(usize) -> Asking<'a, ()> + Send,
    ) -> Result<CheckResult, StoreError> {
        Ok(CheckResult::new(check, &self.again(run).await?))
    }

    /// Asks, and asks again with fresh keys after a failure that says nothing of the store.
    async fn again<'a, T>(
        &'a self,
        run: impl Fn(usize) -> Asking<'a, T> + Send,
    ) -> Result<Verdict<T>, StoreError> {
        let mut attempt = 0;
        loop {
            match run(attempt).await {
                Err(error) if error.is_retryable() && attempt < MOST_FAILURES => attempt += 1,
                // A store that says by itself that it cannot has answered the question.
                Err(error) if error.kind == StoreErrorKind::Unsupported => {
                    return Ok(Err(error.to_string()));
                }
                answered => return answered,
            }
        }
    }

    fn key(&self, name: impl fmt::Display) -> Location {
        Location::from(format!("{}/{name}", self.scratch))
    }

    async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, StoreFailure>>,
    ) -> Result<T, StoreFailure> {
        let deadline = self.runtime.monotonic() + self.options.request_timeout;
        let timer = self.runtime.sleep_until(deadline);
        let late = async {
            timer.await;
            Err(StoreErrorKind::TimedOut.into())
        };
        future::or(request, late).await
    }

    async fn write(
        &self,
        location: &Location,
        payload: impl Into<Bytes>,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreError> {
        let operation = match &condition {
            Condition::Absent => StoreOperation::PutBatch,
            Condition::Version(_) => StoreOperation::SwapManifest,
        };
        // Before it is asked for: of what fails, nobody knows whether it is there.
        self.lock().entry(location.clone()).or_default();
        let request = self.store.write(location, vec![payload.into()], condition);
        let outcome = self.within(request).await;
        if matches!(outcome, Ok(WriteOutcome::Stored(_))) {
            self.lock().insert(location.clone(), true);
        }
        outcome.map_err(|failure| failure.of(operation, location.clone()))
    }

    /// Makes an object that is not there yet.
    async fn create(
        &self,
        location: &Location,
        payload: impl Into<Bytes>,
    ) -> Result<Version, StoreError> {
        match self.write(location, payload, Condition::Absent).await? {
            WriteOutcome::Stored(version) => Ok(version),
            WriteOutcome::Conflict => {
                let operation = StoreOperation::PutBatch;
                let error = StoreError::new(StoreErrorKind::Transient, operation, location.clone());
                Err(error.with_source("a key that nobody else uses is said to be taken"))
            }
        }
    }

    async fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreError> {
        let request = self.within(self.store.read(location, unless));
        request.await.map_err(|failure| failure.of(StoreOperation::ReadManifest, location.clone()))
    }

    /// The object, or what there was instead.
    async fn found(&self, location: &Location) -> Result<Verdict<Object>, StoreError> {
        Ok(match self.read(location, None).await? {
            ReadOutcome::Found(object) => Ok(object),
            ReadOutcome::Missing => Err(format!("{location} was written, and a read missed it")),
            ReadOutcome::NotModified => {
                Err(format!("{location} is \"not modified\" to a read that named no version"))
            }
        })
    }

    async fn list(&self) -> Result<Vec<ListedObject>, StoreError> {
        let (mut objects, mut after) = (Vec::new(), None);
        loop {
            let request = self.within(self.store.list(&self.scratch, after));
            let page = request
                .await
                .map_err(|failure| failure.of(StoreOperation::ListBatches, self.scratch.clone()))?;
            objects.extend(page.objects);
            after = page.next;
            if after.is_none() {
                return Ok(objects);
            }
        }
    }

    fn wall_clock(&self) -> UnixMillis {
        host::unix_millis(self.clock.now())
    }
}

/// Whether the store did what it should, or what it did instead.
type Verdict<T> = Result<T, String>;

/// A question under way.
type Asking<'a, T> = BoxFuture<'a, Result<Verdict<T>, StoreError>>;

impl CheckResult {
    fn new<T>(check: ProbeCheck, verdict: &Verdict<T>) -> Self {
        Self { check, failure: verdict.as_ref().err().cloned() }
    }
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let rank = |hundredths: usize| {
            let rank = (times.len() * hundredths).div_ceil(100).max(1);
            times.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p99: rank(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let ms = Duration::from_millis;
        let latency = Latency::of((1..=100).rev().map(ms).collect());
        assert_eq!(latency, Latency { p50: ms(50), p99: ms(99) });
        assert_eq!(Latency::of(vec![ms(3), ms(1)]), Latency { p50: ms(1), p99: ms(3) });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
