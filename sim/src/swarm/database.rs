//! The database behind the queue: it stores a batch and its sequence in one step.

use buffer_driver::ConsumedBatch;

/// One consumer from one `initialize` to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) u64);

pub(crate) struct Row {
    pub(crate) term: Term,
    pub(crate) batch: ConsumedBatch,
}

#[derive(Default)]
pub(crate) struct Database {
    epoch: u64,
    pub(crate) rows: Vec<Row>,
    terms: u64,
}

impl Database {
    /// The sequence that a consumer resumes after.
    pub(crate) fn last(&self) -> Option<u64> {
        self.rows.last().map(|row| row.batch.sequence)
    }

    pub(crate) fn begin_term(&mut self) -> Term {
        self.terms += 1;
        Term(self.terms)
    }

    /// Fences everyone of a lower epoch; says no to who is fenced.
    pub(crate) fn fence(&mut self, epoch: u64) -> bool {
        let higher = epoch >= self.epoch;
        self.epoch = self.epoch.max(epoch);
        higher
    }

    /// Stores a batch and its sequence; says no to who is fenced.
    pub(crate) fn store(&mut self, epoch: u64, term: Term, batch: &ConsumedBatch) -> bool {
        if epoch != self.epoch {
            return false;
        }
        self.rows.push(Row { term, batch: batch.clone() });
        true
    }
}
