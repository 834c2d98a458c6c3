//! Reading the manifest and swapping it, and finding out that somebody else took over.

use core::hash::{Hash, Hasher};
use core::time::Duration;

use super::collector::credible;
use super::error::{Ended, InitializeError, NextError};
use super::{CallMark, Consumer, ConsumerConfig, Lifecycle, Purpose, Slot};
use crate::backoff::{Backoff, RETRY_BASE, RETRY_MOST};
use crate::command::{CasManifest, Command, ReadManifest};
use crate::contention::{Contention, Urgency};
use crate::error::{Fault, ManifestError};
use crate::format::Manifest;
use crate::known::Known;
use crate::store::{ReadOutcome, StoreError, StoreErrorKind, StoreOperation, WriteOutcome};
use crate::suspicion::Suspicion;
use crate::time::{Instant, Now, UnixMillis};

/// How many reads in a row may show bytes that are no manifest before the caller is told.
const CORRUPT_READS: u32 = 3;
/// The one consumer is in nobody's way for long, and everybody waits for it.
const URGENCY: Urgency = Urgency { waited: Duration::from_secs(1), left: Duration::ZERO };

/// What is known of the manifest, and what is under way with it: one request at a time.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) known: Option<Known>,
    /// `known` is no longer what the manifest is: read before the next swap.
    pub(super) stale: bool,
    pub(super) busy: bool,
    /// The read that is out asks for the whole manifest, whether that is known or not.
    whole: bool,
    /// Nothing is to be done before this.
    pub(super) rest_until: Option<Instant>,
    pub(super) contention: Contention,
    /// A store may serve reads and turn swaps away: what one of them comes to says nothing of the other.
    reads: Trouble,
    swaps: Trouble,
    suspicion: Suspicion,
    /// How many reads were begun.
    begun: u64,
    /// A read is wanted that has at least this number.
    wanted: u64,
    /// The number of the last read that was answered.
    shown: u64,
    /// Why the read with this number, and those that took its place, failed.
    failure: Option<(u64, Fault)>,
    /// When to look again for a caller that waits.
    watch: Option<Instant>,
    poll_interval: Duration,
    last_read: Option<Instant>,
    /// When the manifest that was last read had been written, by the store's clock.
    modified: Option<UnixMillis>,
    /// What a swap that is out writes, and since when it is out.
    swapping: Option<(Manifest, Instant)>,
    /// How many reads in a row showed bytes that are no manifest.
    corrupt_reads: u32,
    /// What went wrong since the last reading or swap that worked.
    last_fault: Option<Fault>,
}

/// Which kind of request about the manifest failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempted {
    Read,
    Swap,
}

/// Requests of one kind that have failed since the last one that worked.
#[derive(Debug)]
struct Trouble {
    backoff: Backoff,
    /// When the first of them failed.
    since: Option<Instant>,
}

impl Trouble {
    const fn new() -> Self {
        Self { backoff: Backoff::new(RETRY_BASE, RETRY_MOST), since: None }
    }

    const fn end(&mut self) {
        *self = Self::new();
    }
}

impl Reading {
    pub(super) fn new(config: &ConsumerConfig) -> Self {
        Self {
            known: None,
            stale: true,
            busy: false,
            whole: false,
            rest_until: None,
            contention: Contention::alone(),
            reads: Trouble::new(),
            swaps: Trouble::new(),
            suspicion: Suspicion::new(),
            begun: 0,
            wanted: 0,
            shown: 0,
            failure: None,
            watch: None,
            poll_interval: config.poll_interval,
            last_read: None,
            modified: None,
            swapping: None,
            corrupt_reads: 0,
            last_fault: None,
        }
    }

    /// The same for the next term: readings are counted on.
    pub(super) fn continuing(earlier: &Self, config: &ConsumerConfig) -> Self {
        Self { begun: earlier.begun, ..Self::new(config) }
    }

