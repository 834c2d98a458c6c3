//! Runs a machine's commands.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use buffer_core::{
    Command, Completion, Condition, Location, Now, ReadOutcome, StoreError, StoreErrorKind,
    StoreOperation, Ticket, UnixMillis, WriteOutcome,
};
use futures_lite::future;

use crate::runtime::{BoxFuture, Clock, Runtime};
use crate::store::{Store, StoreFailure};

/// Work of up to this many bytes is done where it stands: handing it to another thread costs as much.
const INLINE_BYTES: usize = 32 << 10;

/// Where commands are run: a runtime, a store and a clock.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({}, {:?})", self.store, self.runtime)
    }
}

/// Takes the results of commands, from whatever thread they come.
pub(crate) trait Complete: Send + Sync + 'static {
    fn complete(&self, completion: Completion);
}

impl Host {
    /// Reads both clocks.
    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.runtime.monotonic(), wall: unix_millis(self.clock.now()) }
    }

    /// Starts a command; its completion goes to `machine`, once.
    pub(crate) fn start(&self, machine: &Arc<impl Complete>, command: Command) {
        match command {
            Command::PutBatch(put) => {
                let request = self.write(&put.location, put.payload, Condition::Absent);
                let slip = Slip::new(machine, put.ticket, StoreOperation::PutBatch, put.location);
                self.answer_write(request, put.timeout, slip);
            }
            Command::CasManifest(cas) => {
                let request = self.write(&cas.location, cas.payload, cas.condition);
                let operation = StoreOperation::SwapManifest;
                let slip = Slip::new(machine, cas.ticket, operation, cas.location);
                self.answer_write(request, cas.timeout, slip);
            }
            Command::ReadManifest(read) => {
                let request = self.read(&read.location, read.unless);
                let operation = StoreOperation::ReadManifest;
                let slip = Slip::new(machine, read.ticket, operation, read.location);
                self.answer_read(request, read.timeout, slip);
            }
            Command::ReadBatch(read) => {
                let request = self.read(&read.location, None);
                let slip =
                    Slip::new(machine, read.ticket, StoreOperation::ReadBatch, read.location);
                self.answer_read(request, read.timeout, slip);
            }
            Command::Encode(encode) => {
                let weight = if encode.is_compressed() { 8 } else { 1 };
                let bytes = encode.input_bytes().saturating_mul(weight);
                self.compute(machine, bytes, move || encode.run());
            }
            Command::Decode(decode) => {
                let weight = if decode.is_compressed() { 64 } else { 1 };
                let bytes = decode.input_bytes().saturating_mul(weight);
                self.compute(machine, bytes, move || decode.run());
            }
        }
    }

    fn write(
        &self,
        location: &Location,
        payload: buffer_core::Rope,
        condition: Condition,
    ) -> Request<WriteOutcome> {
        let (store, location) = (Arc::clone(&self.store), location.clone());
        Box::pin(async move { store.write(&location, payload, condition).await })
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<buffer_core::Version>,
    ) -> Request<ReadOutcome> {
        let (store, location) = (Arc::clone(&self.store), location.clone());
        Box::pin(async move { store.read(&location, unless).await })
    }

    fn answer_write<C: Complete>(
        &self,
        request: Request<WriteOutcome>,
        timeout: Duration,
        mut slip: Slip<C, WriteOutcome>,
    ) {
        let request = self.within(timeout, request);
        self.runtime.spawn(Box::pin(async move { slip.answer(request.await) }));
    }

    fn answer_read<C: Complete>(
        &self,
        request: Request<ReadOutcome>,
        timeout: Duration,
        mut slip: Slip<C, ReadOutcome>,
    ) {
        let request = self.within(timeout, request);
        self.runtime.spawn(Box::pin(async move { slip.answer(request.await) }));
    }

    fn compute(
        &self,
        machine: &Arc<impl Complete>,
        bytes: usize,
        work: impl FnOnce() -> Completion + Send + 'static,
    ) {
        if bytes <= INLINE_BYTES {
            machine.complete(work());
        } else {
            let machine = Arc::clone(machine);
            self.runtime.spawn_blocking(Box::new(move || machine.complete(work())));
        }
    }

    /// Waits for a request, but no longer than `timeout` from now.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        timeout: Duration,
        request: Request<T>,
    ) -> Request<T> {
        let sleep = self.runtime.sleep_until(self.runtime.monotonic() + timeout);
        let timed_out = async move {
            sleep.await;
            Err(StoreFailure::from(StoreErrorKind::TimedOut))
        };
        Box::pin(future::or(request, timed_out))
    }
}

type Request<T> = BoxFuture<'static, Result<T, StoreFailure>>;

/// Sees to it that a request is answered once, even if the task that waits for it is dropped.
struct Slip<C: Complete, T>
where
    Ticket<Result<T, StoreError>>: Answer<T>,
{
    machine: Arc<C>,
    ticket: Option<Ticket<Result<T, StoreError>>>,
    operation: StoreOperation,
    location: Location,
}

/// A ticket that takes the result of a request.
trait Answer<T> {
    fn answer(self, result: Result<T, StoreError>) -> Completion;
}

impl Answer<WriteOutcome> for Ticket<Result<WriteOutcome, StoreError>> {
    fn answer(self, result: Result<WriteOutcome, StoreError>) -> Completion {
        self.complete(result)
    }
}

impl Answer<ReadOutcome> for Ticket<Result<ReadOutcome, StoreError>> {
    fn answer(self, result: Result<ReadOutcome, StoreError>) -> Completion {
        self.complete(result)
    }
}

impl<C: Complete, T> Slip<C, T>
where
    Ticket<Result<T, StoreError>>: Answer<T>,
{
    fn new(
        machine: &Arc<C>,
        ticket: Ticket<Result<T, StoreError>>,
        operation: StoreOperation,
        location: Location,
    ) -> Self {
        Self { machine: Arc::clone(machine), ticket: Some(ticket), operation, location }
    }

    fn answer(&mut self, result: Result<T, StoreFailure>) {
        let Some(ticket) = self.ticket.take() else { return };
        let result = result.map_err(|failure| failure.of(self.operation, self.location.clone()));
        if let Err(error) = &result {
            tracing::debug!(%error, "request failed");
        }
        self.machine.complete(ticket.answer(result));
    }
}

impl<C: Complete, T> Drop for Slip<C, T>
where
    Ticket<Result<T, StoreError>>: Answer<T>,
{
    fn drop(&mut self) {
        let reason = "the task that ran the request was dropped";
        self.answer(Err(StoreFailure::new(StoreErrorKind::Transient, reason)));
    }
}

fn unix_millis(time: SystemTime) -> UnixMillis {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    })
}
