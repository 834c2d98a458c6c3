//! Deterministic simulation of opendata-buffer: virtual time, a scripted store, one seed.
//!
//! | you want | |
//! |---|---|
//! | to prove **your own consumer and database** exactly-once, in a test | [`kit`]: begin there; ten minutes |
//! | your code over `object_store` on the simulated store | [`SimStore`], with the feature `object-store` |
//! | to write one situation out by hand | [`kit::World`], or the parts below |
//! | to see what is done to the buffer itself | [`swarm`] and [`scenarios`], and `cargo sim` |
//!
//! # The parts
//!
//! A [`SimRuntime`] is a world of its own. Nothing in it sleeps, and it has
//! one thread: when no task can go on, virtual time moves to the next timer. A
//! [`Process`] is a part of the world that has a wall clock of its own and can
//! crash. A [`SimStore`] belongs to the world, not to a process: a request that
//! it has accepted takes its course, whatever becomes of the one who asked.
//!
//! Every choice comes from the seed by way of a [`Random`] and is numbered, so that
//! the same seed gives the same [`trace`](SimRuntime::trace_hash), and so that one
//! choice can be [made otherwise](SimOptions::changes). What a [`Verdict`] did to a
//! request counts as [active](SimStore::active) only if somebody saw the difference.
//!
//! What happened can be kept as data ([`event`]) and drawn ([`chart`]). A world that failed is
//! made as small as it gets by [`swarm::shrink`].
//!
//! ```
//! use std::time::Duration;
//!
//! use buffer_core::{Condition, Location, StoreErrorKind, WriteOutcome};
//! use buffer_driver::Store;
//! use buffer_sim::{Latency, Profile, SimRuntime, SimStore, Verdict};
//!
//! let runtime = SimRuntime::new(7);
//! let store = SimStore::new(&runtime, Profile::S3);
//! store.set_latency(Latency::fixed(Duration::from_millis(20)));
//! let location = Location::new("queue/manifest");
//!
//! runtime.block_on(async {
//!     // The first reply is lost, though the write took effect ...
//!     let rule = store.fault(|request| match request.number {
//!         1 => Verdict::ApplyThenFail(StoreErrorKind::Transient),
//!         _ => Verdict::Pass,
//!     });
//!     let lost = store.write(&location, vec!["one".into()], Condition::Absent).await;
//!     assert_eq!(lost.expect_err("its reply was lost").kind, StoreErrorKind::Transient);
//!     drop(rule);
//!
//!     // ... and the second attempt meets it.
//!     let again = store.write(&location, vec!["two".into()], Condition::Absent).await;
//!     assert_eq!(again.expect("it was answered"), WriteOutcome::Conflict);
//! });
//!
//! assert_eq!(runtime.elapsed(), Duration::from_millis(40));
//! assert_eq!(store.object(&location).expect("it was stored").bytes, "one");
//! ```

pub mod chart;
mod clock;
mod decisions;
pub mod event;
mod executor;
pub mod exhaustive;
mod guard;
pub mod kit;
mod oneshot;
mod plant;
mod process;
mod runtime;
pub mod scenarios;
mod slab;
mod store;
pub mod swarm;
mod timer;
mod trace;

pub use buffer_core;
pub use buffer_driver;
pub use bytes;
pub use clock::SimClock;
pub use decisions::{Decision, Place, Random};
pub use plant::hooks_are_on;
pub use process::{Join, Moment, Process, ProcessId};
pub use runtime::{SimOptions, SimRuntime};
pub use store::{
    Applied, Change, Counts, FaultGuard, Jitter, Kind, Latency, ListingOrder, ModifiedTimes,
    Operation, Profile, Quirk, Request, Requester, SimStore, Verdict, Versions, Written,
};
pub use timer::Sleep;
