//! Uses the core where there is no standard library.
//!
//! A program has one panic handler. The standard library brings its own, so
//! that this crate and `std` exclude each other: as soon as the core, or
//! anything below it, links `std`, this fails to compile with "found duplicate
//! lang item `panic_impl`". That needs no target without an operating system.

#![no_std]

extern crate alloc;

use alloc::vec;
use core::alloc::{GlobalAlloc, Layout};

use buffer_core::format::{Compression, Manifest, decode_batch, encode_batch};
use buffer_core::{
    Consumer, ConsumerConfig, Location, Machine, Now, Output, Producer, ProducerConfig, Resume,
    Submission,
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Stands in for the allocator that a real host without `std` has. It has no memory.
struct NoMemory;

#[global_allocator]
static ALLOCATOR: NoMemory = NoMemory;

// SAFETY: it never hands out memory, so that nothing is ever given back to it.
// The project forbids `unsafe`; this crate is not part of what users build, and
// the trait cannot be implemented without it.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Names enough of the core that all of it is linked. It is compiled and never run.
#[unsafe(no_mangle)]
pub extern "C" fn uses_the_core() -> u64 {
    let now = Now::default();
    let Ok(mut producer) = Producer::new(ProducerConfig::default(), 1) else { return 0 };
    let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
    if producer.submit(now, submission).is_err() {
        return 0;
    }
    producer.close(now);

    let Ok(mut consumer) = Consumer::new(ConsumerConfig::default(), 2) else { return 0 };
    if consumer.initialize(now, Resume::default()).is_err() {
        return 0;
    }
    loop {
        match (producer.poll(), consumer.poll()) {
            (Output::Idle { .. }, Output::Idle { .. }) => break,
            _ => continue,
        }
    }

    let records = ["a record".into()];
    let Ok(batch) = encode_batch(records.iter(), Compression::None) else { return 0 };
    let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
    let decoded = decode_batch(&location, &batch.concat().into(), 1024);
    let parsed = Manifest::parse(&location, Manifest::absent().to_rope().concat().into());
    let counted = decoded.map_or(0, |records| records.len() as u64);
    producer.fingerprint() ^ consumer.fingerprint() ^ counted ^ parsed.map_or(0, |m| m.len())
}
