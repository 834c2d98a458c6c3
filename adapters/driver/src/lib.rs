//! The async shell of opendata-buffer: the loop, the handles and the waiters, once.
//!
//! An adapter brings a [`Runtime`] and a [`Store`]; the simulator brings its
//! own of both, and runs this very code.

mod local;
mod runtime;
mod store;

pub use local::{LocalDirectory, LocalFiles};
pub use runtime::{BoxFuture, Clock, Runtime, SystemClock};
pub use store::{Store, StoreFailure};
