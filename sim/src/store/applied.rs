//! What took effect in a store, and who is told of it.

use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use buffer_core::{Location, UnixMillis, Version};
use bytes::Bytes;

use crate::process::ProcessId;

/// Something that took effect.
///
/// ```
/// use std::time::Duration;
/// use buffer_core::Location;
/// use buffer_sim::{Profile, SimRuntime, SimStore};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let batch = Location::new("queue/1.batch");
/// store.put_raw(&batch, "entries");
/// runtime.advance(Duration::from_secs(1));
/// store.remove(&batch);
///
/// let log = store.log();
/// assert_eq!((log[0].time, log[0].bytes()), (Duration::ZERO, "entries".into()));
/// assert_eq!((log[1].time, log[1].written()), (Duration::from_secs(1), None));
/// assert!(log.iter().all(|applied| applied.request.is_none()), "all of it without a request");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// When, in virtual time since the world began.
    pub time: Duration,
    /// Whose doing it was; `None` for what the test did itself.
    pub request: Option<Requester>,
    /// Which object.
    pub location: Location,
    /// What became of it.
    pub change: Change,
}

/// The request that made something happen.
///
/// ```
/// use buffer_core::{Condition, Location};
/// use buffer_driver::Store;
/// use buffer_sim::{Profile, SimRuntime, SimStore};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let (inside, writer) = (store.clone(), runtime.process("writer"));
/// let write = writer.start(async move {
///     let manifest = Location::new("queue/manifest");
///     inside.write(&manifest, vec!["one".into()], Condition::Absent).await
/// });
/// runtime.block_on(write);
/// let requester = store.log()[0].request.expect("a request did it");
/// assert_eq!((requester.number, requester.process), (1, writer.id()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requester {
    /// The number of the request.
    pub number: u64,
    /// Who sent it.
    pub process: ProcessId,
}

/// What became of an object.
///
/// ```
/// use buffer_core::Location;
/// use buffer_sim::{Change, Profile, SimRuntime, SimStore};
///
/// let store = SimStore::new(&SimRuntime::new(1), Profile::S3);
/// let batch = Location::new("queue/1.batch");
/// store.put_raw(&batch, "entries");
/// store.remove(&batch);
/// let told = store.log().into_iter().map(|applied| match applied.change {
///     Change::Written(written) => format!("{} bytes", written.bytes.len()),
///     Change::Deleted => "gone".to_owned(),
/// });
/// assert_eq!(told.collect::<Vec<_>>(), ["7 bytes", "gone"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Written(Written),
    /// It was deleted.
    Deleted,
}

/// A write that took effect.
///
/// ```
/// use buffer_core::Location;
/// use buffer_sim::{Profile, SimRuntime, SimStore};
///
/// // A store that counts the writes of an object, whatever is in them.
/// let store = SimStore::new(&SimRuntime::new(1), Profile::GCS);
/// let location = Location::new("database/table");
/// for _ in 0..2 {
///     store.put_raw(&location, "the same");
/// }
/// let log = store.log();
/// let [first, second] = [0, 1].map(|index| log[index].written().expect("it was a write"));
/// assert_eq!(first.content_hash, second.content_hash);
/// assert_ne!(first.version, second.version);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The version that it made.
    pub version: Version,
    /// The contents.
    pub bytes: Bytes,
    /// A hash of the contents: equal for equal bytes, whatever the versions are.
    pub content_hash: u128,
    /// When, as the store tells it.
    pub last_modified: Option<UnixMillis>,
}

impl Applied {
    /// What was written, if it was a write.
    #[must_use]
    pub const fn written(&self) -> Option<&Written> {
        match &self.change {
            Change::Written(written) => Some(written),
            Change::Deleted => None,
        }
    }

    /// The contents; empty if it was deleted.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.written().map_or_else(Bytes::new, |written| written.bytes.clone())
    }
}

type Observer = Box<dyn FnMut(&Applied) + Send>;

/// Those who are told of everything that takes effect.
#[derive(Default)]
pub(super) struct Observers(Mutex<Vec<Observer>>);

impl Observers {
    pub(super) fn add(&self, observer: Observer) {
        self.0.lock().expect("no observer has panicked").push(observer);
    }

    pub(super) fn tell(&self, applied: &Applied) {
        let mut observers = match self.0.try_lock() {
            Ok(observers) => observers,
            Err(TryLockError::WouldBlock) => panic!("an observer of a store changes nothing in it"),
            // One that panicked has ended the run.
            Err(TryLockError::Poisoned(_)) => return,
        };
        for observer in observers.iter_mut() {
            observer(applied);
        }
    }
}
