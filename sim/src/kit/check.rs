//! Many worlds, and the smallest of those that fail.

use super::application::Application;
use super::course::{Outcome, run};
use super::failure::Failure;
use super::plan::Plan;
use super::settings::Settings;
use super::shrink::{Shrunk, shrink};
use super::summary::Summary;
use super::violation::Violation;
use super::world::World;

/// Proves your database in a world for each seed, with the usual [`Settings`].
///
/// In each, a plan is drawn from the seed, your consumer lives and dies by it, and at the end the
/// database must have every entry once and in order. The first world is run twice, and both must
/// go the same way. One that does not is not made smaller.
///
/// Call it from a plain `#[test]`. Within a `#[tokio::test]`, what of your code leaves the kit by `tokio::spawn` or
/// `tokio::time` finds a runtime, and goes on outside of the world; without one it panics, and you hear of it.
///
/// # Errors
///
/// [`Failure`] for the first seed whose world fails, made as small as could be found. `expect` it in a test.
///
/// # Panics
///
/// When no seed is given, because nothing is shown by that.
pub fn check<A: Application>(
    seeds: impl IntoIterator<Item = u64>,
    make: impl Fn(&World) -> A,
) -> Result<Summary, Box<Failure>> {
    Settings::default().check(seeds, make)
}

/// Runs one world again, as a [`Failure`] told it, with the usual [`Settings`]: twice, and both must go the same way.
///
/// # Errors
///
/// [`Failure`], as it is: nothing is made smaller.
pub fn replay<A: Application>(
    seed: u64,
    plan: &Plan,
    make: impl Fn(&World) -> A,
) -> Result<Summary, Box<Failure>> {
    Settings::default().replay(seed, plan, make)
}

impl Settings {
    /// The plan of a seed.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let world = World::with_lines(seed, self, false);
        Plan::draw(&mut world.random("plan"), self)
    }

    /// The same as [`check`], in worlds like these.
    ///
    /// # Errors
    ///
    /// [`Failure`], as there.
    ///
    /// # Panics
    ///
    /// When no seed is given.
    pub fn check<A: Application>(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        make: impl Fn(&World) -> A,
    ) -> Result<Summary, Box<Failure>> {
        let mut sum = Summary::default();
        for seed in seeds {
            let plan = self.plan(seed);
            let outcome = if sum.worlds == 0 {
                self.run_twice(seed, &plan, &make)
            } else {
                run(self, seed, &plan, false, &make)
            };
            match &outcome.violation {
                None => sum.add(&outcome.summary),
                Some(Violation::NotDeterministic { .. }) => {
                    return self.failure(seed, &plan, &plan, 0, outcome).map_or(Ok(sum), Err);
                }
                Some(violation) => return Err(self.shrink(seed, plan, violation, &make)),
            }
        }
        assert!(sum.worlds > 0, "no seed was given: a check of no world shows nothing");
        Ok(sum)
    }

    /// The same as [`replay`], in a world like these.
    ///
    /// # Errors
    ///
    /// [`Failure`], as there.
    pub fn replay<A: Application>(
        &self,
        seed: u64,
        plan: &Plan,
        make: impl Fn(&World) -> A,
    ) -> Result<Summary, Box<Failure>> {
        let outcome = self.run_twice(seed, plan, &make);
        let summary = outcome.summary;
        self.failure(seed, plan, plan, 0, outcome).map_or(Ok(summary), Err)
    }

    /// Runs one world, and finds out whether it is the same the second time.
    fn run_twice<A: Application>(
        &self,
        seed: u64,
        plan: &Plan,
        make: &impl Fn(&World) -> A,
    ) -> Outcome {
        let first = run(self, seed, plan, true, make);
        let second = run(self, seed, plan, true, make);
        let violation = difference(&first, &second).or_else(|| second.violation.clone());
        Outcome { violation, ..second }
    }

    fn shrink<A: Application>(
        &self,
        seed: u64,
        planned: Plan,
        violation: &Violation,
        make: &impl Fn(&World) -> A,
    ) -> Box<Failure> {
        let kind = violation.kind();
        let Shrunk { plan, tried } = shrink(planned.clone(), self.most_shrinking, |plan| {
            let outcome = run(self, seed, plan, false, make);
            outcome.violation.is_some_and(|violation| violation.kind() == kind)
        });
        let mut last = run(self, seed, &plan, true, make);
        if last.violation.as_ref().map(Violation::kind) != Some(kind) {
            let again = match &last.violation {
                None => "nothing is wrong".to_owned(),
                Some(violation) => violation.to_string(),
            };
            let first = violation.to_string();
            last.violation = Some(Violation::NotDeterministic { first, second: again });
        }
        self.failure(seed, &plan, &planned, tried, last).expect("it is wrong with something")
    }

    /// What is told of a world, if anything is wrong in it.
    fn failure(
        &self,
        seed: u64,
        plan: &Plan,
        planned: &Plan,
        tried: usize,
        outcome: Outcome,
    ) -> Option<Box<Failure>> {
        let Outcome { violation, story, sees_database, trace, .. } = outcome;
        let violation = violation?;
        let (plan, planned) = (plan.clone(), planned.clone());
        let is_usual = *self == Self::default();
        Some(Box::new(Failure {
            seed,
            plan,
            violation,
            planned,
            tried,
            story,
            trace,
            sees_database,
            is_usual,
        }))
    }
}

/// How two runs of one world differ.
fn difference(first: &Outcome, second: &Outcome) -> Option<Violation> {
    if first.hash == second.hash && first.trace == second.trace {
        return None;
    }
    let line = |lines: &[String], at: usize| {
        lines.get(at).cloned().unwrap_or_else(|| "nothing more happens".to_owned())
    };
    let longest = first.trace.len().max(second.trace.len());
    let at = (0..longest).find(|at| first.trace.get(*at) != second.trace.get(*at));
    let (first, second) = match at {
        Some(at) => (line(&first.trace, at), line(&second.trace, at)),
        // All requests are alike: only the order of tasks, or what was drawn, is not.
        None => (format!("hash {:016x}", first.hash), format!("hash {:016x}", second.hash)),
    };
    Some(Violation::NotDeterministic { first, second })
}
