//! Where every choice of a run comes from.

mod made;

use std::collections::HashMap;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::trace::Trace;

pub(crate) use made::{Calm, Choices, Decisions, Kept, Wild};
pub use made::{Decision, Place};

/// A source of random choices for one purpose, from the world's seed.
///
/// It depends on the seed and the purpose alone, so that one more choice here
/// changes none elsewhere. Every choice is counted over the whole run, is part
/// of the trace hash, and can be made otherwise; see
/// [`SimOptions::changes`](crate::SimOptions::changes).
///
/// ```
/// use buffer_sim::SimRuntime;
///
/// let runtime = SimRuntime::new(1);
/// let mut dice = runtime.random("dice");
/// let thrown = dice.u32(1..=6);
/// assert!((1..=6).contains(&thrown));
/// assert_eq!(SimRuntime::new(1).random("dice").u32(1..=6), thrown);
/// assert_eq!(runtime.decisions_made(), 1);
/// // Numbers of all sizes, a yes or no, an order, one of several.
/// let mut faults = runtime.random("faults");
/// let (mask, port, index) = (faults.u8(1..), faults.u16(1024..), faults.usize(..10));
/// assert!(mask > 0 && port >= 1024 && index < 10);
/// let name = format!("{:016x}", faults.u64(..));
/// assert_eq!(name.len(), 16);
/// assert!((0.0..1.0).contains(&faults.f64()));
/// let mut order = [1, 2, 3];
/// faults.shuffle(&mut order);
/// if faults.bool() {
///     order.reverse();
/// }
/// assert!(faults.choice(order).is_some_and(|one| (1..=3).contains(&one)));
/// assert_eq!(faults.choice([""; 0]), None, "there is nothing to choose from");
/// ```
#[derive(Debug)]
pub struct Random {
    trace: SharedTrace,
    purpose: u64,
    stream: Rng,
    /// What the next choice is about; see [`Random::of`].
    about: (&'static str, u64),
    /// What comes of the next choice where all is as usual.
    usual: Option<u64>,
    /// Only where choices are told apart by more than their number.
    places: Option<Box<Places>>,
}

/// Which choices of one source were made so far.
#[derive(Debug)]
struct Places {
    name: String,
    id: u64,
    made: HashMap<(&'static str, u64), u64>,
    forks: HashMap<String, u64>,
}

impl Places {
    fn new(name: String) -> Self {
        let id = Random::purpose(&name);
        Self { name, id, made: HashMap::new(), forks: HashMap::new() }
    }

    /// The number of the next choice about this.
    fn number(&mut self, about: (&'static str, u64)) -> u64 {
        let made = self.made.entry(about).or_default();
        *made += 1;
        *made
    }

    fn fork(&mut self, name: &str) -> Self {
        let number = self.forks.entry(name.to_owned()).or_default();
        *number += 1;
        Self::new(format!("{} / {name} {number}", self.name))
    }
}

/// The trace as those share it who add to it.
#[derive(Clone)]
pub(crate) struct SharedTrace(Arc<Mutex<Trace>>);

impl SharedTrace {
    pub(crate) fn new(trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(trace)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Trace> {
        self.0.lock().expect("nothing panics while it holds the trace")
    }

    /// The same after a run of which nobody knows how it ended.
    pub(crate) fn lock_anyway(&self) -> MutexGuard<'_, Trace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SharedTrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trace")
    }
}

macro_rules! draws {
    ($($integer:ident),*) => {$(
        /// Draws from a range.
        ///
        /// # Panics
        ///
        /// When there is nothing in it.
        pub fn $integer(&mut self, range: impl RangeBounds<$integer>) -> $integer {
            let low = match range.start_bound() {
                Bound::Included(low) => *low,
                Bound::Excluded(low) => low.checked_add(1).expect("the range is not empty"),
                Bound::Unbounded => $integer::MIN,
            };
            let high = match range.end_bound() {
                Bound::Included(high) => *high,
                Bound::Excluded(high) => high.checked_sub(1).expect("the range is not empty"),
                Bound::Unbounded => $integer::MAX,
            };
            assert!(low <= high, "the range is not empty");
            // All of 64 bits have no number of choices: they are written as zero.
            let bound = ((high - low) as u64).wrapping_add(1);
            let usual = self.usual.take().map_or(0, |usual| usual.saturating_sub(low as u64));
            low + self.draw(bound, usual) as $integer
        }
    )*};
}

impl Random {
    pub(crate) fn new(trace: &SharedTrace, seed: u64, name: &str) -> Self {
        let purpose = Self::purpose(name);
        let stream = Rng::with_seed(xxh3_64_with_seed(&purpose.to_le_bytes(), seed));
        let places = Self::places(trace, || Places::new(name.to_owned()));
        Self { trace: trace.clone(), purpose, stream, about: ("", 0), usual: None, places }
    }

