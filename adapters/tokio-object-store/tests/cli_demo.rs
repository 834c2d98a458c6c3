//! `demo`, by running the binary.
#![cfg(feature = "cli")]

mod cli_support;

use std::path::Path;
use std::process::Command;

use buffer::buffer_core::Location;
use buffer::buffer_core::format::Manifest;
use cli_support::{Queue, Ran, cli, run, run_command, spawn, until, wait};

const INPUT: &str = env!("CARGO_MANIFEST_PATH");

const LINES: &str = "6000";

/// A demo whose temporary directories lie in this one.
fn demo_in(directory: &Path, args: &[&str]) -> Command {
    let mut command = cli(&[&["demo", "-i", INPUT, "--lines", LINES], args].concat());
    command.env("TMPDIR", directory);
    command
}

#[test]
fn it_passes_prints_a_table_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let ran = run_command(demo_in(directory.path(), &[]), b"").expect(0);
    let rows: Vec<&str> = ran.text().lines().collect();
    let names = [
        "queue",
        "input",
        "entries",
        "throughput",
        "acknowledgement",
        "epochs",
        "late batches",
        "batch writes",
        "batch reads",
        "manifest reads",
        "manifest swaps",
        "manifest conflicts",
        "files deleted",
    ];
    assert_eq!(rows.len(), names.len(), "{}", ran.text());
    for (row, name) in rows.iter().zip(names) {
        assert!(row.starts_with(&format!("{name}  ")), "{row}");
    }
    assert!(rows[2].contains("6,000, each exactly once and in order"), "{}", rows[2]);
    assert!(rows[3].contains("MB/s"), "{}", rows[3]);
    assert!(["p50", "p99", "max"].iter().all(|part| rows[4].contains(part)), "{}", rows[4]);
    assert!(rows[5].contains("1, fenced by 2"), "{}", rows[5]);
    let number = |row: &str| {
        let value = row.split("  ").last().expect("it has a value").trim();
        let digits = value.split(", ").next().expect("it begins with a number").replace(',', "");
        digits.parse::<u64>().expect(row)
    };
    let (written, deleted) = (number(rows[7]), number(rows[12]));
    assert!(deleted == written && written > 0, "{} and {}", rows[7], rows[12]);
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
}

#[test]
fn keep_leaves_the_directory_and_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let ran = run_command(demo_in(directory.path(), &["--keep"]), b"").expect(0);
    let mut left = std::fs::read_dir(directory.path()).expect("it is there");
    let kept = left.next().expect("one is left").expect("it is listed").path();
    assert!(ran.text().contains(kept.to_str().expect("a plain name")), "{}", ran.text());
    assert!(kept.join("ingest/manifest").is_file());
    let left = std::fs::read_dir(kept.join("ingest")).expect("it is there");
    let names = left.map(|entry| entry.expect("it is listed").file_name());
    let batches = names.filter(|name| name.to_string_lossy().contains(".batch"));
    assert_eq!(batches.count(), 0, "the collector has deleted them");
}

#[test]
fn a_queue_in_use_is_left_alone() {
    let queue = Queue::holding(&[b"mine\n"]);
    run(&["demo", "-i", INPUT, queue.name()], b"").expect(1).expect_error(&["ingest/manifest"]);
    assert_eq!(queue.drain(), b"mine\n");
}

#[test]
fn without_a_file_it_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let binary = directory.path().join("opendata-buffer");
    std::fs::copy(env!("CARGO_BIN_EXE_opendata-buffer"), &binary).expect("it can be copied");
    let mut command = Command::new(&binary);
    command.arg("demo").current_dir(directory.path());
    run_command(command, b"").expect(1).expect_error(&["README.md", "-i FILE"]);
    // Next to a project's manifest it is found, from below as well.
    let below = directory.path().join("src");
    std::fs::create_dir(&below).expect("it is new");
    std::fs::write(directory.path().join("Cargo.toml"), b"").expect("it can be written");
    std::fs::write(directory.path().join("README.md"), b"a\nb\n").expect("it can be written");
    let mut command = Command::new(&binary);
    command.args(["demo", "--lines", "100"]).current_dir(&below);
    let ran = run_command(command, b"").expect(0);
    assert!(ran.text().contains("README.md, 2 lines"), "{}", ran.text());
}

/// Runs a demo whose first batch is spoilt before anything is consumed.
fn spoilt(spoil: impl FnOnce(&Path)) -> (Ran, String) {
    let queue = Queue::new();
    let go = queue.path().join("go");
    let mut command = demo_in(queue.path(), &[queue.name()]);
    command.env("OPENDATA_BUFFER_DEMO_HOLD", &go);
    let child = spawn(&mut command);
    until("a batch is listed", || queue.manifest().exists());
    let manifest = std::fs::read(queue.manifest()).expect("it is there");
    let manifest = Manifest::parse(&Location::from("manifest"), manifest.into()).expect("sound");
    let first = manifest.entries().next().expect("one is listed").location.to_string();
    spoil(&queue.path().join(&first));
    std::fs::write(&go, b"").expect("it can be written");
    let ran = wait(child).expect(4);
    assert_eq!(ran.text(), "", "there is no table of a run that failed");
    assert!(queue.path().join(&first).parent().is_some_and(Path::is_dir), "it is there to look at");
    (ran, first)
}

#[test]
fn a_changed_byte_is_found_and_named() {
    let (ran, location) = spoilt(|batch| {
        let mut bytes = std::fs::read(batch).expect("it is there");
        // The first record begins after its length.
        bytes[4] = b'X';
        std::fs::write(batch, bytes).expect("it can be written");
    });
    ran.expect_error(&["sequence 0", &location, "entry 0", "line 1 differs", "\"Xpackage]\""]);
    assert!(ran.stderr.contains("producer "), "{}", ran.stderr);
}

#[test]
fn a_deleted_batch_is_found_and_named() {
    let (ran, location) = spoilt(|batch| std::fs::remove_file(batch).expect("it can be deleted"));
    ran.expect_error(&["batch 0 is listed", &location]);
}

#[test]
fn a_truncated_batch_is_found_and_named() {
    let (ran, location) = spoilt(|batch| {
        let bytes = std::fs::read(batch).expect("it is there");
        std::fs::write(batch, &bytes[..bytes.len() / 2]).expect("it can be written");
    });
    ran.expect_error(&["batch 0", &location, "corrupt at byte"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = demo_in(directory.path(), &[]);
    command.env("OPENDATA_BUFFER_DEMO_HOLD", directory.path().join("never"));
    let child = spawn(&mut command);
    let entries = || std::fs::read_dir(directory.path()).expect("it is there").count();
    until("it feeds", || entries() > 0);
    cli_support::signal(&child, "INT");
    wait(child).expect(130);
    assert_eq!(entries(), 0);
}
