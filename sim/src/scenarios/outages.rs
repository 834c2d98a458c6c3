//! Requests that fail for a while, or for good.

use super::queue::{MIB, Queue, by_hand, ms, one_by_one, produce, secs, take_all, texts};
use crate::{Request, Verdict};
use buffer_core::StoreErrorKind::{self, Denied, Throttled, TimedOut, Transient};
use buffer_driver::{
    ConsumerConfig, DeliveryError, DeliveryFailure, FlushError, InitializeError, NextError,
    ProducerConfig,
};
use bytes::Bytes;

type Kind = (&'static str, fn(&Request) -> bool);

const KINDS: [Kind; 4] = [
    ("upload", |request| request.is_of_batch() && request.is_write()),
    ("swap", Request::is_swap),
    ("manifest read", |request| !request.is_of_batch() && !request.is_write()),
    ("fetch", |request| request.is_of_batch() && !request.is_write()),
];

/// Goal: each kind of request fails at first, once and five times
/// in a row, in every retryable way; nothing is lost, reordered or dropped.
pub(super) fn failure_13_errors_that_pass_cost_nothing_but_time() {
    let ways = [
        Verdict::Fail(Transient),
        Verdict::Fail(Throttled),
        Verdict::Fail(TimedOut),
        Verdict::DropRequest,
        Verdict::ApplyThenLoseReply,
        Verdict::ApplyThenFail(Transient),
        Verdict::ApplyThenConflict,
        Verdict::FalseConflict,
    ];
    for (name, is_kind) in KINDS {
        for way in ways {
            let is_read = name.contains("read") || name == "fetch";
            let fits_reads = matches!(
                way,
                Verdict::Fail(_) | Verdict::DropRequest | Verdict::ApplyThenLoseReply
            );
            if is_read && !fits_reads {
                continue;
            }
            for burst in [1, 5] {
                for skipped in [0, 3] {
                    survive(name, is_kind, way, burst, skipped);
                }
            }
        }
    }
}

fn survive(name: &str, is_kind: fn(&Request) -> bool, way: Verdict, burst: u32, skipped: u32) {
    let queue = Queue::new(7);
    let producer_config = ProducerConfig { request_timeout: secs(2), ..one_by_one() };
    let consumer_config = ConsumerConfig { request_timeout: secs(2), ..ConsumerConfig::default() };
    let mut seen = 0;
    let rule = queue.store.fault(move |request| {
        if !is_kind(request) {
            return Verdict::Pass;
        }
        seen += 1;
        if (skipped..skipped + burst).contains(&(seen - 1)) { way } else { Verdict::Pass }
    });
    let consumer = queue.consumer(&consumer_config);
    let producer = queue.producer(&producer_config);
    let delivered = queue.runtime.block_on(async {
        consumer.initialize(None).await.expect("it takes over in the end");
        let mut handles = Vec::new();
        for number in 0..12 {
            handles.push(produce(&producer, number.to_string()).await);
            queue.runtime.sleep(ms(30)).await;
        }
        for handle in handles {
            handle.watcher.await_durable().await.expect("it is durable in the end");
        }
        let delivered = take_all(&consumer).await;
        consumer.close().await.expect("it is dequeued in the end");
        producer.close().await.expect("nothing failed");
        delivered
    });
    drop(rule);
    let expected: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    assert_eq!(texts(&delivered), expected, "{name}, {way:?}, {burst} after {skipped}");
    assert!(queue.manifest().is_empty());
}

/// Goal: a store that is down for longer than `delivery_timeout` gives typed
/// errors, "unknown" only where a swap was sent.
pub(super) fn an_outage_past_the_deadline_is_told_apart() {
    let queue = Queue::new(1);
    let config = ProducerConfig { delivery_timeout: secs(10), ..one_by_one() };
    let producer = queue.producer(&config);
    queue.runtime.block_on(async {
        let fine = produce(&producer, "fine").await;
        fine.watcher.await_durable().await.expect("the store is well");

        let uploads = queue.store.fault(|_| Verdict::Fail(Transient));
        let start = queue.runtime.elapsed();
        let never = produce(&producer, "never").await;
        let error = never.watcher.await_durable().await.expect_err("the store is down");
        let DeliveryError::NotDelivered(DeliveryFailure::TimedOut { after, last: Some(last) }) =
            &error
        else {
            panic!("{error}");
        };
        assert_eq!(*after, secs(10));
        assert!(last.to_string().contains("writing batch ingest/"), "{last}");
        assert_eq!(queue.runtime.elapsed() - start, secs(10));
        drop(uploads);

        let swaps = queue.store.fault(|request| match request.is_of_batch() {
            true => Verdict::Pass,
            false => Verdict::Fail(Transient),
        });
        let perhaps = produce(&producer, "perhaps").await;
        let error = perhaps.watcher.await_durable().await.expect_err("the manifest is down");
        assert!(error.is_unknown(), "{error}");
        assert_eq!(perhaps.watcher.result().map(|result| result.is_err()), Some(true));
        drop(swaps);

        let again = produce(&producer, "again").await;
        again.watcher.await_durable().await.expect("the store is well again");
        // Each of the two failures is reported by a flush once.
        producer.flush().await.expect_err("batches failed in the background");
        producer.flush().await.expect("that was reported");
    });
    assert_eq!(texts(&queue.runtime.block_on(queue.drain())), ["fine", "again"]);
}

/// Goal: while the store is down, what is held stays under the limit, and `produce` waits.
pub(super) fn an_outage_holds_callers_back_and_memory_down() {
    let queue = Queue::new(1);
    let limit = 8 * MIB;
    let config = ProducerConfig {
        max_buffered_bytes: limit,
        flush_size_bytes: MIB,
        flush_interval: ms(10),
        ..ProducerConfig::default()
    };
    let producer = std::sync::Arc::new(queue.producer(&config));
    let down = queue.store.fault(|_| Verdict::Fail(Transient));
    let mut writers = Vec::new();
    for _ in 0..4 {
        let producer = std::sync::Arc::clone(&producer);
        writers.push(queue.runtime.start(async move {
            for _ in 0..20 {
                let entries = vec![Bytes::from(vec![1; MIB / 2])];
                producer.produce(entries, Bytes::new()).await.expect("it waits, it does not fail");
            }
        }));
    }
    let mut most = 0;
    for _ in 0..600 {
        queue.runtime.advance(ms(100));
        let held = producer.stats().buffered_bytes;
        assert!(held <= limit, "{held} bytes held");
        most = most.max(held);
    }
    assert!(most > limit / 2, "the callers did fill it: {most}");
    assert_eq!(producer.stats().batches_durable, 0);
    drop(down);
    queue.runtime.block_on(async {
        for writer in writers {
            writer.await.expect("it goes on once the store is back");
        }
        producer.close().await.expect("all is delivered");
    });
    let delivered = queue.runtime.block_on(queue.drain());
    let entries: usize = delivered.iter().map(|batch| batch.entries.len()).sum();
    assert_eq!(entries, 80);
    queue.runtime.shutdown();
}

/// Goal: while no swap gets through, batches are uploaded on, and those that are make room for others; all are
/// delivered afterwards, in order and whole, though the first upload of each failed.
pub(super) fn uploads_go_on_while_no_swap_gets_through() {
    let queue = Queue::new(1);
    let config = ProducerConfig {
        max_buffered_bytes: 8 * MIB,
        flush_size_bytes: MIB,
        flush_interval: ms(10),
        ..ProducerConfig::default()
    };
    let producer = queue.producer(&config);
    let mut uploads = 0;
    let unlucky = queue.store.fault(move |request| {
        uploads += usize::from(request.is_of_batch() && request.is_write());
        match request.is_of_batch() && request.is_write() && uploads % 2 == 1 {
            true => Verdict::Fail(Transient),
            false => Verdict::Pass,
        }
    });
    let no_swap = queue.store.fault(|request| match request.is_swap() {
        true => Verdict::Fail(Transient),
        false => Verdict::Pass,
    });
    let entry = |number: u8| Bytes::from(vec![number; MIB / 2]);
    queue.runtime.block_on(async {
        for number in 0..80 {
            producer.produce(vec![entry(number)], Bytes::new()).await.expect("it waits for room");
            assert!(producer.stats().buffered_bytes <= 8 * MIB);
        }
    });
    let elapsed = queue.runtime.elapsed();
    assert!(elapsed < secs(30), "40 MiB went through room for 8 in {elapsed:?}");
    assert_eq!(producer.stats().batches_durable, 0);
    drop(no_swap);
    drop(unlucky);
    queue.runtime.block_on(async { producer.close().await }).expect("all is delivered");
    let delivered = queue.runtime.block_on(queue.drain());
    let entries: Vec<Bytes> = delivered.iter().flat_map(|batch| batch.entries.clone()).collect();
    assert_eq!(entries.len(), 80);
    assert!(entries.iter().zip(0..).all(|(found, number)| *found == entry(number)));
}

/// Goal: one submission larger than everything that may ever be held is refused at once, and given back.
pub(super) fn a_submission_that_never_fits_is_refused_at_once() {
    let queue = Queue::new(1);
    let config = ProducerConfig { max_buffered_bytes: MIB, ..by_hand() };
    let producer = queue.producer(&config);
    queue.runtime.block_on(async {
        let entries = vec![Bytes::from(vec![0; 2 * MIB])];
        let error = producer.produce(entries, Bytes::new()).await.expect_err("it cannot fit");
        assert!(error.to_string().contains("at most 1048576"), "{error}");
        assert_eq!(error.into_submission().entries.len(), 1);
        producer.produce(Vec::new(), Bytes::new()).await.expect_err("it is empty");
    });
}

/// Goal: what the flush timer's batch met, `flush` and `close` report.
pub(super) fn failure_15_a_background_failure_is_reported_by_flush_and_by_close() {
    for by_close in [false, true] {
        let queue = Queue::new(1);
        let producer = queue.producer(&ProducerConfig::default());
        queue.runtime.block_on(async {
            let denied = queue.store.fault(|_| Verdict::Fail(Denied));
            let handle = produce(&producer, "refused").await;
            queue.runtime.sleep(secs(5)).await;
            assert!(handle.watcher.result().is_some(), "the timer sealed it, and it failed");
            drop(denied);
            let report = if by_close { producer.close().await } else { producer.flush().await };
            let error = report.expect_err("a batch failed");
            let DeliveryError::NotDelivered(DeliveryFailure::Store(cause)) = &error else {
                panic!("{error}");
            };
            assert_eq!(cause.kind, Denied);
        });
    }
}

/// Goal: a refusal for good fails at once, takes nobody else along, and what follows is delivered.
pub(super) fn a_refused_batch_neither_loses_nor_reorders_others() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let mut uploads = 0;
    let rule = queue.store.fault(move |request| {
        let is_upload = request.is_of_batch() && request.is_write();
        uploads += u32::from(is_upload);
        if is_upload && uploads == 3 { Verdict::Fail(Denied) } else { Verdict::Pass }
    });
    queue.runtime.block_on(async {
        let mut handles = Vec::new();
        for number in 0..8 {
            handles.push(produce(&producer, number.to_string()).await);
        }
        for (number, handle) in handles.iter().enumerate() {
            let outcome = handle.watcher.await_durable().await;
            assert_eq!(outcome.is_ok(), number != 2, "{number}: {outcome:?}");
        }
        assert!(queue.runtime.elapsed() < secs(1), "it failed at once");
    });
    drop(rule);
    let delivered = queue.runtime.block_on(queue.drain());
    assert_eq!(texts(&delivered), ["0", "1", "3", "4", "5", "6", "7"]);
}

