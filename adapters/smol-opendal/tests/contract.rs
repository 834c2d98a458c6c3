//! The driver's suites, on OpenDAL's services and on both adapters at once.
#![cfg(feature = "cloud")]

mod stores;

use std::net::SocketAddr;
use std::sync::Arc;

use buffer_smol::Runtime;
use buffer_smol::contract::errors::{self, Dialect};
use buffer_smol::contract::inspection;
use buffer_smol::contract::proxy::{Fate, Losses, Proxy, Scope};
use buffer_smol::contract::queue::{self, Plan, Side};
use buffer_smol::contract::{self, Contract, Feature, submissions};
use stores::{Named, fresh, server};

fn keeps(contract: &Contract, named: &Named) {
    let (store, runtime) = named.open();
    let prefix = fresh("contract").into();
    let report = smol::block_on(contract::run(contract, store, runtime, prefix));
    eprintln!("{report}");
    report.expect_all();
}

/// Enough to matter, and little enough for a server on this machine.
fn for_a_server() -> Contract {
    Contract { listed_objects: 1_100, ..Contract::default() }
}

#[test]
fn s3_keeps_the_contract() {
    if let Some(endpoint) = server("BUFFER_TEST_S3") {
        keeps(&for_a_server(), &Named::s3(&endpoint));
    }
}

#[test]
fn azure_keeps_the_contract() {
    if let Some(endpoint) = server("BUFFER_TEST_AZURE") {
        let contract = for_a_server().lacking(Feature::Backslash, "Azure makes a slash of it");
        keeps(&contract, &Named::azure(&endpoint));
    }
}

fn errors_are_understood(dialect: Dialect, named: fn(&str) -> Named) {
    let (_, runtime) = Named::plain("memory:errors").open();
    let suite = errors::Suite::new(dialect);
    let open = |endpoint: &str| named(endpoint).open().0;
    let report = smol::block_on(errors::run(&suite, runtime, open));
    eprintln!("{report}");
    report.expect_all();
}

#[test]
fn the_errors_of_s3_are_understood() {
    errors_are_understood(Dialect::S3, Named::s3);
}

#[test]
fn the_errors_of_azure_are_understood() {
    errors_are_understood(Dialect::Azure, Named::azure);
}

fn a_queue_lives(name: &str, named: &Named) {
    let (store, runtime) = named.open();
    let side = Side::new(store, runtime);
    let summary = smol::block_on(queue::run(&Plan::default(), side, fresh(name).into()));
    eprintln!("{name}: {}", summary.expect("it holds"));
}

#[test]
fn a_queue_lives_in_memory() {
    a_queue_lives("memory", &Named::plain("memory:life"));
}

#[test]
fn a_queue_lives_in_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    a_queue_lives("directory", &Named::plain(directory.path().to_owned()));
}

#[test]
fn a_queue_lives_on_s3() {
    if let Some(endpoint) = server("BUFFER_TEST_S3") {
        a_queue_lives("s3", &Named::s3(&endpoint));
    }
}

#[test]
fn a_queue_lives_on_azure() {
    if let Some(endpoint) = server("BUFFER_TEST_AZURE") {
        a_queue_lives("azure", &Named::azure(&endpoint));
    }
}

fn looking_changes_nothing(name: &str, named: &Named) {
    let (store, runtime) = named.open();
    let looks = inspection::run(Side::new(store, runtime), fresh(name).into());
    smol::block_on(looks).expect("it holds");
}

#[test]
fn looking_beside_a_consumer_changes_nothing_in_memory() {
    looking_changes_nothing("memory", &Named::plain("memory:looking"));
}

#[test]
fn looking_beside_a_consumer_changes_nothing_in_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    looking_changes_nothing("directory", &Named::plain(directory.path().to_owned()));
}

#[test]
fn looking_beside_a_consumer_changes_nothing_on_s3() {
    if let Some(endpoint) = server("BUFFER_TEST_S3") {
        looking_changes_nothing("s3", &Named::s3(&endpoint));
    }
}

#[test]
fn looking_beside_a_consumer_changes_nothing_on_azure() {
    if let Some(endpoint) = server("BUFFER_TEST_AZURE") {
        looking_changes_nothing("azure", &Named::azure(&endpoint));
    }
}

/// Goal: a producer on tokio, one on smol, a consumer on smol, and one on tokio that takes over,
/// all on one queue, each with its adapter's own client.
fn both_adapters_share_a_queue(name: &str, named: &Named) {
    let tokio = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let on_tokio = {
        let _inside = tokio.enter();
        let runtime = buffer::TokioRuntime::current().expect("it is inside one");
        let runtime: Arc<dyn Runtime> = Arc::new(runtime);
        let store = buffer::open_store(&named.location, &named.options, &runtime);
        Side::new(store.expect("it opens"), runtime)
    };
    let (store, runtime) = named.open();
    let on_smol = Side::new(store, runtime);
    let plan = Plan::default();
    let life = queue::run_mixed(&plan, on_tokio, on_smol, fresh(name).into());
    // The suite asks the first side's store by itself as well, and that one needs tokio.
    let summary = tokio.block_on(life).expect("it holds");
    eprintln!("{name}, both adapters: {summary}");
}

#[test]
fn both_adapters_share_a_queue_in_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    both_adapters_share_a_queue("directory", &Named::plain(directory.path().to_owned()));
}

#[test]
fn both_adapters_share_a_queue_on_s3() {
    if let Some(endpoint) = server("BUFFER_TEST_S3") {
        both_adapters_share_a_queue("s3", &Named::s3(&endpoint));
    }
}

#[test]
fn both_adapters_share_a_queue_on_azure() {
    if let Some(endpoint) = server("BUFFER_TEST_AZURE") {
        both_adapters_share_a_queue("azure", &Named::azure(&endpoint));
    }
}

/// Goal: with lost answers, nobody is told anything wrong, and every write is one request.
fn lost_answers_are_no_lies(name: &str, endpoint: &str, named: fn(&str) -> Named) {
    let (host, path) = endpoint
        .trim_start_matches("http://")
        .split_once('/')
        .unwrap_or((endpoint.trim_start_matches("http://"), ""));
    let server: SocketAddr = host.parse().expect("a test server has an address");
    let losses =
        [Fate::Closed, Fate::Torn, Fate::Answer(500), Fate::Answer(503), Fate::Answer(408)]
            .into_iter()
            .fold(Losses::of(Scope::Writes, 4), |losses, fate| losses.losing(fate, 60));
    let proxy = Proxy::start(server, losses).expect("a free port");
    let (direct, runtime) = named(endpoint).open();
    let (lossy, other) = named(&format!("{}/{path}", proxy.url())).open();
    let (lossy, direct) = (Side::new(lossy, other), Side::new(direct, runtime));
    let plan = submissions::Plan::default();
    assert_eq!(plan.submissions, 500);
    let settled = submissions::settle(&plan, &proxy, lossy, direct, fresh("lossy").into());
    let summary = smol::block_on(settled).expect("it holds");
    eprintln!("{name}: {summary}");
}

#[test]
fn lost_answers_of_s3_are_no_lies() {
    if let Some(endpoint) = server("BUFFER_TEST_S3") {
        lost_answers_are_no_lies("s3", &endpoint, Named::s3);
    }
}

#[test]
fn lost_answers_of_azure_are_no_lies() {
    if let Some(endpoint) = server("BUFFER_TEST_AZURE") {
        lost_answers_are_no_lies("azure", &endpoint, Named::azure);
    }
}
