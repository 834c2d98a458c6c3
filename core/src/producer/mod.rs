//! Batches submissions and lists the batches in the manifest.
//!
//! `open -> sealed -> encoded -> uploaded -> listed -> settled`; several
//! batches are in every stage at once, and they are listed in the order in
//! which they were submitted. `pipeline` holds the transitions of a batch up
//! to its upload, `committer` those of the manifest.

mod attempt;
mod batch;
mod committer;
mod config;
mod error;
mod pipeline;
mod told;

use alloc::collections::{BTreeMap, VecDeque};
use core::hash::{Hash, Hasher};

use batch::{BATCH_OVERHEAD, Batch, Doubt, OpenBatch, Size, Stage};
use committer::Committer;
pub use config::ProducerConfig;
pub(crate) use config::validate_paths;
pub use error::{DeliveryError, DeliveryFailure, Submission, SubmitError};
use siphasher::sip::SipHasher13;
pub use told::{ProducerEvent, ProducerStats, Receipt};

use crate::command::{Command, CommandId, CommandIds, Completion, Reply, Ticket};
use crate::error::{ConfigError, ManifestError};
use crate::machine::{Machine, Output};
use crate::names::BatchNames;
use crate::retries::{Again, Retries};
use crate::store::StoreOperation;
use crate::time::{Instant, Now};
use crate::types::BatchId;

/// One part in so many of all that may be held is kept free: for what is held twice while it is copied, and for
/// what an allocator has not given back yet. That is counted in MiB; who has but a few has none to spare.
const KEPT_FREE: usize = 4;
const MIB: usize = 1 << 20;

/// The producer's state machine.
///
/// ```
/// use buffer_core::format::Codec;
/// use buffer_core::{
///     Command, Machine, Now, Output, Producer, ProducerConfig, ReadOutcome, Submission, Version,
///     WriteOutcome,
/// };
///
/// let now = Now::default();
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
/// let receipt = producer.submit(now, submission)?;
/// assert_eq!(producer.flush(now), Some(receipt.batch));
/// assert_eq!((producer.inflight_batches(), producer.oldest_submission()), (1, Some(now.monotonic)));
///
/// // A store that is empty, and takes all that is written.
/// let stored = || Ok(WriteOutcome::Stored(Version::from_e_tag("1")));
/// while let Output::Command(command) = producer.poll() {
///     let completion = match command {
///         Command::Encode(encode) => encode.run(&mut Codec::new()),
///         Command::PutBatch(put) => put.ticket.complete(stored()),
///         Command::ReadManifest(read) => read.ticket.complete(Ok(ReadOutcome::Missing)),
///         Command::CasManifest(swap) => swap.ticket.complete(stored()),
///         other => unreachable!("{other:?} is for consumers"),
///     };
///     producer.handle_completion(now, completion);
/// }
/// assert!(producer.is_settled());
/// assert_eq!((producer.stats().batches_durable, producer.buffered_bytes()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Producer {
    config: ProducerConfig,
    ids: CommandIds,
    names: BatchNames,
    random: fastrand::Rng,
    lifecycle: Lifecycle,
    next_batch: u64,
    open: Option<OpenBatch>,
    /// Sealed and not settled, in the order of submission.
    pipeline: VecDeque<Batch>,
    committer: Committer,
    running: BTreeMap<CommandId, Running>,
    buffered_bytes: usize,
    /// What submissions may take of `max_buffered_bytes`.
    room: usize,
    /// Somebody was told [`SubmitError::Full`] when this much was held, and waits for it to become less.
    starved_at: Option<usize>,
    stats: ProducerStats,
    again: Again<3>,
    outputs: VecDeque<Output<ProducerEvent>>,
    /// What the host was last told to wake us at.
    announced: Option<Instant>,
}

#[derive(Debug)]
enum Lifecycle {
    Open,
    Closing,
    Closed,
    /// The manifest is not ours any more: terminal.
    Broken(ManifestError),
}

