//! `object_store`'s clients of S3 and of Google on a faulty server on this machine.
#![cfg(feature = "cloud")]

mod servers;

use std::sync::Arc;
use std::time::Duration;

use buffer::contract::inspection;
use buffer::contract::queue::{self, Side};
use buffer::contract::submissions::{self, Plan, Summary};
use buffer::contract::wire::{self, Conditions, Fault, Faults, Options, Profile, WireServer};
use buffer::contract::{self, Contract, Violation};
use buffer::{Store, StoreOptions};
use servers::{Manners, fresh, runtime};

fn start(options: Options) -> WireServer {
    WireServer::start(&options).expect("a port is free")
}

fn open(location: &str, server: &WireServer, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let url = server.url();
    let options = [("endpoint", url.as_str()), ("allow_http", "true")];
    let options: StoreOptions = options.iter().chain(more).copied().collect();
    buffer::open_store(&location.into(), &options, &runtime()).expect("it opens")
}

fn s3(server: &WireServer) -> Arc<dyn Store> {
    let key = [("access_key_id", "test"), ("secret_access_key", "test")];
    open("s3://bucket/queue", server, &key)
}

fn s3_with_tags(server: &WireServer, unquoted: bool) -> Arc<dyn Store> {
    let unquoted = if unquoted { "true" } else { "false" };
    open("s3://bucket/queue", server, &[("skip_signature", "true"), ("unquoted_etag", unquoted)])
}

fn gcs(server: &WireServer) -> Arc<dyn Store> {
    open("gs://bucket/queue", server, &[("skip_signature", "true")])
}

/// With so many swaps of one object by each of 16 tasks.
async fn keeps_the_contract(store: Arc<dyn Store>, swaps: usize) {
    let contract = Contract { listed_objects: 1_100, swaps, ..Contract::default() };
    assert_eq!(contract.racing_writers, 16);
    let report = contract::run(&contract, store, runtime(), fresh("contract")).await;
    eprintln!("{report}");
    report.expect_all();
}

/// Goal: with the quotes that the server wants the contract is kept, and with the others no swap succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn entity_tags_are_compared_as_the_server_compares_them() {
    for (conditions, unquoted) in [(Conditions::Kept, false), (Conditions::Unquoted, true)] {
        let server = start(Options { conditions, ..Options::default() });
        keeps_the_contract(s3_with_tags(&server, unquoted), 50).await;
        wire::no_swap_succeeds(&*s3_with_tags(&server, !unquoted)).await;
        assert_eq!(server.counts().refused, 0);
    }
}

/// Goal: generations, with an object that takes no second write for a moment, keep the contract.
#[tokio::test(flavor = "multi_thread")]
async fn googles_generations_keep_the_contract() {
    let write_interval = Duration::from_millis(5);
    let server = start(Options { write_interval, ..Options::of(Profile::Gcs) });
    keeps_the_contract(gcs(&server), 5).await;
    let counts = server.counts();
    eprintln!("{counts}");
    assert_eq!(counts.refused, 0);
    assert!(counts.hot_keys > 0, "no write came too early");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_beside_a_consumer_changes_nothing_in_s3() {
    let server = start(Options::default());
    let side = Side::new(s3(&server), runtime());
    inspection::run(side, fresh("inspection")).await.expect("it holds");
    assert_eq!(server.counts().refused, 0);
}

/// Goal: a queue whose manifest takes few writes lives to its end: fifty a second, so that it does so soon.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_lives_where_an_object_takes_few_writes() {
    let write_interval = Duration::from_millis(20);
    let server = start(Options { write_interval, ..Options::of(Profile::Gcs) });
    let plan = queue::Plan { entries_per_producer: 300, ..queue::Plan::default() };
    let side = Side::new(gcs(&server), runtime());
    let summary = queue::run(&plan, side, fresh("queue")).await.expect("it lives");
    eprintln!("{summary}\n{}", server.counts());
    assert!(server.counts().hot_keys > 0, "no write came too early");
}

async fn settle(
    plan: &Plan,
    server: &WireServer,
    open: impl Fn(&WireServer) -> Arc<dyn Store>,
) -> Result<Summary, Violation> {
    let calm = server.beside(Faults::default()).expect("a port is free");
    let lossy = Side::new(open(server), runtime());
    let direct = Side::new(open(&calm), runtime());
    let settled = submissions::settle(plan, server, lossy, direct, fresh("lossy")).await;
    eprintln!("{}", server.counts());
    settled
}

/// Every way to lose an answer, each with a share of one in twenty requests.
fn lossy(profile: Profile) -> Options {
    let faults = Fault::LOST_ANSWERS
        .into_iter()
        .try_fold(Faults::of(20_261), |faults, fault| faults.with(fault, 0.05));
    let faults = faults.expect("together they are less than one");
    Options { faults, write_interval: Duration::ZERO, ..Options::of(profile) }
}

/// Goal: all submissions settle, and what was told is true: nothing is lost, repeated, or unknown and called a
/// failure. Every write is on a condition, and on the wire as often as the buffer sent it.
async fn submissions_settle(profile: Profile, open: fn(&WireServer) -> Arc<dyn Store>) {
    let server = start(lossy(profile));
    let request_timeout = Duration::from_secs(2);
    let plan = Plan { submissions: 2_000, producers: 4, request_timeout, ..Plan::default() };
    let summary = settle(&plan, &server, open).await.expect("what was told is true");
    eprintln!("{summary}");
    assert_eq!(summary.durable + summary.not_delivered + summary.unknown, plan.submissions);
    assert_eq!(summary.lost.len(), Fault::LOST_ANSWERS.len(), "{:?}", summary.lost);
    let counts = server.counts();
    let of = |kind| counts.operations.get(kind).copied().unwrap_or_default();
    assert_eq!(of("create") + of("swap"), counts.writes, "every write is on a condition");
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_settle_while_s3s_answers_are_lost_in_every_way() {
    submissions_settle(Profile::S3, s3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_settle_while_googles_answers_are_lost_in_every_way() {
    submissions_settle(Profile::Gcs, gcs).await;
}

/// Goal: a client that sends writes again by itself is noticed on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_writes_again_is_caught() {
    let faults = Faults::of(3).with(Fault::Error500, 0.2).expect("it is a share");
    let server = start(Options { faults, ..Options::default() });
    let plan = Plan { submissions: 200, ..Plan::default() };
    let manners = Manners { retries: 3, ..Manners::default() };
    let open = |server: &WireServer| servers::s3(&server.url(), &manners);
    let violation = settle(&plan, &server, open).await.expect_err("it retries");
    assert_eq!(violation.check, "each_write_is_one_request", "{violation}");
}
