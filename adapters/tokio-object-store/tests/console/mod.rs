//! Runs what a document shows of a command line.
//!
//! Each block that is fenced as `console` is one script: its lines that begin
//! with `$ ` are run by `sh -e` in a directory of their own, and the others are
//! what must come out. A line `...` stands for any lines, and `...` inside a
//! line for any text. What goes to standard error is not compared. The process
//! that a block left in the background last ends with it.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// One fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the document that opens it, from one.
    pub(crate) line: usize,
    pub(crate) script: String,
    pub(crate) expected: Vec<String>,
}

/// The blocks of a document with this after the three ticks.
pub(crate) fn blocks(text: &str, fence: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((opening, line)) = lines.next() {
        if opening.trim().strip_prefix("```") != Some(fence) {
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
pub(crate) fn lines_match(expected: &[String], found: &[&str]) -> bool {
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

/// Says what is wrong with a block of a document, if anything is. Programs are looked for in this directory first.
pub(crate) fn check(document: &str, block: &Block, programs: &Path) -> Result<(), String> {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = [programs.to_owned()].into_iter().chain(env::split_paths(&path));
    // What goes on running would keep its output open, and this waiting.
    let script = format!("trap 'kill $! 2>/dev/null || :' EXIT\n{}", block.script);
    let output = Command::new("sh")
        .args(["-e", "-c", &script])
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
        "{document}, line {}: {}\n--- script\n{}--- expected\n{}\n--- printed\n{printed}--- errors\n{}",
        block.line,
        output.status,
        block.script,
        block.expected.join("\n"),
        String::from_utf8_lossy(&output.stderr),
    ))
}
