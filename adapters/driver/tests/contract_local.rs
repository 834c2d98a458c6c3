//! The contract of a store, on a local directory.

mod local_support;
mod threads;

use std::sync::Arc;

use buffer_driver::LocalDirectory;
use buffer_driver::contract::{self, Contract, Feature};
use futures_lite::future::block_on;
use local_support::Scratch;
use threads::Threads;

#[test]
fn a_local_directory_keeps_the_contract() {
    let scratch = Scratch::new("contract");
    let runtime = Threads::start();
    let store = LocalDirectory::open(scratch.path(), Arc::clone(&runtime)).expect("it opens");
    let contract = Contract::default()
        .lacking(Feature::ObjectBesideItsPrefix, "a file cannot be a directory as well");
    let report = block_on(contract::run(&contract, Arc::new(store), runtime, "q".into()));
    eprintln!("{report}");
    report.expect_all();
}
