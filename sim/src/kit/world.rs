//! A world for an embedder's database.

use std::fmt;

use super::log::Log;
use super::node::Node;
use super::settings::Settings;
use crate::{Random, SimOptions, SimRuntime, SimStore};

/// A world of one seed: virtual time and a store with a queue in it.
///
/// [`check`](super::check) makes one for every plan and gives it to you, so that you can set up what is
/// to survive crashes. You can make one by yourself as well, for a situation that you write out:
///
/// ```
/// use std::time::Duration;
/// use buffer_sim::kit::{Settings, World};
/// use buffer_sim::Verdict;
///
/// let world = World::new(7, &Settings::default());
/// let producer = world.node("producer").producer(&Default::default())?;
/// let _slow = world.store().fault(|request| match request.number {
///     2 => Verdict::Delay(Duration::from_secs(3)),
///     _ => Verdict::Pass,
/// });
/// world.runtime().block_on(async {
///     producer.produce(vec!["one".into()], "".into()).await?.watcher.await_durable().await?;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// assert!(world.runtime().elapsed() > Duration::from_secs(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct World {
    runtime: SimRuntime,
    store: SimStore,
    log: Log,
}

/// How many steps a world may take in all.
pub(super) const MOST_STEPS: u64 = 1_000_000;

impl World {
    /// A world of this seed, with a store as the settings say.
    #[must_use]
    pub fn new(seed: u64, settings: &Settings) -> Self {
        Self::with_lines(seed, settings, true)
    }

    pub(super) fn with_lines(seed: u64, settings: &Settings, keeps_lines: bool) -> Self {
        let options = SimOptions {
            shuffles: true,
            keeps_lines,
            // Longer than what the kit waits for in all: who is late is to be told so, and not to panic.
            time_budget: settings.time_limit * 4,
            step_budget: MOST_STEPS,
            ..SimOptions::default()
        };
        let runtime = SimRuntime::with_options(seed, options);
        let store = SimStore::new(&runtime, settings.profile);
        store.set_latency(settings.latency);
        store.set_keeps_log(false);
        let log = Log::new(&runtime);
        Self { runtime, store, log }
    }

    /// Its time and its tasks.
    #[must_use]
    pub fn runtime(&self) -> &SimRuntime {
        &self.runtime
    }

    /// Its store, in which the queue is.
    #[must_use]
    pub fn store(&self) -> &SimStore {
        &self.store
    }

    /// A process of its own in which nothing happens by itself: crash, pause and skew it as you like.
    ///
    /// ```
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let (first, second) = (world.node("first"), world.node("second"));
    /// first.process().crash();
    /// assert!(first.process().is_crashed() && !second.process().is_crashed());
    /// ```
    #[must_use]
    pub fn node(&self, name: &str) -> Node {
        self.numbered_node(name, 1, false)
    }

    pub(super) fn numbered_node(&self, name: &str, number: u32, dequeues_at_once: bool) -> Node {
        Node::new(&self.runtime, &self.store, &self.log, name, number, dequeues_at_once)
    }

    /// A source of random choices for one purpose.
    ///
    /// ```
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let rows = |seed| World::new(seed, &Settings::default()).random("rows").u64(..);
    /// assert_eq!(rows(7), rows(7));
    /// assert_ne!(rows(7), rows(8));
    /// ```
    #[must_use]
    pub fn random(&self, purpose: &str) -> Random {
        self.runtime.random(purpose)
    }

    /// Adds a line to what is told of a world that fails.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// world.runtime().advance(Duration::from_secs(2));
    /// world.record(format_args!("the disk is full from here on"));
    /// assert_eq!(world.runtime().trace(), ["2.000000000 the disk is full from here on"]);
    /// ```
    pub fn record(&self, line: fmt::Arguments<'_>) {
        self.log.add(line);
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("World").field(&self.runtime).finish()
    }
}
