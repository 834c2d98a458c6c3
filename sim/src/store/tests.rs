mod faults;

use std::time::Duration;

use buffer_core::StoreErrorKind;

use super::*;

/// Generations, and as many writes as there are.
const GENERATIONS: Profile = Profile { one_write_a_second: false, ..Profile::GCS };

const TRANSIENT: StoreErrorKind = StoreErrorKind::Transient;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A world with a store that takes 20 ms for everything.
struct Bench {
    runtime: SimRuntime,
    store: SimStore,
    key: Location,
}

impl Bench {
    fn new() -> Self {
        Self::with(1, Profile::S3)
    }

    fn with(seed: u64, profile: Profile) -> Self {
        let runtime = SimRuntime::new(seed);
        let store = SimStore::new(&runtime, profile);
        store.set_latency(Latency::fixed(ms(20)));
        Self { runtime, store, key: Location::new("queue/manifest") }
    }

    fn create(&self, bytes: &'static str) -> Result<WriteOutcome, StoreErrorKind> {
        self.write(bytes, Condition::Absent)
    }

    fn write(
        &self,
        bytes: &'static str,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreErrorKind> {
        let write = self.store.write(&self.key, vec![bytes.into()], condition);
        self.runtime.block_on(write).map_err(|failure| failure.kind)
    }

    fn read(&self, unless: Option<Version>) -> Result<ReadOutcome, StoreErrorKind> {
        let read = self.store.read(&self.key, unless);
        self.runtime.block_on(read).map_err(|failure| failure.kind)
    }

    fn read_bytes(&self) -> Bytes {
        match self.read(None) {
            Ok(ReadOutcome::Found(object)) => object.bytes,
            other => panic!("there is an object: {other:?}"),
        }
    }

    fn stored(&self) -> Option<Bytes> {
        self.store.object(&self.key).map(|object| object.bytes)
    }

    fn always(&self, verdict: Verdict) -> FaultGuard {
        self.store.fault(move |_| verdict)
    }

    /// Starts a create in a process of its own.
    fn create_in_process(&self, key: &Location, bytes: &'static str) -> crate::Process {
        let process = self.runtime.process("writer");
        let (store, key) = (self.store.clone(), key.clone());
        let _task = process.start(async move {
            let _outcome = store.write(&key, vec![bytes.into()], Condition::Absent).await;
        });
        process
    }
}

fn version_of(outcome: Result<WriteOutcome, StoreErrorKind>) -> Version {
    match outcome {
        Ok(WriteOutcome::Stored(version)) => version,
        other => panic!("it should have been stored: {other:?}"),
    }
}

#[test]
fn compare_and_swap_is_exact() {
    for profile in [Profile::S3, GENERATIONS] {
        let bench = Bench::with(1, profile);
        assert_eq!(bench.read(None), Ok(ReadOutcome::Missing));
        let first = version_of(bench.create("one"));
        assert_eq!(bench.create("other"), Ok(WriteOutcome::Conflict));
        assert_eq!(bench.read(Some(first.clone())), Ok(ReadOutcome::NotModified));

        let second = version_of(bench.write("two", Condition::Version(first.clone())));
        assert_eq!(
            bench.write("three", Condition::Version(first.clone())),
            Ok(WriteOutcome::Conflict)
        );
        let Ok(ReadOutcome::Found(object)) = bench.read(Some(first)) else {
            panic!("{profile:?}: the object has changed")
        };
        assert_eq!((object.bytes, object.version), ("two".into(), second.clone()));

        bench.store.remove(&bench.key);
        let gone = bench.write("four", Condition::Version(second));
        assert_eq!(gone, Ok(WriteOutcome::Conflict), "what is gone has no version");
    }
}

#[test]
fn etags_repeat_with_the_bytes_and_generations_never_do() {
    for (profile, repeats) in [(Profile::S3, true), (GENERATIONS, false)] {
        let bench = Bench::with(1, profile);
        let first = version_of(bench.create("one"));
        bench.store.remove(&bench.key);
        let again = version_of(bench.create("one"));
        assert_eq!(first == again, repeats, "{profile:?}");
    }
}

