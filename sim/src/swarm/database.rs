//! The database behind the queue: it stores a batch and its sequence in one step.

/// What it knows of the queue. What it holds, the oracles remember.
#[derive(Default)]
pub(crate) struct Database {
    epoch: u64,
    last: Option<u64>,
}

impl Database {
    /// The sequence that a consumer resumes after.
    pub(crate) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Fences everyone of a lower epoch; says no to who is fenced.
    pub(crate) fn fence(&mut self, epoch: u64) -> bool {
        let higher = epoch >= self.epoch;
        self.epoch = self.epoch.max(epoch);
        higher
    }

    /// Stores a batch's sequence with it; says no to who is fenced.
    pub(crate) fn store(&mut self, epoch: u64, sequence: u64) -> bool {
        if epoch != self.epoch {
            return false;
        }
        self.last = Some(sequence);
        true
    }

    /// Its owner lets go of the epochs of a queue that is no more.
    pub(crate) const fn forget_epoch(&mut self) {
        self.epoch = 0;
    }

    /// An operator has changed the queue under it: it starts over with what is there.
    pub(crate) fn start_over(&mut self) {
        *self = Self::default();
    }
}
