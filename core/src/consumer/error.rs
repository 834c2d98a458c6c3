//! What a consumer's caller can be told.

use crate::error::{Fault, ManifestError};
use crate::format::FormatError;
use crate::store::StoreError;
use crate::types::{Epoch, Location, Sequence};

/// Why a consumer does nothing any more. It stays so.
///
/// ```
/// # use buffer_core::{format::*, *};
/// use buffer_core::Ended;
///
/// # let now = Now::default();
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// # let version = Version::from_e_tag("1");
/// # consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Stored(version))));
/// # while let Output::Event(_) = consumer.poll() {}
/// // A consumer that has taken over looks for a batch, and finds that another one has taken over since.
/// consumer.next(now, consumer.mark(), false)?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// let bytes = Manifest::absent().with_epoch(Epoch(2)).to_rope().concat().into();
/// let object = Object { bytes, version: Version::from_e_tag("2"), last_modified: None };
/// consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Found(object))));
/// assert_eq!(consumer.ended(), Some(&Ended::Fenced { epoch: Epoch(1), by: Epoch(2) }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use buffer_core::{
///     Command, Consumer, ConsumerConfig, ConsumerEvent, Machine, Now, Output, ReadOutcome, Resume,
///     Sequence,
/// };
///
/// let now = Now::default();
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(now, Resume::after(Some(Sequence(7))))?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// // There is no queue at this path, and so none that could have got to sequence 7.
/// consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// let Output::Event(ConsumerEvent::InitializeFailed(error)) = consumer.poll() else { unreachable!() };
/// assert_eq!(
///     error.to_string(),
///     "the queue at ingest/manifest has only got to sequence 0, but 7 is said to be consumed: \
///      is the path right? If the queue was recreated, accept that by `accept_reset`"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// # use buffer_core::{format::*, *};
/// use buffer_core::NextError;
///
/// # let now = Now::default();
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// # let version = Version::from_e_tag("1");
/// # consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Stored(version))));
/// # while let Output::Event(_) = consumer.poll() {}
/// // A consumer has taken over, and then somebody took away its permission to read.
/// let since = consumer.mark();
/// consumer.next(now, since, false)?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// let (kind, operation) = (StoreErrorKind::Denied, StoreOperation::ReadManifest);
/// let denied = StoreError::new(kind, operation, read.location);
/// consumer.handle_completion(now, read.ticket.complete(Err(denied)));
/// match consumer.next(now, since, false) {
///     Err(NextError::ManifestUnreadable(fault)) => {
///         assert_eq!(fault.to_string(), "reading manifest ingest/manifest: the store denied access");
///     }
///     Ok(_) | Err(_) => unreachable!(),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use buffer_core::{AckError, AckRefusal, Consumer, ConsumerConfig, Now, Sequence};
///
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// let refusal = AckRefusal::NotHandedOut { sequence: Sequence(3) };
/// assert_eq!(consumer.ack(Now::default(), Sequence(3)), Err(AckError::Refused(refusal)));
/// assert_eq!(refusal.to_string(), "batch 3 was not handed out by this consumer");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use buffer_core::{AckError, Consumer, ConsumerConfig, Ended, Now, Sequence};
///
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// let refused = consumer.ack_through(Now::default(), Sequence(3));
/// assert!(matches!(refused, Err(AckError::Refused(_))), "the caller is mistaken");
/// consumer.close(Now::default());
/// let ended = consumer.ack_through(Now::default(), Sequence(3));
/// assert_eq!(ended, Err(AckError::Ended(Ended::Closed)), "the consumer takes no more");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use buffer_core::{Consumer, ConsumerConfig, FlushError, Now, Resume};
///
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// let mark = consumer.flush(Now::default());
/// assert!(consumer.flushed(mark)?, "nothing was acknowledged, and so nothing is to be dequeued");
/// consumer.initialize(Now::default(), Resume::default())?;
/// assert!(matches!(consumer.flushed(mark), Err(FlushError::Reinitialized)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// # use buffer_core::{format::*, *};
/// use buffer_core::{Sequence, SkipError};
///
/// # let now = Now::default();
/// # let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// # let listed = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// # let (bytes, version) = (listed.to_rope().concat().into(), Version::from_e_tag("1"));
/// # let found = Object { bytes, version: version.clone(), last_modified: None };
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Found(found))));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Stored(version))));
/// # while let Output::Event(_) = consumer.poll() {}
/// // The consumer has taken over a queue that lists one batch, which cannot be read, say.
/// let refused = consumer.skip(now, Sequence(5));
/// let next = Some(Sequence(0));
/// assert_eq!(refused, Err(SkipError::NotNext { sequence: Sequence(5), next }), "a mistake");
/// consumer.skip(now, Sequence(0))?;
/// assert!(consumer.is_empty());
/// assert_eq!(consumer.listed(), 1, "it is dequeued along with what comes after it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use std::time::Duration;
/// use buffer_core::format::Manifest;
/// use buffer_core::{CollectError, Gate, Location, UnixMillis};
///
/// let (prefix, grace) = (Location::from("ingest"), Duration::from_secs(600));
/// let now = UnixMillis(1_700_000_000_000);
/// let refused = Gate::of_reading(&prefix, grace, &Manifest::absent(), Some(now), now);
/// let Err(error @ CollectError::NeverUsed) = refused else { unreachable!() };
/// assert_eq!(
///     error.to_string(),
///     "nothing was ever listed in this queue, so that nothing is known to be its own"
/// );
/// ```
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
