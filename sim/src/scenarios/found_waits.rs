//! Waits that had no end: each of these calls once never came back, or came back too late.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::queue::{Queue, manifest, ms, one_by_one, produce, secs, take_all, texts};
use crate::{Process, Verdict};
use buffer_core::StoreErrorKind::{Denied, Transient};
use buffer_driver::{
    Consumer, ConsumerConfig, DeliveryError, DeliveryFailure, Ended, FlushError, InitializeError,
    NextError, ProducerConfig,
};
use bytes::Bytes;
use futures_lite::future::poll_once;

fn impatient() -> ConsumerConfig {
    ConsumerConfig { retry_timeout: secs(10), ..ConsumerConfig::default() }
}

/// Starts a call on a handle that others use as well.
fn start<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    process: &Process,
    consumer: &Arc<Consumer>,
    call: impl FnOnce(Arc<Consumer>) -> F,
) -> crate::Join<T> {
    process.start(call(Arc::clone(consumer)))
}

/// Goal: where reads work and swaps do not, `initialize`, `flush` and `close`
/// still end when they say, and the swaps are spaced out.
pub(super) fn swaps_that_fail_while_reads_work_are_given_up_in_time() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let consumer = queue.consumer(&impatient());
    queue.runtime.block_on(async {
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");

        let rule = queue.store.fault(|request| match request.is_swap() {
            true => Verdict::Fail(Transient),
            false => Verdict::Pass,
        });
        let began = queue.runtime.elapsed();
        let error = consumer.initialize(None).await.expect_err("no swap gets through");
        assert!(matches!(error, InitializeError::Fault(_)), "{error}");
        assert!(queue.runtime.elapsed() - began < secs(20));
        drop(rule);

        consumer.initialize(None).await.expect("the store is well again");
        assert_eq!(texts(&take_all(&consumer).await), ["0"]);
        let swaps = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&swaps);
        let rule = queue.store.fault(move |request| match request.is_swap() {
            true => {
                counted.fetch_add(1, SeqCst);
                Verdict::Fail(Transient)
            }
            false => Verdict::Pass,
        });
        let began = queue.runtime.elapsed();
        let error = consumer.flush().await.expect_err("no swap gets through");
        assert!(matches!(error, FlushError::Fault(_)), "{error}");
        let error = consumer.close().await.expect_err("no swap gets through");
        assert!(matches!(error, FlushError::Fault(_)), "{error}");
        assert!(queue.runtime.elapsed() - began < secs(40));
        let swaps = swaps.load(SeqCst);
        assert!(swaps < 40, "{swaps} swaps in vain");
        drop(rule);
    });
}

/// Goal: a batch in doubt is looked at again by the next call, after the manifest could not be read.
pub(super) fn a_doubt_outlives_a_manifest_that_cannot_be_read() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let consumer = queue.consumer(&impatient());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");
        // The batch arrives damaged, and from then on the manifest is out of reach.
        let mut damaged = false;
        let rule = queue.store.fault(move |request| match request.is_of_batch() {
            true => {
                damaged = true;
                Verdict::Truncate(3)
            }
            false if damaged => Verdict::Fail(Denied),
            false => Verdict::Pass,
        });
        let error = consumer.next_batch().await.expect_err("the manifest is out of reach");
        assert!(matches!(error, NextError::ManifestUnreadable(_)), "{error}");
        drop(rule);
        let batch = consumer.next_batch().await.expect("all is well again");
        assert_eq!(texts(&Vec::from_iter(batch)), ["0"]);
    });
}

/// Goal: every call that waited for a read that failed is told, not only one of them.
pub(super) fn all_who_wait_for_the_manifest_are_told_that_it_cannot_be_read() {
    let queue = Queue::new(1);
    let process = queue.process("consumer");
    let consumer = Arc::new(queue.consumer_in(&process, &impatient()));
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        let rule = queue.store.fault(|request| match request.is_write() {
            true => Verdict::Pass,
            false => Verdict::Fail(Denied),
        });
        // The manifest is left alone for a while, so that the next two calls want one and the same read.
        consumer.next_batch().await.expect_err("reading is denied");
        let next = |consumer: Arc<Consumer>| async move { consumer.next_batch().await };
        let both = [start(&process, &consumer, next), start(&process, &consumer, next)];
        for call in both {
            let error = call.await.expect("it ran").expect_err("reading is denied");
            assert!(matches!(error, NextError::ManifestUnreadable(_)), "{error}");
        }
        drop(rule);
        assert_eq!(consumer.next_batch().await.expect("all is well again"), None);
    });
}

