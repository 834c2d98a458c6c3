//! The producer's handle.

mod watcher;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use buffer_core as core;
use buffer_core::{
    BatchId, Command, DeliveryError, DeliveryFailure, Now, ProducerEvent, Submission, SubmitError,
};
use bytes::Bytes;
use event_listener::{Event, EventListener};
use tracing::{Span, debug_span, field, trace_span};

use crate::config::{ConfigError, ProducerConfig};
use crate::engine::{Engine, Role};
use crate::host::Host;
use crate::metrics::{ProducerMetrics, RequestMetrics, outcome, queue_name};
use crate::runtime::{Clock, Runtime};
use crate::store::Store;

use watcher::Settlement;
pub use watcher::{DurabilityWatcher, WriteHandle};

/// How long calls may come without a rest before one of them makes way for the runtime's other work.
const REST_AFTER: Duration = Duration::from_millis(1);

/// How many failures are kept apart for `flush` and `close` to report; past that the oldest are taken together.
const REMEMBERED_FAILURES: usize = 64;

/// Batches entries, uploads the batches, and lists them in the queue's manifest.
///
/// A handle is shared by reference: every method takes `&self`. One that is
/// dropped without [`close`](Self::close) logs a warning and delivers what it
/// holds in the background, as long as its runtime runs.
///
/// ```
/// use buffer_driver::{Producer, SubmitError};
///
/// /// Sends lines, each as an entry of its own; works with a producer of any adapter.
/// async fn send(producer: &Producer, text: &str) -> Result<(), SubmitError> {
///     for line in text.lines() {
///         producer.produce(vec![line.to_owned().into()], "".into()).await?;
///     }
///     Ok(())
/// }
/// # use std::sync::Arc;
/// # use buffer_driver::{ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = ProducerConfig { store: "memory:doc producer".into(), ..ProducerConfig::default() };
/// # let producer = buffer::Producer::new(config, Arc::new(SystemClock))?;
/// send(&producer, "one\ntwo").await?;
/// producer.flush().await?; // both are durable
/// assert_eq!(producer.stats().buffered_bytes, 0);
/// producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Producer {
    engine: Arc<Engine<ProducerRole>>,
}

/// What a producer has done so far, and what it holds.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let producer = buffer::Producer::with_store(ProducerConfig::default(), store, clock)?;
/// producer.produce(vec!["one".into()], "a note".into()).await?;
/// assert!(producer.stats().buffered_bytes > "one".len() + "a note".len());
/// producer.flush().await?;
/// let stats = producer.stats();
/// assert_eq!((stats.batches_durable, stats.swaps, stats.buffered_bytes), (1, 1, 0));
/// assert_eq!(producer.conflict_rate(), 0.0, "nobody else writes this manifest");
/// # producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerStats {
    /// Batches that became durable.
    pub batches_durable: u64,
    /// Batches that were given up, or whose outcome is unknown.
    pub batches_failed: u64,
    /// Manifest swaps sent.
    pub swaps: u64,
    /// Manifest swaps that were answered with a conflict.
    pub conflicts: u64,
    /// Bytes that what is submitted and not settled takes, what it takes to keep track of it included: it is these
    /// that `max_buffered_bytes` limits.
    pub buffered_bytes: usize,
    /// Batches past sealing and not settled.
    pub inflight_batches: usize,
}

/// Notices a call that its caller drops while it waits for room.
struct Cancelled;

impl Drop for Cancelled {
    fn drop(&mut self) {
        buffer_core::sometimes!(ProduceCancelled);
    }
}

/// A call that was told of room, and passes that on if it is dropped before it takes it.
struct Turn<'a>(&'a Engine<ProducerRole>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.look(|role| role.room.notify(1));
    }
}

#[derive(Debug)]
struct ProducerRole {
    machine: core::Producer,
    metrics: ProducerMetrics,
    queue: Arc<str>,
    /// Batches that are being encoded, or are past that, and when that began.
    flushes: BTreeMap<BatchId, (Span, core::Instant)>,
    unsettled: BTreeMap<BatchId, Arc<Settlement>>,
    /// Told whenever a batch is settled, and at the end.
    settled: Event,
    /// Told one by one when there is room.
    room: Event,
    failures: VecDeque<Failures>,
    /// Failures up to here were reported by a flush.
    reported: Option<BatchId>,
    stage: Stage,
    /// When a caller was last asked to make way.
    last_rest: core::Instant,
    /// `close` was called, or the handle was dropped.
    let_go: bool,
}

