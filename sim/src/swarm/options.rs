//! What a run is like, beside its seed.

use std::collections::BTreeSet;

use super::invariant::Invariant;

/// How much there is to do in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Load {
    /// Some hundred requests, with as many faults as the seed wants.
    #[default]
    Short,
    /// A million requests.
    Long,
    /// A thousand producers that start at once.
    Crowd,
}

/// One decision of a run that is to come out otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which decision, counted over the whole run.
    pub index: u64,
    /// What is drawn in its place; taken modulo the number of choices.
    pub value: u64,
}

/// What a run is like, beside its seed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much there is to do.
    pub load: Load,
    /// Invariants that are not looked at.
    pub without: BTreeSet<Invariant>,
    /// Decisions that come out otherwise.
    pub changes: Vec<Change>,
    /// Whether lines are kept for people. The hash is the same either way.
    pub keeps_lines: bool,
}
