//! What may be deleted, by one reading of the manifest.

use core::time::Duration;

use super::CollectError;
use crate::consumer::listed::Listed;
use crate::format::Manifest;
use crate::names::{batch_millis, is_right_under};
use crate::store::ListedObject;
use crate::time::UnixMillis;
use crate::types::{Location, Sequence};

/// A time that lies further ahead of our own clock is none. Clocks may be wrong by days, not by a year.
const FAR_AHEAD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The time that a store tells, unless it cannot be meant: some say 1970 when they do not know.
pub(in crate::consumer) fn credible(
    time: Option<UnixMillis>,
    wall: UnixMillis,
) -> Option<UnixMillis> {
    let is_possible = |time: UnixMillis| time.0 > 0 && time.saturating_since(wall) <= FAR_AHEAD;
    time.filter(|time| is_possible(*time) || crate::planted!(ImpossibleTimesBelieved))
}

/// One reading of the manifest, as far as deleting goes by it: its contents and
/// its time, from one and the same answer of the store.
///
/// A batch is deleted only if the reading does not list it, and was last
/// modified more than the grace period after the batch, both by the store's own
/// clock. Why that is enough, with U the moment when the upload of a batch B
/// began, L when the store says that B was written, and M a state of the manifest
/// written at T > L + grace that does not list B:
///
/// 1. Every swap that would list B is conditional on a state of the manifest.
///    If that state is older than M, the swap took effect before M, so that B was
///    listed and is dequeued; or it never will, because M took its place.
/// 2. If it is M or newer, the producer that sends it has read or written M. It
///    knows then that more than T - U >= T - L > grace has passed since it began
///    the upload, and it lists nothing that it began to upload half as long ago.
///
/// Nothing of this asks when M was read, nor whether it is still the state of the
/// manifest. So a stale reading is as good as a new one, a deletion that was
/// decided before a pause of days is still right after it, and it does not
/// matter whether the listing that showed B was made before or after the reading:
/// a batch that is not there any more is deleted once more, and one written
/// after M fails on its time. That also makes it nobody's business who deletes: the consumer
/// that collects, or an operator beside it. Stores that tell whole seconds, or whose
/// machines' clocks differ a little, use up some of the half of the grace period that is to spare.
///
/// It does ask that T is when that version was made: nobody writes the manifest's own
/// bytes over it, which would make it seem younger under the same version.
///
/// And it asks for producers that list young or not at all. For those that do
/// not, what is younger by its name than the oldest listed batch is
/// kept as well, and each page of a sweep is decided by a reading made after it.
/// What is left is a producer of that kind that sends a swap later than the grace
/// period, while nothing older is listed: nothing protects such a batch.
///
/// ```
/// use std::time::Duration;
/// use buffer_core::format::{Manifest, NewEntry};
/// use buffer_core::{Gate, KeepReason, ListedObject, Location, UnixMillis, Verdict};
///
/// let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// let manifest = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// let (written, wall) = (Some(UnixMillis(1_700_000_000_000)), UnixMillis(1_700_000_000_000));
/// let (prefix, grace) = (Location::from("ingest"), Duration::from_secs(600));
/// let gate = Gate::of_reading(&prefix, grace, &manifest, written, wall)?;
/// let object = ListedObject { location, last_modified: written, bytes: None };
/// assert_eq!(gate.judge(&object, wall), Verdict::Keep(KeepReason::Listed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Gate {
    prefix: Location,
    grace: Duration,
    listed: Listed,
    modified: UnixMillis,
    /// The lowest time in the name of a listed batch.
    oldest: Option<u64>,
}

/// What becomes of an object of a listing.
///
/// ```
/// # use std::time::Duration;
/// # use buffer_core::format::{Manifest, NewEntry};
/// # use buffer_core::{Gate, KeepReason, ListedObject, Location, UnixMillis, Verdict};
/// # let (prefix, grace) = (Location::from("ingest"), Duration::from_secs(600));
/// # let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// # let manifest = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// # let now = UnixMillis(1_700_000_000_000);
/// // By a manifest that was written just now, and lists one batch.
/// let gate = Gate::of_reading(&prefix, grace, &manifest, Some(now), now)?;
/// let judge = |location: &str, millis_ago: i64| {
///     let last_modified = Some(UnixMillis(now.0 - millis_ago));
///     gate.judge(&ListedObject { location: location.into(), last_modified, bytes: None }, now)
/// };
/// let orphan = "ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch";
/// assert_eq!(judge(orphan, 600_001), Verdict::Delete, "older than the grace period");
/// assert_eq!(judge(orphan, 600_000), Verdict::Keep(KeepReason::Young));
/// assert_eq!(judge(location.as_str(), 600_001), Verdict::Keep(KeepReason::Listed));
/// // A batch that was written minutes after the manifest that lists it: one of the times is wrong.
/// assert_eq!(judge(location.as_str(), -300_000), Verdict::Nonsense);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nobody needs it, and nobody ever will.
    Delete,
    /// It stays.
    Keep(KeepReason),
    /// The store's times contradict one another, so that nothing can be deleted by them.
    Nonsense,
}

