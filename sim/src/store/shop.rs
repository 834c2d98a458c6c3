//! What the store does when it looks at a request.

use std::time::Duration;

use buffer_core::{
    ListPage, Location, Object, ReadOutcome, Rope, StoreErrorKind, UnixMillis, WriteOutcome,
};
use buffer_driver::StoreFailure;
use bytes::Bytes;

use super::applied::{Applied, Change, Requester, Written};
use super::flight::{Answer, Flight};
use super::request::{Kind, Operation, Request};
use super::verdict::Verdict;
use super::{Inner, content_hash, listing, objects};

/// The store at one moment.
pub(super) struct Shop<'a> {
    profile: &'a super::Profile,
    objects: &'a mut objects::Objects,
    counts: &'a mut super::Counts,
    random: &'a mut crate::Random,
    time: Duration,
    wall: UnixMillis,
    pub(super) effects: Vec<Applied>,
    /// Whether a write was refused because there were too many to its key.
    pub(super) is_hot: bool,
}

/// An answer, if there is to be one, and whether it is another one than if nothing were wrong.
type Served = (Option<Answer>, bool);

impl<'a> Shop<'a> {
    pub(super) fn new(
        inner: &'a Inner,
        objects: &'a mut objects::Objects,
        counts: &'a mut super::Counts,
        random: &'a mut crate::Random,
        (time, wall): (Duration, UnixMillis),
    ) -> Self {
        let (profile, effects) = (&inner.profile, Vec::new());
        Self { profile, objects, counts, random, time, wall, effects, is_hot: false }
    }

    pub(super) fn into_effects(self) -> Vec<Applied> {
        self.effects
    }

    /// Does what a request asks for, as far as its verdict lets it.
    pub(super) fn serve(&mut self, flight: &Flight) -> Served {
        let (request, verdict) = (&flight.request, flight.verdict);
        match &request.operation {
            Operation::Write { .. } => {
                let (answer, altered) = self.serve_write(request, verdict, &flight.payload);
                (answer.map(Answer::Write), altered)
            }
            Operation::Read { .. } => {
                let (answer, altered) = self.serve_read(request, verdict);
                (answer.map(Answer::Read), altered)
            }
            Operation::List { .. } => {
                let (answer, altered) = self.serve_list(request, verdict);
                (answer.map(Answer::List), altered)
            }
            Operation::Delete { keys } => {
                let (answer, altered) = self.serve_delete(request, verdict, keys);
                (answer.map(Answer::Delete), altered)
            }
        }
    }

    fn serve_write(
        &mut self,
        request: &Request,
        verdict: Verdict,
        payload: &Rope,
    ) -> (Option<Result<WriteOutcome, StoreFailure>>, bool) {
        match verdict {
            Verdict::Pass | Verdict::Duplicate { .. } => {
                (Some(self.write(request, payload)), false)
            }
            Verdict::Delay(extra) | Verdict::DelayReply(extra) => {
                (Some(self.write(request, payload)), !extra.is_zero())
            }
            Verdict::DropRequest => (None, true),
            Verdict::ApplyThenLoseReply => {
                let _lost = self.write(request, payload);
                (None, true)
            }
            Verdict::ApplyThenFail(kind) => {
                let _lost = self.write(request, payload);
                (Some(Err(failure(kind, request))), true)
            }
            Verdict::ApplyThenConflict => match self.write(request, payload) {
                Ok(WriteOutcome::Stored(_)) => (Some(Ok(WriteOutcome::Conflict)), true),
                other => (Some(other), false),
            },
            Verdict::FalseConflict => {
                let Operation::Write { condition, .. } = &request.operation else {
                    unreachable!("only writes are served here")
                };
                let is_false = self.objects.meets(&request.location, condition.as_ref());
                (Some(Ok(WriteOutcome::Conflict)), is_false)
            }
            Verdict::ApplyLate { reply, .. } => (Some(Err(failure(reply, request))), true),
            Verdict::Fail(kind) => (Some(Err(failure(kind, request))), true),
            Verdict::Throttle => (Some(Err(failure(StoreErrorKind::Throttled, request))), true),
            Verdict::Stale(_)
            | Verdict::StaleListing(_)
            | Verdict::Listing(_)
            | Verdict::Corrupt { .. }
            | Verdict::Truncate(_)
            | Verdict::Empty
            | Verdict::OtherBytes
            | Verdict::NotModifiedWrongly
            | Verdict::NoTimes
            | Verdict::WrongTimes(_)
            | Verdict::Partial => unreachable!("a verdict fits its request"),
        }
    }

