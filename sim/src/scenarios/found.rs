//! What random worlds found, each as the least that shows it, with its story.

use std::sync::mpsc;
use std::thread;

use super::queue::{Queue, manifest, ms, one_by_one, produce, secs, take_all, texts};
use crate::{Latency, Verdict};
use buffer_core::StoreErrorKind::{Denied, Transient};
use buffer_core::format::NewEntry;
use buffer_driver::{ConsumerConfig, NextError};
use futures_lite::future;

/// Seed 13. A fetch fails and is to be tried again. When its time comes, what
/// is held leaves no room for it. The deadline stood in the past from then on,
/// and the loop went round for ever without letting anybody else run.
pub(super) fn a_fetch_that_waits_for_room_does_not_keep_the_loop_busy() {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let queue = Queue::new(1);
        let producer = queue.producer(&one_by_one());
        let config = ConsumerConfig {
            prefetch_batches: 3,
            prefetch_bytes: 2000,
            ..ConsumerConfig::default()
        };
        let consumer = queue.consumer(&config);
        queue.runtime.block_on(async {
            for fill in ["a", "b", "c"] {
                produce(&producer, fill.repeat(1500)).await;
            }
            producer.flush().await.expect("all is well");
            consumer.initialize(None).await.expect("it is free");
            // Before a batch was seen three are taken to fit. The second then fills all there is, and the third is to be tried again.
            let mut reads = 0;
            let rule = queue.store.fault(move |request| {
                reads += u32::from(request.is_of_batch());
                if reads == 3 { Verdict::Fail(Transient) } else { Verdict::Pass }
            });
            let first = consumer.next_batch().await.expect("all is well").expect("it is there");
            queue.runtime.sleep(secs(1)).await;
            drop(rule);
            let mut lengths = vec![first.entries[0].len()];
            lengths.extend(take_lengths(&consumer).await);
            sender.send(lengths).expect("the test waits");
        });
    });
    // In real time: what fails here fails by never coming back.
    let lengths = receiver.recv_timeout(secs(20)).expect("the loop lets others run");
    assert_eq!(lengths, [1500, 1500, 1500]);
}

async fn take_lengths(consumer: &buffer_driver::Consumer) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some(batch) = consumer.next_batch().await.expect("the queue can be read") {
        lengths.push(batch.entries[0].len());
    }
    lengths
}

/// Seed 10. An acknowledged batch is to be dequeued in a minute, and the poll
/// of a caller that waits meets an error. The next poll was put off until the dequeue.
pub(super) fn a_failed_poll_is_repeated_soon_although_a_dequeue_is_due_late() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let config = ConsumerConfig { dequeue_interval: secs(60), ..ConsumerConfig::default() };
    let consumer = queue.consumer(&config);
    queue.runtime.block_on(async {
        produce(&producer, "zero").await.watcher.await_durable().await.expect("all is well");
        consumer.initialize(None).await.expect("it is free");
        assert_eq!(texts(&take_all(&consumer).await), ["zero"]);
        let mut failed = false;
        let rule = queue.store.fault(move |request| {
            if request.is_write() || std::mem::replace(&mut failed, true) {
                return Verdict::Pass;
            }
            Verdict::Fail(Transient)
        });
        let began = queue.runtime.elapsed();
        let (batch, ()) = future::zip(consumer.wait_batch(), async {
            queue.runtime.sleep(secs(1)).await;
            produce(&producer, "one").await;
        })
        .await;
        drop(rule);
        assert_eq!(texts(&[batch.expect("all is well")]), ["one"]);
        let took = queue.runtime.elapsed() - began;
        assert!(took < secs(5), "{took:?}");
    });
}

/// Seed 930. All that is new in the manifest is a repeat, which is dropped.
/// `next_batch` waited for a read that showed nothing, and none was to come.
pub(super) fn a_reading_that_shows_only_a_repeat_is_an_end_of_the_queue() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let consumer = queue.consumer(&ConsumerConfig::default());
    queue.runtime.block_on(async {
        produce(&producer, "zero").await.watcher.await_durable().await.expect("all is well");
        consumer.initialize(None).await.expect("it is free");
        let taken = take_all(&consumer).await;
        consumer.flush().await.expect("all is well");
        // Case 4: the producer could not tell, and lists the batch again.
        let location = taken[0].location.as_str().into();
        let entry = NewEntry { location: &location, metadata: &[] };
        let again = queue.manifest().append(&[entry]).expect("it fits");
        queue.store.put_raw(&manifest(), again.to_rope().concat());

        let next = async { Some(consumer.next_batch().await) };
        let late = async {
            queue.runtime.sleep(secs(10)).await;
            None
        };
        let next = future::or(next, late).await.expect("it comes back");
        assert_eq!(next.expect("all is well"), None);
    });
}

/// Seed 1409. A batch arrives damaged, and the manifest is to be read before
/// anything is said of it. That read is denied. The caller was told, and its
/// next call waited for a read that nobody asked for.
pub(super) fn a_batch_in_doubt_is_looked_into_again_when_the_manifest_was_denied() {
    let queue = Queue::new(1);
    let producer = queue.producer(&one_by_one());
    let consumer = queue.consumer(&ConsumerConfig::default());
    queue.runtime.block_on(async {
        produce(&producer, "zero").await.watcher.await_durable().await.expect("all is well");
        consumer.initialize(None).await.expect("it is free");
        let rule = queue.store.fault(|request| match request.is_of_batch() {
            true => Verdict::Truncate(3),
            false => Verdict::Fail(Denied),
        });
        let error = consumer.next_batch().await.expect_err("nothing can be read");
        assert!(matches!(error, NextError::ManifestUnreadable(_)), "{error}");
        drop(rule);
        let next = async { Some(consumer.next_batch().await) };
        let late = async {
            queue.runtime.sleep(secs(10)).await;
            None
        };
        let next = future::or(next, late).await.expect("it comes back");
        let batch = next.expect("all is well again").expect("it is listed");
        assert_eq!(texts(&[batch]), ["zero"]);
    });
}

/// Seeds 5963 and 7998. One producer commits back to back: it knows the manifest that it wrote, so
/// that its next swap follows at once. A consumer has to read first, and by the time that its own
/// swap arrives the producer's is there. The producer never meets a conflict, and never gives way.
///
/// It makes room now and then, for as long as another writer needs to read and swap.
pub(super) fn a_busy_producer_lets_a_consumer_take_over() {
    for (read, write) in [(20, 20), (20, 30), (40, 20), (100, 20), (20, 100)] {
        for producers in [1, 2, 4] {
            take_over_beside(producers, Latency { read: ms(read), ..Latency::fixed(ms(write)) });
        }
    }
}

fn take_over_beside(producers: usize, latency: Latency) {
    let queue = Queue::new(1);
    queue.store.set_latency(latency);
    for _ in 0..producers {
        let (producer, runtime) = (queue.producer(&one_by_one()), queue.runtime.clone());
        drop(queue.runtime.start(async move {
            loop {
                produce(&producer, "one of many").await;
                runtime.sleep(ms(5)).await;
            }
        }));
    }
    let consumer = queue.consumer(&ConsumerConfig::default());
    queue.runtime.block_on(async {
        queue.runtime.sleep(secs(2)).await;
        let late = async {
            queue.runtime.sleep(secs(10)).await;
            None
        };
        let taken = future::or(async { Some(consumer.initialize(None).await) }, late).await;
        taken.expect("it comes back").expect("it is free");
    });
    note!("{producers} busy, {latency:?}: {:?}", queue.runtime.elapsed() - secs(2));
    queue.runtime.shutdown();
}
