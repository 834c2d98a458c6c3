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
///
/// ```
/// use buffer_driver::ProducerConfig;
/// use buffer_sim::scenarios::queue::{MIB, Queue, by_hand, produce};
///
/// let queue = Queue::new(1);
/// let config = ProducerConfig { flush_size_bytes: MIB, ..by_hand() };
/// let producer = queue.producer(&config);
/// queue.runtime.block_on(async {
///     let full = produce(&producer, "x".repeat(MIB)).await;
///     full.watcher.await_durable().await
/// })?;
/// assert!(queue.store.counts().bytes_written > MIB as u64, "the footer counts as well");
/// # Ok::<(), buffer_driver::DeliveryError>(())
/// ```
pub const MIB: usize = 1 << 20;

/// Milliseconds.
///
/// ```
/// use buffer_sim::scenarios::queue::{ms, secs};
///
/// assert_eq!(ms(2_000), secs(2));
/// ```
#[must_use]
pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Seconds.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, secs};
///
/// let queue = Queue::new(1);
/// queue.runtime.advance(secs(60));
/// assert_eq!(queue.runtime.elapsed().as_secs(), 60);
/// ```
#[must_use]
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many milliseconds after a world began.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, at_ms, ms};
///
/// let queue = Queue::new(1);
/// queue.runtime.advance(ms(1_500));
/// assert_eq!(queue.runtime.now(), at_ms(1_500));
/// ```
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
/// assert!(queue.manifest().is_empty(), "what was delivered is dequeued");
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
    ///
    /// ```
    /// use buffer_sim::scenarios::queue::{Queue, ms, one_by_one, produce};
    ///
    /// let queue = Queue::with_latency(1, ms(50));
    /// let producer = queue.producer(&one_by_one());
    /// let handle = queue.runtime.block_on(produce(&producer, "hello"));
    /// queue.runtime.block_on(handle.watcher.await_durable())?;
    /// assert_eq!(queue.runtime.elapsed(), ms(100), "an upload, and a swap of the manifest");
    /// # Ok::<(), buffer_driver::DeliveryError>(())
    /// ```
    #[must_use]
    pub fn with_latency(seed: u64, latency: Duration) -> Self {
        Self::with_profile(seed, latency, Profile::S3)
    }

    /// The same, on a store of this kind.
    ///
    /// ```
    /// use buffer_sim::Profile;
    /// use buffer_sim::scenarios::queue::{Queue, ms, one_by_one, produce, secs};
    ///
    /// // It takes no more than one swap a second.
    /// let queue = Queue::with_profile(1, ms(50), Profile::GCS);
    /// let producer = queue.producer(&one_by_one());
    /// queue.runtime.block_on(async {
    ///     produce(&producer, "first").await.watcher.await_durable().await?;
    ///     produce(&producer, "second").await.watcher.await_durable().await
    /// })?;
    /// assert!(queue.runtime.elapsed() > secs(1));
    /// # Ok::<(), buffer_driver::DeliveryError>(())
    /// ```
    #[must_use]
    pub fn with_profile(seed: u64, latency: Duration, profile: Profile) -> Self {
        let runtime = SimRuntime::new(seed);
        let store = SimStore::new(&runtime, profile);
        store.set_latency(Latency::fixed(latency));
        Self { runtime, store, processes: std::cell::Cell::new(0) }
    }

    /// A process of its own; the name says what for.
    ///
    /// ```
    /// use buffer_sim::scenarios::queue::Queue;
    ///
    /// let queue = Queue::new(1);
    /// assert_eq!(queue.process("database").name(), "database-0");
    /// assert_eq!(queue.process("database").name(), "database-1");
    /// ```
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
    ///
    /// ```
    /// use buffer_sim::scenarios::queue::{Queue, one_by_one, produce, secs};
    ///
    /// let queue = Queue::new(1);
    /// let host = queue.process("host");
    /// host.clock().jump(secs(3600)); // an hour ahead
    /// let producer = queue.producer_in(&host, &one_by_one());
    /// let handle = queue.runtime.block_on(produce(&producer, "hello"));
    /// assert_eq!(handle.ingestion_time_ms, host.clock().unix_millis().0);
    /// ```
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
    ///
    /// ```
    /// use buffer_driver::ConsumerConfig;
    /// use buffer_sim::scenarios::queue::Queue;
    ///
    /// let queue = Queue::new(1);
    /// let host = queue.process("host");
    /// let first = queue.consumer_in(&host, &ConsumerConfig::default());
    /// queue.runtime.block_on(first.initialize(None))?;
    /// host.crash();
    ///
    /// // Its successor, in a process of its own.
    /// let second = queue.consumer(&ConsumerConfig::default());
    /// queue.runtime.block_on(second.initialize(None))?;
    /// assert!(second.epoch() > first.epoch());
    /// assert_eq!(Some(queue.manifest().epoch().0), second.epoch());
    /// # Ok::<(), buffer_driver::InitializeError>(())
    /// ```
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
    ///
    /// ```
    /// use buffer_sim::scenarios::queue::{Queue, ms};
    ///
    /// let queue = Queue::new(1);
    /// let tasks = [300, 100, 200].map(|millis| {
    ///     let runtime = queue.runtime.clone();
    ///     queue.process("worker").start(async move {
    ///         runtime.sleep(ms(millis)).await;
    ///         runtime.elapsed()
    ///     })
    /// });
    /// assert_eq!(queue.finish(tasks), [ms(300), ms(100), ms(200)]);
    /// assert_eq!(queue.runtime.elapsed(), ms(300), "they ran side by side");
    /// ```
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
///
/// ```
/// use std::sync::Arc;
/// use buffer_sim::scenarios::queue::{manifest, one_by_one, produce, producer_on};
/// use buffer_sim::{Profile, SimRuntime, SimStore};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::AZURE);
/// let process = runtime.process("producer");
/// let producer = producer_on(Arc::new(store.clone()), &process, &one_by_one());
/// runtime.block_on(async { produce(&producer, "hello").await.watcher.await_durable().await })?;
/// assert_eq!(store.manifest(&manifest()).len(), 1);
/// # Ok::<(), buffer_driver::DeliveryError>(())
/// ```
#[must_use]
pub fn producer_on(store: Arc<dyn Store>, process: &Process, config: &ProducerConfig) -> Producer {
    let clock = Arc::new(process.clock().clone());
    Producer::with_store(config, store, clock, Arc::new(process.clone()))
        .expect("the configuration is valid")
}

