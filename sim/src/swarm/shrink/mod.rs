//! From a run that failed to one that fails in the same way, and in which little happens.
//!
//! Every choice of a run has something that usually comes of it: no fault, one
//! process, no crash, the least delay. A run is told by the choices that came out otherwise.
//! The shrinker takes those of the run that failed, and looks for fewer: it leaves some out, and
//! keeps to that if the same invariant does not hold. Choices are known by what they are about,
//! so that one that is left out does not push the others to another place.

mod search;
mod words;

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::{Failure, Load, Token};
use search::Search;

/// A run that fails as another one did, and in which less is out of the usual.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_core::hooks::Bug;
/// use buffer_sim::hooks_are_on;
/// use buffer_sim::swarm::{Shrunk, Token, shrink};
///
/// // Where bugs can be planted: batches that are swapped together are listed in the reverse order.
/// let bug = hooks_are_on().then_some(Bug::OrderSwapped);
/// let mut tokens = (1..20).map(|seed| Token { bug, ..Token::new(seed) });
/// match tokens.find(|token| token.run(false).is_err()) {
///     Some(token) => {
///         let Shrunk { token, failure, decisions, before, .. } =
///             shrink(&token, Duration::from_secs(10), |_| {})?;
///         assert!(token.calm && decisions.len() < before);
///         for decision in &decisions {
///             println!("{decision}");
///         }
///         let again = token.run(false).expect_err("it repeats the failure");
///         assert!(again.is_like(&failure));
///     }
///     // In any other build everything holds.
///     None => assert!(!hooks_are_on()),
/// }
/// # Ok::<(), buffer_sim::swarm::ShrinkError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Repeats it.
    pub token: Token,
    /// What is wrong in it.
    pub failure: Box<Failure>,
    /// What is out of the usual in it, in order.
    pub decisions: Vec<Unusual>,
    /// How many decisions were out of the usual in the run that it comes from.
    pub before: usize,
    /// How many runs it took to find it.
    pub runs: u64,
}

/// A decision that came out otherwise than it usually does.
///
/// ```
/// use buffer_sim::swarm::Unusual;
///
/// let decision = Unusual {
///     index: 17,
///     source: "plan".to_owned(),
///     about: "producers".to_owned(),
///     number: 1,
///     value: 2,
///     usual: 0,
/// };
/// assert_eq!(decision.to_string(), "plan: producers = 2, usually 0");
/// // The third that the same source made about the same.
/// let third = Unusual { number: 3, ..decision };
/// assert_eq!(third.to_string(), "plan: producers, no. 3 = 2, usually 0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusual {
    /// Counted over the whole run.
    pub index: u64,
    /// Where it was made, such as `plan`, or `world / producer 2 / caller 1`.
    pub source: String,
    /// What it is about, in words.
    pub about: String,
    /// Counts the decisions of this source about this, from one.
    pub number: u64,
    /// What was drawn, from zero.
    pub value: u64,
    /// What usually is.
    pub usual: u64,
}

/// Why a run cannot be shrunk.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_sim::swarm::{Load, ShrinkError, Token, shrink};
///
/// let long = Token { load: Load::Long, ..Token::new(7) };
/// let error = shrink(&long, Duration::from_secs(1), |_| {}).expect_err("it has a million requests");
/// assert!(matches!(error, ShrinkError::TooLong(_)));
/// assert_eq!(
///     error.to_string(),
///     "b1-long-7 is no short world: only those can be shrunk, and `--load short` makes one"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShrinkError {
    /// Nothing is wrong in it.
    #[error("everything held in {0}: there is nothing to shrink")]
    Holds(Token),
    /// Its load is one of too many decisions.
    #[error("{0} is no short world: only those can be shrunk, and `--load short` makes one")]
    TooLong(Token),
    /// Once more, it did not fail, or in another way (I18).
    #[error("{0} failed, and once more it did not, or otherwise: I18 determinism")]
    NotRepeated(Token),
}

