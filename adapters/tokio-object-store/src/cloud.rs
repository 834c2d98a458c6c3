//! Clients for buckets that are named by URL.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "gcp")]
mod gcp;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod http;

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Provider, Store};

/// Opens a whole bucket.
pub(crate) fn open_bucket(cloud: &CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    match cloud.provider() {
        #[cfg(feature = "aws")]
        Provider::S3 => aws::open(cloud),
        #[cfg(not(feature = "aws"))]
        Provider::S3 => Err(ConfigError::missing_feature(cloud)),
        #[cfg(feature = "gcp")]
        Provider::Gcs => gcp::open(cloud),
        #[cfg(not(feature = "gcp"))]
        Provider::Gcs => Err(ConfigError::missing_feature(cloud)),
        #[cfg(feature = "azure")]
        Provider::Azure => azure::open(cloud),
        #[cfg(not(feature = "azure"))]
        Provider::Azure => Err(ConfigError::missing_feature(cloud)),
    }
}
