//! A proxy that loses answers after what was asked for was done.
//!
//! It speaks HTTP/1.1, stands on a loopback port in front of a server on another, and is for tests:
//! whole messages in memory, a thread for each connection. Nothing is rewritten but `Connection`,
//! so signatures hold; a client is given the proxy's address in place of the server's.
//!
//! ```no_run
//! use buffer_driver::contract::proxy::{Fate, Losses, Proxy, Scope};
//!
//! # fn main() -> std::io::Result<()> {
//! let losses = Losses::of(Scope::Writes, 7).losing(Fate::Closed, 100).losing(Fate::Answer(500), 50);
//! let proxy = Proxy::start("127.0.0.1:5000".parse().expect("it is an address"), losses)?;
//! println!("point the client at {}", proxy.url());
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::draw::{WHOLE, drawn, fingerprint};
use super::http::{Connection, Message, Server, forward, response};
use super::submissions::{Witness, Witnessed};

/// What becomes of an answer that is lost.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::proxy::{Fate, Losses, Proxy, Scope};
/// use buffer_driver::contract::wire::{Options, WireServer};
///
/// let server = WireServer::start(&Options::default())?;
/// let told = |fate| {
///     let losses = Losses::of(Scope::All, 7).losing(fate, 1000);
///     let proxy = Proxy::start(server.address(), losses)?;
///     let mut socket = TcpStream::connect(proxy.address())?;
///     socket.write_all(b"DELETE /bucket/key HTTP/1.1\r\nConnection: close\r\n\r\n")?;
///     read_to_string(socket)
/// };
/// assert_eq!(told(Fate::Closed)?, "");
/// assert_eq!(told(Fate::Torn)?, "HTTP/1.1 2");
/// assert!(told(Fate::Answer(503))?.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
/// assert_eq!(server.counts().requests["DELETE"], 3, "each was done");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The connection is closed without an answer.
    Closed,
    /// The connection is closed in the middle of the status line.
    Torn,
    /// Another answer is given, with this status.
    Answer(u16),
}

/// Which requests' answers may be lost.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::proxy::{Fate, Losses, Proxy, Scope};
/// use buffer_driver::contract::wire::{Options, WireServer};
///
/// let server = WireServer::start(&Options::default())?;
/// let told = |scope| {
///     let losses = Losses::of(scope, 7).losing(Fate::Closed, 1000);
///     let proxy = Proxy::start(server.address(), losses)?;
///     let mut socket = TcpStream::connect(proxy.address())?;
///     socket.write_all(b"GET /bucket/key HTTP/1.1\r\nConnection: close\r\n\r\n")?;
///     read_to_string(socket)
/// };
/// assert_eq!(told(Scope::All)?, "");
/// assert!(told(Scope::Writes)?.starts_with("HTTP/1.1 404 Not Found\r\n"), "it is no write");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of `PUT`.
    Writes,
    /// Those of all requests.
    All,
}

/// How often answers are lost, and how.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::proxy::{Fate, Losses, Proxy, Scope};
/// use buffer_driver::contract::wire::{Options, WireServer};
///
/// let server = WireServer::start(&Options::default())?;
/// // Whether the answer is lost, of each of twenty requests.
/// let lost = |seed| {
///     let losses = Losses::of(Scope::All, seed).losing(Fate::Closed, 200).losing(Fate::Torn, 200);
///     let proxy = Proxy::start(server.address(), losses)?;
///     let ask = |_| {
///         let mut socket = TcpStream::connect(proxy.address())?;
///         socket.write_all(b"GET /bucket/key HTTP/1.1\r\nConnection: close\r\n\r\n")?;
///         read_to_string(socket).map(|answer| answer.len() <= "HTTP/1.1 4".len())
///     };
///     (0..20).map(ask).collect::<Result<Vec<_>, _>>()
/// };
/// let first = lost(7)?;
/// assert!(first.contains(&true) && first.contains(&false));
/// assert_eq!(first, lost(7)?, "the seed decides");
/// assert_ne!(first, lost(8)?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Losses {
    scope: Scope,
    seed: u64,
    /// Each with its share in a thousand.
    rates: Vec<(Fate, u32)>,
}

