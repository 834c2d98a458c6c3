//! Requests as the store receives them.

use std::fmt;
use std::time::Duration;

use buffer_core::{Condition, ListCursor, Location, Version};

use crate::process::ProcessId;

/// A request as the store received it.
///
/// ```
/// use std::sync::mpsc;
/// use buffer_core::{Condition, Location};
/// use buffer_driver::Store;
/// use buffer_sim::{Kind, Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let (sender, seen) = mpsc::channel();
/// let _rule = store.fault(move |request| {
///     sender.send(request.clone()).expect("it is looked at below");
///     Verdict::Pass
/// });
/// let (batch, manifest) = (Location::new("queue/1.batch"), Location::new("queue/manifest"));
/// runtime.block_on(store.write(&batch, vec!["entries".into()], Condition::Absent))?;
/// runtime.block_on(store.read(&manifest, None))?;
///
/// let [upload, look] = [(); 2].map(|()| seen.try_recv().expect("both were sent"));
/// assert_eq!((upload.number, upload.kind()), (1, Kind::Put));
/// assert!(upload.is_write() && upload.is_of_batch() && !upload.is_swap());
/// assert!(look.is_read() && !look.is_of_batch());
/// assert_eq!(look.to_string(), "#2 p0 read queue/manifest");
/// # Ok::<(), buffer_driver::StoreFailure>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Counts the requests of this store, from one.
    pub number: u64,
    /// Whose task sent it.
    pub process: ProcessId,
    /// What it asks for.
    pub operation: Operation,
    /// Which object it is about: of a listing the prefix, of a deletion the first key.
    pub location: Location,
    /// When it was sent, in virtual time since the world began.
    pub time: Duration,
}

/// What a request asks for.
///
/// ```
/// use buffer_core::{Condition, Location, StoreErrorKind};
/// use buffer_driver::Store;
/// use buffer_sim::{Operation, Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// // It is nearly full: what has more than four bytes is refused.
/// let _rule = store.fault(|request| match request.operation {
///     Operation::Write { bytes, .. } if bytes > 4 => Verdict::Fail(StoreErrorKind::Refused),
///     Operation::Write { .. } | Operation::Read { .. } => Verdict::Pass,
///     Operation::List { .. } | Operation::Delete { .. } => Verdict::Pass,
/// });
/// let write = |key: &str, payload: &'static str| {
///     let write = store.write(&key.into(), vec![payload.into()], Condition::Absent);
///     runtime.block_on(write).map_err(|failure| failure.kind)
/// };
/// assert!(write("queue/1.batch", "tiny").is_ok());
/// assert_eq!(write("queue/2.batch", "large"), Err(StoreErrorKind::Refused));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To write an object.
    Write {
        /// What must hold; `None` writes over whatever is there, as no queue ever does.
        condition: Option<Condition>,
        /// How many bytes there are.
        bytes: usize,
    },
    /// To read an object.
    Read {
        /// The version that need not be sent again.
        unless: Option<Version>,
    },
    /// To list the objects under a prefix.
    List {
        /// Where an earlier page ended.
        after: Option<ListCursor>,
    },
    /// To delete objects.
    Delete {
        /// Their keys.
        keys: Vec<Location>,
    },
}

/// What a request is for.
///
/// ```
/// use buffer_core::{Condition, Location};
/// use buffer_driver::Store;
/// use buffer_sim::{Kind, Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// // Batches can be uploaded, but not listed in the manifest.
/// let _rule = store.fault(|request| match request.kind() {
///     Kind::Swap => Verdict::Throttle,
///     Kind::Put | Kind::ReadManifest | Kind::ReadBatch | Kind::List | Kind::Delete => Verdict::Pass,
/// });
/// let is_written = |key| {
///     let write = store.write(&Location::new(key), vec!["bytes".into()], Condition::Absent);
///     runtime.block_on(write).is_ok()
/// };
/// assert!(is_written("queue/1.batch"));
/// assert!(!is_written("queue/manifest"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Writes a batch.
    Put,
    /// Writes a manifest.
    Swap,
    /// Reads a manifest.
    ReadManifest,
    /// Reads a batch.
    ReadBatch,
    /// Lists objects.
    List,
    /// Deletes objects.
    Delete,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Put, Self::Swap, Self::ReadManifest, Self::ReadBatch, Self::List, Self::Delete];
}

impl Request {
    /// What it is for. Keys of batches end in `.batch`, all others are those of manifests.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (&self.operation, is_batch(&self.location)) {
            (Operation::Write { .. }, true) => Kind::Put,
            (Operation::Write { .. }, false) => Kind::Swap,
            (Operation::Read { .. }, true) => Kind::ReadBatch,
            (Operation::Read { .. }, false) => Kind::ReadManifest,
            (Operation::List { .. }, _) => Kind::List,
            (Operation::Delete { .. }, _) => Kind::Delete,
        }
    }

    /// Whether it writes an object.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        match self.operation {
            Operation::Write { .. } => true,
            Operation::Read { .. } | Operation::List { .. } | Operation::Delete { .. } => false,
        }
    }

    /// Whether it reads an object.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        match self.operation {
            Operation::Read { .. } => true,
            Operation::Write { .. } | Operation::List { .. } | Operation::Delete { .. } => false,
        }
    }

    /// Whether it is about batches, not about a manifest: listings and deletions always are.
    #[must_use]
    pub fn is_of_batch(&self) -> bool {
        match self.kind() {
            Kind::Put | Kind::ReadBatch | Kind::List | Kind::Delete => true,
            Kind::Swap | Kind::ReadManifest => false,
        }
    }

    /// Whether it writes a manifest.
    #[must_use]
    pub fn is_swap(&self) -> bool {
        self.kind() == Kind::Swap
    }
}

impl Request {
    /// What it asks for, in words.
    pub(crate) fn words(&self) -> String {
        Words(self).to_string()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}", self.number, self.process, Words(self))
    }
}

/// What a request asks for.
struct Words<'a>(&'a Request);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { location, operation, .. } = self.0;
        match operation {
            Operation::Write { condition: None, bytes } => write!(f, "write {location} {bytes}"),
            Operation::Write { condition: Some(Condition::Absent), bytes } => {
                write!(f, "write {location} {bytes} if absent")
            }
            Operation::Write { condition: Some(Condition::Version(version)), bytes } => {
                write!(f, "write {location} {bytes} if {}", Short(version))
            }
            Operation::Read { unless: None } => write!(f, "read {location}"),
            Operation::Read { unless: Some(version) } => {
                write!(f, "read {location} unless {}", Short(version))
            }
            Operation::List { after: None } => write!(f, "list {location}"),
            Operation::List { after: Some(after) } => {
                write!(f, "list {location} after {}", after.0)
            }
            Operation::Delete { keys } => write!(f, "delete {location} and {} in all", keys.len()),
        }
    }
}

pub(super) fn is_batch(location: &Location) -> bool {
    location.as_str().ends_with(".batch")
}

/// A version as a trace shows it.
pub(super) struct Short<'a>(pub(super) &'a Version);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.generation, &self.0.e_tag) {
            (Some(generation), _) => write!(f, "g{generation}"),
            (None, Some(e_tag)) => f.write_str(e_tag),
            (None, None) => f.write_str("?"),
        }
    }
}
