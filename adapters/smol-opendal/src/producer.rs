//! The producer on smol.

use std::ops::Deref;
use std::sync::Arc;

use buffer_driver::{Clock, ConfigError, ProducerConfig, Runtime, Store};
use opendal::Operator;

use crate::open::open_store;
use crate::runtime::SmolRuntime;
use crate::store::OpendalStore;

/// Batches entries, uploads the batches, and lists them in the queue's manifest.
///
/// Everything but its construction is on [`buffer_driver::Producer`], to which it dereferences.
#[derive(Debug)]
pub struct Producer(buffer_driver::Producer);

impl Producer {
    /// A producer over the store that the configuration names, on smol's global executor.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: for a field that cannot work, for a store that cannot
    /// be opened or cannot compare and swap.
    pub fn new(config: ProducerConfig, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime::new());
        let store = open_store(&config.store, &config.store_options, &runtime)?;
        buffer_driver::Producer::with_store(&config, store, clock, runtime).map(Self)
    }

    /// A producer over an operator of your own; see [`OpendalStore`]. `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: for a field that cannot work, or an operator that cannot compare and swap.
    pub fn with_operator(
        config: ProducerConfig,
        operator: Operator,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Self::with_store(config, Arc::new(OpendalStore::new(operator)?), clock)
    }

    /// A producer over a store of your own. `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a field that cannot work.
    pub fn with_store(
        config: ProducerConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let runtime = Arc::new(SmolRuntime::new());
        buffer_driver::Producer::with_store(&config, store, clock, runtime).map(Self)
    }
}

impl Deref for Producer {
    type Target = buffer_driver::Producer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
