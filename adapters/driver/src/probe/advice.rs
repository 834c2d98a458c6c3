//! How long producers should wait before they write.

use std::fmt;
use std::time::Duration;

use super::ProbeOptions;

/// What S3 takes for a million writes, in dollars.
const DOLLARS_PER_MILLION_WRITES: f64 = 5.0;

/// Thirty days.
const SECONDS_PER_MONTH: f64 = 2_592_000.0;

/// A flush writes a batch, and swaps the manifest.
const WRITES_PER_FLUSH: f64 = 2.0;

/// Shorter than this gains nothing that anybody waits for, and is the default.
const SHORTEST: Duration = Duration::from_millis(100);

/// Which `flush_interval` fits a store, and why.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use buffer_driver::{FlushBound, Probe, ProbeOptions};
/// # use buffer_driver::{MemoryStore, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("probed"));
/// # let quick = ProbeOptions::default();
/// # let quick = ProbeOptions { samples: 4, swapping: Duration::from_millis(50), ..quick };
/// // The store is fast, and the budget is small.
/// let options = ProbeOptions { monthly_dollars: Some(1.0), ..quick };
/// let report = Probe::new(store, Arc::new(SystemClock), runtime, options).run().await?;
/// let advice = report.advice.ok_or("it can keep a queue")?;
/// assert_eq!((advice.flush_interval, advice.bound), (Duration::from_secs(26), FlushBound::Price));
/// assert!((0.99..=1.0).contains(&advice.dollars_per_month));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FlushAdvice {
    /// The interval.
    pub flush_interval: Duration,
    /// What keeps it from being shorter.
    pub bound: FlushBound,
    /// What each consideration asks for at least: swap latency, key rate, price.
    pub at_least: [(FlushBound, Duration); 3],
    /// What the writes of one producer cost a month that flushes at this interval all the time, in dollars at S3's prices.
    pub dollars_per_month: f64,
}

/// What keeps a flush interval from being shorter.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use buffer_driver::{Probe, ProbeOptions};
/// # use buffer_driver::{MemoryStore, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let store = Arc::new(MemoryStore::new("probed"));
/// # let options = ProbeOptions { monthly_dollars: Some(1.0), ..ProbeOptions::default() };
/// # let options = ProbeOptions { samples: 4, swapping: Duration::from_millis(50), ..options };
/// let report = Probe::new(store, Arc::new(SystemClock), runtime, options).run().await?;
/// let advice = report.advice.ok_or("it can keep a queue")?;
/// for (bound, interval) in advice.at_least {
///     println!("{}: at least {interval:?}, for {bound}", bound.name());
/// }
/// let names = advice.at_least.map(|(bound, _)| bound.name());
/// assert_eq!(names, ["swap_latency", "key_rate", "price"]);
/// assert_eq!(advice.bound.name(), "price");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushBound {
    /// Nothing: it is the default.
    Default,
    /// A swap should be over before the next one begins, even a slow one: twice its p99.
    SwapLatency,
    /// All producers together should ask for half of the swaps that one object takes.
    KeyRate,
    /// What the requests may cost.
    Price,
}

impl FlushBound {
    /// A word for it, as in `--json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::SwapLatency => "swap_latency",
            Self::KeyRate => "key_rate",
            Self::Price => "price",
        }
    }
}

impl fmt::Display for FlushBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "it is the default, and the store is fast enough for it",
            Self::SwapLatency => {
                "twice what a slow swap takes, so that one is over before the next begins"
            }
            Self::KeyRate => {
                "all producers together ask for half of the swaps that the manifest takes"
            }
            Self::Price => "the writes of one busy producer cost no more than the budget",
        })
    }
}

impl FlushAdvice {
    pub(super) fn of(swap_p99: Duration, swaps_per_second: f64, options: &ProbeOptions) -> Self {
        let producers = options.producers.max(1) as f64;
        let price = options.monthly_dollars.map_or(Duration::ZERO, |dollars| {
            seconds(dollars_per_month(Duration::from_secs(1)) / dollars.max(0.01))
        });
        let at_least = [
            (FlushBound::SwapLatency, swap_p99 * 2),
            // A store that took none is asked for one a minute.
            (FlushBound::KeyRate, seconds(2.0 * producers / swaps_per_second.max(1.0 / 60.0))),
            (FlushBound::Price, price),
        ];
        let mut chosen = (FlushBound::Default, SHORTEST);
        for (bound, interval) in at_least {
            if interval > chosen.1 {
                chosen = (bound, interval);
            }
        }
        let flush_interval = rounded_up(chosen.1);
        let dollars_per_month = dollars_per_month(flush_interval);
        Self { flush_interval, bound: chosen.0, at_least, dollars_per_month }
    }
}

fn dollars_per_month(interval: Duration) -> f64 {
    let writes = SECONDS_PER_MONTH / interval.as_secs_f64() * WRITES_PER_FLUSH;
    writes * DOLLARS_PER_MILLION_WRITES / 1e6
}

/// Whatever the store did, an interval is no longer than an hour.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))
}

/// To two digits, as a person would write it.
fn rounded_up(interval: Duration) -> Duration {
    let millis = u64::try_from(interval.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    let mut step = 1;
    while millis / step >= 100 {
        step *= 10;
    }
    Duration::from_millis(millis.div_ceil(step) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(
        swap_ms: u64,
        rate: f64,
        producers: usize,
        dollars: Option<f64>,
    ) -> (u64, FlushBound) {
        let options =
            ProbeOptions { producers, monthly_dollars: dollars, ..ProbeOptions::default() };
        let advice = FlushAdvice::of(Duration::from_millis(swap_ms), rate, &options);
        (advice.flush_interval.as_millis() as u64, advice.bound)
    }

    #[test]
    fn the_interval_follows_from_what_is_scarcest() {
        assert_eq!(advice(1, 2_000.0, 1, None), (100, FlushBound::Default));
        assert_eq!(advice(152, 30.0, 1, None), (310, FlushBound::SwapLatency));
        // Google's one write a second to one object.
        assert_eq!(advice(50, 1.0, 3, None), (6_000, FlushBound::KeyRate));
        assert_eq!(advice(20, 100.0, 1, Some(100.0)), (260, FlushBound::Price));
        assert_eq!(advice(20, 0.0, 1, None), (120_000, FlushBound::KeyRate));
    }

    #[test]
    fn ten_flushes_a_second_cost_259_dollars_a_month() {
        let dollars = dollars_per_month(Duration::from_millis(100));
        assert!((dollars - 259.2).abs() < 0.01, "{dollars}");
    }
}
