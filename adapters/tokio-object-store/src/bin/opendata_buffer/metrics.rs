//! `--metrics-listen`: what a command does, served to Prometheus while it runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use buffer::metrics::DURATION_BUCKETS;
use clap::Args;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::exit::Failure;
use crate::say::say;

/// How often what was recorded is summed up, also if nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many clients are served at one time.
const MOST_CLIENTS: usize = 16;

#[derive(Args, Debug)]
pub(crate) struct Told {
    /// Serves metrics to Prometheus while this runs, at http://ADDRESS:PORT/metrics; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,
}

/// What brings the metrics up to date.
type Refresh = Box<dyn Fn() + Send + Sync>;

/// The page that is served, if one is.
pub(crate) struct Endpoint(Option<Arc<Page>>);

struct Page {
    recorded: PrometheusHandle,
    refresh: OnceLock<Refresh>,
}

impl Told {
    /// Begins to record and to serve, if that is wanted. Whatever is to be recorded is made after this.
    pub(crate) async fn listen(&self) -> Result<Endpoint, Failure> {
        let Some(address) = self.metrics_listen else { return Ok(Endpoint(None)) };
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::failed(format!("cannot serve metrics at {address}: {error}"))
        };
        let listener = TcpListener::bind(address).await.map_err(|error| cannot(&error))?;
        let bound = listener.local_addr().map_err(|error| cannot(&error))?;
        let durations = Matcher::Suffix("_seconds".to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(durations, &DURATION_BUCKETS)
            .map_err(|error| cannot(&error))?
            .build_recorder();
        let page = Arc::new(Page { recorded: recorder.handle(), refresh: OnceLock::new() });
        metrics::set_global_recorder(recorder).map_err(|error| cannot(&error))?;
        tokio::spawn(keep_up(Arc::clone(&page)));
        tokio::spawn(serve(listener, Arc::clone(&page)));
        say!("metrics: http://{bound}/metrics");
        Ok(Endpoint(Some(page)))
    }
}

impl Endpoint {
    /// What is done before each answer, once there is something to tell of.
    pub(crate) fn before_each(&self, refresh: impl Fn() + Send + Sync + 'static) {
        if let Some(page) = &self.0
            && page.refresh.set(Box::new(refresh)).is_err()
        {
            unreachable!("a command has one producer or one consumer");
        }
    }
}

impl Page {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let told = |status, text: &str| {
            let mut response = Response::new(Full::from(text.to_owned()));
            *response.status_mut() = status;
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        };
        if request.uri().path() != "/metrics" {
            return told(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "metrics are only read\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        if let Some(refresh) = self.refresh.get() {
            refresh();
        }
        told(StatusCode::OK, &self.recorded.render())
    }
}

async fn keep_up(page: Arc<Page>) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        page.recorded.run_upkeep();
    }
}

async fn serve(listener: TcpListener, page: Arc<Page>) {
    let clients = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        let client = Arc::clone(&clients).acquire_owned().await.expect("nobody closes it");
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    serve_one(stream, page).await;
                    drop(client);
                });
            }
            Err(error) => {
                // Too many open files, perhaps: it may get better.
                tracing::warn!(%error, "cannot take a client of the metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, page: Arc<Page>) {
    let service = service_fn(move |request| {
        let response = page.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a client of the metrics went away");
    }
}
