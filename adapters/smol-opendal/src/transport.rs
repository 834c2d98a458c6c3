//! HTTP for OpenDAL without tokio: curl, through isahc, and smol's executor.

mod redirect;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::io::AsyncRead;
use futures_util::stream::Stream;
use http::{Method, Request, Response, header};
use isahc::config::{Configurable, RedirectPolicy, VersionNegotiation};
use isahc::tls::{TlsConfig, TrustStore};
use isahc::{AsyncBody, HttpClient};
use opendal::raw::BoxedStaticFuture;
use opendal::{
    Buffer, Error, ErrorKind, Execute, Executor, HttpBody, HttpTransport, HttpTransporter,
    OperationContext, Result,
};
use tracing::dispatcher::{self, Dispatch};
use tracing::subscriber::NoSubscriber;

use redirect::redirected;

/// How much of a body is taken at once, in bytes: as much as curl hands out.
const PIECE: usize = 16 << 10;

/// How many redirects are followed, one after the other.
const REDIRECTS: usize = 5;

/// How the HTTP client behaves towards a store.
///
/// ```
/// use std::time::Duration;
/// use buffer_smol::HttpOptions;
///
/// let patient = HttpOptions { idle_timeout: Duration::from_secs(60), ..HttpOptions::default() };
/// let context = buffer_smol::http_context(&patient)?;
/// # drop(context);
/// # Ok::<(), opendal::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpOptions {
    /// How long a connection may take, with its TLS handshake. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long nothing may come or go before a request has failed; whole seconds. Default: 30 s.
    pub idle_timeout: Duration,
    /// The only certificates of authorities to trust, as PEM. Default: those that the system trusts.
    pub authorities: Option<String>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            authorities: None,
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("authorities", &self.authorities.as_ref().map(String::len))
            .finish()
    }
}

/// What an operator over HTTP needs to run on smol: a client, and an executor.
///
/// Give it to [`Operator::with_context`](opendal::Operator::with_context). The client keeps its
/// connections, speaks HTTP/1.1, and does its work on a thread of its own. Every write is sent
/// once: also where a connection that was kept turns out to be closed. Proxies are those of
/// curl's environment variables (`https_proxy`, `no_proxy`, ...).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "aws")]
/// # {
/// use buffer_smol::{HttpOptions, OpendalStore, http_context};
/// use opendal::{Operator, services::S3};
///
/// let service = S3::default().bucket("one").region("eu-west-1").disable_config_load();
/// let context = http_context(&HttpOptions::default())?;
/// let operator = Operator::new(service)?.with_context(context);
/// let store = OpendalStore::new(operator)?;
/// assert_eq!(store.to_string(), "s3://one/");
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// `ConfigInvalid` if no client can be made of these options.
pub fn http_context(options: &HttpOptions) -> Result<OperationContext> {
    let transport = HttpTransporter::new(SmolHttp::new(options)?);
    Ok(OperationContext::from_parts(transport, Executor::with(SmolExecute)))
}

/// OpenDAL's background tasks, on smol's global executor.
struct SmolExecute;

impl Execute for SmolExecute {
    fn execute(&self, task: BoxedStaticFuture<()>) {
        smol::spawn(task).detach();
    }
}

struct SmolHttp {
    client: HttpClient,
}

impl SmolHttp {
    fn new(options: &HttpOptions) -> Result<Self> {
        let mut client = HttpClient::builder()
            .connect_timeout(options.connect_timeout)
            .low_speed_timeout(1, options.idle_timeout.max(Duration::from_secs(1)))
            .version_negotiation(VersionNegotiation::http11())
            // An answer of 307 is about the whole request, whose body curl could not send again.
            .redirect_policy(RedirectPolicy::None)
            // Waiting for "100 Continue" costs a second where a store does not know it.
            .expect_continue(false)
            .automatic_decompression(false);
        if let Some(pem) = &options.authorities {
            let trusted = TrustStore::builder().certificate_from_pem(pem.as_str()).build();
            client = client.tls_config(TlsConfig::builder().trust_store(trusted).build());
        }
        let client = client.build().map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, "no HTTP client can be made").set_source(error)
        })?;
        Ok(Self { client })
    }

    async fn send(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let is_head = request.method() == Method::HEAD;
        let answer = unheard(|| self.client.send_async(request.map(upload)));
        let answer = answer.await.map_err(lost)?;
        let length = answer.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        // What a HEAD would have is not what it has.
        let length = if is_head { None } else { length };
        Ok(answer.map(|body| HttpBody::new(Download { body, piece: vec![0; PIECE] }, length)))
    }
}

impl HttpTransport for SmolHttp {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let mut next = request;
        for _ in 0..REDIRECTS {
            let sent = next.clone();
            let answer = self.send(next).await?;
            match redirected(sent, answer.status(), answer.headers()) {
                Some(request) => next = request,
                None => return Ok(answer),
            }
        }
        Err(Error::new(ErrorKind::Unexpected, format!("more than {REDIRECTS} redirects")))
    }
}

/// Starts a request and sees it through with nobody listening: isahc writes URLs to logs, and curl
/// headers and bodies, if anybody listens to the span of a request. Secrets are among them.
async fn unheard<F: Future>(start: impl FnOnce() -> F) -> F::Output {
    let nobody = Dispatch::new(NoSubscriber::default());
    let mut request = pin!(dispatcher::with_default(&nobody, start));
    poll_fn(|context| dispatcher::with_default(&nobody, || request.as_mut().poll(context))).await
}

/// A request's body. Not one that curl could begin again: where a connection closes
/// without an answer, curl would send the request once more, and a write may have been applied.
fn upload(body: Buffer) -> AsyncBody {
    match body.len() as u64 {
        0 => AsyncBody::empty(),
        length => AsyncBody::from_reader_sized(Upload { rest: body, piece: Bytes::new() }, length),
    }
}

struct Upload {
    rest: Buffer,
    piece: Bytes,
}

impl AsyncRead for Upload {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // A piece may be empty, and nothing to read is the end.
        while self.piece.is_empty() {
            match self.rest.next() {
                Some(piece) => self.piece = piece,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let count = into.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut into[..count]);
        Poll::Ready(Ok(count))
    }
}

/// An answer's body, piece by piece.
struct Download {
    body: AsyncBody,
    piece: Vec<u8>,
}

impl Stream for Download {
    type Item = Result<Buffer>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { body, piece } = self.get_mut();
        Pin::new(body).poll_read(context, piece).map(|read| match read {
            Ok(0) => None,
            Ok(count) => Some(Ok(Buffer::from(Bytes::copy_from_slice(&piece[..count])))),
            Err(error) => Some(Err(lost(error))),
        })
    }
}

/// No answer, or not all of it: what became of the request is unknown.
fn lost(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("the request was not answered: {error}");
    Error::new(ErrorKind::Unexpected, message).set_source(error).set_temporary()
}