/// Why an object stays.
///
/// ```
/// # use std::time::Duration;
/// # use buffer_core::format::{Manifest, NewEntry};
/// # use buffer_core::{Gate, KeepReason, ListedObject, Location, UnixMillis, Verdict};
/// # let (prefix, grace) = (Location::from("ingest"), Duration::from_secs(600));
/// # let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// # let manifest = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// # let now = UnixMillis(1_700_000_000_000);
/// // By a manifest that was written just now, and lists one batch.
/// let gate = Gate::of_reading(&prefix, grace, &manifest, Some(now), now)?;
/// let an_hour_ago = Some(UnixMillis(now.0 - 3_600_000));
/// let judge = |location: &str, last_modified| {
///     gate.judge(&ListedObject { location: location.into(), last_modified, bytes: None }, now)
/// };
/// let (older, younger) =
///     ("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch", "ingest/01K0000000Q3T6X9B2M5N8R1S0.batch");
/// assert_eq!(judge("ingest/manifest", an_hour_ago), Verdict::Keep(KeepReason::NoBatch));
/// assert_eq!(judge(older, None), Verdict::Keep(KeepReason::NoTime));
/// assert_eq!(judge(older, Some(now)), Verdict::Keep(KeepReason::Young));
/// assert_eq!(judge(younger, an_hour_ago), Verdict::Keep(KeepReason::Pending));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeepReason {
    /// It is not a batch right under the prefix: the manifest, or somebody else's.
    NoBatch,
    /// The store does not say when it was written, or says what cannot be.
    NoTime,
    /// The manifest lists it.
    Listed,
    /// The manifest was not modified more than the grace period after it: a producer may still list it.
    /// On an idle queue it waits for the next change of the manifest.
    Young,
    /// By its name it is younger than the oldest batch that is listed: a producer that does not keep to
    /// the grace period may still list it.
    Pending,
}

impl Gate {
    /// Takes a reading as the store gave it, contents and time from one answer, unless nothing can be
    /// deleted by it.
    ///
    /// `prefix` is where the queue's batches lie, and `grace` its grace period, the same for all who
    /// use it; `wall` is the time of day, to tell times of the store that cannot be.
    ///
    /// # Errors
    ///
    /// [`CollectError::NeverUsed`], [`CollectError::OtherPrefix`] and [`CollectError::NoTime`].
    pub fn of_reading(
        prefix: &Location,
        grace: Duration,
        manifest: &Manifest,
        last_modified: Option<UnixMillis>,
        wall: UnixMillis,
    ) -> Result<Self, CollectError> {
        Self::new(prefix, grace, manifest, credible(last_modified, wall))
    }

    /// Takes a reading, unless nothing can be deleted by it. `modified` is a [`credible`] time.
    pub(super) fn new(
        prefix: &Location,
        grace: Duration,
        manifest: &Manifest,
        modified: Option<UnixMillis>,
    ) -> Result<Self, CollectError> {
        // Nothing was ever listed: this may be a wrong path, and the batches another queue's backlog.
        if manifest.next_sequence() == Sequence(0) && !crate::planted!(UnusedQueueCollected) {
            return Err(CollectError::NeverUsed);
        }
        if let Some(key) = manifest.keys().find(|key| !is_right_under(prefix, key)) {
            return Err(CollectError::OtherPrefix { location: Location::from(key) });
        }
        let modified = modified.ok_or(CollectError::NoTime)?;
        let oldest = manifest.keys().filter_map(|key| batch_millis(prefix, key)).min();
        let listed = Listed::in_manifest(manifest);
        Ok(Self { prefix: prefix.clone(), grace, listed, modified, oldest })
    }

    /// Goes by the time of a later reading, and not by what it lists: a planted bug.
    pub(super) const fn take_time_alone(&mut self, later: &Self) {
        self.modified = later.modified;
    }

    /// Whether a batch that was dequeued may be deleted.
    ///
    /// `shown` is when the manifest that first listed it was written: the batch was written before that.
    pub(super) fn lets_pass(&self, location: &Location, shown: UnixMillis) -> bool {
        let key = location.as_str();
        batch_millis(&self.prefix, key).is_some()
            && !self.listed.contains(key)
            && self.is_past_grace(shown)
    }

