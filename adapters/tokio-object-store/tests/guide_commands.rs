//! Runs what the guide shows of the command line.

#![cfg(all(feature = "cli", unix))]

mod console;
mod guide_support;

use std::path::Path;

use console::{blocks, check};

#[test]
fn what_the_guide_shows_is_what_happens() {
    let program = Path::new(env!("CARGO_BIN_EXE_opendata-buffer"));
    let programs = program.parent().expect("a program lies in a directory");
    let mut run = 0;
    let mut wrong = Vec::new();
    for (name, text) in guide_support::chapters() {
        for block in blocks(&text, "console") {
            run += 1;
            wrong.extend(check(&name, &block, programs).err());
        }
    }
    assert!(run >= 3, "{run}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
