//! How a pipeline works.

use std::time::Duration;

use crate::pipeline::PipelineError;
use crate::producer::Producer;

/// How a [`Pipeline`](super::Pipeline) works: how much at a time, and how long it tries.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::{ConsumedBatch, Pipeline, PipelineConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # for entry in ["one", "two", "three"] {
/// #     producer.produce(vec![entry.into()], "".into()).await?;
/// #     producer.flush().await?;
/// # }
/// # producer.close().await?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// # let stop = async {
/// #     while consumer.stats().acks < 3 {
/// #         tokio::task::yield_now().await;
/// #     }
/// # };
/// // One at a time, for a database that keeps nothing but the last sequence.
/// let config = PipelineConfig { workers: 1, ..PipelineConfig::default() };
/// let last = Mutex::new(None);
/// let store = async |batch: Arc<ConsumedBatch>| {
///     let before = last.lock().unwrap().replace(batch.sequence);
///     assert!(before < Some(batch.sequence), "strictly in order");
///     Ok(())
/// };
/// let stats = Pipeline::new(&consumer, config).run(&store, stop).await?;
/// assert_eq!((stats.stored, last.into_inner()?), (3, Some(2)));
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineConfig {
    /// How many batches are with the sink at a time, at least 1. With 1 the sink gets them strictly in order, and each
    /// once the one before is stored. Default: 4.
    pub workers: usize,
    /// How many batches may be taken and not acknowledged: those behind one that fails are stored meanwhile,
    /// and come again after a restart. At least as many as there are workers. Default: 64.
    pub max_unacknowledged: usize,
    /// How long one call of the sink may take before it is dropped and counts as failed; `Duration::MAX` is for ever.
    /// Default: 1 min.
    pub attempt_timeout: Duration,
    /// How long a batch that failed waits before it is tried again: at the most this, and at the least half of it, by
    /// chance. It doubles with each failure of that batch. Default: 100 ms.
    pub retry_delay: Duration,
    /// To what that grows. Default: 30 s.
    pub retry_delay_max: Duration,
    /// How many failures, time-outs included, make a batch poison that the sink does not call so. `None`, which is the
    /// default, is for a sink that tells the two apart: a database that is away for long must not turn good batches out.
    pub max_attempts: Option<u32>,
    /// How long to wait for what is under way, attempts that are to come included, once the pipeline is told to stop or
    /// something failed. What is late then is dropped: a sink that hangs keeps nobody from stopping. Default: 30 s.
    pub drain_timeout: Duration,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            workers: 4,
            max_unacknowledged: 64,
            attempt_timeout: Duration::from_secs(60),
            retry_delay: Duration::from_millis(100),
            retry_delay_max: Duration::from_secs(30),
            max_attempts: None,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl PipelineConfig {
    pub(super) fn validate(&self) -> Result<(), PipelineError> {
        let wrong = |field, reason| Err(PipelineError::Config { field, reason });
        if self.workers == 0 {
            return wrong("workers", "must be at least 1");
        }
        if self.max_unacknowledged < self.workers {
            return wrong("max_unacknowledged", "must be at least `workers`");
        }
        if self.attempt_timeout.is_zero() {
            return wrong("attempt_timeout", "must not be zero");
        }
        if self.retry_delay.is_zero() || self.retry_delay > self.retry_delay_max {
            return wrong("retry_delay", "must not be zero, nor more than `retry_delay_max`");
        }
        if self.max_attempts == Some(0) {
            return wrong("max_attempts", "must be at least 1, or `None`");
        }
        Ok(())
    }
}

/// What becomes of poison: a batch that the sink calls so ([`SinkError::Poison`](super::SinkError::Poison)), or that
/// failed `max_attempts` times.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{Consumer, ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::{ConsumedBatch, Pipeline, PipelineConfig, Poison, SinkError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config.clone(), store.clone(), clock.clone())?;
/// # producer.produce(vec!["not a number".into()], "".into()).await?;
/// # producer.close().await?;
/// # let config = ProducerConfig {
/// #     data_path_prefix: "poison".into(),
/// #     manifest_path: "poison/manifest".into(),
/// #     ..config
/// # };
/// # let quarantine = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// # let stop = async {
/// #     while consumer.stats().acks < 1 {
/// #         tokio::task::yield_now().await;
/// #     }
/// # };
/// let store = async |batch: Arc<ConsumedBatch>| {
///     let text = str::from_utf8(&batch.entries[0]).map_err(SinkError::poison)?;
///     text.parse::<u64>().map_err(SinkError::poison)?;
///     Ok(())
/// };
/// // A queue of its own, which somebody looks through.
/// let poison = Poison::Quarantine(&quarantine);
/// let pipeline = Pipeline::new(&consumer, PipelineConfig::default()).on_poison(poison);
/// let stats = pipeline.run(&store, stop).await?;
/// assert_eq!((stats.stored, stats.quarantined), (0, 1));
/// assert_eq!(quarantine.stats().batches_durable, 1);
/// # consumer.close().await?;
/// # quarantine.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Poison<'a> {
    /// The pipeline ends, with [`PipelineError::Poison`].
    #[default]
    Stop,
    /// Its entries go to the queue of this producer, with their metadata, and only when they are durable there does it
    /// count as done. They may get there more than once: after a crash in between, or after an outcome that is unknown.
    /// While that queue cannot be written, it is tried again and again.
    Quarantine(&'a Producer),
}
