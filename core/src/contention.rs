//! How writers of one manifest keep out of each other's way.

use core::time::Duration;

/// A window of less than this is none: there is nobody to give way to.
const LEAST: Duration = Duration::from_millis(1);
/// The window never grows past this.
const MOST: Duration = Duration::from_secs(4);
/// Nor past this many times what a swap takes.
const MOST_SWAPS: u32 = 32;
/// After waiting for so many times what a swap takes, waits are half as long.
const PATIENCE_SWAPS: u32 = 16;
/// After how many successes with more to swap at once there is a pause, in case that others never get their turn.
const STREAK: u32 = 8;
/// How long that pause is, in times of what a read and a swap take together: another writer fits into it.
const PAUSE_TURNS: f64 = 1.5;

/// Learns from conflicts how far apart to spread one's own swaps.
///
/// Each conflict doubles the window from which waits are drawn, each success
/// takes a quarter off it; what is uploaded meanwhile goes into one swap. Three
/// things keep writers from being left behind:
///
/// - who has waited long draws from a smaller window;
/// - the window is bounded in terms of what a swap takes, so that a writer
///   with bad luck still takes part;
/// - a writer that always wins never sees a conflict: its next swap is on the
///   way before anybody else has read what the last one wrote. It makes room
///   now and then, and learns from the conflict that follows.
#[derive(Clone, Debug)]
pub(crate) struct Contention {
    window: Duration,
    /// What a read took last.
    read: Duration,
    /// Successes since the last conflict after which there was more to swap at once.
    streak: u32,
}

impl Contention {
    pub(crate) const fn new() -> Self {
        Self { window: Duration::ZERO, read: Duration::ZERO, streak: 0 }
    }

    /// Notes how long the manifest took to be read.
    pub(crate) const fn on_read(&mut self, took: Duration) {
        self.read = took;
    }

    /// How long to wait before reading and swapping again; `took` is how long
    /// the swap was out, `waited` how long the oldest batch has been waiting.
    pub(crate) fn on_conflict(
        &mut self,
        took: Duration,
        waited: Duration,
        random: &mut fastrand::Rng,
    ) -> Duration {
        let took = took.max(LEAST);
        let most = took.saturating_mul(MOST_SWAPS).min(MOST).max(took);
        self.streak = 0;
        crate::sometimes!(ContentionDoubled, self.window >= took && self.window < most);
        crate::sometimes!(ContentionCapped, self.window >= most && took < most);
        self.window = self.window.saturating_mul(2).clamp(took, most);
        let patience = took.saturating_mul(PATIENCE_SWAPS);
        crate::sometimes!(ContentionUrgent, waited > patience);
        let urgency = 1.0 + waited.as_secs_f64() / patience.as_secs_f64();
        self.window.mul_f64(random.f64() / urgency)
    }

    /// How long to let others have their turn after a swap that succeeded; `more` says that another would follow at once.
    pub(crate) fn on_success(
        &mut self,
        took: Duration,
        more: bool,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        self.window = self.window * 3 / 4;
        self.streak = self.streak.saturating_add(u32::from(more));
        if self.window >= took.max(LEAST) {
            crate::sometimes!(ContentionPause);
            return Some(self.window.mul_f64(random.f64()));
        }
        self.window = Duration::ZERO;
        let turn = took.saturating_add(self.read.max(took)).min(MOST);
        let pause = turn.mul_f64(PAUSE_TURNS * (0.75 + 0.5 * random.f64()));
        let makes_room = more && self.streak.is_multiple_of(STREAK);
        crate::sometimes!(ContentionMadeRoom, makes_room);
        makes_room.then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(20);

    #[test]
    fn alone_there_is_hardly_a_wait() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut contention = Contention::new();
        for _ in 0..10 {
            for _ in 1..STREAK {
                assert_eq!(contention.on_success(TOOK, true, &mut random), None);
                assert_eq!(contention.on_success(TOOK, false, &mut random), None);
            }
            let pause =
                contention.on_success(TOOK, true, &mut random).expect("the eighth makes room");
            assert!(pause >= 2 * TOOK && pause <= 4 * TOOK, "{pause:?}");
        }
    }

    #[test]
    fn the_window_grows_with_conflicts_is_bounded_and_shrinks_with_successes() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut contention = Contention::new();
        for _ in 0..64 {
            let wait = contention.on_conflict(TOOK, Duration::ZERO, &mut random);
            assert!(wait <= TOOK * MOST_SWAPS);
        }
        assert_eq!(contention.window, TOOK * MOST_SWAPS);
        let slow = Duration::from_secs(30);
        assert!(contention.on_conflict(slow, Duration::ZERO, &mut random) <= slow);
        for _ in 0..32 {
            contention.on_success(TOOK, false, &mut random);
        }
        assert_eq!(contention.window, Duration::ZERO);
    }

    #[test]
    fn who_has_waited_long_waits_less() {
        let mean = |waited| {
            let mut random = fastrand::Rng::with_seed(1);
            let draws = (0..200).map(|_| {
                let mut contention = Contention { window: TOOK * 8, ..Contention::new() };
                contention.on_conflict(TOOK, waited, &mut random)
            });
            draws.sum::<Duration>() / 200
        };
        assert!(mean(TOOK * PATIENCE_SWAPS * 4) * 4 < mean(Duration::ZERO));
    }
}
