//! What the driver asks of an async runtime, and of a clock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use buffer_core::Instant;

use crate::processors;

/// A future that any thread may finish.
///
/// ```
/// use buffer_driver::BoxFuture;
/// use futures_lite::future::{block_on, ready};
///
/// // Futures of several types, as one.
/// let futures: [BoxFuture<'static, u8>; 2] = [Box::pin(ready(1)), Box::pin(async { 2 })];
/// let sum: u8 = futures.into_iter().map(block_on).sum();
/// assert_eq!(sum, 3);
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime that the driver's tasks run on.
///
/// One of plain threads, which is the least that there can be; the example `threads` runs a queue on it:
///
/// ```
/// use std::{sync::Arc, thread, time};
/// use buffer_driver::{BoxFuture, Runtime, buffer_core::Instant};
/// use event_listener::Event;
/// use futures_lite::future::block_on;
///
/// #[derive(Debug)]
/// struct Threads(time::Instant);
///
/// impl Runtime for Threads {
///     fn monotonic(&self) -> Instant {
///         Instant::from_origin(self.0.elapsed())
///     }
///     fn spawn(&self, task: BoxFuture<'static, ()>) {
///         thread::spawn(|| block_on(task));
///     }
///     fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
///         thread::spawn(work);
///     }
///     fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
///         let (delay, rung) = (deadline.saturating_since(self.monotonic()), Arc::new(Event::new()));
///         let listener = rung.listen();
///         thread::spawn(move || {
///             thread::sleep(delay);
///             rung.notify(usize::MAX);
///         });
///         Box::pin(listener)
///     }
///     fn entropy(&self) -> u64 {
///         4 // a real one draws
///     }
/// }
///
/// let runtime = Threads(time::Instant::now());
/// let deadline = runtime.monotonic() + time::Duration::from_millis(2);
/// block_on(runtime.sleep_until(deadline));
/// assert!(runtime.monotonic() >= deadline);
/// ```
///
/// What the driver has of one:
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use buffer_driver::Runtime;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime: Arc<dyn Runtime> = Arc::new(buffer::TokioRuntime::current()?);
/// let (send, receive) = mpsc::channel();
/// let (task, work) = (send.clone(), send);
/// runtime.spawn(Box::pin(async move { task.send("a task").unwrap() }));
/// assert!(receive.try_recv().is_err(), "on this one thread it has not had its turn");
/// runtime.yield_now().await;
/// assert_eq!(receive.try_recv()?, "a task");
/// runtime.spawn_blocking(Box::new(move || work.send("a thread").unwrap()));
/// assert_eq!(receive.recv()?, "a thread");
///
/// assert!(runtime.parallelism() >= 1);
/// assert!(runtime.after_ack().is_none(), "only a simulation waits there");
/// assert_ne!(runtime.entropy(), runtime.entropy());
/// # Ok(())
/// # }
/// ```
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// The monotonic clock, counted from an origin that stays the same for this runtime's life.
    fn monotonic(&self) -> Instant;

    /// Runs a task in the background. A runtime that shuts down drops it.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that takes CPU or blocks on a thread where that disturbs nobody.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// How many works of [`spawn_blocking`](Self::spawn_blocking) that keep a processor busy one producer or
    /// consumer has under way at a time; others wait for these. Unless it says otherwise, twice as many as there
    /// are processors.
    fn parallelism(&self) -> usize {
        processors::usual()
    }

    /// Ends at `deadline` or soon after; dropping it costs nothing.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;

    /// Lets everything else that is ready have its turn, timers and IO included.
    ///
    /// A caller whose calls never have to wait comes here now and then: on a
    /// runtime with one thread nothing else would ever run.
    fn yield_now(&self) -> BoxFuture<'static, ()> {
        Box::pin(futures_lite::future::yield_now())
    }

    /// What an acknowledgement waits for, once it is made: nothing.
    ///
    /// A simulation in which processes crash only where they wait has them wait here as well: what
    /// was acknowledged may be dequeued before the caller's next line.
    fn after_ack(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }

    /// Sixty-four random bits, for object names and jitter.
    fn entropy(&self) -> u64;
}

/// Tells the wall-clock time. Only stamps and names come from it; no timer does.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, SystemTime};
/// use buffer_driver::{Clock, MemoryStore, Producer, ProducerConfig};
///
/// /// It is always the same time, as a test may want it.
/// struct Stopped(SystemTime);
///
/// impl Clock for Stopped {
///     fn now(&self) -> SystemTime {
///         self.0
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("one"));
/// let clock = Arc::new(Stopped(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)));
/// let producer = Producer::with_store(&ProducerConfig::default(), store, clock, runtime)?;
/// let handle = producer.produce(vec!["an entry".into()], "".into()).await?;
/// assert_eq!(handle.ingestion_time_ms, 1_000_000_000_000);
/// # producer.close().await?;
/// # Ok(())
/// # }
/// ```
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> SystemTime;
}

/// The clock of the operating system.
///
/// ```
/// use buffer_driver::{Clock, SystemClock};
///
/// assert!(SystemClock.now() > std::time::UNIX_EPOCH);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
