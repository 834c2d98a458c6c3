//! The contract of a store, and a queue's whole life, on a local directory.

mod local_support;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use buffer_driver::contract::inspection;
use buffer_driver::contract::queue::{self, Plan, Side};
use buffer_driver::contract::{self, Contract, Feature};
use buffer_driver::{LocalDirectory, Runtime};
use futures_lite::future::block_on;
use local_support::Scratch;
use threads::Threads;

fn open(scratch: &Scratch, runtime: &Arc<dyn Runtime>) -> Arc<LocalDirectory> {
    Arc::new(LocalDirectory::open(scratch.path(), Arc::clone(runtime)).expect("it opens"))
}

#[test]
fn a_local_directory_keeps_the_contract() {
    let scratch = Scratch::new("contract");
    let runtime = Threads::start();
    // Every write is synced, so there are fewer objects than elsewhere; a page has 1,000.
    let contract = Contract { listed_objects: 1_100, ..Contract::default() }
        .lacking(Feature::ObjectBesideItsPrefix, "a file cannot be a directory as well");
    let store = open(&scratch, &runtime);
    let report = block_on(contract::run(&contract, store, runtime, "contract".into()));
    eprintln!("{report}");
    report.expect_all();
}

#[test]
fn a_queue_lives_to_its_end_in_a_local_directory() {
    let scratch = Scratch::new("contract-queue");
    let runtime = Threads::start();
    let side = Side::new(open(&scratch, &runtime), runtime);
    let plan = Plan { grace_period: Duration::from_secs(8), ..Plan::default() };
    let summary = block_on(queue::run(&plan, side, "contract".into())).expect("it lives");
    eprintln!("{summary}");
    assert_eq!(summary.entries, 6_000);
}

/// Goal: two runtimes, each with its own handle on the directory, on one queue.
#[test]
fn a_queue_lives_to_its_end_on_two_sides_at_once() {
    let scratch = Scratch::new("contract-mixed");
    let side = || {
        let runtime = Threads::start();
        Side::new(open(&scratch, &runtime), runtime)
    };
    let plan = Plan { grace_period: Duration::from_secs(8), ..Plan::default() };
    let summary =
        block_on(queue::run_mixed(&plan, side(), side(), "contract".into())).expect("it lives");
    eprintln!("{summary}");
    assert_eq!(summary.entries, 6_000);
}

#[test]
fn looking_at_a_local_directory_beside_a_consumer_changes_nothing() {
    let scratch = Scratch::new("contract-inspection");
    let runtime = Threads::start();
    let side = Side::new(open(&scratch, &runtime), runtime);
    block_on(inspection::run(side, "contract".into())).expect("it holds");
}
