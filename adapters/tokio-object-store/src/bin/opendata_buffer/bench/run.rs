//! One run: producers that are called, a consumer that drains if there is one, and what that took.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::measure::RequestCounts;
use buffer::{Consumer, Producer, ProducerStats, SystemClock};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::exit::Failure;
use crate::interrupt::Interrupt;

use super::course::{self, Course};
use super::drain::{Drain, Drained};
use super::load::{Called, Caller};
use super::meter::{self, Memory};
use super::options::{Batching, CallsInFlight, Length, Load, Rate, Reading};
use super::payload::Payload;
use super::place::Place;

/// How often it is looked whether a run is over.
const TICK: Duration = Duration::from_millis(10);

/// How often the progress is noted.
pub(crate) const SAMPLE: Duration = Duration::from_millis(100);

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) title: String,
    pub(crate) place: &'a Place,
    pub(crate) payload: Arc<Payload>,
    pub(crate) producers: usize,
    pub(crate) load: &'a Load,
    pub(crate) rate: Rate,
    pub(crate) batching: &'a Batching,
    pub(crate) length: &'a Length,
    /// The run ends when so many bytes are durable and not consumed.
    pub(crate) most_held: u64,
    pub(crate) reading: Option<&'a Reading>,
    /// Whether calls carry the time at which they were made.
    pub(crate) stamped: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    /// How long was measured.
    pub(crate) measured: Duration,
    /// From the first call until all was settled.
    pub(crate) took: Duration,
    pub(crate) called: Vec<Called>,
    pub(crate) latency: Histogram<u64>,
    /// Bytes of entries that became durable while it was measured, by producer.
    pub(crate) by_producer: Vec<u64>,
    pub(crate) stats: Vec<ProducerStats>,
    pub(crate) drained: Option<Drained>,
    pub(crate) counts: RequestCounts,
    /// CPU time, and the bytes that became durable in that time.
    pub(crate) cpu: Option<(Duration, u64)>,
    pub(crate) memory_before: Memory,
    pub(crate) memory: Memory,
    /// Since the origin, and the bytes that were durable by then.
    pub(crate) samples: Vec<(Duration, u64)>,
    /// It ended before its time: too much would have been held.
    pub(crate) was_full: bool,
}

