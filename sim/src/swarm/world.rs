//! One world, what the application saw in it, and the run from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{
    Jitter, Latency, Process, ProcessId, Request, SimOptions, SimRuntime, SimStore, Verdict,
};
use bytes::Bytes;
use futures_lite::future;

use super::database::Database;
use super::oracles::{Oracles, Rules};
use super::plan::Plan;
use super::{Failure, Invariant, Options, Report};
use super::{consumers, faults, producers};
use super::{ms, secs};

/// A request, and what became of it.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) verdict: Verdict,
}

pub(crate) use super::oracles::Outcome;

/// One `produce` call, as its caller knows it.
#[derive(Clone, Debug)]
pub(crate) struct Submitted {
    pub(crate) process: ProcessId,
    pub(crate) entries: Vec<Bytes>,
    pub(crate) metadata: Bytes,
    /// When the producer took it, how many it had taken before, and the time that it stamped on it.
    pub(crate) taken: Option<(Duration, usize, i64)>,
    pub(crate) outcome: Option<(Duration, Outcome)>,
}

#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) submitted: Vec<Submitted>,
    pub(crate) taken: BTreeMap<ProcessId, usize>,
    /// What each consumer process acknowledged, and when.
    pub(crate) acked: BTreeMap<ProcessId, Vec<(Duration, u64)>>,
}

pub(crate) struct World {
    pub(crate) runtime: SimRuntime,
    pub(crate) store: SimStore,
    pub(crate) plan: Plan,
    pub(crate) unkind: AtomicBool,
    witness: Mutex<Witness>,
    pub(crate) oracles: Arc<Mutex<Oracles>>,
    asked: Mutex<Vec<Asked>>,
    database: Mutex<Database>,
    processes: Mutex<Vec<(Process, bool)>>,
    /// Processes that were ever paused: their promises about time are off.
    paused: Mutex<Vec<ProcessId>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    fn new(runtime: &SimRuntime, plan: Plan, without: BTreeSet<Invariant>) -> Arc<Self> {
        let store = SimStore::new(runtime, plan.profile);
        store.set_latency(plan.latency);
        let rules = Rules {
            manifest: super::manifest(),
            prefix: "ingest".to_owned(),
            grace: super::plan::GRACE,
            time_grain: Duration::ZERO,
            collected_within: None,
        };
        let oracles = Arc::new(Mutex::new(Oracles::new(rules, without)));
        let told = Arc::clone(&oracles);
        store.observe(move |by, location, bytes, now| {
            locked(&told).written(by, location, bytes, now);
        });
        Arc::new(Self {
            runtime: runtime.clone(),
            store,
            plan,
            unkind: AtomicBool::new(true),
            witness: Mutex::default(),
            oracles,
            asked: Mutex::default(),
            database: Mutex::default(),
            processes: Mutex::default(),
            paused: Mutex::default(),
        })
    }

