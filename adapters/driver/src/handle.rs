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
///
/// ```
/// use std::sync::Arc;
/// use buffer_driver::{
///     CloudStore, ConfigError, Handle, Inspector, InspectorConfig, Producer, ProducerConfig, Runtime,
///     SystemClock, open_existing_store, open_store,
/// };
///
/// /// What an adapter without buckets does to make any of the three.
/// fn open<H: Handle>(config: &H::Config, runtime: Arc<dyn Runtime>) -> Result<H, ConfigError> {
///     let (location, options) = H::place(config);
///     let no_bucket = |cloud: &CloudStore| Err(ConfigError::missing_feature(cloud));
///     let store = if H::MAKES_STORE {
///         open_store(location, options, &runtime, no_bucket)?
///     } else {
///         open_existing_store(location, options, &runtime, no_bucket)?
///     };
///     H::over(config, store, Arc::new(SystemClock), runtime)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// let config = ProducerConfig { store: "memory:doc handle".into(), ..ProducerConfig::default() };
/// let producer: Producer = open(&config, runtime.clone())?;
/// let config = InspectorConfig { store: "memory:doc handle".into(), ..InspectorConfig::default() };
/// let inspector: Inspector = open(&config, runtime)?;
/// assert_eq!(inspector.store().to_string(), "memory:doc handle");
/// # producer.close().await?;
/// # Ok(())
/// # }
/// ```
pub trait Handle: Sized {
    /// What it is made from.
    type Config;

    /// Whether it makes the store's directory if there is none; one that only looks does not, and
    /// is given [`open_existing_store`](crate::open_existing_store).
    const MAKES_STORE: bool;

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

macro_rules! handles {
    ($($handle:ident from $config:ident, makes its store: $makes_store:literal;)*) => {$(
        impl Handle for $handle {
            type Config = $config;

            const MAKES_STORE: bool = $makes_store;

            fn place(config: &$config) -> (&StoreLocation, &StoreOptions) {
                (&config.store, &config.store_options)
            }

            fn over(
                config: &$config,
                store: Arc<dyn Store>,
                clock: Arc<dyn Clock>,
                runtime: Arc<dyn Runtime>,
            ) -> Result<Self, ConfigError> {
                Self::with_store(config, store, clock, runtime)
            }
        }
    )*};
}

handles! {
    Producer from ProducerConfig, makes its store: true;
    Consumer from ConsumerConfig, makes its store: true;
    Inspector from InspectorConfig, makes its store: false;
}
