//! The driver's runtime, on tokio.

use std::fmt;

use buffer_driver::buffer_core::Instant;
use buffer_driver::{BoxFuture, ConfigError, Runtime};
use tokio::runtime::Handle;

/// The tokio runtime that a producer or a consumer was made in.
///
/// ```
/// use buffer::{ConfigError, TokioRuntime};
///
/// assert!(matches!(TokioRuntime::current(), Err(ConfigError::NoRuntime { .. })), "outside of one");
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// assert!(runtime.block_on(async { TokioRuntime::current() }).is_ok());
/// ```
pub struct TokioRuntime {
    handle: Handle,
    origin: tokio::time::Instant,
}

impl fmt::Debug for TokioRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tokio {}", self.handle.id())
    }
}

impl TokioRuntime {
    /// The runtime that the caller runs in.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoRuntime`] outside one.
    pub fn current() -> Result<Self, ConfigError> {
        let handle =
            Handle::try_current().map_err(|_| ConfigError::NoRuntime { runtime: "tokio" })?;
        let origin = {
            let _inside = handle.enter();
            tokio::time::Instant::now()
        };
        Ok(Self { handle, origin })
    }
}

impl Runtime for TokioRuntime {
    fn monotonic(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.handle.spawn(task));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.handle.spawn_blocking(work));
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let _inside = self.handle.enter();
        match self.origin.checked_add(deadline.since_origin()) {
            Some(deadline) => Box::pin(tokio::time::sleep_until(deadline)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn yield_now(&self) -> BoxFuture<'static, ()> {
        Box::pin(tokio::task::yield_now())
    }

    fn entropy(&self) -> u64 {
        fastrand::u64(..)
    }
}