    /// What becomes of an object that the store lists. `wall` is the time of day, as for
    /// [`of_reading`](Self::of_reading).
    #[must_use]
    pub fn judge(&self, object: &ListedObject, wall: UnixMillis) -> Verdict {
        let key = object.location.as_str();
        let foreign = crate::planted!(ForeignKeysCollected).then_some(0);
        let Some(millis) = batch_millis(&self.prefix, key).or(foreign) else {
            crate::sometimes!(KeptAsNoBatch);
            return Verdict::Keep(KeepReason::NoBatch);
        };
        let Some(written) = credible(object.last_modified, wall) else {
            crate::sometimes!(KeptWithoutTime);
            return Verdict::Keep(KeepReason::NoTime);
        };
        let by_age = crate::planted!(CollectByAgeAlone);
        if self.listed.contains(key) && !by_age {
            crate::sometimes!(KeptAsListed);
            // It was there before the manifest that lists it. A quarter of the grace
            // period is more than whole seconds and small differences explain.
            let is_newer = written.saturating_since(self.modified) > self.grace / 4;
            return if is_newer { Verdict::Nonsense } else { Verdict::Keep(KeepReason::Listed) };
        }
        let any_age = by_age || crate::planted!(YoungerThanListedCollected);
        let may_be_pending = self.oldest.is_some_and(|oldest| millis >= oldest) && !any_age;
        let is_old = self.is_past_grace(written);
        crate::sometimes!(KeptAsYoung, !is_old);
        crate::sometimes!(KeptAsPending, is_old && may_be_pending);
        match (is_old, may_be_pending) {
            (true, false) => Verdict::Delete,
            (true, true) => Verdict::Keep(KeepReason::Pending),
            (false, _) => Verdict::Keep(KeepReason::Young),
        }
    }

