//! What an adapter makes of the answers that servers really give.
//!
//! A tiny server answers every request as one row of a table says, in the dialect of S3 or of
//! Azure, and the row names the outcomes that a correct adapter may make of it. The store must
//! be made without retries of its own: each row also demands one request for each call.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use buffer_driver::{Runtime, Store};
//! use buffer_driver::contract::errors::{self, Dialect, Suite};
//!
//! # fn open_s3(endpoint: &str, bucket: &str) -> Arc<dyn Store> { unimplemented!("{endpoint}{bucket}") }
//! # async fn example(runtime: Arc<dyn Runtime>) {
//! let report = errors::run(&Suite::new(Dialect::S3), runtime, |endpoint| open_s3(endpoint, "buffer")).await;
//! report.expect_all();
//! # }
//! ```

mod server;
mod table;

use std::sync::Arc;
use std::time::Duration;

use buffer_core::{Condition, Location, ReadOutcome, StoreErrorKind, Version, WriteOutcome};

use super::bench::told;
use super::report::{Outcome, Report, ReportLine, Violation};
use super::tasks::within;
use crate::runtime::Runtime;
use crate::store::{Store, StoreFailure};

pub use server::{Reply, ScriptedServer};

use table::{Case, Delivery};

/// How long a call may take to come to its end after the server's answer, or its silence.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose errors a server sends.
///
/// ```
/// use buffer_driver::contract::errors::{Dialect, Reply, ScriptedServer};
///
/// let server = ScriptedServer::start(Reply::Silence)?;
/// let root = server.endpoint(Dialect::S3);
/// // A client of Azure is given an account in the path, as its emulator has it.
/// assert_eq!(server.endpoint(Dialect::Azure), format!("{root}/devstoreaccount1"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// XML bodies, as S3 and what is compatible with it send; the endpoint is `http://HOST:PORT`, the bucket in the path.
    S3,
    /// The header `x-ms-error-code` and XML, as Azure's blobs; the endpoint is `http://HOST:PORT/devstoreaccount1`.
    Azure,
}

/// What is asked of an adapter.
///
/// ```
/// use buffer_driver::contract::errors::{Dialect, Suite};
///
/// let strict = Suite::new(Dialect::S3);
/// assert_eq!(strict.coarse, None);
/// // For a client that tells throttling and time-outs as one kind of error:
/// let suite = strict.coarse("it says only that trying again may help");
/// assert_eq!(suite.dialect, Dialect::S3);
/// assert_eq!(suite.coarse.as_deref(), Some("it says only that trying again may help"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The server's dialect.
    pub dialect: Dialect,
    /// Why the client hides whether the store was asked for too much, or answered too late, if it
    /// does. Then [`StoreErrorKind::Transient`] will do for both; the report says so.
    pub coarse: Option<String>,
}

impl Suite {
    /// Everything, to the letter.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, coarse: None }
    }

    /// Lets `Transient` pass for throttling and time-outs, for this reason.
    #[must_use]
    pub fn coarse(mut self, because: impl Into<String>) -> Self {
        self.coarse = Some(because.into());
        self
    }
}

/// A call of [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Create,
    Swap,
    Read,
    ReadUnless,
    List,
    Delete,
}

/// What came of a call, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Failed(StoreErrorKind),
    Conflict,
    NotModified,
    Missing,
    /// A success, with what was not asked for.
    Done,
}

/// Runs the whole table against stores that `open` makes from an endpoint's URL.
///
/// Each row has a server and a store of its own. The bucket or container is called `buffer`.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::errors::{self, Dialect, Suite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// // One that never asks the server does not get through.
/// let open = |_endpoint: &str| Arc::new(MemoryStore::new("deaf")) as _;
/// let report = errors::run(&Suite::new(Dialect::S3), runtime, open).await;
/// assert_eq!(report.subject, "errors in the dialect of S3");
/// assert_eq!(report.violations().count(), report.lines.len());
/// let violation = report.violations().next().expect("there are many");
/// assert_eq!(violation.check, "403 AccessDenied to Create");
/// assert_eq!(violation.expected, "one request");
/// # Ok(())
/// # }
/// ```
pub async fn run(
    suite: &Suite,
    runtime: Arc<dyn Runtime>,
    open: impl Fn(&str) -> Arc<dyn Store>,
) -> Report {
    let mut report = Report::new(format_args!("errors in the dialect of {:?}", suite.dialect));
    for case in table::cases(suite.dialect) {
        for call in case.calls {
            let start = runtime.monotonic();
            let check = format!("{} to {call:?}", case.name());
            let (outcome, note) = match run_one(suite, &runtime, &open, &case, *call, &check).await
            {
                Ok(note) => (Outcome::Passed, note),
                Err(violation) => (Outcome::Violated(violation), String::new()),
            };
            let took = runtime.monotonic().saturating_since(start);
            report.lines.push(ReportLine { check, outcome, took, note });
        }
    }
    report
}

