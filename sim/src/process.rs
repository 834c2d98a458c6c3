//! Processes: parts of a world that crash by themselves.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use buffer_core::Instant;
use buffer_driver::{BoxFuture, Runtime};

use crate::clock::SimClock;
use crate::decisions::Random;
use crate::event::{Happening, Remark};
use crate::oneshot;
use crate::runtime::SimRuntime;

/// Names one process of one world; never used twice.
///
/// ```
/// use buffer_sim::{ProcessId, SimRuntime};
///
/// let runtime = SimRuntime::new(1);
/// let (first, second) = (runtime.process("producer"), runtime.process("consumer"));
/// assert_eq!((first.id().number(), second.id().number()), (1, 2));
/// assert_eq!(second.id().to_string(), "p2", "as the trace names it");
/// assert_eq!(ProcessId::WORLD.number(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(u32);

impl ProcessId {
    /// What belongs to no process: the store, the test itself.
    pub const WORLD: Self = Self(0);

    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Its number; zero is the world.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// A moment in the life of a request.
///
/// ```
/// use std::time::Duration;
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{Latency, Moment, Profile, SimRuntime, SimStore};
///
/// let crashed_after = |moment| {
///     let runtime = SimRuntime::new(1);
///     let store = SimStore::new(&runtime, Profile::S3);
///     store.set_latency(Latency::fixed(Duration::from_millis(20)));
///     let process = runtime.process("reader");
///     process.crash_at_request(1, moment);
///     let manifest = Location::new("queue/manifest");
///     let read = process.start(async move { store.read(&manifest, None).await });
///     assert!(runtime.block_on(read).is_none(), "it crashed before it was told");
///     runtime.elapsed().as_millis()
/// };
/// assert_eq!(crashed_after(Moment::Sent), 0);
/// assert_eq!(crashed_after(Moment::Applied), 10);
/// assert_eq!(crashed_after(Moment::Answered), 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// It has just been sent; it takes its course.
    Sent,
    /// The store has just done what it asked for.
    Applied,
    /// Its answer arrives, and nobody looks at it any more.
    Answered,
}

/// A part of a world with a wall clock of its own, which can crash without the rest.
///
/// It is the runtime of what runs in it. A crash is final: what restarts is a
/// new process. Clones are handles of the same process.
///
/// ```
/// use std::time::Duration;
/// use buffer_sim::SimRuntime;
///
/// let runtime = SimRuntime::new(1);
/// let process = runtime.process("producer");
/// let work = process.start(runtime.sleep(Duration::from_secs(10)));
/// runtime.advance(Duration::from_secs(1));
/// process.crash();
/// assert!(process.is_crashed());
/// assert_eq!(runtime.block_on(work), None);
///
/// // Its successor, on a machine whose clock is three seconds ahead.
/// let next = runtime.process("producer");
/// assert_eq!(next.name(), process.name());
/// assert_ne!(next.id(), process.id());
/// next.clock().jump(Duration::from_secs(3));
/// let (ahead, right) = (next.clock().unix_millis(), process.clock().unix_millis());
/// assert_eq!(ahead.saturating_since(right), Duration::from_secs(3));
/// ```
#[derive(Clone)]
pub struct Process {
    runtime: SimRuntime,
    id: ProcessId,
    name: Arc<str>,
    clock: SimClock,
    own: Arc<Mutex<Own>>,
}

/// What is a process's own beside its wall clock.
struct Own {
    random: Random,
    /// What its monotonic clock showed when the world began.
    origin: Duration,
    /// How long its monotonic clock has stood still so far.
    stood: Duration,
    /// When its monotonic clock was stopped, in the world's time.
    stopped: Option<Duration>,
    /// How much its timers are early or late at the most.
    early: Duration,
    late: Duration,
}

impl Own {
    fn monotonic(&self, now: Duration) -> Duration {
        self.stopped.unwrap_or(now) + self.origin - self.stood
    }

