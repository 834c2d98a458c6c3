//! `status`: how a queue is doing.

mod report;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use buffer::{InspectError, Inspector, InspectorConfig, QueueStatus, Reading};
use clap::{ArgGroup, Args, ValueEnum};

use crate::exit::{Failure, Outcome, Status, written};
use crate::interrupt::Interrupt;
use crate::queue::{self, Queue};
use crate::say::say;
use crate::time::rounded;

use report::Report;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Counts the batches that nobody lists, too
    #[arg(long)]
    orphans: bool,
    /// Reads the manifest and lists nothing, so that the bytes are not told
    #[arg(long, conflicts_with = "orphans")]
    quick: bool,
    /// Goes on, in place if this is a terminal; lists nothing unless --orphans
    #[arg(short, long, conflicts_with = "check")]
    watch: bool,
    /// How often --watch looks
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = some_time, requires = "watch")]
    interval: Duration,
    #[command(flatten)]
    check: Check,
}

/// What a queue must not be past.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("limits").multiple(true))]
struct Check {
    /// Exits with code 5 if the queue is past --max-depth or --max-lag
    #[arg(long, requires = "limits")]
    check: bool,
    /// How many batches may be listed
    #[arg(long, value_name = "N", requires = "check", group = "limits")]
    max_depth: Option<u64>,
    /// How long the oldest entry may have waited
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "check", group = "limits")]
    max_lag: Option<Duration>,
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Table,
    /// One line of JSON
    Json,
    /// What Prometheus reads
    Prometheus,
}

/// A duration that leaves the store time between two requests.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("give more than no time, such as 2s".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    let inspector = queue::inspect(&options.queue, InspectorConfig::default())?;
    tokio::select! {
        biased;
        () = stop.raised() => Err(Failure::interrupted()),
        outcome = work(&inspector, options) => outcome,
    }
}

async fn work(inspector: &Inspector, options: &Options) -> Outcome {
    if options.watch {
        return watch(inspector, options).await;
    }
    let explain = |error| queue::unreadable(error, &options.queue);
    let reading = inspector.read().await.map_err(explain)?;
    let report = look(inspector, options, &reading).await.map_err(explain)?;
    written(options.print(&report, io::stdout().lock()))?;
    options.check.hold(&report.status)
}

/// What there is to say of a reading.
async fn look<'a>(
    inspector: &'a Inspector,
    options: &Options,
    reading: &Reading,
) -> Result<Report<'a>, InspectError> {
    let lists = options.orphans || !(options.quick || options.watch);
    let objects = if lists { Some(inspector.objects(reading).await?) } else { None };
    let status = inspector.status(reading);
    let orphans = options.orphans;
    Ok(Report { store: inspector.store(), status, objects, orphans })
}

/// Prints again and again. A failure that may pass is told, and does not end it.
async fn watch(inspector: &Inspector, options: &Options) -> Outcome {
    let in_place = options.format == Format::Table && io::stdout().is_terminal();
    let explain = |error| queue::unreadable(error, &options.queue);
    let mut reading = inspector.read().await.map_err(explain)?;
    let mut lines = 0;
    loop {
        let looked = look(inspector, options, &reading).await;
        if let Some(report) = unless_passing(looked, &mut lines).map_err(explain)? {
            let mut text = Vec::new();
            options.print(&report, &mut text).expect("memory takes what is written");
            let whole = if in_place { replacing(lines, &text) } else { text.clone() };
            lines = text.iter().filter(|byte| **byte == b'\n').count();
            let mut stdout = io::stdout().lock();
            if written(stdout.write_all(&whole).and_then(|()| stdout.flush()))?.is_none() {
                return Ok(());
            }
        }
        tokio::time::sleep(options.interval).await;
        let later = inspector.read_after(&reading).await;
        if let Some(Some(later)) = unless_passing(later, &mut lines).map_err(explain)? {
            reading = later;
        }
    }
}

/// What puts a text in the place of so many lines of a terminal.
fn replacing(lines: usize, text: &[u8]) -> Vec<u8> {
    // Back to the first line, and away with all from there.
    let back = if lines > 0 { format!("\x1b[{lines}A\x1b[J") } else { String::new() };
    // A line that were wrapped would count as several.
    [back.as_bytes(), b"\x1b[?7l", text, b"\x1b[?7h"].concat()
}

/// Tells a failure that may pass, and forgets it: what is printed next begins on a line of its own.
fn unless_passing<T>(
    result: Result<T, InspectError>,
    lines: &mut usize,
) -> Result<Option<T>, InspectError> {
    match result {
        Err(error) if error.is_retryable() => {
            say!("{error}");
            *lines = 0;
            Ok(None)
        }
        result => result.map(Some),
    }
}

impl Options {
    fn print(&self, report: &Report<'_>, mut to: impl Write) -> io::Result<()> {
        match self.format {
            Format::Table => report.table(&mut to)?,
            Format::Json => report.json(&mut to)?,
            Format::Prometheus => report.prometheus(&mut to)?,
        }
        to.flush()
    }
}

impl Check {
    fn hold(&self, status: &QueueStatus) -> Outcome {
        let mut past = Vec::new();
        if let Some(most) = self.max_depth.filter(|most| status.depth > *most) {
            past.push(format!("the depth is {}, and --max-depth {most}", status.depth));
        }
        if let Some(most) = self.max_lag {
            let Some(lag) = status.lag() else {
                let message = "nothing tells how long the oldest batch has waited, so that --max-lag cannot be checked";
                return Err(Failure::failed(message));
            };
            if lag > most {
                let [lag, most] = [rounded(lag), humantime::format_duration(most).to_string()];
                past.push(format!("the lag is {lag}, and --max-lag {most}"));
            }
        }
        if past.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Status::OverLimit, past.join("; ")))
    }
}
