//! What URLs, options and variables come down to.

use super::*;

const NOTHING: &dyn Fn(&str) -> Option<String> = &|_| None;

fn options(options: &[(&str, &str)]) -> StoreOptions {
    options.iter().copied().collect()
}

fn parse(url: &str) -> CloudStore {
    CloudStore::parse(url, &StoreOptions::new(), NOTHING).expect(url)
}

#[track_caller]
fn refused(url: &str, with: &[(&str, &str)], parts: &[&str]) {
    let error = CloudStore::parse(url, &options(with), NOTHING).expect_err(url);
    let text = format!("{error} {error:?}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!text.contains("hidden"), "{text}");
}

#[test]
fn every_scheme_names_a_bucket_and_perhaps_a_prefix() {
    let azure = "?account_name=a";
    for (url, provider, bucket, prefix) in [
        ("s3://bucket", Provider::S3, "bucket", None),
        ("s3a://bucket/", Provider::S3, "bucket", None),
        ("S3://Bucket_1.x/a/b/", Provider::S3, "Bucket_1.x", Some("a/b")),
        ("gs://bucket/a%20b%23%25", Provider::Gcs, "bucket", Some("a b#%")),
        (&format!("az://container/p{azure}"), Provider::Azure, "container", Some("p")),
        (&format!("azure://container{azure}"), Provider::Azure, "container", None),
        (&format!("abfs://$web/p{azure}"), Provider::Azure, "$web", Some("p")),
    ] {
        let store = parse(url);
        let found = (store.provider(), store.bucket(), store.prefix().map(Location::as_str));
        assert_eq!(found, (provider, bucket, prefix), "{url}");
    }
}

#[test]
fn an_azure_account_is_read_off_the_host() {
    let store = parse("abfss://box@acct.dfs.core.windows.net/p");
    let found = (store.bucket(), store.option("account_name"), store.option("endpoint"));
    assert_eq!(found, ("box", Some("acct"), None));
    let store = parse("abfss://box@acct.dfs.core.chinacloudapi.cn/p");
    assert_eq!(store.option("endpoint"), Some("https://acct.blob.core.chinacloudapi.cn"));
    for wrong in ["abfss://box@acct", "abfss://box@acct.core.windows.net", "abfss://box@.dfs.x"] {
        refused(wrong, &[], &["ACCOUNT.dfs.core.windows.net"]);
    }
}

#[test]
fn a_url_that_names_no_bucket_is_refused() {
    refused("s3://", &[], &["bucket's name"]);
    refused("s3:bucket", &[], &["SCHEME://BUCKET"]);
    refused("s3:///prefix", &[], &["bucket's name"]);
    refused("s3://127.0.0.1:9000/bucket", &[], &["bucket's name"]);
    refused("s3://bucket//a", &[], &["empty segment"]);
    refused("s3://bucket/a/../b", &[], &["`..` segment"]);
    refused("s3://bucket/a%2F%2Fb", &[], &["empty segment"]);
    refused("s3://bucket/a#b", &[], &["%23"]);
    refused("s3://bucket/%ff", &[], &["UTF-8"]);
    refused("s3://id:hidden@bucket", &[], &["store options", "s3://***@bucket"]);
    refused("s3://id:hid/hidden@bucket", &[], &["s3://***@bucket"]);
    refused("s3://bucket?hidden", &[], &["NAME=VALUE"]);
    refused("s3://bucket?region=a&region=b", &[], &["region twice"]);
}

#[test]
fn the_url_goes_before_the_options_and_these_before_the_environment() {
    let environment = |name: &str| match name {
        "AWS_REGION" => Some("third".to_owned()),
        "AWS_ENDPOINT_URL" => Some("https://general".to_owned()),
        "AWS_ENDPOINT_URL_S3" => Some("https://specific/".to_owned()),
        "AWS_ALLOW_HTTP" => Some(String::new()),
        _ => None,
    };
    let region = |url, given: &[(&str, &str)]| {
        let store = CloudStore::parse(url, &options(given), &environment).expect(url);
        assert_eq!(store.option("endpoint"), Some("https://specific"));
        assert_eq!(store.option("allow_http"), None, "an empty variable is not set");
        store.region().to_owned()
    };
    assert_eq!(region("s3://b?region=first", &[("region", "second")]), "first");
    assert_eq!(region("s3://b", &[("region", "second")]), "second");
    assert_eq!(region("s3://b", &[]), "third");
    assert_eq!(parse("s3://b").region(), "us-east-1");
}

#[test]
fn credentials_of_two_places_are_not_mixed() {
    let environment = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" | "AWS_ROLE_ARN" => {
            Some(format!("{name} of somebody"))
        }
        _ => None,
    };
    let given = options(&[("secret_access_key", "mine")]);
    let store = CloudStore::parse("s3://b?access_key_id=me", &given, &environment).expect("a key");
    let found = (store.option("access_key_id"), store.option("secret_access_key"));
    assert_eq!(found, (Some("me"), Some("mine")));
    assert_eq!((store.option("session_token"), store.option("role_arn")), (None, None));

    let store = CloudStore::parse("s3://b?skip_signature=1", &StoreOptions::new(), &environment);
    let store = store.expect("nobody");
    assert!(store.flag("skip_signature") && store.option("access_key_id").is_none());

    let store = CloudStore::parse("s3://b", &StoreOptions::new(), &environment).expect("a key");
    assert_eq!(store.option("session_token"), Some("AWS_SESSION_TOKEN of somebody"));
}

