//! What a producer can be told.

use core::time::Duration;

use crate::error::{ConfigError, ConfigProblem};
use crate::format::Compression;
use crate::types::Location;

/// How a [`Producer`](super::Producer) batches, how much it holds, and how long it tries.
///
/// ```
/// use buffer_core::ProducerConfig;
///
/// let config = ProducerConfig::default();
/// assert!(config.validate().is_ok());
/// assert!(config.delivery_timeout < config.half_grace(), "given up before it may be collected");
///
/// let none = ProducerConfig { max_inflight_batches: 0, ..ProducerConfig::default() };
/// assert_eq!(
///     none.validate().unwrap_err().to_string(),
///     "`max_inflight_batches` must be more than zero"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// Batches are named `{data_path_prefix}/{ULID}.batch`.
    pub data_path_prefix: Location,
    /// The manifest's key.
    pub manifest_path: Location,
    /// How long after its first submission a batch is sealed, if a place in flight is free.
    pub flush_interval: Duration,
    /// At how many bytes of entries and metadata a batch is sealed.
    pub flush_size_bytes: usize,
    /// At how many submissions a batch is sealed.
    pub max_buffered_inputs: usize,
    /// How much memory may be taken; past that, submissions are given back. They take three quarters of it, or all
    /// of it if there is but one: the rest is for one submission of each batch that is encoded at the moment, which
    /// is held twice, and for what the allocator has not given back yet. What is uploaded and waits to be listed is
    /// held only as long as there is room: the store has it.
    pub max_buffered_bytes: usize,
    /// How many batches may be uploaded at one time; as many are encoded ahead. Up to eight times as many may be
    /// past sealing and not settled: those that are uploaded wait for a swap. While as many as this wait to be
    /// uploaded, a batch that is not full stays open.
    pub max_inflight_batches: usize,
    /// How a batch's records are compressed.
    pub batch_compression: Compression,
    /// How long after it was sealed, or after `flush_interval` if no place was free then, a batch is given up.
    pub delivery_timeout: Duration,
    /// How long the collector leaves a batch alone. It must be the same for
    /// every producer and consumer of the queue: version 1 cannot check that.
    pub gc_grace_period: Duration,
    /// How long to wait for one request before its outcome counts as unknown.
    pub request_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            data_path_prefix: Location::from("ingest"),
            manifest_path: Location::from("ingest/manifest"),
            flush_interval: Duration::from_millis(100),
            flush_size_bytes: 64 << 20,
            max_buffered_inputs: 1000,
            max_buffered_bytes: 256 << 20,
            max_inflight_batches: 16,
            batch_compression: Compression::None,
            delivery_timeout: Duration::from_secs(120),
            gc_grace_period: Duration::from_secs(600),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl ProducerConfig {
    /// The age past which an upload is not listed any more.
    #[must_use]
    pub fn half_grace(&self) -> Duration {
        self.gc_grace_period / 2
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first field that cannot work, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("flush_size_bytes", self.flush_size_bytes),
            ("max_buffered_inputs", self.max_buffered_inputs),
            ("max_buffered_bytes", self.max_buffered_bytes),
            ("max_inflight_batches", self.max_inflight_batches),
        ];
        let durations = [
            ("delivery_timeout", self.delivery_timeout),
            ("request_timeout", self.request_timeout),
        ];
        let zero_count = counts.iter().find(|(_, value)| *value == 0).map(|(field, _)| field);
        let zero_duration = durations.iter().find(|(_, value)| value.is_zero()).map(|(f, _)| f);
        if let Some(field) = zero_count.or(zero_duration) {
            return Err(ConfigError::new(field, ConfigProblem::Zero));
        }
        if self.delivery_timeout >= self.half_grace() {
            let problem = ConfigProblem::NotBelowHalfGrace {
                found: self.delivery_timeout,
                limit: self.half_grace(),
            };
            return Err(ConfigError::new("delivery_timeout", problem));
        }
        validate_paths(&self.data_path_prefix, &self.manifest_path)
    }
}

/// Checks the two keys that every role of a queue is told.
pub(crate) fn validate_paths(prefix: &Location, manifest: &Location) -> Result<(), ConfigError> {
    let checked = |field, location: &Location| {
        location.validate().map_err(|error| ConfigError::new(field, error.into()))
    };
    checked("data_path_prefix", prefix)?;
    checked("manifest_path", manifest)?;
    // A batch's key adds 33 bytes to the prefix, and a manifest entry holds at most 65,535.
    let longest = prefix.as_str().len() + "/01234567890123456789012345.batch".len();
    if longest > Location::MAX_LEN {
        let error = crate::types::LocationError {
            location: prefix.clone(),
            reason: "it leaves no room for a batch's name",
        };
        return Err(ConfigError::new("data_path_prefix", error.into()));
    }
    if manifest.as_str().ends_with(".batch") {
        let problem = ConfigProblem::ManifestNamedLikeBatch { manifest: manifest.clone() };
        return Err(ConfigError::new("manifest_path", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(ProducerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn each_field_that_cannot_work_is_named() {
        type Break = fn(&mut ProducerConfig);
        let cases: [(&str, Break); 9] = [
            ("flush_size_bytes", |c| c.flush_size_bytes = 0),
            ("max_buffered_inputs", |c| c.max_buffered_inputs = 0),
            ("max_buffered_bytes", |c| c.max_buffered_bytes = 0),
            ("max_inflight_batches", |c| c.max_inflight_batches = 0),
            ("request_timeout", |c| c.request_timeout = Duration::ZERO),
            ("delivery_timeout", |c| c.delivery_timeout = Duration::from_secs(300)),
            ("data_path_prefix", |c| c.data_path_prefix = Location::from("../up")),
            ("manifest_path", |c| c.manifest_path = Location::from("")),
            ("manifest_path", |c| c.manifest_path = Location::from("ingest/x.batch")),
        ];
        for (field, break_it) in cases {
            let mut config = ProducerConfig::default();
            break_it(&mut config);
            assert_eq!(config.validate().expect_err(field).field, field);
        }
    }
}
