//! One queue in one world, and short words for what tests do with it.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use buffer_core::format::Manifest;
use buffer_core::{Instant, Location};
use buffer_driver::{
    ConsumedBatch, Consumer, ConsumerConfig, Producer, ProducerConfig, WriteHandle,
};
use buffer_sim::{Latency, Process, Profile, SimRuntime, SimStore};
use bytes::Bytes;

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn at_ms(millis: u64) -> Instant {
    Instant::from_origin(ms(millis))
}

/// A world with a store in it, in which every request takes 20 ms.
pub(crate) struct Queue {
    pub(crate) runtime: SimRuntime,
    pub(crate) store: SimStore,
    processes: std::cell::Cell<u32>,
}

impl Queue {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_latency(seed, ms(20))
    }

    pub(crate) fn with_latency(seed: u64, latency: Duration) -> Self {
        Self::with_profile(seed, latency, Profile::S3)
    }

    pub(crate) fn with_profile(seed: u64, latency: Duration, profile: Profile) -> Self {
        let runtime = SimRuntime::new(seed);
        let store = SimStore::new(&runtime, profile);
        store.set_latency(Latency::fixed(latency));
        Self { runtime, store, processes: std::cell::Cell::new(0) }
    }

    pub(crate) fn process(&self, role: &str) -> Process {
        let number = self.processes.get();
        self.processes.set(number + 1);
        self.runtime.process(&format!("{role}-{number}"))
    }

    pub(crate) fn producer(&self, config: &ProducerConfig) -> Producer {
        self.producer_in(&self.process("producer"), config)
    }

    pub(crate) fn producer_in(&self, process: &Process, config: &ProducerConfig) -> Producer {
        let (store, clock) = (Arc::new(self.store.clone()), Arc::new(process.clock().clone()));
        Producer::with_store(config, store, clock, Arc::new(process.clone()))
            .expect("the configuration is valid")
    }

    pub(crate) fn consumer(&self, config: &ConsumerConfig) -> Consumer {
        self.consumer_in(&self.process("consumer"), config)
    }

    pub(crate) fn consumer_in(&self, process: &Process, config: &ConsumerConfig) -> Consumer {
        let (store, clock) = (Arc::new(self.store.clone()), Arc::new(process.clock().clone()));
        Consumer::with_store(config, store, clock, Arc::new(process.clone()))
            .expect("the configuration is valid")
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.store.manifest(&manifest())
    }

    /// Takes the queue over and reads all that is in it, acknowledging everything.
    pub(crate) async fn drain(&self) -> Vec<ConsumedBatch> {
        let consumer = self.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("the queue can be taken over");
        let batches = take_all(&consumer).await;
        consumer.close().await.expect("what was read is dequeued");
        batches
    }
}

pub(crate) fn manifest() -> Location {
    Location::from("ingest/manifest")
}

/// Seals nothing by itself within a test's time: batches are cut by `flush` or by size.
pub(crate) fn by_hand() -> ProducerConfig {
    ProducerConfig { flush_interval: secs(100_000), ..ProducerConfig::default() }
}

/// Every `produce` call is a batch of its own.
pub(crate) fn one_by_one() -> ProducerConfig {
    ProducerConfig { max_buffered_inputs: 1, ..ProducerConfig::default() }
}

pub(crate) async fn produce(producer: &Producer, entry: impl Into<String>) -> WriteHandle {
    let entries = vec![Bytes::from(entry.into())];
    producer.produce(entries, Bytes::new()).await.expect("the producer takes it")
}

pub(crate) async fn take_all(consumer: &Consumer) -> Vec<ConsumedBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = consumer.next_batch().await.expect("the queue can be read") {
        consumer.ack(batch.sequence).await.expect("it was just handed out");
        batches.push(batch);
    }
    batches
}

/// The entries of all batches, in order, as text.
pub(crate) fn texts(batches: &[ConsumedBatch]) -> Vec<String> {
    let entries = batches.iter().flat_map(|batch| &batch.entries);
    entries.map(|entry| String::from_utf8(entry.to_vec()).expect("tests send text")).collect()
}
