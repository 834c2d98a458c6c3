//! What is on its way between the machines and the store.

use std::fmt;
use std::hash::{Hash, Hasher};

use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreError, StoreOperation,
    Ticket, Version, WriteOutcome,
};
use xxhash_rust::xxh3::Xxh3;

use super::objects::Objects;

/// What a request does to the store.
#[derive(Debug)]
pub(super) enum Effect {
    Put { location: Location, payload: Rope },
    Swap { condition: Condition, payload: Rope },
    ReadManifest { unless: Option<Version> },
    ReadBatch { location: Location },
    List { after: Option<ListCursor> },
    Delete { locations: Vec<Location> },
}

#[derive(Debug)]
pub(super) enum Slip {
    Write(Ticket<Result<WriteOutcome, StoreError>>, StoreOperation, Location),
    Read(Ticket<Result<ReadOutcome, StoreError>>, StoreOperation, Location),
    List(Ticket<Result<ListPage, StoreError>>),
    Delete(Ticket<Vec<Result<(), StoreError>>>, usize),
}

#[derive(Debug)]
pub(super) enum Answer {
    Write(WriteOutcome),
    Read(ReadOutcome),
    List(ListPage),
    Deleted,
}

/// A request that has not come to its end.
pub(super) struct Request {
    pub(super) actor: usize,
    /// What it will do, until that is done.
    pub(super) effect: Option<Effect>,
    /// Where its answer goes; nowhere when nobody waits for it any more.
    pub(super) slip: Option<Slip>,
    pub(super) answer: Option<Answer>,
    /// What it is, by no name and no time.
    pub(super) digest: u64,
}

impl Request {
    pub(super) fn writes(&self) -> bool {
        matches!(
            self.effect,
            Some(Effect::Put { .. } | Effect::Swap { .. } | Effect::Delete { .. })
        )
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (&self.effect, &self.slip) {
            (Some(Effect::Put { .. }), _)
            | (None, Some(Slip::Write(_, StoreOperation::PutBatch, _))) => "upload",
            (Some(Effect::Swap { .. }), _) | (None, Some(Slip::Write(..))) => "swap",
            (Some(Effect::ReadBatch { .. }), _)
            | (None, Some(Slip::Read(_, StoreOperation::ReadBatch, _))) => "fetch",
            (Some(Effect::ReadManifest { .. }), _) | (None, Some(Slip::Read(..))) => "reading",
            (Some(Effect::List { .. }), _) | (None, Some(Slip::List(_))) => "listing",
            (Some(Effect::Delete { .. }), _) | (None, Some(Slip::Delete(..))) => "deletion",
            (None, None) => "request",
        };
        write!(f, "the {what} of actor {}", self.actor)
    }
}

pub(super) fn digest_of_effect(effect: &Effect, objects: &Objects) -> u64 {
    let mut hasher = Xxh3::new();
    std::mem::discriminant(effect).hash(&mut hasher);
    match effect {
        Effect::Put { payload, .. } => payload.concat().hash(&mut hasher),
        Effect::Swap { condition, payload } => {
            objects.digest_of_swap(condition, payload).hash(&mut hasher);
        }
        Effect::ReadManifest { unless } => {
            objects.digest_of_version(unless.as_ref()).hash(&mut hasher);
        }
        Effect::ReadBatch { location } => objects.content(location).hash(&mut hasher),
        Effect::List { .. } => {}
        Effect::Delete { locations } => {
            for location in locations {
                objects.content(location).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

pub(super) fn digest_of_answer(request: u64, answer: &Answer, objects: &Objects) -> u64 {
    let mut hasher = Xxh3::new();
    (request, std::mem::discriminant(answer)).hash(&mut hasher);
    match answer {
        Answer::Write(WriteOutcome::Stored(_)) => 1.hash(&mut hasher),
        Answer::Write(WriteOutcome::Conflict) => 2.hash(&mut hasher),
        Answer::Read(ReadOutcome::Found(object)) => {
            objects.digest_of_version(Some(&object.version)).hash(&mut hasher);
        }
        Answer::Read(ReadOutcome::NotModified) => 3.hash(&mut hasher),
        Answer::Read(ReadOutcome::Missing) => 4.hash(&mut hasher),
        Answer::List(page) => {
            for object in &page.objects {
                objects.content(&object.location).hash(&mut hasher);
            }
        }
        Answer::Deleted => {}
    }
    hasher.finish()
}
