//! Situations with a name, each written out from its beginning to its end.
//!
//! Those that carry a number are known failures of other implementations of
//! this design, and must pass here. 7 is missing: a bit that flips inside an
//! uncompressed record is one that format version 1 cannot tell. The others
//! are our own; those in `found*` are what random worlds and reviews brought up.
//!
//! ```
//! use buffer_sim::scenarios::Scenario;
//!
//! let scenario = Scenario::by_name("failure_02_a_lost_reply_is_not_a_failure").expect("it is there");
//! assert_eq!(scenario.failure, Some(2));
//! scenario.run().expect("it passes");
//! ```

/// Keeps a line of what was measured, for whoever runs the scenario.
macro_rules! note {
    ($($text:tt)*) => {
        $crate::scenarios::note(format!($($text)*))
    };
}

mod collecting;
mod collecting_rules;
mod fencing;
mod found;
mod found_bounds;
mod found_outcomes;
mod found_waits;
mod known_failures;
mod lost_replies;
mod outages;
mod pipeline;
pub mod queue;
mod speed;
mod table;

use std::cell::RefCell;
use std::iter;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use buffer_core::hooks::Bug;

use crate::event::{self, Event};
use crate::{guard, plant};

/// A situation that the code must get through.
///
/// ```
/// use buffer_sim::scenarios::Scenario;
///
/// let known = Scenario::all().iter().filter(|scenario| scenario.failure.is_some());
/// assert!(known.count() >= 18);
///
/// let scenario = Scenario::by_name("failure_02_a_lost_reply_is_not_a_failure").expect("it is there");
/// assert!(scenario.about.starts_with("A swap takes effect and its reply is lost"));
/// let (measured, worlds) = scenario.run_with_events(None);
/// measured?;
/// let happened: usize = worlds.iter().map(Vec::len).sum();
/// assert!(happened > 0, "there is something to draw a chart of");
/// # Ok::<(), buffer_sim::scenarios::Failed>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, a fact.
    pub name: &'static str,
    /// Its number among the known failures of other implementations.
    pub failure: Option<u8>,
    /// What happens in it.
    pub about: &'static str,
    /// With any of these bugs planted it fails.
    pub planted: &'static [Bug],
    run: fn(),
}

/// What went wrong in a scenario.
///
/// ```
/// use buffer_sim::scenarios::{Failed, Scenario};
///
/// let scenario = Scenario::by_name("failure_02_a_lost_reply_is_not_a_failure").expect("it is there");
/// if buffer_sim::hooks_are_on() {
///     let failed = scenario.fails_when_planted(scenario.planted[0]);
///     assert_eq!(failed.map(|failed| failed.name), Some(scenario.name));
/// }
/// // As it is told to people.
/// let failed = Failed { name: scenario.name, what: "left: 2, right: 1".into() };
/// let expected = "scenario failure_02_a_lost_reply_is_not_a_failure: left: 2, right: 1";
/// assert_eq!(failed.to_string(), expected);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scenario {name}: {what}")]
pub struct Failed {
    /// Which one.
    pub name: &'static str,
    /// What was seen, and where.
    pub what: String,
}

