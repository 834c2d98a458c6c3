//! Random worlds: what their seeds decide, what lives in them, and what must hold.
//!
//! | | |
//! |---|---|
//! | I1, I2 | what was acknowledged to a producer's caller is delivered |
//! | I3 | everything delivered was submitted, byte for byte |
//! | I4 | durable, not delivered, unknown: "not delivered" never is, "unknown" at most once |
//! | I5 | no consumer hands a batch out twice in its life |
//! | I6 | sequences are contiguous and never reused |
//! | I7 | a producer's submissions are listed in order |
//! | I8 | a sequence names the same batch for ever |
//! | I9 | once a higher epoch is stored, no lower one changes the manifest |
//! | I10 | a database that stores batch and sequence together ends with each batch once |
//! | I11 | only what was acknowledged is dequeued |
//! | I12 | what the collector's rule would delete is never listed again |
//! | I14 | everything comes to an end within a bounded time |
//! | I15 | what is held stays under the limit |
//! | I16 | requests are bounded by batches and faults |
//! | I17 | what is damaged is an error |
//! | I18 | the same seed is the same world |
//!
//! Cases 1 to 4 are what a later reading proves about a swap without a reply; see `judge` in
//! the core's `producer::attempt`.

mod clocks;
mod configs;
mod consumers;
mod damage;
mod database;
mod doom;
mod excuse;
mod exemption;
mod fault_plan;
mod faults;
mod foreign;
mod invariant;
mod kinds;
mod operators;
mod options;
mod oracles;
mod plan;
mod producers;
mod report;
mod run;
mod shrink;
mod signal;
mod tap;
mod token;
mod world;

use std::time::Duration;

use buffer_core::Location;

use crate::Random;

pub use invariant::{Invariant, NoSuchInvariant};
pub use options::{Change, Load, NoSuchLoad, Options};
pub use report::{Failure, Report};
pub use run::run;
pub use shrink::{ShrinkError, Shrunk, Unusual, shrink};
pub use token::{Token, TokenError};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The key of the queue's manifest.
const MANIFEST: &str = "ingest/manifest";

fn manifest() -> Location {
    Location::from(MANIFEST)
}
