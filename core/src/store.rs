//! What a store is asked, and what it can say.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::time::UnixMillis;
use crate::types::Location;

/// An object's bytes in pieces, so that large payloads need not be copied together.
pub type Rope = Vec<Bytes>;

/// The length of all pieces together, in bytes.
///
/// ```
/// assert_eq!(buffer_core::rope_len(&["one".into(), "three".into()]), 8);
/// ```
#[must_use]
pub fn rope_len(rope: &[Bytes]) -> usize {
    rope.iter().map(Bytes::len).sum()
}

/// What a store calls one state of an object: opaque, compared whole, kept whole.
///
/// S3 and Azure speak of ETags, GCS of generations; some report both.
///
/// ```
/// use buffer_core::Version;
///
/// assert_ne!(Version::from_e_tag("\"a\""), Version::from_e_tag("a"), "compared whole, quotes too");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The entity tag, with its quotes if the store sent them.
    pub e_tag: Option<Arc<str>>,
    /// The generation or version id.
    pub generation: Option<Arc<str>>,
}

impl Version {
    /// A version known by its entity tag alone.
    pub fn from_e_tag(e_tag: impl Into<Arc<str>>) -> Self {
        Self { e_tag: Some(e_tag.into()), generation: None }
    }
}

/// When a write may take effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Only if there is no such object.
    Absent,
    /// Only if the object is still at this version.
    Version(Version),
}

/// What is known after a conditional write that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It took effect, and this is the version that it made.
    Stored(Version),
    /// The condition did not hold when the store looked.
    ///
    /// Not proof that somebody else wrote: a client library that re-sends a
    /// request meets its own success here.
    Conflict,
}

/// An object as one read saw it: contents, version and time from one and the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The contents.
    pub bytes: Bytes,
    /// The version of these contents.
    pub version: Version,
    /// When they were written, by the store's own clock; `None` where the store does not say.
    pub last_modified: Option<UnixMillis>,
}

/// What is known after a read that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The object.
    Found(Object),
    /// The object is still at the version that the reader named.
    NotModified,
    /// There is no such object.
    Missing,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub location: Location,
    /// When it was written, by the store's own clock; `None` where the store does not say.
    pub last_modified: Option<UnixMillis>,
    /// Its length; `None` where the listing does not say.
    pub bytes: Option<u64>,
}

/// Where a listing goes on: made by a store, meaningful to it alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListCursor(pub Arc<str>);

/// A part of a listing.
///
/// Order is the store's own. A listing is no snapshot: what is written or
/// deleted between two pages may be in it or not, and a key may come twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<ListedObject>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<ListCursor>,
}

/// What a store was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreOperation {
    /// Writing a new batch.
    PutBatch,
    /// Reading the manifest.
    ReadManifest,
    /// Swapping the manifest.
    SwapManifest,
    /// Reading a batch.
    ReadBatch,
    /// Listing batches.
    ListBatches,
    /// Deleting a batch.
    DeleteBatch,
    /// Opening the store.
    Open,
}

impl StoreOperation {
    /// What it is called in metrics, such as `put_batch`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PutBatch => "put_batch",
            Self::ReadManifest => "read_manifest",
            Self::SwapManifest => "swap_manifest",
            Self::ReadBatch => "read_batch",
            Self::ListBatches => "list_batches",
            Self::DeleteBatch => "delete_batch",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for StoreOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PutBatch => "writing batch",
            Self::ReadManifest => "reading manifest",
            Self::SwapManifest => "swapping manifest",
            Self::ReadBatch => "reading batch",
            Self::ListBatches => "listing batches under",
            Self::DeleteBatch => "deleting batch",
            Self::Open => "opening",
        })
    }
}

/// What a failure means for whoever asked. The kind alone decides what is done about it.
///
/// ```
/// use buffer_core::StoreErrorKind;
///
/// assert!(StoreErrorKind::Throttled.is_retryable());
/// assert!(!StoreErrorKind::Denied.is_retryable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It may work later: connection lost, 5xx, interrupted. A write may have happened.
    Transient,
    /// It may work later, and the store asked for fewer requests (429, 503 "slow down").
    Throttled,
    /// There was no answer in time. A write may have happened, or may happen yet.
    TimedOut,
    /// Credentials or permissions; waiting will not help.
    Denied,
    /// The store cannot do this at all, such as a write on a condition.
    Unsupported,
    /// The bucket, the container or the root directory is not there.
    NoSuchStore,
    /// The key is not one that this store can hold.
    InvalidLocation,
    /// The store is full or read-only.
    Refused,
}

impl StoreErrorKind {
    /// What it is called in metrics, such as `timed_out`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::TimedOut => "timed_out",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::NoSuchStore => "no_such_store",
            Self::InvalidLocation => "invalid_location",
            Self::Refused => "refused",
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Throttled | Self::TimedOut)
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "the store failed for now",
            Self::Throttled => "the store asked for fewer requests",
            Self::TimedOut => "the store did not answer in time",
            Self::Denied => "the store denied access",
            Self::Unsupported => "the store cannot do this",
            Self::NoSuchStore => "the bucket or directory does not exist",
            Self::InvalidLocation => "the store cannot hold this key",
            Self::Refused => "the store takes no more writes",
        })
    }
}

/// A request that was not answered with a result.
///
/// On a write it never means "it did not happen".
///
/// ```
/// use buffer_core::{StoreError, StoreErrorKind, StoreOperation};
///
/// let error = StoreError::new(StoreErrorKind::Denied, StoreOperation::SwapManifest, "ingest/manifest".into());
/// let error = error.with_source("403 AccessDenied");
/// assert_eq!(error.to_string(), "swapping manifest ingest/manifest: the store denied access (403 AccessDenied)");
/// ```
#[derive(Clone, Debug)]
pub struct StoreError {
    /// What it means.
    pub kind: StoreErrorKind,
    /// What was being done.
    pub operation: StoreOperation,
    /// Which object it was about.
    pub location: Location,
    /// What the store's client said.
    pub source: Option<Arc<dyn core::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error without a cause from below.
    #[must_use]
    pub const fn new(kind: StoreErrorKind, operation: StoreOperation, location: Location) -> Self {
        Self { kind, operation, location, source: None }
    }

    /// "Not modified" to a read that named no version: a store that answers so is not to be believed.
    pub(crate) fn unasked(manifest: &Location) -> Self {
        Self::new(StoreErrorKind::Unsupported, StoreOperation::ReadManifest, manifest.clone())
    }

    /// Adds what the store's client said.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.location, self.kind)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