/// A consumer in this process, on any store.
///
/// ```
/// use buffer_driver::ConsumerConfig;
/// use buffer_sim::scenarios::queue::{Queue, consumer_on, directory, take_all};
///
/// // A queue in a real directory, in which there is nothing yet.
/// let root = tempfile::tempdir()?;
/// let queue = Queue::new(1);
/// let process = queue.process("host");
/// let store = directory(root.path(), &process);
/// let consumer = consumer_on(store, &process, &ConsumerConfig::default());
/// queue.runtime.block_on(consumer.initialize(None))?;
/// assert!(queue.runtime.block_on(take_all(&consumer)).is_empty());
/// assert!(queue.store.locations().is_empty(), "all of it is on the disk");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn consumer_on(store: Arc<dyn Store>, process: &Process, config: &ConsumerConfig) -> Consumer {
    let clock = Arc::new(process.clock().clone());
    Consumer::with_store(config, store, clock, Arc::new(process.clone()))
        .expect("the configuration is valid")
}

/// A store in a real directory, whose files are written by this process.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, directory, one_by_one, produce, producer_on};
///
/// let root = tempfile::tempdir()?;
/// let queue = Queue::new(1);
/// let process = queue.process("host");
/// let producer = producer_on(directory(root.path(), &process), &process, &one_by_one());
/// let handle = queue.runtime.block_on(produce(&producer, "hello"));
/// queue.runtime.block_on(handle.watcher.await_durable())?;
/// assert!(root.path().join("ingest").join("manifest").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn directory(root: &Path, process: &Process) -> Arc<dyn Store> {
    let store = LocalDirectory::open(root, Arc::new(process.clone()));
    Arc::new(store.expect("the directory can be opened"))
}

/// Where the manifest is by default.
///
/// ```
/// use buffer_driver::ProducerConfig;
/// use buffer_sim::scenarios::queue::manifest;
///
/// assert_eq!(manifest().as_str(), ProducerConfig::default().manifest_path);
/// ```
#[must_use]
pub fn manifest() -> Location {
    Location::from("ingest/manifest")
}

