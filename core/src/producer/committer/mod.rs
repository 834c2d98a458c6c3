//! The transitions of the manifest: one swap at a time, and finding out what became of it.

mod beside;
mod reading;

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::mem;
use core::time::Duration;

use beside::Beside;

use super::attempt::Attempt;
use super::batch::{Batch, Doubt, Stage};
use super::error::DeliveryFailure;
use super::{Producer, Purpose};
use crate::backoff::{Backoff, RETRY_BASE, RETRY_MOST};
use crate::command::{CasManifest, Command, ReadManifest};
use crate::contention::{Contention, Urgency};
use crate::error::Fault;
use crate::format::NewEntry;
use crate::known::Known;
use crate::store::{StoreError, StoreErrorKind, StoreOperation, WriteOutcome};
use crate::suspicion::Suspicion;
use crate::time::{Instant, Now};
use crate::types::{BatchId, Sequence};

/// What the producer knows of the manifest, and what it is doing about it.
#[derive(Debug)]
pub(super) struct Committer {
    /// The last reading, or what was last written; `None` before the first.
    known: Option<Known>,
    /// A manifest object was seen, so there must always be one.
    seen: bool,
    /// `known` is no longer what the manifest is.
    stale: bool,
    /// Others had their turn since the last swap, if there are any.
    was_away: bool,
    phase: Phase,
    /// The swap whose outcome is not certain.
    attempt: Option<Attempt>,
    /// The manifest as it was read while that swap was out.
    beside: Beside,
    contention: Contention,
    backoff: Backoff,
    suspicion: Suspicion,
    last_fault: Option<Fault>,
    /// How many reads in a row showed bytes that are no manifest.
    corrupt_reads: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing is under way, and nothing is to be done before `after`.
    Resting { after: Option<Instant> },
    /// The manifest is being read.
    Reading { since: Instant },
    /// A swap is out.
    Swapping { since: Instant },
    /// Nothing will be done any more.
    Stopped,
}

impl Committer {
    pub(super) fn new() -> Self {
        Self {
            known: None,
            seen: false,
            stale: false,
            was_away: false,
            phase: Phase::Resting { after: None },
            attempt: None,
            beside: Beside::None,
            contention: Contention::new(),
            backoff: Backoff::new(RETRY_BASE, RETRY_MOST),
            suspicion: Suspicion::new(),
            last_fault: None,
            corrupt_reads: 0,
        }
    }

    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopped;
    }

    /// Whether a swap that lists the batch is out, so that a reply is still to come.
    pub(super) fn is_being_swapped(&self, batch: BatchId) -> bool {
        let attempt = self.attempt.as_ref();
        self.is_swapping() && attempt.is_some_and(|attempt| attempt.sequence_of(batch).is_some())
    }

    pub(super) const fn is_swapping(&self) -> bool {
        matches!(self.phase, Phase::Swapping { .. })
    }

    pub(super) fn last_fault(&self) -> Option<Fault> {
        self.last_fault.clone()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Resting { after } => after,
            Phase::Reading { .. } | Phase::Swapping { .. } | Phase::Stopped => None,
        }
    }

    pub(super) fn fingerprint(&self, hasher: &mut impl Hasher) {
        mem::discriminant(&self.phase).hash(hasher);
        mem::discriminant(&self.beside).hash(hasher);
        (self.seen, self.stale).hash(hasher);
        for known in self.known.iter().chain(self.attempt.iter().map(|attempt| &attempt.base)) {
            let manifest = &known.manifest;
            (manifest.first_sequence(), manifest.next_sequence(), manifest.epoch()).hash(hasher);
            known.version.is_some().hash(hasher);
        }
        let attempted = self.attempt.as_ref().map(|attempt| (attempt.first, attempt.last()));
        attempted.hash(hasher);
    }
}