/// Goal: what a failed dequeue says is said of acknowledgements, not of reading.
pub(super) fn a_dequeue_that_is_denied_disturbs_nobody_who_reads() {
    let queue = Queue::new(1);
    let process = queue.process("consumer");
    let producer = queue.producer(&one_by_one());
    let consumer = Arc::new(queue.consumer_in(&process, &impatient()));
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");
        assert_eq!(texts(&take_all(&consumer).await), ["0"]);
        let waits =
            start(&process, &consumer, |consumer| async move { consumer.wait_batch().await });
        queue.runtime.sleep(ms(300)).await;
        let writer = process.id();
        let rule = queue.store.fault(move |request| match request.is_swap() {
            true if request.process == writer => Verdict::Fail(Denied),
            _ => Verdict::Pass,
        });
        let error = consumer.flush().await.expect_err("it is denied");
        assert!(matches!(error, FlushError::Fault(_)), "{error}");
        drop(rule);
        produce(&producer, "1").await.watcher.await_durable().await.expect("all is well");
        let batch = waits.await.expect("it ran").expect("reading was never in trouble");
        assert_eq!(texts(&[batch]), ["1"]);
    });
}

/// Goal: a call that waits for a batch that is skipped goes on with the next one.
pub(super) fn a_skip_wakes_whoever_waits_for_what_is_skipped() {
    let queue = Queue::new(1);
    let process = queue.process("consumer");
    let producer = queue.producer(&one_by_one());
    let consumer = Arc::new(queue.consumer_in(&process, &impatient()));
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        for number in 0..2 {
            let handle = produce(&producer, format!("{number}")).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        let mut bad = None;
        let _rule = queue.store.fault(move |request| {
            let is_bad = request.is_of_batch()
                && *bad.get_or_insert_with(|| request.location.clone()) == request.location;
            if is_bad { Verdict::DropRequest } else { Verdict::Pass }
        });
        let next =
            start(&process, &consumer, |consumer| async move { consumer.next_batch().await });
        queue.runtime.sleep(secs(1)).await;
        consumer.skip(0).await.expect("it is the next one");
        let began = queue.runtime.elapsed();
        let batch = next.await.expect("it ran").expect("the other batch is well");
        assert_eq!(texts(&Vec::from_iter(batch)), ["1"]);
        assert!(queue.runtime.elapsed() - began < secs(1));
    });
}

/// Goal: two calls of `initialize` on one handle both end.
pub(super) fn two_who_initialize_one_consumer_are_both_told() {
    let queue = Queue::new(1);
    let process = queue.process("consumer");
    let consumer = Arc::new(queue.consumer_in(&process, &impatient()));
    queue.runtime.block_on(async {
        let initialize = |consumer: Arc<Consumer>| async move { consumer.initialize(None).await };
        let both = [start(&process, &consumer, initialize), start(&process, &consumer, initialize)];
        for call in both {
            call.await.expect("it ran").expect("the queue is new");
        }
    });
}

/// Goal: a runtime that stops before it ever ran the loop tells whoever waits.
pub(super) fn a_loop_that_never_ran_says_that_it_stopped() {
    let queue = Queue::new(1);
    let process = queue.process("both");
    let producer = queue.producer_in(&process, &one_by_one());
    let consumer = queue.consumer_in(&process, &impatient());
    process.crash();
    queue.runtime.block_on(async {
        let error = consumer.initialize(None).await.expect_err("nothing runs here");
        assert!(matches!(error, InitializeError::Ended(Ended::Stopped)), "{error}");
        let entries = vec!["0".into()];
        match producer.produce(entries, "".into()).await {
            Ok(handle) => {
                let error = handle.watcher.await_durable().await.expect_err("nothing runs here");
                assert!(matches!(error, DeliveryError::Unknown(DeliveryFailure::Stopped)));
            }
            Err(error) => assert!(matches!(error, buffer_driver::SubmitError::Stopped(_))),
        }
    });
}

