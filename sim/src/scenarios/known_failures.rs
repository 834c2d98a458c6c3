//! What other implementations of this design are known to do wrong, each as a scenario that must pass here.
//!
//! They are numbered: 1 and 2 are in `lost_replies`, 13 and 15 in `outages`, 14 in `pipeline` and, on
//! a real runtime, in the tokio adapter's `busy`; the others are here. What is about bytes is
//! written out in the tests of the core's formats as well.

use std::sync::Arc;

use super::queue::{
    Queue, by_hand, consumer_on, directory, manifest, ms, one_by_one, produce, producer_on, secs,
    take_all, texts,
};
use crate::{Process, Verdict};
use buffer_core::format::{Manifest, NewEntry};
use buffer_core::{AckRefusal, Condition, Location, ReadOutcome, Sequence, WriteOutcome};
use buffer_driver::{
    AckError, ConsumerConfig, DeliveryError, DeliveryFailure, Ended, FormatError, InitializeError,
    LocalFiles, ManifestError, NextError, ProducerConfig, SkipError, Store, SubmitError,
};
use bytes::Bytes;

async fn fill(queue: &Queue, batches: u64) {
    let producer = queue.producer(&one_by_one());
    for number in 0..batches {
        produce(&producer, number.to_string()).await;
    }
    producer.close().await.expect("all is well");
}

fn location_of(queue: &Queue, sequence: u64) -> Location {
    let found = queue.manifest().locations_from(Sequence(sequence)).next();
    let (found, location) = found.expect("it is listed");
    assert_eq!(found, Sequence(sequence));
    location
}

/// 4. The manifest is deleted. Nobody may start again at sequence 0 as if nothing had been.
pub(super) fn failure_04_a_deleted_manifest_is_an_error_for_everyone_who_saw_it() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        fill(&queue, 5).await;
        let producer = queue.producer(&one_by_one());
        produce(&producer, "5").await.watcher.await_durable().await.expect("all is well");
        let consumer = queue.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("it is free");
        take_all(&consumer).await;
        consumer.flush().await.expect("all is well");

        assert!(queue.store.remove(&manifest()));
        let error = consumer.next_batch().await.expect_err("it is gone");
        let NextError::Ended(Ended::Manifest(ManifestError::Lost { location })) = &error else {
            panic!("{error}");
        };
        assert_eq!(*location, manifest());

        let handle = produce(&producer, "6").await;
        let error = handle.watcher.await_durable().await.expect_err("it is gone");
        assert!(
            matches!(error.failure(), DeliveryFailure::Manifest(ManifestError::Lost { .. })),
            "{error}"
        );
        let refused = producer.produce(vec!["7".into()], Bytes::new()).await;
        let error = refused.expect_err("this producer is done");
        assert!(matches!(error, SubmitError::Manifest { .. }), "{error}");
        assert!(queue.store.object(&manifest()).is_none(), "nobody made a new one");

        // Somebody who never saw it begins a new queue; whoever stored a sequence of the old one is told.
        fill(&queue, 2).await;
        let consumer = queue.consumer(&ConsumerConfig::default());
        let error = consumer.initialize(Some(5)).await.expect_err("the queue was recreated");
        let InitializeError::AheadOfQueue { last, next, .. } = error else { panic!("{error}") };
        assert_eq!((last, next), (Sequence(5), Sequence(2)));
    });
}

/// The same for a manifest that was put back to an older state.
pub(super) fn a_manifest_that_was_rolled_back_is_an_error_for_everyone_who_saw_it() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        let producer = queue.producer(&one_by_one());
        for number in 0..5 {
            let handle = produce(&producer, number.to_string()).await;
            handle.watcher.await_durable().await.expect("all is well");
        }
        let consumer = queue.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("it is free");
        for _ in 0..5 {
            consumer.next_batch().await.expect("all is well").expect("there is more");
        }
        queue.store.restore(&manifest(), 3);

        let error = consumer.next_batch().await.expect_err("it went back");
        assert!(
            matches!(error, NextError::Ended(Ended::Manifest(ManifestError::RolledBack { .. }))),
            "{error}"
        );
        let handle = produce(&producer, "5").await;
        let error = handle.watcher.await_durable().await.expect_err("it went back");
        assert!(
            matches!(error.failure(), DeliveryFailure::Manifest(ManifestError::RolledBack { .. })),
            "{error}"
        );
    });
}

