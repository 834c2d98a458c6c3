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
    use buffer::{ConsumerConfig, MemoryStore, ProducerConfig, Store};
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

    /// Goal: what the guide says of cost follows from this table and this formula.
    mod guide {
        use super::*;

        const COST: &str = include_str!("../../../../guide/cost.md");

        /// The cells of rows that have so many, and begin with none of these.
        fn rows(cells: usize, heads: &[&str]) -> Vec<Vec<&'static str>> {
            let rows = COST.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
            let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
            rows.filter(|row| row.len() == cells && !heads.contains(&row[0])).collect()
        }

        fn number(cell: &str) -> f64 {
            let cell = cell.trim_start_matches('$');
            cell.parse().unwrap_or_else(|error| panic!("{cell}: {error}"))
        }

        fn store(name: &str) -> StorePrices {
            let mut stores = Prices::built_in().stores.into_iter();
            stores.find(|store| store.name == name).unwrap_or_else(|| panic!("{name} is there"))
        }

        #[test]
        fn the_prices_are_the_tables() {
            let rows = rows(5, &["|"]);
            assert_eq!(rows.len(), 2);
            for row in rows {
                let store = store(row[0]);
                let found: Vec<f64> = row[1..].iter().map(|cell| number(cell)).collect();
                let listed =
                    [store.per_million_writes, store.per_million_listings, store.per_million_reads];
                assert_eq!(found[..3], listed, "{row:?}");
                assert_eq!(found[3], store.per_gb_month, "{row:?}");
                // What the formula leaves out.
                let left_out =
                    [store.per_million_deletions, store.per_gb_written, store.per_gb_read];
                assert_eq!(left_out, [0.0; 3], "{row:?}");
            }
        }

        #[tokio::test]
        async fn the_dollars_follow_from_the_requests() {
            let rows = rows(7, &["what"]);
            assert_eq!(rows.len(), 8);
            for row in rows {
                let [writes, listings, reads] =
                    [1, 2, 3].map(|cell| (number(row[cell]) * 1e4).round() as u64);
                let common = [listings, reads].into_iter().fold(writes, gcd).max(1);
                let counted = CountingStore::new(MemoryStore::new(row[0]), "m".into());
                for number in 0..writes / common {
                    let key = format!("{number}.batch").into();
                    counted.write(&key, Vec::new(), Condition::Absent).await.expect("it writes");
                }
                for _ in 0..listings / common {
                    counted.list(&"q".into(), None).await.expect("it lists");
                }
                for _ in 0..reads / common {
                    counted.read(&"m".into(), None).await.expect("it reads");
                }
                let time = Duration::from_secs_f64(1e4 / common as f64);
                for (cell, name) in [(5, "S3 Standard"), (6, "Google Cloud Storage Standard")] {
                    let store = store(name);
                    let requests = store.per_month(&counted.counts(), time);
                    let dollars = requests + number(row[4]) * store.per_gb_month;
                    assert_eq!(row[cell], format!("${dollars:.2}"), "{row:?}");
                }
            }
        }

        fn gcd(one: u64, other: u64) -> u64 {
            if other == 0 { one } else { gcd(other, one % other) }
        }

        /// Goal: the requests that the guide counts are those of the defaults.
        #[test]
        fn the_requests_follow_from_the_defaults() {
            let (producer, consumer) = (ProducerConfig::default(), ConsumerConfig::default());
            let of = |what: &str| {
                let mut rows = rows(7, &["what"]).into_iter();
                let row = rows.find(|row| row[0].starts_with(what));
                row.unwrap_or_else(|| panic!("{what} is there"))[1..5]
                    .iter()
                    .map(|cell| number(cell))
                    .collect::<Vec<_>>()
            };
            let flushes = 1.0 / producer.flush_interval.as_secs_f64();
            assert_eq!(of("a busy producer"), [2.0 * flushes, 0.0, 0.0, 0.0]);
            let polls = 1.0 / consumer.poll_interval.as_secs_f64();
            let dequeues = 1.0 / consumer.dequeue_interval.as_secs_f64();
            assert_eq!(of("a consumer that keeps up with ten"), [dequeues, 0.0, 10.0 + polls, 0.0]);
            let idle = 1.0 / consumer.poll_interval_max.as_secs_f64();
            assert_eq!(of("a consumer that waits"), [0.0, 0.0, idle, 0.0]);
            let cycles = 1.0 / consumer.gc_interval.as_secs_f64();
            let collector = of("a collector over ten thousand objects");
            assert!((collector[1] - 10.0 * cycles).abs() < 1e-4, "{collector:?}");
            assert!((collector[2] - cycles).abs() < 1e-4, "{collector:?}");
            let kept = consumer.gc_grace_period + consumer.gc_interval;
            assert_eq!(of("10 MB/s"), [0.0, 0.0, 0.0, 10e6 * kept.as_secs_f64() / 1e9]);
        }
    }
}
