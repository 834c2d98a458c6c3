//! Takes JSON lines over HTTP, and answers when they are durable.
//!
//! `cargo run -p opendata-buffer --example http_ingest -- QUEUE [ADDRESS]`, and then, with `curl`:
//! `curl --data-binary @lines.jsonl http://127.0.0.1:3000/ingest`
//!
//! | answer | |
//! |---|---|
//! | 200 | all lines of the body are durable, each as an entry |
//! | 400 | a line is not JSON: `line` says which. Nothing was taken, as with all that follows but one |
//! | 408, 413 | the body took too long, or is too large |
//! | 429 | too much is under way: come again after the seconds of `Retry-After` |
//! | 503 | the queue cannot be written: sending it again repeats nothing |
//! | 500 | it is not known whether the lines are in the queue, or will be: sending them again may repeat them |
//!
//! `GET /metrics` tells what the buffer does, as Prometheus reads it.
//!
//! On SIGTERM it takes no more connections, answers what it has begun, and ends.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use buffer::buffer_driver::metrics::DURATION_BUCKETS;
use buffer::{DeliveryError, Producer, ProducerConfig, SubmitError, SystemClock};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

type AnyError = Box<dyn Error + Send + Sync>;

/// What the service takes at the most.
pub(crate) struct Limits {
    /// The length of one body.
    pub(crate) body_bytes: usize,
    /// What all requests hold together, from when a body begins to come until its lines are durable. Half of the
    /// producer's `max_buffered_bytes`, so that it is the service that is full first, and says so at once.
    pub(crate) held_bytes: usize,
    /// How long a body may take to come.
    pub(crate) read: Duration,
    /// How long requests may take to end after SIGTERM.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            held_bytes: ProducerConfig::default().max_buffered_bytes / 2,
            read: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let queue = arguments.next().ok_or("give QUEUE, then perhaps ADDRESS")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let config = ProducerConfig { store: queue.into(), ..ProducerConfig::default() };
    serve(&address, config, Limits::default()).await
}

/// Serves until a signal comes, and what was begun by then.
pub(crate) async fn serve(
    address: &str,
    config: ProducerConfig,
    limits: Limits,
) -> Result<(), AnyError> {
    let stop = signals()?;
    // Before the producer, which takes its metrics from the recorder that it finds.
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS)?
        .install_recorder()?;
    let producer = Producer::new(config, Arc::new(SystemClock))?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("listening on {}", listener.local_addr()?);

    let drain = limits.drain;
    let room = Arc::new(Semaphore::new(limits.held_bytes));
    let service = Arc::new(Service { producer, room, limits, metrics });
    let routes = Router::new()
        .route("/ingest", post(ingest))
        .route("/metrics", get(metrics_page))
        .with_state(Arc::clone(&service));
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, routes).with_graceful_shutdown(async {
        stop.await;
        let _ = stopping.send(());
    });
    let late = async {
        let _ = stopped.await;
        sleep(drain).await;
    };
    tokio::select! {
        served = server.into_future() => served?,
        () = late => eprintln!("some requests took too long to end"),
    }
    // Also what nobody waits for any more.
    if let Err(error) = service.producer.close().await {
        eprintln!("not all was delivered: {error}");
    }
    Ok(())
}

/// Ends at the first signal that asks for it. They are caught from this call on.
fn signals() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

struct Service {
    producer: Producer,
    /// A permit is a byte.
    room: Arc<Semaphore>,
    limits: Limits,
    metrics: PrometheusHandle,
}

impl Service {
    /// Takes room for so many bytes, as long as what it returns is kept.
    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let permits = u32::try_from(bytes).map_err(|_| Refusal::full())?;
        Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| Refusal::full())
    }
}

async fn metrics_page(State(service): State<Arc<Service>>) -> impl IntoResponse {
    service.producer.refresh_metrics();
    service.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], service.metrics.render())
}

async fn ingest(State(service): State<Arc<Service>>, body: Body) -> Result<Response, Refusal> {
    // Room first, and then the body: what is refused is never held.
    let limit = service.limits.body_bytes;
    let length =
        body.size_hint().upper().map_or(limit, |bytes| bytes.try_into().unwrap_or(usize::MAX));
    let reserved = if length > limit { Err(too_long(limit)) } else { service.reserve(length) };
    let mut room = match reserved {
        Ok(room) => room,
        Err(refusal) => {
            // Whoever is still sending does not see an answer.
            let _ = timeout(Duration::from_secs(1), read(body, limit, |_| {})).await;
            return Err(refusal);
        }
    };
    let mut lines = BytesMut::new();
    timeout(service.limits.read, read(body, limit, |chunk| lines.extend_from_slice(&chunk)))
        .await
        .map_err(|_| {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to come")
        })??;
    let lines = lines.freeze();
    // What holds a line in memory may take more than the line.
    let needed = lines.split(|byte| *byte == b'\n').count() * size_of::<Bytes>();
    if lines.len() + needed > service.limits.held_bytes {
        return Err(Refusal::too_large("the body has too many lines"));
    }
    room.merge(service.reserve(needed)?);

    let entries = split(&lines)?;
    let count = entries.len();
    let handle = service.producer.produce(entries, Bytes::new()).await?;
    handle.watcher.await_durable().await?;
    drop(room);
    Ok(answer(StatusCode::OK, &json!({ "entries": count })))
}

/// Reads a body to its end, or until it has more than `limit` bytes.
async fn read(body: Body, limit: usize, mut take: impl FnMut(Bytes)) -> Result<(), Refusal> {
    let mut chunks = body.into_data_stream();
    let mut left = limit;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        left = left.checked_sub(chunk.len()).ok_or_else(|| too_long(limit))?;
        take(chunk);
    }
    Ok(())
}

fn too_long(limit: usize) -> Refusal {
    Refusal::too_large(format_args!("lines may have {limit} bytes together"))
}

/// The lines of a body, not copied. Empty ones are passed over.
fn split(body: &Bytes) -> Result<Vec<Bytes>, Refusal> {
    let mut entries = Vec::new();
    for (line, number) in body.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        serde_json::from_slice::<Value>(line)
            .map_err(|error| Refusal::malformed(number, &error))?;
        entries.push(body.slice_ref(line));
    }
    if entries.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the body has no lines"));
    }
    Ok(entries)
}

/// Why a body was not taken, as the client is told.
struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: json!({ "error": error.into() }) }
    }

    fn full() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too much is under way")
    }

    fn too_large(what: impl Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what}: send them in several"))
    }

    fn malformed(line: u64, error: &serde_json::Error) -> Self {
        // Its own line number is always 1.
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        let error = format!("line {line}, column {}: {what}", error.column());
        Self { status: StatusCode::BAD_REQUEST, body: json!({ "error": error, "line": line }) }
    }
}

/// Nothing of it was taken.
impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<DeliveryError> for Refusal {
    fn from(error: DeliveryError) -> Self {
        let status = if error.is_unknown() {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, &self.body);
        let later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        if later.contains(&self.status) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