/// One stale reading is not believed: it is looked at again.
pub(super) fn one_stale_reading_is_no_rollback() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        fill(&queue, 5).await;
        let consumer = queue.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("it is free");
        let mut reads = 0;
        let _rule = queue.store.fault(move |request| {
            let is_read = !request.is_of_batch() && !request.is_write();
            reads += u32::from(is_read);
            if is_read && reads <= 2 { Verdict::Stale(2) } else { Verdict::Pass }
        });
        assert_eq!(take_all(&consumer).await.len(), 5);
        consumer.flush().await.expect("all is well");
    });
}

/// 5. A fresh consumer acknowledges what it never got: nothing is dropped.
pub(super) fn failure_05_only_what_was_handed_out_can_be_acknowledged() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        fill(&queue, 5).await;
        let consumer = queue.consumer(&ConsumerConfig::default());
        let refusal = |error: AckError| {
            let AckError::Refused(refusal) = error else { panic!("{error}") };
            refusal
        };
        consumer.initialize(None).await.expect("it is free");
        let never = refusal(consumer.ack(99).await.expect_err("nobody has it"));
        assert_eq!(never, AckRefusal::NotHandedOut { sequence: Sequence(99) });
        consumer.ack(0).await.expect_err("it was not handed out yet");
        consumer.ack_through(3).await.expect_err("none of them was");
        consumer.flush().await.expect("there is nothing to do");
        assert_eq!(queue.manifest().len(), 5, "nothing was dropped");

        for _ in 0..3 {
            consumer.next_batch().await.expect("all is well").expect("there is more");
        }
        let early = refusal(consumer.ack(1).await.expect_err("0 comes first"));
        let expected = Sequence(0);
        assert_eq!(early, AckRefusal::OutOfOrder { sequence: Sequence(1), expected });
        consumer.ack_through(1).await.expect("both were handed out");
        let twice = refusal(consumer.ack(1).await.expect_err("it is"));
        assert_eq!(twice, AckRefusal::AlreadyAcknowledged { sequence: Sequence(1) });
        consumer.flush().await.expect("all is well");
        assert_eq!(queue.manifest().first_sequence(), Sequence(2));
    });
}

/// 6. A flipped byte in a batch's footer is a typed error, and the way past it is `skip`.
pub(super) fn failure_06_a_flipped_byte_in_a_footer_is_a_typed_error() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        fill(&queue, 3).await;
        let location = location_of(&queue, 1);
        let good = queue.store.object(&location).expect("it is there").bytes;
        for offset in 1..=7 {
            let consumer = queue.consumer(&ConsumerConfig::default());
            consumer.initialize(None).await.expect("it is free");
            let mut bytes = good.to_vec();
            let at = bytes.len() - offset;
            bytes[at] ^= 0xff;
            queue.store.put_raw(&location, bytes);
            consumer.next_batch().await.expect("0 is whole").expect("it is there");
            let error = consumer.next_batch().await.expect_err("1 is not");
            let NextError::BatchCorrupt { sequence: Sequence(1), source } = &error else {
                panic!("{error}");
            };
            let FormatError { object, .. } = source;
            assert_eq!(*object, location, "{error}");
            // The cursor has not moved, and a mended object is read at the next call.
            queue.store.put_raw(&location, good.clone());
            let batch = consumer.next_batch().await.expect("it is mended").expect("it is there");
            assert_eq!(batch.sequence, 1);
        }
    });
}

