//! Looking at a queue beside whoever consumes it: the manifest keeps its version and epoch, and the consumer goes on.
//!
//! A producer sends three batches, and a consumer takes the queue over and holds the first. Then everything is done
//! that an [`Inspector`] can do, and one old batch that nobody lists is deleted by a [`Sweep`](crate::Sweep).
//! The manifest has to be the same object afterwards, nothing else may have been written or deleted, and the
//! consumer has to dequeue without noticing.
//!
//! The store has to tell when objects were written. It takes a quarter of a minute.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use buffer_driver::{Runtime, Store};
//! use buffer_driver::contract::inspection;
//! use buffer_driver::contract::queue::Side;
//!
//! # async fn example(store: Arc<dyn Store>, runtime: Arc<dyn Runtime>) -> Result<(), Box<dyn std::error::Error>> {
//! inspection::run(Side::new(store, runtime), "inspection-4711".into()).await?;
//! # Ok(())
//! # }
//! ```

use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buffer_core::format::{Compression, encode_batch};
use buffer_core::{
    Condition, KeepReason, ListCursor, ListPage, Location, ReadOutcome, Rope, Verdict, Version,
    WriteOutcome,
};
use bytes::Bytes;

use super::queue::{Keys, Side, broken};
use super::report::Violation;
use super::tasks::{sleep, within};
use crate::client::StoreClient;
use crate::config::{ConsumerConfig, InspectorConfig, ProducerConfig};
use crate::consumer::Consumer;
use crate::inspect::{Depth, Inspector, LookError, Reading};
use crate::producer::Producer;
use crate::store::{Store, StoreFailure};

type Result<T = (), E = Violation> = std::result::Result<T, E>;

/// How long a batch is left alone. A producer has not half of that to deliver, also through a test server that is busy.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// How much older than the manifest the old batch is: more than that, also where times are whole seconds.
const AGE: Duration = Duration::from_millis(11_500);

/// How long the whole may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The name of a batch that was made long ago.
const OLD: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV.batch";

/// Looks at a queue of this side, on keys below `prefix` that nobody else uses.
///
/// # Errors
///
/// [`Violation`], with the fact that does not hold.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::inspection;
/// use buffer_driver::contract::queue::Side;
/// # use buffer_driver::{Store, buffer_core::Condition};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("x"));
/// # let old = "queue-4711/ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch";
/// # let written = store.write(&old.into(), vec!["left over".into()], Condition::Absent).await;
/// # assert!(written.is_ok());
/// // Below this prefix lies what an earlier run left when it was interrupted.
/// let side = Side::new(store, runtime);
/// let told = inspection::run(side, "queue-4711".into()).await;
/// let told = told.expect_err("nobody else may use the prefix").to_string();
/// assert_eq!(told, "an_old_batch_is_written: expected no failure, saw Ok(Conflict)");
/// # Ok(())
/// # }
/// ```
pub async fn run(side: Side, prefix: Location) -> Result {
    let runtime = Arc::clone(&side.runtime);
    let looks = look(side, Keys::below(&prefix));
    within(&runtime, LIMIT, looks).await.unwrap_or_else(|| {
        Err(violation("looking_ends", &format!("an end within {LIMIT:?}"), &"none"))
    })
}

async fn look(side: Side, keys: Keys) -> Result {
    let old = Location::new(format!("{}/{OLD}", keys.batches));
    put_old(&side, &old).await?;
    sleep(&side.runtime, AGE).await;
    produce(&side, &keys).await?;

    let watched = Arc::new(Watched::over(Arc::clone(&side.store)));
    let config = InspectorConfig {
        data_path_prefix: keys.batches.clone(),
        manifest_path: keys.manifest.clone(),
        gc_grace_period: GRACE_PERIOD,
        ..InspectorConfig::default()
    };
    let store = Arc::clone(&watched) as Arc<dyn Store>;
    let (clock, runtime) = (Arc::clone(&side.clock), Arc::clone(&side.runtime));
    let inspector = Inspector::with_store(&config, store, clock, runtime);
    let inspector = holds("an_inspector_is_made", inspector)?;

    let consumer = consume(&side, &keys)?;
    holds("the_consumer_takes_over", consumer.initialize(None).await)?;
    expect_next(&consumer, "one").await?;

    let before = holds("the_manifest_is_read", inspector.read().await)?;
    read_everything(&inspector, &before, &old).await?;
    sweep(&inspector, &old).await?;
    let after = holds("the_manifest_is_read", inspector.read().await)?;
    same("the_manifest_keeps_its_version", &before.version, &after.version)?;
    same("the_manifest_keeps_its_epoch", &before.manifest.epoch(), &after.manifest.epoch())?;
    same("the_manifest_stays_what_it_is", &before.manifest, &after.manifest)?;
    same("nothing_is_written", &0, &watched.writes.load(Ordering::Relaxed))?;
    same("only_the_old_batch_is_deleted", &vec![old], &watched.deleted())?;

    holds("the_consumer_is_not_fenced", consumer.ack(0).await)?;
    expect_next(&consumer, "two").await?;
    holds("the_consumer_dequeues", consumer.flush().await)?;
    let later = holds("the_manifest_is_read", inspector.read_after(&before).await)?;
    let later = later.map(|it| (it.manifest.epoch(), it.manifest.first_sequence().0));
    same("a_change_is_seen", &Some((before.manifest.epoch(), 1)), &later)?;
    holds("the_consumer_closes", consumer.close().await)
}

async fn put_old(side: &Side, old: &Location) -> Result {
    let object = encode_batch([Bytes::from("old")].iter(), Compression::None);
    let object = holds("a_batch_is_encoded", object)?;
    let written = side.store.write(old, object, Condition::Absent).await;
    match written {
        Ok(WriteOutcome::Stored(_)) => Ok(()),
        other => Err(broken("an_old_batch_is_written", &other)),
    }
}

