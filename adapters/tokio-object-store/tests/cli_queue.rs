//! `produce` and `consume`, by running the binary.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{Queue, cli, read_line, run, run_command, spawn, spawn_consumer, wait};

#[test]
fn what_goes_in_comes_out() {
    let queue = Queue::new();
    let input = (0..5_000).map(|line| format!("line {line}\n")).collect::<String>();
    let ran = run(&["produce", queue.name()], input.as_bytes()).expect(0);
    assert_eq!(ran.text(), "", "standard output is for data");
    assert!(ran.stderr.starts_with("durable: 5,000 entries, 43,890 bytes, in "), "{}", ran.stderr);
    let ran = run(&["consume", queue.name()], b"").expect(0);
    assert_eq!(ran.text(), input);
    assert_eq!(ran.stderr, "took over: epoch 1, was 0\n");
    assert_eq!(queue.drain(), b"", "it was acknowledged");
}

#[test]
fn an_empty_line_is_an_entry_and_the_last_needs_no_end() {
    let queue = Queue::holding(&[b"\na\n\nb"]);
    assert_eq!(queue.drain(), b"\na\n\nb\n");
    let nothing = Queue::new();
    let ran = run(&["produce", nothing.name()], b"").expect(0);
    assert!(ran.stderr.starts_with("durable: 0 entries"), "{}", ran.stderr);
}

#[test]
fn bytes_of_any_kind_survive() {
    let queue = Queue::new();
    let input: Vec<u8> = (0..200_000_u32).map(|n| (n % 255 + 1) as u8).chain([0, 0, 9]).collect();
    run(&["produce", queue.name(), "-D", "\\0"], &input).expect(0);
    let ran = run(&["consume", queue.name(), "-D", "\\0"], b"").expect(0);
    let expected = [&input[..], &[0]].concat();
    assert!(ran.stdout == expected, "{} bytes of {}", ran.stdout.len(), expected.len());
}

#[test]
fn a_delimiter_may_have_several_bytes() {
    let queue = Queue::new();
    run(&["produce", queue.name(), "-D", "\\x1e--"], b"a\x1e-\x1e--b\n").expect(0);
    let ran = run(&["consume", queue.name(), "-D", "|"], b"").expect(0);
    assert_eq!(ran.stdout, b"a\x1e-|b\n|");
}

#[test]
fn a_file_and_compression() {
    let queue = Queue::new();
    let file = queue.path().join("input");
    let text = "the same line\n".repeat(10_000);
    std::fs::write(&file, &text).expect("it can be written");
    let file = file.to_str().expect("a plain name");
    run(&["produce", queue.name(), "-i", file, "--compression", "zstd"], b"").expect(0);
    let stored: u64 =
        queue.batches().iter().map(|path| path.metadata().expect("it is there").len()).sum();
    assert!(stored < 10_000, "{stored} bytes");
    assert_eq!(queue.drain(), text.as_bytes());

    // A mistyped name leaves no queue behind.
    let other = queue.path().join("other");
    let other = other.to_str().expect("a plain name");
    run(&["produce", other, "-i", "no-such-file"], b"").expect(1).expect_error(&["no-such-file"]);
    assert!(!std::path::Path::new(other).exists());
}

