//! The contract of a store, on the simulated one: each honest profile keeps it, the broken one is
//! caught, and so is each way of being wrong that a script can ask for.

use std::sync::Arc;
use std::time::Duration;

use buffer_driver::contract::inspection;
use buffer_driver::contract::queue::{self, Plan, Side};
use buffer_driver::contract::{self, Contract, Outcome, Report};
use buffer_driver::{Runtime, StoreErrorKind};
use buffer_sim::{
    Jitter, Latency, ModifiedTimes, Operation, Profile, Quirk, Request, SimOptions, SimRuntime,
    SimStore, Verdict,
};

/// Little of everything, for a store that has to be asked many times.
fn small() -> Contract {
    Contract {
        large_object_bytes: 1 << 20,
        rope_pieces: 1_000,
        racing_writers: 8,
        swaps: 10,
        races: 3,
        listed_objects: 1_200,
        ..Contract::default()
    }
}

/// A world that is asked much, and its store, some milliseconds away.
fn world(profile: Profile, seed: u64) -> (SimRuntime, SimStore) {
    let options = SimOptions {
        keeps_lines: false,
        shuffles: true,
        step_budget: u64::MAX,
        ..SimOptions::default()
    };
    let runtime = SimRuntime::with_options(seed, options);
    let store = SimStore::new(&runtime, profile);
    store.set_keeps_log(false);
    let usual = Duration::from_millis(8);
    let jitter = Jitter { up_to: usual, slow_one_in: 50, slow_by: usual * 10 };
    store.set_latency(Latency { jitter: Some(jitter), ..Latency::fixed(usual) });
    (runtime, store)
}

fn check(
    profile: Profile,
    contract: &Contract,
    rule: impl FnMut(&Request) -> Verdict + Send + 'static,
) -> Report {
    let (runtime, store) = world(profile, 1);
    let _rule = store.fault(rule);
    let shared: Arc<dyn Runtime> = Arc::new(runtime.clone());
    let report =
        runtime.block_on(contract::run(contract, Arc::new(store), shared, "contract".into()));
    runtime.shutdown();
    eprintln!("{report}");
    report
}

fn violated(report: &Report) -> Vec<&str> {
    report.violations().map(|violation| violation.check.as_str()).collect()
}

#[test]
fn every_honest_profile_keeps_the_contract() {
    // One write a second to one object takes its time, which costs nothing here.
    let contract =
        Contract { time_limit: Duration::from_secs(12 * 60 * 60), ..Contract::default() };
    for profile in Profile::ALL.into_iter().filter(|profile| profile.honours_conditions) {
        check(profile, &contract, |_| Verdict::Pass).expect_all();
    }
}

/// Goal: what fails for now, whether or not it took effect, is no violation.
#[test]
fn a_store_that_fails_now_and_then_keeps_the_contract() {
    for profile in [Profile::S3, Profile::AZURE] {
        let report = check(profile, &small(), |request| match request.number % 11 {
            3 => Verdict::ApplyThenFail(StoreErrorKind::Transient),
            7 => Verdict::Fail(StoreErrorKind::TimedOut),
            _ => Verdict::Pass,
        });
        report.expect_all();
        assert!(report.lines.iter().any(|line| line.note.contains("tried again")));
    }
}

#[test]
fn a_store_that_ignores_conditions_is_caught() {
    let report = check(Profile::BROKEN, &small(), |_| Verdict::Pass);
    let found = violated(&report);
    for check in [
        "a_second_create_is_a_conflict_and_the_first_contents_stay",
        "a_stale_swap_is_a_conflict_and_changes_nothing",
        "a_swap_of_a_missing_object_is_a_conflict_and_creates_nothing",
        "one_of_many_creates_wins",
        "one_of_many_swaps_wins",
        "no_increment_is_lost",
    ] {
        assert!(found.contains(&check), "{check} did not notice:\n{report}");
    }
    assert!(!report.is_sound());
}

