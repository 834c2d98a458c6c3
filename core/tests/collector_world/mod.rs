//! A consumer over a store that is written out: a map, a clock, and what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use buffer_core::format::{Codec, Manifest, NewEntry};
use buffer_core::{
    Command, Completion, Condition, Consumer, ConsumerConfig, ConsumerEvent, Epoch, Instant,
    ListCursor, ListPage, ListedObject, Location, Machine, Next, Now, Object, Output, ReadOutcome,
    Resume, Sequence, StoreError, StoreErrorKind, StoreOperation, UnixMillis, Version,
    WriteOutcome,
};
use bytes::Bytes;

/// What the clocks show when a world begins.
const START: i64 = 1_700_000_000_000;

/// How many keys a page of a listing has.
pub(crate) const PAGE: usize = 3;

/// What the store is asked, as a rule sees it.
#[derive(Debug)]
pub(crate) enum Asked<'a> {
    Read,
    List,
    Delete(&'a str),
}

type Rule = Box<dyn FnMut(&mut Objects, Asked<'_>) -> Option<StoreErrorKind>>;

/// The store's objects, and when each was written.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) by_key: BTreeMap<String, (Bytes, UnixMillis)>,
    /// The store's clock.
    pub(crate) clock: UnixMillis,
    /// Answers every reading with "not modified".
    pub(crate) always_unmodified: bool,
    /// Tells no time.
    pub(crate) timeless: bool,
    /// Says that every page is followed by one like it.
    pub(crate) endless: bool,
}

impl Objects {
    pub(crate) fn put(&mut self, key: &str, bytes: impl Into<Bytes>) {
        self.by_key.insert(key.to_owned(), (bytes.into(), self.clock));
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.by_key.get(MANIFEST).map_or_else(Manifest::absent, |(bytes, _)| {
            Manifest::parse(&MANIFEST.into(), bytes.clone()).expect("it is sound")
        })
    }

    pub(crate) fn set_manifest(&mut self, manifest: &Manifest) {
        self.put(MANIFEST, manifest.to_rope().concat());
    }

    /// What a producer does in the end.
    pub(crate) fn list_batch(&mut self, key: &str) {
        let location = Location::from(key);
        let entry = NewEntry { location: &location, metadata: &[] };
        let longer = self.manifest().append(&[entry]).expect("it fits");
        self.set_manifest(&longer);
    }

    fn time(&self, written: UnixMillis) -> Option<UnixMillis> {
        (!self.timeless).then_some(written)
    }

    fn read(&self, key: &Location, unless: Option<&Version>) -> ReadOutcome {
        let Some((bytes, written)) = self.by_key.get(key.as_str()) else {
            return ReadOutcome::Missing;
        };
        let version = version_of(bytes);
        if unless == Some(&version) || (self.always_unmodified && key.as_str() == MANIFEST) {
            return ReadOutcome::NotModified;
        }
        let last_modified = self.time(*written);
        ReadOutcome::Found(Object { bytes: bytes.clone(), version, last_modified })
    }

    fn swap(&mut self, key: &Location, condition: &Condition, bytes: Bytes) -> WriteOutcome {
        let holds = match (condition, self.by_key.get(key.as_str())) {
            (Condition::Absent, found) => found.is_none(),
            (Condition::Version(expected), Some((now, _))) => *expected == version_of(now),
            (Condition::Version(_), None) => false,
        };
        if !holds {
            return WriteOutcome::Conflict;
        }
        let version = version_of(&bytes);
        self.put(key.as_str(), bytes);
        WriteOutcome::Stored(version)
    }

    fn page(&self, prefix: &Location, after: Option<&ListCursor>) -> ListPage {
        let below = format!("{prefix}/");
        let after = after.map_or("", |cursor| &cursor.0);
        let rest = self.by_key.iter().filter(|(key, _)| key.starts_with(&below));
        let mut rest = rest.filter(|(key, _)| self.endless || key.as_str() > after);
        let objects: Vec<_> = rest
            .by_ref()
            .take(PAGE)
            .map(|(key, (_, written))| ListedObject {
                location: Location::from(key.as_str()),
                last_modified: self.time(*written),
                bytes: None,
            })
            .collect();
        let is_more = self.endless || rest.next().is_some();
        let last = objects.last().filter(|_| is_more);
        let next = last.map(|last| ListCursor(last.location.as_str().into()));
        ListPage { objects, next }
    }
}