async fn run_one(
    suite: &Suite,
    runtime: &Arc<dyn Runtime>,
    open: &impl Fn(&str) -> Arc<dyn Store>,
    case: &Case,
    call: Call,
    check: &str,
) -> Result<String, Violation> {
    let violation =
        |expected: String, seen: String| Err(Violation { check: check.to_owned(), expected, seen });
    let server = match ScriptedServer::start(case.reply(suite.dialect)) {
        Ok(server) => server,
        Err(error) => return violation("a free port".to_owned(), error.to_string()),
    };
    let store = open(&server.endpoint(suite.dialect));
    let server = match case.delivery {
        // Its port is free again, and nobody listens.
        Delivery::Refused => {
            drop(server);
            None
        }
        Delivery::Whole | Delivery::Closed | Delivery::Torn | Delivery::CutShort => Some(server),
    };
    let asked = within(runtime, PATIENCE, ask(&*store, call)).await;
    let Some((answer, said)) = asked else {
        return violation(format!("an end within {PATIENCE:?}"), "that it still waits".to_owned());
    };
    let requests = server.as_ref().map_or(1, ScriptedServer::requests);
    if requests != 1 {
        return violation("one request".to_owned(), format!("{requests}, and then {said}"));
    }
    if case.allowed.contains(&answer) {
        return Ok(String::new());
    }
    let is_coarse = case.allowed.iter().any(|allowed| {
        matches!(allowed, Answer::Failed(StoreErrorKind::Throttled | StoreErrorKind::TimedOut))
    });
    match &suite.coarse {
        Some(because) if is_coarse && answer == Answer::Failed(StoreErrorKind::Transient) => {
            Ok(format!("as transient, because {because}"))
        }
        Some(_) | None => {
            let allowed: Vec<_> = case.allowed.iter().map(told).collect();
            violation(allowed.join(" or "), format!("{answer:?}: {said}"))
        }
    }
}

/// Makes the call; says what came of it, and the same for people.
async fn ask(store: &dyn Store, call: Call) -> (Answer, String) {
    let key = Location::new("contract/errors/object");
    let version = Version::from_e_tag("\"0123456789abcdef0123456789abcdef\"");
    let failed = |failure: StoreFailure| (Answer::Failed(failure.kind), told(&failure));
    match call {
        Call::Create | Call::Swap => {
            let condition = match call {
                Call::Create => Condition::Absent,
                Call::Swap | Call::Read | Call::ReadUnless | Call::List | Call::Delete => {
                    Condition::Version(version)
                }
            };
            match store.write(&key, vec!["contents".into()], condition).await {
                Ok(WriteOutcome::Conflict) => (Answer::Conflict, "a conflict".to_owned()),
                Ok(outcome @ WriteOutcome::Stored(_)) => (Answer::Done, told(&outcome)),
                Err(failure) => failed(failure),
            }
        }
        Call::Read | Call::ReadUnless => {
            let unless = (call == Call::ReadUnless).then_some(version);
            match store.read(&key, unless).await {
                Ok(ReadOutcome::NotModified) => (Answer::NotModified, "not modified".to_owned()),
                Ok(ReadOutcome::Missing) => (Answer::Missing, "missing".to_owned()),
                Ok(outcome @ ReadOutcome::Found(_)) => (Answer::Done, told(&outcome)),
                Err(failure) => failed(failure),
            }
        }
        Call::List => match store.list(&Location::new("contract/errors"), None).await {
            Ok(page) => (Answer::Done, told(&page)),
            Err(failure) => failed(failure),
        },
        Call::Delete => match store.delete(vec![key]).await.pop() {
            Some(Ok(())) => (Answer::Done, "a success".to_owned()),
            Some(Err(failure)) => failed(failure),
            None => (Answer::Done, "no result at all".to_owned()),
        },
    }
}
