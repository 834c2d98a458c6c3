//! Requests, and what is held: bounded at every moment.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use buffer_core::Location;

use super::{Map, Oracles, Role};
use crate::Kind as Asked;
use crate::swarm::Invariant::{BoundedMemory, BoundedRequests, Sequences};
use crate::swarm::exemption::Exemption;
use crate::{ProcessId, Requester};

/// From how many entries on a manifest is large.
const LARGE: u64 = 10;

/// How many swaps of a process are remembered, in case that one of them takes effect late.
const SWAPS_REMEMBERED: usize = 64;

/// How many requests in a row about one thing one process may see fail within a second.
const FAILURES_A_SECOND: usize = 10;

/// How often in a row a process may go on at once after a conflict.
const FORGIVEN: u32 = 3;

/// How often in a row it may list one batch with others ready: they are named
/// in the order in which they were encoded, which may differ from their own.
const ALONE: u32 = 6;

/// How long a failed upload rests at the least before it is tried again.
const UPLOAD_REST: Duration = Duration::from_millis(20);

/// How often a consumer may read the manifest within a second.
const READS_A_SECOND: usize = 60;

/// After how many readings in a row it must be sure that there is no manifest any more.
const LOOKS: u32 = 4;

/// An upload of which the process knows that it took effect, since when, if so.
type Stored = Option<Duration>;

/// What one process asks for, and holds.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// Batches that were sent and are not listed, in the order of their names.
    unlisted: BTreeMap<Location, Stored>,
    /// When the last swap took effect, as far as the process knows; `None` after any other answer.
    swapped: Option<Duration>,
    /// An upload of it did not go well: the names of its batches may be in another order than they are.
    reordered: bool,
    /// How often it listed less than it could have.
    alone: u32,
    /// When its last swap met a conflict, until it goes on.
    conflict: Option<Duration>,
    /// How often it went on at once.
    restless: u32,
    /// When its last uploads failed.
    failed_at: Map<Location, Duration>,
    /// Batches that are fetched at this moment.
    fetches: usize,
    /// When a consumer last read the manifest.
    reads: VecDeque<Duration>,
    /// Pages that a collector listed and has not read the manifest for.
    pages: u32,
    /// When a collector last began to list.
    listed_anew: Option<Duration>,
    /// How often it began to take over.
    terms: u64,
    /// When it did so last.
    term_begun: Duration,
    /// Bytes of submissions that were taken, and not settled or known to be stored.
    held: usize,
    /// Since when more is held than may be, if that lasts.
    over_since: Option<Duration>,
    uploads: usize,
    /// When there were too many uploads, and how many.
    crowded: Option<(Duration, usize)>,
    /// A batch was given up: its last upload may go on beside those of others.
    pub(super) has_given_up: bool,
    requests: u64,
    /// When the last requests about the manifest failed, as long as none of them worked.
    failures: VecDeque<Duration>,
    /// The same for each batch.
    failed_uploads: Map<Location, VecDeque<Duration>>,
}

impl Spending {
    /// A consumer begins to take over, maybe from itself: what it asked for before is not waited for.
    pub(super) const fn begin_term(&mut self, now: Duration) {
        self.listed_anew = None;
        self.terms += 1;
        self.term_begun = now;
        self.forget_fetches();
    }

    /// Those of an earlier term are over, also those that were on their way to the store when it ended.
    pub(super) const fn forget_fetches(&mut self) {
        self.fetches = 0;
    }

    /// How often it began to take over.
    pub(super) const fn terms(&self) -> u64 {
        self.terms
    }
}

/// A request, when it is sent.
pub(crate) struct Sent {
    pub(crate) bytes: usize,
    /// Something is done to it.
    pub(crate) faulty: bool,
    /// Its process was stopped, or its clock moved, so short a time ago that it may have been decided before.
    pub(crate) disturbed: bool,
    pub(crate) at: Duration,
}

fn too_hasty(failures: &mut VecDeque<Duration>, now: Duration) -> bool {
    failures.push_back(now);
    if failures.len() > FAILURES_A_SECOND {
        failures.pop_front();
    }
    let first = failures.front().copied().unwrap_or(now);
    failures.len() == FAILURES_A_SECOND && now - first < Duration::from_secs(1)
}

