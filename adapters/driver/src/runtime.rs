//! What the driver asks of an async runtime, and of a clock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use buffer_core::Instant;

use crate::processors;

/// A future that any thread may finish.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime that the driver's tasks run on.
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
