//! Running the real binary.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stderr: {}", self.stderr);
        self
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).expect("the output is text")
    }

    /// Whether stderr explains itself: one line that begins with `error:` and holds all of this.
    #[track_caller]
    pub(crate) fn expect_error(&self, parts: &[&str]) {
        // What a client said may have the word in it as well.
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).expect("stderr is text");
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }
}

/// The command, with nothing of this process's own configuration.
pub(crate) fn cli(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opendata-buffer"));
    command.args(args).env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        let of_a_cloud = |prefix| name.to_str().is_some_and(|name| name.starts_with(prefix));
        if ["AWS_", "AZURE_", "GOOGLE_", "OPENDATA_BUFFER_"].into_iter().any(of_a_cloud) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it to its end with this as standard input.
pub(crate) fn run(args: &[&str], stdin: &[u8]) -> Ran {
    run_command(cli(args), stdin)
}

pub(crate) fn run_command(mut command: Command, stdin: &[u8]) -> Ran {
    let mut child = spawn(&mut command);
    let mut pipe = child.stdin.take().expect("stdin is piped");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that does not read it is fine.
            let _ = pipe.write_all(stdin);
        });
        child.wait_with_output().expect("it runs").into()
    })
}

/// Starts it with pipes on all sides.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is there")
}

/// Starts it, and waits until it says on stderr that it took over. The rest of stderr is read by nobody.
pub(crate) fn spawn_consumer(args: &[&str]) -> Child {
    let mut child = spawn(&mut cli(args));
    let stderr = child.stderr.as_mut().expect("stderr is piped");
    // One byte at a time: what comes after stays in the pipe.
    let mut line = String::new();
    BufReader::with_capacity(1, stderr).read_line(&mut line).expect("stderr is text");
    assert!(line.starts_with("took over: "), "{line}");
    child
}

/// Waits for it to end, and fails the test if it does not.
pub(crate) fn wait(mut child: Child) -> Ran {
    until("the command ends", || child.try_wait().expect("it can be waited for").is_some());
    child.wait_with_output().expect("it ended").into()
}

#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.expect("there is a `kill`").success());
}

#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn read_line(from: &mut impl Read) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, from).read_line(&mut line).expect("it is text");
    line
}

/// A directory for a queue.
pub(crate) struct Queue {
    directory: tempfile::TempDir,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// As it is written on a command line.
    pub(crate) fn name(&self) -> &str {
        self.path().to_str().expect("temporary directories have plain names")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.path().join("ingest/manifest")
    }

    pub(crate) fn batches(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.path().join("ingest")).expect("there is a queue");
        let mut paths: Vec<_> = files.map(|file| file.expect("it is listed").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "batch"));
        paths.sort();
        paths
    }

    /// Each of these becomes a batch.
    pub(crate) fn holding(batches: &[&[u8]]) -> Self {
        let queue = Self::new();
        for batch in batches {
            run(&["produce", queue.name()], batch).expect(0);
        }
        queue
    }

    /// What is left in it.
    pub(crate) fn drain(&self) -> Vec<u8> {
        run(&["consume", self.name()], b"").expect(0).stdout
    }
}