#[test]
fn last_modified_is_the_stores_own_clock_when_the_write_took_effect() {
    let bench = Bench::with(1, GENERATIONS);
    bench.store.clock().jump(ms(5000));
    let before = bench.store.clock().unix_millis();
    let _version = version_of(bench.create("one"));
    let object = bench.store.object(&bench.key).expect("it was stored");
    assert_eq!(object.last_modified.map(|at| at.0 - before.0), Some(10));
}

#[test]
fn a_failed_write_has_no_effect() {
    let bench = Bench::new();
    let denied = bench.always(Verdict::Fail(StoreErrorKind::Denied));
    assert_eq!(bench.create("one"), Err(StoreErrorKind::Denied));
    assert_eq!(bench.read(None), Err(StoreErrorKind::Denied));
    drop(denied);
    let throttled = bench.always(Verdict::Throttle);
    assert_eq!(bench.create("one"), Err(StoreErrorKind::Throttled));
    assert_eq!(bench.read(None), Err(StoreErrorKind::Throttled));
    drop(throttled);
    assert_eq!(bench.stored(), None);
    let _version = version_of(bench.create("one"));
}

#[test]
fn a_lost_reply_hides_a_write_that_took_effect() {
    let bench = Bench::new();
    let rule = bench.always(Verdict::ApplyThenFail(TRANSIENT));
    assert_eq!(bench.create("one"), Err(TRANSIENT));
    assert_eq!(bench.stored(), Some("one".into()));
    assert_eq!(bench.create("two"), Err(TRANSIENT));
    assert_eq!(bench.stored(), Some("one".into()), "only if its condition holds");
    drop(rule);
    assert_eq!(bench.store.counts().swaps_stored, 1);
}

#[test]
fn conflicts_need_not_be_true() {
    let bench = Bench::new();
    let rule = bench.always(Verdict::FalseConflict);
    assert_eq!(bench.create("one"), Ok(WriteOutcome::Conflict));
    assert_eq!(bench.stored(), None);
    drop(rule);
    let _rule = bench.always(Verdict::ApplyThenConflict);
    assert_eq!(bench.create("one"), Ok(WriteOutcome::Conflict));
    assert_eq!(bench.stored(), Some("one".into()));
}

#[test]
fn a_delayed_write_looks_later() {
    let bench = Bench::new();
    let _rule = bench.always(Verdict::Delay(ms(100)));
    let _version = version_of(bench.create("one"));
    assert_eq!(bench.runtime.elapsed(), ms(120));
    assert_eq!(bench.store.log()[0].time, ms(110));
}

#[test]
fn a_write_lands_after_its_caller_was_told_that_it_failed() {
    let bench = Bench::new();
    let rule = bench.always(Verdict::ApplyLate { reply: TRANSIENT, after: ms(500) });
    assert_eq!(bench.create("late"), Err(TRANSIENT));
    assert_eq!(bench.runtime.elapsed(), ms(20));
    bench.runtime.advance(ms(499));
    assert_eq!(bench.stored(), None);
    bench.runtime.advance(ms(1));
    assert_eq!(bench.stored(), Some("late".into()));
    drop(rule);
}

#[test]
fn a_late_write_is_refused_if_its_condition_no_longer_holds() {
    let bench = Bench::new();
    let rule = bench.always(Verdict::ApplyLate { reply: TRANSIENT, after: ms(500) });
    assert_eq!(bench.create("late"), Err(TRANSIENT));
    drop(rule);
    let _version = version_of(bench.create("early"));
    bench.runtime.advance(ms(1000));
    assert_eq!(bench.stored(), Some("early".into()));
    assert_eq!(bench.store.log().len(), 1);
}

#[test]
fn a_hanging_request_is_never_answered_and_may_have_taken_effect() {
    for applied in [false, true] {
        let bench = Bench::new();
        let _rule = bench.always(match applied {
            true => Verdict::ApplyThenLoseReply,
            false => Verdict::DropRequest,
        });
        let process = bench.create_in_process(&bench.key, "one");
        bench.runtime.advance(ms(3_600_000));
        assert_eq!(bench.stored().is_some(), applied);
        assert!(!bench.runtime.trace().iter().any(|line| line.contains("answers")));
        process.crash();
    }
}

