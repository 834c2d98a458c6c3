//! Producers and their callers.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Join, Process};
use buffer_driver::{
    CompressionType, DeliveryError, DeliveryFailure, DurabilityWatcher, Producer, ProducerConfig,
    SubmitError, WriteHandle,
};
use bytes::Bytes;
use fastrand::Rng;

use super::Invariant;
use super::faults::AFTERMATH;
use super::oracles::{Role, entry};
use super::tap::Tap;
use super::world::{Outcome, Submitted, World};
use super::{ms, secs};

/// What one producer and its callers share.
struct Life {
    world: Arc<World>,
    process: Process,
    producer: Producer,
    config: ProducerConfig,
    over: AtomicBool,
    /// What has no outcome yet, and its bytes.
    held: Mutex<Vec<(DurabilityWatcher, usize)>>,
}

/// One producer after the other, until the world is kind; then the last one must do well.
pub(crate) async fn slot(world: &Arc<World>, slot: usize) {
    let mut random = world.runtime.random(&format!("producer {slot}"));
    loop {
        let life = Arc::new(begin(world, &mut random));
        let callers: Vec<Join<()>> = (0..random.usize(1..=3))
            .map(|_| {
                let (life, random) = (Arc::clone(&life), random.fork());
                life.clone().process.start(async move { life.call(random).await })
            })
            .collect();
        let counting = Arc::clone(&life);
        let _counting = life.process.start(counting.count_memory());
        let longest = world.plan.processes.producer_life.as_millis();
        let longest = u64::try_from(longest).expect("it is short");
        world.rest(ms(random.u64(0..longest))).await;
        life.over.store(true, Relaxed);
        if !world.is_unkind() {
            return life.end_well(callers).await;
        }
        match random.u32(..4) {
            0 | 1 if world.plan.processes.crashes => life.process.crash(),
            // Dropped without `close`: it delivers in the background.
            2 => drop(life),
            _ => {
                let closing = Arc::clone(&life);
                let _closed = life.process.start(async move { closing.close().await });
            }
        }
        world.rest(ms(random.u64(0..3000))).await;
    }
}

fn begin(world: &Arc<World>, random: &mut Rng) -> Life {
    let process = world.process("producer");
    let config = world.plan.producer(random);
    world.runtime.record(format_args!("{}: {config:?}", process.id()));
    let role = Role::Producer {
        limit: config.max_buffered_bytes,
        in_flight: config.max_inflight_batches,
        counts: config.batch_compression == CompressionType::None,
    };
    world.oracles().started(process.id(), role);
    let clock = Arc::new(process.clock().clone());
    let producer =
        Producer::with_store(&config, Tap::new(world, &process), clock, Arc::new(process.clone()))
            .expect("the plan is valid");
    let (world, over) = (Arc::clone(world), AtomicBool::new(false));
    Life { world, process, producer, config, over, held: Mutex::default() }
}

impl Life {
    async fn call(self: Arc<Self>, mut random: Rng) {
        let rest = self.world.plan.rest;
        while !self.over.load(Relaxed) && self.world.is_unkind() {
            for _ in 0..random.u32(1..8) {
                let cancelled = (random.u32(..10) == 0).then(|| ms(random.u64(1..2000)));
                if self.submit(&mut random, cancelled).await.is_err() {
                    return;
                }
            }
            if random.u32(..8) == 0 {
                // Its failures are those that the watchers tell of.
                let _told = self.in_time("flush", self.producer.flush()).await;
            }
            self.world.rest(rest.mul_f64(random.f64())).await;
        }
    }

    /// Submits entries that are like no others. A call that is cancelled must have done all or nothing.
    async fn submit(
        self: &Arc<Self>,
        random: &mut Rng,
        cancelled: Option<Duration>,
    ) -> Result<Option<usize>, ()> {
        let world = &self.world;
        let number = usize::try_from(world.oracles().next_submission()).expect("few");
        let largest = world.plan.largest_entry;
        let entries: Vec<Bytes> = (0..random.usize(1..=3))
            .map(|index| entry::make(number as u64, index as u32, random.usize(..largest)))
            .collect();
        let metadata = match random.u32(..3) {
            0 => Bytes::new(),
            1 => Bytes::from("shared by many"),
            _ => Bytes::from(format!("of {number}")),
        };
        world.oracles().submitted(self.process.id(), &entries, &metadata);
        world.witness().submitted.push(Submitted {
            process: self.process.id(),
            entries: entries.clone(),
            metadata: metadata.clone(),
            taken: None,
            outcome: None,
        });
        let call = self.producer.produce(entries, metadata);
        let result = match cancelled {
            Some(after) => world.within(after, call).await,
            None => Some(call.await),
        };
        match result {
            None => Ok(None),
            Some(Ok(handle)) => {
                self.taken(number, handle);
                Ok(Some(number))
            }
            Some(Err(SubmitError::Manifest { error, .. })) => {
                // A store that answers from the past again and again is believed in the end.
                let stale = world.plan.faults.stale > 0;
                world.check(stale, Invariant::Sequences, || format!("refused: {error}"));
                Err(())
            }
            Some(Err(SubmitError::Closed(_))) => {
                let over = self.over.load(Relaxed);
                world.check(over, Invariant::Liveness, || "closed before its time".to_owned());
                Err(())
            }
            Some(Err(error)) => {
                world.violated(Invariant::Liveness, format!("refused: {error}"));
                Err(())
            }
        }
    }

