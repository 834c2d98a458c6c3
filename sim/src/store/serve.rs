//! A request on the store's side, from its arrival to its answer.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use buffer_core::format::Manifest;
use buffer_core::{ReadOutcome, WriteOutcome};
use xxhash_rust::xxh3::xxh3_64;

use super::applied::{Applied, Change};
use super::flight::{Answer, Caller, Draft, Flight, Stage};
use super::request::{Kind, Operation, Request, Short, is_batch};
use super::shop::Shop;
use super::verdict::{Fault, Verdict};
use super::{Inner, State};
use crate::event::{Happening, Stated};
use crate::process::Moment;
use crate::slab::Key;
use crate::timer::{Due, Fire};

/// How long a request is under way before and after the store looks.
struct Ways {
    there: Duration,
    back: Duration,
    /// What a fault adds before, and after.
    extra: (Duration, Duration),
}

impl Fire for Inner {
    fn fire(self: Arc<Self>, token: u64) {
        let key = Key::of_token(token);
        let stage = self.state().flights.get_mut(key).map(|flight| flight.stage);
        match stage {
            Some(Stage::There) => self.arrive(key),
            Some(Stage::Back) => self.answer(key),
            Some(Stage::Again) => self.arrive_again(key),
            Some(Stage::Over) | None => {}
        }
    }
}

impl Inner {
    /// Takes a request, decides what becomes of it, and sets it on its way.
    pub(super) fn send(self: &Arc<Self>, draft: Draft) -> Key {
        let Draft { location, operation, payload } = draft;
        let (process, time, nth) = {
            let mut world = self.runtime.world().state();
            let process = world.current;
            (process, world.now, world.count_request(process))
        };
        let mut request = Request { number: 0, process, operation, location, time };
        let kind = request.kind();
        let rules = {
            let mut state = self.state();
            state.requests += 1;
            request.number = state.requests;
            state.counts.sent(&request, kind);
            state.rules.clone()
        };
        // A rule is somebody else's code: it may look into the store or crash a process.
        let verdict = rules.judge(&request);
        verdict.assert_fits(&request);
        self.note_sent(&request, kind, verdict);
        let (key, arrival) = {
            let mut state = self.state();
            let ways = state.ways(&request, verdict);
            if kind == Kind::Put {
                state.batch_writes_in_flight += 1;
                let now = state.batch_writes_in_flight;
                let most = &mut state.counts.most_batch_writes_in_flight;
                *most = (*most).max(now);
            }
            let flight = Flight {
                kind,
                nth,
                verdict,
                payload,
                stage: Stage::There,
                back: ways.back + ways.extra.1,
                usual_end: time + ways.there + ways.back,
                answer: None,
                caller: Caller::Waiting(None),
                altered_by: None,
                request,
            };
            (state.flights.insert(flight), time + ways.there + ways.extra.0)
        };
        self.set_timer(key, arrival);
        self.crash_at(process, nth, Moment::Sent);
        key
    }

    fn note_sent(&self, request: &Request, kind: Kind, verdict: Verdict) {
        let about = xxh3_64(request.location.as_str().as_bytes());
        let whose = (request.process.index() as u64) << 16
            | (kind as u64) << 8
            | verdict.fault().map_or(0xff, |fault| fault as u64);
        self.runtime.world().trace().note(b's', [request.number, whose, about]);
        self.runtime.record(format_args!("{request}: {verdict:?}"));
        self.runtime.tell(|| Happening::Sent {
            request: request.number,
            process: request.process,
            kind,
            text: request.words(),
            fault: verdict.name(kind),
            verdict: verdict.fault().map_or(String::new(), |_| format!("{verdict:?}")),
        });
    }

    fn set_timer(self: &Arc<Self>, key: Key, at: Duration) {
        let target: Arc<dyn Fire> = Arc::<Self>::clone(self);
        self.runtime.world().state().timers.add(at, Due::Fire(target, key.token()));
    }

