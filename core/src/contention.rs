//! How writers of one manifest keep out of each other's way.

use core::time::Duration;

/// No swap is taken to be shorter than this.
const LEAST: Duration = Duration::from_millis(1);
/// Nobody waits longer than this after one conflict, unless there is a crowd.
const MOST: Duration = Duration::from_secs(4);
/// Who does not know the others yet doubles its window up to this many times what a swap takes.
const MOST_SWAPS: u32 = 32;
/// Who does not know the others yet and waits for so many times what a swap takes draws from half of the window.
const PATIENCE_SWAPS: u32 = 16;
/// After losing for so many times what a swap takes, it may be a crowd and not bad luck.
const CROWD_SWAPS: u32 = 48;
/// After losing for so many it is one, whoever else is served.
const CROWD_PROVEN_SWAPS: u32 = 256;
/// How long a store that throttles keeps a key to one writer is known to nobody: waits are counted in this.
const THROTTLED_TURN: Duration = Duration::from_millis(500);
/// What may be usual there for who has not got through yet, and sees that others were served who came later.
const THROTTLED_USUAL: Duration = Duration::from_secs(4);
/// Nobody asks a store that throttles sooner again than after this.
const THROTTLED_LEAST: Duration = Duration::from_millis(180);
/// If so much of what others list is late, one in this number, others are served before us.
const LATE_ONE_IN: usize = 4;
/// If so much is, there are some who were served and came again.
const FEW_ONE_IN: usize = 16;
/// This share of the time that was lost is the window of who is passed by all the same.
const OVERTAKEN_SHARE: u32 = 8;
/// Nobody stays away for more than this share of the time in which a batch must be delivered.
const DELIVERY_SHARE: u32 = 4;
/// After how many successes with more to swap at once there is a pause, in case that others never get their turn.
const STREAK: u32 = 8;
/// How long that pause is, in times of what a read and a swap take together: another writer fits into it.
const PAUSE_TURNS: f64 = 1.5;
/// Between how many times what a try takes, by its age, a writer spreads its tries: young ones far, old ones hardly.
const SPREAD: (f64, f64) = (0.3, 2.0);
/// What a try takes, in swaps: the manifest is read before, where it is not read beside the one before.
const TRY_SWAPS: u32 = 2;
/// After so many tries in a row that were lost there are so many others that it does not help to go on at once.
const FEW_TRIES: u32 = 8;
/// By how much closer who sees that others were served before tries again.
const PASSED_BY: f64 = 0.3;
/// After each so many tries in a row that were lost, the spread is doubled.
const TRIES: u32 = 16;
/// After so many tries in a row that were throttled while nobody wrote, the spread is doubled as well.
const REFUSED: u32 = 6;
/// By this share of what a swap takes a turn grows for each try that was lost, but for the first.
const TURN_GROWS: f64 = 0.5;

