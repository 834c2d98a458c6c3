//! A stateless buffer in front of a database, kept in object storage: for
//! services on tokio, over `object_store`.

mod consumer;
mod open;
mod producer;
#[cfg(doctest)]
mod readme;
mod runtime;
mod store;

pub use buffer_driver::*;
pub use consumer::Consumer;
pub use open::open_store;
pub use producer::Producer;
pub use runtime::TokioRuntime;
pub use store::ObjectStoreAdapter;
