//! What is told of a run.

use std::fmt;
use std::time::Duration;

use super::invariant::Invariant;

/// What is told of a world in which everything held.
///
/// ```
/// use buffer_sim::swarm::{Options, run};
///
/// let report = run(7, &Options::default())?;
/// // Entries that somebody was told to be durable, in so much virtual time.
/// assert!(report.entries > 0 && report.simulated.as_secs() > 1);
/// // Only what was handed out is acknowledged.
/// assert!(report.acks <= report.handed_out);
/// for (fault, count) in &report.faults {
///     println!("{fault}: {count} of {} requests or processes", report.requests);
/// }
/// # Ok::<(), Box<buffer_sim::swarm::Failure>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The hash of everything that happened.
    pub hash: u64,
    /// How much time passed in it.
    pub simulated: Duration,
    /// Requests that the store received.
    pub requests: u64,
    /// Requests to swap a manifest of ten entries or more.
    pub large_swaps: u64,
    /// How many requests or processes met each fault, by the fault's name; only what changed what a process saw.
    pub faults: Vec<(&'static str, u64)>,
    /// Entries that were acknowledged as durable.
    pub entries: u64,
    /// `produce` calls.
    pub submissions: u64,
    /// Batches that were listed.
    pub batches: u64,
    /// Batches that were listed again after their place had been dequeued (case 4).
    pub listed_again: u64,
    /// Those that a later consumer stored a second time: the documented gap.
    pub gaps: u64,
    /// Submissions whose outcome is unknown.
    pub unknown: u64,
    /// Submissions that were not delivered.
    pub not_delivered: u64,
    /// Requests of producers to swap the manifest; those of foreign ones do not count.
    pub producer_swaps: u64,
    /// Requests of consumers to swap the manifest.
    pub consumer_swaps: u64,
    /// Batches that callers of consumers got.
    pub handed_out: u64,
    /// Batches that they acknowledged.
    pub acks: u64,
    /// Terms of consumers.
    pub epochs: u64,
    /// Batches that the collector deleted.
    pub collected: u64,
    /// How often each of [`buffer_core::hooks::Point::ALL`] was reached; empty unless built with `--cfg buffer_sim`.
    pub reached: Vec<u64>,
    /// What happened, in lines for people; empty unless [`Options::keeps_lines`](super::Options::keeps_lines).
    pub lines: Vec<String>,
}

/// An invariant that did not hold, with what led to it.
///
/// ```
/// use buffer_core::hooks::Bug;
/// use buffer_sim::hooks_are_on;
/// use buffer_sim::swarm::{Invariant, Token};
///
/// // Where bugs can be planted: batches are told durable when their swap is sent.
/// let bug = hooks_are_on().then_some(Bug::SettledBeforeSwap);
/// let ran = (0..20).map(|seed| Token { bug, ..Token::new(seed) }.run(true));
/// match ran.filter_map(Result::err).next() {
///     Some(failure) => {
///         assert_eq!(failure.invariant, Some(Invariant::DurableAck));
///         println!("{failure}"); // the seed, the invariant, and what was seen
///         assert!(failure.lines.last().is_some_and(|line| line.contains("VIOLATED")));
///     }
///     // In any other build everything holds.
///     None => assert!(!hooks_are_on()),
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed of the world.
    pub seed: u64,
    /// The first that did not hold; `None` for a panic or a world without an end.
    pub invariant: Option<Invariant>,
    /// What was seen.
    pub what: String,
    /// What happened until it was seen: all lines with [`Options::keeps_lines`](super::Options::keeps_lines), else the last ones or none.
    pub lines: Vec<String>,
}

impl Failure {
    /// Whether the world had no end, or came to stand still.
    pub(super) fn is_endless(&self) -> bool {
        self.invariant.is_none() && ENDLESS.iter().any(|start| self.what.starts_with(start))
    }

    /// Whether the same is wrong: the same invariant, or a panic at the same place.
    ///
    /// ```
    /// use buffer_sim::swarm::{Failure, Invariant};
    ///
    /// let failure = |seed, invariant, what: &str| {
    ///     let (what, lines) = (what.to_owned(), Vec::new());
    ///     Failure { seed, invariant: Some(invariant), what, lines }
    /// };
    /// let first = failure(7, Invariant::NoRepeats, "batch 3 was handed out twice");
    /// let smaller = failure(0, Invariant::NoRepeats, "batch 0 was handed out twice");
    /// let other = failure(0, Invariant::Order, "batch 1 is listed before batch 0");
    /// assert!(smaller.is_like(&first) && !other.is_like(&first));
    /// ```
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        if self.invariant.is_some() || other.invariant.is_some() {
            return self.invariant == other.invariant;
        }
        let place = |what: &str| what.rsplit_once(PANIC).map(|(_, place)| place.to_owned());
        self.is_endless() == other.is_endless() && place(&self.what) == place(&other.what)
    }
}

/// How an executor says that a world has no end.
const ENDLESS: [&str; 2] = ["no end at ", "deadlock at "];

/// What comes before the place of a panic.
const PANIC: &str = "(a panic at ";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.invariant {
            Some(invariant) => write!(f, "seed {}: {invariant}: {}", self.seed, self.what),
            None => write!(f, "seed {}: {}", self.seed, self.what),
        }
    }
}

impl std::error::Error for Failure {}
