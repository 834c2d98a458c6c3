//! `buffer-sim` as a shell sees it.

#![cfg(feature = "cli")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use buffer_sim::scenarios::Scenario;

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_buffer-sim"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program is there");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "stdout: {stdout}\nstderr: {stderr}");
        self
    }

    /// Whether it ended with one error that says all of this.
    #[track_caller]
    fn expect_error(self, code: i32, parts: &[&str]) -> Self {
        let ran = self.expect(code);
        assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
        }
        ran
    }

    /// The words of the line that begins like this.
    #[track_caller]
    fn line(&self, start: &str) -> &str {
        let found = self.stdout.lines().find_map(|line| line.trim_start().strip_prefix(start));
        found.unwrap_or_else(|| panic!("no line begins with {start:?}: {}", self.stdout)).trim()
    }
}

#[test]
fn a_run_and_its_token_are_the_same_world() {
    let ran = run(&["run", "--seed", "7"]).expect(0);
    let again = run(&["replay", "b1-short-7"]).expect(0);
    assert_eq!(ran.stdout, again.stdout);
    assert!(ran.line("b1-short-7: ").starts_with("everything held; hash "), "{}", ran.stdout);
    assert!(ran.line("requests").replace(',', "").parse::<u64>().is_ok_and(|it| it > 50));
    let other = run(&["replay", "b1-short-7-c100=6148914691236517205"]).expect(0);
    assert_ne!(ran.line("b1-short-7"), other.line("b1-short-7"));
}

#[test]
fn a_trace_goes_to_a_file_or_to_standard_output() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("trace");
    let path = file.to_str().expect("temporary directories have plain names");
    let to_file = run(&["run", "--seed", "7", "--trace", path]).expect(0);
    let to_stdout = run(&["run", "--seed", "7", "--trace", "-"]).expect(0);
    let lines = fs::read_to_string(&file).expect("it was written");
    assert_eq!(lines, to_stdout.stdout, "standard output has the trace and nothing else");
    assert!(lines.lines().count() > 100);
    assert_eq!(to_file.stdout, to_stdout.stderr, "what is told of the run is the same");
    let ran = run(&["run", "--seed", "7", "--trace", "/no/such/directory/trace"]);
    ran.expect_error(1, &["/no/such/directory/trace: "]);
}

#[test]
fn what_cannot_be_understood_is_told_with_what_would_be_right() {
    run(&["replay", "b1-short-x"]).expect_error(2, &["the seed is a number below 2^64"]);
    run(&["replay", "hello"]).expect_error(2, &["they look like b1-short-12345"]);
    run(&["run", "--seed", "1", "--load", "tall"]).expect_error(2, &["short, long and crowd"]);
    run(&["run", "--seed", "1", "--without", "I99"]).expect_error(2, &["I1 to I18"]);
    run(&["run", "--seed", "1", "--bug", "None"]).expect_error(2, &["there is no bug \"None\""]);
    run(&["sweep", "--seeds", "9"]).expect_error(2, &["as 0..1000"]);
    run(&["sweep", "--seeds", "5.."]).expect_error(2, &["need an end"]);
    run(&["scenario", "fenced"]).expect_error(2, &["a_fenced_consumer_stops"]);
    run(&["scenario"]).expect(2);
}

#[test]
fn a_sweep_tells_people_and_programs_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("summary.json");
    let path = file.to_str().expect("temporary directories have plain names");
    let ran = run(&["sweep", "--seeds", "0..12", "--jobs", "2", "--json", path]).expect(0);
    assert!(ran.line("seeds").starts_with("12, "), "{}", ran.stdout);
    assert!(ran.stderr.is_empty(), "nothing is drawn where there is no terminal: {}", ran.stderr);
    let text = fs::read_to_string(&file).expect("it was written");
    let summary: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(summary["seeds"], 12);
    assert_eq!(summary["failures"], 0);
    let requests = summary["requests"].as_u64().expect("it is a number");
    let told = ran.line("requests").split(", ").next().expect("there is one").replace(',', "");
    assert!(ran.line("requests").replace(',', "").starts_with(&requests.to_string()), "{told}");
    assert_eq!(summary["points"].is_null(), !buffer_sim::hooks_are_on());
}

#[test]
fn a_sweep_goes_on_until_its_time_is_over() {
    let ran = run(&["sweep", "--seeds", "100..", "--minutes", "0.01"]).expect(0);
    let seeds = ran.line("seeds").split(", of").next().expect("there is one").replace(',', "");
    assert!(seeds.parse::<u64>().is_ok_and(|seeds| seeds > 0), "{seeds}");
}