impl Producer {
    /// Does the next thing about the manifest, if nothing is under way.
    pub(super) fn commit(&mut self, now: Now) {
        match self.committer.phase {
            Phase::Resting { after } if after.is_none_or(|after| after <= now.monotonic) => {}
            Phase::Resting { .. }
            | Phase::Reading { .. }
            | Phase::Swapping { .. }
            | Phase::Stopped => {
                return;
            }
        }
        self.committer.phase = Phase::Resting { after: None };
        self.forget_an_attempt_that_concerns_nobody();
        if self.looks_beside(now) {
            return;
        }
        let undecided = self.committer.attempt.is_some();
        // The first read goes out with the first encode: an uncontended commit then finds the manifest known.
        let unread = self.committer.known.is_none() && !self.pipeline.is_empty();
        if undecided || unread || (self.committer.stale && self.has_something_to_commit()) {
            self.read_manifest(now);
        } else if self.has_something_to_commit() {
            crate::sometimes!(CommitWithoutRead, self.stats.swaps > 0);
            self.swap(now);
        }
    }

    fn has_something_to_commit(&self) -> bool {
        self.pipeline.front().is_some_and(|batch| matches!(batch.stage, Stage::Uploaded))
    }

    /// An attempt all of whose batches were given up may land or not: nobody waits for the answer.
    fn forget_an_attempt_that_concerns_nobody(&mut self) {
        let Some(attempt) = &self.committer.attempt else { return };
        if !attempt.batches.iter().any(|(id, _)| self.index_of(*id).is_some()) {
            crate::sometimes!(AttemptForgotten);
            self.committer.attempt = None;
            self.committer.beside = Beside::None;
            self.committer.stale = true;
        }
    }

    fn read_manifest(&mut self, now: Now) {
        self.committer.phase = Phase::Reading { since: now.monotonic };
        let unless = self.committer.known.as_ref().and_then(|known| known.version.clone());
        let location = self.config.manifest_path.clone();
        let timeout = self.config.request_timeout;
        self.command(Purpose::ReadManifest, |ticket| {
            Command::ReadManifest(ReadManifest { location, unless, timeout, ticket })
        });
    }

    /// Lists every batch that is uploaded and has none before it that is not, in one swap.
    fn swap(&mut self, now: Now) {
        let ready = self.ready_batches(now);
        if ready == 0 {
            return;
        }
        let base = self.committer.known.clone().expect("the manifest was read");
        let mut listed: Vec<&Batch> = self.pipeline.iter().take(ready).collect();
        if crate::planted!(OrderSwapped) {
            listed.reverse();
        }
        let entries: Vec<NewEntry<'_>> = listed
            .iter()
            .map(|batch| NewEntry { location: batch.location(), metadata: &batch.metadata })
            .collect();
        let batches = listed.iter().map(|batch| (batch.id, batch.location().clone())).collect();
        let result = match base.manifest.append(&entries) {
            Ok(result) => result,
            Err(error) => {
                // Only the manifest's own numbers can overflow here: no later swap would do better.
                for _ in 0..ready {
                    let batch = self.pipeline.pop_front().expect("it was just counted");
                    self.give_up(&batch, DeliveryFailure::Encode(error.clone()));
                }
                return;
            }
        };
        crate::sometimes!(GroupCommit, ready > 1);
        crate::sometimes!(LargeGroupCommit, ready > 4);
        crate::sometimes!(CommittedWhileUploading, self.pipeline.len() > ready);
        for batch in self.pipeline.iter_mut().take(ready) {
            if batch.doubt == Doubt::None {
                batch.doubt = Doubt::Attempted;
            }
        }
        let first = base.manifest.next_sequence();
        self.committer.attempt = Some(Attempt { base, result, batches, first });
        self.send_swap(now);
    }

    /// Sends the swap that is on record: for the first time, or again, byte for byte.
    fn send_swap(&mut self, now: Now) {
        let attempt = self.committer.attempt.as_ref().expect("a swap is on record");
        let before = &attempt.base.manifest;
        // A store may name versions by content, so no manifest may ever repeat earlier bytes.
        assert!(
            attempt.result.next_sequence() > before.next_sequence(),
            "each swap lists something"
        );
        assert!(
            attempt.result.epoch() == before.epoch() || crate::planted!(SwapWithoutCondition),
            "only consumers raise the epoch"
        );
        let condition = attempt.base.condition();
        let payload = attempt.result.to_rope();
        let location = self.config.manifest_path.clone();
        let timeout = self.config.request_timeout;
        self.read_beside(now);
        self.committer.phase = Phase::Swapping { since: now.monotonic };
        self.stats.swaps += 1;
        self.command(Purpose::Swap, |ticket| {
            Command::CasManifest(CasManifest { location, condition, payload, timeout, ticket })
        });
        if crate::planted!(SettledBeforeSwap) {
            let attempt = self.committer.attempt.take().expect("a swap is on record");
            self.settle_attempt(&attempt);
            self.committer.attempt = Some(attempt);
        }
    }

