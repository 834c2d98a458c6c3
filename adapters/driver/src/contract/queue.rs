//! A queue's whole life, end to end: over one pair of store and runtime, or over two on one queue.
//!
//! Three producers send some thousands of entries. A first consumer stores them in a database
//! (here, in memory), which resumes and fences as a real one does. In the middle of the stream a
//! second one takes over. When all is stored, every entry is compared, and the collector has to
//! delete every batch.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use buffer_driver::{Runtime, Store};
//! use buffer_driver::contract::queue::{self, Plan, Side};
//!
//! # async fn example(store: Arc<dyn Store>, runtime: Arc<dyn Runtime>) -> Result<(), Box<dyn std::error::Error>> {
//! let side = Side::new(store, runtime);
//! let summary = queue::run(&Plan::default(), side, "queue-4711".into()).await?;
//! println!("{summary}");
//! # Ok(())
//! # }
//! ```

mod database;
mod life;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::Location;

pub(super) use life::broken;

use super::report::Violation;
use super::tasks::within;
use crate::config::{CompressionType, ConsumerConfig, ProducerConfig};
use crate::runtime::{Clock, Runtime, SystemClock};
use crate::store::Store;

/// One implementation of the driver's traits, as a queue uses it.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::{Duration, SystemTime};
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::Clock;
/// use buffer_driver::contract::queue::Side;
///
/// /// One whose host is a minute late.
/// struct Late;
///
/// impl Clock for Late {
///     fn now(&self) -> SystemTime {
///         SystemTime::now() - Duration::from_secs(60)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// let side = Side::new(Arc::new(MemoryStore::new("shared")), runtime);
/// assert!(format!("{side:?}").starts_with("memory:shared on tokio"));
/// let late = Side { clock: Arc::new(Late), ..side.clone() };
/// assert!(late.clock.now() < side.clock.now());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Side {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What the tasks run on.
    pub runtime: Arc<dyn Runtime>,
    /// Where stamps and names come from.
    pub clock: Arc<dyn Clock>,
}

impl Side {
    /// With the clock of the operating system.
    pub fn new(store: Arc<dyn Store>, runtime: Arc<dyn Runtime>) -> Self {
        Self { store, runtime, clock: Arc::new(SystemClock) }
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {:?}", self.store, self.runtime)
    }
}

/// How much is sent, and how long things may take.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::queue::{self, Plan, Side};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let side = Side::new(Arc::new(MemoryStore::new("x")), runtime);
/// // Three billion entries are too many for a moment.
/// let plan = Plan {
///     entries_per_producer: 1_000_000_000,
///     time_limit: Duration::from_millis(20),
///     ..Plan::default()
/// };
/// let told = queue::run(&plan, side, "queue-4711".into()).await;
/// let told = told.expect_err("it takes hours").to_string();
/// assert_eq!(told, "a_queue_lives_to_its_end: expected an end within 20ms, saw none");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many entries each of the three producers sends. Default: 2,000.
    pub entries_per_producer: u64,
    /// How many of them go into one call. Default: 10.
    pub entries_per_call: u64,
    /// The bytes of entries at which a batch is sealed. Default: 4 KiB.
    pub batch_bytes: usize,
    /// The queue's grace period. The suite takes at least so long. Default: 10 s.
    pub grace_period: Duration,
    /// How long the whole may take. Default: 10 min.
    pub time_limit: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            entries_per_producer: 2_000,
            entries_per_call: 10,
            batch_bytes: 4 << 10,
            grace_period: Duration::from_secs(10),
            time_limit: Duration::from_secs(600),
        }
    }
}

/// What a queue's life was like.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::queue::{self, Plan, Side};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let side = Side::new(Arc::new(MemoryStore::new("x")), runtime);
/// let plan = Plan { grace_period: Duration::from_secs(2), ..Plan::default() };
/// let summary = queue::run(&plan, side, "queue-4711".into()).await?;
/// assert_eq!(summary.entries, 3 * plan.entries_per_producer);
/// assert!(summary.batches_before > 0 && summary.batches_after > 0);
/// // Every batch was collected in the end, and none before the grace period was over.
/// assert!(summary.deleted >= summary.batches_before + summary.batches_after);
/// assert!(summary.took - summary.stored_within >= plan.grace_period);
/// assert!(summary.conflicts < summary.swaps);
/// assert!(summary.to_string().starts_with("6000 entries in "));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Entries that were stored, each once.
    pub entries: u64,
    /// Batches that the first consumer stored.
    pub batches_before: u64,
    /// Batches that the second consumer stored.
    pub batches_after: u64,
    /// Swaps of the manifest that producers sent.
    pub swaps: u64,
    /// Those of them that were answered with a conflict.
    pub conflicts: u64,
    /// Objects that the second consumer's collector deleted.
    pub deleted: u64,
    /// How long it took until everything was stored.
    pub stored_within: Duration,
    /// How long it took until nothing was left.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} entries in {} + {} batches, stored within {:.1?}; {} swaps, {} conflicts; \
             {} objects deleted, after {:.1?} in all",
            self.entries,
            self.batches_before,
            self.batches_after,
            self.stored_within,
            self.swaps,
            self.conflicts,
            self.deleted,
            self.took,
        )
    }
}

