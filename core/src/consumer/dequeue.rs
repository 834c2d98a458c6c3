//! Acknowledgements, and taking what was acknowledged out of the manifest.

use alloc::collections::VecDeque;
use core::hash::{Hash, Hasher};

use super::error::{AckError, AckRefusal, Ended, FlushError};
use super::{Consumer, Lifecycle, Purpose};
use crate::error::Fault;
use crate::known::Known;
use crate::store::{StoreError, WriteOutcome};
use crate::time::{Instant, Now};
use crate::types::Sequence;

/// What was handed out, what came back, and what the manifest still lists of it.
#[derive(Debug)]
pub(super) struct Dequeue {
    /// Handed out or passed over, and not acknowledged, in order.
    unacknowledged: VecDeque<Passed>,
    /// Every batch before this is acknowledged; the last one before it by the caller's own word.
    target: Sequence,
    /// Every sequence before this is known to be out of the manifest.
    dequeued: Sequence,
    /// Acknowledgements since the last dequeue.
    acks: usize,
    /// When the first of them came.
    first_ack: Option<Instant>,
    /// Somebody waits until all before this is dequeued: do it now.
    asked: Option<Sequence>,
    /// A swap was sent that dequeues all before this, and nothing has shown yet that it happened.
    sent: Option<Sequence>,
    failures: u64,
    last_failure: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
struct Passed {
    sequence: Sequence,
    /// A repeat or a skipped batch: acknowledged as soon as it is the first.
    over: bool,
}

/// What a flush waits for.
///
/// ```
/// # use buffer_core::{format::*, *};
/// # let now = Now::default();
/// # let location = |n| Location::from(format!("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1{n}.batch"));
/// # let locations = ["A", "B", "C"].map(location);
/// # let entries = locations.each_ref().map(|location| NewEntry { location, metadata: &[] });
/// # let bytes = Manifest::absent().append(&entries)?.to_rope().concat().into();
/// # let found = Object { bytes, version: Version::from_e_tag("1"), last_modified: None };
/// # let stored = |tag: &str| Ok(WriteOutcome::Stored(Version::from_e_tag(tag)));
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Found(found))));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, swap.ticket.complete(stored("2")));
/// # while let Output::Event(_) = consumer.poll() {}
/// // Three batches are handed out, and the caller is done with them.
/// assert!(matches!(consumer.next_descriptors(now, consumer.mark(), 3)?, Next::Ready(_)));
/// consumer.ack(now, Sequence(0))?;
/// consumer.ack_through(now, Sequence(2))?;
///
/// let mark = consumer.flush(now);
/// assert!(!consumer.flushed(mark)?);
/// let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// consumer.handle_completion(now, swap.ticket.complete(stored("3")));
/// assert!(consumer.flushed(mark)?);
/// assert_eq!(consumer.listed(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FlushMark {
    target: Sequence,
    failures: u64,
    term: u64,
}

impl Dequeue {
    pub(super) const fn new() -> Self {
        Self {
            unacknowledged: VecDeque::new(),
            target: Sequence(0),
            dequeued: Sequence(0),
            acks: 0,
            first_ack: None,
            asked: None,
            sent: None,
            failures: 0,
            last_failure: None,
        }
    }

    /// The consumer took over a queue that begins at `first`, and goes on at `from`: what
    /// lies between is stored by its caller's word, and dequeued like what is acknowledged.
    pub(super) fn start(&mut self, now: Now, first: Sequence, from: Sequence) {
        let first_ack = (from > first).then_some(now.monotonic);
        *self = Self { target: from, dequeued: first, first_ack, ..Self::new() };
    }

    pub(super) fn handed_out(&mut self, sequence: Sequence) {
        self.unacknowledged.push_back(Passed { sequence, over: false });
    }

    pub(super) fn passed_over(&mut self, sequence: Sequence) {
        if crate::planted!(RepeatDequeuedAlone) && self.unacknowledged.is_empty() {
            self.target = sequence.next();
            return;
        }
        self.unacknowledged.push_back(Passed { sequence, over: true });
    }

    pub(super) fn ask(&mut self) {
        self.asked = Some(self.target);
    }

