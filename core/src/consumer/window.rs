//! The batches ahead of the caller, and handing them out.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::mem;

use bytes::Bytes;

use super::error::{Ended, NextError, SkipError};
use super::{
    BatchDescriptor, CallMark, ConsumedBatch, Consumer, ConsumerEvent, Lifecycle, Next, Purpose,
};
use crate::backoff::{Backoff, RETRY_BASE, RETRY_MOST};
use crate::command::{Command, Decode, ReadBatch};
use crate::format::{FormatError, check_metadata};
use crate::machine::Output;
use crate::store::{ReadOutcome, StoreError, StoreErrorKind, StoreOperation};
use crate::time::{Instant, Now};
use crate::types::Sequence;

/// How often a batch is found missing or corrupt before the caller is told: a
/// reply may have been damaged on its way.
const STRIKES: u32 = 2;

/// One manifest entry in the window.
#[derive(Debug)]
pub(super) struct Slot {
    descriptor: BatchDescriptor,
    stage: Stage,
    backoff: Backoff,
    /// Since when fetching it fails.
    failing_since: Option<Instant>,
    strikes: u32,
}

#[derive(Debug)]
enum Stage {
    /// To be fetched, after a failure not before `after`.
    Listed {
        after: Option<Instant>,
    },
    Fetching,
    Decoding {
        bytes: usize,
    },
    Ready {
        entries: Vec<Bytes>,
        bytes: usize,
    },
    /// Missing or corrupt: said so only once the manifest was read again.
    Doubted {
        error: NextError,
        since_read: u64,
    },
    /// To be told to the caller.
    Failed(NextError),
    /// The caller was told; the next call tries again.
    Told,
    /// Taken before under a lower sequence: passed over.
    Repeat,
}

impl Slot {
    fn new(descriptor: BatchDescriptor, stage: Stage) -> Self {
        let backoff = Backoff::new(RETRY_BASE, RETRY_MOST);
        Self { descriptor, stage, backoff, failing_since: None, strikes: 0 }
    }

    pub(super) const fn retry_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Listed { after } => after,
            Stage::Fetching
            | Stage::Decoding { .. }
            | Stage::Ready { .. }
            | Stage::Doubted { .. }
            | Stage::Failed(_)
            | Stage::Told
            | Stage::Repeat => None,
        }
    }

    pub(super) const fn is_being_fetched(&self) -> bool {
        matches!(self.stage, Stage::Fetching)
    }

    pub(super) const fn is_doubted(&self) -> bool {
        matches!(self.stage, Stage::Doubted { .. })
    }

    const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready { .. })
    }

    pub(super) fn fingerprint(&self, hasher: &mut impl Hasher) {
        self.descriptor.sequence.hash(hasher);
        mem::discriminant(&self.stage).hash(hasher);
        self.strikes.hash(hasher);
    }

    /// What it holds or is about to hold; `None` when it is not being fetched.
    const fn held(&self, expected: usize) -> Option<usize> {
        match self.stage {
            Stage::Fetching => Some(expected),
            Stage::Decoding { bytes } | Stage::Ready { bytes, .. } => Some(bytes),
            Stage::Listed { .. }
            | Stage::Doubted { .. }
            | Stage::Failed(_)
            | Stage::Told
            | Stage::Repeat => None,
        }
    }
}

impl Consumer {
    /// The next batch, if it is there.
    ///
    /// `since` is [`Consumer::mark`] at the beginning of the call. With `wait`,
    /// [`Next::Empty`] is never said; the manifest is polled instead, for as
    /// long as this is called again after each [`ConsumerEvent::Changed`].
    ///
    /// # Errors
    ///
    /// [`NextError`]. The cursor stays where it is, so that a later call tries again.
    pub fn next(
        &mut self,
        now: Now,
        since: CallMark,
        wait: bool,
    ) -> Result<Next<ConsumedBatch>, NextError> {
        self.check_active()?;
        self.fetches_ahead = true;
        self.settle_front();
        let Some(slot) = self.window.front_mut() else {
            let next = self.look_for_more(now, since, wait)?;
            self.advance(now);
            return Ok(next);
        };
        match mem::replace(&mut slot.stage, Stage::Told) {
            Stage::Ready { entries, .. } => {
                let slot = self.window.pop_front().expect("it was just there");
                self.hand_out(&slot.descriptor);
                self.settle_front();
                self.advance(now);
                Ok(Next::Ready(ConsumedBatch { descriptor: slot.descriptor, entries }))
            }
            Stage::Failed(error) => {
                crate::sometimes!(MissingTold, matches!(error, NextError::BatchMissing { .. }));
                crate::sometimes!(CorruptTold, matches!(error, NextError::BatchCorrupt { .. }));
                Err(error)
            }
            Stage::Told => {
                crate::sometimes!(ToldThenTried);
                slot.stage = Stage::Listed { after: None };
                slot.failing_since = None;
                slot.strikes = 0;
                self.advance(now);
                Ok(Next::Pending)
            }
            stage @ Stage::Doubted { .. } => {
                slot.stage = stage;
                self.reading.failure_since(since)?;
                // The read that would have settled it may have failed: then this call wants its own.
                self.reading.ask_since(since);
                self.advance(now);
                Ok(Next::Pending)
            }
            stage @ (Stage::Listed { .. }
            | Stage::Fetching
            | Stage::Decoding { .. }
            | Stage::Repeat) => {
                slot.stage = stage;
                self.reading.failure_since(since)?;
                self.advance(now);
                Ok(Next::Pending)
            }
        }
    }

