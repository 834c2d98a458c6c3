//! Azure Blob Storage.

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Store};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::http;

/// What the client takes, and what it calls it.
const PASSED_ON: [(&str, AzureConfigKey); 9] = [
    ("account_name", AzureConfigKey::AccountName),
    ("account_key", AzureConfigKey::AccessKey),
    ("sas_token", AzureConfigKey::SasKey),
    ("client_id", AzureConfigKey::ClientId),
    ("client_secret", AzureConfigKey::ClientSecret),
    ("tenant_id", AzureConfigKey::AuthorityId),
    ("authority_host", AzureConfigKey::AuthorityHost),
    ("federated_token_file", AzureConfigKey::FederatedTokenFile),
    ("skip_signature", AzureConfigKey::SkipSignature),
];

pub(super) fn open(cloud: &CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(cloud.bucket())
        .with_client_options(http::client_options(cloud))
        .with_retry(http::retries());
    if let Some(endpoint) = cloud.option("endpoint") {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    for (name, key) in PASSED_ON {
        if let Some(value) = cloud.option(name) {
            builder = builder.with_config(key, value);
        }
    }
    http::finish(cloud, builder.build())
}
