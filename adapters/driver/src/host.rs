//! Runs a machine's commands.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use buffer_core::format::Codec;
use buffer_core::{
    Command, Completion, Condition, Instant, ListPage, Location, Now, ReadOutcome, StoreError,
    StoreErrorKind, StoreOperation, Ticket, UnixMillis, WriteOutcome,
};
use futures_lite::future;
use tracing::{Instrument, Span};

use crate::codecs;
use crate::metrics::RequestMetrics;
use crate::processors::Processors;
use crate::runtime::{Clock, Runtime};
use crate::store::{Store, StoreFailure};

/// Work of up to this many bytes is done where it stands: handing it to another thread costs as much.
const INLINE_BYTES: usize = 32 << 10;

/// Where commands are run: a runtime, a store and a clock.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<RequestMetrics>,
    processors: Arc<Processors>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({}, {:?})", self.store, self.runtime)
    }
}

/// Takes the results of commands, from whatever thread they come.
pub(crate) trait Complete: Send + Sync + 'static {
    /// Where the bytes of a batch have come, it is said since when they were asked for.
    fn complete(&self, completion: Completion, fetching_since: Option<Instant>);

    /// Where failures of its requests are told.
    fn requests(&self) -> &RequestMetrics;
}

impl Host {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<RequestMetrics>,
    ) -> Self {
        let processors = Processors::of(&runtime);
        Self { runtime, store, clock, metrics, processors }
    }

    /// Reads both clocks.
    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.runtime.monotonic(), wall: unix_millis(self.clock.now()) }
    }

    /// Starts a command, within a span; its completion goes to `machine`, once.
    pub(crate) fn start(
        &self,
        machine: &Arc<impl Complete>,
        command: Command,
        span: Span,
        now: Instant,
    ) {
        match command {
            Command::PutBatch(put) => {
                let request = self.write(&put.location, put.payload, Condition::Absent);
                let slip = Slip::new(put.ticket, StoreOperation::PutBatch, put.location);
                self.send(machine, request, put.timeout, slip, span);
            }
            Command::CasManifest(cas) => {
                let request = self.write(&cas.location, cas.payload, cas.condition);
                let slip = Slip::new(cas.ticket, StoreOperation::SwapManifest, cas.location);
                self.send(machine, request, cas.timeout, slip, span);
            }
            Command::ReadManifest(read) => {
                let request = self.read(&read.location, read.unless);
                let slip = Slip::new(read.ticket, StoreOperation::ReadManifest, read.location);
                self.send(machine, request, read.timeout, slip, span);
            }
            Command::ReadBatch(read) => {
                let request = self.read(&read.location, None);
                let slip = Slip::new(read.ticket, StoreOperation::ReadBatch, read.location);
                let slip = FetchSlip { slip, since: now };
                self.send(machine, request, read.timeout, slip, span);
            }
            Command::ListBatches(list) => {
                let (store, prefix) = (Arc::clone(&self.store), list.prefix.clone());
                let request = async move { store.list(&prefix, list.after).await };
                let slip = Slip::new(list.ticket, StoreOperation::ListBatches, list.prefix);
                self.send(machine, request, list.timeout, slip, span);
            }
            Command::DeleteBatches(delete) => {
                let (store, locations) = (Arc::clone(&self.store), delete.locations.clone());
                let request = async move { Ok(store.delete(locations).await) };
                let slip = DeleteSlip { ticket: delete.ticket, locations: delete.locations };
                self.send(machine, request, delete.timeout, slip, span);
            }
            Command::Encode(encode) => {
                let weight = if encode.is_compressed() { 8 } else { 1 };
                let bytes = encode.input_bytes().saturating_mul(weight);
                self.compute(machine, bytes, move |codec| span.in_scope(|| encode.run(codec)));
            }
            Command::Decode(decode) => {
                let weight = if decode.is_compressed() { 64 } else { 1 };
                let bytes = decode.input_bytes().saturating_mul(weight);
                self.compute(machine, bytes, move |codec| span.in_scope(|| decode.run(codec)));
            }
        }
    }

    fn write(
        &self,
        location: &Location,
        payload: buffer_core::Rope,
        condition: Condition,
    ) -> impl Request<WriteOutcome> {
        let (store, location) = (Arc::clone(&self.store), location.clone());
        async move { store.write(&location, payload, condition).await }
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<buffer_core::Version>,
    ) -> impl Request<ReadOutcome> {
        let (store, location) = (Arc::clone(&self.store), location.clone());
        async move { store.read(&location, unless).await }
    }

    /// Reads a batch for whoever fetches by hand, and tells how long that took.
    pub(crate) fn fetch(&self, location: &Location) -> impl Request<ReadOutcome> {
        let request = self.read(location, None);
        let (runtime, metrics) = (Arc::clone(&self.runtime), Arc::clone(&self.metrics));
        async move {
            let began = runtime.monotonic();
            let result = request.await;
            if matches!(result, Ok(ReadOutcome::Found(_))) {
                metrics.fetched(runtime.monotonic().saturating_since(began));
            }
            result
        }
    }

    /// Sends a request, and answers its slip once, even if the task that waits for it is dropped.
    fn send<A: Answer>(
        &self,
        machine: &Arc<impl Complete>,
        request: impl Request<A::Value>,
        timeout: Duration,
        slip: A,
        span: Span,
    ) {
        let request = self.within(timeout, request);
        let mut pending = Pending { machine: Arc::clone(machine), slip: Some(slip) };
        let task = async move { pending.answer(request.await) };
        // Where nobody follows it, it is not moved once more.
        self.runtime.spawn(match span.is_disabled() {
            true => Box::pin(task),
            false => Box::pin(task.instrument(span)),
        });
    }

    fn compute(
        &self,
        machine: &Arc<impl Complete>,
        bytes: usize,
        work: impl FnOnce(&mut Codec) -> Completion + Send + 'static,
    ) {
        if bytes <= INLINE_BYTES {
            machine.complete(codecs::with(work), None);
        } else {
            buffer_core::sometimes!(BlockingPoolUsed);
            let machine = Arc::clone(machine);
            self.processors.run(move || machine.complete(codecs::with(work), None));
        }
    }

    /// Waits for a request, but no longer than `timeout` from now.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        timeout: Duration,
        request: impl Request<T>,
    ) -> impl Request<T> {
        let timeout =
            if buffer_core::planted!(RequestsWaitForEver) { timeout * 10_000 } else { timeout };
        let sleep = self.runtime.sleep_until(self.runtime.monotonic() + timeout);
        let timed_out = async move {
            sleep.await;
            buffer_core::sometimes!(RequestTimedOut);
            Err(StoreFailure::from(StoreErrorKind::TimedOut))
        };
        // Nothing is boxed on the way: one task is one allocation.
        future::or(request, timed_out)
    }
}

