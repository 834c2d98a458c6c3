//! What callers submitted and were told, what the database has, and whether that fits what is listed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use buffer_core::format::Manifest;
use buffer_core::{ConsumedBatch, DeliveryError, Epoch, Location, Sequence};
use xxhash_rust::xxh3::Xxh3;

use super::objects::{Content, Objects};

/// An invariant that does not hold, by its number, and how.
pub(super) type Broken = (&'static str, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    Durable,
    NotDelivered,
    Unknown,
}

/// What one consumer after another stored, each batch with its sequence.
#[derive(Default)]
struct Database {
    /// Who initialized last writes; others are refused.
    epoch: u64,
    last: Option<Sequence>,
    /// What was stored, under which name, by which epoch.
    stored: Vec<(Content, Location, u64)>,
}

#[derive(Default)]
pub(super) struct Application {
    told: BTreeMap<Content, Told>,
    database: Database,
    /// Everything that was ever listed, and where.
    listed: BTreeMap<Sequence, (Content, Location)>,
    /// What was listed twice under one name: format version 1 allows that, see case 4 of the producer.
    again: BTreeSet<Location>,
    /// Which consumer raised the epoch to what it is.
    owner: Option<usize>,
}

/// Who swapped the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Producer,
    Consumer(usize),
}

impl Application {
    pub(super) fn last(&self) -> Option<Sequence> {
        self.database.last
    }

    /// A consumer took over.
    pub(super) fn fence(&mut self, epoch: Epoch) {
        self.database.epoch = self.database.epoch.max(epoch.0);
    }

    /// Whether the database took the batch of the consumer of this epoch.
    pub(super) fn store(
        &mut self,
        epoch: Epoch,
        batch: &ConsumedBatch,
        content: Content,
    ) -> Result<bool, Broken> {
        if epoch.0 < self.database.epoch {
            return Ok(false);
        }
        let (sequence, location) = (batch.descriptor.sequence, &batch.descriptor.location);
        if self.database.last.is_some_and(|last| sequence <= last) {
            return Err(("I5", format!("{sequence} is handed out after {:?}", self.database.last)));
        }
        let entries: Vec<u8> =
            batch.entries.iter().flat_map(|entry| entry.first().copied()).collect();
        if entries != [content] {
            return Err(("I3", format!("{location} holds {entries:?}, not {content}")));
        }
        let earlier = self.database.stored.iter().find(|(stored, _, _)| *stored == content);
        if let Some((_, name, by)) = earlier {
            // A repeat is dropped by whoever remembers the first: another consumer does not.
            let is_known_gap = self.again.contains(location) && name == location && *by != epoch.0;
            if !is_known_gap {
                return Err(("I5", format!("{content} is handed out as {location} after {name}")));
            }
        }
        let after = self.database.last.map_or(Sequence(0), |last| Sequence(last.0 + 1));
        let passed = self.listed.range(after..sequence).map(|(_, (content, _))| *content);
        let stored: BTreeSet<Content> = self.database.stored.iter().map(|it| it.0).collect();
        let mut lost = passed.filter(|content| !stored.contains(content));
        if let Some(lost) = lost.next() {
            return Err(("I2", format!("{lost} is passed over for {content}")));
        }
        self.database.last = Some(sequence);
        self.database.stored.push((content, location.clone(), epoch.0));
        Ok(true)
    }

    /// A caller was told of its batch.
    pub(super) fn told(
        &mut self,
        content: Content,
        outcome: &Result<(), DeliveryError>,
    ) -> Result<(), Broken> {
        let told = match outcome {
            Ok(()) => Told::Durable,
            Err(error) if error.is_unknown() => Told::Unknown,
            Err(_) => Told::NotDelivered,
        };
        self.told.insert(content, told);
        let was_listed = self.listed.values().any(|(listed, _)| *listed == content);
        match told {
            Told::Durable if !was_listed => {
                Err(("I1", format!("{content} is called durable, and is not listed")))
            }
            Told::NotDelivered if was_listed => {
                Err(("I4", format!("{content} is called not delivered, and is listed")))
            }
            Told::Durable | Told::NotDelivered | Told::Unknown => Ok(()),
        }
    }

    /// The manifest was swapped.
    pub(super) fn swapped(
        &mut self,
        before: &Manifest,
        after: &Manifest,
        objects: &Objects,
        by: By,
    ) -> Result<(), Broken> {
        if let Err(error) = after.check_follows(before) {
            return Err(("I6", error.to_string()));
        }
        self.check_writer(before, after, by)?;
        if let Some(error) = self.is_dequeued_too_far(after) {
            return Err(error);
        }
        for (sequence, location, content) in objects.listed(after) {
            match self.listed.get(&sequence) {
                Some((_, name)) if *name == location => continue,
                Some((_, name)) => {
                    return Err(("I8", format!("{sequence} was {name}, and is {location}")));
                }
                None => self.check_new(after, sequence, &location, content, objects)?,
            }
            self.listed.insert(sequence, (content, location));
        }
        Ok(())
    }

