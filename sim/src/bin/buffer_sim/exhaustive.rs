//! `exhaustive`: every order of a few requests, and which planted bugs that finds.

use std::time::Duration;

use buffer_core::hooks::{Bug, Point};
use buffer_sim::exhaustive::{Limits, Summary, explore};
use buffer_sim::hooks_are_on;
use clap::Args;

use crate::exit::{Ended, Outcome, say};
use crate::numbers::{grouped, span};
use crate::one::{HOW_TO_BUILD, bug};
use crate::workers::cores;

/// Without another number, what `Limits::SMALL` says.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Producers [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    producers: Option<u8>,
    /// Batches of each [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    batches: Option<u8>,
    /// How many more consumers take over [default: 1]
    #[arg(long, value_name = "N")]
    take_overs: Option<u8>,
    /// How many processes crash [default: 1]
    #[arg(long, value_name = "N")]
    crashes: Option<u8>,
    /// How many answers are lost or late [default: 1]
    #[arg(long, value_name = "N")]
    faults: Option<u8>,
    /// How often time passes while something else could happen [default: 1]
    #[arg(long, value_name = "N")]
    hurries: Option<u8>,
    /// How often time passes in all before a run ends [default: 8]
    #[arg(long, value_name = "N")]
    ticks: Option<u8>,
    /// For how long, at the most
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// How many threads [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Plants this bug
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Option<Bug>,
    /// Plants every bug in turn, and tells which are found; `--minutes` is for each
    #[arg(long, conflicts_with = "bug")]
    bugs: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    if (options.bug.is_some() || options.bugs) && !hooks_are_on() {
        return Err(Ended::usage(HOW_TO_BUILD));
    }
    let time = Duration::try_from_secs_f64(options.minutes * 60.0)
        .map_err(|error| Ended::usage(format!("--minutes {}: {error}", options.minutes)))?;
    let jobs = options.jobs.unwrap_or_else(cores);
    let limits = options.limits();
    if options.bugs {
        return look_for_each(limits, jobs, time);
    }
    let summary = explore(limits, options.bug, jobs, time);
    tell(&summary);
    match (&summary.found, options.bug) {
        (None, None) => Ok(()),
        (None, Some(bug)) => Err(Ended::broken(format!("{} is not found", bug.name()))),
        (Some(found), Some(_)) => {
            say!("\n{found}");
            Ok(())
        }
        (Some(found), None) => Err(Ended::broken(found.to_string())),
    }
}

impl Options {
    fn limits(&self) -> Limits {
        let small = Limits::SMALL;
        Limits {
            producers: self.producers.map_or(small.producers, usize::from),
            batches: self.batches.map_or(small.batches, usize::from),
            take_overs: self.take_overs.unwrap_or(small.take_overs),
            crashes: self.crashes.unwrap_or(small.crashes),
            faults: self.faults.unwrap_or(small.faults),
            hurries: self.hurries.unwrap_or(small.hurries),
            ticks: self.ticks.unwrap_or(small.ticks),
        }
    }
}

fn tell(summary: &Summary) {
    let Summary { states, transitions, repeated, ended, depth, complete, took, .. } = summary;
    let whole = if *complete { "all of them" } else { "as far as time went" };
    say!("states       {}, {whole}", grouped(*states));
    let rate = *transitions as f64 / took.as_secs_f64();
    say!("transitions  {}, {} a second", grouped(*transitions), grouped(rate as u64));
    say!("repeated     {} to get back to a state", grouped(*repeated));
    say!("runs ended   {}, the longest after {depth} steps", grouped(*ended));
    say!("took         {}", span(*took));
    if summary.reached.is_empty() {
        return;
    }
    let places = || Point::ALL.iter().zip(&summary.reached);
    let count = places().filter(|(_, times)| **times > 0).count();
    say!("coverage     {count} of {} points reached", Point::ALL.len());
    let never: Vec<_> = places().filter(|(_, times)| **times == 0).map(|it| it.0.name()).collect();
    say!("never        {}", never.join(", "));
}

fn look_for_each(limits: Limits, jobs: usize, time: Duration) -> Outcome {
    let width = Bug::ALL.iter().map(|bug| bug.name().len()).max().unwrap_or(0);
    let mut count = 0;
    for bug in Bug::ALL {
        let summary = explore(limits, Some(*bug), jobs, time);
        let after = grouped(summary.transitions);
        let Some(found) = summary.found else {
            say!("{:<width$}  not found in {after} transitions", bug.name());
            continue;
        };
        count += 1;
        let named = bug.caught_by().split('+').any(|named| named == found.invariant);
        let as_named = if named { "" } else { ", not one of those that its entry names" };
        say!(
            "{:<width$}  {} after {after} transitions, in {} steps{as_named}",
            bug.name(),
            found.invariant,
            found.steps.len()
        );
    }
    say!("found {count} of {}", Bug::ALL.len());
    match count {
        0 => Err(Ended::broken("no planted bug is found")),
        _ => Ok(()),
    }
}
