//! What one process is destined to, at which of its requests.

use std::time::Duration;

use super::kinds::is_of_collector;
use super::plan::Plan;
use super::{Random, ms};
use crate::Kind;

/// At which side of an effect something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The request is under way, and its sender hears of nothing any more.
    Sent,
    /// The answer is there, and its receiver has not seen it yet.
    Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Crash,
    Pause(Duration),
}

/// What befalls a process at its n-th request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doom {
    pub(crate) fate: Fate,
    pub(crate) when: When,
    /// How many requests come before it, of those that count.
    pub(crate) after: u32,
    /// Only a collector's requests count.
    pub(crate) of_collector: bool,
}

impl Doom {
    pub(crate) fn draw(plan: &Plan, is_producer: bool, random: &mut Random) -> Option<Self> {
        let processes = &plan.processes;
        let crashes = match is_producer {
            true => processes.crash_producers,
            false => processes.crash_consumers,
        };
        let mut is_hit = |what, rate: u32| rate > 0 && random.of(what).usually(1).u32(..rate) == 0;
        let fate = if is_hit("is to crash", crashes) {
            Fate::Crash
        } else if is_hit("is to pause", processes.pauses) {
            Fate::Pause(match processes.long_pauses {
                true => plan.grace + ms(random.of("for how long").u64(100..30_000)),
                false => ms(random.of("for how long").u64(10..10_000)),
            })
        } else {
            return None;
        };
        let when = if random.of("when it is sent").bool() { When::Sent } else { When::Answered };
        let of_collector = !is_producer
            && plan.collects
            && processes.pauses_collectors
            && random.of("of the collector").u32(..3) > 0;
        let most = match (of_collector, processes.crash_loops && fate == Fate::Crash) {
            (true, _) => 6,
            (false, true) => 4,
            (false, false) => 60,
        };
        let after = random.of("at which request").u32(..most);
        Some(Self { fate, when, after, of_collector })
    }

    /// Whether this request is the one.
    pub(crate) fn strikes(&mut self, kind: Kind) -> bool {
        let counts = !self.of_collector || is_of_collector(kind);
        if !counts {
            return false;
        }
        let strikes = self.after == 0;
        self.after = self.after.wrapping_sub(1);
        strikes
    }
}
