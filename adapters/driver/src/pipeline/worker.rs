//! One batch on its way into the sink.

use std::sync::Arc;

use buffer_core::SubmitError;
use bytes::Bytes;
use futures_lite::future;

use crate::batch::ConsumedBatch;
use crate::pipeline::{Pipeline, PipelineError, Poison, Sink, SinkError};
use crate::producer::{DurabilityWatcher, Producer};
use crate::runtime::Runtime;

/// What became of a batch that is done with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Stored,
    Quarantined,
}

/// Brings one batch into the sink, however often that takes.
pub(super) struct Worker<'a, S> {
    pub(super) pipeline: &'a Pipeline<'a>,
    pub(super) sink: &'a S,
    pub(super) batch: Arc<ConsumedBatch>,
}

impl<S: Sink> Worker<'_, S> {
    pub(super) async fn deliver(self) -> Result<Fate, PipelineError> {
        let Pipeline { config, poison, .. } = self.pipeline;
        let sequence = self.batch.sequence;
        let mut attempts = 0;
        loop {
            let Err(error) = self.attempt().await else { return Ok(Fate::Stored) };
            attempts += 1;
            let spent = config.max_attempts.is_some_and(|most| attempts >= most);
            if matches!(error, SinkError::Poison(_)) || spent {
                match poison {
                    Poison::Stop => {
                        return Err(PipelineError::Poison { sequence, attempts, source: error });
                    }
                    Poison::Quarantine(producer) => {
                        tracing::error!(sequence, attempts, %error, "a batch goes into quarantine");
                        self.quarantine(producer).await?;
                        return Ok(Fate::Quarantined);
                    }
                }
            }
            tracing::warn!(sequence, attempts, %error, "a batch was not stored");
            self.rest(attempts).await;
        }
    }

    async fn attempt(&self) -> Result<(), SinkError> {
        let (runtime, after) = (self.runtime(), self.pipeline.config.attempt_timeout);
        let late = async {
            runtime.sleep_until(runtime.monotonic() + after).await;
            Err(SinkError::TimedOut { after })
        };
        future::or(self.sink.store(Arc::clone(&self.batch)), late).await
    }

    /// Waits between half of the back-off and all of it, so that batches which failed together come apart.
    async fn rest(&self, failures: u32) {
        let config = &self.pipeline.config;
        let doubled = config.retry_delay.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let window = doubled.min(config.retry_delay_max);
        let runtime = self.runtime();
        let draw = runtime.entropy() as f64 / u64::MAX as f64;
        runtime.sleep_until(runtime.monotonic() + window.mul_f64(0.5 + 0.5 * draw)).await;
    }

    /// Submits the entries to another queue until they are durable there.
    async fn quarantine(&self, producer: &Producer) -> Result<(), PipelineError> {
        let sequence = self.batch.sequence;
        let mut failures = 0;
        loop {
            let submitted = self.submit_to(producer).await;
            let watchers =
                submitted.map_err(|source| PipelineError::Quarantine { sequence, source })?;
            let mut outcome = Ok(());
            for watcher in watchers {
                outcome = outcome.and(watcher.await_durable().await);
            }
            let Err(error) = outcome else { return Ok(()) };
            failures += 1;
            tracing::warn!(sequence, failures, %error, "a batch did not get into quarantine");
            self.rest(failures).await;
        }
    }

    /// Makes a submission of each range of entries that have metadata in common.
    async fn submit_to(&self, producer: &Producer) -> Result<Vec<DurabilityWatcher>, SubmitError> {
        let ConsumedBatch { entries, metadata, .. } = &*self.batch;
        let starts = metadata.iter().map(|item| item.start_index as usize);
        let ends = starts.skip(1).chain([entries.len()]);
        let mut watchers = Vec::new();
        let mut begin = 0;
        for (item, end) in metadata.iter().map(|item| item.payload.clone()).zip(ends) {
            if begin < end {
                let handle = producer.produce(entries[begin..end].to_vec(), item).await?;
                watchers.push(handle.watcher);
                begin = end;
            }
        }
        if begin < entries.len() {
            let handle = producer.produce(entries[begin..].to_vec(), Bytes::new()).await?;
            watchers.push(handle.watcher);
        }
        Ok(watchers)
    }

    fn runtime(&self) -> &dyn Runtime {
        self.pipeline.consumer.runtime()
    }
}
