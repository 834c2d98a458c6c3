//! A world that failed, as it is told to people.

use std::fmt;

use super::plan::Plan;
use super::story;
use super::violation::{Violation, ViolationKind};

/// The smallest world that was found in which a database is wrong.
///
/// `Debug` is the same text as `Display`, so that the `expect` of a test shows it as it is meant to be read.
///
/// ```
/// # use buffer_sim::buffer_driver::ConsumerConfig;
/// # use buffer_sim::kit::{self, AnyError, AppliedEntry, Application, Node};
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
/// // `Forgetful` acknowledges batches, and keeps nothing of them.
/// let failure = kit::check(0..10, |_| Forgetful).expect_err("it keeps nothing");
/// let text = failure.to_string();
/// assert!(text.starts_with(&format!("seed {}: {}", failure.seed, failure.violation)));
/// // What happened: a life takes the queue over, and no write of a database follows.
/// assert!(failure.story.iter().any(|line| line.ends_with("takes the queue over, in epoch 1")));
/// // How many worlds were tried for it, and how to see it again.
/// assert!(failure.tried > 0 && failure.planned.entries > failure.plan.entries);
/// assert!(text.contains("let failure = buffer_sim::kit::replay("), "{text}");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What goes wrong in the world, after shrinking.
    pub plan: Plan,
    /// What is wrong with the database then.
    pub violation: Violation,
    /// What went wrong in the world at first.
    pub planned: Plan,
    /// How many smaller worlds were tried.
    pub tried: usize,
    /// What happened in it, in short: one line for each event, with its virtual time.
    pub story: Vec<String>,
    /// Everything that happened in it, down to each request.
    pub trace: Vec<String>,
    /// Whether the story has anything of what the database did.
    pub(super) sees_database: bool,
    /// Whether the settings are those that a replay has if it is given none.
    pub(super) is_usual: bool,
}

/// What to do about a story in which the database only reads.
const UNSEEN: &str = "no write of your database is seen here: call `node.record(format_args!(\"stored {sequence}\"))` after each, \
     unless it keeps its objects in `node.store()`";

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, plan, violation, planned, tried, story, .. } = self;
        let is_same = violation.kind() != ViolationKind::NotDeterministic;
        writeln!(f, "seed {seed}: {violation}")?;
        writeln!(f)?;
        for line in story::shortened(story) {
            writeln!(f, "{line}")?;
        }
        writeln!(f)?;
        match tried {
            0 if is_same => {}
            0 => writeln!(
                f,
                "it is not made smaller, as it is another world each time; a replay runs it twice as well"
            )?,
            1 => {
                writeln!(f, "one smaller world was tried for this; the first was:\n    {planned}")?
            }
            _ => writeln!(
                f,
                "the smallest of {tried} worlds that were tried for this; the first was:\n    {planned}"
            )?,
        }
        let (whose, replay) = if self.is_usual {
            ("", "buffer_sim::kit::replay")
        } else {
            (" and the same `settings`", "settings.replay")
        };
        writeln!(
            f,
            "to see it again, and every request, with the closure of your `check`{whose}:"
        )?;
        writeln!(
            f,
            "    let failure = {replay}({seed}, &\"{plan}\".parse().unwrap(), |_| ...).unwrap_err();"
        )?;
        write!(f, "    println!(\"{{failure}}\\n{{}}\", failure.trace.join(\"\\n\"));")?;
        if !self.sees_database && violation.sequence().is_some() {
            write!(f, "\n{UNSEEN}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}\n")
    }
}