impl Oracles {
    /// A process sends a request.
    pub(crate) fn asked(
        &mut self,
        request: Requester,
        asked: Asked,
        location: &Location,
        sent: &Sent,
    ) {
        let Sent { bytes, faulty, disturbed, at: now } = *sent;
        self.totals.requests += 1;
        self.totals.faults += u64::from(faulty);
        self.totals.large_swaps += u64::from(asked == Asked::Swap && self.manifest.count >= LARGE);
        let process = request.process;
        let Some(life) = self.life(process) else { return };
        if asked == Asked::Swap {
            life.swaps.push_back((request.number, life.seen));
            if life.swaps.len() > SWAPS_REMEMBERED {
                life.swaps.pop_front();
            }
        }
        life.spending.requests += 1;
        let in_flight = match life.role {
            Role::Producer { in_flight, .. } => in_flight,
            Role::Consumer { prefetch, .. } => {
                self.totals.consumer_swaps += u64::from(asked == Asked::Swap);
                return self.asked_by_consumer(process, asked, prefetch, now);
            }
            Role::Foreign => return,
        };
        let spending = &mut life.spending;
        let after_conflict = match asked {
            Asked::ReadManifest | Asked::Swap => spending.conflict.take(),
            Asked::Put | Asked::ReadBatch | Asked::List | Asked::Delete => None,
        };
        // However short a wait is drawn, it takes time.
        if let Some(at) = after_conflict {
            spending.restless = if now == at { spending.restless + 1 } else { 0 };
        }
        let is_restless = spending.restless >= FORGIVEN;
        // Who was stopped at the instant at which it gives a batch up has not told its caller yet.
        if disturbed {
            spending.crowded = None;
        }
        // A caller is told of a batch that was given up at that instant, and maybe after this.
        let crowded = spending.crowded.filter(|(since, _)| *since < now && !spending.has_given_up);
        if asked == Asked::Put {
            spending.unlisted.entry(location.clone()).or_insert(None);
            spending.uploads += 1;
            if spending.uploads > in_flight {
                spending.crowded.get_or_insert((now, spending.uploads));
            }
            self.totals.sent_bytes += bytes as u64;
        }
        self.totals.producer_requests += 1;
        self.totals.producer_swaps += u64::from(asked == Asked::Swap);
        if is_restless {
            let what = format!("{process} does not rest after conflicts");
            self.violated(BoundedRequests, what);
        }
        if let Some((since, uploads)) = crowded {
            let what = format!("{process} had {uploads} uploads at {since:?}, {in_flight} may be");
            self.violated(BoundedMemory, what);
        }
    }

    /// A producer uploads a batch under another name than before.
    pub(crate) fn uploads_again(&mut self, process: ProcessId, earlier: &Location, now: Duration) {
        let Some(life) = self.life(process) else { return };
        let failed = life.spending.failed_at.remove(earlier);
        if let Some(rested) = failed.map(|failed| now - failed)
            && rested < UPLOAD_REST
        {
            let what = format!("{process} tries again after {rested:?} what failed as {earlier}");
            self.violated(BoundedRequests, what);
        }
    }

    fn asked_by_consumer(
        &mut self,
        process: ProcessId,
        asked: Asked,
        prefetch: usize,
        now: Duration,
    ) {
        // A location that is damaged is taken for the manifest's.
        let is_damaged = self.is_exempt(Exemption::UndetectableFlips);
        let Some(life) = self.life(process) else { return };
        let spending = &mut life.spending;
        match asked {
            Asked::ReadBatch => {
                spending.fetches += 1;
                // Its caller may fetch one by a handle.
                if spending.fetches > prefetch + 1 {
                    let what = format!(
                        "{process} fetches {} batches at once, {prefetch} may be",
                        spending.fetches
                    );
                    self.violated(BoundedMemory, what);
                }
            }
            Asked::ReadManifest => {
                if life.missing >= LOOKS && life.seen != (0, 0, 0) && !is_damaged {
                    let what = format!("{process} goes on without the manifest that it knew");
                    self.violated_without_excuse(Sequences, what);
                    return;
                }
                // A collector reads it once for each page.
                if let Some(pages) = spending.pages.checked_sub(1) {
                    spending.pages = pages;
                    return;
                }
                spending.reads.push_back(now);
                if spending.reads.len() > READS_A_SECOND {
                    let first = spending.reads.pop_front().unwrap_or(now);
                    if now - first < Duration::from_secs(1) {
                        let what = format!("{process} reads the manifest again and again");
                        self.violated(BoundedRequests, what);
                    }
                }
            }
            Asked::List => spending.pages += 1,
            Asked::Put | Asked::Swap | Asked::Delete => {}
        }
    }

    /// A producer's upload was refused.
    pub(crate) fn was_refused(&mut self, process: ProcessId) {
        if let Some(life) = self.life(process) {
            life.spending.reordered = true;
        }
    }

    /// A producer's swap was answered with a conflict.
    pub(crate) fn met_conflict(&mut self, process: ProcessId, now: Duration) {
        if let Some(life) = self.life(process) {
            life.spending.conflict = Some(now);
            life.spending.swapped = None;
        }
    }

    /// In which of its terms a consumer asked for what is sent now: at the instant at which one
    /// begins, that may be the one before.
    pub(crate) fn terms(&mut self, process: ProcessId, now: Duration) -> u64 {
        let of_life = |spending: &Spending| {
            let earlier = u64::from(spending.term_begun == now);
            spending.terms.saturating_sub(earlier)
        };
        self.life(process).map_or(0, |life| of_life(&life.spending))
    }