/// A request that is not under way yet.
pub(crate) trait Request<T>:
    Future<Output = Result<T, StoreFailure>> + Send + 'static
{
}

impl<T, F: Future<Output = Result<T, StoreFailure>> + Send + 'static> Request<T> for F {}

/// What a request's result goes through on its way to a completion.
trait Answer: Send + 'static {
    type Value: Send + 'static;

    /// Since when the batch was asked for whose bytes have come, if that is what this is about.
    fn fetched(&self, _result: &Result<Self::Value, StoreFailure>) -> Option<Instant> {
        None
    }

    /// Failures go to the metrics on the way.
    fn complete(
        self,
        result: Result<Self::Value, StoreFailure>,
        metrics: &RequestMetrics,
    ) -> Completion;
}

/// The ticket of a request about one key.
struct Slip<T> {
    ticket: Ticket<Result<T, StoreError>>,
    operation: StoreOperation,
    location: Location,
}

impl<T> Slip<T> {
    const fn new(
        ticket: Ticket<Result<T, StoreError>>,
        operation: StoreOperation,
        location: Location,
    ) -> Self {
        Self { ticket, operation, location }
    }

    fn named(self, result: Result<T, StoreFailure>, metrics: &RequestMetrics) -> Named<T> {
        let result = result.map_err(|failure| failure.of(self.operation, self.location));
        if let Err(error) = &result {
            note_failure(metrics, error);
        }
        (self.ticket, result)
    }
}

