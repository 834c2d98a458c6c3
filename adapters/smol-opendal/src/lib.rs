//! A stateless buffer in front of a database, kept in object storage: for
//! services on smol, over OpenDAL, with no tokio runtime.
//!
//! The same queues, handles and configuration as in the package `opendata-buffer`,
//! which is for tokio: both come from [`buffer_driver`], and both can work on one queue.
//!
//! ```
//! # use std::sync::Arc;
//! # use buffer_smol::{Consumer, ConsumerConfig, Producer, ProducerConfig, SystemClock};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let store = buffer_smol::StoreLocation::from(directory.path().to_owned());
//! smol::block_on(async {
//!     let config = ProducerConfig { store: store.clone(), ..ProducerConfig::default() };
//!     let producer = Producer::new(config, Arc::new(SystemClock))?;
//!     let handle = producer.produce(vec!["one".into(), "two".into()], "a note".into()).await?;
//!     handle.watcher.await_durable().await?; // uploaded and listed
//!     producer.close().await?;
//!
//!     let config = ConsumerConfig { store, ..ConsumerConfig::default() };
//!     let consumer = Consumer::new(config, Arc::new(SystemClock))?;
//!     consumer.initialize(None).await?; // or Some(the last sequence that the database has)
//!     while let Some(batch) = consumer.next_batch().await? {
//!         assert_eq!(batch.entries, ["one", "two"]); // a database stores them with batch.sequence
//!         consumer.ack(batch.sequence).await?;
//!     }
//!     consumer.close().await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Several batches at a time
//!
//! A [`Pipeline`] hands batches to a [`Sink`], as many at a time as there are workers, tries again what fails, and
//! acknowledges what is stored in order. [`Sink`] tells what a database needs for exactly once then.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use std::sync::{Arc, Mutex};
//! # use std::time::Duration;
//! use buffer_smol::{ConsumedBatch, Pipeline, PipelineConfig};
//! # use buffer_smol::{Consumer, ConsumerConfig, Producer, ProducerConfig, SystemClock};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
//! # let store = buffer_smol::StoreLocation::from("memory:pipeline");
//! # let config = ProducerConfig { store: store.clone(), ..ProducerConfig::default() };
//! # let producer = Producer::new(config, Arc::new(SystemClock))?;
//! # for entry in ["one", "two", "three"] {
//! #     producer.produce(vec![entry.into()], "".into()).await?;
//! #     producer.flush().await?;
//! # }
//! # let config = ConsumerConfig { store, ..ConsumerConfig::default() };
//! # let consumer = Consumer::new(config, Arc::new(SystemClock))?;
//! // The database: what it has already, it does not take again.
//! let rows = Mutex::new(BTreeMap::new());
//! let store = async |batch: Arc<ConsumedBatch>| {
//!     let entries = batch.entries.clone();
//!     rows.lock().unwrap().entry(batch.sequence).or_insert(entries);
//!     Ok(())
//! };
//!
//! consumer.initialize(None).await?;
//! let stop = async {
//!     // A service waits for a signal.
//!     while consumer.stats().acks < 3 {
//!         smol::Timer::after(Duration::from_millis(1)).await;
//!     }
//! };
//! let stats = Pipeline::new(&consumer, PipelineConfig::default()).run(&store, stop).await?;
//! assert_eq!((stats.stored, stats.unfinished), (3, 0));
//! consumer.close().await?; // what is acknowledged leaves the manifest
//! # producer.close().await?;
//! # assert_eq!(rows.into_inner()?[&2], ["three"]);
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Stores
//!
//! [`ProducerConfig::store`] and [`ConsumerConfig::store`] name a directory (by default
//! `.data`, for both alike), `file:///PATH`, `memory:NAME` within one process, or, with the
//! features `aws`, `azure` and `gcp`, a bucket: `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`,
//! `gs://BUCKET/PREFIX`, with the options of [`STORE_OPTIONS`].
//!
//! An operator of your own goes to [`Producer::with_operator`] and [`Consumer::with_operator`]. One
//! that cannot compare and swap is refused by name. It must bring what it needs on smol:
//! [`http_context`] (feature `http`) is an HTTP client and an executor. OpenDAL's own HTTP
//! client, its `RetryLayer`, `TimeoutLayer` and `services-fs`, and credentials in profile
//! files need a tokio runtime, and panic without one. Leave `RetryLayer` out on any runtime:
//! see [`OpendalStore`].
//!
//! # Where it runs
//!
//! Tasks run on smol's global executor, which has threads of its own (`SMOL_THREADS`, by default
//! one) and starts by itself. So the handles can be used on every executor, a tokio runtime
//! included: they wait there, and the work is done beside it. [`SmolRuntime::with_executor`] takes
//! an executor of your own instead. OpenDAL has tokio among its dependencies, for its locks
//! and channels; no runtime is ever started.

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod cloud;
mod handles;
mod open;
#[cfg(doctest)]
mod readme;
mod runtime;
mod store;
#[cfg(feature = "http")]
mod transport;

/// What is below both adapters: a loop that is written for its `&Consumer` runs on tokio, on smol and in a simulation.
pub use buffer_driver;
pub use buffer_driver::*;
pub use handles::{Consumer, Inspector, OnSmol, Producer};
pub use open::{open_existing_store, open_store};
pub use runtime::SmolRuntime;
pub use store::OpendalStore;
#[cfg(feature = "http")]
pub use transport::{HttpOptions, http_context};