    fn crash_at(&self, process: crate::ProcessId, nth: u64, moment: Moment) {
        if self.runtime.world().crashes_at(process, nth, moment) {
            self.runtime.crash(process);
        }
    }

    /// The store looks at a request, and does what it asks for.
    fn arrive(self: &Arc<Self>, key: Key) {
        let (time, wall) = (self.runtime.elapsed(), self.clock.unix_millis());
        let mut state = self.state();
        let State { flights, objects, counts, random, latency, .. } = &mut *state;
        let flight = flights.get_mut(key).expect("it is on its way");
        let mut shop = Shop::new(self, objects, counts, random, (time, wall));
        let (mut answer, is_altered) = shop.serve(flight);
        let (effects, is_hot) = (shop.effects, shop.is_hot);
        flight.altered_by = match (is_hot, is_altered) {
            (true, _) => Some(Fault::HotKey),
            (false, true) => flight.verdict.fault(),
            (false, false) => None,
        };
        let transfer = match &answer {
            Some(Answer::Read(Ok(ReadOutcome::Found(object)))) => {
                latency.transfer(object.bytes.len())
            }
            Some(_) | None => Duration::ZERO,
        };
        let number = flight.request.number;
        let (process, nth, is_write) =
            (flight.request.process, flight.nth, flight.request.is_write());
        let back = flight.back + transfer;
        let is_answered = answer.is_some();
        flight.answer = answer.take();
        // A request that is dropped never came here.
        let looked = flight.verdict != Verdict::DropRequest;
        state.go_on(key, if is_answered { Stage::Back } else { Stage::Over });
        drop(state);
        if looked && is_write && effects.is_empty() {
            self.runtime.record(format_args!("#{number} not stored"));
            self.runtime.tell(|| Happening::LeftAlone { request: number });
        }
        self.tell(effects);
        if looked {
            self.crash_at(process, nth, Moment::Applied);
        }
        if is_answered && back.is_zero() {
            self.answer(key);
        } else if is_answered {
            self.set_timer(key, time + back);
        }
    }

    /// The answer reaches the caller, if it still waits.
    fn answer(self: &Arc<Self>, key: Key) {
        let crash = {
            let mut state = self.state();
            let Some(flight) = state.flights.get_mut(key) else { return };
            (flight.request.process, flight.nth)
        };
        self.crash_at(crash.0, crash.1, Moment::Answered);
        let time = self.runtime.elapsed();
        let mut state = self.state();
        let State { flights, counts, active, .. } = &mut *state;
        let flight = flights.get_mut(key).expect("it has an answer to bring");
        let answer = flight.answer.as_ref().expect("it was served");
        match answer {
            Answer::Write(Ok(WriteOutcome::Conflict)) => {
                counts.swaps_conflicted += u64::from(flight.kind == Kind::Swap);
            }
            Answer::Read(Ok(outcome)) => counts.read_answered(flight.kind, outcome),
            Answer::Write(_) | Answer::Read(_) | Answer::List(_) | Answer::Delete(_) => {}
        }
        self.runtime.world().trace().note(b'a', [flight.request.number, answer.code()]);
        self.runtime.record(format_args!("#{} answers {answer}", flight.request.number));
        self.runtime.tell(|| Happening::Answered {
            request: flight.request.number,
            text: answer.to_string(),
            is_ok: !answer.is_failure(),
            is_seen: matches!(flight.caller, Caller::Waiting(_)),
        });
        let mut waker: Option<Waker> = None;
        if let Caller::Waiting(waiting) = &mut flight.caller {
            waker = waiting.take();
            flight.caller = Caller::Answered;
            if let Some(fault) = flight.altered_by.take() {
                active.count(fault, flight.kind);
            }
        }
        let again = flight.verdict.comes_again();
        state.go_on(key, if again.is_some() { Stage::Again } else { Stage::Over });
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(after) = again {
            self.set_timer(key, time + after);
        }
    }

