//! One queue in one world, and short words for what is done with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::{Join, Latency, Process, Profile, SimRuntime, SimStore};
use buffer_core::format::Manifest;
use buffer_core::{Instant, Location};
use buffer_driver::{
    ConsumedBatch, Consumer, ConsumerConfig, LocalDirectory, Producer, ProducerConfig, Store,
    WriteHandle,
};
use bytes::Bytes;

/// One mebibyte.
pub const MIB: usize = 1 << 20;

/// Milliseconds.
#[must_use]
pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Seconds.
#[must_use]
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many milliseconds after a world began.
#[must_use]
pub fn at_ms(millis: u64) -> Instant {
    Instant::from_origin(ms(millis))
}

/// A queue: a world with a store in it, in which every request takes 20 ms.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, one_by_one, produce, texts};
///
/// let queue = Queue::new(1);
/// let producer = queue.producer(&one_by_one());
/// let delivered = queue.runtime.block_on(async {
///     produce(&producer, "hello").await.watcher.await_durable().await.expect("all is well");
///     queue.drain().await
/// });
/// assert_eq!(texts(&delivered), ["hello"]);
/// ```
#[derive(Debug)]
pub struct Queue {
    /// The world.
    pub runtime: SimRuntime,
    /// Its store.
    pub store: SimStore,
    processes: std::cell::Cell<u32>,
}

impl Queue {
    /// A queue in a world of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_latency(seed, ms(20))
    }

    /// The same, with requests that take so long.
    #[must_use]
    pub fn with_latency(seed: u64, latency: Duration) -> Self {
        Self::with_profile(seed, latency, Profile::S3)
    }

    /// The same, on a store of this kind.
    #[must_use]
    pub fn with_profile(seed: u64, latency: Duration, profile: Profile) -> Self {
        let runtime = SimRuntime::new(seed);
        let store = SimStore::new(&runtime, profile);
        store.set_latency(Latency::fixed(latency));
        Self { runtime, store, processes: std::cell::Cell::new(0) }
    }

    /// A process of its own; the name says what for.
    #[must_use]
    pub fn process(&self, role: &str) -> Process {
        let number = self.processes.get();
        self.processes.set(number + 1);
        self.runtime.process(&format!("{role}-{number}"))
    }

    /// A producer in a process of its own.
    ///
    /// # Panics
    ///
    /// When the configuration is refused, as everything here: what is not as it should be ends the scenario.
    #[must_use]
    pub fn producer(&self, config: &ProducerConfig) -> Producer {
        self.producer_in(&self.process("producer"), config)
    }

    /// A producer in this process.
    #[must_use]
    pub fn producer_in(&self, process: &Process, config: &ProducerConfig) -> Producer {
        producer_on(Arc::new(self.store.clone()), process, config)
    }

    /// A consumer in a process of its own.
    #[must_use]
    pub fn consumer(&self, config: &ConsumerConfig) -> Consumer {
        self.consumer_in(&self.process("consumer"), config)
    }

    /// A consumer in this process.
    #[must_use]
    pub fn consumer_in(&self, process: &Process, config: &ConsumerConfig) -> Consumer {
        consumer_on(Arc::new(self.store.clone()), process, config)
    }

    /// The manifest as it is now.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        self.store.manifest(&manifest())
    }

    /// Runs the world until all of these tasks are done; gives what they came to, in order.
    ///
    /// # Panics
    ///
    /// When one of them was dropped, as those of a process that crashes are.
    pub fn finish<T>(&self, tasks: impl IntoIterator<Item = Join<T>>) -> Vec<T> {
        self.runtime.block_on(async {
            let mut all = Vec::new();
            for task in tasks {
                all.push(task.await.expect("nothing crashes"));
            }
            all
        })
    }

    /// Takes the queue over and reads all that is in it, acknowledging everything.
    pub async fn drain(&self) -> Vec<ConsumedBatch> {
        let consumer = self.consumer(&ConsumerConfig::default());
        consumer.initialize(None).await.expect("the queue can be taken over");
        let batches = take_all(&consumer).await;
        consumer.close().await.expect("what was read is dequeued");
        batches
    }
}

/// A producer in this process, on any store.
#[must_use]
pub fn producer_on(store: Arc<dyn Store>, process: &Process, config: &ProducerConfig) -> Producer {
    let clock = Arc::new(process.clock().clone());
    Producer::with_store(config, store, clock, Arc::new(process.clone()))
        .expect("the configuration is valid")
}

/// A consumer in this process, on any store.
#[must_use]
pub fn consumer_on(store: Arc<dyn Store>, process: &Process, config: &ConsumerConfig) -> Consumer {
    let clock = Arc::new(process.clock().clone());
    Consumer::with_store(config, store, clock, Arc::new(process.clone()))
        .expect("the configuration is valid")
}

/// A store in a real directory, whose files are written by this process.
#[must_use]
pub fn directory(root: &Path, process: &Process) -> Arc<dyn Store> {
    let store = LocalDirectory::open(root, Arc::new(process.clone()));
    Arc::new(store.expect("the directory can be opened"))
}

/// Where the manifest is by default.
#[must_use]
pub fn manifest() -> Location {
    Location::from("ingest/manifest")
}

/// Seals nothing by itself within a test's time: batches are cut by `flush` or by size.
#[must_use]
pub fn by_hand() -> ProducerConfig {
    ProducerConfig { flush_interval: secs(100_000), ..ProducerConfig::default() }
}

/// Every `produce` call is a batch of its own.
#[must_use]
pub fn one_by_one() -> ProducerConfig {
    ProducerConfig { max_buffered_inputs: 1, ..ProducerConfig::default() }
}

/// Submits one entry.
pub async fn produce(producer: &Producer, entry: impl Into<String>) -> WriteHandle {
    let entries = vec![Bytes::from(entry.into())];
    producer.produce(entries, Bytes::new()).await.expect("the producer takes it")
}

/// Reads all that is in the queue, acknowledging everything.
pub async fn take_all(consumer: &Consumer) -> Vec<ConsumedBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = consumer.next_batch().await.expect("the queue can be read") {
        consumer.ack(batch.sequence).await.expect("it was just handed out");
        batches.push(batch);
    }
    batches
}

/// The entries of all batches, in order, as text.
#[must_use]
pub fn texts(batches: &[ConsumedBatch]) -> Vec<String> {
    let entries = batches.iter().flat_map(|batch| &batch.entries);
    entries.map(|entry| String::from_utf8(entry.to_vec()).expect("tests send text")).collect()
}
