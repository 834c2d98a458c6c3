//! The async shell of opendata-buffer: the loop, the handles and the waiters, once.
//!
//! An adapter brings a [`Runtime`] and a [`Store`]; the simulator brings its
//! own of both, and runs this very code.

mod batch;
mod config;
mod consumer;
mod engine;
mod fetch;
mod host;
mod local;
mod producer;
mod runtime;
mod store;

pub use batch::{BatchDescriptor, ConsumedBatch, Resume, TakeOver};
pub use buffer_core as core;
pub use buffer_core::format::{FormatError, Metadata};
pub use buffer_core::{
    AckError, AckRefusal, DeliveryError, DeliveryFailure, Ended, Fault, FlushError,
    InitializeError, ManifestError, NextError, SkipError, StoreError, StoreErrorKind,
    StoreOperation, Submission, SubmitError,
};
pub use config::{CompressionType, ConfigError, ConsumerConfig, ProducerConfig, StoreLocation};
pub use consumer::{Consumer, ConsumerStats};
pub use fetch::{FetchError, FetchHandle};
pub use local::{LocalDirectory, LocalFiles};
pub use producer::{DurabilityWatcher, Producer, ProducerStats, WriteHandle};
pub use runtime::{BoxFuture, Clock, Runtime, SystemClock};
pub use store::{Store, StoreFailure};