    /// The moment at which a write takes effect, or does not.
    pub(super) fn write(
        &mut self,
        request: &Request,
        payload: &Rope,
    ) -> Result<WriteOutcome, StoreFailure> {
        let Operation::Write { condition, .. } = &request.operation else {
            unreachable!("only writes are applied")
        };
        let location = &request.location;
        self.validate(location)?;
        if self.objects.is_too_hot(location, self.time) {
            self.is_hot = true;
            return Err(StoreFailure::new(
                StoreErrorKind::Throttled,
                "too many writes to this key",
            ));
        }
        if !self.objects.meets(location, condition.as_ref()) {
            return Ok(WriteOutcome::Conflict);
        }
        let bytes = match &payload[..] {
            [whole] => whole.clone(),
            pieces => Bytes::from(pieces.concat()),
        };
        self.counts.swaps_stored += u64::from(request.kind() == Kind::Swap);
        let requester = Requester { number: request.number, process: request.process };
        let written = self.put(Some(requester), location, bytes);
        Ok(WriteOutcome::Stored(written))
    }

    /// Writes an object, whatever was there.
    pub(super) fn put(
        &mut self,
        request: Option<Requester>,
        location: &Location,
        bytes: Bytes,
    ) -> buffer_core::Version {
        let content_hash = content_hash(&bytes);
        let (time, wall) = (self.time, self.wall);
        let object = self.objects.put(location, bytes, content_hash, time, wall);
        let Object { bytes, version, last_modified } = object.clone();
        let change = Change::Written(Written {
            version: version.clone(),
            bytes,
            content_hash,
            last_modified,
        });
        // Nearly always it is the only one.
        self.effects.reserve_exact(1);
        self.effects.push(Applied { time, request, location: location.clone(), change });
        version
    }

    /// Looks only at keys that are new to the store.
    fn validate(&self, location: &Location) -> Result<(), StoreFailure> {
        if self.objects.knows(location) {
            return Ok(());
        }
        location
            .validate()
            .map_err(|error| StoreFailure::new(StoreErrorKind::InvalidLocation, error))
    }

    /// Removes an object; says whether there was one.
    pub(super) fn remove(&mut self, request: Option<Requester>, location: &Location) -> bool {
        let removed = self.objects.remove(location, self.time);
        if removed {
            let (time, location) = (self.time, location.clone());
            self.effects.push(Applied { time, request, location, change: Change::Deleted });
        }
        removed
    }

    fn serve_read(
        &mut self,
        request: &Request,
        verdict: Verdict,
    ) -> (Option<Result<ReadOutcome, StoreFailure>>, bool) {
        let Operation::Read { unless } = &request.operation else {
            unreachable!("only reads look")
        };
        if let Err(failure) = self.validate(&request.location) {
            return (Some(Err(failure)), false);
        }
        let location = &request.location;
        let usual = objects::read(self.objects.get(location), unless.as_ref());
        let seen = match verdict {
            Verdict::Pass => return (Some(Ok(usual)), false),
            Verdict::Delay(extra) | Verdict::DelayReply(extra) => {
                return (Some(Ok(usual)), !extra.is_zero());
            }
            Verdict::DropRequest | Verdict::ApplyThenLoseReply => return (None, true),
            Verdict::Fail(kind) | Verdict::ApplyThenFail(kind) => {
                return (Some(Err(failure(kind, request))), true);
            }
            Verdict::Throttle => {
                return (Some(Err(failure(StoreErrorKind::Throttled, request))), true);
            }
            Verdict::Stale(changes) => {
                objects::read(self.objects.past(location, changes), unless.as_ref())
            }
            Verdict::NotModifiedWrongly if unless.is_some() => ReadOutcome::NotModified,
            Verdict::NotModifiedWrongly => usual.clone(),
            Verdict::Corrupt { offset, mask } => damaged(&usual, |bytes| flip(bytes, offset, mask)),
            Verdict::Truncate(length) => damaged(&usual, |bytes| bytes.truncate(length)),
            Verdict::Empty => damaged(&usual, Vec::clear),
            Verdict::OtherBytes => {
                let choice = self.random.usize(..64);
                match self.objects.other(location, choice) {
                    Some(other) => damaged(&usual, |bytes| *bytes = other.bytes.to_vec()),
                    None => usual.clone(),
                }
            }
            Verdict::NoTimes => retimed(&usual, |_| None),
            Verdict::WrongTimes(by) => {
                retimed(&usual, |time| time.map(|time| UnixMillis(time.0.saturating_add(by))))
            }
            Verdict::ApplyThenConflict
            | Verdict::FalseConflict
            | Verdict::ApplyLate { .. }
            | Verdict::Duplicate { .. }
            | Verdict::StaleListing(_)
            | Verdict::Listing(_)
            | Verdict::Partial => unreachable!("a verdict fits its request"),
        };
        let altered = seen != usual;
        (Some(Ok(seen)), altered)
    }

