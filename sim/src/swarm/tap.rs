//! A process's way to the store, tapped: what it decided to write, by its own clocks, and what befalls it there.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Kind, Process, SimStore};
use buffer_core::format::Manifest;
use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Sequence, UnixMillis, Version,
    WriteOutcome,
};
use buffer_driver::{Runtime as _, Store as _, StoreClient, StoreFailure};
use bytes::Bytes;

use super::doom::{Doom, Fate, When};
use super::fault_plan::DRAWS;
use super::oracles::raw;
use super::world::World;
use super::{Invariant, Random, damage, ms};

/// How many states of the manifest are remembered by their versions.
const REMEMBERED: usize = 4;

/// What one process has uploaded and read, by both of its clocks.
struct Sent {
    uploads: BTreeMap<Location, (Duration, UnixMillis)>,
    /// Which sequence came next in which version of the manifest.
    known: VecDeque<(Version, Sequence)>,
    last_swap: Option<(Condition, Rope)>,
    /// The last batches that were sent, by the bytes that they begin with, and their names.
    batches: VecDeque<(Bytes, Location)>,
    doom: Option<Doom>,
    random: Random,
}

pub(crate) struct Tap {
    store: SimStore,
    world: Arc<World>,
    process: Process,
    sent: Mutex<Sent>,
}

