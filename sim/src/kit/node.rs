//! One life of an embedder's consumer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buffer_core::{Instant, Machine};
use buffer_driver::{
    BoxFuture, ConfigError, Consumer, ConsumerConfig, Producer, ProducerConfig, Runtime,
};
use futures_lite::future;

use super::core_host::CoreHost;
use super::log::{Endless, Log};
use super::plan::{End, Life};
use crate::process::join;
use crate::{Join, Process, Random, SimClock, SimRuntime, SimStore, oneshot};

/// One life of your consumer: a process on a machine of its own, and all that it may use.
///
/// It is a [`Runtime`]: tasks that are started here go with the process when it crashes, and
/// whenever one of them goes on, that is a step before which it may. Clones are handles of the same life.
///
/// | instead of | |
/// |---|---|
/// | `tokio::spawn`, `std::thread::spawn` | [`Node::start`] |
/// | `tokio::time::sleep`, `timeout`, `interval` | [`Node::sleep`], and `futures_lite::future::or` with it |
/// | `Instant::now` | [`Runtime::monotonic`] |
/// | `SystemTime::now`, `Utc::now` | [`Node::clock`] |
/// | `rand`, `Uuid::new_v4`, `HashMap`'s order | [`Node::random`]; `BTreeMap` |
///
/// ```
/// use std::time::Duration;
///
/// use buffer_sim::kit::{Settings, World};
///
/// let world = World::new(7, &Settings::default());
/// let node = world.node("consumer");
/// assert_eq!((node.number(), node.steps()), (1, 0));
/// node.clock().jump_back(Duration::from_secs(3600)); // it is an hour slow
///
/// let life = node.clone();
/// let task = node.start(async move {
///     let rest = life.random("rests").u64(1..60); // the same for this seed
///     life.sleep(Duration::from_secs(rest)).await; // nobody waits for it
///     life.step().await; // it could crash here, between two effects
///     life.process().crash(); // it does: this task ends where it next waits
///     life.step().await;
///     "it lives"
/// });
/// assert_eq!(world.runtime().block_on(task), None);
/// assert_eq!(node.steps(), 3);
/// assert!(node.process().is_crashed());
/// ```
#[derive(Clone)]
pub struct Node(Arc<Shared>);

struct Shared {
    runtime: SimRuntime,
    process: Process,
    store: SimStore,
    number: u32,
    log: Log,
    steps: AtomicU64,
    /// The step that is not taken, or not at once; no step has the number zero.
    last_step: AtomicU64,
    /// How many acknowledgements there were.
    acks: AtomicU64,
    fate: Mutex<Option<Fate>>,
    /// No other life is to come: if this one is paused, it goes on by itself.
    is_last: AtomicBool,
    dequeues_at_once: bool,
    standstill: Mutex<Standstill>,
}

/// How this life ends, and who is told if it is only paused.
struct Fate {
    end: End,
    paused: oneshot::Sender<Duration>,
}

/// Tells that a life was paused, and for how long; closed if it never is.
pub(super) type Paused = oneshot::Receiver<Duration>;

/// How many steps were taken since time last passed.
#[derive(Default)]
struct Standstill {
    now: Duration,
    steps: u64,
}

/// How many steps one process may take in no time.
const MOST_STEPS_AT_ONCE: u64 = 100_000;

impl Node {
    pub(super) fn new(
        runtime: &SimRuntime,
        store: &SimStore,
        log: &Log,
        name: &str,
        number: u32,
        dequeues_at_once: bool,
    ) -> Self {
        let process = runtime.process(name);
        log.name(&process);
        Self(Arc::new(Shared {
            runtime: runtime.clone(),
            process,
            store: store.clone(),
            number,
            log: log.clone(),
            steps: AtomicU64::new(0),
            last_step: AtomicU64::new(0),
            acks: AtomicU64::new(0),
            fate: Mutex::new(None),
            is_last: AtomicBool::new(false),
            dequeues_at_once,
            standstill: Mutex::default(),
        }))
    }

    /// Sets how this life ends.
    pub(super) fn doom(&self, life: &Life) -> Paused {
        let (paused, told) = oneshot::channel();
        let step = match life.end {
            End::Crash { step } | End::Pause { step, .. } => step,
            End::CrashInAck { .. } => 0,
        };
        let skew = Duration::from_millis(life.skew_millis.unsigned_abs());
        if life.skew_millis < 0 {
            self.0.process.clock().jump_back(skew);
        } else {
            self.0.process.clock().jump(skew);
        }
        *self.0.fate.lock().expect("nothing panics with it") = Some(Fate { end: life.end, paused });
        self.0.last_step.store(step, Ordering::Relaxed);
        told
    }

