//! One run: the machines, the store, and what is on its way between them.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use buffer_core::format::Codec;
use buffer_core::{
    CallMark, Command, Consumer, ConsumerEvent, Ended, Epoch, Instant, Location, Machine, Next,
    NextError, Now, Output, Producer, ProducerEvent, Resume, Sequence, StoreError, StoreErrorKind,
    StoreOperation, Submission, UnixMillis, WriteOutcome,
};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::Limits;
use super::application::{Application, Broken, By};
use super::config::{consumer_config, producer_config};
use super::objects::{Content, Objects, manifest_location};
use super::request::{Answer, Effect, Request, Slip, digest_of_answer, digest_of_effect};

enum Role {
    Producer(Box<Producer>),
    Consumer(Box<Consumer>, Caller),
    Gone,
}

/// Who calls a consumer, and has the database.
struct Caller {
    /// What the database had last when it took over.
    resumed: Option<Sequence>,
    /// The call that it waits for.
    waiting: Option<CallMark>,
}

struct Actor {
    role: Role,
    deadline: Option<Instant>,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A request about the manifest takes effect.
    Apply(usize),
    /// Its answer arrives.
    Answer(usize),
    /// Any other request takes effect and is answered.
    Do(usize),
    /// Its sender gives it up; whether it has taken effect, or will, is for the store.
    TimeOut(usize),
    /// The client has sent it twice, and says of the second what is a conflict with the first.
    OwnConflict(usize),
    /// Another consumer takes over.
    TakeOver,
    /// A process ends; a consumer's database starts another.
    Crash(usize),
    /// Time passes until somebody has something to do.
    Tick,
}

pub(super) struct World {
    now: Duration,
    limits: Limits,
    objects: Objects,
    actors: Vec<Actor>,
    requests: Vec<Request>,
    application: Application,
    codec: Codec,
    seeds: u64,
    consumers: usize,
}

/// Wall-clock time when a run begins.
const START: i64 = 1_700_000_000_000;

impl World {
    pub(super) fn new(limits: Limits) -> Result<Self, Broken> {
        let mut world = Self {
            now: Duration::ZERO,
            limits,
            objects: Objects::default(),
            actors: Vec::new(),
            requests: Vec::new(),
            application: Application::default(),
            codec: Codec::new(),
            seeds: 0,
            consumers: 0,
        };
        for number in 0..limits.producers {
            let now = world.now();
            let mut producer = Producer::new(producer_config(), world.seed()).expect("it is valid");
            for batch in 0..limits.batches {
                let content = u8::try_from(number << 4 | batch).expect("they are few");
                let entries = vec![Bytes::copy_from_slice(&[content])];
                producer
                    .submit(now, Submission { entries, metadata: Bytes::new() })
                    .expect("there is room");
                producer.flush(now);
            }
            let role = Role::Producer(Box::new(producer));
            world.actors.push(Actor { role, deadline: None });
            world.drain(number)?;
        }
        world.start_consumer()?;
        Ok(world)
    }

    fn seed(&mut self) -> u64 {
        self.seeds += 1;
        self.seeds
    }

    fn now(&self) -> Now {
        let millis = i64::try_from(self.now.as_millis()).expect("runs are short");
        Now { monotonic: Instant::from_origin(self.now), wall: UnixMillis(START + millis) }
    }

    fn start_consumer(&mut self) -> Result<(), Broken> {
        let now = self.now();
        let mut consumer = Consumer::new(consumer_config(), self.seed()).expect("it is valid");
        let resumed = self.application.last();
        consumer.initialize(now, Resume::after(resumed)).expect("it has not ended");
        let role = Role::Consumer(Box::new(consumer), Caller { resumed, waiting: None });
        self.actors.push(Actor { role, deadline: None });
        self.consumers += 1;
        self.drain(self.actors.len() - 1)
    }