/// A queue's life on one side, on keys below `prefix` that nobody else uses.
///
/// # Errors
///
/// [`Violation`], with the fact that does not hold.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{MemoryStore, Producer, ProducerConfig, SystemClock};
/// use buffer_driver::contract::queue::{self, Plan, Side};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("x"));
/// # let config = ProducerConfig {
/// #     data_path_prefix: "queue-4711/ingest".into(),
/// #     manifest_path: "queue-4711/ingest/manifest".into(),
/// #     ..ProducerConfig::default()
/// # };
/// # let clock = Arc::new(SystemClock);
/// # let producer = Producer::with_store(&config, store.clone(), clock, runtime.clone())?;
/// # producer.produce(vec!["somebody's".into()], "".into()).await?;
/// # producer.close().await?;
/// // Below this prefix somebody else has a queue, with an entry.
/// let side = Side::new(store, runtime);
/// let plan = Plan { entries_per_producer: 100, ..Plan::default() };
/// let told = queue::run(&plan, side, "queue-4711".into()).await;
/// let violation = told.expect_err("what is not from here is noticed");
/// assert_eq!(violation.check, "entries_come_back_as_they_went");
/// assert_eq!(violation.seen, "b\"somebody's\" in batch 0");
/// # Ok(())
/// # }
/// ```
pub async fn run(plan: &Plan, side: Side, prefix: Location) -> Result<Summary, Violation> {
    run_mixed(plan, side.clone(), side, prefix).await
}

/// The same on two sides at once: producers on both, the first consumer on `second`, and the one
/// that takes over on `first`. Both must reach the same objects.
///
/// # Errors
///
/// [`Violation`], with the fact that does not hold.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// use buffer_driver::MemoryStore;
/// use buffer_driver::contract::queue::{self, Plan, Side};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// // Two handles on the same objects; as a rule they are of two implementations.
/// let side = || Side::new(MemoryStore::shared("doc run_mixed"), runtime.clone());
/// let plan = Plan { grace_period: Duration::from_secs(2), ..Plan::default() };
/// let summary = queue::run_mixed(&plan, side(), side(), "queue-4711".into()).await?;
/// assert_eq!(summary.entries, 6_000);
/// # Ok(())
/// # }
/// ```
pub async fn run_mixed(
    plan: &Plan,
    first: Side,
    second: Side,
    prefix: Location,
) -> Result<Summary, Violation> {
    let (runtime, limit) = (Arc::clone(&first.runtime), plan.time_limit);
    let life = life::Life::new(plan.clone(), first, second, prefix);
    within(&runtime, limit, life.run()).await.unwrap_or_else(|| {
        Err(violation("a_queue_lives_to_its_end", format!("an end within {limit:?}"), "none"))
    })
}

fn violation(check: &str, expected: impl fmt::Display, seen: impl fmt::Display) -> Violation {
    Violation { check: check.to_owned(), expected: expected.to_string(), seen: seen.to_string() }
}

/// The names of a queue's objects.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) batches: String,
    pub(super) manifest: String,
}

impl Keys {
    pub(super) fn below(prefix: &Location) -> Self {
        Self { batches: format!("{prefix}/ingest"), manifest: format!("{prefix}/ingest/manifest") }
    }

    fn producer(&self, plan: &Plan, number: usize) -> ProducerConfig {
        ProducerConfig {
            data_path_prefix: self.batches.clone(),
            manifest_path: self.manifest.clone(),
            flush_interval: Duration::from_millis(10),
            flush_size_bytes: plan.batch_bytes,
            batch_compression: if number == 1 {
                CompressionType::Zstd
            } else {
                CompressionType::None
            },
            delivery_timeout: plan.grace_period * 9 / 20,
            gc_grace_period: plan.grace_period,
            ..ProducerConfig::default()
        }
    }

    fn consumer(&self, plan: &Plan) -> ConsumerConfig {
        ConsumerConfig {
            data_path_prefix: self.batches.clone(),
            manifest_path: self.manifest.clone(),
            poll_interval: Duration::from_millis(10),
            poll_interval_max: Duration::from_millis(200),
            dequeue_acks: 10,
            gc_interval: plan.grace_period / 40,
            gc_grace_period: plan.grace_period,
            ..ConsumerConfig::default()
        }
    }
}
