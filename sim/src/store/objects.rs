//! What the store holds, and held.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::{Condition, Location, Object, ReadOutcome, UnixMillis, Version};
use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use super::profile::{ListingOrder, Profile, Versions};
use crate::decisions::Random;

/// One key: what it is now, and what it was.
#[derive(Default)]
struct Key {
    /// When it became what, oldest first, `None` where there was no object; the last is now.
    states: VecDeque<(Duration, Option<Object>)>,
}

/// Hashes keys alike in every run.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The objects of a store, changed one at a time.
pub(super) struct Objects {
    profile: Profile,
    /// Only ever looked up: its order is no part of a run.
    keys: HashMap<Location, Key, BuildHasherDefault<KeyHasher>>,
    /// The keys in order.
    order: BTreeSet<Location>,
    /// The keys by a hash, for a store that lists them in no order; see [`Objects::ranked`].
    ranks: BTreeSet<(u64, Location)>,
    /// Counts the writes of the store, so that no generation comes twice.
    generations: u64,
    /// Keys that were removed, oldest first: some are remembered for those who see what is past.
    removed: VecDeque<Location>,
}

impl Objects {
    /// How many states of one key are remembered, the present one included.
    const REMEMBERED: usize = 32;
    /// How many removed keys are remembered.
    const REMEMBERED_KEYS: usize = 256;

    pub(super) fn new(profile: Profile) -> Self {
        let (keys, order, ranks) = (HashMap::default(), BTreeSet::new(), BTreeSet::new());
        Self { profile, keys, order, ranks, generations: 0, removed: VecDeque::new() }
    }

    pub(super) fn get(&self, location: &Location) -> Option<&Object> {
        self.keys.get(location)?.now()
    }

    /// Whether there is or was an object of this key.
    pub(super) fn knows(&self, location: &Location) -> bool {
        self.keys.contains_key(location)
    }

    /// The object as it was this many changes ago, or as long ago as is remembered.
    pub(super) fn past(&self, location: &Location, changes: usize) -> Option<&Object> {
        let states = &self.keys.get(location)?.states;
        let index = states.len().saturating_sub(changes + 1);
        states.get(index)?.1.as_ref()
    }

    pub(super) fn locations(&self) -> impl Iterator<Item = &Location> {
        self.order.iter().filter(|location| self.get(location).is_some())
    }

    /// The objects under a prefix after a key, by key, as they were at a time; without one, as they are.
    pub(super) fn under<'a>(
        &'a self,
        prefix: &Location,
        after: Option<&Location>,
        at: Option<Duration>,
    ) -> impl Iterator<Item = (&'a Location, &'a Object)> + use<'a> {
        let prefix = below(prefix);
        let first = Location::new(prefix.as_str());
        let start = match after {
            Some(after) if *after >= first => Bound::Excluded(after.clone()),
            Some(_) | None => Bound::Included(first),
        };
        self.order
            .range((start, Bound::Unbounded))
            .take_while(move |location| location.as_str().starts_with(&prefix))
            .filter_map(move |location| self.seen(location, at))
    }

    /// The objects under a prefix after a key, in an order that follows from `salt` and from no
    /// name, as they were at a time; without one, as they are.
    ///
    /// The keys lie in 256 blocks by the first byte of their hash; the salt says in which order
    /// the blocks come, so that a page costs what is on it and not a look at every key.
    pub(super) fn ranked<'a>(
        &'a self,
        prefix: &Location,
        salt: u8,
        after: Option<&Location>,
        at: Option<Duration>,
    ) -> impl Iterator<Item = (&'a Location, &'a Object)> + use<'a> {
        let prefix = below(prefix);
        let after = after.map(|after| (rank(after), after.clone()));
        let first = after.as_ref().map_or(0, |(rank, _)| (rank >> 56) as u8 ^ salt);
        (first..=u8::MAX)
            .flat_map(move |turn| {
                let block = u64::from(turn ^ salt) << 56;
                let start = match &after {
                    Some(after) if turn == first => Bound::Excluded(after.clone()),
                    Some(_) | None => Bound::Included((block, Location::new(""))),
                };
                // Past the last block there is none that it could end before.
                let end = match block.checked_add(1 << 56) {
                    Some(next) => Bound::Excluded((next, Location::new(""))),
                    None => Bound::Unbounded,
                };
                self.ranks.range((start, end)).map(|(_, location)| location)
            })
            .filter(move |location| location.as_str().starts_with(&prefix))
            .filter_map(move |location| self.seen(location, at))
    }

    fn seen<'a>(
        &'a self,
        location: &'a Location,
        at: Option<Duration>,
    ) -> Option<(&'a Location, &'a Object)> {
        let key = self.keys.get(location)?;
        let object = match at {
            None => key.now(),
            Some(at) => key.at(at),
        };
        object.map(|object| (location, object))
    }

    /// An object that is not this one and ends alike, from the seed's choice.
    pub(super) fn other(&self, location: &Location, choice: usize) -> Option<&Object> {
        let (prefix, _) = location.as_str().rsplit_once('/')?;
        let alike = |(other, object): (&Location, _)| (other != location).then_some(object);
        let others = || self.under(&Location::new(prefix), None, None).filter_map(alike);
        let count = others().take(64).count();
        if count == 0 { None } else { others().nth(choice % count) }
    }

    /// One of the objects under a prefix that were deleted not long ago, as it was last.
    pub(super) fn removed_under(
        &self,
        prefix: &Location,
        random: &mut Random,
    ) -> Option<(&Location, &Object)> {
        let is_under = |key: &&Location| {
            let rest = key.as_str().strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.starts_with('/')) && self.get(key).is_none()
        };
        let removed: Vec<&Location> = self.removed.iter().filter(is_under).collect();
        let location = *random.choice(&removed)?;
        Some((location, self.past(location, 1)?))
    }

    /// Whether a write on this condition may be; without one it always may.
    pub(super) fn meets(&self, location: &Location, condition: Option<&Condition>) -> bool {
        let Some(condition) = condition.filter(|_| self.profile.honours_conditions) else {
            return true;
        };
        let current = self.get(location);
        match condition {
            Condition::Absent => current.is_none(),
            Condition::Version(version) => current.is_some_and(|now| names(version, &now.version)),
        }
    }

    /// Whether one more write to this key now is more than the store takes.
    pub(super) fn is_too_hot(&self, location: &Location, time: Duration) -> bool {
        self.profile.one_write_a_second
            && self.keys.get(location).and_then(|key| key.states.back()).is_some_and(
                |(changed, object)| object.is_some() && time < *changed + Duration::from_secs(1),
            )
    }

    pub(super) fn put(
        &mut self,
        location: &Location,
        bytes: Bytes,
        content_hash: u128,
        time: Duration,
        now: UnixMillis,
    ) -> &Object {
        self.generations += 1;
        let version = version(self.profile.versions, self.generations, content_hash);
        let object = Object { bytes, version, last_modified: self.profile.modified(now) };
        if !self.keys.contains_key(location) {
            self.keys.insert(location.clone(), Key::default());
            match self.profile.listing {
                ListingOrder::Sorted => {}
                ListingOrder::Arbitrary => {
                    self.ranks.insert((rank(location), location.clone()));
                }
            }
            self.order.insert(location.clone());
        }
        let key = self.keys.get_mut(location).expect("it was just added");
        key.become_now(time, Some(object));
        key.now().expect("it was just written")
    }

    /// Says whether there was something to remove.
    pub(super) fn remove(&mut self, location: &Location, time: Duration) -> bool {
        let Some(key) = self.keys.get_mut(location) else { return false };
        if key.now().is_none() {
            return false;
        }
        key.become_now(time, None);
        self.removed.push_back(location.clone());
        if self.removed.len() > Self::REMEMBERED_KEYS
            && let Some(forgotten) = self.removed.pop_front()
            && self.get(&forgotten).is_none()
        {
            self.keys.remove(&forgotten);
            self.order.remove(&forgotten);
            self.ranks.remove(&(rank(&forgotten), forgotten));
        }
        true
    }
}

