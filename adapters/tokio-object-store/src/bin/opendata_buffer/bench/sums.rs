//! What was sent and what came out, as sums that do not depend on the order.

use bytes::Bytes;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::exit::{Failure, Status};
use crate::size::counted;

/// How much of what was sent goes into a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every byte.
    Whole,
    /// Of each call, the ends of its first entry and of its last: for what is looked at while time
    /// is taken. A call's entries stay together.
    Calls,
}

/// How many entries there are, how many bytes they have, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

impl Sums {
    /// Adds every byte of an entry.
    pub(crate) fn add(&mut self, entry: &[u8]) {
        self.entries += 1;
        self.bytes += entry.len() as u64;
        self.hash = self.hash.wrapping_add(xxh3_64(entry));
    }

    /// Adds the ends of a call with so many entries and bytes.
    pub(crate) fn add_call(&mut self, first: &[u8], last: &[u8], entries: u64, bytes: u64) {
        self.entries += entries;
        self.bytes += bytes;
        self.hash = self.hash.wrapping_add(hash_of_call(first, last));
    }

    /// Adds entries by their calls, of which each has so many.
    pub(crate) fn add_calls(&mut self, entries: &[Bytes], per_call: usize) {
        for call in entries.chunks(per_call) {
            if let (Some(first), Some(last)) = (call.first(), call.last()) {
                let bytes: usize = call.iter().map(Bytes::len).sum();
                self.add_call(first, last, call.len() as u64, bytes as u64);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// A hash of both ends of a call's first entry and of its last.
pub(crate) fn hash_of_call(first: &[u8], last: &[u8]) -> u64 {
    let one = ends(first).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed =
        (one ^ (one >> 32) ^ ends(last).rotate_left(23)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

fn ends(entry: &[u8]) -> u64 {
    match (entry.first_chunk::<8>(), entry.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            first ^ last.rotate_left(29) ^ (entry.len() as u64).rotate_left(47)
        }
        (None, _) | (_, None) => xxh3_64(entry),
    }
}

/// What went in: what must come out once, and what may.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// What became durable.
    pub(crate) durable: Sums,
    /// What may have: its outcome is unknown.
    pub(crate) unknown: Sums,
}

/// How far what came out was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compared {
    /// Every entry that must be there is, once, and no other.
    ByHash,
    /// Some of the entries whose outcome is unknown came out: there are as many as there may be.
    ByCount,
}

impl Expected {
    /// Fails if what was found is not what became durable, once each; what is unknown may be there as well.
    pub(crate) fn compare(&self, found: &Sums) -> Result<Compared, Failure> {
        let Self { durable, unknown } = self;
        let mut all = *durable;
        all.merge(*unknown);
        if found == durable || *found == all {
            return Ok(Compared::ByHash);
        }
        let what = if found.entries < durable.entries {
            "entries were lost"
        } else if found.entries > all.entries {
            "entries came more often than once"
        } else if unknown.entries > 0 {
            return Ok(Compared::ByCount);
        } else {
            "other entries came out than went in"
        };
        let entries = |sums: &Sums| counted(sums.entries, "entry", "entries");
        let message = format!(
            "{what}: {} became durable (sum {:016x}), {} came out (sum {:016x})",
            entries(durable),
            durable.hash,
            entries(found),
            found.hash,
        );
        Err(Failure::new(Status::Differs, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_CALL: usize = 4;

    fn entries() -> Vec<Vec<u8>> {
        (0..100_u64).map(|number| [&number.to_le_bytes()[..], &[7; 20]].concat()).collect()
    }

    fn sums(depth: Depth, entries: &[Vec<u8>]) -> Sums {
        let mut sums = Sums::default();
        match depth {
            Depth::Whole => entries.iter().for_each(|entry| sums.add(entry)),
            Depth::Calls => {
                let entries: Vec<_> = entries.iter().cloned().map(Bytes::from).collect();
                sums.add_calls(&entries, PER_CALL);
            }
        }
        sums
    }

    fn compare(depth: Depth, found: &[Vec<u8>], unknown: &[Vec<u8>]) -> Result<Compared, Failure> {
        let (durable, unknown) = (sums(depth, &entries()), sums(depth, unknown));
        Expected { durable, unknown }.compare(&sums(depth, found))
    }

    #[track_caller]
    fn assert_differs(found: &[Vec<u8>], what: &str) {
        for depth in [Depth::Whole, Depth::Calls] {
            let failure = compare(depth, found, &[]).expect_err(what);
            assert_eq!(failure.status, Status::Differs);
            assert!(format!("{failure:?}").contains(what), "{failure:?}");
        }
    }

    #[test]
    fn the_order_of_calls_does_not_matter_and_everything_else_does() {
        let all = entries();
        let calls: Vec<_> = all.chunks(PER_CALL).collect();
        let reversed: Vec<_> = calls.iter().rev().copied().flatten().cloned().collect();
        for depth in [Depth::Whole, Depth::Calls] {
            assert_eq!(compare(depth, &reversed, &[]).expect("it is the same"), Compared::ByHash);
        }
        assert_differs(&all[1..], "entries were lost");
        assert_differs(&calls[1..].concat(), "entries were lost");
        let repeated = [&calls[1..], &calls[1..2]].concat().concat();
        assert_differs(&repeated, "other entries came out");
        assert_differs(&[&all[..], calls[0]].concat(), "more often than once");
    }

    #[test]
    fn a_changed_byte_is_found_as_deep_as_one_looks() {
        let changed = |entry: usize, at: usize| {
            let mut found = entries();
            found[entry][at] ^= 1;
            found
        };
        for entry in [48, 51] {
            assert_differs(&changed(entry, 0), "other entries came out");
            assert_differs(&changed(entry, 27), "other entries came out");
            assert!(compare(Depth::Whole, &changed(entry, 12), &[]).is_err());
        }
        assert!(compare(Depth::Whole, &changed(49, 0), &[]).is_err());
        let mut longer = entries();
        longer[2].insert(14, 7);
        assert_differs(&longer, "other entries came out");
    }

    #[test]
    fn what_is_unknown_may_come_once() {
        let unknown = vec![b"perhaps one".to_vec(), b"perhaps two".to_vec()];
        let with = |more: &[Vec<u8>]| [&entries()[..], more].concat();
        let compared = |more: &[Vec<u8>]| compare(Depth::Whole, &with(more), &unknown);
        assert_eq!(compared(&[]).expect("none of it"), Compared::ByHash);
        assert_eq!(compared(&unknown).expect("all of it"), Compared::ByHash);
        assert_eq!(compared(&unknown[..1]).expect("some of it"), Compared::ByCount);
        assert!(compared(&[&unknown[..], &unknown[..1]].concat()).is_err());
        assert!(compare(Depth::Whole, &entries()[1..], &unknown).is_err());
    }
}