    /// Every batch before this is acknowledged.
    pub(super) const fn target(&self) -> Sequence {
        self.target
    }

    /// Whether a dequeue is out, or is not known to have happened.
    pub(super) const fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.dequeued.0 >= self.target.0
    }

    /// A reading of the manifest shows where it begins. Says whether that is further than was known.
    pub(super) fn seen(&mut self, first: Sequence) -> bool {
        let is_further = first > self.dequeued;
        self.dequeued = self.dequeued.max(first);
        if self.sent.is_some_and(|sent| self.dequeued >= sent) {
            self.sent = None;
        }
        if self.asked.is_some_and(|asked| self.dequeued >= asked) {
            self.asked = None;
        }
        is_further
    }

    pub(super) fn failed(&mut self, fault: Fault) {
        self.failures += 1;
        self.last_failure = Some(fault);
    }

    pub(super) fn fingerprint(&self, hasher: &mut impl Hasher) {
        (self.target, self.dequeued, self.acks).hash(hasher);
        (self.unacknowledged.len(), self.asked.is_some(), self.sent.is_some()).hash(hasher);
    }

    fn drop_passed_over(&mut self) {
        while self.unacknowledged.front().is_some_and(|first| first.over) {
            self.unacknowledged.pop_front();
        }
    }

    fn refuse(&self, sequence: Sequence) -> Option<AckRefusal> {
        if sequence < self.target {
            crate::sometimes!(AckAlready);
            return Some(AckRefusal::AlreadyAcknowledged { sequence });
        }
        let handed_out = |passed: &&Passed| passed.sequence == sequence && !passed.over;
        match self.unacknowledged.iter().find(handed_out) {
            Some(_) => None,
            None => {
                crate::sometimes!(AckNotHandedOut);
                Some(AckRefusal::NotHandedOut { sequence })
            }
        }
    }

    fn acknowledge(&mut self, now: Now, through: Sequence) -> u64 {
        let mut count = 0;
        while let Some(first) = self.unacknowledged.front()
            && first.sequence <= through
        {
            crate::sometimes!(PassedOverAcknowledged, first.over);
            count += u64::from(!first.over);
            self.unacknowledged.pop_front();
        }
        crate::sometimes!(AckOfMany, count > 1);
        self.target = through.next();
        self.acks += usize::try_from(count).expect("no more than were held");
        self.first_ack.get_or_insert(now.monotonic);
        count
    }
}

impl Consumer {
    /// Says that the caller is done with the next batch in order.
    ///
    /// # Errors
    ///
    /// [`AckError`] when `sequence` is not the first that was handed out and not acknowledged.
    pub fn ack(&mut self, now: Now, sequence: Sequence) -> Result<(), AckError> {
        let is_listed = |known: &Known| known.manifest.next_sequence() > sequence;
        if crate::planted!(FirstAckUnchecked)
            && self.stats.acks == 0
            && sequence >= self.dequeue.target
            && self.reading.known.as_ref().is_some_and(is_listed)
        {
            self.take_ack(now, sequence);
            return Ok(());
        }
        self.check_ack(sequence)?;
        self.dequeue.drop_passed_over();
        let first = self.dequeue.unacknowledged.front().expect("`sequence` is among them");
        if first.sequence != sequence && !crate::planted!(GapInAcksAccepted) {
            crate::sometimes!(AckOutOfOrder);
            let expected = first.sequence;
            return Err(AckRefusal::OutOfOrder { sequence, expected }.into());
        }
        self.take_ack(now, sequence);
        Ok(())
    }

    /// Says that the caller is done with this batch and all before it.
    ///
    /// # Errors
    ///
    /// [`AckError`] when `sequence` was not handed out, or is acknowledged already.
    pub fn ack_through(&mut self, now: Now, sequence: Sequence) -> Result<(), AckError> {
        self.check_ack(sequence)?;
        self.take_ack(now, sequence);
        Ok(())
    }

