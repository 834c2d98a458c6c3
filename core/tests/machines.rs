//! The contract between machine and host, with the host written out.

use std::time::Duration;

use buffer_core::format::Codec;
use buffer_core::{
    Command, Consumer, ConsumerConfig, ConsumerEvent, Epoch, Instant, Machine, Now, Output,
    Producer, ProducerConfig, ProducerEvent, ReadOutcome, Resume, Submission, SubmitError,
    UnixMillis, Version, WriteOutcome,
};

fn at_ms(millis: u64) -> Now {
    let wall = UnixMillis(1_700_000_000_000 + i64::try_from(millis).expect("it is small"));
    Now { monotonic: Instant::from_origin(Duration::from_millis(millis)), wall }
}

fn submission(entry: &str) -> Submission {
    Submission { entries: vec![entry.to_owned().into()], metadata: "m".into() }
}

/// Drains a machine: what came out, as text, the commands, and the deadline.
fn drain<M: Machine>(machine: &mut M) -> (Vec<String>, Vec<Command>, Option<Instant>)
where
    M::Event: std::fmt::Debug,
{
    let (mut transcript, mut commands) = (Vec::new(), Vec::new());
    loop {
        match machine.poll() {
            Output::Command(command) => {
                let text = format!("{command:?}");
                transcript.push(text.split(['(', ' ']).next().unwrap_or_default().to_owned());
                commands.push(command);
            }
            Output::Event(event) => transcript.push(format!("{event:?}")),
            Output::Idle { deadline } => return (transcript, commands, deadline),
        }
    }
}

/// One submission from start to end, as a transcript.
#[test]
fn a_submission_becomes_durable_in_four_commands() {
    let mut producer = Producer::new(ProducerConfig::default(), 1).expect("the default is valid");
    let receipt = producer.submit(at_ms(0), submission("x")).expect("there is room");
    assert_eq!(receipt.ingestion_time, at_ms(0).wall);
    // Nothing to do before the batch is due.
    let (transcript, _, deadline) = drain(&mut producer);
    assert!(transcript.is_empty());
    assert_eq!(deadline, Some(at_ms(100).monotonic));
    // Early is harmless.
    producer.handle_timeout(at_ms(99));
    assert!(!producer.wants_poll());

    producer.handle_timeout(at_ms(100));
    let (transcript, commands, _) = drain(&mut producer);
    assert_eq!(transcript, ["Encode", "ReadManifest"], "the manifest is read beside the encoding");
    for command in commands {
        let completion = match command {
            Command::Encode(encode) => encode.run(&mut Codec::new()),
            Command::ReadManifest(read) => {
                assert_eq!(read.unless, None);
                read.ticket.complete(Ok(ReadOutcome::Missing))
            }
            Command::PutBatch(_)
            | Command::CasManifest(_)
            | Command::ReadBatch(_)
            | Command::ListBatches(_)
            | Command::DeleteBatches(_)
            | Command::Decode(_) => unreachable!("the transcript names the two"),
        };
        producer.handle_completion(at_ms(101), completion);
    }
    let (transcript, mut commands, _) = drain(&mut producer);
    assert_eq!(transcript, ["PutBatch"]);
    assert_eq!(producer.oldest_submission(), Some(at_ms(0).monotonic));
    let Some(Command::PutBatch(put)) = commands.pop() else { panic!("there is one") };
    assert_eq!(put.batch, receipt.batch);
    assert!(put.location.as_str().starts_with("ingest/01"));
    let stored = || WriteOutcome::Stored(Version::from_e_tag("v1"));
    producer.handle_completion(at_ms(120), put.ticket.complete(Ok(stored())));

    let (transcript, mut commands, _) = drain(&mut producer);
    assert_eq!(transcript, ["CasManifest"]);
    let Some(Command::CasManifest(cas)) = commands.pop() else { panic!("there is one") };
    assert_eq!(cas.condition, buffer_core::Condition::Absent);
    producer.handle_completion(at_ms(140), cas.ticket.complete(Ok(stored())));

    let Output::Event(ProducerEvent::Settled { batch, outcome: Ok(()) }) = producer.poll() else {
        panic!("it is durable");
    };
    assert_eq!(batch, receipt.batch);
    let (transcript, _, deadline) = drain(&mut producer);
    assert!(transcript.is_empty());
    assert_eq!((deadline, producer.buffered_bytes()), (None, 0));
    let stats = producer.stats();
    assert_eq!((stats.batches_durable, stats.entries_durable, stats.swaps), (1, 1, 1));
    // One byte; its object has a length of four before it and a footer of seven behind it.
    assert_eq!((stats.entry_bytes_durable, stats.object_bytes_durable), (1, 12));
    assert_eq!(producer.oldest_submission(), None);
}

