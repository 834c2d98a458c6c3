//! Clients of servers that speak S3 or Azure's protocol: of the test servers, if they are there, and of others.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::env;
use std::sync::Arc;
use std::time::Duration;

use buffer::buffer_core::Location;
use buffer::{ObjectStoreAdapter, Runtime, Store, TokioRuntime};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::{ClientOptions, RetryConfig};

/// The account that every Azurite knows.
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// What a test server is called in the environment: `http://HOST:PORT`, with a bucket `buffer`.
pub(crate) const S3: &str = "BUFFER_TEST_S3";

/// The same for Azure: `http://HOST:PORT/devstoreaccount1`, with a container `buffer`.
pub(crate) const AZURE: &str = "BUFFER_TEST_AZURE";

/// The endpoint of a test server; says so on standard error where there is none.
pub(crate) fn endpoint(variable: &str) -> Option<String> {
    let found = env::var(variable).ok();
    if found.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    found
}

/// A client's manners: whether it tries again, and how long it waits.
#[derive(Clone)]
pub(crate) struct Manners {
    pub(crate) retries: usize,
    pub(crate) timeout: Duration,
}

impl Default for Manners {
    /// As the driver wants them: no retries, and no time-out that comes before its own.
    fn default() -> Self {
        Self { retries: 0, timeout: Duration::from_secs(300) }
    }
}

impl Manners {
    fn retry(&self) -> RetryConfig {
        RetryConfig { max_retries: self.retries, ..RetryConfig::default() }
    }

    fn options(&self) -> ClientOptions {
        // Even a client of plain HTTP asks for it. Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        ClientOptions::new().with_allow_http(true).with_timeout(self.timeout)
    }
}

pub(crate) fn s3(endpoint: &str, manners: &Manners) -> Arc<dyn Store> {
    let client = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_region("us-east-1")
        .with_bucket_name("buffer")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_client_options(manners.options())
        .with_retry(manners.retry())
        .build()
        .expect("the options are complete");
    Arc::new(ObjectStoreAdapter::new(Arc::new(client)).expect("S3 can swap"))
}

pub(crate) fn azure(endpoint: &str, manners: &Manners) -> Arc<dyn Store> {
    let client = MicrosoftAzureBuilder::new()
        .with_endpoint(endpoint.to_owned())
        .with_account("devstoreaccount1")
        .with_access_key(AZURE_KEY)
        .with_container_name("buffer")
        .with_client_options(manners.options())
        .with_retry(manners.retry())
        .build()
        .expect("the options are complete");
    Arc::new(ObjectStoreAdapter::new(Arc::new(client)).expect("Azure can swap"))
}

pub(crate) fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current().expect("the test runs in one"))
}

/// A prefix that no other run of a test has.
pub(crate) fn fresh(name: &str) -> Location {
    Location::new(format!("{name}-{:016x}", runtime().entropy()))
}
