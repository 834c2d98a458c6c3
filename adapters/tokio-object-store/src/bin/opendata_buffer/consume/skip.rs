//! `consume --skip`: past a batch that is missing or corrupt, once what can be saved of it is saved.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use buffer::buffer_core::format::{ManifestEntry, salvage_records};
use buffer::{BatchObject, InspectorConfig, LookError};
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use crate::exit::{Failure, Outcome, chain};
use crate::input::Delimiter;
use crate::output::{Entries, Format, Output};
use crate::queue::{self, Queue};
use crate::say::say;
use crate::size::counted;

#[derive(Args, Debug)]
pub(super) struct Skip {
    /// Goes past the batch with this sequence, if it is missing or corrupt: saves what can be saved, and asks
    #[arg(long, value_name = "SEQUENCE", requires = "reason", conflicts_with = "no_ack")]
    skip: Option<u64>,
    /// Why, for whoever finds what was saved
    #[arg(long, value_name = "TEXT", requires = "skip")]
    reason: Option<String>,
    /// Skips without asking
    #[arg(short, long, requires = "skip")]
    yes: bool,
    /// The directory to save in, which must not be there yet; by default skipped-batch-SEQUENCE
    #[arg(long, value_name = "DIRECTORY", requires = "skip")]
    save_to: Option<PathBuf>,
}

/// A batch that is lost.
struct Lost {
    entry: ManifestEntry,
    problem: String,
    /// The damaged object, if there is one.
    object: Option<Bytes>,
    /// Its records up to the damage.
    records: Vec<Bytes>,
}

impl Skip {
    /// The batch to go past.
    pub(super) const fn sequence(&self) -> Option<u64> {
        self.skip
    }

    /// Looks at the batch that is to be skipped before anything changes hands: saves what there is, and asks.
    pub(super) async fn prepare(&self, queue: &Queue) -> Outcome {
        let (Some(sequence), Some(reason)) = (self.skip, &self.reason) else { return Ok(()) };
        let lost = find(queue, sequence).await?;
        say!("batch {sequence} ({}): {}", lost.entry.location, lost.problem);
        if !self.yes && !io::stdin().is_terminal() {
            let message = format!(
                "nothing was saved or skipped: there is nobody to ask; --yes skips batch {sequence} without asking"
            );
            return Err(Failure::usage(message));
        }
        let directory = match &self.save_to {
            Some(directory) => directory.clone(),
            None => PathBuf::from(format!("skipped-batch-{sequence}")),
        };
        save(&lost, reason, queue, &directory).map_err(|error| {
            let directory = directory.display();
            let failure = format!("nothing was skipped: cannot save in {directory}: {error}");
            if error.kind() == io::ErrorKind::AlreadyExists {
                Failure::failed(failure).hint("--save-to names another directory")
            } else {
                Failure::failed(failure)
            }
        })?;
        let records = counted(lost.records.len() as u64, "record", "records");
        say!("saved in {}: {records}, and what the manifest says of it", directory.display());
        if self.yes { Ok(()) } else { ask(sequence) }
    }
}

/// Finds out what is wrong with the batch. One that is whole is not skipped.
async fn find(queue: &Queue, sequence: u64) -> Result<Lost, Failure> {
    let inspector = queue::inspect(queue, InspectorConfig::default())?;
    let reading = inspector.read().await.map_err(|error| queue::unreadable(error, queue))?;
    let (first, next) = (reading.manifest.first_sequence(), reading.manifest.next_sequence());
    let Some(entry) = reading.entry(sequence) else {
        let message = format!(
            "batch {sequence} is not listed, so that it cannot be skipped: the queue starts at {first}, and the next batch gets {next}"
        );
        return Err(Failure::failed(message));
    };
    match inspector.batch(&entry.location).await {
        Ok(batch) => damaged(entry, &batch).ok_or_else(|| {
            let message =
                format!("batch {sequence} is whole: it can be consumed, and is not skipped");
            Failure::failed(message)
        }),
        Err(error @ LookError::Missing { .. }) => {
            Ok(Lost { entry, problem: error.to_string(), object: None, records: Vec::new() })
        }
        Err(error) => Err(Failure::from(error)),
    }
}

fn damaged(entry: ManifestEntry, batch: &BatchObject) -> Option<Lost> {
    let error = batch.records_of(&entry.metadata).err()?;
    let object = batch.object.bytes.clone();
    // They may be whole, and only what the manifest says of them wrong.
    let records = batch.records().unwrap_or_else(|_| salvage_records(&object));
    Some(Lost { entry, problem: chain(&error), object: Some(object), records })
}

/// Writes everything that is known of the batch to a new directory, and syncs it.
fn save(lost: &Lost, reason: &str, queue: &Queue, directory: &Path) -> io::Result<()> {
    fs::create_dir(directory)?;
    let Lost { entry, problem, object, records } = lost;
    let metadata: Vec<_> = entry
        .metadata
        .iter()
        .map(|item| {
            json!({
                "start_index": item.start_index,
                "ingestion_time_ms": item.ingestion_time_ms,
                "payload_base64": BASE64_STANDARD.encode(&item.payload),
            })
        })
        .collect();
    let told = json!({
        "store": queue.store.to_string(),
        "sequence": entry.sequence.0,
        "location": entry.location.as_str(),
        "problem": problem,
        "reason": reason,
        "saved_records": records.len(),
        "metadata": metadata,
    });
    write(&directory.join("skipped.json"), format!("{told:#}\n").as_bytes())?;
    if let Some(object) = object {
        write(&directory.join("object.batch"), object)?;
    }
    let delimiter: Delimiter = "\\n".parse().expect("it is a delimiter");
    let output = Output { format: Format::Json, delimiter };
    let (payloads, metadata) = (&records[..], &entry.metadata[..]);
    let sequence = entry.sequence.0;
    let all = Entries { sequence, payloads, metadata, skip: 0, take: u64::MAX, since_ms: None };
    let mut lines = Vec::new();
    output.write_to(&mut lines, &all)?;
    write(&directory.join("records.jsonl"), &lines)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn ask(sequence: u64) -> Outcome {
    let question = format!("what is not saved of batch {sequence} is lost. Skip it? [y/N] ");
    let asked = io::stderr().lock().write_all(question.as_bytes());
    asked.map_err(|error| Failure::failed(format!("nothing was skipped: cannot ask: {error}")))?;
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::failed(format!("cannot read the answer: {error}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was skipped")),
    }
}