/// Learns from conflicts when it is one's own turn.
///
/// Writers that try at random get their turns at random, and some wait for
/// long. Two things put them in order, though none knows of any other:
///
/// - After a success a writer stays away for a *turn*. That grows with each
///   conflict past the first that a success took, and shrinks without any: of
///   sixteen writers two or three try at one time, and the others are away.
/// - Who tries again after a conflict spreads its tries by its age: who has
///   waited longer than is *usual* hardly waits, who has come too early waits
///   longer.
/// - Names of batches tell the time: who sees that those who were served last
///   came after it hurries, and who sees that they came long before it lets
///   those be served that came between, once. So who came first is served
///   first, nearly.
///
/// Who has turns also reads the manifest beside each swap: if others get before it,
/// it knows what they wrote as soon as it has lost, and its next swap follows after
/// one round trip, not two. Where that would be no help, since it rests for long
/// or one of very many is served first, the manifest is read after the rest.
///
/// What is uploaded meanwhile goes into one swap. Until a writer has got
/// through against others it knows neither, and each conflict doubles the window
/// from which its waits are drawn. A writer that always wins never sees a
/// conflict: its next swap is on the way before anybody else has read what the
/// last one wrote. It makes room now and then, and learns from the conflict that
/// follows.
///
/// Where a thousand writers wait, all of them have waited long. Who has lost for
/// long has that many before it: so many swaps got through meanwhile. If they
/// are of batches as old as its own, all are served alike, and it stays away for
/// as long as it has been losing. If they are younger, it is not the crowd that
/// keeps it from its turn but its manners, and it goes on as above.
#[derive(Clone, Debug)]
pub(crate) struct Contention {
    /// Whether this writer has turns: whoever is alone in what it does is waited for instead.
    takes_turns: bool,
    /// From which waits are drawn while nothing is usual yet.
    window: Duration,
    /// What a read took last.
    read: Duration,
    /// What a swap takes.
    swap: Duration,
    /// Successes since the last conflict after which there was more to swap at once.
    streak: u32,
    /// How often was lost since the last success.
    tries: u32,
    /// How long was lost to others since the last success.
    lost: Duration,
    /// What a swap takes at least, once the store has asked for fewer.
    throttled: Duration,
    /// How often in a row the store asked for fewer swaps while nobody else wrote.
    refused: u32,
    /// How long to stay away after a success.
    turn: Duration,
    /// How long a batch waits for its swap, where others are in the way.
    usual: Duration,
    /// The manifest is read beside the swap that is out.
    is_read_beside: bool,
    /// Those who were served last came after us.
    passed_by: bool,
    /// It has given way since the last success.
    gave_way: bool,
    /// Some of what others list was uploaded long after us.
    others_return: bool,
    /// A good part of it was.
    overtaken: bool,
}

/// What became of others while one waited, by the names of what they listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// How much they listed.
    pub(crate) listed: usize,
    /// How much of that they uploaded long after one's own oldest batch.
    pub(crate) late: usize,
}

/// How urgent it is to be heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Urgency {
    /// How long the oldest batch has been waiting.
    pub(crate) waited: Duration,
    /// How long it can still wait.
    pub(crate) left: Duration,
}

impl Urgency {
    /// The longest that anybody stays away.
    fn most(self) -> Duration {
        self.waited.saturating_add(self.left) / DELIVERY_SHARE
    }
}

impl Contention {
    /// For one of several writers that do the same.
    pub(crate) const fn new() -> Self {
        let none = Duration::ZERO;
        Self {
            takes_turns: true,
            window: none,
            read: none,
            swap: none,
            streak: 0,
            tries: 0,
            lost: none,
            throttled: none,
            refused: 0,
            turn: none,
            usual: none,
            is_read_beside: false,
            passed_by: false,
            gave_way: false,
            others_return: false,
            overtaken: false,
        }
    }

    /// For the one that all others wait for.
    pub(crate) const fn alone() -> Self {
        Self { takes_turns: false, ..Self::new() }
    }

    /// Whether others are given their turns.
    pub(crate) fn has_turns(&self) -> bool {
        !self.turn.is_zero() && self.turn >= self.swap
    }

    /// Decides whether the manifest is to be read beside the next swap: others may get before that, and will
    /// not be given way to for so long that what was read is old.
    pub(crate) fn reads_beside(&mut self, urgency: Urgency) -> bool {
        self.is_read_beside = self.has_turns()
            && self.throttled.is_zero()
            && self.tries < FEW_TRIES
            && self.window_after_conflict(self.swap, self.swap, urgency) <= self.swap * 2;
        self.is_read_beside
    }

    /// Notes how long the manifest took to be read.
    pub(crate) const fn on_read(&mut self, took: Duration) {
        self.read = took;
    }

    /// Notes what became of others since the last reading.
    pub(crate) const fn on_others(&mut self, others: Others) {
        self.others_return = others.late * FEW_ONE_IN > others.listed;
        self.overtaken = others.late * LATE_ONE_IN > others.listed;
    }

    /// Notes whether the manifest has changed since it was last read.
    pub(crate) fn on_seen(&mut self, changed: bool) {
        let is_refused = !changed && !self.throttled.is_zero();
        self.refused = if is_refused { self.refused.saturating_add(1) } else { 0 };
    }

