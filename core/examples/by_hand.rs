//! A producer and a consumer, driven by hand: no runtime, no threads, a map for a store.
//!
//! This is all that a host does. `cargo run -p opendata-buffer-core --example by_hand`

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use buffer_core::format::Codec;
use buffer_core::{
    Command, Completion, Condition, Consumer, ConsumerConfig, Instant, ListPage, ListedObject,
    Location, Machine, Next, Now, Object, Output, Producer, ProducerConfig, ReadOutcome, Resume,
    Rope, Submission, UnixMillis, Version, WriteOutcome,
};

/// Every object with the number of the write that made it, which serves as its version.
#[derive(Default)]
struct Store {
    objects: BTreeMap<Location, Object>,
    writes: u64,
    codec: Codec,
}

impl Store {
    fn write(&mut self, location: Location, payload: Rope, condition: &Condition) -> WriteOutcome {
        let holds = match (condition, self.objects.get(&location)) {
            (Condition::Absent, found) => found.is_none(),
            (Condition::Version(version), found) => found.is_some_and(|o| o.version == *version),
        };
        if !holds {
            return WriteOutcome::Conflict;
        }
        self.writes += 1;
        let version = Version::from_e_tag(self.writes.to_string());
        let bytes = payload.concat().into();
        let object = Object { bytes, version: version.clone(), last_modified: None };
        self.objects.insert(location, object);
        WriteOutcome::Stored(version)
    }

    fn read(&self, location: &Location, unless: Option<&Version>) -> ReadOutcome {
        match self.objects.get(location) {
            None => ReadOutcome::Missing,
            Some(object) if Some(&object.version) == unless => ReadOutcome::NotModified,
            Some(object) => ReadOutcome::Found(object.clone()),
        }
    }

    /// Does what a machine asks for, and fills in its reply slip.
    fn run(&mut self, command: Command) -> Completion {
        match command {
            Command::PutBatch(put) => {
                println!("  write {}", put.location);
                let outcome = self.write(put.location, put.payload, &Condition::Absent);
                put.ticket.complete(Ok(outcome))
            }
            Command::CasManifest(cas) => {
                println!("  swap  {}", cas.location);
                let outcome = self.write(cas.location, cas.payload, &cas.condition);
                cas.ticket.complete(Ok(outcome))
            }
            Command::ReadManifest(read) => {
                println!("  read  {}", read.location);
                read.ticket.complete(Ok(self.read(&read.location, read.unless.as_ref())))
            }
            Command::ReadBatch(read) => {
                println!("  read  {}", read.location);
                read.ticket.complete(Ok(self.read(&read.location, None)))
            }
            Command::ListBatches(list) => {
                println!("  list  {}", list.prefix);
                let below = format!("{}/", list.prefix);
                let objects =
                    self.objects.iter().filter(|(key, _)| key.as_str().starts_with(&below));
                let objects = objects.map(|(key, object)| ListedObject {
                    location: key.clone(),
                    last_modified: object.last_modified,
                    bytes: Some(object.bytes.len() as u64),
                });
                list.ticket.complete(Ok(ListPage { objects: objects.collect(), next: None }))
            }
            Command::DeleteBatches(delete) => {
                let deleted = delete.locations.iter().map(|location| {
                    println!("  delete {location}");
                    self.objects.remove(location);
                    Ok(())
                });
                let deleted = deleted.collect();
                delete.ticket.complete(deleted)
            }
            Command::Encode(encode) => encode.run(&mut self.codec),
            Command::Decode(decode) => decode.run(&mut self.codec),
        }
    }
}

/// Drains a machine until it is idle, and says when it wants to be told the time.
fn drain<M: Machine>(machine: &mut M, store: &mut Store, now: Now) -> Option<Instant>
where
    M::Event: std::fmt::Debug,
{
    loop {
        match machine.poll() {
            Output::Command(command) => machine.handle_completion(now, store.run(command)),
            Output::Event(event) => println!("  {event:?}"),
            Output::Idle { deadline } => return deadline,
        }
    }
}

fn at_ms(millis: u64) -> Now {
    let monotonic = Instant::from_origin(Duration::from_millis(millis));
    Now { monotonic, wall: UnixMillis(1_700_000_000_000 + millis as i64) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut store = Store::default();

    println!("0 ms: two submissions; the batch is sealed 100 ms after the first");
    let mut producer = Producer::new(ProducerConfig::default(), 1)?;
    for entry in ["one", "two"] {
        let submission = Submission { entries: vec![entry.into()], ..Submission::default() };
        producer.submit(at_ms(0), submission)?;
    }
    let deadline = drain(&mut producer, &mut store, at_ms(0));
    assert_eq!(deadline, Some(at_ms(100).monotonic));

    println!("100 ms: the timer");
    producer.handle_timeout(at_ms(100));
    drain(&mut producer, &mut store, at_ms(100));
    assert!(producer.is_settled());

    println!("200 ms: a consumer takes over");
    let mut consumer = Consumer::new(ConsumerConfig::default(), 2)?;
    consumer.initialize(at_ms(200), Resume::default())?;
    drain(&mut consumer, &mut store, at_ms(200));

    println!("300 ms: it asks for a batch");
    let since = consumer.mark();
    let batch = loop {
        match consumer.next(at_ms(300), since, false)? {
            Next::Ready(batch) => break batch,
            Next::Pending => drain(&mut consumer, &mut store, at_ms(300)),
            Next::Empty => return Err("the batch is listed".into()),
        };
    };
    println!("  got {:?}", batch.entries);
    assert_eq!(batch.entries, ["one", "two"]);

    println!("400 ms: it is done with it");
    consumer.ack(at_ms(400), batch.descriptor.sequence)?;
    consumer.close(at_ms(400));
    drain(&mut consumer, &mut store, at_ms(400));
    Ok(())
}
