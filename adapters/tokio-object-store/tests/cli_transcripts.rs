//! Runs the transcripts of the command line: what each command prints, and how it ends.

#![cfg(all(feature = "cli", unix))]

mod console;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread;

use console::{blocks, check};

/// Runs a transcript, with these variables.
fn transcript(name: &str, variables: &[(&str, &str)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let text = std::fs::read_to_string(path).expect("the transcript is there");
    let program = Path::new(env!("CARGO_BIN_EXE_opendata-buffer"));
    let programs = program.parent().expect("a program lies in a directory");
    let mut blocks = blocks(&text, "console");
    assert!(!blocks.is_empty(), "{name} shows something");
    let set = variables.iter().map(|(name, value)| format!("export {name}={value}\n"));
    let set: String = set.collect();
    for block in &mut blocks {
        block.script.insert_str(0, &set);
    }
    let wrong: Vec<String> =
        blocks.iter().filter_map(|block| check(name, block, programs).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn status() {
    transcript("status.md", &[]);
}

#[test]
fn tail() {
    transcript("tail.md", &[]);
}

#[test]
fn inspect_batch() {
    transcript("inspect.md", &[]);
}

#[test]
fn verify() {
    transcript("verify.md", &[]);
}

#[test]
fn gc() {
    transcript("gc.md", &[]);
}

#[test]
fn manifest_diff() {
    transcript("diff.md", &[]);
}

#[test]
fn consume_skip() {
    transcript("skip.md", &[]);
}

#[test]
fn config_show() {
    transcript("config.md", &[]);
}

#[test]
fn completions_and_man() {
    transcript("manual.md", &[]);
}

#[test]
fn all_of_them_beside_a_consumer() {
    transcript("beside.md", &[]);
}

#[test]
fn what_goes_wrong_alike() {
    let url = start_denying();
    transcript("wrong.md", &[("DENYING", &url)]);
}

/// A server that answers every request as S3 does who may not.
fn start_denying() -> String {
    const BODY: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("it listens");
            // No request here has a body, so that its head is all of it.
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let length = BODY.len();
            // Who hangs up has not wanted to know.
            let _ = write!(
                stream,
                "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{BODY}"
            );
        }
    });
    url
}
