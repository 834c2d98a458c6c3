//! How writers of one manifest keep out of each other's way.

use core::time::Duration;

/// The window never grows past this.
const MOST: Duration = Duration::from_secs(4);
/// A window of less than this is none: there is nobody to give way to.
const LEAST: Duration = Duration::from_millis(1);

/// Learns from conflicts how far apart to spread one's own swaps.
///
/// Each conflict doubles the window from which waits are drawn, each success
/// halves it: writers that share a manifest settle where about every second
/// swap succeeds, however many they are, and what they upload meanwhile goes
/// into one swap. Who has waited long draws from a smaller window, so that
/// nobody is left behind.
#[derive(Clone, Debug)]
pub(crate) struct Contention {
    window: Duration,
}

impl Contention {
    pub(crate) const fn new() -> Self {
        Self { window: Duration::ZERO }
    }

    /// How long to wait before reading and swapping again; `took` is how long the swap was out.
    pub(crate) fn on_conflict(
        &mut self,
        took: Duration,
        waited: Duration,
        random: &mut fastrand::Rng,
    ) -> Duration {
        let least = took.max(LEAST);
        self.window = self.window.saturating_mul(2).clamp(least, MOST.max(least));
        let urgency = 1.0 + waited.as_secs_f64() / self.window.as_secs_f64();
        self.window.mul_f64(random.f64() / urgency)
    }

    /// How long to let others have their turn after a swap that succeeded.
    pub(crate) fn on_success(
        &mut self,
        took: Duration,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        self.window /= 2;
        if self.window < took.max(LEAST) {
            self.window = Duration::ZERO;
            return None;
        }
        Some(self.window.mul_f64(random.f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(20);

    #[test]
    fn alone_there_is_no_wait() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut contention = Contention::new();
        assert_eq!(contention.on_success(TOOK, &mut random), None);
    }

    #[test]
    fn the_window_grows_with_conflicts_is_bounded_and_shrinks_with_successes() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut contention = Contention::new();
        for _ in 0..64 {
            let wait = contention.on_conflict(TOOK, Duration::ZERO, &mut random);
            assert!(wait <= MOST);
        }
        assert_eq!(contention.window, MOST);
        for _ in 0..16 {
            contention.on_success(TOOK, &mut random);
        }
        assert_eq!(contention.window, Duration::ZERO);
    }

    #[test]
    fn who_has_waited_long_waits_less() {
        let mean = |waited| {
            let mut random = fastrand::Rng::with_seed(1);
            let mut contention = Contention { window: Duration::from_millis(500) };
            let draws = (0..200).map(|_| {
                contention.window = Duration::from_millis(500);
                contention.on_conflict(TOOK, waited, &mut random)
            });
            draws.sum::<Duration>() / 200
        };
        assert!(mean(Duration::from_secs(9)) * 5 < mean(Duration::ZERO));
    }
}
