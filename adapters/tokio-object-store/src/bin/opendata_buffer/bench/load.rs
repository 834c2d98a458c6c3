//! Tasks that call producers, and tasks that wait for what becomes of the calls.
//!
//! They have to cost less than what they measure: a call costs one reading of
//! the clock, and a lock that nobody else wants; a batch costs one message.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use buffer::{DeliveryError, DurabilityWatcher, Producer};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::{Notify, mpsc};

use crate::exit::{self, Failure};

use super::course::{self, Course};
use super::payload::Payload;

/// One producer's calls, or the part of them that one task makes.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) producer: Arc<Producer>,
    /// Which of the producers that is.
    pub(crate) number: usize,
    /// The task makes calls `first`, `first + step`, ...
    pub(crate) first: u64,
    pub(crate) step: u64,
    /// How many calls may be unsettled.
    pub(crate) window: usize,
    /// How often it calls, if not as often as it can.
    pub(crate) interval: Option<Duration>,
    /// Whether each call carries the time at which it was made.
    pub(crate) stamped: bool,
    pub(crate) payload: Arc<Payload>,
    pub(crate) course: Arc<Course>,
}

/// What became of one task's calls.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) number: usize,
    first: u64,
    step: u64,
    /// How many were taken.
    pub(crate) calls: u64,
    /// Those, by their place among the task's, that did not become durable.
    failed: Vec<Failed>,
    /// From the call to its acknowledgement, of those that were measured.
    pub(crate) latency: Histogram<u64>,
    /// How many calls were settled while it was measured.
    pub(crate) measured_calls: u64,
    /// The first failure.
    pub(crate) failure: Option<DeliveryError>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    from: u64,
    count: u64,
    /// Whether they may be in the queue all the same.
    unknown: bool,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Durable,
    NotDelivered,
    Unknown,
}

impl Called {
    /// So many calls of the first producer, all of them durable.
    #[cfg(test)]
    pub(crate) fn durable(calls: u64) -> Self {
        Self {
            number: 0,
            first: 0,
            step: 1,
            calls,
            failed: Vec::new(),
            latency: course::histogram(),
            measured_calls: 0,
            failure: None,
        }
    }

    /// Each call's number, and what became of it.
    pub(crate) fn fates(&self) -> impl Iterator<Item = (u64, Fate)> + '_ {
        let mut failed = self.failed.iter().peekable();
        (0..self.calls).map(move |place| {
            while failed.next_if(|failed| failed.from + failed.count <= place).is_some() {}
            let fate = match failed.peek() {
                Some(failed) if failed.from <= place => {
                    if failed.unknown {
                        Fate::Unknown
                    } else {
                        Fate::NotDelivered
                    }
                }
                Some(_) | None => Fate::Durable,
            };
            (self.first + place * self.step, fate)
        })
    }

    /// How many calls did not become durable.
    pub(crate) fn failed_calls(&self) -> u64 {
        self.failed.iter().map(|failed| failed.count).sum()
    }
}

/// Calls of one task that are in one batch.
#[derive(Debug)]
struct Group {
    watcher: DurabilityWatcher,
    calls: Arc<Mutex<Calls>>,
}

#[derive(Debug)]
struct Calls {
    /// The place of the first of them among the task's.
    from: u64,
    made: Vec<Instant>,
    /// The batch is settled: whoever comes late begins a new group.
    settled: bool,
}

/// How many calls are unsettled.
#[derive(Debug)]
struct Window {
    limit: usize,
    taken: AtomicUsize,
    freed: Notify,
}

impl Window {
    async fn take(&self) {
        while self.taken.load(Ordering::Acquire) >= self.limit {
            self.freed.notified().await;
        }
        self.taken.fetch_add(1, Ordering::AcqRel);
    }

    fn free(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::AcqRel);
        self.freed.notify_one();
    }
}

impl Caller {
    /// Calls until the run ends, and then waits until all calls are settled.
    ///
    /// `stopped` is told when no more calls come; somebody has to close the producer then.
    pub(crate) async fn run(self, stopped: impl FnOnce()) -> Result<Called, Failure> {
        let window = Arc::new(Window {
            limit: self.window,
            taken: AtomicUsize::new(0),
            freed: Notify::new(),
        });
        let (groups, waiting) = mpsc::unbounded_channel();
        let called = Called {
            number: self.number,
            first: self.first,
            step: self.step,
            calls: 0,
            failed: Vec::new(),
            latency: course::histogram(),
            measured_calls: 0,
            failure: None,
        };
        let settling = Settling {
            window: Arc::clone(&window),
            course: Arc::clone(&self.course),
            call_bytes: self.payload.call_bytes() as u64,
            called,
        };
        let settling = tokio::spawn(settling.run(waiting));
        let calls = self.call(&window, groups).await;
        stopped();
        let mut called = settling.await.map_err(|error| Failure::failed(error.to_string()))?;
        called.calls = calls?;
        Ok(called)
    }

