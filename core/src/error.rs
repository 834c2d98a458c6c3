//! Errors that more than one machine meets.

use core::time::Duration;

use crate::format::{Disagreement, FormatError};
use crate::store::StoreError;
use crate::types::{Location, Sequence};

/// A configuration that cannot work: which field, and what would be right.
///
/// ```
/// use core::time::Duration;
/// use buffer_core::ProducerConfig;
///
/// let config = ProducerConfig { delivery_timeout: Duration::from_secs(400), ..ProducerConfig::default() };
/// let error = config.validate().unwrap_err();
/// assert_eq!(error.field, "delivery_timeout");
/// assert_eq!(error.to_string(), "`delivery_timeout` is 400s, but must be less than 300s, half of `gc_grace_period`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub problem: ConfigProblem,
}

/// What is wrong with a field of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// It must be more than zero.
    #[error("must be more than zero")]
    Zero,
    /// It must stay below another value.
    #[error("is {found:?}, but must be less than {limit:?}, half of `gc_grace_period`")]
    NotBelowHalfGrace {
        /// What it is.
        found: Duration,
        /// What it must stay below.
        limit: Duration,
    },
    /// It must not be less than `poll_interval`.
    #[error("is {found:?}, but must be at least `poll_interval`, {least:?}")]
    BelowPollInterval {
        /// What it is.
        found: Duration,
        /// What it must not stay below.
        least: Duration,
    },
    /// It is no key for an object.
    #[error("{0}")]
    Location(#[from] crate::types::LocationError),
    /// Batches would lie where the manifest is.
    #[error("is {manifest}, which is a name for a batch: choose one that does not end in `.batch`")]
    ManifestNamedLikeBatch {
        /// The manifest's key.
        manifest: Location,
    },
}

impl ConfigError {
    pub(crate) const fn new(field: &'static str, problem: ConfigProblem) -> Self {
        Self { field, problem }
    }
}

/// The manifest is not the one that was seen before. The queue needs an
/// operator: nothing is read or written on a guess.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It was there and is gone.
    #[error("the manifest {location} was there and is gone: restore it, or start a new queue")]
    Lost {
        /// Its key.
        location: Location,
    },
    /// It is older than what was seen before, or another queue's.
    #[error("the manifest {location} is not the one seen before: {source}")]
    RolledBack {
        /// Its key.
        location: Location,
        /// What contradicts what was seen.
        source: Disagreement,
    },
    /// Batches that the only consumer has not taken are gone from it.
    #[error(
        "the manifest {location} starts at sequence {first}, but {expected} was never taken: something else dequeued it"
    )]
    EntriesMissing {
        /// Its key.
        location: Location,
        /// The sequence that this consumer would have taken next.
        expected: Sequence,
        /// The first sequence that is still listed, or the next one if none is.
        first: Sequence,
    },
}

/// What went wrong last with a request that is tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store answered with bytes that make no sense.
    #[error(transparent)]
    Format(#[from] FormatError),
}
