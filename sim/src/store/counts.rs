//! What a store was asked, and what it did.

use buffer_core::ReadOutcome;

use super::request::{Kind, Operation, Request};

/// How many requests of which kind there were. Keys that end in `.batch` are batches, all others manifests.
///
/// ```
/// use buffer_core::{Condition, Location};
/// use buffer_driver::Store;
/// use buffer_sim::{Profile, SimRuntime, SimStore};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let location = Location::new("queue/manifest");
/// let _missing = runtime.block_on(store.read(&location, None));
/// assert_eq!(store.counts().manifest_reads_missing, 1);
/// for key in ["queue/1.batch", "queue/2.batch", "queue/manifest"] {
///     let write = store.write(&key.into(), vec!["contents".into()], Condition::Absent);
///     runtime.block_on(write)?;
/// }
/// let counts = store.counts();
/// assert_eq!(counts.requests(), 4);
/// assert_eq!(counts.swaps_per_batch(), 0.5, "one for the two of them");
/// # Ok::<(), buffer_driver::StoreFailure>(())
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
    /// Pages of listings that were asked for.
    pub lists: u64,
    /// Deletions that were sent.
    pub deletes: u64,
    /// Objects that were deleted, whether or not anybody learnt of it.
    pub objects_deleted: u64,
    /// Bytes of all writes that were sent.
    pub bytes_written: u64,
    /// Bytes of all reads that were answered.
    pub bytes_read: u64,
    /// The most batch writes that callers waited for at one time.
    pub most_batch_writes_in_flight: u64,
}

impl Counts {
    /// Manifest writes that were sent for each batch write that was.
    #[must_use]
    pub fn swaps_per_batch(&self) -> f64 {
        self.swaps as f64 / self.batch_writes as f64
    }

    /// How many requests were sent in all.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.batch_writes
            + self.batch_reads
            + self.swaps
            + self.manifest_reads
            + self.lists
            + self.deletes
    }

    pub(super) fn sent(&mut self, request: &Request, kind: Kind) {
        *match kind {
            Kind::Put => &mut self.batch_writes,
            Kind::Swap => &mut self.swaps,
            Kind::ReadManifest => &mut self.manifest_reads,
            Kind::ReadBatch => &mut self.batch_reads,
            Kind::List => &mut self.lists,
            Kind::Delete => &mut self.deletes,
        } += 1;
        if let Operation::Write { bytes, .. } = request.operation {
            self.bytes_written += bytes as u64;
        }
    }

    pub(super) fn read_answered(&mut self, kind: Kind, outcome: &ReadOutcome) {
        let of_manifest = u64::from(kind == Kind::ReadManifest);
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
