//! Runs what the README shows of the examples, as `cargo test` has built them.

#![cfg(unix)]

mod console;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use console::{blocks, check};

/// Stands for cargo: what is to be built is built, and a command that runs an example runs it.
const CARGO: &str = r#"#!/bin/sh -e
if [ "$1" = build ]; then exit; fi
while [ "$1" != --example ]; do shift; done
example=$2
shift 3
exec "$EXAMPLES/$example" "$@"
"#;

/// Where cargo puts examples: beside the directory of this test.
fn examples() -> PathBuf {
    let test = std::env::current_exe().expect("this test is a program");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let examples = profile.join("examples");
    for name in ["http_ingest", "sqlite"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
        let written =
            |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        assert!(
            written(&examples.join(name)) >= written(&source),
            "the example {name} is not built, or is older than its source: `cargo test` without `--test` builds it"
        );
    }
    examples
}

#[test]
fn the_readme_leads_from_nothing_to_entries_in_sqlite() {
    let mut blocks = blocks(include_str!("../../../README.md"), "console examples");
    assert_eq!(blocks.len(), 1, "the README shows the examples");
    let programs = tempfile::tempdir().expect("a directory can be made");
    let cargo = programs.path().join("cargo");
    let examples = examples();
    let script = CARGO.replace("$EXAMPLES", examples.to_str().expect("a plain name"));
    fs::write(&cargo, script).expect("a file can be made");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("it is ours");

    // The README's port may be taken here.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let block = &mut blocks[0];
    assert!(block.script.contains("127.0.0.1:3000"), "{}", block.script);
    block.script = block.script.replace("127.0.0.1:3000", &address);
    for line in &mut block.expected {
        *line = line.replace("127.0.0.1:3000", &address);
    }
    check("README.md", block, programs.path()).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Runs an example that fails; what it says.
fn failure(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(examples().join(name)).args(arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("it is text")
}

#[test]
fn a_database_that_is_not_there_is_not_made_to_be_shown() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let database = directory.path().join("slip.db");
    let said = failure("sqlite", &["show", database.to_str().expect("a plain name")]);
    assert!(said.starts_with("error: unable to open database file"), "{said}");
    assert!(!database.exists());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let said = failure("http_ingest", &["memory:x", &address]);
    assert!(said.starts_with(&format!("error: cannot listen on {address}: ")), "{said}");
}
