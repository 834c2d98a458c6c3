//! Producers, consumers and inspectors on smol.

use std::ops::Deref;
use std::sync::Arc;

use buffer_driver::{Clock, ConfigError, Handle, Runtime, Store};
use opendal::Operator;

use crate::open::{open_existing_store, open_store};
use crate::runtime::SmolRuntime;
use crate::store::OpendalStore;

/// Batches entries, uploads the batches, and lists them in the queue's manifest.
///
/// Everything but its construction is on [`buffer_driver::Producer`], to which it dereferences.
///
/// ```
/// # use std::sync::Arc;
/// use buffer_smol::{Producer, ProducerConfig, SystemClock};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # smol::block_on(async {
/// let config = ProducerConfig { store: "memory:doc produce".into(), ..ProducerConfig::default() };
/// let producer = Producer::new(config, Arc::new(SystemClock))?;
/// let handle = producer.produce(vec!["one".into(), "two".into()], "a note".into()).await?;
/// handle.watcher.await_durable().await?; // uploaded and listed
/// assert_eq!(producer.stats().batches_durable, 1);
/// producer.close().await?;
/// # Ok(())
/// # })
/// # }
/// ```
pub type Producer = OnSmol<buffer_driver::Producer>;

/// Reads a queue's batches in order, as the only one who does.
///
/// Everything but its construction is on [`buffer_driver::Consumer`], to which it dereferences: a `&Consumer` is passed for a
/// [`&buffer_driver::Consumer`](crate::buffer_driver::Consumer).
///
/// ```
/// # use std::sync::Arc;
/// use buffer_smol::{Consumer, ConsumerConfig, SystemClock, buffer_driver};
/// # use buffer_smol::{Producer, ProducerConfig};
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
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # smol::block_on(async {
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
/// # })
/// # }
/// ```
pub type Consumer = OnSmol<buffer_driver::Consumer>;

/// Looks at a queue, and takes nothing from whoever consumes it.
///
/// Everything but its construction is on [`buffer_driver::Inspector`], to which it dereferences. A directory that is
/// not there is not made.
///
/// ```
/// # use std::sync::Arc;
/// use buffer_smol::{InspectError, Inspector, InspectorConfig, SystemClock};
/// # use buffer_smol::{Producer, ProducerConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # smol::block_on(async {
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
/// # })
/// # }
/// ```
pub type Inspector = OnSmol<buffer_driver::Inspector>;

/// A [`Producer`], a [`Consumer`] or an [`Inspector`] whose work is done on smol: how both are made.
///
/// ```
/// # use std::sync::Arc;
/// use buffer_smol::{ConfigError, Consumer, ConsumerConfig, Inspector, InspectorConfig};
/// use buffer_smol::{MemoryStore, Producer, ProducerConfig, SystemClock};
/// use opendal::{Operator, services::Memory};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # smol::block_on(async {
/// // Over a store of your own,
/// let (store, clock) = (Arc::new(MemoryStore::new("mine")), Arc::new(SystemClock));
/// let producer = Producer::with_store(ProducerConfig::default(), store.clone(), clock.clone())?;
/// producer.produce(vec!["one".into()], "".into()).await?;
/// producer.close().await?;
/// let inspector = Inspector::with_store(InspectorConfig::default(), store, clock.clone())?;
/// assert_eq!(inspector.status(&inspector.read().await?).depth, 1);
///
/// // over an operator, which must be able to compare and swap as OpenDAL's memory is not,
/// let operator = Operator::new(Memory::default())?;
/// let refused = Consumer::with_operator(ConsumerConfig::default(), operator, clock.clone());
/// assert!(matches!(refused, Err(ConfigError::NoCompareAndSwap { .. })));
///
/// // or by the name of a store.
/// let config = InspectorConfig { store: "memory:another".into(), ..InspectorConfig::default() };
/// assert!(Inspector::new(config, clock)?.read().await.is_err(), "there is no queue");
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct OnSmol<H>(H);

impl<H: Handle> OnSmol<H> {
    /// Over the store that the configuration names, on smol's global executor.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: for a field that cannot work, for a store that cannot
    /// be opened or cannot compare and swap.
    pub fn new(config: H::Config, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime::new());
        let (location, options) = H::place(&config);
        let open = if H::MAKES_STORE { open_store } else { open_existing_store };
        let store = open(location, options, &runtime)?;
        H::over(&config, store, clock, runtime).map(Self)
    }

    /// Over an operator of your own; see [`OpendalStore`]. `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: for a field that cannot work, or an operator that cannot compare and swap.
    pub fn with_operator(
        config: H::Config,
        operator: Operator,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Self::with_store(config, Arc::new(OpendalStore::new(operator)?), clock)
    }

    /// Over a store of your own. `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a field that cannot work.
    pub fn with_store(
        config: H::Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        H::over(&config, store, clock, Arc::new(SmolRuntime::new())).map(Self)
    }
}

impl<H> Deref for OnSmol<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.0
    }
}