/// Batches that failed: one, or the oldest of many.
#[derive(Debug)]
struct Failures {
    first: BatchId,
    last: BatchId,
    /// Why the first of them did.
    error: DeliveryError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Closed,
    /// The runtime dropped the loop.
    Stopped,
}

/// What a flush waits for, and which failures it reports.
#[derive(Clone, Copy)]
struct FlushScope {
    through: Option<BatchId>,
    reported: Option<BatchId>,
}

impl ProducerRole {
    /// Tells how a batch's flush ended; without a time, where the runtime has stopped.
    fn end_flush(
        &mut self,
        batch: BatchId,
        result: Result<&(), &DeliveryError>,
        now: Option<core::Instant>,
    ) {
        let flush = self.flushes.remove(&batch);
        match result {
            Ok(()) => {
                if let (Some((span, began)), Some(now)) = (flush, now) {
                    span.record("outcome", "durable");
                    self.metrics.flushed(now.saturating_since(began));
                }
            }
            Err(error) => {
                if let Some((span, _)) = flush {
                    span.record("outcome", outcome(error));
                }
                self.metrics.gave_up(error);
            }
        }
    }

    /// Whether calls have come for so long without a rest that the next one should make way.
    fn is_rest_due(&mut self, now: core::Now) -> bool {
        let is_due = now.monotonic.saturating_since(self.last_rest) >= REST_AFTER;
        if is_due {
            self.last_rest = now.monotonic;
        }
        is_due
    }

    fn submit(
        &mut self,
        now: core::Now,
        submission: Submission,
        has_waited: bool,
    ) -> Result<WriteHandle, (SubmitError, Option<EventListener>)> {
        if self.stage == Stage::Stopped {
            return Err((SubmitError::Stopped(submission), None));
        }
        match self.machine.submit(now, submission) {
            Ok(receipt) => {
                let batch = Arc::clone(self.unsettled.entry(receipt.batch).or_default());
                if has_waited {
                    buffer_core::sometimes!(WaitedForRoom);
                    // Whoever waits behind us may fit as well.
                    self.room.notify(1);
                }
                let watcher = DurabilityWatcher { batch };
                Ok(WriteHandle { watcher, ingestion_time_ms: receipt.ingestion_time.0 })
            }
            Err(error @ SubmitError::Full(_)) => Err((error, Some(self.room.listen()))),
            Err(error) => Err((error, None)),
        }
    }

    fn flush_scope(&self) -> FlushScope {
        let through = self.unsettled.last_key_value().map(|(id, _)| *id);
        let last_failure = self.failures.iter().map(|failures| failures.last).max();
        FlushScope { through: through.max(last_failure), reported: self.reported }
    }

    /// Whether everything in the scope is settled, and if so, how.
    fn flushed(&mut self, scope: FlushScope) -> Option<Result<(), DeliveryError>> {
        let first = self.unsettled.first_key_value().map(|(id, _)| *id);
        if first.is_some_and(|first| Some(first) <= scope.through) {
            return None;
        }
        self.reported = self.reported.max(scope.through);
        let in_scope = |failures: &&Failures| {
            Some(failures.last) > scope.reported && Some(failures.first) <= scope.through
        };
        let failures = self.failures.iter().find(in_scope);
        buffer_core::sometimes!(FlushToldFailure, failures.is_some());
        let had_failed = self.failures.iter().any(|earlier| Some(earlier.last) <= scope.reported);
        buffer_core::sometimes!(FlushWellAfterFailure, failures.is_none() && had_failed);
        Some(failures.map_or(Ok(()), |failures| Err(failures.error.clone())))
    }

    /// Keeps a failure for those who flush. However many there are, none that was not reported is forgotten.
    fn remember(&mut self, batch: BatchId, error: DeliveryError) {
        self.failures.push_back(Failures { first: batch, last: batch, error });
        if self.failures.len() <= REMEMBERED_FAILURES {
            return;
        }
        let oldest = self.failures.pop_front().expect("there are many");
        if Some(oldest.last) > self.reported {
            let next = self.failures.front_mut().expect("there are many");
            let (first, last) = (next.first.min(oldest.first), next.last.max(oldest.last));
            *next = Failures { first, last, error: oldest.error };
        }
    }

    fn settle(
        &mut self,
        batch: BatchId,
        outcome: Result<(), DeliveryError>,
        now: Option<core::Instant>,
    ) {
        self.end_flush(batch, outcome.as_ref(), now);
        if let Err(error) = &outcome {
            tracing::warn!(%error, "a batch did not become durable");
            if !buffer_core::planted!(BackgroundFailureNotTold) {
                self.remember(batch, error.clone());
            }
        }
        if let Some(settlement) = self.unsettled.remove(&batch) {
            settlement.outcome.set(outcome).expect("a batch is settled once");
            settlement.settled.notify(usize::MAX);
        }
        self.settled.notify(usize::MAX);
    }
}