/// A command that was not answered yet.
#[derive(Debug)]
struct Running {
    purpose: Purpose,
    /// Bytes that the host still holds for a batch that is settled already.
    orphaned_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Encode(BatchId),
    Upload(BatchId),
    ReadManifest,
    /// It is read while a swap is out, so that who loses knows at once what to swap on.
    ReadBeside,
    Swap,
}

impl Producer {
    /// A producer that has seen nothing of its queue yet. `seed` decides names and jitter; it
    /// must differ between any two producers.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn new(config: ProducerConfig, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut random = fastrand::Rng::with_seed(seed);
        let limit = config.max_buffered_bytes;
        Ok(Self {
            room: limit - limit / MIB / KEPT_FREE * MIB,
            ids: CommandIds::starting_at(random.u64(..)),
            names: BatchNames::new(config.data_path_prefix.clone(), random.u64(..)),
            committer: Committer::new(),
            random,
            config,
            lifecycle: Lifecycle::Open,
            next_batch: 0,
            open: None,
            pipeline: VecDeque::new(),
            running: BTreeMap::new(),
            buffered_bytes: 0,
            starved_at: None,
            stats: ProducerStats::default(),
            again: Again::new([
                StoreOperation::PutBatch,
                StoreOperation::ReadManifest,
                StoreOperation::SwapManifest,
            ]),
            outputs: VecDeque::new(),
            announced: None,
        })
    }

    /// Adds a submission to the open batch.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] gives the submission back: [`SubmitError::Full`] at
    /// `max_buffered_bytes`, to be tried again after [`ProducerEvent::Ready`];
    /// the others for good.
    pub fn submit(&mut self, now: Now, submission: Submission) -> Result<Receipt, SubmitError> {
        match &self.lifecycle {
            Lifecycle::Open => {}
            Lifecycle::Closing | Lifecycle::Closed => {
                crate::sometimes!(SubmittedToClosed);
                return Err(SubmitError::Closed(submission));
            }
            Lifecycle::Broken(error) => {
                crate::sometimes!(SubmittedToBroken);
                return Err(SubmitError::Manifest { submission, error: error.clone() });
            }
        }
        if submission.entries.is_empty() {
            return Err(SubmitError::Empty(submission));
        }
        let size = Size::of(&submission);
        let alone = size.cost + BATCH_OVERHEAD;
        let limit = self.config.max_buffered_bytes;
        let fits_a_batch = OpenBatch::new(BatchId(0), now.monotonic).has_room_for(&submission);
        if alone > limit || !fits_a_batch {
            return Err(SubmitError::TooLarge { submission, bytes: alone, limit });
        }
        // The host may be late with the timer; a submission tells the time as well.
        self.seal_when_due(now);
        if self.open.as_ref().is_some_and(|open| !open.has_room_for(&submission)) {
            self.seal(now);
        }
        let cost = if self.open.is_some() { size.cost } else { alone };
        if !self.has_room_for(cost) {
            self.release_uploaded();
        }
        if !self.has_room_for(cost) && !crate::planted!(MemoryUnbounded) {
            crate::sometimes!(BackPressureMet);
            // Waiting for the timer would be waiting for nothing: nobody can add to the open batch.
            self.starved_at = Some(self.buffered_bytes);
            self.seal_if_a_place_is_free(now);
            return Err(SubmitError::Full(submission));
        }
        Ok(self.push(now, submission, Size { cost, ..size }))
    }

    /// Whether so much more may be held. Alone, a submission may take all of it.
    const fn has_room_for(&self, cost: usize) -> bool {
        self.buffered_bytes + cost <= self.room || self.buffered_bytes == 0
    }

    fn push(&mut self, now: Now, submission: Submission, size: Size) -> Receipt {
        let next_batch = &mut self.next_batch;
        let open = self.open.get_or_insert_with(|| {
            let id = BatchId(*next_batch);
            *next_batch += 1;
            OpenBatch::new(id, now.monotonic)
        });
        open.push(submission, size, now.wall);
        self.buffered_bytes += size.cost;
        let is_within = self.buffered_bytes <= self.config.max_buffered_bytes;
        assert!(is_within || crate::planted!(MemoryUnbounded), "`submit` checked");
        if crate::planted!(FlushTimerStarved) {
            open.opened = now.monotonic;
        }
        let receipt = Receipt { batch: open.id, ingestion_time: now.wall };
        let is_full = open.payload_bytes >= self.config.flush_size_bytes
            || open.submissions.len() >= self.config.max_buffered_inputs;
        if is_full {
            let by_size = open.payload_bytes >= self.config.flush_size_bytes;
            crate::sometimes!(BatchSealedBySize, by_size);
            crate::sometimes!(BatchSealedByInputs, !by_size);
            self.seal(now);
            self.advance(now);
        }
        receipt
    }

    /// Seals the open batch, and names the last batch that is not settled yet.
    ///
    /// Everything submitted so far is settled once that batch is and all before it are.
    pub fn flush(&mut self, now: Now) -> Option<BatchId> {
        crate::sometimes!(BatchSealedByFlush, self.open.is_some());
        self.seal(now);
        self.advance(now);
        self.pipeline.back().map(|batch| batch.id)
    }

    /// Takes no more submissions; [`ProducerEvent::Closed`] follows when all that were taken are settled.
    pub fn close(&mut self, now: Now) {
        match self.lifecycle {
            Lifecycle::Open => self.lifecycle = Lifecycle::Closing,
            Lifecycle::Closing | Lifecycle::Closed | Lifecycle::Broken(_) => {
                crate::sometimes!(ProducerClosedTwice);
            }
        }
        crate::sometimes!(BatchSealedByClose, self.open.is_some());
        crate::sometimes!(ProducerClosedWhileSwapping, self.committer.is_swapping());
        if crate::planted!(LastBatchDroppedOnClose)
            && let Some(open) = self.open.take()
        {
            let event = ProducerEvent::Settled { batch: open.id, outcome: Ok(()) };
            self.outputs.push_back(Output::Event(event));
        }
        self.seal(now);
        self.advance(now);
    }

    /// Bytes held: submitted, and not settled or let go.
    #[must_use]
    pub const fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Batches past sealing and not settled.
    #[must_use]
    pub fn inflight_batches(&self) -> usize {
        self.pipeline.iter().filter(|batch| batch.is_in_flight()).count()
    }

    /// When the oldest submission came that is not settled; `None` if all are.
    #[must_use]
    pub fn oldest_submission(&self) -> Option<Instant> {
        let open = self.open.as_ref().map(|open| open.opened);
        self.pipeline.front().map(|batch| batch.opened).or(open)
    }

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> ProducerStats {
        self.stats
    }

    /// How many requests are tried again because of what came of them, conflicts of the manifest not counted.
    #[must_use]
    pub const fn retry_count(&self) -> u64 {
        self.again.total()
    }

    /// The same by operation, and by what went wrong.
    #[must_use]
    pub const fn retries(&self) -> &[(StoreOperation, Retries); 3] {
        self.again.by_operation()
    }

    /// Whether everything that was ever taken is settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.open.is_none() && self.pipeline.is_empty()
    }

    /// Starts all that can be started. Every input ends here.
    fn advance(&mut self, now: Now) {
        self.give_up_what_is_late(now);
        self.seal_when_due(now);
        self.start_batches(now);
        self.commit(now);
        // A commit frees places in flight, and may send old batches to be uploaded again.
        self.start_batches(now);
        if self.starved_at.is_some() {
            self.release_uploaded();
        }
        let is_released =
            self.starved_at.is_some_and(|starved_at| self.buffered_bytes < starved_at);
        if is_released && !crate::planted!(BackPressureNeverReleased) {
            crate::sometimes!(BackPressureReleased);
            self.starved_at = None;
            self.outputs.push_back(Output::Event(ProducerEvent::Ready));
        }
        if matches!(self.lifecycle, Lifecycle::Closing) && self.is_settled() {
            self.lifecycle = Lifecycle::Closed;
            self.outputs.push_back(Output::Event(ProducerEvent::Closed));
        }
        let past_window = self.pipeline.get(self.window());
        assert!(past_window.is_none_or(|batch| !batch.is_in_flight()), "places are given in order");
    }

    /// Lets the bytes of uploaded batches go, for others need the room: the store has them.
    fn release_uploaded(&mut self) {
        if crate::planted!(ReuploadInCase2) || crate::planted!(ReuploadInCase4) {
            return;
        }
        let window = self.window();
        for batch in self.pipeline.iter_mut().take(window) {
            let is_safe = match batch.stage {
                Stage::Uploaded => true,
                Stage::Uploading => crate::planted!(BytesReleasedTooSoon),
                Stage::Sealed(_) | Stage::Encoding | Stage::Encoded { .. } => false,
            };
            if is_safe && !batch.is_released() {
                crate::sometimes!(BytesReleased);
                self.buffered_bytes -= batch.release();
            }
        }
    }

    /// Ends a batch's life. It must have left the pipeline.
    fn settle(&mut self, batch: &Batch, outcome: Result<(), DeliveryError>) {
        let held_by_host = self.running.values_mut().find(|running| match running.purpose {
            Purpose::Encode(id) | Purpose::Upload(id) => id == batch.id,
            Purpose::ReadManifest | Purpose::ReadBeside | Purpose::Swap => false,
        });
        match held_by_host {
            Some(running) => {
                crate::sometimes!(BytesHeldPastSettlement);
                running.orphaned_bytes = batch.cost;
            }
            None => self.buffered_bytes -= batch.cost,
        }
        match outcome {
            Ok(()) => {
                self.stats.batches_durable += 1;
                self.stats.entries_durable += u64::from(batch.records);
                self.stats.entry_bytes_durable += batch.entry_bytes as u64;
                self.stats.object_bytes_durable += batch.object_bytes as u64;
            }
            Err(_) => self.stats.batches_failed += 1,
        }
        let event = ProducerEvent::Settled { batch: batch.id, outcome };
        self.outputs.push_back(Output::Event(event));
    }

    /// Gives a batch up. What is said of it depends on whether a swap ever listed it.
    fn give_up(&mut self, batch: &Batch, failure: DeliveryFailure) {
        let error = match batch.doubt {
            Doubt::None => DeliveryError::NotDelivered(failure),
            Doubt::Attempted
                if crate::planted!(FailedSaidInCase2)
                    || crate::planted!(TimeoutTakenForFailure) =>
            {
                DeliveryError::NotDelivered(failure)
            }
            Doubt::Attempted | Doubt::Forever => DeliveryError::Unknown(failure),
        };
        self.settle(batch, Err(error));
    }

    /// The manifest is not ours any more: nothing that is held can be delivered, nor anything later.
    fn break_down(&mut self, now: Now, error: &ManifestError) {
        crate::sometimes!(ProducerBroken);
        self.lifecycle = Lifecycle::Broken(error.clone());
        self.seal(now);
        while let Some(batch) = self.pipeline.pop_front() {
            self.give_up(&batch, DeliveryFailure::Manifest(error.clone()));
        }
        self.committer.stop();
        self.outputs.push_back(Output::Event(ProducerEvent::Closed));
    }

    /// Gives up every batch whose `delivery_timeout` has passed, but for those whose swap is being answered.
    fn give_up_what_is_late(&mut self, now: Now) {
        let late = |deadline: Instant| deadline <= now.monotonic;
        let patience = self.config.flush_interval.saturating_add(self.config.delivery_timeout);
        if self.open.as_ref().is_some_and(|open| late(open.opened + patience)) {
            crate::sometimes!(OpenBatchLate);
            self.seal(now);
        }
        let mut index = 0;
        // Batches are opened in order, so the first that is not late ends the search.
        while let Some(batch) = self.pipeline.get(index).filter(|batch| late(batch.deadline)) {
            if self.committer.is_being_swapped(batch.id) {
                crate::sometimes!(DeadlineWaitsForSwap);
                index += 1;
                continue;
            }
            let mut batch = self.pipeline.remove(index).expect("it was just there");
            batch.note_lateness();
            let after = self.config.delivery_timeout;
            let last = batch.last_fault.take().or_else(|| self.committer.last_fault());
            self.give_up(&batch, DeliveryFailure::TimedOut { after, last });
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let interval = self.config.flush_interval;
        let patience = interval.saturating_add(self.config.delivery_timeout);
        let flush = self.open.as_ref().filter(|_| !crate::planted!(FlushTimerLost)).map(|open| {
            let places = self.has_free_place();
            open.opened + if places { self.open_for().min(patience) } else { patience }
        });
        // Only the first few are past sealing, and deadlines rise: this looks at no more than those.
        // Who waits for a place is not waked by time.
        let waiting = if self.is_at_its_places() { 0 } else { self.window() };
        let retries = self.pipeline.iter().take(waiting).filter_map(|batch| match batch.stage {
            Stage::Encoded { after } => after,
            Stage::Sealed(_) | Stage::Encoding | Stage::Uploading | Stage::Uploaded => None,
        });
        let late = self
            .pipeline
            .iter()
            .find(|batch| !self.committer.is_being_swapped(batch.id))
            .map(|batch| batch.deadline);
        retries.chain(late).chain(flush).chain(self.committer.deadline()).min()
    }

    fn command<R>(
        &mut self,
        purpose: Purpose,
        build: impl FnOnce(Ticket<R>) -> Command,
    ) -> CommandId {
        let (id, ticket) = self.ids.ticket();
        let earlier = self.running.insert(id, Running { purpose, orphaned_bytes: 0 });
        assert!(earlier.is_none(), "ids are never used twice");
        self.outputs.push_back(Output::Command(build(ticket)));
        id
    }

    fn index_of(&self, id: BatchId) -> Option<usize> {
        self.pipeline.binary_search_by_key(&id, |batch| batch.id).ok()
    }
}

