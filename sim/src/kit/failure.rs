//! A world that failed, as it is told to people.

use std::fmt;

use super::plan::Plan;
use super::violation::Violation;

/// The smallest world that was found in which a database is wrong.
///
/// `Debug` is the same text as `Display`, so that the `expect` of a test shows it as it is meant to be read.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What goes wrong in the world, after shrinking.
    pub plan: Plan,
    /// What is wrong with the database then.
    pub violation: Violation,
    /// What went wrong in the world at first.
    pub planned: Plan,
    /// How many smaller worlds were tried.
    pub tried: usize,
    /// What happened in it, in short: one line for each event, with its virtual time.
    pub story: Vec<String>,
    /// Everything that happened in it, down to each request.
    pub trace: Vec<String>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, plan, violation, planned, tried, story, .. } = self;
        writeln!(f, "seed {seed}: {violation}")?;
        writeln!(f)?;
        for line in story {
            writeln!(f, "{line}")?;
        }
        writeln!(f)?;
        if *tried > 0 {
            writeln!(
                f,
                "the smallest of {tried} worlds that were tried for this; the first was:\n    {planned}"
            )?;
        }
        write!(
            f,
            "to see it again:\n    buffer_sim::kit::replay({seed}, &\"{plan}\".parse()?, ...)"
        )
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}\n")
    }
}
