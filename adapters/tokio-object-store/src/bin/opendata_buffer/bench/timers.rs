//! Timers for a store whose latency is asked for.

use std::sync::Arc;

use async_io::Timer;
use buffer::buffer_core::Instant;
use buffer::{BoxFuture, Runtime, TokioRuntime};

/// Tokio, with the operating system's timers.
///
/// Tokio's own count in milliseconds and round up twice: a store that is to take 20 ms would take 22.
#[derive(Debug)]
pub(super) struct ExactTimers(Arc<TokioRuntime>);

impl ExactTimers {
    pub(super) const fn over(runtime: Arc<TokioRuntime>) -> Self {
        Self(runtime)
    }
}

impl Runtime for ExactTimers {
    fn monotonic(&self) -> Instant {
        self.0.monotonic()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(work);
    }

    fn parallelism(&self) -> usize {
        self.0.parallelism()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let timer = Timer::after(deadline.saturating_since(self.monotonic()));
        Box::pin(async move {
            timer.await;
        })
    }

    fn yield_now(&self) -> BoxFuture<'static, ()> {
        self.0.yield_now()
    }

    fn entropy(&self) -> u64 {
        self.0.entropy()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn nobody_wakes_too_early() {
        let runtime = ExactTimers::over(Arc::new(TokioRuntime::current().expect("it is inside")));
        for micros in [0, 1, 700, 3_300] {
            let deadline = runtime.monotonic() + Duration::from_micros(micros);
            runtime.sleep_until(deadline).await;
            let late = runtime.monotonic().saturating_since(deadline);
            assert!(runtime.monotonic() >= deadline, "{micros} us");
            assert!(late < Duration::from_secs(10), "{late:?}");
        }
    }
}
