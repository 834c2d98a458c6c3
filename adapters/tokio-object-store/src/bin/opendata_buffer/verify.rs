//! `verify`: whether everything that is listed is there, and whole.

use std::io::{self, Write};

use buffer::{Depth, InspectError, InspectorConfig, Problem, Verification};
use clap::Args;
use serde_json::json;

use crate::exit::{Failure, Outcome, Status, written};
use crate::interrupt::Interrupt;
use crate::queue::{self, Queue};
use crate::size::{counted, grouped};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// Reads every batch, too: whether it decodes, and agrees with its manifest entry
    #[arg(long)]
    deep: bool,
    /// Prints the results as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    let inspector = queue::inspect(&options.queue, InspectorConfig::default())?;
    let depth = if options.deep { Depth::Decodes } else { Depth::Exists };
    let verified = tokio::select! {
        biased;
        () = stop.raised() => return Err(Failure::interrupted()),
        verified = inspector.verify(depth) => verified,
    };
    let found = verified.map_err(|error| {
        let is_corrupt = matches!(error, InspectError::ManifestCorrupt(_));
        let failure = queue::unreadable(error, &options.queue);
        if is_corrupt { failure.with_status(Status::Differs) } else { failure }
    })?;
    let print = if options.json { print_json } else { print };
    written(print(&found, options.deep, io::stdout().lock()))?;
    conclude(&found)
}

fn print(found: &Verification, deep: bool, mut to: io::StdoutLock<'_>) -> io::Result<()> {
    let Verification { epoch, first_sequence, next_sequence, batches, dequeued, .. } = *found;
    writeln!(to, "manifest   epoch {epoch}, first {first_sequence}, next {next_sequence}")?;
    write!(to, "batches    {} listed", grouped(batches))?;
    if deep {
        let records = counted(found.records, "record", "records");
        write!(to, ", {} whole with {records}", grouped(found.decoded))?;
    }
    if dequeued > 0 {
        write!(to, ", {} dequeued meanwhile", grouped(dequeued))?;
    }
    writeln!(to)?;
    let orphan_bytes = counted(found.orphan_bytes, "byte", "bytes");
    writeln!(to, "orphans    {}, {orphan_bytes}", grouped(found.orphans))?;
    for problem in &found.problems {
        writeln!(to, "PROBLEM    {problem}")?;
    }
    if found.more_problems > 0 {
        writeln!(to, "           and {} more", grouped(found.more_problems))?;
    }
    to.flush()
}

fn print_json(found: &Verification, deep: bool, mut to: io::StdoutLock<'_>) -> io::Result<()> {
    let problems: Vec<_> = found
        .problems
        .iter()
        .map(|problem| {
            json!({
                "sequence": problem.sequence().0,
                "kind": kind(problem),
                "message": problem.to_string(),
            })
        })
        .collect();
    let report = json!({
        "sound": found.is_sound(),
        "deep": deep,
        "epoch": found.epoch,
        "first_sequence": found.first_sequence,
        "next_sequence": found.next_sequence,
        "batches": found.batches,
        "dequeued": found.dequeued,
        "decoded": found.decoded,
        "records": found.records,
        "bytes": found.batch_bytes,
        "orphans": found.orphans,
        "orphan_bytes": found.orphan_bytes,
        "problems": problems,
        "more_problems": found.more_problems,
    });
    writeln!(to, "{report:#}")?;
    to.flush()
}

fn kind(problem: &Problem) -> &'static str {
    match problem {
        Problem::Missing { .. } => "missing",
        Problem::Corrupt { .. } => "corrupt",
        Problem::BadLocation { .. } => "bad_location",
        Problem::Repeated { .. } => "repeated",
        Problem::Unreadable { .. } => "unreadable",
        // It is not exhaustive outside its crate.
        _ => "other",
    }
}

fn conclude(found: &Verification) -> Outcome {
    if found.is_sound() {
        return Ok(());
    }
    let count = found.problems.len() as u64 + found.more_problems;
    let message = format!("{}, see above", counted(count, "problem", "problems"));
    // Nothing is known to be wrong with what the store did not show.
    let is_unreadable = |problem| matches!(problem, &Problem::Unreadable { .. });
    let all_unreadable = found.more_problems == 0 && found.problems.iter().all(is_unreadable);
    let status = if all_unreadable { Status::Failed } else { Status::Differs };
    Err(Failure::new(status, message))
}
