//! What the commands do on a terminal that they do not do on a pipe.

#![cfg(all(feature = "cli", target_os = "linux"))]

mod cli_support;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use cli_support::{Queue, cli, run, signal, until, wait};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Both ends of a new terminal: the one that a person sits at, and the one of the command.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there is a terminal");
    grantpt(&ours).expect("it is ours");
    unlockpt(&ours).expect("it is ours");
    let name = ptsname(&ours, Vec::new()).expect("it has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let theirs = rustix::fs::open(name, flags, Mode::empty()).expect("it can be opened");
    (File::from(ours), File::from(theirs))
}

/// A queue whose first batch of two is gone.
fn damaged() -> Queue {
    let queue = Queue::holding(&[b"one\n"]);
    std::fs::remove_file(&queue.batches()[0]).expect("it is there");
    run(&["produce", queue.name()], b"two\n").expect(0);
    queue
}

/// Runs `consume --skip 0` with somebody at a terminal who answers this.
fn skip(queue: &Queue, answer: &str) -> Child {
    let (mut person, terminal) = terminal();
    let saved = queue.path().join("saved");
    let saved = saved.to_str().expect("a plain name");
    let args = ["consume", queue.name(), "--skip", "0", "--reason", "a test", "--save-to", saved];
    let mut command = cli(&args);
    command.stdin(terminal).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary is there");
    person.write_all(answer.as_bytes()).expect("it takes an answer");
    // The terminal has to stay until the answer was read.
    thread::spawn(move || {
        let mut rest = Vec::new();
        person.read_to_end(&mut rest)
    });
    child
}

#[test]
fn who_says_yes_skips() {
    let queue = damaged();
    let ran = wait(skip(&queue, "y\n")).expect(0);
    assert_eq!(ran.text(), "two\n");
    assert!(ran.stderr.contains("is lost. Skip it? [y/N]"), "{}", ran.stderr);
    assert!(queue.path().join("saved/skipped.json").is_file());
    assert_eq!(queue.drain(), b"", "both are dequeued");
}

#[test]
fn who_says_anything_else_skips_nothing_and_fences_nobody() {
    for answer in ["n\n", "\n", "yesterday\n"] {
        let queue = damaged();
        let before = std::fs::read(queue.manifest()).expect("it is there");
        let ran = wait(skip(&queue, answer)).expect(1);
        assert!(ran.stderr.ends_with("[y/N] error: nothing was skipped\n"), "{}", ran.stderr);
        assert_eq!(ran.text(), "");
        assert!(queue.path().join("saved/skipped.json").is_file(), "it was saved first");
        assert_eq!(std::fs::read(queue.manifest()).expect("it is there"), before);
    }
}

/// What comes out of a terminal, piece by piece.
fn shown(mut terminal: File) -> Receiver<String> {
    let (send, pieces) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            if send.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    pieces
}

/// Goal: on a terminal, each status takes the place of the one before, and lags grow although nothing changes.
#[test]
fn a_status_that_is_watched_is_replaced_in_place() {
    let queue = Queue::holding(&[b"one\n"]);
    let (person, terminal) = terminal();
    let mut command = cli(&["status", queue.name(), "--watch", "--interval", "50ms"]);
    command.stdin(Stdio::null()).stdout(terminal).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary is there");
    drop(command);
    let pieces = shown(person);
    let mut screen = String::new();
    let mut sees = |what: &str| {
        let what = what.to_owned();
        until(&what.clone(), || {
            screen.extend(pieces.recv_timeout(Duration::from_millis(1)));
            screen.contains(&what)
        });
    };
    // Six lines: the store, the epoch, the sequences, the depth, the lag and the manifest.
    sees("depth      1 batch\r\n");
    sees("\x1b[6A\x1b[J");
    run(&["produce", queue.name()], b"two\n").expect(0);
    sees("depth      2 batches\r\n");
    let lags = screen.lines().filter(|line| line.starts_with("lag "));
    assert!(lags.collect::<std::collections::BTreeSet<_>>().len() > 1, "{screen}");
    signal(&child, "INT");
    wait(child).expect(130);
}
