//! Producers and their callers.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::event::Remark;
use crate::{Join, Kind, Process};
use buffer_driver::{
    CompressionType, DeliveryError, DeliveryFailure, Producer, ProducerConfig, Runtime as _,
    SubmitError, WriteHandle,
};
use bytes::Bytes;

use super::doom::Doom;
use super::fault_plan::Spell;
use super::faults::AFTERMATH;
use super::kinds::Trouble;
use super::oracles::{Outcome, Role, entry};
use super::tap::Tap;
use super::world::{World, locked};
use super::{Invariant, Random, ms, secs};

/// How many entries must be durable in a world before it counts.
const ENTRIES: u64 = 24;

/// What one producer and its callers share.
struct Life {
    world: Arc<World>,
    process: Process,
    producer: Producer,
    config: ProducerConfig,
    over: AtomicBool,
    /// How many submissions were taken.
    taken: AtomicU64,
    /// How many of them have no outcome yet.
    open: AtomicU64,
    failures: Mutex<Failures>,
}

/// What a flush has to tell of.
#[derive(Default)]
struct Failures {
    /// The submissions that failed, by their place among those of the producer.
    of: Vec<u64>,
    /// Up to which of them an earlier flush told, or had nothing to tell.
    told: u64,
}

/// One producer after the other, until the world is kind; then the last one must do well.
pub(crate) async fn slot(world: &Arc<World>) {
    let mut random = world.fork("producer");
    loop {
        let life = Arc::new(begin(world, &mut random));
        let most = if world.plan.is_crowded() { 1 } else { 3 };
        let callers: Vec<Join<()>> = (0..random.of("callers").usize(1..=most))
            .map(|_| {
                let (life, random) = (Arc::clone(&life), random.fork("caller"));
                life.clone().process.start(async move { life.call(random).await })
            })
            .collect();
        let longest = world.plan.processes.producer_life.as_millis();
        let longest = u64::try_from(longest).expect("it is short");
        let lasts = match world.plan.is_crowded() {
            true => world.plan.unkind,
            false => ms(random.of("lives for").usually(longest).u64(0..longest)),
        };
        world.rest(lasts).await;
        life.over.store(true, Relaxed);
        if !world.is_unkind() && !world.is_crashed(life.process.id()) {
            return life.end_well(callers, &mut random).await;
        }
        let crashes = world.plan.processes.crash_producers > 0;
        match random.of("ends how").usually(3).u32(..4) {
            _ if world.is_crashed(life.process.id()) => {}
            0 | 1 if crashes => world.crash(&life.process),
            // Dropped without `close`: it delivers in the background.
            2 => {
                world.active("dropped-producer");
                drop(life);
            }
            _ => {
                let closing = Arc::clone(&life);
                let _closed = life.process.start(async move { closing.close().await });
            }
        }
        let pause = if world.plan.processes.crash_loops { 200 } else { 3000 };
        world.rest(ms(random.of("the next comes after").usually(pause).u64(0..pause))).await;
    }
}

fn begin(world: &Arc<World>, random: &mut Random) -> Life {
    let config = world.plan.producer(random);
    let role = Role::Producer {
        limit: config.max_buffered_bytes,
        in_flight: config.max_inflight_batches,
        counts: config.batch_compression == CompressionType::None,
    };
    let process = world.process("producer", role);
    world.runtime.record(format_args!("{}: {config:?}", process.id()));
    let clock = Arc::new(process.clock().clone());
    let doom = if world.is_unkind() { Doom::draw(&world.plan, true, random) } else { None };
    let tap = Tap::new(world, &process, doom);
    let producer = Producer::with_store(&config, tap, clock, Arc::new(process.clone()))
        .expect("the plan is valid");
    let (world, over) = (Arc::clone(world), AtomicBool::new(false));
    let (taken, open) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::default();
    Life { world, process, producer, config, over, taken, open, failures }
}

