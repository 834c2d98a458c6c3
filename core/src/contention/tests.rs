//! How writers that do not know each other share a manifest, one writer at a time.

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
            assert_eq!(contention.on_success(TOOK, AT_EASE, true, &mut random), None);
            assert_eq!(contention.on_success(TOOK, AT_EASE, false, &mut random), None);
        }
        let pause =
            contention.on_success(TOOK, AT_EASE, true, &mut random).expect("the eighth makes room");
        assert!(pause >= 2 * TOOK && pause <= 4 * TOOK, "{pause:?}");
    }
}

#[test]
fn who_knows_nobody_doubles_its_window_up_to_a_bound() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut contention = Contention::new();
    for _ in 0..64 {
        let wait = contention.on_conflict(TOOK, NO_TIME, &mut random);
        assert!(wait <= TOOK * MOST_SWAPS);
    }
    assert_eq!(contention.window, TOOK * MOST_SWAPS);
}

fn waited(waited: Duration) -> Urgency {
    Urgency { waited, ..AT_EASE }
}

/// A writer that needed three tries each time.
fn contended(rounds: u32, random: &mut fastrand::Rng) -> Contention {
    let mut contention = Contention::new();
    for _ in 0..rounds {
        for _ in 0..3 {
            contention.on_conflict(TOOK, waited(TOOK * 20), random);
        }
        contention.on_success(TOOK, waited(TOOK * 20), true, random);
    }
    contention
}

#[test]
fn a_turn_grows_with_conflicts_and_ends_without_any() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut contention = contended(10, &mut random);
    // Two tries too many each time, of half a swap each, less a twentieth of all.
    assert!(contention.turn > TOOK * 7 && contention.turn < TOOK * 10, "{contention:?}");
    assert!(contention.has_turns());
    for _ in 0..30 {
        contention.on_success(TOOK, AT_EASE, false, &mut random);
    }
    assert!(!contention.has_turns());
    // Sooner if there is nobody at all.
    let mut contention = contended(10, &mut random);
    contention.on_quiet();
    contention.on_quiet();
    assert!(!contention.has_turns());
    assert_eq!(contention.on_success(TOOK, AT_EASE, false, &mut random), None);
}

#[test]
fn the_manifest_is_read_beside_a_swap_where_a_conflict_would_hardly_be_rested_for() {
    let mut random = fastrand::Rng::with_seed(1);
    assert!(!Contention::new().reads_beside(AT_EASE), "nobody is known to write");
    let mut contention = contended(10, &mut random);
    assert!(contention.reads_beside(waited(TOOK * 40)));
    let mean = |contention: &Contention, random: &mut fastrand::Rng| {
        let wait = |_| contention.clone().on_conflict(TOOK, waited(TOOK * 40), random);
        (0..200).map(wait).sum::<Duration>() / 200
    };
    let beside = mean(&contention, &mut random);
    for _ in 0..FEW_TRIES {
        contention.on_conflict(TOOK, waited(TOOK * 40), &mut random);
    }
    assert!(!contention.reads_beside(waited(TOOK * 40)), "there are too many others");
    let afresh = mean(&contention, &mut random);
    assert!(afresh > beside * 3 / 2 && afresh < beside * 5 / 2, "{afresh:?}, {beside:?}");
    contention.on_throttled(waited(TOOK * 40), &mut random);
    assert!(!contention.reads_beside(waited(TOOK * 40)), "the store wants fewer requests");
}

#[test]
fn no_turn_takes_more_than_a_quarter_of_the_time_to_deliver() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut contention = Contention::new();
    for _ in 0..200 {
        for _ in 0..50 {
            contention.on_throttled(AT_EASE, &mut random);
        }
        contention.on_success(TOOK, AT_EASE, false, &mut random);
    }
    assert!(contention.turn <= AT_EASE.left / DELIVERY_SHARE);
    assert!(contention.turn >= AT_EASE.left / DELIVERY_SHARE / 2, "{contention:?}");
}

#[test]
fn who_has_waited_for_longer_than_is_usual_waits_less_and_who_comes_early_more() {
    let mean = |age| {
        let mut random = fastrand::Rng::with_seed(1);
        let draws = (0..200).map(|_| {
            let mut contention = contended(10, &mut random);
            contention.on_conflict(TOOK, waited(age), &mut random)
        });
        draws.sum::<Duration>() / 200
    };
    assert!(mean(TOOK * 80) * 3 < mean(TOOK * 20));
    assert!(mean(TOOK * 20) * 3 > mean(TOOK * 5));
    assert!(mean(TOOK * 20) * 3 < mean(TOOK * 5) * 2);
}

/// Asks a store that throttles until two minutes are over; how often that was.
fn tries_in_two_minutes(contention: &mut Contention, changes: bool) -> u32 {
    let mut random = fastrand::Rng::with_seed(1);
    let end = Duration::from_secs(120);
    let (mut now, mut tries) = (Duration::ZERO, 0);
    while now < end {
        let urgency = Urgency { waited: now, left: end - now };
        let wait = contention.on_throttled(urgency, &mut random);
        assert!(wait >= THROTTLED_LEAST && wait <= DELIVERY_MOST, "{wait:?}");
        contention.on_seen(changes);
        now += wait;
        tries += 1;
    }
    tries
}

/// More than a wait may be: one and a half windows of a quarter of the time.
const DELIVERY_MOST: Duration = Duration::from_secs(45);

/// Goal: whoever knows nothing of the others asks a number of times that is logarithmic in how long it has waited.
#[test]
fn a_store_that_throttles_is_asked_less_and_less() {
    let mut alike = Contention::new();
    let tries = tries_in_two_minutes(&mut alike, true);
    assert!(tries < 25, "{tries}");
    // Who sees that others come and go before it is no part of a crowd, and hurries.
    let mut overtaken = Contention::new();
    overtaken.on_others(Others { listed: 8, late: 1 });
    assert!(tries_in_two_minutes(&mut overtaken, true) > 200);
    // It may be usual to wait, but not where nobody is served at all.
    let mut random = fastrand::Rng::with_seed(1);
    let mut refused = contended(10, &mut random);
    assert!(tries_in_two_minutes(&mut refused, false) < 80);
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
    contention.on_success(TOOK, AT_EASE, false, &mut random);
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
        contention.on_success(TOOK, AT_EASE, false, &mut random);
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
            contention.on_others(Others { listed: 8, late: if overtaken { 3 } else { 0 } });
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
        let wait = contention.on_throttled(urgency, &mut random);
        assert!(wait < left - THROTTLED_TURN);
    }
}
