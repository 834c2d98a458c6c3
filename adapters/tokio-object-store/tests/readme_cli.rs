//! Runs what the README shows of the command line.

#![cfg(all(feature = "cli", unix))]

mod console;

use std::path::Path;

use console::{Block, blocks, check, lines_match};

#[test]
fn what_the_readme_shows_is_what_happens() {
    let program = Path::new(env!("CARGO_BIN_EXE_opendata-buffer"));
    let programs = program.parent().expect("a program lies in a directory");
    let blocks = blocks(include_str!("../../../README.md"), "console");
    assert!(!blocks.is_empty(), "the README shows the command line");
    let wrong: Vec<String> =
        blocks.iter().filter_map(|block| check("README.md", block, programs).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_and_what_they_print_are_told_apart() {
    let found = blocks("text\n```console\n$ a\nx\n$ b\n```\n```sh\n$ c\n```\n", "console");
    let expected = vec!["x".to_owned()];
    assert_eq!(found, [Block { line: 2, script: "a\nb\n".to_owned(), expected }]);
}

#[test]
fn three_dots_stand_for_any_lines_or_any_text() {
    let matches = |expected: &str, found: &str| {
        let expected: Vec<String> = expected.lines().map(str::to_owned).collect();
        lines_match(&expected, &found.lines().collect::<Vec<_>>())
    };
    assert!(matches("a\n...\nd", "a\nb\nc\nd") && matches("a\n...", "a"));
    assert!(matches("x ... y", "x 1 2 y") && matches("...", "") && matches("...é", "aéé"));
    assert!(!matches("a\n...\nd", "a\nb") && !matches("x ... y", "x 1 z"));
    assert!(!matches("a", "a\nb") && !matches("a\nb", "a") && !matches("", "a"));
}

#[test]
fn a_block_that_fails_or_prints_something_else_is_found_out() {
    let check = |script: &str, expected: &[&str]| {
        let expected = expected.iter().map(|&line| line.to_owned()).collect();
        let block = Block { line: 1, script: script.to_owned(), expected };
        check("a document", &block, Path::new("/none"))
    };
    assert_eq!(check("echo a\n", &["a"]), Ok(()));
    assert!(check("echo a\n", &["b"]).is_err());
    assert!(check("false\necho a\n", &["a"]).is_err());
}
