//! OpenDAL's services of S3 and of Google on a faulty server on this machine; and both adapters on one object.
#![cfg(feature = "cloud")]

mod stores;

use std::sync::Arc;
use std::time::Duration;

use buffer_smol::buffer_core::{Condition, Location, ReadOutcome, WriteOutcome};
use buffer_smol::contract::inspection;
use buffer_smol::contract::queue::{self, Side};
use buffer_smol::contract::submissions::{self, Plan};
use buffer_smol::contract::wire::{self, Conditions, Fault, Faults, Options, Profile, WireServer};
use buffer_smol::contract::{self, Contract};
use buffer_smol::{Runtime, Store};
use stores::{Named, fresh};

fn start(options: Options) -> WireServer {
    WireServer::start(&options).expect("a port is free")
}

fn named(server: &WireServer, unquoted: bool) -> Named {
    let Named { options, .. } = Named::s3(&server.url());
    let told = ("unquoted_etag", if unquoted { "true" } else { "false" });
    Named { location: "s3://bucket/queue".into(), options: options.iter().chain([told]).collect() }
}

/// With so many swaps of one object by each of 16 tasks.
fn keeps_the_contract(named: &Named, swaps: usize) {
    let contract = Contract { listed_objects: 1_100, swaps, ..Contract::default() };
    assert_eq!(contract.racing_writers, 16);
    let (store, runtime) = named.open();
    let prefix = fresh("contract").into();
    let report = smol::block_on(contract::run(&contract, store, runtime, prefix));
    eprintln!("{report}");
    report.expect_all();
}

/// Goal: with the quotes that the server wants the contract is kept, and with the others no swap succeeds.
#[test]
fn entity_tags_are_compared_as_the_server_compares_them() {
    for (conditions, unquoted) in [(Conditions::Kept, false), (Conditions::Unquoted, true)] {
        let server = start(Options { conditions, ..Options::default() });
        keeps_the_contract(&named(&server, unquoted), 50);
        let (store, _) = named(&server, !unquoted).open();
        smol::block_on(wire::no_swap_succeeds(&*store));
        assert_eq!(server.counts().refused, 0);
    }
}

/// Goal: generations, with an object that takes no second write for a moment, keep the contract.
#[test]
fn googles_generations_keep_the_contract() {
    let write_interval = Duration::from_millis(5);
    let server = start(Options { write_interval, ..Options::of(Profile::Gcs) });
    keeps_the_contract(&Named::gcs(&server.url()), 5);
    let counts = server.counts();
    eprintln!("{counts}");
    assert_eq!(counts.refused, 0);
    assert!(counts.hot_keys > 0, "no write came too early");
}

#[test]
fn looking_beside_a_consumer_changes_nothing_in_s3() {
    let server = start(Options::default());
    let (store, runtime) = Named::s3(&server.url()).open();
    let looks = inspection::run(Side::new(store, runtime), fresh("inspection").into());
    smol::block_on(looks).expect("it holds");
    assert_eq!(server.counts().refused, 0);
}

/// Goal: a queue whose manifest takes few writes lives to its end: fifty a second, so that it does so soon.
#[test]
fn a_queue_lives_where_an_object_takes_few_writes() {
    let write_interval = Duration::from_millis(20);
    let server = start(Options { write_interval, ..Options::of(Profile::Gcs) });
    let (store, runtime) = Named::gcs(&server.url()).open();
    let plan = queue::Plan { entries_per_producer: 300, ..queue::Plan::default() };
    let life = queue::run(&plan, Side::new(store, runtime), fresh("queue").into());
    let summary = smol::block_on(life).expect("it lives");
    eprintln!("{summary}\n{}", server.counts());
    assert!(server.counts().hot_keys > 0, "no write came too early");
}

