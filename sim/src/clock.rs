//! Wall clocks, right and wrong.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use buffer_core::UnixMillis;
use buffer_driver::Clock;

use crate::runtime::SimRuntime;

/// What the clock showed at some point in virtual time, and how it has gone on since.
#[derive(Clone, Copy)]
struct Anchor {
    shown: SystemTime,
    at: Duration,
    frozen: bool,
    /// How much faster it goes than it should, in parts per million.
    drift: i32,
}

impl Anchor {
    /// What the clock makes of this much time.
    fn passed(self, time: Duration) -> Duration {
        if self.frozen {
            return Duration::ZERO;
        }
        if self.drift == 0 {
            return time;
        }
        // In whole numbers: a float might be rounded otherwise on another machine.
        let off = time.as_nanos() * u128::from(self.drift.unsigned_abs()) / 1_000_000;
        let off = Duration::from_nanos(u64::try_from(off).unwrap_or(u64::MAX));
        if self.drift < 0 { time - off } else { time + off }
    }
}

/// A wall clock that follows virtual time until it is set, stopped or started again.
///
/// Clones are handles of the same clock.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use buffer_core::UnixMillis;
/// use buffer_driver::Clock;
/// use buffer_sim::SimRuntime;
///
/// let runtime = SimRuntime::new(1);
/// let (right, wrong) = (runtime.clock(), runtime.clock());
/// wrong.jump_back(Duration::from_secs(60));
/// runtime.advance(Duration::from_secs(5));
/// let behind = right.now().duration_since(wrong.now());
/// assert_eq!(behind.expect("it was set back"), Duration::from_secs(60));
/// // It is set to a day of its own, and stands still ...
/// wrong.set(SystemTime::UNIX_EPOCH);
/// wrong.freeze();
/// runtime.advance(Duration::from_secs(100));
/// assert_eq!(wrong.unix_millis(), UnixMillis(0));
///
/// // ... and from here on it gains a millisecond a second.
/// wrong.thaw();
/// wrong.set_drift(1_000);
/// wrong.jump(Duration::from_secs(1));
/// runtime.advance(Duration::from_secs(100));
/// assert_eq!(wrong.unix_millis(), UnixMillis(101_100));
/// ```
#[derive(Clone)]
pub struct SimClock {
    runtime: SimRuntime,
    anchor: Arc<Mutex<Anchor>>,
}

impl SimClock {
    pub(crate) fn new(runtime: SimRuntime, shown: SystemTime) -> Self {
        let anchor = Anchor { shown, at: runtime.elapsed(), frozen: false, drift: 0 };
        Self { runtime, anchor: Arc::new(Mutex::new(anchor)) }
    }

    /// Sets what the clock shows.
    pub fn set(&self, shown: SystemTime) {
        let at = self.runtime.elapsed();
        let mut anchor = self.anchor();
        (anchor.shown, anchor.at) = (shown, at);
    }

    /// Sets the clock forward.
    pub fn jump(&self, by: Duration) {
        self.set(self.now() + by);
    }

    /// Sets the clock back.
    pub fn jump_back(&self, by: Duration) {
        self.set(self.now() - by);
    }

    /// Lets the clock go faster than it should by so many parts per million, or slower.
    ///
    /// # Panics
    ///
    /// When it would go backwards.
    pub fn set_drift(&self, parts_per_million: i32) {
        assert!(parts_per_million > -1_000_000, "a clock does not run backwards");
        self.set(self.now());
        self.anchor().drift = parts_per_million;
    }

    /// Stops the clock.
    pub fn freeze(&self) {
        self.set(self.now());
        self.anchor().frozen = true;
    }

    /// Lets the clock go on from what it shows.
    pub fn thaw(&self) {
        self.set(self.now());
        self.anchor().frozen = false;
    }

    /// The time of day as core counts it.
    #[must_use]
    pub fn unix_millis(&self) -> UnixMillis {
        // In 64 bits: it is asked for at every request.
        let millis = |since: Duration| {
            let seconds = i64::try_from(since.as_secs()).ok()?;
            seconds.checked_mul(1_000)?.checked_add(i64::from(since.subsec_millis()))
        };
        let millis = match self.now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => millis(before.duration()).map(|millis| -millis),
        };
        UnixMillis(millis.expect("a simulated clock stays within some hundred million years"))
    }

    fn anchor(&self) -> MutexGuard<'_, Anchor> {
        self.anchor.lock().expect("nothing panics while it holds a clock")
    }
}

impl Clock for SimClock {
    fn now(&self) -> SystemTime {
        let elapsed = self.runtime.elapsed();
        let anchor = *self.anchor();
        anchor.shown + anchor.passed(elapsed - anchor.at)
    }
}

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimClock").field(&self.now()).finish()
    }
}
