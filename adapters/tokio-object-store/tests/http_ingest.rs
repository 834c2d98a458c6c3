//! The HTTP example, as its clients see it, and what is in the queue when it was killed.
//!
//! The processes run the example's own code. Whoever holds the manifest's lock keeps everything from becoming durable.
#![cfg(unix)]

#[path = "../examples/http_ingest.rs"]
#[allow(dead_code, reason = "its `main` is not for tests")]
mod http_ingest;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use buffer::{Consumer, ConsumerConfig, ProducerConfig, SystemClock};
use http_ingest::Limits;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it takes to be sure that nothing happens.
const A_WHILE: Duration = Duration::from_millis(300);
const BODY_BYTES: usize = 1000;
/// Room for three bodies of one long line.
const HELD_BYTES: usize = 3300;
const READ_TIMEOUT: Duration = Duration::from_millis(400);
/// How long a service that is told to stop waits for its clients.
const DRAIN: Duration = PATIENCE;

/// Not a test by itself: the body of the processes.
#[tokio::test(flavor = "multi_thread")]
async fn child_service() -> Result<(), Box<dyn Error + Send + Sync>> {
    let Ok(queue) = std::env::var("BUFFER_HTTP_QUEUE") else { return Ok(()) };
    let config = ProducerConfig {
        store: queue.into(),
        flush_interval: Duration::from_millis(5),
        ..ProducerConfig::default()
    };
    let limits = Limits {
        body_bytes: BODY_BYTES,
        held_bytes: HELD_BYTES,
        read: READ_TIMEOUT,
        drain: Duration::from_millis(std::env::var("BUFFER_HTTP_DRAIN_MILLIS")?.parse()?),
    };
    http_ingest::serve("127.0.0.1:0", config, limits).await
}

/// A service in a process of its own, and its queue.
struct Service {
    directory: tempfile::TempDir,
    child: Child,
    /// Kept, so that it can go on printing.
    _output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Service {
    fn start() -> Self {
        Self::draining_for(DRAIN)
    }

    fn draining_for(drain: Duration) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let mut child = Command::new(std::env::current_exe().expect("this test is a program"))
            .args(["--exact", "child_service", "--nocapture", "--test-threads=1"])
            .env("BUFFER_HTTP_QUEUE", directory.path())
            .env("BUFFER_HTTP_DRAIN_MILLIS", drain.as_millis().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test can be started again");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let address = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).expect("it is text"), 0, "it says where it is");
            if let Some((_, address)) = line.trim_end().split_once("listening on ") {
                break address.parse().expect("an address");
            }
        };
        Self { directory, child, _output: output, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        stream
    }

    fn post(&self, body: &str) -> Answer {
        post(self.connect(), body)
    }

    /// Posts it from another thread.
    fn post_aside(&self, body: &str) -> JoinHandle<Answer> {
        let (stream, body) = (self.connect(), body.to_owned());
        thread::spawn(move || post(stream, &body))
    }

    /// Keeps everything from becoming durable until it is dropped. A first line goes before: a manifest is
    /// made without a lock.
    fn stall(&self) -> File {
        self.post("\"first\"").expect(200, "{\"entries\":1}");
        let lock = self.directory.path().join("ingest/.manifest.lock");
        let lock = File::create(lock).expect("a file can be made");
        lock.lock().expect("nobody dies with it");
        lock
    }

    /// Waits until so many batches are uploaded, besides the first.
    fn wait_uploaded(&self, count: usize) {
        until("the batch is uploaded", || self.batches().len() == 1 + count);
    }

    fn batches(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.directory.path().join("ingest")).expect("there is a queue");
        let mut paths: Vec<_> = files.map(|file| file.expect("it is listed").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "batch"));
        paths
    }

    fn terminate(&self) {
        let kill = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(kill.expect("there is a `kill`").success());
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the service ends", || {
            status = self.child.try_wait().expect("it is ours");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Kills it at once, and says what is in the queue.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        drain(self.directory.path())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(queue: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let config = ConsumerConfig { store: queue.to_owned().into(), ..ConsumerConfig::default() };
        let consumer = Consumer::new(config, Arc::new(SystemClock)).expect("it is valid");
        consumer.initialize(None).await.expect("the disk is well");
        let mut lines = Vec::new();
        while let Some(batch) = consumer.next_batch().await.expect("the disk is well") {
            lines.extend(batch.entries.iter().map(|entry| String::from_utf8_lossy(entry).into()));
            consumer.ack(batch.sequence).await.expect("it was just handed out");
        }
        consumer.close().await.expect("the disk is well");
        lines
    })
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    #[track_caller]
    fn expect(&self, status: u16, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.body.contains(part), "{part:?} is not in {self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
    }
}

