//! Consumers in front of the database, one taking over from the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::{Join, Process};
use buffer_core::Sequence;
use buffer_driver::{
    AckError, BatchDescriptor, ConsumedBatch, Consumer, ConsumerConfig, Ended, FetchError,
    InitializeError, NextError,
};
use fastrand::Rng;

use super::Invariant;
use super::database::Term;
use super::tap::Tap;
use super::world::World;
use super::{ms, secs};

/// How a caller takes batches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Next,
    Wait,
    Descriptors(usize),
}

/// A consumer and its caller.
struct Life {
    world: Arc<World>,
    process: Process,
    consumer: Consumer,
    config: ConsumerConfig,
    style: Style,
    /// Acknowledges after so many batches.
    acks_after: usize,
    /// How long the database takes at the most.
    work: Duration,
}

/// What one term has been handed.
struct Terms {
    term: Term,
    epoch: u64,
    locations: BTreeSet<String>,
    last: Option<u64>,
    to_acknowledge: Vec<u64>,
}

/// One consumer after the other; gives back those that are still alive.
pub(crate) async fn slot(world: &Arc<World>, slot: usize) -> Vec<Join<()>> {
    let mut random = world.runtime.random(&format!("consumer {slot}"));
    let mut alive = Vec::new();
    if slot > 0 && random.bool() {
        world.rest(ms(random.u64(0..5000))).await;
    }
    while world.is_unkind() {
        let life = begin(world, &mut random);
        let process = life.process.clone();
        let caller = random.fork();
        let work = process.start(async move { life.run(caller).await });
        let longest = world.plan.processes.consumer_life.as_millis();
        let longest = u64::try_from(longest).expect("it is short");
        world.rest(ms(random.u64(0..longest))).await;
        if world.plan.processes.crashes && random.bool() {
            process.crash();
        } else {
            // It goes on until another one takes over.
            alive.push(work);
        }
        world.rest(ms(random.u64(0..2000))).await;
    }
    alive
}

fn begin(world: &Arc<World>, random: &mut Rng) -> Life {
    let process = world.process("consumer");
    let config = world.plan.consumer(random);
    world.runtime.record(format_args!("{}: {config:?}", process.id()));
    world.oracles().started(process.id(), super::oracles::Role::Consumer);
    let clock = Arc::new(process.clock().clone());
    let consumer =
        Consumer::with_store(&config, Tap::new(world, &process), clock, Arc::new(process.clone()))
            .expect("the plan is valid");
    let style = match random.u32(..4) {
        0 => Style::Next,
        1 | 2 => Style::Wait,
        _ => Style::Descriptors(random.usize(1..5)),
    };
    let (acks_after, work) = (random.usize(1..6), ms([0, 3, 100][random.usize(..3)]));
    Life { world: Arc::clone(world), process, consumer, config, style, acks_after, work }
}

/// The last consumer: when all is well it gets everything that is left, and dequeues it.
pub(crate) async fn drain(world: &Arc<World>) {
    let mut random = world.runtime.random("the last consumer");
    let mut life = begin(world, &mut random);
    life.style = Style::Next;
    let world_too = Arc::clone(world);
    let drained = life.process.clone().start(async move {
        let Some(mut terms) = life.take_over().await else {
            return world_too
                .violated(Invariant::Liveness, "the last consumer could not take over");
        };
        while let Ok(Some(batch)) = life.next_batch().await {
            life.take(&mut terms, batch, &mut random).await;
        }
        life.acknowledge(&mut terms, &mut random).await;
        if let Err(error) = life.consumer.close().await {
            world_too.violated(Invariant::Liveness, format!("the last consumer: {error}"));
        }
    });
    if world.within(secs(600), drained).await.flatten().is_none() {
        world.violated(Invariant::Liveness, "the queue does not drain");
    }
}

impl Life {
    async fn run(self, mut random: Rng) {
        let mut again = true;
        while std::mem::take(&mut again) {
            let Some(mut terms) = self.take_over().await else { return };
            again = self.serve(&mut terms, &mut random).await;
        }
    }

