//! What a pipeline hands batches to.

use std::future::Future;
use std::sync::Arc;

use crate::batch::ConsumedBatch;
use crate::pipeline::SinkError;

/// Where a [`Pipeline`](super::Pipeline) puts batches: a database, most often.
///
/// A function that takes an `Arc<ConsumedBatch>` and returns such a future is one.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use buffer_driver::{ConsumedBatch, Sink, SinkError};
///
/// /// Counts what it is given; a database would keep it.
/// #[derive(Default)]
/// struct Counter(Mutex<usize>);
///
/// impl Sink for Counter {
///     async fn store(&self, batch: Arc<ConsumedBatch>) -> Result<(), SinkError> {
///         *self.0.lock().unwrap() += batch.entries.len();
///         Ok(())
///     }
/// }
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into(), "two".into()], "".into()).await?;
/// # producer.close().await?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// # let batch = consumer.wait_batch().await?;
/// let counter = Counter::default();
/// counter.store(Arc::new(batch)).await?; // as a pipeline calls it
/// assert_eq!(counter.0.into_inner()?, 2);
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Exactly once
///
/// A sink may get a batch again: after a failure whose effect was there all the same, after a time-out, after a
/// restart, and as the successor of a consumer that is fenced and does not know it yet. With several workers it gets
/// them out of order besides, so that *the last sequence* tells nothing about those before it. Keep a row for each batch,
/// **in the same transaction as its entries**, and let the database refuse a second one:
///
/// ```sql
/// CREATE TABLE batches (sequence BIGINT PRIMARY KEY, location TEXT NOT NULL UNIQUE);
///
/// BEGIN;
/// INSERT INTO batches VALUES (:sequence, :location); -- refused: it is there, so roll back and return Ok(())
/// INSERT INTO entries VALUES ...;
/// COMMIT;                                            -- only then return Ok(())
/// ```
///
/// A batch's `location` is its own for ever. If a sequence is there with another location, this is another queue, or one
/// that was made anew: fail. If a location is there with another sequence, it is the one repeat that version 1 of the
/// format has (see the project's README): it is stored.
///
/// Begin with `initialize(None)`: the queue knows what it has not dequeued, and gives that again. A row may be deleted
/// once its batch has left the queue and no call that may still write it is under way.
///
/// With one worker batches come in order, and one row with the last sequence will do; the consumer then resumes
/// with `initialize(Some(last))`.
pub trait Sink: Send + Sync {
    /// Stores a batch. `Ok` says that it is there whatever happens: the queue may forget it after that.
    ///
    /// It is called with several batches at a time, but with each at one time only once. A call that takes longer than
    /// `attempt_timeout`, and all that are under way when a pipeline ends early, are dropped where they wait. What
    /// such a call has started in another task or thread goes on, and may meet the next attempt there.
    fn store(
        &self,
        batch: Arc<ConsumedBatch>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;
}

impl<F, R> Sink for F
where
    F: Fn(Arc<ConsumedBatch>) -> R + Send + Sync,
    R: Future<Output = Result<(), SinkError>> + Send,
{
    fn store(
        &self,
        batch: Arc<ConsumedBatch>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send {
        self(batch)
    }
}
