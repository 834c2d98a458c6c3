//! The consumer's part of the loop: what is done with its machine's commands and events, and asked of it.

use std::sync::Arc;

use buffer_core as core;
use buffer_core::{
    CallMark, CollectError, Command, ConsumerEvent, Ended, FlushError, InitializeError, Instant,
    Next, NextError, Now,
};
use event_listener::{Event, EventListener};
use tracing::{Span, debug_span};

use crate::batch::{BatchDescriptor, ConsumedBatch, TakeOver};
use crate::engine::Role;
use crate::metrics::ConsumerMetrics;

#[derive(Debug)]
pub(super) struct ConsumerRole {
    pub(super) machine: core::Consumer,
    pub(super) metrics: ConsumerMetrics,
    pub(super) queue: Arc<str>,
    /// The collector's cycle that is under way, and when it began.
    pub(super) cycle: Option<(Span, Instant)>,
    pub(super) changed: Event,
    /// What the last `initialize` came to, once it is known.
    pub(super) initialized: Option<Result<TakeOver, InitializeError>>,
    pub(super) stopped: bool,
    /// `close` was called, or the handle was dropped.
    pub(super) let_go: bool,
}

impl Role for ConsumerRole {
    type Machine = core::Consumer;

    fn machine(&mut self) -> &mut core::Consumer {
        &mut self.machine
    }

    fn handle_command(&mut self, command: &Command, now: Instant) -> Span {
        self.follow_cycle(now);
        let queue = &self.queue;
        match command {
            Command::ReadManifest(_) => debug_span!("read_manifest", %queue),
            Command::CasManifest(_) if self.machine.epoch().is_none() => {
                debug_span!("take_over", %queue)
            }
            Command::CasManifest(_) => debug_span!("dequeue", %queue),
            Command::ReadBatch(read) => debug_span!("fetch", %queue, location = %read.location),
            Command::Decode(decode) => debug_span!("decode", %queue, bytes = decode.input_bytes()),
            Command::ListBatches(_) => debug_span!(parent: self.cycle_span(), "list"),
            Command::DeleteBatches(delete) => {
                let batches = delete.locations.len();
                debug_span!(parent: self.cycle_span(), "delete", batches)
            }
            Command::PutBatch(_) | Command::Encode(_) => Span::none(),
        }
    }

    fn handle_event(&mut self, event: ConsumerEvent, now: Instant) {
        match event {
            ConsumerEvent::Initialized { epoch, previous } => {
                tracing::info!(epoch = epoch.0, previous = previous.0, "took over the queue");
                let (epoch, previous) = (epoch.0, previous.0);
                self.initialized = Some(Ok(TakeOver { epoch, previous }));
            }
            ConsumerEvent::InitializeFailed(error) => self.initialized = Some(Err(error)),
            ConsumerEvent::Changed => {}
            ConsumerEvent::RepeatDropped { sequence, location } => {
                tracing::info!(sequence = sequence.0, %location, "dropped a batch listed twice");
            }
            ConsumerEvent::RepeatsForgotten { count } => {
                tracing::warn!(count, "too many names to remember: repeats may go unnoticed");
            }
            ConsumerEvent::Collected { deleted, failed, error } => {
                let cycle = self.cycle.take();
                if let Some((_, began)) = &cycle {
                    self.metrics.collected(now.saturating_since(*began));
                }
                let _within = cycle.as_ref().map(|(span, _)| span.enter());
                log_cycle(deleted, failed, error.as_ref());
            }
            ConsumerEvent::Ended(Ended::Closed) => tracing::debug!("the consumer is closed"),
            ConsumerEvent::Ended(ended) => tracing::warn!(%ended, "the consumer ended"),
        }
        self.changed.notify(usize::MAX);
    }

    fn report(&mut self, now: Instant) {
        self.metrics.report(&self.machine);
        self.follow_cycle(now);
        // One that was stopped has no end of its own.
        if !self.machine.is_collecting() {
            self.cycle = None;
        }
    }

