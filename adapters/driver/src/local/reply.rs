//! One value from a thread to a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

/// Makes both ends.
pub(super) fn pair<T>() -> (Sender<T>, Reply<T>) {
    let shared = Arc::new(Shared {
        value: Mutex::new(None),
        finished: AtomicBool::new(false),
        waker: AtomicWaker::new(),
    });
    (Sender { shared: Arc::clone(&shared) }, Reply { shared })
}

struct Shared<T> {
    value: Mutex<Option<T>>,
    /// Set when the sender is gone, with or without a value.
    finished: AtomicBool,
    waker: AtomicWaker,
}

/// The end that answers; dropping it answers too, with nothing.
pub(super) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Hands the value over.
    pub(super) fn send(self, value: T) {
        *self.shared.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.finished.store(true, Ordering::Release);
        self.shared.waker.wake();
    }
}

/// Ends with the value, or with `None` when the sender was dropped without one.
pub(super) struct Reply<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Future for Reply<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Register first: a sender that finishes in between then wakes this task.
        self.shared.waker.register(context.waker());
        if !self.shared.finished.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        Poll::Ready(self.shared.value.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn value_arrives_from_another_thread() {
        let (sender, reply) = pair();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(block_on(reply), Some(7));
        thread.join().expect("the sender does not panic");
    }

    #[test]
    fn dropped_sender_is_an_answer() {
        let (sender, reply) = pair::<u8>();
        drop(sender);
        assert_eq!(block_on(reply), None);
    }
}
