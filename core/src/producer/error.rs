//! What a producer's caller can be told.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::error::{Fault, ManifestError};
use crate::format::{EncodeError, FormatError};
use crate::store::StoreError;
use crate::types::Sequence;

/// What one `produce` call hands over.
///
/// ```
/// use buffer_core::{Command, Machine, Now, Output, Producer, ProducerConfig, Submission};
///
/// let entries = vec!["one".into(), "two".into()];
/// let submission = Submission { entries, metadata: "from a".into() };
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// let receipt = producer.submit(Now::default(), submission)?;
/// producer.flush(Now::default());
/// let Output::Command(Command::Encode(encode)) = producer.poll() else {
///     unreachable!("it is the first of its batch");
/// };
/// assert_eq!(encode.batch(), receipt.batch);
/// assert_eq!(encode.input_bytes(), 2 * (4 + 3) + 6, "entries with their lengths, and metadata");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// The entries, in order. All of them end up in one batch.
    pub entries: Vec<Bytes>,
    /// The caller's own bytes about them; may be empty.
    pub metadata: Bytes,
}

/// A submission that was not taken. Nothing of it is held, and nothing of it will be delivered.
///
/// ```
/// use buffer_core::{Submission, SubmitError};
///
/// let refused = SubmitError::Empty(Submission::default());
/// assert_eq!(refused.to_string(), "a submission needs at least one entry");
/// assert_eq!(refused.into_submission(), Submission::default());
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It would pass `max_buffered_bytes`. Try again after [`ProducerEvent::Ready`](super::ProducerEvent::Ready).
    #[error(
        "the producer holds as much as `max_buffered_bytes` allows; try again when some of it is stored"
    )]
    Full(Submission),
    /// It has no entries.
    #[error("a submission needs at least one entry")]
    Empty(Submission),
    /// It alone is larger than `max_buffered_bytes`, or than a batch can hold.
    #[error(
        "the submission takes {bytes} bytes and at most {limit} are ever held: split it, or raise `max_buffered_bytes`"
    )]
    TooLarge {
        /// The submission.
        submission: Submission,
        /// What holding it takes, in bytes.
        bytes: usize,
        /// The limit that it is over.
        limit: usize,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed(Submission),
    /// The runtime that the producer ran on has stopped.
    #[error("the producer's runtime stopped")]
    Stopped(Submission),
    /// The queue's manifest is gone or was rolled back; this producer is done.
    #[error("{error}")]
    Manifest {
        /// The submission.
        submission: Submission,
        /// What is wrong with the manifest.
        error: ManifestError,
    },
}

impl SubmitError {
    /// Gives the submission back.
    #[must_use]
    pub fn into_submission(self) -> Submission {
        match self {
            Self::Full(submission)
            | Self::Empty(submission)
            | Self::Closed(submission)
            | Self::Stopped(submission)
            | Self::TooLarge { submission, .. }
            | Self::Manifest { submission, .. } => submission,
        }
    }
}

/// A batch that did not become durable as far as is known.
///
/// ```
/// use buffer_core::{DeliveryError, DeliveryFailure};
///
/// let error = DeliveryError::Unknown(DeliveryFailure::Stopped);
/// assert!(error.is_unknown());
/// assert_eq!(error.to_string(), "outcome unknown: the producer's runtime stopped");
/// assert!(matches!(error.failure(), DeliveryFailure::Stopped));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// It is not in the queue and never will be. Submitting it again repeats nothing.
    #[error("not delivered: {0}")]
    NotDelivered(#[source] DeliveryFailure),
    /// It may be in the queue, or may still get there, once. Submitting it again may repeat it.
    #[error("outcome unknown: {0}")]
    Unknown(#[source] DeliveryFailure),
}

impl DeliveryError {
    /// Whether the batch may have been delivered all the same.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// What stood in the way.
    #[must_use]
    pub const fn failure(&self) -> &DeliveryFailure {
        match self {
            Self::NotDelivered(failure) | Self::Unknown(failure) => failure,
        }
    }
}

/// What stood in a batch's way.
///
/// ```
/// use buffer_core::{
///     Instant, Machine, Now, Output, Producer, ProducerConfig, ProducerEvent, Submission,
/// };
/// use core::time::Duration;
///
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
/// producer.submit(Now::default(), submission)?;
/// let late = Instant::from_origin(Duration::from_secs(600));
/// producer.handle_timeout(Now { monotonic: late, ..Now::default() });
/// let outcome = loop {
///     match producer.poll() {
///         Output::Event(ProducerEvent::Settled { outcome, .. }) => break outcome,
///         // That its bytes are to be made, which nobody waits for any more.
///         Output::Command(_) => {}
///         other => unreachable!("{other:?}"),
///     }
/// };
/// let error = outcome.unwrap_err();
/// assert_eq!(error.failure().name(), "timed_out");
/// assert_eq!(error.to_string(), "not delivered: gave up after 120s");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryFailure {
    /// `delivery_timeout` passed.
    #[error("gave up after {after:?}{}", match last { Some(last) => alloc::format!("; the last failure was: {last}"), None => alloc::string::String::new() })]
    TimedOut {
        /// The time-out.
        after: Duration,
        /// What had gone wrong until then.
        last: Option<Fault>,
    },
    /// The store refused in a way that waiting does not mend.
    #[error(transparent)]
    Store(StoreError),
    /// The manifest is corrupt, however often it is read. Nobody writes on top of it.
    #[error(transparent)]
    Corrupt(FormatError),
    /// The batch cannot be written in format version 1.
    #[error(transparent)]
    Encode(EncodeError),
    /// The manifest is gone or was rolled back.
    #[error(transparent)]
    Manifest(ManifestError),
    /// The reply to the swap was lost, and its place in the queue was dequeued before it could be looked up.
    #[error("sequence {sequence} was dequeued before it could be seen who had it")]
    Overtaken {
        /// The sequence that the batch would have got.
        sequence: Sequence,
    },
    /// A clock says that so much time has passed since its upload that it may be collected any moment, and its
    /// bytes, which another upload would need, had made room for others.
    #[error("it was uploaded more than {limit:?} ago, and its bytes are not held any more")]
    TooOld {
        /// How long after its upload it could be listed: half of the grace period.
        limit: Duration,
    },
    /// The host stopped before the batch was settled.
    #[error("the producer's runtime stopped")]
    Stopped,
}

impl DeliveryFailure {
    /// What it is called in metrics, such as `timed_out`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "timed_out",
            Self::Store(_) => "store",
            Self::Corrupt(_) => "corrupt",
            Self::Encode(_) => "encode",
            Self::Manifest(_) => "manifest",
            Self::Overtaken { .. } => "overtaken",
            Self::TooOld { .. } => "too_old",
            Self::Stopped => "stopped",
        }
    }
}
