//! The driver's contract over `object_store`: its store in memory, and the test servers.

mod servers;

use std::sync::Arc;

use buffer::contract::inspection;
use buffer::contract::queue::{self, Plan, Side};
use buffer::contract::{self, Contract, Feature};
use buffer::{ObjectStoreAdapter, Store};
use object_store::memory::InMemory;
use servers::{AZURE, Manners, S3, azure, endpoint, fresh, runtime, s3};

fn memory() -> Arc<dyn Store> {
    Arc::new(ObjectStoreAdapter::new(Arc::new(InMemory::new())).expect("it can swap"))
}

async fn keeps_the_contract(store: Arc<dyn Store>, contract: &Contract) {
    let report = contract::run(contract, store, runtime(), fresh("contract")).await;
    eprintln!("{report}");
    report.expect_all();
}

async fn a_queue_lives_to_its_end(store: Arc<dyn Store>, plan: &Plan) {
    let side = Side::new(store, runtime());
    let summary = queue::run(plan, side, fresh("queue")).await.expect("it lives");
    eprintln!("{summary}");
    assert_eq!(summary.entries, 3 * plan.entries_per_producer);
}

/// Fewer objects, since servers that are written for tests are slow to make them; a page has 1,000.
fn for_a_server() -> Contract {
    Contract { listed_objects: 1_100, ..Contract::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_keeps_the_contract() {
    keeps_the_contract(memory(), &Contract::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_contract() {
    let Some(endpoint) = endpoint(S3) else { return };
    keeps_the_contract(s3(&endpoint, &Manners::default()), &for_a_server()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_the_contract() {
    let Some(endpoint) = endpoint(AZURE) else { return };
    let contract = for_a_server().lacking(Feature::Backslash, "Azure makes a slash of it");
    keeps_the_contract(azure(&endpoint, &Manners::default()), &contract).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_lives_to_its_end_in_memory() {
    a_queue_lives_to_its_end(memory(), &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_lives_to_its_end_on_s3() {
    let Some(endpoint) = endpoint(S3) else { return };
    a_queue_lives_to_its_end(s3(&endpoint, &Manners::default()), &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_lives_to_its_end_on_azure() {
    let Some(endpoint) = endpoint(AZURE) else { return };
    a_queue_lives_to_its_end(azure(&endpoint, &Manners::default()), &Plan::default()).await;
}

async fn looking_changes_nothing(store: Arc<dyn Store>) {
    let side = Side::new(store, runtime());
    inspection::run(side, fresh("inspection")).await.expect("it holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_beside_a_consumer_changes_nothing_in_memory() {
    looking_changes_nothing(memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_beside_a_consumer_changes_nothing_in_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let location = directory.path().to_owned().into();
    let store = buffer::open_store(&location, &buffer::StoreOptions::new(), &runtime());
    looking_changes_nothing(store.expect("it opens")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_beside_a_consumer_changes_nothing_on_s3() {
    if let Some(endpoint) = endpoint(S3) {
        looking_changes_nothing(s3(&endpoint, &Manners::default())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_beside_a_consumer_changes_nothing_on_azure() {
    if let Some(endpoint) = endpoint(AZURE) {
        looking_changes_nothing(azure(&endpoint, &Manners::default())).await;
    }
}
