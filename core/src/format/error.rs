//! What can be wrong with bytes, and with what should become bytes.

use crate::types::{Epoch, Location, Sequence};

/// Bytes that are not what they should be: which object, where in it, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object} is corrupt at byte {offset}: {reason}")]
pub struct FormatError {
    /// The object's key.
    pub object: Location,
    /// Where in the object, in bytes from its start; within the decompressed
    /// records where [`FormatReason`] says so.
    pub offset: u64,
    /// What was found and what would be right.
    pub reason: FormatReason,
}

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatReason {
    /// Not even a footer fits.
    #[error("{found} bytes are too few for a footer of {needed}")]
    TooShort {
        /// The object's length.
        found: u64,
        /// The footer's length.
        needed: u64,
    },
}

/// Something that format version 1 cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Compressed batches were asked for in a build that cannot write them.
    #[error("this build cannot compress: enable the feature `zstd`")]
    NoZstd,
}

/// How two readings of one manifest contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// `next_sequence` is lower than it was.
    #[error("its next sequence went back from {before} to {now}")]
    SequenceWentBack {
        /// What it was.
        before: Sequence,
        /// What it is.
        now: Sequence,
    },
    /// The first sequence is lower than it was: dequeued entries are back.
    #[error("its first sequence went back from {before} to {now}")]
    FirstWentBack {
        /// What it was.
        before: Sequence,
        /// What it is.
        now: Sequence,
    },
    /// The epoch is lower than it was.
    #[error("its epoch went back from {before} to {now}")]
    EpochWentBack {
        /// What it was.
        before: Epoch,
        /// What it is.
        now: Epoch,
    },
    /// A sequence that both list names different batches.
    #[error("sequence {sequence} named another batch before")]
    EntryChanged {
        /// The first such sequence.
        sequence: Sequence,
    },
}