pub(crate) fn note_failure(metrics: &RequestMetrics, error: &StoreError) {
    tracing::debug!(%error, "request failed");
    metrics.failed(error);
}

/// A ticket, and a result that says which request it is of.
type Named<T> = (Ticket<Result<T, StoreError>>, Result<T, StoreError>);

macro_rules! answers {
    ($($value:ty),* $(,)?) => {$(
        impl Answer for Slip<$value> {
            type Value = $value;

            fn complete(
                self,
                result: Result<$value, StoreFailure>,
                metrics: &RequestMetrics,
            ) -> Completion {
                let (ticket, result) = self.named(result, metrics);
                ticket.complete(result)
            }
        }
    )*};
}

answers! { WriteOutcome, ReadOutcome, ListPage }

/// The ticket of a request for a batch.
struct FetchSlip {
    slip: Slip<ReadOutcome>,
    since: Instant,
}

impl Answer for FetchSlip {
    type Value = ReadOutcome;

    fn fetched(&self, result: &Result<ReadOutcome, StoreFailure>) -> Option<Instant> {
        matches!(result, Ok(ReadOutcome::Found(_))).then_some(self.since)
    }

    fn complete(
        self,
        result: Result<ReadOutcome, StoreFailure>,
        metrics: &RequestMetrics,
    ) -> Completion {
        self.slip.complete(result, metrics)
    }
}

/// The ticket of a deletion, which has a result for each key.
struct DeleteSlip {
    ticket: Ticket<Vec<Result<(), StoreError>>>,
    locations: Vec<Location>,
}

impl Answer for DeleteSlip {
    type Value = Vec<Result<(), StoreFailure>>;

    fn complete(
        self,
        result: Result<Self::Value, StoreFailure>,
        metrics: &RequestMetrics,
    ) -> Completion {
        let count = self.locations.len();
        let mut results = result.unwrap_or_else(|failure| vec![Err(failure); count]);
        // A store that answers too little has said nothing of the rest.
        let missing = || Err(StoreFailure::new(StoreErrorKind::Transient, "the store did not say"));
        results.resize_with(count, missing);
        let named = results.into_iter().zip(self.locations).map(|(result, location)| {
            let result =
                result.map_err(|failure| failure.of(StoreOperation::DeleteBatch, location));
            if let Err(error) = &result {
                note_failure(metrics, error);
            }
            result
        });
        self.ticket.complete(named.collect())
    }
}

/// A request that is under way.
struct Pending<C: Complete, A: Answer> {
    machine: Arc<C>,
    slip: Option<A>,
}

impl<C: Complete, A: Answer> Pending<C, A> {
    fn answer(&mut self, result: Result<A::Value, StoreFailure>) {
        if let Some(slip) = self.slip.take() {
            let fetching_since = slip.fetched(&result);
            let completion = slip.complete(result, self.machine.requests());
            self.machine.complete(completion, fetching_since);
        }
    }
}

impl<C: Complete, A: Answer> Drop for Pending<C, A> {
    fn drop(&mut self) {
        buffer_core::sometimes!(RequestTaskDropped, self.slip.is_some());
        let reason = "the task that ran the request was dropped";
        self.answer(Err(StoreFailure::new(StoreErrorKind::Transient, reason)));
    }
}

pub(crate) fn unix_millis(time: SystemTime) -> UnixMillis {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    })
}
