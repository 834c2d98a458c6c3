//! Writes that took effect although their writer was told otherwise.
//!
//! Cases 1 to 4 are what a later reading of the manifest proves about a swap without a reply; see
//! `judge` in the core's `producer::attempt`.

use std::sync::{Arc, Mutex};

use super::queue::{Queue, manifest, ms, one_by_one, produce, secs, take_all, texts};
use crate::{Profile, Verdict};
use buffer_core::StoreErrorKind::Transient;
use buffer_driver::{ConsumerConfig, DeliveryError, ProducerConfig};

/// Goal: a swap that was applied is sent again by the store's client, which
/// meets its own success and calls it a conflict. The batch is listed once.
pub(super) fn failure_01_a_swap_that_is_sent_again_does_not_list_a_batch_twice() {
    lose_three_replies(Verdict::ApplyThenConflict);
}

/// Goal: a swap that was applied and whose reply was lost is a success, and nobody is told otherwise.
pub(super) fn failure_02_a_lost_reply_is_not_a_failure() {
    lose_three_replies(Verdict::ApplyThenFail(Transient));
    // No answer at all: the producer's own time-out ends it.
    lose_three_replies(Verdict::ApplyThenLoseReply);
}

fn lose_three_replies(verdict: Verdict) {
    let queue = Queue::new(1);
    let config = ProducerConfig { request_timeout: secs(2), ..one_by_one() };
    let producer = queue.producer(&config);
    let lost = Arc::new(Mutex::new(0));
    let rule = queue.store.fault({
        let lost = Arc::clone(&lost);
        move |request| {
            let mut lost = lost.lock().expect("no test panics here");
            if request.is_swap() && *lost < 3 {
                *lost += 1;
                return verdict;
            }
            Verdict::Pass
        }
    });
    queue.runtime.block_on(async {
        for number in 0..5 {
            let handle = produce(&producer, format!("{number}")).await;
            handle.watcher.await_durable().await.expect("it took effect");
        }
    });
    drop(rule);
    assert_eq!(*lost.lock().expect("no test panics here"), 3);
    assert_eq!(queue.manifest().len(), 5, "each batch is listed once");
    let delivered = queue.runtime.block_on(queue.drain());
    assert_eq!(texts(&delivered), ["0", "1", "2", "3", "4"]);
}

/// Goal: 1,000 submissions, with swaps and uploads applied and then reported as
/// errors or as conflicts at random; each is `Ok` and delivered once, in order.
pub(super) fn a_thousand_submissions_survive_random_lost_replies() {
    for (seed, profile) in [(1, Profile::S3), (2, Profile::S3), (3, Profile::GCS)] {
        let queue = Queue::with_profile(seed, ms(20), profile);
        let config = ProducerConfig { max_buffered_inputs: 2, ..ProducerConfig::default() };
        let producer = queue.producer(&config);
        let mut random = queue.runtime.random("faults");
        let rule = queue.store.fault(move |request| match random.u32(0..100) {
            _ if !request.is_write() => Verdict::Pass,
            0..15 => Verdict::ApplyThenFail(Transient),
            15..30 => Verdict::ApplyThenConflict,
            30..35 => Verdict::FalseConflict,
            _ => Verdict::Pass,
        });
        queue.runtime.block_on(async {
            let mut handles = Vec::new();
            for number in 0..1000 {
                handles.push(produce(&producer, format!("{number}")).await);
                // A store that takes one write a second is not asked more often.
                queue.runtime.sleep(ms(if profile == Profile::GCS { 150 } else { 25 })).await;
            }
            for handle in handles {
                handle.watcher.await_durable().await.expect("it is in the end");
            }
        });
        drop(rule);
        let conflicts = queue.store.counts().swaps_conflicted;
        note!("seed {seed}: {conflicts} conflicts, {} swaps", queue.store.counts().swaps);
        assert!(conflicts > 10, "the faults were on: {conflicts} conflicts");
        let delivered = queue.runtime.block_on(queue.drain());
        let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert_eq!(texts(&delivered), expected);
    }
}

