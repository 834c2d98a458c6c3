//! Deletes what was dequeued, and what was uploaded and never listed.
//!
//! All of its transitions are here; `gate` says what may be deleted and why that
//! is safe, whatever has been paused, lost or delayed. A cycle, every `gc_interval`:
//!
//! 1. Read the manifest, whole: an answer of "not modified" has no time.
//! 2. Delete what this consumer dequeued and the reading lets pass, in bounded
//!    chunks, one at a time. Nothing has to be listed for that.
//! 3. List a page of the prefix. If the last reading lets none of it pass, go on with 6.
//! 4. Read the manifest again, whole.
//! 5. Delete what is on the page and the new reading lets pass, in chunks again.
//! 6. Go on with the next page at 3, until the listing ends.
//!
//! Reading twice (1 and 4) is for producers that follow none of our rules: what
//! they listed since is seen. For those that do, either would do alone.
//!
//! Of the listing, one page is held at a time. A cycle that comes across a
//! failure that lasts, or a manifest that nothing can be deleted by, ends there,
//! and the next one begins anew; so what could not be deleted is tried again then.
//!
//! A consumer that is fenced, closing, dropped or initialized again starts
//! nothing here any more; one chunk may be under way by then.

mod gate;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::mem;
use core::time::Duration;

pub(super) use gate::credible;
pub use gate::{Gate, KeepReason, Verdict};

use super::error::CollectError;
use super::repeats::MOST_NAMES;
use super::{Consumer, ConsumerConfig, ConsumerEvent, Lifecycle, Purpose};
use crate::backoff::{Backoff, RETRY_BASE, RETRY_MOST};
use crate::command::{Command, DeleteBatches, ListBatches};
use crate::error::Fault;
use crate::format::Manifest;
use crate::machine::Output;
use crate::names::is_right_under;
use crate::store::{ListCursor, ListPage, StoreError, StoreOperation};
use crate::time::{Instant, Now, UnixMillis};
use crate::types::Location;

/// How many objects one command deletes at the most: what every store takes in one request.
const MOST_DELETES: usize = 256;

/// How many pages one cycle lists at the most; the next one goes on behind them.
const MOST_PAGES: u32 = 10_000;

/// How often in a row listing a page may fail before the cycle ends.
const LIST_TRIES: u32 = 5;

/// What may be deleted, and how far the cycle is.
#[derive(Debug)]
pub(super) struct Collector {
    step: Step,
    /// What was dequeued and no producer lists again, oldest first.
    dequeued: VecDeque<(Location, UnixMillis)>,
    /// How many of these the cycle has still to look at.
    dequeued_left: usize,
    /// What a page of the listing shows and nothing seems to need.
    suspects: Vec<crate::store::ListedObject>,
    gate: Option<Gate>,
    /// Where the listing goes on; `None` begins.
    cursor: Option<ListCursor>,
    /// The listing has ended, or the cycle has listed enough.
    swept: bool,
    pages: u32,
    list_failures: u32,
    backoff: Backoff,
    /// A batch of this queue that does not lie under the prefix.
    elsewhere: Option<Location>,
    deleted: u64,
    failed: u64,
}

#[derive(Debug)]
enum Step {
    /// Not begun, switched off, or over.
    Off,
    Resting {
        until: Instant,
    },
    /// A whole reading of the manifest is wanted or under way.
    Reading,
    /// A page is to be listed, not before `at`.
    ListDue {
        at: Instant,
    },
    Listing,
    Deleting(Vec<Doomed>),
}

/// An object that is being deleted.
#[derive(Clone, Debug)]
struct Doomed {
    location: Location,
    /// Where it was dequeued by this consumer: to be tried again without a listing.
    shown: Option<UnixMillis>,
}

impl Collector {
    pub(super) const fn new() -> Self {
        Self {
            step: Step::Off,
            dequeued: VecDeque::new(),
            dequeued_left: 0,
            suspects: Vec::new(),
            gate: None,
            cursor: None,
            swept: false,
            pages: 0,
            list_failures: 0,
            backoff: Backoff::new(RETRY_BASE, RETRY_MOST),
            elsewhere: None,
            deleted: 0,
            failed: 0,
        }
    }

    /// The consumer has taken over: the first cycle comes after a rest.
    pub(super) fn start(&mut self, now: Now, config: &ConsumerConfig) {
        if config.gc_enabled {
            self.step = Step::Resting { until: now.monotonic + config.gc_interval };
        }
    }