async fn produce(side: &Side, keys: &Keys) -> Result {
    let config = ProducerConfig {
        data_path_prefix: keys.batches.clone(),
        manifest_path: keys.manifest.clone(),
        flush_interval: Duration::from_millis(10),
        gc_grace_period: GRACE_PERIOD,
        delivery_timeout: GRACE_PERIOD * 9 / 20,
        ..ProducerConfig::default()
    };
    let (store, clock) = (Arc::clone(&side.store), Arc::clone(&side.clock));
    let producer = Producer::with_store(&config, store, clock, Arc::clone(&side.runtime));
    let producer = holds("a_producer_is_made", producer)?;
    for entry in ["one", "two", "three"] {
        let taken = producer.produce(vec![entry.into()], Bytes::new()).await;
        holds("an_entry_is_taken", taken)?;
        holds("an_entry_is_delivered", producer.flush().await)?;
    }
    holds("the_producer_closes", producer.close().await)
}

/// One that deletes nothing, so that only the inspector could.
fn consume(side: &Side, keys: &Keys) -> Result<Consumer> {
    let config = ConsumerConfig {
        data_path_prefix: keys.batches.clone(),
        manifest_path: keys.manifest.clone(),
        gc_enabled: false,
        gc_grace_period: GRACE_PERIOD,
        ..ConsumerConfig::default()
    };
    let (store, clock) = (Arc::clone(&side.store), Arc::clone(&side.clock));
    let consumer = Consumer::with_store(&config, store, clock, Arc::clone(&side.runtime));
    holds("a_consumer_is_made", consumer)
}

async fn expect_next(consumer: &Consumer, entry: &'static str) -> Result {
    let batch = holds("the_consumer_reads_on", consumer.next_batch().await)?;
    let entries = batch.map(|batch| batch.entries);
    same("the_consumer_reads_on", &Some(vec![Bytes::from(entry)]), &entries)
}

async fn read_everything(inspector: &Inspector, before: &Reading, old: &Location) -> Result {
    let unchanged = holds("the_manifest_is_read", inspector.read_after(before).await)?;
    same("an_unchanged_manifest_is_told_so", &false, &unchanged.is_some())?;
    let status = inspector.status(before);
    let told = (status.epoch, status.first_sequence, status.next_sequence, status.depth);
    same("a_status_tells_the_queue", &(1, 0, 3, 3), &told)?;
    same("a_status_tells_the_lag", &true, &status.lag().is_some_and(|lag| lag < LIMIT))?;
    for depth in [Depth::Exists, Depth::Decodes] {
        let found = holds("a_queue_is_verified", inspector.verify(depth).await)?;
        if !found.is_sound() {
            return Err(broken("a_queue_is_sound", &found.problems));
        }
        same("an_orphan_is_found", &1, &found.orphans)?;
    }
    let objects = holds("objects_are_listed", inspector.objects(before).await)?;
    same("an_orphan_is_found", &1, &objects.orphans)?;
    let batch = holds("a_batch_is_read", inspector.batch(old).await)?;
    let records = holds("a_batch_decodes", batch.records())?;
    same("a_batch_decodes", &vec![Bytes::from("old")], &records)
}

/// Deletes what the gate lets pass, which is the old batch alone.
async fn sweep(inspector: &Inspector, old: &Location) -> Result {
    let mut sweep = inspector.sweep();
    let (mut doomed, mut listed) = (Vec::new(), 0);
    while let Some(page) = holds("a_page_is_judged", sweep.next_page().await)? {
        for file in page.files() {
            match file.verdict {
                Verdict::Delete => doomed.push(file.location.clone()),
                Verdict::Keep(reason) => listed += usize::from(reason == KeepReason::Listed),
                Verdict::Nonsense => {}
            }
        }
        for (_, deleted) in sweep.delete(&page).await {
            holds("a_batch_is_deleted", deleted)?;
        }
    }
    same("the_old_batch_alone_is_deleted", &vec![old.clone()], &doomed)?;
    same("what_is_listed_is_kept", &3, &listed)?;
    match inspector.batch(old).await {
        Err(LookError::Missing { .. }) => Ok(()),
        other => Err(violation("a_deleted_batch_is_gone", &"nothing", &other)),
    }
}

fn violation(check: &str, expected: &dyn Debug, seen: &dyn Debug) -> Violation {
    let [expected, seen] = [expected, seen].map(|it| format!("{it:?}"));
    Violation { check: check.to_owned(), expected, seen }
}

fn holds<T, E: Debug>(check: &str, result: Result<T, E>) -> Result<T> {
    result.map_err(|error| broken(check, &error))
}

fn same<T: Debug + PartialEq>(check: &str, expected: &T, seen: &T) -> Result {
    if expected == seen { Ok(()) } else { Err(violation(check, expected, seen)) }
}

/// A store that notes what changes it.
#[derive(Debug)]
struct Watched {
    store: Arc<dyn Store>,
    writes: AtomicUsize,
    deleted: Mutex<Vec<Location>>,
}

impl Watched {
    fn over(store: Arc<dyn Store>) -> Self {
        Self { store, writes: AtomicUsize::new(0), deleted: Mutex::default() }
    }

    fn deleted(&self) -> Vec<Location> {
        self.noted().clone()
    }

    fn noted(&self) -> MutexGuard<'_, Vec<Location>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}

impl StoreClient for Watched {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.write(&location, payload, condition).await
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.store.read(&location, unless).await
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.store.list(&prefix, after).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.noted().extend(locations.iter().cloned());
        self.store.delete(locations).await
    }
}
