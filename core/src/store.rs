//! What a store is asked, and what it can say.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::time::UnixMillis;
use crate::types::Location;

/// An object's bytes in pieces, so that large payloads need not be copied together.
///
/// ```
/// use buffer_core::format::{Compression, encode_batch};
/// use buffer_core::{Rope, rope_len};
/// use bytes::Bytes;
///
/// let record = Bytes::from(vec![b'x'; 1 << 20]);
/// let rope: Rope = encode_batch([record.clone()].iter(), Compression::None)?;
/// assert_eq!(rope.len(), 3, "the record's length, the record, and the footer");
/// assert_eq!(rope[1].as_ptr(), record.as_ptr(), "the record itself, not a copy");
/// assert_eq!(rope.concat().len(), rope_len(&rope), "a store that takes one piece gets one");
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
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
///
/// ```
/// use buffer_core::{
///     Command, Condition, Consumer, ConsumerConfig, Machine, Now, Output, ReadOutcome, Resume,
/// };
///
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(Now::default(), Resume::default())?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else {
///     unreachable!("it reads before it writes");
/// };
/// consumer.handle_completion(Now::default(), read.ticket.complete(Ok(ReadOutcome::Missing)));
/// let Output::Command(Command::CasManifest(swap)) = consumer.poll() else {
///     unreachable!("it takes over");
/// };
/// assert_eq!(swap.condition, Condition::Absent, "nobody may have made it meanwhile");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Only if there is no such object.
    Absent,
    /// Only if the object is still at this version.
    Version(Version),
}

/// What is known after a conditional write that was answered.
///
/// ```
/// use buffer_core::{Condition, Version, WriteOutcome};
///
/// // How a store answers that holds one object in memory; the version tells how often it was written.
/// let mut writes = 0;
/// let version = |writes: u64| Version::from_e_tag(writes.to_string());
/// let mut write = |condition| {
///     let is_met = match condition {
///         Condition::Absent => writes == 0,
///         Condition::Version(named) => writes > 0 && named == version(writes),
///     };
///     if !is_met {
///         return WriteOutcome::Conflict;
///     }
///     writes += 1;
///     WriteOutcome::Stored(version(writes))
/// };
///
/// assert_eq!(write(Condition::Absent), WriteOutcome::Stored(version(1)));
/// assert_eq!(write(Condition::Absent), WriteOutcome::Conflict);
/// assert_eq!(write(Condition::Version(version(1))), WriteOutcome::Stored(version(2)));
/// assert_eq!(write(Condition::Version(version(1))), WriteOutcome::Conflict);
/// ```
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
///
/// ```
/// use buffer_core::format::Manifest;
/// use buffer_core::{
///     Command, Condition, Consumer, ConsumerConfig, Machine, Now, Object, Output, ReadOutcome,
///     Resume, UnixMillis, Version,
/// };
///
/// let version = Version::from_e_tag("\"7\"");
/// let bytes = Manifest::absent().to_rope().concat().into();
/// let last_modified = Some(UnixMillis(1_712_345_678_000));
/// let manifest = Object { bytes, version: version.clone(), last_modified };
///
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(Now::default(), Resume::default())?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else {
///     unreachable!("it reads before it writes");
/// };
/// let found = read.ticket.complete(Ok(ReadOutcome::Found(manifest)));
/// consumer.handle_completion(Now::default(), found);
/// let Output::Command(Command::CasManifest(swap)) = consumer.poll() else {
///     unreachable!("it takes over");
/// };
/// // What it writes follows from these contents, and so it must still be this version.
/// assert_eq!(swap.condition, Condition::Version(version));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use buffer_core::{Object, ReadOutcome, Version};
///
/// // How a store answers that may hold an object in memory.
/// let answer = |object: Option<&Object>, unless: Option<&Version>| match object {
///     None => ReadOutcome::Missing,
///     Some(object) if Some(&object.version) == unless => ReadOutcome::NotModified,
///     Some(object) => ReadOutcome::Found(object.clone()),
/// };
///
/// let version = Version::from_e_tag("7");
/// let object = Object { bytes: "contents".into(), version: version.clone(), last_modified: None };
/// assert_eq!(answer(None, None), ReadOutcome::Missing);
/// assert_eq!(answer(Some(&object), Some(&version)), ReadOutcome::NotModified);
/// let found = answer(Some(&object), Some(&Version::from_e_tag("6")));
/// assert!(matches!(found, ReadOutcome::Found(object) if object.bytes == "contents"));
/// ```
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
///
/// ```
/// use buffer_core::{ListedObject, Location, UnixMillis, batch_time};
/// use core::time::Duration;
///
/// let listed = ListedObject {
///     location: Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch"),
///     last_modified: Some(UnixMillis(1_469_922_851_000)),
///     bytes: Some(21),
/// };
/// // The name has the time of the producer's clock.
/// let named = batch_time(&Location::from("ingest"), &listed.location);
/// assert_eq!(
///     listed.last_modified.zip(named).map(|(written, named)| written.saturating_since(named)),
///     Some(Duration::from_millis(741))
/// );
/// ```
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
///
/// ```
/// use buffer_core::ListCursor;
///
/// // A store that lists by key may go on after the last one that it told.
/// let keys = ["ingest/a", "ingest/b", "ingest/c", "ingest/d"];
/// let cursor = ListCursor("ingest/b".into());
/// let rest = keys.iter().skip_while(|key| **key <= &*cursor.0);
/// assert!(rest.eq(&["ingest/c", "ingest/d"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListCursor(pub Arc<str>);

/// A part of a listing.
///
/// Order is the store's own. A listing is no snapshot: what is written or
/// deleted between two pages may be in it or not, and a key may come twice.
///
/// ```
/// use buffer_core::{ListCursor, ListPage, ListedObject};
///
/// // A store of three objects whose pages hold two; its cursors say how many were told before.
/// let keys = ["ingest/a", "ingest/b", "ingest/c"];
/// let list = |after: Option<ListCursor>| {
///     let told = after.map_or(0, |cursor| cursor.0.parse().expect("one of its own"));
///     let listed =
///         |key: &&str| ListedObject { location: (*key).into(), last_modified: None, bytes: None };
///     let objects: Vec<_> = keys.iter().skip(told).take(2).map(listed).collect();
///     let told = told + objects.len();
///     let next = (told < keys.len()).then(|| ListCursor(told.to_string().into()));
///     ListPage { objects, next }
/// };
///
/// let first = list(None);
/// let second = list(first.next.clone());
/// assert_eq!((first.objects.len(), second.objects.len()), (2, 1));
/// assert!(first.next.is_some() && second.next.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<ListedObject>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<ListCursor>,
}

/// What a store was doing when it failed.
///
/// ```
/// use buffer_core::StoreOperation;
///
/// assert_eq!(StoreOperation::PutBatch.name(), "put_batch", "for machines");
/// assert_eq!(StoreOperation::PutBatch.to_string(), "writing batch", "for people");
/// ```
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
/// assert_eq!(StoreErrorKind::TimedOut.name(), "timed_out");
/// assert_eq!(StoreErrorKind::TimedOut.to_string(), "the store did not answer in time");
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
/// let error =
///     StoreError::new(StoreErrorKind::Denied, StoreOperation::SwapManifest, "ingest/manifest".into());
/// let error = error.with_source("403 AccessDenied");
/// assert_eq!(
///     error.to_string(),
///     "swapping manifest ingest/manifest: the store denied access (403 AccessDenied)"
/// );
/// assert!(!error.is_retryable(), "its kind is not");
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
