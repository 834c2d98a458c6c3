//! Reads batches in order, ahead of its caller, and dequeues what was acknowledged.
//!
//! `reading` holds the transitions of the manifest as it is read and of the
//! term (taking over, being fenced), `window` those of the batches that are
//! fetched ahead, `dequeue` those of acknowledgements, `collector` those of
//! deleting what nobody needs any more.

mod collector;
mod config;
mod dequeue;
mod error;
mod listed;
mod reading;
mod repeats;
mod take_over;
mod window;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use bytes::Bytes;
use siphasher::sip::SipHasher13;

use collector::Collector;
pub use collector::{Gate, KeepReason, Verdict};
pub use config::ConsumerConfig;
use dequeue::Dequeue;
pub use dequeue::FlushMark;
pub use error::{
    AckError, AckRefusal, CollectError, Ended, FlushError, InitializeError, NextError, SkipError,
};
use reading::Reading;
use repeats::Repeats;
use window::Slot;

use crate::command::{Command, CommandId, CommandIds, Completion, Reply, Ticket};
use crate::error::ConfigError;
use crate::format::{Manifest, Metadata};
use crate::machine::{Machine, Output};
use crate::retries::{Again, Retries};
use crate::store::StoreOperation;
use crate::time::{Instant, Now};
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
pub struct CallMark(u64);

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

/// The consumer's state machine.
///
/// ```
/// use buffer_core::format::{Manifest, NewEntry};
/// use buffer_core::{
///     Command, Consumer, ConsumerConfig, Ended, Epoch, Location, Machine, Now, Object, Output,
///     ReadOutcome, Resume, Version, WriteOutcome,
/// };
///
/// let now = Now::default();
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(now, Resume::default())?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// // The store has a manifest that lists one batch, and that no consumer has seen yet.
/// let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// let listed = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// let (bytes, version) = (listed.to_rope().concat().into(), Version::from_e_tag("1"));
/// let found = ReadOutcome::Found(Object { bytes, version, last_modified: None });
/// consumer.handle_completion(now, read.ticket.complete(Ok(found)));
/// assert_eq!(consumer.epoch(), None, "it has not taken over before the epoch is raised");
///
/// let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// let stored = WriteOutcome::Stored(Version::from_e_tag("2"));
/// consumer.handle_completion(now, swap.ticket.complete(Ok(stored)));
/// assert_eq!(consumer.epoch(), Some(Epoch(1)));
/// assert_eq!((consumer.len(), consumer.is_empty(), consumer.listed()), (1, false, 1));
/// assert_eq!(consumer.remembered_names(), 1);
/// assert!(!consumer.is_collecting());
///
/// consumer.close(now);
/// assert_eq!(consumer.ended(), Some(&Ended::Closed), "nothing was acknowledged");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    config: ConsumerConfig,
    ids: CommandIds,
    random: fastrand::Rng,
    lifecycle: Lifecycle,
    reading: Reading,
    /// The part of the manifest that the window has not taken in yet.
    ahead: Manifest,
    /// Taken in and not handed out yet, in order.
    window: VecDeque<Slot>,
    /// Whether batches are fetched before they are asked for: from the first `next` on.
    fetches_ahead: bool,
    /// The size that the next batch is expected to have; `None` before the first was seen.
    expected_bytes: Option<usize>,
    repeats: Repeats,
    dequeue: Dequeue,
    collector: Collector,
    /// How often it was initialized.
    term: u64,
    running: BTreeMap<CommandId, Purpose>,
    /// When closing is given up.
    close_by: Option<Instant>,
    stats: ConsumerStats,
    again: Again<4>,
    outputs: VecDeque<Output<ConsumerEvent>>,
    /// What the host was last told to wake us at.
    announced: Option<Instant>,
}

