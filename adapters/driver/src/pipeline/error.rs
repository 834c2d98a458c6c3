//! What a sink can say, and what a pipeline's caller can be told.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::{AckError, Ended, NextError, SubmitError};

/// Why a sink did not store a batch.
///
/// ```
/// use buffer_driver::SinkError;
///
/// /// How a database's answer is told to the pipeline.
/// fn explain(code: u16, text: &str) -> SinkError {
///     match code {
///         400..500 => SinkError::poison(text), // it will never take this
///         _ => SinkError::failed(text),        // it may be back soon
///     }
/// }
///
/// assert!(matches!(explain(503, "busy"), SinkError::Failed(_)));
/// assert_eq!(explain(422, "no number").to_string(), "the batch is poison: no number");
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// It may go well another time: the database is away, or busy. Tried again with back-off.
    #[error("{0}")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// The batch is at fault, and will be however often it is tried.
    #[error("the batch is poison: {0}")]
    Poison(#[source] Arc<dyn Error + Send + Sync>),
    /// The sink took longer than `attempt_timeout`, and was dropped. Tried again with back-off.
    #[error("the sink did not end within {after:?}")]
    TimedOut {
        /// The time-out.
        after: Duration,
    },
}

impl SinkError {
    /// A failure that may be over the next time.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into().into())
    }

    /// A batch that this sink will never take.
    pub fn poison(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Poison(error.into().into())
    }
}

/// Why a pipeline ended without being told to.
///
/// What it had acknowledged stays so. Unless the variant says otherwise it has taken nothing since the failure, and
/// waited for what was under way, at the most for `drain_timeout`. It can be run again after another `initialize` of
/// its consumer, which brings back what was taken and not acknowledged.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::{ConsumedBatch, Pipeline, PipelineConfig, PipelineError, SinkError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["not a number".into()], "".into()).await?;
/// # producer.close().await?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// let store = async |_: Arc<ConsumedBatch>| Err(SinkError::poison("no number"));
/// let pipeline = Pipeline::new(&consumer, PipelineConfig::default());
/// let error = pipeline.run(&store, std::future::pending()).await.unwrap_err();
/// assert!(matches!(error, PipelineError::Poison { sequence: 0, attempts: 1, .. }));
/// let told = "batch 0 was not stored after 1 attempts: the batch is poison: no number";
/// assert_eq!(error.to_string(), told);
/// assert_eq!(consumer.stats().acks, 0, "it stays in the queue");
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A field of the configuration cannot work.
    #[error("configuration: {field} {reason}")]
    Config {
        /// The field.
        field: &'static str,
        /// What would be right.
        reason: &'static str,
    },
    /// The consumer ended: [`Ended::Fenced`] above all, which is a successor's doing. The sink's calls that were under
    /// way were dropped, and nothing was acknowledged since: those batches are the successor's. This consumer is of no
    /// more use.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The next batch cannot be had. If it is missing or corrupt, the consumer's `skip` goes past it; if the store
    /// failed for longer than `retry_timeout`, another run tries again. Neither needs another `initialize` if all that
    /// was taken got stored: if not, such a run ends with [`Ack`](Self::Ack).
    #[error(transparent)]
    Next(NextError),
    /// A batch is poison, and the policy is to stop. It is not acknowledged, nor is any behind it, though these may be
    /// stored.
    #[error("batch {sequence} was not stored after {attempts} attempts: {source}")]
    Poison {
        /// The batch.
        sequence: u64,
        /// How often it was tried.
        attempts: u32,
        /// What the sink said last.
        source: SinkError,
    },
    /// The queue for poison does not take it: its producer is closed, or holds too few bytes. The batch is not
    /// acknowledged, nor is any behind it.
    #[error("batch {sequence} cannot go into quarantine: {source}")]
    Quarantine {
        /// The batch.
        sequence: u64,
        /// What the producer said.
        source: SubmitError,
    },
    /// A batch is stored, and cannot be acknowledged: an earlier run left one before it unfinished, or somebody beside
    /// the pipeline takes or acknowledges this consumer's batches, or initialized it again. The sink's calls were dropped.
    #[error(
        "batch {sequence} is stored, but not all before it that this consumer took: `initialize` it again ({source})"
    )]
    Ack {
        /// The batch.
        sequence: u64,
        /// What the consumer said.
        source: AckError,
    },
}