    /// What has to be tried now. The order is the same whenever the state is.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let first = self.goes_first();
        for (number, request) in self.requests.iter().enumerate() {
            if first.is_some_and(|first| request.actor != first || request.slip.is_none()) {
                continue;
            }
            let is_of_manifest =
                matches!(request.effect, Some(Effect::Swap { .. } | Effect::ReadManifest { .. }));
            match (&request.effect, &request.slip) {
                (Some(_), Some(_)) if !is_of_manifest => steps.push(Step::Do(number)),
                (Some(_), _) => steps.push(Step::Apply(number)),
                (None, _) => steps.push(Step::Answer(number)),
            }
            if self.limits.faults > 0 && request.slip.is_some() {
                steps.push(Step::TimeOut(number));
                if let Some(Answer::Write(WriteOutcome::Stored(_))) = request.answer {
                    steps.push(Step::OwnConflict(number));
                }
            }
        }
        if let Some(first) = first {
            if self.limits.crashes > 0 {
                steps.push(Step::Crash(first));
            }
            return steps;
        }
        let is_quiet = !self.requests.iter().any(|request| request.slip.is_some());
        if self.limits.take_overs > 0 {
            steps.push(Step::TakeOver);
        }
        if self.limits.crashes > 0 {
            let living = (0..self.actors.len())
                .filter(|actor| !matches!(self.actors[*actor].role, Role::Gone));
            steps.extend(living.map(Step::Crash));
        }
        let may_hurry = is_quiet || self.limits.hurries > 0;
        if self.limits.ticks > 0 && may_hurry && self.next_deadline().is_some() {
            steps.push(Step::Tick);
        }
        steps
    }

    /// Who makes its next step before all others, because that makes no difference to any of them: all
    /// that it waits for has taken effect, and what it learns concerns nobody else.
    ///
    /// Until that step nothing depends on it and it on nothing: the answers are what they are, whatever others
    /// do to the store meanwhile, and time does not pass while somebody waits, if it is in no haste.
    /// So each order of steps leads to where one leads that begins with it.
    fn goes_first(&self) -> Option<usize> {
        let is_unhurried = self.limits.hurries == 0;
        (0..self.actors.len()).find(|actor| {
            let waits =
                || self.requests.iter().filter(|it| it.actor == *actor && it.slip.is_some());
            is_unhurried
                && waits().next().is_some()
                && waits().all(|it| it.effect.is_none() && !self.concerns_database(it))
        })
    }

    /// Whether what an answer leads to depends on the database, or changes it: consumers share one.
    fn concerns_database(&self, request: &Request) -> bool {
        match &self.actors[request.actor].role {
            Role::Producer(_) | Role::Gone => false,
            // Who takes its place resumes from there; who has taken over stores what it gets.
            Role::Consumer(consumer, _) => {
                let takes_over =
                    matches!(request.answer, Some(Answer::Write(WriteOutcome::Stored(_))));
                self.limits.crashes > 0 || consumer.epoch().is_some() || takes_over
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.actors.iter().filter_map(|actor| actor.deadline).min()
    }

    pub(super) fn take(&mut self, step: Step) -> Result<(), Broken> {
        match step {
            Step::Apply(number) => self.apply(number),
            Step::Answer(number) => self.answer(number),
            Step::Do(number) => {
                self.apply(number)?;
                self.answer(number)
            }
            Step::TimeOut(number) => {
                self.limits.faults -= 1;
                let request = &mut self.requests[number];
                let (actor, slip) = (request.actor, request.slip.take());
                if !request.writes() {
                    self.requests.remove(number);
                }
                let slip = slip.expect("somebody waits");
                self.complete(actor, slip, Err(StoreErrorKind::TimedOut))
            }
            Step::OwnConflict(number) => {
                self.limits.faults -= 1;
                self.requests[number].answer = Some(Answer::Write(WriteOutcome::Conflict));
                self.answer(number)
            }
            Step::TakeOver => {
                self.limits.take_overs -= 1;
                self.start_consumer()
            }
            Step::Crash(actor) => {
                self.limits.crashes -= 1;
                self.end(actor);
                match actor < self.first_consumer() {
                    true => Ok(()),
                    false => self.start_consumer(),
                }
            }
            Step::Tick => self.tick(),
        }
    }

    /// Producers come first.
    fn first_consumer(&self) -> usize {
        self.actors.len() - self.consumers
    }

    /// What was sent and has not taken effect still may.
    fn end(&mut self, actor: usize) {
        self.actors[actor] = Actor { role: Role::Gone, deadline: None };
        for request in self.requests.iter_mut().filter(|request| request.actor == actor) {
            request.slip = None;
        }
        self.requests.retain(|request| request.slip.is_some() || request.writes());
    }

    fn tick(&mut self) -> Result<(), Broken> {
        if self.requests.iter().any(|request| request.slip.is_some()) {
            self.limits.hurries -= 1;
        }
        self.limits.ticks -= 1;
        let deadline = self.next_deadline().expect("there is one");
        self.now = self.now.max(deadline.since_origin());
        let now = self.now();
        for number in 0..self.actors.len() {
            if self.actors[number].deadline.is_some_and(|deadline| deadline <= now.monotonic) {
                match &mut self.actors[number].role {
                    Role::Producer(producer) => producer.handle_timeout(now),
                    Role::Consumer(consumer, _) => consumer.handle_timeout(now),
                    Role::Gone => {}
                }
                self.drain(number)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, number: usize) -> Result<(), Broken> {
        let now = self.now().wall;
        let request = &mut self.requests[number];
        let by = match request.actor + self.consumers < self.actors.len() {
            true => By::Producer,
            false => By::Consumer(request.actor),
        };
        let effect = request.effect.take().expect("it has not taken effect");
        let objects = &mut self.objects;
        let answer = match effect {
            Effect::Put { location, payload } => {
                Answer::Write(objects.put(&mut self.codec, &location, &payload, now))
            }
            Effect::Swap { condition, payload } => {
                let before = objects.manifest();
                let outcome = objects.swap(&condition, &payload, now);
                if matches!(outcome, WriteOutcome::Stored(_)) {
                    let after = objects.manifest();
                    self.application.swapped(&before, &after, objects, by)?;
                }
                Answer::Write(outcome)
            }
            Effect::ReadManifest { unless } => Answer::Read(objects.read_manifest(unless.as_ref())),
            Effect::ReadBatch { location } => Answer::Read(objects.read_batch(&location)),
            Effect::List { after } => Answer::List(objects.list(after.as_ref())),
            Effect::Delete { locations } => {
                for location in &locations {
                    self.application.deleted(location, objects)?;
                    objects.delete(location);
                }
                Answer::Deleted
            }
        };
        request.digest = digest_of_answer(request.digest, &answer, objects);
        match request.slip {
            Some(_) => request.answer = Some(answer),
            None => drop(self.requests.remove(number)),
        }
        Ok(())
    }

    fn answer(&mut self, number: usize) -> Result<(), Broken> {
        let Request { actor, slip, answer, .. } = self.requests.remove(number);
        let slip = slip.expect("somebody waits");
        self.complete(actor, slip, Ok(answer.expect("it has taken effect")))
    }

    fn complete(
        &mut self,
        actor: usize,
        slip: Slip,
        answer: Result<Answer, StoreErrorKind>,
    ) -> Result<(), Broken> {
        let failed = |kind, operation, location| StoreError::new(kind, operation, location);
        let completion = match (slip, answer) {
            (Slip::Write(ticket, ..), Ok(Answer::Write(outcome))) => ticket.complete(Ok(outcome)),
            (Slip::Read(ticket, ..), Ok(Answer::Read(outcome))) => ticket.complete(Ok(outcome)),
            (Slip::List(ticket), Ok(Answer::List(page))) => ticket.complete(Ok(page)),
            (Slip::Delete(ticket, keys), Ok(Answer::Deleted)) => {
                ticket.complete((0..keys).map(|_| Ok(())).collect())
            }
            (Slip::Write(ticket, operation, location), Err(kind)) => {
                ticket.complete(Err(failed(kind, operation, location)))
            }
            (Slip::Read(ticket, operation, location), Err(kind)) => {
                ticket.complete(Err(failed(kind, operation, location)))
            }
            (Slip::List(ticket), Err(kind)) => {
                let prefix = Location::from("ingest");
                ticket.complete(Err(failed(kind, StoreOperation::ListBatches, prefix)))
            }
            (Slip::Delete(ticket, keys), Err(kind)) => {
                let prefix = Location::from("ingest");
                let error = || failed(kind, StoreOperation::DeleteBatch, prefix.clone());
                ticket.complete((0..keys).map(|_| Err(error())).collect())
            }
            (slip, Ok(answer)) => unreachable!("{answer:?} is no answer to {slip:?}"),
        };
        let now = self.now();
        match &mut self.actors[actor].role {
            Role::Producer(producer) => producer.handle_completion(now, completion),
            Role::Consumer(consumer, _) => consumer.handle_completion(now, completion),
            Role::Gone => unreachable!("nobody waits for it"),
        }
        self.drain(actor)
    }

    fn drain(&mut self, actor: usize) -> Result<(), Broken> {
        match &self.actors[actor].role {
            Role::Producer(_) => self.drain_producer(actor),
            Role::Consumer(..) => self.drain_consumer(actor),
            Role::Gone => Ok(()),
        }
    }

    fn drain_producer(&mut self, actor: usize) -> Result<(), Broken> {
        loop {
            let now = self.now();
            let Role::Producer(producer) = &mut self.actors[actor].role else { return Ok(()) };
            match producer.poll() {
                Output::Command(Command::Encode(encode)) => {
                    let completion = encode.run(&mut self.codec);
                    producer.handle_completion(now, completion);
                }
                Output::Command(command) => self.send(actor, command),
                Output::Event(ProducerEvent::Settled { batch, outcome }) => {
                    let content = (actor as u64) << 4 | batch.0;
                    let content = Content::try_from(content).expect("they are few");
                    self.application.told(content, &outcome)?;
                }
                Output::Event(ProducerEvent::Ready | ProducerEvent::Closed) => {}
                Output::Idle { deadline } => {
                    self.actors[actor].deadline = deadline;
                    return Ok(());
                }
            }
        }
    }

    fn drain_consumer(&mut self, actor: usize) -> Result<(), Broken> {
        loop {
            let now = self.now();
            let Role::Consumer(consumer, caller) = &mut self.actors[actor].role else {
                return Ok(());
            };
            match consumer.poll() {
                Output::Command(Command::Decode(decode)) => {
                    let completion = decode.run(&mut self.codec);
                    consumer.handle_completion(now, completion);
                }
                Output::Command(command) => self.send(actor, command),
                Output::Event(ConsumerEvent::Initialized { epoch, .. }) => {
                    self.application.fence(epoch);
                    // Somebody stored more before it was fenced: it is taken over from there.
                    let last = self.application.last();
                    if caller.resumed != last {
                        *caller = Caller { resumed: last, waiting: None };
                        consumer.initialize(now, Resume::after(last)).expect("it has not ended");
                    }
                }
                Output::Event(ConsumerEvent::InitializeFailed(_) | ConsumerEvent::Ended(_)) => {
                    self.end(actor);
                    return Ok(());
                }
                Output::Event(_) => {}
                Output::Idle { deadline } => {
                    self.actors[actor].deadline = deadline;
                    if !self.consume(actor)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes what is there, stores and acknowledges it; whether there may be more to drain.
    fn consume(&mut self, actor: usize) -> Result<bool, Broken> {
        let now = self.now();
        let Role::Consumer(consumer, Caller { waiting, .. }) = &mut self.actors[actor].role else {
            return Ok(false);
        };
        let Some(epoch) = consumer.epoch() else { return Ok(false) };
        let since = *waiting.get_or_insert_with(|| consumer.mark());
        match consumer.next(now, since, true) {
            Ok(Next::Ready(batch)) => {
                *waiting = None;
                let sequence = batch.descriptor.sequence;
                let content = self.objects.content(&batch.descriptor.location);
                if !self.application.store(epoch, &batch, content)? {
                    self.end(actor);
                    return Ok(false);
                }
                let Role::Consumer(consumer, _) = &mut self.actors[actor].role else {
                    return Ok(false);
                };
                consumer.ack(now, sequence).map_err(|error| ("I11", error.to_string()))?;
                Ok(true)
            }
            Ok(Next::Pending) => Ok(consumer.wants_poll()),
            Ok(Next::Empty) => {
                *waiting = None;
                Ok(consumer.wants_poll())
            }
            Err(error) => {
                *waiting = None;
                self.refused(actor, epoch, &error)
            }
        }
    }

    /// A caller is told why it gets no batch: it ends where it was fenced, and tries again where the store failed.
    fn refused(&mut self, actor: usize, epoch: Epoch, why: &NextError) -> Result<bool, Broken> {
        let invariant = match why {
            NextError::ManifestUnreadable(_) | NextError::BatchUnreadable { .. } => {
                let Role::Consumer(consumer, _) = &self.actors[actor].role else {
                    return Ok(false);
                };
                return Ok(consumer.wants_poll());
            }
            NextError::Ended(Ended::Fenced { .. }) if self.objects.manifest().epoch() > epoch => {
                self.end(actor);
                return Ok(false);
            }
            NextError::Ended(Ended::Fenced { .. }) => "I9",
            NextError::Ended(_) => "I6",
            NextError::BatchMissing { .. } => "I1",
            NextError::BatchCorrupt { .. } => "I3",
            NextError::NotInitialized | _ => "I14",
        };
        Err((invariant, why.to_string()))
    }

    fn send(&mut self, actor: usize, command: Command) {
        let manifest = manifest_location;
        let (effect, slip) = match command {
            Command::PutBatch(put) => {
                let slip = Slip::Write(put.ticket, StoreOperation::PutBatch, put.location.clone());
                (Effect::Put { location: put.location, payload: put.payload }, slip)
            }
            Command::CasManifest(cas) => {
                let slip = Slip::Write(cas.ticket, StoreOperation::SwapManifest, manifest());
                (Effect::Swap { condition: cas.condition, payload: cas.payload }, slip)
            }
            Command::ReadManifest(read) => {
                let slip = Slip::Read(read.ticket, StoreOperation::ReadManifest, manifest());
                (Effect::ReadManifest { unless: read.unless }, slip)
            }
            Command::ReadBatch(read) => {
                let slip =
                    Slip::Read(read.ticket, StoreOperation::ReadBatch, read.location.clone());
                (Effect::ReadBatch { location: read.location }, slip)
            }
            Command::ListBatches(list) => {
                (Effect::List { after: list.after }, Slip::List(list.ticket))
            }
            Command::DeleteBatches(delete) => {
                let slip = Slip::Delete(delete.ticket, delete.locations.len());
                (Effect::Delete { locations: delete.locations }, slip)
            }
            Command::Encode(_) | Command::Decode(_) => unreachable!("work is done at once"),
        };
        let digest = digest_of_effect(&effect, &self.objects);
        self.requests.push(Request {
            actor,
            effect: Some(effect),
            slip: Some(slip),
            answer: None,
            digest,
        });
    }

    /// At the end of a run.
    pub(super) fn check_end(&self) -> Result<(), Broken> {
        self.application.check_end(&self.objects)
    }

    /// The state, by no name and no time but the number of ticks that are left.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        let Limits { take_overs, crashes, faults, hurries, ticks, .. } = self.limits;
        [take_overs, crashes, faults, hurries, ticks].hash(&mut hasher);
        for actor in &self.actors {
            match &actor.role {
                Role::Producer(producer) => producer.fingerprint().hash(&mut hasher),
                Role::Consumer(consumer, Caller { resumed, waiting }) => {
                    consumer.fingerprint().hash(&mut hasher);
                    (resumed.map(|last| last.0), waiting.is_some()).hash(&mut hasher);
                }
                Role::Gone => 0_u64.hash(&mut hasher),
            }
        }
        let mut requests: Vec<_> = self
            .requests
            .iter()
            .map(|it| (it.actor, it.effect.is_some(), it.slip.is_some(), it.digest))
            .collect();
        requests.sort_unstable();
        requests.hash(&mut hasher);
        self.objects.fingerprint(&mut hasher);
        self.application.fingerprint(&mut hasher);
        hasher.finish()
    }

    pub(super) fn describe(&self, step: Step) -> String {
        let request = |number: usize| self.requests[number].to_string();
        match step {
            Step::Apply(number) => format!("{} takes effect", request(number)),
            Step::Answer(number) => format!("{} is answered", request(number)),
            Step::Do(number) => format!("{} takes effect and is answered", request(number)),
            Step::TimeOut(number) => format!("{} times out", request(number)),
            Step::OwnConflict(number) => {
                format!("{} was sent twice, and is answered with a conflict", request(number))
            }
            Step::TakeOver => "another consumer takes over".to_owned(),
            Step::Crash(actor) => format!("{} crashes", self.name(actor)),
            Step::Tick => format!("time passes, from {:?}", self.now),
        }
    }

    fn name(&self, actor: usize) -> String {
        match actor.checked_sub(self.first_consumer()) {
            None => format!("producer {actor}"),
            Some(number) => format!("consumer {number}"),
        }
    }
}