/// 8. Thirty-two producers share one manifest with few swaps for each batch.
pub(super) fn failure_08_thirty_two_producers_need_few_swaps_for_each_batch() {
    let queue = Queue::new(8);
    let producers: Vec<_> =
        (0..32).map(|_| Arc::new(queue.producer(&ProducerConfig::default()))).collect();
    let tasks: Vec<_> = producers
        .iter()
        .map(|producer| {
            let (producer, runtime) = (Arc::clone(producer), queue.runtime.clone());
            queue.runtime.start(async move {
                let mut handles = Vec::new();
                while runtime.elapsed() < secs(60) {
                    handles.push((runtime.elapsed(), produce(&producer, "x").await));
                    runtime.sleep(ms(50)).await;
                }
                let mut slowest = ms(0);
                for (start, handle) in handles {
                    handle.watcher.await_durable().await.expect("the store is well");
                    slowest = slowest.max(runtime.elapsed().saturating_sub(start).min(secs(60)));
                }
                producer.close().await.expect("the store is well");
                slowest
            })
        })
        .collect();
    queue.finish(tasks);
    let counts = queue.store.counts();
    let per_batch = counts.swaps_per_batch();
    let durable: Vec<u64> = producers.iter().map(|p| p.stats().batches_durable).collect();
    note!(
        "{} batches, {} swaps, {} stored: {per_batch:.2} swaps a batch; batches of a producer {:?}..{:?}",
        counts.batch_writes,
        counts.swaps,
        counts.swaps_stored,
        durable.iter().min(),
        durable.iter().max(),
    );
    assert_eq!(queue.manifest().len(), counts.batch_writes);
    assert!(per_batch < 1.0, "{per_batch} swaps for each batch");
    queue.runtime.shutdown();
    thirty_two_at_once();
}

/// The same producers, who know nothing of each other yet and begin in one moment.
fn thirty_two_at_once() {
    let queue = Queue::new(9);
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let producer = queue.producer(&one_by_one());
            queue.runtime.start(async move {
                let handle = produce(&producer, "x").await;
                handle.watcher.await_durable().await.expect("the store is well");
                producer.close().await.expect("the store is well");
            })
        })
        .collect();
    queue.finish(tasks);
    let counts = queue.store.counts();
    let per_batch = counts.swaps_per_batch();
    note!("{per_batch:.2} swaps a batch where all begin at once");
    assert!(per_batch < 8.0, "{per_batch} swaps for each batch where all begin at once");
    queue.runtime.shutdown();
}

/// 12. The local directory takes a second write, and a hundredth: real files in a real directory.
pub(super) fn failure_12_a_local_directory_takes_more_than_one_write() {
    let queue = Queue::new(1);
    let root = tempfile::tempdir().expect("a directory can be made");
    let process = queue.process("host");
    let producer = producer_on(directory(root.path(), &process), &process, &one_by_one());
    let store = directory(root.path(), &process);
    let consumer = consumer_on(store, &process, &ConsumerConfig::default());
    let delivered = queue.runtime.block_on(async {
        for number in 0..100 {
            let handle = produce(&producer, number.to_string()).await;
            handle.watcher.await_durable().await.expect("the disk is well");
        }
        consumer.initialize(None).await.expect("it is free");
        let delivered = take_all(&consumer).await;
        consumer.close().await.expect("the disk is well");
        delivered
    });
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(texts(&delivered), expected);

    // What is on disk is what another process finds there, and a condition that does not hold changes nothing.
    let files = LocalFiles::open_existing(root.path()).expect("it is there");
    let read = files.read(&manifest(), None).expect("the disk is well");
    let ReadOutcome::Found(object) = read else { panic!("{read:?}") };
    let found = Manifest::parse(&manifest(), object.bytes).expect("it is whole");
    assert_eq!((found.next_sequence(), found.len()), (Sequence(100), 0));
    let files = LocalFiles::open(root.path()).expect("it is there");
    let refused = files.write(&manifest(), &["x".into()], &Condition::Absent);
    assert_eq!(refused.expect("the disk is well"), WriteOutcome::Conflict);
    let version = Condition::Version(object.version);
    let stored = files.write(&manifest(), &["one".into()], &version);
    assert!(matches!(stored, Ok(WriteOutcome::Stored(_))), "{stored:?}");
    let refused = files.write(&manifest(), &["two".into()], &version);
    assert_eq!(refused.expect("the disk is well"), WriteOutcome::Conflict);
}

