//! Tasks of a runtime that somebody waits for, and waiting itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_listener::Event;
use futures_lite::future;

use crate::runtime::{BoxFuture, Runtime};

/// A task of a runtime, with what it will return.
pub(super) struct Task<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    ended: Event,
}

enum State<T> {
    Running,
    /// It ended; nothing, if it panicked or its runtime dropped it.
    Ended(Option<T>),
}

/// Tells of the end, however the task comes to it.
struct Ending<T>(Arc<Shared<T>>);

impl<T> Shared<T> {
    fn end(&self, value: Option<T>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Running) {
            *state = State::Ended(value);
        }
        drop(state);
        self.ended.notify(usize::MAX);
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

impl<T: Send + 'static> Task<T> {
    /// Starts a task.
    pub(super) fn start(
        runtime: &Arc<dyn Runtime>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared { state: Mutex::new(State::Running), ended: Event::new() });
        let ending = Ending(Arc::clone(&shared));
        runtime.spawn(Box::pin(async move {
            let value = work.await;
            ending.0.end(Some(value));
        }));
        Self { shared }
    }

    /// Waits for the end.
    ///
    /// # Panics
    ///
    /// If the task panicked, or its runtime shut down.
    pub(super) async fn join(self) -> T {
        loop {
            let listener = self.shared.ended.listen();
            {
                let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let State::Ended(value) = &mut *state {
                    return value.take().expect("a task of the suite ended without a result");
                }
            }
            listener.await;
        }
    }
}

/// Runs all of these at once, as tasks, and waits for their results, in their order.
pub(super) async fn join_all<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    work: Vec<BoxFuture<'static, T>>,
) -> Vec<T> {
    let tasks: Vec<_> = work.into_iter().map(|work| Task::start(runtime, work)).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.join().await);
    }
    results
}

/// Waits.
pub(super) async fn sleep(runtime: &Arc<dyn Runtime>, duration: Duration) {
    runtime.sleep_until(runtime.monotonic() + duration).await;
}

/// Runs this, but not for longer than that; `None` if it would.
pub(super) async fn within<T>(
    runtime: &Arc<dyn Runtime>,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let timer = runtime.sleep_until(runtime.monotonic() + limit);
    future::or(async { Some(work.await) }, async {
        timer.await;
        None
    })
    .await
}
