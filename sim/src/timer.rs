//! Timers: what happens next when nothing can happen now.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use buffer_core::Instant;

use crate::executor::World;
use crate::slab::{Key, Slab};

/// Something that is not a task and has things to do at certain times.
pub(crate) trait Fire: Send + Sync {
    /// Does what was to be done; `token` says what.
    fn fire(self: Arc<Self>, token: u64);
}

/// What a timer sets off.
pub(crate) enum Due {
    Wake(Waker),
    Fire(Arc<dyn Fire>, u64),
}

/// When a timer is due, its number, by which timers of one time are told apart, and where it is kept.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Nanoseconds of the deadline, then the number: most of the time of a heap goes into comparing.
    order: u128,
    token: u64,
}

impl Entry {
    fn new(deadline: Duration, number: u64, token: u64) -> Self {
        // A deadline beyond five centuries never comes.
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        Self { order: u128::from(nanos) << 64 | u128::from(number), token }
    }

    const fn deadline(&self) -> Duration {
        Duration::from_nanos((self.order >> 64) as u64)
    }
}

/// The timers of a world, in the order in which they fire: by time, then by age.
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    waiting: Slab<Due>,
    created: u64,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), waiting: Slab::new(), created: 0 }
    }

    pub(crate) fn add(&mut self, deadline: Duration, due: Due) -> Key {
        self.created += 1;
        let key = self.waiting.insert(due);
        self.heap.push(Reverse(Entry::new(deadline, self.created, key.token())));
        key
    }

    /// Takes the next timer that is due at `horizon` or before.
    pub(crate) fn take_due(&mut self, horizon: Duration) -> Option<(Duration, Due)> {
        loop {
            let Reverse(next) = self.heap.peek()?;
            let (deadline, key) = (next.deadline(), Key::of_token(next.token));
            if self.waiting.get_mut(key).is_some() && deadline > horizon {
                return None;
            }
            self.heap.pop();
            if let Some(due) = self.waiting.remove(key) {
                return Some((deadline, due));
            }
        }
    }

    pub(crate) fn next_deadline(&mut self) -> Option<Duration> {
        loop {
            let Reverse(next) = self.heap.peek()?;
            if self.waiting.get_mut(Key::of_token(next.token)).is_some() {
                return Some(next.deadline());
            }
            self.heap.pop();
        }
    }

    /// Gives back what it would have set off before, to be dropped where no lock is held.
    fn replace(&mut self, key: Key, waker: &Waker) -> Option<Due> {
        match self.waiting.get_mut(key)? {
            Due::Wake(earlier) if earlier.will_wake(waker) => None,
            due @ (Due::Wake(_) | Due::Fire(..)) => {
                Some(std::mem::replace(due, Due::Wake(waker.clone())))
            }
        }
    }

    fn remove(&mut self, key: Key) -> Option<Due> {
        let removed = self.waiting.remove(key);
        // What was taken back stays in the heap until most of the heap is of that kind.
        if self.heap.len() > 64 && self.heap.len() > self.waiting.len() * 2 {
            let Self { heap, waiting, .. } = self;
            heap.retain(|Reverse(entry)| waiting.get_mut(Key::of_token(entry.token)).is_some());
        }
        removed
    }

    /// Takes everything that is not a task's; to be dropped where no lock is held.
    pub(crate) fn take_fires(&mut self) -> Vec<Due> {
        let is_fire = |due: &Due| match due {
            Due::Fire(..) => true,
            Due::Wake(_) => false,
        };
        let keys: Vec<Key> =
            self.waiting.iter().filter(|(_, due)| is_fire(due)).map(|(key, _)| key).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }
}

/// Ends at a point in virtual time. Dropping it takes its timer back.
///
/// ```
/// use std::time::Duration;
/// use buffer_sim::SimRuntime;
///
/// let runtime = SimRuntime::new(1);
/// let sleep = runtime.sleep(Duration::from_secs(5));
/// assert_eq!(sleep.deadline(), runtime.now() + Duration::from_secs(5));
/// runtime.advance(Duration::from_secs(2));
/// runtime.block_on(sleep);
/// assert_eq!(runtime.elapsed(), Duration::from_secs(5), "it counts from when it was made");
/// ```
#[must_use = "a sleep that is not awaited does not wait"]
pub struct Sleep {
    world: Weak<World>,
    deadline: Duration,
    timer: Option<Key>,
}

impl Sleep {
    pub(crate) const fn new(world: Weak<World>, deadline: Duration) -> Self {
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
        let deadline = self.deadline;
        let earlier = {
            let mut state = world.state();
            if state.now >= deadline {
                return Poll::Ready(());
            }
            match self.timer {
                Some(key) => state.timers.replace(key, context.waker()),
                None => {
                    let due = Due::Wake(context.waker().clone());
                    self.timer = Some(state.timers.add(deadline, due));
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