/// 16. A prefix with characters that some client would encode: what is written is found.
pub(super) fn failure_16_awkward_prefixes_are_found_again() {
    for prefix in ["a~b", "[x]/y", "#1", "100%", "a+b", "a b", "größe/数", "%7E"] {
        let queue = Queue::new(1);
        let root = tempfile::tempdir().expect("a directory can be made");
        let process = queue.process("host");
        let in_memory: Arc<dyn Store> = Arc::new(queue.store.clone());
        for store in [in_memory, directory(root.path(), &process)] {
            queue.runtime.block_on(finds_its_own(&store, &process, prefix));
        }
        let manifest = root.path().join(prefix).join("manifest");
        assert!(manifest.is_file(), "the file is named as the key is: {}", manifest.display());
    }
}

async fn finds_its_own(store: &Arc<dyn Store>, process: &Process, prefix: &str) {
    let manifest_path = format!("{prefix}/manifest");
    let config = ProducerConfig {
        data_path_prefix: prefix.to_owned(),
        manifest_path: manifest_path.clone(),
        ..one_by_one()
    };
    let producer = producer_on(Arc::clone(store), process, &config);
    let config = ConsumerConfig {
        data_path_prefix: prefix.to_owned(),
        manifest_path,
        ..ConsumerConfig::default()
    };
    let consumer = consumer_on(Arc::clone(store), process, &config);
    let handle = produce(&producer, prefix).await;
    handle.watcher.await_durable().await.expect("the store is well");
    consumer.initialize(None).await.expect("it is free");
    let batch = consumer.next_batch().await.expect("it is found").expect("it is there");
    assert_eq!(batch.entries, [prefix]);
    assert!(batch.location.starts_with(&format!("{prefix}/01")), "{}", batch.location);
}

/// 17. What format version 1 can tell, a reader refuses: here as a consumer meets it.
pub(super) fn failure_17_a_manifest_that_contradicts_itself_is_refused() {
    let entry = |sequence: u64| {
        let location = Location::from("ingest/01J5T4R3000000000000000000.batch");
        let one = Manifest::absent()
            .append(&[NewEntry { location: &location, metadata: &[] }])
            .expect("it fits");
        let mut bytes = one.to_rope().concat();
        bytes.truncate(bytes.len() - 22);
        bytes[4..12].copy_from_slice(&sequence.to_le_bytes());
        bytes
    };
    let footer = |count: u32, next: u64| {
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend(next.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(1_u16.to_le_bytes());
        bytes
    };
    let cases: [(&str, Vec<u8>); 5] = [
        ("sequences repeat", [entry(0), entry(0), footer(2, 1)].concat()),
        ("sequences descend", [entry(1), entry(0), footer(2, 2)].concat()),
        ("sequences have a gap", [entry(0), entry(2), footer(2, 3)].concat()),
        ("next_sequence is too low", [entry(0), entry(1), footer(2, 1)].concat()),
        ("entry_count is too low", [entry(0), entry(1), footer(1, 2)].concat()),
    ];
    for (what, bytes) in cases {
        let queue = Queue::new(1);
        queue.store.put_raw(&manifest(), bytes.clone());
        queue.runtime.block_on(async {
            let consumer = queue.consumer(&ConsumerConfig::default());
            let error = consumer.initialize(None).await.expect_err(what);
            let text = error.to_string();
            assert!(text.contains("ingest/manifest is corrupt at byte"), "{what}: {text}");

            let producer = queue.producer(&one_by_one());
            let start = queue.runtime.elapsed();
            let handle = produce(&producer, "x").await;
            let error = handle.watcher.await_durable().await.expect_err(what);
            assert!(matches!(error, DeliveryError::NotDelivered(_)), "{what}: {error}");
            assert!(error.to_string().contains("is corrupt at byte"), "{what}: {error}");
            assert!(queue.runtime.elapsed() - start < secs(10), "{what}: it is told soon");
        });
        let left = queue.store.object(&manifest()).expect("it is there").bytes;
        assert_eq!(left, bytes, "{what}: nobody wrote on top of it");
    }
}

/// 17, continued: metadata that reaches past its batch.
pub(super) fn failure_17_metadata_past_the_end_of_its_batch_is_refused() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        let producer = queue.producer(&by_hand());
        for number in 0..3 {
            let metadata = Bytes::from(number.to_string());
            producer.produce(vec!["x".into()], metadata).await.expect("it is taken");
        }
        producer.flush().await.expect("all is well");
        produce(&producer, "short").await;
        producer.flush().await.expect("all is well");
        // Another batch's bytes under the first one's name: one record instead of three.
        let short = queue.store.object(&location_of(&queue, 1)).expect("it is there");
        queue.store.put_raw(&location_of(&queue, 0), short.bytes);
        let consumer = queue.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("it is free");
        let error = consumer.next_batch().await.expect_err("its metadata names three records");
        assert!(matches!(error, NextError::BatchCorrupt { .. }), "{error}");
    });
}

