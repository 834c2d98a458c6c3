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
/// ```
/// use buffer_sim::buffer_driver::ConsumerConfig;
/// use buffer_sim::kit::{self, AnyError, AppliedEntry, Application, Node, ViolationKind};
///
/// /// A consumer that acknowledges, and a database that never keeps anything.
/// struct Forgetful;
///
/// impl Application for Forgetful {
///     async fn run(&self, node: Node) -> Result<(), AnyError> {
///         let consumer = node.consumer(&ConsumerConfig::default())?;
///         consumer.initialize(None).await?;
///         loop {
///             let batch = consumer.wait_batch().await?;
///             consumer.ack(batch.sequence).await?;
///         }
///     }
///
///     async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
///         Ok(Vec::new())
///     }
/// }
///
/// let failure = kit::check(0..10, |_| Forgetful).expect_err("it keeps nothing");
/// assert_eq!(failure.violation.kind(), ViolationKind::Lost);
/// // Nothing needs to go wrong in a world for that.
/// assert_eq!(failure.plan.to_string(), "entries=1");
/// ```
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
/// ```
/// # use buffer_sim::buffer_driver::ConsumerConfig;
/// # use buffer_sim::kit::{AnyError, AppliedEntry, Application, Node};
/// use buffer_sim::kit::{self, Violation};
///
/// # struct Forgetful;
/// # impl Application for Forgetful {
/// #     async fn run(&self, node: Node) -> Result<(), AnyError> {
/// #         let consumer = node.consumer(&ConsumerConfig::default())?;
/// #         consumer.initialize(None).await?;
/// #         loop {
/// #             let batch = consumer.wait_batch().await?;
/// #             consumer.ack(batch.sequence).await?;
/// #         }
/// #     }
/// #     async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
/// #         Ok(Vec::new())
/// #     }
/// # }
/// // `Forgetful` acknowledges batches, and keeps nothing of them: its failure said `entries=1`.
/// let again = kit::replay(1, &"entries=1".parse()?, |_| Forgetful).expect_err("it is no better");
/// assert_eq!(again.violation, Violation::Lost { sequence: 0, entry: "entry 0".into() });
/// // The story is short; every request is in the trace.
/// assert!(again.trace.len() > again.story.len());
/// # Ok::<(), AnyError>(())
/// ```
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
    ///
    /// ```
    /// use buffer_sim::kit::{End, Settings};
    ///
    /// let settings = Settings { most_entries: 5, pauses: false, ..Settings::default() };
    /// for seed in 0..100 {
    ///     let plan = settings.plan(seed);
    ///     assert_eq!(plan, settings.plan(seed));
    ///     assert!((1..=5).contains(&plan.entries), "{plan}");
    ///     assert!(!plan.lives.iter().any(|life| matches!(life.end, End::Pause { .. })), "{plan}");
    /// }
    /// ```
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let world = World::with_lines(seed, self, false);
        Plan::draw(&mut world.random("plan"), self)
    }

    /// The same as [`check`], in worlds like these.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use buffer_sim::kit::{AnyError, AppliedEntry, Application, Node, Settings, Violation};
    ///
    /// /// A consumer that has nothing to do.
    /// struct Idle;
    ///
    /// impl Application for Idle {
    ///     async fn run(&self, _: Node) -> Result<(), AnyError> {
    ///         Ok(())
    ///     }
    ///
    ///     async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
    ///         Ok(Vec::new())
    ///     }
    /// }
    ///
    /// // Half an hour is not needed to see that it does not get on.
    /// let settings = Settings { time_limit: Duration::from_secs(60), ..Settings::default() };
    /// let failure = settings.check(0..1, |_| Idle).expect_err("it consumes nothing");
    /// let Violation::Stuck { sequence, minutes, .. } = failure.violation else { panic!("{failure}") };
    /// assert_eq!((sequence, minutes), (0, 1));
    /// ```
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
    /// ```
    /// use std::time::Duration;
    ///
    /// use buffer_sim::kit::{AnyError, AppliedEntry, Application, Node, Settings};
    ///
    /// /// A database that cannot be opened.
    /// struct Full;
    ///
    /// impl Application for Full {
    ///     async fn run(&self, _: Node) -> Result<(), AnyError> {
    ///         Err("the disk is full".into())
    ///     }
    ///
    ///     async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
    ///         Ok(Vec::new())
    ///     }
    /// }
    ///
    /// let settings = Settings { time_limit: Duration::from_secs(60), ..Settings::default() };
    /// let failure = settings.replay(3, &"entries=1".parse()?, |_| Full).expect_err("it is full");
    /// assert!(failure.violation.to_string().ends_with("your consumer's last error: the disk is full"));
    /// assert!(failure.to_string().contains("settings.replay(3, &\"entries=1\".parse()"));
    /// # Ok::<(), AnyError>(())
    /// ```
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
