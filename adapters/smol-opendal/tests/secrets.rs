//! What a store is told in confidence is never said again: neither by this package nor by what it is built on.
#![cfg(feature = "cloud")]

#[path = "../../tokio-object-store/tests/discretion/mod.rs"]
mod discretion;

use std::sync::Arc;
use std::time::Duration;

use buffer_smol::{
    Consumer, ConsumerConfig, Producer, ProducerConfig, Runtime, SmolRuntime, StoreLocation,
    StoreOptions, SystemClock, open_store,
};
use discretion::{MARK, Said, ask_everything, confidential, indiscreet_service};

async fn fails_discreetly(store: StoreLocation, store_options: StoreOptions, said: &mut Said) {
    let clock = || Arc::new(SystemClock);
    let config = ProducerConfig {
        store: store.clone(),
        store_options: store_options.clone(),
        flush_interval: Duration::from_millis(1),
        delivery_timeout: Duration::from_millis(200),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(config, clock()).expect("nothing is asked yet");
    let handle = producer.produce(vec!["one".into()], "two".into()).await.expect("there is room");
    said.error(&handle.watcher.await_durable().await.expect_err("it is denied"));
    said.debug(&producer);
    said.debug(&producer.close().await);

    let config = ConsumerConfig {
        store: store.clone(),
        store_options: store_options.clone(),
        retry_timeout: Duration::from_millis(200),
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::new(config, clock()).expect("nothing is asked yet");
    said.error(&consumer.initialize(None).await.expect_err("it is denied"));
    said.debug(&consumer);

    let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime::new());
    let opened = open_store(&store, &store_options, &runtime).expect("it can be opened");
    said.show(&opened);
    ask_everything(&*opened, said).await;
}

#[test]
fn whatever_happens_to_a_store_its_secrets_are_not_said() {
    let mut said = Said::here();
    // Nobody listens at the second one.
    for endpoint in [indiscreet_service(), "http://127.0.0.1:9".to_owned()] {
        for (store, options) in confidential(&endpoint) {
            smol::block_on(fails_discreetly(store, options, &mut said));
        }
    }
    said.assert_discreet();
    let text = said.text();
    for proof in ["the store answered 403", "credential provider", "***", "127.0.0.1:9"] {
        assert!(text.contains(proof), "{proof} was not said, so this shows nothing");
    }
}

/// Goal: a key that is none is not repeated, and nobody else's credentials are looked for in its place.
#[test]
fn a_key_that_is_none_is_the_only_one_and_not_said() {
    let mut said = Said::here();
    let endpoint = indiscreet_service();
    for key in [
        format!(r#"{{"private_key": ["{MARK}"]}}"#),
        format!(r#"{{"type": "service_account", "client_email": "e", "private_key": "{MARK}"}}"#),
        format!(r#"{{"type": "service_account", "{MARK}"#),
    ] {
        let options = StoreOptions::from_iter([
            ("service_account_key", key.as_str()),
            ("endpoint", &endpoint),
            ("allow_http", "true"),
        ]);
        smol::block_on(fails_discreetly("gs://bucket".into(), options, &mut said));
    }
    said.assert_discreet();
    let text = said.text();
    let asked = text.lines().filter(|line| line.contains("provider reqsign_google"));
    let asked: Vec<_> = asked.collect();
    assert!(!asked.is_empty(), "no provider was said, so this shows nothing");
    assert!(asked.iter().all(|line| line.contains("StaticCredentialProvider")), "{text}");
}
