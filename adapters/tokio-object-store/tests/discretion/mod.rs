//! What a store is told in confidence, a service that repeats it, and what was said: for both adapters.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::fmt::{Debug, Display};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use buffer_driver::buffer_core::{Condition, Location};
use buffer_driver::{Store, StoreLocation, StoreOptions};
use tracing_subscriber::filter::LevelFilter;

/// A part of every secret here.
pub(crate) const MARK: &str = "HIDDEN";

/// Everything that was said where somebody may read it.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// What this process logs and what it is shown, at every level, from the first call on.
    pub(crate) fn here() -> Self {
        static SAID: OnceLock<Said> = OnceLock::new();
        let said = SAID.get_or_init(|| {
            let said = Self::default();
            let log = said.clone();
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_ansi(false)
                .with_writer(move || log.clone())
                .init();
            said
        });
        said.clone()
    }

    pub(crate) fn show(&mut self, it: &(impl Debug + Display)) {
        writeln!(self, "{it}\n{it:?}\n{it:#?}").expect("memory can be written");
    }

    pub(crate) fn debug(&mut self, it: &impl Debug) {
        writeln!(self, "{it:?}\n{it:#?}").expect("memory can be written");
    }

    /// An error with all that is behind it.
    pub(crate) fn error(&mut self, error: &(dyn std::error::Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            writeln!(self, "{error}\n{error:?}").expect("memory can be written");
            next = error.source();
        }
    }

    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    pub(crate) fn assert_discreet(&self) {
        let text = self.text();
        let found: Vec<_> = text.lines().filter(|line| line.contains(MARK)).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A service that denies everything, and repeats all that it was sent; gives its URL.
pub(crate) fn indiscreet_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while deny(&stream).is_ok() {});
        }
    });
    url
}

fn deny(stream: &TcpStream) -> io::Result<()> {
    let (mut from, mut head, mut length) = (BufReader::new(stream), String::new(), 0);
    loop {
        let start = head.len();
        if from.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = head[start..].trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        if line.is_empty() {
            break;
        }
    }
    from.read_exact(&mut vec![0; length])?;
    let body = format!("<Error><Code>AccessDenied</Code><Request>{head}</Request></Error>");
    let mut to = stream;
    write!(to, "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A URL and options with secrets in them, for each way to give any.
pub(crate) fn confidential(endpoint: &str) -> Vec<(StoreLocation, StoreOptions)> {
    let with = |url: &str, options: &[(&str, &str)]| {
        let always = [("endpoint", endpoint), ("allow_http", "true")];
        let options = options.iter().chain(&always).copied().collect();
        (StoreLocation::from(url), options)
    };
    let key = format!(
        r#"{{"private_key":"{MARK}","private_key_id":"{MARK}","client_email":"e","disable_oauth":true}}"#
    );
    let account = ("account_name", "account");
    vec![
        with(
            "s3://bucket/p?secret_access_key=HIDDEN%2Fsecret",
            &[("access_key_id", "HIDDENid"), ("session_token", "HIDDEN/to+ken=")],
        ),
        with("az://box/p", &[account, ("account_key", "HIDDENHIDDENHIDDENHIDDEN")]),
        with("az://box/p?sas_token=sv%3D1%26sig%3DHIDDEN%252Fx", &[account]),
        with("az://box/p", &[account, ("sas_token", "?sv=1&sig=HIDDEN%2Fx")]),
        with("gs://bucket/p", &[("service_account_key", &key)]),
    ]
}

/// One request of each kind, all of which fail.
pub(crate) async fn ask_everything(store: &dyn Store, said: &mut Said) {
    let key = Location::from("q/key");
    let failure = store.write(&key, vec!["one".into()], Condition::Absent).await;
    said.debug(&failure.expect_err("it is denied"));
    said.debug(&store.read(&key, None).await.expect_err("it is denied"));
    said.debug(&store.list(&Location::from("q"), None).await.expect_err("it is denied"));
    said.debug(&store.delete(vec![key]).await);
}
