//! The one thread of a world: its tasks, its virtual time, and what happens next.
//!
//! No task is polled, woken or dropped while the state is locked: each of these
//! may run code that spawns, wakes, sleeps or crashes a process.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use buffer_driver::BoxFuture;

use crate::decisions::{Choices, Decisions, Random, SharedTrace};
use crate::event;
use crate::process::{Moment, ProcessId};
use crate::runtime::SimOptions;
use crate::slab::{Key, Slab};
use crate::timer::{Due, Timers};
use crate::trace::Trace;

struct Task {
    /// Counts the tasks of a world: keys are used up in another order.
    number: u64,
    process: ProcessId,
    /// Out while it is polled; never here for a future that stays on the stack of `block_on`.
    future: Option<BoxFuture<'static, ()>>,
    /// Out while it is polled.
    waker: Waker,
    queued: bool,
}

/// What becomes of a process.
#[derive(Default)]
struct Life {
    crashed: bool,
    /// While it is paused: what its tasks would do, in the order in which they became ready.
    paused: Option<Vec<Key>>,
    /// How many requests it has sent.
    requests: u64,
    crashes_at: Option<(u64, Moment)>,
}

/// Everything that the world's events change.
pub(crate) struct State {
    /// Virtual time since the world began.
    pub(crate) now: Duration,
    pub(crate) timers: Timers,
    pub(crate) entropy: Random,
    /// How long work given to `spawn_blocking` takes.
    pub(crate) cpu_delay: Duration,
    /// Chooses among the tasks that are ready, if their order is left to chance.
    pub(crate) order: Option<Random>,
    /// A hash of the order in which tasks ran.
    pub(crate) steps: u64,
    /// Whose task is being polled.
    pub(crate) current: ProcessId,
    tasks: Slab<Task>,
    tasks_created: u64,
    ready: VecDeque<Key>,
    /// By the number of the process; the first is the world itself.
    lives: Vec<Life>,
    running: bool,
    /// Everything is being dropped: what goes away now was not given up by anybody.
    pub(crate) ending: bool,
}

/// A world, shared by its handles.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) options: SimOptions,
    pub(crate) keeps_events: bool,
    state: Mutex<State>,
    /// The same as `now` of the state, to be read without a lock.
    nanos: AtomicU64,
    /// Whether any process is to crash at a request: most worlds need not look.
    crashes_planned: AtomicBool,
    /// How many steps the last run took.
    steps_taken: AtomicU64,
    pub(crate) trace: SharedTrace,
}

struct TaskWaker {
    world: Weak<World>,
    task: Key,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(world) = self.world.upgrade() {
            world.state().make_ready(self.task);
        }
    }
}

impl State {
    fn make_ready(&mut self, key: Key) {
        if let Some(task) = self.tasks.get_mut(key)
            && !task.queued
        {
            task.queued = true;
            self.ready.push_back(key);
        }
    }

    /// The task whose turn it is: the one that has been ready for the longest, or any.
    fn take_ready(&mut self) -> Option<Key> {
        match &mut self.order {
            Some(order) if self.ready.len() > 1 => {
                let chosen = order.usize(..self.ready.len());
                self.ready.swap_remove_front(chosen)
            }
            Some(_) | None => self.ready.pop_front(),
        }
    }

    pub(crate) fn is_crashed(&self, process: ProcessId) -> bool {
        self.lives[process.index()].crashed
    }

    /// Takes note of a request that this process sends; says which of its requests it is.
    pub(crate) fn count_request(&mut self, process: ProcessId) -> u64 {
        let life = &mut self.lives[process.index()];
        life.requests += 1;
        life.requests
    }
}

/// What the thread does next.
enum Next {
    Task(Key, BoxFuture<'static, ()>, Waker),
    Main(Waker),
    Timer(Due),
    Nothing,
}

impl World {
    pub(crate) fn new(seed: u64, options: SimOptions, choices: Choices) -> Self {
        let keeps_events = options.keeps_events || event::is_watching();
        let decisions = Decisions::new(choices);
        let trace = SharedTrace::new(Trace::new(options.keeps_lines, keeps_events, decisions));
        if event::is_watching() {
            event::watch_world(&trace);
        }
        let state = State {
            now: Duration::ZERO,
            timers: Timers::new(),
            entropy: Random::new(&trace, seed, "entropy"),
            cpu_delay: options.cpu_delay,
            order: options.shuffles.then(|| Random::new(&trace, seed, "order of tasks")),
            steps: 0,
            current: ProcessId::WORLD,
            tasks: Slab::new(),
            tasks_created: 0,
            ready: VecDeque::new(),
            lives: vec![Life::default()],
            running: false,
            ending: false,
        };
        Self {
            seed,
            options,
            keeps_events,
            state: Mutex::new(state),
            nanos: AtomicU64::new(0),
            crashes_planned: AtomicBool::new(false),
            steps_taken: AtomicU64::new(0),
            trace,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the state")
    }

    pub(crate) fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock()
    }

