//! OpenDAL's service of S3 on a small server, which keeps conditions in its own way.
#![cfg(feature = "aws")]

mod stores;

use buffer_smol::contract::small_s3::{Conditions, SmallS3};
use buffer_smol::contract::{self, Contract};
use stores::{Named, fresh};

fn named(server: &SmallS3, unquoted: bool) -> Named {
    let Named { options, .. } = Named::s3(&server.url());
    let told = ("unquoted_etag", if unquoted { "true" } else { "false" });
    Named { location: "s3://bucket/queue".into(), options: options.iter().chain([told]).collect() }
}

/// Goal: with the quotes that the server wants the contract is kept, and with the others no swap succeeds.
#[test]
fn entity_tags_are_compared_as_the_server_compares_them() {
    for (conditions, unquoted) in [(Conditions::Kept, false), (Conditions::Unquoted, true)] {
        let server = SmallS3::start(conditions).expect("a port is free");
        let contract = Contract { listed_objects: 1_100, ..Contract::default() };
        let (store, runtime) = named(&server, unquoted).open();
        let prefix = fresh("contract").into();
        let report = smol::block_on(contract::run(&contract, store, runtime, prefix));
        eprintln!("{conditions:?}\n{report}");
        report.expect_all();

        let (store, _) = named(&server, !unquoted).open();
        smol::block_on(contract::small_s3::no_swap_succeeds(&*store));
    }
}