impl Plan<'_> {
    pub(crate) async fn run(&self, stop: &Interrupt) -> Result<Ran, Failure> {
        let producers = self.open_producers()?;
        let consumer = self.open_consumer().await?;
        let counts_before = self.place.store.counts();
        meter::forget_peak();
        let memory_before = Memory::now();

        let course = Arc::new(Course::begin(self.length.warm_up()));
        let (all_written, written) = watch::channel(false);
        let draining = consumer.as_ref().map(|consumer| {
            let drain = Drain {
                consumer: Arc::clone(consumer),
                course: Arc::clone(&course),
                forget: self.place.is_memory().then(|| Arc::clone(&self.place.base)),
                entries_per_call: self.payload.entries_per_call(),
                stamped: self.stamped,
            };
            tokio::spawn(drain.run(written))
        });
        let (calling, mut all_stopped) = mpsc::channel::<()>(1);
        let callers = self.start(&producers, &course, calling);
        let watched = self.watch(&course, draining.as_ref(), stop).await;
        course.end();
        // The channel closes when the last caller has stopped.
        let _ = all_stopped.recv().await;
        for producer in &producers {
            // What failed is known to those who called.
            let _ = producer.close().await;
        }
        let mut called = Vec::new();
        for caller in callers {
            called.push(caller.await.map_err(task_failed)??);
        }
        let took = course.origin.elapsed();
        all_written.send_replace(true);
        let drained = match draining {
            Some(draining) => Some(draining.await.map_err(task_failed)??),
            None => None,
        };
        if let Some(consumer) = consumer {
            consumer.close().await?;
        }
        if stop.is_raised() {
            return Err(Failure::interrupted());
        }
        let mut ran = Ran {
            measured: course.measured(),
            took,
            called: Vec::new(),
            latency: course::histogram(),
            by_producer: vec![0; self.producers],
            stats: producers.iter().map(|producer| producer.stats()).collect(),
            drained,
            counts: self.place.store.counts().since(&counts_before),
            cpu: watched.cpu(),
            memory_before,
            memory: Memory::now(),
            samples: watched.samples,
            was_full: watched.was_full,
        };
        ran.add(called, self.payload.call_bytes() as u64);
        Ok(ran)
    }

    fn open_producers(&self) -> Result<Vec<Arc<Producer>>, Failure> {
        let config = self.place.producer_config(self.batching.config());
        let open = || {
            let store = self.place.measured();
            Ok(Arc::new(Producer::with_store(config.clone(), store, Arc::new(SystemClock))?))
        };
        (0..self.producers).map(|_| open()).collect()
    }

    async fn open_consumer(&self) -> Result<Option<Arc<Consumer>>, Failure> {
        let Some(reading) = self.reading else { return Ok(None) };
        let config = self.place.consumer_config(reading.config());
        let consumer = Consumer::with_store(config, self.place.measured(), Arc::new(SystemClock))?;
        consumer.initialize(None).await?;
        Ok(Some(Arc::new(consumer)))
    }

    fn start(
        &self,
        producers: &[Arc<Producer>],
        course: &Arc<Course>,
        calling: mpsc::Sender<()>,
    ) -> Vec<JoinHandle<Result<Called, Failure>>> {
        let tasks = self.load.tasks;
        let window = match self.load.calls_in_flight {
            CallsInFlight::AsManyAsGo => usize::MAX,
            CallsInFlight::Limit(calls) => calls.div_ceil(tasks),
        };
        let interval = match self.rate {
            Rate::AsManyAsGo => None,
            Rate::PerSecond(rate) => Duration::try_from_secs_f64(tasks as f64 / rate).ok(),
        };
        let callers = producers.iter().enumerate().flat_map(|(number, producer)| {
            (0..tasks).map(move |task| (number, producer, task as u64))
        });
        callers
            .map(|(number, producer, first)| {
                let caller = Caller {
                    producer: Arc::clone(producer),
                    number,
                    first,
                    step: tasks as u64,
                    window,
                    interval,
                    stamped: self.stamped,
                    payload: Arc::clone(&self.payload),
                    course: Arc::clone(course),
                };
                let calling = calling.clone();
                tokio::spawn(caller.run(move || drop(calling)))
            })
            .collect()
    }

    /// Watches until the run is to end.
    async fn watch(
        &self,
        course: &Course,
        draining: Option<&JoinHandle<Result<Drained, Failure>>>,
        stop: &Interrupt,
    ) -> Watched {
        let end = course.origin + self.length.duration();
        let bar = meter::progress(self.title.clone(), self.length.duration());
        let mut watched = Watched::default();
        let mut ticks = tokio::time::interval(TICK);
        let mut shown = Shown::default();
        loop {
            tokio::select! {
                biased;
                () = stop.raised() => break,
                _ = ticks.tick() => {}
            }
            let (now, durable) = (Instant::now(), course.durable());
            if watched.from.is_none() && now >= course.measured_from() {
                watched.from = meter::cpu_time().map(|cpu| (cpu, durable));
            }
            let elapsed = now.saturating_duration_since(course.origin);
            if watched.samples.last().is_none_or(|(last, _)| elapsed >= *last + SAMPLE) {
                watched.samples.push((elapsed, durable));
                shown.show(&bar, elapsed, durable);
            }
            watched.was_full = durable.saturating_sub(course.consumed()) >= self.most_held;
            // A consumer that ended has failed.
            let is_alone = draining.is_some_and(JoinHandle::is_finished);
            if watched.was_full || is_alone || now >= end {
                break;
            }
        }
        watched.to = meter::cpu_time().map(|cpu| (cpu, course.durable()));
        bar.finish_and_clear();
        watched
    }
}

fn task_failed(error: tokio::task::JoinError) -> Failure {
    Failure::failed(format!("a task of the measurement ended: {error}"))
}

/// What was seen of a run while it went on.
#[derive(Debug, Default)]
struct Watched {
    samples: Vec<(Duration, u64)>,
    /// CPU time and durable bytes, at both ends of what is measured.
    from: Option<(Duration, u64)>,
    to: Option<(Duration, u64)>,
    was_full: bool,
}

impl Watched {
    fn cpu(&self) -> Option<(Duration, u64)> {
        let ((from, before), (to, after)) = (self.from?, self.to?);
        Some((to.saturating_sub(from), after.saturating_sub(before)))
    }
}

/// What was last shown.
#[derive(Default)]
struct Shown(VecDeque<(Duration, u64)>);

impl Shown {
    /// Over how many samples the shown rate is taken.
    const SAMPLES: usize = 10;

    fn show(&mut self, bar: &ProgressBar, elapsed: Duration, durable: u64) {
        self.0.push_back((elapsed, durable));
        if self.0.len() > Self::SAMPLES {
            self.0.pop_front();
        }
        let (then, before) = self.0[0];
        let seconds = elapsed.saturating_sub(then).as_secs_f64();
        let rate = if seconds > 0.0 { (durable - before) as f64 / seconds / 1e6 } else { 0.0 };
        bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{rate:.0} MB/s, {:.1} GB durable", durable as f64 / 1e9));
    }
}

impl Ran {
    fn add(&mut self, called: Vec<Called>, call_bytes: u64) {
        for task in &called {
            self.latency.add(&task.latency).expect("their bounds are the same");
            self.by_producer[task.number] += task.measured_calls * call_bytes;
        }
        self.called = called;
    }

    /// Bytes of entries that became durable while it was measured.
    pub(crate) fn measured_bytes(&self) -> u64 {
        self.by_producer.iter().sum()
    }

    pub(crate) fn measured_calls(&self) -> u64 {
        self.called.iter().map(|task| task.measured_calls).sum()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.called.iter().map(|task| task.calls).sum()
    }

    pub(crate) fn failed_calls(&self) -> u64 {
        self.called.iter().map(Called::failed_calls).sum()
    }
}