    /// Notes by how much later the oldest batch that waits was uploaded than those that were listed last,
    /// in milliseconds, and says for how long to let those be served that lie between.
    pub(crate) fn on_order(
        &mut self,
        later: i64,
        urgency: Urgency,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        self.passed_by = later <= 0;
        let gap = Duration::from_millis(u64::try_from(later).unwrap_or(0)) / 2;
        if !self.has_turns() || self.gave_way || gap < self.swap {
            return None;
        }
        crate::sometimes!(ContentionGivesWay);
        self.gave_way = true;
        // Names tell the time by the clocks of others: it is waited once, and for no more than a turn.
        let most = self.turn.min(urgency.left / DELIVERY_SHARE);
        Some(gap.min(most).mul_f64(0.7 + 0.6 * random.f64()))
    }

    /// Notes that nobody else wrote anything while this writer was away.
    pub(crate) fn on_quiet(&mut self) {
        crate::sometimes!(ContentionQuiet, !self.turn.is_zero());
        self.turn /= 4;
        self.usual /= 4;
    }

    /// How long to wait before reading and swapping again; `took` is how long the swap was out.
    pub(crate) fn on_conflict(
        &mut self,
        took: Duration,
        urgency: Urgency,
        random: &mut fastrand::Rng,
    ) -> Duration {
        let took = self.note_swap(took);
        self.streak = 0;
        self.tries = self.tries.saturating_add(1);
        self.lost = self.lost.saturating_add(self.read).saturating_add(took);
        if self.usual.is_zero() {
            self.widen(took);
        }
        let a_try = if self.is_read_beside { took } else { took.saturating_mul(TRY_SWAPS) };
        let wait = self.window_after_conflict(took, a_try, urgency).mul_f64(random.f64());
        self.lost = self.lost.saturating_add(wait);
        wait
    }

    /// From what the wait after a conflict is drawn, if a try takes so long.
    fn window_after_conflict(&self, took: Duration, a_try: Duration, urgency: Urgency) -> Duration {
        let window = match self.usual {
            Duration::ZERO => {
                let patience = took.saturating_mul(PATIENCE_SWAPS).max(LEAST);
                let hurry = 1.0 + urgency.waited.as_secs_f64() / patience.as_secs_f64();
                self.window.mul_f64(1.0 / hurry)
            }
            usual => {
                let order = if self.passed_by { PASSED_BY } else { 1.0 };
                let spread = Self::spread(usual, urgency) * order * self.escalation();
                a_try.mul_f64(spread).min(MOST)
            }
        };
        window.max(self.crowd_window(took.max(self.throttled * 2), urgency))
    }

    /// How far to spread tries by the age of what waits, where so long a wait is usual.
    fn spread(usual: Duration, urgency: Urgency) -> f64 {
        let age = urgency.waited.max(LEAST).as_secs_f64();
        let youth = usual.as_secs_f64() / age;
        crate::sometimes!(ContentionUrgent, youth < 0.5);
        (youth * youth).clamp(SPREAD.0, SPREAD.1)
    }

    /// How much further to spread what was tried in vain again and again.
    fn escalation(&self) -> f64 {
        crate::sometimes!(ContentionEscalates, self.tries >= TRIES);
        f64::from(1_u32 << (self.tries / TRIES).min(8))
    }

    /// Widens the window of who knows nothing of the others, for one more conflict.
    fn widen(&mut self, took: Duration) {
        let most = took.saturating_mul(MOST_SWAPS).min(MOST);
        crate::sometimes!(ContentionDoubled, self.window >= took && self.window < most);
        crate::sometimes!(ContentionCapped, self.window >= most && took < most);
        self.window = self.window.saturating_mul(2).clamp(took, most);
    }

    /// What a swap takes by all that is known. One slow reply says little of the next:
    /// it counts for no more than twice what was known before, and for no more than a wait may be.
    fn note_swap(&mut self, took: Duration) -> Duration {
        let most = if self.swap.is_zero() { MOST } else { self.swap.saturating_mul(2).min(MOST) };
        self.swap = took.clamp(LEAST, most);
        self.swap
    }

