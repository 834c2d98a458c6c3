//! A faulty S3 on the wire: a server in memory that does what clients must be ready for.
//!
//! Conditions of writes are exact, entity tags are hashes of the contents, listings come in pages, and each
//! request meets the [`Fault`] that the seed has for its number: what a simulator says of a store,
//! done to a socket. It listens on the loopback address, asks for no signature, has every bucket, and forgets all when it is dropped.
//!
//! What it does: `PUT` (`If-None-Match: *`, `If-Match`), `GET` and `HEAD` (`If-None-Match`, `If-Match`, `Range`) and `DELETE` of
//! one object; deletions of many; ListObjectsV2. With [`Profile::Gcs`] the same by generations
//! (`x-goog-if-generation-match`), with one write a second to one object, and the part of Google's JSON interface that
//! OpenDAL speaks. Whatever else is asked for, be it a header or a parameter that changes the meaning, is answered with 501.
//!
//! `GET /_counts` says what it has seen ([`Counts`]), and is not counted.
//!
//! ```
//! use buffer_driver::contract::wire::{Fault, Faults, Options, Profile, WireServer};
//!
//! let faults = Faults::of(7).with(Fault::LostReply, 0.05)?.with(Fault::Reset, 0.05)?;
//! let server = WireServer::start(&Options { faults, ..Options::of(Profile::S3) })?;
//! println!("point the client at {}", server.url());
//! assert_eq!(server.counts().writes, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod counts;
mod delivery;
mod fault;
mod json;
mod listing;
mod objects;
mod operation;
mod upload;
mod xml;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::{Condition, Location, ReadOutcome, WriteOutcome};

use super::http::{Connection, Message, Server};
use super::submissions::{Witness, Witnessed};
use crate::store::Store;

pub use counts::Counts;
pub use fault::{Fault, Faults, RateError, UnknownFault};

use answer::{Refusal, answer};
use counts::Counter;
use delivery::deliver;
use objects::{Objects, Outcome};
use operation::{Api, Request};

/// Whose service a server is like.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::wire::{Options, Profile, WireServer};
///
/// let again = |profile| {
///     let server = WireServer::start(&Options::of(profile))?;
///     let mut socket = TcpStream::connect(server.address())?;
///     // The same object twice, one right after the other.
///     socket.write_all(
///         b"PUT /bucket/key HTTP/1.1\r\nContent-Length: 1\r\n\r\nx\
///           PUT /bucket/key HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n\r\ny",
///     )?;
///     read_to_string(socket)
/// };
/// assert_eq!(again(Profile::S3)?.matches("HTTP/1.1 200 OK").count(), 2);
/// assert!(again(Profile::Gcs)?.contains("HTTP/1.1 429 Too Many Requests"));
/// assert_eq!(Profile::Gcs.to_string(), "gcs");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// S3: conditions on entity tags.
    S3,
    /// Google Cloud Storage: conditions on generations, and one write a second to one object.
    Gcs,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
        })
    }
}

/// What a server makes of the conditions of writes.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::wire::{Conditions, Options, WireServer};
///
/// // How often the same object can be created.
/// let created = |conditions| {
///     let server = WireServer::start(&Options { conditions, ..Options::default() })?;
///     let create = |_| {
///         let mut socket = TcpStream::connect(server.address())?;
///         socket.write_all(
///             b"PUT /bucket/key HTTP/1.1\r\nIf-None-Match: *\r\nConnection: close\r\n\r\n",
///         )?;
///         read_to_string(socket).map(|answer| answer.starts_with("HTTP/1.1 200 OK\r\n"))
///     };
///     (0..2).map(create).collect::<Result<Vec<_>, _>>()
/// };
/// assert_eq!(created(Conditions::Kept)?, [true, false]);
/// assert_eq!(created(Conditions::Ignored)?, [true, true]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// A write happens if its condition holds.
    Kept,
    /// Every write happens.
    Ignored,
    /// As kept, but an entity tag in `If-Match` is compared without its quotes, and never equal with them.
    Unquoted,
}

/// What a server is like.
///
/// ```
/// use std::time::Duration;
/// use buffer_driver::contract::wire::{Conditions, Fault, Faults, Options, Profile, WireServer};
///
/// let google = Options::of(Profile::Gcs);
/// assert_eq!(google.write_interval, Duration::from_secs(1));
/// // Google, but that objects may be written at any time, and that one request in ten is throttled.
/// let faults = Faults::of(7).with(Fault::Throttle, 0.1)?;
/// let options = Options { write_interval: Duration::ZERO, faults, ..google };
/// assert_eq!((options.port, options.conditions), (0, Conditions::Kept));
/// let server = WireServer::start(&options)?;
/// assert_ne!(server.address().port(), 0, "it is a free one");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The port to listen on, of the loopback address; 0 for a free one, which is the default.
    pub port: u16,
    /// Whose service it is like. Default: S3.
    pub profile: Profile,
    /// What it makes of conditions. Default: they are kept.
    pub conditions: Conditions,
    /// How long after a write an object takes no other: that one is answered with 429 (S3: 503) and `Retry-After`.
    /// Default: none for S3, 1 s for Google.
    pub write_interval: Duration,
    /// What befalls requests. Default: nothing.
    pub faults: Faults,
}

