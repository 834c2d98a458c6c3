//! What can be wrong.

use std::fmt;

use bytes::Bytes;

use super::summary::Count;

macro_rules! violations {
    ($($(#[$docs:meta])* $name:ident $(#[$error:meta])* {
        $($(#[$field_docs:meta])* $field:ident: $type:ty,)*
    },)*) => {
        /// How a database is not what its queue says that it must be.
        ///
        /// ```
        /// use buffer_sim::kit::{AppliedEntry, Oracle, Violation};
        /// use buffer_sim::scenarios::queue::{Queue, manifest, one_by_one, produce};
        ///
        /// let queue = Queue::new(1);
        /// let oracle = Oracle::watch(&queue.store, &manifest());
        /// let producer = queue.producer(&one_by_one());
        /// let watcher = queue.runtime.block_on(produce(&producer, "one")).watcher;
        /// queue.runtime.block_on(watcher.await_durable())?;
        ///
        /// let lost = oracle.check(&[]).expect_err("the database is empty");
        /// assert_eq!(lost, Violation::Lost { sequence: 0, entry: "one".into() });
        /// assert_eq!(
        ///     lost.to_string(),
        ///     "sequence 0: entry \"one\" was lost: it left the queue and is not in the database"
        /// );
        ///
        /// let row = AppliedEntry { sequence: 0, entry: "two".into() };
        /// let foreign = oracle.check(&[row]).expect_err("it was never sent");
        /// assert_eq!(foreign, Violation::Foreign { sequence: 0, entry: "two".into() });
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum Violation {
            $($(#[$docs])* $(#[$error])* $name {
                $($(#[$field_docs])* $field: $type,)*
            },)*
        }

        /// A [`Violation`] without its particulars: a smaller world must have the same.
        ///
        /// ```
        /// use buffer_sim::kit::{AppliedEntry, Oracle, ViolationKind};
        /// use buffer_sim::scenarios::queue::{Queue, manifest};
        ///
        /// let oracle = Oracle::watch(&Queue::new(1).store, &manifest());
        /// let foreign = |sequence| {
        ///     let row = AppliedEntry { sequence, entry: "one".into() };
        ///     oracle.check(&[row]).expect_err("nothing was sent")
        /// };
        /// // Not the same, but alike.
        /// assert_ne!(foreign(0), foreign(1));
        /// assert_eq!(foreign(0).kind(), foreign(1).kind());
        /// assert_eq!(foreign(0).kind(), ViolationKind::Foreign);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ViolationKind {
            $($(#[$docs])* $name,)*
        }

        impl Violation {
            /// Which kind it is.
            ///
            /// ```
            /// use buffer_sim::kit::{Violation, ViolationKind};
            ///
            /// let violation = Violation::Repeated { sequence: 0, entry: "one".into(), times: 2 };
            /// assert_eq!(violation.kind(), ViolationKind::Repeated);
            /// ```
            #[must_use]
            pub const fn kind(&self) -> ViolationKind {
                match self {
                    $(Self::$name { .. } => ViolationKind::$name,)*
                }
            }
        }
    };
}

violations! {
    /// An entry is in effect more than once.
    Repeated #[error("sequence {sequence}: entry {} was applied {times} times", Text(.entry))] {
        /// The sequence of its batch.
        sequence: u64,
        /// The entry.
        entry: Bytes,
        /// How often it is in effect.
        times: usize,
    },
    /// An entry that was listed is not in effect, although nothing is left to be consumed.
    Lost #[error("sequence {sequence}: entry {} was lost: it left the queue and is not in the database", Text(.entry))] {
        /// The sequence of its batch.
        sequence: u64,
        /// The entry.
        entry: Bytes,
    },
    /// Entries took effect in another order than that of the queue.
    OutOfOrder #[error("sequence {sequence}: entry {} was applied out of order, behind one of sequence {after}", Text(.entry))] {
        /// The sequence of its batch.
        sequence: u64,
        /// The entry.
        entry: Bytes,
        /// The sequence that was applied before it.
        after: u64,
    },
    /// The database has what the queue never had at this place.
    Foreign #[error("sequence {sequence}: entry {} is in the database, and no batch of this sequence has it", Text(.entry))] {
        /// The sequence that the database gives it.
        sequence: u64,
        /// The entry.
        entry: Bytes,
    },
    /// A producer was told that an entry is durable, and it was never listed.
    NotListed #[error("entry {} was said to be durable, and was never in the queue", Text(.entry))] {
        /// The entry.
        entry: Bytes,
    },
    /// Something was still in the queue when all time was up.
    Stuck #[error("the queue is not empty after {}: {} left, from sequence {sequence} on{}",
        Count(*.minutes, "minute", "minutes"), Count(*.batches, "batch is", "batches are"), last(.error))] {
        /// The first sequence that is left.
        sequence: u64,
        /// How many batches are left.
        batches: u64,
        /// How many minutes of virtual time it had.
        minutes: u64,
        /// What your consumer said last when it ended by itself.
        error: Option<String>,
    },
    /// The database could not be read at the end.
    Unreadable #[error("the database cannot be read: {error}")] {
        /// What it said.
        error: String,
    },
    /// Something of yours goes on and on and never waits, so that no time passes.
    Endless #[error("your code never waits: {who} took {steps} steps in no time")] {
        /// The process.
        who: String,
        /// How many steps it took at one moment.
        steps: u64,
    },
    /// Something panicked, or the world has no end.
    Panicked #[error("{what}")] {
        /// What it said, and where.
        what: String,
    },
    /// The same seed and the same plan came to something else the second time.
    NotDeterministic #[error("the same seed went two ways: something does not take its time, its chance or its order from the kit. First difference:\n  first  {first}\n  second {second}")] {
        /// What happened the first time.
        first: String,
        /// What happened instead the second time.
        second: String,
    },
}

impl Violation {
    /// The sequence that it is about, if it is about one.
    ///
    /// ```
    /// use buffer_sim::kit::Violation;
    ///
    /// let lost = Violation::Lost { sequence: 3, entry: "one".into() };
    /// assert_eq!(lost.sequence(), Some(3));
    /// let unreadable = Violation::Unreadable { error: "the disk is upside down".to_owned() };
    /// assert_eq!(unreadable.sequence(), None);
    /// ```
    #[must_use]
    pub const fn sequence(&self) -> Option<u64> {
        match self {
            Self::Repeated { sequence, .. }
            | Self::Lost { sequence, .. }
            | Self::OutOfOrder { sequence, .. }
            | Self::Foreign { sequence, .. }
            | Self::Stuck { sequence, .. } => Some(*sequence),
            Self::NotListed { .. }
            | Self::Unreadable { .. }
            | Self::Endless { .. }
            | Self::Panicked { .. }
            | Self::NotDeterministic { .. } => None,
        }
    }
}

fn last(error: &Option<String>) -> String {
    error
        .as_ref()
        .map_or_else(String::new, |error| format!("; your consumer's last error: {error}"))
}

/// An entry as people read it, and not all of it if it is long.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 40;
        let shown = &self.0[..self.0.len().min(LONGEST)];
        let more = if self.0.len() > LONGEST { "..." } else { "" };
        write!(f, "\"{}{more}\"", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_batch_is_left_and_two_are() {
        for (batches, words) in [(1, "1 batch is left"), (2, "2 batches are left")] {
            let stuck = Violation::Stuck { sequence: 3, batches, minutes: 1, error: None };
            let expected =
                format!("the queue is not empty after 1 minute: {words}, from sequence 3 on");
            assert_eq!(stuck.to_string(), expected);
        }
    }
}