    /// A collector was shown the first page of a listing that it asked for in this term: its cycles are apart.
    pub(crate) fn listed_anew(&mut self, process: ProcessId, term: u64, now: Duration) {
        let Some(life) = self.life(process) else { return };
        if life.spending.terms != term {
            return;
        }
        let Role::Consumer { gc_interval, .. } = life.role else { return };
        let earlier = life.spending.listed_anew.replace(now);
        if let Some(earlier) = earlier
            && now - earlier < gc_interval / 2
        {
            let what = format!("{process} begins a sweep {:?} after another", now - earlier);
            self.violated(BoundedRequests, what);
        }
    }

    /// A producer listed these: whatever it had ready when its last swap took effect belongs to them.
    pub(super) fn listed_together<'a>(
        &mut self,
        process: ProcessId,
        mut locations: impl ExactSizeIterator<Item = &'a str> + Clone,
    ) {
        let Some(life) = self.life(process) else { return };
        let spending = &mut life.spending;
        for location in locations.clone() {
            spending.unlisted.remove(location);
        }
        let (1, Some(alone)) = (locations.len(), locations.next()) else { return };
        let Some(since) = spending.swapped else { return };
        let later = (Bound::Included(alone), Bound::Unbounded);
        let next = spending.unlisted.range::<str, _>(later).next();
        let was_ready = next.is_some_and(|(_, stored)| stored.is_some_and(|stored| stored < since));
        spending.alone = if was_ready { spending.alone + 1 } else { 0 };
        let in_order = !spending.has_given_up && !spending.reordered;
        if spending.alone >= ALONE && in_order {
            let what = format!("{process} lists {alone} alone, with others ready");
            self.violated(BoundedRequests, what);
        }
    }

    /// The store asked for fewer requests by itself.
    pub(crate) fn refused(&mut self) {
        self.totals.faults += 1;
    }

    /// A request came to its end in the process that sent it: answered, or given up.
    pub(crate) fn answered(
        &mut self,
        process: ProcessId,
        asked: Asked,
        location: &Location,
        failed: bool,
        now: Duration,
    ) {
        let Some(life) = self.life(process) else { return };
        let spending = &mut life.spending;
        let hasty = match (asked, failed) {
            (Asked::Put, _) => {
                spending.uploads = spending.uploads.saturating_sub(1);
                if let Some(stored) = spending.unlisted.get_mut(location) {
                    *stored = (!failed).then_some(now);
                }
                spending.reordered |= failed;
                if failed {
                    spending.failed_at.insert(location.clone(), now);
                    too_hasty(spending.failed_uploads.entry(location.clone()).or_default(), now)
                } else {
                    spending.failed_uploads.remove(location);
                    false
                }
            }
            (Asked::Swap, true) => {
                spending.swapped = None;
                too_hasty(&mut spending.failures, now)
            }
            (Asked::ReadManifest, true) => too_hasty(&mut spending.failures, now),
            (Asked::Swap | Asked::ReadManifest, false) => {
                if asked == Asked::Swap {
                    spending.swapped = Some(now);
                }
                spending.failures.clear();
                false
            }
            (Asked::ReadBatch, _) => {
                spending.fetches = spending.fetches.saturating_sub(1);
                false
            }
            (Asked::List | Asked::Delete, _) => false,
        };
        if hasty {
            spending.failures.clear();
            let what = format!("{process} tries {location} again and again without rest");
            self.violated(BoundedRequests, what);
        }
    }

    pub(super) fn hold(&mut self, process: ProcessId, bytes: usize) {
        if let Some(life) = self.life(process) {
            life.spending.held += bytes;
        }
    }

    pub(super) fn let_go(&mut self, process: ProcessId, bytes: usize) {
        if let Some(life) = self.life(process) {
            life.spending.held = life.spending.held.saturating_sub(bytes);
        }
    }

    /// Looks at what a producer holds, by its own word and by count.
    ///
    /// A watcher may be told a moment after its bytes were let go: only what
    /// is too much at two times, and all the time in between, is too much. Who was `paused`
    /// in between has watchers that were told before and know it only now.
    pub(crate) fn weigh(
        &mut self,
        process: ProcessId,
        told: usize,
        paused: impl FnOnce() -> bool,
        now: Duration,
    ) {
        let Some(life) = self.life(process) else { return };
        let Role::Producer { limit, counts, .. } = life.role else { return };
        let held = life.spending.held;
        let over = counts && held > limit && !paused();
        let since = over.then(|| *life.spending.over_since.get_or_insert(now));
        life.spending.over_since = since;
        if told > limit || since.is_some_and(|since| now > since) {
            let what =
                format!("{process} holds {told} bytes by its word and {held} by count, of {limit}");
            self.violated(BoundedMemory, what);
        }
    }
}
