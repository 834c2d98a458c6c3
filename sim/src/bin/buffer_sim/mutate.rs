//! `mutate`: plants every bug in turn, to see whether it is found, and by what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use buffer_core::hooks::Bug;
use buffer_sim::hooks_are_on;
use buffer_sim::scenarios::Scenario;
use buffer_sim::swarm::{Failure, Invariant, Token};
use clap::Args;

use crate::exit::{Ended, Outcome, say};
use crate::numbers::grouped;
use crate::one::{HOW_TO_BUILD, bug};
use crate::shrunk_bugs;
use crate::workers::{cores, run_all};

/// How many seeds a bug gets at the most.
const MOST: u64 = 100_000;

/// How many it gets when it must be fast: each bug is found in these, most of them in the first hundred.
const FAST: u64 = 4000;

/// How many worlds the bug is let loose in while nobody looks for it: the one that found it, and those that follow.
const UNSEEN: u64 = 20;

/// Bugs in what no world has: a scenario has to find them.
const OUTSIDE_OF_WORLDS: [Bug; 2] = [
    // Worlds keep their objects in memory.
    Bug::LocalSecondWriteFails,
    // No world has producers that follow none of our rules.
    Bug::YoungerThanListedCollected,
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many seeds each bug gets at the most [default: 100000]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Plants this one alone
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Option<Bug>,
    /// Gives each bug few seeds: enough, but with little to spare
    #[arg(long, conflicts_with = "seeds")]
    fast: bool,
    /// How many worlds at once [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Shrinks the first failure of each bug, and tells how many decisions are left
    #[arg(long)]
    shrink: bool,
}

/// What becomes of a bug when the oracles that its entry names are off.
enum Blind {
    /// Nothing sees it.
    Through,
    /// No oracle sees it; an assertion of the code itself does.
    Asserted,
}

/// What found a bug.
enum Found {
    /// A seed, by what did not hold there.
    Seed {
        first: u64,
        failure: Box<Failure>,
        /// The first seed in which the named invariant catches it, with those that follow from it off.
        named: Option<u64>,
        /// Whether it goes through with all of them off.
        unseen: Result<Blind, Box<Failure>>,
    },
    /// A scenario, and why no seed.
    Scenario { name: &'static str, why: &'static str },
    /// Nothing.
    Nothing,
}

pub(crate) fn run(options: &Options) -> Outcome {
    if !hooks_are_on() {
        return Err(Ended::usage(HOW_TO_BUILD));
    }
    let most = options.seeds.unwrap_or(if options.fast { FAST } else { MOST });
    let jobs = options.jobs.unwrap_or_else(cores).max(1);
    let bugs = match options.bug {
        Some(bug) => vec![bug],
        None => Bug::ALL.to_vec(),
    };
    if options.shrink {
        let in_worlds = bugs.into_iter().filter(|bug| !OUTSIDE_OF_WORLDS.contains(bug));
        return shrunk_bugs::run(&in_worlds.collect::<Vec<_>>(), most, jobs);
    }
    let width = bugs.iter().map(|bug| bug.name().len()).max().unwrap_or(0);
    say!("{:<width$}  {:>10}  caught by", "bug", "first seed");
    let mut counts = Counts::default();
    for bug in bugs {
        let found = look_for(bug, most, jobs, options.fast);
        let seed = if let Found::Seed { first, .. } = &found { Some(*first) } else { None };
        say!("{:<width$}  {}", bug.name(), counts.add(bug, &found));
        if let (Some(seed), Some(bug)) = (seed, options.bug) {
            let token = Token { seed, bug: Some(bug), ..Token::default() };
            say!("to repeat it: cargo sim replay {token}");
        }
    }
    counts.judge(most)
}

/// The invariant that a bug's entry names, and those that it breaks in consequence.
fn named(bug: Bug) -> (Invariant, BTreeSet<Invariant>) {
    let words = bug.caught_by().split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut all = words.filter_map(|word| word.parse().ok());
    (all.next().expect("each entry names an invariant"), all.collect())
}

fn look_for(bug: Bug, most: u64, jobs: usize, is_fast: bool) -> Found {
    let (name, follow) = named(bug);
    if OUTSIDE_OF_WORLDS.contains(&bug) {
        return look_in_scenarios(bug, "no world has what it is about");
    }
    let like = Token { bug: Some(bug), ..Token::default() };
    let Some((first, failure)) = first_failure(&like, 0..most, jobs) else {
        return match is_fast {
            true => look_in_scenarios(bug, "it needs more seeds than these"),
            false => Found::Nothing,
        };
    };
    let is_by_name = |failure: &Failure| failure.invariant == Some(name);
    let named = if is_by_name(&failure) {
        Some(first)
    } else {
        let alone = Token { without: follow.clone(), ..like.clone() };
        let found = first_failure(&alone, first..most, jobs);
        found.filter(|(_, failure)| is_by_name(failure)).map(|(seed, _)| seed)
    };
    let without = follow.into_iter().chain([name]).collect();
    let unseen = Token { without, ..like };
    let unseen = match first_failure(&unseen, first..first + UNSEEN, jobs) {
        None => Ok(Blind::Through),
        // The code's own assertion is no oracle.
        Some((_, failure))
            if failure.invariant.is_none() && failure.what.contains("a panic at core/") =>
        {
            Ok(Blind::Asserted)
        }
        Some((_, failure)) => Err(failure),
    };
    Found::Seed { first, failure, named, unseen }
}

