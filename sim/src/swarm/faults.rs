//! The rule that decides what becomes of each request.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crate::{FaultGuard, ProcessId, Request, Verdict};
use buffer_core::StoreErrorKind::{Denied, TimedOut, Transient};
use fastrand::Rng;

use super::ms;
use super::plan::FaultPlan;
use super::world::{Asked, World};

/// What the rule remembers.
pub(crate) struct Faults {
    random: Rng,
    plan: FaultPlan,
    /// Everything fails until then.
    outage_until: Duration,
    /// These processes get no answers until then.
    blind: Vec<(ProcessId, Duration)>,
}

impl Faults {
    fn judge(&mut self, request: &Request, of_producer: bool) -> Verdict {
        let random = &mut self.random;
        if request.time < self.outage_until {
            return match random.u32(..10) {
                0 => Verdict::Hang { applied: false },
                1 if request.is_write() => Verdict::Hang { applied: true },
                2 => Verdict::Throttle,
                _ => Verdict::Fail(Transient),
            };
        }
        let is_blind =
            |(id, until): &(ProcessId, Duration)| *id == request.process && request.time < *until;
        if !request.is_of_batch() && self.blind.iter().any(is_blind) {
            return Verdict::Fail(Transient);
        }
        let mut hits = |chance: u32| random.u32(..10_000) < chance;
        let plan = &self.plan;
        if hits(plan.fail) {
            return Verdict::Fail(Transient);
        }
        if hits(plan.throttle) {
            return Verdict::Throttle;
        }
        if hits(plan.denied) {
            return if hits(5000) { Verdict::Fail(Denied) } else { Verdict::ApplyThenFail(Denied) };
        }
        if hits(plan.hang) {
            return Verdict::Hang { applied: request.is_write() && hits(5000) };
        }
        if hits(plan.delay) {
            let long = if hits(1000) { 20_000 } else { 2000 };
            return Verdict::Delay(ms(random.u64(..long)));
        }
        if !request.is_write() {
            if hits(plan.stale) && request.process != ProcessId::WORLD {
                return Verdict::Stale(random.usize(1..4));
            }
            if hits(plan.truncate) {
                return Verdict::Truncate(random.usize(..60));
            }
            return Verdict::Pass;
        }
        if request.is_swap() && of_producer && hits(plan.blind) {
            let until = request.time + ms(self.random.u64(100..15_000));
            self.blind.push((request.process, until));
            return Verdict::ApplyThenFail(Transient);
        }
        if hits(plan.apply_then_fail) {
            let kind = if hits(5000) { Transient } else { TimedOut };
            return Verdict::ApplyThenFail(kind);
        }
        if hits(plan.apply_then_conflict) {
            return Verdict::ApplyThenConflict;
        }
        if hits(plan.false_conflict) {
            return Verdict::FalseConflict;
        }
        if hits(plan.apply_late) {
            let most = if hits(1000) { 30_000 } else { 1500 };
            return Verdict::ApplyLate { reply: Transient, after: ms(random.u64(..most)) };
        }
        Verdict::Pass
    }
}

/// Takes note of every request; while the world is unkind, it also decides what becomes of it.
pub(crate) fn install(world: &Arc<World>) -> FaultGuard {
    let mut faults = Faults {
        random: world.runtime.random("faults"),
        plan: world.plan.faults.clone(),
        outage_until: Duration::ZERO,
        blind: Vec::new(),
    };
    let mut random = world.runtime.random("outages");
    let mut outages: Vec<(Duration, Duration)> = (0..world.plan.faults.outages)
        .map(|_| {
            let at = world.plan.unkind.mul_f64(random.f64());
            (at, at + ms(random.u64(200..12_000)))
        })
        .collect();
    outages.sort();
    let weak = Arc::downgrade(world);
    world.store.fault(move |request| {
        let Some(world) = weak.upgrade() else { return Verdict::Pass };
        for (from, until) in &outages {
            if (*from..*until).contains(&request.time) {
                faults.outage_until = *until;
            }
        }
        let of_producer = world.is_producer(request.process);
        let verdict = if world.unkind.load(Relaxed) {
            faults.judge(request, of_producer)
        } else {
            Verdict::Pass
        };
        let kind = match (request.is_write(), request.is_of_batch()) {
            (true, true) => super::oracles::Asked::Put,
            (true, false) => super::oracles::Asked::Swap,
            (false, true) => super::oracles::Asked::ReadBatch,
            (false, false) => super::oracles::Asked::ReadManifest,
        };
        let bytes = match &request.operation {
            crate::Operation::Write { bytes, .. } => *bytes,
            crate::Operation::Read { .. } => 0,
        };
        world.oracles().asked(request.process, kind, bytes, verdict != Verdict::Pass, request.time);
        let mut asked: MutexGuard<'_, Vec<Asked>> = world.asked();
        asked.push(Asked { request: request.clone(), verdict });
        verdict
    })
}

/// What can go on after the faults have ended: what was late, and what still waits for its time-out.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(40);
