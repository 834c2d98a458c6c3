use std::time::Duration;

use buffer_core::{Condition, Location, StoreErrorKind};
use buffer_driver::Store as _;

use super::*;
use crate::{Jitter, Latency, Profile, SimOptions, SimRuntime, SimStore, Verdict};

fn random(seed: u64) -> Random {
    SimRuntime::new(seed).random("test")
}

#[test]
fn draws_stay_within_their_ranges_and_reach_their_ends() {
    let mut random = random(1);
    let mut seen = [false; 5];
    for _ in 0..200 {
        seen[random.usize(..5)] = true;
        assert!((3..=4).contains(&random.u8(3..=4)));
        assert!((7..9).contains(&random.u64(7..9)));
        assert!((0.0..1.0).contains(&random.f64()));
    }
    assert_eq!(seen, [true; 5]);
    assert_eq!(random.u32(6..=6), 6);
    let (one, other) = (random.u64(..), random.u64(..));
    assert_ne!(one, other);
}

#[test]
#[should_panic(expected = "the range is not empty")]
fn nothing_can_be_drawn_from_an_empty_range() {
    random(1).u32(3..3);
}

#[test]
fn a_shuffle_loses_nothing_and_a_choice_is_one_of_them() {
    let mut random = random(1);
    let mut values: Vec<u32> = (0..20).collect();
    random.shuffle(&mut values);
    assert_ne!(values, (0..20).collect::<Vec<_>>());
    assert!(values.contains(random.choice(&values).expect("there are some")));
    values.sort_unstable();
    assert_eq!(values, (0..20).collect::<Vec<_>>());
    assert_eq!(random.choice::<[u32; 0]>([]), None);
}

#[test]
fn one_more_choice_of_one_purpose_changes_none_of_another() {
    let (one, other) = (SimRuntime::new(3), SimRuntime::new(3));
    let mut more = one.random("more");
    let _disturbance = (more.u64(..), more.fork("child").u64(..));
    assert_eq!(one.random("b").u64(..), other.random("b").u64(..));
    let (mut with, mut without) = (one.random("c"), other.random("c"));
    let (mut child, mut same) = (with.fork("child"), without.fork("child"));
    let _disturbance = child.u64(..);
    assert_eq!(with.u64(..), without.u64(..), "a child disturbs its parent no more");
    let (second, sibling) = (with.fork("child"), without.fork("other"));
    let _first = same.u64(..);
    assert_eq!(child.u64(..), same.u64(..));
    assert_ne!({ second }.u64(..), { sibling }.u64(..));
}

/// A run with choices of the store, of the faults, and of a process.
fn run(options: SimOptions) -> SimRuntime {
    let runtime = SimRuntime::with_options(11, options);
    let store = SimStore::new(&runtime, Profile::S3);
    let jitter =
        Jitter { up_to: Duration::from_millis(50), slow_one_in: 5, slow_by: Duration::ZERO };
    store.set_latency(Latency { jitter: Some(jitter), ..Latency::default() });
    let mut faults = runtime.random("faults");
    let _rule = store.fault(move |_| match faults.u32(..3) {
        0 => Verdict::Fail(StoreErrorKind::Transient),
        _ => Verdict::Pass,
    });
    let process = runtime.process("writer");
    let writer = store.clone();
    let done = process.start(async move {
        for number in 0..20 {
            let key = Location::new(format!("queue/{number}"));
            let _outcome = writer.write(&key, vec!["x".into()], Condition::Absent).await;
        }
    });
    runtime.block_on(done);
    runtime.shutdown();
    drop(store);
    runtime
}

fn recording() -> SimOptions {
    SimOptions { records_decisions: true, ..SimOptions::default() }
}

#[test]
fn one_changed_decision_changes_the_hash() {
    let usual = run(recording());
    let decisions = usual.decisions();
    assert_eq!(decisions.len() as u64, usual.decisions_made());
    assert_eq!(run(recording()).trace_hash(), usual.trace_hash());
    let is_of_faults = |decision: &Decision| decision.purpose == Random::purpose("faults");
    for purpose in [is_of_faults as fn(&Decision) -> bool, |it| it.bound == 50_000_001] {
        let index = decisions.iter().position(purpose).expect("there were some");
        let other = (decisions[index].value + 1) % decisions[index].bound;
        let options = SimOptions { changes: vec![(index as u64, other)], ..recording() };
        let changed = run(options);
        assert_eq!(changed.decisions()[index].value, other);
        assert_ne!(changed.trace_hash(), usual.trace_hash());
    }
}

#[test]
fn replaying_what_was_recorded_gives_the_same_hash() {
    let options = SimOptions { changes: vec![(9, 1), (4, 0)], ..recording() };
    let first = run(options);
    let all = first.decisions().into_iter().enumerate().map(|(index, it)| (index as u64, it.value));
    let again = run(SimOptions { changes: all.collect(), ..SimOptions::default() });
    assert_eq!(again.trace_hash(), first.trace_hash());
}

#[test]
fn a_changed_value_is_taken_modulo_the_number_of_possible_ones() {
    let options = SimOptions { changes: vec![(1, 8), (2, u64::MAX)], ..SimOptions::default() };
    let runtime = SimRuntime::with_options(1, options);
    let mut random = runtime.random("test");
    let unchanged = SimRuntime::new(1).random("test").u32(..100);
    assert_eq!(random.u32(..100), unchanged);
    assert_eq!(random.u32(10..15), 13);
    assert_eq!(random.u64(..), u64::MAX);
}

#[test]
fn the_hash_is_the_same_with_and_without_lines() {
    let with = run(SimOptions::default());
    let without = run(SimOptions { keeps_lines: false, ..SimOptions::default() });
    assert!(!with.trace().is_empty());
    assert!(without.trace().is_empty());
    assert_eq!(with.trace_hash(), without.trace_hash());
}
