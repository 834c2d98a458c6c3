//! What a command says on stderr.

use std::fmt;
use std::io::{self, Write};

/// Says a line on stderr, as `eprintln!` does, but takes it well if nobody listens.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::say::line(format_args!($($text)*))
    };
}

pub(crate) use say;

/// Writes a line to stderr. Where that fails there is nowhere to say so, and the command goes on.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    // One write, so that lines of several processes stay whole.
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}
