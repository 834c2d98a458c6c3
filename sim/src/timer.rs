//! Timers: what happens next when nothing can happen now.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use buffer_core::Instant;

use crate::executor::World;

/// When a timer is due, and its number, by which timers of one time are told apart.
pub(crate) type TimerKey = (Duration, u64);

/// The timers of a world, in the order in which they fire: by time, then by age.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<TimerKey, Waker>,
    created: u64,
}

impl Timers {
    pub(crate) fn add(&mut self, deadline: Duration, waker: Waker) -> TimerKey {
        self.created += 1;
        let key = (deadline, self.created);
        self.waiting.insert(key, waker);
        key
    }

    /// Takes the next timer that is due at `horizon` or before.
    pub(crate) fn take_due(&mut self, horizon: Duration) -> Option<(Duration, Waker)> {
        let entry = self.waiting.first_entry()?;
        let (deadline, _) = *entry.key();
        (deadline <= horizon).then(|| (deadline, entry.remove()))
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Gives back the earlier waker, to be dropped where no lock is held.
    fn replace(&mut self, key: TimerKey, waker: Waker) -> Option<Waker> {
        self.waiting.get_mut(&key).map(|slot| std::mem::replace(slot, waker))
    }

    fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.waiting.remove(&key)
    }
}

/// Ends at a point in virtual time. Dropping it takes its timer back.
#[must_use = "a sleep that is not awaited does not wait"]
pub struct Sleep {
    world: Weak<World>,
    deadline: Duration,
    timer: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn new(world: Weak<World>, deadline: Duration) -> Self {
        Self { world, deadline, timer: None }
    }

    /// When it ends.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        Instant::from_origin(self.deadline)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(world) = self.world.upgrade() else { return Poll::Pending };
        let waker = context.waker().clone();
        let deadline = self.deadline;
        let earlier = {
            let mut state = world.state();
            if state.now >= deadline {
                return Poll::Ready(());
            }
            match self.timer {
                Some(key) => state.timers.replace(key, waker),
                None => {
                    self.timer = Some(state.timers.add(deadline, waker));
                    None
                }
            }
        };
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(key), Some(world)) = (self.timer, self.world.upgrade()) {
            let waker = world.state().timers.remove(key);
            drop(waker);
        }
    }
}