/// 17, continued: a footer that counts fewer records than there are.
pub(super) fn failure_17_a_batch_with_more_records_than_its_footer_says_is_refused() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        let producer = queue.producer(&by_hand());
        for number in 0..3 {
            produce(&producer, number.to_string()).await;
        }
        producer.flush().await.expect("all is well");
        let location = location_of(&queue, 0);
        let mut bytes = queue.store.object(&location).expect("it is there").bytes.to_vec();
        // The footer ends with the count, four bytes, and the version, two.
        let count = bytes.len() - 6;
        assert_eq!(bytes[count..count + 4], 3_u32.to_le_bytes());
        bytes[count] = 2;
        queue.store.put_raw(&location, bytes);
        let consumer = queue.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("it is free");
        let error = consumer.next_batch().await.expect_err("two records, and then more bytes");
        let NextError::BatchCorrupt { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.object, location, "{error}");
        assert!(!source.to_string().contains("metadata"), "the count alone tells: {source}");
    });
}

/// 18. One batch is missing: the consumer is told which, and can go past it.
pub(super) fn failure_18_a_missing_batch_can_be_skipped_on_the_callers_word() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        fill(&queue, 4).await;
        let gone = location_of(&queue, 1);
        queue.store.remove(&gone);
        let consumer = queue.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("it is free");
        let zero = consumer.next_batch().await.expect("it is whole").expect("it is there");
        for _ in 0..2 {
            let error = consumer.next_batch().await.expect_err("1 is gone");
            let NextError::BatchMissing { sequence, location } = &error else { panic!("{error}") };
            assert_eq!((*sequence, location), (Sequence(1), &gone));
        }
        let error = consumer.skip(2).await.expect_err("1 is the next one");
        let next = Some(Sequence(1));
        assert_eq!(error, SkipError::NotNext { sequence: Sequence(2), next });
        consumer.skip(1).await.expect("it is the next one");
        // What was skipped is dequeued only together with a later batch, so that 0 stays a valid place to resume.
        consumer.ack(zero.sequence).await.expect("it was handed out");
        consumer.flush().await.expect("all is well");
        assert_eq!(queue.manifest().first_sequence(), Sequence(1));
        assert_eq!(texts(&take_all(&consumer).await), ["2", "3"]);
        consumer.flush().await.expect("all is well");
        assert!(queue.manifest().is_empty());
    });
}

/// 19. The acknowledgement that triggers a dequeue cannot fail by it; the dequeue is tried again.
pub(super) fn failure_19_a_failed_dequeue_is_tried_again() {
    let queue = Queue::new(1);
    queue.runtime.block_on(async {
        fill(&queue, 100).await;
        let config = ConsumerConfig { dequeue_interval: secs(1000), ..ConsumerConfig::default() };
        let consumer = queue.consumer(&config);
        consumer.initialize(None).await.expect("it is free");
        let rule = queue.store.fault(|request| match request.is_swap() {
            true => Verdict::Fail(buffer_core::StoreErrorKind::Transient),
            false => Verdict::Pass,
        });
        assert_eq!(take_all(&consumer).await.len(), 100, "the 100th acknowledgement is taken");
        queue.runtime.sleep(secs(3)).await;
        assert_eq!(queue.manifest().len(), 100);
        drop(rule);
        queue.runtime.sleep(secs(10)).await;
        assert!(queue.manifest().is_empty(), "nobody had to ask again");
    });
}