    fn is_finished(&self) -> bool {
        self.machine.ended().is_some()
    }

    fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn handle_stop(&mut self) {
        self.metrics.report(&self.machine);
        if !std::mem::replace(&mut self.stopped, true) && !self.let_go {
            tracing::error!("the runtime stopped before the consumer was closed");
        }
        self.changed.notify(usize::MAX);
    }
}

/// Says what became of a cycle of the collector: loudly only what somebody should look into.
fn log_cycle(deleted: u64, failed: u64, error: Option<&CollectError>) {
    match error {
        // Every new queue is so.
        Some(error @ CollectError::NeverUsed) => {
            tracing::debug!(%error, "the collector deletes nothing");
        }
        Some(error) => {
            tracing::warn!(deleted, failed, %error, "the collector did not get through");
        }
        None if failed > 0 => {
            tracing::warn!(deleted, failed, "some batches could not be deleted");
        }
        None if deleted > 0 => tracing::info!(deleted, "deleted batches that nobody needs"),
        None => tracing::debug!("there was nothing to delete"),
    }
}

/// An answer, or who tells when to ask again.
pub(super) type Asked<T> = Result<T, EventListener>;

impl ConsumerRole {
    /// Notices that a cycle of the collector has begun.
    fn follow_cycle(&mut self, now: Instant) {
        if self.cycle.is_none() && self.machine.is_collecting() {
            let queue = &self.queue;
            self.cycle = Some((debug_span!("collect", %queue), now));
        }
    }

    fn cycle_span(&self) -> Option<tracing::Id> {
        self.cycle.as_ref().and_then(|(span, _)| span.id())
    }

    pub(super) const fn check_running(&self) -> Result<(), Ended> {
        if self.stopped { Err(Ended::Stopped) } else { Ok(()) }
    }

    pub(super) fn next(
        &mut self,
        now: Now,
        since: CallMark,
        wait: bool,
    ) -> Asked<Result<Option<ConsumedBatch>, NextError>> {
        if self.stopped {
            return Ok(Err(Ended::Stopped.into()));
        }
        buffer_core::sometimes!(CallsRace, self.changed.total_listeners() > 0);
        let listener = self.changed.listen();
        match self.machine.next(now, since, wait) {
            Ok(Next::Ready(batch)) => {
                self.metrics.handed_out(&batch.descriptor.metadata, now);
                Ok(Ok(Some(batch.into())))
            }
            Ok(Next::Empty) => Ok(Ok(None)),
            Ok(Next::Pending) => Err(listener),
            Err(error) => Ok(Err(error)),
        }
    }

    pub(super) fn next_descriptors(
        &mut self,
        now: Now,
        since: CallMark,
        max: usize,
    ) -> Asked<Result<Vec<BatchDescriptor>, NextError>> {
        if self.stopped {
            return Ok(Err(Ended::Stopped.into()));
        }
        let listener = self.changed.listen();
        match self.machine.next_descriptors(now, since, max) {
            Ok(Next::Ready(found)) => {
                self.metrics.described(found.len());
                if let Some(last) = found.last() {
                    self.metrics.handed_out(&last.metadata, now);
                }
                Ok(Ok(found.into_iter().map(Into::into).collect()))
            }
            Ok(Next::Empty) => Ok(Ok(Vec::new())),
            Ok(Next::Pending) => Err(listener),
            Err(error) => Ok(Err(error)),
        }
    }

    pub(super) fn flushed(&self, mark: core::FlushMark) -> Asked<Result<(), FlushError>> {
        let listener = self.changed.listen();
        match self.machine.flushed(mark) {
            Ok(true) => Ok(Ok(())),
            Ok(false) if self.stopped => Ok(Err(Ended::Stopped.into())),
            Ok(false) => Err(listener),
            Err(error) => Ok(Err(error)),
        }
    }
}