    /// Makes calls; says how many were taken.
    async fn call(
        &self,
        window: &Window,
        groups: mpsc::UnboundedSender<Group>,
    ) -> Result<u64, Failure> {
        let mut open: Option<Group> = None;
        let mut place = 0;
        while !self.course.has_ended() {
            window.take().await;
            let Some(made) = self.next_time(place).await else { break };
            let metadata = if self.stamped { self.stamp(made) } else { Bytes::new() };
            let entries = self.payload.call(self.number, self.first + place * self.step);
            let handle = self.producer.produce(entries, metadata).await;
            let handle = handle.map_err(|error| Failure::failed(exit::chain(&error)))?;
            let joined = open.as_ref().is_some_and(|open| open.join(&handle.watcher, made));
            if !joined {
                let group = Group::new(handle.watcher, place, made);
                let sent = groups.send(Group {
                    watcher: group.watcher.clone(),
                    calls: Arc::clone(&group.calls),
                });
                if sent.is_err() {
                    return Err(Failure::failed("the task that waits for settlements ended"));
                }
                open = Some(group);
            }
            place += 1;
        }
        Ok(place)
    }

    /// Waits until the next call is due; `None` at the end of the run.
    async fn next_time(&self, place: u64) -> Option<Instant> {
        let Some(interval) = self.interval else { return Some(Instant::now()) };
        let due = self.course.origin
            + interval.mul_f64(place as f64 + self.first as f64 / self.step as f64);
        if due <= Instant::now() {
            // The call is late because those before it were slow: that counts.
            return Some(due);
        }
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => Some(Instant::now()),
            () = self.course.until_ended() => None,
        }
    }

    fn stamp(&self, made: Instant) -> Bytes {
        let since = course::nanos(made.saturating_duration_since(self.course.origin));
        Bytes::copy_from_slice(&since.to_le_bytes())
    }
}

impl Group {
    fn new(watcher: DurabilityWatcher, from: u64, made: Instant) -> Self {
        let calls = Calls { from, made: vec![made], settled: false };
        Self { watcher, calls: Arc::new(Mutex::new(calls)) }
    }

    /// Adds a call, if it is in the same batch and that is not settled yet.
    fn join(&self, watcher: &DurabilityWatcher, made: Instant) -> bool {
        if !self.watcher.is_same_batch(watcher) {
            return false;
        }
        let mut calls = lock(&self.calls);
        if !calls.settled {
            calls.made.push(made);
        }
        !calls.settled
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The other half of a caller: waits for its groups, one after the other, as they are settled in order.
struct Settling {
    window: Arc<Window>,
    course: Arc<Course>,
    call_bytes: u64,
    called: Called,
}

impl Settling {
    async fn run(mut self, mut groups: mpsc::UnboundedReceiver<Group>) -> Called {
        while let Some(group) = groups.recv().await {
            let outcome = group.watcher.await_durable().await;
            self.settle(&group, outcome);
        }
        self.called
    }

    fn settle(&mut self, group: &Group, outcome: Result<(), DeliveryError>) {
        let now = Instant::now();
        let (from, made) = {
            let mut calls = lock(&group.calls);
            calls.settled = true;
            (calls.from, mem::take(&mut calls.made))
        };
        match outcome {
            Ok(()) => {
                self.course.add_durable(self.call_bytes * made.len() as u64);
                if self.course.is_measured(now) {
                    self.called.measured_calls += made.len() as u64;
                    for made in &made {
                        let took = course::micros(now.saturating_duration_since(*made));
                        self.called.latency.saturating_record(took);
                    }
                }
            }
            Err(error) => {
                let unknown = matches!(error, DeliveryError::Unknown(_));
                self.called.failed.push(Failed { from, count: made.len() as u64, unknown });
                self.called.failure.get_or_insert(error);
            }
        }
        self.window.free(made.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_number_and_its_fate() {
        let failed = |from, count, unknown| Failed { from, count, unknown };
        let called = Called {
            first: 1,
            step: 3,
            failed: vec![failed(1, 2, false), failed(3, 1, true)],
            ..Called::durable(6)
        };
        let expected = [
            (1, Fate::Durable),
            (4, Fate::NotDelivered),
            (7, Fate::NotDelivered),
            (10, Fate::Unknown),
            (13, Fate::Durable),
            (16, Fate::Durable),
        ];
        assert_eq!(called.fates().collect::<Vec<_>>(), expected);
        assert_eq!(called.failed_calls(), 3);
    }
}