impl Losses {
    /// No losses, until [`losing`](Self::losing) says which. The same seed loses the answers of the same requests, by their number.
    #[must_use]
    pub const fn of(scope: Scope, seed: u64) -> Self {
        Self { scope, seed, rates: Vec::new() }
    }

    /// So many answers in a thousand come to this.
    ///
    /// # Panics
    ///
    /// If that is more than a thousand in all.
    #[must_use]
    pub fn losing(mut self, fate: Fate, per_mille: u32) -> Self {
        self.rates.push((fate, per_mille));
        let sum: u32 = self.rates.iter().map(|(_, rate)| rate).sum();
        assert!(sum <= 1000, "more than a thousand of a thousand answers are lost");
        self
    }

    fn fate(&self, number: u64, method: &str) -> Option<Fate> {
        if self.scope == Scope::Writes && method != "PUT" {
            return None;
        }
        let shares = self.rates.iter().map(|(fate, per_mille)| (*fate, per_mille * (WHOLE / 1000)));
        drawn(self.seed, number, shares)
    }
}

/// What a proxy has seen so far.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::proxy::{Fate, Losses, Proxy, Scope};
/// use buffer_driver::contract::wire::{Options, WireServer};
///
/// let server = WireServer::start(&Options::default())?;
/// let losses = Losses::of(Scope::Writes, 7).losing(Fate::Closed, 1000);
/// let proxy = Proxy::start(server.address(), losses)?;
/// for _ in 0..3 {
///     let mut socket = TcpStream::connect(proxy.address())?;
///     socket.write_all(
///         b"PUT /bucket/key HTTP/1.1\r\nIf-None-Match: *\r\nContent-Length: 1\r\n\r\nx",
///     )?;
///     assert_eq!(read_to_string(socket)?, "");
/// }
/// let counts = proxy.counts();
/// assert_eq!((counts.of("PUT"), counts.of("GET")), (3, 0));
/// assert_eq!((counts.conditional["PUT"], counts.repeated_writes), (3, 2));
/// assert_eq!((counts.lost(), counts.lost[&Fate::Closed], counts.unanswered), (3, 3, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, by method.
    pub requests: BTreeMap<String, u64>,
    /// Requests with `If-Match` or `If-None-Match` among them, by method.
    pub conditional: BTreeMap<String, u64>,
    /// `PUT`s that had been seen before: the same target, condition and contents. Either the
    /// client tried again by itself, or whoever uses it did.
    pub repeated_writes: u64,
    /// Answers that were lost, and how.
    pub lost: BTreeMap<Fate, u64>,
    /// Requests that the server itself did not answer, and that were closed for that.
    pub unanswered: u64,
}

impl Counts {
    /// Requests of one method.
    #[must_use]
    pub fn of(&self, method: &str) -> u64 {
        self.requests.get(method).copied().unwrap_or_default()
    }

    /// Answers that were lost in all.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }
}

#[derive(Debug, Default)]
struct Seen {
    counts: Counts,
    writes: BTreeSet<[u8; 32]>,
    requests: u64,
}

/// A proxy that runs until it is dropped.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::proxy::{Losses, Proxy, Scope};
/// use buffer_driver::contract::wire::{Options, WireServer};
///
/// let server = WireServer::start(&Options::default())?;
/// let proxy = Proxy::start(server.address(), Losses::of(Scope::All, 7))?;
/// assert_eq!(proxy.url(), format!("http://{}", proxy.address())); // for the client
///
/// let mut socket = TcpStream::connect(proxy.address())?;
/// socket.write_all(b"HEAD /bucket/key HTTP/1.1\r\nConnection: close\r\n\r\n")?;
/// let answer = read_to_string(socket)?;
/// assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "as the server says");
/// assert_eq!(proxy.counts().of("HEAD"), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    seen: Arc<Mutex<Seen>>,
}

