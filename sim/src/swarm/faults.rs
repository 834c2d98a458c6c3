//! The rule that decides what becomes of each request.
//!
//! Where each line of the catalogue of faults is injected, and by which name its activity is counted:
//!
//! | fault | where |
//! |---|---|
//! | lost before it is applied; applied, reply lost; applied late; later than the time-out | here, [`Trouble`] |
//! | repeated by the client library; duplicated on the way; reset in mid-upload (lost, or an error) | here |
//! | slow tail; no end | [`Trouble::Delay`], the plan's latency; [`Trouble::Drop`] |
//! | 412 that is real; 409; 404 instead of 412 | racing processes; [`Trouble::FalseConflict`]; the store's profile |
//! | 429 and 503, global and per hot key | [`Trouble::Throttle`], [`Spell::SlowDown`]; the profile of GCS |
//! | Retry-After | not here: the store's interface has no word for it |
//! | 500 before and after apply | [`Trouble::Fail`], [`Trouble::FailAfter`] |
//! | credentials that expire; denied for ever; bucket gone; disk full | [`Spell`] |
//! | stale read or listing; 304 for an old version | [`Trouble::Stale`], [`Trouble::WrongNotModified`] |
//! | content-hash `ETag`s; a store that ignores the condition | profiles; `Theme::BrokenStore` |
//! | listing in any order, in pages, with keys twice or come and gone | [`Trouble::KeysTwice`] and its like, profiles |
//! | delete that fails in part; delete of what is gone | [`Trouble::Partial`], [`Trouble::Late`] and retries |
//! | bit flip; truncation; empty object; another batch's bytes | [`Trouble`] |
//! | a newer format version | `tap` |
//! | crash at every effect; restart; crash loops; pauses past the grace period | `doom`, by the tap |
//! | restart with memory of itself | consumers, by their database; a producer has none |
//! | a future dropped at any await; callers who acknowledge wrongly | `producers`, `consumers` |
//! | two consumers racing to start; two collectors | `consumers` |
//! | skew, drift, jumps, frozen clocks, timers early and late | `clocks` |
//! | tasks that are ready run in any order | `plan` |
//! | what operators do; foreign keys and nested queues | `operators` |
//! | IO error; torn write; an fsync that lies | [`Trouble::Fail`]; the local directory's own tests |
//! | producer faster than the store; consumer stopped; a thousand producers | `plan` |

use std::sync::Arc;
use std::time::Duration;

use crate::{FaultGuard, Kind, ProcessId, Quirk, Request, Verdict};
use buffer_core::StoreErrorKind::{Denied, NoSuchStore, Refused, TimedOut, Transient};

use super::exemption::Exemption;
use super::fault_plan::{DRAWS, FaultPlan, Spell};
use super::kinds::Trouble;
use super::plan::Theme;
use super::world::World;
use super::{Random, ms, oracles};

/// What the rule remembers.
struct Faults {
    random: Random,
    plan: FaultPlan,
    /// Whom a spell befalls that is not for all.
    victims: [Option<ProcessId>; Spell::ALL.len()],
}

impl Faults {
    fn judge(&mut self, world: &World, request: &Request, kind: Kind) -> Verdict {
        if let Some(verdict) = self.judge_spells(world, request, kind) {
            return verdict;
        }
        let chances = &self.plan.chances[kind as usize];
        if chances.is_empty() {
            return Verdict::Pass;
        }
        let which = u64::from(request.process.number()) << 8 | kind as u64;
        let drawn = self.random.of_one("fault", which).usually(u64::MAX).u32(..DRAWS);
        let trouble = chances.iter().find(|(until, _)| drawn < *until).map(|(_, it)| *it);
        trouble.map_or(Verdict::Pass, |trouble| self.verdict(world, request, kind, trouble))
    }

    fn judge_spells(&mut self, world: &World, request: &Request, kind: Kind) -> Option<Verdict> {
        for index in 0..self.plan.spells.len() {
            let (spell, from, until) = self.plan.spells[index];
            if request.time < from || (request.time >= until && spell != Spell::DeniedForEver) {
                continue;
            }
            if let Some(verdict) = self.judge_spell(world, request, kind, spell) {
                return Some(verdict);
            }
        }
        None
    }

    fn judge_spell(
        &mut self,
        world: &World,
        request: &Request,
        kind: Kind,
        spell: Spell,
    ) -> Option<Verdict> {
        let victim = &mut self.victims[spell as usize];
        let begins = victim.is_none();
        let is_victim = *victim.get_or_insert(request.process) == request.process;
        let verdict = match spell {
            Spell::Outage => match self.random.of("outage").usually(9).u32(..10) {
                0 => Verdict::DropRequest,
                1 if request.is_write() => Verdict::ApplyThenLoseReply,
                2 => Verdict::Throttle,
                _ => Verdict::Fail(Transient),
            },
            Spell::CredentialsExpire | Spell::DeniedForEver if is_victim => Verdict::Fail(Denied),
            Spell::BucketGone => Verdict::Fail(NoSuchStore),
            Spell::StoreFull if request.is_write() => Verdict::Fail(Refused),
            Spell::SlowDown => Verdict::Throttle,
            Spell::BlindProducer if begins => {
                if kind != Kind::Swap || !world.is_producer(request.process) {
                    self.victims[spell as usize] = None;
                    return None;
                }
                // What it has uploaded may seem old to it before it sees again.
                if self.random.of("ages").bool() {
                    world.age(request.process);
                }
                Verdict::ApplyThenFail(Transient)
            }
            Spell::BlindProducer if is_victim && !request.is_of_batch() => Verdict::Fail(Transient),
            Spell::CredentialsExpire
            | Spell::DeniedForEver
            | Spell::StoreFull
            | Spell::BlindProducer => return None,
        };
        world.active(match spell {
            Spell::Outage => "outage",
            Spell::CredentialsExpire => "credentials-expire",
            Spell::DeniedForEver => "denied-for-ever",
            Spell::BucketGone => "bucket-gone",
            Spell::StoreFull => "store-full",
            Spell::SlowDown => "slow-down",
            Spell::BlindProducer => "blind-producer",
        });
        Some(verdict)
    }