fn post(stream: TcpStream, body: &str) -> Answer {
    exchange(stream, &format!("content-length: {}\r\n\r\n{body}", body.len()))
}

/// Sends a post that goes on so after its first lines, and reads what is answered.
fn exchange(stream: TcpStream, rest: &str) -> Answer {
    request(stream, "POST /ingest", rest)
}

fn request(mut stream: TcpStream, what: &str, rest: &str) -> Answer {
    let head = format!("{what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    stream.write_all(format!("{head}{rest}").as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers = lines.map(|line| line.split_once(": ").expect("a header"));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answer { status: status.parse().expect("a number"), headers, body: body.to_owned() }
}

/// A line that nearly fills a body.
fn long_line() -> String {
    format!("\"{}\"\n", "x".repeat(BODY_BYTES - 10))
}

#[test]
fn what_was_answered_is_in_the_queue_though_the_service_is_killed_at_once() {
    let service = Service::start();
    service.post("{\"a\":1}\n\n[2]\r\n3").expect(200, "{\"entries\":3}");
    assert_eq!(service.kill(), ["{\"a\":1}", "[2]", "3"]);
}

#[test]
fn its_metrics_tell_what_was_answered() {
    let service = Service::start();
    service.post("1\n2\n3").expect(200, "{\"entries\":3}");
    let page = request(service.connect(), "GET /metrics", "\r\n");
    assert_eq!(
        (page.status, &*page.headers["content-type"]),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    let flushed = page.body.lines().find(|line| line.starts_with("buffer_entries_flushed{"));
    let flushed = flushed.unwrap_or_else(|| panic!("nothing is told: {}", page.body));
    assert!(flushed.contains("queue=\"") && flushed.ends_with("} 3"), "{flushed}");
    assert_eq!(service.kill(), ["1", "2", "3"]);
}

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let service = Service::start();
    let stall = service.stall();
    let answer = service.post_aside("1");
    service.wait_uploaded(1);
    thread::sleep(A_WHILE);
    assert!(!answer.is_finished(), "it is not listed");
    drop(stall);
    answer.join().expect("it was answered").expect(200, "{\"entries\":1}");
    assert_eq!(service.kill(), ["\"first\"", "1"]);
}

#[test]
fn what_is_not_durable_when_the_service_is_killed_was_not_answered() {
    let mut service = Service::start();
    let stall = service.stall();
    let mut stream = service.connect();
    stream
        .write_all(b"POST /ingest HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n1")
        .expect("it reads");
    service.wait_uploaded(1);
    service.child.kill().expect("it is ours");
    service.child.wait().expect("it is ours");
    let mut answer = String::new();
    // It may be a reset.
    let _ = stream.read_to_string(&mut answer);
    assert_eq!(answer, "");
    drop(stall);
    assert_eq!(drain(service.directory.path()), ["\"first\""]);
}

#[test]
fn a_service_that_is_full_says_when_to_come_again_and_takes_more_later() {
    let service = Service::start();
    let stall = service.stall();
    let line = long_line();
    let taken: Vec<_> = (1..=3)
        .map(|count| {
            let answer = service.post_aside(&line);
            service.wait_uploaded(count);
            answer
        })
        .collect();
    let refused = service.post(&line);
    refused.expect(429, "too much is under way");
    assert_eq!(refused.headers["retry-after"], "1");
    drop(stall);
    for answer in taken {
        answer.join().expect("it was answered").expect(200, "{\"entries\":1}");
    }
    service.post("\"later\"").expect(200, "{\"entries\":1}");
    assert_eq!(service.kill().len(), 5, "what was refused was not taken");
}

#[test]
fn many_short_lines_take_the_room_that_they_need_in_memory() {
    let service = Service::start();
    let stall = service.stall();
    let line = service.post_aside(&long_line());
    service.wait_uploaded(1);
    service.post(&"1\n".repeat(90)).expect(429, "too much is under way");
    drop(stall);
    line.join().expect("it was answered").expect(200, "{\"entries\":1}");
    service.post(&"1\n".repeat(90)).expect(200, "{\"entries\":90}");
    service.post(&"1\n".repeat(200)).expect(413, "too many lines");
    assert_eq!(service.kill().len(), 92);
}

#[test]
fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so_before() {
    let service = Service::start();
    let large = long_line().repeat(2);
    let answer = service.post(&large);
    answer.expect(413, "lines may have 1000 bytes together");
    assert!(!answer.headers.contains_key("retry-after"), "it would not help");
    let chunked =
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    exchange(service.connect(), &chunked).expect(413, "lines may have 1000 bytes together");
    assert!(service.kill().is_empty());
}

#[test]
fn a_body_that_comes_in_chunks_is_taken() {
    let service = Service::start();
    let chunked = "transfer-encoding: chunked\r\n\r\n2\r\n1\n\r\n1\r\n2\r\n0\r\n\r\n";
    exchange(service.connect(), chunked).expect(200, "{\"entries\":2}");
    assert_eq!(service.kill(), ["1", "2"]);
}

#[test]
fn a_line_that_is_not_json_is_named_and_nothing_of_its_body_is_taken() {
    let service = Service::start();
    let malformed = service.post("{\"a\":1}\n\n{\"b\":}\n4\n");
    malformed.expect(400, "\"line\":3");
    malformed.expect(400, "line 3, column 6: expected value");
    service.post("1\n\"\u{1}\"").expect(400, "\"line\":2");
    service.post("{} {}").expect(400, "\"line\":1");
    service.post("").expect(400, "the body has no lines");
    service.post(" \n\r\n").expect(400, "the body has no lines");
    assert!(service.kill().is_empty());
}

#[test]
fn a_body_that_does_not_come_gives_its_room_back() {
    let service = Service::start();
    let silent: Vec<_> = (0..3).map(|_| service.connect()).collect();
    let answers: Vec<_> = silent
        .into_iter()
        .map(|stream| thread::spawn(|| exchange(stream, "content-length: 1000\r\n\r\n1\n")))
        .collect();
    for answer in answers {
        answer.join().expect("it was answered").expect(408, "the body took too long");
    }
    service.post(&long_line()).expect(200, "{\"entries\":1}");
    assert_eq!(service.kill().len(), 1);
}

#[test]
fn a_service_that_is_told_to_stop_answers_what_it_has_begun() {
    let mut service = Service::start();
    let stall = service.stall();
    let answer = service.post_aside("\"begun\"");
    service.wait_uploaded(1);
    service.terminate();
    until("it takes no more connections", || TcpStream::connect(service.address).is_err());
    assert!(!answer.is_finished(), "it is not durable");
    drop(stall);
    answer.join().expect("it was answered").expect(200, "{\"entries\":1}");
    assert!(service.wait().success());
    assert_eq!(drain(service.directory.path()), ["\"first\"", "\"begun\""]);
}

#[test]
fn a_client_that_does_not_go_on_keeps_no_service_from_stopping() {
    let mut service = Service::draining_for(Duration::from_secs(1));
    let mut stream = service.connect();
    stream.write_all(b"POST /ingest HTTP/1.1\r\nhost: local").expect("it reads");
    service.post("1").expect(200, "{\"entries\":1}");
    service.terminate();
    assert!(service.wait().success());
    assert_eq!(drain(service.directory.path()), ["1"]);
}
