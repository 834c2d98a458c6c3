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

    fn looked_for(&self) -> impl Iterator<Item = &(BatchId, Location)> {
        let is_first_enough = crate::planted!(OnlyFirstOfGroupLookedFor);
        self.batches.iter().take(if is_first_enough { 1 } else { usize::MAX })
    }

    /// Reads the outcome off a manifest that was read after the swap was sent.
    ///
    /// A swap is atomic, so its batches share one fate, and one look decides for all:
    ///
    /// 1. One of the names is listed: it happened.
    /// 2. The manifest is still the one it was conditional on: it may land yet.
    /// 3. Its last place has not been dequeued, and another batch or nothing
    ///    is there: it did not happen, and on another version it cannot.
    /// 4. Its last place has been dequeued: its batches may have been there.
    pub(crate) fn judge(&self, seen: &Known) -> Proof {
        let place = if crate::planted!(JudgeOffByOne) { self.last().next() } else { self.last() };
        let listed = seen
            .manifest
            .locations_from(self.first)
            .any(|(_, location)| self.looked_for().any(|(_, name)| *name == location));
        if listed {
            Proof::Happened
        } else if seen.is_same_state(&self.base) && !crate::planted!(MayStillTakenAsDidNot) {
            Proof::MayStill
        } else if seen.manifest.first_sequence() <= place {
            Proof::DidNot
        } else {
            Proof::CannotTell
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::NewEntry;
    use crate::store::Version;
    use crate::types::Epoch;

    fn version(number: u32) -> Option<Version> {
        Some(Version::from_e_tag(alloc::format!("v{number}")))
    }

    fn named(names: &[&str]) -> Vec<Location> {
        names.iter().map(|name| Location::from(*name)).collect()
    }

    fn appended(manifest: &Manifest, names: &[&str]) -> Manifest {
        let names = named(names);
        let entries: Vec<_> =
            names.iter().map(|location| NewEntry { location, metadata: &[] }).collect();
        manifest.append(&entries).expect("it fits")
    }

    /// A swap of our two batches `i` and `k` onto a queue that lists `a` and `b` (sequences 0 and 1).
    fn attempt() -> Attempt {
        let base =
            Known { manifest: appended(&Manifest::absent(), &["a", "b"]), version: version(1) };
        let result = appended(&base.manifest, &["i", "k"]);
        let batches = named(&["i", "k"]).into_iter().zip(0..);
        let batches = batches.map(|(name, id)| (BatchId(id), name)).collect();
        Attempt { first: base.manifest.next_sequence(), base, result, batches }
    }

    #[test]
    fn it_gives_sequences_in_order() {
        let attempt = attempt();
        assert_eq!(attempt.sequence_of(BatchId(0)), Some(Sequence(2)));
        assert_eq!(attempt.sequence_of(BatchId(1)), Some(Sequence(3)));
        assert_eq!(attempt.sequence_of(BatchId(2)), None);
        assert_eq!(attempt.last(), Sequence(3));
    }

    #[test]
    fn what_is_listed_happened() {
        let attempt = attempt();
        let later = appended(&attempt.result, &["z"]);
        // Dequeued up to its second batch, and taken over, it is still there to be seen.
        for manifest in [attempt.result.clone(), later.without_before(Sequence(3)), later] {
            let manifest = manifest.with_epoch(Epoch(9));
            let seen = Known { manifest, version: version(2) };
            assert_eq!(attempt.judge(&seen), Proof::Happened);
        }
    }

    #[test]
    fn on_its_base_it_may_still_land() {
        let attempt = attempt();
        assert_eq!(attempt.judge(&attempt.base.clone()), Proof::MayStill);
        // A store may name the same state by another token when it is read.
        let renamed = Known { version: version(7), ..attempt.base.clone() };
        assert_eq!(attempt.judge(&renamed), Proof::MayStill);
    }

    #[test]
    fn another_version_without_it_proves_that_it_did_not() {
        let attempt = attempt();
        let base = &attempt.base.manifest;
        let others = [
            base.with_epoch(Epoch(1)),
            appended(base, &["x"]),
            base.without_before(Sequence(2)),
            // Its first place was dequeued, its last was not: both share one fate.
            appended(base, &["x", "y"]).without_before(Sequence(3)),
            // Nothing is listed, and its last place is the next one to be given.
            appended(base, &["x"]).without_before(Sequence(3)),
        ];
        for manifest in others {
            let seen = Known { manifest, version: version(2) };
            assert_eq!(attempt.judge(&seen), Proof::DidNot, "{seen:?}");
        }
    }

    #[test]
    fn once_its_last_place_is_dequeued_nobody_can_tell() {
        let attempt = attempt();
        let others = appended(&attempt.base.manifest, &["x", "y"]);
        for manifest in [&others, &attempt.result] {
            let manifest = manifest.without_before(Sequence(4));
            let seen = Known { manifest, version: version(2) };
            assert_eq!(attempt.judge(&seen), Proof::CannotTell);
        }
    }

    #[test]
    fn a_first_swap_that_finds_no_manifest_may_still_make_it() {
        let base = Known::absent();
        let result = appended(&base.manifest, &["i"]);
        let batches = alloc::vec![(BatchId(0), Location::from("i"))];
        let attempt = Attempt { first: Sequence(0), base, result, batches };
        assert_eq!(attempt.judge(&Known::absent()), Proof::MayStill);
        let other = Known { manifest: appended(&Manifest::absent(), &["x"]), version: version(1) };
        assert_eq!(attempt.judge(&other), Proof::DidNot);
    }
}
