//! Batches that nobody needs any more, and those that somebody does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::queue::{Queue, manifest, ms, one_by_one, produce, secs, take_all, texts};
use crate::{Process, ProcessId, Verdict};
use buffer_core::{Location, Sequence};
use buffer_driver::{Consumer, ConsumerConfig, DeliveryError, Ended, NextError, ProducerConfig};

pub(super) const GRACE: u64 = 60;

/// A queue whose collector waits for a minute.
pub(super) fn producer_config() -> ProducerConfig {
    ProducerConfig {
        gc_grace_period: secs(GRACE),
        delivery_timeout: secs(GRACE / 2 - 1),
        ..one_by_one()
    }
}

pub(super) fn consumer_config() -> ConsumerConfig {
    ConsumerConfig {
        gc_grace_period: secs(GRACE),
        gc_interval: secs(5),
        ..ConsumerConfig::default()
    }
}

pub(super) fn batches(queue: &Queue) -> BTreeSet<Location> {
    let is_batch = |location: &Location| location.as_str().ends_with(".batch");
    queue.store.locations().into_iter().filter(is_batch).collect()
}

/// Keeps the manifest changing, as a queue in use does, and takes what comes.
pub(super) async fn use_it_for(queue: &Queue, consumer: &Consumer, seconds: u64) -> Vec<String> {
    let producer = queue.producer(&producer_config());
    let mut delivered = Vec::new();
    for _ in 0..seconds.div_ceil(10) {
        produce(&producer, "tick").await.watcher.await_durable().await.expect("all is well");
        delivered.extend(texts(&take_all(consumer).await));
        queue.runtime.sleep(secs(10)).await;
    }
    producer.close().await.expect("all is well");
    delivered.retain(|entry| entry != "tick");
    delivered
}

