//! Every system call of a write, one by one: killed before it, made to fail, and counted.
//!
//! A child does one operation between two stops of its own while its parent
//! follows it with `ptrace`. On Linux on x86-64 only: the registers differ elsewhere.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod local_support;
mod local_tracer;

use std::path::Path;
use std::time::{Duration, Instant};

use buffer_core::{ReadOutcome, StoreErrorKind, WriteOutcome};
use buffer_driver::LocalFiles;
use local_support::*;
use local_tracer::{Action, Call, Tracee, stop, traced};
use nix::errno::Errno;

const KEY: &str = "ingest/manifest";
const OLD: &str = "old state";
const NEW: &str = "new state, somewhat longer";

/// What the child does between its stops.
const OPERATIONS: [&str; 4] = ["create", "swap", "create without links", "swap without links"];

/// A directory in which `operation` is what comes next.
fn prepared(operation: &str) -> Scratch {
    let scratch = Scratch::new("calls");
    if operation.starts_with("swap") {
        stored(create(&LocalFiles::open(scratch.path()).unwrap(), KEY, OLD));
    }
    scratch
}

/// The child's part: one operation between two stops, and a report in between.
///
/// `warm`: the handle has written to the directory before.
fn child(role: &[String]) {
    let [root, operation, warm] = role else { panic!("{role:?}") };
    let files = if operation.ends_with("without links") {
        LocalFiles::open_without_hard_links(root).unwrap()
    } else {
        LocalFiles::open(root).unwrap()
    };
    if warm == "warm" {
        create(&files, "ingest/other", "x").unwrap();
    }
    let base = find(&files, KEY).map(|object| object.version);
    traced();
    stop();
    let outcome = match (operation.split(' ').next(), base) {
        (Some("swap"), Some(base)) => swap(&files, KEY, NEW, &base),
        (Some("create"), _) => create(&files, KEY, NEW),
        (Some("read"), _) => files.read(&KEY.into(), None).map(|read| match read {
            ReadOutcome::Found(object) => WriteOutcome::Stored(object.version),
            ReadOutcome::Missing | ReadOutcome::NotModified => WriteOutcome::Conflict,
        }),
        (_, base) => panic!("{operation:?} with {base:?}"),
    };
    match outcome {
        Ok(WriteOutcome::Stored(_)) => report("stored"),
        Ok(WriteOutcome::Conflict) => report("conflict"),
        Err(failure) => report(&format!("{:?}", failure.kind)),
    }
    stop();
}

fn follow(test: &str, scratch: &Scratch, operation: &str, warm: &str) -> Option<Tracee> {
    Tracee::start(test, &[scratch.path().to_str().unwrap(), operation, warm])
}

/// Old or new and nothing else; missing only where there was nothing.
fn assert_whole(root: &Path, operation: &str, what: &str) -> bool {
    let files = LocalFiles::open_existing(root).unwrap();
    let state = find(&files, KEY).map(|object| text(&object).to_owned());
    let old = operation.starts_with("swap").then(|| OLD.to_owned());
    assert!(state == old || state.as_deref() == Some(NEW), "{what}: {state:?}");
    state.as_deref() == Some(NEW)
}

/// A fresh process must not find anything in its way.
fn assert_goes_on(root: &Path, what: &str) {
    let started = Instant::now();
    let files = LocalFiles::open(root).unwrap();
    match find(&files, KEY) {
        Some(object) => stored(swap(&files, KEY, "next", &object.version)),
        None => stored(create(&files, KEY, "next")),
    };
    assert_eq!(found(&files, KEY).bytes, "next", "{what}");
    assert!(started.elapsed() < Duration::from_secs(10), "{what}: {:?}", started.elapsed());
}