    /// Takes over the queue and fences the database; `None` when somebody else did.
    async fn take_over(&self) -> Option<Terms> {
        let world = &self.world;
        loop {
            let last = world.database().last();
            let error = match self.consumer.initialize(last).await {
                Ok(taken) => {
                    world.oracles().initialized(self.process.id(), taken.epoch);
                    let named = self.consumer.epoch();
                    let fits = named.is_none_or(|epoch| epoch == taken.epoch);
                    world.check(fits, Invariant::Fencing, || format!("{named:?} is not {taken:?}"));
                    if !world.database().fence(taken.epoch) {
                        return None;
                    }
                    if world.database().last() != last {
                        continue;
                    }
                    let term = world.database().begin_term();
                    let id = self.process.id();
                    world.runtime.record(format_args!("{id} {term:?} {taken:?}"));
                    let (epoch, locations) = (taken.epoch, BTreeSet::new());
                    let to_acknowledge = Vec::new();
                    return Some(Terms { term, epoch, locations, last, to_acknowledge });
                }
                Err(error) => error,
            };
            let expected = match &error {
                InitializeError::BehindQueue { .. } => world.database().last() != last,
                InitializeError::AheadOfQueue { .. } => world.plan.faults.stale > 0,
                InitializeError::Ended(_) => return None,
                InitializeError::Fault(_) => true,
                InitializeError::EpochsExhausted { .. } | _ => false,
            };
            if !expected {
                world.violated(Invariant::Sequences, format!("after {last:?}: {error}"));
                return None;
            }
            world.runtime.sleep(ms(50)).await;
        }
    }

    /// Takes what comes until it is fenced; says whether to take over again in the same life.
    async fn serve(&self, terms: &mut Terms, random: &mut Rng) -> bool {
        loop {
            let batches = match self.next(random).await {
                Ok(batches) => batches,
                Err(NextError::Ended(ended)) => {
                    self.check_end(&ended);
                    return false;
                }
                Err(error) => {
                    self.check_error(&error);
                    self.world.runtime.sleep(ms(20)).await;
                    continue;
                }
            };
            for batch in batches {
                if !self.take(terms, batch, random).await {
                    return false;
                }
            }
            match random.u32(..40) {
                0 => {
                    let _told = self.consumer.flush().await;
                }
                1 if self.world.is_unkind() => return true,
                2 if self.world.is_unkind() => {
                    self.acknowledge(terms, random).await;
                    self.close().await;
                    return false;
                }
                3 => self.misbehave(terms).await,
                _ => {}
            }
        }
    }

    async fn next(&self, random: &mut Rng) -> Result<Vec<ConsumedBatch>, NextError> {
        match self.style {
            Style::Wait => Ok(vec![self.consumer.wait_batch().await?]),
            Style::Next => match self.next_batch().await? {
                Some(batch) => Ok(vec![batch]),
                None => {
                    self.world.runtime.sleep(ms(random.u64(10..500))).await;
                    Ok(Vec::new())
                }
            },
            Style::Descriptors(max) => {
                let descriptors = self.consumer.next_descriptors(max).await?;
                let mut batches = Vec::new();
                for descriptor in descriptors {
                    match self.fetch(descriptor).await {
                        Some(batch) => batches.push(batch),
                        None => return Err(Ended::Closed.into()),
                    }
                }
                if batches.is_empty() {
                    self.world.runtime.sleep(ms(random.u64(10..500))).await;
                }
                Ok(batches)
            }
        }
    }

    async fn fetch(&self, descriptor: BatchDescriptor) -> Option<ConsumedBatch> {
        let handle = self.consumer.fetch_handle();
        for _ in 0..1000 {
            match handle.fetch(descriptor.clone()).await {
                Ok(batch) => return Some(batch),
                Err(FetchError::Missing { sequence, location }) => {
                    self.check_error(&NextError::BatchMissing {
                        sequence: Sequence(sequence),
                        location: location.as_str().into(),
                    });
                }
                Err(_) => {}
            }
            self.world.runtime.sleep(ms(50)).await;
        }
        self.world.violated(Invariant::Liveness, "a batch cannot be fetched");
        None
    }

    /// The next batch; errors that pass are tried again.
    async fn next_batch(&self) -> Result<Option<ConsumedBatch>, NextError> {
        loop {
            match self.consumer.next_batch().await {
                Ok(batch) => return Ok(batch),
                Err(NextError::Ended(ended)) => return Err(ended.into()),
                Err(error) => self.check_error(&error),
            }
            self.world.runtime.sleep(ms(20)).await;
        }
    }

