//! The choices of a run, in order.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use fastrand::Rng;

use crate::store::KeyHasher;

/// One choice of a run.
///
/// ```
/// use buffer_sim::{Random, SimOptions, SimRuntime};
///
/// // The first choice comes out as 2, whatever was drawn.
/// let options =
///     SimOptions { records_decisions: true, changes: vec![(0, 2)], ..SimOptions::default() };
/// let runtime = SimRuntime::with_options(1, options);
/// assert_eq!(runtime.random("dice").usually(5).u32(..6), 2);
///
/// let made = runtime.decisions()[0];
/// assert_eq!(made.purpose, Random::purpose("dice"));
/// assert_eq!((made.bound, made.value, made.usual), (6, 2, 5));
/// assert!(made.is_unusual());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What it was for: the hash of the purpose, see [`Random::purpose`](crate::Random::purpose).
    pub purpose: u64,
    /// The number of possible values; zero stands for all of 64 bits.
    pub bound: u64,
    /// What was drawn.
    pub value: u64,
    /// What comes of it where all is as usual; see [`Random::usually`](crate::Random::usually).
    pub usual: u64,
    /// Where it was made.
    pub place: Place,
}

/// Where a choice was made: the same in a run in which other choices came out otherwise.
///
/// ```
/// use buffer_sim::{Place, SimOptions, SimRuntime};
///
/// let options = SimOptions { records_decisions: true, ..SimOptions::default() };
/// let runtime = SimRuntime::with_options(1, options);
/// let mut faults = runtime.random("faults");
/// for process in [1, 2, 2] {
///     let _crashes = faults.of_one("crash", process).bool();
/// }
/// let places: Vec<Place> = runtime.decisions().iter().map(|made| made.place).collect();
/// assert_eq!((places[1].about, places[1].number), (("crash", 2), 1));
/// assert_eq!((places[2].about, places[2].number), (("crash", 2), 2), "the second of its kind");
/// assert_eq!(places[0].source, places[2].source);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The source that it came from; see [`SimRuntime::source_name`](crate::SimRuntime::source_name).
    pub source: u64,
    /// What it was about, and which one of many; see [`Random::of_one`](crate::Random::of_one).
    pub about: (&'static str, u64),
    /// Counts the choices of this source about this, from one.
    pub number: u64,
}

impl Decision {
    /// Whether it came out otherwise than usual. Bits of a name, of which there are 64, are never that.
    #[must_use]
    pub const fn is_unusual(&self) -> bool {
        self.bound != 0 && self.value != self.usual
    }
}

/// Values by the places of their choices.
pub(crate) type Kept = HashMap<Place, u64, BuildHasherDefault<KeyHasher>>;

/// How choices come out in a run in which most things are as usual.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calm {
    /// Those that come out otherwise.
    pub(crate) kept: Kept,
    /// Of the others, one in so many is left to chance; `None` for none of them.
    pub(crate) wild: Option<Wild>,
}

/// Chance that is no part of a run's own.
#[derive(Clone, Debug)]
pub(crate) struct Wild {
    pub(crate) one_in: u32,
    pub(crate) rng: Rng,
    /// The source whose choices are never left to chance.
    pub(crate) except: u64,
}

/// How choices are made in a world, beside what its seed says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    /// By number, in order.
    pub(crate) changes: Vec<(u64, u64)>,
    pub(crate) records: bool,
    pub(crate) calm: Option<Calm>,
}

/// The choices of a run, counted, and some of them made otherwise.
pub(crate) struct Decisions {
    made: u64,
    changes: Vec<(u64, u64)>,
    calm: Option<Calm>,
    /// Whether a choice is told apart by its place.
    tells_places: bool,
    recorded: Option<Vec<Decision>>,
    names: HashMap<u64, String>,
    /// Nobody changes or records a choice.
    is_plain: bool,
}

/// A place as its source tells it.
pub(super) type Told = (u64, (&'static str, u64), u64);

impl Decisions {
    pub(crate) fn new(choices: Choices) -> Self {
        let Choices { mut changes, records, calm } = choices;
        changes.sort_unstable();
        // The next one is the last, where it is cheap to take.
        changes.reverse();
        let by_place = calm.as_ref().is_some_and(|it| !it.kept.is_empty() || it.wild.is_some());
        Self {
            made: 0,
            is_plain: changes.is_empty() && calm.is_none() && !records,
            changes,
            calm,
            tells_places: records || by_place,
            recorded: records.then(Vec::new),
            names: HashMap::new(),
        }
    }

    pub(crate) const fn made(&self) -> u64 {
        self.made
    }

    pub(crate) fn recorded(&self) -> &[Decision] {
        self.recorded.as_deref().unwrap_or_default()
    }

    pub(super) const fn tells_places(&self) -> bool {
        self.tells_places
    }

    /// A source begins.
    pub(super) fn names(&mut self, source: u64, name: &str) {
        self.names.insert(source, name.to_owned());
    }

    pub(crate) fn name(&self, source: u64) -> Option<&str> {
        self.names.get(&source).map(String::as_str)
    }

    pub(super) fn make(
        &mut self,
        purpose: u64,
        bound: u64,
        drawn: u64,
        usual: u64,
        told: Option<Told>,
    ) -> u64 {
        let index = self.made;
        self.made += 1;
        if self.is_plain {
            return drawn;
        }
        let (source, about, number) = told.unwrap_or((0, ("", 0), 0));
        let place = Place { source, about, number };
        let usual = if bound == 0 { drawn } else { usual.min(bound - 1) };
        let mut value = match &mut self.calm {
            // Names must differ: their bits are the seed's in any case.
            Some(calm) if bound != 0 => calm.choose(bound, drawn, usual, &place),
            Some(_) | None => drawn,
        };
        while let Some((_, change)) = self.changes.pop_if(|(changed, _)| *changed <= index) {
            value = if bound == 0 { change } else { change % bound };
        }
        if let Some(recorded) = &mut self.recorded {
            recorded.push(Decision { purpose, bound, value, usual, place });
        }
        value
    }
}

impl Calm {
    fn choose(&mut self, bound: u64, drawn: u64, usual: u64, place: &Place) -> u64 {
        if let Some(kept) = self.kept.get(place) {
            return kept % bound;
        }
        let Some(wild) = &mut self.wild else { return usual };
        let is_wild = wild.except != place.source && wild.rng.u32(..wild.one_in) == 0;
        if is_wild { drawn } else { usual }
    }
}
