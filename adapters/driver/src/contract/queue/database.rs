//! A database as a queue needs one: entries and sequence in one step, and one writer at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::super::report::Violation;
use super::violation;
use crate::batch::ConsumedBatch;

/// An entry of the suite: whose it is, which one, and something to compare.
pub(super) fn entry(producer: usize, number: u64) -> Bytes {
    // Of lengths from 20 to 119 bytes, with contents of their own.
    let filling = (producer as u64 + 1).wrapping_mul(0x9e37_79b9).wrapping_mul(number + 1);
    let length = usize::try_from(number % 100).expect("it is below 100");
    let mut text = format!("{producer:03}/{number:012}/");
    text.extend(format!("{filling:020}").chars().cycle().take(length + 3));
    text.into()
}

fn parse(entry: &[u8]) -> Option<(usize, u64)> {
    let text = std::str::from_utf8(entry).ok()?;
    let mut parts = text.split('/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Which consumer may write: the one of the last term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term(usize);

/// What the database said to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Yes,
    /// Another term has begun.
    TooLate,
}

#[derive(Debug, Default)]
struct State {
    terms: usize,
    last: Option<u64>,
    /// The number that comes next, by producer.
    next: Vec<u64>,
    /// Batches, by term.
    batches: Vec<u64>,
}

/// In memory, shared by its consumers.
#[derive(Debug)]
pub(super) struct Database(Mutex<State>);

impl Database {
    pub(super) fn new(producers: usize) -> Self {
        Self(Mutex::new(State { next: vec![0; producers], ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks out whoever wrote before. Says what was stored last.
    pub(super) fn begin_term(&self) -> (Term, Option<u64>) {
        let mut state = self.state();
        state.terms += 1;
        state.batches.push(0);
        (Term(state.terms), state.last)
    }

    /// Stores a batch's entries and its sequence, if they are the next ones.
    pub(super) fn store(&self, term: Term, batch: &ConsumedBatch) -> Result<Stored, Violation> {
        let mut state = self.state();
        if term != Term(state.terms) {
            return Ok(Stored::TooLate);
        }
        let expected = state.last.map_or(batch.sequence, |last| last + 1);
        if batch.sequence != expected {
            let (expected, seen) =
                (format!("batch {expected}"), format!("batch {}", batch.sequence));
            return Err(violation("batches_come_in_order", expected, seen));
        }
        for found in &batch.entries {
            let known = parse(found);
            let next = known.and_then(|(producer, _)| state.next.get(producer).copied());
            let (Some((producer, _)), Some(next)) = (known, next) else {
                let seen = format!("{found:?} in batch {}", batch.sequence);
                return Err(violation("entries_come_back_as_they_went", "an entry of ours", seen));
            };
            let expected = entry(producer, next);
            if *found != expected {
                let seen = format!("{found:?} in batch {}", batch.sequence);
                return Err(violation(
                    "every_entry_comes_once_and_in_order",
                    format!("{expected:?}"),
                    seen,
                ));
            }
            state.next[producer] += 1;
        }
        state.last = Some(batch.sequence);
        *state.batches.last_mut().expect("a term has begun") += 1;
        Ok(Stored::Yes)
    }

    /// Entries that were stored.
    pub(super) fn entries(&self) -> u64 {
        self.state().next.iter().sum()
    }

    /// The last sequence that was stored.
    pub(super) fn last(&self) -> Option<u64> {
        self.state().last
    }

    /// Batches that were stored in each term.
    pub(super) fn batches(&self) -> Vec<u64> {
        self.state().batches.clone()
    }

    /// Whether each producer's entries are all there.
    pub(super) fn has_all(&self, entries_per_producer: u64) -> Result<(), Violation> {
        let next = self.state().next.clone();
        if next.iter().all(|next| *next == entries_per_producer) {
            return Ok(());
        }
        let expected = format!("{entries_per_producer} entries of each producer");
        Err(violation("every_entry_comes_once_and_in_order", expected, format!("{next:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sequence: u64, entries: Vec<Bytes>) -> ConsumedBatch {
        ConsumedBatch { entries, sequence, location: "x".to_owned(), metadata: Vec::new() }
    }

    #[test]
    fn what_is_lost_repeated_changed_or_late_is_noticed() {
        let database = Database::new(2);
        let (first, last) = database.begin_term();
        assert_eq!(last, None);
        let stored = database.store(first, &batch(4, vec![entry(0, 0), entry(1, 0), entry(0, 1)]));
        assert_eq!(stored, Ok(Stored::Yes));
        let mut changed = entry(0, 2).to_vec();
        *changed.last_mut().expect("it is not empty") ^= 1;
        let wrong = [
            batch(4, vec![entry(0, 2)]),
            batch(6, vec![entry(0, 2)]),
            batch(5, vec![entry(0, 1)]),
            batch(5, vec![entry(0, 3)]),
            batch(5, vec![entry(2, 0)]),
            batch(5, vec![changed.into()]),
            batch(5, vec!["strange".into()]),
        ];
        for batch in wrong {
            let database = Database::new(2);
            let (term, _) = database.begin_term();
            let before = self::batch(4, vec![entry(0, 0), entry(1, 0), entry(0, 1)]);
            assert_eq!(database.store(term, &before), Ok(Stored::Yes));
            assert!(database.store(term, &batch).is_err(), "{batch:?}");
        }
        let (second, last) = database.begin_term();
        assert_eq!(last, Some(4));
        assert_eq!(database.store(first, &batch(5, vec![entry(0, 2)])), Ok(Stored::TooLate));
        assert_eq!(database.store(second, &batch(5, vec![entry(0, 2)])), Ok(Stored::Yes));
        assert_eq!((database.entries(), database.batches()), (4, vec![1, 1]));
        assert!(database.has_all(3).is_err());
    }
}
