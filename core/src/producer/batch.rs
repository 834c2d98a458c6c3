//! A batch on its way from the first submission to settlement.

use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;

use super::error::Submission;
use crate::backoff::Backoff;
use crate::error::Fault;
use crate::format::Metadata;
use crate::store::Rope;
use crate::time::{Instant, Now, UnixMillis};
use crate::types::{BatchId, Location};

/// What holding one entry takes besides its bytes.
const ENTRY_OVERHEAD: usize = size_of::<Bytes>();
/// What holding one submission takes besides its entries and metadata.
const SUBMISSION_OVERHEAD: usize = size_of::<Vec<Bytes>>() + size_of::<Metadata>();
/// What holding one batch takes besides what is in it: its places in the machine, and its host's note of who waits.
pub(crate) const BATCH_OVERHEAD: usize = size_of::<Batch>() + 112;
/// The length prefix of a record; see FORMAT, "Data batch".
const RECORD_HEADER: usize = 4;
/// What one metadata item takes in the manifest besides its payload; see FORMAT, "Queue manifest".
const METADATA_HEADER: usize = 16;

/// The batch that takes submissions.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) id: BatchId,
    pub(crate) opened: Instant,
    pub(crate) submissions: Vec<Vec<Bytes>>,
    pub(crate) metadata: Vec<Metadata>,
    pub(crate) records: u32,
    /// Bytes of the entries alone.
    pub(crate) entry_bytes: usize,
    /// Bytes of entries and metadata, as `flush_size_bytes` counts them.
    pub(crate) payload_bytes: usize,
    /// Those of the largest submission: so much may be held twice for a moment while the batch is encoded.
    pub(crate) largest: usize,
    /// Bytes that the metadata will take in the manifest.
    pub(crate) metadata_bytes: usize,
    /// Bytes held, as `max_buffered_bytes` counts them.
    pub(crate) cost: usize,
}

/// What a submission adds to a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) entry_bytes: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) cost: usize,
}

impl Size {
    pub(crate) fn of(submission: &Submission) -> Self {
        let entries: usize = submission.entries.iter().map(Bytes::len).sum();
        let count = submission.entries.len();
        let payload_bytes = entries + count * RECORD_HEADER + submission.metadata.len();
        let cost =
            entries + count * ENTRY_OVERHEAD + submission.metadata.len() + SUBMISSION_OVERHEAD;
        Self { entry_bytes: entries, payload_bytes, cost }
    }
}

impl OpenBatch {
    pub(crate) const fn new(id: BatchId, opened: Instant) -> Self {
        Self {
            id,
            opened,
            submissions: Vec::new(),
            metadata: Vec::new(),
            records: 0,
            entry_bytes: 0,
            payload_bytes: 0,
            largest: 0,
            metadata_bytes: 0,
            cost: 0,
        }
    }

    /// Whether the submission fits the numbers that format version 1 has for one batch.
    pub(crate) fn has_room_for(&self, submission: &Submission) -> bool {
        let records = u32::try_from(submission.entries.len()).ok();
        let metadata = self.metadata_bytes + submission.metadata.len() + METADATA_HEADER;
        records.and_then(|records| self.records.checked_add(records)).is_some()
            && metadata <= MAX_METADATA_BYTES
    }

    pub(crate) fn push(&mut self, submission: Submission, size: Size, wall: UnixMillis) {
        let start_index = self.records;
        let records = u32::try_from(submission.entries.len()).expect("`has_room_for` said yes");
        self.records += records;
        self.entry_bytes += size.entry_bytes;
        self.payload_bytes += size.payload_bytes;
        self.largest = self.largest.max(size.payload_bytes);
        self.cost += size.cost;
        let continues = self.metadata.last().is_some_and(|last| {
            let is_same_time =
                last.ingestion_time_ms == wall.0 || crate::planted!(IngestionTimesMerged);
            is_same_time && last.payload == submission.metadata
        });
        if !continues {
            self.metadata_bytes += submission.metadata.len() + METADATA_HEADER;
            let payload = submission.metadata;
            self.metadata.push(Metadata { start_index, ingestion_time_ms: wall.0, payload });
        }
        self.submissions.push(submission.entries);
    }
}

