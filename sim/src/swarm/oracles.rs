//! What must hold, by the store's log and by what the application saw.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{Applied, ProcessId, Request, Verdict};
use buffer_core::format::{Manifest, decode_batch};
use buffer_core::{Location, Sequence};
use bytes::Bytes;

use super::Invariant;
use super::manifest;
use super::plan::GRACE;
use super::report::Report;
use super::world::{Outcome, World};

/// A batch in the queue, for the first time.
struct Listed {
    sequence: Sequence,
    time: Duration,
    entries: Vec<Bytes>,
}

/// The queue's history, as the log tells it.
#[derive(Default)]
struct History {
    /// Which batch each sequence names.
    places: BTreeMap<Sequence, Location>,
    listed: BTreeMap<Location, Listed>,
    /// Batches that were listed again: case 4.
    again: BTreeMap<Location, Vec<Sequence>>,
    epochs: u64,
}

pub(crate) fn judge(world: &World) -> Report {
    let history = History::read(world);
    let gaps = judge_rows(world, &history);
    judge_submissions(world, &history);
    judge_requests(world, &history);
    let witness = world.witness();
    let count = |wanted| {
        let hits = witness.submitted.iter().filter(|it| it.outcome.map(|it| it.1) == Some(wanted));
        hits.count() as u64
    };
    let asked = world.asked();
    Report {
        hash: world.runtime.trace_hash(),
        simulated: world.runtime.elapsed(),
        requests: asked.len() as u64,
        submissions: witness.submitted.len() as u64,
        batches: history.listed.len() as u64,
        listed_again: history.again.len() as u64,
        gaps,
        unknown: count(Outcome::Unknown),
        not_delivered: count(Outcome::NotDelivered),
        epochs: history.epochs,
        ..Report::default()
    }
}

impl History {
    fn read(world: &World) -> Self {
        let log = world.store.log();
        let requests: BTreeMap<u64, Request> =
            world.asked().iter().map(|it| (it.request.number, it.request.clone())).collect();
        let uploads: BTreeMap<&Location, &Applied> = log
            .iter()
            .rev()
            .filter(|it| it.location != manifest())
            .map(|it| (&it.location, it))
            .collect();
        let mut history = Self::default();
        let mut before = (Manifest::absent(), Duration::ZERO);
        let mut contents = BTreeSet::new();
        let mut owners: BTreeMap<u64, ProcessId> = BTreeMap::new();
        for applied in log.iter().filter(|it| it.location == manifest()) {
            let request = &requests[&applied.request.expect("no test writes manifests").number];
            let now = match Manifest::parse(&applied.location, applied.bytes()) {
                Ok(now) => now,
                Err(error) => {
                    world.violated(Invariant::Sequences, format!("{request}: {error}"));
                    break;
                }
            };
            let content_hash = applied.written().map(|written| written.content_hash);
            if !contents.insert(content_hash) {
                world.violated(Invariant::Sequences, format!("{request} repeats a manifest"));
            }
            history.check_step(world, &before.0, &now, request);
            check_writer(world, &mut owners, &before.0, &now, request);
            history.take_in(world, &before, &now, applied, &uploads);
            before = (now, applied.time);
        }
        history.epochs = before.0.epoch().0;
        history
    }

    /// Sequences, epochs and what the places name, from one manifest to the next.
    fn check_step(&self, world: &World, before: &Manifest, now: &Manifest, request: &Request) {
        let old = (before.first_sequence(), before.next_sequence(), before.epoch());
        let new = (now.first_sequence(), now.next_sequence(), now.epoch());
        let rises = new.0 >= old.0 && new.1 >= old.1 && new.2 >= old.2 && new != old;
        world.check(rises, Invariant::Sequences, || format!("{request}: {old:?} became {new:?}"));
        let mut expected = new.0;
        for (sequence, location) in now.locations_from(Sequence(0)) {
            world.check(sequence == expected, Invariant::Sequences, || format!("{request}: a gap"));
            expected = sequence.next();
            if let Some(known) = self.places.get(&sequence) {
                world.check(*known == location, Invariant::Agreement, || {
                    format!("{request}: {sequence} was {known} and is {location}")
                });
            } else if sequence < old.1 {
                world
                    .violated(Invariant::Sequences, format!("{request}: {sequence} is used again"));
            }
        }
        world.check(expected == new.1, Invariant::Sequences, || format!("{request}: next is off"));
    }