impl Tap {
    pub(crate) fn new(world: &Arc<World>, process: &Process, doom: Option<Doom>) -> Arc<Self> {
        let sent = Sent {
            uploads: BTreeMap::new(),
            known: VecDeque::new(),
            last_swap: None,
            batches: VecDeque::new(),
            doom,
            random: world.fork("tap"),
        };
        Arc::new(Self {
            store: world.store.clone(),
            world: Arc::clone(world),
            process: process.clone(),
            sent: Mutex::new(sent),
        })
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn suffer(&self, fate: Fate, kind: Kind) {
        match fate {
            Fate::Crash => {
                self.world.crash(&self.process);
                pending().await
            }
            Fate::Pause(duration) => {
                self.world.pause(&self.process, duration, kind);
                // It goes on in its own time.
                futures_lite::future::yield_now().await;
            }
        }
    }

    /// The term of what is asked now.
    fn term(&self) -> u64 {
        let now = self.world.runtime.elapsed();
        self.world.oracles().terms(self.process.id(), now)
    }

    /// Takes note of a state of the manifest.
    fn know(&self, version: &Version, next: Sequence) {
        let mut sent = self.sent();
        sent.known.push_back((version.clone(), next));
        if sent.known.len() > REMEMBERED {
            sent.known.pop_front();
        }
    }

    /// Young or not at all: each batch that a new swap lists was uploaded
    /// less than half of the grace period ago. The same swap may be sent again at any age.
    fn note(&self, location: &Location, payload: &Rope, condition: &Condition) {
        let elapsed = self.world.runtime.elapsed();
        // By its own clocks: what neither of them counts it cannot know.
        let now = (self.process.monotonic().since_origin(), self.process.clock().unix_millis());
        let mut sent = self.sent();
        if location.as_str().ends_with(".batch") {
            sent.uploads.entry(location.clone()).or_insert(now);
            let Some(begin) = payload.first() else { return };
            // The same bytes at the same place: kept, so that nothing else can be there.
            let is_same = |(bytes, _): &(Bytes, Location)| {
                (bytes.as_ptr(), bytes.len()) == (begin.as_ptr(), begin.len())
            };
            let earlier = sent.batches.iter().position(is_same);
            let earlier = earlier.and_then(|index| sent.batches.remove(index));
            sent.batches.push_back((begin.clone(), location.clone()));
            if sent.batches.len() > 32 {
                sent.batches.pop_front();
            }
            drop(sent);
            if let Some((_, earlier)) = earlier {
                self.world.oracles().uploads_again(self.process.id(), &earlier, elapsed);
            }
            return;
        }
        // Consumers list nothing.
        if sent.uploads.is_empty() {
            return;
        }
        if sent.last_swap.as_ref().is_some_and(|(on, before)| on == condition && before == payload)
        {
            return;
        }
        let base = match condition {
            Condition::Absent => Sequence(0),
            Condition::Version(version) => {
                let known = sent.known.iter().rev().find(|(known, _)| known == version);
                let Some((_, next)) = known else { return };
                *next
            }
        };
        sent.last_swap = Some((condition.clone(), payload.clone()));
        let Some(added) = entries_from(payload, base) else { return };
        let half_grace = self.world.plan.grace / 2;
        let mut old = None;
        for (sequence, location) in added {
            let Some((at, wall)) = sent.uploads.get(&location) else { continue };
            let age = (now.0 - *at).max(now.1.saturating_since(*wall));
            // A moment passes between the decision and this.
            if age >= half_grace + ms(500) {
                old = Some((sequence, location, age));
            }
        }
        // What is this old is over, or is listed again as something else.
        let forgotten = now.0.saturating_sub(self.world.plan.grace * 2);
        if sent.uploads.len() > 256 {
            sent.uploads.retain(|_, (at, _)| *at >= forgotten);
        }
        drop(sent);
        // A swap that was decided before a pause is sent after it, and a clock may jump in between.
        if let Some((sequence, location, age)) = old
            && !self.world.was_just_disturbed(self.process.id())
        {
            let what = format!("{sequence} {location} is listed {age:?} after its upload");
            self.world.violated(Invariant::SafeCollection, what);
        }
    }

    /// Whether the store tells a time that it cannot mean.
    fn tells_wrong_times(&self) -> bool {
        let wrong = self.world.plan.wrong_times
            && self.world.is_unkind()
            && self.sent().random.of("impossible time").usually(1).u32(..6) == 0;
        if wrong {
            self.world.active("impossible-time");
        }
        wrong
    }

    /// What a process is shown of a manifest or of a batch.
    fn show(&self, kind: Kind, location: &Location, term: u64, outcome: &mut ReadOutcome) {
        if kind == Kind::ReadManifest {
            let is_missing = *outcome == ReadOutcome::Missing;
            self.world.oracles().shown_missing(self.process.id(), term, is_missing);
        }
        let ReadOutcome::Found(object) = outcome else { return };
        let chance = self.world.plan.faults.false_bytes;
        let is_drawn = || {
            let mut sent = self.sent();
            let which = kind as u64;
            sent.random.of_one("false bytes", which).usually(u64::MAX).u32(..DRAWS) < chance
        };
        if chance > 0 && self.world.is_unkind() && is_drawn() {
            let is_manifest = kind == Kind::ReadManifest;
            let (bytes, fault) = damage::show(&object.bytes, is_manifest, &mut self.sent().random);
            self.world.active(fault);
            object.bytes = bytes;
            if is_manifest {
                self.world.oracles().shown_damaged(self.process.id());
            } else {
                self.world.oracles().read_damaged(location);
            }
            return;
        }
        if kind == Kind::ReadManifest && self.tells_wrong_times() {
            object.last_modified = Some(FAR_AHEAD);
        }
        if kind != Kind::ReadManifest {
            return;
        }
        let damages = self.world.plan.damages_manifests();
        if damages && Manifest::parse(location, object.bytes.clone()).is_err() {
            return;
        }
        if let Some(next) = next_sequence(&object.bytes) {
            self.know(&object.version, next);
        }
        let now = self.world.runtime.elapsed();
        self.world.oracles().shown(self.process.id(), term, &object.bytes, now);
    }
}

/// The entries from a sequence on, in a manifest as it is sent. Its pieces begin and end between
/// entries, and the last is the footer: most of a long manifest need not be looked at.
fn entries_from(payload: &Rope, base: Sequence) -> Option<Vec<(Sequence, Location)>> {
    let (_, pieces) = payload.split_last()?;
    let mut found = Vec::new();
    for piece in pieces.iter().rev() {
        let entries = raw::entries(piece.clone())?;
        let first = entries.first()?.sequence;
        for entry in entries.iter().rev().filter(|entry| entry.sequence >= base.0) {
            let location = std::str::from_utf8(&entry.location).ok()?;
            found.push((Sequence(entry.sequence), Location::from(location)));
        }
        if first <= base.0 {
            break;
        }
    }
    Some(found)
}

/// A time that no store can mean.
const FAR_AHEAD: UnixMillis = UnixMillis(16_725_225_600_000);

/// The next sequence by a manifest's footer; see FORMAT, "Queue manifest".
fn next_sequence(bytes: &[u8]) -> Option<Sequence> {
    let footer = bytes.get(bytes.len().checked_sub(22)?..)?;
    let next = footer.get(4..12)?.try_into().ok()?;
    Some(Sequence(u64::from_le_bytes(next)))
}

/// Tells when a request came to its end, also when it was given up.
struct Asking<'a> {
    tap: &'a Tap,
    kind: Kind,
    location: &'a Location,
    failed: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let world = &self.tap.world;
        let now = world.runtime.elapsed();
        let id = self.tap.process.id();
        world.oracles().answered(id, self.kind, self.location, self.failed, now);
    }
}

