//! Consumers in front of the database, one taking over from the other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Remark;
use crate::{Join, Process};
use buffer_core::Sequence;
use buffer_driver::{
    AckError, BatchDescriptor, ConsumedBatch, Consumer, ConsumerConfig, Ended, FetchError,
    InitializeError, NextError, Resume,
};

use futures_lite::future;

use super::doom::Doom;
use super::kinds::Trouble;
use super::oracles::Role;
use super::tap::Tap;
use super::world::World;
use super::{Invariant, Random, configs, ms, secs};
use crate::Kind;

/// A consumer's life that goes on until another one takes over.
pub(crate) type Alive = Join<()>;

/// How often a batch must be found missing before its caller goes past it.
const PATIENCE: u32 = 5;

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
struct Term {
    epoch: u64,
    last: Option<u64>,
    to_acknowledge: Vec<u64>,
    /// The batch that could not be had, and how often.
    missing: Option<(u64, u32)>,
}

/// From the beginning of a take-over to its end, or to the end of its process.
struct TakingOver<'a>(&'a World);

impl<'a> TakingOver<'a> {
    fn begin(world: &'a World) -> Self {
        world.begins_to_take_over();
        Self(world)
    }
}

impl Drop for TakingOver<'_> {
    fn drop(&mut self) {
        self.0.ends_to_take_over();
    }
}

/// One consumer after the other; gives back those that are still alive.
pub(crate) async fn slot(world: &Arc<World>, slot: usize) -> Vec<Alive> {
    let mut random = world.fork("consumer");
    let mut alive = Vec::new();
    if world.plan.consumer_stopped {
        world.active("consumer-stopped");
        world.rest(world.plan.unkind).await;
        return alive;
    }
    if slot > 0 && !world.plan.processes.racing_consumers {
        world.rest(ms(random.of("comes after").u64(0..5000))).await;
    }
    while world.is_unkind() {
        let life = begin(world, &mut random);
        let process = life.process.clone();
        let caller = random.fork("caller");
        let work = process.start(async move { life.run(caller).await });
        let longest = world.plan.processes.consumer_life.as_millis();
        let longest = u64::try_from(longest).expect("it is short");
        world.rest(ms(random.of("lives for").usually(longest).u64(0..longest))).await;
        // Some are not replaced at once: whoever wakes up is alone with its queue.
        if world.is_held(process.id()) && random.of("is not replaced").u32(..4) > 0 {
            while world.is_held(process.id()) && world.is_unkind() {
                world.rest(ms(500)).await;
            }
            world.rest(secs(5)).await;
        }
        if world.is_crashed(process.id()) {
            // It met its fate at one of its requests.
        } else if world.plan.processes.crash_consumers > 0
            && world.is_unkind()
            && random.of("crashes at last").bool()
        {
            world.crash(&process);
        } else {
            alive.push(work);
        }
        let pause = if world.plan.processes.crash_loops { 200 } else { 2000 };
        world.rest(ms(random.of("the next comes after").usually(pause).u64(0..pause))).await;
    }
    alive
}

fn begin(world: &Arc<World>, random: &mut Random) -> Life {
    let mut config = world.plan.consumer(random);
    let role =
        Role::Consumer { prefetch: config.prefetch_batches, gc_interval: config.gc_interval };
    let process = world.process("consumer", role);
    configs::mislead(world, random, &mut config);
    world.runtime.record(format_args!("{}: {config:?}", process.id()));
    let clock = Arc::new(process.clock().clone());
    let doom = if world.is_unkind() { Doom::draw(&world.plan, false, random) } else { None };
    let tap = Tap::new(world, &process, doom);
    let consumer = Consumer::with_store(&config, tap, clock, Arc::new(process.clone()))
        .expect("the plan is valid");
    let style = match random.of("style").usually(1).u32(..4) {
        0 => Style::Next,
        1 | 2 => Style::Wait,
        _ => Style::Descriptors(random.of("how many").usize(1..5)),
    };
    let acks_after = random.of("acknowledges after").usize(1..6);
    let work = ms([0, 3, 100][random.of("work").usize(..3)]);
    let work = work.max(world.plan.work);
    let acks_after = acks_after.max(world.plan.acks_in_a_row);
    Life { world: Arc::clone(world), process, consumer, config, style, acks_after, work }
}

