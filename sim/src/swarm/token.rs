//! One word from which a run is repeated.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use buffer_core::hooks::Bug;

use super::run::{self, Watch, Watched};
use super::{Change, Failure, Invariant, Load, Options, Report};
use crate::event::Event;
use crate::{guard, plant};

/// All that decides a run of this build, as one word for people to pass on.
///
/// `b1-short-12345`, and where it applies: `-n` and the invariants that were
/// not looked at, `-b` and the bug that was planted, `-c` and the decisions
/// that came out otherwise. A token that begins with `b2` is of a calm run: what
/// is not listed comes out as it usually does, and the seed decides nothing but
/// the bits of names. That is what [`shrink`](super::shrink) makes of one that failed.
///
/// ```
/// use buffer_sim::swarm::{Change, Invariant, Token};
///
/// let mut token = Token::new(12345);
/// assert_eq!(token.to_string(), "b1-short-12345");
/// token.without.insert(Invariant::NoRepeats);
/// token.changes.push(Change { index: 17, value: 3 });
/// assert_eq!(token.to_string(), "b1-short-12345-nI5-c17=3");
/// assert_eq!("b1-short-12345-nI5-c17=3".parse(), Ok(token));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// How much there is to do.
    pub load: Load,
    /// The seed.
    pub seed: u64,
    /// Invariants that are not looked at.
    pub without: BTreeSet<Invariant>,
    /// The bug that is planted.
    pub bug: Option<Bug>,
    /// Decisions that come out otherwise.
    pub changes: Vec<Change>,
    /// Whether all others come out as they usually do.
    pub calm: bool,
}

/// Tells tokens from other words, and from tokens of another kind that may come.
const FORMAT: &str = "b1";

/// The same for calm runs.
const CALM: &str = "b2";

impl Token {
    /// The usual run of a seed.
    ///
    /// ```
    /// use buffer_sim::swarm::{Load, Token};
    ///
    /// let token = Token::new(7);
    /// assert_eq!((token.seed, token.load, token.bug, token.calm), (7, Load::Short, None, false));
    /// ```
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Repeats the run on this thread: with its bug planted, and with what was reached counted.
    ///
    /// ```
    /// use buffer_sim::swarm::Token;
    ///
    /// let report = "b1-short-7".parse::<Token>()?.run(true)?;
    /// assert!(report.lines.iter().any(|line| line.contains("ingest/manifest")));
    /// // What was reached is counted where bugs can be planted as well.
    /// assert_eq!(report.reached.is_empty(), !buffer_sim::hooks_are_on());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Failure`]: an invariant that did not hold, or a panic.
    ///
    /// # Panics
    ///
    /// With a bug, where none can be planted; see [`hooks_are_on`](crate::hooks_are_on).
    pub fn run(&self, keeps_lines: bool) -> Result<Report, Box<Failure>> {
        self.watch(keeps_lines, Watch::default()).ran
    }

    /// Repeats the run, and gives what happened in it as well, as far as the first thing that was wrong.
    ///
    /// ```
    /// use buffer_sim::event::{Event, Happening};
    /// use buffer_sim::swarm::Token;
    ///
    /// let (ran, events) = Token::new(7).run_with_events();
    /// let is_sent = |event: &&Event| matches!(event.what, Happening::Sent { .. });
    /// let sent = events.iter().filter(is_sent).count();
    /// assert_eq!(u64::try_from(sent)?, ran?.requests);
    /// assert!(!events.iter().any(Event::is_violation));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`Token::run`].
    pub fn run_with_events(&self) -> (Result<Report, Box<Failure>>, Vec<Event>) {
        let watched = self.watch(true, Watch { keeps_events: true, ..Watch::default() });
        (watched.ran, watched.events)
    }