    /// Starts nothing any more.
    pub(super) fn stop(&mut self) {
        crate::sometimes!(StoppedWhileReading, self.wants_reading());
        crate::sometimes!(StoppedWhileListing, matches!(self.step, Step::Listing));
        crate::sometimes!(StoppedWhileDeleting, self.is_deleting());
        *self = Self { elsewhere: self.elsewhere.take(), ..Self::new() };
    }

    /// Whether the next reading of the manifest has to be a whole one, and soon.
    pub(super) const fn wants_reading(&self) -> bool {
        matches!(self.step, Step::Reading)
    }

    pub(super) const fn is_deleting(&self) -> bool {
        matches!(self.step, Step::Deleting(_))
    }

    pub(super) const fn is_under_way(&self) -> bool {
        match self.step {
            Step::Off | Step::Resting { .. } => false,
            Step::Reading | Step::ListDue { .. } | Step::Listing | Step::Deleting(_) => true,
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.step {
            Step::Resting { until } => Some(until),
            Step::ListDue { at } => Some(at),
            Step::Off | Step::Reading | Step::Listing | Step::Deleting(_) => None,
        }
    }

    /// Notes a batch that is listed: one that lies elsewhere shows that the prefix is
    /// another queue's, and then nothing under it is ours to delete.
    pub(super) fn saw(&mut self, prefix: &Location, location: &Location) {
        if self.elsewhere.is_none() && !is_right_under(prefix, location.as_str()) {
            self.elsewhere = Some(location.clone());
        }
    }

    /// Takes what was dequeued and no producer can list again.
    pub(super) fn add_dequeued(&mut self, batches: Vec<(Location, UnixMillis)>) {
        if matches!(self.step, Step::Off) {
            return;
        }
        crate::sometimes!(DequeuedToDelete, !batches.is_empty());
        for batch in batches {
            // What there is no room for a sweep finds.
            if self.dequeued.len() < MOST_NAMES {
                self.dequeued.push_back(batch);
            }
        }
    }

    pub(super) fn fingerprint(&self, hasher: &mut impl Hasher) {
        mem::discriminant(&self.step).hash(hasher);
        (self.dequeued.len(), self.dequeued_left, self.suspects.len()).hash(hasher);
        (self.cursor.is_some(), self.swept, self.list_failures).hash(hasher);
        (self.gate.is_some(), self.elsewhere.is_some()).hash(hasher);
    }

    /// Goes by this reading from here on; says whether it is the first of the cycle.
    fn go_by(&mut self, gate: Gate) -> bool {
        let keeps_contents =
            crate::planted!(CollectByTwoReadings) || crate::planted!(CollectByCachedManifest);
        match &mut self.gate {
            Some(earlier) if keeps_contents => {
                earlier.take_time_alone(&gate);
                false
            }
            Some(_) | None => self.gate.replace(gate).is_none(),
        }
    }

    /// What is deleted next; nothing when all that may be deleted was.
    fn next_chunk(&mut self, wall: UnixMillis) -> Vec<Doomed> {
        let gate = self.gate.as_ref().expect("nothing is deleted without a reading");
        let mut chunk = Vec::new();
        while chunk.len() < MOST_DELETES
            && let Some(suspect) = self.suspects.pop()
        {
            if gate.judge(&suspect, wall) == Verdict::Delete {
                chunk.push(Doomed { location: suspect.location, shown: None });
            } else {
                crate::sometimes!(SuspectCleared);
            }
        }
        while chunk.len() < MOST_DELETES && self.dequeued_left > 0 {
            self.dequeued_left -= 1;
            let (location, shown) = self.dequeued.pop_front().expect("that many are left");
            if gate.lets_pass(&location, shown) {
                chunk.push(Doomed { location, shown: Some(shown) });
            } else {
                self.dequeued.push_back((location, shown));
            }
        }
        chunk
    }
}

impl Consumer {
    /// Does the next thing that is due by itself.
    pub(super) fn collect(&mut self, now: Now) {
        if !matches!(self.lifecycle, Lifecycle::Active { .. }) {
            return;
        }
        match self.collector.step {
            Step::Resting { until } if until <= now.monotonic => {
                crate::sometimes!(CycleBegun);
                crate::sometimes!(CycleGoesOn, self.collector.cursor.is_some());
                self.collector.step = Step::Reading;
            }
            Step::ListDue { at } if at <= now.monotonic => self.list_page(),
            Step::Off
            | Step::Resting { .. }
            | Step::Reading
            | Step::ListDue { .. }
            | Step::Listing
            | Step::Deleting(_) => {}
        }
    }

