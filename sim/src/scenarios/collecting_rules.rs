//! The collector's rules, each in a situation where breaking it does harm.

use super::collecting::{GRACE, batches, consumer_config, producer_config, use_it_for};
use super::queue::{Queue, manifest, ms, produce, secs, take_all, texts};
use crate::{Kind, Process, Profile, Verdict};
use buffer_core::format::NewEntry;
use buffer_core::{Location, StoreErrorKind};
use buffer_driver::{ConsumerConfig, ProducerConfig};

/// Some day long ago: older than whatever is listed.
const LONG_AGO: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn orphan(number: u8) -> Location {
    let name = &LONG_AGO[..LONG_AGO.len() - 1];
    Location::from(format!("ingest/{name}{number}.batch"))
}

/// How many of these orphans are still there.
fn left_of(queue: &Queue, orphans: &[Location]) -> usize {
    orphans.iter().filter(|orphan| queue.store.object(orphan).is_some()).count()
}

fn days(days: u64) -> std::time::Duration {
    secs(days * 24 * 3600)
}

/// A batch is stored, and its producer hears of it a third of the grace period later, while others change the manifest.
fn a_slow_upload_beside_a_collector(queue: &Queue, collector: &Process) {
    let process = queue.process("producer");
    let slow = queue.producer_in(&process, &producer_config());
    let consumer = queue.consumer_in(collector, &consumer_config());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("nobody else consumes");
        let rule = queue.store.fault(move |request| {
            let is_upload = request.process == process.id() && request.kind() == Kind::Put;
            if is_upload { Verdict::DelayReply(secs(GRACE / 3)) } else { Verdict::Pass }
        });
        let handle = produce(&slow, "slow").await;
        let mut delivered = use_it_for(queue, &consumer, GRACE / 2).await;
        handle.watcher.await_durable().await.expect("it is young enough");
        delivered.extend(use_it_for(queue, &consumer, 10).await);
        assert_eq!(delivered, ["slow"]);
        drop(rule);
        slow.close().await.expect("all is well");
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

/// What was uploaded and is not listed yet may be about to be.
pub(super) fn a_batch_that_is_about_to_be_listed_is_not_collected() {
    let queue = Queue::new(1);
    let collector = queue.process("consumer");
    a_slow_upload_beside_a_collector(&queue, &collector);
}

/// The collector's own clock is a day ahead of the store's, or a day behind.
pub(super) fn a_collectors_own_clock_does_not_matter() {
    for is_ahead in [true, false] {
        let queue = Queue::new(1);
        let collector = queue.process("consumer");
        if is_ahead {
            collector.clock().jump(days(1));
        } else {
            collector.clock().jump_back(days(1));
        }
        a_slow_upload_beside_a_collector(&queue, &collector);
    }
}

/// Listings say that all was written before 1970, as stores do that do not know.
pub(super) fn a_store_that_tells_impossible_times_gets_no_deletions() {
    let queue = Queue::new(1);
    let collector = queue.process("consumer");
    let rule = queue.store.fault(|request| {
        let is_list = request.kind() == Kind::List;
        if is_list { Verdict::WrongTimes(-2 * 1_700_000_000_000) } else { Verdict::Pass }
    });
    a_slow_upload_beside_a_collector(&queue, &collector);
    drop(rule);
}

/// A collector is paused in mid-cycle, longer than the grace period, while batches are listed.
///
/// What it then sees on later pages was not listed when its cycle began.
pub(super) fn what_was_listed_while_a_collector_was_paused_is_kept() {
    let queue = Queue::with_profile(1, ms(20), Profile { page_size: 1, ..Profile::S3 });
    let process = queue.process("consumer");
    let config = ConsumerConfig { gc_interval: secs(10 * GRACE), ..consumer_config() };
    let consumer = queue.consumer_in(&process, &config);
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        let orphan = orphan(0);
        queue.store.put_raw(&orphan, "orphan");
        use_it_for(&queue, &consumer, 10 * GRACE - 20).await;
        consumer.flush().await.expect("all is well");
        let rule = queue.store.fault({
            let process = process.clone();
            move |request| {
                if request.kind() == Kind::List {
                    process.pause();
                }
                Verdict::Pass
            }
        });
        // The cycle begins, reads a manifest that lists nothing, and is paused at the first page.
        queue.runtime.sleep(secs(60)).await;
        drop(rule);
        assert_eq!(queue.manifest().len(), 0);

        // More than a consumer takes in ahead.
        let producer = queue.producer(&producer_config());
        let expected: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        for entry in &expected {
            let handle = produce(&producer, entry).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        queue.runtime.sleep(secs(2 * GRACE)).await;
        produce(&producer, "last").await.watcher.await_durable().await.expect("all is well");
        process.resume();
        queue.runtime.sleep(secs(60)).await;
        assert!(queue.store.object(&orphan).is_none(), "the collector was at work");
        let delivered = texts(&take_all(&consumer).await);
        assert_eq!(delivered.split_last().expect("all of them").1, expected);
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

/// A producer that follows none of our rules lists a batch long after it was uploaded.
///
/// While anything older is listed, its batch is kept.
pub(super) fn beside_foreign_producers_what_is_younger_than_the_oldest_listed_is_kept() {
    let queue = Queue::new(1);
    let consumer = queue.consumer(&consumer_config());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        let producer = queue.producer(&producer_config());
        produce(&producer, "held").await.watcher.await_durable().await.expect("all is well");
        let held = consumer.next_batch().await.expect("all is well").expect("it is listed");
        let bytes = queue.store.object(&Location::from(&*held.location)).expect("it is there");

        let pending = Location::from("ingest/7ZZZZZZZZZ0000000000000000.batch");
        queue.store.put_raw(&pending, bytes.bytes);
        let orphan = orphan(0);
        queue.store.put_raw(&orphan, "orphan");
        for _ in 0..GRACE / 5 {
            produce(&producer, "tick").await.watcher.await_durable().await.expect("all is well");
            queue.runtime.sleep(secs(15)).await;
        }
        assert!(queue.store.object(&orphan).is_none(), "the collector was at work");
        let listed = NewEntry { location: &pending, metadata: &[] };
        let manifest_now = queue.manifest().append(&[listed]).expect("it fits");
        queue.store.put_raw(&manifest(), manifest_now.to_rope().concat());

        consumer.ack(held.sequence).await.expect("it was handed out");
        let delivered = texts(&take_all(&consumer).await);
        assert_eq!(delivered.last().map(String::as_str), Some("held"), "{delivered:?}");
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

/// A consumer is given the prefix of another queue, whose backlog lies there.
pub(super) fn a_consumer_with_another_queues_prefix_costs_no_backlog() {
    let queue = Queue::new(1);
    let elsewhere = ProducerConfig {
        data_path_prefix: "other".to_owned(),
        manifest_path: "other/manifest".to_owned(),
        ..producer_config()
    };
    let mistaken =
        ConsumerConfig { manifest_path: elsewhere.manifest_path.clone(), ..consumer_config() };
    queue.runtime.block_on(async {
        let producer = queue.producer(&producer_config());
        for number in 0..5 {
            let handle = produce(&producer, number.to_string()).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        producer.close().await.expect("all is well");
        let consumer = queue.consumer(&mistaken);
        consumer.initialize(None).await.expect("the queue is new");
        let producer = queue.producer(&elsewhere);
        for _ in 0..GRACE / 5 {
            produce(&producer, "tick").await.watcher.await_durable().await.expect("all is well");
            take_all(&consumer).await;
            queue.runtime.sleep(secs(15)).await;
        }
        assert!(consumer.stats().gc_cycles > 10, "it had time: {:?}", consumer.stats());
        assert_eq!(consumer.stats().gc_files_deleted, 0);
        consumer.close().await.expect("all is well");
        assert_eq!(texts(&queue.drain().await), ["0", "1", "2", "3", "4"]);
    });
    queue.runtime.shutdown();
}

/// Orphans on every page of a listing, on a store with short pages.
pub(super) fn orphans_of_every_page_are_collected_in_every_sweep() {
    let queue = Queue::with_profile(1, ms(20), Profile { page_size: 2, ..Profile::S3 });
    let consumer = queue.consumer(&consumer_config());
    let (early, late): (Vec<_>, Vec<_>) = (0..9).map(orphan).partition(|it| *it >= orphan(3));
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        // A page of what stays.
        for key in ["ingest/0.txt", "ingest/00.txt"] {
            queue.store.put_raw(&Location::from(key), "notes");
        }
        for orphan in &early {
            queue.store.put_raw(orphan, "orphan");
        }
        use_it_for(&queue, &consumer, 2 * GRACE).await;
        assert_eq!(left_of(&queue, &early), 0, "an orphan outlived two grace periods");
        // On the first pages of later sweeps.
        for orphan in &late {
            queue.store.put_raw(orphan, "orphan");
        }
        use_it_for(&queue, &consumer, 2 * GRACE).await;
        assert_eq!(left_of(&queue, &late), 0, "a page that was swept is swept again");
        consumer.close().await.expect("all is well");
    });
    let most = batches(&queue).len();
    assert!(most <= 10, "{most} are left, and no more than a minute's are young");
    queue.runtime.shutdown();
}

/// The store refuses to list, then to delete, then fails deletions in part; in the end all is as it should be.
pub(super) fn a_collector_that_met_an_error_goes_on_in_its_next_cycle() {
    let queue = Queue::new(1);
    let consumer = queue.consumer(&consumer_config());
    let orphans: Vec<Location> = (0..9).map(orphan).collect();
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        for orphan in &orphans {
            queue.store.put_raw(orphan, "orphan");
        }
        let denied = Verdict::Fail(StoreErrorKind::Denied);
        for (kind, verdict) in [(Kind::List, denied), (Kind::Delete, denied)] {
            let rule = queue
                .store
                .fault(move |request| if request.kind() == kind { verdict } else { Verdict::Pass });
            use_it_for(&queue, &consumer, 2 * GRACE).await;
            assert_eq!(left_of(&queue, &orphans), orphans.len());
            drop(rule);
        }
        let rule = queue.store.fault(|request| {
            let is_delete = request.kind() == Kind::Delete;
            if is_delete { Verdict::Partial } else { Verdict::Pass }
        });
        use_it_for(&queue, &consumer, GRACE).await;
        drop(rule);
        use_it_for(&queue, &consumer, 2 * GRACE).await;
        assert_eq!(left_of(&queue, &orphans), 0, "what could not be deleted is tried again");
        let stats = consumer.stats();
        assert!(stats.gc_files_failed > orphans.len() as u64, "{stats:?}");
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}

/// Ten minutes of collecting every five seconds.
pub(super) fn a_collector_rests_between_its_cycles() {
    let queue = Queue::new(1);
    let consumer = queue.consumer(&consumer_config());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        use_it_for(&queue, &consumer, 10 * GRACE).await;
        let cycles = consumer.stats().gc_cycles;
        note!("{cycles} cycles in ten minutes");
        assert!((100..=120).contains(&cycles), "{cycles} cycles");
        consumer.close().await.expect("all is well");
    });
    queue.runtime.shutdown();
}
