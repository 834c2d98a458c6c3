//! `sweep`: the worlds of many seeds.

mod summary;
mod tally;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use buffer_sim::swarm::{Failure, Invariant, Load, Token};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::{Ended, Outcome, headline, say, story};
use crate::numbers::grouped;
use crate::seeds::Seeds;
use crate::shrink;
use crate::workers::{cores, run_all, with_lines};
use summary::Summary;
use tally::Tally;

/// How many rows of a picture are shown.
const SHOWN: usize = 30;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which seeds
    #[arg(long, value_name = "A..B", default_value = "0..1000")]
    seeds: Seeds,
    /// How much there is to do: short, long or crowd
    #[arg(long, value_name = "LOAD", default_value_t)]
    load: Load,
    /// How many worlds at once [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Goes on with the seeds that follow until this much time has passed
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Invariants that are not looked at, such as I5,I10
    #[arg(long, value_name = "I5,..", value_delimiter = ',')]
    without: Vec<Invariant>,
    /// Ends after so many worlds in which an invariant did not hold
    #[arg(long, value_name = "N", default_value_t = 10)]
    failures: usize,
    /// Writes the summary to a file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leaves the first failure as it is, and looks for nothing smaller
    #[arg(long)]
    no_shrink: bool,
}

/// Seeds in a row, until the last one, the time or the failures say that it is enough.
struct Supply {
    next: u64,
    end: u64,
    until: Option<Instant>,
    stop: Arc<AtomicBool>,
    like: Token,
}

impl Supply {
    fn next(&mut self) -> Option<Token> {
        let is_needed = self.next < self.end || self.until.is_some_and(|it| Instant::now() < it);
        if self.stop.load(Relaxed) || !is_needed {
            return None;
        }
        self.next += 1;
        Some(Token { seed: self.next - 1, ..self.like.clone() })
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let Seeds { start, end } = options.seeds;
    let until = match options.minutes {
        Some(minutes) if minutes.is_finite() && minutes > 0.0 => {
            Some(Instant::now() + Duration::from_secs_f64(minutes * 60.0))
        }
        Some(_) => return Err(Ended::usage("--minutes is more than none")),
        None if end.is_none() => {
            return Err(Ended::usage("without --minutes, seeds need an end, as in 0..1000"));
        }
        None => None,
    };
    let without: BTreeSet<Invariant> = options.without.iter().copied().collect();
    let stop = Arc::new(AtomicBool::new(false));
    let supply = Supply {
        next: start,
        end: end.unwrap_or(start),
        until,
        stop: Arc::clone(&stop),
        like: Token { load: options.load, without, ..Token::default() },
    };
    let jobs = options.jobs.unwrap_or_else(cores).max(1);
    let (tally, failures) = go_through(supply, jobs, options.failures.max(1), &stop);
    let summary = Summary::of(&tally, options.load, jobs, failures.len());
    say!("{}", summary.to_string().trim_end());
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&summary)
            .map_err(|error| Ended::failed(format!("cannot write the summary: {error}")))?;
        fs::write(path, text + "\n").map_err(|error| Ended::of_file(path, &error))?;
    }
    judge(&tally, failures, !options.no_shrink)
}

fn go_through(
    mut supply: Supply,
    jobs: usize,
    most_failures: usize,
    stop: &AtomicBool,
) -> (Tally, Vec<(Token, Box<Failure>)>) {
    // Nothing is drawn where there is no terminal.
    let bar = match supply.until {
        None => ProgressBar::new(supply.end - supply.next),
        Some(_) => ProgressBar::no_length(),
    };
    let style = "{elapsed_precise} {wide_bar} {human_pos} of {human_len} seeds, {per_sec}{msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
    let mut tally = Tally::start();
    let mut failures = Vec::new();
    run_all(
        jobs,
        false,
        move || supply.next(),
        |token, ran| {
            bar.inc(1);
            match ran {
                Ok(report) => tally.add(token.seed, &report),
                Err(failure) => {
                    tally.failed();
                    // At once: the sweep may go on all night.
                    bar.suspend(|| eprintln!("FAILED {} ({token})", headline(&failure)));
                    failures.push((token.clone(), failure));
                    bar.set_message(format!(", {} failed", failures.len()));
                    stop.store(failures.len() >= most_failures, Relaxed);
                }
            }
        },
    );
    tally.stop();
    bar.finish_and_clear();
    failures.sort_by_key(|(token, _)| token.seed);
    (tally, failures)
}

fn judge(tally: &Tally, failures: Vec<(Token, Box<Failure>)>, shrinks: bool) -> Outcome {
    let count = failures.len();
    let Some((token, failure)) = failures.into_iter().next() else { return Ok(()) };
    let failure = with_lines(&token, &failure);
    let tokens = format!("{count} of {} worlds failed; the first:", grouped(tally.seeds));
    let story = story(&token, &failure);
    if !shrinks {
        return Err(Ended::broken(format!("{tokens}\n\n{story}")));
    }
    let began = Instant::now();
    let less = shrink::watched(&token, shrink::PATIENCE)
        .and_then(|shrunk| shrink::told(&shrunk, began.elapsed(), SHOWN));
    let less = less.unwrap_or_else(|why| format!("not shrunk: {}", why.message()));
    Err(Ended::broken(format!("{tokens}\n\n{story}\n\nless that fails in the same way:\n\n{less}")))
}
