//! A runtime that goes away under a producer and a consumer.

use std::sync::Arc;
use std::time::Duration;

use buffer::{
    Consumer, ConsumerConfig, DeliveryError, DeliveryFailure, Ended, NextError, Producer,
    ProducerConfig, StoreLocation, SubmitError, SystemClock,
};
use bytes::Bytes;
use tokio::runtime::Runtime;

/// Goal: what was not settled is called unknown, nobody waits for ever, and nothing panics.
#[test]
fn a_runtime_that_stops_leaves_nobody_waiting() {
    let store = StoreLocation::from("memory:shutdown");
    let config = ProducerConfig {
        store: store.clone(),
        flush_interval: Duration::from_secs(100),
        ..ProducerConfig::default()
    };
    let consumer_config = ConsumerConfig { store, ..ConsumerConfig::default() };
    let outer = Runtime::new().expect("a runtime can be made");
    let inner = Runtime::new().expect("a runtime can be made");
    let (producer, consumer, handle) = inner.block_on(async {
        let producer = Producer::new(config, Arc::new(SystemClock)).expect("it is valid");
        let consumer = Consumer::new(consumer_config, Arc::new(SystemClock)).expect("it is valid");
        consumer.initialize(None).await.expect("it is free");
        let entries = vec![Bytes::from("never sealed")];
        let handle = producer.produce(entries, Bytes::new()).await.expect("there is room");
        (Arc::new(producer), Arc::new(consumer), handle)
    });
    let waiting = outer.spawn({
        let consumer = Arc::clone(&consumer);
        async move { consumer.wait_batch().await }
    });
    std::thread::sleep(Duration::from_millis(50));
    inner.shutdown_timeout(Duration::from_secs(5));
    outer.block_on(async {
        let error = handle.watcher.await_durable().await.expect_err("its loop is gone");
        assert!(matches!(error, DeliveryError::Unknown(DeliveryFailure::Stopped)), "{error}");
        let refused = producer.produce(vec![Bytes::from("x")], Bytes::new()).await;
        assert!(matches!(refused, Err(SubmitError::Stopped(_))), "{refused:?}");
        producer.flush().await.expect_err("a batch is unknown");
        producer.close().await.expect("that was reported");
        let waited = waiting.await.expect("it does not panic").expect_err("nothing came");
        assert!(matches!(waited, NextError::Ended(Ended::Stopped)), "{waited}");
        consumer.close().await.expect("nothing was acknowledged");
    });
}
