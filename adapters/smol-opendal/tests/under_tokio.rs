//! The handles within a tokio runtime: they wait there, and smol works beside it.

use std::sync::Arc;
use std::time::Duration;

use buffer_smol::{Consumer, ConsumerConfig, Producer, ProducerConfig, SystemClock};

async fn round_trip(store: &str) {
    let config = ProducerConfig {
        store: store.into(),
        flush_interval: Duration::from_millis(5),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(config, Arc::new(SystemClock)).expect("it is valid");
    let config = ConsumerConfig { store: store.into(), ..ConsumerConfig::default() };
    let consumer = Consumer::new(config, Arc::new(SystemClock)).expect("it is valid");
    consumer.initialize(None).await.expect("it is free");
    for number in 0..20 {
        let entry = bytes::Bytes::from(format!("entry {number}"));
        let handle = producer.produce(vec![entry.clone()], "".into()).await.expect("there is room");
        handle.watcher.await_durable().await.expect("the store is well");
        let batch = consumer.wait_batch().await.expect("the store is well");
        assert_eq!(batch.entries, [entry]);
        consumer.ack(batch.sequence).await.expect("it was handed out");
    }
    producer.close().await.expect("everything is settled");
    consumer.close().await.expect("the store is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handles_work_on_tokio_with_many_threads() {
    round_trip("memory:many").await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_handles_work_on_tokio_with_one_thread() {
    round_trip("memory:one").await;
    let directory = tempfile::tempdir().expect("a directory");
    round_trip(directory.path().to_str().expect("it is UTF-8")).await;
}
