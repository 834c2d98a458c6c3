//! The objects, and what is done with them: each operation at one moment.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::super::draw::fingerprint;
use super::Conditions;
use super::listing::{Listing, Page};
use super::upload::{Part, Upload, Uploads};

/// A key in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) key: String,
}

/// What must be so for a write or a deletion to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    /// There is no object.
    Absent,
    /// The object has this entity tag, as it was written.
    Tag(String),
    Generation(u64),
}

/// What must be so for a read to give the contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadCondition {
    /// As in `If-Match`.
    pub(super) tag: Option<String>,
    /// As in `If-None-Match`.
    pub(super) other_tag: Option<String>,
    pub(super) generation: Option<u64>,
    pub(super) other_generation: Option<u64>,
}

/// What a read is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Contents,
    /// The headers of that.
    Head,
    /// What is told of the object, as JSON.
    Description,
}

/// A part of an object, as in `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    From(usize),
    FromTo(usize, usize),
    Last(usize),
}

impl Span {
    /// Reads a single range; others are as none, which a server may do.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Some(Self::FromTo(first, last)),
            (Ok(first), Err(_)) if last.is_empty() => Some(Self::From(first)),
            (Err(_), Ok(last)) if first.is_empty() => Some(Self::Last(last)),
            _ => None,
        }
    }

    /// Which of so many bytes; `None` if it is none of them.
    pub(super) fn within(self, length: usize) -> Option<Range<usize>> {
        let range = match self {
            Self::From(first) => first..length,
            Self::FromTo(first, last) => first..length.min(last.saturating_add(1)),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// What is asked of the objects.
#[derive(Debug)]
pub(super) enum Operation {
    Write {
        place: Place,
        condition: Condition,
        body: Bytes,
    },
    Read {
        place: Place,
        view: View,
        condition: ReadCondition,
        span: Option<Span>,
    },
    Delete {
        place: Place,
        condition: Condition,
    },
    DeleteMany {
        bucket: String,
        keys: Vec<String>,
        quiet: bool,
    },
    List {
        bucket: String,
        listing: Listing,
    },
    /// Whether a bucket is there, or shall be: it always is.
    Bucket,
    /// Begins a write that comes in parts, at the address that begins like this.
    Begin {
        place: Place,
        condition: Condition,
        address: String,
    },
    Continue {
        id: u64,
        part: Part,
    },
    Cancel {
        id: u64,
    },
}

impl Operation {
    /// What it is counted as.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Write { condition: Condition::Always, .. } => "put",
            Self::Write { condition: Condition::Absent, .. } => "create",
            Self::Write { condition: Condition::Tag(_) | Condition::Generation(_), .. } => "swap",
            Self::Read { .. } => "get",
            Self::Delete { .. } => "delete",
            Self::DeleteMany { .. } => "delete-many",
            Self::List { .. } => "list",
            Self::Bucket => "bucket",
            Self::Begin { .. } => "begin-upload",
            Self::Continue { .. } => "upload",
            Self::Cancel { .. } => "cancel-upload",
        }
    }

    pub(super) fn is_conditional_write(&self) -> bool {
        match self {
            Self::Write { condition, .. } => *condition != Condition::Always,
            Self::Continue { part, .. } => part.is_last(),
            Self::Read { .. }
            | Self::Delete { .. }
            | Self::DeleteMany { .. }
            | Self::List { .. }
            | Self::Bucket
            | Self::Begin { .. }
            | Self::Cancel { .. } => false,
        }
    }

    /// By what a write is known again; `None` for everything else.
    ///
    /// An upload in parts is known by its own number: it is written once at the most.
    pub(super) fn fingerprint(&self) -> Option<[u8; 32]> {
        match self {
            Self::Write { place, condition, body } => {
                let condition = format!("{condition:?}");
                let parts = [place.bucket.as_bytes(), place.key.as_bytes(), condition.as_bytes()];
                Some(fingerprint(parts.into_iter().chain([&body[..]])))
            }
            Self::Continue { id, part } if part.is_last() => {
                Some(fingerprint([&b"upload"[..], &id.to_be_bytes()]))
            }
            Self::Continue { .. }
            | Self::Read { .. }
            | Self::Delete { .. }
            | Self::DeleteMany { .. }
            | Self::List { .. }
            | Self::Bucket
            | Self::Begin { .. }
            | Self::Cancel { .. } => None,
        }
    }
}

/// What came of an operation.
#[derive(Debug)]
pub(super) enum Outcome {
    Stored {
        place: Place,
        object: Object,
    },
    Found {
        place: Place,
        object: Object,
        view: View,
        span: Option<Span>,
    },
    NotModified(Object),
    Missing,
    ConditionFailed,
    /// The object was written a moment ago.
    TooHot,
    Deleted,
    DeletedMany {
        keys: Vec<String>,
        quiet: bool,
    },
    Listed(Page),
    Bucket,
    /// Where the parts are to be sent.
    Begun {
        session: String,
    },
    GoesOn {
        received: u64,
    },
    /// A part does not begin where the last one ended.
    Gap {
        received: u64,
    },
    NoUpload,
    Cancelled,
}

