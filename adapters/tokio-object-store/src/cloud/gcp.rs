//! Google Cloud Storage. Its client swaps by generations, which a version keeps beside the ETag.

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Store};
use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};

use super::http;

pub(super) fn open(cloud: &CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(cloud.bucket())
        .with_skip_signature(cloud.flag("skip_signature"))
        .with_client_options(http::client_options(cloud))
        .with_retry(http::retries());
    if let Some(endpoint) = cloud.option("endpoint") {
        builder = builder.with_base_url(endpoint);
    }
    if cloud.flag("skip_signature") {
        // The client asks for credentials before it writes or deletes, whatever it was told, and
        // would wait for a machine's metadata: so it gets one that says nothing.
        let nobody = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
        return http::finish(cloud, builder.build());
    }
    if let Some(key) = cloud.option("service_account_key") {
        // What is no key is not repeated, not even in parts.
        let client = builder.with_service_account_key(key).build();
        let unsaid = |_| object_store::Error::Generic {
            store: "GCS",
            source: "service_account_key is not the JSON of a service account's key".into(),
        };
        return http::finish(cloud, client.map_err(unsaid));
    }
    if let Some(path) = cloud.option("service_account") {
        builder = builder.with_service_account_path(path);
    } else if let Some(path) = cloud.option("application_credentials") {
        builder = builder.with_application_credentials(path);
    }
    http::finish(cloud, builder.build())
}
