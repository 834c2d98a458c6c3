//! A request on the store's side, from its arrival to its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::{
    Condition, Location, Object, ReadOutcome, Rope, StoreErrorKind, UnixMillis, Version,
    WriteOutcome,
};
use buffer_driver::{Runtime as _, StoreFailure};
use bytes::Bytes;

use super::counts::Applied;
use super::fault::{Operation, Request, Short, Verdict};
use super::{Inner, State, content_hash, objects};
use crate::oneshot::Sender;

/// How long a request is under way before and after the store looks.
struct Ways {
    there: Duration,
    back: Duration,
}

/// Serves a write; the reply is dropped unused if there is to be no answer.
pub(super) async fn write(
    inner: Arc<Inner>,
    request: Request,
    verdict: Verdict,
    payload: Rope,
    reply: Sender<Result<WriteOutcome, StoreFailure>>,
) {
    let ways = inner.ways(&request, verdict);
    inner.runtime.sleep(ways.there).await;
    let (answer, late) = match verdict {
        Verdict::Pass | Verdict::Delay(_) => (inner.apply(&request, &payload), None),
        Verdict::Fail(kind) => (Err(failure(kind, &request)), None),
        Verdict::Throttle => (Err(failure(StoreErrorKind::Throttled, &request)), None),
        Verdict::ApplyThenFail(kind) => {
            let _lost = inner.apply(&request, &payload);
            (Err(failure(kind, &request)), None)
        }
        Verdict::ApplyThenConflict => {
            let applied = inner.apply(&request, &payload);
            (applied.map(|_| WriteOutcome::Conflict), None)
        }
        Verdict::FalseConflict => (Ok(WriteOutcome::Conflict), None),
        Verdict::ApplyLate { reply, after } => (Err(failure(reply, &request)), Some(after)),
        Verdict::Hang { applied } => {
            if applied {
                let _lost = inner.apply(&request, &payload);
            }
            return;
        }
        Verdict::Stale(_) | Verdict::Corrupt { .. } | Verdict::Truncate(_) => {
            unreachable!("a verdict fits its request")
        }
    };
    inner.runtime.sleep(ways.back).await;
    if let Ok(WriteOutcome::Conflict) = answer {
        inner.state().counts.write_conflicted(&request.location);
    }
    inner.record_answer(&request, &answer);
    reply.send(answer);
    if let Some(after) = late {
        inner.runtime.sleep(after).await;
        let _late = inner.apply(&request, &payload);
    }
}

/// Serves a read; the reply is dropped unused if there is to be no answer.
pub(super) async fn read(
    inner: Arc<Inner>,
    request: Request,
    verdict: Verdict,
    reply: Sender<Result<ReadOutcome, StoreFailure>>,
) {
    let ways = inner.ways(&request, verdict);
    inner.runtime.sleep(ways.there).await;
    let answer = match verdict {
        Verdict::Pass | Verdict::Delay(_) => inner.look(&request, 0),
        Verdict::Stale(changes) => inner.look(&request, changes),
        Verdict::Corrupt { offset, mask } => inner
            .look(&request, 0)
            .map(|outcome| damaged(outcome, |bytes| flip(bytes, offset, mask))),
        Verdict::Truncate(length) => {
            inner.look(&request, 0).map(|outcome| damaged(outcome, |bytes| bytes.truncate(length)))
        }
        Verdict::Fail(kind) | Verdict::ApplyThenFail(kind) => Err(failure(kind, &request)),
        Verdict::Throttle => Err(failure(StoreErrorKind::Throttled, &request)),
        Verdict::Hang { .. } => return,
        Verdict::ApplyThenConflict | Verdict::FalseConflict | Verdict::ApplyLate { .. } => {
            unreachable!("a verdict fits its request")
        }
    };
    let transfer = match &answer {
        Ok(ReadOutcome::Found(object)) => inner.transfer(object.bytes.len()),
        Ok(ReadOutcome::NotModified | ReadOutcome::Missing) | Err(_) => Duration::ZERO,
    };
    inner.runtime.sleep(ways.back + transfer).await;
    if let Ok(outcome) = &answer {
        inner.state().counts.read_answered(&request.location, outcome);
    }
    inner.record_answer(&request, &answer);
    reply.send(answer);
}

