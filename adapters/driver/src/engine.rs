//! The loop that drives a machine.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use buffer_core::{Command, Completion, Instant, Machine, Now, Output};
use futures_lite::future;
use tracing::Span;

use crate::host::{Complete, Host};
use crate::metrics::RequestMetrics;
use crate::runtime::BoxFuture;

/// A machine together with those who wait for its events.
pub(crate) trait Role: Send + 'static {
    type Machine: Machine;

    fn machine(&mut self) -> &mut Self::Machine;

    /// Takes note of a command that is about to be started. What it does is done within the span.
    fn handle_command(&mut self, command: &Command, now: Instant) -> Span;

    fn handle_event(&mut self, event: <Self::Machine as Machine>::Event, now: Instant);

    /// Tells the metrics what was done since they were last told.
    fn report(&mut self, now: Instant);

    /// Whether the machine has ended: once it is drained, there is nothing left to drive.
    fn is_finished(&self) -> bool;

    /// Whether the machine was stopped: it is not driven on.
    fn is_stopped(&self) -> bool;

    /// The runtime dropped the loop, or the machine panicked: tells everybody who waits. May come twice.
    fn handle_stop(&mut self);
}

/// What is behind the lock.
#[derive(Debug)]
struct Driven<R> {
    role: R,
    /// When the last input came: whatever is drained follows from one, and needs no clock of its own.
    now: Instant,
}

/// A machine behind a lock, a task that drains it, and the handles' way to it.
#[derive(Debug)]
pub(crate) struct Engine<R> {
    pub(crate) host: Host,
    driven: Mutex<Driven<R>>,
    /// Wakes the loop.
    waker: AtomicWaker,
    woken: AtomicBool,
    /// Who keeps calling should let the runtime have a turn first.
    crowded: AtomicBool,
}

impl<R: Role> Engine<R> {
    /// Starts the loop in the background.
    pub(crate) fn start(host: Host, role: R) -> Arc<Self> {
        let now = host.runtime.monotonic();
        let engine = Arc::new(Self {
            host,
            driven: Mutex::new(Driven { role, now }),
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
        let mut driven = self.lock();
        let now = self.host.now();
        driven.now = now.monotonic;
        let result = input(&mut driven.role, now);
        let wake = driven.role.machine().wants_poll();
        drop(driven);
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
        look(&self.lock().role)
    }

    /// Brings the metrics up to date.
    pub(crate) fn report(&self) {
        let mut driven = self.lock();
        driven.role.report(self.host.runtime.monotonic());
    }

    /// Locks the machine. One that has panicked (a bug of this project) is
    /// never driven on: what it held is called unknown, and it takes no more.
    fn lock(&self) -> MutexGuard<'_, Driven<R>> {
        self.driven.lock().unwrap_or_else(|poisoned| {
            let mut driven = poisoned.into_inner();
            driven.role.handle_stop();
            driven
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
            let Drained { now, deadline, finished } = engine.drain(&mut commands);
            for (command, span) in commands.drain(..) {
                engine.host.start(engine, command, span, now);
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

    fn drain(&self, commands: &mut Vec<(Command, Span)>) -> Drained {
        let mut driven = self.lock();
        let Driven { role, now } = &mut *driven;
        if role.is_stopped() {
            return Drained { now: *now, deadline: None, finished: true };
        }
        let now = *now;
        loop {
            match role.machine().poll() {
                Output::Command(command) => {
                    let span = role.handle_command(&command, now);
                    commands.push((command, span));
                }
                Output::Event(event) => role.handle_event(event, now),
                Output::Idle { deadline } => {
                    role.report(now);
                    return Drained { now, deadline, finished: role.is_finished() };
                }
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
    fn complete(&self, completion: Completion, fetching_since: Option<Instant>) {
        // The clocks are read under the lock, with the completion in hand.
        self.with(|role, now| {
            if let Some(since) = fetching_since {
                self.host.metrics.fetched(now.monotonic.saturating_since(since));
            }
            role.machine().handle_completion(now, completion);
        });
    }

    fn requests(&self) -> &RequestMetrics {
        &self.host.metrics
    }
}

/// What a machine says once it is drained.
struct Drained {
    /// When that was.
    now: Instant,
    deadline: Option<Instant>,
    finished: bool,
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
        let role = &mut self.0.lock().role;
        if !role.is_finished() {
            buffer_core::sometimes!(LoopDropped);
            role.handle_stop();
        }
    }
}
