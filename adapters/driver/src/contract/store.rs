//! The contract of a store: its checks, in a table, and what runs them.

mod keys;
mod listings;
mod payloads;
mod races;
mod reads;
mod writes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::Location;

use super::bench::Bench;
use super::report::{Outcome, Report, ReportLine, Violation};
use super::tasks::within;
use crate::runtime::{BoxFuture, Runtime};
use crate::store::Store;

/// How much the checks ask of a store, and what it honestly lacks.
///
/// ```
/// use buffer_driver::contract::{Contract, Feature};
///
/// // For a slow server: fewer objects and swaps.
/// let contract = Contract { listed_objects: 1_100, swaps: 10, ..Contract::default() }
///     .lacking(Feature::ModifiedTimes, "it keeps no times");
/// assert_eq!(contract.racing_writers, 16);
/// assert_eq!(contract.lacks.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The size of the large object, in bytes. Default: 64 MiB.
    pub large_object_bytes: usize,
    /// Of how many pieces the rope of many pieces is. Default: 10,000.
    pub rope_pieces: usize,
    /// How many tasks write in a race. Default: 16.
    pub racing_writers: usize,
    /// How many swaps each of them makes on one object. Default: 50.
    pub swaps: usize,
    /// How many times a race for a single winner is run. Default: 8.
    pub races: usize,
    /// How many objects are listed; more than a page of the store has. Default: 2,100.
    pub listed_objects: usize,
    /// How many requests are under way while many objects are made. Default: 16.
    pub requests_at_once: usize,
    /// How long one check may take. Default: 10 min.
    pub time_limit: Duration,
    /// What the store cannot do, with the reason; the checks that need it are skipped and reported so.
    pub lacks: Vec<Lack>,
}

impl Default for Contract {
    fn default() -> Self {
        Self {
            large_object_bytes: 64 << 20,
            rope_pieces: 10_000,
            racing_writers: 16,
            swaps: 50,
            races: 8,
            listed_objects: 2_100,
            requests_at_once: 16,
            time_limit: Duration::from_secs(600),
            lacks: Vec::new(),
        }
    }
}

impl Contract {
    /// Says that the store lacks something, and why.
    #[must_use]
    pub fn lacking(mut self, feature: Feature, because: impl Into<String>) -> Self {
        self.lacks.push(Lack { feature, because: because.into() });
        self
    }

    fn lack(&self, feature: Feature) -> Option<&Lack> {
        self.lacks.iter().find(|lack| lack.feature == feature)
    }
}

/// Something that a store may do without and still keep a queue.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::{self, Contract, Feature, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let quick = Contract { large_object_bytes: 1 << 10, listed_objects: 20, ..Contract::default() };
/// # let (store, runtime) = (MemoryStore::new("x"), buffer::TokioRuntime::current()?);
/// let contract = quick.lacking(Feature::Backslash, "it makes a slash of it");
/// let report = contract::run(&contract, Arc::new(store), Arc::new(runtime), "x".into()).await;
/// let skipped = Outcome::Skipped { because: "it makes a slash of it".into() };
/// assert_eq!(report.outcome("a_backslash_is_no_slash"), Some(&skipped));
/// // Keys in other alphabets are another matter, and were looked at.
/// assert_eq!(report.outcome("awkward_keys_are_taken_as_they_are"), Some(&Outcome::Passed));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Any text as a key, apart from control characters and empty, `.` and `..` segments.
    AnyKey,
    /// Keys that differ only by the case of letters.
    LetterCase,
    /// A backslash in a key that stays one; Azure makes a slash of it.
    Backslash,
    /// An object `a` beside an object `a/b`.
    ObjectBesideItsPrefix,
    /// A refusal of what [`Location::validate`] refuses, without a request.
    RefusedKeys,
    /// The time at which an object was written. A queue whose store lacks it is never collected.
    ModifiedTimes,
}

/// A feature that a store lacks.
///
/// ```
/// use buffer_driver::contract::{Contract, Feature, Lack};
///
/// let lack = Lack { feature: Feature::LetterCase, because: "its file system folds case".into() };
/// let contract = Contract { lacks: vec![lack], ..Contract::default() };
/// // The same in fewer words:
/// let shorter = Contract::default().lacking(Feature::LetterCase, "its file system folds case");
/// assert_eq!(contract, shorter);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What.
    pub feature: Feature,
    /// Why, for the report.
    pub because: String,
}

type Run = for<'a> fn(&'a Bench) -> BoxFuture<'a, Result<(), Violation>>;

/// A named fact that has to hold.
pub(super) struct Check {
    name: &'static str,
    needs: Option<Feature>,
    run: Run,
}

macro_rules! table {
    ($($module:ident :: $name:ident $(needs $feature:ident)?,)*) => {
        /// All checks, in the order in which they run.
        const CHECKS: &[Check] = &[$(Check {
            name: stringify!($name),
            needs: table!(@needs $($feature)?),
            run: |bench| Box::pin($module::$name(bench)),
        },)*];
    };
    (@needs) => { None };
    (@needs $feature:ident) => { Some(Feature::$feature) };
}

