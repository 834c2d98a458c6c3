//! `manifest dump`, by running the binary.
#![cfg(feature = "cli")]

mod cli_support;

use buffer::buffer_core::Location;
use buffer::buffer_core::format::{Manifest, Metadata, NewEntry};
use cli_support::{Queue, cli, read_line, run, spawn, wait};

const GOLDEN: &str = r#"{
  "version": 1,
  "epoch": 0,
  "next_sequence": 3,
  "entries": [
    {
      "sequence": 0,
      "location": "ingest/01J5T4R3.batch",
      "metadata": [
        {
          "start_index": 0,
          "ingestion_time_ms": 1712345678000,
          "payload_base64": "bXktbWV0YWRhdGE="
        }
      ]
    },
    {
      "sequence": 1,
      "location": "ingest/01J5T4R7.batch",
      "metadata": []
    },
    {
      "sequence": 2,
      "location": "ingest/01J5T4RB.batch",
      "metadata": []
    }
  ]
}
"#;

/// The manifest that the documentation shows.
fn documented() -> Vec<u8> {
    let names = ["01J5T4R3", "01J5T4R7", "01J5T4RB"];
    let locations = names.map(|name| Location::from(format!("ingest/{name}.batch")));
    let metadata = [Metadata {
        start_index: 0,
        ingestion_time_ms: 1_712_345_678_000,
        payload: "my-metadata".into(),
    }];
    let entry = |location, metadata| NewEntry { location, metadata };
    let entries =
        [entry(&locations[0], &metadata[..]), entry(&locations[1], &[]), entry(&locations[2], &[])];
    Manifest::absent().append(&entries).expect("it fits").to_rope().concat()
}

#[test]
fn a_dump_is_the_documented_json_from_a_file_a_url_and_standard_input() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("manifest");
    std::fs::write(&path, documented()).expect("it can be written");
    let path = path.to_str().expect("a plain name");
    let url = format!("file://{path}");
    for (named, stdin) in [(path, vec![]), (&url, vec![]), ("-", documented())] {
        let ran = run(&["manifest", "dump", named], &stdin).expect(0);
        assert_eq!(ran.text(), GOLDEN, "{named}");
        assert_eq!(ran.stderr, "", "{named}");
    }
}

#[test]
fn an_empty_queue_has_an_empty_list() {
    let empty = Manifest::absent().to_rope().concat();
    let ran = run(&["manifest", "dump", "-"], &empty).expect(0);
    let expected =
        "{\n  \"version\": 1,\n  \"epoch\": 0,\n  \"next_sequence\": 0,\n  \"entries\": []\n}\n";
    assert_eq!(ran.text(), expected);
}

#[test]
fn a_corrupt_manifest_is_an_error_that_says_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("manifest");
    let mut bytes = documented();
    // The first entry's length.
    bytes[3] = 0xff;
    std::fs::write(&path, bytes).expect("it can be written");
    let path = path.to_str().expect("a plain name");
    let ran = run(&["manifest", "dump", path], b"").expect(1);
    ran.expect_error(&[path, "corrupt at byte 4", "140 are left"]);
    assert_eq!(ran.text(), "");
    run(&["manifest", "dump", "-"], b"").expect(1).expect_error(&["standard input", "too few"]);
}

#[test]
fn a_dump_makes_nothing_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("queue/ingest/manifest");
    let ran = run(&["manifest", "dump", missing.to_str().expect("a plain name")], b"").expect(1);
    ran.expect_error(&["queue/ingest/manifest", "No such file"]);
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);

    let queue = Queue::holding(&[b"a\n"]);
    let before = std::fs::read(queue.manifest()).expect("it is there");
    run(&["manifest", "dump", queue.manifest().to_str().expect("a plain name")], b"").expect(0);
    assert_eq!(std::fs::read(queue.manifest()).expect("it is there"), before);
}

#[test]
fn the_queue_instead_of_its_manifest_is_an_error_that_helps() {
    let queue = Queue::holding(&[b"a\n"]);
    let manifest = queue.manifest();
    let ran = run(&["manifest", "dump", queue.name()], b"").expect(1);
    ran.expect_error(&[manifest.to_str().expect("a plain name")]);
    run(&["manifest", "dump", "s3://bucket"], b"").expect(2).expect_error(&["whole bucket"]);
    run(&["manifest", "dump", "memory:x"], b"").expect(2).expect_error(&["memory:x"]);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    // More than a pipe holds.
    let location = Location::from("ingest/01J5T4R3.batch");
    let entries = vec![NewEntry { location: &location, metadata: &[] }; 20_000];
    let manifest = Manifest::absent().append(&entries).expect("it fits").to_rope().concat();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("manifest");
    std::fs::write(&path, manifest).expect("it can be written");
    let path = path.to_str().expect("a plain name");
    let mut child = spawn(&mut cli(&["manifest", "dump", path]));
    assert_eq!(read_line(child.stdout.as_mut().expect("it is piped")), "{\n");
    drop(child.stdout.take());
    let ran = wait(child).expect(0);
    assert_eq!(ran.stderr, "");
}