fn version_of(bytes: &Bytes) -> Version {
    Version::from_e_tag(format!("{bytes:?}"))
}

pub(crate) const MANIFEST: &str = "ingest/manifest";

/// A key for a batch whose name says that it was made so many seconds after the start.
pub(crate) fn key(seconds: i64) -> String {
    let mut millis = u64::try_from(START + seconds * 1000).expect("it is after 1970");
    let mut name = vec![b'0'; 26];
    for place in name[..10].iter_mut().rev() {
        *place = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(millis % 32) as usize];
        millis /= 32;
    }
    format!("ingest/{}.batch", String::from_utf8(name).expect("it is ASCII"))
}

pub(crate) struct World {
    pub(crate) objects: Objects,
    pub(crate) consumer: Consumer,
    pub(crate) events: Vec<ConsumerEvent>,
    /// What the store was asked since this was last looked at, but for batches that were read.
    pub(crate) log: Vec<String>,
    /// Commands are left here unanswered, while it is there.
    pub(crate) held: Option<Vec<Command>>,
    rule: Rule,
    seconds: u64,
}

impl World {
    /// A queue that has had one batch, and a consumer that has taken over, with cycles of
    /// a minute and ten minutes of grace.
    pub(crate) fn new() -> Self {
        Self::with(ConsumerConfig::default())
    }

    pub(crate) fn with(config: ConsumerConfig) -> Self {
        let mut objects = Objects { clock: UnixMillis(START), ..Objects::default() };
        objects.list_batch(&key(-5000));
        let empty = objects.manifest().without_before(Sequence(1));
        objects.set_manifest(&empty);
        Self::over(objects, config, Resume::default())
    }

    pub(crate) fn over(objects: Objects, config: ConsumerConfig, resume: Resume) -> Self {
        let config = ConsumerConfig { gc_interval: Duration::from_secs(60), ..config };
        let mut world = Self {
            objects,
            consumer: Consumer::new(config, 1).expect("it is valid"),
            events: Vec::new(),
            log: Vec::new(),
            held: None,
            rule: Box::new(|_, _| None),
            seconds: 0,
        };
        world.objects.clock = UnixMillis(START);
        world.initialize_with(resume);
        world.log.clear();
        world.events.clear();
        world
    }

    pub(crate) fn initialize(&mut self) {
        self.initialize_with(Resume::default());
    }

    fn initialize_with(&mut self, resume: Resume) {
        let now = self.now();
        self.consumer.initialize(now, resume).expect("it has not ended");
        self.settle();
        assert!(self.consumer.epoch().is_some(), "{:?}", self.events);
    }

    /// Asked of every request from here on; may change the store before it answers.
    pub(crate) fn rule(
        &mut self,
        rule: impl FnMut(&mut Objects, Asked<'_>) -> Option<StoreErrorKind> + 'static,
    ) {
        self.rule = Box::new(rule);
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic: Instant::from_origin(Duration::from_secs(self.seconds)),
            wall: self.objects.clock,
        }
    }

