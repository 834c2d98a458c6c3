//! `scenario`: situations that have a name.

use buffer_core::hooks::Bug;
use buffer_sim::chart::Chart;
use buffer_sim::hooks_are_on;
use buffer_sim::scenarios::Scenario;
use clap::Args;

use crate::exit::{Ended, Outcome, say};
use crate::one::{HOW_TO_BUILD, bug};
use crate::pictures::Pictures;

/// How many worlds of one scenario are drawn.
const SHOWN: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A scenario's name, or the number of a known failure
    #[arg(required_unless_present_any = ["list", "all"])]
    names: Vec<String>,
    /// Lists them
    #[arg(long, conflicts_with = "names")]
    list: bool,
    /// Runs all of them
    #[arg(long, conflicts_with_all = ["names", "list"])]
    all: bool,
    /// Runs them with the bugs that they are to find, and expects them to fail
    #[arg(long, conflicts_with = "list")]
    planted: bool,
    /// Runs them with this bug planted
    #[arg(long, value_name = "NAME", value_parser = bug, conflicts_with_all = ["list", "planted"])]
    bug: Option<Bug>,
    #[command(flatten)]
    pictures: Pictures,
}

pub(crate) fn run(options: &Options) -> Outcome {
    if options.list {
        for scenario in Scenario::all() {
            say!("{}\n    {}", scenario.name, scenario.about);
        }
        return Ok(());
    }
    if (options.planted || options.bug.is_some()) && !hooks_are_on() {
        return Err(Ended::usage(HOW_TO_BUILD));
    }
    let scenarios: Vec<&Scenario> = if options.all {
        Scenario::all().iter().collect()
    } else {
        let mut found = Vec::new();
        for name in &options.names {
            found.extend(named(name)?);
        }
        found
    };
    if options.pictures.are_wanted() {
        let [scenario] = scenarios[..] else {
            return Err(Ended::usage("a picture is of one scenario, by its name"));
        };
        if options.planted {
            return Err(Ended::usage("a picture is of one run: name the bug with --bug"));
        }
        draw(scenario, options.bug, &options.pictures)?;
    }
    let wrong: usize = scenarios
        .iter()
        .map(|it| if options.planted { planted(it) } else { plain(it, options.bug) })
        .sum();
    match wrong {
        0 => Ok(()),
        1 if scenarios.len() == 1 => Err(Ended::broken(format!("{} is wrong", scenarios[0].name))),
        _ => Err(Ended::broken(format!("{wrong} of {} scenarios are wrong", scenarios.len()))),
    }
}

/// Those that are meant: one by its name, or all of one number.
fn named(name: &str) -> Result<Vec<&'static Scenario>, Ended> {
    if let Some(scenario) = Scenario::by_name(name) {
        return Ok(vec![scenario]);
    }
    let number = name.parse::<u8>().ok();
    let of_number: Vec<_> =
        Scenario::all().iter().filter(|it| number.is_some() && it.failure == number).collect();
    if !of_number.is_empty() {
        return Ok(of_number);
    }
    let like: Vec<_> =
        Scenario::all().iter().map(|it| it.name).filter(|it| it.contains(name)).collect();
    Err(Ended::usage(match like.as_slice() {
        [] => format!("there is no scenario {name:?}; --list shows them"),
        like => {
            format!("there is no scenario {name:?}; is it one of these?\n  {}", like.join("\n  "))
        }
    }))
}

/// Runs one; says how many things were wrong.
fn plain(scenario: &Scenario, bug: Option<Bug>) -> usize {
    let ran = match bug {
        None => scenario.run(),
        Some(bug) => scenario.fails_when_planted(bug).map_or(Ok(Vec::new()), Err),
    };
    match ran {
        Ok(notes) => {
            say!("ok    {}", scenario.name);
            for note in notes {
                say!("      {note}");
            }
            0
        }
        Err(failed) => {
            say!("WRONG {}\n      {}", scenario.name, failed.what);
            1
        }
    }
}

/// Draws what happened in the worlds of one: in the last, if it failed, and else in the first few.
fn draw(scenario: &Scenario, bug: Option<Bug>, pictures: &Pictures) -> Outcome {
    let (ran, worlds) = scenario.run_with_events(bug);
    let count = worlds.len();
    let shown = if ran.is_err() { count.saturating_sub(1)..count } else { 0..count.min(SHOWN) };
    let chart = |(number, events)| {
        let title = match count {
            1 => scenario.name.to_owned(),
            _ => format!("{}, world {} of {count}", scenario.name, number + 1),
        };
        let chart = Chart::new(title, events).with_note(scenario.about);
        match &ran {
            Ok(_) => chart,
            Err(failed) => chart.with_note(failed.what.clone()),
        }
    };
    let worlds = worlds.into_iter().enumerate();
    let charts: Vec<Chart> = worlds.filter(|(it, _)| shown.contains(it)).map(chart).collect();
    if charts.iter().all(Chart::is_empty) {
        let why = "nothing happens in a simulated store on the thread of this scenario";
        return Err(Ended::failed(format!("{}: {why}", scenario.name)));
    }
    pictures.draw(&charts)
}

/// Runs one with each of its bugs.
fn planted(scenario: &Scenario) -> usize {
    let mut wrong = 0;
    for bug in scenario.planted {
        match scenario.fails_when_planted(*bug) {
            Some(failed) => {
                let what = failed.what.lines().next().unwrap_or_default();
                say!("ok    {} fails with {}\n      {what}", scenario.name, bug.name());
            }
            None => {
                say!("WRONG {} passes with {}", scenario.name, bug.name());
                wrong += 1;
            }
        }
    }
    wrong
}