/// Looks for the run in which least is out of the usual and that fails as this one does: the same
/// invariant, or a panic at the same place.
///
/// `better` is told of each run that is better than those before, so that something is there if a
/// run never comes back. The search ends when nothing better is found, or after `patience`.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_core::hooks::Bug;
/// use buffer_sim::hooks_are_on;
/// use buffer_sim::swarm::{ShrinkError, Shrunk, Token, shrink};
///
/// // Where bugs can be planted: one batch more is dequeued than was acknowledged.
/// let bug = hooks_are_on().then_some(Bug::DequeueOneTooFar);
/// let token = Token { bug, ..Token::new(7) };
/// let mut best = usize::MAX;
/// let better = |shrunk: &Shrunk| {
///     assert!(shrunk.decisions.len() <= best);
///     best = shrunk.decisions.len();
/// };
/// match shrink(&token, Duration::from_secs(10), better) {
///     Ok(shrunk) => assert_eq!(shrunk.decisions.len(), best),
///     // Everything holds: there is nothing to look for.
///     Err(error) => assert_eq!(error, ShrinkError::Holds(token)),
/// }
/// ```
///
/// # Errors
///
/// [`ShrinkError`], if it does not fail, or is too long.
///
/// # Panics
///
/// With a bug, where none can be planted; see [`hooks_are_on`](crate::hooks_are_on).
pub fn shrink(
    token: &Token,
    patience: Duration,
    mut better: impl FnMut(&Shrunk),
) -> Result<Shrunk, ShrinkError> {
    if token.load != Load::Short {
        return Err(ShrinkError::TooLong(token.clone()));
    }
    let search = Search::begin(token, patience)?;
    let shrunk = search.run(&mut better);
    // What is passed on is the token: it must say all of it.
    match shrunk.token.run(false) {
        Err(failure) if failure.is_like(&shrunk.failure) => Ok(shrunk),
        Ok(_) | Err(_) => Err(ShrinkError::NotRepeated(shrunk.token)),
    }
}

impl Shrunk {
    /// A test that expects everything to hold in this run, to be pasted.
    ///
    /// ```
    /// use buffer_sim::swarm::{Failure, Invariant, Shrunk};
    ///
    /// let failure = Failure {
    ///     seed: 7,
    ///     invariant: Some(Invariant::NoRepeats),
    ///     what: "batch 0 was handed out twice".to_owned(),
    ///     lines: Vec::new(),
    /// };
    /// let shrunk = Shrunk {
    ///     token: "b2-short-7-c17=3".parse()?,
    ///     failure: Box::new(failure),
    ///     decisions: Vec::new(),
    ///     before: 120,
    ///     runs: 80,
    /// };
    /// let test = shrunk.test();
    /// assert!(test.starts_with("/// seed 7: I5 no repeats: batch 0 was handed out twice.\n#[test]\n"));
    /// assert!(test.contains("fn seed_7_keeps_i5() {") && test.contains("\"b2-short-7-c17=3\".parse()"));
    /// # Ok::<(), buffer_sim::swarm::TokenError>(())
    /// ```
    #[must_use]
    pub fn test(&self) -> String {
        let Self { token, failure, .. } = self;
        let what = failure.invariant.map_or("i14".to_owned(), |it| it.id().to_lowercase());
        let name = format!("seed_{}_keeps_{what}", token.seed);
        let first = failure.to_string();
        let mut text = format!("/// {}.\n", first.lines().next().unwrap_or_default());
        if token.bug.is_some() {
            text.push_str("#[cfg(buffer_sim)]\n");
        }
        let _ = write!(
            text,
            "#[test]\nfn {name}() {{\n    \
                 let token: buffer_sim::swarm::Token =\n        \
                     \"{token}\".parse().expect(\"it is a token\");\n    \
                 if let Err(failure) = token.run(true) {{\n        \
                     panic!(\"{{failure}}\\n{{}}\", failure.lines.join(\"\\n\"));\n    \
                 }}\n}}\n"
        );
        text
    }
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, about, number, value, usual, .. } = self;
        write!(f, "{source}: {about}")?;
        if *number > 1 {
            write!(f, ", no. {number}")?;
        }
        write!(f, " = {value}, usually {usual}")
    }
}

#[cfg(test)]
mod tests;
