//! S3, and what speaks its protocol.

use std::sync::Arc;

use buffer_driver::{CloudStore, ConfigError, Store};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};

use super::http;

/// What the client takes under the same name.
const PASSED_ON: [&str; 12] = [
    "access_key_id",
    "secret_access_key",
    "session_token",
    "web_identity_token_file",
    "role_arn",
    "role_session_name",
    "container_credentials_relative_uri",
    "container_credentials_full_uri",
    "container_authorization_token_file",
    "server_side_encryption",
    "sse_kms_key_id",
    "skip_signature",
];

pub(super) fn open(cloud: &CloudStore) -> Result<Arc<dyn Store>, ConfigError> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(cloud.bucket())
        .with_region(cloud.region())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_virtual_hosted_style_request(cloud.flag("virtual_hosted_style"))
        .with_client_options(http::client_options(cloud))
        .with_retry(http::retries());
    if let Some(endpoint) = cloud.option("endpoint") {
        builder = builder.with_endpoint(endpoint_of(cloud, endpoint));
    }
    for name in PASSED_ON {
        if let Some(value) = cloud.option(name) {
            builder = builder.with_config(key(name), value);
        }
    }
    http::finish(cloud, builder.build())
}

fn key(name: &str) -> AmazonS3ConfigKey {
    let key = match name {
        "server_side_encryption" => "aws_server_side_encryption",
        "sse_kms_key_id" => "aws_sse_kms_key_id",
        same => same,
    };
    key.parse().expect("the client knows what is passed on")
}

/// The client wants the bucket in the endpoint where it is part of the host's name.
fn endpoint_of(cloud: &CloudStore, endpoint: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if cloud.flag("virtual_hosted_style") => {
            format!("{scheme}://{}.{host}", cloud.bucket())
        }
        Some(_) | None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use buffer_driver::StoreOptions;

    use super::*;

    fn cloud(url: &str) -> CloudStore {
        CloudStore::parse(url, &StoreOptions::new(), &|_| None).expect(url)
    }

    #[test]
    fn the_client_knows_every_option_that_is_passed_on() {
        for name in PASSED_ON {
            key(name);
            assert_eq!(cloud("s3://b").option(name), None, "it is one of the driver's");
        }
    }

    #[test]
    fn the_bucket_is_part_of_the_host_where_that_is_asked_for() {
        let endpoint = |url| {
            let cloud = cloud(url);
            endpoint_of(&cloud, cloud.option("endpoint").expect("it is given"))
        };
        assert_eq!(endpoint("s3://b?endpoint=https://h"), "https://h");
        let hosted = "s3://b?endpoint=https://h&virtual_hosted_style=true";
        assert_eq!(endpoint(hosted), "https://b.h");
    }
}
