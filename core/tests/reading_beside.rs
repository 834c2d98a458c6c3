//! Where others write, the manifest is read beside each swap: what a producer makes of it, one reply at a time.

use std::time::Duration;

use buffer_core::format::{Codec, Manifest, NewEntry};
use buffer_core::{
    CasManifest, Command, Condition, Instant, Location, Machine, Now, Object, Output, Producer,
    ProducerConfig, ProducerEvent, ReadManifest, ReadOutcome, Submission, UnixMillis, Version,
    WriteOutcome,
};

/// What every request takes.
const TOOK: Duration = Duration::from_millis(20);

/// A manifest, and how often it was written.
#[derive(Clone)]
struct Queue {
    manifest: Manifest,
    written: u32,
}

impl Queue {
    fn version(&self) -> Version {
        Version::from_e_tag(format!("v{}", self.written))
    }

    fn is_condition_of(&self, swap: &CasManifest) -> bool {
        swap.condition == Condition::Version(self.version())
    }

    /// Others list a batch.
    fn others_write(&mut self) {
        let location = Location::from(format!("of-others-{}", self.written));
        let entry = NewEntry { location: &location, metadata: &[] };
        self.manifest = self.manifest.append(&[entry]).expect("it fits");
        self.written += 1;
    }

    /// A swap takes effect.
    fn takes(&mut self, swap: &CasManifest) {
        let bytes = swap.payload.concat().into();
        self.manifest = Manifest::parse(&swap.location, bytes).expect("it is a manifest");
        self.written += 1;
    }

    fn found(&self) -> ReadOutcome {
        let bytes = self.manifest.to_rope().concat().into();
        ReadOutcome::Found(Object { bytes, version: self.version(), last_modified: None })
    }
}

/// A producer, its queue, and the time.
struct World {
    producer: Producer,
    elapsed: Duration,
    queue: Queue,
}

impl World {
    fn now(&self) -> Now {
        let millis = i64::try_from(self.elapsed.as_millis()).expect("it is short");
        let wall = UnixMillis(1_700_000_000_000 + millis);
        Now { monotonic: Instant::from_origin(self.elapsed), wall }
    }

    /// All that comes out: commands, whether a batch became durable, and the deadline.
    fn drain(&mut self) -> (Vec<Command>, bool, Option<Instant>) {
        let (mut commands, mut durable) = (Vec::new(), false);
        loop {
            match self.producer.poll() {
                Output::Command(command) => commands.push(command),
                Output::Event(ProducerEvent::Settled { outcome, .. }) => {
                    outcome.expect("nothing fails here");
                    durable = true;
                }
                Output::Event(event) => panic!("{event:?}"),
                Output::Idle { deadline } => return (commands, durable, deadline),
            }
        }
    }

    fn commands<const N: usize>(&mut self) -> [Command; N] {
        let (commands, _, _) = self.drain();
        commands.try_into().unwrap_or_else(|other| panic!("{N} are expected: {other:?}"))
    }

    /// Submits one entry, which is uploaded.
    fn upload(&mut self) {
        let submission = Submission { entries: vec!["x".into()], ..Submission::default() };
        self.producer.submit(self.now(), submission).expect("there is room");
        self.producer.flush(self.now());
        let mut commands = self.drain().0;
        if commands.len() == 2 {
            let Some(Command::ReadManifest(read)) = commands.pop() else {
                panic!("the first read goes with the first encoding")
            };
            self.answer_read(read);
        }
        let Some(Command::Encode(encode)) = commands.pop() else { panic!("it is to be encoded") };
        self.producer.handle_completion(self.now(), encode.run(&mut Codec::new()));
        let [Command::PutBatch(put)] = self.commands() else { panic!("it is to be uploaded") };
        self.elapsed += TOOK;
        let stored = WriteOutcome::Stored(Version::from_e_tag("batch"));
        self.producer.handle_completion(self.now(), put.ticket.complete(Ok(stored)));
    }

    /// One that has learnt that there are others: it got through once, after five conflicts.
    fn swapping(seed: u64) -> (Self, CasManifest, ReadManifest) {
        let producer = Producer::new(ProducerConfig::default(), seed).expect("it is valid");
        let queue = Queue { manifest: Manifest::absent(), written: 0 };
        let mut world = Self { producer, elapsed: Duration::ZERO, queue };
        world.queue.others_write();
        world.upload();
        for _ in 0..5 {
            let [Command::CasManifest(swap)] = world.commands() else {
                panic!("nobody is known to write, so nothing is read beside a swap")
            };
            world.queue.others_write();
            world.conflict(swap);
            world.rest();
            world.read_again();
        }
        let [Command::CasManifest(swap)] = world.commands() else { panic!("it goes on") };
        world.store(swap);
        assert!(world.drain().1, "it is durable");
        world.upload();
        world.rest();
        world.read_again();
        // It lets those be served that may lie between its batch and the one before.
        world.rest();
        world.read_again();
        let (swap, beside) = world.swap_and_read();
        (world, swap, beside)
    }

    /// It reads, and nothing else.
    fn read_again(&mut self) {
        let [Command::ReadManifest(read)] = self.commands() else { panic!("it is to be read") };
        self.answer_read(read);
    }