    /// A consumer of the queue, in this process.
    ///
    /// It is the one that the adapters' consumers dereference to: write your code for `&buffer_driver::Consumer`.
    ///
    /// In half of the worlds of a check it has `dequeue_acks` of one, whatever `config` says; see
    /// [`Settings::dequeues_at_once`](super::Settings::dequeues_at_once). Its `ack` is a place to crash at, as
    /// a process with threads may crash there.
    ///
    /// ```
    /// use buffer_sim::buffer_driver::ConsumerConfig;
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let node = World::new(7, &Settings::default()).node("consumer");
    /// let none = ConsumerConfig { dequeue_acks: 0, ..ConsumerConfig::default() };
    /// let error = node.consumer(&none).expect_err("nothing would ever be dequeued");
    /// assert!(error.to_string().contains("dequeue_acks"), "{error}");
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn consumer(&self, config: &ConsumerConfig) -> Result<Consumer, ConfigError> {
        let (store, clock) = (Arc::new(self.0.store.clone()), Arc::new(self.clock().clone()));
        let mut config = config.clone();
        if self.dequeues_at_once() {
            config.dequeue_acks = 1;
        }
        Consumer::with_store(&config, store, clock, Arc::new(self.clone()))
    }

    /// Whether each acknowledgement is to be dequeued at once in this world.
    ///
    /// [`Node::consumer`] sees to it. Who makes a machine of the core, or a consumer by
    /// `with_store`, sets `dequeue_acks` to one by this.
    ///
    /// ```
    /// use buffer_sim::buffer_core::ConsumerConfig;
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let node = World::new(7, &Settings::default()).node("consumer");
    /// let mut config = ConsumerConfig::default();
    /// if node.dequeues_at_once() {
    ///     config.dequeue_acks = 1;
    /// }
    /// // Only worlds of a check have it otherwise.
    /// assert_eq!(config.dequeue_acks, ConsumerConfig::default().dequeue_acks);
    /// ```
    #[must_use]
    pub fn dequeues_at_once(&self) -> bool {
        self.0.dequeues_at_once
    }

