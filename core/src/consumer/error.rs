//! What a consumer's caller can be told.

use crate::error::{Fault, ManifestError};
use crate::format::FormatError;
use crate::store::StoreError;
use crate::types::{Epoch, Location, Sequence};

/// Why a consumer does nothing any more. It stays so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// Another consumer took over. Whatever was acknowledged and not yet dequeued is its to decide.
    #[error("fenced: the consumer of epoch {epoch} was replaced by that of epoch {by}")]
    Fenced {
        /// This consumer's epoch.
        epoch: Epoch,
        /// The epoch that replaced it.
        by: Epoch,
    },
    /// The manifest is gone or was rolled back.
    #[error(transparent)]
    Manifest(ManifestError),
    /// It was closed.
    #[error("the consumer is closed")]
    Closed,
    /// The host stopped.
    #[error("the consumer's runtime stopped")]
    Stopped,
}

/// Why a consumer could not take over.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitializeError {
    /// The stored sequence was never given out by this queue: its manifest was recreated, or the path is wrong.
    #[error(
        "the queue at {location} has only got to sequence {next}, but {last} is said to be consumed: \
         is the path right? If the queue was recreated, accept that by `accept_reset`"
    )]
    AheadOfQueue {
        /// The manifest's key.
        location: Location,
        /// The sequence that the caller resumes after.
        last: Sequence,
        /// The next sequence that the queue will give.
        next: Sequence,
    },
    /// Batches after the stored sequence are gone from the queue: the database was restored from an old backup.
    #[error(
        "the queue at {location} starts at sequence {first}, but the one after {last} is wanted: \
         what lies between was dequeued. If it is lost for good, accept that by `accept_gap`"
    )]
    BehindQueue {
        /// The manifest's key.
        location: Location,
        /// The sequence that the caller resumes after.
        last: Sequence,
        /// The first sequence that is still listed, or the next one if none is.
        first: Sequence,
    },
    /// Every epoch was used; the queue cannot change hands any more.
    #[error("the queue at {location} has used every epoch")]
    EpochsExhausted {
        /// The manifest's key.
        location: Location,
    },
    /// The store failed for good, or for longer than `retry_timeout`, or the manifest is corrupt.
    #[error("could not take over: {0}")]
    Fault(#[source] Fault),
    /// The consumer ended before.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why there is no next batch.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NextError {
    /// [`Consumer::initialize`](super::Consumer::initialize) has not succeeded yet.
    #[error("the consumer has not taken over yet: call `initialize` first")]
    NotInitialized,
    /// The consumer ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// A listed batch is not in the store. The cursor stays before it; `skip` goes past it.
    #[error("batch {sequence} is listed, but there is no object {location}")]
    BatchMissing {
        /// Its sequence.
        sequence: Sequence,
        /// Its key.
        location: Location,
    },
    /// A batch is not what it should be. The cursor stays before it; `skip` goes past it.
    #[error("batch {sequence}: {source}")]
    BatchCorrupt {
        /// Its sequence.
        sequence: Sequence,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A batch could not be read, for good or for longer than `retry_timeout`. The next call tries again.
    #[error("batch {sequence}: {source}")]
    BatchUnreadable {
        /// Its sequence.
        sequence: Sequence,
        /// What the store said last.
        source: StoreError,
    },
    /// The manifest could not be read, for good or for longer than `retry_timeout`. The next call tries again.
    #[error(transparent)]
    ManifestUnreadable(Fault),
}

/// Why an acknowledgement was not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckRefusal {
    /// It is acknowledged already.
    #[error("batch {sequence} is acknowledged already")]
    AlreadyAcknowledged {
        /// What the caller named.
        sequence: Sequence,
    },
    /// This consumer has not handed it out.
    #[error("batch {sequence} was not handed out by this consumer")]
    NotHandedOut {
        /// What the caller named.
        sequence: Sequence,
    },
    /// An earlier batch was not acknowledged.
    #[error(
        "batch {sequence} cannot be acknowledged before batch {expected}; `ack_through` takes both"
    )]
    OutOfOrder {
        /// What the caller named.
        sequence: Sequence,
        /// What comes first.
        expected: Sequence,
    },
}

/// Why an acknowledgement was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The sequence is not one that can be acknowledged now.
    #[error(transparent)]
    Refused(#[from] AckRefusal),
    /// The consumer ended: what it acknowledged before may not have been dequeued.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why acknowledged batches could not be dequeued. They stay acknowledged, and it is tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The store failed for good, or for longer than `retry_timeout`.
    #[error("acknowledged batches are not dequeued yet: {0}")]
    Fault(#[source] Fault),
    /// The consumer was initialized again meanwhile, and knows no more what was acknowledged before.
    #[error("the consumer was initialized again before what it had acknowledged was dequeued")]
    Reinitialized,
    /// The consumer ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a batch was not skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipError {
    /// Only the very next batch can be skipped.
    #[error("batch {sequence} is not the next one{}", match next { Some(next) => alloc::format!(", that is {next}"), None => alloc::string::String::new() })]
    NotNext {
        /// What the caller named.
        sequence: Sequence,
        /// What comes next, if anything is listed.
        next: Option<Sequence>,
    },
    /// The consumer ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a cycle of the collector ended before it was through. Nothing is lost by it: the next one tries again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// No batch was ever listed in this manifest: its path may be wrong, and what lies under the prefix another queue's.
    #[error("nothing was ever listed in this queue, so that nothing is known to be its own")]
    NeverUsed,
    /// A listed batch does not lie right under `data_path_prefix`, so that what lies there may be another queue's.
    #[error(
        "the queue lists {location}, which does not lie under `data_path_prefix`: is that right?"
    )]
    OtherPrefix {
        /// The batch that is listed.
        location: Location,
    },
    /// The store does not say when the manifest was written, or says what cannot be.
    #[error("the store does not tell when the manifest was written")]
    NoTime,
    /// The store says that a batch was written well after the manifest that lists it.
    #[error("by the store's clock the manifest is older than {location}, which it lists")]
    TimeNonsense {
        /// The batch that is listed.
        location: Location,
    },
    /// The manifest could not be read, for good or for longer than `retry_timeout`.
    #[error(transparent)]
    ManifestUnreadable(Fault),
    /// The batches could not be listed, for good or several times in a row.
    #[error(transparent)]
    NotListed(StoreError),
    /// None of the batches of one request could be deleted. This is what the store said of the last.
    #[error(transparent)]
    NotDeleted(StoreError),
}