/// An object at one moment.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) body: Bytes,
    /// A hash of the contents, without quotes.
    pub(super) tag: String,
    pub(super) generation: u64,
    pub(super) written: SystemTime,
    at: Instant,
}

impl Object {
    pub(super) fn quoted_tag(&self) -> String {
        format!("\"{}\"", self.tag)
    }

    /// Whether a list of entity tags, as in `If-None-Match`, has its own.
    fn is_among(&self, tags: &str) -> bool {
        let own = self.quoted_tag();
        tags.split(',').map(str::trim).any(|tag| tag == "*" || tag == own)
    }
}

/// All objects of a server. Every bucket is there.
#[derive(Debug)]
pub(super) struct Objects {
    conditions: Conditions,
    write_interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    generations: u64,
    uploads: Uploads,
}

impl Objects {
    pub(super) fn new(conditions: Conditions, write_interval: Duration) -> Self {
        Self { conditions, write_interval, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does it.
    pub(super) fn apply(&self, operation: Operation) -> Outcome {
        match operation {
            Operation::Write { place, condition, body } => self.write(place, &condition, body),
            Operation::Read { place, view, condition, span } => {
                self.read(place, view, &condition, span)
            }
            Operation::Delete { place, condition } => self.delete(&place, &condition),
            Operation::DeleteMany { bucket, keys, quiet } => {
                let mut state = self.state();
                let objects = state.buckets.entry(bucket).or_default();
                for key in &keys {
                    objects.remove(key);
                }
                Outcome::DeletedMany { keys, quiet }
            }
            Operation::List { bucket, listing } => Outcome::Listed(self.list(bucket, listing)),
            Operation::Bucket => Outcome::Bucket,
            Operation::Begin { place, condition, address } => {
                let id = self.state().uploads.begin(Upload::new(place, condition));
                Outcome::Begun { session: format!("{address}{id}") }
            }
            Operation::Continue { id, part } => self.take_part(id, part),
            Operation::Cancel { id } => {
                let ended = self.state().uploads.end(id);
                ended.map_or(Outcome::NoUpload, |_| Outcome::Cancelled)
            }
        }
    }

    fn write(&self, place: Place, condition: &Condition, body: Bytes) -> Outcome {
        // Outside of the lock: it takes a while for a large object.
        let tag = tag(&body);
        let mut state = self.state();
        let present = state.object(&place);
        let now = Instant::now();
        let is_hot = present
            .is_some_and(|present| now.saturating_duration_since(present.at) < self.write_interval);
        if is_hot {
            return Outcome::TooHot;
        }
        if let Some(outcome) = self.refusal(present, condition) {
            return outcome;
        }
        state.generations += 1;
        let generation = state.generations;
        let object = Object { body, tag, generation, written: SystemTime::now(), at: now };
        let objects = state.buckets.entry(place.bucket.clone()).or_default();
        objects.insert(place.key.clone(), object.clone());
        Outcome::Stored { place, object }
    }

    fn delete(&self, place: &Place, condition: &Condition) -> Outcome {
        let mut state = self.state();
        if let Some(outcome) = self.refusal(state.object(place), condition) {
            return outcome;
        }
        if let Some(objects) = state.buckets.get_mut(&place.bucket) {
            objects.remove(&place.key);
        }
        Outcome::Deleted
    }

    /// What comes instead of a write or a deletion, if its condition does not hold of what is there.
    fn refusal(&self, present: Option<&Object>, condition: &Condition) -> Option<Outcome> {
        if self.conditions == Conditions::Ignored {
            return None;
        }
        let holds = match (condition, present) {
            (Condition::Always, _) => true,
            (Condition::Absent, present) => present.is_none(),
            // So S3 answers it, not by 412.
            (Condition::Tag(_), None) => return Some(Outcome::Missing),
            (Condition::Generation(_), None) => false,
            (Condition::Generation(generation), Some(object)) => object.generation == *generation,
            (Condition::Tag(tag), Some(object)) => match self.conditions {
                Conditions::Kept | Conditions::Ignored => *tag == object.quoted_tag(),
                Conditions::Unquoted => *tag == object.tag,
            },
        };
        (!holds).then_some(Outcome::ConditionFailed)
    }

    fn read(
        &self,
        place: Place,
        view: View,
        condition: &ReadCondition,
        span: Option<Span>,
    ) -> Outcome {
        let state = self.state();
        let Some(object) = state.object(&place) else { return Outcome::Missing };
        let ReadCondition { tag, other_tag, generation, other_generation } = condition;
        let is_this = tag.as_ref().is_none_or(|tags| object.is_among(tags))
            && generation.is_none_or(|generation| generation == object.generation);
        if !is_this {
            return Outcome::ConditionFailed;
        }
        let is_known = other_tag.as_ref().is_some_and(|tags| object.is_among(tags))
            || *other_generation == Some(object.generation);
        if is_known {
            return Outcome::NotModified(object.clone());
        }
        Outcome::Found { object: object.clone(), place, view, span }
    }

    fn list(&self, bucket: String, listing: Listing) -> Page {
        let state = self.state();
        let Some(objects) = state.buckets.get(&bucket) else {
            return Page::empty(bucket, listing);
        };
        let prefix = listing.prefix.as_str();
        let start = match (&listing.after, &listing.from) {
            (Some(after), _) if after.as_str() >= prefix => Excluded(after.as_str()),
            (None, Some(from)) if from.as_str() >= prefix => Included(from.as_str()),
            _ => Included(prefix),
        };
        let found = objects.range::<str, _>((start, Unbounded));
        let found = found.take_while(|(key, _)| key.starts_with(prefix));
        let page = Page::of(found, &listing);
        Page { bucket, listing, ..page }
    }

    fn take_part(&self, id: u64, part: Part) -> Outcome {
        let mut state = self.state();
        let Some(upload) = state.uploads.find(id) else { return Outcome::NoUpload };
        if let Some(outcome) = upload.take(part) {
            return outcome;
        }
        let upload = state.uploads.end(id).expect("it was just found");
        drop(state);
        let Upload { place, condition, body } = upload;
        self.write(place, &condition, body.into())
    }
}

impl State {
    fn object(&self, place: &Place) -> Option<&Object> {
        self.buckets.get(&place.bucket)?.get(&place.key)
    }
}

/// Equal contents have equal tags, as with S3.
fn tag(body: &Bytes) -> String {
    let hash = fingerprint([&body[..]]);
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &str) -> Place {
        Place { bucket: "b".into(), key: key.into() }
    }

    fn write(objects: &Objects, key: &str, condition: Condition, body: &'static str) -> Outcome {
        objects.apply(Operation::Write { place: place(key), condition, body: body.into() })
    }

    fn stored(outcome: Outcome) -> Object {
        let Outcome::Stored { object, .. } = outcome else {
            panic!("it is not stored: {outcome:?}")
        };
        object
    }

    #[test]
    fn a_write_happens_if_its_condition_holds() {
        let objects = Objects::new(Conditions::Kept, Duration::ZERO);
        let first = stored(write(&objects, "k", Condition::Absent, "1"));
        assert!(matches!(write(&objects, "k", Condition::Absent, "2"), Outcome::ConditionFailed));
        let unquoted = Condition::Tag(first.tag.clone());
        assert!(matches!(write(&objects, "k", unquoted, "2"), Outcome::ConditionFailed));
        let second = stored(write(&objects, "k", Condition::Tag(first.quoted_tag()), "2"));
        let stale = Condition::Generation(first.generation);
        assert!(matches!(write(&objects, "k", stale, "3"), Outcome::ConditionFailed));
        let third = stored(write(&objects, "k", Condition::Generation(second.generation), "1"));
        assert_eq!(third.tag, first.tag, "it is a hash of the contents");
        assert!(third.generation > second.generation);
        let none = Condition::Tag("\"x\"".into());
        assert!(matches!(write(&objects, "other", none, "1"), Outcome::Missing));
        let none = Condition::Generation(1);
        assert!(matches!(write(&objects, "other", none, "1"), Outcome::ConditionFailed));
    }

    #[test]
    fn a_key_takes_one_write_in_the_interval() {
        let objects = Objects::new(Conditions::Kept, Duration::from_secs(3600));
        stored(write(&objects, "k", Condition::Absent, "1"));
        assert!(matches!(write(&objects, "k", Condition::Always, "2"), Outcome::TooHot));
        stored(write(&objects, "other", Condition::Absent, "1"));
    }

    #[test]
    fn a_span_is_a_part_of_the_bytes_or_none() {
        let within = |text: &str| Span::parse(text).map(|span| span.within(10));
        assert_eq!(within("bytes=2-4"), Some(Some(2..5)));
        assert_eq!(within("bytes=2-"), Some(Some(2..10)));
        assert_eq!(within("bytes=8-99"), Some(Some(8..10)));
        assert_eq!(within("bytes=-3"), Some(Some(7..10)));
        assert_eq!(within("bytes=-99"), Some(Some(0..10)));
        assert_eq!(within("bytes=10-"), Some(None));
        assert_eq!(within(&format!("bytes=0-{}", usize::MAX)), Some(Some(0..10)));
        for other in ["bytes=4-2", "bytes=0-1,3-4", "bytes=-", "lines=1-2", "bytes=x-1"] {
            assert_eq!(within(other), None, "{other}");
        }
    }
}
