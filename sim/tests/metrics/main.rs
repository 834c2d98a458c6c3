//! What producers and consumers tell as metrics is what is seen from outside: by whoever called them, by
//! the store, and by the oracles of random worlds.

mod recorder;
#[path = "../watched/mod.rs"]
mod watched;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use buffer_core::{Retries, StoreErrorKind};
use buffer_driver::metrics::{METRICS, MetricKind};
use buffer_driver::{
    CompressionType, ConsumedBatch, DurabilityWatcher, Metadata, Producer, ProducerConfig,
};
use buffer_sim::scenarios::Scenario;
use buffer_sim::scenarios::queue::{consumer_on, manifest, ms, one_by_one, secs};
use buffer_sim::swarm::Token;
use buffer_sim::{Kind, Latency, Process, Request, SimRuntime, Verdict};
use bytes::Bytes;

use recorder::{Recorded, Way};
use watched::observer::Seen;
use watched::{World, give_up_in, reading_config, writing_config};

const PRODUCER: (&str, &str) = ("role", "producer");
const CONSUMER: (&str, &str) = ("role", "consumer");

/// One call of `produce`, and how to learn what became of it.
struct Call {
    watcher: DurabilityWatcher,
    entries: u64,
    bytes: u64,
}

/// Which of the calls went into different batches.
fn batches(calls: &[Call]) -> Vec<&Call> {
    let mut batches: Vec<&Call> = Vec::new();
    for call in calls {
        if !batches.iter().any(|batch| batch.watcher.is_same_batch(&call.watcher)) {
            batches.push(call);
        }
    }
    batches
}

/// How much was tried again, by role and operation.
type Retried = BTreeMap<(&'static str, &'static str), u64>;

/// A third of all requests fails, is not answered, or is answered wrongly.
fn trouble(random: &mut buffer_sim::Random, request: &Request) -> Verdict {
    if random.u8(..3) != 0 {
        return Verdict::Pass;
    }
    let transient = StoreErrorKind::Transient;
    match (request.kind(), random.u8(..5)) {
        (Kind::Put | Kind::Swap, 0) => Verdict::ApplyThenFail(transient),
        (Kind::Put | Kind::Swap, 1) => Verdict::ApplyThenLoseReply,
        (Kind::Put | Kind::Swap, 2) => Verdict::FalseConflict,
        (Kind::Put | Kind::Swap, 3) => Verdict::ApplyThenConflict,
        (Kind::ReadManifest | Kind::ReadBatch | Kind::List, 0 | 1) => Verdict::Fail(transient),
        (Kind::ReadManifest | Kind::ReadBatch | Kind::List, 2 | 3) => Verdict::DropRequest,
        (Kind::Delete, _) => Verdict::Partial,
        (Kind::Put | Kind::Swap | Kind::ReadManifest | Kind::ReadBatch | Kind::List, _) => {
            Verdict::Throttle
        }
    }
}

/// Submits some dozens of entries, and ends when all are settled.
async fn fill(
    runtime: SimRuntime,
    producer: Producer,
    mut random: buffer_sim::Random,
) -> Vec<Call> {
    let mut calls = Vec::new();
    for _ in 0..40 {
        let count = random.usize(1..4);
        let entries: Vec<Bytes> = (0..count).map(|_| vec![7; random.usize(..900)].into()).collect();
        let bytes = entries.iter().map(|entry| entry.len() as u64).sum();
        let handle = producer.produce(entries, "about them".into()).await.expect("it is taken");
        calls.push(Call { watcher: handle.watcher, entries: count as u64, bytes });
        runtime.sleep(ms(random.u64(..60))).await;
    }
    producer.close().await.expect("what fails is tried again");
    calls
}

/// What the application knows at the end of a world.
struct Known {
    calls: Vec<Call>,
    /// Batches that were handed out whole, and those fetched by hand.
    handed: Vec<ConsumedBatch>,
    fetched: Vec<ConsumedBatch>,
    acks: u64,
    /// In seconds, when the last batch was handed out.
    lag: f64,
    cycles: u64,
}