    fn verdict(
        &mut self,
        world: &World,
        request: &Request,
        kind: Kind,
        trouble: Trouble,
    ) -> Verdict {
        let random = &mut self.random;
        let mut wait = |usual: u64, rare: u64| {
            let is_rare = random.of("a long wait").usually(1).u32(..10) == 0;
            ms(random.of("wait").u64(..if is_rare { rare } else { usual }))
        };
        match trouble {
            Trouble::Drop => Verdict::DropRequest,
            Trouble::LoseReply => Verdict::ApplyThenLoseReply,
            Trouble::FailAfter => Verdict::ApplyThenFail(Transient),
            Trouble::OwnConflict => Verdict::ApplyThenConflict,
            Trouble::FalseConflict => Verdict::FalseConflict,
            Trouble::Late => Verdict::ApplyLate { reply: Transient, after: wait(1500, 30_000) },
            Trouble::Duplicate => Verdict::Duplicate { after: wait(1500, 30_000) },
            Trouble::Delay => Verdict::Delay(wait(2000, 20_000)),
            Trouble::LateReply => Verdict::DelayReply(wait(2000, 20_000)),
            Trouble::Fail => Verdict::Fail(Transient),
            Trouble::Throttle => Verdict::Throttle,
            Trouble::TimeOut => Verdict::Fail(TimedOut),
            Trouble::Denied => Verdict::Fail(Denied),
            Trouble::Stale if kind == Kind::List => Verdict::StaleListing(wait(3000, 60_000)),
            Trouble::Stale => Verdict::Stale(random.usize(1..4)),
            Trouble::WrongNotModified => Verdict::NotModifiedWrongly,
            Trouble::Corrupt => self.flip(world, request, kind),
            Trouble::Truncate => Verdict::Truncate(random.usize(..60)),
            Trouble::Empty => Verdict::Empty,
            Trouble::OtherBytes => {
                world.oracles().read_undetectably(&request.location);
                Verdict::OtherBytes
            }
            Trouble::Partial => Verdict::Partial,
            Trouble::KeysTwice => Verdict::Listing(Quirk::Twice),
            Trouble::Shuffled => Verdict::Listing(Quirk::Shuffled),
            Trouble::KeyMissing => Verdict::Listing(Quirk::Missing),
            Trouble::KeyDeleted => Verdict::Listing(Quirk::Ghost),
            Trouble::NoTimes => Verdict::NoTimes,
        }
    }

    /// Flips bits. Those that leave good data behind need a world in which that is allowed for.
    fn flip(&mut self, world: &World, request: &Request, kind: Kind) -> Verdict {
        let (offset, mask) = (self.random.usize(..10_000), 1 << self.random.u32(..8));
        let verdict = Verdict::Corrupt { offset, mask };
        if kind == Kind::ReadManifest {
            world.exempt(Exemption::UndetectableFlips);
            return verdict;
        }
        let Some(object) = world.store.object(&request.location) else { return Verdict::Pass };
        let mut bytes = object.bytes.to_vec();
        let Some(place) = offset.checked_rem(bytes.len()) else { return Verdict::Pass };
        bytes[place] ^= mask;
        // Not by the reader that is judged.
        let shows = !oracles::is_batch(&request.location, &bytes.into());
        if shows {
            return verdict;
        }
        if world.plan.theme != Theme::UndetectableDamage {
            return Verdict::Pass;
        }
        world.oracles().read_undetectably(&request.location);
        verdict
    }
}

/// Tells the oracles of every request; while the world is unkind, it also decides what becomes of it.
pub(crate) fn install(world: &Arc<World>) -> FaultGuard {
    let mut faults = Faults {
        random: world.runtime.random("faults"),
        plan: world.plan.faults.clone(),
        victims: Default::default(),
    };
    let weak = Arc::downgrade(world);
    world.store.fault(move |request| {
        let Some(world) = weak.upgrade() else { return Verdict::Pass };
        let kind = request.kind();
        let is_ours = world.is_ours(request.process);
        let verdict = match world.is_unkind() && is_ours {
            true => faults.judge(&world, request, kind),
            false if kind == Kind::List && world.denies_listing() => Verdict::Fail(Denied),
            false => Verdict::Pass,
        };
        world.requested(request, kind, verdict);
        verdict
    })
}

/// What can go on after the faults have ended: what was late, and what still waits for its time-out.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(40);