table! {
    writes::a_second_create_is_a_conflict_and_the_first_contents_stay,
    writes::a_swap_makes_the_version_that_a_read_shows,
    writes::a_stale_swap_is_a_conflict_and_changes_nothing,
    writes::a_swap_of_a_missing_object_is_a_conflict_and_creates_nothing,
    writes::a_swap_at_the_version_of_another_object_is_a_conflict,
    writes::a_swap_at_a_version_that_never_was_is_a_conflict,
    writes::a_deleted_object_can_be_created_and_its_old_version_is_stale,
    races::one_of_many_creates_wins,
    races::one_of_many_swaps_wins,
    races::no_increment_is_lost,
    races::a_reader_sees_whole_objects_while_they_are_replaced,
    reads::a_read_gives_contents_and_version_as_written,
    reads::a_read_tells_when_the_object_was_written needs ModifiedTimes,
    reads::a_read_unless_the_version_that_is_there_is_not_modified,
    reads::a_read_of_what_is_not_there_is_missing,
    reads::a_read_after_each_change_shows_it,
    listings::a_listing_has_all_below_its_prefix_and_nothing_beside,
    listings::an_object_is_not_below_itself needs ObjectBesideItsPrefix,
    listings::a_listing_of_nothing_is_empty,
    listings::a_long_listing_comes_in_pages_and_leaves_nothing_out,
    listings::a_listing_goes_on_while_what_it_listed_is_deleted,
    listings::what_was_deleted_is_not_listed,
    listings::deleting_what_is_gone_is_a_success,
    listings::each_deletion_has_its_result_in_order,
    payloads::an_object_can_be_empty,
    payloads::an_object_of_many_pieces_is_their_bytes_in_order,
    payloads::a_large_object_comes_back_as_it_went,
    keys::awkward_keys_are_taken_as_they_are needs AnyKey,
    keys::keys_that_differ_by_encoding_are_different_objects needs AnyKey,
    keys::keys_that_differ_by_case_are_different_objects needs LetterCase,
    keys::a_backslash_is_no_slash needs Backslash,
    keys::a_deletion_takes_the_very_key_that_was_named needs AnyKey,
    keys::what_cannot_be_a_key_is_refused needs RefusedKeys,
}

/// The names of all checks, in the order in which they run.
///
/// ```
/// use buffer_driver::contract;
///
/// // A name is the fact that has to hold.
/// assert_eq!(
///     contract::checks().next(),
///     Some("a_second_create_is_a_conflict_and_the_first_contents_stay")
/// );
/// assert!(contract::checks().any(|check| check == "one_of_many_swaps_wins"));
/// ```
pub fn checks() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

/// Runs all checks on a store, one after the other, on keys below `prefix` that nobody else uses.
///
/// A request that fails for now ([`is_retryable`](crate::StoreErrorKind::is_retryable)) is
/// tried again, and counted in the report. What a check wrote is deleted when it holds.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::{self, Contract};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// let store = Arc::new(MemoryStore::new("mine"));
/// // Small, so that it is quick here; what a queue is trusted to should pass the default.
/// let contract = Contract { large_object_bytes: 1 << 10, listed_objects: 20, ..Contract::default() };
/// let report = contract::run(&contract, store, runtime, "contract-4711".into()).await;
/// report.expect_all();
/// assert_eq!(report.subject, "memory:mine");
/// assert!(report.lines.iter().map(|line| &*line.check).eq(contract::checks()));
/// # Ok(())
/// # }
/// ```
pub async fn run(
    contract: &Contract,
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    prefix: Location,
) -> Report {
    let mut report = Report::new(&store);
    let contract = Arc::new(contract.clone());
    for check in CHECKS {
        let start = runtime.monotonic();
        let lack = check.needs.and_then(|feature| contract.lack(feature));
        let (outcome, note) = match lack {
            Some(lack) => (Outcome::Skipped { because: lack.because.clone() }, String::new()),
            None => {
                let place = Location::new(format!("{prefix}/{}", check.name));
                let bench = Bench::new(check.name, &contract, &store, &runtime, place);
                let outcome = run_one(check, &bench).await;
                let tried_again = bench.tried_again();
                let note = match tried_again {
                    0 => String::new(),
                    count => format!("{count} requests failed for now and were tried again"),
                };
                (outcome, note)
            }
        };
        let took = runtime.monotonic().saturating_since(start);
        report.lines.push(ReportLine { check: check.name.to_owned(), outcome, took, note });
    }
    report
}

async fn run_one(check: &Check, bench: &Bench) -> Outcome {
    let limit = bench.contract.time_limit;
    let work = async {
        (check.run)(bench).await?;
        let listed = bench.list(&bench.prefix).await?;
        bench.delete(listed.into_iter().map(|object| object.location).collect()).await
    };
    let result = within(&bench.runtime, limit, work).await.unwrap_or_else(|| {
        bench.violation(format_args!("an end within {limit:?}"), "that it still runs")
    });
    match result {
        Ok(()) => Outcome::Passed,
        Err(violation) => Outcome::Violated(violation),
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.check, self.store)
    }
}
