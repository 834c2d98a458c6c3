//! Work that takes long, in the order in which it came and not too much at a time.
//!
//! A runtime's blocking threads are many. Given twenty batches to encode they begin them all, each takes
//! twenty times as long, and the first, which all others wait for, may be the last to be ready.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::runtime::Runtime;

type Work = Box<dyn FnOnce() + Send>;

/// The processors that one role may keep busy.
pub(crate) struct Processors {
    runtime: Arc<dyn Runtime>,
    most: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    running: usize,
    /// Somebody is at it: a runtime that is shut down drops work at once, which would begin the next within.
    is_starting: bool,
}

/// A processor that is in use until this is dropped, whether the work was done, failed or was dropped.
struct Taken(Arc<Processors>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.queue().running -= 1;
        self.0.start_waiting();
    }
}

impl fmt::Debug for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processors").field("most", &self.most).finish_non_exhaustive()
    }
}

impl Processors {
    pub(crate) fn of(runtime: &Arc<dyn Runtime>) -> Arc<Self> {
        let most = runtime.parallelism().max(1);
        Arc::new(Self { runtime: Arc::clone(runtime), most, queue: Mutex::default() })
    }

    /// Does the work once all that came before it has begun and a processor is free.
    pub(crate) fn run(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) {
        self.queue().waiting.push_back(Box::new(work));
        self.start_waiting();
    }

    fn start_waiting(self: &Arc<Self>) {
        while let Some(work) = self.next() {
            let taken = Taken(Arc::clone(self));
            self.runtime.spawn_blocking(Box::new(move || {
                work();
                drop(taken);
            }));
            self.queue().is_starting = false;
        }
    }

    /// What is to be started now, by the caller alone.
    fn next(&self) -> Option<Work> {
        let mut queue = self.queue();
        if queue.is_starting || queue.running == self.most {
            return None;
        }
        let work = queue.waiting.pop_front()?;
        queue.running += 1;
        queue.is_starting = true;
        Some(work)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twice as many as this process has processors: work whose thread has to wait for one holds up no other.
pub(crate) fn usual() -> usize {
    static USUAL: LazyLock<usize> =
        LazyLock::new(|| 2 * thread::available_parallelism().map_or(1, usize::from));
    *USUAL
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use buffer_core::Instant;

    use super::*;
    use crate::runtime::BoxFuture;

    /// Keeps what it is given until it is told to do it, or drops it at once.
    #[derive(Default)]
    struct ByHand {
        given: Mutex<VecDeque<Work>>,
        is_down: AtomicBool,
    }

    impl fmt::Debug for ByHand {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("ByHand")
        }
    }

    impl ByHand {
        fn given(&self) -> MutexGuard<'_, VecDeque<Work>> {
            self.given.lock().expect("no test panics with it")
        }

        fn take(&self) -> Work {
            self.given().pop_front().expect("something was given")
        }
    }

    impl Runtime for ByHand {
        fn monotonic(&self) -> Instant {
            unreachable!("no clock is looked at")
        }

        fn spawn(&self, _: BoxFuture<'static, ()>) {
            unreachable!("no task is spawned")
        }

        fn spawn_blocking(&self, work: Work) {
            if !self.is_down.load(Ordering::SeqCst) {
                self.given().push_back(work);
            }
        }

        fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
            unreachable!("nobody sleeps")
        }

        fn entropy(&self) -> u64 {
            unreachable!("nothing is drawn")
        }

        fn parallelism(&self) -> usize {
            2
        }
    }

    struct Setting {
        runtime: Arc<ByHand>,
        processors: Arc<Processors>,
        done: Arc<Mutex<Vec<usize>>>,
    }

    fn set_up(works: usize) -> Setting {
        let runtime = Arc::new(ByHand::default());
        let processors = Processors::of(&(Arc::clone(&runtime) as Arc<dyn Runtime>));
        let done = Arc::new(Mutex::new(Vec::new()));
        for number in 0..works {
            let done = Arc::clone(&done);
            processors.run(move || done.lock().expect("no test panics with it").push(number));
        }
        Setting { runtime, processors, done }
    }

    #[test]
    fn work_is_begun_in_order_by_as_many_as_there_are() {
        let Setting { runtime, done, .. } = set_up(5);
        for given in [2, 2, 2, 2, 1] {
            assert_eq!(runtime.given().len(), given);
            let work = runtime.take();
            work();
        }
        assert!(runtime.given().is_empty());
        assert_eq!(*done.lock().expect("nobody panicked"), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn work_that_panics_or_is_dropped_makes_room_for_the_next() {
        let Setting { runtime, processors, done } = set_up(0);
        processors.run(|| panic!("on purpose"));
        for number in [1, 2, 3] {
            let done = Arc::clone(&done);
            processors.run(move || done.lock().expect("nobody panicked").push(number));
        }
        let work = runtime.take();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).expect_err("it panics");
        drop(runtime.take());
        for _ in 0..2 {
            let work = runtime.take();
            work();
        }
        assert_eq!(*done.lock().expect("nobody panicked"), [2, 3]);
    }

    /// However much waits: not each within the one before it.
    #[test]
    fn a_runtime_that_is_down_drops_all_of_it() {
        let Setting { runtime, processors, done } = set_up(100_000);
        runtime.is_down.store(true, Ordering::SeqCst);
        drop(runtime.take());
        assert!(processors.queue().waiting.is_empty());
        assert!(done.lock().expect("nobody panicked").is_empty());
        assert_eq!(Arc::strong_count(&done), 2, "the one that was given is left");
    }
}
