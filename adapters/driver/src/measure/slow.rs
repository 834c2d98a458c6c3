//! A store that takes its time.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buffer_core::{
    Condition, Instant, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreErrorKind, Version,
    WriteOutcome, rope_len,
};

use crate::client::StoreClient;
use crate::runtime::Runtime;
use crate::store::{Store, StoreFailure};

/// Of how many keys the last write is remembered before those that do not matter any more are forgotten.
const REMEMBERED_KEYS: usize = 1024;

/// How many standard deviations lie between the median and the 99th percentile.
const Z99: f64 = 2.326_347_874;

/// How long a [`SlowStore`] takes, and how much it takes.
///
/// The default is no slowness at all.
///
/// ```
/// # use std::sync::Arc;
/// use buffer_driver::buffer_core::Condition;
/// use buffer_driver::measure::{SlowStore, Slowness};
/// use buffer_driver::{MemoryStore, Store, StoreErrorKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// // One object takes a write an hour.
/// let slowness = Slowness { key_rate: Some(1.0 / 3600.0), ..Slowness::default() };
/// let store = SlowStore::new(MemoryStore::new("throttled"), slowness, runtime);
/// let key = "key".into();
/// assert!(store.write(&key, vec!["first".into()], Condition::Absent).await.is_ok());
/// let second = store.write(&key, vec!["second".into()], Condition::Absent).await;
/// assert!(matches!(second, Err(failure) if failure.kind == StoreErrorKind::Throttled));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slowness {
    /// What a request takes in the median, transfer not counted: one half before the store looks,
    /// the other half after.
    pub latency: Duration,
    /// What the slowest hundredth takes at least: the distribution is log-normal. `None`, or no
    /// more than the median, makes all requests equal.
    pub latency_p99: Option<Duration>,
    /// Bytes a second in each request, whose transfer comes before a write and after a read.
    /// `None` is no limit.
    pub bandwidth: Option<u64>,
    /// How many writes a second one key takes; one more is answered as
    /// [`StoreErrorKind::Throttled`], without a look at its condition. `None` is no limit.
    pub key_rate: Option<f64>,
    /// What latencies are drawn by.
    pub seed: u64,
}

/// A store that takes longer than the one below it.
///
/// Without slowness nobody sleeps, and requests go straight to the store below.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use buffer_driver::buffer_core::ReadOutcome;
/// use buffer_driver::measure::{SlowStore, Slowness};
/// use buffer_driver::{MemoryStore, Runtime, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime: Arc<dyn Runtime> = Arc::new(buffer::TokioRuntime::current()?);
/// let slowness = Slowness { latency: Duration::from_millis(5), ..Slowness::default() };
/// let store = SlowStore::new(MemoryStore::new("slow"), slowness, Arc::clone(&runtime));
/// let started = runtime.monotonic();
/// let read = store.read(&"key".into(), None).await;
/// assert!(matches!(read, Ok(ReadOutcome::Missing)));
/// assert!(runtime.monotonic().saturating_since(started) >= slowness.latency);
///
/// // The store below answers at once, and has the same name.
/// assert_eq!(store.inner().to_string(), store.to_string());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SlowStore<S> {
    inner: S,
    slowness: Slowness,
    runtime: Arc<dyn Runtime>,
    draws: AtomicU64,
    written: Mutex<HashMap<Location, Instant>>,
}

impl<S: Store> SlowStore<S> {
    /// Makes `inner` slow; the runtime has the timers.
    pub fn new(inner: S, slowness: Slowness, runtime: Arc<dyn Runtime>) -> Self {
        Self { inner, slowness, runtime, draws: AtomicU64::new(0), written: Mutex::default() }
    }

    /// The store below.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// What is sent is transferred and half of the latency passes before the store is asked; after
    /// that the other half passes, and what was received is transferred.
    async fn take_time<R: Future>(
        &self,
        sent: usize,
        ask: impl FnOnce() -> R,
        received: impl FnOnce(&R::Output) -> usize,
    ) -> R::Output {
        let (start, latency) = (self.runtime.monotonic() + self.transfer(sent), self.latency());
        self.until(start + latency / 2).await;
        let answer = ask().await;
        self.until(start + latency + self.transfer(received(&answer))).await;
        answer
    }

    fn latency(&self) -> Duration {
        let Slowness { latency, latency_p99, seed, .. } = self.slowness;
        let Some(p99) = latency_p99.filter(|p99| *p99 > latency && !latency.is_zero()) else {
            return latency;
        };
        let draw = self.draws.fetch_add(2, Ordering::Relaxed);
        let deviation = (p99.as_secs_f64() / latency.as_secs_f64()).ln() / Z99;
        let normal = normal(unit(seed, draw), unit(seed, draw + 1));
        latency.mul_f64((deviation * normal).exp())
    }