/// A full machine gives the value back, and says `Ready` only once there is more room than before.
#[test]
fn a_full_producer_gives_the_submission_back() {
    let config = ProducerConfig { max_buffered_bytes: 2000, ..ProducerConfig::default() };
    let mut producer = Producer::new(config, 1).expect("it is valid");
    producer.submit(at_ms(0), submission(&"x".repeat(1200))).expect("there is room");
    let refused = producer.submit(at_ms(0), submission(&"y".repeat(1200)));
    let Err(SubmitError::Full(given_back)) = refused else { panic!("{refused:?}") };
    assert_eq!(given_back, submission(&"y".repeat(1200)));
    let (transcript, _, _) = drain(&mut producer);
    // The open batch is sealed at once: nobody could add to it.
    assert_eq!(transcript, ["Encode", "ReadManifest"]);
}

/// Each call is a batch, and a few of a thousand bytes are all that may be held.
fn with_little_room() -> Producer {
    let config = ProducerConfig {
        max_buffered_bytes: 5_000,
        max_buffered_inputs: 1,
        ..ProducerConfig::default()
    };
    Producer::new(config, 1).expect("it is valid")
}

/// What is uploaded and waits for its swap makes room for others: the store has it. Should a clock say
/// then that it is too old to be listed, it is given up, and certainly not delivered.
#[test]
fn an_uploaded_batch_makes_room_and_is_given_up_when_it_is_old() {
    for jumps in [false, true] {
        let mut producer = with_little_room();
        let large = "x".repeat(3000);
        let receipt = producer.submit(at_ms(0), submission(&large)).expect("there is room");
        let (_, mut commands, _) = drain(&mut producer);
        let [Command::Encode(_), Command::ReadManifest(_)] = &commands[..] else {
            panic!("{commands:?}")
        };
        let Some(Command::ReadManifest(read)) = commands.pop() else { unreachable!() };
        let Some(Command::Encode(encode)) = commands.pop() else { unreachable!() };
        producer.handle_completion(at_ms(1), encode.run(&mut Codec::new()));
        let Some(Command::PutBatch(put)) = drain(&mut producer).1.pop() else {
            panic!("no upload")
        };
        assert!(producer.submit(at_ms(1), submission(&large)).is_err(), "its upload may fail");
        let stored = Ok(WriteOutcome::Stored(Version::from_e_tag("1")));
        producer.handle_completion(at_ms(2), put.ticket.complete(stored));
        let (transcript, _, _) = drain(&mut producer);
        assert_eq!(transcript, ["Ready"], "the store has it");
        producer.submit(at_ms(2), submission(&large)).expect("there is room again");
        drain(&mut producer);

        let mut now = at_ms(3);
        if jumps {
            now.wall.0 += 300_000;
        }
        producer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
        let (transcript, _, _) = drain(&mut producer);
        if jumps {
            let [told] = &transcript[..] else { panic!("{transcript:?}") };
            assert!(
                told.contains("NotDelivered(TooOld")
                    && told.contains(&format!("{:?}", receipt.batch)),
                "{told}"
            );
        } else {
            assert_eq!(transcript, ["CasManifest"]);
        }
    }
}

/// What another machine asked for is not ours, and is ignored.
#[test]
fn a_completion_of_another_machine_is_ignored() {
    let mut ours = Consumer::new(ConsumerConfig::default(), 1).expect("the default is valid");
    let mut other = Consumer::new(ConsumerConfig::default(), 2).expect("the default is valid");
    for consumer in [&mut ours, &mut other] {
        consumer.initialize(at_ms(0), Resume::default()).expect("it has not ended");
    }
    let (_, mut commands, _) = drain(&mut other);
    let Some(Command::ReadManifest(read)) = commands.pop() else { panic!("there is one") };
    drain(&mut ours);
    let before = ours.fingerprint();
    ours.handle_completion(at_ms(1), read.ticket.complete(Ok(ReadOutcome::Missing)));
    assert_eq!(ours.fingerprint(), before);
    assert!(!ours.wants_poll());
}

