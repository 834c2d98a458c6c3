//! Runs the transcripts of the command line: what each command prints, and how it ends.

#![cfg(all(feature = "cli", unix))]

mod console;
mod refusing;

use std::path::Path;

use buffer::contract::wire::{Options, WireServer};
use console::{blocks, check};

/// Runs a transcript, with the servers that it names.
///
/// `$S3` is one for this transcript alone, `$READABLE` shows what is in that and takes nothing, and `$DENYING` denies everything.
fn transcript(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let text = std::fs::read_to_string(path).expect("the transcript is there");
    let program = Path::new(env!("CARGO_BIN_EXE_opendata-buffer"));
    let programs = program.parent().expect("a program lies in a directory");
    let mut blocks = blocks(&text, "console");
    assert!(!blocks.is_empty(), "{name} shows something");
    let s3 = WireServer::start(&Options::default()).expect("a port is free");
    let urls = [
        ("S3", s3.url()),
        ("READABLE", refusing::start(Some(s3.address()))),
        ("DENYING", refusing::start(None)),
    ];
    let told = "&allow_http=true&access_key_id=id&secret_access_key=hidden";
    let set: String =
        urls.iter().map(|(name, url)| format!("{name}='endpoint={url}{told}'\n")).collect();
    for block in &mut blocks {
        block.script.insert_str(0, &set);
    }
    let wrong: Vec<String> =
        blocks.iter().filter_map(|block| check(name, block, programs).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn status() {
    transcript("status.md");
}

#[test]
fn tail() {
    transcript("tail.md");
}

#[test]
fn inspect_batch() {
    transcript("inspect.md");
}

#[test]
fn verify() {
    transcript("verify.md");
}

#[test]
fn gc() {
    transcript("gc.md");
}

#[test]
fn manifest_dump() {
    transcript("dump.md");
}

#[test]
fn manifest_diff() {
    transcript("diff.md");
}

#[test]
fn produce() {
    transcript("produce.md");
}

#[test]
fn consume() {
    transcript("consume.md");
}

#[test]
fn consume_skip() {
    transcript("skip.md");
}

#[test]
fn demo() {
    transcript("demo.md");
}

#[test]
fn doctor() {
    transcript("doctor.md");
}

#[test]
fn bench() {
    transcript("bench.md");
}

#[test]
fn config_show() {
    transcript("config.md");
}

#[test]
fn completions_and_man() {
    transcript("manual.md");
}

#[test]
fn all_of_them_beside_a_consumer() {
    transcript("beside.md");
}

#[test]
fn all_of_them_on_a_url_and_without_the_right_to_write() {
    transcript("url.md");
}

#[test]
fn what_goes_wrong_alike() {
    transcript("wrong.md");
}