    /// How long a timer takes that should take this long.
    fn sleep(&mut self, remaining: Duration) -> Duration {
        let mut up_to = |most: Duration| {
            let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
            Duration::from_nanos(if most == 0 { 0 } else { self.random.u64(..=most) })
        };
        let late = up_to(self.late);
        // A short rest is never cut: who is woken early again and again would not rest at all.
        let early = if remaining < MIN_CUT { Duration::ZERO } else { up_to(self.early) };
        remaining - early.min(remaining / 2) + late
    }
}

const MIN_CUT: Duration = Duration::from_millis(1);

impl Process {
    pub(crate) fn new(runtime: SimRuntime, id: ProcessId, name: &str) -> Self {
        let clock = runtime.clock();
        let mut random = runtime.random(&format!("chance of {id}"));
        let own = Own {
            origin: Duration::from_nanos(random.u64(..1 << 53)),
            random,
            stood: Duration::ZERO,
            stopped: None,
            early: Duration::ZERO,
            late: Duration::ZERO,
        };
        Self { runtime, id, name: name.into(), clock, own: Arc::new(Mutex::new(own)) }
    }

    /// Which process this is.
    #[must_use]
    pub const fn id(&self) -> ProcessId {
        self.id
    }

    /// What it was called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its wall clock.
    #[must_use]
    pub const fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// Starts a task in this process, with a handle to wait for it.
    pub fn start<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Join<T> {
        let (task, handle) = join(future);
        self.spawn(task);
        handle
    }

    /// Drops every task of this process at once, and every task that it would start later.
    ///
    /// A task that crashes its own process ends where it next waits.
    pub fn crash(&self) {
        self.runtime.crash(self.id);
    }

    /// Crashes this process at a moment of one of its requests: the first from here on is number one.
    ///
    /// ```
    /// use buffer_core::{Condition, Location};
    /// use buffer_driver::Store;
    /// use buffer_sim::{Moment, Profile, SimRuntime, SimStore};
    ///
    /// let runtime = SimRuntime::new(1);
    /// let store = SimStore::new(&runtime, Profile::S3);
    /// let process = runtime.process("writer");
    /// process.crash_at_request(2, Moment::Sent);
    /// let inside = store.clone();
    /// let work = process.start(async move {
    ///     let manifest = Location::new("queue/manifest");
    ///     let _missing = inside.read(&manifest, None).await;
    ///     inside.write(&manifest, vec!["one".into()], Condition::Absent).await
    /// });
    /// assert!(runtime.block_on(work).is_none(), "nobody is left to be told");
    /// runtime.advance(std::time::Duration::from_secs(1));
    /// assert_eq!(store.counts().swaps_stored, 1, "the write takes its course all the same");
    /// ```
    pub fn crash_at_request(&self, number: u64, moment: Moment) {
        self.runtime.world().crash_at(self.id, number, moment);
    }

    /// Stops every task of this process where it waits; its requests take their course.
    ///
    /// Time goes on meanwhile. What became ready is done after [`Process::resume`], in that order.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_sim::SimRuntime;
    ///
    /// let runtime = SimRuntime::new(1);
    /// let process = runtime.process("producer");
    /// let inside = runtime.clone();
    /// let work = process.start(async move {
    ///     inside.sleep(Duration::from_secs(1)).await;
    ///     inside.elapsed()
    /// });
    /// runtime.advance(Duration::ZERO); // the sleep begins
    /// process.pause();
    /// runtime.advance(Duration::from_secs(60));
    /// process.resume();
    /// assert_eq!(runtime.block_on(work), Some(Duration::from_secs(60)), "and not one second");
    /// ```
    pub fn pause(&self) {
        self.runtime.world().trace().note(b'p', [self.id.index() as u64]);
        self.runtime.record(format_args!("{} paused", self.id));
        self.runtime.tell(|| Happening::Paused { process: self.id });
        self.runtime.world().pause(self.id);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.runtime.world().trace().note(b'r', [self.id.index() as u64]);
        self.runtime.record(format_args!("{} resumed", self.id));
        self.runtime.tell(|| Happening::Resumed { process: self.id });
        self.runtime.world().resume(self.id);
    }