impl Machine for Producer {
    type Event = ProducerEvent;

    fn handle_completion(&mut self, now: Now, completion: Completion) {
        let Some(running) = self.running.remove(&completion.id) else { return };
        self.buffered_bytes -= running.orphaned_bytes;
        match (running.purpose, completion.reply) {
            (Purpose::Encode(id), Reply::Encoded(result)) => self.on_encoded(id, result),
            (Purpose::Upload(id), Reply::Write(result)) => self.on_upload(now, id, result),
            (Purpose::ReadManifest, Reply::Read(result)) => self.on_manifest(now, result),
            (Purpose::ReadBeside, Reply::Read(result)) => {
                self.on_manifest_beside(now, completion.id, result);
            }
            (Purpose::Swap, Reply::Write(result)) => self.on_swap(now, result),
            (
                Purpose::Encode(_)
                | Purpose::Upload(_)
                | Purpose::ReadManifest
                | Purpose::ReadBeside
                | Purpose::Swap,
                Reply::Encoded(_)
                | Reply::Write(_)
                | Reply::Read(_)
                | Reply::Listed(_)
                | Reply::Deleted(_)
                | Reply::Decoded(_),
            ) => unreachable!("a ticket only takes a result of its command's type"),
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
    }

    fn poll(&mut self) -> Output<ProducerEvent> {
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
        self.next_batch.hash(&mut hasher);
        self.open.as_ref().map(|open| (open.records, open.payload_bytes)).hash(&mut hasher);
        for batch in &self.pipeline {
            batch.id.hash(&mut hasher);
            core::mem::discriminant(&batch.stage).hash(&mut hasher);
            core::mem::discriminant(&batch.doubt).hash(&mut hasher);
            batch.payload_bytes.hash(&mut hasher);
        }
        self.committer.fingerprint(&mut hasher);
        for running in self.running.values() {
            core::mem::discriminant(&running.purpose).hash(&mut hasher);
        }
        (self.buffered_bytes, self.starved_at, self.outputs.len()).hash(&mut hasher);
        hasher.finish()
    }
}
