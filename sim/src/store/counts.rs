//! What a store was asked, and what it did.

use std::time::Duration;

use buffer_core::{Location, ReadOutcome, Version};
use bytes::Bytes;

use super::fault::is_batch;

/// How many requests of which kind there were. Keys that end in `.batch` are batches, all others manifests.
///
/// ```
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{Profile, SimRuntime, SimStore};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let location = Location::new("queue/manifest");
/// let _missing = runtime.block_on(store.read(&location, None));
/// assert_eq!(store.counts().manifest_reads_missing, 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batch writes that were sent.
    pub batch_writes: u64,
    /// Batch reads that were sent.
    pub batch_reads: u64,
    /// Manifest writes that were sent.
    pub swaps: u64,
    /// Manifest writes that took effect, whether or not anybody learnt of it.
    pub swaps_stored: u64,
    /// Manifest writes that were answered with a conflict, whether or not there was one.
    pub swaps_conflicted: u64,
    /// Manifest reads that were sent.
    pub manifest_reads: u64,
    /// Manifest reads that were answered with the whole manifest.
    pub manifest_reads_found: u64,
    /// Manifest reads that were answered with "not modified".
    pub manifest_reads_not_modified: u64,
    /// Manifest reads that were answered with "no such object".
    pub manifest_reads_missing: u64,
    /// Bytes of all writes that were sent.
    pub bytes_written: u64,
    /// Bytes of all reads that were answered.
    pub bytes_read: u64,
    /// The most batch writes that callers waited for at one time.
    pub most_batch_writes_in_flight: u64,
}

impl Counts {
    /// How many requests were sent in all.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.batch_writes + self.batch_reads + self.swaps + self.manifest_reads
    }

    pub(super) fn write_sent(&mut self, location: &Location, bytes: usize) {
        self.bytes_written += bytes as u64;
        if is_batch(location) {
            self.batch_writes += 1;
        } else {
            self.swaps += 1;
        }
    }

    pub(super) fn read_sent(&mut self, location: &Location) {
        if is_batch(location) {
            self.batch_reads += 1;
        } else {
            self.manifest_reads += 1;
        }
    }

    pub(super) fn write_stored(&mut self, location: &Location) {
        self.swaps_stored += u64::from(!is_batch(location));
    }

    pub(super) fn write_conflicted(&mut self, location: &Location) {
        self.swaps_conflicted += u64::from(!is_batch(location));
    }

    pub(super) fn read_answered(&mut self, location: &Location, outcome: &ReadOutcome) {
        let of_manifest = u64::from(!is_batch(location));
        match outcome {
            ReadOutcome::Found(object) => {
                self.bytes_read += object.bytes.len() as u64;
                self.manifest_reads_found += of_manifest;
            }
            ReadOutcome::NotModified => self.manifest_reads_not_modified += of_manifest,
            ReadOutcome::Missing => self.manifest_reads_missing += of_manifest,
        }
    }
}

/// A write that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// When, in virtual time since the world began.
    pub time: Duration,
    /// The number of its request; `None` for what the test wrote itself.
    pub request: Option<u64>,
    /// Which object.
    pub location: Location,
    /// The version that it made.
    pub version: Version,
    /// A hash of the contents: equal for equal bytes, whatever the versions are.
    pub content_hash: u128,
    /// The contents.
    pub bytes: Bytes,
}