    /// Virtual time since the world began.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// Whether this process was to crash at this moment of this request.
    pub(crate) fn crashes_at(&self, process: ProcessId, request: u64, moment: Moment) -> bool {
        self.crashes_planned.load(Ordering::Relaxed)
            && self.state().lives[process.index()].crashes_at == Some((request, moment))
    }

    pub(crate) fn crash_at(&self, process: ProcessId, request: u64, moment: Moment) {
        self.crashes_planned.store(true, Ordering::Relaxed);
        let mut state = self.state();
        let life = &mut state.lives[process.index()];
        life.crashes_at = Some((life.requests + request, moment));
    }

    /// How many steps the last run took.
    pub(crate) fn steps_taken(&self) -> u64 {
        self.steps_taken.load(Ordering::Relaxed)
    }

    fn set_now(&self, state: &mut State, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).expect("no world lasts for centuries");
        // Only this thread moves time on.
        self.nanos.store(nanos, Ordering::Relaxed);
        state.now = now;
    }

    pub(crate) fn create_process(&self) -> ProcessId {
        let mut state = self.state();
        let number = u32::try_from(state.lives.len()).expect("fewer than four billion processes");
        state.lives.push(Life::default());
        ProcessId::new(number)
    }

    /// Starts a task; one of a crashed process is dropped instead.
    pub(crate) fn spawn(self: &Arc<Self>, process: ProcessId, future: BoxFuture<'static, ()>) {
        let refused = {
            let mut state = self.state();
            if state.is_crashed(process) {
                Some(future)
            } else {
                self.add_task(&mut state, process, Some(future));
                None
            }
        };
        drop(refused);
    }

    fn add_task(
        self: &Arc<Self>,
        state: &mut State,
        process: ProcessId,
        future: Option<BoxFuture<'static, ()>>,
    ) -> Key {
        state.tasks_created += 1;
        let (number, waker) = (state.tasks_created, Waker::noop().clone());
        let key = state.tasks.insert(Task { number, process, future, waker, queued: false });
        let waker = Waker::from(Arc::new(TaskWaker { world: Arc::downgrade(self), task: key }));
        state.tasks.get_mut(key).expect("it was just added").waker = waker;
        state.make_ready(key);
        key
    }

    /// Starts no more tasks of a process from here on; says whether it was alive.
    pub(crate) fn mark_crashed(&self, process: ProcessId) -> bool {
        !mem::replace(&mut self.state().lives[process.index()].crashed, true)
    }

    /// Polls no task of a process until it is resumed.
    pub(crate) fn pause(&self, process: ProcessId) {
        self.state().lives[process.index()].paused.get_or_insert_default();
    }

    pub(crate) fn resume(&self, process: ProcessId) {
        let mut state = self.state();
        let parked = state.lives[process.index()].paused.take().unwrap_or_default();
        state.ready.extend(parked);
    }

    /// Drops every task of a process, in the order of their creation.
    ///
    /// The task that is running is dropped when it next returns.
    pub(crate) fn drop_tasks_of(&self, process: ProcessId) {
        let dropped = self.take_tasks(|task| task.process == process);
        drop(dropped);
    }

    /// Drops every task and everything that is under way; what their `Drop` code spawns as well.
    pub(crate) fn drop_all_tasks(&self) {
        let fires = {
            let mut state = self.state();
            state.ending = true;
            state.timers.take_fires()
        };
        drop(fires);
        loop {
            let dropped = self.take_tasks(|task| task.future.is_some());
            if dropped.is_empty() {
                break;
            }
        }
        self.state().ending = false;
    }

    fn take_tasks(&self, which: impl Fn(&Task) -> bool) -> Vec<Task> {
        let mut state = self.state();
        let found = state.tasks.iter().filter(|(_, task)| which(task));
        let mut found: Vec<(u64, Key)> = found.map(|(key, task)| (task.number, key)).collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().filter_map(|(_, key)| state.tasks.remove(key)).collect()
    }

