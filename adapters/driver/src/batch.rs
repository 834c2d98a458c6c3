//! Batches as users see them.

use buffer_core as core;
use buffer_core::format::Metadata;
use buffer_core::{Location, Sequence};
use bytes::Bytes;

/// A batch, as a consumer hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumedBatch {
    /// The entries, in the order in which they were submitted.
    pub entries: Vec<Bytes>,
    /// The batch's place in the queue; acknowledge it, and store it with the entries.
    pub sequence: u64,
    /// The batch's key in the store.
    pub location: String,
    /// What the submissions in it attached, and which entries each item covers.
    pub metadata: Vec<Metadata>,
}

/// A batch that is there to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchDescriptor {
    /// The batch's place in the queue.
    pub sequence: u64,
    /// The batch's key in the store.
    pub location: String,
    /// What the submissions in it attached.
    pub metadata: Vec<Metadata>,
}

impl BatchDescriptor {
    pub(crate) fn with_entries(self, entries: Vec<Bytes>) -> ConsumedBatch {
        let Self { sequence, location, metadata } = self;
        ConsumedBatch { entries, sequence, location, metadata }
    }
}

impl From<core::BatchDescriptor> for BatchDescriptor {
    fn from(core: core::BatchDescriptor) -> Self {
        let core::BatchDescriptor { sequence, location, metadata } = core;
        Self { sequence: sequence.0, location: location.to_string(), metadata }
    }
}

impl From<core::ConsumedBatch> for ConsumedBatch {
    fn from(core: core::ConsumedBatch) -> Self {
        BatchDescriptor::from(core.descriptor).with_entries(core.entries)
    }
}

/// Where a consumer takes up a queue.
///
/// ```
/// use buffer_driver::Resume;
///
/// // The database has stored everything up to sequence 41.
/// let resume = Resume::after(Some(41));
/// assert!(!resume.accept_gap);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// The last sequence that was consumed; `None` starts at the first batch that is listed.
    pub last: Option<u64>,
    /// Go on although batches after `last` were dequeued: they are lost to this caller.
    pub accept_gap: bool,
    /// Go on although the queue never got to `last`: it is another queue, and all of it is new.
    pub accept_reset: bool,
}

impl Resume {
    /// Goes on after `last`, and refuses a queue that does not fit it.
    #[must_use]
    pub fn after(last: Option<u64>) -> Self {
        Self { last, ..Self::default() }
    }

    pub(crate) fn to_core(self) -> core::Resume {
        let Self { last, accept_gap, accept_reset } = self;
        core::Resume { last: last.map(Sequence), accept_gap, accept_reset }
    }
}

/// What [`Consumer::initialize`](crate::Consumer::initialize) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakeOver {
    /// This consumer's epoch, higher than that of any before it.
    pub epoch: u64,
    /// The epoch that was found and is fenced now; zero if nobody had ever consumed the queue.
    pub previous: u64,
}

pub(crate) fn location_of(descriptor: &BatchDescriptor) -> Location {
    Location::new(descriptor.location.as_str())
}