impl Role for ProducerRole {
    type Machine = core::Producer;

    fn machine(&mut self) -> &mut core::Producer {
        &mut self.machine
    }

    fn handle_command(&mut self, command: &Command, now: core::Instant) -> Span {
        let queue = &self.queue;
        match command {
            Command::Encode(encode) => {
                let batch = encode.batch();
                let flush = debug_span!("flush", %queue, batch = batch.0, outcome = field::Empty);
                let bytes = encode.input_bytes();
                let span = debug_span!(parent: flush.id(), "encode", bytes);
                self.flushes.insert(batch, (flush, now));
                span
            }
            Command::PutBatch(put) => {
                let flush = self.flushes.get(&put.batch).and_then(|(span, _)| span.id());
                debug_span!(parent: flush, "upload", location = %put.location)
            }
            Command::CasManifest(_) => debug_span!("commit", %queue),
            Command::ReadManifest(_) => debug_span!("read_manifest", %queue),
            Command::ReadBatch(_)
            | Command::ListBatches(_)
            | Command::DeleteBatches(_)
            | Command::Decode(_) => Span::none(),
        }
    }

    fn handle_event(&mut self, event: ProducerEvent, now: core::Instant) {
        match event {
            ProducerEvent::Settled { batch, outcome } => self.settle(batch, outcome, Some(now)),
            ProducerEvent::Ready => {
                self.room.notify(1);
            }
            ProducerEvent::Closed => {
                self.stage = Stage::Closed;
                self.settled.notify(usize::MAX);
                self.room.notify(usize::MAX);
            }
        }
    }

    fn report(&mut self, now: core::Instant) {
        self.metrics.report(&self.machine, now);
    }

    fn is_finished(&self) -> bool {
        self.stage == Stage::Closed
    }

    fn is_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }

    fn handle_stop(&mut self) {
        if self.stage == Stage::Stopped {
            return;
        }
        self.stage = Stage::Stopped;
        self.metrics.report_done(&self.machine);
        if !self.unsettled.is_empty() {
            let batches = self.unsettled.len();
            tracing::error!(batches, "the runtime stopped before these batches were settled");
        }
        while let Some((batch, _)) = self.unsettled.first_key_value() {
            let error = DeliveryError::Unknown(DeliveryFailure::Stopped);
            self.settle(*batch, Err(error), None);
        }
        self.settled.notify(usize::MAX);
        self.room.notify(usize::MAX);
    }
}

impl Producer {
    /// A producer over a store, on a runtime. Adapters offer more convenient constructors.
    ///
    /// `config.store` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn with_store(
        config: &ProducerConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, ConfigError> {
        let machine = core::Producer::new(config.to_core(), runtime.entropy())?;
        let queue = queue_name(&*store, &config.manifest_path);
        let requests = Arc::new(RequestMetrics::of_producer(Arc::clone(&queue)));
        let role = ProducerRole {
            machine,
            metrics: ProducerMetrics::new(Arc::clone(&requests)),
            queue,
            flushes: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            settled: Event::new(),
            room: Event::new(),
            failures: VecDeque::new(),
            reported: None,
            stage: Stage::Running,
            last_rest: core::Instant::default(),
            let_go: false,
        };
        let host = Host::new(runtime, store, clock, requests);
        Ok(Self { engine: Engine::start(host, role) })
    }