#[test]
fn a_store_that_tells_no_times_is_caught_unless_it_says_so() {
    let profile = Profile { modified_times: ModifiedTimes::Never, ..Profile::S3 };
    let report = check(profile, &small(), |_| Verdict::Pass);
    assert_eq!(violated(&report), ["a_read_tells_when_the_object_was_written"]);
    let contract = small().lacking(contract::Feature::ModifiedTimes, "it keeps none");
    let report = check(profile, &contract, |_| Verdict::Pass);
    report.expect_all();
    let skipped = Outcome::Skipped { because: "it keeps none".to_owned() };
    assert_eq!(report.outcome("a_read_tells_when_the_object_was_written"), Some(&skipped));
}

fn live(profile: Profile, plan: &Plan, seed: u64) -> Result<queue::Summary, contract::Violation> {
    let (runtime, store) = world(profile, seed);
    let side = Side {
        store: Arc::new(store),
        runtime: Arc::new(runtime.clone()),
        clock: Arc::new(runtime.clock()),
    };
    let summary = runtime.block_on(queue::run(plan, side, "queue".into()));
    runtime.shutdown();
    summary
}

#[test]
fn a_queue_lives_to_its_end_on_every_honest_profile() {
    for profile in Profile::ALL.into_iter().filter(|profile| profile.honours_conditions) {
        // Where there is one write a second, a batch may wait for its turn for long.
        let plan = Plan { grace_period: Duration::from_secs(300), ..Plan::default() };
        let plan = Plan { time_limit: Duration::from_secs(6 * 60 * 60), ..plan };
        let summary = live(profile, &plan, 1).expect("it lives");
        eprintln!("{}: {summary}", profile.name);
        assert_eq!(summary.entries, 6_000);
    }
}

#[test]
fn a_queue_on_a_store_that_ignores_conditions_is_caught() {
    let plan = Plan { grace_period: Duration::from_secs(300), ..Plan::default() };
    let plan = Plan { time_limit: Duration::from_secs(6 * 60 * 60), ..plan };
    let violation = live(Profile::BROKEN, &plan, 1).expect_err("updates are lost");
    eprintln!("{violation}");
}

/// Goal: each way of being wrong is seen by the check that is named for it.
#[test]
fn each_way_of_being_wrong_is_caught() {
    let is_read = |request: &Request| matches!(request.operation, Operation::Read { .. });
    let is_list = |request: &Request| matches!(request.operation, Operation::List { .. });
    let is_page = |request: &Request| matches!(&request.operation, Operation::List { after } if after.is_some());
    type Applies = fn(&Request) -> bool;
    let wrong: [(&str, Applies, Verdict); 6] = [
        ("a_read_after_each_change_shows_it", is_read, Verdict::Stale(1)),
        ("a_large_object_comes_back_as_it_went", is_read, Verdict::Truncate(500_000)),
        (
            "an_object_of_many_pieces_is_their_bytes_in_order",
            is_read,
            Verdict::Corrupt { offset: 700, mask: 1 },
        ),
        (
            "a_read_unless_the_version_that_is_there_is_not_modified",
            |request| matches!(&request.operation, Operation::Read { unless } if unless.is_some()),
            Verdict::NotModifiedWrongly,
        ),
        ("what_was_deleted_is_not_listed", is_list, Verdict::StaleListing(Duration::from_secs(60))),
        (
            "a_long_listing_comes_in_pages_and_leaves_nothing_out",
            is_page,
            Verdict::Listing(Quirk::Missing),
        ),
    ];
    for (check_name, applies, verdict) in wrong {
        let report =
            check(
                Profile::S3,
                &small(),
                move |request| {
                    if applies(request) { verdict } else { Verdict::Pass }
                },
            );
        assert!(violated(&report).contains(&check_name), "{verdict:?} was not noticed:\n{report}");
    }
}

#[test]
fn looking_beside_a_consumer_changes_nothing() {
    let (runtime, store) = world(Profile::S3, 1);
    let side = Side {
        store: Arc::new(store),
        runtime: Arc::new(runtime.clone()),
        clock: Arc::new(runtime.clock()),
    };
    runtime.block_on(inspection::run(side, "queue".into())).expect("it holds");
    runtime.shutdown();
}
