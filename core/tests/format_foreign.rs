//! Reads what other writers wrote.
//!
//! `BUFFER_FOREIGN_FILES` names a directory; every file in it that ends in
//! `.manifest` or `.batch` must be read, and a manifest written back as it was.

mod common;

use std::fs;
use std::path::PathBuf;

use buffer_core::Location;
use buffer_core::format::{Manifest, decode_batch};
use bytes::Bytes;
use common::joined;

const LIMIT: usize = 1 << 30;

#[test]
fn what_others_wrote_is_read() {
    let Some(directory) = std::env::var_os("BUFFER_FOREIGN_FILES") else {
        println!("skipped: BUFFER_FOREIGN_FILES is not set");
        return;
    };
    let mut files: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("BUFFER_FOREIGN_FILES is a directory")
        .map(|file| file.expect("its files can be listed").path())
        .collect();
    files.sort();
    for file in files {
        let object = Location::from(file.to_string_lossy().into_owned());
        let contents = || Bytes::from(fs::read(&file).expect("the file can be read"));
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("manifest") => read_manifest(&object, contents()),
            Some("batch") => read_batch(&object, &contents()),
            Some(_) | None => println!("{object}: neither a manifest nor a batch"),
        }
    }
}

fn read_manifest(object: &Location, bytes: Bytes) {
    let manifest = Manifest::parse(object, bytes.clone()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(joined(&manifest.to_rope()), bytes, "{object} is not written back as it was");
    println!(
        "{object}: first {}, next {}, epoch {}",
        manifest.first_sequence(),
        manifest.next_sequence(),
        manifest.epoch()
    );
    for entry in manifest.entries() {
        println!("    {} {}", entry.sequence, entry.location);
        for item in entry.metadata {
            let (start, payload) = (item.start_index, item.payload);
            println!("        from record {start}, at {}: {payload:?}", item.ingestion_time_ms);
        }
    }
}

fn read_batch(object: &Location, bytes: &Bytes) {
    let records = decode_batch(object, bytes, LIMIT).unwrap_or_else(|error| panic!("{error}"));
    let total: usize = records.iter().map(Bytes::len).sum();
    println!(
        "{object}: {} bytes, {} records of {total} bytes in all, the first {:?}",
        bytes.len(),
        records.len(),
        records.first().map(|record| record.slice(..record.len().min(40)))
    );
}