    /// A write or a deletion reaches the store after its caller was answered.
    fn arrive_again(self: &Arc<Self>, key: Key) {
        let (time, wall) = (self.runtime.elapsed(), self.clock.unix_millis());
        let mut state = self.state();
        let State { flights, objects, counts, random, active, .. } = &mut *state;
        let flight = flights.get_mut(key).expect("it is on its way");
        let mut shop = Shop::new(self, objects, counts, random, (time, wall));
        match &flight.request.operation {
            Operation::Write { .. } => drop(shop.write(&flight.request, &flight.payload)),
            Operation::Delete { keys } => drop(shop.delete(&flight.request, keys, &[])),
            Operation::Read { .. } | Operation::List { .. } => {}
        }
        let effects = shop.effects;
        if let (false, Some(fault)) = (effects.is_empty(), flight.verdict.fault()) {
            active.count(fault, flight.kind);
        }
        let request = flight.request.number;
        state.go_on(key, Stage::Over);
        drop(state);
        if effects.is_empty() {
            self.runtime.tell(|| Happening::LeftAlone { request });
        }
        self.tell(effects);
    }

    /// Tells of what took effect.
    pub(super) fn tell(&self, effects: Vec<Applied>) {
        for applied in effects {
            self.tell_one(applied);
        }
    }

    fn tell_one(&self, applied: Applied) {
        let Applied { request, location, change, .. } = &applied;
        let number = request.map_or(0, |request| request.number);
        let about = xxh3_64(location.as_str().as_bytes());
        let (low, high) = match change {
            Change::Written(written) => {
                let hash = written.content_hash;
                (hash as u64, (hash >> 64) as u64)
            }
            Change::Deleted => (0, 0),
        };
        let time = u64::try_from(applied.time.as_nanos()).unwrap_or(u64::MAX);
        self.runtime.world().trace().note(b'w', [number, about, low, high, time]);
        self.runtime.tell(|| told(&applied));
        match (request, change) {
            (Some(request), Change::Written(written)) => {
                let (number, version) = (request.number, Short(&written.version));
                self.runtime.record(format_args!("#{number} stored {version}"));
            }
            (None, Change::Written(written)) => {
                let version = Short(&written.version);
                self.runtime.record(format_args!("put {location} as {version}"));
            }
            (Some(request), Change::Deleted) => {
                self.runtime.record(format_args!("#{} deleted {location}", request.number));
            }
            (None, Change::Deleted) => {
                self.runtime.record(format_args!("removed {location}"));
            }
        }
        self.observers.tell(&applied);
        let mut state = self.state();
        if state.keeps_log {
            state.log.push(applied);
        }
    }
}

/// What took effect, for charts.
fn told(applied: &Applied) -> Happening {
    let Applied { request, location, change, .. } = applied;
    let (text, manifest) = match change {
        Change::Deleted => (format!("{location} is gone"), None),
        Change::Written(written) => {
            let parsed = match is_batch(location) {
                true => None,
                false => Manifest::parse(location, written.bytes.clone()).ok(),
            };
            let stated = parsed.map(|manifest| Stated {
                epoch: manifest.epoch().0,
                first: manifest.first_sequence().0,
                next: manifest.next_sequence().0,
            });
            (format!("{location} is {}", Short(&written.version)), stated)
        }
    };
    Happening::Applied { request: request.map(|request| request.number), text, manifest }
}

impl State {
    fn ways(&mut self, request: &Request, verdict: Verdict) -> Ways {
        let Self { latency, random, .. } = self;
        let jitter = latency.jitter.map_or(Duration::ZERO, |jitter| {
            let which = u64::from(request.process.number()) << 8 | request.kind() as u64;
            jitter.draw(random, which)
        });
        let (fixed, upload) = match request.operation {
            Operation::Write { bytes, .. } => (latency.write, latency.transfer(bytes)),
            Operation::Delete { .. } => (latency.write, Duration::ZERO),
            Operation::Read { .. } | Operation::List { .. } => (latency.read, Duration::ZERO),
        };
        let extra = verdict.delays();
        let back = (fixed + jitter) / 2;
        Ways { there: fixed + jitter - back + upload, back, extra }
    }
}