/// Goal: one `flush` does not make every later acknowledgement a swap of its own.
pub(super) fn after_a_flush_acknowledgements_are_dequeued_together_again() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let consumer = queue.consumer(&ConsumerConfig::default());
    queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("the queue is new");
        for number in 0..100 {
            let handle = produce(&producer, format!("{number}")).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        let before = consumer.stats().swaps;
        for number in 0..100 {
            let batch = consumer.wait_batch().await.expect("it is listed");
            consumer.ack(batch.sequence).await.expect("it was just handed out");
            if number == 0 {
                let flush = std::pin::pin!(consumer.flush());
                // It is asked for, and nobody waits for it.
                assert!(futures_poll(flush).is_none());
            }
            queue.runtime.sleep(ms(10)).await;
        }
        let swaps = consumer.stats().swaps - before;
        assert!(swaps <= 4, "{swaps} swaps for one flush and one second of acknowledgements");
    });
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// Goal: a consumer that is paused for hours while its swap is out, and
/// wakes to a conflict, goes on at once: it does not take the hours for what a swap takes.
pub(super) fn who_slept_through_a_conflict_does_not_sleep_on() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let process = queue.process("consumer");
    let consumer = Arc::new(queue.consumer_in(&process, &impatient()));
    queue.runtime.block_on(async {
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");
        let taking_over = start(&process, &consumer, |it| async move { it.initialize(None).await });
        // Its read is answered, and its swap is under way when another one changes the manifest.
        queue.runtime.sleep(ms(25)).await;
        let swaps = queue.store.counts().swaps;
        assert_eq!(swaps, 2, "one of the producer, one of the consumer");
        let moved = queue.manifest().with_epoch(buffer_core::Epoch(7)).to_rope().concat();
        queue.store.put_raw(&manifest(), moved);
        process.pause();
        queue.runtime.sleep(secs(2 * 60 * 60)).await;
        process.resume();
        let woke = queue.runtime.elapsed();
        let taken = taking_over.await.expect("it is alive").expect("nobody is in its way");
        assert_eq!(taken.epoch, 8);
        let took = queue.runtime.elapsed() - woke;
        assert!(took < secs(60), "it took {took:?}");
    });
}

/// Goal: a caller that is told of room and goes away before it takes it leaves it to the next one.
///
/// 1. Two calls wait for room. 2. There is some, and the first is told. 3. It makes
///    way for others, and is dropped there. 4. The second has to be told now.
pub(super) fn room_that_a_dropped_call_was_told_of_is_the_next_ones() {
    let queue = Queue::new(1);
    let config = ProducerConfig { max_buffered_bytes: 4000, ..one_by_one() };
    let producer = queue.producer(&config);
    let call = |filler: usize| producer.produce(vec![vec![b'x'; filler].into()], Bytes::new());
    queue.runtime.block_on(async {
        let held = call(2500).await.expect("there is room");
        let mut told = Box::pin(call(2500));
        let mut next = Box::pin(call(2500));
        for call in [&mut told, &mut next] {
            // It may make way once before it comes to wait for room.
            for _ in 0..2 {
                assert!(poll_once(&mut *call).await.is_none(), "it waits for room");
            }
        }
        held.watcher.await_durable().await.expect("all is well");
        // Calls have come for a while without a rest: the next one is to make way.
        queue.runtime.sleep(ms(5)).await;
        call(1).await.expect("it is small").watcher.await_durable().await.expect("all is well");
        assert!(poll_once(&mut told).await.is_none(), "it makes way for others");
        drop(told);
        let next = next.await.expect("there is room for it");
        next.watcher.await_durable().await.expect("all is well");
    });
}

/// Goal: `close` ends within `retry_timeout` and `request_timeout`, also where one
/// trouble follows the other and none of them lasts for as long.
pub(super) fn a_close_ends_in_time_when_one_trouble_follows_the_other() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let config = ConsumerConfig { request_timeout: secs(1), ..impatient() };
    let consumer = queue.consumer(&config);
    queue.runtime.block_on(async {
        produce(&producer, "0").await.watcher.await_durable().await.expect("all is well");
        consumer.initialize(None).await.expect("all is well");
        let batch = consumer.next_batch().await.expect("all is well").expect("there is one");
        consumer.ack(batch.sequence).await.expect("it was handed out");
        let began = queue.runtime.elapsed();
        let _rule = queue.store.fault(move |request| {
            let swaps_fail = request.time - began < secs(9);
            match request.is_swap() {
                true if swaps_fail => Verdict::FalseConflict,
                false if !swaps_fail => Verdict::Fail(Transient),
                true | false => Verdict::Pass,
            }
        });
        let error = consumer.close().await.expect_err("nothing could be dequeued");
        assert!(matches!(error, FlushError::Fault(_)), "{error}");
        let took = queue.runtime.elapsed() - began;
        assert!(took <= config.retry_timeout + config.request_timeout, "it took {took:?}");
    });
}