#[test]
fn a_stale_read_sees_an_older_object_or_none() {
    let bench = Bench::new();
    let old = bench.store.put_raw(&bench.key, "one");
    bench.store.put_raw(&bench.key, "two");
    let rule = bench.always(Verdict::Stale(1));
    assert_eq!(bench.read_bytes(), "one");
    assert_eq!(bench.read(Some(old)), Ok(ReadOutcome::NotModified), "304 for an old version");
    drop(rule);
    let _rule = bench.always(Verdict::Stale(2));
    assert_eq!(bench.read(None), Ok(ReadOutcome::Missing));
}

#[test]
fn damage_is_in_the_answer_and_not_in_the_store() {
    let bench = Bench::new();
    bench.store.put_raw(&bench.key, "abc");
    let rule = bench.always(Verdict::Corrupt { offset: 1, mask: 0b1 });
    assert_eq!(bench.read_bytes(), "acc");
    drop(rule);
    let rule = bench.always(Verdict::Corrupt { offset: 3, mask: 0b10 });
    assert_eq!(bench.read_bytes(), "cbc", "an offset past the end starts over");
    drop(rule);
    let rule = bench.always(Verdict::Truncate(2));
    assert_eq!(bench.read_bytes(), "ab");
    drop(rule);
    assert_eq!(bench.read_bytes(), "abc");
}

#[test]
#[should_panic(expected = "a fault rule says FalseConflict of #1 p0 read queue/manifest")]
fn a_verdict_that_cannot_be_is_a_mistake_in_the_script() {
    let bench = Bench::new();
    let _rule = bench.always(Verdict::FalseConflict);
    let _never = bench.read(None);
}

#[test]
fn the_newest_rule_that_has_something_to_say_decides() {
    let bench = Bench::new();
    let _old = bench.always(Verdict::Throttle);
    let new = bench.store.fault(|request| match request.number {
        1 => Verdict::Fail(TRANSIENT),
        _ => Verdict::Pass,
    });
    assert_eq!(bench.create("one"), Err(TRANSIENT));
    assert_eq!(bench.create("one"), Err(StoreErrorKind::Throttled));
    drop(new);
    assert_eq!(bench.create("one"), Err(StoreErrorKind::Throttled));
}

/// The store has the request; what becomes of the process that sent it is no matter.
#[test]
fn an_accepted_write_outlives_its_process() {
    let bench = Bench::new();
    let process = bench.create_in_process(&bench.key, "one");
    bench.runtime.advance(ms(5));
    process.crash();
    assert_eq!(bench.stored(), None, "it is still under way");
    bench.runtime.advance(ms(5));
    assert_eq!(bench.stored(), Some("one".into()));
}

#[test]
fn a_late_write_outlives_its_process() {
    let bench = Bench::new();
    let rule = bench.always(Verdict::ApplyLate { reply: TRANSIENT, after: ms(500) });
    let process = bench.create_in_process(&bench.key, "one");
    bench.runtime.advance(ms(30));
    process.crash();
    drop(rule);
    bench.runtime.advance(ms(500));
    assert_eq!(bench.stored(), Some("one".into()));
}

/// A rule is the place to crash a process at one of its effects.
#[test]
fn a_rule_may_crash_the_process_whose_request_it_judges() {
    let bench = Bench::new();
    let process = bench.create_in_process(&bench.key, "one");
    let (victim, store) = (process.clone(), bench.store.clone());
    let _rule = bench.store.fault(move |request| {
        assert_eq!(request.process, victim.id());
        assert_eq!(store.counts().requests(), request.number, "a rule may look into the store");
        victim.crash();
        Verdict::Pass
    });
    bench.runtime.advance(ms(20));
    assert!(process.is_crashed());
    assert_eq!(bench.stored(), Some("one".into()));
}

#[test]
fn a_request_that_is_not_polled_is_not_sent() {
    let bench = Bench::new();
    drop(bench.store.write(&bench.key, vec!["one".into()], Condition::Absent));
    bench.runtime.advance(ms(100));
    assert_eq!(bench.store.counts(), Counts::default());
}