    fn take_in(
        &mut self,
        world: &World,
        before: &(Manifest, Duration),
        now: &Manifest,
        applied: &Applied,
        uploads: &BTreeMap<&Location, &Applied>,
    ) {
        for (sequence, location) in now.locations_from(before.0.next_sequence()) {
            self.places.insert(sequence, location.clone());
            let Some(upload) = uploads.get(&location).filter(|it| it.time <= applied.time) else {
                let what = format!("{location} is listed as {sequence} and not in the store");
                world.violated(Invariant::DurableAck, what);
                continue;
            };
            // The collector's gate: whoever lists a batch does it on a manifest that is not too new.
            world.check(before.1 <= upload.time + GRACE, Invariant::SafeCollection, || {
                format!("{location} is listed when it may have been collected")
            });
            if let Some(listed) = self.listed.get(&location) {
                let dequeued = before.0.first_sequence() > listed.sequence;
                world.check(dequeued, Invariant::NoRepeats, || {
                    format!("{location} is listed as {} and as {sequence}", listed.sequence)
                });
                self.again.entry(location).or_default().push(sequence);
                continue;
            }
            let entries = decode_batch(&location, &upload.bytes(), usize::MAX);
            let entries = entries.unwrap_or_else(|error| {
                world.violated(Invariant::NoPhantom, format!("{location}: {error}"));
                Vec::new()
            });
            self.listed.insert(location, Listed { sequence, time: applied.time, entries });
        }
    }
}

/// Who may write what: producers append; of the consumers, the one that raised the epoch last dequeues.
fn check_writer(
    world: &World,
    owners: &mut BTreeMap<u64, ProcessId>,
    before: &Manifest,
    now: &Manifest,
    request: &Request,
) {
    let appended = now.next_sequence() > before.next_sequence();
    let dequeued = now.first_sequence() > before.first_sequence();
    let raised = now.epoch() > before.epoch();
    let is_producer = world.is_producer(request.process);
    let fits = if is_producer { appended && !dequeued && !raised } else { !appended };
    world.check(fits, Invariant::Fencing, || {
        format!("{request}: appended {appended}, dequeued {dequeued}, raised {raised}")
    });
    if raised {
        world.check(!dequeued, Invariant::Fencing, || format!("{request} dequeues and takes over"));
        owners.insert(now.epoch().0, request.process);
    } else if dequeued {
        let owner = owners.get(&now.epoch().0);
        world.check(owner == Some(&request.process), Invariant::Fencing, || {
            format!("{request} dequeues under epoch {} of {owner:?}", now.epoch())
        });
        let witness = world.witness();
        let acked = witness.acked.get(&request.process).into_iter().flatten();
        let through = acked.filter(|(at, _)| *at <= request.time).map(|(_, last)| last + 1).max();
        let first = now.first_sequence().0;
        drop(witness);
        world.check(through.is_some_and(|through| first <= through), Invariant::Acks, || {
            format!("{request} dequeues before {first}, acknowledged are {through:?}")
        });
    }
}

