//! The tables of places and of bugs, and what the macros do with and without `--cfg buffer_sim`.

use std::collections::BTreeSet;

use buffer_core::hooks::{Bug, Point};

/// How many different ones there are.
fn distinct<T: Ord>(all: impl Iterator<Item = T>) -> usize {
    all.collect::<BTreeSet<_>>().len()
}

/// Goal: a report can name a place or a bug by its name, and its sentence fits no other.
#[test]
fn no_name_and_no_sentence_stands_twice() {
    let points = Point::ALL;
    assert_eq!(distinct(points.iter().map(|point| point.name())), points.len());
    assert_eq!(distinct(points.iter().map(|point| point.about())), points.len());
    let bugs = Bug::ALL;
    assert_eq!(distinct(bugs.iter().map(|bug| bug.name())), bugs.len());
    assert_eq!(distinct(bugs.iter().map(|bug| bug.about())), bugs.len());
}

/// Goal: each bug says which invariants catch it, by numbers that exist, and none twice.
#[test]
fn every_bug_names_invariants_that_catch_it() {
    for bug in Bug::ALL {
        let named: Vec<_> = bug.caught_by().split('+').collect();
        assert_eq!(distinct(named.iter()), named.len(), "{bug:?}");
        for id in named {
            let number = id.strip_prefix('I').and_then(|number| number.parse::<u32>().ok());
            assert!(number.is_some_and(|number| (1..=18).contains(&number)), "{bug:?}: {id}");
        }
    }
}

#[test]
fn a_table_is_in_the_order_of_its_numbers() {
    assert!(Point::ALL.iter().enumerate().all(|(at, point)| *point as usize == at));
    assert!(Bug::ALL.iter().enumerate().all(|(at, bug)| *bug as usize == at));
}

#[cfg(not(buffer_sim))]
mod normal {
    use buffer_core::hooks::{Bug, Point, is_planted, reached};

    /// Goal: that no bug is planted is known when this is compiled, and so there is nothing to leave in.
    const PLANTED: usize = {
        let mut planted = 0;
        let mut at = 0;
        while at < Bug::ALL.len() {
            planted += is_planted(Bug::ALL[at]) as usize;
            at += 1;
        }
        planted
    };
    const _: () = assert!(PLANTED == 0, "a normal build plants nothing");
    const _: () = reached(Point::ALL[0]);

    #[test]
    fn a_normal_build_plants_nothing_and_evaluates_no_condition_of_a_place() {
        assert!(Bug::ALL.iter().all(|bug| !is_planted(*bug)));
        let mut looked = false;
        buffer_core::sometimes!(RepeatDropped, {
            looked = true;
            looked
        });
        assert!(!looked && !buffer_core::planted!(RepeatNotDropped));
    }
}

#[cfg(buffer_sim)]
mod simulated {
    use std::thread;

    use buffer_core::hooks::{Bug, Point, is_planted, plant, take_reached};

    fn count(counts: &[u64], point: Point) -> u64 {
        counts[point as usize]
    }

    /// Goal: two worlds on two threads do not see each other's bugs.
    #[test]
    fn one_bug_is_planted_at_a_time_and_on_one_thread() {
        assert!(Bug::ALL.iter().all(|bug| !is_planted(*bug)), "a thread begins without any");
        plant(Some(Bug::RepeatNotDropped));
        assert!(buffer_core::planted!(RepeatNotDropped));
        let elsewhere = thread::spawn(|| buffer_core::planted!(RepeatNotDropped));
        assert!(!elsewhere.join().expect("it does not panic"));
        plant(Some(Bug::OrderSwapped));
        let planted: Vec<_> = Bug::ALL.iter().filter(|bug| is_planted(**bug)).collect();
        assert_eq!(planted, [&Bug::OrderSwapped]);
        plant(None);
        assert!(Bug::ALL.iter().all(|bug| !is_planted(*bug)));
    }

    /// Goal: a report counts what its own world reached, once.
    #[test]
    fn places_are_counted_until_they_are_taken_and_on_one_thread() {
        assert_eq!(take_reached(), vec![0; Point::ALL.len()]);
        buffer_core::sometimes!(RepeatDropped);
        buffer_core::sometimes!(RepeatDropped);
        buffer_core::sometimes!(GroupCommit, 1 > 2);
        buffer_core::sometimes!(SkipUsed, 2 > 1);
        let elsewhere = thread::spawn(take_reached).join().expect("it does not panic");
        assert_eq!(elsewhere, vec![0; Point::ALL.len()]);
        let counts = take_reached();
        assert_eq!(count(&counts, Point::RepeatDropped), 2);
        assert_eq!(count(&counts, Point::GroupCommit), 0);
        assert_eq!(count(&counts, Point::SkipUsed), 1);
        assert_eq!(take_reached(), vec![0; Point::ALL.len()], "they were taken");
    }
}