#[test]
fn scenarios_are_listed_and_run_by_name_and_by_number() {
    let list = run(&["scenario", "--list"]).expect(0).stdout;
    assert!(Scenario::all().iter().all(|it| list.contains(it.name) && list.contains(it.about)));
    let ran = run(&["scenario", "failure_02_a_lost_reply_is_not_a_failure"]).expect(0);
    assert_eq!(ran.stdout, "ok    failure_02_a_lost_reply_is_not_a_failure\n");
    let ran = run(&["scenario", "17"]).expect(0);
    let of_number = Scenario::all().iter().filter(|it| it.failure == Some(17)).count();
    let passed = ran.stdout.lines().filter(|line| line.starts_with("ok    failure_17_")).count();
    assert_eq!(passed, of_number);
}

#[test]
fn the_same_seeds_have_the_same_hashes_until_the_file_says_otherwise() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("golden");
    let path = file.to_str().expect("temporary directories have plain names");
    let check = |option| run(&["check-determinism", "--seeds", "0..6", option, path]);
    let ran = check("--write-golden").expect(0);
    assert!(ran.stdout.contains("6 seeds ran three times"), "{}", ran.stdout);
    let hashes = fs::read_to_string(&file).expect("it was written");
    assert_eq!(hashes.lines().count(), 6);
    check("--golden").expect(0);
    // A line for a seed outside of the range is looked at as well.
    run(&["check-determinism", "--seeds", "0..1", "--golden", path]).expect(0);

    let (first, rest) = hashes.split_once('\n').expect("there are six lines");
    fs::write(&file, format!("{first}0\n{rest}")).expect("it can be written");
    check("--golden").expect_error(4, &["I18 determinism: 1 of 6 seeds", "the first is 0: "]);
    fs::write(&file, "zero\n").expect("it can be written");
    check("--golden").expect_error(1, &["\"zero\" is not a seed and its hash"]);
}

/// Goal: this build, whatever its profile, makes the worlds that are written down.
///
/// After a change of behaviour: `cargo sim check-determinism --write-golden sim/golden-hashes.txt`.
#[test]
fn the_hashes_in_the_tree_are_those_of_this_build() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden-hashes.txt");
    assert_eq!(fs::read_to_string(golden).expect("it is in the tree").lines().count(), 100);
    let ran = run(&["check-determinism", "--seeds", "0..1", "--golden", golden]).expect(0);
    assert!(ran.stdout.contains("100 hashes are those of "), "{}", ran.stdout);
}

/// Goal: a picture is a page of its own, of a run, of a token and of a scenario, and as text.
#[test]
fn pictures_are_drawn_of_runs_and_of_scenarios() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("page.html");
    let path = file.to_str().expect("temporary directories have plain names");
    let lost = "a_batch_dequeued_before_its_producer_looked_is_repeated_to_nobody";
    for (args, title) in [
        (&["run", "--seed", "7"][..], "b1-short-7"),
        (&["replay", "b2-short-7"], "b2-short-7"),
        (&["scenario", lost], lost),
    ] {
        run(&[args, &["--html", path]].concat()).expect(0);
        let page = fs::read_to_string(&file).expect("it was written");
        assert!(page.starts_with("<!doctype html>"), "{}", &page[..80]);
        assert!(page.contains(&format!("<title>{title}</title>")), "{title}");
        assert!(page.contains("<svg ") && page.trim_end().ends_with("</html>"));
    }
    let ran = run(&["scenario", lost, "--chart=500"]).expect(0);
    for part in ["[apply-then-fail]", "epoch 1, lists 2", "◀", "◆", "▶"] {
        assert!(ran.stdout.contains(part), "{part:?} is not in: {}", ran.stdout);
    }
    let html = |args: &[&str]| run(&[args, &["--html", path]].concat());
    html(&["scenario", "--all"]).expect_error(2, &["a picture is of one scenario"]);
    html(&["run", "--seed", "1", "--load", "long"]).expect_error(2, &["only a short world"]);
    let nowhere = run(&["run", "--seed", "7", "--html", "/no/such/directory/page"]);
    nowhere.expect_error(1, &["/no/such/directory/page: "]);
}

#[test]
fn what_holds_is_not_shrunk() {
    run(&["shrink", "7"]).expect_error(1, &["everything held in b1-short-7"]);
    run(&["shrink", "b1-long-7"]).expect_error(2, &["only those can be shrunk"]);
    run(&["shrink", "hello"]).expect_error(2, &["they look like b1-short-12345"]);
}

#[cfg(not(buffer_sim))]
#[test]
fn a_build_without_hooks_says_how_to_build_one_with_them() {
    let bug = buffer_core_bug();
    for args in
        [&["mutate"][..], &["run", "--seed", "1", "--bug", bug], &["scenario", "1", "--planted"]]
    {
        run(args).expect_error(2, &["cargo sim"]);
    }
}

#[cfg(not(buffer_sim))]
fn buffer_core_bug() -> &'static str {
    buffer_core::hooks::Bug::ALL[0].name()
}