    /// Up to `max` of the next descriptors, for a caller that fetches by itself. They count as handed out.
    ///
    /// # Errors
    ///
    /// [`NextError`], but for those about one batch.
    pub fn next_descriptors(
        &mut self,
        now: Now,
        since: CallMark,
        max: usize,
    ) -> Result<Next<Vec<BatchDescriptor>>, NextError> {
        self.check_active()?;
        let mut descriptors = Vec::new();
        while descriptors.len() < max {
            self.settle_front();
            let Some(slot) = self.window.pop_front() else { break };
            self.hand_out(&slot.descriptor);
            descriptors.push(slot.descriptor);
        }
        self.settle_front();
        if descriptors.is_empty() && max > 0 {
            let next = self.look_for_more(now, since, false)?;
            self.advance(now);
            return Ok(next);
        }
        self.advance(now);
        Ok(Next::Ready(descriptors))
    }

    /// Goes past the next batch without handing it out: its entries are lost to this caller.
    ///
    /// It counts as acknowledged once all before it are.
    ///
    /// # Errors
    ///
    /// [`SkipError`] when `sequence` is not the next one.
    pub fn skip(&mut self, now: Now, sequence: Sequence) -> Result<(), SkipError> {
        if let Some(ended) = self.ended() {
            return Err(ended.clone().into());
        }
        self.settle_front();
        let next = self.window.front().map(|slot| slot.descriptor.sequence);
        if next != Some(sequence) || crate::planted!(SkipRefused) {
            crate::sometimes!(SkipRefused);
            return Err(SkipError::NotNext { sequence, next });
        }
        crate::sometimes!(SkipUsed);
        self.window.pop_front();
        self.dequeue.passed_over(sequence);
        self.settle_front();
        // Whoever waits for the batch that is skipped may have the next one, if that is there already.
        self.changed();
        self.advance(now);
        Ok(())
    }

    fn check_active(&self) -> Result<(), NextError> {
        match &self.lifecycle {
            Lifecycle::Active { .. } => Ok(()),
            Lifecycle::New | Lifecycle::Initializing(_) => Err(NextError::NotInitialized),
            Lifecycle::Closing { .. } => Err(Ended::Closed.into()),
            Lifecycle::Ended(ended) => Err(ended.clone().into()),
        }
    }

    /// Nothing is listed as far as is known: asks for a reading, or says what it showed.
    fn look_for_more<T>(
        &mut self,
        now: Now,
        since: CallMark,
        wait: bool,
    ) -> Result<Next<T>, NextError> {
        self.reading.failure_since(since)?;
        if wait {
            self.reading.watch(now);
        } else if self.reading.was_shown_since(since) {
            // Whatever that read showed is handed out by now, to whomever, or was a repeat.
            crate::sometimes!(EmptySaid);
            return Ok(Next::Empty);
        } else {
            self.reading.ask_since(since);
        }
        Ok(Next::Pending)
    }

    fn hand_out(&mut self, descriptor: &BatchDescriptor) {
        self.stats.batches += 1;
        self.dequeue.handed_out(descriptor.sequence);
    }

    /// Passes over repeats, so that the front of the window is a batch unless there is none.
    fn settle_front(&mut self) {
        self.fill_window();
        while let Some(slot) = self.window.front()
            && matches!(slot.stage, Stage::Repeat)
        {
            self.dequeue.passed_over(slot.descriptor.sequence);
            self.window.pop_front();
            self.fill_window();
        }
    }

