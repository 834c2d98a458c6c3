//! The async shell of opendata-buffer: the loop, the handles and the waiters, once.
//!
//! An adapter brings a [`Runtime`] and a [`Store`]; the simulator brings its
//! own of both, and runs this very code.
//!
//! | an adapter brings | which is |
//! |---|---|
//! | [`Runtime`] | to start tasks and blocking work, to sleep, and a monotonic clock |
//! | [`Store`], or [`StoreClient`] | a conditional write, a conditional read, a listing and deletions, each sent once |
//! | [`Clock`] | the time of day, for stamps and names; [`SystemClock`] will do |
//! | constructors | that make these from a configuration and call [`Producer::with_store`] and [`Consumer::with_store`] |
//!
//! A store must not try a write again by itself, nor say of one that failed that
//! it did not happen: the state machines in [`core`] do that, because only they
//! know what a repetition may break. Time-outs are the driver's as well.
//!
//! [`LocalDirectory`] is a store in a plain directory and [`MemoryStore`] one in
//! memory, for every runtime; [`open_store`] opens what a configuration names,
//! and asks the adapter for a bucket's client alone. The example `threads` is a
//! whole adapter in fifty lines.
//!
//! A store of your own must pass a contract. The feature `contract` brings the module
//! of that name, with suites to run on it. The feature `measure` brings stores that are slow
//! on purpose, and that count requests.
//!
//! What is done can be watched: see [`metrics`].

mod answer;
mod batch;
mod bucket;
mod client;
mod codecs;
mod config;
mod consumer;
#[cfg(feature = "contract")]
pub mod contract;
mod engine;
mod fetch;
mod handle;
mod host;
mod inspect;
mod join;
mod listing;
mod local;
#[cfg(feature = "measure")]
pub mod measure;
mod memory;
pub mod metrics;
mod open;
mod pipeline;
mod prefixed;
mod probe;
mod processors;
mod producer;
mod runtime;
mod store;
mod store_url;

pub use answer::{code_of_answer, kind_of_answer, unquoted_e_tag};
pub use batch::{BatchDescriptor, ConsumedBatch, Resume, TakeOver};
pub use buffer_core;
pub use buffer_core::format::{FormatError, Metadata};
pub use buffer_core::{
    AckError, AckRefusal, CollectError, DeliveryError, DeliveryFailure, Ended, Fault, FlushError,
    InitializeError, ManifestError, NextError, SkipError, StoreError, StoreErrorKind,
    StoreOperation, Submission, SubmitError,
};
pub use client::StoreClient;
pub use config::{CompressionType, ConfigError, ConsumerConfig, InspectorConfig, ProducerConfig};
pub use consumer::{Consumer, ConsumerStats};
pub use fetch::{FetchError, FetchHandle};
pub use handle::Handle;
pub use inspect::{
    BatchObject, Depth, InspectError, Inspector, LookError, OldestBatch, Problem, QueueObjects,
    QueueStatus, Reading, Sweep, SweepError, SweptFile, SweptPage, Verification,
};
pub use listing::{ListStream, Listings};
pub use local::{LocalDirectory, LocalFiles};
pub use memory::MemoryStore;
pub use open::{open_existing_store, open_store};
pub use pipeline::{
    Pipeline, PipelineConfig, PipelineError, PipelineStats, Poison, Sink, SinkError,
};
pub use prefixed::PrefixedStore;
pub use probe::{
    CheckResult, FlushAdvice, FlushBound, Latency, Probe, ProbeCheck, ProbeOptions, ProbeReport,
};
pub use producer::{DurabilityWatcher, Producer, ProducerStats, WriteHandle};
pub use runtime::{BoxFuture, Clock, Runtime, SystemClock};
pub use store::{Store, StoreFailure};
pub use store_url::{
    CloudStore, OptionKind, Provider, STORE_OPTIONS, StoreLocation, StoreOption, StoreOptions,
    StorePlace, process_environment,
};