    fn transfer(&self, bytes: usize) -> Duration {
        let Some(per_second) = self.slowness.bandwidth else { return Duration::ZERO };
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    async fn until(&self, instant: Instant) {
        if self.runtime.monotonic() < instant {
            self.runtime.sleep_until(instant).await;
        }
    }

    /// How long after a write a key takes the next.
    fn rest(&self) -> Option<Duration> {
        let rate = self.slowness.key_rate.filter(|rate| *rate > 0.0)?;
        Some(Duration::try_from_secs_f64(rate.recip()).unwrap_or(Duration::MAX))
    }

    /// Writes, unless this key was written to only just now.
    async fn write_rarely(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        let Some(rest) = self.rest() else {
            return self.inner.write(location, payload, condition).await;
        };
        let now = self.runtime.monotonic();
        let is_hot = |last: &Instant| now.saturating_since(*last) < rest;
        if self.written().get(location).is_some_and(is_hot) {
            let said = format!("this key takes {:?} writes a second", self.slowness.key_rate);
            return Err(StoreFailure::new(StoreErrorKind::Throttled, said));
        }
        let outcome = self.inner.write(location, payload, condition).await?;
        if matches!(outcome, WriteOutcome::Stored(_)) {
            let mut written = self.written();
            if written.len() >= REMEMBERED_KEYS {
                written.retain(|_, last| is_hot(last));
            }
            written.insert(location.clone(), now);
        }
        Ok(outcome)
    }

    fn written(&self) -> MutexGuard<'_, HashMap<Location, Instant>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> StoreClient for SlowStore<S> {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        let sent = rope_len(&payload);
        self.take_time(sent, || self.write_rarely(&location, payload, condition), |_| 0).await
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        let received = |outcome: &Result<ReadOutcome, StoreFailure>| match outcome {
            Ok(ReadOutcome::Found(object)) => object.bytes.len(),
            Ok(ReadOutcome::NotModified | ReadOutcome::Missing) | Err(_) => 0,
        };
        self.take_time(0, || self.inner.read(&location, unless), received).await
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.take_time(0, || self.inner.list(&prefix, after), |_| 0).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.take_time(0, || self.inner.delete(locations), |_| 0).await
    }
}

