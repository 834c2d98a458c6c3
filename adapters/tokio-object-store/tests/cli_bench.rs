//! `opendata-buffer bench`: short runs of every kind, whose numbers must agree with each other.

#![cfg(feature = "cli")]

mod cli_support;

use std::fs;

use cli_support::{Queue, run};
use serde_json::Value;

/// What a short run reports.
fn bench(command: &str, options: &[&str]) -> Value {
    let args = [&["bench", command, "--json"], options].concat();
    let ran = run(&args, b"").expect(0);
    serde_json::from_str(ran.text()).expect("it prints JSON")
}

fn runs(report: &Value) -> &Vec<Value> {
    report["runs"].as_array().expect("there are runs")
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is a number"))
}

#[track_caller]
fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a count"))
}

fn requests(run: &Value, kind: &str) -> u64 {
    run["whole"]["requests"][kind]["requests"].as_u64().unwrap_or(0)
}

/// What must be so of every run in which producers were called.
#[track_caller]
fn assert_sound(run: &Value, entry_size: u64, entries_per_call: u64) {
    let whole = &run["whole"];
    let calls = count(&whole["calls"]);
    assert!(calls > 0 && count(&whole["failed_calls"]) == 0, "{whole}");
    assert_eq!(count(&whole["durable_bytes"]), calls * entries_per_call * entry_size);
    assert_eq!(count(&run["verified"]["entries"]), calls * entries_per_call);
    assert_eq!(count(&run["verified"]["bytes"]), count(&whole["durable_bytes"]));
    assert_eq!(run["verified"]["compared"], "by_hash");
    // Every batch was put once, and every swap of a producer is counted by its outcome.
    assert_eq!(requests(run, "batch_put"), count(&whole["batches"]));
    assert_eq!(requests(run, "swap_lost"), count(&whole["conflicts"]));
    let bytes = count(&whole["requests"]["batch_put"]["bytes"]);
    assert!(bytes >= calls * entries_per_call * (entry_size + 4), "{whole}");
    let acknowledged = &run["acknowledgement"];
    let [p50, p99, max] = ["p50_ms", "p99_ms", "max_ms"].map(|name| number(&acknowledged[name]));
    assert!(p50 > 0.0 && p50 <= p99 && p99 <= max, "{acknowledged}");
    let rate = number(&run["calls_per_second"]);
    let measured = rate * number(&run["seconds"]);
    assert!((measured - number(&acknowledged["count"])).abs() < 1.0, "{measured}");
    let megabytes = rate * (entries_per_call * entry_size) as f64 / 1e6;
    assert!((megabytes / number(&run["mb_per_second"]) - 1.0).abs() < 1e-6);
}

#[test]
fn what_producers_wrote_is_counted_and_verified() {
    let report = bench(
        "produce",
        &[
            "--seconds=0.4",
            "--latency=0ms,2ms",
            "--producers=1,3",
            "--entry-size=64",
            "--entries-per-call=10",
            "--calls-in-flight=200",
            "--tasks=2",
            "--batch-size=16KiB",
            "--flush-interval=5ms",
        ],
    );
    assert_eq!(report["command"], "produce");
    assert_eq!(report["settings"]["load"]["calls_in_flight"], 200);
    let shape = |run: &Value| (number(&run["latency_ms"]), count(&run["producers"]));
    let shapes: Vec<_> = runs(&report).iter().map(shape).collect();
    assert_eq!(shapes, [(0.0, 1), (0.0, 3), (2.0, 1), (2.0, 3)]);
    for run in runs(&report) {
        assert_sound(run, 64, 10);
        let latency = number(&run["latency_ms"]);
        // A batch takes a PUT and a swap.
        assert!(number(&run["acknowledgement"]["p50_ms"]) >= 2.0 * latency, "{run}");
        assert!(number(&run["whole"]["requests"]["batch_put"]["mean_ms"]) >= latency);
        assert!(number(&run["whole"]["swaps_per_batch"]) > 0.0);
        assert!(number(&run["dollars_per_month"]["S3 Standard"]) > 0.0);
    }
}

#[test]
fn a_calm_producer_reads_the_manifest_once_and_is_called_as_often_as_asked() {
    let report = bench("produce", &["--rate=100", "--seconds=1", "--latency=5ms"]);
    let run = &runs(&report)[0];
    assert_sound(run, 256, 100);
    assert_eq!(requests(run, "manifest_missing") + requests(run, "manifest_get"), 1);
    let calls = count(&run["whole"]["calls"]);
    // One more may be due at the very end.
    assert!((60..=105).contains(&calls), "{calls}");
}

