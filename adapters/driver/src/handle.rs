//! What producers, consumers and inspectors have in common for whoever makes them.

use std::sync::Arc;

use crate::config::{ConfigError, ConsumerConfig, InspectorConfig, ProducerConfig};
use crate::consumer::Consumer;
use crate::inspect::Inspector;
use crate::producer::Producer;
use crate::runtime::{Clock, Runtime};
use crate::store::Store;
use crate::store_url::{StoreLocation, StoreOptions};

/// A [`Producer`], a [`Consumer`] or an [`Inspector`], which an adapter makes alike.
pub trait Handle: Sized {
    /// What it is made from.
    type Config;

    /// Whether it makes the store's directory if there is none; one that only looks does not, and
    /// is given [`open_existing_store`](crate::open_existing_store).
    const MAKES_STORE: bool = true;

    /// The store that a configuration names, and its options.
    fn place(config: &Self::Config) -> (&StoreLocation, &StoreOptions);

    /// One over this store, whatever the configuration says of it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Field`] for a field that cannot work.
    fn over(
        config: &Self::Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, ConfigError>;
}

impl Handle for Producer {
    type Config = ProducerConfig;

    fn place(config: &ProducerConfig) -> (&StoreLocation, &StoreOptions) {
        (&config.store, &config.store_options)
    }

    fn over(
        config: &ProducerConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, ConfigError> {
        Self::with_store(config, store, clock, runtime)
    }
}

impl Handle for Consumer {
    type Config = ConsumerConfig;

    fn place(config: &ConsumerConfig) -> (&StoreLocation, &StoreOptions) {
        (&config.store, &config.store_options)
    }

    fn over(
        config: &ConsumerConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, ConfigError> {
        Self::with_store(config, store, clock, runtime)
    }
}

impl Handle for Inspector {
    type Config = InspectorConfig;

    const MAKES_STORE: bool = false;

    fn place(config: &InspectorConfig) -> (&StoreLocation, &StoreOptions) {
        (&config.store, &config.store_options)
    }

    fn over(
        config: &InspectorConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, ConfigError> {
        Self::with_store(config, store, clock, runtime)
    }
}