impl Key {
    fn now(&self) -> Option<&Object> {
        self.states.back()?.1.as_ref()
    }

    fn at(&self, time: Duration) -> Option<&Object> {
        let (_, state) = self.states.iter().rev().find(|(changed, _)| *changed <= time)?;
        state.as_ref()
    }

    fn become_now(&mut self, time: Duration, state: Option<Object>) {
        if self.states.is_empty() {
            // Most keys are written once and deleted once.
            self.states.reserve_exact(3);
            self.states.push_back((Duration::ZERO, None));
        }
        self.states.push_back((time, state));
        if self.states.len() > Objects::REMEMBERED {
            self.states.pop_front();
        }
    }
}

/// Whether what a caller gives as a version is this one: a client may know only the ETag, or only the generation.
fn names(given: &Version, version: &Version) -> bool {
    let fits = |given: &Option<Arc<str>>, own: &Option<Arc<str>>| given.is_none() || given == own;
    let is_given = given.e_tag.is_some() || given.generation.is_some();
    is_given && fits(&given.e_tag, &version.e_tag) && fits(&given.generation, &version.generation)
}

/// What the keys below a prefix begin with; all keys lie below the empty one.
fn below(prefix: &Location) -> String {
    if prefix.as_str().is_empty() { String::new() } else { format!("{prefix}/") }
}

fn rank(location: &Location) -> u64 {
    xxh3_64_with_seed(location.as_str().as_bytes(), 0)
}

/// A number of 32 digits in quotes: every write makes one, and formatting takes its time.
fn quoted_hex(number: u128) -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'"'; 34];
    for (index, byte) in number.to_be_bytes().into_iter().enumerate() {
        text[index * 2 + 1] = DIGITS[usize::from(byte >> 4)];
        text[index * 2 + 2] = DIGITS[usize::from(byte & 15)];
    }
    std::str::from_utf8(&text).expect("digits are ASCII").into()
}

fn version(versions: Versions, generation: u64, content_hash: u128) -> Version {
    let tag = |text: std::fmt::Arguments<'_>| {
        let mut tag = String::with_capacity(40);
        tag.write_fmt(text).expect("a string takes everything");
        Some(tag.into())
    };
    match versions {
        Versions::ContentHash => {
            Version { e_tag: Some(quoted_hex(content_hash)), generation: None }
        }
        Versions::UniqueTag => {
            Version { e_tag: tag(format_args!("\"0x{generation:x}\"")), generation: None }
        }
        Versions::Generation => {
            Version { e_tag: None, generation: tag(format_args!("{generation}")) }
        }
        Versions::Both => Version {
            e_tag: tag(format_args!("\"{generation:x}\"")),
            generation: tag(format_args!("{generation}")),
        },
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
    xxh3_128(bytes)
}
