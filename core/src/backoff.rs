//! How long to wait before the next try.

use core::time::Duration;

/// How long a failed request waits before it is tried again, at first.
pub(crate) const RETRY_BASE: Duration = Duration::from_millis(50);
/// How long it waits at the most.
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(5);

/// Exponential back-off with jitter: each failure doubles the window, and the wait is drawn from its later half.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(base: Duration, most: Duration) -> Self {
        Self { base, most, failures: 0 }
    }

    /// The wait after one more failure: between half of the window and all of it.
    pub(crate) fn after_failure(&mut self, random: &mut fastrand::Rng) -> Duration {
        self.after_failure_at(random.f64())
    }

    /// The same with a draw from `0.0..1.0` that was made before.
    pub(crate) fn after_failure_at(&mut self, draw: f64) -> Duration {
        let window = self.base.saturating_mul(1 << self.failures.min(20)).min(self.most);
        crate::sometimes!(BackoffAtMost, window == self.most);
        self.failures = self.failures.saturating_add(1);
        window.mul_f64(0.5 + 0.5 * draw)
    }

    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_start_again_after_a_success() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        for window in [10, 20, 40, 80, 100, 100] {
            let wait = backoff.after_failure(&mut random);
            let window = Duration::from_millis(window);
            assert!(wait >= window / 2 && wait <= window, "{wait:?} of {window:?}");
        }
        backoff.reset();
        assert!(backoff.after_failure(&mut random) <= Duration::from_millis(10));
    }
}
