//! How batches overlap, counted by a store in which every request takes 50 ms.

use super::queue::{MIB, Queue, by_hand, ms, one_by_one, produce, secs, texts};
use buffer_driver::{CompressionType, ProducerConfig};
use bytes::Bytes;

/// Keeps a producer busy with 8 MiB batches until `batches` of them are durable; the time it took.
fn time_of(batches: usize, max_inflight_batches: usize) -> (std::time::Duration, u64) {
    let queue = Queue::with_latency(1, ms(50));
    let config = ProducerConfig {
        flush_size_bytes: 8 * MIB,
        max_inflight_batches,
        max_buffered_bytes: 512 * MIB,
        ..by_hand()
    };
    let producer = queue.producer(&config);
    let payload = Bytes::from(vec![7; 8 * MIB]);
    queue.runtime.block_on(async {
        for _ in 0..batches {
            let entries = vec![payload.clone()];
            producer.produce(entries, Bytes::new()).await.expect("the producer takes it");
        }
        producer.flush().await.expect("the store is well");
    });
    assert_eq!(queue.manifest().len(), batches as u64);
    (queue.runtime.elapsed(), queue.store.counts().most_batch_writes_in_flight)
}

/// Goal: uploads overlap, and more of them are more throughput.
pub(super) fn throughput_grows_with_the_number_of_batches_in_flight() {
    let (serial, at_once) = time_of(64, 1);
    assert_eq!(at_once, 1);
    let (eight, at_once) = time_of(64, 8);
    assert!(at_once >= 8, "{at_once} in flight");
    let (sixteen, at_once) = time_of(64, 16);
    assert!(at_once >= 8, "{at_once} in flight by default");
    note!("64 batches: {serial:?} one by one, {eight:?} by eight, {sixteen:?} by sixteen");
    assert!(eight * 4 < serial, "{eight:?} is not four times as fast as {serial:?}");
    assert!(sixteen * 3 < eight * 2, "{sixteen:?} is not 1.5 times as fast as {eight:?}");
}

/// Goal: a producer that is alone reads the manifest once, at its start.
pub(super) fn an_uncontended_commit_costs_no_read_of_the_manifest() {
    let queue = Queue::with_latency(2, ms(50));
    let producer = queue.producer(&one_by_one());
    queue.runtime.block_on(async {
        for number in 0..20 {
            let handle = produce(&producer, format!("{number}")).await;
            handle.watcher.await_durable().await.expect("the store is well");
        }
    });
    let counts = queue.store.counts();
    assert_eq!(counts.manifest_reads, 1);
    assert_eq!((counts.batch_writes, counts.swaps_stored), (20, 20));
    // Each took one upload and one swap; the first read of the manifest went beside an upload.
    assert_eq!(queue.runtime.elapsed(), ms(20 * 100));
}

/// Goal: what waits while a swap is out goes into the next one, together.
pub(super) fn waiting_batches_commit_in_one_swap() {
    let queue = Queue::with_latency(3, ms(50));
    let producer = queue.producer(&one_by_one());
    queue.runtime.block_on(async {
        produce(&producer, "first").await;
        queue.runtime.sleep(ms(20)).await;
        // The first one's swap is out from 50 to 100 ms; these are uploaded at 70 ms, and wait for it.
        for number in 0..10 {
            produce(&producer, format!("{number}")).await;
        }
        producer.flush().await.expect("the store is well");
    });
    assert_eq!(queue.store.counts().swaps, 2);
    assert_eq!(queue.manifest().len(), 11);
    let delivered = queue.runtime.block_on(queue.drain());
    let expected = ["first", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    assert_eq!(texts(&delivered), expected);
}

/// Goal: callers that keep the producer busy do not hold up the flush timer.
pub(super) fn failure_14_the_flush_timer_fires_on_time_however_busy_the_callers_are() {
    let queue = Queue::with_latency(4, ms(1));
    let config = ProducerConfig {
        flush_interval: ms(50),
        max_buffered_inputs: usize::MAX,
        ..ProducerConfig::default()
    };
    let producer = std::sync::Arc::new(queue.producer(&config));
    for _ in 0..8 {
        let (runtime, producer) = (queue.runtime.clone(), producer.clone());
        drop(queue.runtime.start(async move {
            while runtime.elapsed() < secs(4) {
                for _ in 0..20 {
                    produce(&producer, "x").await;
                }
                runtime.sleep(ms(1)).await;
            }
        }));
    }
    queue.runtime.advance(ms(4000));
    let batches = queue.store.counts().batch_writes;
    // A batch every 50 ms, give or take the millisecond in which the next one is opened.
    assert!((78..=80).contains(&batches), "{batches} batches in 4 s of 50 ms each");
    queue.runtime.block_on(producer.close()).expect("the store is well");
    queue.runtime.shutdown();
}

/// Goal: while every place in flight is taken, the open batch grows instead of queueing crumbs.
pub(super) fn the_open_batch_grows_while_no_place_is_free() {
    let queue = Queue::with_latency(5, ms(1000));
    let config = ProducerConfig {
        flush_interval: ms(10),
        max_inflight_batches: 2,
        ..ProducerConfig::default()
    };
    let producer = queue.producer(&config);
    queue.runtime.block_on(async {
        for number in 0..100 {
            produce(&producer, format!("{number}")).await;
            queue.runtime.sleep(ms(10)).await;
        }
        producer.flush().await.expect("the store is well");
    });
    assert_eq!(queue.store.counts().batch_writes, 3);
    assert_eq!(queue.runtime.block_on(queue.drain()).len(), 3);
}

/// Goal: the consumer's fetches overlap, and descriptors come many to a read.
pub(super) fn a_consumer_behind_reads_ahead_and_reads_the_manifest_rarely() {
    let queue = Queue::with_latency(6, ms(50));
    let config = ProducerConfig { batch_compression: CompressionType::Zstd, ..one_by_one() };
    let producer = queue.producer(&config);
    queue.runtime.block_on(async {
        for number in 0..160 {
            produce(&producer, format!("{number}")).await;
        }
        producer.close().await.expect("the store is well");
    });
    let (before, start) = (queue.store.counts(), queue.runtime.elapsed());
    let delivered = queue.runtime.block_on(queue.drain());
    assert_eq!(delivered.len(), 160);
    let took = queue.runtime.elapsed() - start;
    let reads = queue.store.counts().manifest_reads - before.manifest_reads;
    note!("160 batches in {took:?}, {reads} reads of the manifest");
    // Serially the fetches alone would take 8 s; in windows of 16 they take 0.5 s.
    assert!(took < ms(1200), "{took:?}");
    assert!(reads <= 4, "{reads} reads");
}
