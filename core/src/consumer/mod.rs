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
mod told;
mod window;

use alloc::collections::{BTreeMap, VecDeque};
use core::hash::{Hash, Hasher};

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
pub use told::{
    BatchDescriptor, CallMark, ConsumedBatch, ConsumerEvent, ConsumerStats, Next, Resume,
};
use window::Slot;

use crate::command::{Command, CommandId, CommandIds, Completion, Reply, Ticket};
use crate::error::ConfigError;
use crate::format::Manifest;
use crate::machine::{Machine, Output};
use crate::retries::{Again, Retries};
use crate::store::StoreOperation;
use crate::time::{Instant, Now};
use crate::types::{Epoch, Sequence};

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
