//! Looking at queues: what it finds, and that it leaves everything as it is.

mod threads;

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use buffer_driver::buffer_core::format::{Compression, Manifest, Metadata, NewEntry, encode_batch};
use buffer_driver::buffer_core::{
    Condition, KeepReason, ListCursor, ListPage, Location, ReadOutcome, Rope, Sequence, Verdict,
    Version, WriteOutcome,
};
use buffer_driver::{
    BoxFuture, CollectError, Consumer, ConsumerConfig, Depth, InspectError, Inspector,
    InspectorConfig, LocalDirectory, LookError, MemoryStore, Problem, Producer, ProducerConfig,
    Store, StoreFailure, SweepError, SystemClock,
};
use bytes::Bytes;
use futures_lite::future::block_on;
use threads::Threads;

const MANIFEST: &str = "ingest/manifest";

/// A store that counts what would change it, and does something at its first listing.
struct Watched {
    inner: Arc<dyn Store>,
    changes: AtomicUsize,
    listed: AtomicBool,
    at_listing: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Watched {
    fn over(inner: Arc<dyn Store>) -> Arc<Self> {
        let (changes, listed) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { inner, changes, listed, at_listing: Mutex::new(None) })
    }

    fn changes(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Store for Watched {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.inner.write(location, payload, condition)
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        self.inner.read(location, unless)
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        if !self.listed.swap(true, Ordering::Relaxed)
            && let Some(act) = self.at_listing.lock().expect("nobody panicked").take()
        {
            act();
        }
        self.inner.list(prefix, after)
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.inner.delete(locations)
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new("a queue"))
}

fn inspector(store: Arc<dyn Store>) -> Inspector {
    let config = InspectorConfig::default();
    Inspector::with_store(&config, store, Arc::new(SystemClock), Threads::start()).expect("sound")
}

fn location(number: u64) -> Location {
    Location::from(format!("ingest/01ARZ3NDEKTSV4RRFFQ69G5F{number:02}.batch"))
}

fn put(store: &dyn Store, location: &Location, bytes: impl Into<Bytes>) {
    let written = block_on(store.write(location, vec![bytes.into()], Condition::Absent));
    assert!(matches!(written, Ok(WriteOutcome::Stored(_))), "{written:?}");
}

fn batch(records: &[&'static str]) -> Bytes {
    let records: Vec<_> = records.iter().map(|record| Bytes::from(*record)).collect();
    encode_batch(records.iter(), Compression::None).expect("it fits").concat().into()
}

/// A manifest that lists these, each with a metadata item that starts at this record.
fn put_manifest(store: &dyn Store, listed: &[(Location, u32)]) {
    let metadata: Vec<_> = listed
        .iter()
        .map(|(_, start_index)| {
            [Metadata { start_index: *start_index, ingestion_time_ms: 5, payload: Bytes::new() }]
        })
        .collect();
    let entries: Vec<_> = listed
        .iter()
        .zip(&metadata)
        .map(|((location, _), metadata)| NewEntry { location, metadata })
        .collect();
    let manifest = Manifest::absent().append(&entries).expect("it fits");
    put(store, &Location::from(MANIFEST), manifest.to_rope().concat());
}

fn produce(store: &Arc<dyn Store>, batches: &[&'static str]) {
    let config =
        ProducerConfig { flush_interval: Duration::from_millis(1), ..ProducerConfig::default() };
    let (clock, runtime) = (Arc::new(SystemClock), Threads::start());
    let producer = Producer::with_store(&config, Arc::clone(store), clock, runtime).expect("sound");
    block_on(async {
        for entry in batches {
            producer.produce(vec![(*entry).into()], Bytes::new()).await.expect("there is room");
            producer.flush().await.expect("it is delivered");
        }
        producer.close().await.expect("it is delivered");
    });
}

fn consumer(store: &Arc<dyn Store>) -> Consumer {
    let config = ConsumerConfig { dequeue_acks: 1, ..ConsumerConfig::default() };
    let (clock, runtime) = (Arc::new(SystemClock), Threads::start());
    Consumer::with_store(&config, Arc::clone(store), clock, runtime).expect("sound")
}

/// Goal: whatever is looked at, the manifest keeps its version and its epoch, nothing is written, and the
/// consumer goes on.
#[test]
fn looking_beside_a_live_consumer_changes_nothing_and_fences_nobody() {
    let store = memory();
    produce(&store, &["one", "two", "three"]);
    let watched = Watched::over(Arc::clone(&store));
    let looking = inspector(Arc::clone(&watched) as Arc<dyn Store>);
    block_on(async {
        let consumer = consumer(&store);
        consumer.initialize(None).await.expect("it takes over");
        let first = consumer.next_batch().await.expect("it reads").expect("there is one");
        assert_eq!(first.entries, ["one"]);

        let before = looking.read().await.expect("there is a queue");
        assert_eq!((before.manifest.epoch().0, before.manifest.len()), (1, 3));
        assert!(looking.read_after(&before).await.expect("it reads").is_none());
        let status = looking.status(&before);
        assert_eq!((status.first_sequence, status.next_sequence, status.depth), (0, 3, 3));
        let oldest = status.oldest.expect("something waits");
        assert_eq!(oldest.sequence, 0);
        assert!(oldest.age.is_some_and(|age| age < Duration::from_secs(60)), "{oldest:?}");
        for depth in [Depth::Exists, Depth::Decodes] {
            let found = looking.verify(depth).await.expect("it is there");
            assert!(found.is_sound(), "{found:?}");
        }
        let entry = before.entry(2).expect("it is listed");
        let batch = looking.batch(&entry.location).await.expect("it is there");
        assert_eq!(batch.records_of(&entry.metadata).expect("it is whole"), ["three"]);
        let mut sweep = looking.sweep();
        while let Some(page) = sweep.next_page().await.expect("it lists") {
            assert!(sweep.delete(&page).await.is_empty(), "all of it is young");
        }
        let after = looking.read().await.expect("it is there");
        assert_eq!(after.version, before.version);
        assert_eq!(after.manifest, before.manifest);
        assert_eq!(watched.changes(), 0);

        consumer.ack(0).await.expect("it is not fenced");
        let second = consumer.next_batch().await.expect("not fenced").expect("there is one");
        assert_eq!(second.entries, ["two"]);
        consumer.flush().await.expect("it is not fenced");
        let later = looking.read_after(&before).await.expect("it reads").expect("it has changed");
        assert_eq!(later.manifest.first_sequence(), Sequence(1));
        assert_eq!(later.manifest.epoch(), before.manifest.epoch());
        consumer.close().await.expect("it dequeues");
    });
}

#[test]
fn a_queue_that_is_not_there_is_an_error_that_names_store_and_key() {
    let error = block_on(inspector(memory()).read()).expect_err("there is none");
    assert!(matches!(error, InspectError::NoQueue { .. }) && !error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("ingest/manifest in memory:a queue"), "{error}");
    let error = block_on(inspector(memory()).batch(&location(1))).expect_err("there is none");
    assert!(matches!(error, LookError::Missing { .. }), "{error:?}");
    let outside = block_on(inspector(memory()).batch(&Location::from("../secret")));
    assert!(matches!(outside, Err(LookError::Store(_))), "{outside:?}");
}

#[test]
fn verifying_finds_what_is_missing_damaged_repeated_or_does_not_agree() {
    let store = memory();
    put(&*store, &location(1), batch(&["a", "b"]));
    put(&*store, &location(3), batch(&["c"]).slice(1..));
    put(&*store, &location(4), batch(&["d"]));
    put(&*store, &location(9), batch(&["nobody's"]));
    put(&*store, &Location::from("ingest/notes.txt"), "no batch");
    let keys = [(1, 2), (2, 0), (3, 0), (4, 7), (1, 0)];
    let mut listed: Vec<_> = keys.map(|(number, start)| (location(number), start)).to_vec();
    listed.push((Location::from("../manifest"), 0));
    put_manifest(&*store, &listed);

    let looking = inspector(store);
    let shallow = block_on(looking.verify(Depth::Exists)).expect("it lists");
    let sequences = |found: &buffer_driver::Verification| {
        found.problems.iter().map(|problem| problem.sequence().0).collect::<Vec<_>>()
    };
    assert_eq!(sequences(&shallow), [1, 4, 5], "{shallow:?}");
    assert_eq!((shallow.batches, shallow.decoded, shallow.orphans), (6, 0, 1));
    assert_eq!(shallow.orphan_bytes, batch(&["nobody's"]).len() as u64);
    assert!(
        matches!(&shallow.problems[0], Problem::Missing { location: at, .. } if *at == location(2))
    );
    assert!(matches!(&shallow.problems[1], Problem::Repeated { first: Sequence(0), .. }));
    assert!(matches!(&shallow.problems[2], Problem::BadLocation { .. }));

    let deep = block_on(looking.verify(Depth::Decodes)).expect("it lists");
    assert_eq!(sequences(&deep), [1, 2, 3, 4, 5], "{deep:?}");
    assert_eq!((deep.decoded, deep.records), (1, 2));
    assert!(matches!(&deep.problems[1], Problem::Corrupt { .. }));
    let said = deep.problems[2].to_string();
    assert!(said.contains("starts at record 7 of a batch that has 1"), "{said}");
}

#[test]
fn a_corrupt_manifest_says_where() {
    let store = memory();
    put(&*store, &Location::from(MANIFEST), "x");
    let error = block_on(inspector(store).verify(Depth::Exists)).expect_err("it is corrupt");
    assert!(matches!(error, InspectError::ManifestCorrupt(_)), "{error:?}");
    assert!(error.to_string().contains("ingest/manifest is corrupt at byte 0"), "{error}");
}

/// Goal: what a consumer dequeues and deletes while a queue is verified is not missing.
#[test]
fn what_is_dequeued_meanwhile_is_no_problem() {
    let store = memory();
    produce(&store, &["one", "two"]);
    let watched = Watched::over(Arc::clone(&store));
    let dequeue = move || {
        block_on(async {
            let consumer = consumer(&store);
            consumer.initialize(None).await.expect("it takes over");
            let batch = consumer.next_batch().await.expect("it reads").expect("there is one");
            consumer.ack(batch.sequence).await.expect("it was handed out");
            consumer.close().await.expect("it dequeues");
            let gone = Location::new(batch.location);
            assert!(store.delete(vec![gone]).await[0].is_ok());
        });
    };
    *watched.at_listing.lock().expect("nobody panicked") = Some(Box::new(dequeue));
    let found = block_on(inspector(watched).verify(Depth::Decodes)).expect("it lists");
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.batches, found.dequeued, found.decoded), (2, 1, 1));
}

/// Sets a file's time to so long ago.
fn age(path: &Path, age: Duration) {
    let file = File::options().write(true).open(path).expect("it is there");
    file.set_modified(SystemTime::now() - age).expect("it can be set");
}

#[test]
fn a_sweep_deletes_what_the_gate_lets_pass_and_says_why_the_rest_stays() {
    let root = std::env::temp_dir().join(format!("buffer-inspect-{:x}", std::process::id()));
    let writing = LocalDirectory::open(&root, Threads::start()).expect("it can be made");
    let writing: Arc<dyn Store> = Arc::new(writing);
    for number in [1, 2, 3] {
        put(&*writing, &location(number), batch(&["x"]));
    }
    put(&*writing, &Location::from("ingest/notes.txt"), "no batch");
    // By its name it is younger than what is listed.
    let late = Location::from("ingest/7ZARZ3NDEKTSV4RRFFQ69G5FAV.batch");
    put(&*writing, &late, batch(&["x"]));
    put_manifest(&*writing, &[(Location::from("ingest/02ARZ3NDEKTSV4RRFFQ69G5FAV.batch"), 0)]);
    let path = |location: &Location| root.join(location.as_str());
    let hour = Duration::from_secs(3600);
    for old in [&location(1), &location(2), &late, &Location::from("ingest/notes.txt")] {
        age(&path(old), hour);
    }
    let manifest = fs::read(root.join(MANIFEST)).expect("it is there");

    let reading = LocalDirectory::open_existing_to_delete(&root, Threads::start());
    let looking = inspector(Arc::new(reading.expect("it is there")));
    block_on(async {
        let mut sweep = looking.sweep();
        let page = sweep.next_page().await.expect("it lists").expect("there are objects");
        let mut verdicts: Vec<_> =
            page.files().iter().map(|file| (file.location.clone(), file.verdict)).collect();
        verdicts.sort_by(|one, other| one.0.cmp(&other.0));
        let kept = |location: &Location, reason| (location.clone(), Verdict::Keep(reason));
        let expected = [
            (location(1), Verdict::Delete),
            (location(2), Verdict::Delete),
            kept(&location(3), KeepReason::Young),
            kept(&late, KeepReason::Pending),
            kept(&Location::from(MANIFEST), KeepReason::NoBatch),
            kept(&Location::from("ingest/notes.txt"), KeepReason::NoBatch),
        ];
        assert_eq!(verdicts, expected);
        assert!(path(&location(1)).exists(), "judging deletes nothing");
        let deleted = sweep.delete(&page).await;
        assert!(deleted.iter().all(|(_, result)| result.is_ok()), "{deleted:?}");
        assert_eq!(deleted.len(), 2);
        assert!(sweep.next_page().await.expect("it ended").is_none());
    });
    assert!(!path(&location(1)).exists() && !path(&location(2)).exists());
    assert!(path(&location(3)).exists() && path(&late).exists());
    assert_eq!(fs::read(root.join(MANIFEST)).expect("it is there"), manifest);
    let refused = block_on(looking.store().write(&location(5), Rope::new(), Condition::Absent));
    assert!(refused.is_err(), "what only looks cannot write");
    fs::remove_dir_all(root).expect("it is there");
}

#[test]
fn a_sweep_of_a_queue_that_was_never_used_ends_before_anything_is_listed() {
    let store = memory();
    put(&*store, &location(1), batch(&["another queue's"]));
    put(&*store, &Location::from(MANIFEST), Manifest::absent().to_rope().concat());
    let watched = Watched::over(store);
    let looking = inspector(Arc::clone(&watched) as Arc<dyn Store>);
    let error = block_on(looking.sweep().next_page()).expect_err("nothing is known to be its own");
    assert!(matches!(error, SweepError::Collect(CollectError::NeverUsed)), "{error:?}");
    assert!(!watched.listed.load(Ordering::Relaxed));
}