#[derive(Debug)]
enum Lifecycle {
    New,
    /// Taking over.
    Initializing(Resume),
    Active {
        epoch: Epoch,
    },
    Closing {
        epoch: Epoch,
    },
    Ended(Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    ReadManifest,
    RaiseEpoch { epoch: Epoch, previous: Epoch },
    Dequeue,
    Fetch(Sequence),
    Decode(Sequence),
    ListBatches,
    DeleteBatches,
}

impl Consumer {
    /// A consumer that has not taken over yet. `seed` decides jitter.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn new(config: ConsumerConfig, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut random = fastrand::Rng::with_seed(seed);
        Ok(Self {
            ids: CommandIds::starting_at(random.u64(..)),
            random,
            lifecycle: Lifecycle::New,
            reading: Reading::new(&config),
            ahead: Manifest::absent(),
            window: VecDeque::new(),
            fetches_ahead: false,
            expected_bytes: None,
            repeats: Repeats::default(),
            dequeue: Dequeue::new(),
            collector: Collector::new(),
            term: 0,
            running: BTreeMap::new(),
            close_by: None,
            stats: ConsumerStats::default(),
            again: Again::new([
                StoreOperation::ReadBatch,
                StoreOperation::ReadManifest,
                StoreOperation::SwapManifest,
                StoreOperation::ListBatches,
            ]),
            outputs: VecDeque::new(),
            announced: None,
            config,
        })
    }

    /// Marks the beginning of a call, for [`Consumer::next`] and [`Consumer::next_descriptors`].
    #[must_use]
    pub const fn mark(&self) -> CallMark {
        CallMark(self.reading.begun())
    }

    /// The epoch of this consumer, once it has taken over.
    #[must_use]
    pub const fn epoch(&self) -> Option<Epoch> {
        match self.lifecycle {
            Lifecycle::Active { epoch } | Lifecycle::Closing { epoch } => Some(epoch),
            Lifecycle::New | Lifecycle::Initializing(_) | Lifecycle::Ended(_) => None,
        }
    }

    /// Whether the consumer has ended, and why.
    #[must_use]
    pub const fn ended(&self) -> Option<&Ended> {
        match &self.lifecycle {
            Lifecycle::Ended(ended) => Some(ended),
            Lifecycle::New
            | Lifecycle::Initializing(_)
            | Lifecycle::Active { .. }
            | Lifecycle::Closing { .. } => None,
        }
    }

    /// Batches listed when the manifest was last read and not handed out yet.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.window.len() as u64 + self.ahead.len()
    }

    /// Whether [`Consumer::len`] is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batches that the manifest lists, as it was last read or written: also those that are handed out
    /// and not dequeued yet. Zero before the first reading.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.reading.known.as_ref().map_or(0, |known| known.manifest.len())
    }

    /// Whether a cycle of the collector is under way.
    #[must_use]
    pub const fn is_collecting(&self) -> bool {
        self.collector.is_under_way()
    }

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> ConsumerStats {
        self.stats
    }

    /// How many requests are tried again because of what came of them, conflicts of the manifest not counted.
    #[must_use]
    pub const fn retry_count(&self) -> u64 {
        self.again.total()
    }

    /// The same by operation, and by what went wrong.
    #[must_use]
    pub const fn retries(&self) -> &[(StoreOperation, Retries); 4] {
        self.again.by_operation()
    }

    /// How many names are remembered so that repeats are noticed.
    #[must_use]
    pub fn remembered_names(&self) -> usize {
        self.repeats.len()
    }

    /// Dequeues what is acknowledged, and ends.
    pub fn close(&mut self, now: Now) {
        match self.lifecycle {
            Lifecycle::Active { epoch } => {
                crate::sometimes!(ConsumerClosedWhileBusy, self.reading.busy);
                self.lifecycle = Lifecycle::Closing { epoch };
                self.close_by = Some(now.monotonic + self.config.retry_timeout);
                self.window.clear();
                self.collector.stop();
                self.dequeue.ask();
                self.advance(now);
            }
            Lifecycle::New | Lifecycle::Initializing(_) => {
                crate::sometimes!(ConsumerClosedBeforeTakeOver);
                self.end(Ended::Closed);
            }
            Lifecycle::Closing { .. } | Lifecycle::Ended(_) => {
                crate::sometimes!(ConsumerClosedTwice);
            }
        }
    }

    /// Starts all that can be started. Every input ends here.
    fn advance(&mut self, now: Now) {
        self.fill_window();
        self.start_fetches(now);
        self.collect(now);
        self.give_up_closing(now);
        self.start_manifest_work(now);
        if matches!(self.lifecycle, Lifecycle::Closing { .. }) && self.dequeue.is_settled() {
            self.end(Ended::Closed);
        }
    }

    /// Ends a closing that has taken too long, unless a reply is still awaited.
    ///
    /// Each kind of trouble has its own patience, and one may follow the other for ever.
    fn give_up_closing(&mut self, now: Now) {
        let is_closing = matches!(self.lifecycle, Lifecycle::Closing { .. });
        let is_late = self.close_by.is_some_and(|by| by <= now.monotonic);
        if is_closing && is_late && !self.reading.is_busy() && !self.dequeue.is_settled() {
            let fault = self.last_fault();
            self.dequeue.failed(fault);
            self.end(Ended::Closed);
        }
    }

    /// Ends for good: nothing that was started is waited for, and nothing is started any more.
    fn end(&mut self, ended: Ended) {
        self.window.clear();
        self.ahead = Manifest::absent();
        self.repeats.clear();
        self.collector.stop();
        self.running.clear();
        self.lifecycle = Lifecycle::Ended(ended.clone());
        self.outputs.push_back(Output::Event(ConsumerEvent::Ended(ended)));
    }

    fn changed(&mut self) {
        self.outputs.push_back(Output::Event(ConsumerEvent::Changed));
    }

    fn deadline(&self) -> Option<Instant> {
        if matches!(self.lifecycle, Lifecycle::New | Lifecycle::Ended(_)) {
            return None;
        }
        let fetches = self.window.iter().filter_map(Slot::retry_at);
        let dequeue = self.dequeue_deadline();
        let collector = self.collector.deadline();
        let closing = self.close_by.filter(|_| !self.reading.is_busy());
        fetches.chain(self.reading_deadline(dequeue)).chain(collector).chain(closing).min()
    }

    fn command<R>(&mut self, purpose: Purpose, build: impl FnOnce(Ticket<R>) -> Command) {
        let (id, ticket) = self.ids.ticket();
        let earlier = self.running.insert(id, purpose);
        assert!(earlier.is_none(), "ids are never used twice");
        self.outputs.push_back(Output::Command(build(ticket)));
    }
}

