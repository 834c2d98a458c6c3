//! What a run is like, beside its seed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

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

impl Load {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Short, Self::Long, Self::Crowd];

    /// Its name, such as `short`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Crowd => "crowd",
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no load; they are short, long and crowd")]
pub struct NoSuchLoad(String);

impl FromStr for Load {
    type Err = NoSuchLoad;

    fn from_str(text: &str) -> Result<Self, NoSuchLoad> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| NoSuchLoad(text.to_owned()))
    }
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
    /// Whether all other decisions come out as they [usually](crate::Random::usually) do, whatever the seed says.
    pub calm: bool,
    /// Whether lines are kept for people. The hash is the same either way.
    pub keeps_lines: bool,
}
