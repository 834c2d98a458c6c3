//! One life of an embedder's consumer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buffer_core::{Instant, Machine};
use buffer_driver::{
    BoxFuture, ConfigError, Consumer, ConsumerConfig, Producer, ProducerConfig, Runtime,
};
use futures_lite::future;

use super::core_host::CoreHost;
use super::log::Log;
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
    fate: Mutex<Option<Fate>>,
}

/// How this life ends, and who is told if it is only paused.
struct Fate {
    end: End,
    paused: oneshot::Sender<()>,
}

/// Tells that a life was paused; closed if it never is.
pub(super) type Paused = oneshot::Receiver<()>;

impl Node {
    pub(super) fn new(
        runtime: &SimRuntime,
        store: &SimStore,
        log: &Log,
        name: &str,
        number: u32,
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
            fate: Mutex::new(None),
        }))
    }

    /// Sets how this life ends.
    pub(super) fn doom(&self, life: &Life) -> Paused {
        let (paused, told) = oneshot::channel();
        let step = match life.end {
            End::Crash { step } | End::Pause { step, .. } => step,
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
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn consumer(&self, config: &ConsumerConfig) -> Result<Consumer, ConfigError> {
        let (store, clock) = (Arc::new(self.0.store.clone()), Arc::new(self.clock().clone()));
        Consumer::with_store(config, store, clock, Arc::new(self.clone()))
    }

    /// A producer of the queue, in this process: for consumers that hand on what they read.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn producer(&self, config: &ProducerConfig) -> Result<Producer, ConfigError> {
        let (store, clock) = (Arc::new(self.0.store.clone()), Arc::new(self.clock().clone()));
        Producer::with_store(config, store, clock, Arc::new(self.clone()))
    }

    /// A machine of the core, such as a [`buffer_core::Consumer`], driven in this process.
    pub fn host<M: Machine>(&self, machine: M) -> CoreHost<M> {
        CoreHost::new(self.clone(), machine)
    }

    /// The store that the queue is in. A database may keep its objects there too, under other keys.
    ///
    /// With the feature `object-store` it is a client of `object_store`.
    #[must_use]
    pub fn store(&self) -> &SimStore {
        &self.0.store
    }

    /// This process's wall clock, which may be wrong.
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
    /// ```
    /// # fn applied(node: &buffer_sim::kit::Node, sequence: u64) {
    /// node.record(format_args!("stored {sequence}"));
    /// # }
    /// ```
    pub fn record(&self, line: fmt::Arguments<'_>) {
        self.0.log.add(format_args!("{}: {line}", self.0.process.name()));
    }

    /// Whether the next step may be taken. A crash happens here.
    fn take_step(&self) -> Step {
        let step = self.0.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if step != self.0.last_step.load(Ordering::Relaxed) {
            return Step::Taken;
        }
        let fate = self.0.fate.lock().expect("nothing panics with it").take();
        match fate {
            None => Step::Taken,
            Some(Fate { end: End::Crash { .. }, .. }) => {
                self.record(format_args!("crashes before step {step}"));
                self.0.log.count(|met| met.crashes += 1);
                self.0.process.crash();
                Step::Never
            }
            Some(Fate { end: End::Pause { millis, .. }, paused }) => {
                self.record(format_args!("stops before step {step}"));
                self.0.log.count(|met| met.pauses += 1);
                self.0.process.pause();
                paused.send(());
                let (node, pause) = (self.clone(), Duration::from_millis(millis));
                self.0.runtime.spawn(Box::pin(async move {
                    node.0.runtime.sleep(pause).await;
                    node.record(format_args!("goes on"));
                    node.0.log.count(|met| met.resumed += 1);
                    node.0.process.resume();
                }));
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