    /// Lets so many seconds pass.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.seconds += 1;
            self.objects.clock.0 += 1000;
            let now = self.now();
            self.consumer.handle_timeout(now);
            self.settle();
        }
    }

    /// Puts a batch in the store, as a producer does first.
    pub(crate) fn upload(&mut self, key: &str) {
        self.objects.put(key, [0, 0, 0, 0, 0, 1, 0].to_vec());
    }

    /// Takes, acknowledges and dequeues everything that is listed.
    pub(crate) fn consume(&mut self) {
        loop {
            let since = self.consumer.mark();
            let next = loop {
                let now = self.now();
                match self.consumer.next(now, since, false).expect("the queue can be read") {
                    Next::Pending => self.settle(),
                    Next::Ready(batch) => break Some(batch),
                    Next::Empty => break None,
                }
            };
            let Some(batch) = next else { break };
            let now = self.now();
            self.consumer.ack(now, batch.descriptor.sequence).expect("it was handed out");
        }
        self.pass(2);
        assert!(self.objects.manifest().is_empty());
        self.log.clear();
    }

    /// Another consumer takes over.
    pub(crate) fn fence(&mut self) {
        let manifest = self.objects.manifest().with_epoch(Epoch(99));
        self.objects.set_manifest(&manifest);
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.objects.by_key.contains_key(key)
    }

    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// The collector's events since this was last asked: deleted, failed, and why it ended.
    pub(crate) fn cycles(&mut self) -> Vec<(u64, u64, Option<String>)> {
        let events = std::mem::take(&mut self.events);
        let told = events.into_iter().filter_map(|event| match event {
            ConsumerEvent::Collected { deleted, failed, error } => {
                Some((deleted, failed, error.map(|error| error.to_string())))
            }
            ConsumerEvent::Initialized { .. }
            | ConsumerEvent::InitializeFailed(_)
            | ConsumerEvent::Changed
            | ConsumerEvent::RepeatDropped { .. }
            | ConsumerEvent::RepeatsForgotten { .. }
            | ConsumerEvent::Ended(_) => None,
        });
        told.collect()
    }

    /// Answers commands until none is left.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut commands = Vec::new();
            loop {
                match self.consumer.poll() {
                    Output::Command(command) => commands.push(command),
                    Output::Event(event) => self.events.push(event),
                    Output::Idle { .. } => break,
                }
            }
            if let Some(held) = &mut self.held {
                held.append(&mut commands);
            }
            if commands.is_empty() {
                return;
            }
            for command in commands {
                self.answer(command);
            }
        }
    }

    pub(crate) fn answer(&mut self, command: Command) {
        let completion = self.serve(command);
        let now = self.now();
        self.consumer.handle_completion(now, completion);
    }

    fn serve(&mut self, command: Command) -> Completion {
        let objects = &mut self.objects;
        match command {
            Command::ReadManifest(read) => {
                let whole = if read.unless.is_none() { "whole" } else { "changed?" };
                self.log.push(format!("read {whole}"));
                let failed = (self.rule)(objects, Asked::Read);
                let result = match failed {
                    Some(kind) => Err(error(kind, StoreOperation::ReadManifest, &read.location)),
                    None => Ok(objects.read(&read.location, read.unless.as_ref())),
                };
                read.ticket.complete(result)
            }
            Command::CasManifest(cas) => {
                self.log.push("swap".to_owned());
                let bytes = cas.payload.concat().into();
                let outcome = objects.swap(&cas.location, &cas.condition, bytes);
                cas.ticket.complete(Ok(outcome))
            }
            Command::ReadBatch(read) => {
                let outcome = objects.read(&read.location, None);
                read.ticket.complete(Ok(outcome))
            }
            Command::ListBatches(list) => {
                let after = list.after.as_ref().map(|cursor| &*cursor.0);
                self.log.push(format!("list {} after {after:?}", list.prefix));
                let failed = (self.rule)(objects, Asked::List);
                let result = match failed {
                    Some(kind) => Err(error(kind, StoreOperation::ListBatches, &list.prefix)),
                    None => Ok(objects.page(&list.prefix, list.after.as_ref())),
                };
                list.ticket.complete(result)
            }
            Command::DeleteBatches(delete) => {
                self.log.push(format!("delete {}", delete.locations.len()));
                let mut results = Vec::new();
                for location in delete.locations {
                    let failed = (self.rule)(objects, Asked::Delete(location.as_str()));
                    results.push(match failed {
                        Some(kind) => Err(error(kind, StoreOperation::DeleteBatch, &location)),
                        None => {
                            objects.by_key.remove(location.as_str());
                            Ok(())
                        }
                    });
                }
                delete.ticket.complete(results)
            }
            Command::Decode(decode) => decode.run(&mut Codec::new()),
            Command::PutBatch(_) | Command::Encode(_) => unreachable!("a consumer writes no batch"),
        }
    }
}

fn error(kind: StoreErrorKind, operation: StoreOperation, location: &Location) -> StoreError {
    StoreError::new(kind, operation, location.clone())
}