/// The last consumer: when all is well it gets everything that is left, and dequeues it.
pub(crate) async fn drain(world: &Arc<World>) {
    let mut random = world.fork("the last consumer");
    if world.queue_was_changed() {
        world.database().forget_epoch();
    }
    let mut life = begin(world, &mut random);
    life.style = Style::Next;
    let world_too = Arc::clone(world);
    let drained = life.process.clone().start(async move {
        world_too.the_collector_meets_an_error(random.of("denied listings").u32(..3));
        let Some(mut term) = life.take_over().await else {
            return world_too
                .violated(Invariant::Liveness, "the last consumer could not take over");
        };
        while let Ok(Some(batch)) = life.next_batch(&mut term).await {
            life.take(&mut term, batch, &mut random).await;
        }
        life.acknowledge(&mut term, &mut random).await;
        if world_too.plan.collects_to_the_end() {
            life.collect_what_is_left(&mut term, &mut random).await;
        }
        if let Err(error) = life.consumer.close().await {
            world_too.violated(Invariant::Liveness, format!("the last consumer: {error}"));
        }
    });
    if world.within(secs(900), drained).await.flatten().is_none() {
        world.violated(Invariant::Liveness, "the queue does not drain");
    }
}

impl Life {
    async fn run(self, mut random: Random) {
        if self.world.plan.processes.misbehaves
            && self.world.is_unkind()
            && random.of("closes at once").usually(1).u32(..8) == 0
        {
            self.world.active("closed-while-taking-over");
            let resume = Resume { last: self.world.database().last(), ..Resume::default() };
            let now = self.world.runtime.elapsed();
            self.world.oracles().resumes(self.process.id(), resume.last, now);
            let taking_over = self.consumer.initialize_with(resume);
            let _both = future::zip(taking_over, self.close()).await;
            return;
        }
        let mut again = true;
        while std::mem::take(&mut again) {
            let Some(mut term) = self.take_over().await else { return };
            if self.config.manifest_path != super::MANIFEST {
                return self.look_about().await;
            }
            again = self.serve(&mut term, &mut random).await;
        }
    }

    /// At the wrong path there is nothing to consume; its collector has its time all the same.
    async fn look_about(&self) {
        self.world.rest(self.world.plan.unkind).await;
        self.close().await;
    }

    /// Takes over the queue and fences the database; `None` when somebody else did.
    async fn take_over(&self) -> Option<Term> {
        let world = &self.world;
        let is_lost = self.config.manifest_path != super::MANIFEST;
        loop {
            let last = if is_lost { None } else { world.database().last() };
            let over = world.queue_was_changed();
            let resume = Resume { last, accept_gap: over, accept_reset: over };
            world.oracles().resumes(self.process.id(), last, world.runtime.elapsed());
            let taking_over = TakingOver::begin(world);
            let result = self.consumer.initialize_with(resume).await;
            drop(taking_over);
            let error = match result {
                Ok(taken) => {
                    let named = self.consumer.epoch();
                    let fits = named.is_none_or(|epoch| epoch == taken.epoch);
                    world.check(fits, Invariant::Fencing, || format!("{named:?} is not {taken:?}"));
                    let term = Term {
                        epoch: taken.epoch,
                        last,
                        to_acknowledge: Vec::new(),
                        missing: None,
                    };
                    if is_lost {
                        return Some(term);
                    }
                    world.oracles().initialized(self.process.id(), taken.epoch);
                    if !world.database().fence(taken.epoch) {
                        return None;
                    }
                    if world.database().last() != last {
                        continue;
                    }
                    world.took_over(self.process.id());
                    self.say(format_args!("{taken:?} after {last:?}"));
                    return Some(term);
                }
                Err(error) => error,
            };
            let expected = match &error {
                InitializeError::BehindQueue { .. } => {
                    world.database().last() != last || world.is_forgiving()
                }
                InitializeError::AheadOfQueue { .. } => self.may_see_the_past(),
                InitializeError::Ended(_) => return None,
                InitializeError::Fault(_) => true,
                InitializeError::EpochsExhausted { .. } | _ => false,
            };
            if !expected {
                world.violated(Invariant::Sequences, format!("after {last:?}: {error}"));
                return None;
            }
            // Nobody asks a store that says no ten times a second.
            world.runtime.sleep(ms(500)).await;
        }
    }

