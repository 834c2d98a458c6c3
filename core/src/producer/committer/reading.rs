//! What a reading of the manifest tells: what became of our own swap, and who else was served.

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::super::attempt::Proof;
use super::super::batch::{Doubt, Stage};
use super::super::error::DeliveryFailure;
use super::{Phase, Producer};
use crate::contention::Others;
use crate::error::{Fault, ManifestError};
use crate::format::Manifest;
use crate::known::Known;
use crate::names::batch_millis;
use crate::store::{Object, ReadOutcome, StoreError};
use crate::time::Now;
use crate::types::Sequence;

/// How many reads in a row may show bytes that are no manifest before those who wait are told.
const CORRUPT_READS: u32 = 6;
/// How many of the batches that others listed are looked at to tell whether they are younger than ours.
const LOOKED_AT: usize = 64;
/// How many of the batches that were listed last say who was served last.
const LISTED_LAST: u64 = 24;

impl Producer {
    /// Takes a reading of the manifest.
    pub(in crate::producer) fn on_manifest(
        &mut self,
        now: Now,
        result: Result<ReadOutcome, StoreError>,
    ) {
        let Phase::Reading { since } = self.committer.phase else { return };
        let took = self.took(now, since);
        self.on_reading(now, took, result);
    }

    /// Takes a reading that took so long, whatever it was asked for.
    pub(super) fn on_reading(
        &mut self,
        now: Now,
        took: Duration,
        result: Result<ReadOutcome, StoreError>,
    ) {
        self.committer.contention.on_read(took);
        let was_away = mem::take(&mut self.committer.was_away);
        self.committer.phase = Phase::Resting { after: None };
        let seen = match result {
            Ok(ReadOutcome::Found(object)) => match self.read_as_manifest(object) {
                Ok(seen) => {
                    self.committer.contention.on_seen(true);
                    seen
                }
                Err(fault) => {
                    crate::sometimes!(CommitReadCorrupt);
                    self.committer.corrupt_reads += 1;
                    return match self.committer.corrupt_reads < CORRUPT_READS {
                        true => self.retry_reading(now, fault),
                        false => self.fail_commit(now, &fault),
                    };
                }
            },
            Ok(ReadOutcome::NotModified) => match self.committer.known.clone() {
                Some(known) if known.version.is_some() => {
                    crate::sometimes!(CommitReadNotModified);
                    self.committer.contention.on_seen(false);
                    if was_away {
                        self.committer.contention.on_quiet();
                    }
                    known
                }
                Some(_) | None => {
                    let error = StoreError::unasked(&self.config.manifest_path);
                    return self.fail_commit(now, &Fault::Store(error));
                }
            },
            Ok(ReadOutcome::Missing) => {
                self.committer.contention.on_seen(false);
                Known::absent()
            }
            Err(error) if error.is_retryable() => {
                crate::sometimes!(CommitReadFailed);
                return self.retry_reading(now, Fault::Store(error));
            }
            Err(error) => {
                crate::sometimes!(CommitReadDenied);
                return self.fail_commit(now, &Fault::Store(error));
            }
        };
        match self.contradiction(&seen) {
            None => self.learn(now, seen),
            Some(error) => match self.committer.suspicion.again() {
                Some(wait) => {
                    crate::sometimes!(ProducerSuspicious);
                    self.committer.phase = Phase::Resting { after: Some(now.monotonic + wait) };
                    self.committer.stale = true;
                }
                None => {
                    let lost = matches!(error, ManifestError::Lost { .. });
                    crate::sometimes!(ProducerManifestLost, lost);
                    crate::sometimes!(ProducerManifestRolledBack, !lost);
                    self.break_down(now, &error);
                }
            },
        }
    }

    pub(super) fn read_as_manifest(&self, object: Object) -> Result<Known, Fault> {
        let location = &self.config.manifest_path;
        let manifest = match &self.committer.known {
            Some(known) => Manifest::parse_after(location, object.bytes, &known.manifest),
            None => Manifest::parse(location, object.bytes),
        }?;
        Ok(Known { manifest, version: Some(object.version) })
    }

    /// Whether a reading cannot be a later state of the manifest that was known.
    pub(super) fn contradiction(&self, seen: &Known) -> Option<ManifestError> {
        if crate::planted!(SequenceRestartedOnMissingManifest) && seen.version.is_none() {
            return None;
        }
        let location = self.config.manifest_path.clone();
        if self.committer.seen && seen.version.is_none() {
            return Some(ManifestError::Lost { location });
        }
        let known = self.committer.known.as_ref()?;
        match seen.manifest.check_follows(&known.manifest) {
            Ok(()) => None,
            Err(_) if crate::planted!(RollbackAccepted) => None,
            Err(source) => Some(ManifestError::RolledBack { location, source }),
        }
    }

