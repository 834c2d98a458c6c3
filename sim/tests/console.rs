//! Runs what CONTRIBUTING.md and the README show of `cargo sim`.
//!
//! In CONTRIBUTING.md, what is fenced as `console sim` needs bugs and coverage to be compiled in:
//! it is run if the environment variable `BUFFER_SIM` names such a program.

#![cfg(all(feature = "cli", unix))]

#[path = "../../adapters/tokio-object-store/tests/console/mod.rs"]
mod console;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use console::{blocks, check};

/// Puts a `cargo` into a directory that runs this program for `cargo sim`.
fn pretend_cargo(directory: &Path, program: &Path) {
    let program = program.to_str().expect("the program lies where names are plain");
    let script = format!("#!/bin/sh\ntest \"$1\" = sim && shift && exec '{program}' \"$@\"\n");
    let cargo = directory.join("cargo");
    fs::write(&cargo, script).expect("there is room for a script");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn what_is_shown_of_the_simulator_is_what_happens() {
    let with_hooks = env::var_os("BUFFER_SIM").map(PathBuf::from);
    let program =
        with_hooks.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_buffer-sim")));
    let programs = tempfile::tempdir().expect("there is room for a directory");
    pretend_cargo(programs.path(), &program);
    let document = include_str!("../../CONTRIBUTING.md");
    let mut shown = blocks(document, "console");
    assert!(!shown.is_empty(), "it shows the simulator");
    let more = blocks(document, "console sim");
    assert!(!more.is_empty(), "it shows what is planted");
    if with_hooks.is_some() || buffer_sim::hooks_are_on() {
        shown.extend(more);
    }
    let wrong: Vec<String> = shown
        .iter()
        .filter_map(|block| check("CONTRIBUTING.md", block, programs.path()).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_readme_shows_of_the_server_is_what_happens() {
    let programs = tempfile::tempdir().expect("there is room for a directory");
    pretend_cargo(programs.path(), Path::new(env!("CARGO_BIN_EXE_buffer-sim")));
    let shown = blocks(include_str!("../../README.md"), "console sim");
    assert!(!shown.is_empty(), "it shows the server");
    let wrong: Vec<String> =
        shown.iter().filter_map(|block| check("README.md", block, programs.path()).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
