//! The collector over `object_store`'s store in memory, and over a directory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use buffer::buffer_core::{ListCursor, Location};
use buffer::{
    Consumer, ConsumerConfig, LocalDirectory, ObjectStoreAdapter, Producer, ProducerConfig, Resume,
    Runtime, Store, StoreErrorKind, SystemClock, TokioRuntime,
};
use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

const GRACE: Duration = Duration::from_secs(3);

fn producer_over(store: &Arc<dyn Store>) -> Producer {
    let config = ProducerConfig {
        flush_interval: Duration::from_millis(5),
        delivery_timeout: Duration::from_millis(1400),
        gc_grace_period: GRACE,
        ..ProducerConfig::default()
    };
    Producer::with_store(config, Arc::clone(store), Arc::new(SystemClock)).expect("it is valid")
}

fn consumer_over(store: &Arc<dyn Store>) -> Consumer {
    let config = ConsumerConfig {
        gc_interval: Duration::from_millis(100),
        gc_grace_period: GRACE,
        poll_interval: Duration::from_millis(10),
        ..ConsumerConfig::default()
    };
    Consumer::with_store(config, Arc::clone(store), Arc::new(SystemClock)).expect("it is valid")
}

async fn send(producer: &Producer, entry: &'static str) {
    let handle = producer.produce(vec![entry.into()], "".into()).await.expect("there is room");
    handle.watcher.await_durable().await.expect("the store is there");
}

async fn take(consumer: &Consumer) -> String {
    let batch = consumer.wait_batch().await.expect("the queue can be read");
    consumer.ack(batch.sequence).await.expect("it was just handed out");
    String::from_utf8(batch.entries[0].to_vec()).expect("it was text")
}

async fn keys(store: &Arc<dyn Store>) -> BTreeSet<String> {
    let page = store.list(&"ingest".into(), None).await.expect("it lists");
    page.objects.iter().map(|object| object.location.to_string()).collect()
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// A queue's whole life: what is dequeued and what was never listed goes, what is listed
/// and what is no batch stays, and the manifest has to change for it.
async fn everything_goes_that_nobody_needs(store: Arc<dyn Store>) {
    let orphan = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
    let others = ["ingest/note.txt", "ingest/sub/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch"];
    for location in [orphan.clone(), others[0].into(), others[1].into()] {
        let absent = buffer::buffer_core::Condition::Absent;
        store.write(&location, vec!["x".into()], absent).await.expect("it is new");
    }
    let (producer, consumer) = (producer_over(&store), consumer_over(&store));
    consumer.initialize(None).await.expect("it can be taken over");
    for entry in ["one", "two"] {
        send(&producer, entry).await;
        assert_eq!(take(&consumer).await, entry);
    }
    consumer.flush().await.expect("it is dequeued");
    until("cycles come and go", async || consumer.stats().gc_cycles >= 5).await;
    assert_eq!(consumer.stats().gc_files_deleted, 0, "all are young");
    tokio::time::sleep(GRACE + Duration::from_millis(200)).await;
    let cycles = consumer.stats().gc_cycles;
    until("cycles come and go", async || consumer.stats().gc_cycles >= cycles + 3).await;
    assert_eq!(consumer.stats().gc_files_deleted, 0, "the manifest has not changed since");

    send(&producer, "three").await;
    until("three are deleted", async || consumer.stats().gc_files_deleted == 3).await;
    let left = keys(&store).await;
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(others.iter().all(|other| left.contains(*other)) && left.contains("ingest/manifest"));
    assert_eq!(take(&consumer).await, "three");
    consumer.close().await.expect("it is dequeued");
    assert_eq!(consumer.stats().gc_files_failed, 0);
    producer.close().await.expect("nothing is left to send");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_that_nobody_needs_in_memory() {
    let store = ObjectStoreAdapter::new(Arc::new(InMemory::new())).expect("it can swap");
    everything_goes_that_nobody_needs(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_that_nobody_needs_in_a_directory() {
    let directory = tempfile::tempdir().expect("there is room");
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current().expect("it is one"));
    let store = LocalDirectory::open(directory.path(), runtime).expect("it can be opened");
    everything_goes_that_nobody_needs(Arc::new(store)).await;
    let left = std::fs::read_dir(directory.path().join("ingest")).expect("it is there");
    let locks = left.filter(|entry| {
        let name = entry.as_ref().expect("it is listed").file_name();
        name.to_string_lossy().contains(".batch.lock")
    });
    assert_eq!(locks.count(), 0);
}

/// 1. One consumer is taken over. 2. It was told nothing, and would delete. 3. It stops by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_collector_of_a_fenced_consumer_stops() {
    let store: Arc<dyn Store> =
        Arc::new(ObjectStoreAdapter::new(Arc::new(InMemory::new())).expect("it can swap"));
    let producer = producer_over(&store);
    let (first, second) = (consumer_over(&store), consumer_over(&store));
    first.initialize(None).await.expect("it can be taken over");
    second.initialize_with(Resume::default()).await.expect("it can be taken over");
    until("the first notices", async || first.epoch().is_none()).await;
    let cycles = first.stats().gc_cycles;
    send(&producer, "one").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(first.stats().gc_cycles, cycles);
    assert!(second.stats().gc_cycles > 0);
    second.close().await.expect("there is nothing to dequeue");
    let cycles = second.stats().gc_cycles;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(second.stats().gc_cycles, cycles, "nor does one go on that was closed");
}

/// Goal: what a store in memory lists is what was written, below the prefix and nothing beside it.
#[tokio::test]
async fn the_adapter_lists_and_deletes() {
    let client = Arc::new(InMemory::new());
    let keys = ["a/x", "a/b/y", "a/ü~%5B #", "ab/z", "a"];
    for key in keys {
        let path = Path::parse(key).expect("it is a path");
        client.put(&path, "x".into()).await.expect("it takes everything");
    }
    let adapter = ObjectStoreAdapter::new(Arc::<InMemory>::clone(&client)).expect("it can swap");
    let page = adapter.list(&"a".into(), None).await.expect("it lists");
    let mut listed: Vec<_> =
        page.objects.iter().map(|object| object.location.to_string()).collect();
    listed.sort();
    assert_eq!(
        (listed, page.next),
        (["a/b/y", "a/x", "a/ü~%5B #"].map(str::to_owned).to_vec(), None)
    );
    assert!(page.objects.iter().all(|object| object.last_modified.is_some()));

    let doomed = ["a/x", "a//", "a/gone", "a/ü~%5B #"].map(Location::from);
    let results = adapter.delete(doomed.to_vec()).await;
    let kinds: Vec<_> =
        results.iter().map(|result| result.as_ref().err().map(|f| f.kind)).collect();
    assert_eq!(kinds, [None, Some(StoreErrorKind::InvalidLocation), None, None]);
    let left: Vec<_> =
        client.list(None).map_ok(|meta| meta.location).try_collect().await.expect("it lists");
    assert_eq!(left, ["a", "a/b/y", "ab/z"].map(Path::from));
    assert!(adapter.delete(Vec::new()).await.is_empty());
    let refused = adapter.list(&"a".into(), Some(ListCursor("x".into()))).await;
    assert_eq!(refused.expect_err("it is no cursor").kind, StoreErrorKind::InvalidLocation);
    assert_eq!(
        adapter.list(&"../a".into(), None).await.expect_err("it is no key").kind,
        StoreErrorKind::InvalidLocation
    );
}
