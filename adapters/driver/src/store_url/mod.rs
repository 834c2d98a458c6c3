//! What a store's URL and its options mean, once for all adapters.
//!
//! An adapter calls [`open_store`](crate::open_store) with a function that makes
//! a client from a [`CloudStore`]; everything before that happens here.

mod cloud;
mod endpoint;
mod location;
mod options;
mod place;
mod redact;
mod secrets;
mod table;

pub use cloud::{CloudStore, Provider};
pub use location::StoreLocation;
pub use options::StoreOptions;
pub use place::{StorePlace, process_environment};
pub(crate) use secrets::Secrets;
pub use table::{OptionKind, STORE_OPTIONS, StoreOption};
