//! Swaps whose outcome has to be found out.

use alloc::vec::Vec;

use crate::format::Manifest;
use crate::known::Known;
use crate::types::{BatchId, Location, Sequence};

/// One swap that lists batches, from the moment it is sent until its outcome is certain.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// What it was conditional on.
    pub(crate) base: Known,
    /// What it writes.
    pub(crate) result: Manifest,
    /// The batches that it lists, in order, from `first` on.
    pub(crate) batches: Vec<(BatchId, Location)>,
    /// The sequence of the first of them.
    pub(crate) first: Sequence,
}

/// What a later reading of the manifest proves about a swap without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It took effect.
    Happened,
    /// It has not taken effect, and may yet.
    MayStill,
    /// It did not take effect and never will.
    DidNot,
    /// Its place has been dequeued: version 1 cannot tell.
    CannotTell,
}

impl Attempt {
    /// The sequence of the last batch that it lists.
    pub(crate) fn last(&self) -> Sequence {
        self.first.plus(self.batches.len() as u64 - 1)
    }

    /// The sequence that it gives to a batch.
    pub(crate) fn sequence_of(&self, batch: BatchId) -> Option<Sequence> {
        let index = self.batches.iter().position(|(id, _)| *id == batch)?;
        Some(self.first.plus(index as u64))
    }

    /// Reads the outcome off a manifest that was read after the swap was sent.
    ///
    /// A swap is atomic, so its batches share one fate, and one look decides for all:
    ///
    /// 1. One of the names is listed: it happened.
    /// 2. The version is still the one it was conditional on: it may land yet.
    /// 3. Its last place has not been dequeued, and another batch or nothing
    ///    is there: it did not happen, and on another version it cannot.
    /// 4. Its last place has been dequeued: its batches may have been there.
    pub(crate) fn judge(&self, seen: &Known) -> Proof {
        let listed = seen
            .manifest
            .locations_from(self.first)
            .any(|(_, location)| self.batches.iter().any(|(_, name)| *name == location));
        if listed {
            Proof::Happened
        } else if seen.version == self.base.version {
            Proof::MayStill
        } else if seen.manifest.first_sequence() <= self.last() {
            Proof::DidNot
        } else {
            Proof::CannotTell
        }
    }
}