    /// A producer of the queue, in this process: for consumers that hand on what they read.
    ///
    /// ```
    /// use buffer_sim::kit::{AnyError, Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let node = world.node("hands on");
    /// let producer = node.producer(&Default::default())?;
    /// world.runtime().block_on(async {
    ///     producer.produce(vec!["one".into()], "".into()).await?.watcher.await_durable().await?;
    ///     Ok::<_, AnyError>(())
    /// })?;
    /// assert!(node.store().locations().iter().any(|key| key.as_str() == "ingest/manifest"));
    /// # Ok::<(), AnyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn producer(&self, config: &ProducerConfig) -> Result<Producer, ConfigError> {
        let (store, clock) = (Arc::new(self.0.store.clone()), Arc::new(self.clock().clone()));
        Producer::with_store(config, store, clock, Arc::new(self.clone()))
    }

    /// A machine of the core, such as a [`buffer_core::Consumer`], driven in this process.
    ///
    /// ```
    /// use buffer_sim::buffer_core::{Consumer, ConsumerConfig};
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let node = World::new(7, &Settings::default()).node("consumer");
    /// let entropy = node.random("names").u64(..);
    /// let mut host = node.host(Consumer::new(ConsumerConfig::default(), entropy)?);
    /// assert!(host.machine().ended().is_none());
    /// # Ok::<(), buffer_sim::buffer_core::ConfigError>(())
    /// ```
    pub fn host<M: Machine>(&self, machine: M) -> CoreHost<M> {
        CoreHost::new(self.clone(), machine)
    }

    /// The store that the queue is in. A database may keep its objects there too, under other keys.
    ///
    /// With the feature `object-store` it is a client of `object_store`.
    ///
    /// ```
    /// use buffer_sim::buffer_core::{Condition, Location};
    /// use buffer_sim::buffer_driver::Store;
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let node = world.node("database");
    /// let key = Location::new("database/table");
    /// let write = node.store().write(&key, vec!["apples=3".into()], Condition::Absent);
    /// world.runtime().block_on(write).expect("no fault was asked for");
    /// // It is the store of the world: what is in it survives the process.
    /// node.process().crash();
    /// assert_eq!(world.store().object(&key).expect("it was stored").bytes, "apples=3");
    /// ```
    #[must_use]
    pub fn store(&self) -> &SimStore {
        &self.0.store
    }

    /// This process's wall clock, which may be wrong.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let (fast, right) = (world.node("fast"), world.node("right"));
    /// fast.clock().jump(Duration::from_secs(60));
    /// let ahead = fast.clock().unix_millis().0 - right.clock().unix_millis().0;
    /// assert_eq!(ahead, 60_000);
    /// ```
    #[must_use]
    pub fn clock(&self) -> &SimClock {
        self.0.process.clock()
    }

    /// The process, with which more can be done to it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.0.process
    }

    /// Which life this is, counted from one.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.0.number
    }

    /// How many steps its tasks have taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// A source of random choices for one purpose in this life.
    #[must_use]
    pub fn random(&self, purpose: &str) -> Random {
        self.0.runtime.random(&format!("{purpose} of life {}", self.0.number))
    }

    /// Waits for `duration`, as this process counts time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let node = world.node("consumer");
    /// world.runtime().block_on(node.sleep(Duration::from_secs(3600)));
    /// assert_eq!(world.runtime().elapsed(), Duration::from_secs(3600)); // in a moment
    /// ```
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.monotonic() + duration).await;
    }

    /// A place at which this process may crash or be paused.
    ///
    /// Whatever waits is one already. This is for between two effects of a database that never
    /// waits, such as two commits to an embedded one.
    pub async fn step(&self) {
        future::yield_now().await;
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

    /// Adds a line to what is told of a world that fails.
    ///
    /// A database in memory or on a disk is told of by nothing else: call it after each write.
    ///
    /// ```
    /// # fn applied(node: &buffer_sim::kit::Node, sequence: u64) {
    /// node.record(format_args!("stored {sequence}"));
    /// # }
    /// ```
    pub fn record(&self, line: fmt::Arguments<'_>) {
        self.0.log.see_database();
        self.tell(line);
    }

    /// Adds a line of the kit's own.
    pub(super) fn tell(&self, line: fmt::Arguments<'_>) {
        self.0.log.add(format_args!("{}: {line}", self.0.process.name()));
    }

    /// Says that no other life is to come, for which this one would wait if it were paused.
    pub(super) fn set_last(&self) {
        self.0.is_last.store(true, Ordering::Relaxed);
    }

    /// Lets a paused life go on after a while.
    pub(super) fn resume_after(&self, pause: Duration) {
        let node = self.clone();
        self.0.runtime.spawn(Box::pin(async move {
            node.0.runtime.sleep(pause).await;
            node.tell(format_args!("goes on"));
            node.0.log.count(|met| met.resumed += 1);
            node.0.process.resume();
        }));
    }

    /// Ends the world when this process takes one step after the other in no time.
    fn check_that_time_passes(&self) {
        let now = self.0.runtime.elapsed();
        let steps = {
            let mut last = self.0.standstill.lock().expect("nothing panics with it");
            let steps = if last.now == now { last.steps + 1 } else { 1 };
            *last = Standstill { now, steps };
            steps
        };
        if steps >= MOST_STEPS_AT_ONCE {
            let who = self.0.process.name().to_owned();
            self.0.log.set_endless(Endless { who: who.clone(), steps });
            panic!("{who} never waits: it took {steps} steps in no time");
        }
    }

    fn crash(&self, line: fmt::Arguments<'_>) {
        self.tell(line);
        self.0.log.count(|met| met.crashes += 1);
        self.0.process.crash();
    }

    /// Whether it crashes before this acknowledgement is over.
    fn crashes_in_ack(&self, number: u64) -> bool {
        let end = self.0.fate.lock().expect("nothing panics with it").as_ref().map(|it| it.end);
        let crashes = end == Some(End::CrashInAck { ack: number });
        if crashes {
            self.crash(format_args!("crashes in acknowledgement {number}"));
        }
        crashes
    }

    /// Whether the next step may be taken. A crash happens here.
    fn take_step(&self) -> Step {
        self.check_that_time_passes();
        let step = self.0.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if step != self.0.last_step.load(Ordering::Relaxed) {
            return Step::Taken;
        }
        let fate = self.0.fate.lock().expect("nothing panics with it").take();
        match fate {
            None => Step::Taken,
            Some(Fate { end: End::Crash { .. } | End::CrashInAck { .. }, .. }) => {
                self.crash(format_args!("crashes before step {step}"));
                Step::Never
            }
            Some(Fate { end: End::Pause { millis, .. }, paused }) => {
                self.tell(format_args!("stops before step {step}"));
                self.0.log.count(|met| met.pauses += 1);
                self.0.process.pause();
                let pause = Duration::from_millis(millis);
                if self.0.is_last.load(Ordering::Relaxed) {
                    self.resume_after(pause);
                } else {
                    paused.send(pause);
                }
                Step::Later
            }
        }
    }
}

/// What becomes of a step.
enum Step {
    Taken,
    Later,
    Never,
}

impl Runtime for Node {
    fn monotonic(&self) -> Instant {
        self.0.process.monotonic()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.process.spawn(Box::pin(Stepwise { node: self.clone(), task }));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.spawn(self.0.runtime.blocking_task(work));
    }

    fn parallelism(&self) -> usize {
        self.0.process.parallelism()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.0.process.sleep_until(deadline)
    }

    fn after_ack(&self) -> Option<BoxFuture<'static, ()>> {
        let (node, ack) = (self.clone(), self.0.acks.fetch_add(1, Ordering::Relaxed) + 1);
        Some(Box::pin(async move {
            // What is ready has its turn before time passes: if there is to be a request, it is sent by then.
            node.sleep(Duration::from_micros(1)).await;
            if node.crashes_in_ack(ack) {
                future::pending().await
            }
        }))
    }

    fn entropy(&self) -> u64 {
        self.0.process.entropy()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.0.process.name())
    }
}

/// A task of a node: asks before it goes on.
struct Stepwise {
    node: Node,
    task: BoxFuture<'static, ()>,
}

impl Future for Stepwise {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.node.take_step() {
            Step::Taken => self.task.as_mut().poll(context),
            Step::Never => Poll::Pending,
            Step::Later => {
                // It is ready, and has its turn when its process goes on.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