#[test]
fn compressed_batches_are_smaller_and_verified_as_well() {
    for keeping in [&[][..], &["--drop-bodies"]] {
        let options = [&["--compression=zstd", "--seconds=0.4", "--batch-size=256KiB"], keeping];
        let report = bench("produce", &options.concat());
        let run = &runs(&report)[0];
        let whole = &run["whole"];
        let calls = count(&whole["calls"]);
        assert_eq!(count(&run["verified"]["entries"]), calls * 100);
        let put = count(&whole["requests"]["batch_put"]["bytes"]);
        assert!(put > 0 && put < count(&whole["durable_bytes"]) / 2, "{whole}");
    }
}

#[test]
fn single_entries_and_large_ones_come_through() {
    let small = ["--entry-size=100", "--entries-per-call=1", "--tasks=4", "--static-entries"];
    let large =
        ["--entry-size=100kB", "--entries-per-call=3", "--batch-size=1MiB", "--drop-bodies"];
    for (options, size, per_call) in [(small, 100, 1), (large, 100_000, 3)] {
        let limits = ["--seconds=0.3", "--calls-in-flight=max", "--max-buffered=16MiB"];
        let report = bench(
            "produce",
            &[options, [limits[0], limits[1], limits[2], "--bytes=1GiB"]].concat(),
        );
        let run = &runs(&report)[0];
        assert_sound(run, size, per_call);
        assert!(count(&run["whole"]["calls"]) > 100);
    }
}

#[test]
fn a_store_that_takes_few_writes_is_throttling() {
    let report = bench(
        "produce",
        &["--key-rate=20", "--producers=2", "--seconds=1", "--rate=50", "--flush-interval=10ms"],
    );
    let run = &runs(&report)[0];
    let seconds = number(&run["whole"]["seconds"]);
    assert!(requests(run, "swap_won") as f64 <= 20.0 * seconds + 1.0, "{run}");
    assert!(requests(run, "swap_throttled") > 0, "{run}");
    assert_eq!(run["verified"]["compared"], "by_hash");
}

#[test]
fn a_consumer_gets_the_whole_backlog() {
    let common = ["--batches=40", "--batch-size=64KiB", "--latency=1ms", "--dequeue-acks=10"];
    for compression in ["--compression=none", "--compression=zstd"] {
        for bodies in [&[][..], &["--drop-bodies"]] {
            let report = bench("consume", &[&common[..], &[compression], bodies].concat());
            let run = &runs(&report)[0];
            // 64 KiB hold two calls of a hundred entries, with the lengths before them.
            assert_eq!(count(&run["verified"]["entries"]), 40 * 200);
            assert_eq!(count(&run["whole"]["batches"]), 40);
            assert_eq!(requests(run, "batch_get"), 40);
            assert!(number(&run["mb_per_second"]) > 0.0 && requests(run, "swap_won") > 0);
        }
    }
}

#[test]
fn contending_producers_lose_nothing_to_each_other() {
    let report = bench(
        "contend",
        &[
            "--producers=4",
            "--latency=2ms",
            "--seconds=1",
            "--batch-size=64KiB",
            "--calls-in-flight=20",
            "--flush-interval=5ms",
        ],
    );
    let run = &runs(&report)[0];
    assert_eq!(report["command"], "contend");
    assert_sound(run, 256, 100);
    assert!(number(&run["consumed_mb_per_second"]) > 0.0);
    let [slowest, mean] = ["slowest_producer_mb_per_second", "mean_producer_mb_per_second"]
        .map(|name| number(&run[name]));
    assert!(slowest <= mean && (mean * 4.0 / number(&run["mb_per_second"]) - 1.0).abs() < 1e-6);
    assert_eq!(requests(run, "batch_get"), requests(run, "batch_put"));
}

#[test]
fn an_entry_arrives_after_it_was_acknowledged_or_about_then() {
    let report = bench("end-to-end", &["--latency=5ms", "--seconds=1", "--poll-interval=10ms"]);
    let run = &runs(&report)[0];
    assert_sound(run, 256, 100);
    let there = &run["end_to_end"];
    assert!(count(&there["count"]) > 10, "{there}");
    // A PUT and a swap for the producer, the manifest and the batch for the consumer: but an
    // acknowledgement and the consumer's reading may cross.
    assert!(number(&there["p50_ms"]) >= 15.0, "{there}");
}