#[test]
fn json_lines_have_the_documented_fields() {
    let queue = Queue::new();
    run(&["produce", queue.name(), "--metadata", "my-metadata"], b"a\nbc\n").expect(0);
    let ran = run(&["consume", queue.name(), "--format", "json"], b"").expect(0);
    let lines: Vec<&str> = ran.text().lines().collect();
    assert_eq!(lines.len(), 2);
    for (index, (line, payload)) in lines.iter().zip(["YQ==", "YmM="]).enumerate() {
        let head = format!(
            r#"{{"sequence":0,"index":{index},"payload_base64":"{payload}","ingestion_time_ms":1"#
        );
        assert!(line.starts_with(&head), "{line}");
        assert!(line.ends_with(r#","metadata_base64":"bXktbWV0YWRhdGE="}"#), "{line}");
    }
}

#[test]
fn a_batch_that_was_not_taken_whole_comes_again() {
    let queue = Queue::holding(&[b"1\n2\n", b"3\n4\n5\n"]);
    assert_eq!(run(&["consume", queue.name(), "-n", "3"], b"").expect(0).text(), "1\n2\n3\n");
    assert_eq!(run(&["consume", queue.name(), "-n", "0"], b"").expect(0).text(), "");
    assert_eq!(run(&["consume", queue.name(), "-n", "3"], b"").expect(0).text(), "3\n4\n5\n");
    assert_eq!(queue.drain(), b"");
}

#[test]
fn no_ack_leaves_everything() {
    let queue = Queue::holding(&[b"1\n", b"2\n"]);
    for _ in 0..2 {
        assert_eq!(run(&["consume", queue.name(), "--no-ack"], b"").expect(0).text(), "1\n2\n");
    }
    assert_eq!(queue.drain(), b"1\n2\n");
}

#[test]
fn after_a_sequence_the_rest_comes_and_a_queue_that_does_not_fit_is_refused() {
    let queue = Queue::holding(&[b"1\n", b"2\n", b"3\n"]);
    let after = |sequence| run(&["consume", queue.name(), "--no-ack", "--after", sequence], b"");
    assert_eq!(after("0").expect(0).text(), "2\n3\n");
    assert_eq!(after("2").expect(0).text(), "");
    after("3").expect(1).expect_error(&["ingest/manifest", "sequence 3"]);
    queue.drain();
    after("0").expect(1).expect_error(&["dequeued"]);
}

#[test]
fn consume_makes_no_queue() {
    let queue = Queue::new();
    let missing = queue.path().join("missing");
    let missing = missing.to_str().expect("a plain name");
    for named in [missing.to_owned(), format!("file://{missing}")] {
        run(&["consume", &named], b"").expect(1).expect_error(&["no such queue", missing]);
        run(&["consume", "-f", &named], b"").expect(1).expect_error(&["no such queue", missing]);
    }
    let ran = run(&["consume", queue.name()], b"").expect(1);
    ran.expect_error(&["no such queue", "ingest/manifest", queue.name()]);
    assert_eq!(std::fs::read_dir(queue.path()).expect("it is there").count(), 0);
}

#[test]
fn keys_may_be_named() {
    let queue = Queue::new();
    let keys = ["--data-path-prefix", "a/b", "--manifest-path", "c/d"];
    run(&[&["produce", queue.name()][..], &keys].concat(), b"1\n").expect(0);
    assert!(queue.path().join("c/d").is_file() && queue.path().join("a/b").is_dir());
    run(&["consume", queue.name()], b"").expect(1);
    assert_eq!(run(&[&["consume", queue.name()][..], &keys].concat(), b"").text(), "1\n");
}

#[test]
fn what_cannot_work_has_its_own_codes() {
    run(&[], b"").expect(2);
    run(&["consume"], b"").expect(2);
    run(&["consume", "q", "--format", "xml"], b"").expect(2);
    run(&["produce", "q", "-D", ""], b"").expect(2);
    run(&["produce", "q", "--flush-interval", "soon"], b"").expect(2);
    run(&["produce", "q", "--flush-size", "big"], b"").expect(2);
    run(&["produce", "q", "--max-buffered", "64 miles"], b"").expect(2);
    for command in ["produce", "consume"] {
        run(&[command, "memory:x"], b"").expect(2).expect_error(&["memory:x"]);
    }
    let input = env!("CARGO_MANIFEST_PATH");
    for command in [&["produce"][..], &["consume"], &["demo", "-i", input]] {
        let on = |store| run(&[command, &[store]].concat(), b"");
        on("http://example.org/").expect(6).expect_error(&["http://example.org/", "WebDAV"]);
        on("ftp://example.org/").expect(2).expect_error(&["ftp://example.org/"]);
    }
    assert!(!std::path::Path::new("q").exists());
}

#[test]
fn an_entry_larger_than_memory_allows_is_an_error_and_those_before_it_are_kept() {
    let queue = Queue::new();
    let input = [b"one\ntwo\n".to_vec(), vec![b'x'; 100_000]].concat();
    let ran = run(&["produce", queue.name(), "--max-buffered", "64KiB"], &input).expect(1);
    ran.expect_error(&["entry 3 of standard input", "--max-buffered is 65,536 bytes"]);
    assert!(ran.stderr.starts_with("durable: 2 entries, 6 bytes"), "{}", ran.stderr);
    assert_eq!(queue.drain(), b"one\ntwo\n");
    // Much more than that in all is no problem.
    let input = "0123456789\n".repeat(100_000);
    run(&["produce", queue.name(), "--max-buffered", "64KiB"], input.as_bytes()).expect(0);
    assert!(queue.drain() == input.as_bytes());
}

#[test]
fn what_is_not_durable_is_said_in_numbers() {
    let queue = Queue::new();
    // No batch can be written below a file.
    std::fs::write(queue.path().join("ingest"), b"").expect("it can be written");
    let ran = run(&["produce", queue.name()], b"a\nb\n").expect(1);
    ran.expect_error(&["0 are certainly in the queue", "2 are certainly not", "of 0 it is not"]);
    assert!(ran.stderr.starts_with("durable: 0 entries"), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\x1b'), "colours are for terminals");
}

#[test]
fn a_replaced_consumer_says_so() {
    let queue = Queue::new();
    let first = spawn_consumer(&["consume", "-f", queue.name()]);
    let mut second = spawn_consumer(&["consume", "-f", queue.name()]);
    let ran = wait(first).expect(3);
    ran.expect_error(&["epoch 1", "epoch 2"]);
    run(&["produce", queue.name()], b"for the second\n").expect(0);
    assert_eq!(read_line(second.stdout.as_mut().expect("it is piped")), "for the second\n");
    second.kill().expect("it runs");
    second.wait().expect("it ran");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly_and_loses_nothing() {
    // Each batch is more than a pipe holds: none is taken whole, so none is acknowledged.
    let line = format!("{}\n", "x".repeat(999));
    let batch = line.repeat(300);
    let queue = Queue::holding(&[batch.as_bytes(), batch.as_bytes()]);
    let mut child = spawn(&mut cli(&["consume", queue.name()]));
    assert_eq!(read_line(child.stdout.as_mut().expect("it is piped")), line);
    drop(child.stdout.take());
    let ran = wait(child).expect(0);
    assert_eq!(ran.stderr, "took over: epoch 1, was 0\n");
    assert_eq!(queue.drain().len(), 2 * batch.len());
}

#[test]
fn verbose_tells_more_and_the_environment_has_the_last_word() {
    let queue = Queue::holding(&[b"1\n"]);
    let log = |flag: &[&str], filter: Option<&str>| {
        let mut command = cli(&[&["consume", queue.name()], flag].concat());
        if let Some(filter) = filter {
            command.env("RUST_LOG", filter);
        }
        run_command(command, b"").expect(0).stderr.contains("took over the queue")
    };
    assert!(!log(&[], None));
    assert!(log(&["-v"], None));
    assert!(log(&[], Some("info")));
    assert!(!log(&["-v"], Some("error")));
}

/// Goal: a queue that was recreated is gone on with only on the caller's word.
#[test]
fn a_queue_that_does_not_fit_is_accepted_by_name() {
    let queue = Queue::new();
    run(&["produce", queue.name()], b"new\n").expect(0);
    let refused = run(&["consume", queue.name(), "--after", "99"], b"").expect(1);
    refused.expect_error(&["99", "accept_reset"]);
    let ran = run(&["consume", queue.name(), "--after", "99", "--accept-reset"], b"").expect(0);
    assert_eq!(ran.stdout, b"new\n");
}

/// Goal: a corrupt manifest is told within seconds, not after `delivery_timeout`.
#[test]
fn a_corrupt_manifest_is_told_soon() {
    let queue = Queue::new();
    run(&["produce", queue.name()], b"one\n").expect(0);
    std::fs::write(queue.path().join("ingest/manifest"), b"x\n").expect("it can be written");
    let start = std::time::Instant::now();
    let ran = run(&["produce", queue.name()], b"two\n").expect(1);
    ran.expect_error(&["ingest/manifest is corrupt at byte 0"]);
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}

/// Goal: a consumer that runs deletes what it has consumed, unless it is told not to.
#[cfg(unix)]
#[test]
fn what_was_consumed_is_deleted_while_it_runs() {
    let grace = ["--gc-grace-period", "2s"];
    let produce = |queue: &Queue, line: &[u8]| {
        let args = [&["produce", queue.name(), "--delivery-timeout", "900ms"], &grace[..]].concat();
        run(&args, line).expect(0);
    };
    for extra in [&[][..], &["--no-gc"], &["--no-ack"]] {
        let queue = Queue::new();
        produce(&queue, b"one\n");
        // The manifest is to change when the batch is older than the grace period.
        let args = [&["consume", queue.name(), "-f", "--gc-interval", "100ms"], &grace[..], extra];
        let child = cli_support::spawn_consumer(&args.concat());
        std::thread::sleep(std::time::Duration::from_millis(2200));
        produce(&queue, b"two\n");
        let first_is_gone = || queue.batches().len() == 1;
        if extra.is_empty() {
            cli_support::until("the first batch is deleted", first_is_gone);
        } else {
            std::thread::sleep(std::time::Duration::from_secs(2));
            assert_eq!(queue.batches().len(), 2, "{extra:?}");
        }
        cli_support::signal(&child, "INT");
        assert!(cli_support::wait(child).expect(130).text().starts_with("one\n"));
    }
}

#[test]
fn a_grace_period_that_is_too_short_for_the_producer_is_refused() {
    let queue = Queue::new();
    let ran = run(&["produce", queue.name(), "--gc-grace-period", "1m"], b"x\n").expect(2);
    ran.expect_error(&["delivery_timeout", "half of `gc_grace_period`"]);
    let queue = Queue::holding(&[b"x\n"]);
    run(&["consume", queue.name(), "--gc-interval", "0s"], b"")
        .expect(2)
        .expect_error(&["gc_interval"]);
}