/// Nothing is left but the object, its neighbour and its lock file.
fn assert_swept(root: &Path, what: &str) -> usize {
    let before = left_overs(root).len();
    LocalFiles::open(root).unwrap();
    assert_eq!(left_overs(root).len(), before, "{what}: a young left-over was deleted");
    let files = LocalFiles::open_sweeping(root, Duration::ZERO).unwrap();
    assert!(left_overs(root).is_empty(), "{what}: {:?}", left_overs(root));
    let mut names: Vec<_> = std::fs::read_dir(root.join("ingest"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name != "other");
    names.sort_unstable();
    assert!(names == ["manifest"] || names == [".manifest.lock", "manifest"], "{names:?}");
    assert_eq!(found(&files, KEY).bytes, "next", "{what}");
    before
}

/// Goal: there is no moment at which a death hurts anybody.
#[test]
fn killed_before_any_system_call_leaves_a_whole_object_and_no_lock() {
    const TEST: &str = "killed_before_any_system_call_leaves_a_whole_object_and_no_lock";
    if let Some(role) = role() {
        return child(&role);
    }
    for operation in OPERATIONS {
        let (mut kept_new, mut reported, mut left) = (0, 0, 0);
        for nth in 1.. {
            let scratch = prepared(operation);
            let Some(mut tracee) = follow(TEST, &scratch, operation, "cold") else { return };
            let (mut calls, mut last) = (0, String::new());
            tracee.run(|call| {
                calls += 1;
                last = call.to_string();
                if calls == nth { Action::Kill } else { Action::Run }
            });
            let reports = tracee.end();
            let what = format!("{operation}, killed before call {nth} ({last})");
            let is_new = assert_whole(scratch.path(), operation, &what);
            if reports == ["stored"] {
                assert!(is_new, "{what}: it was reported as stored");
                reported += 1;
            } else {
                assert!(reports.is_empty(), "{what}: {reports:?}");
            }
            assert_goes_on(scratch.path(), &what);
            left += assert_swept(scratch.path(), &what);
            kept_new += usize::from(is_new);
            if calls < nth {
                assert!(is_new && reports == ["stored"], "{operation} was not completed");
                println!(
                    "{operation}: {} kill points; new state {kept_new} times, reported {reported} \
                     times, {left} left-overs swept",
                    nth - 1
                );
                assert!(nth > 20, "too few system calls to be the whole operation");
                assert!(kept_new > reported && left > 0, "the kills missed the operation");
                break;
            }
        }
    }
}

/// The calls that matter, in their order, each with what it was about.
fn order(test: &str, scratch: &Scratch, operation: &str) -> Option<Vec<String>> {
    let mut tracee = follow(test, scratch, operation, "warm")?;
    let mut seen = Vec::new();
    tracee.run(|call| {
        seen.extend(call.milestone());
        Action::Run
    });
    assert_eq!(tracee.end().len(), 1);
    Some(seen)
}

/// Goal: the reply comes after everything is on disk, and nothing is visible before its
/// contents are.
#[test]
fn file_is_synced_before_its_name_and_the_directory_before_the_reply() {
    const TEST: &str = "file_is_synced_before_its_name_and_the_directory_before_the_reply";
    if let Some(role) = role() {
        return child(&role);
    }
    let expected: [(&str, &[&str]); 4] = [
        ("create", &["fsync *.tmp", "link", "fsync ingest/", "unlink", "reply"]),
        ("swap", &["fsync *.tmp", "link", "rename", "fsync ingest/", "unlink", "reply"]),
        ("create without links", &["fsync *.tmp", "rename", "fsync ingest/", "reply"]),
        ("swap without links", &["fsync *.tmp", "rename", "fsync ingest/", "reply"]),
    ];
    for (operation, expected) in expected {
        let scratch = prepared(operation);
        let Some(seen) = order(TEST, &scratch, operation) else { return };
        println!("{operation}: {}", seen.join(", "));
        assert_eq!(seen, expected, "{operation}");
    }
}

/// The first write to a directory: its name, and the names above it, before the object's.
#[test]
fn new_directories_are_synced_up_to_the_root_before_the_object_exists() {
    const TEST: &str = "new_directories_are_synced_up_to_the_root_before_the_object_exists";
    if let Some(role) = role() {
        return child(&role);
    }
    let scratch = Scratch::new("calls");
    let Some(mut tracee) = follow(TEST, &scratch, "create", "cold") else { return };
    let mut seen = Vec::new();
    tracee.run(|call| {
        seen.extend(call.milestone());
        Action::Run
    });
    assert_eq!(tracee.end(), ["stored"]);
    println!("create in a new directory: {}", seen.join(", "));
    let root = format!("fsync {}/", scratch.path().file_name().unwrap().to_str().unwrap());
    let expected =
        ["mkdir", &root, "mkdir", "fsync *.tmp", "link", "fsync ingest/", "unlink", "reply"];
    assert_eq!(seen, expected);
}

/// Kills a writer after its state became visible and before it was durable.
fn leave_visible_but_not_durable(test: &str, scratch: &Scratch, operation: &str) -> Option<()> {
    let mut tracee = follow(test, scratch, operation, "warm")?;
    let mut published = false;
    tracee.run(|call| {
        let milestone = call.milestone();
        let milestone = milestone.as_deref();
        published |= milestone == Some(if operation == "create" { "link" } else { "rename" });
        if published && milestone == Some("fsync ingest/") { Action::Kill } else { Action::Run }
    });
    assert!(published && tracee.end().is_empty());
    Some(())
}

/// Goal: nobody acts on a state that a power failure can take back.
#[test]
fn state_that_may_not_be_durable_is_synced_by_whoever_sees_it() {
    const TEST: &str = "state_that_may_not_be_durable_is_synced_by_whoever_sees_it";
    if let Some(role) = role() {
        return child(&role);
    }
    let swap_on_top: &[&str] =
        &["fsync ingest/", "fsync *.tmp", "link", "rename", "fsync ingest/", "unlink", "reply"];
    for writer in ["create", "swap"] {
        for (observer, expected) in [
            ("read", &["fsync ingest/", "reply"][..]),
            ("create", &["fsync *.tmp", "link", "fsync ingest/", "unlink", "reply"]),
            ("swap", swap_on_top),
        ] {
            let scratch = prepared(writer);
            let Some(()) = leave_visible_but_not_durable(TEST, &scratch, writer) else { return };
            let Some(seen) = order(TEST, &scratch, observer) else { return };
            println!("{observer} after a {writer} that died: {}", seen.join(", "));
            assert_eq!(seen, expected, "{observer} after {writer}");
        }
    }
    let scratch = prepared("swap");
    let Some(seen) = order(TEST, &scratch, "read") else { return };
    assert_eq!(seen, ["reply"], "a durable state costs a reader no sync");
}

/// What a failing call may be answered with.
struct Injection {
    errno: Errno,
    nth: usize,
}

/// Runs an operation in which the n-th call that can fail does so; `None` when it has fewer.
fn inject(
    test: &str,
    scratch: &Scratch,
    operation: &str,
    injection: &Injection,
) -> Option<Option<(String, String)>> {
    let mut tracee = follow(test, scratch, operation, "cold")?;
    let (mut calls, mut failed) = (0, None);
    tracee.run(|call| {
        if !call.touches_files() {
            return Action::Run;
        }
        calls += 1;
        if calls != injection.nth {
            return Action::Run;
        }
        failed = Some(call.milestone().unwrap_or_else(|| call.to_string()));
        Action::Fail(injection.errno)
    });
    let reports = tracee.end();
    assert_eq!(reports.len(), 1, "{operation}: {failed:?}: {reports:?}");
    Some(failed.map(|call| (call, reports[0].clone())))
}

/// Goal: whatever fails, "stored" is only said of what is there, and nobody is stuck.
#[test]
fn any_system_call_may_fail_and_the_answer_is_honest() {
    const TEST: &str = "any_system_call_may_fail_and_the_answer_is_honest";
    if let Some(role) = role() {
        return child(&role);
    }
    for operation in OPERATIONS {
        for errno in [Errno::EIO, Errno::ENOSPC, Errno::EPERM] {
            let mut answers: Vec<String> = Vec::new();
            for nth in 1.. {
                let scratch = prepared(operation);
                let injected = inject(TEST, &scratch, operation, &Injection { errno, nth });
                let Some(injected) = injected else { return };
                let Some((call, answer)) = injected else { break };
                let what = format!("{operation}, {errno:?} from {call}");
                let is_new = assert_whole(scratch.path(), operation, &what);
                assert!(is_new || answer != "stored", "{what}: it is not there");
                assert!(answer != "conflict", "{what}: nobody else wrote");
                // One failed link does not mean that the filesystem has none.
                let is_denied = errno == Errno::EPERM && call == "link";
                assert!(!is_denied || answer == "Denied", "{what}: {answer}");
                if call.starts_with("fsync") {
                    assert!(answer != "stored", "{what}: the sync failed");
                }
                assert_goes_on(scratch.path(), &what);
                assert_swept(scratch.path(), &what);
                answers.push(format!("{call}: {answer}"));
            }
            assert!(answers.len() > 8, "{answers:?}");
            println!("{operation}, {errno:?}: {}", answers.join(", "));
        }
    }
}

/// The last sync fails: nobody knows, so the answer is not "stored", and the sign stays.
#[test]
fn failed_sync_of_the_directory_leaves_the_sign_for_readers() {
    const TEST: &str = "failed_sync_of_the_directory_leaves_the_sign_for_readers";
    if let Some(role) = role() {
        return child(&role);
    }
    for operation in ["create", "swap"] {
        let scratch = prepared(operation);
        let Some(mut tracee) = follow(TEST, &scratch, operation, "warm") else { return };
        tracee.run(|call: &Call<'_>| match call.milestone().as_deref() {
            Some("fsync ingest/") => Action::Fail(Errno::EIO),
            Some(_) | None => Action::Run,
        });
        assert_eq!(tracee.end(), [format!("{:?}", StoreErrorKind::Transient)]);
        let Some(seen) = order(TEST, &scratch, "read") else { return };
        assert_eq!(seen, ["fsync ingest/", "reply"], "{operation}");
        assert_goes_on(scratch.path(), operation);
        assert_swept(scratch.path(), operation);
    }
}

