//! What is wrong with clocks and timers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Remark;
use crate::{Process, ProcessId};

use super::exemption::Exemption;
use super::plan::Theme;
use super::world::World;
use super::{ms, secs};

/// Clocks that are wrong from the beginning: each process has its own.
pub(crate) fn set_wrong(world: &Arc<World>, process: &Process) {
    if !world.is_unkind() {
        return;
    }
    let clocks = &world.plan.clocks;
    let mut random = world.fork("clock");
    if clocks.skews {
        world.active("skew-a-day");
        let by = secs(random.of("skew").u64(..86_400));
        if random.of("ahead").bool() {
            process.clock().jump(by);
        } else {
            process.clock().jump_back(by);
        }
    }
    if clocks.drifts {
        world.active("drift");
        let rate =
            i32::try_from(random.of("drift").usually(200).u32(0..400)).expect("it is small") - 200;
        process.clock().set_drift(rate);
    }
    if clocks.timers_early > Duration::ZERO {
        world.active("timer-early");
    }
    if clocks.timers_late > Duration::ZERO {
        world.active("timer-late");
    }
    process.set_timer_errors(clocks.timers_early, clocks.timers_late);
}

/// Clocks that become wrong, one at a time, as long as the world is unkind.
pub(crate) async fn disturb(world: &Arc<World>) {
    let clocks = world.plan.clocks.clone();
    let freezes_both = world.plan.theme == Theme::BothClocksFrozen;
    if !(clocks.jumps_forward
        || clocks.jumps_back
        || clocks.freezes
        || clocks.suspends
        || freezes_both)
    {
        return;
    }
    let mut random = world.fork("disturbances");
    let mut lost = LostTime::default();
    loop {
        world.rest(ms(random.of("until the next").usually(7999).u64(500..8000))).await;
        if !world.is_unkind() {
            return;
        }
        let living = world.living();
        let Some(victim) = random.of("whose clock").choice(&living) else { continue };
        let by = secs(random.of("by how much").u64(1..300));
        match random.of("what").usually(3).u32(..5) {
            0 if clocks.jumps_forward => {
                world.active("jump-forward");
                world.disturb(victim.id());
                victim.clock().jump(by);
                tell(world, victim, format_args!("its wall clock jumps {by:?} ahead"));
            }
            1 if clocks.jumps_back => {
                world.active("jump-back");
                lost.by_wall(world, victim, by);
                victim.clock().jump_back(by);
                tell(world, victim, format_args!("its wall clock jumps {by:?} back"));
            }
            2 if clocks.freezes => {
                world.active("frozen-wall-clock");
                let duration = ms(random.of("for how long").u64(100..20_000));
                lost.by_wall(world, victim, duration);
                tell(world, victim, format_args!("its wall clock stands still for {duration:?}"));
                victim.clock().freeze();
                world.rest(duration).await;
                victim.clock().thaw();
            }
            3 if freezes_both => {
                world.active("both-clocks-frozen");
                world.exempt(Exemption::FrozenClocks);
                // Suspended: neither clock counts the time that it sleeps.
                let duration = world.plan.grace + ms(random.of("how long").u64(100..20_000));
                victim.clock().freeze();
                victim.freeze_monotonic();
                world.hold(victim);
                world.runtime.sleep(duration).await;
                victim.clock().thaw();
                victim.thaw_monotonic();
                world.release(victim);
            }
            4 if clocks.suspends => {
                world.active("suspended");
                // The wall clock goes on.
                let most = u64::try_from(world.plan.grace.as_millis()).expect("it is short") * 2;
                let duration = ms(random.of("suspended for").u64(100..most));
                lost.by_monotonic(world, victim, duration);
                victim.freeze_monotonic();
                world.hold(victim);
                world.runtime.sleep(duration).await;
                victim.thaw_monotonic();
                world.release(victim);
            }
            _ => {}
        }
    }
}

fn tell(world: &World, victim: &Process, text: fmt::Arguments<'_>) {
    world.runtime.remark(victim.id(), Remark::Clock, text);
}

/// How much time each process's clocks have not counted: the monotonic one, and that of the wall.
///
/// A process is within the promise as long as one of them counts on: one that was
/// suspended and whose wall clock was set back as well may take what is old for young.
#[derive(Default)]
struct LostTime(BTreeMap<ProcessId, (Duration, Duration)>);

impl LostTime {
    fn by_monotonic(&mut self, world: &World, victim: &Process, duration: Duration) {
        self.add(world, victim, (duration, Duration::ZERO));
    }

    fn by_wall(&mut self, world: &World, victim: &Process, duration: Duration) {
        self.add(world, victim, (Duration::ZERO, duration));
    }

    fn add(&mut self, world: &World, victim: &Process, more: (Duration, Duration)) {
        let (monotonic, wall) = self.0.entry(victim.id()).or_default();
        (*monotonic, *wall) = (*monotonic + more.0, *wall + more.1);
        if (*monotonic).min(*wall) >= world.plan.grace / 2 {
            world.exempt(Exemption::FrozenClocks);
        }
    }
}
