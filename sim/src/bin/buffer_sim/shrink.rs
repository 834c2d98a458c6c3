//! `shrink`: from a run that failed to one in which little happens.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use buffer_core::hooks::Bug;
use buffer_sim::chart::Chart;
use buffer_sim::hooks_are_on;
use buffer_sim::swarm::{ShrinkError, Shrunk, Token, shrink};
use clap::Args;

use crate::exit::{Ended, Outcome, say};
use crate::numbers::grouped;
use crate::one::{HOW_TO_BUILD, bug};
use crate::pictures;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A seed, or what a failure printed, such as b1-short-12345
    #[arg(value_name = "SEED|TOKEN", value_parser = run_of)]
    run: Token,
    /// A bug to plant; `mutate` lists them
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Option<Bug>,
    /// How long to look for less
    #[arg(long, value_name = "S", default_value_t = PATIENCE.as_secs())]
    seconds: u64,
    /// Writes a picture of the run that is left to a file, for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How many rows of the picture are printed
    #[arg(long, value_name = "N", default_value_t = ROWS)]
    rows: usize,
}

/// How long a shrinker looks for less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How many rows of a picture are shown.
const ROWS: usize = 40;

/// How long one run may take beyond that.
const ONE_RUN: Duration = Duration::from_secs(8);

fn run_of(text: &str) -> Result<Token, String> {
    if let Ok(seed) = text.parse() {
        return Ok(Token::new(seed));
    }
    text.parse::<Token>().map_err(|error| error.to_string())
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut token = options.run.clone();
    token.bug = options.bug.or(token.bug);
    if token.bug.is_some() && !hooks_are_on() {
        return Err(Ended::usage(HOW_TO_BUILD));
    }
    let began = Instant::now();
    let shrunk = watched(&token, Duration::from_secs(options.seconds))?;
    let took = began.elapsed();
    say!("{}", told(&shrunk, took, options.rows)?.trim_end());
    if let Some(path) = &options.html {
        pictures::write_page(path, &[picture(&shrunk)?])?;
    }
    Ok(())
}

/// Shrinks on a thread that is watched: a run that never comes back costs no more than itself.
pub(crate) fn watched(token: &Token, patience: Duration) -> Result<Shrunk, Ended> {
    let (sender, told) = mpsc::channel();
    let begun = token.clone();
    thread::spawn(move || {
        let better = |better: &Shrunk| drop(sender.send(Ok(better.clone())));
        let ended = shrink(&begun, patience, better);
        let _ = sender.send(ended);
    });
    let until = Instant::now() + patience + ONE_RUN;
    let mut best = None;
    loop {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(better)) => best = Some(better),
            Ok(Err(error @ ShrinkError::TooLong(_))) => {
                return Err(Ended::usage(error.to_string()));
            }
            Ok(Err(error)) => return Err(Ended::failed(error.to_string())),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    best.ok_or_else(|| Ended::failed(format!("{token} is still running")))
}

/// All there is to say of it: the invariant, what is out of the usual, a picture, a token and a test.
pub(crate) fn told(shrunk: &Shrunk, took: Duration, rows: usize) -> Result<String, Ended> {
    use std::fmt::Write as _;

    let Shrunk { token, failure, decisions, before, runs } = shrunk;
    let mut text = format!(
        "{}\n\n{} decisions are out of the usual, of {} before ({} runs, {:.1} s):\n",
        crate::exit::headline(failure),
        decisions.len(),
        grouped(*before as u64),
        grouped(*runs),
        took.as_secs_f64()
    );
    for decision in decisions {
        let _ = writeln!(text, "  {decision}");
    }
    let (_, events) = pictures::events(token)?;
    let chart = Chart::new(token.to_string(), events);
    let _ = write!(text, "\n{}\n", chart.text(rows));
    let _ = write!(text, "to repeat it: cargo sim replay {token}\nas a test:\n\n{}", shrunk.test());
    Ok(text)
}

fn picture(shrunk: &Shrunk) -> Result<Chart, Ended> {
    let (_, events) = pictures::events(&shrunk.token)?;
    let chart = Chart::new(shrunk.token.to_string(), events).with_note(shrunk.failure.to_string());
    let notes = shrunk.decisions.iter().map(ToString::to_string);
    Ok(notes.fold(chart, Chart::with_note))
}