    /// Takes a whole reading of the manifest that follows what was known: contents and time of one answer.
    pub(super) fn collect_by(
        &mut self,
        now: Now,
        manifest: &Manifest,
        modified: Option<UnixMillis>,
    ) {
        let is_ours = matches!(self.lifecycle, Lifecycle::Active { .. });
        if !is_ours || !self.collector.wants_reading() {
            return;
        }
        if let Some(location) = self.collector.elsewhere.clone() {
            return self.end_cycle(now, Some(CollectError::OtherPrefix { location }));
        }
        let prefix = &self.config.data_path_prefix;
        let modified = if crate::planted!(CollectByWallClock) { Some(now.wall) } else { modified };
        match Gate::new(prefix, self.config.gc_grace_period, manifest, modified) {
            Ok(gate) => {
                if self.collector.go_by(gate) {
                    self.collector.dequeued_left = self.collector.dequeued.len();
                }
                self.delete_chunk(now);
            }
            Err(error) => self.end_cycle(now, Some(error)),
        }
    }

    /// The manifest cannot be read, for good or for long.
    pub(super) fn collect_without_manifest(&mut self, now: Now, fault: &Fault) {
        if self.collector.wants_reading() {
            self.end_cycle(now, Some(CollectError::ManifestUnreadable(fault.clone())));
        }
    }

    /// Deletes what the reading lets pass, or goes on when that is done.
    ///
    /// A collector may stand still here for days, between its reading and this
    /// command or within it, while the queue changes hands. What it deletes then
    /// is still needed by nobody: the gate asks what a state of the manifest has
    /// proven for ever, not what is so now. Only a producer that lists what is
    /// older than the grace period could be harmed, in that time as in any other.
    fn delete_chunk(&mut self, now: Now) {
        let chunk = self.collector.next_chunk(now.wall);
        if chunk.is_empty() {
            if self.collector.swept {
                return self.end_cycle(now, None);
            }
            return self.list_page();
        }
        assert!(chunk.len() <= MOST_DELETES, "a request to delete is bounded");
        let locations = chunk.iter().map(|doomed| doomed.location.clone()).collect();
        let timeout = self.config.request_timeout;
        self.collector.step = Step::Deleting(chunk);
        self.command(Purpose::DeleteBatches, |ticket| {
            Command::DeleteBatches(DeleteBatches { locations, timeout, ticket })
        });
    }

    pub(super) fn on_deleted(&mut self, now: Now, results: Vec<Result<(), StoreError>>) {
        let deleted = results.iter().filter(|result| result.is_ok()).count();
        self.stats.gc_files_deleted += deleted as u64;
        self.stats.gc_files_failed += (results.len() - deleted) as u64;
        let Step::Deleting(chunk) = &mut self.collector.step else {
            // It was stopped meanwhile.
            crate::sometimes!(DeletedWhileClosing);
            return;
        };
        let (chunk, mut error) = (mem::take(chunk), None);
        for (doomed, result) in chunk.into_iter().zip(results) {
            let Err(said) = result else {
                crate::sometimes!(DequeuedDeleted, doomed.shown.is_some());
                crate::sometimes!(OrphanDeleted, doomed.shown.is_none());
                self.collector.deleted += 1;
                continue;
            };
            self.collector.failed += 1;
            error = Some(said);
            if let Some(shown) = doomed.shown {
                self.collector.dequeued.push_back((doomed.location, shown));
            }
        }
        match error {
            // It will not be different for the rest: leave the store alone until the next cycle.
            Some(error) if deleted == 0 => {
                self.end_cycle(now, Some(CollectError::NotDeleted(error)));
            }
            Some(_) => {
                crate::sometimes!(DeleteFailedForSome);
                self.delete_chunk(now);
            }
            None => self.delete_chunk(now),
        }
    }

    fn list_page(&mut self) {
        let prefix = self.config.data_path_prefix.clone();
        let after = self.collector.cursor.clone();
        let timeout = self.config.request_timeout;
        crate::sometimes!(LaterPageListed, self.collector.pages > 0);
        self.collector.step = Step::Listing;
        self.command(Purpose::ListBatches, |ticket| {
            Command::ListBatches(ListBatches { prefix, after, timeout, ticket })
        });
    }

