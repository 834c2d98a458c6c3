//! What was sent and what came out, as sums that do not depend on the order.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::exit::{Failure, Status};
use crate::size::counted;

/// How much of each entry goes into a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All of it.
    Whole,
    /// Its length, its first eight bytes and its last: for what is looked at while time is taken.
    Ends,
}

/// How many entries there are, how many bytes they have, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, entry: &[u8], depth: Depth) {
        self.entries += 1;
        self.bytes += entry.len() as u64;
        self.hash = self.hash.wrapping_add(hash(entry, depth));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

fn hash(entry: &[u8], depth: Depth) -> u64 {
    match (depth, entry.first_chunk::<8>(), entry.last_chunk::<8>()) {
        (Depth::Ends, Some(first), Some(last)) => {
            let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            let mixed = first ^ last.rotate_left(29) ^ (entry.len() as u64).rotate_left(47);
            let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 32)
        }
        (Depth::Ends | Depth::Whole, _, _) => xxh3_64(entry),
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

    fn entries() -> Vec<Vec<u8>> {
        (0..100_u64).map(|number| [&number.to_le_bytes()[..], &[7; 20]].concat()).collect()
    }

    fn sums(depth: Depth, entries: &[Vec<u8>]) -> Sums {
        let mut sums = Sums::default();
        entries.iter().for_each(|entry| sums.add(entry, depth));
        sums
    }

    fn compare(depth: Depth, found: &[Vec<u8>], unknown: &[Vec<u8>]) -> Result<Compared, Failure> {
        let (durable, unknown) = (sums(depth, &entries()), sums(depth, unknown));
        Expected { durable, unknown }.compare(&sums(depth, found))
    }

    #[track_caller]
    fn assert_differs(found: &[Vec<u8>], what: &str) {
        for depth in [Depth::Whole, Depth::Ends] {
            let failure = compare(depth, found, &[]).expect_err(what);
            assert_eq!(failure.status, Status::Differs);
            assert!(format!("{failure:?}").contains(what), "{failure:?}");
        }
    }

    #[test]
    fn the_order_does_not_matter_and_everything_else_does() {
        let mut found = entries();
        found.reverse();
        for depth in [Depth::Whole, Depth::Ends] {
            assert_eq!(compare(depth, &found, &[]).expect("it is the same"), Compared::ByHash);
        }
        let lost = found.pop().expect("there are many");
        assert_differs(&found, "entries were lost");
        found.push(found[0].clone());
        assert_differs(&found, "other entries came out");
        found.push(lost);
        assert_differs(&found, "more often than once");
    }

    #[test]
    fn a_changed_byte_is_found_as_deep_as_one_looks() {
        let changed = |at: usize| {
            let mut found = entries();
            found[50][at] ^= 1;
            found
        };
        assert_differs(&changed(0), "other entries came out");
        assert_differs(&changed(27), "other entries came out");
        assert!(compare(Depth::Whole, &changed(12), &[]).is_err());
        let mut longer = entries();
        longer[3].insert(14, 7);
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
