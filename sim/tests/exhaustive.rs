//! Small configurations, seen to the end.

use std::time::Duration;

use buffer_sim::exhaustive::{Limits, explore};

const NOTHING_WRONG: Limits =
    Limits { take_overs: 0, crashes: 0, faults: 0, hurries: 0, ..Limits::SMALL };

fn see_to_the_end(limits: Limits, jobs: usize) -> (u64, u64) {
    let summary = explore(limits, None, jobs, Duration::from_secs(300));
    assert_eq!(summary.found, None);
    assert!(summary.complete, "{} states in {:?}", summary.states, summary.took);
    assert!(summary.ended > 0 && summary.depth > 20, "{summary:?}");
    (summary.states, summary.transitions)
}

#[test]
fn two_producers_and_a_lost_answer() {
    let limits = Limits { faults: 1, ticks: 3, ..NOTHING_WRONG };
    let (states, transitions) = see_to_the_end(limits, 1);
    assert!(states > 5_000 && transitions > states, "{states}, {transitions}");
}

#[test]
fn a_take_over_and_a_lost_answer() {
    let limits = Limits { producers: 1, take_overs: 1, faults: 1, ticks: 4, ..NOTHING_WRONG };
    let (states, _) = see_to_the_end(limits, 1);
    assert!(states > 10_000, "{states}");
}

/// Who works beside others sees no less. Without time: of two states that differ in nothing else, it would depend
/// on who comes first from which of them the search goes on.
#[test]
fn two_threads_see_what_one_sees() {
    let limits = Limits { producers: 1, take_overs: 1, faults: 1, ticks: 0, ..NOTHING_WRONG };
    let (one, _) = see_to_the_end(limits, 1);
    let (two, _) = see_to_the_end(limits, 2);
    assert_eq!(one, two);
}

/// What is not tried, because it commutes with what is tried first, ends nowhere else. As long as time may pass in haste
/// everything is tried; without any ticks it cannot pass all the same.
#[test]
fn steps_that_are_left_out_lead_nowhere_else() {
    let alone = Limits { producers: 1, ticks: 0, ..NOTHING_WRONG };
    let configurations = [
        Limits { producers: 2, faults: 1, ..alone },
        Limits { producers: 2, crashes: 1, ..alone },
        Limits { producers: 2, take_overs: 1, ..alone },
        Limits { take_overs: 1, faults: 1, ..alone },
        Limits { take_overs: 1, crashes: 1, ..alone },
    ];
    for limits in configurations {
        let [some, all] = [0, 1].map(|hurries| {
            let limits = Limits { hurries, ..limits };
            explore(limits, None, 1, Duration::from_secs(300))
        });
        assert!(some.complete && all.complete && some.found.is_none(), "{limits}");
        assert!(some.transitions < all.transitions, "{limits}: nothing is left out");
        assert_eq!((some.ended, some.depth), (all.ended, all.depth), "{limits}");
    }
}

#[test]
fn the_same_search_takes_the_same_steps() {
    let limits = Limits { producers: 1, crashes: 1, ticks: 3, ..NOTHING_WRONG };
    assert_eq!(see_to_the_end(limits, 1), see_to_the_end(limits, 1));
}
