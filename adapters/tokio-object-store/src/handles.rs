//! Producers, consumers and inspectors on tokio.

use std::ops::Deref;
use std::sync::Arc;

use buffer_driver::{Clock, ConfigError, Handle, Runtime, Store};
use object_store::ObjectStore;

use crate::open::{open_existing_store, open_store};
use crate::runtime::TokioRuntime;
use crate::store::ObjectStoreAdapter;

/// Batches entries, uploads the batches, and lists them in the queue's manifest.
///
/// Everything but its construction is on [`buffer_driver::Producer`], to which it dereferences.
///
/// ```
/// # use std::sync::Arc;
/// use buffer::{Producer, ProducerConfig, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ProducerConfig { store: "memory:doc produce".into(), ..ProducerConfig::default() };
/// let producer = Producer::new(config, Arc::new(SystemClock))?;
/// let handle = producer.produce(vec!["one".into(), "two".into()], "a note".into()).await?;
/// handle.watcher.await_durable().await?; // uploaded and listed
/// assert_eq!(producer.stats().batches_durable, 1);
/// producer.close().await?;
/// # Ok(())
/// # }
/// ```
pub type Producer = OnTokio<buffer_driver::Producer>;

/// Reads a queue's batches in order, as the only one who does.
///
/// Everything but its construction is on [`buffer_driver::Consumer`], to which it dereferences: a `&Consumer` is passed for a
/// [`&buffer_driver::Consumer`](crate::buffer_driver::Consumer).
///
/// ```
/// # use std::sync::Arc;
/// use buffer::{Consumer, ConsumerConfig, SystemClock, buffer_driver};
/// # use buffer::{Producer, ProducerConfig};
///
/// /// The same for every adapter.
/// async fn drain(consumer: &buffer_driver::Consumer) -> Result<usize, Box<dyn std::error::Error>> {
///     let mut entries = 0;
///     while let Some(batch) = consumer.next_batch().await? {
///         entries += batch.entries.len(); // a database stores them
///         consumer.ack(batch.sequence).await?;
///     }
///     Ok(entries)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = ProducerConfig { store: "memory:doc consume".into(), ..ProducerConfig::default() };
/// # let producer = Producer::new(config, Arc::new(SystemClock))?;
/// # producer.produce(vec!["one".into(), "two".into()], "".into()).await?;
/// # producer.close().await?;
/// let config = ConsumerConfig { store: "memory:doc consume".into(), ..ConsumerConfig::default() };
/// let consumer = Consumer::new(config, Arc::new(SystemClock))?;
/// consumer.initialize(None).await?;
/// assert_eq!(drain(&consumer).await?, 2);
/// consumer.close().await?;
/// # Ok(())
/// # }
/// ```
pub type Consumer = OnTokio<buffer_driver::Consumer>;

/// Looks at a queue, and takes nothing from whoever consumes it.
///
/// Everything but its construction is on [`buffer_driver::Inspector`], to which it dereferences. A directory that is
/// not there is not made.
///
/// ```
/// # use std::sync::Arc;
/// use buffer::{InspectError, Inspector, InspectorConfig, SystemClock};
/// # use buffer::{Producer, ProducerConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = ProducerConfig { store: "memory:doc look".into(), ..ProducerConfig::default() };
/// # let producer = Producer::new(config, Arc::new(SystemClock))?;
/// let config = InspectorConfig { store: "memory:doc look".into(), ..InspectorConfig::default() };
/// let inspector = Inspector::new(config, Arc::new(SystemClock))?;
/// let nobody_produced = inspector.read().await;
/// assert!(matches!(nobody_produced, Err(InspectError::NoQueue { .. })));
///
/// producer.produce(vec!["one".into()], "".into()).await?;
/// producer.flush().await?;
/// assert_eq!(inspector.status(&inspector.read().await?).depth, 1);
/// # producer.close().await?;
/// # Ok(())
/// # }
/// ```
pub type Inspector = OnTokio<buffer_driver::Inspector>;

/// A [`Producer`], a [`Consumer`] or an [`Inspector`] whose work is done on tokio: how both are made.
///
/// ```
/// # use std::sync::Arc;
/// use buffer::{Inspector, InspectorConfig, ObjectStoreAdapter, Producer, ProducerConfig, SystemClock};
/// use object_store::{ObjectStore, memory::InMemory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
/// let (config, clock) = (ProducerConfig::default(), Arc::new(SystemClock));
/// let producer = Producer::with_object_store(config, client.clone(), clock.clone())?;
/// producer.produce(vec!["one".into()], "".into()).await?;
/// producer.close().await?;
///
/// // The same client as a store, and what else is a `Store`.
/// let store = Arc::new(ObjectStoreAdapter::new(client)?);
/// let inspector = Inspector::with_store(InspectorConfig::default(), store, clock.clone())?;
/// assert_eq!(inspector.status(&inspector.read().await?).depth, 1);
///
/// // By the name of a store.
/// let config = InspectorConfig { store: "memory:another".into(), ..InspectorConfig::default() };
/// assert!(Inspector::new(config, clock)?.read().await.is_err(), "there is no queue");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OnTokio<H>(H);

impl<H: Handle> OnTokio<H> {
    /// Over the store that the configuration names, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: outside a runtime, for a field that cannot work, for a
    /// store that cannot be opened or cannot compare and swap.
    pub fn new(config: H::Config, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
        let (location, options) = H::place(&config);
        let open = if H::MAKES_STORE { open_store } else { open_existing_store };
        let store = open(location, options, &runtime)?;
        H::over(&config, store, clock, runtime).map(Self)
    }

    /// Over a client of your own. `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], as [`new`](Self::new).
    pub fn with_object_store(
        config: H::Config,
        client: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Self::with_store(config, Arc::new(ObjectStoreAdapter::new(client)?), clock)
    }

    /// Over a store of your own. `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: outside a runtime, or for a field that cannot work.
    pub fn with_store(
        config: H::Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        H::over(&config, store, clock, Arc::new(TokioRuntime::current()?)).map(Self)
    }
}

impl<H> Deref for OnTokio<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.0
    }
}
