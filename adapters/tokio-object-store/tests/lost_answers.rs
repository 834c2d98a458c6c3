//! Submissions while answers are lost between `object_store`'s clients and the test servers.

mod servers;

use std::net::SocketAddr;
use std::sync::Arc;

use buffer::Store;
use buffer::contract::Violation;
use buffer::contract::proxy::{Fate, Losses, Proxy, Scope};
use buffer::contract::queue::Side;
use buffer::contract::submissions::{self, Plan, Summary};
use servers::{AZURE, Manners, S3, azure, endpoint, fresh, runtime, s3};

type Open = fn(&str, &Manners) -> Arc<dyn Store>;

/// A quarter of the answers is lost, in every way there is.
fn losses(scope: Scope) -> Losses {
    Losses::of(scope, 20_260)
        .losing(Fate::Closed, 80)
        .losing(Fate::Torn, 40)
        .losing(Fate::Answer(500), 50)
        .losing(Fate::Answer(503), 50)
        .losing(Fate::Answer(408), 30)
}

/// `http://HOST:PORT/REST` as an address and the rest.
fn parts(endpoint: &str) -> (SocketAddr, &str) {
    let rest = endpoint.strip_prefix("http://").expect("test servers speak plain HTTP");
    let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (address.parse().expect("an address and a port"), path)
}

async fn settle(
    endpoint: &str,
    open: Open,
    scope: Scope,
    manners: &Manners,
) -> Result<Summary, Violation> {
    let (address, path) = parts(endpoint);
    let proxy = Proxy::start(address, losses(scope)).expect("a port is free");
    let lossy = Side::new(open(&format!("{}{path}", proxy.url()), manners), runtime());
    let direct = Side::new(open(endpoint, &Manners::default()), runtime());
    let plan = Plan::default();
    let summary = submissions::settle(&plan, &proxy, lossy, direct, fresh("lossy")).await?;
    eprintln!("{summary}\n{:?}", proxy.counts());
    assert_eq!(summary.durable + summary.not_delivered + summary.unknown, plan.submissions);
    Ok(summary)
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_settle_while_s3s_answers_to_writes_are_lost() {
    let Some(endpoint) = endpoint(S3) else { return };
    let summary = settle(&endpoint, s3, Scope::Writes, &Manners::default()).await;
    summary.expect("what was told is true");
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_settle_while_all_of_s3s_answers_are_lost() {
    let Some(endpoint) = endpoint(S3) else { return };
    let summary = settle(&endpoint, s3, Scope::All, &Manners::default()).await;
    summary.expect("what was told is true");
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_settle_while_azures_answers_to_writes_are_lost() {
    let Some(endpoint) = endpoint(AZURE) else { return };
    let summary = settle(&endpoint, azure, Scope::Writes, &Manners::default()).await;
    summary.expect("what was told is true");
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_settle_while_all_of_azures_answers_are_lost() {
    let Some(endpoint) = endpoint(AZURE) else { return };
    let summary = settle(&endpoint, azure, Scope::All, &Manners::default()).await;
    summary.expect("what was told is true");
}

/// Goal: a client that sends writes again by itself is noticed on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_writes_again_is_caught() {
    let Some(endpoint) = endpoint(S3) else { return };
    let manners = Manners { retries: 3, ..Manners::default() };
    let violation = settle(&endpoint, s3, Scope::Writes, &manners).await.expect_err("it retries");
    assert_eq!(violation.check, "each_write_is_one_request", "{violation}");
}
