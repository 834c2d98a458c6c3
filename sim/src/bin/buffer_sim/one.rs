//! `run` and `replay`: one world.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use buffer_core::hooks::Bug;
use buffer_sim::hooks_are_on;
use buffer_sim::swarm::{Invariant, Load, Report, Token};
use clap::Args;

use crate::exit::{Ended, Outcome, say, story};
use crate::numbers::{grouped, span};
use crate::pictures::Pictures;
use crate::workers::run_one;

/// How to build what a bug needs.
pub(crate) const HOW_TO_BUILD: &str = "bugs are planted, and coverage is counted, only by a build with --cfg buffer_sim: use `cargo sim`";

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The seed, from which everything follows
    #[arg(long, value_name = "N")]
    seed: u64,
    /// How much there is to do: short, long or crowd
    #[arg(long, value_name = "LOAD", default_value_t)]
    load: Load,
    /// Writes what happened, line by line, to a file or to standard output
    #[arg(long, value_name = "FILE|-")]
    trace: Option<PathBuf>,
    /// Invariants that are not looked at, such as I5,I10
    #[arg(long, value_name = "I5,..", value_delimiter = ',')]
    without: Vec<Invariant>,
    /// A bug to plant; `mutate` lists them
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Option<Bug>,
    #[command(flatten)]
    pictures: Pictures,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayOptions {
    /// What a failure printed, such as b1-short-12345
    token: Token,
    /// Writes what happened, line by line, to a file or to standard output
    #[arg(long, value_name = "FILE|-")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    pictures: Pictures,
}

/// A bug by its name.
pub(crate) fn bug(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.iter().find(|bug| bug.name() == name);
    found.copied().ok_or_else(|| format!("there is no bug {name:?} to plant; `mutate` lists them"))
}

pub(crate) fn run(options: &RunOptions) -> Outcome {
    let token = Token {
        load: options.load,
        seed: options.seed,
        without: options.without.iter().copied().collect::<BTreeSet<_>>(),
        bug: options.bug,
        ..Token::default()
    };
    show(&token, options.trace.as_deref(), &options.pictures)
}

pub(crate) fn replay(options: &ReplayOptions) -> Outcome {
    show(&options.token, options.trace.as_deref(), &options.pictures)
}

fn show(token: &Token, trace: Option<&Path>, pictures: &Pictures) -> Outcome {
    if token.bug.is_some() && !hooks_are_on() {
        return Err(Ended::usage(HOW_TO_BUILD));
    }
    pictures.of_run(token)?;
    // A long world has more lines than anybody wants to wait for, unless it fails.
    let ran = run_one(token, trace.is_some() || token.load == Load::Short);
    let lines = match &ran {
        Ok(report) => &report.lines,
        Err(failure) => &failure.lines,
    };
    if let Some(path) = trace {
        write_lines(path, lines)?;
    }
    match ran {
        Ok(report) => {
            // Standard output may be the trace's.
            let told = tell(token, &report);
            let told = told.trim_end();
            if trace.is_some_and(is_stdout) {
                eprintln!("{told}");
            } else {
                say!("{told}");
            }
            Ok(())
        }
        Err(failure) if failure.lines.is_empty() => {
            let failure = crate::workers::with_lines(token, &failure);
            Err(Ended::broken(story(token, &failure)))
        }
        Err(failure) => Err(Ended::broken(story(token, &failure))),
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn write_lines(path: &Path, lines: &[String]) -> Outcome {
    let written = if is_stdout(path) {
        write_to(io::stdout().lock(), lines)
    } else {
        File::create(path).and_then(|file| write_to(file, lines))
    };
    match written {
        // Nobody reads on, as with `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Ended::of_file(path, &error)),
        Ok(()) => Ok(()),
    }
}

fn write_to(sink: impl Write, lines: &[String]) -> io::Result<()> {
    let mut sink = BufWriter::new(sink);
    for line in lines {
        writeln!(sink, "{line}")?;
    }
    sink.flush()
}

fn tell(token: &Token, report: &Report) -> String {
    use std::fmt::Write as _;

    let mut text = format!("{token}: everything held; hash {:016x}\n", report.hash);
    let simulated = span(report.simulated);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<22} {value}");
    };
    line("simulated time", simulated);
    line("requests", grouped(report.requests));
    line("submissions", grouped(report.submissions));
    line("entries acknowledged", grouped(report.entries));
    line("batches", grouped(report.batches));
    line("batches collected", grouped(report.collected));
    line("terms of consumers", grouped(report.epochs));
    line("not delivered", grouped(report.not_delivered));
    line("unknown", grouped(report.unknown));
    for (name, count) in &report.faults {
        line(name, grouped(*count));
    }
    text
}
