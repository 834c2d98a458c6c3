//! What befalls the requests of a seed, and how requests are known again.

use sha2::{Digest, Sha256};

/// Shares are counted in millionths.
pub(super) const WHOLE: u32 = 1_000_000;

/// What befalls the request with this number, of things that each have a share in [`WHOLE`].
///
/// The seed and the number alone decide. What the shares leave over is nothing.
pub(super) fn drawn<T>(
    seed: u64,
    number: u64,
    shares: impl IntoIterator<Item = (T, u32)>,
) -> Option<T> {
    let mut place = scattered(seed ^ scattered(number)) % u64::from(WHOLE);
    for (what, share) in shares {
        match place.checked_sub(u64::from(share)) {
            None => return Some(what),
            Some(rest) => place = rest,
        }
    }
    None
}

/// A number that looks random, and depends on this one alone (the finalizer of splitmix64).
const fn scattered(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of some parts: their order and their ends count.
pub(super) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_met_and_the_seed_decides() {
        let draws = |seed| -> Vec<_> {
            (0..10_000).map(|number| drawn(seed, number, [('a', 100_000), ('b', 50_000)])).collect()
        };
        let count = |what| draws(3).iter().filter(|found| **found == what).count();
        assert!((900..1100).contains(&count(Some('a'))), "{}", count(Some('a')));
        assert!((430..570).contains(&count(Some('b'))), "{}", count(Some('b')));
        assert_eq!(draws(3), draws(3));
        assert_ne!(draws(3), draws(4));
        assert!((0..1000).all(|number| drawn(5, number, [('c', WHOLE)]) == Some('c')));
    }

    #[test]
    fn parts_are_not_run_together() {
        let of = |parts: &[&str]| fingerprint(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
    }
}
