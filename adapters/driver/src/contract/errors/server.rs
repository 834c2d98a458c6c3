//! A server that answers everything alike.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::super::http::{Server, response};
use super::Dialect;

/// How long a server that says nothing keeps a connection open.
const SILENCE: Duration = Duration::from_secs(60);

/// What a [`ScriptedServer`] does with every request.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::errors::{Dialect, Reply, ScriptedServer};
///
/// let headers = vec![("Retry-After".to_owned(), "30".to_owned())];
/// let body = b"<Error><Code>SlowDown</Code></Error>".to_vec();
/// let server = ScriptedServer::start(Reply::Whole { status: 503, headers, body })?;
///
/// let endpoint = server.endpoint(Dialect::S3);
/// let mut socket = TcpStream::connect(endpoint.trim_start_matches("http://"))?;
/// socket.write_all(b"GET /bucket/key HTTP/1.1\r\nConnection: close\r\n\r\n")?;
/// let answer = read_to_string(socket)?;
/// assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
/// assert!(answer.contains("Retry-After: 30\r\n"));
/// assert!(answer.ends_with("\r\n\r\n<Error><Code>SlowDown</Code></Error>"));
/// assert_eq!(server.requests(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A whole response.
    Whole {
        /// Its status.
        status: u16,
        /// Its headers, without a length.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Vec<u8>,
    },
    /// These bytes, as they are, and then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing: the connection stays open, for a minute.
    Silence,
}

/// A loopback server that answers every request with one reply. It ends when it is dropped.
///
/// ```
/// use buffer_driver::contract::errors::{Dialect, Reply, ScriptedServer};
///
/// let server = ScriptedServer::start(Reply::Silence)?;
/// assert!(server.endpoint(Dialect::S3).starts_with("http://127.0.0.1:"));
/// assert_eq!(server.requests(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ScriptedServer {
    server: Server,
    requests: Arc<AtomicUsize>,
}

impl ScriptedServer {
    /// Listens on a free port.
    ///
    /// # Errors
    ///
    /// As listening does.
    pub fn start(reply: Reply) -> io::Result<Self> {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let server = Server::start(move |mut connection| {
            while let Some(request) = connection.request()? {
                counted.fetch_add(1, Ordering::SeqCst);
                match &reply {
                    Reply::Whole { status, headers, body } => {
                        let headers: Vec<_> =
                            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
                        let is_head = request.method() == "HEAD";
                        let answer = response(*status, &headers, body, is_head);
                        if !connection.respond(&request, &answer)? {
                            break;
                        }
                    }
                    Reply::Raw(bytes) => return connection.socket().write_all(bytes),
                    Reply::Silence => thread::sleep(SILENCE),
                }
            }
            Ok(())
        })?;
        Ok(Self { server, requests })
    }

    /// The URL to give to a client of this dialect.
    #[must_use]
    pub fn endpoint(&self, dialect: Dialect) -> String {
        let address = self.server.address();
        match dialect {
            Dialect::S3 => format!("http://{address}"),
            Dialect::Azure => format!("http://{address}/devstoreaccount1"),
        }
    }

    /// How many requests came so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}
