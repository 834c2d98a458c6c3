//! Buckets by their URLs, options and `doctor`, by running the binary.
#![cfg(feature = "cli")]

mod cli_support;

use std::process::Command;

use buffer::contract::wire::{Conditions, Options, WireServer};
use cli_support::{Queue, Ran, cli, run, run_command};

/// The key of the account that every Azurite has; it is no secret.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The server that a variable names, or word on stderr that the test is skipped.
fn server(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    url
}

fn fresh(scheme: &str) -> String {
    format!("{scheme}://buffer/cli-{:016x}", fastrand::u64(..))
}

fn with(args: &[&str], variables: &[(&str, &str)], stdin: &[u8]) -> Ran {
    let mut command: Command = cli(args);
    command.envs(variables.iter().copied());
    run_command(command, stdin)
}

/// Entries go through a queue at `url`, which these arguments and variables open.
fn goes_through(url: &str, args: &[&str], variables: &[(&str, &str)]) {
    let run = |command: &[&str], stdin: &[u8]| with(&[command, args].concat(), variables, stdin);
    let ran = run(&["produce", url, "--metadata", "note"], b"one\ntwo\n").expect(0);
    assert!(ran.stderr.starts_with("durable: 2 entries"), "{}", ran.stderr);
    run(&["produce", url, "--compression", "zstd"], b"three\n").expect(0);
    let manifest = format!("{url}/ingest/manifest");
    let dump = run(&["manifest", "dump", &manifest], b"").expect(0);
    let dump: serde_json::Value = serde_json::from_str(dump.text()).expect("it is JSON");
    assert_eq!(dump["next_sequence"], 2, "{dump}");
    assert_eq!(dump["entries"][0]["metadata"][0]["payload_base64"], "bm90ZQ==", "{dump}");
    let location = dump["entries"][0]["location"].as_str().expect("it has one");
    assert!(location.starts_with("ingest/"), "the prefix is not seen in the queue: {location}");
    assert_eq!(run(&["consume", url], b"").expect(0).text(), "one\ntwo\nthree\n");
    assert_eq!(run(&["consume", url], b"").expect(0).text(), "");
    let missing = format!("{url}/nothing");
    run(&["manifest", "dump", &missing], b"").expect(1).expect_error(&["no such object"]);

    let few = ["--samples", "5", "--object-size", "1KiB", "--json"];
    let ran = run(&[&["doctor", url], &few[..]].concat(), b"").expect(0);
    let report: serde_json::Value = serde_json::from_str(ran.text()).expect("it is JSON");
    assert_eq!(report["all_well"], true, "{report}");
    assert!(report["swaps_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{report}");
    assert_eq!(report["advice"]["at_least"]["price_ms"], 259.2, "{report}");
    assert!(!ran.stderr.contains("could not delete"), "{}", ran.stderr);
}

#[test]
fn a_queue_in_s3_is_opened_by_its_url() {
    let Some(endpoint) = server("BUFFER_TEST_S3") else { return };
    let keys = ["--store-option", "access_key_id=test", "--store-option", "secret_access_key=test"];
    let url = fresh("s3");
    let endpoint_option = format!("endpoint={endpoint}");
    let http = ["--store-option", "allow_http=true", "--store-option", &endpoint_option];
    goes_through(&url, &[&keys[..], &http[..]].concat(), &[]);

    // The same from the environment, and for what a URL says of itself.
    let variables = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    goes_through(&fresh("s3a"), &[], &variables);
    let nowhere = [("AWS_ENDPOINT_URL", "https://127.0.0.1:9")];
    let url = format!("{}?endpoint={endpoint}&allow_http=true&unquoted_etag=true", fresh("s3"));
    let ran = with(&[&["produce", &url], &keys[..]].concat(), &nowhere, b"a\n");
    ran.expect(0);
    let ran = with(&[&["consume", &url], &keys[..]].concat(), &nowhere, b"");
    assert_eq!(ran.expect(0).text(), "a\n");
}

#[test]
fn a_queue_in_azure_is_opened_by_its_url() {
    let Some(endpoint) = server("BUFFER_TEST_AZURE") else { return };
    let account_key = format!("account_key={AZURITE_KEY}");
    let endpoint_option = format!("endpoint={endpoint}");
    let options =
        ["account_name=devstoreaccount1", &account_key, &endpoint_option, "allow_http=true"];
    let options: Vec<&str> = options.into_iter().flat_map(|it| ["--store-option", it]).collect();
    goes_through(&fresh("az"), &options, &[]);

    let variables = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1"),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY),
        ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    goes_through(&fresh("azure"), &[], &variables);
    // A key of somebody else is an error at once, and the key is not repeated.
    let mut wrong = variables;
    wrong[1].1 = "SGlkZGVuSGlkZGVuSGlkZGVuSGlkZGVu";
    let ran = with(&["produce", &fresh("az")], &wrong, b"a\n").expect(1);
    assert!(!ran.stderr.contains(wrong[1].1), "{}", ran.stderr);
    ran.expect_error(&["denied"]);
}

#[test]
fn an_option_that_is_wrong_is_a_usage_error_that_names_it() {
    let queue = Queue::new();
    let refused = |args: &[&str], parts: &[&str]| {
        for command in ["produce", "consume", "doctor"] {
            let ran = run(&[&[command], args].concat(), b"").expect(2);
            ran.expect_error(parts);
            assert!(!ran.stderr.contains("hidden"), "{}", ran.stderr);
        }
    };
    let told = "--store-option";
    refused(&["s3://b", told, "regoin=x"], &["regoin", "`region`"]);
    refused(&["s3://b?account_key=hidden"], &["account_key", "Azure"]);
    refused(&["s3://b", told, "unquoted_etag=hidden"], &["unquoted_etag", "true or false"]);
    refused(&["s3://b", told, "hidden"], &["NAME=VALUE"]);
    refused(&["s3://b", told, "region=a", told, "region=b"], &["twice"]);
    refused(&["s3://b", told, "endpoint=http://127.0.0.1:9"], &["allow_http=true"]);
    refused(&["az://b"], &["account_name"]);
    refused(&[queue.name(), told, "region=x"], &["region", "takes no options"]);
    refused(&["ftp://b"], &["s3://BUCKET"]);
    assert_eq!(std::fs::read_dir(queue.path()).expect("it is there").count(), 0);
}

#[test]
fn the_help_lists_every_option() {
    let ran = run(&["produce", "--help"], b"").expect(0);
    for option in buffer::STORE_OPTIONS {
        assert!(ran.text().contains(option.name), "{}", option.name);
        assert!(option.variables.iter().all(|variable| ran.text().contains(variable)));
    }
}

#[test]
fn a_service_that_is_not_there_is_a_failure() {
    let url = "s3://b?endpoint=http://127.0.0.1:9&allow_http=true&skip_signature=true";
    let ran = run(&["consume", url], b"").expect(1);
    ran.expect_error(&["s3://b at http://127.0.0.1:9", "ingest/manifest"]);
    let ran = run(&["doctor", url], b"").expect(1);
    ran.expect_error(&["s3://b at http://127.0.0.1:9"]);
    let ran = run(&["produce", url, "--delivery-timeout", "200ms"], b"a\n").expect(1);
    ran.expect_error(&["127.0.0.1:9"]);
}

fn start(conditions: Conditions) -> WireServer {
    let options = Options { conditions, ..Options::default() };
    WireServer::start(&options).expect("a port is free")
}

fn doctor_on(server: &WireServer, more: &[&str]) -> Ran {
    let endpoint = format!("endpoint={}", server.url());
    let told = ["allow_http=true", "access_key_id=test", "secret_access_key=test", &endpoint];
    let told = told.iter().chain(more).flat_map(|option| ["--store-option", option]);
    let few = ["--samples", "3", "--object-size", "1KiB"];
    let args: Vec<_> = ["doctor", "s3://bucket/queue"].into_iter().chain(few).chain(told).collect();
    run(&args, b"")
}

#[test]
fn doctor_tells_a_store_that_ignores_conditions() {
    let server = start(Conditions::Ignored);
    let ran = doctor_on(&server, &[]).expect(6);
    let failed = ["create_only", "stale_condition", "one_winner"];
    ran.expect_error(
        &[&["cannot compare and swap", "s3://bucket/queue at http://127.0.0.1:"], &failed[..]]
            .concat(),
    );
    for failed in [
        "FAILED  a write that may only create leaves what is there: a write that may only create was taken",
        "FAILED  a write on an old version is refused: a write on the condition of an old version was taken",
        "FAILED  of many racing writers exactly one wins: creating: 8 of 8 racing writers won",
        "ok      a listing is complete",
    ] {
        assert!(ran.text().contains(failed), "{failed:?} is not in: {}", ran.text());
    }
    assert!(!ran.text().contains("recommended"), "no queue, no advice: {}", ran.text());
    assert!(!ran.stderr.contains("could not delete"), "{}", ran.stderr);
}

#[test]
fn doctor_tells_whether_a_store_wants_entity_tags_without_quotes() {
    let server = start(Conditions::Unquoted);
    let ran = doctor_on(&server, &[]).expect(6);
    ran.expect_error(&["cannot compare and swap", "stale_condition"]);
    assert!(ran.text().contains("a write on the present version was refused"), "{}", ran.text());
    let ran = doctor_on(&server, &["unquoted_etag=true"]).expect(0);
    assert_eq!(ran.text().matches("ok   ").count(), 7, "{}", ran.text());
}

#[test]
fn doctor_finds_a_directory_well_and_leaves_nothing_there() {
    let queue = Queue::holding(&[b"a\n"]);
    let files = || {
        let mut names = Vec::new();
        let mut directories = vec![queue.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("it is there") {
                let path = entry.expect("it is listed").path();
                names.push(path.clone());
                if path.is_dir() {
                    directories.push(path);
                }
            }
        }
        names.sort();
        names
    };
    let before = files();
    let ran = run(&["doctor", queue.name(), "--samples", "5"], b"").expect(0);
    assert_eq!(ran.text().matches("ok   ").count(), 7, "{}", ran.text());
    assert!(ran.text().contains("recommended: --flush-interval 100ms"), "{}", ran.text());
    assert_eq!(files(), before);
    let ran = run(&["doctor", queue.name(), "--samples", "5", "--json"], b"").expect(0);
    let report: serde_json::Value = serde_json::from_str(ran.text()).expect("it is JSON");
    assert_eq!(report["can_compare_and_swap"], true, "{report}");
    assert_eq!(report["checks"].as_array().map(Vec::len), Some(7), "{report}");
    assert!(report["swap"]["p99_ms"].as_f64() >= report["swap"]["p50_ms"].as_f64(), "{report}");
    assert_eq!(queue.drain(), b"a\n", "the queue is what it was");

    let missing = queue.path().join("not-yet");
    let name = missing.to_str().expect("a plain name");
    run(&["doctor", name, "--samples", "2"], b"").expect(0);
    assert!(!missing.exists(), "what it made, it took away");
    run(&["doctor", "memory:x"], b"").expect(2).expect_error(&["memory:x"]);
}