#[test]
fn a_key_that_no_store_can_hold_is_refused() {
    let bench = Bench::new();
    let bad = Location::new("queue/../secret");
    let write = bench.store.write(&bad, vec!["one".into()], Condition::Absent);
    let failure = bench.runtime.block_on(write).expect_err("the key leads out");
    assert_eq!(failure.kind, StoreErrorKind::InvalidLocation);
    assert!(bench.store.locations().is_empty());
}

#[test]
fn requests_are_counted_by_kind() {
    let bench = Bench::new();
    let first = version_of(bench.create("one"));
    let _conflict = bench.create("two");
    let _not_modified = bench.read(Some(first));
    let _found = bench.read(None);
    bench.store.remove(&bench.key);
    let _missing = bench.read(None);
    let batch = Location::new("data/1.batch");
    let _writer = bench.create_in_process(&batch, "12345");
    let other = bench.create_in_process(&Location::new("data/2.batch"), "12345");
    bench.runtime.advance(ms(5));
    other.crash();
    let _third = bench.create_in_process(&Location::new("data/3.batch"), "12345");
    bench.runtime.advance(ms(20));
    let _read = bench.runtime.block_on(bench.store.read(&batch, None));
    let expected = Counts {
        batch_writes: 3,
        batch_reads: 1,
        swaps: 2,
        swaps_stored: 1,
        swaps_conflicted: 1,
        manifest_reads: 3,
        manifest_reads_found: 1,
        manifest_reads_not_modified: 1,
        manifest_reads_missing: 1,
        lists: 0,
        deletes: 0,
        objects_deleted: 0,
        bytes_written: 6 + 15,
        bytes_read: 3 + 5,
        most_batch_writes_in_flight: 2,
    };
    assert_eq!(bench.store.counts(), expected);
}

#[test]
fn bandwidth_comes_before_a_write_and_after_a_read() {
    let bench = Bench::new();
    let latency = Latency { bandwidth: Some(1000), ..Latency::fixed(ms(20)) };
    bench.store.set_latency(latency);
    let _version = version_of(bench.create("0123456789"));
    assert_eq!(bench.store.log()[0].time, ms(20));
    assert_eq!(bench.runtime.elapsed(), ms(30));
    assert_eq!(bench.read_bytes().len(), 10);
    assert_eq!(bench.runtime.elapsed(), ms(60));
}

#[test]
fn operators_can_put_an_object_back() {
    for profile in [Profile::S3, GENERATIONS] {
        let bench = Bench::with(1, profile);
        let first = bench.store.put_raw(&bench.key, "one");
        bench.store.put_raw(&bench.key, "two");
        bench.store.restore(&bench.key, 1);
        let object = bench.store.object(&bench.key).expect("it was put back");
        assert_eq!(object.bytes, "one");
        assert_eq!(object.version == first, profile == Profile::S3);
        let log = bench.store.log();
        let hash = |at: usize| log[at].written().expect("it was a write").content_hash;
        assert_eq!(hash(0), hash(2));
        bench.store.restore(&bench.key, 3);
        assert_eq!(bench.stored(), None, "there was nothing before");
    }
}

/// Writers that race under jitter and random faults.
fn noisy_run(seed: u64) -> (u64, Vec<String>) {
    let bench = Bench::with(seed, Profile::S3);
    let jitter = Jitter { up_to: ms(50), slow_one_in: 5, slow_by: ms(500) };
    bench.store.set_latency(Latency { jitter: Some(jitter), ..Latency::fixed(ms(20)) });
    let mut random = bench.runtime.random("faults");
    let _rule = bench.store.fault(move |_| match random.u32(..4) {
        0 => Verdict::Fail(TRANSIENT),
        1 => Verdict::ApplyThenFail(TRANSIENT),
        _ => Verdict::Pass,
    });
    let writers: Vec<_> = (0..8)
        .map(|number| bench.create_in_process(&Location::new(format!("k{}", number % 3)), "x"))
        .collect();
    bench.runtime.advance(ms(30));
    writers[3].crash();
    bench.runtime.advance(ms(2000));
    (bench.runtime.trace_hash(), bench.runtime.trace())
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (hash, lines) = noisy_run(7);
    assert_eq!(noisy_run(7), (hash, lines.clone()));
    let (other_hash, other_lines) = noisy_run(8);
    assert_ne!(other_hash, hash);
    assert_ne!(other_lines, lines);
}
