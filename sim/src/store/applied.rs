//! What took effect in a store, and who is told of it.

use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use buffer_core::{Location, UnixMillis, Version};
use bytes::Bytes;

use crate::process::ProcessId;

/// Something that took effect.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requester {
    /// The number of the request.
    pub number: u64,
    /// Who sent it.
    pub process: ProcessId,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Written(Written),
    /// It was deleted.
    Deleted,
}

/// A write that took effect.
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