    fn serve_list(
        &mut self,
        request: &Request,
        verdict: Verdict,
    ) -> (Option<Result<ListPage, StoreFailure>>, bool) {
        let Operation::List { after } = &request.operation else {
            unreachable!("only listings are served here")
        };
        let (prefix, after) = (&request.location, after.as_ref());
        let (objects, profile) = (&*self.objects, self.profile);
        let mut usual = |at| {
            let page = listing::page(objects, profile, prefix, after, at, self.random);
            page.ok_or_else(|| failure(StoreErrorKind::InvalidLocation, request))
        };
        let mut retimed = |change: &dyn Fn(Option<UnixMillis>) -> Option<UnixMillis>| {
            let mut page = usual(None);
            let mut altered = false;
            for object in page.iter_mut().flat_map(|page| &mut page.objects) {
                let changed = change(object.last_modified);
                altered |= changed != object.last_modified;
                object.last_modified = changed;
            }
            (Some(page), altered)
        };
        match verdict {
            Verdict::Pass => (Some(usual(None)), false),
            Verdict::Delay(extra) | Verdict::DelayReply(extra) => {
                (Some(usual(None)), !extra.is_zero())
            }
            Verdict::DropRequest | Verdict::ApplyThenLoseReply => (None, true),
            Verdict::Fail(kind) | Verdict::ApplyThenFail(kind) => {
                (Some(Err(failure(kind, request))), true)
            }
            Verdict::Throttle => (Some(Err(failure(StoreErrorKind::Throttled, request))), true),
            Verdict::StaleListing(by) => {
                let stale = usual(Some(self.time.saturating_sub(by)));
                // Both are drawn alike, or two orders would be compared.
                let keys = |page: &Result<ListPage, StoreFailure>| {
                    let mut keys: Vec<Location> = page
                        .iter()
                        .flat_map(|page| &page.objects)
                        .map(|it| it.location.clone())
                        .collect();
                    keys.sort_unstable();
                    keys
                };
                let altered = keys(&stale) != keys(&usual(None));
                (Some(stale), altered)
            }
            Verdict::Listing(quirk) => {
                let page = usual(None);
                let odd = page.clone().map(|mut odd| {
                    listing::distort(&mut odd, quirk, objects, prefix, self.random);
                    odd
                });
                let altered = match (&page, &odd) {
                    (Ok(page), Ok(odd)) => page != odd,
                    (Err(_), _) | (_, Err(_)) => false,
                };
                (Some(odd), altered)
            }
            Verdict::NoTimes => retimed(&|_| None),
            Verdict::WrongTimes(by) => {
                retimed(&|time| time.map(|time| UnixMillis(time.0.saturating_add(by))))
            }
            Verdict::ApplyThenConflict
            | Verdict::FalseConflict
            | Verdict::ApplyLate { .. }
            | Verdict::Duplicate { .. }
            | Verdict::Stale(_)
            | Verdict::Corrupt { .. }
            | Verdict::Truncate(_)
            | Verdict::Empty
            | Verdict::OtherBytes
            | Verdict::NotModifiedWrongly
            | Verdict::Partial => unreachable!("a verdict fits its request"),
        }
    }

