//! A small HTTP server: one thread a connection, every answer as the test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What a request gets.
pub(crate) enum Reply {
    /// 200, and perhaps the connection is closed afterwards, without a word.
    Ok { body: Vec<u8>, close: bool },
    /// Another place to ask.
    Redirect { status: u16, location: String },
    /// Half of a body of this length, and then nothing more.
    Torn { length: usize, then_close: bool },
    /// The connection is closed.
    Close,
    /// Nothing, for a long time.
    Never,
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Ok { body: body.into(), close: false }
    }

    pub(crate) fn ok_and_close(body: &str) -> Self {
        Self::Ok { body: body.into(), close: true }
    }

    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::Redirect { status, location: location.to_owned() }
    }
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Received>,
}

/// A server that serves until the test ends.
pub(crate) struct Server {
    scheme: &'static str,
    host: String,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    pub(crate) fn start(
        address: &str,
        reply: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(address, None, reply)
    }

    /// A server whose certificate is signed by an authority of its own, which is returned as PEM.
    pub(crate) fn start_tls() -> (Self, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority of this test");
        let certificate = authority.self_signed(&key).expect("a certificate");
        let issuer = rcgen::Issuer::new(authority, key);
        let server_key = rcgen::KeyPair::generate().expect("a key");
        let server = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let server = server.signed_by(&server_key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], key)
            .expect("they belong together");
        let server = Self::serve("127.0.0.1:0", Some(Arc::new(config)), |_| Reply::ok("hello"));
        (server, certificate.pem())
    }

    fn serve(
        address: &str,
        tls: Option<Arc<ServerConfig>>,
        reply: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let host = if tls.is_some() {
            format!("localhost:{}", address.port())
        } else {
            address.to_string()
        };
        let (reply, shared) = (Arc::new(reply), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                lock(&shared).connections += 1;
                let (reply, seen, tls) = (Arc::clone(&reply), Arc::clone(&shared), tls.clone());
                thread::spawn(move || match tls {
                    None => answer(stream, &*reply, &seen),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).expect("it is configured");
                        answer(StreamOwned::new(connection, stream), &*reply, &seen);
                    }
                });
            }
        });
        Self { scheme, host, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.host)
    }

    pub(crate) fn connections(&self) -> usize {
        lock(&self.seen).connections
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        lock(&self.seen).requests.clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

trait Closing {
    fn close(&mut self);
}

impl Closing for TcpStream {
    fn close(&mut self) {
        let _gone = self.shutdown(std::net::Shutdown::Both);
    }
}

impl Closing for StreamOwned<ServerConnection, TcpStream> {
    fn close(&mut self) {
        self.sock.close();
    }
}

/// Answers the requests of one connection; a client that is gone ends it.
fn answer<S: Read + Write + Closing>(
    stream: S,
    reply: &dyn Fn(&Received) -> Reply,
    seen: &Mutex<Seen>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream) {
        lock(seen).requests.push(request.clone());
        let (head, body, close) = match reply(&request) {
            Reply::Ok { body, close } => {
                (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()), body, close)
            }
            Reply::Redirect { status, location } => {
                let head = format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n");
                (head + "Content-Length: 0\r\n\r\n", Vec::new(), false)
            }
            Reply::Torn { length, then_close } => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let out = stream.get_mut();
                let _gone = out
                    .write_all(head.as_bytes())
                    .and_then(|()| out.write_all(&vec![0; length / 2]));
                let _gone = out.flush();
                if !then_close {
                    thread::sleep(Duration::from_secs(60));
                }
                break;
            }
            Reply::Close => break,
            Reply::Never => {
                thread::sleep(Duration::from_secs(60));
                break;
            }
        };
        let out = stream.get_mut();
        let sent = out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body));
        if sent.and_then(|()| out.flush()).is_err() || close {
            break;
        }
    }
    stream.get_mut().close();
}

/// The next request, or `None` at the end.
fn receive(stream: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length =
        headers.get("content-length").map_or(0, |length| length.parse().expect("a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Received { method, path, headers, body })
}