/// Goal: all submissions settle, and what was told is true: nothing is lost, repeated, or unknown and called a
/// failure. Every write is on a condition, and on the wire as often as the buffer sent it.
#[test]
fn submissions_settle_while_s3s_answers_are_lost_in_every_way() {
    let faults = Fault::LOST_ANSWERS
        .into_iter()
        .try_fold(Faults::of(20_262), |faults, fault| faults.with(fault, 0.05));
    let faults = faults.expect("together they are less than one");
    let server = start(Options { faults, ..Options::default() });
    let calm = server.beside(Faults::default()).expect("a port is free");
    let side = |server: &WireServer| {
        let (store, runtime) = named(server, false).open();
        Side::new(store, runtime)
    };
    let request_timeout = Duration::from_secs(2);
    let plan = Plan { submissions: 2_000, producers: 4, request_timeout, ..Plan::default() };
    let prefix = fresh("lossy").into();
    let settled = submissions::settle(&plan, &server, side(&server), side(&calm), prefix);
    let settled = smol::block_on(settled);
    let counts = server.counts();
    eprintln!("{counts}");
    let summary = settled.expect("what was told is true");
    eprintln!("{summary}");
    assert_eq!(summary.durable + summary.not_delivered + summary.unknown, plan.submissions);
    assert_eq!(summary.lost.len(), Fault::LOST_ANSWERS.len(), "{:?}", summary.lost);
    let of = |kind| counts.operations.get(kind).copied().unwrap_or_default();
    assert_eq!(of("create") + of("swap"), counts.writes, "every write is on a condition");
}

/// How many tasks swap one object, half of them through each adapter, and how often each does.
const TASKS: usize = 16;
const SWAPS: u64 = 50;

/// Adds one to a number in an object, as often as it is to.
async fn add_often(store: Arc<dyn Store>, key: Location) {
    let mut added = 0;
    while added < SWAPS {
        let read = store.read(&key, None).await.expect("it answers");
        let ReadOutcome::Found(object) = read else { panic!("it is there: {read:?}") };
        let next = (number(&object.bytes) + 1).to_string();
        let condition = Condition::Version(object.version);
        match store.write(&key, vec![next.into()], condition).await.expect("it answers") {
            WriteOutcome::Stored(_) => added += 1,
            WriteOutcome::Conflict => {}
        }
    }
}

fn number(contents: &[u8]) -> u64 {
    let text = std::str::from_utf8(contents).expect("it is a number");
    text.parse().expect("it is a number")
}

/// Goal: no swap is lost where both adapters swap one object at once.
fn no_swap_of_both_clients_is_lost(named: &Named) {
    let tokio = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let on_tokio = {
        let _inside = tokio.enter();
        let runtime = buffer::TokioRuntime::current().expect("it is inside one");
        let runtime: Arc<dyn Runtime> = Arc::new(runtime);
        buffer::open_store(&named.location, &named.options, &runtime).expect("it opens")
    };
    let (on_smol, _) = named.open();
    let key = Location::from("counter");
    let created = smol::block_on(on_smol.write(&key, vec!["0".into()], Condition::Absent));
    assert!(matches!(created, Ok(WriteOutcome::Stored(_))), "{created:?}");
    let tokio_tasks: Vec<_> = (0..TASKS / 2)
        .map(|_| tokio.spawn(add_often(Arc::clone(&on_tokio), key.clone())))
        .collect();
    let smol_tasks: Vec<_> =
        (0..TASKS / 2).map(|_| smol::spawn(add_often(Arc::clone(&on_smol), key.clone()))).collect();
    for task in smol_tasks {
        smol::block_on(task);
    }
    for task in tokio_tasks {
        tokio.block_on(task).expect("it does not panic");
    }
    let read = smol::block_on(on_smol.read(&key, None)).expect("it answers");
    let ReadOutcome::Found(object) = read else { panic!("it is there: {read:?}") };
    assert_eq!(number(&object.bytes), TASKS as u64 * SWAPS);
}

#[test]
fn no_swap_of_both_clients_is_lost_on_s3() {
    let server = start(Options::default());
    no_swap_of_both_clients_is_lost(&named(&server, false));
    let counts = server.counts();
    eprintln!("{counts}");
    assert!(counts.operations["swap"] >= TASKS as u64 * SWAPS);
}

#[test]
fn no_swap_of_both_clients_is_lost_on_google() {
    let write_interval = Duration::ZERO;
    let server = start(Options { write_interval, ..Options::of(Profile::Gcs) });
    no_swap_of_both_clients_is_lost(&Named::gcs(&server.url()));
    eprintln!("{}", server.counts());
}
