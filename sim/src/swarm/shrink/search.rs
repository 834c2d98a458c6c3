//! The search for fewer decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::run::Watch;
use super::super::{Change, Failure, Token};
use super::{ShrinkError, Shrunk, Unusual, words};
use crate::decisions::{Calm, Kept, Wild};
use crate::{Decision, Random};

/// A run that fails in the right way.
#[derive(Clone)]
struct Found {
    seed: u64,
    /// The decisions that came out otherwise, with their numbers, in order.
    unusual: Vec<(u64, Decision)>,
    sources: BTreeMap<u64, String>,
    failure: Box<Failure>,
    steps: u64,
}

/// With so few decisions nobody looks for another way to the same end.
const FEW: usize = 8;

/// With so many, a run in which less is left to chance is sooner made less of.
const MANY: usize = 200;

/// How many of those are tried, and how many in the search for another way to the same end.
const JUMPS: u64 = 60;
const WAYS: u64 = 400;

/// With no more than so many, pairs of them are left out as well.
const PAIRED: usize = 24;

/// How often a value is halved.
const HALVES: u32 = 8;

/// Of how many decisions one is left to chance, in the search for another way.
const WILD: [u32; 4] = [6, 12, 25, 50];

pub(super) struct Search {
    like: Token,
    first: Box<Failure>,
    before: usize,
    best: Found,
    until: Instant,
    runs: u64,
}

impl Search {
    /// Repeats the run with its decisions by their places.
    pub(super) fn begin(token: &Token, patience: Duration) -> Result<Self, ShrinkError> {
        let until = Instant::now() + patience;
        let watched = token.watch(false, Watch { records_decisions: true, ..Watch::default() });
        let Err(first) = watched.ran else { return Err(ShrinkError::Holds(token.clone())) };
        let unusual = unusual(&watched.decisions);
        let best = Found {
            seed: token.seed,
            unusual,
            sources: watched.sources,
            failure: first.clone(),
            steps: watched.steps,
        };
        let like = Token { changes: Vec::new(), calm: true, ..token.clone() };
        let before = best.unusual.len();
        let mut search = Self { like, first, before, best: best.clone(), until, runs: 1 };
        match search.attempt(best.seed, kept(&best.unusual), None) {
            Some(again) => search.best = again,
            None => return Err(ShrinkError::NotRepeated(token.clone())),
        }
        Ok(search)
    }

    pub(super) fn run(mut self, better: &mut impl FnMut(&Shrunk)) -> Shrunk {
        better(&self.shrunk());
        self.leave_out_groups();
        better(&self.shrunk());
        self.leave_out(is_of_plan);
        self.jump();
        better(&self.shrunk());
        self.leave_out(|_| true);
        better(&self.shrunk());
        self.refine();
        better(&self.shrunk());
        self.look_for_another_way(better);
        self.shrunk()
    }

