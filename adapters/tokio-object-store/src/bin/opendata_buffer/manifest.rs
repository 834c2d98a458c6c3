//! `manifest`: a manifest as JSON, and what became of one. Reads objects, and writes nothing but its output.

mod diff;

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use buffer::buffer_core::format::{Manifest, ManifestEntry, Metadata, VERSION};
use buffer::buffer_core::{Location, ReadOutcome};
use buffer::{CloudStore, StoreLocation, StorePlace, open_cloud_store};
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::{Serialize, Serializer};

use crate::exit::{Failure, Outcome, written};
use crate::queue;

use diff::DiffOptions;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints a manifest as JSON
    Dump(DumpOptions),
    /// Prints what became of a manifest, and whether that can be
    Diff(DiffOptions),
}

#[derive(Args, Debug)]
pub(crate) struct DumpOptions {
    /// The manifest itself: a file, a URL such as s3://bucket/prefix/ingest/manifest, or `-` for standard input
    #[arg(value_name = "PATH|URL|-", value_parser = queue::store_location())]
    manifest: StoreLocation,
    #[command(flatten)]
    options: queue::StoreTold,
}

pub(crate) async fn run(command: &Command) -> Outcome {
    match command {
        Command::Dump(options) => dump(options).await,
        Command::Diff(options) => diff::run(options).await,
    }
}

/// A manifest as it is named on the command line.
struct Named<'a> {
    manifest: &'a StoreLocation,
    options: &'a queue::StoreTold,
}

async fn dump(options: &DumpOptions) -> Outcome {
    let DumpOptions { manifest, options } = options;
    let manifest = parse(Named { manifest, options }).await?;
    written(print(&manifest, io::stdout().lock()))?;
    Ok(())
}

async fn parse(named: Named<'_>) -> Result<Manifest, Failure> {
    let (name, bytes) = read(named).await?;
    Manifest::parse(&Location::new(name), bytes).map_err(|error| Failure::failed(error.to_string()))
}

async fn read(named: Named<'_>) -> Result<(String, Bytes), Failure> {
    let Named { manifest: named, options } = named;
    if *named == StoreLocation::Directory("-".into()) {
        let mut bytes = Vec::new();
        return match io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => Ok(("standard input".to_owned(), bytes.into())),
            Err(error) => Err(Failure::failed(format!("cannot read standard input: {error}"))),
        };
    }
    queue::refuse_memory(named)?;
    let environment = buffer::process_environment;
    match StorePlace::resolve(named, &options.parse()?, &environment)? {
        StorePlace::Directory(path) => match fs::read(&path) {
            Ok(bytes) => Ok((path.display().to_string(), bytes.into())),
            Err(error) => Err(unreadable(path, &error)),
        },
        StorePlace::Cloud(cloud) => read_object(cloud).await,
        StorePlace::Memory(_) => unreachable!("memory: was refused"),
    }
}

/// Reads the object that a URL names: its prefix is the key.
async fn read_object(mut cloud: CloudStore) -> Result<(String, Bytes), Failure> {
    let name = cloud.to_string();
    let Some(key) = cloud.take_prefix() else {
        let message = format!("{name} is a whole bucket: name the manifest in it");
        return Err(Failure::usage(message));
    };
    let store = open_cloud_store(cloud)?;
    match queue::read_manifest(&*store, &key).await? {
        ReadOutcome::Found(object) => Ok((name, object.bytes)),
        ReadOutcome::Missing | ReadOutcome::NotModified => {
            let failure = format!("cannot read {name}: there is no such object");
            let hint =
                "name the manifest itself; a queue's is at its URL, and then ingest/manifest";
            Err(Failure::failed(failure).hint(hint))
        }
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
