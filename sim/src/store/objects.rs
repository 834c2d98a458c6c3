//! What the store holds, and held.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher as _;

use buffer_core::{Condition, Location, Object, ReadOutcome, UnixMillis, Version};
use bytes::Bytes;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// How a store makes versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// ETags that are hashes of the contents: equal bytes are equal versions.
    S3,
    /// Generations: each write of an object makes one that it never had.
    Gcs,
}

/// One key: what it is now, and what it was.
#[derive(Default)]
struct Key {
    /// Oldest first, `None` where there was no object; the last is now.
    states: VecDeque<Option<Object>>,
    /// Goes on after a removal, so that no generation comes twice.
    generations: u64,
}

/// The objects of a store, changed one at a time.
pub(super) struct Objects {
    profile: Profile,
    keys: BTreeMap<Location, Key>,
}

impl Objects {
    /// How many states of one key are remembered, the present one included.
    const REMEMBERED: usize = 64;

    pub(super) const fn new(profile: Profile) -> Self {
        Self { profile, keys: BTreeMap::new() }
    }

    pub(super) fn get(&self, location: &Location) -> Option<&Object> {
        self.past(location, 0)
    }

    /// The object as it was this many changes ago, or as long ago as is remembered.
    pub(super) fn past(&self, location: &Location, changes: usize) -> Option<&Object> {
        let states = &self.keys.get(location)?.states;
        let index = states.len().saturating_sub(changes + 1);
        states.get(index)?.as_ref()
    }

    pub(super) fn locations(&self) -> impl Iterator<Item = &Location> {
        self.keys.keys().filter(|location| self.get(location).is_some())
    }

    pub(super) fn meets(&self, location: &Location, condition: &Condition) -> bool {
        let current = self.get(location);
        match condition {
            Condition::Absent => current.is_none(),
            Condition::Version(version) => current.is_some_and(|now| now.version == *version),
        }
    }

    pub(super) fn put(&mut self, location: &Location, bytes: Bytes, now: UnixMillis) -> Version {
        let key = self.keys.entry(location.clone()).or_default();
        key.generations += 1;
        let version = match self.profile {
            Profile::S3 => Version::from_e_tag(format!("\"{:032x}\"", content_hash(&bytes))),
            Profile::Gcs => {
                Version { e_tag: None, generation: Some(key.generations.to_string().into()) }
            }
        };
        let object = Object { bytes, version: version.clone(), last_modified: Some(now) };
        key.become_now(Some(object));
        version
    }

    /// Says whether there was something to remove.
    pub(super) fn remove(&mut self, location: &Location) -> bool {
        let exists = self.get(location).is_some();
        if let (true, Some(key)) = (exists, self.keys.get_mut(location)) {
            key.become_now(None);
        }
        exists
    }
}

impl Key {
    fn become_now(&mut self, state: Option<Object>) {
        if self.states.is_empty() {
            self.states.push_back(None);
        }
        self.states.push_back(state);
        if self.states.len() > Objects::REMEMBERED {
            self.states.pop_front();
        }
    }
}

pub(super) fn read(object: Option<&Object>, unless: Option<&Version>) -> ReadOutcome {
    match object {
        None => ReadOutcome::Missing,
        Some(object) if unless == Some(&object.version) => ReadOutcome::NotModified,
        Some(object) => ReadOutcome::Found(object.clone()),
    }
}

pub(super) fn content_hash(bytes: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish128().as_u128()
}