    fn store(&mut self, swap: CasManifest) {
        self.queue.takes(&swap);
        self.elapsed += TOOK;
        let stored = WriteOutcome::Stored(self.queue.version());
        self.producer.handle_completion(self.now(), swap.ticket.complete(Ok(stored)));
    }

    /// The swap that is sent next, and the read beside it.
    fn swap_and_read(&mut self) -> (CasManifest, ReadManifest) {
        let [Command::ReadManifest(beside), Command::CasManifest(swap)] = self.commands() else {
            panic!("a swap is sent, and a read beside it")
        };
        assert!(self.queue.is_condition_of(&swap), "it is built on what is there");
        assert_eq!(beside.unless, Some(self.queue.version()));
        (swap, beside)
    }

    fn answer_read(&mut self, read: ReadManifest) {
        self.elapsed += TOOK;
        let outcome = self.queue.found();
        self.producer.handle_completion(self.now(), read.ticket.complete(Ok(outcome)));
    }

    fn conflict(&mut self, swap: CasManifest) {
        self.elapsed += TOOK;
        let conflict = swap.ticket.complete(Ok(WriteOutcome::Conflict));
        self.producer.handle_completion(self.now(), conflict);
    }

    /// Both were sent at once, and are answered at once: the read with what is there now.
    fn lose(&mut self, swap: CasManifest, beside: ReadManifest) {
        self.answer_read(beside);
        self.elapsed -= TOOK;
        self.conflict(swap);
    }

    /// Waits for as long as the producer wants; how long that is.
    fn rest(&mut self) -> Duration {
        let (commands, _, deadline) = self.drain();
        assert!(commands.is_empty(), "{commands:?}");
        let deadline = deadline.expect("it goes on").since_origin();
        let rest = deadline - self.elapsed;
        self.elapsed = deadline;
        self.producer.handle_timeout(self.now());
        rest
    }
}

/// Goal: who rests for no longer than a read takes swaps on what it has read beside, who rests for longer reads again.
#[test]
fn who_loses_goes_on_from_what_was_read_beside_unless_that_is_old() {
    let mut at_once = 0;
    for seed in 0..40 {
        let (mut world, swap, beside) = World::swapping(seed);
        world.queue.others_write();
        world.lose(swap, beside);
        if world.rest() <= TOOK {
            world.swap_and_read();
            at_once += 1;
        } else {
            world.read_again();
            world.swap_and_read();
        }
    }
    assert!((5..35).contains(&at_once), "both are met: {at_once}");
}

/// A client that sends a write again by itself meets its own success, and calls that a conflict.
#[test]
fn a_swap_that_the_read_beside_it_shows_took_effect() {
    for seed in 0..10 {
        let (mut world, swap, beside) = World::swapping(seed);
        world.queue.takes(&swap);
        world.queue.others_write();
        world.lose(swap, beside);
        if world.rest() > TOOK {
            continue;
        }
        let (commands, durable, _) = world.drain();
        assert!(durable && commands.is_empty(), "{commands:?}");
        return;
    }
    panic!("none of them rests for less than a read takes");
}

/// What was read before others wrote does not say what to swap on, nor that the swap was lost.
#[test]
fn what_was_read_too_early_is_read_again() {
    let (mut world, swap, beside) = World::swapping(1);
    let unmodified = beside.ticket.complete(Ok(ReadOutcome::NotModified));
    world.producer.handle_completion(world.now(), unmodified);
    world.queue.others_write();
    world.conflict(swap);
    world.rest();
    world.read_again();
    world.swap_and_read();
}

#[test]
fn a_read_beside_that_is_still_out_is_waited_for() {
    for modified in [true, false] {
        let (mut world, swap, beside) = World::swapping(1);
        if modified {
            world.queue.others_write();
        }
        world.conflict(swap);
        world.rest();
        let [] = world.commands();
        if modified {
            world.answer_read(beside);
        } else {
            let unmodified = beside.ticket.complete(Ok(ReadOutcome::NotModified));
            world.producer.handle_completion(world.now(), unmodified);
            let [Command::ReadManifest(read)] = world.commands() else { panic!("it reads again") };
            // By now it took effect after all.
            world.queue.others_write();
            world.answer_read(read);
        }
        world.swap_and_read();
    }
}

/// A reply that comes when its swap is over tells what others wrote since, or nothing.
#[test]
fn what_is_told_late_is_known_if_it_is_later() {
    for later in [false, true] {
        let (mut world, swap, late) = World::swapping(1);
        let mut told = world.queue.clone();
        world.store(swap);
        if later {
            world.queue.others_write();
            told = world.queue.clone();
        }
        let (commands, durable, _) = world.drain();
        assert!(durable && commands.is_empty(), "{commands:?}");
        world.producer.handle_completion(world.now(), late.ticket.complete(Ok(told.found())));
        let [] = world.commands();
        world.upload();
        world.rest();
        let [Command::ReadManifest(read)] = world.commands() else { panic!("it is to be read") };
        assert_eq!(read.unless, Some(world.queue.version()), "what it knows is the last of all");
        world.answer_read(read);
    }
}
