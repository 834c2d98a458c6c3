//! `object_store`'s client of S3 on a small server, which keeps conditions in its own way.
#![cfg(feature = "aws")]

mod servers;

use std::sync::Arc;

use buffer::contract::small_s3::{Conditions, SmallS3};
use buffer::contract::{self, Contract};
use buffer::{Store, StoreOptions};
use servers::{fresh, runtime};

fn open(server: &SmallS3, unquoted: bool) -> Arc<dyn Store> {
    let options = StoreOptions::from_iter([
        ("endpoint", server.url().as_str()),
        ("allow_http", "true"),
        ("access_key_id", "test"),
        ("secret_access_key", "test"),
        ("unquoted_etag", if unquoted { "true" } else { "false" }),
    ]);
    buffer::open_store(&"s3://bucket/queue".into(), &options, &runtime()).expect("it opens")
}

/// Goal: with the quotes that the server wants the contract is kept, and with the others no swap succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn entity_tags_are_compared_as_the_server_compares_them() {
    for (conditions, unquoted) in [(Conditions::Kept, false), (Conditions::Unquoted, true)] {
        let server = SmallS3::start(conditions).expect("a port is free");
        let contract = Contract { listed_objects: 1_100, ..Contract::default() };
        let store = open(&server, unquoted);
        let report = contract::run(&contract, store, runtime(), fresh("contract")).await;
        eprintln!("{conditions:?}\n{report}");
        report.expect_all();

        contract::small_s3::no_swap_succeeds(&*open(&server, !unquoted)).await;
    }
}