    /// How many batches at the front can be listed now. Young or not at all:
    /// what was uploaded too long ago the collector may already have judged.
    fn ready_batches(&mut self, now: Now) -> usize {
        let half_grace = self.config.half_grace();
        let mut ready = 0;
        while let Some(batch) = self.pipeline.get_mut(ready) {
            let Stage::Uploaded = batch.stage else { break };
            let (_, began) = batch.upload.as_ref().expect("it was uploaded");
            if crate::planted!(NoGroupCommit) && ready == 1 {
                break;
            }
            if now.age_of(*began) < half_grace || crate::planted!(OldBatchListed) {
                ready += 1;
                continue;
            }
            match batch.doubt {
                Doubt::None if batch.is_released() => {
                    crate::sometimes!(ReleasedTooOld);
                    let batch = self.pipeline.remove(ready).expect("it was just there");
                    self.give_up(&batch, DeliveryFailure::TooOld { limit: half_grace });
                }
                Doubt::None => {
                    crate::sometimes!(UploadedAgain);
                    batch.stage = Stage::Encoded { after: None };
                    break;
                }
                Doubt::Attempted | Doubt::Forever => {
                    let batch = self.pipeline.remove(ready).expect("it was just there");
                    let sequence = self.next_sequence_known();
                    self.give_up(&batch, DeliveryFailure::Overtaken { sequence });
                }
            }
        }
        ready
    }

    fn next_sequence_known(&self) -> Sequence {
        let known = self.committer.known.as_ref().expect("the manifest was read");
        known.manifest.next_sequence()
    }

    /// Takes the reply to a swap.
    ///
    /// A conflict proves as little as an error does: a client library that
    /// re-sent our own write reports its own success as a conflict.
    pub(super) fn on_swap(&mut self, now: Now, result: Result<WriteOutcome, StoreError>) {
        let Phase::Swapping { since } = self.committer.phase else { return };
        self.committer.phase = Phase::Resting { after: None };
        match result {
            Ok(WriteOutcome::Stored(version)) => {
                let attempt = self.committer.attempt.take().expect("a swap is on record");
                crate::sometimes!(ManifestCreated, attempt.base.version.is_none());
                let took = self.took(now, since);
                let listed = attempt.batches.len();
                let next = self.pipeline.get(listed);
                let more = next.is_some_and(|batch| matches!(batch.stage, Stage::Uploaded));
                let urgency = self.urgency(now);
                let contention = &mut self.committer.contention;
                let pause = contention.on_success(took, urgency, more, &mut self.random);
                let others_write = contention.has_turns();
                self.committer.phase =
                    Phase::Resting { after: pause.map(|pause| now.monotonic + pause) };
                let known = Known { manifest: attempt.result.clone(), version: Some(version) };
                self.committer.known = Some(known);
                self.committer.seen = true;
                self.end_beside();
                // Whoever stays away for a turn swaps on what others have written meanwhile.
                self.committer.stale = others_write;
                self.committer.was_away = others_write;
                self.on_commit_progress();
                self.settle_attempt(&attempt);
            }
            Ok(WriteOutcome::Conflict) => {
                self.stats.conflicts += 1;
                self.committer.stale = true;
                crate::sometimes!(SwapConflict);
                crate::sometimes!(CreateConflict, !self.committer.seen);
                if crate::planted!(AppendTwiceAfterConflict) {
                    self.committer.attempt = None;
                }
                let pause = self.pause_after_conflict(now, since);
                let pause =
                    if crate::planted!(NoPauseAfterConflict) { Duration::ZERO } else { pause };
                self.committer.phase = Phase::Resting { after: Some(now.monotonic + pause) };
            }
            Err(error)
                if crate::planted!(TimeoutTakenForSuccess)
                    && error.kind == StoreErrorKind::TimedOut =>
            {
                let attempt = self.committer.attempt.take().expect("a swap is on record");
                self.settle_attempt(&attempt);
                self.rest_after_fault(now, Fault::Store(error));
            }
            Err(error)
                if crate::planted!(TimeoutTakenForFailure)
                    && error.kind == StoreErrorKind::TimedOut =>
            {
                self.fail_commit(now, &Fault::Store(error));
            }
            Err(error) if error.is_retryable() => {
                crate::sometimes!(SwapFailed, error.kind == StoreErrorKind::Transient);
                crate::sometimes!(SwapTimedOut, error.kind == StoreErrorKind::TimedOut);
                match error.kind == StoreErrorKind::Throttled {
                    true => {
                        crate::sometimes!(SwapThrottled);
                        self.rest_after_throttling(now, Fault::Store(error));
                    }
                    false => self.retry_swap(now, Fault::Store(error)),
                }
            }
            Err(error) => {
                crate::sometimes!(SwapDenied);
                self.fail_commit(now, &Fault::Store(error));
            }
        }
    }