/// One more submission of a new producer, so that the manifest changes.
pub(crate) async fn touch(world: &Arc<World>) {
    let mut random = world.fork("touch");
    for _ in 0..5 {
        let life = Arc::new(begin(world, &mut random));
        let Ok(Some(number)) = life.submit(&mut random, None).await else { continue };
        life.close().await;
        // Its watcher is told in the same moment, and runs before or after this.
        world.runtime.sleep(ms(1)).await;
        if world.oracles().outcome(number) == Some(Outcome::Durable) {
            return;
        }
    }
    world.violated(Invariant::Liveness, "a submission of a new producer is not durable");
}

impl Life {
    async fn call(self: Arc<Self>, mut random: Random) {
        let rest = self.world.plan.rest;
        let cancels = self.world.plan.processes.cancels;
        while !self.over.load(Relaxed) && self.world.is_unkind() {
            for _ in 0..random.of("burst").u32(1..=self.world.plan.burst) {
                let is_cancelled =
                    cancels > 0 && random.of("drops a call").usually(1).u32(..cancels) == 0;
                let cancelled = is_cancelled.then(|| ms(random.of("drops it after").u64(1..500)));
                if self.submit(&mut random, cancelled).await.is_err() {
                    return;
                }
            }
            if random.of("flushes").usually(1).u32(..8) == 0 {
                // Its failures are those that the watchers tell of.
                let flush = self.in_time("flush", self.flush());
                if cancels > 0 && random.of("drops a flush").usually(1).u32(..4) == 0 {
                    let after = ms(random.of("drops it after").u64(1..500));
                    let told = self.world.within(after, flush).await;
                    if told.is_none() {
                        self.world.active("dropped-future/producer-flush");
                    }
                } else {
                    let _told = flush.await;
                }
            }
            // Applications look at what is not consumed yet: a backlog without end is nobody's.
            self.world.until_listed_fewer(self.world.plan.most_listed).await;
            if rest.is_zero() {
                // Callers that never rest still make way for a moment now and then.
                self.world.rest(ms(1)).await;
            } else {
                self.world.rest(rest.mul_f64(random.of("rest").f64())).await;
            }
        }
    }

    /// A flush that says that all is well hides nothing: no submission before it failed of which no flush told.
    async fn flush(&self) {
        let (before, told) = (self.taken.load(Relaxed), locked(&self.failures).told);
        let result = self.producer.flush().await;
        {
            let mut failures = locked(&self.failures);
            failures.told = failures.told.max(before);
        }
        // Watchers are told in the same moment; they run in the next.
        self.world.runtime.sleep(ms(1)).await;
        let failures = locked(&self.failures).of.clone();
        let hidden = failures.into_iter().find(|failed| (told..before).contains(failed));
        if let (Ok(()), Some(failed)) = (result, hidden) {
            let what = format!("a flush of {} is silent of the {failed}th", self.process.id());
            self.world.violated(Invariant::ThreeOutcomes, what);
        }
    }

    /// Submits entries that are like no others. A call that is cancelled must have done all or nothing.
    async fn submit(
        self: &Arc<Self>,
        random: &mut Random,
        cancelled: Option<Duration>,
    ) -> Result<Option<u64>, ()> {
        let world = &self.world;
        let largest = world.plan.largest_entry;
        let (number, entries, metadata) = {
            let mut oracles = world.oracles();
            let number = oracles.next_submission();
            let entries = random.of("entries").u32(1..=world.plan.most_entries);
            let fillers: Vec<usize> =
                (0..entries).map(|_| random.of("length").usize(..largest)).collect();
            let entries = entry::make_all(number, &fillers);
            let metadata = match random.of("metadata").u32(..3) {
                0 => Bytes::new(),
                1 => Bytes::from_static(b"shared by many"),
                _ => Bytes::copy_from_slice(&number.to_be_bytes()),
            };
            oracles.submitted(self.process.id(), &entries, &metadata);
            (number, entries, metadata)
        };
        let began = world.runtime.elapsed();
        let call = self.producer.produce(entries, metadata);
        let result = match cancelled {
            Some(after) => world.within(after, call).await,
            None => Some(call.await),
        };
        if world.runtime.elapsed() > began {
            world.active("producer-faster-than-store");
        }
        let Some(result) = result else {
            world.active("dropped-future/produce");
            return Ok(None);
        };
        match result {
            Ok(handle) => {
                self.take(number, handle);
                Ok(Some(number))
            }
            Err(SubmitError::Manifest { error, .. }) => {
                // A store that answers from the past again and again is believed in the end.
                let fits = self.may_see_the_past();
                world.check(fits, Invariant::Sequences, || format!("refused: {error}"));
                Err(())
            }
            Err(SubmitError::Closed(_)) => {
                let over = self.over.load(Relaxed);
                world.check(over, Invariant::Liveness, || "closed before its time".to_owned());
                Err(())
            }
            Err(error) => {
                world.violated(Invariant::Liveness, format!("refused: {error}"));
                Err(())
            }
        }
    }