    /// Whether the store answers from the past, so that what is there looks lost.
    fn may_see_the_past(&self) -> bool {
        let plan = &self.world.plan;
        plan.has(Trouble::Stale, Kind::ReadManifest)
            || plan.has(Trouble::WrongNotModified, Kind::ReadManifest)
            || self.world.is_forgiving()
    }

    /// Takes what comes until it is fenced; says whether to take over again in the same life.
    async fn serve(&self, term: &mut Term, random: &mut Random) -> bool {
        loop {
            let batches = match self.next(term, random).await {
                Ok(batches) => batches,
                Err(NextError::Ended(ended)) => {
                    self.check_end(&ended);
                    return false;
                }
                Err(error) => {
                    self.go_past(term, &error).await;
                    self.world.runtime.sleep(ms(300)).await;
                    continue;
                }
            };
            for batch in batches {
                if !self.take(term, batch, random).await {
                    return false;
                }
            }
            let unkind = self.world.is_unkind();
            match random.of("whim").usually(u64::MAX).u32(..self.world.plan.whims) {
                0 | 7..=9 => {
                    let _told = self.dropping("flush", random, self.consumer.flush()).await;
                }
                1 if unkind => return true,
                2 if unkind => {
                    self.acknowledge(term, random).await;
                    self.close().await;
                    return false;
                }
                3..=5 if self.world.plan.processes.misbehaves => self.misbehave(term).await,
                // Whoever takes descriptors fetches by himself.
                6 if unkind && !matches!(self.style, Style::Descriptors(_)) => {
                    let goes_on = self.call_twice(term, random).await;
                    if !goes_on {
                        return false;
                    }
                }
                _ => {}
            }
        }
    }

    /// Waits for a future, or drops it, as some callers do.
    async fn dropping<T>(
        &self,
        what: &str,
        random: &mut Random,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let cancels = self.world.plan.processes.cancels;
        if cancels == 0
            || !self.world.is_unkind()
            || random.of("drops a future").usually(1).u32(..cancels) > 0
        {
            return Some(future.await);
        }
        let after = ms(random.of("drops it after").u64(1..300));
        let result = self.world.within(after, future).await;
        if result.is_none() {
            self.world.active(match what {
                "flush" => "dropped-future/flush",
                _ => "dropped-future/next",
            });
        }
        result
    }

    async fn next(
        &self,
        term: &mut Term,
        random: &mut Random,
    ) -> Result<Vec<ConsumedBatch>, NextError> {
        match self.style {
            Style::Wait => {
                let waited = self.dropping("wait", random, self.consumer.wait_batch()).await;
                waited.transpose().map(|batch| batch.into_iter().collect())
            }
            Style::Next => match self.next_batch(term).await? {
                Some(batch) => Ok(vec![batch]),
                None => {
                    self.world.runtime.sleep(self.rest(random)).await;
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
                    self.world.runtime.sleep(self.rest(random)).await;
                }
                Ok(batches)
            }
        }
    }

    /// How long its caller waits when there is nothing. Once all is well nobody is in a hurry.
    fn rest(&self, random: &mut Random) -> Duration {
        let most = if self.world.is_unkind() { 1000 } else { 8000 };
        ms(random.of("rest").usually(most).u64(50..most))
    }

    async fn fetch(&self, descriptor: BatchDescriptor) -> Option<ConsumedBatch> {
        let handle = self.consumer.fetch_handle();
        let mut tries = 0;
        while tries < 200 {
            // Somebody may have been denied everything until a moment ago.
            tries = if self.world.is_unkind() { 0 } else { tries + 1 };
            match handle.fetch(descriptor.clone()).await {
                Ok(batch) => return Some(batch),
                // Whoever was fenced may find that it was collected; a fetch handle knows nothing of epochs.
                Err(FetchError::Missing { .. }) if !self.is_newest() => return None,
                Err(FetchError::Missing { sequence, location }) => {
                    if self.world.is_forgiving() {
                        return None;
                    }
                    self.check_error(&NextError::BatchMissing {
                        sequence: Sequence(sequence),
                        location: location.as_str().into(),
                    });
                }
                Err(_) => {}
            }
            self.world.runtime.sleep(ms(300)).await;
        }
        self.world.violated(Invariant::Liveness, "a batch cannot be fetched");
        None
    }

