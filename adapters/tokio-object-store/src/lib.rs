//! A stateless buffer in front of a database, kept in object storage: for
//! services on tokio, over `object_store`.
//!
//! # Producer
//!
//! ```standalone_crate
//! # #![allow(unused_imports)]
//! use buffer::{Producer, ProducerConfig};
//! use bytes::Bytes;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # std::env::set_current_dir(&directory)?;
//! # let clock = Arc::new(buffer::SystemClock);
//! let producer = Producer::new(ProducerConfig::default(), clock)?;
//!
//! // Entries of one call stay together, and share its metadata.
//! let handle = producer.produce(
//!     vec![Bytes::from("entry-1"), Bytes::from("entry-2")],
//!     Bytes::from("my-metadata"),
//! ).await?;
//!
//! // Returns when they are stored and listed.
//! handle.watcher.await_durable().await?;
//!
//! // Delivers what is left, and ends.
//! producer.close().await?;
//! # assert!(directory.path().join(".data/ingest/manifest").is_file());
//! # Ok(())
//! # }
//! ```
//!
//! # Consumer
//!
//! ```standalone_crate
//! # use std::sync::Arc;
//! # use std::sync::atomic::{AtomicUsize, Ordering};
//! use buffer::{Consumer, ConsumerConfig};
//!
//! # static PROCESSED: AtomicUsize = AtomicUsize::new(0);
//! # fn process(batch: &buffer::ConsumedBatch) {
//! #     assert_eq!(batch.entries, ["entry-1", "entry-2"]);
//! #     assert_eq!(batch.metadata[0].payload, "my-metadata");
//! #     PROCESSED.fetch_add(1, Ordering::Relaxed);
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # std::env::set_current_dir(&directory)?;
//! # let clock = Arc::new(buffer::SystemClock);
//! # let producer = buffer::Producer::new(buffer::ProducerConfig::default(), clock.clone())?;
//! # for _ in 0..3 {
//! #     producer.produce(vec!["entry-1".into(), "entry-2".into()], "my-metadata".into()).await?;
//! #     producer.flush().await?;
//! # }
//! # producer.close().await?;
//! let consumer = Consumer::new(ConsumerConfig::default(), clock)?;
//!
//! // Takes over: whoever consumed before is fenced.
//! consumer.initialize(None).await?;
//!
//! // Batches come in order, with `entries`, `sequence` and `metadata`.
//! while let Some(batch) = consumer.next_batch().await? {
//!     process(&batch);
//!     consumer.ack(batch.sequence).await?;
//! }
//!
//! // Acknowledged batches leave the manifest.
//! consumer.flush().await?;
//! # assert_eq!(PROCESSED.load(Ordering::Relaxed), 3);
//! # consumer.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A database that stores each batch together with its sequence, in one step,
//! and resumes with `initialize(Some(last_stored_sequence))`, gets every entry
//! exactly once.
//!
//! # Several batches at a time
//!
//! A [`Pipeline`] hands batches to a [`Sink`], as many at a time as there are workers, tries again what fails, and
//! acknowledges what is stored in order. What is poison can go to another queue. [`Sink`] tells what a database needs for
//! exactly once then.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use std::sync::{Arc, Mutex};
//! # use std::time::Duration;
//! use buffer::{ConsumedBatch, Pipeline, PipelineConfig, Poison, SinkError};
//! # use buffer::{Consumer, ConsumerConfig, Producer, ProducerConfig, SystemClock};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = buffer::StoreLocation::from("memory:pipeline");
//! # let config = ProducerConfig { store: store.clone(), ..ProducerConfig::default() };
//! # let producer = Producer::new(config.clone(), Arc::new(SystemClock))?;
//! # for entry in ["one", "not a number", "3"] {
//! #     producer.produce(vec![entry.into()], "".into()).await?;
//! #     producer.flush().await?;
//! # }
//! # let config = ProducerConfig {
//! #     data_path_prefix: "poison".into(),
//! #     manifest_path: "poison/manifest".into(),
//! #     ..config
//! # };
//! # let poison = Producer::new(config, Arc::new(SystemClock))?;
//! # let config = ConsumerConfig { store, ..ConsumerConfig::default() };
//! # let consumer = Consumer::new(config, Arc::new(SystemClock))?;
//! // The database: what it has already, it does not take again.
//! let rows: Mutex<BTreeMap<u64, Vec<u64>>> = Mutex::default();
//! let store = async |batch: Arc<ConsumedBatch>| {
//!     let numbers = batch.entries.iter().map(|entry| Ok(str::from_utf8(entry)?.parse()?));
//!     let numbers: Result<Vec<u64>, Box<dyn std::error::Error + Send + Sync>> = numbers.collect();
//!     let numbers = numbers.map_err(SinkError::poison)?;
//!     rows.lock().unwrap().entry(batch.sequence).or_insert(numbers);
//!     Ok(())
//! };
//!
//! consumer.initialize(None).await?;
//! let stop = async {
//!     // A service waits for a signal.
//!     while consumer.stats().acks < 3 {
//!         tokio::time::sleep(Duration::from_millis(1)).await;
//!     }
//! };
//! let pipeline = Pipeline::new(&consumer, PipelineConfig::default());
//! let stats = pipeline.on_poison(Poison::Quarantine(&poison)).run(&store, stop).await?;
//! assert_eq!((stats.stored, stats.quarantined, stats.unfinished), (1, 2, 0));
//! consumer.close().await?; // what is acknowledged leaves the manifest
//! # poison.close().await?;
//! # producer.close().await?;
//! # assert_eq!(rows.into_inner()?, BTreeMap::from([(2, vec![3])]));
//! # Ok(())
//! # }
//! ```
//!
//! # What is deleted
//!
//! While it runs, a consumer deletes batches that were dequeued, or uploaded and
//! never listed, once no producer can list them any more: see
//! [`ConsumerConfig::gc_enabled`], `gc_interval` and `gc_grace_period`. The grace
//! period must be the same for all who use a queue, and two queues must not
//! share a [`ConsumerConfig::data_path_prefix`]: format version 1 can check neither.
//!
//! # Running it
//!
//! The package's folder `guide` has chapters for whoever runs a queue: what is guaranteed, intervals and sizes, cost, taking over,
//! alerts, permissions, and what to do about each error.
//!
//! # Stores
//!
//! [`ProducerConfig::store`] and [`ConsumerConfig::store`] name a directory (by
//! default `.data`, for both alike), `file:///PATH`, or `memory:NAME` within
//! one process. With the feature `cloud` (or `aws`, `gcp`, `azure` alone) they name a
//! bucket too: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`.
//! [`STORE_OPTIONS`] lists what may follow as a query, stand in `store_options`, or
//! come from the provider's environment variables; [`CloudStore`] tells how these are merged.
//!
//! Any other `object_store` client is given to [`Producer::with_object_store`] and
//! [`Consumer::with_object_store`]. A store that cannot write on a condition is refused by name.

mod cloud;
#[cfg(doctest)]
mod guide;
mod handles;
mod open;
#[cfg(doctest)]
mod readme;
mod runtime;
mod store;

/// What is below both adapters: a loop that is written for its `&Consumer` runs on tokio, on smol and in a simulation.
pub use buffer_driver;
pub use buffer_driver::*;
pub use handles::{Consumer, Inspector, OnTokio, Producer};
pub use open::{open_cloud_store, open_existing_store, open_store};
pub use runtime::TokioRuntime;
pub use store::ObjectStoreAdapter;