#[test]
fn only_the_providers_own_variables_count() {
    let all = |name: &str| {
        let value = match name {
            "GOOGLE_SERVICE_ACCOUNT_KEY" => "{}",
            _ if name.contains("ENDPOINT") || name.ends_with("HOST") => "https://h",
            _ => "true",
        };
        Some(value.to_owned())
    };
    for (url, owner) in [("s3://b", "AWS_"), ("gs://b", "GOOGLE_"), ("az://b", "AZURE_")] {
        let asked = std::cell::RefCell::new(Vec::new());
        let environment = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            all(name)
        };
        let store = CloudStore::parse(url, &StoreOptions::new(), &environment).expect(url);
        assert!(store.option("skip_signature").is_some());
        let asked = asked.into_inner();
        assert!(!asked.is_empty() && asked.iter().all(|name| name.starts_with(owner)), "{asked:?}");
    }
    let bad = |name: &str| (name == "AWS_SKIP_SIGNATURE").then(|| "perhaps".to_owned());
    let error = CloudStore::parse("s3://b", &StoreOptions::new(), &bad).expect_err("it is no flag");
    assert!(error.to_string().contains("AWS_SKIP_SIGNATURE: it is either true"), "{error}");
}

#[test]
fn an_option_that_is_unknown_or_of_another_provider_is_refused_by_name() {
    refused("s3://b?regoin=x", &[], &["regoin", "did you mean `region`?"]);
    refused(
        "s3://b",
        &[("AWS_SECRET_ACCESS_KEY", "hidden")],
        &["did you mean `secret_access_key`?"],
    );
    refused("s3://b", &[("colour", "hidden")], &["colour", "S3 has endpoint, allow_http, region"]);
    refused("s3://b", &[("account_key", "hidden")], &["account_key", "Azure", "this store is S3"]);
    refused("gs://b", &[("region", "x")], &["region", "option of S3", "Google Cloud Storage"]);
    refused("s3://b", &[("wJalrXUtnFEMI/hidden", "")], &["***"]);
}

#[test]
fn a_value_that_cannot_be_is_refused_by_name() {
    refused("s3://b?unquoted_etag=yes", &[], &["unquoted_etag", "true or false"]);
    refused("s3://b?region=", &[], &["region", "empty"]);
    refused("s3://b?secret_access_key=hidden%0Ahidden", &[], &["secret_access_key", "control"]);
    refused("s3://b?endpoint=host", &[], &["endpoint", "https://"]);
    refused("s3://b?endpoint=https://id:hidden@host", &[], &["endpoint", "no user and password"]);
    refused("s3://b?server_side_encryption=rot13", &[], &["AES256, aws:kms"]);
    refused("s3://b?sse_kms_key_id=k", &[], &["sse_kms_key_id", "aws:kms"]);
    refused("s3://b?access_key_id=hidden", &[], &["secret_access_key", "missing"]);
    refused("s3://b?secret_access_key=hidden", &[], &["access_key_id", "missing"]);
    refused("s3://b?session_token=hidden", &[], &["access_key_id", "missing"]);
    refused("az://b", &[("account_key", "hidden")], &["account_name", "abfss://"]);
}

#[test]
fn http_has_to_be_allowed() {
    let http = [("endpoint", "http://127.0.0.1:9000")];
    refused("s3://b", &http, &["endpoint", "allow_http=true"]);
    refused("s3://b?allow_http=false", &http, &["allow_http=true"]);
    let store =
        CloudStore::parse("s3://b?allow_http=TRUE", &options(&http), NOTHING).expect("both");
    assert_eq!(store.to_string(), "s3://b at http://127.0.0.1:9000");
}

#[test]
fn neither_debug_nor_display_shows_a_secret() {
    let given: Vec<_> = table::of(Provider::S3).filter(|option| option.secret).collect();
    let given = given.iter().map(|option| (option.name, "hidden"));
    let store =
        CloudStore::parse("s3://b/p?region=north", &given.collect(), NOTHING).expect("it fits");
    let shown = format!("{store} {store:?} {store:#?}");
    assert!(!shown.contains("hidden") && shown.contains("north"), "{shown}");
    assert!(shown.contains("secret_access_key"), "{shown}");
}