/// What the database stored is the queue, each place once; gives back how often the documented gap was met.
fn judge_rows(world: &World, history: &History) -> u64 {
    let database = world.database();
    let mut gaps = 0;
    let mut stored: BTreeMap<&str, Vec<(u64, super::database::Term)>> = BTreeMap::new();
    let mut last: Option<u64> = None;
    for row in &database.rows {
        let batch = &row.batch;
        let sequence = batch.sequence;
        let place = history.places.get(&Sequence(sequence));
        let agrees = place.is_some_and(|place| place.as_str() == batch.location);
        world.check(agrees, Invariant::Agreement, || {
            format!("{sequence} is {place:?}, and {} was delivered", batch.location)
        });
        let listed = history.listed.get(&Location::from(batch.location.as_str()));
        let same = listed.is_some_and(|listed| listed.entries == batch.entries);
        world.check(same, Invariant::NoPhantom, || {
            format!("{sequence} was delivered as other bytes")
        });
        // Between two batches that were delivered there is nothing but repeats.
        for passed in last.map_or(0, |last| last + 1)..sequence {
            let location = history.places.get(&Sequence(passed));
            let repeat = location.is_some_and(|it| stored.contains_key(it.as_str()));
            world.check(repeat, Invariant::NoLoss, || {
                format!("{passed} {location:?} was passed over")
            });
        }
        world.check(last.is_none_or(|last| last < sequence), Invariant::ExactlyOnce, || {
            format!("{sequence} was stored after {last:?}")
        });
        last = Some(sequence);
        let earlier = stored.entry(batch.location.as_str()).or_default();
        if let Some((first, term)) = earlier.last() {
            // The one documented gap: listed again in case 4, with another consumer in between.
            let listed_again = history
                .again
                .get(&Location::from(batch.location.as_str()))
                .is_some_and(|again| again.contains(&Sequence(sequence)));
            gaps += 1;
            world.check(listed_again && *term != row.term, Invariant::ExactlyOnce, || {
                format!("{} was stored as {first} and as {sequence}", batch.location)
            });
        }
        earlier.push((sequence, row.term));
    }
    for (location, listed) in &history.listed {
        let known = stored.contains_key(location.as_str());
        world.check(known, Invariant::NoLoss, || {
            format!("{location}, listed as {}, was not delivered", listed.sequence)
        });
    }
    gaps
}

/// What callers were told agrees with what was listed, and the order is theirs.
fn judge_submissions(world: &World, history: &History) {
    let witness = world.witness();
    let mut by_entry: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for (number, submitted) in witness.submitted.iter().enumerate() {
        for entry in &submitted.entries {
            by_entry.insert(entry, number);
        }
    }
    let mut violations: Vec<(Invariant, String)> = Vec::new();
    let mut at: BTreeMap<usize, (&Location, &Listed)> = BTreeMap::new();
    let mut in_order: Vec<(&Location, &Listed)> = history.listed.iter().collect();
    in_order.sort_by_key(|(_, listed)| listed.sequence);
    let mut orders: BTreeMap<ProcessId, usize> = BTreeMap::new();
    for (location, listed) in in_order {
        let mut rest = &listed.entries[..];
        while let Some(first) = rest.first() {
            let Some(&number) = by_entry.get(first) else {
                violations.push((Invariant::NoPhantom, format!("{location} holds {first:?}")));
                break;
            };
            let submitted = &witness.submitted[number];
            if !rest.starts_with(&submitted.entries) {
                violations
                    .push((Invariant::NoPhantom, format!("{number} is not whole in {location}")));
                break;
            }
            rest = &rest[submitted.entries.len()..];
            if let Some((other, _)) = at.insert(number, (location, listed)) {
                violations.push((Invariant::ExactlyOnce, format!("{number}: {other}, {location}")));
            }
            let Some((_, order, _)) = submitted.taken else {
                violations.push((Invariant::NoPhantom, format!("{number} was never taken")));
                continue;
            };
            let earlier = orders.insert(submitted.process, order);
            if earlier.is_some_and(|earlier| earlier >= order) {
                violations
                    .push((Invariant::Order, format!("{number} of {} is late", submitted.process)));
            }
        }
    }
    for (number, submitted) in witness.submitted.iter().enumerate() {
        let listed = at.get(&number);
        let wrong = match submitted.outcome {
            Some((told, Outcome::Durable)) => listed.is_none_or(|(_, it)| it.time > told),
            Some((_, Outcome::NotDelivered)) => listed.is_some(),
            Some((_, Outcome::Unknown)) | None => false,
        };
        if wrong {
            let listed = listed.map(|(location, it)| (location, it.sequence, it.time));
            let what = format!("{number} was told {:?}, listed: {listed:?}", submitted.outcome);
            violations.push((Invariant::ThreeOutcomes, what));
        }
        let alive = !world.is_crashed(submitted.process);
        if alive && submitted.taken.is_some() && submitted.outcome.is_none() {
            violations.push((Invariant::Liveness, format!("{number} has no outcome")));
        }
    }
    drop(witness);
    judge_metadata(world, &by_number(world));
    for (invariant, what) in violations {
        world.violated(invariant, what);
    }
}

