//! Stores for tests: in memory, in a directory, and on the test servers that the environment names.
#![allow(dead_code, reason = "not every test uses all of them")]

use std::sync::Arc;

use buffer_smol::{Runtime, SmolRuntime, Store, StoreLocation, StoreOptions};

/// Azurite's account and its key, which are the same everywhere.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A store as a configuration names it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) location: StoreLocation,
    pub(crate) options: StoreOptions,
}

impl Named {
    pub(crate) fn plain(location: impl Into<StoreLocation>) -> Self {
        Self { location: location.into(), options: StoreOptions::new() }
    }

    /// The whole bucket `buffer` of an S3 server.
    pub(crate) fn s3(endpoint: &str) -> Self {
        let options = [
            ("endpoint", endpoint),
            ("allow_http", "true"),
            ("region", "us-east-1"),
            ("access_key_id", "test"),
            ("secret_access_key", "test"),
        ];
        Self { location: "s3://buffer".into(), options: options.into_iter().collect() }
    }

    /// The whole bucket `buffer` of a server that is like Google's.
    pub(crate) fn gcs(endpoint: &str) -> Self {
        let options = [("endpoint", endpoint), ("allow_http", "true"), ("skip_signature", "true")];
        Self { location: "gs://buffer".into(), options: options.into_iter().collect() }
    }

    /// The whole container `buffer` of an Azure server; the endpoint ends in the account.
    pub(crate) fn azure(endpoint: &str) -> Self {
        let options = [
            ("endpoint", endpoint),
            ("allow_http", "true"),
            ("account_name", ACCOUNT),
            ("account_key", ACCOUNT_KEY),
        ];
        Self { location: "az://buffer".into(), options: options.into_iter().collect() }
    }

    /// Opened as this package does, with a runtime of smol.
    pub(crate) fn open(&self) -> (Arc<dyn Store>, Arc<dyn Runtime>) {
        let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime::new());
        let store = buffer_smol::open_store(&self.location, &self.options, &runtime);
        (store.expect("it opens"), runtime)
    }
}

/// What a variable names, or a note that the test is skipped.
pub(crate) fn server(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if found.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    found
}

/// The test servers that the environment names, as they were opened by their URLs.
pub(crate) fn servers() -> Vec<Named> {
    let s3 = server("BUFFER_TEST_S3").map(|endpoint| Named::s3(&endpoint));
    let azure = server("BUFFER_TEST_AZURE").map(|endpoint| Named::azure(&endpoint));
    s3.into_iter().chain(azure).collect()
}

/// A prefix that nobody had before.
pub(crate) fn fresh(name: &str) -> String {
    format!("smol-{name}-{:016x}", SmolRuntime::new().entropy())
}