    pub(crate) fn witness(&self) -> MutexGuard<'_, Witness> {
        locked(&self.witness)
    }

    pub(crate) fn oracles(&self) -> MutexGuard<'_, Oracles> {
        locked(&self.oracles)
    }

    pub(crate) fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        locked(&self.asked)
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        locked(&self.database)
    }

    /// Takes note of an invariant that does not hold.
    pub(crate) fn violated(&self, invariant: Invariant, what: impl std::fmt::Display) {
        self.runtime.record(format_args!("VIOLATED {invariant}: {what}"));
        self.oracles().violated(invariant, what.to_string());
    }

    pub(crate) fn check(&self, holds: bool, invariant: Invariant, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, what());
        }
    }

    pub(crate) fn is_unkind(&self) -> bool {
        self.unkind.load(Relaxed)
    }

    pub(crate) fn process(&self, role: &str) -> Process {
        let process = self.runtime.process(role);
        if self.plan.processes.wrong_clocks {
            let mut random = self.runtime.random(&format!("clock of {}", process.id()));
            let by = secs(random.u64(..86_400));
            match random.u32(..3) {
                0 => process.clock().jump(by),
                1 => process.clock().jump_back(by),
                _ => {}
            }
        }
        locked(&self.processes).push((process.clone(), role == "producer"));
        process
    }

    pub(crate) fn is_producer(&self, id: ProcessId) -> bool {
        let processes = locked(&self.processes);
        processes.iter().any(|(process, is_producer)| process.id() == id && *is_producer)
    }

    pub(crate) fn is_crashed(&self, id: ProcessId) -> bool {
        let processes = locked(&self.processes);
        processes.iter().any(|(process, _)| process.id() == id && process.is_crashed())
    }

    pub(crate) fn was_paused(&self, id: ProcessId) -> bool {
        locked(&self.paused).contains(&id)
    }

    /// Waits, but not past the end of the unkind time.
    pub(crate) async fn rest(&self, duration: Duration) {
        let end = self.runtime.elapsed() + duration;
        while self.is_unkind() && self.runtime.elapsed() < end {
            let left = end - self.runtime.elapsed();
            self.runtime.sleep(left.min(ms(500))).await;
        }
    }

    /// What a future gives within a time.
    pub(crate) async fn within<T>(
        &self,
        duration: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let late = async {
            self.runtime.sleep(duration).await;
            None
        };
        future::or(async { Some(future.await) }, late).await
    }

    /// Pauses processes and sets clocks, at random, as long as the world is unkind.
    async fn disturb(&self) {
        let mut random = self.runtime.random("disturbances");
        while self.is_unkind() {
            self.rest(ms(random.u64(200..5000))).await;
            let living: Vec<Process> = locked(&self.processes)
                .iter()
                .map(|(process, _)| process.clone())
                .filter(|process| !process.is_crashed())
                .collect();
            let Some(victim) = random.choice(&living) else { continue };
            if self.plan.processes.pauses && random.bool() {
                locked(&self.paused).push(victim.id());
                victim.pause();
                let longest = if random.u32(..8) == 0 { 200_000 } else { 10_000 };
                self.rest(ms(random.u64(10..longest))).await;
                victim.resume();
            }
            if self.plan.processes.wrong_clocks {
                match random.u32(..4) {
                    0 => victim.clock().jump(secs(random.u64(..300))),
                    1 => victim.clock().jump_back(secs(random.u64(..300))),
                    2 => victim.clock().freeze(),
                    _ => victim.clock().thaw(),
                }
            }
        }
    }

    async fn live(self: &Arc<Self>) {
        let rule = faults::install(self);
        let disturbed = {
            let world = Arc::clone(self);
            self.runtime.start(async move { world.disturb().await })
        };
        let slots: Vec<_> = (0..self.plan.producers)
            .map(|slot| {
                let world = Arc::clone(self);
                self.runtime.start(async move { producers::slot(&world, slot).await })
            })
            .collect();
        let consumers: Vec<_> = (0..self.plan.consumers)
            .map(|slot| {
                let world = Arc::clone(self);
                self.runtime.start(async move { consumers::slot(&world, slot).await })
            })
            .collect();
        self.runtime.sleep(self.plan.unkind).await;
        self.unkind.store(false, Relaxed);
        self.runtime.record(format_args!("faults end"));
        let jitter = self.plan.latency.jitter.map(|jitter| Jitter { slow_one_in: 0, ..jitter });
        self.store.set_latency(Latency { jitter, ..self.plan.latency });
        disturbed.await;
        // From here on everything is well: whatever was begun must come to its end.
        for slot in slots {
            if self.within(secs(200), slot).await.is_none() {
                return self.violated(Invariant::Liveness, "a producer did not get to its end");
            }
        }
        let mut last = Vec::new();
        for slot in consumers {
            match self.within(secs(200), slot).await.flatten() {
                Some(alive) => last.extend(alive),
                None => {
                    return self.violated(Invariant::Liveness, "a consumer did not end its term");
                }
            }
        }
        // Nobody who was about to take over may do so after the last one.
        self.runtime.sleep(faults::AFTERMATH).await;
        consumers::drain(self).await;
        for alive in last {
            if self.within(secs(20), alive).await.is_none() {
                self.violated(Invariant::Fencing, "a fenced consumer does not learn of it");
            }
        }
        drop(rule);
    }
}

/// Runs the world of a seed to its end.
///
/// # Errors
///
/// [`Failure`]: the first invariant that did not hold.
pub fn run(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    let mut random = SimRuntime::new(seed).random("plan");
    let plan = Plan::draw(&mut random);
    let limits =
        SimOptions { cpu_delay: plan.cpu_delay, step_budget: 3_000_000, ..SimOptions::default() };
    let runtime = SimRuntime::with_options(seed, limits);
    let world = World::new(&runtime, plan, options.without.clone());
    runtime.block_on(world.live());
    world.oracles().end(|process| !world.is_crashed(process));
    let totals = world.oracles().totals();
    let report = Report {
        hash: runtime.trace_hash(),
        simulated: runtime.elapsed(),
        requests: totals.requests,
        large_swaps: totals.large_swaps,
        batches: totals.batches,
        entries: totals.durable_entries,
        listed_again: totals.listed_again,
        gaps: totals.gaps,
        unknown: totals.unknown,
        not_delivered: totals.not_delivered,
        ..Report::default()
    };
    runtime.shutdown();
    let first = world.oracles().first_violation().cloned();
    let Some((invariant, what)) = first else { return Ok(report) };
    let trace = runtime.trace();
    let at = trace.iter().position(|line| line.contains("VIOLATED"));
    let end = at.map_or(trace.len(), |at| at + 1);
    if std::env::var("BUFFER_TRACE").is_ok() {
        println!("{}", trace.join("\n"));
    }
    let lines = trace[end.saturating_sub(60)..end].to_vec();
    Err(Box::new(Failure { seed, invariant: Some(invariant), what, lines }))
}
