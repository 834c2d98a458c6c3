//! Which faults there are in one world, how often, and when.

use std::time::Duration;

use super::kinds::{TABLE, Trouble, is_of_collector};
use super::plan::{Theme, one_in};
use super::{Random, ms, secs};
use crate::Kind;

/// Of how many draws it is told how many something befalls.
pub(crate) const DRAWS: u32 = 10_000;

/// For some seconds, requests fail in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spell {
    /// Everything fails: 500, throttled, lost.
    Outage,
    /// One process's credentials expire and come back.
    CredentialsExpire,
    /// One process is denied everything to its end.
    DeniedForEver,
    /// The bucket is gone and comes back.
    BucketGone,
    /// No write is taken.
    StoreFull,
    /// The store asked everyone for fewer requests.
    SlowDown,
    /// A producer's swap takes effect unseen, and all it asked about the manifest fails for a while.
    BlindProducer,
}

impl Spell {
    pub(crate) const ALL: [Self; 7] = [
        Self::Outage,
        Self::CredentialsExpire,
        Self::DeniedForEver,
        Self::BucketGone,
        Self::StoreFull,
        Self::SlowDown,
        Self::BlindProducer,
    ];
}

/// How often which fault is injected.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan {
    /// For each kind of request, what can befall it: up to which of [`DRAWS`].
    pub(crate) chances: [Vec<(u32, Trouble)>; 6],
    pub(crate) spells: Vec<(Spell, Duration, Duration)>,
    /// Reads show bytes that the format can tell to be false, in so many of [`DRAWS`].
    pub(crate) false_bytes: u32,
}

impl FaultPlan {
    /// The same faults, in a world that lasts for days and was to last for `unkind`.
    pub(super) fn at_length(mut self, unkind: Duration) -> Self {
        // Nobody knows when the last request is sent: whatever has its time comes on the first day.
        let later = secs(20 * 60 * 60).div_duration_f64(unkind);
        for (_, from, until) in &mut self.spells {
            let lasts = *until - *from;
            *from = from.mul_f64(later);
            *until = *from + lasts;
        }
        // There is time to meet what is rare; a collector of a short world sends few requests, and meets it at most of them.
        for kind in Kind::ALL {
            let seldom = if is_of_collector(kind) { 4 } else { 2 };
            for (until, _) in &mut self.chances[kind as usize] {
                *until /= seldom;
            }
        }
        self
    }

    pub(super) fn draw(random: &mut Random, unkind: Duration, theme: Theme) -> Self {
        let mut plan = Self::default();
        let most = match random.of("faults").u32(..8) {
            0 => 0,
            1..=3 => 200,
            4..=6 => 600,
            _ => 2000,
        };
        if most == 0 {
            return plan;
        }
        for (trouble, kinds) in TABLE {
            let number = *trouble as u64;
            if !one_in(random.of_one("trouble", number), 4) {
                continue;
            }
            for kind in *kinds {
                let which = number << 8 | *kind as u64;
                if one_in(random.of_one("not for", which), 3) {
                    continue;
                }
                let Some(limit) = trouble.limit(theme, *kind) else { continue };
                let how_often = random.of_one("how often", which).usually(u64::MAX);
                let chance = match is_of_collector(*kind) {
                    true => how_often.u32(1500..=4000),
                    false => how_often.u32(1..=most).min(limit),
                };
                let chances = &mut plan.chances[*kind as usize];
                let before = chances.last().map_or(0, |(until, _)| *until);
                // Something must get through, or nothing is seen of the queue.
                let most = if is_of_collector(*kind) { 8000 } else { 5000 };
                chances.push(((before + chance).min(most), *trouble));
            }
        }
        plan.false_bytes = match one_in(random.of("false bytes"), 10) {
            true => random.of("how many false bytes").usually(u64::MAX).u32(20..=most),
            false => 0,
        };
        for spell in Spell::ALL {
            let which = spell as u64;
            let seldom = if spell == Spell::BlindProducer { 5 } else { 10 };
            if !one_in(random.of_one("spell", which), seldom) {
                continue;
            }
            let from = unkind.mul_f64(random.of_one("spell from", which).f64() * 0.9);
            // Whoever is blind for long gives up what it has.
            let most = if spell == Spell::BlindProducer { 6000 } else { 12_000 };
            let lasts = ms(random.of_one("spell lasts", which).u64(200..most));
            plan.spells.push((spell, from, from + lasts));
        }
        plan
    }
}

impl Trouble {
    /// In how many of [`DRAWS`] it befalls requests of this kind at the most, if they are not a collector's;
    /// `None` where the theme does not allow it.
    fn limit(self, theme: Theme, kind: Kind) -> Option<u32> {
        let may_be_undetectable = theme == Theme::UndetectableDamage;
        match self {
            // What cannot be told from good data has a theme of its own.
            Self::OtherBytes => may_be_undetectable.then_some(DRAWS),
            // Of a batch, only those flips are injected that the format can tell.
            Self::Corrupt => (may_be_undetectable || kind == Kind::ReadBatch).then_some(DRAWS),
            // What ends a process when it is believed must be rare, or nobody lives long.
            Self::Denied => Some(100),
            Self::Stale | Self::WrongNotModified => Some(400),
            Self::Drop
            | Self::LoseReply
            | Self::FailAfter
            | Self::OwnConflict
            | Self::FalseConflict
            | Self::Late
            | Self::Duplicate
            | Self::Delay
            | Self::LateReply
            | Self::Fail
            | Self::Throttle
            | Self::TimeOut
            | Self::Truncate
            | Self::Empty
            | Self::Partial
            | Self::KeysTwice
            | Self::Shuffled
            | Self::KeyMissing
            | Self::KeyDeleted
            | Self::NoTimes => Some(DRAWS),
        }
    }
}
