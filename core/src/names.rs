//! Object names for batches.

use alloc::format;

use ulid::Ulid;

use crate::time::UnixMillis;
use crate::types::Location;

/// Makes batch names that rise strictly within one producer's life, whatever its clock does.
#[derive(Debug)]
pub(crate) struct BatchNames {
    prefix: Location,
    random: fastrand::Rng,
    last: Option<Ulid>,
}

impl BatchNames {
    pub(crate) fn new(prefix: Location, seed: u64) -> Self {
        Self { prefix, random: fastrand::Rng::with_seed(seed), last: None }
    }

    /// The key `{prefix}/{ULID}.batch` of a name never given before.
    pub(crate) fn next(&mut self, now: UnixMillis) -> Location {
        // A wall clock before 1970 or past the year 10889 does not fit: clamp it, the name only has to be new.
        let millis = u64::try_from(now.0).unwrap_or(0).min((1 << 48) - 1);
        let random = self.random.u128(..) & ((1 << 80) - 1);
        let fresh = Ulid::from_parts(millis, random);
        let is_earlier = |last: Ulid| last.timestamp_ms() > millis;
        crate::sometimes!(ClockWentBack, self.last.is_some_and(is_earlier));
        let ulid = match self.last {
            Some(last) if fresh <= last => last.increment().unwrap_or(fresh),
            Some(_) | None => fresh,
        };
        self.last = Some(ulid);
        Location::from(format!("{}/{ulid}.batch", self.prefix))
    }
}

/// Whether a key lies right under the prefix, not deeper and not elsewhere.
pub(crate) fn is_right_under(prefix: &Location, key: &str) -> bool {
    key.rsplit_once('/').is_some_and(|(directory, _)| directory == prefix.as_str())
        || crate::planted!(OtherPrefixCollected)
}

/// When a batch was named, by its producer's clock; `None` for a key that is not exactly
/// `{prefix}/{ULID}.batch`, and so not a batch of this queue.
///
/// ```
/// use buffer_core::{Location, UnixMillis, batch_time};
///
/// let (prefix, key) = (Location::from("ingest"), Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch"));
/// assert_eq!(batch_time(&prefix, &key), Some(UnixMillis(1_469_922_850_259)));
/// assert_eq!(batch_time(&prefix, &Location::from("ingest/manifest")), None);
/// ```
#[must_use]
pub fn batch_time(prefix: &Location, location: &Location) -> Option<UnixMillis> {
    let millis = batch_millis(prefix, location.as_str())?;
    // Ten digits of five bits fit.
    i64::try_from(millis).ok().map(UnixMillis)
}

/// The time in a batch's name, in milliseconds since the Unix epoch; `None` for a
/// key that is not exactly `{prefix}/{ULID}.batch`. See FORMAT, the table of keys.
pub(crate) fn batch_millis(prefix: &Location, key: &str) -> Option<u64> {
    let stem = key.strip_prefix(prefix.as_str())?.strip_prefix('/')?.strip_suffix(".batch")?;
    let deeper = stem.rsplit('/').next().filter(|_| crate::planted!(NestedKeysCollected));
    let stem = deeper.unwrap_or(stem);
    // 26 characters hold 130 bits, and a ULID has 128.
    let fits = stem.len() == 26 && stem.as_bytes()[0] <= b'7';
    let (time, random) = stem.as_bytes().split_at_checked(10).filter(|_| fits)?;
    let is_written_so = random.iter().all(|byte| VALUES[usize::from(*byte)] != NO_DIGIT);
    let digits = time.iter().map(|byte| VALUES[usize::from(*byte)]);
    let (millis, is_written_so) = digits.fold((0, is_written_so), |(millis, so_far), value| {
        (millis << 5 | u64::from(value & 31), so_far && value != NO_DIGIT)
    });
    is_written_so.then_some(millis)
}

const NO_DIGIT: u8 = u8::MAX;

/// What each byte stands for in a ULID as it is written here: upper case alone.
/// A table, because a whole manifest is looked through in each cycle of collection.
const VALUES: [u8; 256] = {
    let digits = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < digits.len() {
        values[digits[value] as usize] = value as u8;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn stem(location: &Location) -> Ulid {
        let name = location.as_str().strip_prefix("in/gest/").expect("the prefix");
        let stem = name.strip_suffix(".batch").expect("the suffix");
        let ulid = Ulid::from_string(stem).expect("a ULID");
        assert_eq!(ulid.to_string(), stem, "upper case, 26 characters");
        ulid
    }

    #[test]
    fn names_rise_while_the_clock_stands_still_or_goes_back() {
        let mut names = BatchNames::new(Location::from("in/gest"), 7);
        let times = [5_000, 5_000, 5_000, 4_000, -1, 5_001, i64::MAX, i64::MAX, 0];
        let ulids: alloc::vec::Vec<Ulid> =
            times.iter().map(|&time| stem(&names.next(UnixMillis(time)))).collect();
        assert!(ulids.windows(2).all(|pair| pair[0] < pair[1]), "{ulids:?}");
    }

    #[test]
    fn two_seeds_share_no_name() {
        let mut one = BatchNames::new(Location::from("p"), 1);
        let mut two = BatchNames::new(Location::from("p"), 2);
        assert_ne!(one.next(UnixMillis(1)), two.next(UnixMillis(1)));
    }

    #[test]
    fn what_is_made_as_a_name_is_read_as_one() {
        let prefix = Location::from("in/gest");
        let mut names = BatchNames::new(prefix.clone(), 7);
        for millis in [0, 1, 1_700_000_000_000, (1 << 48) - 1] {
            let name = names.next(UnixMillis(millis));
            assert_eq!(
                batch_millis(&prefix, name.as_str()).map(|at| at >= millis as u64),
                Some(true)
            );
            assert!(is_right_under(&prefix, name.as_str()));
        }
        let known = "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch";
        assert_eq!(batch_millis(&prefix, known), Some(1_469_922_850_259));
    }

    /// Goal: nothing else is ever taken for a batch of this queue, and deleted.
    #[test]
    fn nothing_else_is_a_batch() {
        let prefix = Location::from("in/gest");
        let keys = [
            "in/gest/manifest",
            "in/gest/.01ARZ3NDEKTSV4RRFFQ69G5FAV.batch.lock",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch.tmp",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "in/gest/01arz3ndektsv4rrffq69g5fav.batch",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FA.batch",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAVV.batch",
            "in/gest/81ARZ3NDEKTSV4RRFFQ69G5FAV.batch",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAU.batch",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAI.batch",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAL.batch",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5FAO.batch",
            "in/gest/01ARZ3NDEKTSV4RRFFQ69G5F\u{c4}.batch",
            "in/gest/deeper/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch",
            "in/gest//01ARZ3NDEKTSV4RRFFQ69G5FAV.batch",
            "in/gestalt/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch",
            "in/gest01ARZ3NDEKTSV4RRFFQ69G5FAV.batch",
            "other/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV.batch",
            "in/gest/.batch",
            "",
        ];
        for key in keys {
            assert_eq!(batch_millis(&prefix, key), None, "{key}");
        }
        assert!(!is_right_under(&prefix, "in/gest/deeper/x") && !is_right_under(&prefix, "in"));
    }
}
