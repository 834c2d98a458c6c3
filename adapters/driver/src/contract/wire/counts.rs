//! What a server has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::Fault;
use super::json::quoted;
use super::objects::Operation;

/// How many writes are remembered, to know those that come again.
const MOST_WRITES: usize = 1 << 20;

/// What a [`WireServer`](super::WireServer) has seen so far.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::wire::{Options, WireServer};
///
/// let server = WireServer::start(&Options::default())?;
/// for request in ["PUT /bucket/key", "PUT /bucket/key", "PATCH /bucket/key"] {
///     let mut socket = TcpStream::connect(server.address())?;
///     write!(socket, "{request} HTTP/1.1\r\nIf-None-Match: *\r\nConnection: close\r\n\r\n")?;
///     read_to_string(socket)?;
/// }
/// let counts = server.counts();
/// assert_eq!((counts.requests["PUT"], counts.operations["create"]), (2, 2));
/// assert_eq!((counts.writes, counts.repeated_writes, counts.refused), (2, 1, 1));
/// assert!(counts.to_string().contains("2, 1 of them again"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests, by method.
    pub requests: BTreeMap<String, u64>,
    /// Those that were understood, by what they asked for: `create` and `swap` are writes on a
    /// condition, `put` is one without; the others speak for themselves.
    pub operations: BTreeMap<&'static str, u64>,
    /// Requests to write an object: its `PUT`s, or the last parts of uploads.
    pub writes: u64,
    /// Those of them that had been seen before: the same key, condition and contents. Looked for
    /// among the first million.
    pub repeated_writes: u64,
    /// Writes that were refused because the object had been written a moment before.
    pub hot_keys: u64,
    /// Requests that were malformed, too large, or for something that is not done here.
    pub refused: u64,
    /// What befell requests.
    pub faults: BTreeMap<Fault, u64>,
}

impl Counts {
    /// All of it as JSON, as `GET /_counts` gives it.
    ///
    /// ```
    /// use buffer_driver::contract::wire::{Options, WireServer};
    ///
    /// let server = WireServer::start(&Options::default())?;
    /// assert!(server.counts().to_json().starts_with(r#"{"requests":{},"operations":{},"writes":0,"#));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let faults: BTreeMap<_, _> =
            self.faults.iter().map(|(fault, count)| (fault.name(), *count)).collect();
        format!(
            "{{\"requests\":{},\"operations\":{},\"writes\":{},\"repeated_writes\":{},\
             \"hot_keys\":{},\"refused\":{},\"faults\":{}}}",
            map(&self.requests),
            map(&self.operations),
            self.writes,
            self.repeated_writes,
            self.hot_keys,
            self.refused,
            map(&faults),
        )
    }
}

fn map(counts: &BTreeMap<impl AsRef<str>, u64>) -> String {
    let members = counts.iter().map(|(name, count)| format!("{}:{count}", quoted(name.as_ref())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, counts: String| match counts.is_empty() {
            true => writeln!(f, "{name:<16} none"),
            false => writeln!(f, "{name:<16} {counts}"),
        };
        line("requests", told(&self.requests))?;
        line("operations", told(&self.operations))?;
        line("writes", format!("{}, {} of them again", self.writes, self.repeated_writes))?;
        line("hot keys", self.hot_keys.to_string())?;
        line("refused", self.refused.to_string())?;
        let faults: BTreeMap<_, _> =
            self.faults.iter().map(|(fault, count)| (fault.name(), *count)).collect();
        line("faults", told(&faults))
    }
}

fn told(counts: &BTreeMap<impl AsRef<str>, u64>) -> String {
    let told = counts.iter().map(|(name, count)| format!("{count} {}", name.as_ref()));
    told.collect::<Vec<_>>().join(", ")
}

/// Counts, as they are made.
#[derive(Debug, Default)]
pub(super) struct Counter(Mutex<Seen>);

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) counts: Counts,
    requests: u64,
    writes: BTreeSet<[u8; 32]>,
}

impl Counter {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Counts a request; says its number.
    pub(super) fn count(
        &mut self,
        method: &str,
        understood: Option<(&Operation, Option<[u8; 32]>)>,
    ) -> u64 {
        // Whatever else comes as a method would be one more line, and there is no end of them.
        const METHODS: [&str; 5] = ["GET", "HEAD", "PUT", "POST", "DELETE"];
        let method = if METHODS.contains(&method) { method } else { "other" };
        *self.counts.requests.entry(method.to_owned()).or_default() += 1;
        match understood {
            None => self.counts.refused += 1,
            Some((operation, write)) => {
                *self.counts.operations.entry(operation.kind()).or_default() += 1;
                self.count_write(write);
            }
        }
        self.requests += 1;
        self.requests
    }

    fn count_write(&mut self, write: Option<[u8; 32]>) {
        let Some(write) = write else { return };
        self.counts.writes += 1;
        if self.writes.contains(&write) {
            self.counts.repeated_writes += 1;
        } else if self.writes.len() < MOST_WRITES {
            self.writes.insert(write);
        }
    }
}