/// Goal: each failure of a consumer's requests that lasts is told to the call that waits, typed, and the next call tries again.
pub(super) fn a_consumer_tells_of_outages_and_goes_on_after_them() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let config = ConsumerConfig { retry_timeout: secs(10), ..ConsumerConfig::default() };
    let consumer = queue.consumer(&config);
    queue.runtime.block_on(async {
        let down = queue.store.fault(|_| Verdict::Fail(Transient));
        let error = consumer.initialize(None).await.expect_err("the store is down");
        assert!(matches!(error, InitializeError::Fault(_)), "{error}");
        drop(down);
        consumer.initialize(None).await.expect("the store is back");

        produce(&producer, "one").await.watcher.await_durable().await.expect("all is well");
        let down = queue.store.fault(|_| Verdict::Fail(Transient));
        let error = consumer.next_batch().await.expect_err("the manifest cannot be read");
        assert!(matches!(error, NextError::ManifestUnreadable(_)), "{error}");
        drop(down);
        let down = queue.store.fault(|request| match request.is_of_batch() {
            true => Verdict::Fail(Transient),
            false => Verdict::Pass,
        });
        let error = consumer.next_batch().await.expect_err("the batch cannot be read");
        assert!(matches!(error, NextError::BatchUnreadable { .. }), "{error}");
        drop(down);
        let batch = consumer.next_batch().await.expect("the store is back").expect("it is there");
        consumer.ack(batch.sequence).await.expect("it was handed out");

        let down = queue.store.fault(|_| Verdict::Fail(Transient));
        let error = consumer.flush().await.expect_err("the manifest cannot be swapped");
        assert!(matches!(error, FlushError::Fault(_)), "{error}");
        drop(down);
        consumer.flush().await.expect("it is tried again");
        assert!(queue.manifest().is_empty());
    });
}

/// Goal: what the store refuses for good is told at once, whatever it is.
pub(super) fn terminal_errors_are_told_at_once() {
    for kind in [Denied, StoreErrorKind::NoSuchStore, StoreErrorKind::Unsupported] {
        let queue = Queue::new(1);
        let consumer = queue.consumer(&ConsumerConfig::default());
        let _rule = queue.store.fault(move |_| Verdict::Fail(kind));
        let error = queue.runtime.block_on(consumer.initialize(None)).expect_err("it is refused");
        assert!(matches!(error, InitializeError::Fault(_)), "{error}");
        assert!(queue.runtime.elapsed() < secs(1));
    }
}
