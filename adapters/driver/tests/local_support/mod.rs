//! What the tests of the local directory share: scratch directories and child processes.

#![allow(dead_code, clippy::unwrap_used, reason = "not every test file uses all of it")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, thread};

use buffer_core::{Condition, Object, ReadOutcome, StoreErrorKind, Version, WriteOutcome};
use buffer_driver::{LocalFiles, StoreFailure};

/// A directory that is gone when the test is over.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn create(
    files: &LocalFiles,
    key: &str,
    bytes: &str,
) -> Result<WriteOutcome, StoreFailure> {
    files.write(&key.into(), &[bytes.to_owned().into()], &Condition::Absent)
}

pub(crate) fn swap(
    files: &LocalFiles,
    key: &str,
    bytes: &str,
    base: &Version,
) -> Result<WriteOutcome, StoreFailure> {
    files.write(&key.into(), &[bytes.to_owned().into()], &Condition::Version(base.clone()))
}

pub(crate) fn stored(outcome: Result<WriteOutcome, StoreFailure>) -> Version {
    match outcome.unwrap() {
        WriteOutcome::Stored(version) => version,
        WriteOutcome::Conflict => panic!("the condition did not hold"),
    }
}

pub(crate) fn find(files: &LocalFiles, key: &str) -> Option<Object> {
    match files.read(&key.into(), None).unwrap() {
        ReadOutcome::Found(object) => Some(object),
        ReadOutcome::Missing => None,
        ReadOutcome::NotModified => panic!("no version was named"),
    }
}

pub(crate) fn found(files: &LocalFiles, key: &str) -> Object {
    find(files, key).expect("the object exists")
}

pub(crate) fn text(object: &Object) -> &str {
    std::str::from_utf8(&object.bytes).unwrap()
}

/// The kind of a failure.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, StoreFailure>) -> StoreErrorKind {
    result.expect_err("it must fail").kind
}

/// The names in the directory for temporary files.
pub(crate) fn left_overs(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(".opendata-buffer")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

const ROLE: &str = "BUFFER_LOCAL_TEST_ROLE";

/// What this process was started for: nothing, or the words that the parent said.
pub(crate) fn role() -> Option<Vec<String>> {
    Some(env::var(ROLE).ok()?.split('\n').map(str::to_owned).collect())
}

/// Starts this test binary again, with only `test`, which then finds `role`.
///
/// What it reports comes through its standard error, a line at a time.
pub(crate) fn start(test: &str, role: &[&str]) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, role.join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Says something to the parent, in one system call.
pub(crate) fn report(line: &str) {
    std::io::stderr().write_all(format!("> {line}\n").as_bytes()).unwrap();
}

/// Gathers what a child reports; a panic of it is passed on to whoever looks.
pub(crate) fn listen(child: &mut Child) -> thread::JoinHandle<Vec<String>> {
    let output = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || output.lines().map_while(Result::ok).filter_map(heard).collect())
}

/// What was said in a line, if it is a report.
pub(crate) fn heard(line: String) -> Option<String> {
    match line.strip_prefix("> ") {
        Some(report) => Some(report.to_owned()),
        None => {
            println!("child: {line}");
            None
        }
    }
}

/// Appends a line by compare-and-swap, as often as it takes. Says how many swaps that were.
pub(crate) fn append(files: &LocalFiles, key: &str, line: &str) -> u32 {
    for attempt in 1.. {
        let object = found(files, key);
        let bytes = format!("{}{line}\n", text(&object));
        if swap(files, key, &bytes, &object.version).unwrap() != WriteOutcome::Conflict {
            return attempt;
        }
    }
    unreachable!("the loop ends with a success")
}