    /// How long to wait after the store asked for fewer swaps.
    pub(crate) fn on_throttled(
        &mut self,
        urgency: Urgency,
        random: &mut fastrand::Rng,
    ) -> Duration {
        self.throttled = THROTTLED_TURN;
        self.tries = self.tries.saturating_add(1);
        // A store that turns everybody away is no store that serves others first.
        let refused = 1_u32 << (self.refused / REFUSED).min(8);
        let window = match self.usual {
            // Nothing is known of the others but that they came when we did, and are served alike: they
            // may be any number, and tries are as far apart as they took so far.
            Duration::ZERO if !self.others_return => {
                THROTTLED_TURN.max(urgency.waited / 2).min(urgency.most())
            }
            Duration::ZERO => THROTTLED_TURN.mul_f64(Self::spread(THROTTLED_USUAL, urgency)),
            usual => {
                THROTTLED_TURN.mul_f64(Self::spread(usual, urgency) * f64::from(refused)).min(MOST)
            }
        };
        let wait = window.mul_f64(0.5 + random.f64());
        let wait = wait.min(self.before_the_last_try(THROTTLED_TURN, urgency)).max(THROTTLED_LEAST);
        let wait = wait.max(self.crowd_window(self.throttled * 2, urgency).mul_f64(random.f64()));
        self.lost = self.lost.saturating_add(wait);
        wait
    }

    /// How far apart writers must be spread if they are as many as what was
    /// lost to them tells; `turn` is how long one swap keeps all others out.
    fn crowd_window(&self, turn: Duration, urgency: Urgency) -> Duration {
        let proof = if self.overtaken { CROWD_PROVEN_SWAPS } else { CROWD_SWAPS };
        // Who knows what is usual is in a crowd only if there are many more of them by now.
        let proof = turn.saturating_mul(proof).max(self.usual.saturating_mul(8));
        if self.lost < proof {
            return Duration::ZERO;
        }
        crate::sometimes!(ContentionCrowd);
        let crowd = if self.overtaken { self.lost / OVERTAKEN_SHARE } else { self.lost };
        crowd.min(urgency.most()).min(self.before_the_last_try(turn, urgency))
    }

    /// How long may be waited so that one more try fits into the time that is left.
    fn before_the_last_try(&self, turn: Duration, urgency: Urgency) -> Duration {
        urgency.left.saturating_sub(self.read.saturating_add(turn) * 2)
    }

    /// Notes that what was tried is over, by whatever else than a success.
    pub(crate) const fn on_end(&mut self) {
        self.gave_way = false;
        self.tries = 0;
        self.lost = Duration::ZERO;
        self.throttled = Duration::ZERO;
        self.refused = 0;
    }

    /// How long to let others have their turn after a swap that succeeded; `more` says that another would follow at once.
    pub(crate) fn on_success(
        &mut self,
        took: Duration,
        urgency: Urgency,
        more: bool,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        let took = self.note_swap(took);
        self.learn_turn(took.max(self.throttled), urgency);
        self.on_end();
        self.window = Duration::ZERO;
        self.streak = self.streak.saturating_add(u32::from(more));
        if self.has_turns() {
            crate::sometimes!(ContentionPause);
            return Some(self.turn.mul_f64(0.85 + 0.3 * random.f64()));
        }
        let turn = took.saturating_add(self.read.max(took)).min(MOST);
        let pause = turn.mul_f64(PAUSE_TURNS * (0.75 + 0.5 * random.f64()));
        let makes_room = more && self.streak.is_multiple_of(STREAK);
        crate::sometimes!(ContentionMadeRoom, makes_room);
        makes_room.then_some(pause)
    }

    /// Learns from how many tries a success took, each of which costs `took` at least.
    fn learn_turn(&mut self, took: Duration, urgency: Urgency) {
        if !self.takes_turns {
            return;
        }
        if self.tries == 0 {
            self.usual = self.usual.mul_f64(0.7);
            self.turn = self.turn.mul_f64(0.9);
            return;
        }
        let known = if self.usual.is_zero() { urgency.waited } else { self.usual };
        self.usual = known.mul_f64(0.7) + urgency.waited.mul_f64(0.3);
        let grown = took.mul_f64(TURN_GROWS).saturating_mul(self.tries - 1);
        // A little is taken off each time: who was unlucky for a while does not stay away for good.
        self.turn = self.turn.mul_f64(0.95).saturating_add(grown).min(urgency.most());
    }
}

#[cfg(test)]
mod tests;