/// 3. A machine is suspended between upload and swap, for longer than the grace period: its monotonic clock stands still.
///
/// The collector deletes the batch meanwhile. The producer may not list it any more.
pub(super) fn failure_03_a_batch_is_not_listed_after_it_was_collected() {
    let queue = Queue::new(1);
    let process = queue.process("producer");
    let producer = queue.producer_in(&process, &producer_config());
    let consumer = queue.consumer(&consumer_config());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        produce(&producer, "before").await.watcher.await_durable().await.expect("all is well");
        assert_eq!(texts(&take_all(&consumer).await), ["before"]);

        // 1. It is suspended as soon as the upload is on its way, and the answer waits for it.
        let rule = queue.store.fault({
            let process = process.clone();
            move |request| {
                if request.process == process.id() && request.is_of_batch() && request.is_write() {
                    suspend(&process);
                }
                Verdict::Pass
            }
        });
        let late = produce(&producer, "late").await;
        queue.runtime.sleep(secs(1)).await;
        drop(rule);
        let listed: BTreeSet<Location> =
            queue.manifest().locations_from(Sequence(0)).map(|(_, location)| location).collect();
        let uploaded = batches(&queue).into_iter().rfind(|it| !listed.contains(it));
        let uploaded = uploaded.expect("it was uploaded, and is not listed");

        // 2. The queue is in use, and the collector finds a batch that nobody listed.
        let delivered = use_it_for(&queue, &consumer, 3 * GRACE).await;
        assert!(delivered.is_empty(), "{delivered:?}");
        assert!(queue.store.object(&uploaded).is_none(), "the collector took it for an orphan");

        // 3. The producer wakes up, and by its monotonic clock no time has passed.
        wake(&process);
        late.watcher.await_durable().await.expect("it goes up once more, under another name");
        let again = consumer.next_batch().await.expect("it can be read").expect("it is listed");
        assert_eq!(texts(std::slice::from_ref(&again)), ["late"]);
        assert_ne!(again.location, uploaded.as_str());
        consumer.ack(again.sequence).await.expect("it was handed out");
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

fn suspend(process: &Process) {
    process.freeze_monotonic();
    process.pause();
}

fn wake(process: &Process) {
    process.thaw_monotonic();
    process.resume();
}

/// 3, continued: the same producer, paused while its monotonic clock goes on.
pub(super) fn a_producer_paused_for_longer_than_the_grace_period_says_not_delivered() {
    let queue = Queue::new(1);
    let process = queue.process("producer");
    let producer = queue.producer_in(&process, &producer_config());
    let consumer = queue.consumer(&consumer_config());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        let rule = queue.store.fault({
            let process = process.clone();
            move |request| {
                if request.process == process.id() && request.is_of_batch() && request.is_write() {
                    process.pause();
                }
                Verdict::Pass
            }
        });
        let late = produce(&producer, "late").await;
        queue.runtime.sleep(secs(1)).await;
        drop(rule);
        let delivered = use_it_for(&queue, &consumer, 3 * GRACE).await;
        process.resume();
        let error = late.watcher.await_durable().await.expect_err("its time is over");
        assert!(matches!(error, DeliveryError::NotDelivered(_)), "{error}");
        let after = use_it_for(&queue, &consumer, 2 * GRACE).await;
        assert_eq!(
            (delivered, after),
            (Vec::new(), Vec::new()),
            "not delivered is never delivered"
        );
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

/// 9. A second queue lies under the prefix of the first. The first one's collector leaves all of it alone.
pub(super) fn failure_09_the_batches_of_a_queue_below_are_not_collected() {
    let queue = Queue::new(1);
    let consumer = queue.consumer(&consumer_config());
    let below = ProducerConfig {
        data_path_prefix: "ingest/below".to_owned(),
        manifest_path: "ingest/below/manifest".to_owned(),
        ..producer_config()
    };
    let reader_below = ConsumerConfig {
        data_path_prefix: below.data_path_prefix.clone(),
        manifest_path: below.manifest_path.clone(),
        gc_enabled: false,
        ..consumer_config()
    };
    let orphan = Location::from("ingest/01HJZNV19YZD8JES7JF0418C6M.batch");
    let foreign = [
        "ingest/notes.txt",
        "ingest/01HJZNV19YZD8JES7JF0418C6M.batch.bak",
        "ingest/not-a-ulid.batch",
        "ingest/below/01HJZNV19YZD8JES7JF0418C6M.batch",
        "ingest2/01HJZNV19YZD8JES7JF0418C6M.batch",
        "01HJZNV19YZD8JES7JF0418C6M.batch",
    ];
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        queue.store.put_raw(&orphan, "orphan");
        for key in foreign {
            queue.store.put_raw(&Location::from(key), "foreign");
        }
        let producer = queue.producer(&below);
        for number in 0..5 {
            let handle = produce(&producer, number.to_string()).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        let objects_below = |queue: &Queue| {
            let all = queue.store.locations().into_iter();
            all.filter(|it| it.as_str().starts_with("ingest/below/")).collect::<Vec<_>>()
        };
        let before = objects_below(&queue);
        use_it_for(&queue, &consumer, 5 * GRACE).await;
        assert!(queue.store.object(&orphan).is_none(), "the collector was at work");
        assert!(consumer.stats().gc_files_deleted > 10, "{:?}", consumer.stats());
        assert_eq!(objects_below(&queue), before);
        for key in foreign {
            assert!(queue.store.object(&Location::from(key)).is_some(), "{key} is none of its own");
        }
        let reader = queue.consumer(&reader_below);
        reader.initialize(None).await.expect("nobody else reads it");
        assert_eq!(texts(&take_all(&reader).await), ["0", "1", "2", "3", "4"]);
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

/// 10. A consumer is started with a wrong `manifest_path`. The backlog is not taken for orphans.
pub(super) fn failure_10_a_wrong_manifest_path_costs_no_backlog() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        let producer = queue.producer(&producer_config());
        for number in 0..5 {
            let handle = produce(&producer, number.to_string()).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        producer.close().await.expect("all is well");
        let backlog = batches(&queue);
        let typo =
            ConsumerConfig { manifest_path: "ingest/manifset".to_owned(), ..consumer_config() };
        let mistaken = queue.consumer(&typo);
        mistaken.initialize(None).await.expect("there is nothing in its way");
        // Its manifest changes now and then, and stays one that never had an entry.
        for _ in 0..5 {
            queue.runtime.sleep(secs(2 * GRACE)).await;
            assert_eq!(mistaken.next_batch().await.expect("all is well"), None);
            mistaken.initialize(None).await.expect("it takes over from itself");
        }
        assert!(mistaken.stats().gc_cycles > 10, "it had time: {:?}", mistaken.stats());
        assert_eq!(batches(&queue), backlog);
        mistaken.close().await.expect("all is well");
        assert_eq!(texts(&queue.drain().await), ["0", "1", "2", "3", "4"]);
    });
    queue.runtime.shutdown();
}

/// 11. A consumer is fenced, and closed. Its collector starts nothing after that.
pub(super) fn failure_11_a_fenced_consumers_collector_stops_with_it() {
    let queue = Queue::new(1);
    let process = queue.process("consumer");
    let first = queue.consumer_in(&process, &consumer_config());
    let second = queue.consumer(&ConsumerConfig { gc_enabled: false, ..consumer_config() });
    let orphan = Location::from("ingest/01HJZNV19YZD8JES7JF0418C6M.batch");
    queue.runtime.block_on(async {
        first.initialize(None).await.expect("the queue is new");
        queue.store.put_raw(&orphan, "orphan");
        use_it_for(&queue, &first, 2 * GRACE).await;
        assert!(queue.store.object(&orphan).is_none(), "the collector was at work");

        // Nobody asks the first one for anything: its collector finds out by itself.
        second.initialize(None).await.expect("it takes over");
        queue.store.put_raw(&orphan, "orphan");
        use_it_for(&queue, &second, 3 * GRACE).await;
        assert!(queue.store.object(&orphan).is_some(), "a fenced consumer collects nothing");
        let error = first.next_batch().await.expect_err("it was fenced");
        assert!(matches!(error, NextError::Ended(Ended::Fenced { .. })), "{error}");
        // All that it acknowledged was dequeued before, so that it has nothing to complain of.
        first.close().await.expect("there is nothing left to do");
        let asked = requests_of(&queue, process.id());
        queue.store.put_raw(&orphan, "orphan");
        use_it_for(&queue, &second, 5 * GRACE).await;
        assert_eq!(*asked.lock().expect("nothing panics with it"), 0, "it went on by itself");
        assert!(queue.store.object(&orphan).is_some(), "nobody collects now");
        drop(first);
    });
    queue.runtime.shutdown();
}

/// Counts what a process asks of the store from here on.
fn requests_of(queue: &Queue, process: ProcessId) -> Arc<Mutex<u32>> {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let rule = queue.store.fault(move |request| {
        *counted.lock().expect("nothing panics with it") += u32::from(request.process == process);
        Verdict::Pass
    });
    // It stays in force for the rest of the world.
    std::mem::forget(rule);
    asked
}

/// What was dequeued, and what was uploaded and never listed, is deleted; what is listed stays.
pub(super) fn what_nobody_needs_is_deleted_and_nothing_else() {
    let queue = Queue::new(1);
    let consumer = queue.consumer(&consumer_config());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        // A producer that dies between upload and swap.
        let process = queue.process("producer");
        let doomed = queue.producer_in(&process, &producer_config());
        let rule = queue.store.fault({
            let process = process.clone();
            move |request| {
                if request.process == process.id() && request.is_swap() {
                    process.crash();
                }
                Verdict::Pass
            }
        });
        drop(produce(&doomed, "lost").await);
        queue.runtime.sleep(secs(1)).await;
        drop(rule);
        let listed: BTreeSet<Location> =
            queue.manifest().locations_from(Sequence(0)).map(|(_, it)| it).collect();
        let lost: Vec<Location> = batches(&queue).difference(&listed).cloned().collect();

        use_it_for(&queue, &consumer, 3 * GRACE).await;
        let producer = queue.producer(&producer_config());
        for number in 0..20 {
            let handle = produce(&producer, number.to_string()).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        // Nothing is proven by a manifest that does not change.
        queue.runtime.sleep(secs(2 * GRACE)).await;
        produce(&producer, "20").await.watcher.await_durable().await.expect("all is well");
        queue.runtime.sleep(secs(20)).await;
        let listed: BTreeSet<Location> =
            queue.manifest().locations_from(Sequence(0)).map(|(_, it)| it).collect();
        assert!(listed.len() >= 21 && lost.len() <= 1, "{} listed, {lost:?}", listed.len());
        assert_eq!(batches(&queue), listed, "what is listed is there, and nothing else");
        let delivered = texts(&take_all(&consumer).await);
        let expected: Vec<String> = (0..21).map(|number| number.to_string()).collect();
        assert!(delivered.ends_with(&expected), "{delivered:?}");
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

/// A manifest that never changes proves nothing about what lies beside it: nothing is deleted until it does.
pub(super) fn on_an_idle_queue_nothing_is_deleted_until_the_manifest_changes() {
    let queue = Queue::new(1);
    let consumer = queue.consumer(&consumer_config());
    let orphan = Location::from("ingest/01HJZNV19YZD8JES7JF0418C6M.batch");
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        let producer = queue.producer(&producer_config());
        produce(&producer, "one").await.watcher.await_durable().await.expect("all is well");
        assert_eq!(texts(&take_all(&consumer).await), ["one"]);
        consumer.flush().await.expect("all is well");
        queue.runtime.sleep(ms(1500)).await;
        queue.store.put_raw(&orphan, "orphan");
        queue.runtime.sleep(secs(20 * GRACE)).await;
        assert!(queue.store.object(&orphan).is_some(), "its producer may be about to list it");
        use_it_for(&queue, &consumer, 2 * GRACE).await;
        assert!(queue.store.object(&orphan).is_none(), "by now it cannot");
        assert_eq!(queue.manifest().len(), 0);
        assert!(queue.store.object(&manifest()).is_some());
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}