/// Taking over, as a transcript: after a conflict the epoch is raised again, on what is there by then.
#[test]
fn a_take_over_adopts_only_the_epoch_that_was_certainly_stored() {
    let mut consumer = Consumer::new(ConsumerConfig::default(), 1).expect("the default is valid");
    consumer.initialize(at_ms(0), Resume::default()).expect("it has not ended");
    let mut stored = None;
    let mut epochs = Vec::new();
    for step in 0..10 {
        let (_, commands, deadline) = drain(&mut consumer);
        let now = deadline.map_or(at_ms(step * 1000), |_| at_ms(step * 1000));
        for command in commands {
            let completion = match command {
                Command::ReadManifest(read) => read.ticket.complete(Ok(match &stored {
                    None => ReadOutcome::Missing,
                    Some(object) => ReadOutcome::Found(buffer_core::Object::clone(object)),
                })),
                Command::CasManifest(cas) => {
                    let bytes = cas.payload.concat().into();
                    let version = Version::from_e_tag(format!("v{step}"));
                    let object = buffer_core::Object {
                        bytes,
                        version: version.clone(),
                        last_modified: None,
                    };
                    stored = Some(object);
                    epochs.push(cas.payload.concat()[12..20].to_vec());
                    // The first is stored, and its reply is lost in a way that looks like a conflict.
                    let first = epochs.len() == 1;
                    let outcome =
                        if first { WriteOutcome::Conflict } else { WriteOutcome::Stored(version) };
                    cas.ticket.complete(Ok(outcome))
                }
                Command::PutBatch(_)
                | Command::ReadBatch(_)
                | Command::ListBatches(_)
                | Command::DeleteBatches(_)
                | Command::Encode(_)
                | Command::Decode(_) => unreachable!("taking over reads and swaps the manifest"),
            };
            consumer.handle_completion(now, completion);
        }
        consumer.handle_timeout(at_ms((step + 1) * 1000));
    }
    assert_eq!(epochs, [1_u64.to_le_bytes(), 2_u64.to_le_bytes()]);
    assert_eq!(consumer.epoch(), Some(Epoch(2)));
}

/// The same inputs give the same outputs, and the fingerprint knows no time.
#[test]
fn a_machine_is_a_function_of_its_inputs() {
    let run = |start: u64| {
        let mut producer = Producer::new(ProducerConfig::default(), 7).expect("it is valid");
        producer.submit(at_ms(start), submission("x")).expect("there is room");
        producer.handle_timeout(at_ms(start + 100));
        let (transcript, _, _) = drain(&mut producer);
        (transcript, producer.fingerprint())
    };
    assert_eq!(run(0), run(0));
    assert_eq!(run(0), run(5000));
    let mut other = Producer::new(ProducerConfig::default(), 7).expect("it is valid");
    other.submit(at_ms(0), submission("x")).expect("there is room");
    assert_ne!(other.fingerprint(), run(0).1);
}

/// Goal: events are what a host can act on without looking inside.
#[test]
fn a_closed_machine_says_so_once() {
    let mut producer = Producer::new(ProducerConfig::default(), 1).expect("it is valid");
    producer.close(at_ms(0));
    producer.close(at_ms(1));
    let (transcript, _, deadline) = drain(&mut producer);
    assert_eq!((transcript.len(), deadline), (1, None));
    assert!(matches!(producer.submit(at_ms(2), submission("x")), Err(SubmitError::Closed(_))));

    let mut consumer = Consumer::new(ConsumerConfig::default(), 1).expect("it is valid");
    consumer.close(at_ms(0));
    assert!(matches!(consumer.poll(), Output::Event(ConsumerEvent::Ended(_))));
    assert!(consumer.initialize(at_ms(0), Resume::default()).is_err());
}

/// Encoding copies small entries, and while it lasts both are held: the copies
/// of all batches but one count against `max_buffered_bytes`.
#[test]
fn copies_made_by_encoding_count_as_held() {
    let mut producer = with_little_room();
    let submit =
        |producer: &mut Producer| producer.submit(at_ms(0), submission(&"x".repeat(1000))).is_ok();
    assert!(submit(&mut producer));
    let alone = producer.buffered_bytes();
    assert!(submit(&mut producer));
    assert!(producer.buffered_bytes() >= 2 * alone + 1000, "the second is charged for its copy");
    assert!(!submit(&mut producer), "there is no room for a third while both are encoded");
    let (transcript, commands, _) = drain(&mut producer);
    assert_eq!(transcript, ["Encode", "ReadManifest", "Encode"]);
    for command in commands {
        if let Command::Encode(encode) = command {
            producer.handle_completion(at_ms(1), encode.run(&mut Codec::new()));
        }
    }
    assert!(producer.buffered_bytes() <= 2 * alone, "the copies are all that is left");
    assert!(submit(&mut producer));
}
