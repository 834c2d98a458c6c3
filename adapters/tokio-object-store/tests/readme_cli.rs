//! Runs what the README shows of the command line.
//!
//! Each block that is fenced as `console` is one script: its lines that begin
//! with `$ ` are run by `sh -e` in a directory of their own, and the others are
//! what must come out. A line `...` stands for any lines, and `...` inside a
//! line for any text. What goes to standard error is not compared.

#![cfg(all(feature = "cli", unix))]

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// One fenced block.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// The line of the README that opens it, from one.
    line: usize,
    script: String,
    expected: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((fence, line)) = lines.next() {
        if fence.trim() != "```console" {
            continue;
        }
        let mut block = Block { line, script: String::new(), expected: Vec::new() };
        for (content, _) in lines.by_ref().take_while(|(content, _)| content.trim() != "```") {
            match content.strip_prefix("$ ") {
                Some(command) => block.script.extend([command, "\n"]),
                None => block.expected.push(content.to_owned()),
            }
        }
        blocks.push(block);
    }
    blocks
}

/// Whether lines are what is expected of them.
fn lines_match(expected: &[String], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=found.len()).any(|skipped| lines_match(rest, &found[skipped..]))
        }
        Some((first, rest)) => found
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    match expected.split_once("...") {
        None => expected == found,
        Some((start, rest)) => found.strip_prefix(start).is_some_and(|found| {
            let mut ends = found.char_indices().map(|(at, _)| at).chain([found.len()]);
            ends.any(|at| line_matches(rest, &found[at..]))
        }),
    }
}

/// Says what is wrong with a block, if anything is.
fn check(block: &Block, programs: &Path) -> Result<(), String> {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = [programs.to_owned()].into_iter().chain(env::split_paths(&path));
    let output = Command::new("sh")
        .args(["-e", "-c", &block.script])
        .current_dir(directory.path())
        .env("PATH", env::join_paths(path).expect("cargo's directories have no colon"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell");
    let printed = String::from_utf8_lossy(&output.stdout);
    let found: Vec<&str> = printed.lines().collect();
    if output.status.success() && lines_match(&block.expected, &found) {
        return Ok(());
    }
    Err(format!(
        "README.md, line {}: {}\n--- script\n{}--- expected\n{}\n--- printed\n{printed}--- errors\n{}",
        block.line,
        output.status,
        block.script,
        block.expected.join("\n"),
        String::from_utf8_lossy(&output.stderr),
    ))
}

#[test]
fn what_the_readme_shows_is_what_happens() {
    let program = Path::new(env!("CARGO_BIN_EXE_opendata-buffer"));
    let programs = program.parent().expect("a program lies in a directory");
    let blocks = blocks(include_str!("../../../README.md"));
    assert!(!blocks.is_empty(), "the README shows the command line");
    let wrong: Vec<String> =
        blocks.iter().filter_map(|block| check(block, programs).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_and_what_they_print_are_told_apart() {
    let found = blocks("text\n```console\n$ a\nx\n$ b\n```\n```sh\n$ c\n```\n");
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
        check(&block, Path::new("/none"))
    };
    assert_eq!(check("echo a\n", &["a"]), Ok(()));
    assert!(check("echo a\n", &["b"]).is_err());
    assert!(check("false\necho a\n", &["a"]).is_err());
}