fn lag_of(process: &Process, metadata: &[Metadata]) -> f64 {
    let stamp = metadata.last().expect("there is some").ingestion_time_ms;
    (process.clock().unix_millis().0 - stamp) as f64 / 1_000.0
}

/// Three producers fill a queue in spite of everything, a consumer empties it, and its collector collects.
fn live(world: &World, recorded: &Recorded) -> Known {
    let World { runtime, store, .. } = world;
    let mut random = runtime.random("trouble");
    let mut trouble = Some(store.fault(move |request| trouble(&mut random, request)));
    let kinds = [CompressionType::None, CompressionType::None, CompressionType::Zstd];
    let mut tasks: Vec<_> = kinds
        .into_iter()
        .map(|kind| {
            let producer = world.producer(&writing_config(kind));
            runtime.start(fill(runtime.clone(), producer, runtime.random("entries")))
        })
        .collect();
    let process = runtime.process("consumer");
    let consumer = consumer_on(Arc::new(world.reading.clone()), &process, &reading_config());
    let ended = Arc::new(Mutex::new(Vec::new()));
    let calls = Arc::clone(&ended);
    let waiting = runtime.start(async move {
        for task in tasks.drain(..) {
            let more = task.await.expect("nothing crashes");
            calls.lock().expect("nobody panics").push(more);
        }
    });
    runtime.block_on(async {
        consumer.initialize(None).await.expect("what fails is tried again");
        let (mut handed, mut lag, mut acks) = (Vec::new(), 0.0, 0);
        loop {
            let is_last = ended.lock().expect("nobody panics").len() == 3;
            match consumer.next_batch().await.expect("what fails is tried again") {
                Some(batch) => {
                    lag = lag_of(&process, &batch.metadata);
                    consumer.ack(batch.sequence).await.expect("it was just handed out");
                    acks += 1;
                    handed.push(batch);
                }
                None if is_last => break,
                None => runtime.sleep(ms(50)).await,
            }
        }
        waiting.await.expect("nothing crashes");
        trouble = None;
        let mut calls: Vec<_> = ended.lock().expect("nobody panics").drain(..).flatten().collect();

        // By hand, and at one time.
        let producer = world.producer(&one_by_one());
        for entry in ["a", "b", "c"] {
            let handle = producer.produce(vec![entry.into()], Bytes::new()).await.expect("taken");
            calls.push(Call { watcher: handle.watcher, entries: 1, bytes: 1 });
        }
        producer.close().await.expect("all is well");
        assert_eq!(recorded.gauge("buffer.consumer_lag_seconds"), lag);
        let found = consumer.next_descriptors(10).await.expect("all is well");
        lag = lag_of(&process, &found.last().expect("three are there").metadata);
        let mut fetched = Vec::new();
        for descriptor in found {
            fetched.push(consumer.fetch_handle().fetch(descriptor).await.expect("all is well"));
        }
        let last = fetched.last().expect("three are there").sequence;
        consumer.ack_through(last).await.expect("they were handed out");
        acks += fetched.len() as u64;
        consumer.flush().await.expect("all is well");

        // Long after that, another batch shows that all before it can be deleted; some deletions and listings fail.
        runtime.sleep(secs(200)).await;
        let mut failed = [false; 2];
        let rule = store.fault(move |request| match request.kind() {
            Kind::Delete if !std::mem::replace(&mut failed[0], true) => Verdict::Partial,
            Kind::List if !std::mem::replace(&mut failed[1], true) => {
                Verdict::Fail(StoreErrorKind::Throttled)
            }
            Kind::Delete
            | Kind::List
            | Kind::Put
            | Kind::Swap
            | Kind::ReadManifest
            | Kind::ReadBatch => Verdict::Pass,
        });
        let producer = world.producer(&one_by_one());
        let handle = producer.produce(vec!["d".into()], Bytes::new()).await.expect("taken");
        calls.push(Call { watcher: handle.watcher, entries: 1, bytes: 1 });
        producer.close().await.expect("all is well");
        runtime.sleep(secs(100)).await;
        drop(rule);
        let cycles = consumer.stats().gc_cycles;
        consumer.close().await.expect("all is well");
        Known { calls, handed, fetched, acks, lag, cycles }
    })
}

