//! The driver's runtime, on smol.

use std::fmt;
use std::sync::Arc;
use std::time;

use buffer_driver::buffer_core::Instant;
use buffer_driver::{BoxFuture, Runtime};
use smol::{Executor, Timer};

/// smol: its global executor, or one of your own.
///
/// The global executor runs on threads that smol starts by itself (`SMOL_THREADS`
/// of them, by default one), whatever the caller runs on: `smol::block_on`,
/// an executor of its own, or another runtime.
///
/// ```
/// use std::sync::Arc;
/// use buffer_smol::{Runtime, SmolRuntime};
///
/// let executor = Arc::new(smol::Executor::new());
/// let runtime = SmolRuntime::with_executor(executor.clone());
/// let (sender, receiver) = smol::channel::bounded(1);
/// runtime.spawn(Box::pin(async move { sender.send("done").await.unwrap_or_default() }));
/// assert_eq!(smol::block_on(executor.run(receiver.recv())), Ok("done"));
/// ```
pub struct SmolRuntime {
    executor: Option<Arc<Executor<'static>>>,
    origin: time::Instant,
}

impl fmt::Debug for SmolRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.executor {
            None => f.write_str("smol"),
            Some(executor) => write!(f, "smol {executor:?}"),
        }
    }
}

impl Default for SmolRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl SmolRuntime {
    /// smol's global executor.
    ///
    /// ```
    /// use buffer_smol::{Runtime, SmolRuntime};
    ///
    /// let runtime = SmolRuntime::new();
    /// let (sender, receiver) = smol::channel::bounded(1);
    /// // It runs by itself.
    /// runtime.spawn(Box::pin(async move { sender.send("done").await.unwrap_or_default() }));
    /// assert_eq!(receiver.recv_blocking(), Ok("done"));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { executor: None, origin: time::Instant::now() }
    }

    /// An executor of your own: somebody must [`run`](Executor::run) it for as long as a producer or
    /// a consumer is in use. Give the runtime to `buffer_driver`'s `Producer::with_store`.
    #[must_use]
    pub fn with_executor(executor: Arc<Executor<'static>>) -> Self {
        Self { executor: Some(executor), ..Self::new() }
    }
}

impl Runtime for SmolRuntime {
    fn monotonic(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        match &self.executor {
            None => smol::spawn(task).detach(),
            Some(executor) => executor.spawn(task).detach(),
        }
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        smol::unblock(work).detach();
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let deadline = self.origin.checked_add(deadline.since_origin());
        let timer = deadline.map_or_else(Timer::never, Timer::at);
        Box::pin(async {
            timer.await;
        })
    }

    fn entropy(&self) -> u64 {
        fastrand::u64(..)
    }
}
