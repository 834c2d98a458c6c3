//! What the checks of a suite found.

use std::fmt;
use std::time::Duration;

/// A check that did not hold: the store is not what a buffer needs.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::inspection;
/// use buffer_driver::contract::queue::Side;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// let side = Side::new(Arc::new(MemoryStore::new("x")), runtime);
/// // No store takes this as a key, so nothing can be written below it.
/// let Err(violation) = inspection::run(side, "no//key".into()).await else { panic!("it holds") };
/// assert_eq!(violation.check, "an_old_batch_is_written");
/// assert_eq!(violation.expected, "no failure");
/// assert!(violation.seen.contains("InvalidLocation"), "{violation}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{check}: expected {expected}, saw {seen}")]
pub struct Violation {
    /// The check's name, which is the fact that it looks at.
    pub check: String,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub seen: String,
}

/// How a check ended.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::errors::{self, Dialect, Suite};
/// use buffer_driver::contract::{self, Contract, Feature, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let quick = Contract { large_object_bytes: 1 << 10, listed_objects: 20, ..Contract::default() };
/// # let (store, runtime) = (MemoryStore::new("x"), buffer::TokioRuntime::current()?);
/// # let (store, runtime) = (Arc::new(store), Arc::new(runtime));
/// let told = |outcome: Option<&Outcome>| match outcome {
///     Some(Outcome::Passed) => "it holds".to_owned(),
///     Some(Outcome::Skipped { because }) => format!("not looked at: {because}"),
///     Some(Outcome::Violated(violation)) => format!("not {}", violation.expected),
///     None => "no such check".to_owned(),
/// };
/// let contract = quick.lacking(Feature::ModifiedTimes, "it keeps no times");
/// let report = contract::run(&contract, store.clone(), runtime.clone(), "x".into()).await;
/// assert_eq!(told(report.outcome("one_of_many_swaps_wins")), "it holds");
/// let times = report.outcome("a_read_tells_when_the_object_was_written");
/// assert_eq!(told(times), "not looked at: it keeps no times");
/// // How servers answer is nothing that memory ever sees.
/// let open = |_endpoint: &str| store.clone() as _;
/// let report = errors::run(&Suite::new(Dialect::S3), runtime, open).await;
/// assert_eq!(told(report.outcome("429 TooManyRequests to Read")), "not one request");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It was not looked at, because the caller said that the store lacks what it needs.
    Skipped {
        /// What the caller gave as the reason.
        because: String,
    },
    /// It does not hold.
    Violated(Violation),
}

/// One check of a report.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::{self, Contract, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let quick = Contract { large_object_bytes: 1 << 10, listed_objects: 20, ..Contract::default() };
/// # let (store, runtime) = (MemoryStore::new("x"), buffer::TokioRuntime::current()?);
/// let report = contract::run(&quick, Arc::new(store), Arc::new(runtime), "x".into()).await;
/// let line = &report.lines[0];
/// assert_eq!(line.check, "a_second_create_is_a_conflict_and_the_first_contents_stay");
/// assert_eq!(line.outcome, Outcome::Passed);
/// assert!(line.took < quick.time_limit);
/// assert!(report.lines.iter().all(|line| line.note.is_empty()), "nothing was tried again");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportLine {
    /// The check's name.
    pub check: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, by the runtime's clock.
    pub took: Duration,
    /// What there is to say besides, such as requests that had to be tried again; empty if nothing.
    pub note: String,
}

/// What became of the checks of a suite, in the order in which they ran. Its `Display` is a table.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::errors::{self, Dialect, Suite};
/// use buffer_driver::contract::{self, Contract, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let quick = Contract { large_object_bytes: 1 << 10, listed_objects: 20, ..Contract::default() };
/// # let (store, runtime) = (MemoryStore::new("x"), buffer::TokioRuntime::current()?);
/// # let (store, runtime) = (Arc::new(store), Arc::new(runtime));
/// let report = contract::run(&quick, store.clone(), runtime.clone(), "x".into()).await;
/// assert!(report.is_sound());
/// assert_eq!(report.outcome("no_increment_is_lost"), Some(&Outcome::Passed));
/// report.expect_all(); // In a test: panics with the table if something does not hold.
///
/// // One that is no client of a server at all:
/// let open = |_endpoint: &str| store.clone() as _;
/// let report = errors::run(&Suite::new(Dialect::Azure), runtime, open).await;
/// assert!(!report.is_sound());
/// let violations = report.violations().count();
/// let sums = format!("0 passed, 0 skipped, {violations} violated");
/// assert!(report.to_string().ends_with(&sums), "{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a report may hold violations"]
pub struct Report {
    /// What was looked at: the store as it names itself.
    pub subject: String,
    /// The checks.
    pub lines: Vec<ReportLine>,
}

