//! A world whose metrics and spans are looked at.

#![allow(dead_code, reason = "not every test file uses all of it")]

pub(crate) mod observer;

use std::sync::Arc;

use buffer_driver::{CompressionType, ConsumerConfig, DeliveryError, Producer, ProducerConfig};
use buffer_sim::scenarios::queue::{ms, producer_on, secs};
use buffer_sim::{Kind, Latency, Profile, SimRuntime, SimStore, Verdict};
use bytes::Bytes;

use observer::Observer;

/// A world with one queue, everybody's way to its store watched.
pub(crate) struct World {
    pub(crate) runtime: SimRuntime,
    pub(crate) store: SimStore,
    pub(crate) writing: Observer,
    pub(crate) reading: Observer,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let runtime = SimRuntime::new(seed);
        let store = SimStore::new(&runtime, Profile::S3);
        store.set_latency(Latency::fixed(ms(20)));
        let (writing, reading) = (Observer::new(&store), Observer::new(&store));
        Self { runtime, store, writing, reading }
    }

    pub(crate) fn producer(&self, config: &ProducerConfig) -> Producer {
        let process = self.runtime.process("producer");
        producer_on(Arc::new(self.writing.clone()), &process, config)
    }
}

pub(crate) fn writing_config(compression: CompressionType) -> ProducerConfig {
    ProducerConfig {
        max_buffered_inputs: 4,
        batch_compression: compression,
        request_timeout: secs(1),
        delivery_timeout: secs(60),
        gc_grace_period: secs(150),
        ..ProducerConfig::default()
    }
}

pub(crate) fn reading_config() -> ConsumerConfig {
    ConsumerConfig {
        dequeue_acks: 5,
        request_timeout: secs(1),
        gc_interval: secs(20),
        gc_grace_period: secs(150),
        ..ConsumerConfig::default()
    }
}

/// Submits an entry whose batch is given up; gives what its caller was told.
pub(crate) fn give_up_in(
    world: &World,
    config: &ProducerConfig,
    verdict: Verdict,
) -> DeliveryError {
    let _rule = world.store.fault(move |request| match request.kind() {
        Kind::Swap => verdict,
        Kind::Put | Kind::ReadManifest | Kind::ReadBatch | Kind::List | Kind::Delete => {
            Verdict::Pass
        }
    });
    let producer = world.producer(config);
    world.runtime.block_on(async {
        let handle = producer.produce(vec!["x".into()], Bytes::new()).await.expect("taken");
        handle.watcher.await_durable().await.expect_err("no swap gets through")
    })
}
