//! Stores a queue's batches in a database of the caller's, several at a time.

mod config;
mod error;
mod run;
mod sink;
mod worker;

pub use config::{PipelineConfig, Poison};
pub use error::{PipelineError, SinkError};
pub use run::{Pipeline, PipelineStats};
pub use sink::Sink;