impl Tap {
    /// One request, from its sending to its answer, and what befalls its sender on the way.
    async fn ask<T>(
        &self,
        kind: Kind,
        location: &Location,
        request: impl Future<Output = T>,
        failed: impl FnOnce(&T) -> bool,
    ) -> T {
        let mut asking = Asking { tap: self, kind, location, failed: true };
        let doom = self.strike(kind);
        let answer = match doom {
            Some(Doom { when: When::Sent, fate, .. }) => {
                let mut request = std::pin::pin!(request);
                let at_once = futures_lite::future::poll_once(&mut request).await;
                self.suffer(fate, kind).await;
                match at_once {
                    Some(answer) => answer,
                    None => request.await,
                }
            }
            Some(Doom { when: When::Answered, fate, .. }) => {
                let answer = request.await;
                // The answer may have taken until all is well.
                if self.world.is_unkind() {
                    self.suffer(fate, kind).await;
                }
                answer
            }
            None => request.await,
        };
        asking.failed = failed(&answer);
        if asking.failed && self.world.plan.is_slow() {
            self.world.oracles().refused();
        }
        answer
    }

    fn strike(&self, kind: Kind) -> Option<Doom> {
        if !self.world.is_unkind() {
            return None;
        }
        let mut sent = self.sent();
        let strikes = sent.doom.as_mut().is_some_and(|doom| doom.strikes(kind));
        if strikes { sent.doom.take() } else { None }
    }
}

impl StoreClient for Tap {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.note(&location, &payload, &condition);
        let is_batch = location.as_str().ends_with(".batch");
        let kind = if is_batch { Kind::Put } else { Kind::Swap };
        let next = if is_batch { None } else { next_written(&payload) };
        let term = self.term();
        let request = self.store.write(&location, payload, condition);
        let result = self.ask(kind, &location, request, Result::is_err).await;
        let (id, now) = (self.process.id(), self.world.runtime.elapsed());
        match &result {
            Ok(WriteOutcome::Stored(_)) if is_batch => {
                self.world.oracles().knows_stored(&location);
            }
            Ok(WriteOutcome::Stored(version)) => {
                if let Some(next) = next {
                    self.know(version, next);
                    self.world.oracles().knows_written(id, term);
                }
            }
            Ok(WriteOutcome::Conflict) if is_batch => self.world.oracles().was_refused(id),
            Ok(WriteOutcome::Conflict) => self.world.oracles().met_conflict(id, now),
            Err(_) => {}
        }
        result
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        let is_batch = location.as_str().ends_with(".batch");
        let kind = if is_batch { Kind::ReadBatch } else { Kind::ReadManifest };
        let term = self.term();
        let request = self.store.read(&location, unless);
        let mut result = self.ask(kind, &location, request, Result::is_err).await;
        if let Ok(outcome) = &mut result {
            self.show(kind, &location, term, outcome);
        }
        result
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        let begins = after.is_none();
        let term = self.term();
        let request = self.store.list(&prefix, after);
        let mut listed = self.ask(Kind::List, &prefix, request, Result::is_err).await;
        if let Ok(page) = &mut listed {
            if begins && !self.world.was_just_disturbed(self.process.id()) {
                let now = self.world.runtime.elapsed();
                self.world.oracles().listed_anew(self.process.id(), term, now);
            }
            if self.tells_wrong_times() {
                let far_back = self.sent().random.of("far back").bool();
                for object in &mut page.objects {
                    // That of no object, or one long after the manifest that lists it.
                    let later = |told: UnixMillis| UnixMillis(told.0 + 3_600_000);
                    object.last_modified = match far_back {
                        true => Some(UnixMillis(0)),
                        false => object.last_modified.map(later),
                    };
                }
            }
        }
        listed
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        let first = locations.first().cloned().unwrap_or_else(super::manifest);
        let request = self.store.delete(locations);
        let failed = |results: &Vec<Result<(), StoreFailure>>| results.iter().any(Result::is_err);
        self.ask(Kind::Delete, &first, request, failed).await
    }
}

/// The next sequence of a manifest that is about to be written.
fn next_written(payload: &Rope) -> Option<Sequence> {
    match payload.last() {
        Some(last) if last.len() >= 22 => next_sequence(last),
        Some(_) | None => next_sequence(&payload.concat()),
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tap({})", self.process.id())
    }
}

impl fmt::Display for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}
