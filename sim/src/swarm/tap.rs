//! A process's way to the store, tapped: what it decided to write, and when by its own clocks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Process, SimStore};
use buffer_core::format::Manifest;
use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Sequence, UnixMillis, Version,
    WriteOutcome,
};
use buffer_driver::{BoxFuture, Store, StoreFailure};

use super::Invariant;
use super::oracles::Asked;
use super::plan::GRACE;
use super::world::World;

/// What one process has uploaded and listed, by both of its clocks.
#[derive(Default)]
struct Sent {
    uploads: BTreeMap<Location, (Duration, UnixMillis)>,
    swaps: Vec<(Condition, Vec<u8>)>,
}

pub(crate) struct Tap {
    store: SimStore,
    world: Arc<World>,
    process: Process,
    sent: Mutex<Sent>,
}

impl Tap {
    pub(crate) fn new(world: &Arc<World>, process: &Process) -> Arc<Self> {
        Arc::new(Self {
            store: world.store.clone(),
            world: Arc::clone(world),
            process: process.clone(),
            sent: Mutex::default(),
        })
    }

    /// Young or not at all: each batch that a new swap lists was uploaded
    /// less than half of the grace period ago. The same swap may be sent again at any age.
    fn note(&self, location: &Location, payload: &Rope, condition: &Condition) {
        let now = (self.world.runtime.elapsed(), self.process.clock().unix_millis());
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if location.as_str().ends_with(".batch") {
            sent.uploads.entry(location.clone()).or_insert(now);
            return;
        }
        let bytes = payload.concat();
        if sent.swaps.iter().any(|(on, before)| on == condition && *before == bytes) {
            return;
        }
        sent.swaps.push((condition.clone(), bytes.clone()));
        let manifest = Manifest::parse(location, bytes.into()).expect("what is sent is a manifest");
        let old: Vec<_> = manifest
            .locations_from(Sequence(0))
            .filter_map(|(sequence, location)| {
                let (at, wall) = sent.uploads.get(&location)?;
                let age = (now.0 - *at).max(now.1.saturating_since(*wall));
                (age >= GRACE / 2).then_some((sequence, location, age))
            })
            .collect();
        // A swap that was decided before a pause is sent after it.
        if old.is_empty() || self.world.was_paused(self.process.id()) {
            return;
        }
        let listed_before = self.next_sequence_of(condition, location);
        for (sequence, location, age) in old {
            if sequence >= listed_before {
                let what = format!("{sequence} {location} is listed {age:?} after its upload");
                self.world.violated(Invariant::SafeCollection, what);
            }
        }
    }

    fn next_sequence_of(&self, condition: &Condition, location: &Location) -> Sequence {
        let Condition::Version(version) = condition else { return Sequence(0) };
        let log = self.world.store.log();
        let base = log.into_iter().find(|it| it.version == *version && it.location == *location);
        let bytes = base.expect("the version was read").bytes;
        Manifest::parse(location, bytes).expect("it was stored").next_sequence()
    }
}

/// Tells when a request came to its end, also when it was given up.
struct Guard<'a> {
    tap: &'a Tap,
    asked: Asked,
    location: Location,
    failed: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let world = &self.tap.world;
        let now = world.runtime.elapsed();
        let id = self.tap.process.id();
        world.oracles().answered(id, self.asked, &self.location, self.failed, now);
    }
}

impl Store for Tap {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        let location = location.clone();
        Box::pin(async move {
            self.note(&location, &payload, &condition);
            let asked =
                if location.as_str().ends_with(".batch") { Asked::Put } else { Asked::Swap };
            let mut guard = Guard { tap: self, asked, location: location.clone(), failed: true };
            let result = self.store.write(&location, payload, condition).await;
            guard.failed = result.is_err();
            result
        })
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        let location = location.clone();
        Box::pin(async move {
            let batch = location.as_str().ends_with(".batch");
            let asked = if batch { Asked::ReadBatch } else { Asked::ReadManifest };
            let mut guard = Guard { tap: self, asked, location: location.clone(), failed: true };
            let result = self.store.read(&location, unless).await;
            guard.failed = result.is_err();
            if let (Ok(ReadOutcome::Found(object)), false) = (&result, batch) {
                self.world.oracles().shown(self.process.id(), &object.bytes);
            }
            result
        })
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        self.store.list(prefix, after)
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        self.store.delete(locations)
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