    /// Takes in entries of the manifest, and sorts out repeats before anything is fetched.
    pub(super) fn fill_window(&mut self) {
        if !matches!(self.lifecycle, Lifecycle::Active { .. }) {
            return;
        }
        let places = self.config.prefetch_batches;
        let places = if crate::planted!(PrefetchUnbounded) { usize::MAX } else { places };
        let room = places.saturating_sub(self.window.len());
        crate::sometimes!(PrefetchBatchesMet, room == 0 && !self.ahead.is_empty());
        if room == 0 || self.ahead.is_empty() {
            return;
        }
        let forgotten = self.repeats.forgotten();
        let taken: Vec<_> = self.ahead.entries().take(room).collect();
        let shown = self.reading.modified();
        let mut last = None;
        for entry in taken {
            let sequence = entry.sequence;
            let location = entry.location;
            let metadata = entry.metadata;
            self.collector.saw(&self.config.data_path_prefix, &location);
            let is_new =
                self.repeats.take(&location, sequence, shown) || crate::planted!(RepeatNotDropped);
            let stage = if is_new { Stage::Listed { after: None } } else { Stage::Repeat };
            if !is_new {
                crate::sometimes!(RepeatDropped);
                crate::sometimes!(RepeatDroppedFirst, self.stats.batches == 0);
                self.stats.repeats_dropped += 1;
                let event = ConsumerEvent::RepeatDropped { sequence, location: location.clone() };
                self.outputs.push_back(Output::Event(event));
            }
            self.window
                .push_back(Slot::new(BatchDescriptor { sequence, location, metadata }, stage));
            last = Some(sequence);
        }
        if let Some(last) = last {
            self.ahead = self.ahead.without_before(last.next());
        }
        if self.repeats.forgotten() != forgotten {
            let event = ConsumerEvent::RepeatsForgotten { count: self.repeats.forgotten() };
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Starts fetching, in order, within what may be held.
    pub(super) fn start_fetches(&mut self, now: Now) {
        if !self.fetches_ahead || !matches!(self.lifecycle, Lifecycle::Active { .. }) {
            return;
        }
        // The manifest names no sizes: the first batch is fetched alone, to have an idea of one.
        let expected = self.expected_bytes.unwrap_or(self.config.prefetch_bytes);
        for slot in &mut self.window {
            // A time that is past is no deadline any more, whether there is room for the batch or not.
            if let Stage::Listed { after } = &mut slot.stage {
                *after = after.filter(|after| *after > now.monotonic);
            }
        }
        let mut held: usize = self.window.iter().filter_map(|slot| slot.held(expected)).sum();
        for index in 0..self.window.len() {
            let slot = &mut self.window[index];
            let Stage::Listed { after } = slot.stage else { continue };
            if index > 0 && held.saturating_add(expected) > self.config.prefetch_bytes {
                crate::sometimes!(PrefetchBytesMet);
                break;
            }
            if after.is_some() {
                continue;
            }
            held = held.saturating_add(expected);
            slot.stage = Stage::Fetching;
            let sequence = slot.descriptor.sequence;
            let named = if crate::planted!(WrongBatchFetched) { 0 } else { index };
            let location = self.window[named].descriptor.location.clone();
            let timeout = self.config.request_timeout;
            self.command(Purpose::Fetch(sequence), |ticket| {
                Command::ReadBatch(ReadBatch { location, timeout, ticket })
            });
        }
    }

    fn slot_mut(&mut self, sequence: Sequence) -> Option<&mut Slot> {
        let found = self.window.binary_search_by_key(&sequence, |slot| slot.descriptor.sequence);
        self.window.get_mut(found.ok()?)
    }

    pub(super) fn on_fetched(
        &mut self,
        now: Now,
        sequence: Sequence,
        result: Result<ReadOutcome, StoreError>,
    ) {
        let limit = self.config.max_batch_bytes;
        let patience = self.config.retry_timeout;
        let wait = self.random.f64();
        let Some(slot) = self.slot_mut(sequence) else { return };
        let location = slot.descriptor.location.clone();
        match result {
            Ok(ReadOutcome::Found(object)) => {
                slot.failing_since = None;
                slot.backoff.reset();
                let bytes = object.bytes;
                slot.stage = Stage::Decoding { bytes: bytes.len() };
                self.command(Purpose::Decode(sequence), |ticket| {
                    Command::Decode(Decode { location, bytes, limit, ticket })
                });
            }
            Ok(ReadOutcome::Missing) => {
                self.strike(sequence, NextError::BatchMissing { sequence, location });
            }
            // Nothing was said about a version: a store that answers so is not to be believed.
            Ok(ReadOutcome::NotModified) => {
                let kind = StoreErrorKind::Unsupported;
                let source = StoreError::new(kind, StoreOperation::ReadBatch, location);
                self.fail_fetch(sequence, source);
            }
            Err(error) if error.is_retryable() && crate::planted!(CursorMovedBeforeFetch) => {
                self.window.retain(|slot| slot.descriptor.sequence != sequence);
                self.changed();
            }
            Err(error) if error.is_retryable() => {
                crate::sometimes!(FetchRetried);
                let since = *slot.failing_since.get_or_insert(now.monotonic);
                if now.monotonic.saturating_since(since) >= patience {
                    self.fail_fetch(sequence, error);
                } else {
                    let wait = slot.backoff.after_failure_at(wait);
                    slot.stage = Stage::Listed { after: Some(now.monotonic + wait) };
                    self.again.count(StoreOperation::ReadBatch).add_error(error.kind);
                }
            }
            Err(error) => self.fail_fetch(sequence, error),
        }
    }

    fn fail_fetch(&mut self, sequence: Sequence, source: StoreError) {
        let Some(slot) = self.slot_mut(sequence) else { return };
        crate::sometimes!(FetchFailed);
        slot.stage = Stage::Failed(NextError::BatchUnreadable { sequence, source });
        self.changed();
    }

    pub(super) fn on_decoded(
        &mut self,
        sequence: Sequence,
        result: Result<Vec<Bytes>, FormatError>,
    ) {
        let manifest = self.config.manifest_path.clone();
        let is_first_ready = self.window.front().is_none_or(Slot::is_ready);
        let Some(slot) = self.slot_mut(sequence) else { return };
        let checked = result.and_then(|entries| {
            check_metadata(&manifest, &slot.descriptor.metadata, entries.len())?;
            Ok(entries)
        });
        match checked {
            Ok(entries) => {
                let object_bytes = slot.held(0).expect("its bytes are being opened");
                let count = entries.len();
                let payload: usize = entries.iter().map(Bytes::len).sum();
                let bytes = payload + entries.len() * size_of::<Bytes>();
                slot.stage = Stage::Ready { entries, bytes };
                crate::sometimes!(StrikeThenFound, slot.strikes > 0);
                self.stats.batches_fetched += 1;
                self.stats.entries_fetched += count as u64;
                self.stats.bytes_fetched += object_bytes as u64;
                crate::sometimes!(
                    FetchedOutOfOrder,
                    !is_first_ready && !self.window.front().is_some_and(Slot::is_ready)
                );
                // Follow growth at once, so that the bound holds, and shrinkage slowly.
                let before = self.expected_bytes.unwrap_or(0);
                self.expected_bytes = Some(bytes.max(before / 8 * 7));
                self.changed();
            }
            Err(source) => self.strike(sequence, NextError::BatchCorrupt { sequence, source }),
        }
    }

    /// A batch is not what it should be. The manifest is read again before
    /// anything is said: if another consumer took over, it has dequeued the
    /// batch, and the batch is none of our business any more.
    fn strike(&mut self, sequence: Sequence, error: NextError) {
        let since_read = self.reading.begun();
        let Some(slot) = self.slot_mut(sequence) else { return };
        crate::sometimes!(MissingStrike, matches!(error, NextError::BatchMissing { .. }));
        crate::sometimes!(CorruptStrike, matches!(error, NextError::BatchCorrupt { .. }));
        slot.strikes += 1;
        slot.stage = Stage::Doubted { error, since_read };
        self.reading.ask_since(CallMark(since_read));
    }

    /// A reading that began after `begun` readings found this consumer still in charge.
    pub(super) fn settle_doubts(&mut self, begun: u64) {
        let mut told = false;
        for slot in &mut self.window {
            slot.stage = match mem::replace(&mut slot.stage, Stage::Told) {
                Stage::Doubted { error, since_read }
                    if since_read < begun && slot.strikes < STRIKES =>
                {
                    let retries = self.again.count(StoreOperation::ReadBatch);
                    let is_missing = matches!(error, NextError::BatchMissing { .. });
                    *if is_missing { &mut retries.missing } else { &mut retries.corrupt } += 1;
                    Stage::Listed { after: None }
                }
                Stage::Doubted { error, since_read } if since_read < begun => {
                    told = true;
                    Stage::Failed(error)
                }
                stage @ (Stage::Listed { .. }
                | Stage::Fetching
                | Stage::Decoding { .. }
                | Stage::Ready { .. }
                | Stage::Doubted { .. }
                | Stage::Failed(_)
                | Stage::Told
                | Stage::Repeat) => stage,
            };
        }
        if told {
            self.changed();
        }
    }
}