    /// Whether swaps have failed, or met conflicts, since the last one that worked.
    pub(super) const fn has_failed_swaps(&self) -> bool {
        self.swaps.since.is_some()
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    pub(super) const fn begun(&self) -> u64 {
        self.begun
    }

    pub(super) const fn modified(&self) -> Option<UnixMillis> {
        self.modified
    }

    /// Asks for a read that begins after the marked moment.
    pub(super) fn ask_since(&mut self, since: CallMark) {
        self.wanted = self.wanted.max(since.0 + 1);
    }

    /// Whether the manifest was read after the marked moment; the window tells what of it is left.
    pub(super) const fn was_shown_since(&self, since: CallMark) -> bool {
        self.shown > since.0
    }

    /// Asks for a read at the next poll, and sees to it that there is one.
    pub(super) fn watch(&mut self, now: Now) {
        let rest =
            if crate::planted!(PollWithoutRest) { Duration::ZERO } else { self.poll_interval };
        let next = self.last_read.map_or(now.monotonic, |last| last + rest);
        self.watch.get_or_insert(next);
    }

    /// Tells every call that began before the read that failed, and none that began after it.
    pub(super) fn failure_since(&self, since: CallMark) -> Result<(), NextError> {
        match &self.failure {
            Some((number, fault)) if *number > since.0 => {
                Err(NextError::ManifestUnreadable(fault.clone()))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn fingerprint(&self, hasher: &mut impl Hasher) {
        (self.stale, self.busy, self.wanted > self.begun, self.watch.is_some()).hash(hasher);
        let known = self.known.as_ref().map(|known| {
            let manifest = &known.manifest;
            (manifest.first_sequence(), manifest.next_sequence(), manifest.epoch())
        });
        known.hash(hasher);
    }

    fn read_succeeded(&mut self) {
        self.reads.end();
        self.suspicion.clear();
        self.corrupt_reads = 0;
        self.last_fault = None;
    }
}

impl Consumer {
    pub(super) fn reading_deadline(&self, dequeue: Option<Instant>) -> Option<Instant> {
        if self.reading.busy {
            return None;
        }
        // A read that is wanted now does not wait for a dequeue that is due later.
        let wanted = matches!(self.lifecycle, Lifecycle::Initializing(_))
            || self.reading.wanted > self.reading.begun
            || self.collector.wants_reading();
        let at_once = wanted.then(Instant::default);
        let want = self.reading.watch.into_iter().chain(dequeue).chain(at_once).min()?;
        Some(self.reading.rest_until.map_or(want, |rest| rest.max(want)))
    }

    /// Does the next thing about the manifest, if nothing is under way.
    pub(super) fn start_manifest_work(&mut self, now: Now) {
        let due = |at: Instant| at <= now.monotonic;
        if self.reading.busy || self.reading.rest_until.is_some_and(|rest| !due(rest)) {
            return;
        }
        self.reading.rest_until = None;
        match &self.lifecycle {
            Lifecycle::New | Lifecycle::Ended(_) => {}
            Lifecycle::Initializing(resume) => {
                let resume = *resume;
                if self.reading.stale {
                    self.read_manifest();
                } else {
                    self.raise_epoch(now, resume);
                }
            }
            Lifecycle::Active { .. } | Lifecycle::Closing { .. } => {
                let dequeue_due = self.dequeue_deadline().is_some_and(due);
                let poll_due = self.reading.watch.is_some_and(due);
                if self.reading.wanted > self.reading.begun
                    || self.collector.wants_reading()
                    || poll_due
                    || (dequeue_due && self.reading.stale)
                {
                    self.read_manifest();
                } else if dequeue_due {
                    self.send_dequeue(now);
                }
            }
        }
    }

    fn read_manifest(&mut self) {
        self.reading.busy = true;
        self.reading.begun += 1;
        self.reading.watch = None;
        // The collector needs contents and time of one answer; whoever else waits for a read shares it.
        self.reading.whole = self.collector.wants_reading();
        let known = self.reading.known.as_ref().filter(|_| !self.reading.whole);
        let unless = known.and_then(|known| known.version.clone());
        let location = self.config.manifest_path.clone();
        let timeout = self.config.request_timeout;
        self.command(Purpose::ReadManifest, |ticket| {
            Command::ReadManifest(ReadManifest { location, unless, timeout, ticket })
        });
    }

    /// Takes a reading of the manifest.
    pub(super) fn on_manifest(&mut self, now: Now, result: Result<ReadOutcome, StoreError>) {
        self.reading.busy = false;
        self.reading.last_read = Some(now.monotonic);
        let whole = self.reading.whole;
        let mut modified = self.reading.modified;
        let seen = match result {
            Ok(ReadOutcome::Found(object)) => {
                modified = credible(object.last_modified, now.wall);
                let location = &self.config.manifest_path;
                let parsed = match &self.reading.known {
                    Some(known) => Manifest::parse_after(location, object.bytes, &known.manifest),
                    None => Manifest::parse(location, object.bytes),
                };
                match parsed {
                    Ok(manifest) => Known { manifest, version: Some(object.version) },
                    Err(error) => {
                        return self.manifest_failed(now, Attempted::Read, error.into());
                    }
                }
            }
            Ok(ReadOutcome::NotModified) => match self.reading.known.clone() {
                Some(known) if known.version.is_some() && !whole => {
                    crate::sometimes!(ConsumerReadNotModified);
                    known
                }
                Some(_) | None => {
                    let error = StoreError::unasked(&self.config.manifest_path);
                    return self.manifest_failed(now, Attempted::Read, error.into());
                }
            },
            Ok(ReadOutcome::Missing) => match self.reading.known.clone() {
                Some(known) if crate::planted!(MissingManifestTakenForUnchanged) => known,
                Some(_) | None => Known::absent(),
            },
            Err(error) => return self.manifest_failed(now, Attempted::Read, error.into()),
        };
        if let Some(error) = self.contradiction(&seen) {
            match self.reading.suspicion.again() {
                Some(wait) => {
                    crate::sometimes!(ConsumerSuspicious);
                    self.reading.rest_until = Some(now.monotonic + wait);
                    // Look again even if nobody waits: whoever asked has no answer yet.
                    self.reading.wanted = self.reading.begun + 1;
                }
                None => {
                    let lost = matches!(error, ManifestError::Lost { .. });
                    crate::sometimes!(ConsumerManifestLost, lost);
                    crate::sometimes!(ConsumerManifestRolledBack, !lost);
                    self.end(Ended::Manifest(error));
                }
            }
            return;
        }
        crate::sometimes!(ConsumerSuspicionCleared, self.reading.suspicion.has_looked());
        self.reading.read_succeeded();
        self.reading.failure = None;
        self.reading.stale = false;
        self.reading.modified = modified;
        let manifest = whole.then(|| seen.manifest.clone());
        self.learn(seen);
        if let Some(manifest) = manifest {
            self.collect_by(now, &manifest, modified);
        }
    }

    /// Whether a reading cannot be a later state of the manifest that was known.
    fn contradiction(&self, seen: &Known) -> Option<ManifestError> {
        let location = self.config.manifest_path.clone();
        let known = self.reading.known.as_ref()?;
        if known.version.is_some() && seen.version.is_none() {
            return Some(ManifestError::Lost { location });
        }
        if let Err(source) = seen.manifest.check_follows(&known.manifest) {
            return Some(ManifestError::RolledBack { location, source });
        }
        // Under our epoch only we dequeue, and only what was acknowledged.
        let first = seen.manifest.first_sequence();
        let expected = self.dequeue.target();
        let is_gap = self.epoch() == Some(seen.manifest.epoch()) && first > expected;
        is_gap.then_some(ManifestError::EntriesMissing { location, expected, first })
    }

    fn learn(&mut self, mut seen: Known) {
        if crate::planted!(ZombieDequeue)
            && let (Some(known), Some(epoch)) = (&self.reading.known, self.epoch())
            && seen.manifest.epoch() > epoch
        {
            seen.manifest = known.manifest.clone();
        }
        let listed_until = seen.manifest.next_sequence();
        let epoch_seen = seen.manifest.epoch();
        self.reading.known = Some(seen);
        let Some(epoch) = self.epoch() else {
            // Taking over goes on from `start_manifest_work`.
            return;
        };
        let blind = crate::planted!(FencedCollectorGoesOn) && self.reading.whole;
        if epoch_seen > epoch && !blind && !crate::planted!(DequeueWithoutEpochCheck) {
            self.note_fencing();
            self.end(Ended::Fenced { epoch, by: epoch_seen });
            return;
        }
        let known = self.reading.known.as_ref().expect("it was just set");
        let more = listed_until > self.ahead.next_sequence();
        if more {
            // What `ahead` begins with is what the window has not taken in.
            let from = self.ahead.first_sequence();
            self.ahead = known.manifest.without_before(from);
            self.reading.poll_interval = self.config.poll_interval;
        } else {
            let slower = self.reading.poll_interval.saturating_mul(2);
            let slowest = self.config.poll_interval_max;
            crate::sometimes!(PollSlowedDown, self.reading.poll_interval < slowest);
            crate::sometimes!(PollSlowest, self.reading.poll_interval == slowest);
            self.reading.poll_interval = slower.min(slowest);
        }
        self.reading.shown = self.reading.begun;
        let grace = self.config.gc_grace_period;
        let (modified, thoroughly) = (self.reading.modified, self.reading.whole);
        let dequeued = self.repeats.forget(&known.manifest, modified, grace, thoroughly);
        self.collector.add_dequeued(dequeued);
        if self.dequeue.seen(known.manifest.first_sequence()) {
            // Its reply was lost, but a swap got through.
            crate::sometimes!(DequeueSeen);
            self.reading.swaps.end();
        }
        self.settle_doubts(self.reading.begun);
        self.changed();
    }

    /// Notes what was under way when this consumer learned that it is fenced.
    fn note_fencing(&self) {
        let dequeuing = self.dequeue.is_sent();
        let fetching = self.window.iter().any(Slot::is_being_fetched);
        let doubting = self.window.iter().any(Slot::is_doubted);
        crate::sometimes!(FencedWhileDequeuing, dequeuing);
        crate::sometimes!(FencedWhileFetching, fetching);
        crate::sometimes!(FencedInDoubt, doubting);
        crate::sometimes!(FencedWhileReading, !dequeuing && !fetching && !doubting);
        crate::sometimes!(FencedByCollector, self.reading.whole);
        crate::sometimes!(FencedWhileDeleting, self.collector.is_deleting());
        crate::sometimes!(FencedWhileClosing, matches!(self.lifecycle, Lifecycle::Closing { .. }));
    }

    /// A request about the manifest failed: tries again, and tells who waits when it has lasted too long.
    fn manifest_failed(&mut self, now: Now, attempted: Attempted, fault: Fault) {
        let retryable = match &fault {
            Fault::Store(error) => error.is_retryable(),
            Fault::Format(_) => {
                crate::sometimes!(ConsumerReadCorrupt);
                self.reading.corrupt_reads += 1;
                self.reading.corrupt_reads < CORRUPT_READS
            }
        };
        let trouble = match attempted {
            Attempted::Read => &mut self.reading.reads,
            Attempted::Swap => &mut self.reading.swaps,
        };
        let since = *trouble.since.get_or_insert(now.monotonic);
        let lasted = now.monotonic.saturating_since(since);
        let is_over = !retryable || lasted >= self.config.retry_timeout;
        let wait = trouble.backoff.after_failure(&mut self.random);
        crate::sometimes!(ConsumerReadFailed, attempted == Attempted::Read && !is_over);
        if is_over {
            crate::sometimes!(ManifestTroubleTold);
            trouble.since = None;
        }
        self.reading.stale = true;
        self.reading.rest_until = Some(now.monotonic + wait);
        self.reading.last_fault = Some(fault.clone());
        if !is_over {
            match attempted {
                Attempted::Read => self.again.count(StoreOperation::ReadManifest).add_fault(&fault),
                Attempted::Swap => self.again.count(StoreOperation::SwapManifest).add_fault(&fault),
            }
            // Whoever waits for this read gets the next one instead.
            self.reading.wanted = self.reading.begun + 1;
            return;
        }
        self.reading.corrupt_reads = 0;
        match self.lifecycle {
            Lifecycle::Initializing(_) => {
                return self.fail_initialize(InitializeError::Fault(fault));
            }
            Lifecycle::Closing { .. } => {
                self.dequeue.failed(fault);
                return self.end(Ended::Closed);
            }
            Lifecycle::New | Lifecycle::Active { .. } | Lifecycle::Ended(_) => {}
        }
        if attempted == Attempted::Read {
            self.reading.failure = Some((self.reading.begun, fault.clone()));
            self.collect_without_manifest(now, &fault);
        }
        self.dequeue.failed(fault);
        self.changed();
    }

    /// What is wrong where every swap is answered with a conflict.
    fn contended(&self) -> Fault {
        let location = self.config.manifest_path.clone();
        let (kind, operation) = (StoreErrorKind::Transient, StoreOperation::SwapManifest);
        StoreError::new(kind, operation, location)
            .with_source("every swap for this long was answered with a conflict")
            .into()
    }

    /// What went wrong last.
    pub(super) fn last_fault(&self) -> Fault {
        self.reading.last_fault.clone().unwrap_or_else(|| self.contended())
    }

    pub(super) fn swap(&mut self, now: Now, purpose: Purpose, manifest: &Manifest) {
        let known = self.reading.known.as_ref().expect("the manifest was read");
        let before = &known.manifest;
        // A store may name versions by content, so no manifest may ever repeat earlier bytes.
        assert!(
            manifest.first_sequence() > before.first_sequence()
                || manifest.epoch() > before.epoch(),
            "an unchanged manifest is never written"
        );
        let condition = known.condition();
        let payload = manifest.to_rope();
        let location = self.config.manifest_path.clone();
        let timeout = self.config.request_timeout;
        self.reading.busy = true;
        self.reading.stale = true;
        self.reading.swapping = Some((manifest.clone(), now.monotonic));
        self.stats.swaps += 1;
        self.command(purpose, |ticket| {
            Command::CasManifest(CasManifest { location, condition, payload, timeout, ticket })
        });
    }

    /// Takes the reply to any swap; what was written, if it certainly was.
    pub(super) fn on_swapped(
        &mut self,
        now: Now,
        result: Result<WriteOutcome, StoreError>,
    ) -> Option<Manifest> {
        self.reading.busy = false;
        let (written, since) = self.reading.swapping.take().expect("a swap was out");
        // Whoever was paused meanwhile learns nothing of how long a swap takes.
        let took = now.monotonic.saturating_since(since).min(self.config.request_timeout);
        let takes_over = matches!(self.lifecycle, Lifecycle::Initializing(_));
        let is_stored = matches!(result, Ok(WriteOutcome::Stored(_)));
        if crate::planted!(EpochAdoptedAfterUnknown) && takes_over && !is_stored {
            return Some(written);
        }
        match result {
            Ok(WriteOutcome::Stored(version)) => {
                self.reading.read_succeeded();
                self.reading.swaps.end();
                self.reading.stale = false;
                let contention = &mut self.reading.contention;
                let pause = contention.on_success(took, URGENCY, false, &mut self.random);
                self.reading.rest_until = pause.map(|pause| now.monotonic + pause);
                let known = Known { manifest: written.clone(), version: Some(version) };
                self.reading.known = Some(known);
                Some(written)
            }
            Ok(WriteOutcome::Conflict) => {
                self.stats.conflicts += 1;
                crate::sometimes!(EpochConflict, takes_over);
                crate::sometimes!(DequeueConflict, !takes_over);
                let since = *self.reading.swaps.since.get_or_insert(now.monotonic);
                if now.monotonic.saturating_since(since) >= self.config.retry_timeout {
                    let fault = self.contended();
                    self.manifest_failed(now, Attempted::Swap, fault);
                    return None;
                }
                let pause = self.reading.contention.on_conflict(took, URGENCY, &mut self.random);
                self.reading.rest_until = Some(now.monotonic + pause);
                None
            }
            Err(error) => {
                crate::sometimes!(EpochUnknown, takes_over);
                crate::sometimes!(DequeueUnknown, !takes_over);
                self.manifest_failed(now, Attempted::Swap, error.into());
                None
            }
        }
    }
}