    /// Draws the conclusions from a reading: first what became of our own swap, then what to do next.
    fn learn(&mut self, now: Now, seen: Known) {
        self.committer.seen |= seen.version.is_some();
        self.committer.stale = false;
        crate::sometimes!(ProducerSuspicionCleared, self.committer.suspicion.has_looked());
        self.committer.suspicion.clear();
        self.committer.corrupt_reads = 0;
        if let Some(others) = self.others(now, &seen) {
            self.committer.contention.on_others(others);
        }
        let proof = self.committer.attempt.as_ref().map(|attempt| attempt.judge(&seen));
        match &mut self.committer.known {
            Some(known) if crate::planted!(StaleVersion) => {
                known.version.clone_from(&seen.version);
            }
            known => *known = Some(seen.clone()),
        }
        match proof {
            None => self.give_way(now, &seen),
            Some(Proof::Happened) => {
                let attempt = self.committer.attempt.take().expect("it was just judged");
                let first = seen.manifest.first_sequence();
                let is_fault = self.committer.last_fault.is_some();
                crate::sometimes!(JudgedHappened);
                crate::sometimes!(JudgedHappenedByLater, first > attempt.first);
                crate::sometimes!(OwnSwapFoundAfterFault, is_fault);
                crate::sometimes!(OwnSwapFoundAfterConflict, !is_fault);
                self.committer.contention.on_end();
                self.on_commit_progress();
                self.settle_attempt(&attempt);
            }
            Some(Proof::MayStill) if crate::planted!(ReuploadInCase2) => {
                self.end_attempt(now, Proof::MayStill);
            }
            Some(Proof::MayStill) => {
                crate::sometimes!(JudgedMayStill);
                // On the same state, by the token that it goes by now.
                let attempt = self.committer.attempt.as_mut().expect("it was just judged");
                crate::sometimes!(
                    SameStateUnderAnotherVersion,
                    attempt.base.version != seen.version
                );
                attempt.base.clone_from(&seen);
                self.send_swap(now);
            }
            Some(Proof::DidNot) if crate::planted!(SwapWithoutCondition) => {
                let attempt = self.committer.attempt.as_mut().expect("it was just judged");
                attempt.base.version = seen.version;
                self.send_swap(now);
            }
            Some(Proof::DidNot) => {
                crate::sometimes!(JudgedDidNot);
                self.end_attempt(now, Proof::DidNot);
                self.give_way(now, &seen);
            }
            Some(Proof::CannotTell) => {
                crate::sometimes!(JudgedCannotTell);
                self.end_attempt(now, Proof::CannotTell);
            }
        }
    }

    /// What others listed since the last reading, if anything, and how much of it was uploaded in the later
    /// half of the time that our first batch has waited.
    ///
    /// Names tell the time by the clocks of those who made them: one that is
    /// wrong costs requests or time, and never more than the windows allow.
    fn others(&self, now: Now, seen: &Known) -> Option<Others> {
        let known = self.committer.known.as_ref()?;
        let (_, began) = self.pipeline.front()?.upload.as_ref()?;
        let half = now.monotonic.saturating_since(began.monotonic) / 2;
        let half = i64::try_from(half.as_millis()).unwrap_or(i64::MAX);
        let middle = began.wall.0.saturating_add(half);
        let mut others = Others::default();
        let listed = seen.manifest.locations_from(known.manifest.next_sequence());
        for (_, location) in listed.take(LOOKED_AT) {
            let uploaded = batch_millis(&self.config.data_path_prefix, location.as_str())
                .and_then(|millis| i64::try_from(millis).ok());
            others.listed += 1;
            others.late += usize::from(uploaded.is_some_and(|uploaded| uploaded > middle));
        }
        (others.listed > 0).then_some(others)
    }

    /// Lets others be served first who uploaded earlier, by the names of what was listed last.
    fn give_way(&mut self, now: Now, seen: &Known) {
        let Some((_, began)) = self.pipeline.front().and_then(|batch| batch.upload.as_ref()) else {
            return;
        };
        let last = seen.manifest.next_sequence().0.saturating_sub(LISTED_LAST);
        let millis = seen.manifest.locations_from(Sequence(last)).filter_map(|(_, location)| {
            let millis = batch_millis(&self.config.data_path_prefix, location.as_str())?;
            i64::try_from(millis).ok()
        });
        let mut millis: Vec<i64> = millis.collect();
        millis.sort_unstable();
        let Some(middle) = millis.get(millis.len() / 2) else { return };
        let (later, urgency) = (began.wall.0.saturating_sub(*middle), self.urgency(now));
        if let Some(wait) = self.committer.contention.on_order(later, urgency, &mut self.random) {
            self.committer.stale = true;
            self.committer.phase = Phase::Resting { after: Some(now.monotonic + wait) };
        }
    }

    /// Gives the batches of a swap that is over back to be listed again, or up.
    fn end_attempt(&mut self, now: Now, proof: Proof) {
        let attempt = self.committer.attempt.take().expect("it was just judged");
        for (id, _) in &attempt.batches {
            let sequence = attempt.sequence_of(*id).expect("the attempt lists it");
            let half_grace = self.config.half_grace();
            let Some(index) = self.index_of(*id) else { continue };
            let batch = &mut self.pipeline[index];
            let (_, began) = batch.upload.as_ref().expect("it was uploaded");
            let is_old = now.age_of(*began) >= half_grace;
            let under_new_name = (crate::planted!(ReuploadInCase2) && proof == Proof::MayStill)
                || (crate::planted!(ReuploadInCase4) && proof == Proof::CannotTell);
            if under_new_name {
                batch.doubt = Doubt::None;
                batch.stage = Stage::Encoded { after: None };
                continue;
            }
            crate::sometimes!(
                DoubtForGood,
                batch.doubt == Doubt::Forever && proof == Proof::DidNot
            );
            batch.doubt = match (batch.doubt, proof) {
                (Doubt::None | Doubt::Attempted, Proof::DidNot) => Doubt::None,
                (Doubt::Forever, _) | (_, Proof::CannotTell) => Doubt::Forever,
                (Doubt::None | Doubt::Attempted, Proof::Happened | Proof::MayStill) => {
                    unreachable!("these do not end an attempt")
                }
            };
            crate::sometimes!(ListedAgainInDoubt, batch.doubt == Doubt::Forever && !is_old);
            // Young, it is listed again under the same name, and the consumer drops the repeat.
            if batch.doubt == Doubt::Forever && is_old {
                crate::sometimes!(SettledAsOvertaken);
                let batch = self.pipeline.remove(index).expect("it was just there");
                self.give_up(&batch, DeliveryFailure::Overtaken { sequence });
            }
        }
    }
}
