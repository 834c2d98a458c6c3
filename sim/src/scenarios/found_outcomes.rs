//! Outcomes that were not what was said of them.

use super::queue::{Queue, by_hand, ms, one_by_one, produce, secs, take_all, texts};
use crate::Verdict;
use buffer_core::StoreErrorKind::{Denied, Transient};
use buffer_driver::{AckError, ConsumerConfig, DeliveryFailure, Ended, ProducerConfig};

/// Goal: `delivery_timeout` is for what stands in the way, not for the time that the
/// caller leaves a batch open.
pub(super) fn a_batch_may_be_left_open_for_longer_than_the_delivery_timeout() {
    let queue = Queue::new(1);
    let producer = queue.producer(&by_hand());
    let slow = ProducerConfig {
        flush_interval: secs(20),
        delivery_timeout: secs(10),
        ..ProducerConfig::default()
    };
    let slow = queue.producer(&slow);
    queue.runtime.block_on(async {
        let by_hand = produce(&producer, "by hand").await;
        queue.runtime.sleep(secs(150)).await;
        producer.flush().await.expect("the store is well");
        by_hand.watcher.await_durable().await.expect("the store is well");
        let by_timer = produce(&slow, "by timer").await;
        by_timer.watcher.await_durable().await.expect("the store is well");
    });
    assert_eq!(texts(&queue.runtime.block_on(queue.drain())), ["by hand", "by timer"]);
}

/// Goal: a flush whose batch failed says so, however many failed since.
pub(super) fn a_flush_finds_its_failure_behind_many_later_ones() {
    let queue = Queue::new(1);
    let config = ProducerConfig { max_inflight_batches: 4, ..one_by_one() };
    let producer = queue.producer(&config);
    queue.runtime.block_on(async {
        // The first is refused; the second takes long; all later ones are refused while it does.
        let mut uploads = 0;
        let rule = queue.store.fault(move |request| {
            if !(request.is_write() && request.is_of_batch()) {
                return Verdict::Pass;
            }
            uploads += 1;
            if uploads == 2 { Verdict::Delay(secs(20)) } else { Verdict::Fail(Denied) }
        });
        let first = produce(&producer, "first").await;
        produce(&producer, "second").await;
        let mut flush = std::pin::pin!(producer.flush());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(flush.as_mut().poll(&mut context).is_pending());
        first.watcher.await_durable().await.expect_err("it is refused");
        for number in 0..100 {
            produce(&producer, format!("{number}")).await;
            queue.runtime.sleep(ms(50)).await;
        }
        assert!(producer.stats().batches_failed > 70);
        drop(rule);
        flush.await.expect_err("the first batch failed");
    });
}

/// Goal: while reads work, swaps that the store turns away are spaced out all the same,
/// and the caller is told what stood in the way.
pub(super) fn swaps_that_are_turned_away_are_spaced_out() {
    let queue = Queue::new(1);
    let config = ProducerConfig { delivery_timeout: secs(60), ..one_by_one() };
    let producer = queue.producer(&config);
    queue.runtime.block_on(async {
        let _rule = queue.store.fault(|request| match request.is_swap() {
            true => Verdict::Throttle,
            false => Verdict::Pass,
        });
        let handle = produce(&producer, "0").await;
        let error = handle.watcher.await_durable().await.expect_err("no swap gets through");
        let swaps = producer.stats().swaps;
        assert!(swaps < 40, "{swaps} swaps in a minute");
        assert!(
            matches!(error.failure(), DeliveryFailure::TimedOut { last: Some(_), .. }),
            "{error}"
        );
    });
}

/// Goal: an acknowledgement that nobody will dequeue is not taken.
pub(super) fn an_acknowledgement_after_the_runtime_stopped_is_refused() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let process = queue.process("consumer");
    let consumer = queue.consumer_in(&process, &ConsumerConfig::default());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");
        let batch = consumer.wait_batch().await.expect("it is listed");
        process.crash();
        let error = consumer.ack(batch.sequence).await.expect_err("nobody will dequeue it");
        assert_eq!(error, AckError::Ended(Ended::Stopped));
        let error = consumer.ack_through(batch.sequence).await.expect_err("nobody will");
        assert_eq!(error, AckError::Ended(Ended::Stopped));
    });
}

/// Goal: a read that failed is tried again after its back-off, not when the next dequeue is due.
pub(super) fn a_failed_read_is_tried_again_although_a_dequeue_is_due_later() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let patient = ConsumerConfig { dequeue_interval: secs(60), ..ConsumerConfig::default() };
    let consumer = queue.consumer(&patient);
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");
        assert_eq!(texts(&take_all(&consumer).await), ["0"]);
        let mut reads = 0;
        let _rule = queue.store.fault(move |request| {
            reads += usize::from(!request.is_write());
            if reads == 1 { Verdict::Fail(Transient) } else { Verdict::Pass }
        });
        let began = queue.runtime.elapsed();
        assert_eq!(consumer.next_batch().await.expect("the second read works"), None);
        let took = queue.runtime.elapsed() - began;
        assert!(took < secs(1), "{took:?}");
    });
}