    fn say(&self, text: fmt::Arguments<'_>) {
        self.world.runtime.remark(self.process.id(), Remark::Application, text);
    }

    fn is_newest(&self) -> bool {
        self.world.newest() == Some(self.process.id())
    }

    /// The next batch; errors that pass are tried again.
    async fn next_batch(&self, term: &mut Term) -> Result<Option<ConsumedBatch>, NextError> {
        loop {
            match self.consumer.next_batch().await {
                Ok(batch) => return Ok(batch),
                Err(NextError::Ended(ended)) => return Err(ended.into()),
                Err(error) => self.go_past(term, &error).await,
            }
            self.world.runtime.sleep(ms(300)).await;
        }
    }

    /// Judges an error. A batch that stays away is gone past, where that can be anybody's fault but ours.
    async fn go_past(&self, term: &mut Term, error: &NextError) {
        self.check_error(error);
        let (NextError::BatchMissing { sequence, .. } | NextError::BatchCorrupt { sequence, .. }) =
            error
        else {
            return;
        };
        let sequence = sequence.0;
        let before = term.missing.filter(|(missing, _)| *missing == sequence);
        let times = before.map_or(0, |(_, times)| times) + 1;
        term.missing = Some((sequence, times));
        if times >= PATIENCE && self.world.is_forgiving() {
            self.world.oracles().skipped(sequence);
            let _told = self.consumer.skip(sequence).await;
        }
    }

    fn check_error(&self, error: &NextError) {
        let plan = &self.world.plan;
        let forgiving = self.world.is_forgiving();
        let fits = match error {
            NextError::BatchMissing { .. } => {
                plan.has(Trouble::Stale, Kind::ReadBatch) || self.may_see_the_past()
            }
            NextError::BatchCorrupt { .. } => {
                let troubles =
                    [Trouble::Truncate, Trouble::Corrupt, Trouble::Empty, Trouble::OtherBytes];
                let damaged = troubles.iter().any(|it| plan.has(*it, Kind::ReadBatch));
                damaged || plan.faults.false_bytes > 0 || forgiving
            }
            NextError::BatchUnreadable { .. } | NextError::ManifestUnreadable(_) => true,
            NextError::NotInitialized | NextError::Ended(_) | _ => false,
        };
        self.world.check(fits, Invariant::DurableAck, || format!("{}: {error}", self.process.id()));
    }

    fn check_end(&self, ended: &Ended) {
        let fits = match ended {
            Ended::Fenced { epoch, by } => by > epoch,
            Ended::Manifest(_) => self.may_see_the_past(),
            Ended::Closed | Ended::Stopped | _ => self.style != Style::Wait,
        };
        self.world.check(fits, Invariant::Sequences, || format!("{}: {ended}", self.process.id()));
    }

    /// Stores a batch with its sequence, and acknowledges; `false` when the database fenced us.
    async fn take(&self, term: &mut Term, batch: ConsumedBatch, random: &mut Random) -> bool {
        let fetched = matches!(self.style, Style::Descriptors(_));
        self.take_one(term, batch, fetched, random).await
    }

    async fn take_one(
        &self,
        term: &mut Term,
        batch: ConsumedBatch,
        fetched: bool,
        random: &mut Random,
    ) -> bool {
        let world = &self.world;
        let sequence = batch.sequence;
        self.say(format_args!("got {sequence} {}", batch.location));
        let now = world.runtime.elapsed();
        world.oracles().handed_out(self.process.id(), &batch, fetched, now);
        term.last = Some(sequence);
        // Once all is well the database keeps up.
        if !self.work.is_zero() && (world.is_unkind() || !world.plan.is_long()) {
            world.runtime.sleep(self.work.mul_f64(random.f64())).await;
        }
        if !world.database().store(term.epoch, sequence) {
            return false;
        }
        world.oracles().stored(self.process.id(), &batch);
        term.to_acknowledge.push(sequence);
        if term.to_acknowledge.len() >= self.acks_after {
            self.acknowledge(term, random).await;
        }
        true
    }

