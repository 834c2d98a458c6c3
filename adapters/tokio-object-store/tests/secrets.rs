//! What a store is told in confidence is never said again: not by errors, logs, `Debug` or `Display`.
#![cfg(all(feature = "aws", feature = "azure", feature = "gcp"))]

mod discretion;

use std::sync::Arc;
use std::time::Duration;

use buffer::{
    CloudStore, ConfigError, Consumer, ConsumerConfig, Producer, ProducerConfig, Runtime,
    StoreLocation, StoreOptions, SystemClock, TokioRuntime, open_store,
};
use discretion::{Said, ask_everything, confidential, indiscreet_service};

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock)
}

#[tokio::test]
async fn whatever_happens_to_a_store_its_secrets_are_not_said() {
    let mut said = Said::here();
    // Nobody listens at the second one.
    for endpoint in [indiscreet_service(), "http://127.0.0.1:9".to_owned()] {
        for (store, store_options) in confidential(&endpoint) {
            said.show(&store);
            said.debug(&store_options);
            let producer = ProducerConfig {
                store: store.clone(),
                store_options: store_options.clone(),
                flush_interval: Duration::from_millis(1),
                delivery_timeout: Duration::from_millis(200),
                ..ProducerConfig::default()
            };
            said.debug(&producer);
            let producer = Producer::new(producer, clock()).expect("nothing is asked yet");
            let handle = producer.produce(vec!["one".into()], "two".into()).await;
            let handle = handle.expect("there is room");
            let failed = handle.watcher.await_durable().await.expect_err("it is denied");
            said.error(&failed);
            said.debug(&handle);
            said.debug(&producer);
            said.debug(&producer.close().await);

            let consumer = ConsumerConfig {
                store: store.clone(),
                store_options: store_options.clone(),
                retry_timeout: Duration::from_millis(200),
                ..ConsumerConfig::default()
            };
            said.debug(&consumer);
            let consumer = Consumer::new(consumer, clock()).expect("nothing is asked yet");
            said.error(&consumer.initialize(None).await.expect_err("it is denied"));
            said.debug(&consumer);

            let runtime: Arc<dyn Runtime> =
                Arc::new(TokioRuntime::current().expect("inside tokio"));
            let opened = open_store(&store, &store_options, &runtime).expect("it can be opened");
            said.show(&opened);
            ask_everything(&*opened, &mut said).await;
        }
    }
    said.assert_discreet();
    let text = said.text();
    for proof in ["AccessDenied", "TRACE", "***", "s3://bucket/p", "127.0.0.1:9"] {
        assert!(text.contains(proof), "{proof} was not said, so this shows nothing");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_does_not_say_what_it_was_told() {
    let mut said = Said::here();
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current().expect("inside tokio"));
    for (url, options) in [
        ("s3://id:HIDDEN@bucket", vec![]),
        ("s3://bucket?HIDDEN", vec![]),
        ("s3://bucket#HIDDEN", vec![]),
        ("https://id:HIDDEN@host/dav?token=HIDDEN", vec![]),
        ("ftp://id:HIDDEN@host", vec![]),
        ("s3://bucket?secret_acess_key=HIDDEN", vec![]),
        ("s3://bucket", vec![("secret", "HIDDEN")]),
        ("s3://bucket", vec![("HIDDEN/and/a/key", "")]),
        ("s3://bucket", vec![("access_key_id", "HIDDEN")]),
        ("s3://bucket", vec![("allow_http", "HIDDEN")]),
        ("s3://bucket", vec![("endpoint", "https://id:HIDDEN@host")]),
        ("s3://bucket", vec![("endpoint", "HIDDEN")]),
        ("s3://bucket", vec![("account_key", "HIDDEN")]),
        ("az://box", vec![("account_key", "HIDDEN")]),
        ("az://box", vec![("account_name", "a"), ("account_key", "HIDDEN is no base64")]),
        ("az://box", vec![("account_name", "a"), ("sas_token", "HIDDEN")]),
        ("gs://bucket", vec![("service_account_key", "HIDDEN")]),
        ("gs://bucket", vec![("service_account_key", r#"{"private_key":["HIDDEN"]}"#)]),
        (".data", vec![("access_key_id", "HIDDEN")]),
        ("memory:x?token=HIDDEN", vec![]),
    ] {
        let options = StoreOptions::from_iter(options);
        let location = StoreLocation::from(url);
        said.show(&location);
        said.debug(&options);
        let error = open_store(&location, &options, &runtime).map(|_| ()).expect_err(url);
        said.error(&error);
        let Err(again) = Producer::new(
            ProducerConfig { store: location, store_options: options, ..ProducerConfig::default() },
            clock(),
        ) else {
            panic!("{url} was opened")
        };
        said.show(&again);
    }
    said.assert_discreet();
}

#[tokio::test]
async fn a_client_is_not_shown_by_what_holds_it() {
    let mut said = Said::here();
    let client = object_store::azure::MicrosoftAzureBuilder::new()
        .with_account("account")
        .with_container_name("box")
        .with_sas_authorization(vec![("sig".to_owned(), "HIDDEN".to_owned())]);
    let client: Arc<dyn object_store::ObjectStore> = Arc::new({
        // Installs what a client needs for encryption.
        let cloud = CloudStore::parse("s3://b", &StoreOptions::new(), &|_| None);
        said.show(&buffer::open_cloud_store(cloud.expect("it is sound")).expect("it opens"));
        client.build().expect("it is sound")
    });
    said.show(&buffer::ObjectStoreAdapter::new(Arc::clone(&client)).expect("it can swap"));
    let producer = Producer::with_object_store(ProducerConfig::default(), client, clock());
    said.debug(&producer.expect("it can swap"));
    said.assert_discreet();
}

#[test]
fn without_a_runtime_nothing_is_said_either() {
    let mut said = Said::here();
    let (store, store_options) = confidential("http://127.0.0.1:9").remove(0);
    let config = ProducerConfig { store, store_options, ..ProducerConfig::default() };
    let error = Producer::new(config, clock()).expect_err("there is no runtime");
    assert!(matches!(error, ConfigError::NoRuntime { .. }), "{error}");
    said.error(&error);
    said.assert_discreet();
}
