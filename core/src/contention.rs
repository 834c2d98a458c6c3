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
/// After losing for so many times what a swap takes, it may be a crowd and not bad luck.
const CROWD_SWAPS: u32 = 48;
/// After losing for so many it is one, whoever else is served.
const CROWD_PROVEN_SWAPS: u32 = 256;
/// How many swaps a store takes that throttles is known to nobody: a crowd is where waits have added up to 48 times this.
const THROTTLED_TURN: Duration = Duration::from_millis(200);
/// This share of the time that was lost is the window of who is passed by all the same.
const OVERTAKEN_SHARE: u32 = 8;
/// Nobody stays away for more than this share of the time in which a batch must be delivered.
const DELIVERY_SHARE: u32 = 4;
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
///
/// Where a thousand writers wait, that bound would make a storm, and all of
/// them have waited long. Who has lost for long has that many before it: so
/// many swaps got through meanwhile. If they are of batches as old as its own,
/// all are served alike, and it stays away for as long as it has been losing. If
/// they are younger, it is not the crowd that keeps it from its turn but its
/// manners, and it goes on as above.
#[derive(Clone, Debug)]
pub(crate) struct Contention {
    window: Duration,
    /// What a read took last.
    read: Duration,
    /// What a swap takes.
    swap: Duration,
    /// Successes since the last conflict after which there was more to swap at once.
    streak: u32,
    /// How long was lost to others since the last success.
    lost: Duration,
    /// What a swap takes at least where the store takes only so many.
    turn: Duration,
    /// Others list what they uploaded long after us.
    overtaken: bool,
}

/// How urgent it is to be heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Urgency {
    /// How long the oldest batch has been waiting.
    pub(crate) waited: Duration,
    /// How long it can still wait.
    pub(crate) left: Duration,
}

impl Contention {
    pub(crate) const fn new() -> Self {
        let none = Duration::ZERO;
        Self {
            window: none,
            read: none,
            swap: none,
            streak: 0,
            lost: none,
            turn: none,
            overtaken: false,
        }
    }

    /// What a swap takes by all that is known; zero before the first.
    pub(crate) const fn usual_swap(&self) -> Duration {
        self.swap
    }

    /// Notes how long the manifest took to be read.
    pub(crate) const fn on_read(&mut self, took: Duration) {
        self.read = took;
    }

    /// Notes whether others list what they uploaded long after us.
    pub(crate) const fn on_others(&mut self, overtaken: bool) {
        self.overtaken = overtaken;
    }

    /// How long to wait before reading and swapping again; `took` is how long the swap was out.
    pub(crate) fn on_conflict(
        &mut self,
        took: Duration,
        urgency: Urgency,
        random: &mut fastrand::Rng,
    ) -> Duration {
        let took = self.note_swap(took);
        let most = took.saturating_mul(MOST_SWAPS).min(MOST);
        self.streak = 0;
        crate::sometimes!(ContentionDoubled, self.window >= took && self.window < most);
        crate::sometimes!(ContentionCapped, self.window >= most && took < most);
        self.window = self.window.saturating_mul(2).clamp(took, most);
        let patience = took.saturating_mul(PATIENCE_SWAPS);
        crate::sometimes!(ContentionUrgent, urgency.waited > patience);
        let hurry = 1.0 + urgency.waited.as_secs_f64() / patience.as_secs_f64();
        self.lost = self.lost.saturating_add(self.read).saturating_add(took);
        let window =
            self.window.mul_f64(1.0 / hurry).max(self.crowd_window(took.max(self.turn), urgency));
        let wait = window.mul_f64(random.f64());
        self.lost = self.lost.saturating_add(wait);
        wait
    }

    /// What a swap takes by all that is known. One slow reply says little of the next:
    /// it counts for no more than twice what was known before, and for no more than a wait may be.
    fn note_swap(&mut self, took: Duration) -> Duration {
        let most = if self.swap.is_zero() { MOST } else { self.swap.saturating_mul(2).min(MOST) };
        self.swap = took.clamp(LEAST, most);
        self.swap
    }

    /// How long to wait after the store asked for fewer swaps, if it would be `wait` otherwise.
    pub(crate) fn on_throttled(
        &mut self,
        wait: Duration,
        urgency: Urgency,
        random: &mut fastrand::Rng,
    ) -> Duration {
        self.turn = THROTTLED_TURN;
        let wait = wait.max(self.crowd_window(self.turn, urgency).mul_f64(random.f64()));
        self.lost = self.lost.saturating_add(wait);
        wait
    }

