//! How long a simulated store takes.

use std::time::Duration;

use crate::decisions::Random;

/// How long requests take: one half of it before the store looks, the other half after.
///
/// ```
/// use std::time::Duration;
/// use buffer_sim::{Jitter, Latency};
///
/// let latency = Latency {
///     bandwidth: Some(100 << 20),
///     jitter: Some(Jitter {
///         up_to: Duration::from_millis(10),
///         slow_one_in: 100,
///         slow_by: Duration::from_secs(2),
///     }),
///     ..Latency::fixed(Duration::from_millis(20))
/// };
/// assert_eq!(latency.read, Duration::from_millis(20));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// What every read takes.
    pub read: Duration,
    /// What every write takes.
    pub write: Duration,
    /// Bytes per second; the transfer comes before a write and after a read. `None` is no limit.
    pub bandwidth: Option<u64>,
    /// What requests take longer at random.
    pub jitter: Option<Jitter>,
}

/// What requests take longer at random: all a little, some few much.
///
/// ```
/// use std::time::Duration;
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{Jitter, Latency, Profile, SimRuntime, SimStore};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let jitter = Jitter {
///     up_to: Duration::from_millis(10),
///     slow_one_in: 1, // a bad day: every one of them
///     slow_by: Duration::from_secs(2),
/// };
/// let usual = Latency::fixed(Duration::from_millis(20));
/// store.set_latency(Latency { jitter: Some(jitter), ..usual });
/// runtime.block_on(store.read(&Location::new("queue/manifest"), None))?;
/// assert!((2_020..=2_030).contains(&runtime.elapsed().as_millis()));
/// # Ok::<(), buffer_driver::StoreFailure>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter {
    /// Every request takes up to this much longer, all delays being equally likely.
    pub up_to: Duration,
    /// One request in so many is slow; zero for none.
    pub slow_one_in: u32,
    /// What a slow request takes longer still.
    pub slow_by: Duration,
}

impl Latency {
    /// All requests take equally long.
    #[must_use]
    pub const fn fixed(duration: Duration) -> Self {
        Self { read: duration, write: duration, bandwidth: None, jitter: None }
    }

    /// How long it takes to send this many bytes.
    pub(crate) fn transfer(&self, bytes: usize) -> Duration {
        let Some(per_second) = self.bandwidth else { return Duration::ZERO };
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Jitter {
    /// `which` tells requests apart that are not alike.
    pub(crate) fn draw(&self, random: &mut Random, which: u64) -> Duration {
        let up_to = u64::try_from(self.up_to.as_nanos()).unwrap_or(u64::MAX);
        let little =
            Duration::from_nanos(random.of_one("jitter of a request", which).u64(..=up_to));
        let slow = self.slow_one_in > 0
            && random.of_one("slow request", which).usually(1).u32(..self.slow_one_in) == 0;
        if slow { little + self.slow_by } else { little }
    }
}