/// What is known of an entry: its metadata, and the time stamped on it.
fn by_number(world: &World) -> BTreeMap<Bytes, (Bytes, i64)> {
    let witness = world.witness();
    let taken = witness.submitted.iter().filter_map(|it| Some((it, it.taken?.2)));
    taken
        .flat_map(|(it, stamp)| {
            it.entries.iter().map(move |entry| (entry.clone(), (it.metadata.clone(), stamp)))
        })
        .collect()
}

/// Each entry is delivered with the metadata that it was submitted with.
fn judge_metadata(world: &World, known: &BTreeMap<Bytes, (Bytes, i64)>) {
    let database = world.database();
    for row in &database.rows {
        for (index, entry) in row.batch.entries.iter().enumerate() {
            let Some((payload, stamp)) = known.get(entry) else { continue };
            let covers = |start: u32| usize::try_from(start).is_ok_and(|start| start <= index);
            let item = row.batch.metadata.iter().rfind(|item| covers(item.start_index));
            let fits = item
                .is_some_and(|item| item.payload == *payload && item.ingestion_time_ms == *stamp);
            world.check(fits, Invariant::NoPhantom, || format!("metadata of {entry:?}: {item:?}"));
        }
    }
}

/// I16: what producers ask is bounded by what they achieve, and by what is done to them.
fn judge_requests(world: &World, history: &History) -> u64 {
    judge_haste(world);
    let asked = world.asked();
    let by_producers = asked.iter().filter(|it| world.is_producer(it.request.process));
    let requests = by_producers.count() as u64;
    let faults = asked.iter().filter(|it| it.verdict != Verdict::Pass).count() as u64;
    let batches = history.listed.len() as u64;
    drop(asked);
    let most = batches * 5 + faults * 8 + history.epochs * 2 + 100;
    world.check(requests <= most, Invariant::BoundedRequests, || {
        format!("{requests} requests of producers for {batches} batches and {faults} faults")
    });
    requests * 10 / batches.max(1)
}

/// How many requests about the manifest one process may see fail within a second.
const FAILURES_A_SECOND: usize = 10;

/// I16: who is refused again and again waits longer and longer.
fn judge_haste(world: &World) {
    let mut failed: BTreeMap<ProcessId, Vec<Duration>> = BTreeMap::new();
    for it in world.asked().iter().filter(|it| it.request.location == manifest()) {
        let times = failed.entry(it.request.process).or_default();
        match it.verdict {
            Verdict::Fail(_) | Verdict::Throttle => times.push(it.request.time),
            // It got on, or was kept waiting.
            Verdict::Pass
            | Verdict::Delay(_)
            | Verdict::DelayReply(_)
            | Verdict::DropRequest
            | Verdict::ApplyThenLoseReply
            | Verdict::ApplyThenFail(_)
            | Verdict::ApplyThenConflict
            | Verdict::FalseConflict
            | Verdict::ApplyLate { .. }
            | Verdict::Duplicate { .. }
            | Verdict::Stale(_)
            | Verdict::StaleListing(_)
            | Verdict::Listing(_)
            | Verdict::Corrupt { .. }
            | Verdict::Truncate(_)
            | Verdict::Empty
            | Verdict::OtherBytes
            | Verdict::NotModifiedWrongly
            | Verdict::NoTimes
            | Verdict::WrongTimes(_)
            | Verdict::Partial => times.clear(),
        }
        let Some(first) = times.len().checked_sub(FAILURES_A_SECOND) else { continue };
        if it.request.time - times[first] < Duration::from_secs(1) {
            let process = it.request.process;
            world.violated(Invariant::BoundedRequests, format!("{process} tries without rest"));
            return;
        }
    }
}
