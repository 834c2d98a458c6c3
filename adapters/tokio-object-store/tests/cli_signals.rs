//! What signals do, by sending them to the binary.
#![cfg(all(feature = "cli", unix))]

mod cli_support;

use std::io::Write;
use std::process::{Child, ChildStdin};
use std::time::Duration;

use cli_support::{Queue, cli, read_line, run, signal, spawn, spawn_consumer, until, wait};

/// A producer that has been given this much so far.
fn producer(queue: &Queue, given: &[u8]) -> (Child, ChildStdin) {
    let mut child = spawn(&mut cli(&["produce", queue.name()]));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(given).expect("it reads");
    (child, stdin)
}

#[test]
fn a_typed_line_is_durable_without_waiting_for_another() {
    let queue = Queue::new();
    let (child, stdin) = producer(&queue, b"one\ntw");
    until("the line is durable", || queue.manifest().exists());
    assert_eq!(queue.drain(), b"one\n");
    drop(stdin);
    let ran = wait(child).expect(0);
    assert_eq!(ran.stderr, "durable: 2 entries, 5 bytes, in 2 batches\n");
    assert_eq!(queue.drain(), b"tw\n");
}

#[test]
fn an_interrupted_producer_delivers_what_it_has_and_says_so() {
    for name in ["INT", "TERM"] {
        let queue = Queue::new();
        let inside = queue.path().join("inside");
        let inside_name = inside.to_str().expect("a plain name");
        // The interval is long: it is the signal that flushes.
        let mut child = spawn(&mut cli(&["produce", inside_name, "--flush-interval", "30s"]));
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(b"one\ntwo\nunfinis").expect("it reads");
        until("signals are caught and the store is open", || inside.exists());
        // That the lines were read does not show from outside.
        std::thread::sleep(Duration::from_millis(500));
        signal(&child, name);
        let ran = wait(child).expect(130);
        assert!(ran.stderr.starts_with("durable: 2 entries, 6 bytes, in 1 batch\n"), "{ran:?}");
        assert!(ran.stderr.contains("7 bytes of an unfinished entry"), "{ran:?}");
        assert_eq!(run(&["consume", inside_name], b"").expect(0).text(), "one\ntwo\n");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let queue = Queue::holding(&[b"zero\n"]);
    // Whoever swaps the manifest holds this lock; the producer will wait for it.
    let lock = std::fs::File::create(queue.path().join("ingest/.manifest.lock")).expect("a file");
    lock.lock().expect("nobody has it");
    let (mut child, stdin) = producer(&queue, b"one\n");
    until("the batch is uploaded", || queue.batches().len() == 2);
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("it can be asked").is_none(), "it waits for the swap");
    signal(&child, "INT");
    let ran = wait(child).expect(130);
    assert_eq!(ran.stderr, "", "nothing is known to be durable");
    drop(stdin);
}

#[test]
fn an_interrupted_consumer_dequeues_what_it_wrote() {
    let queue = Queue::holding(&[b"1\n2\n"]);
    let mut child = spawn_consumer(&["consume", "-f", queue.name()]);
    let stdout = child.stdout.as_mut().expect("it is piped");
    assert_eq!(read_line(stdout), "1\n");
    assert_eq!(read_line(stdout), "2\n");
    // The entries were seen before they could be acknowledged.
    std::thread::sleep(Duration::from_millis(100));
    signal(&child, "INT");
    wait(child).expect(130);
    let dump = run(&["manifest", "dump", queue.manifest().to_str().expect("a plain name")], b"");
    assert!(dump.text().contains("\"entries\": []"), "{}", dump.text());
}

#[test]
fn a_consumer_whose_reader_hangs_can_be_interrupted() {
    let batch = "0123456789\n".repeat(100_000);
    let queue = Queue::holding(&[batch.as_bytes()]);
    let mut child = spawn_consumer(&["consume", queue.name()]);
    // One line shows that it writes; nobody reads the rest, and the pipe is full.
    assert_eq!(read_line(child.stdout.as_mut().expect("it is piped")), "0123456789\n");
    let unread = child.stdout.take();
    signal(&child, "INT");
    wait(child).expect(130);
    drop(unread);
    assert_eq!(queue.drain().len(), batch.len(), "it was not acknowledged");
}

/// Goal: one signal ends what only looks, although it hangs in writing to a full pipe.
#[test]
fn looking_for_a_reader_who_hangs_can_be_interrupted() {
    let line = format!("{}\n", "x".repeat(999));
    let queue = Queue::holding(&[line.repeat(300).as_bytes()]);
    for args in [
        &["tail", queue.name(), "--from", "oldest"][..],
        &["tail", queue.name(), "-n", "300", "-f"],
        &["inspect", "batch", queue.name(), "0", "--records"],
    ] {
        let mut child = spawn(&mut cli(args));
        // It writes.
        read_line(child.stdout.as_mut().expect("it is piped"));
        signal(&child, "INT");
        wait(child).expect(130);
    }
}