/// Goal: in a world in which every third request goes wrong, each metric is what the application and the store saw.
#[test]
fn metrics_are_what_the_application_and_the_store_saw() {
    let mut retried = Retried::new();
    for seed in 0..6 {
        let recorded = Recorded::default();
        let (world, known) = recorded.during(|| {
            let world = World::new(seed);
            let known = live(&world, &recorded);
            (world, known)
        });
        check_producers(&recorded, &world, &known, &mut retried);
        check_consumer(&recorded, &world, &known, &mut retried);
        let counts = world.store.counts();
        let writes = recorded.counter("buffer.manifest_writes", &[]);
        assert_eq!(writes, counts.swaps, "seed {seed}");
        assert_eq!(
            recorded.counter("buffer.manifest_conflicts", &[]),
            counts.swaps_conflicted,
            "seed {seed}"
        );
    }
    assert!(retried.values().all(|count| *count > 0), "something never went wrong: {retried:?}");
}

/// Bytes of the objects that hold what was consumed, and what is still listed: the last batch.
fn object_bytes(world: &World, known: &Known) -> u64 {
    let seen = world.writing.seen.lock().expect("nobody panics");
    let names = known.handed.iter().chain(&known.fetched).map(|batch| batch.location.as_str());
    let taken: u64 = names.map(|name| seen.objects[name]).sum();
    let listed = world.store.manifest(&manifest());
    taken + listed.entries().map(|entry| seen.objects[&entry.location]).sum::<u64>()
}

fn check_producers(recorded: &Recorded, world: &World, known: &Known, retried: &mut Retried) {
    assert!(known.calls.iter().all(|call| matches!(call.watcher.result(), Some(Ok(())))));
    let flushed = batches(&known.calls).len() as u64;
    let sum = |of: fn(&Call) -> u64| known.calls.iter().map(of).sum::<u64>();
    assert_eq!(recorded.counter("buffer.batches_flushed", &[]), flushed);
    assert_eq!(recorded.counter("buffer.entries_flushed", &[]), sum(|call| call.entries));
    assert_eq!(recorded.counter("buffer.bytes_flushed", &[]), sum(|call| call.bytes));
    assert_eq!(recorded.counter("buffer.bytes_written", &[]), object_bytes(world, known));
    let took = recorded.histogram("buffer.flush_duration_seconds");
    assert_eq!(took.len() as u64, flushed);
    assert!(
        took.iter().all(|took| *took >= 0.04),
        "an upload and a swap take 20 ms each: {took:?}"
    );

    let seen = world.writing.seen.lock().expect("nobody panics");
    assert_eq!(recorded.counter("buffer.manifest_writes", &[PRODUCER]), seen.swaps);
    assert_eq!(recorded.counter("buffer.manifest_conflicts", &[PRODUCER]), seen.conflicts);
    check_failures(recorded, PRODUCER, &seen.failures);
    for (operation, conflicts) in
        [("put_batch", seen.upload_conflicts), ("read_manifest", 0), ("swap_manifest", 0)]
    {
        *retried.entry(("producer", operation)).or_default() +=
            check_retries(recorded, PRODUCER, operation, &seen, conflicts);
    }
    assert_eq!(recorded.counter("buffer.batches_failed", &[]), 0);
    for held in ["inflight_batches", "inflight_bytes", "oldest_unflushed_age_seconds"] {
        assert_eq!(recorded.gauge(&format!("buffer.{held}")), 0.0, "{held}");
    }
}

