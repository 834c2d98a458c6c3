//! Requests that are under way, and those who wait for them.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use buffer_core::{ListPage, Location, ReadOutcome, Rope, WriteOutcome};
use buffer_driver::StoreFailure;

use super::Inner;
use super::request::{Kind, Operation, Request, Short};
use super::verdict::{Fault, Verdict};
use crate::event::Happening;
use crate::slab::Key;

/// One request, from its arrival at the store to its end.
pub(super) struct Flight {
    pub(super) request: Request,
    pub(super) kind: Kind,
    /// Which of its process's requests it is.
    pub(super) nth: u64,
    pub(super) verdict: Verdict,
    pub(super) payload: Rope,
    pub(super) stage: Stage,
    /// How long the answer is under way.
    pub(super) back: Duration,
    /// When its caller would be answered if nothing were wrong.
    pub(super) usual_end: Duration,
    pub(super) answer: Option<Answer>,
    pub(super) caller: Caller,
    /// What the answer is altered by, or the change in the store.
    pub(super) altered_by: Option<Fault>,
}

/// What the store does next with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It reaches the store.
    There,
    /// Its answer reaches the caller.
    Back,
    /// It reaches the store again, or only now.
    Again,
    /// Nothing.
    Over,
}

/// Who waits for the answer.
pub(super) enum Caller {
    Waiting(Option<Waker>),
    /// The answer is there, and not yet taken.
    Answered,
    Gone,
}

/// The answer to a request.
pub(super) enum Answer {
    Write(Result<WriteOutcome, StoreFailure>),
    Read(Result<ReadOutcome, StoreFailure>),
    List(Result<ListPage, StoreFailure>),
    Delete(Vec<Result<(), StoreFailure>>),
}

/// A result of a method of the store.
pub(super) trait Reply: Sized {
    fn of(answer: Answer) -> Self;
}

macro_rules! replies {
    ($($reply:ty => $variant:ident),* $(,)?) => {$(
        impl Reply for $reply {
            fn of(answer: Answer) -> Self {
                let Answer::$variant(reply) = answer else {
                    unreachable!("an answer is of the kind of its request")
                };
                reply
            }
        }
    )*};
}

replies! {
    Result<WriteOutcome, StoreFailure> => Write,
    Result<ReadOutcome, StoreFailure> => Read,
    Result<ListPage, StoreFailure> => List,
    Vec<Result<(), StoreFailure>> => Delete,
}

/// What a method of the store was given.
pub(super) struct Draft {
    pub(super) location: Location,
    pub(super) operation: Operation,
    pub(super) payload: Rope,
}

enum Progress {
    /// Nothing is sent before the first poll.
    Unsent(Draft),
    Waiting(Key),
    Over,
}

/// A caller's wait for an answer; for ever if there will be none.
pub(super) struct Ask<'a, R> {
    store: &'a Arc<Inner>,
    progress: Progress,
    reply: PhantomData<fn() -> R>,
}

impl<'a, R> Ask<'a, R> {
    pub(super) const fn new(store: &'a Arc<Inner>, draft: Draft) -> Self {
        Self { store, progress: Progress::Unsent(draft), reply: PhantomData }
    }
}

impl<R: Reply> Future for Ask<'_, R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let store = self.store;
        let key = match mem::replace(&mut self.progress, Progress::Over) {
            Progress::Unsent(draft) => store.send(draft),
            Progress::Waiting(key) => key,
            Progress::Over => panic!("an answer is given once"),
        };
        match store.answer_of(key, context) {
            Some(answer) => Poll::Ready(R::of(answer)),
            None => {
                self.progress = Progress::Waiting(key);
                Poll::Pending
            }
        }
    }
}

impl<R> Drop for Ask<'_, R> {
    fn drop(&mut self) {
        if let Progress::Waiting(key) = self.progress {
            self.store.give_up(key);
        }
    }
}

impl Inner {
    /// Takes the answer if it is there, or else leaves word for it.
    fn answer_of(&self, key: Key, context: &Context<'_>) -> Option<Answer> {
        let mut state = self.state();
        let flight = state.flights.get_mut(key).expect("it is kept for its caller");
        match &mut flight.caller {
            Caller::Waiting(Some(waker)) if waker.will_wake(context.waker()) => None,
            Caller::Waiting(waker) => {
                let earlier = waker.replace(context.waker().clone());
                // In this order: letting go of a waker may run somebody else's code.
                drop(state);
                drop(earlier);
                None
            }
            Caller::Answered => {
                let answer = flight.answer.take();
                state.let_go(key);
                answer
            }
            Caller::Gone => unreachable!("its caller is here"),
        }
    }