    /// Runs the world until `future` is done.
    pub(crate) fn run_until<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut run = Run::begin(self);
        let main = self.add_task(&mut self.state(), ProcessId::WORLD, None);
        run.main = Some(main);
        let horizon = run.began.saturating_add(self.options.time_budget);
        loop {
            match self.next(run.main, horizon) {
                Next::Main(waker) => {
                    let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
                    if let Poll::Ready(output) = poll {
                        return output;
                    }
                }
                Next::Task(id, task, waker) => self.poll_task(id, task, waker),
                Next::Timer(due) => due.happen(),
                Next::Nothing => self.panic_stuck(),
            }
            run.count_step();
        }
    }

    /// Runs everything that is due within `duration`, and ends exactly then.
    pub(crate) fn run_for(self: &Arc<Self>, duration: Duration) {
        let mut run = Run::begin(self);
        let end = run.began.saturating_add(duration);
        loop {
            match self.next(None, end) {
                Next::Task(id, task, waker) => self.poll_task(id, task, waker),
                Next::Timer(due) => due.happen(),
                Next::Main(_) => unreachable!("there is no future on the stack"),
                Next::Nothing => break,
            }
            run.count_step();
        }
        self.set_now(&mut self.state(), end);
    }

    /// Takes what comes next: a task that is ready, or else the next timer up to `horizon`.
    fn next(&self, main: Option<Key>, horizon: Duration) -> Next {
        let mut state = self.state();
        while let Some(id) = state.take_ready() {
            // Woken and then dropped with its process.
            let State { tasks, lives, .. } = &mut *state;
            let Some(task) = tasks.get_mut(id) else { continue };
            if let Some(parked) = &mut lives[task.process.index()].paused {
                parked.push(id);
                continue;
            }
            task.queued = false;
            let (process, number) = (task.process, task.number);
            let next = match task.future.take() {
                Some(future) => {
                    let waker = mem::replace(&mut task.waker, Waker::noop().clone());
                    Next::Task(id, future, waker)
                }
                None if main == Some(id) => Next::Main(task.waker.clone()),
                // It panicked in an earlier run.
                None => continue,
            };
            state.current = process;
            state.steps =
                (state.steps ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            return next;
        }
        // One timer at a time: what it sets off is over before the next one fires, even at the same instant.
        let Some((deadline, due)) = state.timers.take_due(horizon) else { return Next::Nothing };
        let now = state.now.max(deadline);
        self.set_now(&mut state, now);
        Next::Timer(due)
    }

    fn poll_task(&self, id: Key, mut future: BoxFuture<'static, ()>, waker: Waker) {
        let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
        let finished = {
            let mut state = self.state();
            state.current = ProcessId::WORLD;
            match (poll, state.tasks.get_mut(id)) {
                (Poll::Pending, Some(task)) => {
                    (task.future, task.waker) = (Some(future), waker);
                    return;
                }
                (Poll::Ready(()), _) => (future, state.tasks.remove(id)),
                // Its process crashed while it ran.
                (Poll::Pending, None) => (future, None),
            }
        };
        drop(finished);
    }

    fn panic_stuck(&self) -> ! {
        let (now, waiting, next) = {
            let mut state = self.state();
            (state.now, state.tasks.len(), state.timers.next_deadline())
        };
        let (seed, budget) = (self.seed, self.options.time_budget);
        match next {
            None => panic!(
                "deadlock at {now:?} of virtual time (seed {seed}): {waiting} tasks wait, none is ready and no timer is left"
            ),
            Some(next) => panic!(
                "no end at {now:?} of virtual time (seed {seed}): the next timer is at {next:?}, and a run may take {budget:?}"
            ),
        }
    }
}

impl Due {
    fn happen(self) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Fire(target, token) => target.fire(token),
        }
    }
}

/// One call that runs the world; ends with it, also by a panic.
struct Run<'a> {
    world: &'a World,
    main: Option<Key>,
    began: Duration,
    steps: u64,
}

impl<'a> Run<'a> {
    fn begin(world: &'a World) -> Self {
        let (nested, began) = {
            let mut state = world.state();
            (mem::replace(&mut state.running, true), state.now)
        };
        assert!(!nested, "a world that runs cannot be run from within");
        Self { world, main: None, began, steps: 0 }
    }

    fn count_step(&mut self) {
        self.steps += 1;
        let budget = self.world.options.step_budget;
        if self.steps > budget {
            let now = self.world.state().now;
            let seed = self.world.seed;
            panic!(
                "no end at {now:?} of virtual time (seed {seed}): the run took more than {budget} steps"
            );
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let main = {
            let mut state = self.world.state();
            state.running = false;
            self.world.steps_taken.store(self.steps, Ordering::Relaxed);
            state.current = ProcessId::WORLD;
            self.main.and_then(|id| state.tasks.remove(id))
        };
        drop(main);
    }
}
