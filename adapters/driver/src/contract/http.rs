//! As much of HTTP/1.1 as a scripted server and a proxy need, on blocking sockets.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The longest line of a head that is read, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// How many header lines there may be.
const MOST_HEADERS: usize = 200;

/// The longest body that is read, in bytes.
const LARGEST_BODY: u64 = 1 << 30;

/// How many connections there may be at one time; more are closed at once.
const MOST_CONNECTIONS: usize = 1024;

/// A request or a response, whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    /// The first line, without its end.
    pub(super) start: String,
    /// The header lines, in their order, as they were written.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether the body came in chunks, and so has no length among the headers.
    is_chunked: bool,
}

impl Message {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A request's method.
    pub(super) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// A request's path and query.
    pub(super) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// A response's status.
    pub(super) fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(1)?.parse().ok()
    }

    pub(super) fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Writes it as it came, with `connection` in place of the header of that name.
    pub(super) fn write(&self, to: &mut impl Write, connection: &str) -> io::Result<()> {
        to.write_all(&self.to_bytes(connection))?;
        to.flush()
    }

    /// What [`write`](Self::write) writes. What came in chunks goes out as one.
    pub(super) fn to_bytes(&self, connection: &str) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("connection") {
                bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        bytes.extend_from_slice(format!("Connection: {connection}\r\n\r\n").as_bytes());
        if self.is_chunked {
            if !self.body.is_empty() {
                bytes.extend_from_slice(format!("{:x}\r\n", self.body.len()).as_bytes());
                bytes.extend_from_slice(&self.body);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// Refuses a length before anything is read for its sake.
fn bounded(length: u64) -> io::Result<u64> {
    if length > LARGEST_BODY {
        let reason = format!("a body has {LARGEST_BODY} bytes at the most");
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(length)
}

/// A line without its end; `None` where the connection ends instead.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(malformed("the connection ended in the middle of a line"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|_| malformed("a header is not UTF-8"))
}

/// The first line and the headers; `None` where the connection ends before them.
fn read_head(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let Some(start) = read_line(from)? else { return Ok(None) };
    let mut message = Message { start, ..Message::default() };
    loop {
        let line = read_line(from)?.ok_or_else(|| malformed("the connection ended in a head"))?;
        if line.is_empty() {
            return Ok(Some(message));
        }
        if message.headers.len() == MOST_HEADERS {
            return Err(malformed("too many headers"));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("no header"))?;
        message.headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// What came in chunks, without them: also as the clients of S3 put chunks into a body.
pub(super) fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?.ok_or_else(|| malformed("the connection ended in a body"))?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed("no size of a chunk"))?;
        bounded(size.saturating_add(body.len() as u64))?;
        let read = from.by_ref().take(size).read_to_end(&mut body)?;
        if read as u64 != size {
            return Err(malformed("the connection ended in a chunk"));
        }
        // The end of the chunk, or of the trailers.
        while !read_line(from)?.is_none_or(|line| line.is_empty()) {}
        if size == 0 {
            return Ok(body);
        }
    }
}

/// The length that a head tells of its body.
fn declared_length(message: &Message) -> io::Result<Option<u64>> {
    let length = message.header("content-length").map(str::parse::<u64>);
    length.transpose().map_err(|_| malformed("no length"))?.map(bounded).transpose()
}

fn read_body(message: &mut Message, from: &mut impl BufRead, to_the_end: bool) -> io::Result<()> {
    let coding = message.header("transfer-encoding");
    message.is_chunked =
        coding.is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
    if message.is_chunked {
        message.body = read_chunks(from)?;
        return Ok(());
    }
    match declared_length(message)? {
        Some(length) => {
            from.by_ref().take(length).read_to_end(&mut message.body)?;
            if message.body.len() as u64 != length {
                return Err(malformed("the connection ended in a body"));
            }
        }
        None if to_the_end => {
            from.read_to_end(&mut message.body)?;
        }
        None => {}
    }
    Ok(())
}

/// A connection that somebody opened to us.
pub(super) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// The next request, whole; `None` when there is none any more. Whoever asks first whether
    /// the body is wanted is told to go on.
    pub(super) fn request(&mut self) -> io::Result<Option<Message>> {
        let Some(mut request) = read_head(&mut self.reader)? else { return Ok(None) };
        declared_length(&request)?;
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            self.socket().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        read_body(&mut request, &mut self.reader, false)?;
        Ok(Some(request))
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    /// Waits until the client closes the connection, whatever it sends before.
    pub(super) fn wait_for_end(&mut self) {
        let mut piece = [0; 1 << 10];
        while self.reader.read(&mut piece).is_ok_and(|count| count > 0) {}
    }

    /// Ends what is sent, and lets the client read it to its end, though it may still be sending.
    pub(super) fn finish(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        const MOST: u64 = 1 << 20;
        let socket = self.reader.get_ref();
        let is_set = socket.set_read_timeout(Some(PATIENCE)).is_ok();
        if is_set && socket.shutdown(Shutdown::Write).is_ok() {
            // Closing with bytes unread would be a reset, which takes back what was sent.
            let _ = io::copy(&mut self.reader.by_ref().take(MOST), &mut io::sink());
        }
    }

    /// Writes a response; says whether another request may follow.
    pub(super) fn respond(&mut self, request: &Message, response: &Message) -> io::Result<bool> {
        let stays = !request.wants_close();
        response.write(self.socket(), if stays { "keep-alive" } else { "close" })?;
        Ok(stays)
    }
}

/// A response of our own.
pub(super) fn response(
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    is_head: bool,
) -> Message {
    let mut headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    if status != 304 && status != 204 {
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    Message {
        start: format!("HTTP/1.1 {status} {}", reason(status)),
        headers,
        body: if is_head { Vec::new() } else { body.to_vec() },
        is_chunked: false,
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        308 => "Resume Incomplete",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "Status",
    }
}

/// Sends one request over a connection of its own, and reads the response, whole.
pub(super) fn forward(request: &Message, to: SocketAddr) -> io::Result<Message> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    let mut request = request.clone();
    // The body is at hand, and goes with its head.
    request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("expect"));
    request.write(&mut socket, "close")?;
    let mut reader = BufReader::new(socket);
    loop {
        let head = read_head(&mut reader)?;
        let mut response = head.ok_or_else(|| malformed("closed without a response"))?;
        let status = response.status().ok_or_else(|| malformed("no status"))?;
        if (100..200).contains(&status) {
            continue;
        }
        let has_body = request.method() != "HEAD" && status != 204 && status != 304;
        if has_body {
            read_body(&mut response, &mut reader, true)?;
            let is_framed = response.is_chunked || response.header("content-length").is_some();
            if !is_framed {
                // It ended with the connection; ours goes on.
                let length = response.body.len().to_string();
                response.headers.push(("Content-Length".to_owned(), length));
            }
        }
        return Ok(response);
    }
}

/// A server on a port of the loopback address, with a thread for each connection. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    /// Connections under way, by number, to be shut at the end.
    sockets: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Shared {
    fn sockets(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Listens on a free port, and gives each connection to `serve`.
    pub(super) fn start(
        serve: impl Fn(Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_at(0, serve)
    }

    /// The same on this port; 0 is a free one.
    pub(super) fn start_at(
        port: u16,
        serve: impl Fn(Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (watched, serve) = (Arc::clone(&shared), Arc::new(serve));
        let listening = thread::spawn(move || {
            for (number, socket) in (0_u64..).zip(listener.incoming()) {
                if watched.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                let (Ok(()), Ok(kept)) = (socket.set_nodelay(true), socket.try_clone()) else {
                    continue;
                };
                {
                    let mut sockets = watched.sockets();
                    if sockets.len() >= MOST_CONNECTIONS {
                        continue;
                    }
                    sockets.insert(number, kept);
                }
                let (serve, watched) = (Arc::clone(&serve), Arc::clone(&watched));
                thread::spawn(move || {
                    // A connection that breaks is its client's business.
                    let _ = serve(Connection { reader: BufReader::new(socket) });
                    // The last handle: dropping it closes the connection, or resets it.
                    drop(watched.sockets().remove(&number));
                });
            }
        });
        Ok(Self { address, shared, listening: Some(listening) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes who waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        for socket in std::mem::take(&mut *self.shared.sockets()).into_values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