impl Machine for Consumer {
    type Event = ConsumerEvent;

    fn handle_completion(&mut self, now: Now, completion: Completion) {
        let Some(purpose) = self.running.remove(&completion.id) else {
            crate::sometimes!(ReplyAfterEnd);
            return;
        };
        match (purpose, completion.reply) {
            (Purpose::ReadManifest, Reply::Read(result)) => self.on_manifest(now, result),
            (Purpose::RaiseEpoch { epoch, previous }, Reply::Write(result)) => {
                self.on_epoch_raised(now, epoch, previous, result);
            }
            (Purpose::Dequeue, Reply::Write(result)) => self.on_dequeued(now, result),
            (Purpose::Fetch(sequence), Reply::Read(result)) => {
                self.on_fetched(now, sequence, result);
            }
            (Purpose::Decode(sequence), Reply::Decoded(result)) => {
                self.on_decoded(sequence, result);
            }
            (Purpose::ListBatches, Reply::Listed(result)) => self.on_listed(now, result),
            (Purpose::DeleteBatches, Reply::Deleted(results)) => self.on_deleted(now, results),
            (
                Purpose::ReadManifest
                | Purpose::RaiseEpoch { .. }
                | Purpose::Dequeue
                | Purpose::Fetch(_)
                | Purpose::Decode(_)
                | Purpose::ListBatches
                | Purpose::DeleteBatches,
                Reply::Read(_)
                | Reply::Write(_)
                | Reply::Listed(_)
                | Reply::Deleted(_)
                | Reply::Encoded(_)
                | Reply::Decoded(_),
            ) => unreachable!("a ticket only takes a result of its command's type"),
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
    }

    fn poll(&mut self) -> Output<ConsumerEvent> {
        self.outputs.pop_front().unwrap_or_else(|| {
            self.announced = self.deadline();
            Output::Idle { deadline: self.announced }
        })
    }

    fn wants_poll(&self) -> bool {
        !self.outputs.is_empty() || self.deadline() != self.announced
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        core::mem::discriminant(&self.lifecycle).hash(&mut hasher);
        self.epoch().hash(&mut hasher);
        self.reading.fingerprint(&mut hasher);
        (self.ahead.first_sequence(), self.ahead.next_sequence()).hash(&mut hasher);
        for slot in &self.window {
            slot.fingerprint(&mut hasher);
        }
        self.fetches_ahead.hash(&mut hasher);
        self.repeats.len().hash(&mut hasher);
        self.dequeue.fingerprint(&mut hasher);
        self.collector.fingerprint(&mut hasher);
        for purpose in self.running.values() {
            core::mem::discriminant(purpose).hash(&mut hasher);
        }
        self.outputs.len().hash(&mut hasher);
        hasher.finish()
    }
}
