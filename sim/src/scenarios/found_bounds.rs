//! Bounds that did not hold: on time, on memory, on the number of batches.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};

use super::queue::{MIB, Queue, by_hand, ms, one_by_one, produce, secs, take_all, texts};
use crate::Verdict;
use buffer_driver::{ConsumerConfig, ProducerConfig};
use bytes::Bytes;

/// Goal: `initialize` and `close` end in time although every swap meets a conflict.
pub(super) fn conflicts_without_end_are_given_up_in_time() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let config = ConsumerConfig { retry_timeout: secs(10), ..ConsumerConfig::default() };
    let consumer = queue.consumer(&config);
    queue.runtime.block_on(async {
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");
        let conflicts = || {
            queue.store.fault(|request| match request.is_swap() {
                true => Verdict::FalseConflict,
                false => Verdict::Pass,
            })
        };
        let rule = conflicts();
        let began = queue.runtime.elapsed();
        consumer.initialize(None).await.expect_err("no swap gets through");
        drop(rule);
        consumer.initialize(None).await.expect("the store is well again");
        assert_eq!(texts(&take_all(&consumer).await), ["0"]);
        let _rule = conflicts();
        consumer.close().await.expect_err("no swap gets through");
        assert!(queue.runtime.elapsed() - began < secs(60));
    });
}

/// Goal: callers whose entries fit do not make a batch each because somebody else's do not.
pub(super) fn a_call_that_waits_for_room_does_not_cut_the_batches_of_others() {
    let queue = Queue::new(1);
    let config = ProducerConfig { max_buffered_bytes: MIB, ..by_hand() };
    let process = queue.process("producer");
    let producer = Arc::new(queue.producer_in(&process, &config));
    queue.runtime.block_on(async {
        let _rule = queue.store.fault(|request| match request.is_of_batch() {
            true => Verdict::Delay(secs(20)),
            false => Verdict::Pass,
        });
        produce(&producer, "x".repeat(MIB / 2)).await;
        let large = process.start({
            let producer = Arc::clone(&producer);
            async move { produce(&producer, "y".repeat(MIB / 2)).await }
        });
        queue.runtime.sleep(secs(1)).await;
        for number in 0..50 {
            produce(&producer, format!("{number}")).await;
            queue.runtime.sleep(ms(10)).await;
        }
        let batches = producer.stats().inflight_batches;
        assert!(batches <= 2, "{batches} batches for 50 small submissions");
        large.await.expect("there was room in the end");
    });
}

/// Goal: batches that are larger than `prefetch_bytes / prefetch_batches` are not
/// all fetched at once before anything is known of their size.
pub(super) fn a_backlog_of_large_batches_stays_within_prefetch_bytes() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let config = ConsumerConfig { prefetch_bytes: 4 * MIB, ..ConsumerConfig::default() };
    let consumer = queue.consumer(&config);
    queue.runtime.block_on(async {
        for _ in 0..12 {
            let entries = vec![Bytes::from(vec![7; MIB])];
            let handle = producer.produce(entries, Bytes::new()).await.expect("it fits");
            handle.watcher.await_durable().await.expect("all is well");
        }
        consumer.initialize(None).await.expect("all is well");
        let fetched = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&fetched);
        let _rule = queue.store.fault(move |request| {
            counted.fetch_add(usize::from(request.is_of_batch()), SeqCst);
            Verdict::Pass
        });
        // It is asked for, and never taken.
        let mut next = pin!(consumer.next_batch());
        let _ = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        queue.runtime.sleep(secs(5)).await;
        let fetched = fetched.load(SeqCst);
        assert!((2..=4).contains(&fetched), "{fetched} MiB are held, and 4 are allowed");
    });
}

/// Goal: a batch whose fetch is to be tried again, and for which there is no room
/// until the caller takes another, costs nothing meanwhile. (The loop once spun
/// without end: the time of the next try was past, and announced again and again.)
pub(super) fn a_fetch_that_waits_for_room_does_not_spin() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let config = ConsumerConfig {
        prefetch_batches: 3,
        prefetch_bytes: 6 * MIB,
        ..ConsumerConfig::default()
    };
    let consumer = queue.consumer(&config);
    queue.runtime.block_on(async {
        let produce_mib = async |count: usize| {
            let entries = vec![Bytes::from(vec![7; count * MIB])];
            let handle = producer.produce(entries, Bytes::new()).await.expect("it fits");
            handle.watcher.await_durable().await.expect("all is well");
        };
        for count in [1, 5, 5] {
            produce_mib(count).await;
        }
        consumer.initialize(None).await.expect("all is well");
        let mut fetches = 0;
        let _rule = queue.store.fault(move |request| {
            fetches += usize::from(request.is_of_batch());
            match request.is_of_batch() && fetches == 3 {
                true => Verdict::Fail(buffer_core::StoreErrorKind::Transient),
                false => Verdict::Pass,
            }
        });
        consumer.next_batch().await.expect("all is well").expect("there are three");
        queue.runtime.sleep(secs(10)).await;
        for _ in 0..2 {
            consumer.next_batch().await.expect("all is well").expect("there are three");
        }
    });
}
