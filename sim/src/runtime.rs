//! The handle of a world, and the driver's runtime on it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use buffer_core::Instant;
use buffer_driver::{BoxFuture, Runtime};

use crate::clock::SimClock;
use crate::decisions::{Calm, Choices, Decision, Random};
use crate::event::{Event, Happening, Remark};
use crate::executor::World;
use crate::process::{Join, Process, ProcessId, join};
use crate::timer::Sleep;

/// What a machine in the simulator has, whatever this one has.
const PROCESSORS: usize = 2;

/// What a world is like, beside its seed.
///
/// ```
/// use std::time::SystemTime;
/// use buffer_core::UnixMillis;
/// use buffer_sim::{SimOptions, SimRuntime};
///
/// let options = SimOptions {
///     start: SystemTime::UNIX_EPOCH,
///     changes: vec![(0, 5)], // the first choice of the run comes out as the sixth value
///     ..SimOptions::default()
/// };
/// let runtime = SimRuntime::with_options(1, options);
/// assert_eq!(runtime.clock().unix_millis(), UnixMillis(0));
/// assert_eq!(runtime.random("dice").u32(1..=6), 6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimOptions {
    /// The time of day at which the world begins.
    pub start: SystemTime,
    /// How long work given to `spawn_blocking` takes.
    pub cpu_delay: Duration,
    /// How much virtual time one run may take before it counts as endless.
    pub time_budget: Duration,
    /// How many steps one run may take before it counts as endless.
    pub step_budget: u64,
    /// Whether tasks that are ready run in any order, drawn from the seed, and not in the order in which they became ready.
    pub shuffles: bool,
    /// Whether the trace has lines for people. Its hash is the same either way.
    pub keeps_lines: bool,
    /// Whether [`SimRuntime::decisions`] tells all choices of the run.
    pub records_decisions: bool,
    /// Choices to be made otherwise: the number of each, counted from zero over
    /// the whole run, and its value, taken modulo the number of possible ones.
    pub changes: Vec<(u64, u64)>,
    /// Whether all other choices come out as they [usually](Random::usually) do, whatever the seed says.
    pub calm: bool,
    /// Whether [`SimRuntime::take_events`] tells what happened, as data.
    pub keeps_events: bool,
}

impl Default for SimOptions {
    /// The first day of 2024, work that takes no time, one day, ten million steps, lines, no changes, no events.
    fn default() -> Self {
        Self {
            start: SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200),
            cpu_delay: Duration::ZERO,
            time_budget: Duration::from_secs(24 * 60 * 60),
            step_budget: 10_000_000,
            shuffles: false,
            keeps_lines: true,
            records_decisions: false,
            changes: Vec::new(),
            calm: false,
            keeps_events: false,
        }
    }
}

/// A world with virtual time, and the runtime of what belongs to no process.
///
/// Tasks run in the order in which they became ready. When none is, time moves
/// to the next timer. Clones are handles of the same world.
///
/// A task that holds a handle keeps its world alive: [`SimRuntime::shutdown`]
/// ends that.
///
/// ```
/// use std::time::Duration;
/// use buffer_core::Instant;
/// use buffer_sim::SimRuntime;
///
/// let runtime = SimRuntime::new(1);
/// runtime.block_on(runtime.sleep(Duration::from_secs(3600)));
/// assert_eq!(runtime.elapsed(), Duration::from_secs(3600));
/// // A task goes on while the world runs, and only then.
/// let inside = runtime.clone();
/// let task = runtime.start(async move {
///     inside.sleep(Duration::from_secs(10)).await;
///     inside.now()
/// });
/// runtime.advance(Duration::from_secs(4));
/// assert_eq!(runtime.elapsed(), Duration::from_secs(3604));
/// let ended = Instant::from_origin(Duration::from_secs(3610));
/// assert_eq!(runtime.block_on(task), Some(ended));
/// ```
#[derive(Clone)]
pub struct SimRuntime {
    world: Arc<World>,
}