/// A filesystem that has no hard links is noticed at the first one, and written without.
#[test]
fn filesystem_without_hard_links_is_written_under_the_lock() {
    const TEST: &str = "filesystem_without_hard_links_is_written_under_the_lock";
    if let Some(role) = role() {
        return child(&role);
    }
    for errno in [Errno::EPERM, Errno::EOPNOTSUPP] {
        for operation in ["create", "swap"] {
            let scratch = prepared(operation);
            let Some(mut tracee) = follow(TEST, &scratch, operation, "cold") else { return };
            let mut seen = Vec::new();
            tracee.run(|call| {
                let milestone = call.milestone();
                seen.extend(milestone.clone());
                if milestone.as_deref() == Some("link") { Action::Fail(errno) } else { Action::Run }
            });
            assert_eq!(tracee.end(), ["stored"], "{operation}: {seen:?}");
            assert!(assert_whole(scratch.path(), operation, operation));
            let lock = scratch.path().join("ingest/.manifest.lock");
            assert!(lock.exists(), "{operation}: {seen:?}");
            assert!(left_overs(scratch.path()).is_empty());
        }
    }
}

/// Without hard links, "I could not look" must not pass for "there is nothing".
#[test]
fn create_never_replaces_an_object_that_it_could_not_see() {
    const TEST: &str = "create_never_replaces_an_object_that_it_could_not_see";
    if let Some(role) = role() {
        return child(&role);
    }
    for operation in ["create", "create without links"] {
        for nth in 1.. {
            let scratch = prepared("swap");
            let injection = Injection { errno: Errno::EIO, nth };
            let Some(injected) = inject(TEST, &scratch, operation, &injection) else { return };
            assert_eq!(found(&LocalFiles::open(scratch.path()).unwrap(), KEY).bytes, OLD);
            let Some((call, answer)) = injected else { break };
            assert_ne!(answer, "stored", "{operation}, {call}");
        }
    }
}
