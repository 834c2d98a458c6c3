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
pub type Producer = OnTokio<buffer_driver::Producer>;

/// Reads a queue's batches in order, as the only one who does.
///
/// Everything but its construction is on [`buffer_driver::Consumer`], to which it dereferences: a `&Consumer` is passed for a
/// [`&buffer_driver::Consumer`](crate::buffer_driver::Consumer).
pub type Consumer = OnTokio<buffer_driver::Consumer>;

/// Looks at a queue, and takes nothing from whoever consumes it.
///
/// Everything but its construction is on [`buffer_driver::Inspector`], to which it dereferences. A directory that is
/// not there is not made.
pub type Inspector = OnTokio<buffer_driver::Inspector>;

/// A [`Producer`], a [`Consumer`] or an [`Inspector`] whose work is done on tokio: how both are made.
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