fn check_consumer(recorded: &Recorded, world: &World, known: &Known, retried: &mut Retried) {
    let seen = world.reading.seen.lock().expect("nobody panics");
    let count = |name: &str| recorded.counter(name, &[]);
    // The last one, of one entry, was fetched ahead, and nobody asked for it.
    let all = || known.handed.iter().chain(&known.fetched);
    assert_eq!(count("buffer.batches_collected"), all().count() as u64 + 1);
    let entries: usize = all().map(|batch| batch.entries.len()).sum();
    assert_eq!(count("buffer.entries_collected"), entries as u64 + 1);
    assert_eq!(count("buffer.bytes_collected"), object_bytes(world, known));
    let took = recorded.histogram("buffer.fetch_duration_seconds");
    assert_eq!(took.len() as u64, seen.fetched);
    assert!(took.iter().all(|took| *took == 0.02), "each took 20 ms: {took:?}");
    assert_eq!(count("buffer.descriptors_handed_out"), known.fetched.len() as u64);
    assert_eq!(count("buffer.acks"), known.acks);
    assert_eq!(recorded.gauge("buffer.consumer_lag_seconds"), known.lag);
    let listed = world.store.manifest(&manifest()).len();
    assert_eq!((listed, recorded.gauge("buffer.queue_length")), (1, 1.0));

    assert_eq!(recorded.counter("buffer.manifest_writes", &[CONSUMER]), seen.swaps);
    assert_eq!(recorded.counter("buffer.manifest_conflicts", &[CONSUMER]), seen.conflicts);
    check_failures(recorded, CONSUMER, &seen.failures);
    for operation in ["read_manifest", "swap_manifest", "read_batch", "list_batches"] {
        *retried.entry(("consumer", operation)).or_default() +=
            check_retries(recorded, CONSUMER, operation, &seen, 0);
    }
    assert!(seen.deleted > 0, "the collector had something to delete");
    assert_eq!(count("buffer.gc_files_deleted"), seen.deleted);
    assert_eq!(count("buffer.gc_files_failed"), seen.failed("delete_batch"));
    let cycles = recorded.histogram("buffer.gc_duration_seconds");
    assert_eq!(cycles.len() as u64, known.cycles);
    assert!(cycles.iter().any(|took| *took >= 0.06), "one read, listed and deleted: {cycles:?}");
}

fn check_failures(
    recorded: &Recorded,
    role: (&str, &str),
    seen: &BTreeMap<(&'static str, &'static str), u64>,
) {
    for ((operation, kind), count) in seen {
        let labels = [role, ("operation", operation), ("kind", kind)];
        let told = recorded.counter("buffer.request_failures", &labels);
        assert_eq!(told, *count, "{role:?} {operation} {kind}");
    }
    let told = recorded.counter("buffer.request_failures", &[role]);
    assert_eq!(told, seen.values().sum::<u64>(), "{role:?}: {seen:?}");
}

/// What failed was tried again, each for what it failed of, and nothing else was. Gives how much that was.
fn check_retries(
    recorded: &Recorded,
    role: (&str, &str),
    operation: &str,
    seen: &Seen,
    conflicts: u64,
) -> u64 {
    let told = |kind| {
        let labels = [role, ("operation", operation), ("kind", kind)];
        recorded.counter("buffer.request_retries", &labels)
    };
    for kind in ["transient", "throttled", "timed_out"] {
        let failed = seen.failures.get(&(operation, kind)).copied().unwrap_or_default();
        assert_eq!(told(kind), failed, "{role:?} {operation} {kind}");
    }
    assert_eq!(told("conflict"), conflicts, "{role:?} {operation}");
    let failed = seen.failed(operation) + conflicts;
    let all = recorded.counter("buffer.request_retries", &[role, ("operation", operation)]);
    assert_eq!(all, failed, "{role:?} {operation}");
    failed
}