/// Seals nothing by itself within a test's time: batches are cut by `flush` or by size.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, by_hand, produce, secs};
///
/// let queue = Queue::new(1);
/// let producer = queue.producer(&by_hand());
/// queue.runtime.block_on(async {
///     let handle = produce(&producer, "hello").await;
///     queue.runtime.sleep(secs(3600)).await;
///     assert!(handle.watcher.result().is_none(), "its batch is still open");
///     producer.flush().await
/// })?;
/// assert_eq!(queue.manifest().len(), 1);
/// # Ok::<(), buffer_driver::DeliveryError>(())
/// ```
#[must_use]
pub fn by_hand() -> ProducerConfig {
    ProducerConfig { flush_interval: secs(100_000), ..ProducerConfig::default() }
}

/// Every `produce` call is a batch of its own.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, one_by_one, produce};
///
/// let queue = Queue::new(1);
/// let producer = queue.producer(&one_by_one());
/// queue.runtime.block_on(async {
///     let (first, second) = (produce(&producer, "a").await, produce(&producer, "b").await);
///     assert!(!first.watcher.is_same_batch(&second.watcher));
///     producer.flush().await
/// })?;
/// assert_eq!(queue.manifest().len(), 2);
/// # Ok::<(), buffer_driver::DeliveryError>(())
/// ```
#[must_use]
pub fn one_by_one() -> ProducerConfig {
    ProducerConfig { max_buffered_inputs: 1, ..ProducerConfig::default() }
}

/// Submits one entry.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, one_by_one, produce};
///
/// let queue = Queue::new(1);
/// let producer = queue.producer(&one_by_one());
/// let handle = queue.runtime.block_on(produce(&producer, "hello"));
/// assert!(handle.watcher.result().is_none(), "it is submitted, and not durable yet");
/// queue.runtime.block_on(handle.watcher.await_durable())?;
/// # Ok::<(), buffer_driver::DeliveryError>(())
/// ```
pub async fn produce(producer: &Producer, entry: impl Into<String>) -> WriteHandle {
    let entries = vec![Bytes::from(entry.into())];
    producer.produce(entries, Bytes::new()).await.expect("the producer takes it")
}

/// Reads all that is in the queue, acknowledging everything.
///
/// ```
/// use buffer_driver::ConsumerConfig;
/// use buffer_sim::scenarios::queue::{Queue, one_by_one, produce, take_all};
///
/// let queue = Queue::new(1);
/// let producer = queue.producer(&one_by_one());
/// let consumer = queue.consumer(&ConsumerConfig::default());
/// let batches = queue.runtime.block_on(async {
///     for entry in ["a", "b"] {
///         produce(&producer, entry).await;
///     }
///     producer.flush().await?;
///     consumer.initialize(None).await?;
///     Ok::<_, Box<dyn std::error::Error>>(take_all(&consumer).await)
/// })?;
/// let sequences: Vec<u64> = batches.iter().map(|batch| batch.sequence).collect();
/// assert_eq!(sequences, [0, 1]);
/// assert_eq!(consumer.stats().acks, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn take_all(consumer: &Consumer) -> Vec<ConsumedBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = consumer.next_batch().await.expect("the queue can be read") {
        consumer.ack(batch.sequence).await.expect("it was just handed out");
        batches.push(batch);
    }
    batches
}

/// The entries of all batches, in order, as text.
///
/// ```
/// use buffer_sim::scenarios::queue::{Queue, by_hand, produce, texts};
///
/// let queue = Queue::new(1);
/// let producer = queue.producer(&by_hand());
/// let batches = queue.runtime.block_on(async {
///     for entry in ["a", "b"] {
///         produce(&producer, entry).await;
///     }
///     producer.flush().await?;
///     Ok::<_, buffer_driver::DeliveryError>(queue.drain().await)
/// })?;
/// assert_eq!(batches.len(), 1);
/// assert_eq!(texts(&batches), ["a", "b"]);
/// # Ok::<(), buffer_driver::DeliveryError>(())
/// ```
#[must_use]
pub fn texts(batches: &[ConsumedBatch]) -> Vec<String> {
    let entries = batches.iter().flat_map(|batch| &batch.entries);
    entries.map(|entry| String::from_utf8(entry.to_vec()).expect("tests send text")).collect()
}
