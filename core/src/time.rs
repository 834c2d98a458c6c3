//! Time as the host tells it: two clocks, read together.

use core::ops::Add;
use core::time::Duration;

/// A point on the host's monotonic clock, counted from an origin of its choice.
///
/// ```
/// use buffer_core::Instant;
/// use core::time::Duration;
///
/// let start = Instant::from_origin(Duration::from_secs(5));
/// let later = start + Duration::from_secs(2);
/// assert_eq!(later.since_origin(), Duration::from_secs(7));
/// assert_eq!(later.saturating_since(start), Duration::from_secs(2));
/// assert_eq!(start.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The instant that lies `since_origin` after the clock's origin.
    #[must_use]
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// How long after the clock's origin this is.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time, which is past every deadline.
    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }
}

/// A point on the wall clock, in milliseconds since the Unix epoch.
///
/// It may jump in both directions; nothing here depends on its being right.
///
/// ```
/// use buffer_core::UnixMillis;
/// use core::time::Duration;
///
/// assert_eq!(UnixMillis(1_500).saturating_since(UnixMillis(500)), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The time from `earlier` to this one; zero when `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// Both clocks, read once, when the input they come with was in hand.
///
/// ```
/// use buffer_core::{Instant, Now, UnixMillis};
/// use core::time::Duration;
///
/// let at = |monotonic, wall| Now {
///     monotonic: Instant::from_origin(Duration::from_secs(monotonic)),
///     wall: UnixMillis(wall),
/// };
/// // The machine slept for a minute, in which its monotonic clock stood still.
/// assert_eq!(at(11, 70_000).age_of(at(10, 10_000)), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Drives timers, back-off and deadlines.
    pub monotonic: Instant,
    /// Stamps submissions and object names, and is the second opinion on an upload's age.
    pub wall: UnixMillis,
}

impl Now {
    /// How old what began at `start` is, by the larger of the two clocks.
    ///
    /// A machine that was suspended may have stopped its monotonic clock, and
    /// a wall clock may have been set back; both at once is not survived.
    #[must_use]
    pub fn age_of(self, start: Self) -> Duration {
        let monotonic = self.monotonic.saturating_since(start.monotonic);
        let wall = self.wall.saturating_since(start.wall);
        crate::sometimes!(WallClockAhead, wall > monotonic + Duration::from_secs(1));
        if crate::planted!(SuspensionUnnoticed) { monotonic } else { monotonic.max(wall) }
    }
}
