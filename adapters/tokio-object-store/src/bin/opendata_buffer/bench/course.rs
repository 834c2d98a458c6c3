//! The course of a run: when it is measured, when it ends, and how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::watch;

/// Longer than this, in microseconds, no time is told apart from longer ones.
const LONGEST: u64 = 3_600_000_000;

/// What all tasks of a run share.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) origin: Instant,
    /// What is settled before is not measured.
    measured_from: Instant,
    /// Nanoseconds from the origin to the end of the measured part, once that is known.
    end: AtomicU64,
    ended: watch::Sender<bool>,
    /// Bytes of entries that became durable.
    durable: AtomicU64,
    /// Bytes of entries that the consumer has handed out.
    consumed: AtomicU64,
}

impl Course {
    /// A run that begins now.
    pub(crate) fn begin(warm_up: Duration) -> Self {
        let origin = Instant::now();
        Self {
            origin,
            measured_from: origin + warm_up,
            end: AtomicU64::new(u64::MAX),
            ended: watch::Sender::new(false),
            durable: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
        }
    }

    pub(crate) const fn measured_from(&self) -> Instant {
        self.measured_from
    }

    /// Nothing is submitted any more, and what is settled from now on is not measured.
    pub(crate) fn end(&self) {
        let now = nanos(self.origin.elapsed());
        // The first who says so has said it.
        let _ = self.end.compare_exchange(u64::MAX, now, Ordering::Relaxed, Ordering::Relaxed);
        self.ended.send_replace(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.load(Ordering::Relaxed) != u64::MAX
    }

    pub(crate) async fn until_ended(&self) {
        let waited = self.ended.subscribe().wait_for(|ended| *ended).await.map(drop);
        waited.expect("the sender is borrowed here");
    }

    /// How long was measured.
    pub(crate) fn measured(&self) -> Duration {
        let end = Duration::from_nanos(self.end.load(Ordering::Relaxed));
        end.saturating_sub(self.measured_from.saturating_duration_since(self.origin))
    }

    /// Whether what happens now is measured.
    pub(crate) fn is_measured(&self, now: Instant) -> bool {
        now >= self.measured_from
            && nanos(now.saturating_duration_since(self.origin)) <= self.end.load(Ordering::Relaxed)
    }

    pub(crate) fn add_durable(&self, bytes: u64) {
        self.durable.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_consumed(&self, bytes: u64) {
        self.consumed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Relaxed)
    }

    pub(crate) fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Times in microseconds, three digits exact.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are sound")
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).map_or(LONGEST, |micros| micros.clamp(1, LONGEST))
}
