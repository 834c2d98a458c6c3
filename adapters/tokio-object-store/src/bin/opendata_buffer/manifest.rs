//! `manifest dump`: a manifest as JSON. Reads one object, and writes nothing but its output.

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use buffer::StoreLocation;
use buffer::buffer_core::Location;
use buffer::buffer_core::format::{Manifest, ManifestEntry, Metadata, VERSION};
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::{Serialize, Serializer};

use crate::exit::{Failure, Outcome, is_broken_pipe};
use crate::queue;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints a manifest as JSON
    Dump(DumpOptions),
}

#[derive(Args, Debug)]
pub(crate) struct DumpOptions {
    /// The manifest itself: a file, a file: URL, or `-` for standard input
    #[arg(value_name = "PATH|URL|-", value_parser = queue::store_location())]
    manifest: StoreLocation,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Dump(options) => dump(&options.manifest),
    }
}

fn dump(named: &StoreLocation) -> Outcome {
    let (name, bytes) = read(named)?;
    let manifest = Manifest::parse(&Location::new(name), bytes)
        .map_err(|error| Failure::failed(error.to_string()))?;
    match print(&manifest, io::stdout().lock()) {
        Err(error) if !is_broken_pipe(&error) => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read(named: &StoreLocation) -> Result<(String, Bytes), Failure> {
    if *named == StoreLocation::Directory("-".into()) {
        let mut bytes = Vec::new();
        return match io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => Ok(("standard input".to_owned(), bytes.into())),
            Err(error) => Err(Failure::failed(format!("cannot read standard input: {error}"))),
        };
    }
    let Some(path) = named.directory() else {
        let message = format!(
            "cannot read {named}: name a file or file:///PATH; \
             of a manifest elsewhere, pipe the object to `manifest dump -`"
        );
        return Err(Failure::usage(message));
    };
    match fs::read(&path) {
        Ok(bytes) => Ok((path.display().to_string(), bytes.into())),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: PathBuf, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("cannot read {}: {error}", path.display()));
    let inside = path.join("ingest/manifest");
    if path.is_dir() {
        let hint = format!(
            "name the manifest itself; a queue in this directory would have it at {}",
            inside.display()
        );
        failure.hint(&hint)
    } else {
        failure
    }
}

fn print(manifest: &Manifest, to: impl Write) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    serde_json::to_writer_pretty(&mut to, &Dump::of(manifest))?;
    to.write_all(b"\n")?;
    to.flush()
}

#[derive(Serialize)]
struct Dump<'a> {
    version: u16,
    epoch: u64,
    next_sequence: u64,
    #[serde(serialize_with = "entries")]
    entries: &'a Manifest,
}

#[derive(Serialize)]
struct EntryDump {
    sequence: u64,
    location: String,
    metadata: Vec<MetadataDump>,
}

#[derive(Serialize)]
struct MetadataDump {
    start_index: u32,
    ingestion_time_ms: i64,
    payload_base64: String,
}

impl<'a> Dump<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        Self {
            version: VERSION,
            epoch: manifest.epoch().0,
            next_sequence: manifest.next_sequence().0,
            entries: manifest,
        }
    }
}

/// One by one: a backlog may be long.
fn entries<S: Serializer>(manifest: &Manifest, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(manifest.entries().map(EntryDump::from))
}

impl From<ManifestEntry> for EntryDump {
    fn from(entry: ManifestEntry) -> Self {
        Self {
            sequence: entry.sequence.0,
            location: entry.location.to_string(),
            metadata: entry.metadata.iter().map(MetadataDump::from).collect(),
        }
    }
}

impl From<&Metadata> for MetadataDump {
    fn from(item: &Metadata) -> Self {
        Self {
            start_index: item.start_index,
            ingestion_time_ms: item.ingestion_time_ms,
            payload_base64: BASE64_STANDARD.encode(&item.payload),
        }
    }
}
