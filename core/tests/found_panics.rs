//! Answers of a store that no store should give, and that must not panic.

use buffer_core::format::Codec;
use buffer_core::{
    Command, Consumer, ConsumerConfig, ConsumerEvent, DeliveryError, Machine, Now, Output,
    Producer, ProducerConfig, ProducerEvent, ReadOutcome, Resume, Submission, Version,
    WriteOutcome,
};

/// Goal: "not modified" to a read that named no version is an answer that makes no sense.
#[test]
fn not_modified_out_of_the_blue_is_an_error_of_the_store() {
    let now = Now::default();
    let mut consumer = Consumer::new(ConsumerConfig::default(), 1).expect("it is valid");
    consumer.initialize(now, Resume::default()).expect("it is new");
    let Output::Command(Command::ReadManifest(read)) = consumer.poll() else {
        panic!("the manifest is read first")
    };
    assert_eq!(read.unless, None);
    consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::NotModified)));
    assert!(matches!(consumer.poll(), Output::Event(ConsumerEvent::InitializeFailed(_))));

    let mut producer = Producer::new(ProducerConfig::default(), 1).expect("it is valid");
    let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
    producer.submit(now, submission).expect("there is room");
    producer.flush(now);
    let mut settled = None;
    while settled.is_none() {
        match producer.poll() {
            Output::Command(Command::ReadManifest(read)) => {
                let reply = read.ticket.complete(Ok(ReadOutcome::NotModified));
                producer.handle_completion(now, reply);
            }
            Output::Command(Command::Encode(encode)) => {
                producer.handle_completion(now, encode.run(&mut Codec::new()));
            }
            Output::Command(Command::PutBatch(put)) => {
                let stored = WriteOutcome::Stored(Version::from_e_tag("1"));
                producer.handle_completion(now, put.ticket.complete(Ok(stored)));
            }
            Output::Event(ProducerEvent::Settled { outcome, .. }) => settled = Some(outcome),
            Output::Idle { deadline } => {
                let monotonic = deadline.expect("something is to be done");
                producer.handle_timeout(Now { monotonic, ..now });
            }
            other @ (Output::Command(_) | Output::Event(_)) => panic!("{other:?}"),
        }
    }
    assert!(matches!(settled, Some(Err(DeliveryError::NotDelivered(_)))), "{settled:?}");
}