    fn is_past_grace(&self, written: UnixMillis) -> bool {
        let no_grace = crate::planted!(CollectWithoutGrace);
        let grace = if no_grace { Duration::ZERO } else { self.grace };
        self.modified.saturating_since(written) > grace
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;
    use crate::format::NewEntry;
    use crate::types::Epoch;

    const GRACE: Duration = Duration::from_secs(600);
    /// What the store's clock shows when the manifest is written.
    const WRITTEN: UnixMillis = UnixMillis(1_700_000_000_000);
    const OLD: UnixMillis = UnixMillis(WRITTEN.0 - 600_001);

    fn prefix() -> Location {
        Location::from("ingest")
    }

    /// A batch whose name says that it was made so many milliseconds after 1970.
    fn batch(millis: u64) -> Location {
        Location::from(format!("ingest/{}.batch", ulid::Ulid::from_parts(millis, 7)))
    }

    fn listing(locations: &[Location]) -> Manifest {
        let entries: Vec<_> =
            locations.iter().map(|location| NewEntry { location, metadata: &[] }).collect();
        Manifest::absent().append(&entries).expect("it fits")
    }

    /// A queue that has had one batch and lists nothing.
    fn used() -> Manifest {
        listing(&[batch(1)]).without_before(Sequence(1))
    }

    fn gate(manifest: &Manifest) -> Gate {
        Gate::new(&prefix(), GRACE, manifest, Some(WRITTEN)).expect("it can be gone by")
    }

    fn object(location: Location, last_modified: UnixMillis) -> ListedObject {
        ListedObject { location, last_modified: Some(last_modified), bytes: None }
    }

    fn judge(manifest: &Manifest, location: Location, last_modified: UnixMillis) -> Verdict {
        gate(manifest).judge(&object(location, last_modified), WRITTEN)
    }

    #[test]
    fn only_what_is_older_than_the_grace_period_by_the_stores_clock_is_deleted() {
        assert_eq!(judge(&used(), batch(5), OLD), Verdict::Delete);
        assert_eq!(
            judge(&used(), batch(5), UnixMillis(OLD.0 + 1)),
            Verdict::Keep(KeepReason::Young)
        );
        assert_eq!(judge(&used(), batch(5), WRITTEN), Verdict::Keep(KeepReason::Young));
        assert_eq!(
            judge(&used(), batch(5), UnixMillis(i64::MAX)),
            Verdict::Keep(KeepReason::NoTime)
        );
        assert!(gate(&used()).lets_pass(&batch(5), OLD));
        assert!(!gate(&used()).lets_pass(&batch(5), UnixMillis(OLD.0 + 1)));
    }

    #[test]
    fn what_is_listed_is_kept() {
        let manifest = listing(&[batch(9), batch(5)]);
        assert_eq!(judge(&manifest, batch(5), OLD), Verdict::Keep(KeepReason::Listed));
        assert!(!gate(&manifest).lets_pass(&batch(5), OLD));
        assert!(gate(&manifest).lets_pass(&batch(4), OLD));
    }

    /// Goal: a producer that follows none of our rules may be about to list what it made after that.
    #[test]
    fn what_is_younger_by_name_than_the_oldest_that_is_listed_is_kept() {
        let manifest = listing(&[batch(90), batch(50), batch(70)]);
        assert_eq!(judge(&manifest, batch(49), OLD), Verdict::Delete);
        assert_eq!(judge(&manifest, batch(51), OLD), Verdict::Keep(KeepReason::Pending));
        let twin = Location::from(format!("ingest/{}.batch", ulid::Ulid::from_parts(50, 6)));
        assert_eq!(judge(&manifest, twin, OLD), Verdict::Keep(KeepReason::Pending));
        // What was dequeued is not about to be listed.
        assert!(gate(&manifest).lets_pass(&batch(51), OLD));
    }

    #[test]
    fn nothing_but_batches_right_under_the_prefix_is_deleted() {
        let name = "01ARZ3NDEKTSV4RRFFQ69G5FAV.batch";
        for key in ["ingest/manifest", "ingest/x.batch"] {
            assert_eq!(
                judge(&used(), Location::from(key), OLD),
                Verdict::Keep(KeepReason::NoBatch),
                "{key}"
            );
            assert!(!gate(&used()).lets_pass(&Location::from(key), OLD), "{key}");
        }
        for directory in ["ingest/sub", "other", "ingest2"] {
            let key = Location::from(format!("{directory}/{name}"));
            assert_eq!(
                judge(&used(), key.clone(), OLD),
                Verdict::Keep(KeepReason::NoBatch),
                "{key}"
            );
            assert!(!gate(&used()).lets_pass(&key, OLD), "{key}");
        }
    }

    #[test]
    fn a_store_without_times_or_with_impossible_ones_gets_no_deletions() {
        let untimed = Gate::new(&prefix(), GRACE, &used(), None);
        assert!(matches!(untimed, Err(CollectError::NoTime)));
        let object = ListedObject { location: batch(5), last_modified: None, bytes: None };
        assert_eq!(gate(&used()).judge(&object, WRITTEN), Verdict::Keep(KeepReason::NoTime));
        for nonsense in [UnixMillis(0), UnixMillis(-1), UnixMillis(i64::MIN)] {
            assert_eq!(
                judge(&used(), batch(5), nonsense),
                Verdict::Keep(KeepReason::NoTime),
                "{nonsense:?}"
            );
        }
        let year = 366 * 24 * 3600 * 1000;
        for (time, is_credible) in
            [(0, false), (1, true), (WRITTEN.0 + year, true), (WRITTEN.0 + year + 1, false)]
        {
            let time = Some(UnixMillis(time));
            assert_eq!(credible(time, WRITTEN), time.filter(|_| is_credible));
        }
    }

    #[test]
    fn a_manifest_older_than_a_batch_that_it_lists_is_nonsense() {
        let manifest = listing(&[batch(5)]);
        let later = |millis| UnixMillis(WRITTEN.0 + millis);
        assert_eq!(judge(&manifest, batch(5), later(150_000)), Verdict::Keep(KeepReason::Listed));
        assert_eq!(judge(&manifest, batch(5), later(150_001)), Verdict::Nonsense);
        assert_eq!(
            judge(&manifest, batch(6), later(150_001)),
            Verdict::Keep(KeepReason::Young),
            "it is not listed"
        );
    }

    #[test]
    fn a_queue_that_never_had_an_entry_gets_no_deletions() {
        for manifest in [Manifest::absent(), Manifest::absent().with_epoch(Epoch(3))] {
            let gate = Gate::new(&prefix(), GRACE, &manifest, Some(WRITTEN));
            assert!(matches!(gate, Err(CollectError::NeverUsed)));
        }
    }

    #[test]
    fn a_queue_whose_batches_lie_elsewhere_gets_no_deletions() {
        for key in ["other/x.batch", "ingest/sub/x.batch", "x.batch"] {
            let manifest = listing(&[batch(5), Location::from(key)]);
            match Gate::new(&prefix(), GRACE, &manifest, Some(WRITTEN)) {
                Err(CollectError::OtherPrefix { location }) => assert_eq!(location.as_str(), key),
                other => panic!("{key}: {other:?}"),
            }
        }
        // A name of another form, in the right place, is no sign of another queue.
        assert_eq!(
            judge(&listing(&[Location::from("ingest/x.batch")]), batch(5), OLD),
            Verdict::Delete
        );
    }
}
