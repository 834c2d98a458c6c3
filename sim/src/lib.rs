//! Deterministic simulation of opendata-buffer: virtual time, a scripted store, one seed.
//!
//! A [`SimRuntime`] is a world of its own. Nothing in it sleeps, and it has
//! one thread: when no task can go on, virtual time moves to the next timer. A
//! [`Process`] is a part of the world that has a wall clock of its own and can
//! crash.
//!
//! Every random choice comes from the seed, so that the same seed gives the same
//! [`trace`](SimRuntime::trace_hash).

mod clock;
mod executor;
mod oneshot;
mod process;
mod runtime;
mod timer;
mod trace;

pub use clock::SimClock;
pub use process::{Join, Process, ProcessId};
pub use runtime::{SimOptions, SimRuntime};
pub use timer::Sleep;