/// Goal: case 4. The reply is lost, and the batch is taken and dequeued before
/// the producer looks again. It is listed a second time, and dropped as a repeat.
pub(super) fn a_batch_dequeued_before_its_producer_looked_is_repeated_to_nobody() {
    let queue = Queue::new(1);
    let process = queue.process("producer");
    let producer = queue.producer_in(&process, &one_by_one());
    // It dequeues on `flush` only, so that the producer's picture of the manifest stays right.
    let patient = ConsumerConfig { dequeue_interval: secs(1000), ..ConsumerConfig::default() };
    let consumer = queue.consumer(&patient);
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        produce(&producer, "zero").await.watcher.await_durable().await.expect("all is well");
        assert_eq!(texts(&take_all(&consumer).await), ["zero"]);

        // 1. The swap that lists "one" is applied; its reply is lost, and reading fails for a while.
        let blind = queue.store.fault({
            let producer = process.id();
            move |request| {
                if request.process != producer {
                    Verdict::Pass
                } else if request.is_swap() {
                    Verdict::ApplyThenFail(Transient)
                } else if request.is_write() {
                    Verdict::Pass
                } else {
                    Verdict::Fail(Transient)
                }
            }
        });
        let one = produce(&producer, "one").await;
        queue.runtime.sleep(ms(200)).await;
        // 2. The consumer takes it and dequeues it.
        assert_eq!(texts(&take_all(&consumer).await), ["one"]);
        consumer.flush().await.expect("all is well");
        assert!(queue.manifest().is_empty());
        // 3. The producer reads again, and cannot tell.
        drop(blind);
        one.watcher.await_durable().await.expect("it is listed again under its name");
        let two = produce(&producer, "two").await;
        two.watcher.await_durable().await.expect("all is well");
        assert_eq!(queue.manifest().len(), 2, "the repeat and the new batch");
        // 4. The consumer drops the repeat, and dequeues it with what comes after it.
        assert_eq!(texts(&take_all(&consumer).await), ["two"]);
        consumer.flush().await.expect("all is well");
        assert_eq!(consumer.stats().repeats_dropped, 1);
        assert!(queue.manifest().is_empty());
    });
}

/// Goal: case 2. While the version is still the one the swap was conditional
/// on, the swap may land yet: nothing is said, and the very same swap is sent again.
pub(super) fn a_swap_that_may_still_land_is_sent_again_unchanged() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let mut first = true;
    let rule = queue.store.fault(move |request| {
        if request.is_swap() && std::mem::take(&mut first) {
            return Verdict::ApplyLate { reply: Transient, after: secs(1) };
        }
        Verdict::Pass
    });
    queue.runtime.block_on(async {
        let handle = produce(&producer, "once").await;
        handle.watcher.await_durable().await.expect("one of the two landed");
        queue.runtime.sleep(secs(5)).await;
    });
    drop(rule);
    let writes: Vec<_> =
        queue.store.log().into_iter().filter(|write| write.location == manifest()).collect();
    assert_eq!(writes.len(), 1, "the late one found its condition gone: {writes:?}");
    assert_eq!(texts(&queue.runtime.block_on(queue.drain())), ["once"]);
}

/// Goal: past `delivery_timeout` the answer is "unknown" where it is unknown, and
/// then the swap that lands late delivers the batch once.
pub(super) fn a_swap_that_lands_after_the_deadline_was_called_unknown() {
    let queue = Queue::new(1);
    let config = ProducerConfig { delivery_timeout: secs(10), ..one_by_one() };
    let producer = queue.producer(&config);
    let mut swapped = false;
    let rule = queue.store.fault(move |request| match request.is_swap() {
        true if !std::mem::replace(&mut swapped, true) => {
            Verdict::ApplyLate { reply: Transient, after: secs(30) }
        }
        false if request.is_of_batch() || !swapped => Verdict::Pass,
        _ => Verdict::Fail(Transient),
    });
    queue.runtime.block_on(async {
        let handle = produce(&producer, "late").await;
        let error = handle.watcher.await_durable().await.expect_err("the manifest is out of reach");
        assert!(matches!(error, DeliveryError::Unknown(_)), "{error}");
        // The next one never got into a swap that was sent.
        let next = produce(&producer, "never").await;
        let error = next.watcher.await_durable().await.expect_err("the manifest is out of reach");
        assert!(matches!(error, DeliveryError::NotDelivered(_)), "{error}");
        drop(rule);
        queue.runtime.sleep(secs(40)).await;
        let last = produce(&producer, "last").await;
        last.watcher.await_durable().await.expect("the store is well again");
    });
    assert_eq!(texts(&queue.runtime.block_on(queue.drain())), ["late", "last"]);
}