    /// How long to give way after a swap that was out since then, and lost.
    fn pause_after_conflict(&mut self, now: Now, since: Instant) -> Duration {
        let (took, urgency) = (self.took(now, since), self.urgency(now));
        self.committer.contention.on_conflict(took, urgency, &mut self.random)
    }

    /// A store that takes one write a second to one object turns others away as a conflict does.
    fn rest_after_throttling(&mut self, now: Now, fault: Fault) {
        let urgency = self.urgency(now);
        let wait = self.committer.contention.on_throttled(urgency, &mut self.random);
        let wait = if crate::planted!(RetryWithoutBackoff) { Duration::ZERO } else { wait };
        self.again.count(StoreOperation::SwapManifest).add_fault(&fault);
        self.committer.stale = true;
        self.committer.last_fault = Some(fault);
        self.committer.phase = Phase::Resting { after: Some(now.monotonic + wait) };
    }

    fn urgency(&self, now: Now) -> Urgency {
        let oldest = self.pipeline.front();
        let (opened, deadline) =
            oldest.map_or((now.monotonic, now.monotonic), |batch| (batch.opened, batch.deadline));
        Urgency {
            waited: now.monotonic.saturating_since(opened),
            left: deadline.saturating_since(now.monotonic),
        }
    }

    /// What a request took. Whoever was paused meanwhile learns nothing of that.
    fn took(&self, now: Now, since: Instant) -> core::time::Duration {
        now.monotonic.saturating_since(since).min(self.config.request_timeout)
    }

    /// A swap got through. A read alone ends no trouble: a store may serve reads and turn swaps away.
    fn on_commit_progress(&mut self) {
        self.committer.backoff.reset();
        self.committer.suspicion.clear();
        self.committer.last_fault = None;
    }

    /// Tells the batches of a swap that took effect.
    fn settle_attempt(&mut self, attempt: &Attempt) {
        for (id, _) in &attempt.batches {
            if let Some(index) = self.index_of(*id) {
                let batch = self.pipeline.remove(index).expect("it was just there");
                self.settle(&batch, Ok(()));
            }
        }
    }

    fn retry_reading(&mut self, now: Now, fault: Fault) {
        self.again.count(StoreOperation::ReadManifest).add_fault(&fault);
        self.rest_after_fault(now, fault);
    }

    fn retry_swap(&mut self, now: Now, fault: Fault) {
        self.again.count(StoreOperation::SwapManifest).add_fault(&fault);
        self.rest_after_fault(now, fault);
    }

    fn rest_after_fault(&mut self, now: Now, fault: Fault) {
        let wait = self.committer.backoff.after_failure(&mut self.random);
        let wait = if crate::planted!(RetryWithoutBackoff) { Duration::ZERO } else { wait };
        self.committer.stale = true;
        self.committer.last_fault = Some(fault);
        self.committer.phase = Phase::Resting { after: Some(now.monotonic + wait) };
    }

    /// The manifest is out of reach for good: whatever waits for it is given up.
    fn fail_commit(&mut self, now: Now, fault: &Fault) {
        self.committer.attempt = None;
        self.rest_after_fault(now, fault.clone());
        let mut index = 0;
        while let Some(batch) = self.pipeline.get(index) {
            if !matches!(batch.stage, Stage::Uploaded) {
                index += 1;
                continue;
            }
            let batch = self.pipeline.remove(index).expect("it was just there");
            let failure = match fault {
                Fault::Store(error) => DeliveryFailure::Store(error.clone()),
                Fault::Format(error) => DeliveryFailure::Corrupt(error.clone()),
            };
            self.give_up(&batch, failure);
        }
    }
}
