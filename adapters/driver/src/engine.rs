//! The loop that drives a machine.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use buffer_core::{Completion, Instant, Machine, Now, Output};
use futures_lite::future;

use crate::host::{Complete, Host};
use crate::runtime::BoxFuture;

/// A machine together with those who wait for its events.
pub(crate) trait Role: Send + 'static {
    type Machine: Machine;

    fn machine(&mut self) -> &mut Self::Machine;

    fn handle_event(&mut self, event: <Self::Machine as Machine>::Event);

    /// Whether the machine has ended: once it is drained, there is nothing left to drive.
    fn is_finished(&self) -> bool;

    /// Whether the machine was stopped: it is not driven on.
    fn is_stopped(&self) -> bool;

    /// The runtime dropped the loop, or the machine panicked: tells everybody who waits. May come twice.
    fn handle_stop(&mut self);
}

/// A machine behind a lock, a task that drains it, and the handles' way to it.
#[derive(Debug)]
pub(crate) struct Engine<R> {
    pub(crate) host: Host,
    role: Mutex<R>,
    /// Wakes the loop.
    waker: AtomicWaker,
    woken: AtomicBool,
    /// Who keeps calling should let the runtime have a turn first.
    crowded: AtomicBool,
}

impl<R: Role> Engine<R> {
    /// Starts the loop in the background.
    pub(crate) fn start(host: Host, role: R) -> Arc<Self> {
        let engine = Arc::new(Self {
            host,
            role: Mutex::new(role),
            waker: AtomicWaker::new(),
            woken: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
        });
        // A runtime that is shutting down drops the task before it ever ran: that is a stop as well.
        let stopped = StopGuard(Arc::clone(&engine));
        engine.host.runtime.spawn(Box::pin(Self::run(stopped)));
        engine
    }

    /// Gives the machine an input. The loop is woken only if that left it something to do.
    pub(crate) fn with<T>(&self, input: impl FnOnce(&mut R, Now) -> T) -> T {
        let wake_on_panic = WakeOnDrop(self);
        let mut role = self.lock();
        let now = self.host.now();
        let result = input(&mut role, now);
        let wake = role.machine().wants_poll();
        drop(role);
        std::mem::forget(wake_on_panic);
        if wake {
            self.wake();
        }
        result
    }

    /// Notes that inputs have come for a while without a rest.
    pub(crate) fn note_crowd(&self) {
        self.crowded.store(true, Ordering::Relaxed);
    }

    /// Makes way if the loop has something to do, or if inputs have come for a while without a rest.
    pub(crate) async fn make_way(&self) {
        let crowded = self.crowded.load(Ordering::Relaxed);
        if crowded || self.woken.load(Ordering::Relaxed) {
            self.crowded.store(false, Ordering::Relaxed);
            buffer_core::sometimes!(MadeWayForOthers, crowded);
            buffer_core::sometimes!(MadeWayForLoop, !crowded);
            self.host.runtime.yield_now().await;
        }
    }

    /// Looks at the machine without giving it an input.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&R) -> T) -> T {
        look(&self.lock())
    }

    /// Locks the machine. One that has panicked (a bug of this project) is
    /// never driven on: what it held is called unknown, and it takes no more.
    fn lock(&self) -> MutexGuard<'_, R> {
        self.role.lock().unwrap_or_else(|poisoned| {
            let mut role = poisoned.into_inner();
            role.handle_stop();
            role
        })
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.waker.wake();
    }

    async fn run(stopped: StopGuard<R>) {
        let engine = &stopped.0;
        let mut commands = Vec::new();
        // Most turns leave the deadline where it was: the timer goes on then.
        let mut timer: Option<(Instant, BoxFuture<'static, ()>)> = None;
        loop {
            let (deadline, finished) = engine.drain(&mut commands);
            for command in commands.drain(..) {
                engine.host.start(engine, command);
            }
            if finished {
                break;
            }
            let woken = async {
                engine.woken().await;
                false
            };
            timer = match (deadline, timer) {
                (Some(deadline), Some((set, sleep))) if deadline == set => Some((set, sleep)),
                (Some(deadline), _) => Some((deadline, engine.host.runtime.sleep_until(deadline))),
                (None, _) => None,
            };
            let timeout = async {
                match &mut timer {
                    Some((_, sleep)) => sleep.await,
                    None => future::pending().await,
                }
                true
            };
            if future::or(woken, timeout).await {
                // It is used up, also when the machine finds that it was early.
                timer = None;
                engine.with(|role, now| role.machine().handle_timeout(now));
            }
        }
    }

    fn drain(
        &self,
        commands: &mut Vec<buffer_core::Command>,
    ) -> (Option<buffer_core::Instant>, bool) {
        let mut role = self.lock();
        if role.is_stopped() {
            return (None, true);
        }
        loop {
            match role.machine().poll() {
                Output::Command(command) => commands.push(command),
                Output::Event(event) => role.handle_event(event),
                Output::Idle { deadline } => return (deadline, role.is_finished()),
            }
        }
    }

    async fn woken(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.woken.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl<R: Role> Complete for Engine<R> {
    fn complete(&self, completion: Completion) {
        // The clocks are read under the lock, with the completion in hand.
        self.with(|role, now| role.machine().handle_completion(now, completion));
    }
}

/// Wakes the loop when an input panics, so that it finds out.
struct WakeOnDrop<'a, R: Role>(&'a Engine<R>);

impl<R: Role> Drop for WakeOnDrop<'_, R> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// Notices that the loop ends, whether by itself, by a shutdown of the runtime or by a panic.
struct StopGuard<R: Role>(Arc<Engine<R>>);

impl<R: Role> Drop for StopGuard<R> {
    fn drop(&mut self) {
        let mut role = self.0.lock();
        if !role.is_finished() {
            buffer_core::sometimes!(LoopDropped);
            role.handle_stop();
        }
    }
}
