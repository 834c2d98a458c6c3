//! Which batches were taken already, so that one that is listed twice is handed out once.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::listed::Listed;
use crate::format::Manifest;
use crate::time::UnixMillis;
use crate::types::{Location, Sequence};

/// How many names are remembered at the most: hours of ten batches a second.
pub(crate) const MOST_NAMES: usize = 1 << 18;

/// The names of batches that this consumer has taken.
///
/// A name is forgotten by the collector's own gate, once no producer can list it
/// again: when one reading of the manifest does not list it and was written more
/// than the grace period after the batch. A batch is older than the first
/// manifest that lists it, and both times are the store's own, so that no
/// machine's clock matters. What is forgotten so, the collector may delete.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    taken: BTreeMap<Location, Sequence>,
    /// In the order of sequences, with the time of the manifest that first showed each.
    order: VecDeque<(Location, Sequence, Option<UnixMillis>)>,
    /// How many were forgotten because there were too many.
    forgotten: u64,
}

impl Repeats {
    pub(crate) fn clear(&mut self) {
        self.taken.clear();
        self.order.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether a batch was taken, and [`Repeats::forget`] will name it in its time.
    pub(crate) fn will_forget(&self, location: &Location) -> bool {
        let place = self.taken.get(location).and_then(|taken| {
            self.order.binary_search_by_key(taken, |(_, sequence, _)| *sequence).ok()
        });
        place.is_some_and(|index| self.order[index].2.is_some())
    }

    /// Notes that a batch is taken. Says no when it was taken under a lower sequence.
    pub(crate) fn take(
        &mut self,
        location: &Location,
        sequence: Sequence,
        shown: Option<UnixMillis>,
    ) -> bool {
        if self.taken.contains_key(location) {
            return false;
        }
        if self.order.len() == MOST_NAMES {
            let (oldest, _, _) = self.order.pop_front().expect("it is full");
            self.taken.remove(&oldest);
            self.forgotten += 1;
        }
        self.taken.insert(location.clone(), sequence);
        self.order.push_back((location.clone(), sequence, shown));
        true
    }

    /// Forgets what a reading of the manifest proves to be past listing, and says what
    /// that is: each with the time of the manifest that first showed it.
    ///
    /// `modified` is when that manifest was written, or earlier: a reading that says "not modified"
    /// of what this consumer wrote itself goes by the time before.
    /// Going through the whole manifest is only worth it for a good part of what is
    /// remembered, unless it is to be done thoroughly.
    pub(crate) fn forget(
        &mut self,
        manifest: &Manifest,
        modified: Option<UnixMillis>,
        grace: Duration,
        thoroughly: bool,
    ) -> Vec<(Location, UnixMillis)> {
        let mut forgotten = Vec::new();
        let Some(modified) = modified else { return forgotten };
        let first = manifest.first_sequence();
        let by_time = crate::planted!(RepeatsForgottenByTime);
        let grace = if by_time { grace / 64 } else { grace };
        let past = |(_, sequence, shown): &&(Location, Sequence, Option<UnixMillis>)| {
            (*sequence < first || by_time)
                && shown.is_some_and(|shown| modified.saturating_since(shown) > grace)
        };
        // One look tells whether there are enough: all that come before would be past as well.
        let enough = if thoroughly { 1 } else { self.order.len().div_ceil(8).max(1) };
        if !self.order.get(enough - 1).as_ref().is_some_and(past) {
            return forgotten;
        }
        let candidates = self.order.iter().take_while(past).count();
        if candidates < enough {
            return forgotten;
        }
        let listed = Listed::in_manifest(manifest);
        let mut kept = VecDeque::new();
        for (location, sequence, shown) in self.order.drain(..candidates) {
            match shown {
                Some(shown) if !listed.contains(location.as_str()) || by_time => {
                    crate::sometimes!(NamesForgotten);
                    self.taken.remove(&location);
                    forgotten.push((location, shown));
                }
                Some(_) | None => {
                    crate::sometimes!(NameKeptAsListed);
                    kept.push_back((location, sequence, shown));
                }
            }
        }
        kept.append(&mut self.order);
        self.order = kept;
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;
    use crate::format::NewEntry;

    const GRACE: Duration = Duration::from_secs(600);

    fn name(number: u64) -> Location {
        Location::from(format!("ingest/{number}.batch"))
    }

    fn listing(names: &[u64]) -> Manifest {
        let names: Vec<_> = names.iter().map(|number| name(*number)).collect();
        let entries: Vec<_> =
            names.iter().map(|location| NewEntry { location, metadata: &[] }).collect();
        Manifest::absent().append(&entries).expect("it fits")
    }

    fn at_secs(seconds: i64) -> Option<UnixMillis> {
        Some(UnixMillis(seconds * 1000))
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut repeats = Repeats::default();
        assert!(repeats.take(&name(0), Sequence(0), None));
        assert!(repeats.take(&name(1), Sequence(1), at_secs(1)));
        assert_eq!(
            [0, 1, 2].map(|number| repeats.will_forget(&name(number))),
            [false, true, false]
        );
        assert!(!repeats.take(&name(0), Sequence(2), None));
        repeats.clear();
        assert!(repeats.take(&name(0), Sequence(3), None));
    }

    #[test]
    fn a_name_is_forgotten_once_no_producer_can_list_it_again() {
        let mut repeats = Repeats::default();
        repeats.take(&name(0), Sequence(0), at_secs(100));
        repeats.take(&name(1), Sequence(1), at_secs(100));
        let gone = listing(&[0, 1]).without_before(Sequence(2));
        repeats.forget(&gone, at_secs(700), GRACE, false);
        assert_eq!(repeats.len(), 2, "not before more than the grace period has passed");
        repeats.forget(&gone, None, GRACE, false);
        assert_eq!(repeats.len(), 2, "not on a store that tells no time");
        repeats.forget(&listing(&[0, 1]), at_secs(701), GRACE, false);
        assert_eq!(repeats.len(), 2, "not while they are listed");
        let again = listing(&[7, 8, 1]).without_before(Sequence(2));
        repeats.forget(&again, at_secs(701), GRACE, false);
        assert_eq!(repeats.len(), 1, "not while one is listed again");
        assert!(!repeats.take(&name(1), Sequence(2), at_secs(701)));
        let forgotten = repeats.forget(&gone, at_secs(701), GRACE, false);
        assert_eq!(forgotten, [(name(1), UnixMillis(100_000))]);
        assert_eq!(repeats.len(), 0);
    }

    #[test]
    fn a_few_of_many_are_only_forgotten_when_it_is_done_thoroughly() {
        let mut repeats = Repeats::default();
        for number in 0..9 {
            let shown = if number == 0 { at_secs(100) } else { at_secs(600) };
            repeats.take(&name(number), Sequence(number), shown);
        }
        let gone = listing(&[0, 1, 2, 3, 4, 5, 6, 7, 8]).without_before(Sequence(9));
        assert!(repeats.forget(&gone, at_secs(701), GRACE, false).is_empty());
        assert_eq!(repeats.forget(&gone, at_secs(701), GRACE, true).len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_bound_is_told() {
        let mut repeats = Repeats::default();
        for number in 0..MOST_NAMES as u64 + 3 {
            assert!(repeats.take(&name(number), Sequence(number), None));
        }
        assert_eq!((repeats.len(), repeats.forgotten()), (MOST_NAMES, 3));
        assert!(repeats.take(&name(0), Sequence(u64::MAX), None), "the oldest is forgotten");
        assert!(!repeats.take(&name(3 + 1), Sequence(u64::MAX), None));
    }
}