#[test]
fn a_backlog_of_any_length_is_appended_to_and_dequeued_from() {
    let report = bench("backlog", &["--entries=0,10,5000", "--rounds=12"]);
    let bytes = |run: &Value| number(&run["figures"]["manifest, bytes"]);
    let [empty, short, long] = &runs(&report)[..] else { panic!("three were asked for") };
    assert!(bytes(empty) == 22.0 && bytes(short) < bytes(long));
    for (run, dequeued) in [(empty, 0), (short, 10), (long, 12)] {
        assert_eq!(count(&run["verified"]["entries"]), 12);
        assert_eq!(requests(run, "batch_put"), 12);
        let times = &run["times"];
        assert_eq!(count(&times["append"]["count"]), 12);
        assert_eq!(times["dequeue"]["count"].as_u64().unwrap_or(0), dequeued);
        assert!(number(&run["figures"]["bytes/append"]) > bytes(run));
    }
}

#[test]
fn a_real_queue_is_measured_beside_what_is_there_and_deleted() {
    let queue = Queue::holding(&[b"one\n"]);
    let before = queue.batches();
    let options = ["--seconds=0.5", "--rate=50", "--flush-interval=20ms", "--latency=0ms"];
    // A real store is as slow as it is.
    let refused = run(&["bench", "produce", queue.name(), options[3]], b"").expect(2);
    assert!(refused.stderr.contains("--latency"), "{}", refused.stderr);
    let mut args = vec![queue.name()];
    args.extend(&options[..3]);
    for command in ["produce", "contend", "end-to-end"] {
        let report = bench(command, &args);
        assert_eq!(report["store"], queue.name());
        assert_sound(&runs(&report)[0], 256, 100);
    }
    let report = bench("consume", &[queue.name(), "--batches=12", "--batch-size=64KiB"]);
    assert_eq!(count(&runs(&report)[0]["verified"]["entries"]), 12 * 200);
    let left: Vec<_> = fs::read_dir(queue.path())
        .expect("the queue is there")
        .map(|entry| entry.expect("it is listed").file_name())
        .filter(|name| name.to_string_lossy().starts_with("bench-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(queue.batches(), before);
    assert_eq!(queue.drain(), b"one\n");
    run(&["bench", "backlog", queue.name()], b"").expect(2);
    run(&["bench", "produce", "memory:x"], b"").expect(2);
}

#[test]
fn a_queue_that_is_kept_can_be_consumed() {
    let queue = Queue::new();
    let args = ["--seconds=0.3", "--rate=20", "--flush-interval=20ms", "--payload=text", "--keep"];
    let ran =
        run(&[&["bench", "produce", "--json", queue.name()], &args[..]].concat(), b"").expect(0);
    let report: Value = serde_json::from_str(ran.text()).expect("it prints JSON");
    let manifest = ran.stderr.lines().find_map(|line| line.strip_prefix("the queue is kept: "));
    let manifest = manifest.and_then(|line| line.split_once(" in ")).expect("it says where").0;
    let consumed = run(&["consume", queue.name(), "--manifest-path", manifest], b"");
    let bytes = consumed.expect(0).stdout.len() as u64;
    let run = &runs(&report)[0];
    // Each entry is followed by a delimiter.
    let entries = count(&run["verified"]["entries"]);
    assert_eq!(bytes, count(&run["whole"]["durable_bytes"]) + entries);
}

#[test]
fn results_can_be_drawn_and_priced_by_ones_own_table() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("it is plain").to_owned();
    let (plot, prices) = (path("plot.svg"), path("prices.json"));
    let table = run(&["bench", "prices"], b"").expect(0);
    let mut edited: Value = serde_json::from_str(table.text()).expect("it is JSON");
    edited["stores"][0]["name"] = "ours".into();
    fs::write(&prices, edited.to_string()).expect("it is written");
    let args = ["bench", "produce", "--seconds=0.3", "--plot", &plot, "--prices", &prices];
    let ran = run(&args, b"").expect(0);
    assert!(ran.text().contains("$/month, ours"), "{}", ran.text());
    assert!(ran.text().contains("verified"), "{}", ran.text());
    let svg = fs::read_to_string(&plot).expect("it was drawn");
    assert!(svg.starts_with("<svg") && svg.contains("class=\"line\""), "{svg}");
    fs::write(&prices, "{}").expect("it is written");
    run(&args, b"").expect(2).expect_error(&["prices.json"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for wrong in [
        "--producers=0",
        "--entry-size=0",
        "--entries-per-call=0",
        "--seconds=0",
        "--rate=-1",
        "--calls-in-flight=0",
        "--latency=fast",
        "--batch-size=0",
    ] {
        let ran = run(&["bench", "produce", "--seconds=0.1", wrong], b"");
        assert_eq!(ran.code, Some(2), "{wrong}: {}", ran.stderr);
    }
}
