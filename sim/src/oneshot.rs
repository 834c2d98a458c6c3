//! One value from one task to another.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

enum Slot<T> {
    Empty(Option<Waker>),
    Full(T),
    Closed,
}

struct Shared<T>(Mutex<Slot<T>>);

impl<T> Shared<T> {
    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.0.lock().expect("nothing panics while it holds a slot")
    }

    /// Puts what is final into the slot, if nothing is in it yet.
    fn settle(&self, last: Slot<T>) {
        let earlier = {
            let mut slot = self.slot();
            match *slot {
                Slot::Empty(_) => mem::replace(&mut *slot, last),
                Slot::Full(_) | Slot::Closed => return,
            }
        };
        if let Slot::Empty(Some(waker)) = earlier {
            waker.wake();
        }
    }
}

/// Where the value goes in. Dropping it unused closes the channel.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Where the value comes out: `None` once the sender is gone without a value.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared(Mutex::new(Slot::Empty(None))));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        self.0.settle(Slot::Full(value));
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.settle(Slot::Closed);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.slot();
        match mem::replace(&mut *slot, Slot::Closed) {
            Slot::Full(value) => Poll::Ready(Some(value)),
            Slot::Closed => Poll::Ready(None),
            Slot::Empty(earlier) => {
                *slot = Slot::Empty(Some(context.waker().clone()));
                // In this order: letting go of a waker may run somebody else's code.
                drop(slot);
                drop(earlier);
                Poll::Pending
            }
        }
    }
}