    /// Stops its monotonic clock, as a machine that is suspended may. Timers go on by the world's time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_driver::Runtime;
    /// use buffer_sim::SimRuntime;
    ///
    /// let runtime = SimRuntime::new(1);
    /// let process = runtime.process("laptop");
    /// let before = process.monotonic();
    /// process.freeze_monotonic();
    /// runtime.advance(Duration::from_secs(60));
    /// process.thaw_monotonic();
    /// runtime.advance(Duration::from_secs(1));
    /// assert_eq!(process.monotonic(), before + Duration::from_secs(1), "a minute is lost to it");
    /// ```
    pub fn freeze_monotonic(&self) {
        let now = self.runtime.elapsed();
        self.own().stopped.get_or_insert(now);
        self.tell_clock("its monotonic clock stands still");
    }

    /// Lets its monotonic clock go on from what it shows.
    pub fn thaw_monotonic(&self) {
        let now = self.runtime.elapsed();
        let mut own = self.own();
        if let Some(stopped) = own.stopped.take() {
            own.stood += now - stopped;
        }
        drop(own);
        self.tell_clock("its monotonic clock goes on");
    }

    fn tell_clock(&self, text: &str) {
        let (process, remark) = (self.id, Remark::Clock);
        self.runtime.tell(|| Happening::Said { process, remark, text: text.to_owned() });
    }

    /// Sets by how much its timers are early or late at the most, each by a time of its own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_driver::Runtime;
    /// use buffer_sim::SimRuntime;
    ///
    /// let runtime = SimRuntime::new(1);
    /// let process = runtime.process("busy machine");
    /// process.set_timer_errors(Duration::ZERO, Duration::from_millis(8));
    /// let due = process.monotonic() + Duration::from_millis(10);
    /// runtime.block_on(process.sleep_until(due));
    /// let late = process.monotonic().saturating_since(due);
    /// assert!(process.monotonic() >= due && late <= Duration::from_millis(8), "{late:?} late");
    /// ```
    pub fn set_timer_errors(&self, early: Duration, late: Duration) {
        let mut own = self.own();
        (own.early, own.late) = (early, late);
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().expect("nothing panics while it draws")
    }

    /// Whether it has crashed.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.runtime.world().state().is_crashed(self.id)
    }
}

impl Runtime for Process {
    fn monotonic(&self) -> Instant {
        Instant::from_origin(self.own().monotonic(self.runtime.elapsed()))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.world().spawn(self.id, task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.spawn(self.runtime.blocking_task(work));
    }

    fn parallelism(&self) -> usize {
        self.runtime.parallelism()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let now = self.runtime.elapsed();
        let sleep = {
            let mut own = self.own();
            let remaining = deadline.since_origin().saturating_sub(own.monotonic(now));
            if remaining.is_zero() { remaining } else { own.sleep(remaining) }
        };
        Box::pin(self.runtime.sleep(sleep))
    }

    fn entropy(&self) -> u64 {
        self.own().random.u64(..)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({}, {:?})", self.id, self.name)
    }
}

/// Waits for a task: its result, or `None` if it was dropped before it had one.
///
/// ```
/// use buffer_sim::SimRuntime;
///
/// let runtime = SimRuntime::new(1);
/// let process = runtime.process("consumer");
/// let answer = process.start(async { 6 * 7 });
/// assert_eq!(runtime.block_on(answer), Some(42));
///
/// process.crash();
/// let never = process.start(async { 6 * 7 });
/// assert_eq!(runtime.block_on(never), None, "nothing starts in a process that has crashed");
/// ```
#[must_use = "the task runs either way, but nobody hears of it"]
pub struct Join<T>(oneshot::Receiver<T>);

impl<T> Future for Join<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Join")
    }
}

pub(crate) fn join<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> (BoxFuture<'static, ()>, Join<T>) {
    let (sender, receiver) = oneshot::channel();
    (Box::pin(async move { sender.send(future.await) }), Join(receiver))
}