    /// How far apart writers must be spread if they are as many as what was
    /// lost to them tells; `turn` is how long one swap keeps all others out.
    fn crowd_window(&self, turn: Duration, Urgency { waited, left }: Urgency) -> Duration {
        let proof = if self.overtaken { CROWD_PROVEN_SWAPS } else { CROWD_SWAPS };
        if self.lost < turn.saturating_mul(proof) {
            return Duration::ZERO;
        }
        crate::sometimes!(ContentionCrowd);
        let crowd = if self.overtaken { self.lost / OVERTAKEN_SHARE } else { self.lost };
        // One more try must fit into the time that is left.
        let tries = left.saturating_sub(self.read.saturating_add(turn) * 2);
        crowd.min(waited.saturating_add(left) / DELIVERY_SHARE).min(tries)
    }

    /// How long to let others have their turn after a swap that succeeded; `more` says that another would follow at once.
    pub(crate) fn on_success(
        &mut self,
        took: Duration,
        more: bool,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        let took = self.note_swap(took);
        self.lost = Duration::ZERO;
        self.turn = Duration::ZERO;
        self.window = self.window * 3 / 4;
        self.streak = self.streak.saturating_add(u32::from(more));
        if self.window >= took {
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
    const AT_EASE: Urgency = Urgency { waited: Duration::ZERO, left: Duration::from_secs(120) };

    /// No crowd is waited for.
    const NO_TIME: Urgency = Urgency { waited: Duration::ZERO, left: Duration::ZERO };

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
            let wait = contention.on_conflict(TOOK, NO_TIME, &mut random);
            assert!(wait <= TOOK * MOST_SWAPS);
        }
        assert_eq!(contention.window, TOOK * MOST_SWAPS);
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
                let urgency = Urgency { waited, ..AT_EASE };
                contention.on_conflict(TOOK, urgency, &mut random)
            });
            draws.sum::<Duration>() / 200
        };
        assert!(mean(TOOK * PATIENCE_SWAPS * 4) * 4 < mean(Duration::ZERO));
    }

    /// Goal: each wait is drawn from what was lost so far, so that the number of tries is
    /// logarithmic in the size of the crowd, and that ends with the first success.
    #[test]
    fn who_loses_for_long_to_batches_of_its_age_stays_away_for_as_long() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut contention = Contention::new();
        let mut tries = 0;
        while contention.lost < TOOK * 1000 {
            let before = contention.lost;
            let urgency = Urgency { waited: before, left: Duration::from_secs(120) - before };
            let wait = contention.on_conflict(TOOK, urgency, &mut random);
            assert!(wait <= (before + TOOK).max(TOOK * MOST_SWAPS), "{wait:?} after {before:?}");
            tries += 1;
        }
        assert!(tries < 40, "{tries}");
        contention.on_success(TOOK, false, &mut random);
        assert!(contention.on_conflict(TOOK, AT_EASE, &mut random) <= TOOK * MOST_SWAPS);
    }

    /// A swap that was delayed for 20 s and then met a conflict made its writer wait for up to as
    /// long again, past all limits, on a store that was well.
    #[test]
    fn one_slow_reply_does_not_make_for_a_long_wait() {
        let mut random = fastrand::Rng::with_seed(1);
        let slow = Duration::from_secs(20);
        for _ in 0..200 {
            let wait = Contention::new().on_conflict(slow, AT_EASE, &mut random);
            assert!(wait <= MOST, "{wait:?}");
            let mut contention = Contention::new();
            contention.on_success(TOOK, false, &mut random);
            let wait = contention.on_conflict(slow, AT_EASE, &mut random);
            assert!(wait <= TOOK * 2, "{wait:?}");
        }
    }

    #[test]
    fn who_is_overtaken_does_not_stay_away() {
        let mean = |overtaken| {
            let mut random = fastrand::Rng::with_seed(1);
            let lost = TOOK * CROWD_SWAPS * 2;
            let draws = (0..200).map(|_| {
                let mut contention = Contention { lost, ..Contention::new() };
                contention.on_others(overtaken);
                let urgency = Urgency { waited: lost, ..AT_EASE };
                contention.on_conflict(TOOK, urgency, &mut random)
            });
            draws.sum::<Duration>() / 200
        };
        assert!(mean(true) < TOOK * 2);
        assert!(mean(false) > TOOK * CROWD_SWAPS / 2);
    }

    #[test]
    fn a_try_fits_into_the_time_that_is_left() {
        let mut random = fastrand::Rng::with_seed(1);
        let second = Duration::from_secs(1);
        for _ in 0..200 {
            let lost = second * 100;
            let mut contention = Contention { lost, ..Contention::new() };
            let left = second * 10;
            let urgency = Urgency { waited: lost, left };
            assert!(contention.on_conflict(TOOK, urgency, &mut random) < left - TOOK * 2);
            let wait = contention.on_throttled(TOOK, urgency, &mut random);
            assert!(wait < left - THROTTLED_TURN * 2);
        }
    }
}
