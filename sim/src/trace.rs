//! What happened, in order: lines for people, and one hash over everything.

use std::fmt::{self, Write as _};
use std::hash::Hasher as _;
use std::time::Duration;

use siphasher::sip::SipHasher13;

/// The record of one run.
#[derive(Default)]
pub(crate) struct Trace {
    lines: Vec<String>,
    hasher: SipHasher13,
}

impl Trace {
    /// Adds a line, and the time at which it happened.
    pub(crate) fn line(&mut self, now: Duration, text: fmt::Arguments<'_>) {
        let mut line = String::new();
        write!(line, "{}.{:09} {text}", now.as_secs(), now.subsec_nanos())
            .expect("a string takes everything");
        self.hasher.write(line.as_bytes());
        self.hasher.write(b"\n");
        self.lines.push(line);
    }

    /// Adds to the hash alone what would fill pages as lines. `kind` keeps what means different things apart.
    pub(crate) fn note(&mut self, kind: u8, value: u64) {
        // Byte order is spelled out: a trace hash is the same on every machine.
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&value.to_le_bytes());
        self.hasher.write(&bytes);
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