impl Options {
    /// A server of this profile in which nothing goes wrong.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        let write_interval = match profile {
            Profile::S3 => Duration::ZERO,
            Profile::Gcs => Duration::from_secs(1),
        };
        let (port, conditions) = (0, Conditions::Kept);
        Self { port, profile, conditions, write_interval, faults: Faults::of(0) }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::of(Profile::S3)
    }
}

/// A server that runs until it is dropped.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::{SocketAddr, TcpStream};
/// use buffer_driver::contract::wire::{Fault, Faults, Options, WireServer};
///
/// let ask = |server: SocketAddr, request: &str| {
///     let mut socket = TcpStream::connect(server)?;
///     write!(socket, "{request}\r\nConnection: close\r\n\r\nhello")?;
///     read_to_string(socket)
/// };
/// let server = WireServer::start(&Options::default())?;
/// assert_eq!(server.url(), format!("http://{}", server.address()));
/// // The same objects, by way of a server that never says what became of a request.
/// let lossy = server.beside(Faults::of(7).with(Fault::LostReply, 1.0)?)?;
/// let put = "PUT /bucket/key HTTP/1.1\r\nContent-Length: 5";
/// assert_eq!(ask(lossy.address(), put)?, "");
/// let get = "GET /bucket/key HTTP/1.1\r\nContent-Length: 5";
/// assert!(ask(server.address(), get)?.ends_with("\r\n\r\nhello"), "it was written all the same");
/// assert_eq!((server.counts().writes, lossy.counts().writes), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WireServer {
    server: Server,
    site: Arc<Site>,
}

impl WireServer {
    /// Listens; nothing is stored yet.
    ///
    /// # Errors
    ///
    /// As listening does.
    pub fn start(options: &Options) -> io::Result<Self> {
        let objects = Objects::new(options.conditions, options.write_interval);
        Self::on(options.port, options.profile, options.faults.clone(), Arc::new(objects))
    }

    /// Another server on the same objects, on a free port: with faults and counts of its own.
    ///
    /// # Errors
    ///
    /// As listening does.
    pub fn beside(&self, faults: Faults) -> io::Result<Self> {
        Self::on(0, self.site.profile, faults, Arc::clone(&self.site.objects))
    }

    fn on(port: u16, profile: Profile, faults: Faults, objects: Arc<Objects>) -> io::Result<Self> {
        let site = Arc::new(Site { profile, faults, objects, counter: Counter::default() });
        let serving = Arc::clone(&site);
        let server = Server::start_at(port, move |connection| serving.serve(connection))?;
        Ok(Self { server, site })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The endpoint to give to a client that names buckets in the path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.site.counter.seen().counts.clone()
    }
}

impl Witness for WireServer {
    fn witnessed(&self) -> Witnessed {
        let Counts { writes, repeated_writes, faults, .. } = self.counts();
        let lost = faults.into_iter().filter(|(fault, _)| Fault::LOST_ANSWERS.contains(fault));
        let lost = lost.map(|(fault, count)| (fault.to_string(), count)).collect();
        Witnessed { writes, repeated_writes, lost }
    }
}

/// What the connections of a server share.
#[derive(Debug)]
struct Site {
    profile: Profile,
    faults: Faults,
    objects: Arc<Objects>,
    counter: Counter,
}