    fn check_error(&self, error: &NextError) {
        let faults = &self.world.plan.faults;
        let fits = match error {
            NextError::BatchMissing { .. } => faults.stale > 0,
            NextError::BatchCorrupt { .. } => faults.truncate > 0,
            NextError::BatchUnreadable { .. } | NextError::ManifestUnreadable(_) => true,
            NextError::NotInitialized | NextError::Ended(_) | _ => false,
        };
        self.world.check(fits, Invariant::DurableAck, || format!("{}: {error}", self.process.id()));
    }

    fn check_end(&self, ended: &Ended) {
        let fits = match ended {
            Ended::Fenced { epoch, by } => by > epoch,
            Ended::Manifest(_) => self.world.plan.faults.stale > 0,
            Ended::Closed | Ended::Stopped | _ => self.style != Style::Wait,
        };
        self.world.check(fits, Invariant::Sequences, || format!("{}: {ended}", self.process.id()));
    }

    /// Stores a batch with its sequence, and acknowledges; `false` when the database fenced us.
    async fn take(&self, terms: &mut Terms, batch: ConsumedBatch, random: &mut Rng) -> bool {
        let world = &self.world;
        let (sequence, location) = (batch.sequence, batch.location.clone());
        world.runtime.record(format_args!("{} got {sequence} {location}", self.process.id()));
        world.oracles().handed_out(
            self.process.id(),
            &batch,
            matches!(self.style, Style::Descriptors(_)),
        );
        world.check(terms.locations.insert(location), Invariant::NoRepeats, || {
            format!("{} was handed {} twice", self.process.id(), batch.location)
        });
        let rises = terms.last.is_none_or(|last| last < sequence);
        world.check(rises, Invariant::NoRepeats, || format!("{sequence} after {:?}", terms.last));
        terms.last = Some(sequence);
        if !self.work.is_zero() {
            world.runtime.sleep(self.work.mul_f64(random.f64())).await;
        }
        if !world.database().store(terms.epoch, terms.term, &batch) {
            return false;
        }
        world.oracles().stored(self.process.id(), &batch);
        terms.to_acknowledge.push(sequence);
        if terms.to_acknowledge.len() >= self.acks_after {
            self.acknowledge(terms, random).await;
        }
        true
    }

    async fn acknowledge(&self, terms: &mut Terms, random: &mut Rng) {
        let all = std::mem::take(&mut terms.to_acknowledge);
        let Some(last) = all.last().copied() else { return };
        let now = self.world.runtime.elapsed();
        {
            let mut witness = self.world.witness();
            witness.acked.entry(self.process.id()).or_default().push((now, last));
        }
        let result = if random.bool() {
            let result = self.consumer.ack_through(last).await;
            if !matches!(result, Err(AckError::Ended(_))) {
                self.world.oracles().acked(self.process.id(), last, true, result.is_ok());
            }
            result
        } else {
            let mut result = Ok(());
            for sequence in all {
                let told = self.consumer.ack(sequence).await;
                if !matches!(told, Err(AckError::Ended(_))) {
                    self.world.oracles().acked(self.process.id(), sequence, false, told.is_ok());
                }
                result = result.and(told);
            }
            result
        };
        if let Err(error @ AckError::Refused(_)) = result {
            self.world.violated(Invariant::Acks, format!("{}: {error}", self.process.id()));
        }
    }

    /// Acknowledges what it never got, and what it has acknowledged.
    async fn misbehave(&self, terms: &Terms) {
        let mut wrong = vec![terms.last.map_or(0, |last| last + 1), u64::MAX];
        if terms.to_acknowledge.is_empty() {
            wrong.extend(terms.last);
        }
        for sequence in wrong {
            let taken = self.consumer.ack_through(sequence).await.is_ok();
            let taken = taken || self.consumer.ack(sequence).await.is_ok();
            self.world
                .check(!taken, Invariant::Acks, || format!("{sequence} was never handed out"));
        }
    }

    async fn close(&self) {
        let limit = self.config.retry_timeout + self.config.request_timeout + secs(6);
        let closed = self.world.within(limit, self.consumer.close()).await;
        let late = closed.is_none() && !self.world.was_paused(self.process.id());
        self.world.check(!late, Invariant::Liveness, || {
            format!("close of {} took more than {limit:?}", self.process.id())
        });
    }
}
