//! What a consumer is told when it takes over, and what it tells.

use alloc::vec::Vec;

use bytes::Bytes;

#[cfg(doc)]
use crate::consumer::Consumer;
use crate::consumer::{CollectError, Ended, InitializeError};
use crate::format::Metadata;
use crate::types::{Epoch, Location, Sequence};

/// Where a consumer takes up a queue.
///
/// ```
/// use buffer_core::{Consumer, ConsumerConfig, Now, Resume, Sequence};
///
/// // What the database says; `None` where it has stored nothing yet.
/// let resume = Resume::after(Some(Sequence(41)));
/// assert!(!resume.accept_gap && !resume.accept_reset, "a queue that does not fit is refused");
/// // The database is an old backup's, and what is gone since then is known to be lost.
/// let restored = Resume { accept_gap: true, ..resume };
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(Now::default(), restored)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// The last sequence that the caller has consumed: it and all before it count as acknowledged.
    /// `None` starts at the first batch that is listed.
    pub last: Option<Sequence>,
    /// Go on although batches after `last` were dequeued: they are lost to this caller.
    pub accept_gap: bool,
    /// Go on although the queue never got to `last`: it is another queue, and all of it is new.
    pub accept_reset: bool,
}

impl Resume {
    /// Goes on after `last`, which the caller has consumed.
    #[must_use]
    pub fn after(last: Option<Sequence>) -> Self {
        Self { last, ..Self::default() }
    }
}

/// One line of the manifest that is there to be fetched.
///
/// ```
/// # use buffer_core::{format::*, *};
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
/// // The consumer has taken over a queue that lists one batch.
/// let descriptors = match consumer.next_descriptors(now, consumer.mark(), 10)? {
///     Next::Ready(descriptors) => descriptors,
///     Next::Empty | Next::Pending => unreachable!(),
/// };
/// assert_eq!((descriptors[0].sequence, &descriptors[0].location), (Sequence(0), &location));
/// assert!(consumer.is_empty(), "it is handed out: its caller fetches it and acknowledges it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchDescriptor {
    /// Its place in the queue.
    pub sequence: Sequence,
    /// The batch's key.
    pub location: Location,
    /// What the submissions in it attached.
    pub metadata: Vec<Metadata>,
}

/// A batch, as it is handed out.
///
/// ```
/// # use buffer_core::{format::*, *};
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
/// let since = consumer.mark();
/// // The consumer has taken over a queue that lists one batch, and fetches it now.
/// assert!(matches!(consumer.next(now, since, true)?, Next::Pending));
/// # let Output::Command(Command::ReadBatch(read)) = consumer.poll() else { unreachable!() };
/// # let bytes = encode_batch(["one".into(), "two".into()].iter(), Compression::None)?.concat().into();
/// # let object = Object { bytes, version: Version::from_e_tag("7"), last_modified: None };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Found(object))));
/// # let Output::Command(Command::Decode(decode)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, decode.run(&mut Codec::new()));
/// // The host has read and decoded it.
/// let Next::Ready(batch) = consumer.next(now, since, true)? else { unreachable!() };
/// let ConsumedBatch { descriptor, entries } = batch;
/// assert_eq!((descriptor.sequence, entries), (Sequence(0), vec!["one".into(), "two".into()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedBatch {
    /// Which one it is, and what was attached.
    pub descriptor: BatchDescriptor,
    /// Its entries, in the order of submission.
    pub entries: Vec<Bytes>,
}

/// What a consumer tells its host.
///
/// ```
/// # use buffer_core::{format::*, *};
/// use buffer_core::{ConsumerEvent, Epoch};
///
/// # let now = Now::default();
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// # let version = Version::from_e_tag("1");
/// # consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Stored(version))));
/// // The swap that takes over is answered.
/// let Output::Event(event) = consumer.poll() else { unreachable!() };
/// let ConsumerEvent::Initialized { epoch, previous } = event else { unreachable!() };
/// assert_eq!((epoch, previous), (Epoch(1), Epoch(0)), "nobody was here before");
/// // Whoever has asked for a batch and was told "pending" asks again.
/// assert!(matches!(consumer.poll(), Output::Event(ConsumerEvent::Changed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum ConsumerEvent {
    /// [`Consumer::initialize`] succeeded.
    Initialized {
        /// The epoch of this consumer.
        epoch: Epoch,
        /// The epoch that it found and fenced.
        previous: Epoch,
    },
    /// [`Consumer::initialize`] failed; it can be called again.
    InitializeFailed(InitializeError),
    /// Something may be ready that was not before: ask again whatever said "pending".
    Changed,
    /// A batch was listed a second time and is not handed out again.
    RepeatDropped {
        /// The sequence that is passed over.
        sequence: Sequence,
        /// Its key.
        location: Location,
    },
    /// More names are in use than can be remembered: repeats of the oldest would not be noticed.
    RepeatsForgotten {
        /// How many were forgotten so far.
        count: u64,
    },
    /// A cycle of the collector is over.
    Collected {
        /// How many batches it deleted.
        deleted: u64,
        /// How many it could not delete; they are tried again in the next cycle.
        failed: u64,
        /// Why it ended before it was through, if it did.
        error: Option<CollectError>,
    },
    /// The consumer ended; nothing more will be done.
    Ended(Ended),
}

/// Whether there is something to hand out.
///
/// ```
/// # use buffer_core::{format::*, *};
/// use buffer_core::Next;
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
/// // The consumer has taken over a queue without batches.
/// let since = consumer.mark();
/// assert!(matches!(consumer.next(now, since, false)?, Next::Pending), "there may be one by now");
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::NotModified)));
/// assert!(matches!(consumer.next(now, since, false)?, Next::Empty), "that read began after the mark");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Next<T> {
    /// Here it is.
    Ready(T),
    /// A reading of the manifest that began after the call showed nothing more.
    Empty,
    /// Not known yet; ask again after [`ConsumerEvent::Changed`].
    Pending,
}

/// The state of things when a call began: what an answer must be newer than.
///
/// ```
/// # use buffer_core::{Consumer, ConsumerConfig, Now, Resume};
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// let before = consumer.mark();
/// consumer.initialize(Now::default(), Resume::default())?;
/// // A reading has begun. It answers a call with the first mark; one with the second wants another.
/// assert_ne!(consumer.mark(), before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallMark(pub(super) u64);

/// What a consumer has done since it was made.
///
/// ```
/// # use buffer_core::{format::*, *};
/// use buffer_core::ConsumerStats;
///
/// # let now = Now::default();
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// // Another consumer takes over at the same time, and is faster.
/// consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Conflict)));
/// let expected = ConsumerStats { swaps: 1, conflicts: 1, ..ConsumerStats::default() };
/// assert_eq!(consumer.stats(), expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Batches handed out, descriptors included.
    pub batches: u64,
    /// Batches acknowledged.
    pub acks: u64,
    /// Entries of the manifest passed over because their batch was taken before.
    pub repeats_dropped: u64,
    /// Swaps of the manifest sent, for take-over and for dequeuing.
    pub swaps: u64,
    /// Those that were answered with a conflict.
    pub conflicts: u64,
    /// Batches deleted by the collector.
    pub gc_files_deleted: u64,
    /// Batches that it could not delete; one that fails again counts again.
    pub gc_files_failed: u64,
    /// Its cycles, those that ended early included.
    pub gc_cycles: u64,
    /// Batches fetched and opened, ahead of their caller; one that is fetched again counts again.
    pub batches_fetched: u64,
    /// Entries of these batches.
    pub entries_fetched: u64,
    /// Bytes of these batches' objects.
    pub bytes_fetched: u64,
}