    /// The caller waits no longer.
    fn give_up(&self, key: Key) {
        let (time, alive) = {
            let world = self.runtime.world().state();
            (world.now, !world.ending)
        };
        let mut state = self.state();
        let Some(flight) = state.flights.get_mut(key) else { return };
        let (fault, kind) = (flight.verdict.fault(), flight.kind);
        let number = flight.request.number;
        let waited = matches!(flight.caller, Caller::Waiting(_)) && time >= flight.usual_end;
        let alive = alive && {
            let process = flight.request.process;
            !self.runtime.world().state().is_crashed(process)
        };
        // It should have had its answer by now, and has seen none.
        if let (true, true, Some(fault)) = (waited, alive, fault) {
            state.active.count(fault, kind);
        }
        if let (true, Some(Caller::Waiting(_))) =
            (alive, state.flights.get_mut(key).map(|flight| &flight.caller))
        {
            self.runtime.tell(|| Happening::GivenUp { request: number });
        }
        state.let_go(key);
    }
}

impl super::State {
    /// Takes note that a caller has its answer or waits no longer.
    fn let_go(&mut self, key: Key) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        flight.caller = Caller::Gone;
        self.batch_writes_in_flight -= u64::from(flight.kind == Kind::Put);
        if flight.stage == Stage::Over {
            self.flights.remove(key);
        }
    }

    /// Sets what the store does next with a request.
    pub(super) fn go_on(&mut self, key: Key, stage: Stage) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        flight.stage = stage;
        if let (Stage::Over, Caller::Gone) = (stage, &flight.caller) {
            self.flights.remove(key);
        }
    }
}

/// An answer as a trace shows it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(Err(failure)) | Self::Read(Err(failure)) | Self::List(Err(failure)) => {
                write!(f, "{:?}", failure.kind)
            }
            Self::Write(Ok(WriteOutcome::Stored(version))) => {
                write!(f, "stored {}", Short(version))
            }
            Self::Write(Ok(WriteOutcome::Conflict)) => f.write_str("conflict"),
            Self::Read(Ok(ReadOutcome::Found(object))) => {
                write!(f, "{} bytes of {}", object.bytes.len(), Short(&object.version))
            }
            Self::Read(Ok(ReadOutcome::NotModified)) => f.write_str("not modified"),
            Self::Read(Ok(ReadOutcome::Missing)) => f.write_str("missing"),
            Self::List(Ok(page)) => {
                let more = if page.next.is_some() { ", more follow" } else { "" };
                write!(f, "{} keys{more}", page.objects.len())
            }
            Self::Delete(results) => {
                let deleted = results.iter().filter(|result| result.is_ok()).count();
                write!(f, "{deleted} of {} deleted", results.len())
            }
        }
    }
}

impl Answer {
    /// Whether it is an error, of a deletion for any key.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Write(result) => result.is_err(),
            Self::Read(result) => result.is_err(),
            Self::List(result) => result.is_err(),
            Self::Delete(results) => results.iter().any(Result::is_err),
        }
    }

    /// What the trace hash takes of it.
    pub(super) fn code(&self) -> u64 {
        match self {
            Self::Write(Err(failure)) | Self::Read(Err(failure)) | Self::List(Err(failure)) => {
                0x100 + failure.kind as u64
            }
            Self::Write(Ok(WriteOutcome::Stored(_))) => 1,
            Self::Write(Ok(WriteOutcome::Conflict)) => 2,
            Self::Read(Ok(ReadOutcome::Found(object))) => 0x1_0000 + object.bytes.len() as u64,
            Self::Read(Ok(ReadOutcome::NotModified)) => 3,
            Self::Read(Ok(ReadOutcome::Missing)) => 4,
            Self::List(Ok(page)) => 0x200 + page.objects.len() as u64,
            Self::Delete(results) => {
                0x8000 + results.iter().filter(|result| result.is_ok()).count() as u64
            }
        }
    }
}
