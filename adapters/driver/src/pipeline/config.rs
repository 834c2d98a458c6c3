//! How a pipeline works.

use std::time::Duration;

use crate::pipeline::PipelineError;
use crate::producer::Producer;

/// How a [`Pipeline`](super::Pipeline) works: how much at a time, and how long it tries.
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
