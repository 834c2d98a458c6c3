//! What every store must do, as suites that run on any of them: behind the feature `contract`.
//!
//! A buffer is as good as the store below it. Whoever implements [`Store`](crate::Store), or
//! brings a server that calls itself compatible with another, runs these before trusting it with a queue:
//!
//! | suite | what it shows |
//! |---|---|
//! | [`run`] | the contract of [`Store`](crate::Store): conditions that hold in a race, listings, awkward keys, large objects |
//! | [`errors`] | that each HTTP answer becomes the right outcome or [`StoreErrorKind`](crate::StoreErrorKind) |
//! | [`queue`] | a queue's whole life, over one pair of store and runtime, or over two at once |
//! | [`inspection`] | that looking at a queue changes nothing, and fences nobody |
//! | [`submissions`] | that nothing is lost, repeated or reported wrongly while answers are lost on the way, by way of [`proxy`] or [`wire`] |
//!
//! [`wire`] is a server to run them on, which can be told to misbehave.
//!
//! All of them write below a prefix of the caller's choice, which nobody else may use, and none
//! cleans up after a violation: what is there then is evidence.
//!
//! ```
//! # use std::sync::Arc;
//! # use buffer_driver::{LocalDirectory, Runtime};
//! use buffer_driver::contract::{self, Contract, Feature};
//!
//! # async fn example(runtime: Arc<dyn Runtime>) -> Result<(), Box<dyn std::error::Error>> {
//! # let store = LocalDirectory::open("/srv/queue", runtime.clone()).map_err(|failure| format!("{failure:?}"))?;
//! let contract = Contract::default()
//!     .lacking(Feature::ObjectBesideItsPrefix, "a file cannot be a directory as well");
//! let report = contract::run(&contract, Arc::new(store), runtime, "contract-4711".into()).await;
//! println!("{report}");
//! report.expect_all();
//! # Ok(())
//! # }
//! ```

mod bench;
mod draw;
pub mod errors;
mod http;
pub mod inspection;
pub mod proxy;
pub mod queue;
mod report;
mod store;
pub mod submissions;
mod tasks;
pub mod wire;

pub use report::{Outcome, Report, ReportLine, Violation};
pub use store::{Contract, Feature, Lack, checks, run};