thread_local! {
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note(line: String) {
    NOTES.with_borrow_mut(|notes| notes.push(line));
}

/// How long a scenario with a bug in it may take, in real time: a bug may make a loop of what had an end.
const PATIENCE: Duration = Duration::from_secs(120);

impl Scenario {
    /// All of them, the known failures first.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        table::ALL
    }

    /// The one of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|scenario| scenario.name == name)
    }

    /// Runs it to its end; gives what was measured, in lines for people.
    ///
    /// # Errors
    ///
    /// [`Failed`]: an expectation did not hold.
    pub fn run(&self) -> Result<Vec<String>, Failed> {
        self.run_with(None)
    }

    /// Runs it, and gives what happened in each world that began in it on this thread, in order.
    ///
    /// # Panics
    ///
    /// With a bug, where none can be planted; see [`hooks_are_on`](crate::hooks_are_on).
    pub fn run_with_events(
        &self,
        bug: Option<Bug>,
    ) -> (Result<Vec<String>, Failed>, Vec<Vec<Event>>) {
        event::watch(|| self.run_with(bug))
    }

    /// Runs it with a bug planted, on a thread of its own, and gives the failure that the bug led to.
    ///
    /// `None` if it passed all the same. One that does not come back is left behind.
    ///
    /// # Panics
    ///
    /// Unless built with `--cfg buffer_sim`; see [`hooks_are_on`](crate::hooks_are_on).
    #[must_use]
    pub fn fails_when_planted(&self, bug: Bug) -> Option<Failed> {
        assert!(crate::hooks_are_on(), "bugs can be planted only with --cfg buffer_sim");
        let (sender, ended) = mpsc::channel();
        let scenario = *self;
        thread::spawn(move || sender.send(scenario.run_with(Some(bug)).err()));
        ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let what = format!("it did not come to an end within {PATIENCE:?}");
            Some(Failed { name: self.name, what })
        })
    }

    fn run_with(&self, bug: Option<Bug>) -> Result<Vec<String>, Failed> {
        NOTES.take();
        let ended = guard::catch(self.name, || plant::with(bug, self.run));
        // Nobody asks what was reached in a scenario, and the next world must not be told.
        drop(plant::take_reached());
        let failed = |panic: guard::Panic| {
            // What was measured before tells more than the number that was wrong.
            let lines: Vec<String> = iter::once(panic.to_string()).chain(NOTES.take()).collect();
            Failed { name: self.name, what: lines.join("\n      ") }
        };
        ended.map(|()| NOTES.take()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_known_failure_that_version_1_can_tell_is_there() {
        let numbers: BTreeSet<u8> = Scenario::all().iter().filter_map(|it| it.failure).collect();
        // A bit that flips inside an uncompressed record.
        let expected: BTreeSet<u8> = (1..=19).filter(|number| *number != 7).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn names_are_unique_and_say_their_number() {
        let names: BTreeSet<&str> = Scenario::all().iter().map(|it| it.name).collect();
        assert_eq!(names.len(), Scenario::all().len());
        for scenario in Scenario::all() {
            assert!(scenario.about.ends_with('.'), "{}: {}", scenario.name, scenario.about);
            let numbered = scenario.failure.map(|number| format!("failure_{number:02}_"));
            let prefix = numbered.as_deref().unwrap_or("");
            assert!(scenario.name.starts_with(prefix), "{}", scenario.name);
            assert_eq!(scenario.failure.is_some(), scenario.name.starts_with("failure_"));
        }
    }

    /// Every known failure has a bug that makes it one.
    #[test]
    fn known_failures_can_be_planted() {
        let without: BTreeSet<u8> = (1..=19)
            .filter(|number| {
                let of_number = Scenario::all().iter().filter(|it| it.failure == Some(*number));
                of_number.clone().count() > 0 && of_number.flat_map(|it| it.planted).count() == 0
            })
            .collect();
        assert_eq!(without, BTreeSet::new());
    }

    /// Goal: a scenario that passes is one that would not with its bug in place.
    #[cfg(buffer_sim)]
    #[test]
    fn each_scenario_fails_with_each_of_its_bugs() {
        for scenario in Scenario::all() {
            for bug in scenario.planted {
                let failed = scenario.fails_when_planted(*bug);
                assert!(failed.is_some(), "{} passes with {}", scenario.name, bug.name());
            }
        }
    }

    #[test]
    fn a_scenario_that_panics_has_failed() {
        let scenario = Scenario {
            name: "two_is_three",
            failure: None,
            about: "It is not.",
            planted: &[],
            run: || assert_eq!(2, 3, "it is not"),
        };
        let failed = scenario.run().expect_err("two is not three");
        assert!(failed.to_string().contains("scenario two_is_three: "), "{failed}");
        assert!(failed.what.contains("it is not"), "{failed}");
    }
}