impl Report {
    pub(super) fn new(subject: impl fmt::Display) -> Self {
        Self { subject: subject.to_string(), lines: Vec::new() }
    }

    /// Whether nothing was violated. Checks that were skipped do not count.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations().next().is_none()
    }

    /// The violations.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.lines.iter().filter_map(|line| match &line.outcome {
            Outcome::Violated(violation) => Some(violation),
            Outcome::Passed | Outcome::Skipped { .. } => None,
        })
    }

    /// How a check ended, if there is one of this name.
    #[must_use]
    pub fn outcome(&self, check: &str) -> Option<&Outcome> {
        self.lines.iter().find(|line| line.check == check).map(|line| &line.outcome)
    }

    /// For tests: ends well if at least one check ran and all that ran hold.
    ///
    /// # Panics
    ///
    /// With the table, if one does not hold or none ran.
    pub fn expect_all(&self) {
        assert!(self.is_sound(), "the contract does not hold:\n{self}");
        let ran = self.lines.iter().any(|line| line.outcome == Outcome::Passed);
        assert!(ran, "nothing was checked:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject)?;
        for ReportLine { check, outcome, took, note } in &self.lines {
            let millis = took.as_millis();
            match outcome {
                Outcome::Passed => write!(f, "  passed   {millis:7} ms  {check}")?,
                Outcome::Skipped { because } => {
                    write!(f, "  skipped              {check}: {because}")?;
                }
                Outcome::Violated(Violation { check, expected, seen }) => {
                    write!(
                        f,
                        "  VIOLATED {millis:7} ms  {check}: expected {expected}, saw {seen}"
                    )?;
                }
            }
            if note.is_empty() {
                writeln!(f)?;
            } else {
                writeln!(f, " ({note})")?;
            }
        }
        let count = |wanted: fn(&Outcome) -> bool| {
            self.lines.iter().filter(|line| wanted(&line.outcome)).count()
        };
        write!(
            f,
            "  {} passed, {} skipped, {} violated",
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Skipped { .. })),
            count(|outcome| matches!(outcome, Outcome::Violated(_))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(check: &str, outcome: Outcome) -> ReportLine {
        let took = Duration::from_millis(12);
        ReportLine { check: check.to_owned(), outcome, took, note: String::new() }
    }

    fn violation() -> Violation {
        Violation { check: "one_wins".to_owned(), expected: "1".to_owned(), seen: "2".to_owned() }
    }

    #[test]
    fn a_table_tells_each_check_and_the_sums() {
        let mut report = Report::new("a store");
        report.lines.push(line("it_reads", Outcome::Passed));
        report.lines[0].note = "3 requests tried again".to_owned();
        report.lines.push(line("it_sings", Outcome::Skipped { because: "no voice".to_owned() }));
        assert!(report.is_sound());
        report.expect_all();
        report.lines.push(line("one_wins", Outcome::Violated(violation())));
        assert!(!report.is_sound());
        let table = "a store\n  passed        12 ms  it_reads (3 requests tried again)\n  \
             skipped              it_sings: no voice\n  \
             VIOLATED      12 ms  one_wins: expected 1, saw 2\n  \
             1 passed, 1 skipped, 1 violated";
        assert_eq!(report.to_string(), table);
        assert_eq!(report.outcome("it_reads"), Some(&Outcome::Passed));
        assert_eq!(report.outcome("nobody"), None);
    }

    #[test]
    #[should_panic(expected = "nothing was checked")]
    fn a_report_that_looked_at_nothing_is_no_success() {
        let mut report = Report::new("a store");
        report.lines.push(line("it_sings", Outcome::Skipped { because: "no voice".to_owned() }));
        report.expect_all();
    }

    #[test]
    #[should_panic(expected = "one_wins")]
    fn a_violation_is_no_success() {
        let mut report = Report::new("a store");
        report.lines.push(line("it_reads", Outcome::Passed));
        report.lines.push(line("one_wins", Outcome::Violated(violation())));
        report.expect_all();
    }
}