    fn places(trace: &SharedTrace, new: impl FnOnce() -> Places) -> Option<Box<Places>> {
        let mut trace = trace.lock();
        if !trace.decisions.tells_places() {
            return None;
        }
        let places = new();
        trace.decisions.names(places.id, &places.name);
        Some(Box::new(places))
    }

    /// What a purpose is called in [`Decision::purpose`].
    #[must_use]
    pub fn purpose(name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), 0)
    }

    /// Says what the next choice is about, so that people and a shrinker know it again.
    ///
    /// Choices of one source about one thing are numbered by themselves: whether
    /// there is one more about something else makes no difference to them. It
    /// changes nothing of what is drawn.
    ///
    /// ```
    /// use buffer_sim::{SimOptions, SimRuntime};
    ///
    /// let options = SimOptions { records_decisions: true, ..SimOptions::default() };
    /// let runtime = SimRuntime::with_options(1, options);
    /// let mut faults = runtime.random("faults");
    /// faults.of("reply lost").bool();
    /// faults.of_one("crash", 3).bool();
    /// let about: Vec<_> = runtime.decisions().iter().map(|made| made.place.about).collect();
    /// assert_eq!(about, [("reply lost", 0), ("crash", 3)]);
    /// ```
    pub const fn of(&mut self, what: &'static str) -> &mut Self {
        self.of_one(what, 0)
    }

    /// The same for one of many: the third process, the swaps of a process.
    pub const fn of_one(&mut self, what: &'static str, which: u64) -> &mut Self {
        self.about = (what, which);
        self
    }

    /// Says what comes of the next choice in a [calm](crate::SimOptions::calm) run; without a word it is the least.
    ///
    /// It changes nothing of what is drawn in other runs.
    ///
    /// ```
    /// use buffer_sim::{SimOptions, SimRuntime};
    ///
    /// let options = SimOptions { calm: true, changes: vec![(1, 2)], ..SimOptions::default() };
    /// let mut faults = SimRuntime::with_options(7, options).random("faults");
    /// assert_eq!(faults.usually(9).u32(..10), 9);
    /// assert_eq!(faults.usually(9).u32(..10), 2); // the only one that is not as usual
    /// assert_eq!(faults.usually(9).u32(..10), 9);
    /// ```
    pub const fn usually(&mut self, value: u64) -> &mut Self {
        self.usual = Some(value);
        self
    }

    fn draw(&mut self, bound: u64, usual: u64) -> u64 {
        let drawn = if bound == 0 { self.stream.u64(..) } else { self.stream.u64(..bound) };
        let about = std::mem::take(&mut self.about);
        let place = self.places.as_mut().map(|it| (it.id, about, it.number(about)));
        let mut trace = self.trace.lock();
        let value = trace.decisions.make(self.purpose, bound, drawn, usual, place);
        trace.note(b'd', [self.purpose ^ bound, value]);
        value
    }

    draws! { u8, u16, u32, u64, usize }

    /// Draws one of the two.
    pub fn bool(&mut self) -> bool {
        let usual = self.usual.take().unwrap_or(0);
        self.draw(2, usual) == 1
    }

    /// Draws from zero up to, not including, one; usually one half.
    pub fn f64(&mut self) -> f64 {
        const STEPS: u64 = 1 << 53;
        self.usual = None;
        self.draw(STEPS, STEPS / 2) as f64 / STEPS as f64
    }

    /// Draws one of these; `None` if there are none.
    pub fn choice<I>(&mut self, from: I) -> Option<I::Item>
    where
        I: IntoIterator<IntoIter: ExactSizeIterator>,
    {
        let mut from = from.into_iter();
        let bound = from.len();
        if bound == 0 { None } else { from.nth(self.usize(..bound)) }
    }

    /// Puts these into a random order; usually into the one that they have.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.usually(last as u64).usize(..=last));
        }
    }

    /// Another source, which depends on this one and the name, and disturbs it no more.
    ///
    /// ```
    /// use buffer_sim::SimRuntime;
    ///
    /// let disks = || SimRuntime::new(1).random("disks");
    /// let (mut one, mut same) = (disks(), disks());
    /// let (mut first, mut again) = (one.fork("first"), same.fork("first"));
    /// assert_eq!(first.u64(..), again.u64(..), "the same seed and the same names");
    /// let _more = first.u64(..);
    /// assert_eq!(one.u64(..), same.u64(..), "one choice more in the fork changes none here");
    /// ```
    #[must_use]
    pub fn fork(&mut self, name: &str) -> Self {
        let purpose = xxh3_64_with_seed(name.as_bytes(), self.purpose);
        let stream = Rng::with_seed(self.stream.u64(..) ^ purpose);
        let places = match &mut self.places {
            Some(own) => Self::places(&self.trace, || own.fork(name)),
            None => None,
        };
        Self { trace: self.trace.clone(), purpose, stream, about: ("", 0), usual: None, places }
    }
}

#[cfg(test)]
mod tests;
