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
}