    fn taken(self: &Arc<Self>, number: usize, handle: WriteHandle) {
        let world = &self.world;
        let now = world.runtime.elapsed();
        {
            let mut witness = world.witness();
            let order = witness.taken.entry(self.process.id()).or_default();
            let before = *order;
            *order += 1;
            witness.submitted[number].taken = Some((now, before, handle.ingestion_time_ms));
            world.oracles().taken(number as u64, before as u64, handle.ingestion_time_ms);
        }
        let payload = world.witness().submitted[number].entries.iter().map(Bytes::len).sum();
        self.held().push((handle.watcher.clone(), payload));
        self.check_memory();
        world.runtime.record(format_args!("{} took {number}", self.process.id()));
        let life = Arc::clone(self);
        let _watching = self.process.start(async move {
            let result = handle.watcher.await_durable().await;
            life.settled(number, now, result);
        });
    }

    fn held(&self) -> MutexGuard<'_, Vec<(DurabilityWatcher, usize)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_memory(&self) {
        let limit = self.config.max_buffered_bytes;
        let told = self.producer.stats().buffered_bytes;
        self.world.check(told <= limit, Invariant::BoundedMemory, || {
            format!("{} holds {told} of {limit}", self.process.id())
        });
    }

    /// Counts from outside what is held, at moments at which nothing else happens.
    async fn count_memory(self: Arc<Self>) {
        while !self.over.load(Relaxed) {
            self.world.runtime.sleep(Duration::from_micros(37_037)).await;
            self.held().retain(|(watcher, _)| watcher.result().is_none());
            let held: usize = self.held().iter().map(|(_, bytes)| bytes).sum();
            // Compressed, what is held is less than what was handed over.
            let counts = self.config.batch_compression == CompressionType::None
                && !self.world.was_paused(self.process.id());
            let limit = self.config.max_buffered_bytes;
            self.world.check(!counts || held <= limit, Invariant::BoundedMemory, || {
                format!("{} holds {held} of {limit}, by count", self.process.id())
            });
        }
    }

    fn settled(&self, number: usize, taken: Duration, result: Result<(), DeliveryError>) {
        let world = &self.world;
        world.runtime.record(format_args!("{} settled {number}: {result:?}", self.process.id()));
        let now = world.runtime.elapsed();
        let outcome = match &result {
            Ok(()) => Outcome::Durable,
            Err(DeliveryError::NotDelivered(_)) => Outcome::NotDelivered,
            Err(_) => Outcome::Unknown,
        };
        if let Err(error) = &result {
            let faults = &world.plan.faults;
            let fits = match error.failure() {
                DeliveryFailure::Manifest(_) => faults.stale > 0,
                DeliveryFailure::Store(_) => faults.denied > 0,
                DeliveryFailure::Corrupt(_) => faults.truncate > 0,
                DeliveryFailure::TimedOut { .. } | DeliveryFailure::Overtaken { .. } => true,
                DeliveryFailure::Encode(_) | DeliveryFailure::Stopped | _ => false,
            };
            world.check(fits, Invariant::ThreeOutcomes, || format!("{number}: {error}"));
        }
        world.witness().submitted[number].outcome = Some((now, outcome));
        world.oracles().settled(number as u64, outcome);
        let told = self.producer.stats().buffered_bytes;
        world.oracles().weigh(self.process.id(), told, now);
        let limit = self.patience();
        let late = now - taken > limit && !world.was_paused(self.process.id());
        world.check(!late, Invariant::Liveness, || {
            format!("{number} took {:?} of {limit:?}", now - taken)
        });
    }

    /// How long a submission may go without an outcome: `delivery_timeout` counts from when its
    /// batch is due, and a swap that is out by then is waited for.
    fn patience(&self) -> Duration {
        let due = self.config.flush_interval;
        due + self.config.delivery_timeout + self.config.request_timeout + ms(100)
    }

    async fn in_time<T>(&self, what: &str, future: impl Future<Output = T>) -> Option<T> {
        let limit = self.patience();
        let result = self.world.within(limit, future).await;
        let late = result.is_none() && !self.world.was_paused(self.process.id());
        self.world.check(!late, Invariant::Liveness, || {
            format!("{what} of {} took more than {limit:?}", self.process.id())
        });
        result
    }

    async fn close(&self) {
        let _told = self.in_time("close", self.producer.close()).await;
    }

    /// Nothing goes wrong any more: what was taken is settled, and what is submitted now is durable.
    async fn end_well(self: Arc<Self>, callers: Vec<Join<()>>) {
        let world = &self.world;
        world.runtime.sleep(AFTERMATH).await;
        for caller in callers {
            if world.within(secs(60), caller).await.is_none() {
                world.violated(
                    Invariant::Liveness,
                    format!("a call to {} hangs", self.process.id()),
                );
            }
        }
        for seed in 0..3 {
            let mut random = Rng::with_seed(seed);
            let Ok(number) = self.submit(&mut random, None).await else { continue };
            let number = number.expect("it was not cancelled");
            world.runtime.sleep(self.config.delivery_timeout).await;
            let outcome = world.witness().submitted[number].outcome;
            let durable = matches!(outcome, Some((_, Outcome::Durable)));
            // Others are in the way for up to four seconds after a conflict.
            let hurried = self.config.delivery_timeout < secs(12);
            world.check(
                durable || hurried || world.plan.faults.stale > 0,
                Invariant::Liveness,
                || format!("{number} was submitted when all was well: {outcome:?}"),
            );
        }
        self.close().await;
        let open = world.witness().submitted.iter().position(|it| {
            it.process == self.process.id() && it.taken.is_some() && it.outcome.is_none()
        });
        if let Some(number) = open {
            world.violated(Invariant::Liveness, format!("{number} has no outcome"));
        }
    }
}