    fn may_see_the_past(&self) -> bool {
        let plan = &self.world.plan;
        plan.has(Trouble::Stale, Kind::ReadManifest)
            || plan.has(Trouble::WrongNotModified, Kind::ReadManifest)
            || self.world.is_forgiving()
    }

    fn take(self: &Arc<Self>, number: u64, handle: WriteHandle) {
        let world = &self.world;
        let now = world.runtime.elapsed();
        let order = self.taken.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        world.oracles().taken(number, order, handle.ingestion_time_ms);
        self.weigh();
        let (id, text) = (self.process.id(), format_args!("took {number}"));
        world.runtime.remark(id, Remark::Application, text);
        let life = Arc::clone(self);
        // Nobody waits for this task.
        self.process.spawn(Box::pin(async move {
            let result = handle.watcher.await_durable().await;
            life.settled(number, order, now, result);
        }));
    }

    fn weigh(&self) {
        let told = self.producer.stats().buffered_bytes;
        let (id, now) = (self.process.id(), self.world.runtime.elapsed());
        let paused = || self.world.was_just_disturbed(id);
        self.world.oracles().weigh(id, told, paused, now);
    }

    fn settled(&self, number: u64, order: u64, taken: Duration, result: Result<(), DeliveryError>) {
        let world = &self.world;
        let (id, text) = (self.process.id(), format_args!("settled {number}: {result:?}"));
        world.runtime.remark(id, Remark::Application, text);
        self.open.fetch_sub(1, Relaxed);
        let now = world.runtime.elapsed();
        let outcome = match &result {
            Ok(()) => Outcome::Durable,
            Err(DeliveryError::NotDelivered(_)) => Outcome::NotDelivered,
            Err(_) => Outcome::Unknown,
        };
        world.oracles().settled(number, outcome);
        if let Err(error) = &result {
            locked(&self.failures).of.push(order);
            self.check_failure(number, error);
        }
        self.weigh();
        let limit = self.patience();
        let late = now - taken > limit && !world.was_disturbed(self.process.id());
        world.check(!late, Invariant::Liveness, || {
            format!("{number} took {:?} of {limit:?}", now - taken)
        });
    }

    /// A caller is told of nothing that was not there.
    fn check_failure(&self, number: u64, error: &DeliveryError) {
        let plan = &self.world.plan;
        let fits = match error.failure() {
            DeliveryFailure::Manifest(_) => self.may_see_the_past(),
            DeliveryFailure::Store(_) => {
                let spells = [
                    Spell::CredentialsExpire,
                    Spell::DeniedForEver,
                    Spell::BucketGone,
                    Spell::StoreFull,
                ];
                let denied = Kind::ALL.iter().any(|kind| plan.has(Trouble::Denied, *kind));
                // "Not modified" to who named no version is not to be believed either.
                let wrong = plan.has(Trouble::WrongNotModified, Kind::ReadManifest);
                denied || wrong || spells.iter().any(|spell| plan.has_spell(*spell))
            }
            DeliveryFailure::Corrupt(_) => {
                let troubles = [Trouble::Truncate, Trouble::Corrupt, Trouble::Empty];
                let damaged = troubles.iter().any(|it| plan.has(*it, Kind::ReadManifest));
                damaged || plan.faults.false_bytes > 0 || self.world.is_forgiving()
            }
            DeliveryFailure::TimedOut { .. } | DeliveryFailure::Overtaken { .. } => true,
            DeliveryFailure::TooOld { .. } => {
                plan.clocks.leap() || plan.has_spell(Spell::BlindProducer)
            }
            DeliveryFailure::Encode(_) => self.world.is_forgiving(),
            DeliveryFailure::Stopped | _ => false,
        };
        self.world.check(fits, Invariant::ThreeOutcomes, || format!("{number}: {error}"));
    }

