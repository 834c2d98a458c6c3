//! Word for those who wait until something is so.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use super::world::locked;

/// Wakes who waits, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    came: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Signal {
    /// Waits until `holds`; it is asked again whenever [`Signal::tell`] is called.
    pub(crate) const fn until<H: Fn() -> bool + Unpin>(&self, holds: H) -> Until<'_, H> {
        Until { signal: self, number: None, holds }
    }

    /// Something has changed.
    pub(crate) fn tell(&self) {
        let woken = std::mem::take(&mut locked(&self.waiting).wakers);
        for waker in woken.into_values() {
            waker.wake();
        }
    }
}

/// A wait until something is so.
#[derive(Debug)]
#[must_use = "it waits only when it is awaited"]
pub(crate) struct Until<'a, H> {
    signal: &'a Signal,
    /// Its place among those who wait.
    number: Option<u64>,
    holds: H,
}

impl<H: Fn() -> bool + Unpin> Future for Until<'_, H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if (self.holds)() {
            return Poll::Ready(());
        }
        let mut waiting = locked(&self.signal.waiting);
        let number = self.number.unwrap_or(waiting.came);
        waiting.came += u64::from(self.number.is_none());
        let earlier = waiting.wakers.insert(number, context.waker().clone());
        drop(waiting);
        drop(earlier);
        self.number = Some(number);
        Poll::Pending
    }
}

impl<H> Drop for Until<'_, H> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = locked(&self.signal.waiting).wakers.remove(&number);
            drop(waker);
        }
    }
}