/// The same where it is recorded; says whether the outcome is unknown, and how many batches are in flight after it.
fn give_up(recorded: &Recorded, verdict: Verdict) -> (bool, u64) {
    recorded.during(|| {
        let config = writing_config(CompressionType::None);
        let error = give_up_in(&World::new(1), &config, verdict);
        (error.is_unknown(), recorded.gauge("buffer.inflight_batches") as u64)
    })
}

/// Goal: what was given up is told by its outcome and its reason, and does not count as flushed.
#[test]
fn what_was_given_up_is_told_by_its_outcome() {
    let recorded = Recorded::default();
    let failed = |outcome, reason| {
        recorded.counter("buffer.batches_failed", &[("outcome", outcome), ("reason", reason)])
    };
    assert_eq!(give_up(&recorded, Verdict::DropRequest), (true, 0));
    assert_eq!((failed("unknown", "timed_out"), failed("not_delivered", "timed_out")), (1, 0));
    assert_eq!(give_up(&recorded, Verdict::Fail(StoreErrorKind::Denied)), (true, 0));
    assert_eq!(failed("unknown", "store"), 1);
    assert_eq!(recorded.counter("buffer.batches_failed", &[]), 2);
    assert_eq!(recorded.counter("buffer.batches_flushed", &[]), 0);
    assert_eq!(recorded.counter("buffer.bytes_written", &[]), 0);
}

/// Goal: how much is held, how old it is, and how long a caller waits for room is told while it is so.
#[test]
fn what_is_held_and_who_waits_is_told_while_it_is_so() {
    let recorded = Recorded::default();
    recorded.during(|| {
        let world = World::new(1);
        world.store.set_latency(Latency::fixed(secs(1)));
        let config = ProducerConfig { max_buffered_bytes: 64 << 10, ..one_by_one() };
        let producer = Arc::new(world.producer(&config));
        let entry = || vec![Bytes::from(vec![7; 40 << 10])];
        let runtime = &world.runtime;
        runtime.block_on(async {
            producer.produce(entry(), Bytes::new()).await.expect("there is room");
        });
        let waiting = {
            let (producer, runtime) = (Arc::clone(&producer), runtime.clone());
            runtime.clone().start(async move {
                let since = runtime.elapsed();
                producer.produce(entry(), Bytes::new()).await.expect("there will be room");
                runtime.elapsed() - since
            })
        };
        runtime.advance(ms(500));
        producer.refresh_metrics();
        let stats = producer.stats();
        assert_eq!(recorded.gauge("buffer.oldest_unflushed_age_seconds"), 0.5);
        assert_eq!(recorded.gauge("buffer.inflight_batches"), 1.0);
        assert_eq!(recorded.gauge("buffer.inflight_bytes"), stats.buffered_bytes as f64);
        assert!(stats.buffered_bytes >= 40 << 10);
        assert_eq!(recorded.counter("buffer.backpressure_waits", &[]), 1);
        assert!(recorded.histogram("buffer.backpressure_wait_seconds").is_empty());
        let waited = runtime.block_on(waiting).expect("nothing crashes");
        let told = recorded.histogram("buffer.backpressure_wait_seconds");
        assert_eq!(told, [waited.as_secs_f64()]);
        assert!(waited > ms(500), "{waited:?}");
        // Who is gone holds nothing.
        drop(producer);
        runtime.shutdown();
    });
    assert_eq!(recorded.gauge("buffer.inflight_batches"), 0.0);
    assert_eq!(recorded.gauge("buffer.inflight_bytes"), 0.0);
    assert_eq!(recorded.counter("buffer.backpressure_waits", &[]), 1);
}

fn run_repeat(recorded: &Recorded) {
    let name = "a_batch_dequeued_before_its_producer_looked_is_repeated_to_nobody";
    let scenario = Scenario::by_name(name).expect("it is there");
    recorded.during(|| scenario.run()).expect("it passes");
}