/// A manifest entry's length is a `u32`; leave room for its other fields. See FORMAT, "Queue manifest".
pub(crate) const MAX_METADATA_BYTES: usize = (u32::MAX as usize) - (1 << 20);

/// Where a sealed batch is on its way.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Waits for a place in flight.
    Sealed(Vec<Vec<Bytes>>),
    /// Its bytes are being made.
    Encoding,
    /// Its bytes wait to be uploaded, after a failure not before `after`.
    Encoded {
        /// When to try again.
        after: Option<Instant>,
    },
    /// An upload is under way.
    Uploading,
    /// It is in the store and can be listed.
    Uploaded,
}

/// Whether the batch may be in the queue already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It is certainly not: no swap that listed it was sent, or each was proven not to have happened.
    None,
    /// A swap that lists it is out or without a reply.
    Attempted,
    /// A swap that listed it can never be told from one that failed. Its name must not change any more.
    Forever,
}

/// A batch that takes no more submissions.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    /// When its first submission came.
    pub(crate) opened: Instant,
    /// When it is given up.
    pub(crate) deadline: Instant,
    pub(crate) stage: Stage,
    pub(crate) doubt: Doubt,
    pub(crate) metadata: Vec<Metadata>,
    pub(crate) records: u32,
    pub(crate) entry_bytes: usize,
    pub(crate) payload_bytes: usize,
    /// Those of its largest submission.
    pub(crate) largest: usize,
    /// Its bytes, once they are made: until it is uploaded, and then as long as nobody else needs the room,
    /// because it may have to be uploaded under another name.
    pub(crate) payload: Rope,
    /// How many those are.
    pub(crate) object_bytes: usize,
    /// Its name in the store, and when the upload under that name began.
    pub(crate) upload: Option<(Location, Now)>,
    /// Bytes held for it, the copy that encoding makes included as far as it is charged.
    pub(crate) cost: usize,
    /// What encoding it is charged for its copy while that lasts.
    pub(crate) copy_charge: usize,
    pub(crate) metadata_bytes: usize,
    pub(crate) backoff: Backoff,
    pub(crate) last_fault: Option<Fault>,
}

impl Batch {
    /// Whether it is past sealing.
    pub(crate) const fn is_in_flight(&self) -> bool {
        !matches!(self.stage, Stage::Sealed(_))
    }

    /// Lets its bytes go, which the store has; gives back how many.
    pub(crate) fn release(&mut self) -> usize {
        self.payload = Rope::new();
        let left = self.cost.min(BATCH_OVERHEAD + self.metadata_bytes);
        mem::replace(&mut self.cost, left) - left
    }

    /// Whether its bytes made room for others.
    pub(crate) const fn is_released(&self) -> bool {
        self.payload.is_empty()
    }

    /// Notes where it was when it was given up for its age.
    pub(crate) fn note_lateness(&self) {
        let is_doubted = self.doubt != Doubt::None;
        match self.stage {
            Stage::Sealed(_) => crate::sometimes!(DeadlinePassedSealed),
            Stage::Encoding => crate::sometimes!(DeadlinePassedEncoding),
            Stage::Encoded { .. } => crate::sometimes!(DeadlinePassedEncoded),
            Stage::Uploading => crate::sometimes!(DeadlinePassedUploading),
            Stage::Uploaded => crate::sometimes!(DeadlinePassedUploaded, !is_doubted),
        }
        crate::sometimes!(DeadlinePassedInDoubt, is_doubted);
    }

    /// Its name, once an upload began.
    pub(crate) fn location(&self) -> &Location {
        let (location, _) = self.upload.as_ref().expect("an upload began");
        location
    }
}