impl SimRuntime {
    /// A world of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_options(seed, SimOptions::default())
    }

    /// A world of this seed that is not like others.
    #[must_use]
    pub fn with_options(seed: u64, options: SimOptions) -> Self {
        let choices = Choices {
            changes: options.changes.clone(),
            records: options.records_decisions,
            calm: options.calm.then(Calm::default),
        };
        Self::with_choices(seed, options, choices)
    }

    /// The same, with choices that are told apart by more than their number.
    pub(crate) fn with_choices(seed: u64, options: SimOptions, choices: Choices) -> Self {
        Self { world: Arc::new(World::new(seed, options, choices)) }
    }

    /// Runs the world until `future` is done. What else is under way then stays where it is.
    ///
    /// # Panics
    ///
    /// When nothing can ever happen again (a deadlock), when a budget of
    /// [`SimOptions`] is used up (a livelock), and when called from within a run.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.world.run_until(future)
    }

    /// Runs everything that is due within `duration`, and ends exactly then.
    ///
    /// With no duration at all it runs what is ready now.
    ///
    /// # Panics
    ///
    /// When a budget of [`SimOptions`] is used up, and when called from within a run.
    pub fn advance(&self, duration: Duration) {
        self.world.run_for(duration);
    }

    /// The world's monotonic time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_origin(self.elapsed())
    }

    /// How much virtual time has passed since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.now()
    }

    /// Waits for `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_to(self.elapsed().saturating_add(duration))
    }

    fn sleep_to(&self, deadline: Duration) -> Sleep {
        Sleep::new(Arc::downgrade(&self.world), deadline)
    }

    /// Starts a task that belongs to no process, with a handle to wait for it.
    pub fn start<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Join<T> {
        let (task, handle) = join(future);
        self.spawn(task);
        handle
    }

    /// A new process, alive, with a clock that is right. The name is for the trace.
    #[must_use]
    pub fn process(&self, name: &str) -> Process {
        let process = Process::new(self.clone(), self.world.create_process(), name);
        self.record(format_args!("{} is {name}", process.id()));
        self.tell(|| Happening::Began { process: process.id(), name: name.to_owned() });
        process
    }

    /// A wall clock of its own that is right.
    #[must_use]
    pub fn clock(&self) -> SimClock {
        SimClock::new(self.clone(), self.world.options.start + self.elapsed())
    }

    /// A source of random choices for one purpose.
    ///
    /// It depends on the seed and the purpose alone, so that one more choice
    /// here changes none elsewhere.
    #[must_use]
    pub fn random(&self, purpose: &str) -> Random {
        Random::new(&self.world.trace, self.world.seed, purpose)
    }

    /// How many choices were made so far.
    #[must_use]
    pub fn decisions_made(&self) -> u64 {
        self.world.trace().decisions.made()
    }

    /// All choices so far, if [`SimOptions::records_decisions`].
    ///
    /// ```
    /// use buffer_sim::{SimOptions, SimRuntime};
    ///
    /// let options = SimOptions { records_decisions: true, ..SimOptions::default() };
    /// let runtime = SimRuntime::with_options(1, options);
    /// let is_lost = runtime.random("faults").of("lost reply").bool();
    ///
    /// assert_eq!(runtime.decisions_made(), 1);
    /// let made = runtime.decisions()[0];
    /// assert_eq!((made.bound, made.value), (2, u64::from(is_lost)));
    /// assert_eq!(made.place.about, ("lost reply", 0));
    /// assert_eq!(runtime.source_name(made.place.source).as_deref(), Some("faults"));
    /// ```
    #[must_use]
    pub fn decisions(&self) -> Vec<Decision> {
        self.world.trace().decisions.recorded().to_vec()
    }

    /// What a source of choices is called that a [`Decision`] names, if [`SimOptions::records_decisions`].
    #[must_use]
    pub fn source_name(&self, source: u64) -> Option<String> {
        self.world.trace().decisions.name(source).map(str::to_owned)
    }

    /// Sets how long work given to `spawn_blocking` takes from here on.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use buffer_driver::Runtime;
    /// use buffer_sim::SimRuntime;
    ///
    /// let runtime = SimRuntime::new(1);
    /// runtime.set_cpu_delay(Duration::from_millis(5));
    /// let (sender, done) = mpsc::channel();
    /// runtime.spawn_blocking(Box::new(move || sender.send("encoded").expect("it is waited for")));
    /// runtime.advance(Duration::from_millis(4));
    /// assert!(done.try_recv().is_err(), "it is still at work");
    /// runtime.advance(Duration::from_millis(1));
    /// assert_eq!(done.try_recv(), Ok("encoded"));
    /// ```
    pub fn set_cpu_delay(&self, delay: Duration) {
        self.world.state().cpu_delay = delay;
    }

    /// Sets whether tasks that are ready run in any order from here on; see [`SimOptions::shuffles`].
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use buffer_sim::SimRuntime;
    ///
    /// let order = |seed| -> Vec<u32> {
    ///     let runtime = SimRuntime::new(seed);
    ///     runtime.set_shuffles(true);
    ///     let (sender, ran) = mpsc::channel();
    ///     for number in 0..6 {
    ///         let sender = sender.clone();
    ///         let _task = runtime.start(async move { sender.send(number) });
    ///     }
    ///     runtime.advance(Duration::ZERO);
    ///     ran.try_iter().collect()
    /// };
    /// assert_ne!(order(1), [0, 1, 2, 3, 4, 5]);
    /// assert_eq!(order(1), order(1), "the seed alone decides");
    /// ```
    pub fn set_shuffles(&self, shuffles: bool) {
        let order = shuffles.then(|| self.random("order of tasks"));
        self.world.state().order = order;
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// Drops every task of every process, and of the world itself.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_sim::SimRuntime;
    ///
    /// let runtime = SimRuntime::new(1);
    /// let stuck = runtime.start(std::future::pending::<()>());
    /// runtime.advance(Duration::from_secs(1));
    /// runtime.shutdown();
    /// assert_eq!(runtime.block_on(stuck), None, "it was dropped");
    /// ```
    pub fn shutdown(&self) {
        self.world.drop_all_tasks();
    }

    /// Adds a line to the trace, under the current time; nothing if no lines are kept.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_sim::SimRuntime;
    ///
    /// let runtime = SimRuntime::new(1);
    /// runtime.advance(Duration::from_millis(1500));
    /// runtime.record(format_args!("the disk is {} % full", 90));
    /// assert_eq!(runtime.trace(), ["1.500000000 the disk is 90 % full"]);
    /// ```
    pub fn record(&self, line: fmt::Arguments<'_>) {
        if self.world.options.keeps_lines {
            let now = self.elapsed();
            self.world.trace().line(now, line);
        }
    }

    /// Adds a line about a process to the trace, and an event if those are kept.
    ///
    /// ```
    /// use buffer_sim::event::{Happening, Remark};
    /// use buffer_sim::{SimOptions, SimRuntime};
    ///
    /// let options = SimOptions { keeps_events: true, ..SimOptions::default() };
    /// let runtime = SimRuntime::with_options(1, options);
    /// let database = runtime.process("database");
    /// runtime.remark(database.id(), Remark::Application, format_args!("stored 7"));
    ///
    /// assert_eq!(runtime.trace(), ["0.000000000 p1 is database", "0.000000000 p1 stored 7"]);
    /// let events = runtime.take_events();
    /// assert!(matches!(&events[1].what, Happening::Said { text, .. } if text == "stored 7"));
    /// assert!(runtime.take_events().is_empty(), "they were taken");
    /// ```
    pub fn remark(&self, process: ProcessId, remark: Remark, text: fmt::Arguments<'_>) {
        if process == ProcessId::WORLD {
            self.record(text);
        } else {
            self.record(format_args!("{process} {text}"));
        }
        self.depict(process, remark, text);
    }

    /// Adds an event if those are kept, and no line: for what is often so and shows in what follows.
    pub(crate) fn depict(&self, process: ProcessId, remark: Remark, text: fmt::Arguments<'_>) {
        self.tell(|| Happening::Said { process, remark, text: text.to_string() });
    }

    /// Keeps an event, under the current time; nothing is made of it if none are kept.
    pub(crate) fn tell(&self, what: impl FnOnce() -> Happening) {
        if self.world.keeps_events {
            let (now, what) = (self.elapsed(), what());
            self.world.trace().event(now, what);
        }
    }

    /// Takes the events so far, if [`SimOptions::keeps_events`]; the next call gives those that follow.
    #[must_use]
    pub fn take_events(&self) -> Vec<Event> {
        self.world.trace.lock_anyway().take_events()
    }

    /// Adds a number to the trace hash.
    ///
    /// ```
    /// use buffer_sim::SimRuntime;
    ///
    /// let hash_with = |answer| {
    ///     let runtime = SimRuntime::new(1);
    ///     runtime.note(answer);
    ///     runtime.trace_hash()
    /// };
    /// assert_ne!(hash_with(41), hash_with(42), "what your code found out is compared as well");
    /// ```
    pub fn note(&self, value: u64) {
        self.world.trace().note(b'n', [value]);
    }

    /// The lines of the trace so far.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.world.trace().lines().to_vec()
    }

    /// One number for all that happened so far: every step of a task, every choice, every request and what it changed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_sim::SimRuntime;
    ///
    /// let run = |seed| {
    ///     let runtime = SimRuntime::new(seed);
    ///     assert_eq!(runtime.seed(), seed);
    ///     let wait = Duration::from_millis(runtime.random("wait").u64(..1_000_000));
    ///     runtime.block_on(runtime.sleep(wait));
    ///     runtime.trace_hash()
    /// };
    /// assert_eq!(run(1), run(1), "a run can be had again");
    /// assert_ne!(run(1), run(2));
    /// ```
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        let steps = self.world.state().steps;
        self.world.trace().hash_with(steps)
    }

    /// How many steps its tasks and timers took.
    pub(crate) fn steps(&self) -> u64 {
        self.world.steps_taken()
    }

    /// The process whose task is running; [`ProcessId::WORLD`] outside of all.
    ///
    /// ```
    /// use buffer_sim::{ProcessId, SimRuntime};
    ///
    /// let runtime = SimRuntime::new(1);
    /// let process = runtime.process("producer");
    /// let inside = runtime.clone();
    /// let asked = process.start(async move { inside.current_process() });
    /// assert_eq!(runtime.block_on(asked), Some(process.id()));
    /// assert_eq!(runtime.current_process(), ProcessId::WORLD);
    /// ```
    #[must_use]
    pub fn current_process(&self) -> ProcessId {
        self.world.state().current
    }

    /// Crashes a process, if it has not crashed before.
    pub(crate) fn crash(&self, process: ProcessId) {
        if self.world.mark_crashed(process) {
            self.world.trace().note(b'c', [process.index() as u64]);
            self.record(format_args!("{process} crashed"));
            self.tell(|| Happening::Crashed { process });
            self.world.drop_tasks_of(process);
        }
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// The task that does blocking work: an event of its own, after the time that it takes.
    pub(crate) fn blocking_task(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let delay = self.world.state().cpu_delay;
        let computed = self.sleep(delay);
        Box::pin(async move {
            computed.await;
            work();
        })
    }
}

impl Runtime for SimRuntime {
    fn monotonic(&self) -> Instant {
        self.now()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.world.spawn(ProcessId::WORLD, task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.spawn(self.blocking_task(work));
    }

    fn parallelism(&self) -> usize {
        PROCESSORS
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(self.sleep_to(deadline.since_origin()))
    }

    fn entropy(&self) -> u64 {
        self.world.state().entropy.u64(..)
    }
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRuntime")
            .field("seed", &self.world.seed)
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
