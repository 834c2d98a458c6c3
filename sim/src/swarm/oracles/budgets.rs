//! Requests, and what is held: bounded at every moment.

use std::collections::VecDeque;
use std::time::Duration;

use buffer_core::Location;

use super::{Map, Oracles, Role};
use crate::Kind as Asked;
use crate::ProcessId;
use crate::swarm::Invariant::{BoundedMemory, BoundedRequests};

/// How many requests in a row about one thing one process may see fail within a second.
const FAILURES_A_SECOND: usize = 10;

/// What one process asks for, and holds.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// Bytes of submissions that were taken and not settled.
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

fn too_hasty(failures: &mut VecDeque<Duration>, now: Duration) -> bool {
    failures.push_back(now);
    if failures.len() > FAILURES_A_SECOND {
        failures.pop_front();
    }
    let first = failures.front().copied().unwrap_or(now);
    failures.len() == FAILURES_A_SECOND && now - first < Duration::from_secs(1)
}

impl Oracles {
    /// A process sends a request. `faulty` is whether something is done to it.
    pub(crate) fn asked(
        &mut self,
        process: ProcessId,
        asked: Asked,
        bytes: usize,
        faulty: bool,
        now: Duration,
    ) {
        self.totals.requests += 1;
        self.totals.faults += u64::from(faulty);
        let Some(life) = self.life(process) else { return };
        life.spending.requests += 1;
        let Role::Producer { in_flight, .. } = life.role else { return };
        let spending = &mut life.spending;
        // A caller is told of a batch that was given up at that instant, and maybe after this.
        let crowded = spending.crowded.filter(|(since, _)| *since < now && !spending.has_given_up);
        if asked == Asked::Put {
            spending.uploads += 1;
            if spending.uploads > in_flight {
                spending.crowded.get_or_insert((now, spending.uploads));
            }
            self.totals.sent_bytes += bytes as u64;
        }
        self.totals.producer_requests += 1;
        if let Some((since, uploads)) = crowded {
            let what = format!("{process} had {uploads} uploads at {since:?}, {in_flight} may be");
            self.violated(BoundedMemory, what);
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
                if failed {
                    too_hasty(spending.failed_uploads.entry(location.clone()).or_default(), now)
                } else {
                    spending.failed_uploads.remove(location);
                    false
                }
            }
            (Asked::Swap | Asked::ReadManifest, true) => too_hasty(&mut spending.failures, now),
            (Asked::Swap | Asked::ReadManifest, false) => {
                spending.failures.clear();
                false
            }
            (Asked::ReadBatch | Asked::List | Asked::Delete, _) => false,
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
    /// is too much at two times, and all the time in between, is too much.
    pub(crate) fn weigh(&mut self, process: ProcessId, told: usize, now: Duration) {
        let Some(life) = self.life(process) else { return };
        let Role::Producer { limit, counts, .. } = life.role else { return };
        let held = life.spending.held;
        let over = counts && held > limit;
        let since = over.then(|| *life.spending.over_since.get_or_insert(now));
        life.spending.over_since = since;
        if told > limit || since.is_some_and(|since| now > since) {
            let what =
                format!("{process} holds {told} bytes by its word and {held} by count, of {limit}");
            self.violated(BoundedMemory, what);
        }
    }
}
