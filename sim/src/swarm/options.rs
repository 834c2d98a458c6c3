//! What a run is like, beside its seed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::invariant::Invariant;

/// How much there is to do in a world.
///
/// ```
/// use buffer_sim::swarm::{Load, Token};
///
/// assert_eq!(Load::default(), Load::Short);
/// assert_eq!(Load::ALL.map(Load::name), ["short", "long", "crowd"]);
/// // It is a part of what says a run.
/// let token = Token { load: "crowd".parse()?, ..Token::new(7) };
/// assert_eq!(token.to_string(), "b1-crowd-7");
/// # Ok::<(), buffer_sim::swarm::NoSuchLoad>(())
/// ```
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
///
/// ```
/// use buffer_sim::swarm::Load;
///
/// let error = "tall".parse::<Load>().expect_err("it is none");
/// assert_eq!(error.to_string(), "\"tall\" is no load; they are short, long and crowd");
/// ```
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
///
/// ```
/// use buffer_sim::swarm::{Change, Token};
///
/// let token = Token::new(7);
/// let change = Change { index: 40, value: u64::MAX / 3 };
/// let changed = Token { changes: vec![change], ..token.clone() };
/// // It is another world, in which everything must hold as well.
/// assert_ne!(changed.run(false)?.hash, token.run(false)?.hash);
/// # Ok::<(), Box<buffer_sim::swarm::Failure>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which decision, counted over the whole run.
    pub index: u64,
    /// What is drawn in its place; taken modulo the number of choices.
    pub value: u64,
}

/// What a run is like, beside its seed.
///
/// ```
/// use buffer_sim::swarm::{Options, run};
///
/// let usual = run(7, &Options::default())?;
/// // To see what happens in it does not change it ...
/// let told = run(7, &Options { keeps_lines: true, ..Options::default() })?;
/// assert!(usual.lines.is_empty() && told.lines.len() > 100);
/// assert_eq!(usual.hash, told.hash);
/// // ... but nothing out of the usual happens in a calm one.
/// let calm = run(7, &Options { calm: true, ..Options::default() })?;
/// assert!(calm.faults.is_empty() && calm.requests < usual.requests);
/// # Ok::<(), Box<buffer_sim::swarm::Failure>>(())
/// ```
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