    pub(super) fn on_listed(&mut self, now: Now, result: Result<ListPage, StoreError>) {
        if !matches!(self.collector.step, Step::Listing) {
            // It was stopped meanwhile.
            crate::sometimes!(ListedWhileClosing);
            return;
        }
        let page = match result {
            Ok(page) => page,
            Err(error) => return self.list_failed(now, error),
        };
        let collector = &mut self.collector;
        collector.list_failures = 0;
        collector.backoff.reset();
        collector.pages += 1;
        // A listing that does not get on would never end.
        let is_last =
            page.next.is_none() || page.next == collector.cursor || crate::planted!(FirstPageOnly);
        collector.swept = is_last || collector.pages >= MOST_PAGES;
        if !is_last {
            collector.cursor = page.next;
        } else if !crate::planted!(SweepNeverBeginsAnew) {
            collector.cursor = None;
        }
        let gate = collector.gate.as_ref().expect("the manifest is read before the first page");
        for object in page.objects {
            match gate.judge(&object, now.wall) {
                Verdict::Delete if crate::planted!(OrphansLeftBehind) => {}
                // Its turn comes without a listing.
                Verdict::Delete if self.repeats.will_forget(&object.location) => {
                    crate::sometimes!(LeftToItsTurn);
                }
                Verdict::Delete => collector.suspects.push(object),
                Verdict::Keep(_) => {}
                Verdict::Nonsense => {
                    let location = object.location;
                    return self.end_cycle(now, Some(CollectError::TimeNonsense { location }));
                }
            }
        }
        if self.collector.suspects.is_empty() {
            crate::sometimes!(PageWithoutSuspects);
            self.delete_chunk(now);
        } else {
            crate::sometimes!(PageWithSuspects);
            self.collector.step = Step::Reading;
        }
    }

    fn list_failed(&mut self, now: Now, error: StoreError) {
        self.collector.list_failures += 1;
        if error.is_retryable() && self.collector.list_failures < LIST_TRIES {
            crate::sometimes!(ListRetried);
            self.again.count(StoreOperation::ListBatches).add_error(error.kind);
            let wait = self.collector.backoff.after_failure(&mut self.random);
            self.collector.step = Step::ListDue { at: now.monotonic + wait };
        } else {
            // The cursor may be what is wrong.
            self.collector.cursor = None;
            self.end_cycle(now, Some(CollectError::NotListed(error)));
        }
    }

    /// Rests until the next cycle, whatever this one came to.
    fn end_cycle(&mut self, now: Now, error: Option<CollectError>) {
        note_end(error.as_ref());
        let collector = &mut self.collector;
        let (deleted, failed) = (collector.deleted, collector.failed);
        let no_rest = crate::planted!(CollectWithoutRest);
        let rest = if no_rest { Duration::ZERO } else { self.config.gc_interval };
        let stops = crate::planted!(CollectorStopsAtError) && error.is_some();
        let resting = Step::Resting { until: now.monotonic + rest };
        *collector = Collector {
            step: if stops { Step::Off } else { resting },
            dequeued: mem::take(&mut collector.dequeued),
            gate: collector.gate.take().filter(|_| crate::planted!(CollectByCachedManifest)),
            cursor: collector.cursor.take(),
            elsewhere: collector.elsewhere.take(),
            ..Collector::new()
        };
        self.stats.gc_cycles += 1;
        let event = ConsumerEvent::Collected { deleted, failed, error };
        self.outputs.push_back(Output::Event(event));
    }
}

/// Notes how a cycle ended.
fn note_end(error: Option<&CollectError>) {
    let Some(error) = error else {
        crate::sometimes!(CycleThrough);
        return;
    };
    match error {
        CollectError::NeverUsed => crate::sometimes!(CycleNeverUsed),
        CollectError::OtherPrefix { .. } => crate::sometimes!(CycleOtherPrefix),
        CollectError::NoTime => crate::sometimes!(CycleNoTime),
        CollectError::TimeNonsense { .. } => crate::sometimes!(CycleTimeNonsense),
        CollectError::ManifestUnreadable(_) => crate::sometimes!(CycleManifestUnreadable),
        CollectError::NotListed(_) => crate::sometimes!(CycleNotListed),
        CollectError::NotDeleted(_) => crate::sometimes!(CycleNotDeleted),
    }
}