    fn check_ack(&self, sequence: Sequence) -> Result<(), AckError> {
        match &self.lifecycle {
            Lifecycle::Ended(ended) => return Err(ended.clone().into()),
            Lifecycle::Closing { .. } => return Err(Ended::Closed.into()),
            Lifecycle::Active { .. } | Lifecycle::New | Lifecycle::Initializing(_) => {}
        }
        self.dequeue.refuse(sequence).map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    fn take_ack(&mut self, now: Now, sequence: Sequence) {
        self.stats.acks += self.dequeue.acknowledge(now, sequence);
        self.advance(now);
    }

    /// Asks for everything acknowledged to be dequeued now; [`Consumer::flushed`] tells when it is.
    pub fn flush(&mut self, now: Now) -> FlushMark {
        let Dequeue { target, failures, .. } = self.dequeue;
        let mark = FlushMark { target, failures, term: self.term };
        if !self.dequeue.is_settled() {
            self.dequeue.ask();
            self.advance(now);
        }
        mark
    }

    /// Whether what was acknowledged before the mark is dequeued; ask again after [`ConsumerEvent::Changed`](super::ConsumerEvent::Changed).
    ///
    /// # Errors
    ///
    /// [`FlushError`] when dequeuing has failed since the mark. It is tried again all the same.
    pub fn flushed(&self, mark: FlushMark) -> Result<bool, FlushError> {
        if mark.term != self.term {
            return Err(FlushError::Reinitialized);
        }
        if self.dequeue.dequeued >= mark.target {
            return Ok(true);
        }
        let failed = (self.dequeue.failures > mark.failures)
            .then_some(self.dequeue.last_failure.as_ref())
            .flatten();
        match (self.ended(), failed) {
            (Some(ended @ (Ended::Fenced { .. } | Ended::Manifest(_))), _) => {
                Err(ended.clone().into())
            }
            (_, Some(fault)) => Err(FlushError::Fault(fault.clone())),
            (Some(ended @ (Ended::Closed | Ended::Stopped)), None) => Err(ended.clone().into()),
            (None, None) => Ok(false),
        }
    }

    /// When the manifest is to be dequeued next.
    pub(super) fn dequeue_deadline(&self) -> Option<Instant> {
        let dequeue = &self.dequeue;
        if dequeue.is_settled() {
            None
        } else if dequeue.asked.is_some()
            || dequeue.sent.is_some()
            || dequeue.acks >= self.config.dequeue_acks
        {
            Some(Instant::default())
        } else {
            dequeue.first_ack.map(|first| first + self.config.dequeue_interval)
        }
    }

    /// Swaps in the manifest without what is acknowledged. The epoch was checked when `known` was read.
    pub(super) fn send_dequeue(&mut self, now: Now) {
        let known = self.reading.known.as_ref().expect("the manifest was read");
        let is_ours = Some(known.manifest.epoch()) == self.epoch()
            || crate::planted!(DequeueWithoutEpochCheck)
            || crate::planted!(FencedCollectorGoesOn)
            || crate::planted!(EpochAdoptedAfterUnknown);
        assert!(is_ours, "a fenced consumer has ended");
        let target = self.dequeue.target;
        let target = if crate::planted!(DequeueOneTooFar) { target.next() } else { target };
        let shortened = known.manifest.without_before(target);
        crate::sometimes!(DequeueSentAgain, self.dequeue.is_sent());
        let (asked, acks) = (self.dequeue.asked.is_some(), self.dequeue.acks);
        let is_full = acks >= self.config.dequeue_acks;
        crate::sometimes!(DequeueAsked, asked);
        crate::sometimes!(DequeueByAcks, !asked && is_full);
        crate::sometimes!(DequeueByTime, !asked && !is_full && !self.dequeue.is_sent());
        self.dequeue.sent = Some(self.dequeue.target);
        self.dequeue.acks = 0;
        self.dequeue.first_ack = None;
        self.swap(now, Purpose::Dequeue, &shortened);
    }

    /// Takes the reply to a dequeue. If it is not certain, the manifest is read
    /// again: either it shows that it happened, or it is sent once more.
    pub(super) fn on_dequeued(&mut self, now: Now, result: Result<WriteOutcome, StoreError>) {
        if let Some(written) = self.on_swapped(now, result) {
            self.dequeue.seen(written.first_sequence());
            self.changed();
        } else if crate::planted!(FailedDequeueNotRetried) {
            self.dequeue.sent = None;
            self.dequeue.asked = None;
        }
    }
}