/// Goal: a batch that is listed twice counts as a repeat, once.
#[test]
fn a_repeat_is_told() {
    let recorded = Recorded::default();
    run_repeat(&recorded);
    assert_eq!(recorded.counter("buffer.repeats_dropped", &[]), 1);
}

/// Goal: what is recorded is what is documented, with these labels and units, and nothing else.
#[test]
fn what_is_recorded_is_what_is_documented() {
    let recorded = Recorded::default();
    recorded.during(|| live(&World::new(0), &recorded));
    give_up(&recorded, Verdict::DropRequest);
    let documented: Vec<_> = METRICS
        .iter()
        .map(|metric| {
            let way = match metric.kind {
                MetricKind::Counter => Way::Counter,
                MetricKind::Gauge => Way::Gauge,
                MetricKind::Histogram => Way::Histogram,
            };
            let labels: Vec<_> = metric.labels.iter().map(|label| (*label).to_owned()).collect();
            (way, metric.name.to_owned(), labels)
        })
        .collect();
    let mut expected = documented.clone();
    expected.sort();
    assert_eq!(recorded.known(), expected);
    let units: BTreeMap<_, _> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), Some(metric.unit))).collect();
    assert_eq!(recorded.described(), units);
}

/// Goal: over random worlds, metrics are what the oracles of each world counted. A process that crashes between
/// what it does and what the oracle sees of that may have told more, never less.
#[test]
fn metrics_are_what_the_oracles_of_random_worlds_count() {
    let (mut equal, mut acks, mut entries, mut failed) = (0, 0, 0, 0);
    let kinds = Retries::default().by_kind().map(|(kind, _)| kind);
    let mut retried = kinds.map(|_| 0);
    for seed in 0..120 {
        let recorded = Recorded::default();
        let report = recorded.during(|| Token::new(seed).run(false)).expect("it holds");
        let crashed =
            report.faults.iter().any(|(name, count)| name.contains("crash") && *count > 0);
        let counted = [
            (recorded.counter("buffer.acks", &[]), report.acks, "acks"),
            (recorded.counter("buffer.entries_flushed", &[]), report.entries, "entries"),
            (
                recorded.counter("buffer.manifest_writes", &[PRODUCER]),
                report.producer_swaps,
                "swaps of producers",
            ),
            (
                recorded.counter("buffer.manifest_writes", &[CONSUMER]),
                report.consumer_swaps,
                "swaps of consumers",
            ),
        ];
        for (told, seen, what) in counted {
            if crashed {
                assert!(told >= seen, "seed {seed}: {told} {what} told, {seen} seen");
            } else {
                assert_eq!(told, seen, "seed {seed}: {what}");
            }
        }
        let collected = recorded.counter("buffer.batches_collected", &[]);
        assert!(collected >= report.handed_out, "seed {seed}: {collected}, {}", report.handed_out);
        for (outcome, seen) in
            [("unknown", report.unknown), ("not_delivered", report.not_delivered)]
        {
            // Of batches, where the oracle counts what was submitted.
            let told = recorded.counter("buffer.batches_failed", &[("outcome", outcome)]);
            assert!(told > 0 || seen == 0, "seed {seed}: {outcome}: none told, {seen} seen");
            assert!(told <= seen || crashed, "seed {seed}: {outcome}: {told} told, {seen} seen");
            failed += told;
        }
        for (count, kind) in retried.iter_mut().zip(kinds) {
            *count += recorded.counter("buffer.request_retries", &[("kind", kind)]);
        }
        equal += u32::from(!crashed);
        acks += report.acks;
        entries += report.entries;
    }
    println!("{equal} of 120 worlds without a crash, {entries} entries, {acks} acknowledgements");
    println!("{failed} batches given up; tried again: {kinds:?} {retried:?}");
    assert!(equal >= 20 && acks > 1_000 && entries > 1_000, "{equal} {acks} {entries}");
    assert!(failed > 0 && !retried.contains(&0), "{failed} {kinds:?} {retried:?}");
}
