//! The state machines and the formats of opendata-buffer.
//!
//! Nothing here waits, reads a clock, draws from the operating system's
//! entropy or touches a store. A machine takes *inputs* (what the application
//! wants, what the world did, what time it is), decides, and leaves
//! *commands* and *events* to be drained; a host runs the commands and feeds
//! the results back:
//!
//! 1. Call an input: [`Producer::submit`], [`Machine::handle_completion`],
//!    [`Machine::handle_timeout`] and so on. Each takes [`Now`], read once.
//! 2. Drain [`Machine::poll`] until it says [`Output::Idle`].
//! 3. Start every [`Command`]; answer its [`Ticket`] exactly once, in bounded
//!    time, and never retry on the machine's behalf.
//! 4. Wait for a completion, for the application, or for the deadline that
//!    `Idle` named, whichever is first, and go to 1.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | submission | what one `produce` call hands over: entries and their metadata |
//! | entry | one opaque byte string; a *record* once it is inside a batch object |
//! | batch | one object in the store that holds the entries of many submissions |
//! | manifest | the one object that lists the batches in order; changed by compare-and-swap only |
//! | manifest entry | names one batch and gives it its sequence |
//! | durable | uploaded and listed in the manifest |
//! | acknowledged | what a consumer's caller says of a batch that it is done with |
//! | dequeued | gone from the manifest |
//! | fenced | a consumer that another one has replaced, by raising the epoch |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backoff;
mod command;
mod consumer;
mod contention;
mod error;
pub mod format;
#[doc(hidden)]
pub mod hooks;
mod known;
mod machine;
mod names;
mod producer;
mod retries;
mod store;
mod suspicion;
mod time;
mod types;

pub use command::{
    CasManifest, Command, CommandId, Completion, Decode, DeleteBatches, Encode, EncodedBatch,
    ListBatches, PutBatch, ReadBatch, ReadManifest, Ticket,
};
pub use consumer::{
    AckError, AckRefusal, BatchDescriptor, CallMark, CollectError, ConsumedBatch, Consumer,
    ConsumerConfig, ConsumerEvent, ConsumerStats, Ended, FlushError, FlushMark, Gate,
    InitializeError, KeepReason, Next, NextError, Resume, SkipError, Verdict,
};
pub use error::{ConfigError, ConfigProblem, Fault, ManifestError};
pub use machine::{Machine, Output};
pub use names::batch_time;
pub use producer::{
    DeliveryError, DeliveryFailure, Producer, ProducerConfig, ProducerEvent, ProducerStats,
    Receipt, Submission, SubmitError,
};
pub use retries::Retries;
pub use store::{
    Condition, ListCursor, ListPage, ListedObject, Object, ReadOutcome, Rope, StoreError,
    StoreErrorKind, StoreOperation, Version, WriteOutcome, rope_len,
};
pub use time::{Instant, Now, UnixMillis};
pub use types::{BatchId, Epoch, Location, LocationError, Sequence};
