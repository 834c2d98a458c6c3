//! How a caller learns what became of its entries.

use std::sync::{Arc, OnceLock};

use buffer_core::DeliveryError;
use event_listener::Event;

#[cfg(doc)]
use super::Producer;

/// What [`Producer::produce`] returns: how to follow the entries.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let flush_interval = std::time::Duration::from_secs(60); // however slow the machine is
/// # let config = ProducerConfig { flush_interval, ..ProducerConfig::default() };
/// # let producer = buffer::Producer::with_store(config, store, clock)?;
/// let one = producer.produce(vec!["one".into()], "".into()).await?;
/// let other = producer.produce(vec!["other".into()], "".into()).await?;
/// assert!(one.watcher.is_same_batch(&other.watcher), "waiting for one of them is enough");
/// assert!(one.ingestion_time_ms > 0, "to be looked up in the batch's metadata");
/// producer.flush().await?;
/// other.watcher.await_durable().await?;
/// # producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WriteHandle {
    /// Tells when the entries are durable.
    pub watcher: DurabilityWatcher,
    /// The wall-clock time that the entries were stamped with, in milliseconds since the Unix epoch.
    pub ingestion_time_ms: i64,
}

/// Tells when a submission is durable, or that it will not be.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = ProducerConfig { store: "memory:doc watcher".into(), ..ProducerConfig::default() };
/// # let producer = buffer::Producer::new(config, Arc::new(SystemClock))?;
/// let handle = producer.produce(vec!["an entry".into()], "".into()).await?;
/// let watcher = handle.watcher.clone(); // for somebody else to wait with
/// assert!(watcher.is_same_batch(&handle.watcher));
/// assert!(watcher.result().is_none(), "the flush interval has not passed");
/// handle.watcher.await_durable().await?;
/// assert!(watcher.result().is_some_and(|result| result.is_ok()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DurabilityWatcher {
    pub(super) batch: Arc<Settlement>,
}

/// The fate of one batch, shared by all who wait for it.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    pub(super) outcome: OnceLock<Result<(), DeliveryError>>,
    pub(super) settled: Event,
}

impl DurabilityWatcher {
    /// How it ended, or `None` while it has not.
    #[must_use]
    pub fn result(&self) -> Option<Result<(), DeliveryError>> {
        self.batch.outcome.get().cloned()
    }

    /// Whether both follow the same batch, and so will always tell the same.
    #[must_use]
    pub fn is_same_batch(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.batch, &other.batch)
    }

    /// Waits until the entries are uploaded and listed. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`DeliveryError::NotDelivered`] when they are not in the queue and never will be;
    /// [`DeliveryError::Unknown`] when they may be.
    pub async fn await_durable(&self) -> Result<(), DeliveryError> {
        loop {
            let listener = self.batch.settled.listen();
            if let Some(outcome) = self.result() {
                return outcome;
            }
            listener.await;
        }
    }
}