impl Site {
    fn serve(&self, mut connection: Connection) -> io::Result<()> {
        loop {
            let mut request = match connection.request() {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) => return self.refuse(connection, &error),
            };
            let (answer, fault) = self.answer(&mut request);
            if !deliver(&mut connection, &request, &answer, fault)? {
                return Ok(());
            }
        }
    }

    /// Says why a request could not be read, and closes the connection.
    fn refuse(&self, mut connection: Connection, error: &io::Error) -> io::Result<()> {
        let reason = error.to_string();
        let refusal = if error.kind() == ErrorKind::InvalidData {
            Refusal::bad("InvalidRequest", reason)
        } else if error.kind() == ErrorKind::FileTooLarge {
            Refusal::new(413, "EntityTooLarge", reason)
        } else {
            // The connection broke.
            return Ok(());
        };
        self.counter.seen().counts.refused += 1;
        refusal.answer(Api::Xml).write(connection.socket(), "close")?;
        connection.finish();
        Ok(())
    }

    /// The answer, and what befalls it.
    fn answer(&self, message: &mut Message) -> (Message, Option<Fault>) {
        if message.method() == "GET" && message.target() == "/_counts" {
            let counts = self.counter.seen().counts.to_json();
            return (json::document(200, &counts), None);
        }
        let parsed = Request::parse(message, self.profile);
        let understood = parsed.as_ref().ok();
        let understood = understood.map(|it| (&it.operation, it.operation.fingerprint()));
        let number = self.counter.seen().count(message.method(), understood);
        let (mut answer, fault) = match parsed {
            Err(refusal) => (refusal.answer(Api::Xml), None),
            Ok(request) => {
                let fault = self.faults.draw(number).filter(|fault| fault.fits(&request));
                (self.apply(request, fault), fault)
            }
        };
        if message.method() == "HEAD" {
            answer.body.clear();
        }
        let fault = fault.filter(|fault| !fault.needs_body() || !answer.body.is_empty());
        if let Some(fault) = fault {
            *self.counter.seen().counts.faults.entry(fault).or_default() += 1;
        }
        (answer, fault)
    }

    /// Does what is asked for, as far as the fault lets it.
    fn apply(&self, request: Request, fault: Option<Fault>) -> Message {
        let api = request.api;
        let done = || {
            let outcome = self.objects.apply(request.operation);
            if matches!(outcome, Outcome::TooHot) {
                self.counter.seen().counts.hot_keys += 1;
            }
            answer(api, self.profile, &outcome)
        };
        let lost = |status, _answer| Refusal::after_all(status).answer(api);
        match fault {
            Some(Fault::FalseConflict) => {
                let reason = "a fault: it was not applied";
                Refusal::new(409, "ConditionalRequestConflict", reason).answer(api)
            }
            Some(Fault::Throttle) => {
                Refusal::too_many(self.profile, "a fault: it was not applied").answer(api)
            }
            Some(Fault::Error500) => lost(500, done()),
            Some(Fault::Error503) => lost(503, done()),
            Some(Fault::Error408) => lost(408, done()),
            Some(
                Fault::LostReply
                | Fault::TornReply
                | Fault::Reset
                | Fault::Hang
                | Fault::SlowBody
                | Fault::CutBody,
            )
            | None => done(),
        }
    }
}

/// Checks that a store cannot swap anything: one that is told to write its conditions as the server
/// does not read them.
///
/// # Panics
///
/// If it can, or cannot even create and read.
///
/// ```
/// # use std::fmt;
/// # use buffer_driver::buffer_core::{
/// #     Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
/// # };
/// # use buffer_driver::{MemoryStore, StoreClient, StoreFailure};
/// use buffer_driver::contract::wire::no_swap_succeeds;
///
/// /// Its server never finds the version that it names.
/// # #[derive(Debug)]
/// struct Misunderstood(MemoryStore);
///
/// # impl fmt::Display for Misunderstood {
/// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
/// #         f.write_str("misunderstood")
/// #     }
/// # }
/// # type Result<T> = std::result::Result<T, StoreFailure>;
/// impl StoreClient for Misunderstood {
///     async fn put(&self, key: Location, bytes: Rope, when: Condition) -> Result<WriteOutcome> {
///         match when {
///             Condition::Absent => self.0.put(key, bytes, Condition::Absent).await,
///             Condition::Version(_) => Ok(WriteOutcome::Conflict),
///         }
///     }
/// #     async fn get(&self, key: Location, unless: Option<Version>) -> Result<ReadOutcome> {
/// #         self.0.get(key, unless).await
/// #     }
/// #     async fn page(&self, prefix: Location, after: Option<ListCursor>) -> Result<ListPage> {
/// #         self.0.page(prefix, after).await
/// #     }
/// #     async fn remove(&self, keys: Vec<Location>) -> Vec<Result<()>> {
/// #         self.0.remove(keys).await
/// #     }
///     // …
/// }
///
/// let store = Misunderstood(MemoryStore::new("x"));
/// futures_lite::future::block_on(no_swap_succeeds(&store));
/// ```
pub async fn no_swap_succeeds(store: &dyn Store) {
    let key = Location::new("never-swapped");
    let created = store.write(&key, vec!["first".into()], Condition::Absent).await;
    let Ok(WriteOutcome::Stored(version)) = created else {
        panic!("it was not created: {created:?}")
    };
    let swap = store.write(&key, vec!["second".into()], Condition::Version(version)).await;
    assert_eq!(swap.expect("it is answered"), WriteOutcome::Conflict);
    let read = store.read(&key, None).await;
    let Ok(ReadOutcome::Found(found)) = read else { panic!("it is not there: {read:?}") };
    assert_eq!(found.bytes, "first");
}

#[cfg(test)]
mod tests;
