//! How a command ends: its exit code, and what stderr says.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use buffer_sim::swarm::{Failure, Token};

/// How a command ended.
pub(crate) type Outcome = Result<(), Ended>;

/// Why it did not end well.
#[derive(Debug)]
pub(crate) struct Ended {
    status: Status,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Failed,
    Usage,
    Broken,
    /// Another program ended so.
    Other(i32),
}

impl Ended {
    /// The tool could not do what it was asked to.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { status: Status::Failed, message: message.into() }
    }

    /// What was asked for cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { status: Status::Usage, message: message.into() }
    }

    /// The code does not hold what it promises, or a check does not see that.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self { status: Status::Broken, message: message.into() }
    }

    /// Another program did not end well.
    pub(crate) fn other(code: i32, message: impl Into<String>) -> Self {
        Self { status: Status::Other(code), message: message.into() }
    }

    /// What there is to say of it.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// An error of a file.
    pub(crate) fn of_file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::failed(format!("{}: {error}", path.display()))
    }
}

/// Prints what there is to say, and gives the code to exit with.
pub(crate) fn report(outcome: Outcome) -> i32 {
    let Err(Ended { status, message }) = outcome else { return 0 };
    eprintln!("error: {message}");
    match status {
        Status::Failed => 1,
        Status::Usage => 2,
        Status::Broken => 4,
        Status::Other(code) => code,
    }
}

/// How many of the last lines are shown.
const SHOWN: usize = 20;

/// What was wrong in one line: the invariant by name, and what was seen.
pub(crate) fn headline(failure: &Failure) -> String {
    let Failure { seed, what, .. } = failure;
    match failure.invariant {
        Some(invariant) => format!("seed {seed}: {invariant}: {what}"),
        None => format!("seed {seed}: no end, or a panic: {what}"),
    }
}

/// All there is to say of a failure: what was wrong, the last lines, and how to see it again.
pub(crate) fn story(token: &Token, failure: &Failure) -> String {
    let mut text = headline(failure);
    let lines = &failure.lines;
    let from = lines.len().saturating_sub(SHOWN);
    if !lines.is_empty() {
        let _ = write!(text, "\n\nthe last of {} lines:", lines.len());
    }
    for line in &lines[from..] {
        let _ = write!(text, "\n  {line}");
    }
    let _ = write!(text, "\n\nto repeat it: cargo sim replay {token}");
    text
}

/// Prints a line; `print!` would panic as soon as nobody reads on, as with `| head`.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::exit::print_line(format_args!($($text)*))
    };
}

pub(crate) use say;

/// Prints a line. That nobody reads it is no reason to stop; that there is no room for it is one.
pub(crate) fn print_line(line: fmt::Arguments<'_>) {
    let Err(error) = writeln!(io::stdout(), "{line}") else { return };
    if error.kind() != io::ErrorKind::BrokenPipe {
        eprintln!("error: standard output: {error}");
        std::process::exit(1);
    }
}