    pub(super) fn watch(&self, keeps_lines: bool, watch: Watch) -> Watched {
        let options = Options {
            load: self.load,
            without: self.without.clone(),
            changes: self.changes.clone(),
            calm: self.calm,
            keeps_lines,
        };
        drop(plant::take_reached());
        let ended = plant::with(self.bug, || {
            guard::catch(&self.to_string(), || run::watch(self.seed, &options, watch))
        });
        let reached = plant::take_reached();
        match ended {
            Ok(watched) => {
                Watched { ran: watched.ran.map(|it| Report { reached, ..it }), ..watched }
            }
            Err(panic) => {
                let (seed, what) = (self.seed, panic.to_string());
                let failure = Failure { seed, invariant: None, what, lines: Vec::new() };
                Watched::failed(failure)
            }
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if self.calm { CALM } else { FORMAT };
        write!(f, "{format}-{}-{}", self.load, self.seed)?;
        for (number, invariant) in self.without.iter().enumerate() {
            write!(f, "{}{}", if number == 0 { "-n" } else { "." }, invariant.id())?;
        }
        if let Some(bug) = self.bug {
            write!(f, "-b{}", bug.name())?;
        }
        for (number, Change { index, value }) in self.changes.iter().enumerate() {
            write!(f, "{}{index}={value}", if number == 0 { "-c" } else { "." })?;
        }
        Ok(())
    }
}

/// Why a word is no token.
///
/// ```
/// use buffer_sim::swarm::{Token, TokenError};
///
/// let error = "seed 7".parse::<Token>().expect_err("it is a sentence");
/// assert_eq!(
///     error.to_string(),
///     "\"seed 7\" is no token of this version; they look like b1-short-12345"
/// );
///
/// let Err(TokenError::Part { part, problem }) = "b1-short-7-c17".parse::<Token>() else {
///     panic!("a decision that is changed has a value");
/// };
/// assert_eq!((&*part, &*problem), ("17", "a changed decision is written as 17=3"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It does not begin as tokens of this version do.
    #[error("{0:?} is no token of this version; they look like {FORMAT}-short-12345")]
    Format(String),
    /// A part of it cannot be read.
    #[error("{part:?} in the token: {problem}")]
    Part {
        /// The part.
        part: String,
        /// What would be right.
        problem: String,
    },
}

fn part(part: &str, problem: impl fmt::Display) -> TokenError {
    TokenError::Part { part: part.to_owned(), problem: problem.to_string() }
}

fn invariants(list: &str) -> Result<BTreeSet<Invariant>, TokenError> {
    list.split('.').map(|id| id.parse().map_err(|error| part(list, error))).collect()
}

fn bug(name: &str) -> Result<Bug, TokenError> {
    let found = Bug::ALL.iter().find(|bug| bug.name() == name);
    found.copied().ok_or_else(|| part(name, "there is no such bug to plant"))
}

