//! What the clients of all providers have in common.

use std::sync::Arc;
use std::time::Duration;

use buffer_driver::{CloudStore, ConfigError, Store, StoreErrorKind, StoreFailure};
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::store::ObjectStoreAdapter;

/// How long a connection may take to come about. What fails so was never sent, and is tried again.
const CONNECT: Duration = Duration::from_secs(5);

/// How a client sends requests.
///
/// There is one time-out, the buffer's `request_timeout`, which drops the request: a second one
/// in the client would end what the user allowed to go on.
pub(super) fn client_options(cloud: &CloudStore) -> ClientOptions {
    install_crypto();
    ClientOptions::new()
        .with_allow_http(cloud.flag("allow_http"))
        .with_connect_timeout(CONNECT)
        .with_timeout_disabled()
}

/// No retries: a client that sends a conditional write again meets its own success, and calls it a conflict.
pub(super) fn retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// Hands a client on, or says why there is none.
pub(super) fn finish(
    cloud: &CloudStore,
    client: object_store::Result<impl ObjectStore>,
) -> Result<Arc<dyn Store>, ConfigError> {
    let client = client.map_err(|error| {
        ConfigError::cannot_open(cloud, StoreFailure::new(StoreErrorKind::Denied, error))
    })?;
    let adapter = ObjectStoreAdapter::new(Arc::new(client))?;
    Ok(Arc::new(adapter.with_unquoted_e_tags(cloud.flag("unquoted_etag"))))
}

/// Settles on ring, unless the application has settled on something: a client cannot be made before.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may just have been faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