fn look_in_scenarios(bug: Bug, why: &'static str) -> Found {
    let with_bug = Scenario::all().iter().filter(|it| it.planted.contains(&bug));
    let mut failing = with_bug.filter(|it| it.fails_when_planted(bug).is_some());
    failing.next().map_or(Found::Nothing, |it| Found::Scenario { name: it.name, why })
}

/// The lowest seed that fails, whichever thread finds one first.
pub(crate) fn first_failure(
    like: &Token,
    seeds: std::ops::Range<u64>,
    jobs: usize,
) -> Option<(u64, Box<Failure>)> {
    let lowest = Arc::new(AtomicU64::new(seeds.end));
    let (mut supply, until, like) = (seeds, Arc::clone(&lowest), like.clone());
    let next = move || {
        let seed = supply.next().filter(|seed| *seed < until.load(Relaxed))?;
        Some(Token { seed, ..like.clone() })
    };
    let mut found = None;
    run_all(jobs, false, next, |token, ran| {
        let Err(failure) = ran else { return };
        if token.seed < lowest.load(Relaxed) {
            lowest.store(token.seed, Relaxed);
            found = Some((token.seed, failure));
        }
    });
    found
}

/// What all of them came to.
#[derive(Default)]
struct Counts {
    bugs: u64,
    found: u64,
    within_a_thousand: u64,
    by_scenario: u64,
    as_named: u64,
    let_through: u64,
}

impl Counts {
    /// Counts one, and says what there is to say of it.
    fn add(&mut self, bug: Bug, found: &Found) -> String {
        self.bugs += 1;
        match found {
            Found::Nothing => {
                let by = bug.caught_by();
                format!("{:>10}  NOT FOUND; it should be by {by}", "-")
            }
            Found::Scenario { name, why } => {
                self.found += 1;
                self.by_scenario += 1;
                self.as_named += 1;
                self.let_through += 1;
                format!("{:>10}  scenario {name}; {why}", "-")
            }
            Found::Seed { first, failure, named: by_name, unseen } => {
                self.found += 1;
                self.within_a_thousand += u64::from(*first < 1000);
                self.as_named += u64::from(by_name.is_some());
                self.let_through += u64::from(unseen.is_ok());
                let (by, name) = (what(failure), named(bug).0);
                let by = match by_name {
                    Some(_) if failure.invariant == Some(name) => format!("{by}, as named"),
                    Some(seed) => format!("{by}, and by {name} alone in seed {}", grouped(*seed)),
                    None => format!("{by}, NOT BY {name}"),
                };
                let off = bug.caught_by();
                let unseen = match unseen {
                    Ok(Blind::Through) => format!("without {off} it goes through"),
                    Ok(Blind::Asserted) => {
                        format!("without {off} no oracle sees it (an assertion of core does)")
                    }
                    Err(failure) => {
                        format!("WITHOUT {off} seed {}: {}", failure.seed, what(failure))
                    }
                };
                format!("{:>10}  {by}; {unseen}", grouped(*first))
            }
        }
    }

    fn judge(&self, most: u64) -> Outcome {
        let Self { bugs, found, within_a_thousand, by_scenario, as_named, let_through } = self;
        say!(
            "found {found} of {bugs}, {within_a_thousand} within 1,000 seeds and {by_scenario} by a scenario; \
             {as_named} by what their entry names, {let_through} go through without it"
        );
        let mut wrong = Vec::new();
        if found < bugs {
            let (missing, most) = (bugs - found, grouped(most));
            wrong.push(format!("{missing} bugs are not found in {most} seeds"));
        }
        if as_named < found {
            let count = found - as_named;
            wrong.push(format!("{count} bugs are caught by something else than named"));
        }
        if let_through < found {
            let count = found - let_through;
            wrong.push(format!("{count} bugs do not go through with what is named switched off"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(Ended::broken(wrong.join("; "))) }
    }
}

fn what(failure: &Failure) -> String {
    match failure.invariant {
        Some(invariant) => invariant.to_string(),
        None => format!("no end, or a panic ({})", failure.what.lines().next().unwrap_or_default()),
    }
}
