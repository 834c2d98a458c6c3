//! What requests cost, by a table that one can edit.

use std::fs;
use std::path::Path;
use std::time::Duration;

use buffer::measure::{RequestCounts, RequestKind};
use serde::Deserialize;

use crate::exit::Failure;

/// The table that is used unless another is given.
pub(crate) const BUILT_IN: &str = include_str!("prices.json");

/// Thirty days.
const SECONDS_PER_MONTH: f64 = 2_592_000.0;

/// What stores cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    /// What the table says of itself.
    #[serde(default, rename = "note")]
    _note: String,
    pub(crate) stores: Vec<StorePrices>,
}

/// What one store costs, in dollars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StorePrices {
    pub(crate) name: String,
    per_million_writes: f64,
    per_million_reads: f64,
    per_million_listings: f64,
    per_million_deletions: f64,
    per_gb_written: f64,
    per_gb_read: f64,
    per_gb_month: f64,
    /// How long a batch lies in the store before it is collected.
    minutes_kept: f64,
}

impl Prices {
    /// The table in this file, or the one that is built in.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = file else { return Ok(Self::built_in()) };
        let name = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("{name} is no price table: {error}")))
    }

    fn built_in() -> Self {
        serde_json::from_str(BUILT_IN).expect("the table that is built in is sound")
    }
}

impl StorePrices {
    /// What a month costs in which these requests come again and again, every `time`.
    pub(crate) fn per_month(&self, counts: &RequestCounts, time: Duration) -> f64 {
        let mut dollars = 0.0;
        for kind in RequestKind::ALL {
            let tally = counts.of(kind);
            let (per_million, per_gb) = self.of(kind);
            dollars +=
                tally.requests as f64 / 1e6 * per_million + tally.bytes as f64 / 1e9 * per_gb;
        }
        let seconds = time.as_secs_f64().max(1e-9);
        let kept =
            counts.of(RequestKind::BatchPut).bytes as f64 / seconds * self.minutes_kept * 60.0;
        dollars * SECONDS_PER_MONTH / seconds + kept / 1e9 * self.per_gb_month
    }

    /// What a million of these cost, and a gigabyte that they carry. What fails costs the same.
    const fn of(&self, kind: RequestKind) -> (f64, f64) {
        match kind {
            RequestKind::BatchPut
            | RequestKind::BatchRefused
            | RequestKind::SwapWon
            | RequestKind::SwapLost
            | RequestKind::SwapThrottled
            | RequestKind::WriteFailed => (self.per_million_writes, self.per_gb_written),
            RequestKind::List => (self.per_million_listings, 0.0),
            RequestKind::Delete => (self.per_million_deletions, 0.0),
            // `RequestKind` may grow; what is new is a read until somebody thinks about it.
            RequestKind::ManifestGet
            | RequestKind::ManifestNotModified
            | RequestKind::ManifestMissing
            | RequestKind::BatchGet
            | RequestKind::BatchMissing
            | RequestKind::OtherFailed
            | _ => (self.per_million_reads, self.per_gb_read),
        }
    }
}

#[cfg(test)]
mod tests {
    use buffer::buffer_core::Condition;
    use buffer::measure::CountingStore;
    use buffer::{MemoryStore, Store};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_table_that_is_built_in_can_be_read() {
        let prices = Prices::built_in();
        assert!(prices.stores.len() >= 3);
        assert!(prices.stores.iter().any(|store| store.name == "S3 Standard"));
    }

    #[tokio::test]
    async fn ten_flushes_a_second_cost_259_dollars_at_s3() {
        let store = CountingStore::new(MemoryStore::new("priced"), "m".into());
        let write = |key: &'static str| {
            store.write(&key.into(), vec![Bytes::from(vec![0; 1000])], Condition::Absent)
        };
        write("a.batch").await.expect("it writes");
        write("m").await.expect("it writes");
        let prices = Prices::built_in();
        let s3 =
            prices.stores.iter().find(|store| store.name == "S3 Standard").expect("it is there");
        let dollars = s3.per_month(&store.counts(), Duration::from_millis(100));
        // And a few cents for what lies there.
        assert!((dollars - 259.2).abs() < 0.1, "{dollars}");
    }
}