    async fn acknowledge(&self, term: &mut Term, random: &mut Random) {
        let all = std::mem::take(&mut term.to_acknowledge);
        let Some(last) = all.last().copied() else { return };
        let at_once = match self.world.plan.is_long() {
            true => random.of("all at once").usually(1).u32(..8) == 0,
            false => random.of("all at once").bool(),
        };
        if at_once {
            let told = self.consumer.ack_through(last).await;
            self.acked(last, true, &told);
        } else {
            for sequence in all {
                // Who is in no hurry lets each of them be dequeued by itself.
                if self.world.plan.is_long() && self.world.is_unkind() {
                    let rest = self.world.plan.ack_rest.mul_f64(random.f64());
                    self.world.runtime.sleep(rest).await;
                }
                let told = self.consumer.ack(sequence).await;
                self.acked(sequence, false, &told);
            }
        }
    }

    fn acked(&self, sequence: u64, through: bool, told: &Result<(), AckError>) {
        let up_to = if through { "up to " } else { "" };
        match told {
            Ok(()) => self.world.runtime.depict(
                self.process.id(),
                Remark::Application,
                format_args!("acknowledged {up_to}{sequence}"),
            ),
            Err(error) => self.say(format_args!("acknowledged {up_to}{sequence}: {error:?}")),
        }
        if !matches!(told, Err(AckError::Ended(_))) {
            self.world.oracles().acked(self.process.id(), sequence, through, told.is_ok());
        }
    }

    /// Two calls wait for batches at the same time: each batch goes to one of them.
    async fn call_twice(&self, term: &mut Term, random: &mut Random) -> bool {
        self.world.active("calls-race");
        let both = future::zip(self.consumer.next_batch(), self.consumer.next_batch()).await;
        let mut batches: Vec<_> = [both.0, both.1].into_iter().flatten().flatten().collect();
        batches.sort_by_key(|batch| batch.sequence);
        for batch in batches {
            // The first one may have waited for the second, and fencing been seen in between.
            if !self.take_one(term, batch, true, random).await {
                return false;
            }
        }
        true
    }

    /// Acknowledges what it never got, what it has acknowledged, and what comes later.
    async fn misbehave(&self, term: &Term) {
        let mut wrong = vec![
            ("ack-of-nothing", term.last.map_or(0, |last| last + 1)),
            ("ack-of-nothing", u64::MAX),
        ];
        if let Some(last) = term.last
            && term.to_acknowledge.is_empty()
        {
            wrong.push(("ack-twice", last));
        }
        for (fault, sequence) in wrong {
            let told = self.consumer.ack_through(sequence).await;
            self.acked(sequence, true, &told);
            let told = self.consumer.ack(sequence).await;
            self.acked(sequence, false, &told);
            self.world.active(fault);
        }
        let skipped = self.consumer.skip(u64::MAX).await;
        self.world.check(skipped.is_err(), Invariant::Acks, || "skipped what is not next".into());
        if let [_, .., last] = term.to_acknowledge[..] {
            let told = self.consumer.ack(last).await;
            self.acked(last, false, &told);
            self.world.active("ack-out-of-order");
        }
    }

    async fn close(&self) {
        // Swaps and reads are given up each by a time of its own, one after the other.
        let limit = self.config.retry_timeout * 2
            + self.config.request_timeout
            + secs(6)
            + self.world.plan.lateness();
        let closed = self.world.within(limit, self.consumer.close()).await;
        let late = closed.is_none() && !self.world.was_disturbed(self.process.id());
        self.world.check(!late, Invariant::Liveness, || {
            format!("close of {} took more than {limit:?}", self.process.id())
        });
    }

    /// Until the collector has had its time. It needs a manifest that is younger than what is to go.
    async fn collect_what_is_left(&self, term: &mut Term, random: &mut Random) {
        let plan = &self.world.plan;
        self.world.runtime.sleep(plan.grace + secs(2)).await;
        super::producers::touch(&self.world).await;
        while let Ok(Some(batch)) = self.next_batch(term).await {
            self.take(term, batch, random).await;
        }
        self.acknowledge(term, random).await;
        let _told = self.consumer.flush().await;
        self.world.runtime.sleep(plan.gc_interval * 3 + secs(30)).await;
    }
}