    /// Submits entries, which stay together and in order, and metadata about them.
    ///
    /// Returns as soon as they are in the open batch; the handle's watcher
    /// tells when they are durable. Waits while `max_buffered_bytes` are held.
    /// Cancel-safe: a call that is dropped while it waits has submitted nothing.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with the submission in it: it has no entries, is too
    /// large to ever be held, or the producer takes no more. Never [`SubmitError::Full`].
    pub async fn produce(
        &self,
        entries: Vec<Bytes>,
        metadata: Bytes,
    ) -> Result<WriteHandle, SubmitError> {
        let queue = self.engine.host.metrics.queue();
        let span = trace_span!("submit", %queue, entries = entries.len());
        let mut submission = Submission { entries, metadata };
        let mut waiting_since = None;
        loop {
            let has_waited = waiting_since.is_some();
            let turn = has_waited.then(|| Turn(&self.engine));
            self.engine.make_way().await;
            mem::forget(turn);
            let submit = |role: &mut ProducerRole, now: Now| {
                if role.is_rest_due(now) {
                    self.engine.note_crowd();
                }
                let submitted = role.submit(now, submission, has_waited);
                match (&submitted, waiting_since) {
                    (Err((_, Some(_))), None) => {
                        waiting_since = Some(now.monotonic);
                        role.metrics.waits();
                    }
                    (Ok(_) | Err((_, None)), Some(since)) => {
                        role.metrics.waited(now.monotonic.saturating_since(since));
                    }
                    (Ok(_) | Err((_, None)), None) | (Err((_, Some(_))), Some(_)) => {}
                }
                submitted
            };
            // The whole call is in the span's time; instrumented as a future, it would be moved once more.
            let submitted = span.in_scope(|| self.engine.with(submit));
            match submitted {
                Ok(handle) => return Ok(handle),
                Err((error, Some(listener))) => {
                    submission = error.into_submission();
                    let cancelled = Cancelled;
                    listener.await;
                    mem::forget(cancelled);
                }
                Err((error, None)) => return Err(error),
            }
        }
    }

    /// Seals the open batch, and waits until everything submitted so far is settled. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The first failure of a batch that no `flush` has reported yet, whether
    /// this call or the timer sealed it. Later ones count as reported with it:
    /// each call's own watcher tells what became of its entries.
    pub async fn flush(&self) -> Result<(), DeliveryError> {
        let scope = self.engine.with(|role, now| {
            role.machine.flush(now);
            role.flush_scope()
        });
        self.wait_flushed(scope).await
    }

    async fn wait_flushed(&self, scope: FlushScope) -> Result<(), DeliveryError> {
        loop {
            let checked = self.engine.with(|role, _| match role.flushed(scope) {
                Some(result) => Ok(result),
                None => Err(role.settled.listen()),
            });
            match checked {
                Ok(result) => return result,
                Err(listener) => listener.await,
            }
        }
    }

    /// Takes no more submissions, and waits until everything submitted is settled.
    ///
    /// Ends within `delivery_timeout` and `request_timeout` together. Calling it
    /// again is harmless. Cancel-safe: closing goes on in the background.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn close(&self) -> Result<(), DeliveryError> {
        let scope = self.engine.with(|role, now| {
            role.let_go = true;
            role.machine.close(now);
            role.flush_scope()
        });
        self.wait_flushed(scope).await?;
        loop {
            let listener = self
                .engine
                .look(|role| (role.stage == Stage::Running).then(|| role.settled.listen()));
            match listener {
                Some(listener) => listener.await,
                None => return Ok(()),
            }
        }
    }

    /// Brings the [metrics](crate::metrics) up to date, for whoever is about to read them: ages rise by themselves.
    ///
    /// ```
    /// use buffer_driver::Producer;
    ///
    /// /// Answers a scrape; `render` is the recorder's, which writes down what it was told last.
    /// fn scrape(producer: &Producer, render: impl Fn() -> String) -> String {
    ///     producer.refresh_metrics();
    ///     render()
    /// }
    /// # use std::sync::Arc;
    /// # use buffer_driver::{MemoryStore, ProducerConfig, SystemClock};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
    /// # let producer = buffer::Producer::with_store(ProducerConfig::default(), store, clock)?;
    /// # assert_eq!(scrape(&producer, || "a page".into()), "a page");
    /// # producer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh_metrics(&self) {
        self.engine.report();
    }

    /// What was done so far, and what is held.
    #[must_use]
    pub fn stats(&self) -> ProducerStats {
        self.engine.look(|role| {
            let stats = role.machine.stats();
            ProducerStats {
                batches_durable: stats.batches_durable,
                batches_failed: stats.batches_failed,
                swaps: stats.swaps,
                conflicts: stats.conflicts,
                buffered_bytes: role.machine.buffered_bytes(),
                inflight_batches: role.machine.inflight_batches(),
            }
        })
    }

    /// The fraction of manifest swaps that met a conflict; zero before the first.
    #[must_use]
    pub fn conflict_rate(&self) -> f64 {
        let stats = self.stats();
        if stats.swaps == 0 { 0.0 } else { stats.conflicts as f64 / stats.swaps as f64 }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.engine.with(|role, now| {
            if role.let_go || role.stage != Stage::Running {
                return;
            }
            buffer_core::sometimes!(ProducerDropped);
            let bytes = role.machine.buffered_bytes();
            tracing::warn!(
                bytes,
                "a producer was dropped without `close`; delivering in the background"
            );
            role.let_go = true;
            role.machine.close(now);
        });
    }
}