    /// How long a submission may go without an outcome: `delivery_timeout` counts from when its
    /// batch is due, and a swap that is out by then is waited for.
    fn patience(&self) -> Duration {
        let due = self.config.flush_interval;
        let late = self.world.plan.lateness();
        due + self.config.delivery_timeout + self.config.request_timeout + late
    }

    async fn in_time<T>(&self, what: &str, future: impl Future<Output = T>) -> Option<T> {
        let limit = self.patience();
        let result = self.world.within(limit, future).await;
        let late = result.is_none() && !self.world.was_disturbed(self.process.id());
        self.world.check(!late, Invariant::Liveness, || {
            format!("{what} of {} took more than {limit:?}", self.process.id())
        });
        result
    }

    async fn close(&self) {
        self.over.store(true, Relaxed);
        let before = self.taken.load(Relaxed);
        let close = async {
            let result = self.producer.close().await;
            // What this tells of, no flush tells of again.
            let mut failures = locked(&self.failures);
            failures.told = failures.told.max(before);
            result
        };
        let _told = self.in_time("close", close).await;
    }

    /// Nothing goes wrong any more: what was taken is settled, and what is submitted now is durable.
    async fn end_well(self: Arc<Self>, callers: Vec<Join<()>>, random: &mut Random) {
        let world = &self.world;
        world.runtime.sleep(AFTERMATH).await;
        // Who still sleeps has batches that are over, and what is submitted now would be among them.
        while world.is_held(self.process.id()) {
            world.runtime.sleep(secs(1)).await;
        }
        for caller in callers {
            if world.within(world.plan.grace + secs(60), caller).await.is_none() {
                world.violated(
                    Invariant::Liveness,
                    format!("a call to {} hangs", self.process.id()),
                );
            }
        }
        if world.plan.is_crowded() && self.producer.stats().conflicts > 0 {
            world.active("thousand-producers-at-once");
        }
        let mut numbers = Vec::new();
        let least = if world.plan.is_crowded() { 1 } else { 3 };
        while numbers.len() < least
            || (numbers.len() < 20 && world.oracles().totals().durable_entries < ENTRIES)
        {
            match self.submit(random, None).await {
                Ok(number) => numbers.push(number.expect("it was not cancelled")),
                Err(()) => break,
            }
        }
        world.runtime.sleep(self.config.delivery_timeout + world.plan.lateness()).await;
        // Others are in the way for up to four seconds after a conflict.
        let hurried = self.config.delivery_timeout < secs(12) || world.plan.is_crowded();
        let excused = hurried || self.may_see_the_past() || world.plan.is_slow();
        for number in numbers {
            let outcome = world.oracles().outcome(number);
            let durable = outcome == Some(Outcome::Durable);
            world.check(durable || excused, Invariant::Liveness, || {
                format!("{number} was submitted when all was well: {outcome:?}")
            });
        }
        self.close().await;
        // Its watchers are told in the same moment; they run in the next.
        world.runtime.sleep(ms(1)).await;
        let open = self.open.load(Relaxed);
        if open > 0 && !world.is_crashed(self.process.id()) {
            world.violated(
                Invariant::Liveness,
                format!("{open} submissions to {} have no outcome", self.process.id()),
            );
        }
    }
}