    /// The best so far, as it is told.
    fn shrunk(&self) -> Shrunk {
        let Found { seed, unusual, sources, failure, .. } = &self.best;
        let change =
            |(index, decision): &(u64, Decision)| Change { index: *index, value: decision.value };
        let told = |(index, decision): &(u64, Decision)| Unusual {
            index: *index,
            source: sources.get(&decision.place.source).cloned().unwrap_or_default(),
            about: words::about(decision),
            number: decision.place.number,
            value: decision.value,
            usual: decision.usual,
        };
        let changes = unusual.iter().map(change).collect();
        Shrunk {
            token: Token { seed: *seed, changes, ..self.like.clone() },
            failure: failure.clone(),
            decisions: unusual.iter().map(told).collect(),
            before: self.before,
            runs: self.runs,
        }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Runs with these decisions; gives it back if it fails in the right way.
    fn attempt(&mut self, seed: u64, kept: Kept, wild: Option<Wild>) -> Option<Found> {
        self.runs += 1;
        // What takes much longer than the best is none that is better.
        let most_steps = match self.first.is_endless() {
            true => None,
            false => Some(self.best.steps * 2 + 20_000),
        };
        let watch = Watch {
            calm: Some(Calm { kept, wild }),
            records_decisions: true,
            most_steps,
            ..Watch::default()
        };
        let watched = Token { seed, ..self.like.clone() }.watch(false, watch);
        let failure = watched.ran.err().filter(|failure| failure.is_like(&self.first))?;
        let unusual = unusual(&watched.decisions);
        Some(Found { seed, unusual, sources: watched.sources, failure, steps: watched.steps })
    }

    /// Leaves these decisions out; says whether it fails all the same.
    fn try_without(&mut self, which: impl Fn(usize, &Decision) -> bool) -> bool {
        let left = self.best.unusual.iter().enumerate();
        let left = left.filter(|(place, (_, decision))| !which(*place, decision));
        let kept: Kept = left.map(|(_, (_, it))| (it.place, it.value)).collect();
        if kept.len() == self.best.unusual.len() {
            return false;
        }
        let found = self.attempt(self.best.seed, kept, None);
        found.is_some_and(|found| self.take_if_better(found))
    }

    fn take_if_better(&mut self, found: Found) -> bool {
        let is_better = found.unusual.len() < self.best.unusual.len();
        if is_better {
            self.best = found;
        }
        is_better
    }

    /// Whole kinds of decisions at a time: all of one source, all about one thing.
    fn leave_out_groups(&mut self) {
        let abouts: BTreeSet<_> =
            self.best.unusual.iter().map(|(_, it)| it.place.about.0).collect();
        for about in abouts {
            if self.is_late() {
                return;
            }
            self.try_without(|_, it| it.place.about.0 == about && !is_of_plan(it));
        }
        let sources: BTreeSet<_> =
            self.best.unusual.iter().map(|(_, it)| it.place.source).collect();
        for source in sources {
            if self.is_late() {
                return;
            }
            self.try_without(|_, it| it.place.source == source && !is_of_plan(it));
        }
    }

    /// Halves, quarters, and so on, down to each by itself, the latest first.
    fn leave_out(&mut self, of: fn(&Decision) -> bool) {
        let mut size = self.best.unusual.len().div_ceil(2).max(1);
        loop {
            let before = self.best.unusual.len();
            let mut end = self.places(of).len();
            while end > 0 {
                if self.is_late() {
                    return;
                }
                let start = end.saturating_sub(size);
                let chosen: BTreeSet<usize> = self.places(of)[start..end].iter().copied().collect();
                self.try_without(|place, _| chosen.contains(&place));
                end = start.min(self.places(of).len());
            }
            if size == 1 && self.best.unusual.len() == before {
                return;
            }
            size = (size / 2).max(1);
        }
    }

    fn places(&self, of: fn(&Decision) -> bool) -> Vec<usize> {
        let all = self.best.unusual.iter().enumerate();
        all.filter(|(_, (_, decision))| of(decision)).map(|(place, _)| place).collect()
    }

    /// Smaller values, and what can be left out after that; as long as that helps.
    fn refine(&mut self) {
        loop {
            let before = self.best.unusual.len();
            self.lower_values();
            self.leave_out(|_| true);
            self.leave_out_pairs();
            if self.best.unusual.len() == before || self.is_late() {
                return;
            }
        }
    }

    /// Brings each value as near to the usual one as it may be.
    fn lower_values(&mut self) {
        let mut place = 0;
        while let Some((_, decision)) = self.best.unusual.get(place).copied() {
            if self.is_late() {
                return;
            }
            // Below the usual there is no way but to the least: what is drawn there is a share.
            if decision.usual > decision.value {
                self.try_value(place, 0);
            } else {
                self.lower(place, decision);
            }
            place += 1;
        }
    }

    /// The next to the usual one, or else by halves.
    fn lower(&mut self, place: usize, decision: Decision) {
        let (mut fails, mut works) = (decision.usual, decision.value);
        for attempt in 0..HALVES {
            let is_there = self.best.unusual.get(place).map(|(_, it)| it.place);
            if works - fails < 2 || self.is_late() || is_there != Some(decision.place) {
                return;
            }
            let tried = if attempt == 0 { fails + 1 } else { fails + (works - fails) / 2 };
            if self.try_value(place, tried) {
                works = tried;
            } else {
                fails = tried;
            }
        }
    }

    fn try_value(&mut self, place: usize, value: u64) -> bool {
        let mut kept = kept(&self.best.unusual);
        let decision = self.best.unusual[place].1;
        if decision.value == value {
            return false;
        }
        kept.insert(decision.place, value);
        let Some(found) = self.attempt(self.best.seed, kept, None) else { return false };
        let is_as_good = found.unusual.len() <= self.best.unusual.len();
        if is_as_good {
            self.best = found;
        }
        is_as_good
    }

    fn leave_out_pairs(&mut self) {
        if self.best.unusual.len() > PAIRED {
            return;
        }
        let mut first = 0;
        while first < self.best.unusual.len() {
            let mut second = first + 1;
            while second < self.best.unusual.len() && !self.is_late() {
                if !self.try_without(|place, _| place == first || place == second) {
                    second += 1;
                }
            }
            first += 1;
        }
    }

    /// Where much is out of the usual, little left to chance may do as well, and is sooner made less.
    fn jump(&mut self) {
        let mut rng = Rng::with_seed(!self.like.seed);
        for tries in 0..JUMPS {
            if self.best.unusual.len() < MANY || self.is_late() {
                return;
            }
            if let Some(found) = self.attempt_another_way(&mut rng, tries) {
                self.take_if_better(found);
            }
        }
    }

    fn attempt_another_way(&mut self, rng: &mut Rng, number: u64) -> Option<Found> {
        let plan = self.best.unusual.iter().filter(|(_, decision)| is_of_plan(decision));
        let kept: Kept = plan.map(|(_, it)| (it.place, it.value)).collect();
        let one_in = WILD[(number % WILD.len() as u64) as usize];
        let wild = Wild { one_in, rng: rng.fork(), except: Random::purpose("plan") };
        self.attempt(self.like.seed.wrapping_add(number), kept, Some(wild))
    }

    /// With the plan as it is, and little left to chance, there may be a shorter way to the same end.
    fn look_for_another_way(&mut self, better: &mut impl FnMut(&Shrunk)) {
        let mut rng = Rng::with_seed(self.like.seed);
        let mut tries = 0;
        while self.best.unusual.len() > FEW && !self.is_late() && tries < WAYS {
            tries += 1;
            let Some(found) = self.attempt_another_way(&mut rng, tries) else { continue };
            if found.unusual.len() > self.best.unusual.len() * 8 + 40 {
                continue;
            }
            let before = std::mem::replace(&mut self.best, found);
            self.leave_out(|_| true);
            if self.best.unusual.len() >= before.unusual.len() {
                self.best = before;
                continue;
            }
            self.refine();
            better(&self.shrunk());
        }
    }
}

fn is_of_plan(decision: &Decision) -> bool {
    decision.place.source == Random::purpose("plan")
}

fn unusual(decisions: &[Decision]) -> Vec<(u64, Decision)> {
    let numbered = (0..).zip(decisions.iter().copied());
    numbered.filter(|(_, decision)| decision.is_unusual()).collect()
}

fn kept(unusual: &[(u64, Decision)]) -> Kept {
    unusual.iter().map(|(_, decision)| (decision.place, decision.value)).collect()
}
