//! Operators for buckets, as URLs and options describe them.

mod credentials;

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Provider, Store, StoreErrorKind, StoreFailure};
use opendal::Operator;

use crate::store::OpendalStore;
use crate::transport::{HttpOptions, http_context};

/// A store of the whole bucket.
pub(crate) fn open(cloud: &CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    let built = match cloud.provider() {
        #[cfg(feature = "aws")]
        Provider::S3 => s3(cloud),
        #[cfg(not(feature = "aws"))]
        Provider::S3 => return Err(ConfigError::missing_feature(cloud)),
        #[cfg(feature = "azure")]
        Provider::Azure => azure(cloud),
        #[cfg(not(feature = "azure"))]
        Provider::Azure => return Err(ConfigError::missing_feature(cloud)),
        #[cfg(feature = "gcp")]
        Provider::Gcs => gcs(cloud),
        #[cfg(not(feature = "gcp"))]
        Provider::Gcs => return Err(ConfigError::missing_feature(cloud)),
    };
    let operator = built
        .and_then(|operator| Ok(operator.with_context(http_context(&HttpOptions::default())?)));
    let operator = operator.map_err(|error| {
        ConfigError::cannot_open(cloud, StoreFailure::new(StoreErrorKind::Unsupported, error))
    })?;
    // A bucket is known by the URL that names it, not by what OpenDAL calls its service.
    let store = OpendalStore::new(operator)?.named(cloud.to_string());
    let unquoted = cloud.provider() == Provider::S3 && cloud.flag("unquoted_etag");
    Ok(Arc::new(if unquoted { store.with_unquoted_e_tags() } else { store }))
}

#[cfg(feature = "aws")]
fn s3(cloud: &CloudStore) -> opendal::Result<Operator> {
    let mut service = opendal::services::S3::default()
        .bucket(cloud.bucket())
        .region(cloud.region())
        // What there is to load was loaded, with the options, and is in the chain.
        .disable_config_load()
        .credential_provider_chain(credentials::aws(cloud));
    if let Some(endpoint) = cloud.option("endpoint") {
        service = service.endpoint(endpoint);
    }
    if cloud.flag("virtual_hosted_style") {
        service = service.enable_virtual_host_style();
    }
    if cloud.flag("skip_signature") {
        service = service.skip_signature();
    }
    if let Some(encryption) = cloud.option("server_side_encryption") {
        service = service.server_side_encryption(encryption);
    }
    if let Some(key) = cloud.option("sse_kms_key_id") {
        service = service.server_side_encryption_aws_kms_key_id(key);
    }
    Operator::new(service)
}

#[cfg(feature = "azure")]
fn azure(cloud: &CloudStore) -> opendal::Result<Operator> {
    let account = cloud.option("account_name").expect("a store of Azure has an account");
    let own = format!("https://{account}.blob.core.windows.net");
    let mut service = opendal::services::Azblob::default()
        .container(cloud.bucket())
        .endpoint(cloud.option("endpoint").unwrap_or(&own))
        .account_name(account)
        .credential_provider_chain(credentials::azure(cloud));
    if cloud.flag("skip_signature") {
        service = service.skip_signature();
    }
    Operator::new(service)
}

#[cfg(feature = "gcp")]
fn gcs(cloud: &CloudStore) -> opendal::Result<Operator> {
    let mut service = opendal::services::Gcs::default()
        .bucket(cloud.bucket())
        .disable_config_load()
        .credential_provider_chain(credentials::google(cloud));
    if let Some(endpoint) = cloud.option("endpoint") {
        service = service.endpoint(endpoint);
    }
    if cloud.flag("skip_signature") {
        service = service.skip_signature();
    }
    Operator::new(service)
}
