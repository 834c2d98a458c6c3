//! `--metrics-listen`, by the real binary, on a port of this machine.

#![cfg(feature = "cli")]

mod cli_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;

use cli_support::{cli, run, spawn, until, wait};

/// What stderr says in its next line.
fn line_of(child: &mut Child) -> String {
    let stderr = child.stderr.as_mut().expect("stderr is piped");
    let mut line = String::new();
    // One byte at a time: what comes after stays in the pipe.
    BufReader::with_capacity(1, stderr).read_line(&mut line).expect("stderr is text");
    line.trim_end().to_owned()
}

/// Where the metrics of a command are.
fn address(child: &mut Child) -> String {
    let line = line_of(child);
    let rest = line.strip_prefix("metrics: http://").and_then(|it| it.strip_suffix("/metrics"));
    rest.unwrap_or_else(|| panic!("{line:?} tells no address")).to_owned()
}

/// Sends a request of one line; gives the status and the body.
fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .expect("it works");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer is text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").expect("there is a body");
    (status.expect("there is a status"), body.to_owned())
}

/// The value of a series, summed over its labels; `None` if there is none.
fn value(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let lines = page.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    let values = lines.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.collect::<Option<Vec<_>>>().filter(|it| !it.is_empty()).map(|it| it.iter().sum())
}

#[test]
fn what_consume_does_is_served() {
    let directory = tempfile::tempdir().expect("it works");
    let queue = directory.path().join("queue");
    let queue = queue.to_str().expect("it works");
    run(&["produce", queue], b"one\ntwo\nthree\n").expect(0);
    let args = ["consume", queue, "--follow", "--metrics-listen", "127.0.0.1:0"];
    let mut child = spawn(&mut cli(&args));
    let address = address(&mut child);
    let label = format!("queue=\"{queue}/ingest/manifest\"");
    let page = || ask(&address, "GET /metrics");
    until("the batch is acknowledged", || value(&page().1, "buffer_acks", &[]) == Some(1.0));
    let (status, page) = page();
    assert_eq!(status, 200);
    for (name, expected) in [
        ("buffer_batches_collected", 1.0),
        ("buffer_entries_collected", 3.0),
        ("buffer_fetch_duration_seconds_count", 1.0),
        ("buffer_repeats_dropped", 0.0),
    ] {
        assert_eq!(value(&page, name, &[&label]), Some(expected), "{name} in\n{page}");
    }
    let writes = value(&page, "buffer_manifest_writes", &[&label, "role=\"consumer\""]);
    assert!(writes >= Some(1.0), "{page}");
    assert!(value(&page, "buffer_fetch_duration_seconds_bucket", &["le=\"+Inf\""]).is_some());
    assert!(page.contains("# TYPE buffer_acks counter"), "{page}");
    assert!(page.contains("# HELP buffer_acks Batches acknowledged"), "{page}");

    assert_eq!(ask(&address, "GET /").0, 404);
    assert_eq!(ask(&address, "POST /metrics").0, 405);
    assert_eq!(ask(&address, "HEAD /metrics"), (200, String::new()));
    child.kill().expect("it works");
    child.wait().expect("it works");
}

#[test]
fn what_produce_does_is_served_while_it_reads() {
    let directory = tempfile::tempdir().expect("it works");
    let queue = directory.path().join("queue");
    let args = ["produce", queue.to_str().expect("it works"), "--metrics-listen", "127.0.0.1:0"];
    let mut child = spawn(&mut cli(&args));
    let address = address(&mut child);
    let mut stdin = child.stdin.take().expect("it works");
    stdin.write_all(b"one\ntwo\n").expect("it works");
    let page = || ask(&address, "GET /metrics").1;
    until("the entries are durable", || value(&page(), "buffer_entries_flushed", &[]) == Some(2.0));
    let page = page();
    assert_eq!(value(&page, "buffer_bytes_flushed", &[]), Some(6.0), "{page}");
    // Two records of four bytes more each, and a footer of seven; in one batch or in two.
    let batches = value(&page, "buffer_batches_flushed", &[]).expect("it works");
    assert_eq!(value(&page, "buffer_bytes_written", &[]), Some(14.0 + 7.0 * batches), "{page}");
    assert_eq!(value(&page, "buffer_oldest_unflushed_age_seconds", &[]), Some(0.0), "{page}");
    drop(stdin);
    let ran = wait(child).expect(0);
    assert!(ran.stderr.contains("durable: 2 entries"), "{}", ran.stderr);
}

#[test]
fn an_address_that_is_taken_is_said_before_anything_is_done() {
    let directory = tempfile::tempdir().expect("it works");
    let queue = directory.path().join("queue");
    let taken = TcpListener::bind("127.0.0.1:0").expect("it works");
    let address = taken.local_addr().expect("it works").to_string();
    let args = ["produce", queue.to_str().expect("it works"), "--metrics-listen", &address];
    run(&args, b"one\n").expect(1).expect_error(&["cannot serve metrics at", &address]);
    assert!(!queue.exists());
    let ran =
        run(&["consume", queue.to_str().expect("it works"), "--metrics-listen", "localhost"], b"");
    assert_eq!(ran.expect(2).text(), "");
}
