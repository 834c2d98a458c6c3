//! Stores to measure with: one that takes its time, and one that counts.
//!
//! Both go over any other [`Store`](crate::Store), and over each other: what is
//! counted outside a [`SlowStore`] has that one's latency in its times.
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! use buffer_driver::measure::{CountingStore, RequestKind, SlowStore, Slowness};
//! # use buffer_driver::{MemoryStore, Runtime, Store};
//! # async fn shown(runtime: Arc<dyn Runtime>) -> Result<(), buffer_driver::StoreFailure> {
//! let slowness = Slowness { latency: Duration::from_millis(20), ..Slowness::default() };
//! let slow = SlowStore::new(MemoryStore::new("slow"), slowness, runtime);
//! let store = CountingStore::new(slow, "ingest/manifest".into());
//! store.read(&"ingest/manifest".into(), None).await?;
//! assert_eq!(store.counts().of(RequestKind::ManifestMissing).requests, 1);
//! # Ok(())
//! # }
//! ```

mod counting;
mod slow;

pub use counting::{CountingStore, RequestCounts, RequestKind, Tally};
pub use slow::{SlowStore, Slowness};
