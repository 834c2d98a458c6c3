//! Reading the manifest while a swap is out, where others write.
//!
//! Who loses has to know what to swap on next. A read that is sent together with
//! the swap tells it when the conflict does, and the next swap can follow one
//! round trip after the last. What it proves is what any later reading proves:
//! the swap was sent before it, so another version without our names is the end of it.

use core::mem;
use core::time::Duration;

use super::{Phase, Producer, Purpose};
use crate::command::{Command, CommandId, ReadManifest};
use crate::store::{ReadOutcome, StoreError};
use crate::time::{Instant, Now};

/// The manifest as it was read while the last swap was out.
#[derive(Debug)]
pub(super) enum Beside {
    /// It was not asked for, or what was told is used up.
    None,
    /// The reply is still to come.
    Asked { id: CommandId, since: Instant },
    /// It was not the version that the swap was conditional on.
    Told { at: Instant, took: Duration, outcome: ReadOutcome },
}

impl Producer {
    /// Reads the manifest beside the swap that is about to be sent, if others may get before it and the next
    /// would follow at once.
    pub(super) fn read_beside(&mut self, now: Now) {
        self.committer.beside = Beside::None;
        let attempt = self.committer.attempt.as_ref().expect("a swap is on record");
        let version = attempt.base.version.clone();
        let urgency = self.urgency(now);
        if !self.committer.contention.reads_beside(urgency) || version.is_none() {
            return;
        }
        let location = self.config.manifest_path.clone();
        let timeout = self.config.request_timeout;
        let id = self.command(Purpose::ReadBeside, |ticket| {
            Command::ReadManifest(ReadManifest { location, unless: version, timeout, ticket })
        });
        self.committer.beside = Beside::Asked { id, since: now.monotonic };
    }

    /// Takes what was read beside a swap.
    pub(in crate::producer) fn on_manifest_beside(
        &mut self,
        now: Now,
        command: CommandId,
        result: Result<ReadOutcome, StoreError>,
    ) {
        let since = match self.committer.beside {
            Beside::Asked { id, since } if id == command => since,
            Beside::None | Beside::Asked { .. } | Beside::Told { .. } => {
                // The swap is over, and nobody waits for this.
                return self.know_later(result.ok());
            }
        };
        self.committer.beside = Beside::None;
        let took = self.took(now, since);
        let is_awaited = matches!(self.committer.phase, Phase::Reading { .. });
        match result {
            // It was read before others wrote: that says nothing of a swap which met a conflict.
            Ok(ReadOutcome::NotModified) if is_awaited => {
                self.committer.phase = Phase::Resting { after: None };
            }
            result if is_awaited => self.on_reading(now, took, result),
            Ok(outcome @ ReadOutcome::Found(_)) => {
                self.committer.beside = Beside::Told { at: now.monotonic, took, outcome };
            }
            // Whoever needs it asks again.
            Ok(ReadOutcome::NotModified | ReadOutcome::Missing) | Err(_) => {}
        }
    }

    /// A swap got through: what was read beside it is of no more use than to know better later.
    pub(super) fn end_beside(&mut self) {
        match mem::replace(&mut self.committer.beside, Beside::None) {
            Beside::None | Beside::Asked { .. } => {}
            Beside::Told { outcome, .. } => self.know_later(Some(outcome)),
        }
    }

    /// Takes a reading that nobody asks for any more, if it is of a later state than the known one:
    /// a manifest that goes back is told by the last that was seen.
    fn know_later(&mut self, outcome: Option<ReadOutcome>) {
        let Some(ReadOutcome::Found(object)) = outcome else { return };
        let Ok(seen) = self.read_as_manifest(object) else { return };
        if self.contradiction(&seen).is_none() {
            crate::sometimes!(ReadBesideKnownLater);
            self.committer.known = Some(seen);
        }
    }

    /// Learns from what was read beside a swap that did not get through, or waits for it; `false` when
    /// nothing was.
    pub(super) fn looks_beside(&mut self, now: Now) -> bool {
        if self.committer.attempt.is_none() {
            return false;
        }
        match mem::replace(&mut self.committer.beside, Beside::None) {
            Beside::None => return false,
            Beside::Asked { id, since } => {
                crate::sometimes!(ReadBesideAwaited);
                self.committer.beside = Beside::Asked { id, since };
                self.committer.phase = Phase::Reading { since };
            }
            Beside::Told { at, took, outcome } => {
                let is_old = now.monotonic.saturating_since(at) > took;
                crate::sometimes!(ReadBesideUsed, !is_old);
                crate::sometimes!(ReadBesideTooOld, is_old);
                self.on_reading(now, took, Ok(outcome));
                // Others have written since, more likely than not.
                self.committer.stale |= is_old;
                // What follows is up to what was learned.
                self.commit(now);
            }
        }
        true
    }
}
