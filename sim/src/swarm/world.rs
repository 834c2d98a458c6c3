//! One world, what is known of its processes, and the run from its beginning to its end.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::event::Remark;
use crate::{
    Jitter, Kind, Latency, Process, ProcessId, Request, Requester, SimRuntime, SimStore, Verdict,
};
use futures_lite::future;

use super::consumers::Alive;
use super::database::Database;
use super::exemption::Exemption;
use super::oracles::{Oracles, Role, Rules, Sent};
use super::plan::{Plan, Theme};
use super::signal::Signal;
use super::{Invariant, Options, Random};
use super::{MANIFEST, manifest, secs};
use super::{clocks, consumers, faults, foreign, operators, producers};

/// A process, and what has befallen it.
struct Known {
    process: Process,
    role: Role,
    /// When it was paused, or its clocks were set, for the last time: its promises about time are off.
    disturbed: Option<Duration>,
    /// How many hold it at this moment.
    held: u32,
}

pub(crate) struct World {
    pub(crate) runtime: SimRuntime,
    pub(crate) store: SimStore,
    pub(crate) plan: Plan,
    unkind: AtomicBool,
    /// Told when the world becomes kind.
    kind: Signal,
    /// Told when the manifest changes.
    manifest_changed: Arc<Signal>,
    requests: AtomicU64,
    oracles: Arc<Mutex<Oracles>>,
    database: Mutex<Database>,
    processes: Mutex<BTreeMap<ProcessId, Known>>,
    /// The consumer that took over last.
    newest: Mutex<Option<ProcessId>>,
    /// How many consumers are taking over at this moment.
    initializing: AtomicU32,
    /// An operator has put something else in the place of the queue.
    changed: AtomicBool,
    /// A batch is gone that was listed.
    batch_lost: AtomicBool,
    /// How often faults of processes, time, operators and resources were active.
    active: Mutex<BTreeMap<&'static str, u64>>,
    exemptions: Mutex<Vec<Exemption>>,
    random: Mutex<Random>,
    /// How many listings of the last consumer's collector are still to be denied.
    denied_listings: AtomicU32,
    over: AtomicBool,
    on_over: Mutex<Option<Waker>>,
}

/// How many processes clocks are set of: older ones are mostly over.
const YOUNGEST: usize = 16;