/// Goal: a planted bug is found, told with its invariant, the last lines and the token; and the token repeats it.
#[cfg(buffer_sim)]
#[test]
fn a_planted_bug_is_found_and_shown_again() {
    let bug = "SettledBeforeSwap";
    let ran = run(&["mutate", "--bug", bug, "--seeds", "1000"]);
    assert!(ran.stdout.contains("found 1 of 1"), "{}", ran.stdout);
    let token = ran.line("to repeat it: cargo sim replay ");
    let ran = run(&["replay", token]).expect(4);
    for part in ["error: seed ", ": I", "the last of ", &format!("cargo sim replay {token}")] {
        assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
    }
}

#[test]
fn a_server_runs_for_a_command_and_ends_as_it_did() {
    let ran =
        run(&["serve", "--seed", "7", "--", "sh", "-c", "echo at $AWS_ENDPOINT_URL"]).expect(0);
    let url = ran.line("at ");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(ran.stderr.contains(&format!("listening on {url}\n")), "{}", ran.stderr);
    assert!(ran.stderr.contains("requests         none\n"), "{}", ran.stderr);
    let gcs = ["serve", "--profile", "gcs", "--", "sh", "-c", "echo at $STORAGE_EMULATOR_HOST"];
    assert!(run(&gcs).expect(0).line("at ").starts_with("http://127.0.0.1:"));
    run(&["serve", "--", "sh", "-c", "exit 3"]).expect_error(3, &["sh ended with 3"]);
    run(&["serve", "--", "/no/such/program"]).expect_error(1, &["/no/such/program: "]);
}

#[test]
fn what_cannot_be_served_is_told() {
    let names = "there is no fault \"lost\"; there are lost-reply, torn-reply";
    run(&["serve", "--fault", "lost=0.1"]).expect_error(2, &[names]);
    run(&["serve", "--fault", "hang"]).expect_error(2, &["lost-reply=0.05"]);
    run(&["serve", "--fault", "hang=often"]).expect_error(2, &["no rate"]);
    run(&["serve", "--fault", "hang=2"]).expect_error(2, &["2 is no share of requests"]);
    run(&["serve", "--fault-rate", "0.2"]).expect_error(2, &["come to 2.2", "1 at the most"]);
    run(&["serve", "--profile", "ftp"]).expect(2);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    run(&["serve", "--port", &port]).expect_error(1, &[&format!("port {port}: ")]);
}

/// Goal: it says where it listens, does to requests what it was told to, and says at its end what it has seen.
#[cfg(unix)]
#[test]
fn a_server_tells_what_it_has_seen_when_it_is_stopped() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_buffer-sim"))
        .args(["serve", "--fault-rate", "0.01", "--fault", "error-503=0.9", "--seed", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program is there");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let first = lines.next().expect("it says something").expect("it is text");
    let address = first.strip_prefix("listening on http://").expect("it says where");
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(address).expect("it listens");
        let request = b"GET /b/k HTTP/1.1\r\nConnection: close\r\n\r\n";
        socket.write_all(request).expect("it reads");
        let mut answer = Vec::new();
        // What befalls the others may well be no answer at all.
        let _ = socket.read_to_end(&mut answer);
        statuses.push(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 503 "));
    }
    assert!(statuses.iter().filter(|is_503| **is_503).count() >= 5, "{statuses:?}");
    let stopped = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
    assert!(stopped.expect("there is a shell").success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(child.wait().expect("it is ours").success());
    assert_eq!(rest.first().map(String::as_str), Some("requests         8 GET"), "{rest:?}");
    assert!(rest.iter().any(|line| line.starts_with("faults ") && line.contains("error-503")));
}

/// Goal: what is left of a failure is a token of few decisions, a picture and a test.
#[cfg(buffer_sim)]
#[test]
fn a_planted_bug_is_shrunk_and_shown_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("page.html");
    let path = file.to_str().expect("temporary directories have plain names");
    let ran = run(&["mutate", "--shrink", "--bug", "SettledBeforeSwap"]).expect(0);
    assert!(ran.stdout.contains("shrunk 1, to "), "{}", ran.stdout);
    let token = ran.line("SettledBeforeSwap").rsplit(' ').next().expect("a token").to_owned();
    assert!(token.starts_with("b2-short-"), "{token}");
    run(&["replay", &token]).expect(4);
    let ran = run(&["shrink", &token, "--html", path]).expect(0);
    for part in
        ["decisions are out of the usual", "◆", "to repeat it: cargo sim replay b2-", "#[test]"]
    {
        assert!(ran.stdout.contains(part), "{part:?} is not in: {}", ran.stdout);
    }
    assert!(fs::read_to_string(&file).expect("it was written").contains("VIOLATED"));
}
