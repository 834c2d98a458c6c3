//! Reading the guide.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the guide.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guide")
}

/// A chapter's text.
pub(crate) fn chapter(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All chapters, with their names, in the order of their names.
pub(crate) fn chapters() -> Vec<(String, String)> {
    let names = fs::read_dir(folder()).expect("the guide is there").map(|entry| {
        entry.expect("it is listed").file_name().into_string().expect("names are plain")
    });
    let mut chapters: Vec<_> = names.map(|name| (chapter(&name), name)).collect();
    chapters.sort_by(|one, other| one.1.cmp(&other.1));
    chapters.into_iter().map(|(text, name)| (name, text)).collect()
}

/// The fenced blocks whose opening line has this after the ticks.
pub(crate) fn blocks(text: &str, fence: &str) -> Vec<String> {
    let mut lines = text.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(fence) {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push(block.map(|line| format!("{line}\n")).collect());
        }
    }
    blocks
}

/// The lines that are not in a fenced block.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// The cells of the rows of all tables whose first cell of the head is this; code may hold a bar.
pub(crate) fn rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in prose(text) {
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            inside &= line.starts_with("|---");
            continue;
        };
        let cells: Vec<String> = row.split(" | ").map(str::to_owned).collect();
        match cells[0] == head {
            true => inside = true,
            false if inside => found.push(cells),
            false => {}
        }
    }
    found
}

/// What stands between single backticks.
pub(crate) fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