/// How long it takes at the most from a decision to the request that it leads to.
const JUST: Duration = Duration::from_millis(50);

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(runtime: &SimRuntime, plan: Plan, options: &Options) -> Arc<Self> {
        let store = SimStore::new(runtime, plan.profile);
        store.set_latency(plan.latency);
        store.set_keeps_log(false);
        let rules = Rules {
            manifest: manifest(),
            prefix: plan.prefix.to_owned(),
            grace: plan.grace,
            time_grain: secs(1),
            crowded: plan.is_crowded(),
            collected_within: plan.collects_to_the_end().then(|| plan.gc_interval * 2 + secs(30)),
        };
        let mut without = options.without.clone();
        if plan.theme == Theme::BrokenStore {
            without.extend(Invariant::ALL.iter().filter(|it| !it.needs_no_conditions()));
        }
        let oracles = Arc::new(Mutex::new(Oracles::new(rules, without)));
        Arc::new(Self {
            runtime: runtime.clone(),
            store,
            unkind: AtomicBool::new(true),
            kind: Signal::default(),
            manifest_changed: Arc::default(),
            requests: AtomicU64::new(0),
            oracles,
            database: Mutex::default(),
            processes: Mutex::default(),
            newest: Mutex::default(),
            initializing: AtomicU32::new(0),
            changed: AtomicBool::new(false),
            batch_lost: AtomicBool::new(false),
            active: Mutex::default(),
            exemptions: Mutex::default(),
            random: Mutex::new(runtime.random("world")),
            denied_listings: AtomicU32::new(0),
            over: AtomicBool::new(false),
            on_over: Mutex::default(),
            plan,
        })
    }

    pub(crate) fn oracles(&self) -> MutexGuard<'_, Oracles> {
        locked(&self.oracles)
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        locked(&self.database)
    }

    /// A source of choices of its own.
    pub(crate) fn fork(&self, name: &str) -> Random {
        locked(&self.random).fork(name)
    }

    /// A fault changed what somebody saw.
    pub(crate) fn active(&self, fault: &'static str) {
        *locked(&self.active).entry(fault).or_default() += 1;
    }

    pub(crate) fn activity(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.store.active();
        all.extend(locked(&self.active).iter().map(|(name, count)| (*name, *count)));
        all
    }

    /// Something happens that format version 1 cannot tell.
    pub(crate) fn exempt(&self, exemption: Exemption) {
        let mut exemptions = locked(&self.exemptions);
        if !exemptions.contains(&exemption) {
            exemptions.push(exemption);
            let text = format_args!("exempt: {exemption:?}");
            self.runtime.remark(ProcessId::WORLD, Remark::World, text);
            self.oracles().exempt(exemption);
        }
    }

    /// Takes note of an invariant that does not hold.
    pub(crate) fn violated(&self, invariant: Invariant, what: impl std::fmt::Display) {
        self.oracles().violated(invariant, what.to_string());
        self.end_if_violated();
    }

    pub(crate) fn check(&self, holds: bool, invariant: Invariant, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, what());
        }
    }

    /// The first invariant that did not hold.
    pub(crate) fn first_violation(&self) -> Option<(Invariant, String)> {
        self.oracles().first_violation().cloned()
    }

    fn end_if_violated(&self) {
        if self.over.load(Relaxed) {
            return;
        }
        if let Some((invariant, what)) = self.first_violation() {
            let text = format_args!("VIOLATED {invariant}: {what}");
            self.runtime.remark(ProcessId::WORLD, Remark::Violation, text);
            self.over.store(true, Relaxed);
            let waker = locked(&self.on_over).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits until something is wrong.
    async fn broken(&self) {
        poll_fn(|context| {
            if self.over.load(Relaxed) {
                return Poll::Ready(());
            }
            *locked(&self.on_over) = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn is_unkind(&self) -> bool {
        self.unkind.load(Relaxed)
    }

    /// A process of this queue, with what is wrong with its clocks.
    pub(crate) fn process(self: &Arc<Self>, name: &str, role: Role) -> Process {
        let process = self.runtime.process(name);
        self.oracles().started(process.id(), role);
        let known = Known { process: process.clone(), role, disturbed: None, held: 0 };
        locked(&self.processes).insert(process.id(), known);
        clocks::set_wrong(self, &process);
        process
    }

    pub(crate) fn is_producer(&self, id: ProcessId) -> bool {
        let processes = locked(&self.processes);
        processes.get(&id).is_some_and(|known| matches!(known.role, Role::Producer { .. }))
    }

    pub(crate) fn is_ours(&self, id: ProcessId) -> bool {
        locked(&self.processes).contains_key(&id)
    }

    pub(crate) fn is_crashed(&self, id: ProcessId) -> bool {
        locked(&self.processes).get(&id).is_none_or(|known| known.process.is_crashed())
    }

    pub(crate) fn disturb(&self, id: ProcessId) {
        if let Some(known) = locked(&self.processes).get_mut(&id) {
            known.disturbed = Some(self.runtime.elapsed());
        }
    }

    pub(crate) fn was_disturbed(&self, id: ProcessId) -> bool {
        locked(&self.processes).get(&id).is_some_and(|known| known.disturbed.is_some())
    }

    /// Whether that was so short a time ago that what it sends now may have been decided before.
    pub(crate) fn was_just_disturbed(&self, id: ProcessId) -> bool {
        let now = self.runtime.elapsed();
        let just =
            |known: &Known| known.disturbed.is_some_and(|at| now - at < JUST || known.held > 0);
        locked(&self.processes).get(&id).is_some_and(just)
    }

    /// The youngest processes that have not crashed.
    pub(crate) fn living(&self) -> Vec<Process> {
        let processes = locked(&self.processes);
        let living = processes.values().rev().filter(|known| !known.process.is_crashed());
        living.take(YOUNGEST).map(|known| known.process.clone()).collect()
    }

    /// Moves a process's wall clock past the grace period.
    pub(crate) fn age(&self, id: ProcessId) {
        self.active("jump-forward");
        if let Some(known) = locked(&self.processes).get_mut(&id) {
            known.disturbed = Some(self.runtime.elapsed());
            known.process.clock().jump(self.plan.grace);
        }
    }

    pub(crate) fn crash(&self, process: &Process) {
        let loops = self.plan.processes.crash_loops;
        self.active(match (self.is_producer(process.id()), loops) {
            (_, true) => "crash-loop",
            (true, false) => "crash/producer",
            (false, false) => "crash/consumer",
        });
        process.crash();
    }

    /// Stops a process for a while. Its clocks go on.
    pub(crate) fn pause(self: &Arc<Self>, process: &Process, duration: Duration, kind: Kind) {
        let past_grace = duration > self.plan.grace;
        let is_producer = self.is_producer(process.id());
        self.active(match (past_grace, is_producer, kind) {
            (false, true, _) => "pause/producer",
            (false, false, _) => "pause/consumer",
            (true, _, Kind::List | Kind::Delete) => "pause-past-grace/collector",
            (true, true, _) => "pause-past-grace/producer",
            (true, false, _) => "pause-past-grace/consumer",
        });
        self.hold(process);
        let (world, process) = (Arc::clone(self), process.clone());
        let _resumed = self.runtime.start(async move {
            world.runtime.sleep(duration).await;
            world.release(&process);
        });
    }

    /// Lets a process do nothing until it is released as often as it was held.
    pub(crate) fn hold(&self, process: &Process) {
        if let Some(known) = locked(&self.processes).get_mut(&process.id()) {
            known.disturbed = Some(self.runtime.elapsed());
            known.held += 1;
        }
        process.pause();
    }

    /// Whether somebody holds a process at this moment.
    pub(crate) fn is_held(&self, id: ProcessId) -> bool {
        locked(&self.processes).get(&id).is_some_and(|known| known.held > 0)
    }

    pub(crate) fn release(&self, process: &Process) {
        let mut processes = locked(&self.processes);
        let known = processes.get_mut(&process.id()).expect("it was held");
        known.held -= 1;
        known.disturbed = Some(self.runtime.elapsed());
        let is_free = known.held == 0;
        drop(processes);
        if is_free {
            process.resume();
        }
    }

    /// A consumer took over.
    pub(crate) fn took_over(&self, id: ProcessId) {
        *locked(&self.newest) = Some(id);
    }

    /// The consumer that took over last.
    pub(crate) fn newest(&self) -> Option<ProcessId> {
        *locked(&self.newest)
    }

    /// A consumer begins to take over, or has done so.
    pub(crate) fn begins_to_take_over(&self) {
        if self.initializing.fetch_add(1, Relaxed) > 0 {
            self.active("racing-consumers");
        }
    }

    pub(crate) fn ends_to_take_over(&self) {
        self.initializing.fetch_sub(1, Relaxed);
    }

    /// An operator puts something else in the place of the queue, and starts over with it.
    pub(crate) fn queue_changes(&self, fault: &'static str) {
        self.active(fault);
        self.exempt(Exemption::Regrown);
        self.changed.store(true, Relaxed);
        self.database().start_over();
    }

    /// Whether the queue is not what it was.
    pub(crate) fn queue_was_changed(&self) -> bool {
        self.changed.load(Relaxed)
            || matches!(self.plan.theme, Theme::UndetectableDamage | Theme::BrokenStore)
    }

    /// The last faults of all: what a collector meets once, it must get over.
    pub(crate) fn the_collector_meets_an_error(&self, listings: u32) {
        self.denied_listings.store(listings, Relaxed);
    }

    /// Whether this listing is one of those that are denied at the end.
    pub(crate) fn denies_listing(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.denied_listings.fetch_update(Relaxed, Relaxed, one_less).is_ok()
    }

    pub(crate) fn batch_is_lost(&self) {
        self.active("batch-deleted-by-lifecycle");
        self.batch_lost.store(true, Relaxed);
    }

    /// Whether something was done to this queue that nobody here can make good.
    pub(crate) fn is_forgiving(&self) -> bool {
        self.queue_was_changed()
            || self.batch_lost.load(Relaxed)
            || !locked(&self.exemptions).is_empty()
    }

    /// A request was sent.
    pub(crate) fn requested(&self, request: &Request, kind: Kind, verdict: Verdict) {
        let sent = self.requests.fetch_add(1, Relaxed) + 1;
        if sent == self.plan.most_requests {
            self.becomes_kind();
        }
        if matches!(kind, Kind::List | Kind::Delete) {
            let newest = *locked(&self.newest);
            if newest.is_some_and(|newest| newest != request.process) {
                self.active("two-collectors");
            }
            if kind == Kind::List && self.plan.foreign_keys {
                self.active("foreign-keys");
            }
        }
        let bytes = match &request.operation {
            crate::Operation::Write { bytes, .. } => *bytes,
            crate::Operation::Read { .. }
            | crate::Operation::List { .. }
            | crate::Operation::Delete { .. } => 0,
        };
        let by = Requester { number: request.number, process: request.process };
        let sent = Sent {
            bytes,
            faulty: verdict != Verdict::Pass,
            disturbed: self.was_just_disturbed(request.process),
            at: request.time,
        };
        self.oracles().asked(by, kind, &request.location, &sent);
        self.end_if_violated();
    }

    /// How much of the unkind time is over, by time or by requests.
    pub(crate) fn progress(&self) -> f64 {
        let of_time = self.runtime.elapsed().div_duration_f64(self.plan.unkind);
        let of_requests = self.requests.load(Relaxed) as f64 / self.plan.most_requests as f64;
        of_time.max(of_requests)
    }

    /// Waits, but not past the end of the unkind time.
    pub(crate) async fn rest(&self, duration: Duration) {
        let left = self.plan.unkind.saturating_sub(self.runtime.elapsed());
        let rested = self.runtime.sleep(duration.min(left));
        future::or(rested, self.kind.until(|| !self.is_unkind())).await;
        // Whoever notices it first says so: others may come by in the same moment.
        if self.is_unkind() && self.runtime.elapsed() >= self.plan.unkind {
            self.becomes_kind();
        }
    }

    /// Waits until fewer batches are listed than this, or all is well. A damaged count may never
    /// fall: short worlds go on then, and long ones, which nobody damages, do not pile up a backlog.
    pub(crate) async fn until_listed_fewer(&self, most: u64) {
        let fewer = || {
            !self.is_unkind()
                || (self.is_forgiving() && !self.plan.is_long())
                || self.oracles().backlog() < most
        };
        future::or(self.manifest_changed.until(fewer), self.rest(Duration::MAX)).await;
    }

    fn becomes_kind(&self) {
        self.unkind.store(false, Relaxed);
        self.kind.tell();
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

    /// The run, from its beginning to its end, or to the first thing that is wrong.
    pub(crate) async fn run(self: &Arc<Self>) {
        future::or(self.live(), self.broken()).await;
    }

    async fn live(self: &Arc<Self>) {
        let rule = faults::install(self);
        self.observe();
        if self.plan.shuffles {
            self.active("shuffled-tasks");
        }
        foreign::place_keys(self);
        let others = [
            self.begin(|world| async move { clocks::disturb(&world).await }),
            self.begin(|world| async move { operators::meddle(&world).await }),
            self.begin(|world| async move { foreign::produce(&world).await }),
        ];
        let slots: Vec<_> = (0..self.plan.producers)
            .map(|_| self.begin(|world| async move { producers::slot(&world).await }))
            .collect();
        let consumers: Vec<_> = (0..self.plan.consumers)
            .map(|slot| self.begin(move |world| async move { consumers::slot(&world, slot).await }))
            .collect();
        self.rest(self.plan.unkind).await;
        self.faults_end();
        // From here on everything is well: whatever was begun must come to its end.
        let patience = self.plan.grace * 2 + secs(300);
        for other in others {
            if self.within(patience, other).await.is_none() {
                return self.violated(Invariant::Liveness, "what disturbs the world has no end");
            }
        }
        for slot in slots {
            if self.within(patience, slot).await.is_none() {
                return self.violated(Invariant::Liveness, "a producer did not get to its end");
            }
        }
        let mut last: Vec<Alive> = Vec::new();
        for slot in consumers {
            match self.within(patience, slot).await.flatten() {
                Some(alive) => last.extend(alive),
                None => {
                    return self.violated(Invariant::Liveness, "a consumer did not end its term");
                }
            }
        }
        // Nobody who was about to take over may do so after the last one.
        self.runtime.sleep(faults::AFTERMATH).await;
        consumers::drain(self).await;
        // They have it together: one that meets nothing but a damaged location asks for it that long.
        let learns_by = self.runtime.elapsed() + patience;
        for alive in last {
            let left = learns_by.saturating_sub(self.runtime.elapsed());
            if self.within(left, alive).await.is_none() {
                self.violated(Invariant::Fencing, "a fenced consumer does not learn of it");
            }
        }
        drop(rule);
        self.oracles().end(|process| !self.is_crashed(process));
        self.end_if_violated();
    }

    fn begin<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        self: &Arc<Self>,
        life: impl FnOnce(Arc<Self>) -> F,
    ) -> crate::Join<T> {
        self.runtime.start(life(Arc::clone(self)))
    }

    fn faults_end(&self) {
        self.becomes_kind();
        self.runtime.remark(ProcessId::WORLD, Remark::World, format_args!("faults end"));
        let jitter = self.plan.latency.jitter.map(|jitter| Jitter { slow_one_in: 0, ..jitter });
        self.store.set_latency(Latency { jitter, ..self.plan.latency });
    }

    /// Shows the oracles every change of the store as it happens.
    fn observe(&self) {
        let (oracles, changed) = (Arc::clone(&self.oracles), Arc::clone(&self.manifest_changed));
        self.store.observe(move |applied| {
            locked(&oracles).applied(applied);
            if applied.location.as_str() == MANIFEST {
                changed.tell();
            }
        });
    }
}
