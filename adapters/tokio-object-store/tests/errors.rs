//! What the adapter makes of the errors that S3 and Azure send, by way of `object_store`'s clients.

mod servers;

use std::time::{Duration, Instant};

use buffer::StoreErrorKind;
use buffer::buffer_core::Condition;
use buffer::contract::errors::{self, Dialect, Reply, ScriptedServer, Suite};
use servers::{Manners, azure, runtime, s3};

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_s3_become_what_they_mean() {
    let open = |endpoint: &str| s3(endpoint, &Manners::default());
    let report = errors::run(&Suite::new(Dialect::S3), runtime(), open).await;
    eprintln!("{report}");
    report.expect_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_azure_become_what_they_mean() {
    let open = |endpoint: &str| azure(endpoint, &Manners::default());
    let report = errors::run(&Suite::new(Dialect::Azure), runtime(), open).await;
    eprintln!("{report}");
    report.expect_all();
}

/// Goal: a client that tries again by itself is noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_tries_again_is_caught() {
    let manners = Manners { retries: 1, ..Manners::default() };
    let report =
        errors::run(&Suite::new(Dialect::S3), runtime(), |endpoint| s3(endpoint, &manners)).await;
    let caught = report.violations().any(|violation| violation.expected == "one request");
    assert!(caught, "{report}");
}

/// Goal: a client's own time-out is one, and leaves the outcome open.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_time_out_is_told_as_one() {
    let server = ScriptedServer::start(Reply::Silence).expect("a port is free");
    let manners = Manners { timeout: Duration::from_millis(300), ..Manners::default() };
    let stores = [
        s3(&server.endpoint(Dialect::S3), &manners),
        azure(&server.endpoint(Dialect::Azure), &manners),
    ];
    for store in stores {
        let (key, start) = ("a/key".into(), Instant::now());
        let written = store.write(&key, vec!["x".into()], Condition::Absent).await;
        let read = store.read(&key, None).await;
        let listed = store.list(&"a".into(), None).await;
        let deleted = store.delete(vec![key]).await.remove(0);
        let kinds = [
            written.expect_err("nobody answers").kind,
            read.expect_err("nobody answers").kind,
            listed.expect_err("nobody answers").kind,
            deleted.expect_err("nobody answers").kind,
        ];
        assert_eq!(kinds, [StoreErrorKind::TimedOut; 4], "{store}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