impl Inner {
    pub(super) fn spawn(&self, served: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(served));
    }

    fn transfer(&self, bytes: usize) -> Duration {
        self.state().latency.transfer(bytes)
    }

    fn ways(&self, request: &Request, verdict: Verdict) -> Ways {
        let mut state = self.state();
        let State { latency, random, .. } = &mut *state;
        let jitter = latency.jitter.map_or(Duration::ZERO, |jitter| jitter.draw(random));
        let (fixed, upload) = match request.operation {
            Operation::Write { bytes, .. } => (latency.write, latency.transfer(bytes)),
            Operation::Read { .. } => (latency.read, Duration::ZERO),
        };
        let extra = if let Verdict::Delay(extra) = verdict { extra } else { Duration::ZERO };
        let back = (fixed + jitter) / 2;
        Ways { there: fixed + jitter - back + upload + extra, back }
    }

    /// The moment at which a write takes effect, or does not.
    fn apply(&self, request: &Request, payload: &Rope) -> Result<WriteOutcome, StoreFailure> {
        let Request { number, location, operation, .. } = request;
        let Operation::Write { condition, .. } = operation else {
            unreachable!("only writes are applied")
        };
        if let Err(error) = location.validate() {
            return Err(StoreFailure::new(StoreErrorKind::InvalidLocation, error));
        }
        let (time, now) = (self.runtime.elapsed(), self.clock.unix_millis());
        let bytes = Bytes::from(payload.concat());
        let outcome =
            self.state().swap(*number, request.process, location, condition, bytes, time, now);
        match &outcome {
            WriteOutcome::Stored(version) => {
                self.runtime.record(format_args!("#{number} stored {}", Short(version)));
            }
            WriteOutcome::Conflict => self.runtime.record(format_args!("#{number} not stored")),
        }
        Ok(outcome)
    }

    /// The moment at which a read sees the object.
    fn look(&self, request: &Request, changes: usize) -> Result<ReadOutcome, StoreFailure> {
        let Operation::Read { unless } = &request.operation else {
            unreachable!("only reads look")
        };
        if let Err(error) = request.location.validate() {
            return Err(StoreFailure::new(StoreErrorKind::InvalidLocation, error));
        }
        let state = self.state();
        Ok(objects::read(state.objects.past(&request.location, changes), unless.as_ref()))
    }

    fn record_answer<T: Answer>(&self, request: &Request, answer: &Result<T, StoreFailure>) {
        let number = request.number;
        match answer {
            Ok(outcome) => self.runtime.record(format_args!("#{number} answers {}", Told(outcome))),
            Err(failure) => {
                self.runtime.record(format_args!("#{number} answers {:?}", failure.kind));
            }
        }
    }
}

impl State {
    pub(super) fn store(
        &mut self,
        request: Option<u64>,
        by: Option<crate::ProcessId>,
        location: &Location,
        bytes: Bytes,
        time: Duration,
        now: UnixMillis,
    ) -> Version {
        if let Some(observer) = &mut self.observer {
            observer(by, location, &bytes, now.0);
        }
        let content_hash = content_hash(&bytes);
        let version = self.objects.put(location, bytes.clone(), now);
        let (location, made) = (location.clone(), version.clone());
        self.log.push(Applied { time, request, location, version: made, content_hash, bytes });
        version
    }

    fn swap(
        &mut self,
        number: u64,
        by: crate::ProcessId,
        location: &Location,
        condition: &Condition,
        bytes: Bytes,
        time: Duration,
        now: UnixMillis,
    ) -> WriteOutcome {
        if !self.objects.meets(location, condition) {
            return WriteOutcome::Conflict;
        }
        self.counts.write_stored(location);
        WriteOutcome::Stored(self.store(Some(number), Some(by), location, bytes, time, now))
    }
}

fn failure(kind: StoreErrorKind, request: &Request) -> StoreFailure {
    StoreFailure::new(kind, format!("injected into request {}", request.number))
}

fn damaged(outcome: ReadOutcome, damage: impl FnOnce(&mut Vec<u8>)) -> ReadOutcome {
    match outcome {
        ReadOutcome::Found(object) => {
            let mut bytes = Vec::from(object.bytes);
            damage(&mut bytes);
            ReadOutcome::Found(Object { bytes: bytes.into(), ..object })
        }
        ReadOutcome::NotModified => ReadOutcome::NotModified,
        ReadOutcome::Missing => ReadOutcome::Missing,
    }
}

fn flip(bytes: &mut [u8], offset: usize, mask: u8) {
    if !bytes.is_empty() {
        bytes[offset % bytes.len()] ^= mask;
    }
}

/// An answer as a trace shows it.
trait Answer {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

struct Told<'a, T>(&'a T);

impl<T: Answer> fmt::Display for Told<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.tell(f)
    }
}

impl Answer for WriteOutcome {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(version) => write!(f, "stored {}", Short(version)),
            Self::Conflict => f.write_str("conflict"),
        }
    }
}

impl Answer for ReadOutcome {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(object) => {
                write!(f, "{} bytes of {}", object.bytes.len(), Short(&object.version))
            }
            Self::NotModified => f.write_str("not modified"),
            Self::Missing => f.write_str("missing"),
        }
    }
}