impl Proxy {
    /// Listens on a free port of the loopback address, in front of `server`.
    ///
    /// # Errors
    ///
    /// As listening does.
    pub fn start(server: SocketAddr, losses: Losses) -> io::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watched = Arc::clone(&seen);
        let server = Server::start(move |connection| serve(connection, server, &losses, &watched))?;
        Ok(Self { server, seen })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The same as the beginning of a URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.seen).counts.clone()
    }
}

impl Witness for Proxy {
    fn witnessed(&self) -> Witnessed {
        let counts = self.counts();
        Witnessed {
            writes: counts.of("PUT"),
            repeated_writes: counts.repeated_writes,
            lost: counts.lost.iter().map(|(fate, count)| (format!("{fate:?}"), *count)).collect(),
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    mut client: Connection,
    server: SocketAddr,
    losses: &Losses,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    while let Some(request) = client.request()? {
        let number = count(seen, &request);
        let answer = match forward(&request, server) {
            Ok(answer) => answer,
            Err(error) => {
                lock(seen).counts.unanswered += 1;
                return Err(error);
            }
        };
        let stays = match losses.fate(number, request.method()) {
            None => client.respond(&request, &answer)?,
            Some(fate) => {
                *lock(seen).counts.lost.entry(fate).or_default() += 1;
                lose(&mut client, &request, &answer, fate)?
            }
        };
        if !stays {
            break;
        }
    }
    Ok(())
}

/// Does what the fate says in place of the answer; says whether another request may follow.
fn lose(
    client: &mut Connection,
    request: &Message,
    answer: &Message,
    fate: Fate,
) -> io::Result<bool> {
    match fate {
        Fate::Closed => Ok(false),
        Fate::Torn => {
            let half = answer.start.len().min(10);
            client.socket().write_all(&answer.start.as_bytes()[..half])?;
            Ok(false)
        }
        Fate::Answer(status) => {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>Lost</Code>\
                 <Message>The answer was lost, after {}</Message></Error>",
                answer.start
            );
            let headers = [("Content-Type", "application/xml")];
            let is_head = request.method() == "HEAD";
            client.respond(request, &response(status, &headers, body.as_bytes(), is_head))
        }
    }
}

/// Counts a request; says its number.
fn count(seen: &Mutex<Seen>, request: &Message) -> u64 {
    let condition = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let (matches, absent) = (condition("if-match"), condition("if-none-match"));
    let is_conditional = !matches.is_empty() || !absent.is_empty();
    let write = (request.method() == "PUT").then(|| {
        let head = [request.target(), &matches, &absent].map(str::as_bytes);
        fingerprint(head.into_iter().chain([request.body.as_slice()]))
    });
    let mut seen = lock(seen);
    let method = request.method().to_owned();
    if is_conditional {
        *seen.counts.conditional.entry(method.clone()).or_default() += 1;
    }
    *seen.counts.requests.entry(method).or_default() += 1;
    if write.is_some_and(|write| !seen.writes.insert(write)) {
        seen.counts.repeated_writes += 1;
    }
    seen.requests += 1;
    seen.requests
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

    /// A server that says what it was sent.
    fn echo() -> Server {
        Server::start(|mut connection| {
            while let Some(request) = connection.request()? {
                let said = format!(
                    "{} host={} length={:?} body={}",
                    request.start,
                    request.header("host").unwrap_or("-"),
                    request.header("content-length"),
                    String::from_utf8_lossy(&request.body)
                );
                let is_head = request.method() == "HEAD";
                let answer = response(200, &[("ETag", "\"x\"")], said.as_bytes(), is_head);
                if !connection.respond(&request, &answer)? {
                    break;
                }
            }
            Ok(())
        })
        .expect("a port is free")
    }

    fn exchange(to: SocketAddr, text: &str) -> String {
        let mut socket = TcpStream::connect(to).expect("it listens");
        socket.write_all(text.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        // Closing with bytes unread is a reset; what came before it counts.
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn through(losses: Losses, text: &str) -> (String, Counts) {
        let server = echo();
        let proxy = Proxy::start(server.address(), losses).expect("a port is free");
        let answer = exchange(proxy.address(), text);
        (answer, proxy.counts())
    }

    #[test]
    fn requests_of_all_kinds_pass_whole_and_one_after_the_other() {
        let text = "PUT /a%20b?x HTTP/1.1\r\nHost: h:1\r\nIf-None-Match: *\r\nContent-Length: 3\r\n\r\nabc\
                    PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;e=f\r\nc\r\n0\r\n\r\n\
                    HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n\
                    DELETE /d HTTP/1.1\r\nHost: h\r\n\r\n\
                    POST /?delete HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxy";
        let (answer, counts) = through(Losses::of(Scope::All, 1), text);
        assert!(
            answer.contains("PUT /a%20b?x HTTP/1.1 host=h:1 length=Some(\"3\") body=abc"),
            "{answer}"
        );
        assert!(answer.contains("PUT /c HTTP/1.1 host=h length=None body=abc"), "{answer}");
        assert!(answer.contains("DELETE /d HTTP/1.1 host=h length=None body=HTTP"), "{answer}");
        assert!(
            answer.contains("POST /?delete HTTP/1.1 host=h length=Some(\"2\") body=xy"),
            "{answer}"
        );
        assert!(!answer.contains("HEAD /h HTTP/1.1 host"), "a head has no body: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 5);
        assert_eq!(answer.matches("ETag: \"x\"").count(), 5);
        let of = |method| counts.of(method);
        assert_eq!([of("PUT"), of("HEAD"), of("DELETE"), of("POST")], [2, 1, 1, 1]);
        assert_eq!(counts.conditional, BTreeMap::from([("PUT".to_owned(), 1)]));
        assert_eq!((counts.lost(), counts.unanswered, counts.repeated_writes), (0, 0, 0));
    }

    #[test]
    fn who_asks_whether_to_go_on_is_told_so() {
        let text = "PUT /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\
                    Connection: close\r\n\r\nok";
        let (answer, _) = through(Losses::of(Scope::All, 1), text);
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("body=ok"), "{answer}");
    }

    #[test]
    fn answers_are_lost_after_the_server_had_the_request() {
        let put = "PUT /k HTTP/1.1\r\nHost: h\r\nIf-Match: \"1\"\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
        type IsRight = fn(&str) -> bool;
        let expected: [(Fate, IsRight); 4] = [
            (Fate::Closed, str::is_empty),
            (Fate::Torn, |answer| answer == "HTTP/1.1 2"),
            (Fate::Answer(503), |answer| {
                answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n")
            }),
            (Fate::Answer(408), |answer| answer.starts_with("HTTP/1.1 408 Request Timeout\r\n")),
        ];
        for (fate, is_right) in expected {
            let losses = Losses::of(Scope::Writes, 1).losing(fate, 1000);
            let (answer, counts) = through(losses, put);
            assert!(is_right(&answer), "{fate:?}: {answer}");
            assert_eq!(counts.lost, BTreeMap::from([(fate, 1)]));
            assert_eq!(counts.unanswered, 0, "the server had it");
        }
        let get = "GET /k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let losses = Losses::of(Scope::Writes, 1).losing(Fate::Closed, 1000);
        assert!(through(losses, get).0.ends_with("body="), "a read is none of its business");
        let losses = Losses::of(Scope::All, 1).losing(Fate::Closed, 1000);
        assert_eq!(through(losses, get).0, "");
    }

    #[test]
    fn a_write_that_comes_twice_is_counted() {
        let put = "PUT /k HTTP/1.1\r\nHost: h\r\nIf-Match: \"1\"\r\nContent-Length: 1\r\n\r\nx";
        let other = put.replace("\"1\"", "\"2\"");
        let last = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        let text = format!("{put}{other}{put}{put}{last}");
        let (_, counts) = through(Losses::of(Scope::Writes, 1), &text);
        assert_eq!((counts.of("PUT"), counts.repeated_writes), (4, 2));
    }

    #[test]
    fn a_server_that_is_not_there_is_no_answer() {
        let gone = echo().address();
        let proxy = Proxy::start(gone, Losses::of(Scope::All, 1)).expect("a port is free");
        assert_eq!(exchange(proxy.address(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "");
        assert_eq!(proxy.counts().unanswered, 1);
    }
}