fn changes(list: &str) -> Result<Vec<Change>, TokenError> {
    let change = |text: &str| {
        let (index, value) = text.split_once('=')?;
        Some(Change { index: index.parse().ok()?, value: value.parse().ok()? })
    };
    let problem = || part(list, "a changed decision is written as 17=3");
    list.split('.').map(|text| change(text).ok_or_else(problem)).collect()
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let format = || TokenError::Format(text.to_owned());
        let mut parts = text.split('-');
        let calm = match parts.next() {
            Some(FORMAT) => false,
            Some(CALM) => true,
            _ => return Err(format()),
        };
        let (Some(load), Some(seed)) = (parts.next(), parts.next()) else { return Err(format()) };
        let mut token = Self {
            load: load.parse().map_err(|error| part(load, error))?,
            seed: seed.parse().map_err(|_| part(seed, "the seed is a number below 2^64"))?,
            calm,
            ..Self::default()
        };
        for more in parts {
            match more.split_at_checked(1) {
                Some(("n", list)) => token.without = invariants(list)?,
                Some(("b", name)) => token.bug = Some(bug(name)?),
                Some(("c", list)) => token.changes = changes(list)?,
                _ => return Err(part(more, "a part begins with n, b or c")),
            }
        }
        // One run has one word: what was pasted twice, or in another order, is a mistake.
        let canonical = token.to_string();
        if canonical == text { Ok(token) } else { Err(part(text, format!("write {canonical}"))) }
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::{Arbitrary, Gen, QuickCheck};

    use super::*;

    impl Arbitrary for Token {
        fn arbitrary(g: &mut Gen) -> Self {
            let index = |g: &mut Gen, len: usize| usize::arbitrary(g) % len;
            let change = |(index, value)| Change { index, value };
            Self {
                load: Load::ALL[index(g, 3)],
                seed: u64::arbitrary(g),
                without: (0..index(g, 4)).map(|_| Invariant::ALL[index(g, 18)]).collect(),
                bug: bool::arbitrary(g).then(|| Bug::ALL[index(g, Bug::ALL.len())]),
                changes: Vec::<(u64, u64)>::arbitrary(g).into_iter().map(change).collect(),
                calm: bool::arbitrary(g),
            }
        }
    }

    /// Goal: a token says all of a run, and nothing of it twice.
    #[test]
    fn a_token_is_read_back_as_it_was_written() {
        fn holds(token: Token) -> bool {
            let text = token.to_string();
            let is_one_word =
                text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-.=".contains(&it));
            is_one_word && text.parse() == Ok(token)
        }
        QuickCheck::new().tests(2000).quickcheck(holds as fn(Token) -> bool);
    }

    /// Goal: whatever is pasted, it is refused or understood as exactly what it says.
    #[test]
    fn a_token_that_was_damaged_is_refused_or_says_what_it_means() {
        fn holds(token: Token, at: usize, put: char, removes: bool) -> bool {
            let mut text: Vec<char> = token.to_string().chars().collect();
            let at = at % text.len();
            if removes {
                text.remove(at);
            } else {
                text[at] = put;
            }
            let text: String = text.into_iter().collect();
            text.parse::<Token>().map_or(true, |read| read.to_string() == text)
        }
        let property = holds as fn(Token, usize, char, bool) -> bool;
        QuickCheck::new().tests(2000).quickcheck(property);
    }

    #[test]
    fn errors_say_which_part_and_what_would_be_right() {
        let cases = [
            ("", "no token of this version; they look like b1-short-12345"),
            ("b3-short-1", "no token of this version"),
            ("b1-short", "no token of this version"),
            ("b1-tall-1", "they are short, long and crowd"),
            ("b1-short-x", "\"x\" in the token: the seed is a number"),
            ("b1-short-007", "write b1-short-7"),
            ("b1-short-99999999999999999999", "the seed is a number"),
            ("b1-short-1-", "begins with n, b or c"),
            ("b1-short-1-q", "begins with n, b or c"),
            ("b1-short-1-nI19", "\"I19\" is no invariant"),
            ("b1-short-1-bNoSuchBug", "no such bug"),
            ("b1-short-1-c17", "written as 17=3"),
            ("b1-short-1-c17=3-nI5", "write b1-short-1-nI5-c17=3"),
            ("b1-short-1-nI5-nI6", "write b1-short-1-nI6"),
            ("b1-short-1-é", "begins with n, b or c"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Token>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_run_is_repeated_with_what_its_token_says() {
        let token = Token::new(7);
        let report = token.run(false).expect("all is well in it");
        let again = token.to_string().parse::<Token>().expect("it is one").run(true);
        assert_eq!(again.map(|it| it.hash).ok(), Some(report.hash));
        assert_eq!(report.reached.is_empty(), !crate::hooks_are_on());
    }

    /// Goal: a changed decision makes another world, and always the same one.
    #[test]
    fn a_changed_decision_is_another_world() {
        let hash = |token: &Token| token.run(false).map(|it| it.hash).map_err(|it| it.what);
        let plain = Token::new(7);
        let change = Change { index: 40, value: u64::MAX / 3 + 1 };
        let changed = Token { changes: vec![change], ..plain.clone() };
        assert_ne!(hash(&changed), hash(&plain));
        assert_eq!(hash(&changed), hash(&changed.to_string().parse().expect("it is a token")));
    }
}
