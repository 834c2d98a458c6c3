//! Where every choice of a run comes from.

use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::trace::Trace;

/// One choice of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What it was for: the hash of the purpose, see [`Random::purpose`].
    pub purpose: u64,
    /// The number of possible values; zero stands for all of 64 bits.
    pub bound: u64,
    /// What was drawn.
    pub value: u64,
}

/// The choices of a run, counted, and some of them made otherwise.
pub(crate) struct Decisions {
    made: u64,
    /// By number, in order.
    changes: Vec<(u64, u64)>,
    recorded: Option<Vec<Decision>>,
}

impl Decisions {
    pub(crate) fn new(mut changes: Vec<(u64, u64)>, records: bool) -> Self {
        changes.sort_unstable();
        // The next one is the last, where it is cheap to take.
        changes.reverse();
        Self { made: 0, changes, recorded: records.then(Vec::new) }
    }

    pub(crate) const fn made(&self) -> u64 {
        self.made
    }

    pub(crate) fn recorded(&self) -> &[Decision] {
        self.recorded.as_deref().unwrap_or_default()
    }

    fn make(&mut self, purpose: u64, bound: u64, drawn: u64) -> u64 {
        let index = self.made;
        self.made += 1;
        let mut value = drawn;
        while let Some((_, change)) = self.changes.pop_if(|(changed, _)| *changed <= index) {
            value = if bound == 0 { change } else { change % bound };
        }
        if let Some(recorded) = &mut self.recorded {
            recorded.push(Decision { purpose, bound, value });
        }
        value
    }
}

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
/// ```
#[derive(Debug)]
pub struct Random {
    trace: SharedTrace,
    purpose: u64,
    stream: Rng,
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
            low + self.draw(bound) as $integer
        }
    )*};
}

impl Random {
    pub(crate) fn new(trace: &SharedTrace, seed: u64, purpose: &str) -> Self {
        let purpose = Self::purpose(purpose);
        let stream = xxh3_64_with_seed(&purpose.to_le_bytes(), seed);
        Self { trace: trace.clone(), purpose, stream: Rng::with_seed(stream) }
    }

    /// What a purpose is called in [`Decision::purpose`].
    #[must_use]
    pub fn purpose(name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), 0)
    }

    fn draw(&mut self, bound: u64) -> u64 {
        let drawn = if bound == 0 { self.stream.u64(..) } else { self.stream.u64(..bound) };
        let mut trace = self.trace.lock();
        let value = trace.decisions.make(self.purpose, bound, drawn);
        trace.note(b'd', [self.purpose ^ bound, value]);
        value
    }

    draws! { u8, u16, u32, u64, usize }

    /// Draws one of the two.
    pub fn bool(&mut self) -> bool {
        self.draw(2) == 1
    }

    /// Draws from zero up to, not including, one.
    pub fn f64(&mut self) -> f64 {
        const STEPS: u64 = 1 << 53;
        self.draw(STEPS) as f64 / STEPS as f64
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

    /// Puts these into a random order.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.usize(..=last));
        }
    }

    /// Another source, which depends on this one and the name, and disturbs it no more.
    #[must_use]
    pub fn fork(&mut self, name: &str) -> Self {
        let purpose = xxh3_64_with_seed(name.as_bytes(), self.purpose);
        let stream = Rng::with_seed(self.stream.u64(..) ^ purpose);
        Self { trace: self.trace.clone(), purpose, stream }
    }
}

#[cfg(test)]
mod tests;
