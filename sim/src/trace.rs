//! What happened, in order: one hash over everything, and lines for people.

use std::fmt::{self, Write as _};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::decisions::Decisions;

/// How many notes are hashed at one time.
const BLOCK: usize = 1024;

/// The record of one run.
///
/// The hash covers compact notes, never text: it is the same whether or not
/// lines are kept.
pub(crate) struct Trace {
    /// The hash of all blocks before.
    hash: u64,
    block: [u8; BLOCK],
    filled: usize,
    lines: Option<Vec<String>>,
    pub(crate) decisions: Decisions,
}

impl Trace {
    pub(crate) fn new(keeps_lines: bool, decisions: Decisions) -> Self {
        let lines = keeps_lines.then(Vec::new);
        Self { hash: 0, block: [0; BLOCK], filled: 0, lines, decisions }
    }

    /// Adds a line, and the time at which it happened.
    pub(crate) fn line(&mut self, now: Duration, text: fmt::Arguments<'_>) {
        let Some(lines) = &mut self.lines else { return };
        let mut line = String::new();
        write!(line, "{}.{:09} {text}", now.as_secs(), now.subsec_nanos())
            .expect("a string takes everything");
        lines.push(line);
    }

    /// Adds to the hash. `kind` keeps what means different things apart.
    pub(crate) fn note<const N: usize>(&mut self, kind: u8, values: [u64; N]) {
        self.add(&[kind]);
        for value in values {
            // Byte order is spelled out: a trace hash is the same on every machine.
            self.add(&value.to_le_bytes());
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.filled + bytes.len() > BLOCK {
            self.hash = xxh3_64_with_seed(&self.block[..self.filled], self.hash);
            self.filled = 0;
        }
        self.block[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// The hash of everything so far, and of one number more.
    pub(crate) fn hash_with(&self, more: u64) -> u64 {
        xxh3_64_with_seed(&self.block[..self.filled], self.hash ^ more)
    }
}
