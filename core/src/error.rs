//! Errors that more than one machine meets.

use core::time::Duration;

use crate::format::{Disagreement, FormatError};
use crate::store::StoreError;
use crate::types::{Location, Sequence};

/// A configuration that cannot work: which field, and what would be right.
///
/// ```
/// use buffer_core::ProducerConfig;
/// use core::time::Duration;
///
/// let config =
///     ProducerConfig { delivery_timeout: Duration::from_secs(400), ..ProducerConfig::default() };
/// let error = config.validate().unwrap_err();
/// assert_eq!(error.field, "delivery_timeout");
/// assert_eq!(
///     error.to_string(),
///     "`delivery_timeout` is 400s, but must be less than 300s, half of `gc_grace_period`"
/// );
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
///
/// ```
/// use buffer_core::{ConfigProblem, ProducerConfig};
///
/// let config =
///     ProducerConfig { manifest_path: "ingest/head.batch".into(), ..ProducerConfig::default() };
/// let error = config.validate().unwrap_err();
/// let ConfigProblem::ManifestNamedLikeBatch { manifest } = error.problem else {
///     unreachable!("{error}");
/// };
/// assert_eq!(manifest.as_str(), "ingest/head.batch");
/// ```
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
///
/// ```
/// use buffer_core::format::Manifest;
/// use buffer_core::{
///     Command, Consumer, ConsumerConfig, ConsumerEvent, Ended, Machine, ManifestError, Now, Object,
///     Output, ReadOutcome, Resume, Version, WriteOutcome,
/// };
///
/// // The manifest is there once, changes under the consumer's hands, and is gone from then on.
/// let (bytes, version) = (Manifest::absent().to_rope().concat().into(), Version::from_e_tag("1"));
/// let mut seen = Some(Object { bytes, version, last_modified: None });
///
/// let mut now = Now::default();
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(now, Resume::default())?;
/// let event = loop {
///     match consumer.poll() {
///         Output::Command(Command::ReadManifest(read)) => {
///             let outcome = seen.take().map_or(ReadOutcome::Missing, ReadOutcome::Found);
///             consumer.handle_completion(now, read.ticket.complete(Ok(outcome)));
///         }
///         Output::Command(Command::CasManifest(swap)) => {
///             consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Conflict)));
///         }
///         Output::Command(other) => unreachable!("{other:?} before it has taken over"),
///         Output::Idle { deadline } => {
///             now.monotonic = deadline.expect("it looks again before it believes that");
///             consumer.handle_timeout(now);
///         }
///         Output::Event(event) => break event,
///     }
/// };
/// let ConsumerEvent::Ended(Ended::Manifest(error @ ManifestError::Lost { .. })) = event else {
///     unreachable!("{event:?}");
/// };
/// assert_eq!(
///     error.to_string(),
///     "the manifest ingest/manifest was there and is gone: restore it, or start a new queue"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use buffer_core::{
///     Command, DeliveryFailure, Fault, Instant, Machine, Now, Output, Producer, ProducerConfig,
///     ProducerEvent, StoreError, StoreErrorKind, StoreOperation, Submission,
/// };
/// use core::time::Duration;
///
/// let now = Now::default();
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// producer.submit(now, Submission { entries: vec!["an entry".into()], ..Submission::default() })?;
/// producer.flush(now);
/// while let Output::Command(command) = producer.poll() {
///     let Command::ReadManifest(read) = command else { continue };
///     let (kind, operation) = (StoreErrorKind::Transient, StoreOperation::ReadManifest);
///     let error = StoreError::new(kind, operation, read.location);
///     producer.handle_completion(now, read.ticket.complete(Err(error)));
/// }
///
/// let late = Instant::from_origin(Duration::from_secs(600));
/// producer.handle_timeout(Now { monotonic: late, ..now });
/// let Output::Event(ProducerEvent::Settled { outcome: Err(error), .. }) = producer.poll() else {
///     unreachable!("the batch was given up");
/// };
/// let DeliveryFailure::TimedOut { last: Some(Fault::Store(last)), .. } = error.failure() else {
///     unreachable!("{error}");
/// };
/// assert_eq!(last.kind, StoreErrorKind::Transient);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
