//! Every order in which a few requests can take effect and be answered.
//!
//! A sweep draws; this enumerates. Two producers with a batch or two each, a consumer with its collector,
//! another consumer that takes over, and a store, all of them the code that ships, make one *step* at a time: a
//! request takes effect, an answer arrives, an answer is lost, a process crashes, time passes. From each state
//! every step that is possible is tried. Machines cannot be copied, so a state is reached by doing again what led
//! to it; a state that was met before, by the machines' own fingerprints and by what the store and the database
//! have, is not gone on from.
//!
//! Time passes when nothing else can happen, and a few times beside that: the bounds are in [`Limits`]. What is
//! left out: names and times do not tell states apart, and a batch's own requests take effect and are answered in one step.
//!
//! Where the next step of one process makes no difference to any other and theirs none to it, that step is taken
//! first and not in every place among theirs: each order leads to where one leads that is tried.

use std::fmt;

mod application;
mod config;
mod objects;
mod request;
mod search;
mod world;

pub use search::{Found, Summary, climb, explore};

/// What there is, and what may go wrong.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_sim::exhaustive::{Limits, explore};
///
/// // One producer and one consumer, and one answer that is lost, late, or wrong.
/// let limits = Limits { producers: 1, take_overs: 0, crashes: 0, ticks: 2, ..Limits::SMALL };
/// assert_eq!(
///     limits.to_string(),
///     "1 x 1 batches, 0 take-overs, 0 crashes, 1 faults, 0 of 2 ticks in haste"
/// );
/// let none = Limits { faults: 0, ..limits };
/// let [some, none] = [limits, none].map(|it| explore(it, None, 1, Duration::from_secs(60)));
/// assert!(some.states > none.states, "{} and {}", some.states, none.states);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Producers.
    pub producers: usize,
    /// Batches of each.
    pub batches: usize,
    /// How many more consumers take over.
    pub take_overs: u8,
    /// How many processes crash.
    pub crashes: u8,
    /// How many answers are lost, late, or a conflict that was none.
    pub faults: u8,
    /// How often time passes while something else could happen.
    pub hurries: u8,
    /// How often time passes in all before a run ends.
    pub ticks: u8,
}

impl Limits {
    /// Two producers with a batch each, one consumer and one that takes over, one crash, one fault: some
    /// thirty million steps.
    pub const SMALL: Self = Self {
        producers: 2,
        batches: 1,
        take_overs: 1,
        crashes: 1,
        faults: 1,
        hurries: 0,
        ticks: 8,
    };

    /// Twice the batches and the faults, and time that passes in haste: more than can be seen to the end.
    pub const LARGE: Self = Self { batches: 2, faults: 2, hurries: 1, ..Self::SMALL };

    const QUIET: Self =
        Self { producers: 1, take_overs: 0, crashes: 0, faults: 0, hurries: 0, ..Self::SMALL };

    /// From what is seen to its end in a moment up to [`SMALL`](Self::SMALL) and [`LARGE`](Self::LARGE).
    pub const LADDER: [Self; 13] = [
        Self { faults: 1, hurries: 1, ..Self::QUIET },
        Self { hurries: 8, ..Self::QUIET },
        Self { producers: 2, faults: 1, ticks: 4, ..Self::QUIET },
        Self { batches: 2, faults: 1, hurries: 1, ticks: 4, ..Self::QUIET },
        Self { batches: 2, crashes: 1, hurries: 1, ticks: 4, ..Self::QUIET },
        Self { faults: 2, hurries: 1, ticks: 4, ..Self::QUIET },
        Self { batches: 2, take_overs: 1, hurries: 1, ticks: 4, ..Self::QUIET },
        Self { take_overs: 1, faults: 1, hurries: 1, ticks: 4, ..Self::QUIET },
        Self { take_overs: 1, crashes: 1, faults: 1, ticks: 4, ..Self::QUIET },
        Self { batches: 2, take_overs: 1, faults: 1, ticks: 4, ..Self::QUIET },
        Self { take_overs: 1, faults: 1, hurries: 3, ticks: 6, ..Self::QUIET },
        Self::SMALL,
        Self::LARGE,
    ];
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { producers, batches, take_overs, crashes, faults, hurries, ticks } = self;
        write!(f, "{producers} x {batches} batches, {take_overs} take-overs, {crashes} crashes, ")?;
        write!(f, "{faults} faults, {hurries} of {ticks} ticks in haste")
    }
}