    fn serve_delete(
        &mut self,
        request: &Request,
        verdict: Verdict,
        keys: &[Location],
    ) -> (Option<Vec<Result<(), StoreFailure>>>, bool) {
        let all_fail = |kind| Some(keys.iter().map(|_| Err(failure(kind, request))).collect());
        match verdict {
            Verdict::Pass | Verdict::Duplicate { .. } => {
                (Some(self.delete(request, keys, &[])), false)
            }
            Verdict::Delay(extra) | Verdict::DelayReply(extra) => {
                (Some(self.delete(request, keys, &[])), !extra.is_zero())
            }
            Verdict::DropRequest => (None, true),
            Verdict::ApplyThenLoseReply => {
                let _lost = self.delete(request, keys, &[]);
                (None, true)
            }
            Verdict::ApplyThenFail(kind) => {
                let _lost = self.delete(request, keys, &[]);
                (all_fail(kind), true)
            }
            Verdict::ApplyLate { reply, .. } => (all_fail(reply), true),
            Verdict::Fail(kind) => (all_fail(kind), true),
            Verdict::Throttle => (all_fail(StoreErrorKind::Throttled), true),
            Verdict::Partial => {
                let mut failing: Vec<bool> = keys.iter().map(|_| self.random.bool()).collect();
                if let Some(one) = self.random.choice(&mut failing) {
                    *one = true;
                }
                (Some(self.delete(request, keys, &failing)), !keys.is_empty())
            }
            Verdict::ApplyThenConflict
            | Verdict::FalseConflict
            | Verdict::Stale(_)
            | Verdict::StaleListing(_)
            | Verdict::Listing(_)
            | Verdict::Corrupt { .. }
            | Verdict::Truncate(_)
            | Verdict::Empty
            | Verdict::OtherBytes
            | Verdict::NotModifiedWrongly
            | Verdict::NoTimes
            | Verdict::WrongTimes(_) => unreachable!("a verdict fits its request"),
        }
    }

    /// Deletes objects, but for those that `failing` says; what is gone is a success.
    pub(super) fn delete(
        &mut self,
        request: &Request,
        keys: &[Location],
        failing: &[bool],
    ) -> Vec<Result<(), StoreFailure>> {
        let requester = Requester { number: request.number, process: request.process };
        let delete = |(index, key): (usize, &Location)| {
            if failing.get(index) == Some(&true) {
                return Err(failure(StoreErrorKind::Transient, request));
            }
            self.validate(key)?;
            let removed = self.remove(Some(requester), key);
            self.counts.objects_deleted += u64::from(removed);
            Ok(())
        };
        keys.iter().enumerate().map(delete).collect()
    }
}

fn failure(kind: StoreErrorKind, request: &Request) -> StoreFailure {
    StoreFailure::new(kind, format!("injected into request {}", request.number))
}

fn changed(outcome: &ReadOutcome, change: impl FnOnce(&mut Object)) -> ReadOutcome {
    match outcome {
        ReadOutcome::Found(object) => {
            let mut object = object.clone();
            change(&mut object);
            ReadOutcome::Found(object)
        }
        ReadOutcome::NotModified => ReadOutcome::NotModified,
        ReadOutcome::Missing => ReadOutcome::Missing,
    }
}

fn damaged(outcome: &ReadOutcome, damage: impl FnOnce(&mut Vec<u8>)) -> ReadOutcome {
    changed(outcome, |object| {
        let mut bytes = object.bytes.to_vec();
        damage(&mut bytes);
        object.bytes = bytes.into();
    })
}

fn retimed(
    outcome: &ReadOutcome,
    change: impl FnOnce(Option<UnixMillis>) -> Option<UnixMillis>,
) -> ReadOutcome {
    changed(outcome, |object| object.last_modified = change(object.last_modified))
}

fn flip(bytes: &mut [u8], offset: usize, mask: u8) {
    if !bytes.is_empty() {
        bytes[offset % bytes.len()] ^= mask;
    }
}
