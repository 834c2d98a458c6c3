//! What happened, in order: one hash over everything, and lines for people.

use std::fmt::{self, Write as _};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::decisions::Decisions;
use crate::event::{Event, Happening};

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
    events: Option<Vec<Event>>,
    pub(crate) decisions: Decisions,
}

impl Trace {
    pub(crate) fn new(keeps_lines: bool, keeps_events: bool, decisions: Decisions) -> Self {
        let (lines, events) = (keeps_lines.then(Vec::new), keeps_events.then(Vec::new));
        Self { hash: 0, block: [0; BLOCK], filled: 0, lines, events, decisions }
    }

    /// Adds an event, and the time at which it happened.
    pub(crate) fn event(&mut self, time: Duration, what: Happening) {
        if let Some(events) = &mut self.events {
            events.push(Event { time, what });
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
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
        if self.filled + 1 + N * 8 > BLOCK {
            self.hash = xxh3_64_with_seed(&self.block[..self.filled], self.hash);
            self.filled = 0;
        }
        let place = &mut self.block[self.filled..self.filled + 1 + N * 8];
        place[0] = kind;
        for (place, value) in place[1..].chunks_exact_mut(8).zip(values) {
            // Byte order is spelled out: a trace hash is the same on every machine.
            place.copy_from_slice(&value.to_le_bytes());
        }
        self.filled += 1 + N * 8;
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// The hash of everything so far, and of one number more.
    pub(crate) fn hash_with(&self, more: u64) -> u64 {
        xxh3_64_with_seed(&self.block[..self.filled], self.hash ^ more)
    }
}