    /// Producers append; of the consumers, the one that raised the epoch last dequeues.
    fn check_writer(&mut self, before: &Manifest, after: &Manifest, by: By) -> Result<(), Broken> {
        let raised = after.epoch() != before.epoch();
        let dequeued = after.first_sequence() != before.first_sequence();
        match by {
            By::Producer if raised || dequeued => {
                Err(("I9", "a producer did what is a consumer's".to_owned()))
            }
            By::Consumer(actor) if raised => {
                self.owner = Some(actor);
                Ok(())
            }
            By::Consumer(actor) if dequeued && self.owner != Some(actor) => {
                let owner = self.owner;
                Err(("I9", format!("actor {actor} dequeued under the epoch of {owner:?}")))
            }
            By::Producer | By::Consumer(_) => Ok(()),
        }
    }

    fn check_new(
        &mut self,
        after: &Manifest,
        sequence: Sequence,
        location: &Location,
        content: Content,
        objects: &Objects,
    ) -> Result<(), Broken> {
        if !objects.has(location) {
            return Err(("I2", format!("{sequence} lists {location}, which is not there")));
        }
        if self.told.get(&content) == Some(&Told::NotDelivered) {
            return Err(("I4", format!("{content} was called not delivered, and is listed")));
        }
        let earlier = self.listed.iter().rfind(|(_, (listed, _))| *listed == content);
        if let Some((place, (_, name))) = earlier {
            if name != location {
                return Err(("I5", format!("{content} is listed as {name} and as {location}")));
            }
            // Only what was dequeued before its producer looked can look as if it had never been listed.
            if *place >= after.first_sequence() {
                return Err(("I5", format!("{content} is listed as {place} and as {sequence}")));
            }
            self.again.insert(location.clone());
            return Ok(());
        }
        let is_later = |listed: Content| listed >> 4 == content >> 4 && listed > content;
        match self.listed.values().find(|(listed, _)| is_later(*listed)) {
            Some((listed, _)) => Err(("I7", format!("{content} is listed after {listed}"))),
            None => Ok(()),
        }
    }

    fn is_dequeued_too_far(&self, after: &Manifest) -> Option<Broken> {
        let first = after.first_sequence();
        // What is stored is acknowledged at once, and a repeat only with what comes after it.
        let last = self.database.last;
        if first > last.map_or(Sequence(0), Sequence::next) {
            return Some((
                "I11",
                format!("all before {first} is dequeued, and {last:?} is the last stored"),
            ));
        }
        let stored: BTreeSet<Content> = self.database.stored.iter().map(|it| it.0).collect();
        let dequeued = self.listed.range(..first);
        let mut lost = dequeued.filter(|(_, (content, _))| !stored.contains(content));
        let (sequence, (content, _)) = lost.next()?;
        Some(("I11", format!("{sequence} ({content}) is dequeued, and nobody stored it")))
    }

    /// A batch is deleted.
    pub(super) fn deleted(&self, location: &Location, objects: &Objects) -> Result<(), Broken> {
        let manifest = objects.manifest();
        match objects.listed(&manifest).iter().find(|(_, listed, _)| listed == location) {
            Some((sequence, _, _)) => {
                Err(("I12", format!("{location} is deleted, and is listed as {sequence}")))
            }
            None => Ok(()),
        }
    }

    /// Nothing can happen any more: all that is called durable must be in the database or in the queue.
    pub(super) fn check_end(&self, objects: &Objects) -> Result<(), Broken> {
        let manifest = objects.manifest();
        let listed: Vec<Content> = objects.listed(&manifest).iter().map(|it| it.2).collect();
        for (content, told) in &self.told {
            let is_stored = self.database.stored.iter().any(|it| it.0 == *content);
            if *told == Told::Durable && !is_stored && !listed.contains(content) {
                return Err(("I1", format!("{content} is called durable, and is nowhere")));
            }
        }
        Ok(())
    }

    pub(super) fn fingerprint(&self, hasher: &mut Xxh3) {
        self.told.hash(hasher);
        (self.database.epoch, self.database.last.map(|last| last.0)).hash(hasher);
        for (content, _, by) in &self.database.stored {
            (content, by).hash(hasher);
        }
        for (sequence, (content, _)) in &self.listed {
            (sequence.0, content).hash(hasher);
        }
        hasher.write_usize(self.again.len());
        self.owner.hash(hasher);
    }
}
