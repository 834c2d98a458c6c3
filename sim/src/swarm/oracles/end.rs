//! What is looked at when a run is over: nothing may be left.

use super::{Oracles, Outcome};
use crate::ProcessId;
use crate::swarm::Invariant::{BoundedRequests, LiveCollection, Liveness, NoLoss};
use crate::swarm::exemption::Exemption;

impl Oracles {
    /// The world has settled, and a last consumer has drained the queue.
    pub(crate) fn end(&mut self, is_alive: impl Fn(ProcessId) -> bool) {
        self.check_outcomes(is_alive);
        self.check_delivered();
        self.check_drained();
        self.check_orphans();
        self.check_budgets();
    }

    /// Every submission that was taken has an outcome, if its process lives.
    fn check_outcomes(&mut self, is_alive: impl Fn(ProcessId) -> bool) {
        let open = self
            .submissions
            .iter()
            .find(|(_, it)| it.taken.is_some() && it.outcome.is_none() && is_alive(it.process));
        if let Some((number, _)) = open {
            self.violated(Liveness, format!("{number} has no outcome"));
        }
    }

    fn check_delivered(&mut self) {
        let left = self.batches.iter().find(|(_, it)| !it.places.is_empty() && !it.is_delivered());
        if let Some((_, batch)) = left {
            let what =
                format!("{}, listed as {:?}, was not delivered", batch.location, batch.places);
            self.violated(NoLoss, what);
        }
        let lost = self.submissions.iter().find(|(_, it)| {
            let delivered = it.batch.is_some_and(|batch| self.is_delivered(batch));
            it.outcome == Some(Outcome::Durable) && !delivered
        });
        if let Some((number, _)) = lost {
            self.violated(NoLoss, format!("{number} is durable, and was not delivered"));
        }
    }

    /// What the database has is not listed any more. A repeat at the end of the queue stays until a later batch comes.
    fn check_drained(&mut self) {
        let listed = self.manifest.first()..self.manifest.next;
        let batches = listed.filter_map(|place| self.batches.get(self.place(place)?));
        let mut left = batches.filter(|it| it.places.len() == 1 && it.stored.is_some() && !it.lost);
        if let Some(batch) = left.next() {
            let what = format!("{} is stored, and is still listed", batch.location);
            self.violated(Liveness, what);
        }
    }

    /// Nothing that could be collected is left, once a collector had the time for it.
    fn check_orphans(&mut self) {
        let Some(within) = self.rules.collected_within else { return };
        if self.is_exempt(Exemption::ForeignProducers) {
            return;
        }
        let bound = self.rules.grace + self.rules.time_grain * 2 + within;
        let bound = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
        let first = self.manifest.first();
        let left = self.batches.iter().find(|(_, it)| {
            let listed = it.places.last().is_some_and(|place| *place >= first);
            !it.deleted && !listed && self.manifest_modified.saturating_sub(it.uploaded) > bound
        });
        if let Some((_, batch)) = left {
            let age = self.manifest_modified - batch.uploaded;
            let what =
                format!("{} is still there, {age} ms older than the manifest", batch.location);
            self.violated(LiveCollection, what);
        }
    }

    /// What producers asked for is bounded by what they achieved, and by what was done to them.
    fn check_budgets(&mut self) {
        let totals = self.totals;
        // Each of a crowd tries several times, also those that the store cannot serve in time.
        let (each, tried) = match self.rules.crowded {
            true => (45, totals.batches + totals.unknown + totals.not_delivered),
            false => (5, totals.batches),
        };
        // Whoever is new has yet to learn how many others there are.
        let learned = totals.producers * 4;
        let most = tried * each + totals.faults * 8 + totals.raised * 2 + learned + 100;
        if totals.producer_requests > most {
            let what = format!(
                "{} requests of producers for {} batches and {} faults",
                totals.producer_requests, totals.batches, totals.faults
            );
            self.violated(BoundedRequests, what);
        }
        let most = totals.taken_bytes * 3 + (totals.faults + 20) * totals.largest_batch;
        if totals.sent_bytes > most + totals.batches * 64 {
            let what = format!(
                "{} bytes of batches were sent for {} bytes of entries",
                totals.sent_bytes, totals.taken_bytes
            );
            self.violated(BoundedRequests, what);
        }
    }
}
