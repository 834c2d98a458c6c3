//! What is numbered in the order in which it came, and forgotten once it is old and nothing about it can go wrong any more.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Index, IndexMut};

/// How many of the newest are remembered, whatever became of them: those of many hours.
const REMEMBERED: usize = 4_000;

/// Things by number. Numbers are never used twice.
#[derive(Debug)]
pub(super) struct Ledger<T> {
    /// The number of the first of `recent`.
    base: usize,
    recent: VecDeque<T>,
    /// Those that are old, and of which something may still be heard.
    odd: BTreeMap<usize, T>,
}

impl<T> Ledger<T> {
    pub(super) const fn new() -> Self {
        Self { base: 0, recent: VecDeque::new(), odd: BTreeMap::new() }
    }

    /// How many there ever were: the number of the next one.
    pub(super) fn len(&self) -> usize {
        self.base + self.recent.len()
    }

    pub(super) fn push(&mut self, thing: T) {
        self.recent.push_back(thing);
    }

    pub(super) fn get(&self, number: usize) -> Option<&T> {
        match number.checked_sub(self.base) {
            Some(index) => self.recent.get(index),
            None => self.odd.get(&number),
        }
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        match number.checked_sub(self.base) {
            Some(index) => self.recent.get_mut(index),
            None => self.odd.get_mut(&number),
        }
    }

    /// Whether it was once there, and was forgotten.
    pub(super) fn is_forgotten(&self, number: usize) -> bool {
        number < self.base && !self.odd.contains_key(&number)
    }

    /// All that are remembered, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let odd = self.odd.iter().map(|(number, thing)| (*number, thing));
        odd.chain((self.base..).zip(&self.recent))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.odd.values_mut().chain(&mut self.recent)
    }

    /// Looks at the oldest of those that are remembered, if there are too many: what is settled is
    /// forgotten and given back, anything else is kept for good.
    pub(super) fn forget(&mut self, is_settled: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.recent.len() <= REMEMBERED {
            return None;
        }
        let oldest = self.recent.pop_front()?;
        let number = self.base;
        self.base += 1;
        if is_settled(&oldest) {
            return Some(oldest);
        }
        self.odd.insert(number, oldest);
        None
    }
}

impl<T> Index<usize> for Ledger<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        self.get(number).expect("only what is settled is forgotten")
    }
}

impl<T> IndexMut<usize> for Ledger<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        self.get_mut(number).expect("only what is settled is forgotten")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is settled goes, what is not stays, and numbers go on meaning the same.
    #[test]
    fn only_what_is_old_and_settled_is_forgotten() {
        let mut ledger = Ledger::new();
        for number in 0..REMEMBERED + 4 {
            ledger.push(number);
        }
        let is_settled = |number: &usize| number.is_multiple_of(2);
        let forgotten: Vec<_> = (0..6).filter_map(|_| ledger.forget(is_settled)).collect();
        assert_eq!(forgotten, [0, 2]);
        assert_eq!((ledger.get(0), ledger.get(1), ledger.get(3)), (None, Some(&1), Some(&3)));
        assert!(ledger.is_forgotten(2) && !ledger.is_forgotten(3) && !ledger.is_forgotten(4));
        assert_eq!((ledger[4], ledger.len()), (4, REMEMBERED + 4));
        assert!(ledger.iter().all(|(number, thing)| number == *thing));
        assert_eq!(ledger.iter().count(), REMEMBERED + 2);
    }
}
