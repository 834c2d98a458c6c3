//! Clients for buckets that are named by URL.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "gcp")]
mod gcp;
#[cfg(feature = "https")]
mod http;

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Provider, Store};

/// Opens a whole bucket.
pub(crate) fn open_bucket(cloud: &CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    match cloud.provider() {
        #[cfg(feature = "aws")]
        Provider::S3 => aws::open(cloud),
        #[cfg(not(feature = "aws"))]
        Provider::S3 => Err(without(cloud, "aws")),
        #[cfg(feature = "gcp")]
        Provider::Gcs => gcp::open(cloud),
        #[cfg(not(feature = "gcp"))]
        Provider::Gcs => Err(without(cloud, "gcp")),
        #[cfg(feature = "azure")]
        Provider::Azure => azure::open(cloud),
        #[cfg(not(feature = "azure"))]
        Provider::Azure => Err(without(cloud, "azure")),
    }
}

#[cfg(not(all(feature = "aws", feature = "gcp", feature = "azure")))]
fn without(cloud: &CloudStore, feature: &'static str) -> ConfigError {
    ConfigError::MissingFeature { store: cloud.to_string(), feature }
}
