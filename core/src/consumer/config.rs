//! What a consumer can be told.

use core::time::Duration;

use crate::error::{ConfigError, ConfigProblem};
use crate::producer::validate_paths;
use crate::types::Location;

/// How far a [`Consumer`](super::Consumer) reads ahead, when it dequeues, and how long it tries.
///
/// ```
/// use core::time::Duration;
/// use buffer_core::ConsumerConfig;
///
/// assert!(ConsumerConfig::default().validate().is_ok());
/// let wrong = ConsumerConfig { poll_interval: Duration::from_secs(3), ..ConsumerConfig::default() };
/// assert_eq!(wrong.validate().unwrap_err().field, "poll_interval_max");
/// ```
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// The manifest's key.
    pub manifest_path: Location,
    /// Where the queue's batches lie, as its producers were told.
    pub data_path_prefix: Location,
    /// How many batches may be fetched ahead of the caller.
    pub prefetch_batches: usize,
    /// How many bytes those may take; one batch is always fetched, whatever its size.
    pub prefetch_bytes: usize,
    /// The largest batch that is opened, in bytes of its records.
    pub max_batch_bytes: usize,
    /// After how many acknowledgements the manifest is dequeued.
    pub dequeue_acks: usize,
    /// How long after the first of them it is dequeued at the latest.
    pub dequeue_interval: Duration,
    /// How often the manifest is read while a caller waits for a batch.
    pub poll_interval: Duration,
    /// To what that slows down while nothing comes.
    pub poll_interval_max: Duration,
    /// Whether batches that nobody needs any more are deleted.
    pub gc_enabled: bool,
    /// How long the collector rests between two cycles, and before the first.
    pub gc_interval: Duration,
    /// How long the collector leaves a batch alone. It must be the same for
    /// every producer and consumer of the queue: version 1 cannot check that.
    pub gc_grace_period: Duration,
    /// How long to wait for one request before its outcome counts as unknown.
    pub request_timeout: Duration,
    /// How long a failing request is tried again before its caller is told.
    pub retry_timeout: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            manifest_path: Location::from("ingest/manifest"),
            data_path_prefix: Location::from("ingest"),
            prefetch_batches: 16,
            prefetch_bytes: 256 << 20,
            max_batch_bytes: 1 << 30,
            dequeue_acks: 100,
            dequeue_interval: Duration::from_secs(1),
            poll_interval: Duration::from_millis(100),
            poll_interval_max: Duration::from_secs(2),
            gc_enabled: true,
            gc_interval: Duration::from_secs(300),
            gc_grace_period: Duration::from_secs(600),
            request_timeout: Duration::from_secs(30),
            retry_timeout: Duration::from_secs(120),
        }
    }
}

impl ConsumerConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first field that cannot work, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("prefetch_batches", self.prefetch_batches),
            ("prefetch_bytes", self.prefetch_bytes),
            ("max_batch_bytes", self.max_batch_bytes),
            ("dequeue_acks", self.dequeue_acks),
        ];
        let durations = [
            ("poll_interval", self.poll_interval),
            ("poll_interval_max", self.poll_interval_max),
            ("request_timeout", self.request_timeout),
            ("retry_timeout", self.retry_timeout),
            ("gc_interval", self.gc_interval),
            ("gc_grace_period", self.gc_grace_period),
        ];
        let zero_count = counts.iter().find(|(_, value)| *value == 0).map(|(field, _)| field);
        let zero_duration = durations.iter().find(|(_, value)| value.is_zero()).map(|(f, _)| f);
        if let Some(field) = zero_count.or(zero_duration) {
            return Err(ConfigError::new(field, ConfigProblem::Zero));
        }
        if self.poll_interval_max < self.poll_interval {
            let problem = ConfigProblem::BelowPollInterval {
                found: self.poll_interval_max,
                least: self.poll_interval,
            };
            return Err(ConfigError::new("poll_interval_max", problem));
        }
        validate_paths(&self.data_path_prefix, &self.manifest_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(ConsumerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn each_field_that_cannot_work_is_named() {
        type Break = fn(&mut ConsumerConfig);
        let cases: [(&str, Break); 10] = [
            ("prefetch_batches", |c| c.prefetch_batches = 0),
            ("prefetch_bytes", |c| c.prefetch_bytes = 0),
            ("max_batch_bytes", |c| c.max_batch_bytes = 0),
            ("dequeue_acks", |c| c.dequeue_acks = 0),
            ("poll_interval", |c| c.poll_interval = Duration::ZERO),
            ("poll_interval_max", |c| c.poll_interval_max = Duration::from_millis(1)),
            ("retry_timeout", |c| c.retry_timeout = Duration::ZERO),
            ("gc_interval", |c| c.gc_interval = Duration::ZERO),
            ("gc_grace_period", |c| c.gc_grace_period = Duration::ZERO),
            ("manifest_path", |c| c.manifest_path = Location::from("a//b")),
        ];
        for (field, break_it) in cases {
            let mut config = ConsumerConfig::default();
            break_it(&mut config);
            assert_eq!(config.validate().expect_err(field).field, field);
        }
    }
}