impl<S: fmt::Display> fmt::Display for SlowStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A number above 0 and up to 1 (Vigna's splitmix64): the `draw`th of this seed, whoever asks for it.
fn unit(seed: u64, draw: u64) -> f64 {
    let mut bits = seed.wrapping_add(draw.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// A draw of the normal distribution from two of the uniform one (Box and Muller).
fn normal(one: f64, other: f64) -> f64 {
    (-2.0 * one.ln()).sqrt() * (TAU * other).cos()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use bytes::Bytes;
    use futures_lite::future::block_on;

    use super::*;
    use crate::memory::MemoryStore;
    use crate::runtime::BoxFuture;

    /// A runtime whose time goes on only when somebody sleeps.
    #[derive(Debug, Default)]
    struct Leaping {
        nanos: Arc<AtomicU64>,
        slept: AtomicBool,
    }

    impl Runtime for Leaping {
        fn monotonic(&self) -> Instant {
            Instant::from_origin(Duration::from_nanos(self.nanos.load(Ordering::Relaxed)))
        }

        fn spawn(&self, _: BoxFuture<'static, ()>) {
            panic!("a store starts no tasks");
        }

        fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {
            panic!("this store starts no work");
        }

        fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
            self.slept.store(true, Ordering::Relaxed);
            let (nanos, until) = (Arc::clone(&self.nanos), deadline.since_origin().as_nanos());
            Box::pin(async move {
                nanos.fetch_max(until as u64, Ordering::Relaxed);
            })
        }

        fn entropy(&self) -> u64 {
            0
        }
    }

    fn slow(slowness: Slowness) -> (SlowStore<MemoryStore>, Arc<Leaping>) {
        let runtime = Arc::new(Leaping::default());
        let runtime_of_it: Arc<dyn Runtime> = Arc::clone(&runtime) as _;
        (SlowStore::new(MemoryStore::new("slow"), slowness, runtime_of_it), runtime)
    }

    fn write(
        store: &dyn Store,
        key: &str,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        block_on(store.write(&key.into(), vec![Bytes::from(vec![0; 1000])], condition))
    }

    fn took(runtime: &Leaping, request: impl FnOnce()) -> Duration {
        let before = runtime.monotonic();
        request();
        runtime.monotonic().saturating_since(before)
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_request_takes_its_latency_and_its_transfer() {
        let (store, runtime) =
            slow(Slowness { latency: 20 * MS, bandwidth: Some(100_000), ..Slowness::default() });
        let key = Location::from("k");
        let written = took(&runtime, || {
            write(&store, "k", Condition::Absent).expect("it writes");
        });
        assert_eq!(written, 30 * MS);
        let read = took(&runtime, || drop(block_on(store.read(&key, None))));
        assert_eq!(read, 30 * MS);
        // What carries nothing takes the latency alone.
        let missing = took(&runtime, || drop(block_on(store.read(&"none".into(), None))));
        assert_eq!(missing, 20 * MS);
        assert_eq!(took(&runtime, || drop(block_on(store.list(&key, None)))), 20 * MS);
        assert_eq!(took(&runtime, || drop(block_on(store.delete(vec![key.clone()])))), 20 * MS);
    }

    /// Notes when it is asked to write.
    #[derive(Debug)]
    struct Noting {
        runtime: Arc<Leaping>,
        asked: Mutex<Vec<Instant>>,
    }

    impl fmt::Display for Noting {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a notebook")
        }
    }

    impl StoreClient for Noting {
        async fn put(
            &self,
            _: Location,
            _: Rope,
            _: Condition,
        ) -> Result<WriteOutcome, StoreFailure> {
            self.asked.lock().expect("nobody panics").push(self.runtime.monotonic());
            Ok(WriteOutcome::Conflict)
        }

        async fn get(&self, _: Location, _: Option<Version>) -> Result<ReadOutcome, StoreFailure> {
            Ok(ReadOutcome::Missing)
        }

        async fn page(&self, _: Location, _: Option<ListCursor>) -> Result<ListPage, StoreFailure> {
            Ok(ListPage::default())
        }

        async fn remove(&self, _: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
            Vec::new()
        }
    }

    #[test]
    fn the_store_looks_at_half_time_after_the_transfer() {
        let runtime = Arc::new(Leaping::default());
        let noting = Noting { runtime: Arc::clone(&runtime), asked: Mutex::default() };
        let slowness =
            Slowness { latency: 20 * MS, bandwidth: Some(1_000_000), ..Slowness::default() };
        let store = SlowStore::new(noting, slowness, Arc::clone(&runtime) as _);
        write(&store, "k", Condition::Absent).expect("it answers");
        let asked = store.inner().asked.lock().expect("nobody panics").clone();
        assert_eq!(asked, [Instant::from_origin(11 * MS)]);
        assert_eq!(runtime.monotonic(), Instant::from_origin(21 * MS));
    }

    #[test]
    fn without_slowness_nobody_sleeps() {
        let (store, runtime) = slow(Slowness::default());
        write(&store, "k", Condition::Absent).expect("it writes");
        block_on(store.read(&"k".into(), None)).expect("it reads");
        assert!(!runtime.slept.load(Ordering::Relaxed));
    }

    #[test]
    fn latencies_have_the_median_and_the_tail_that_were_asked_for() {
        let slowness = Slowness {
            latency: 20 * MS,
            latency_p99: Some(100 * MS),
            seed: 7,
            ..Slowness::default()
        };
        let (store, _) = slow(slowness);
        let mut drawn: Vec<_> = (0..100_000).map(|_| store.latency()).collect();
        drawn.sort_unstable();
        let near = |found: Duration, wanted: Duration| {
            assert!((found.as_secs_f64() / wanted.as_secs_f64() - 1.0).abs() < 0.05, "{found:?}");
        };
        near(drawn[50_000], 20 * MS);
        near(drawn[99_000], 100 * MS);
        let (again, _) = slow(slowness);
        let (other, _) = slow(Slowness { seed: 8, ..slowness });
        let first = again.latency();
        assert!(drawn.binary_search(&first).is_ok() && first != other.latency());
    }

    #[test]
    fn a_key_takes_no_more_writes_than_its_rate() {
        let (store, runtime) = slow(Slowness { key_rate: Some(2.0), ..Slowness::default() });
        let stored = |outcome| match outcome {
            Ok(WriteOutcome::Stored(version)) => Condition::Version(version),
            other => panic!("{other:?}"),
        };
        let first = stored(write(&store, "k", Condition::Absent));
        let throttled = write(&store, "k", first.clone()).expect_err("it is too soon");
        assert_eq!(throttled.kind, StoreErrorKind::Throttled);
        stored(write(&store, "other", Condition::Absent));
        runtime.nanos.fetch_add(499_000_000, Ordering::Relaxed);
        assert!(write(&store, "k", first.clone()).is_err());
        runtime.nanos.fetch_add(1_000_000, Ordering::Relaxed);
        let second = stored(write(&store, "k", first.clone()));
        // What did not take effect is no write.
        runtime.nanos.fetch_add(500_000_000, Ordering::Relaxed);
        assert_eq!(write(&store, "k", first).expect("it answers"), WriteOutcome::Conflict);
        stored(write(&store, "k", second));
    }
}
