//! What a store is told in confidence is never said again: not by errors, logs, `Debug` or `Display`.
#![cfg(all(feature = "aws", feature = "azure", feature = "gcp"))]

use std::fmt::{Debug, Display};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use buffer::buffer_core::{Condition, Location};
use buffer::{
    CloudStore, ConfigError, Consumer, ConsumerConfig, Producer, ProducerConfig, Runtime, Store,
    StoreLocation, StoreOptions, SystemClock, TokioRuntime, open_store,
};
use tracing_subscriber::filter::LevelFilter;

/// A part of every secret here.
const MARK: &str = "HIDDEN";

/// Everything that was said where somebody may read it.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// What this process logs and what it is shown, at every level, from the first call on.
    fn here() -> Self {
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

    fn show(&mut self, it: &(impl Debug + Display)) {
        writeln!(self, "{it}\n{it:?}\n{it:#?}").expect("memory can be written");
    }

    fn debug(&mut self, it: &impl Debug) {
        writeln!(self, "{it:?}\n{it:#?}").expect("memory can be written");
    }

    /// An error with all that is behind it.
    fn error(&mut self, error: &(dyn std::error::Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            writeln!(self, "{error}\n{error:?}").expect("memory can be written");
            next = error.source();
        }
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    fn assert_discreet(&self) {
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
fn indiscreet_service() -> String {
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
fn confidential(endpoint: &str) -> Vec<(StoreLocation, StoreOptions)> {
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

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock)
}

#[tokio::test]
async fn whatever_happens_to_a_store_its_secrets_are_not_said() {
    let mut said = Said::here();
    // Nobody listens at the second one.
    for endpoint in [indiscreet_service(), "http://127.0.0.1:9".to_owned()] {
        for (store, store_options) in confidential(&endpoint) {
            said.show(&store);
            said.debug(&store_options);
            let producer = ProducerConfig {
                store: store.clone(),
                store_options: store_options.clone(),
                flush_interval: Duration::from_millis(1),
                delivery_timeout: Duration::from_millis(200),
                ..ProducerConfig::default()
            };
            said.debug(&producer);
            let producer = Producer::new(producer, clock()).expect("nothing is asked yet");
            let handle = producer.produce(vec!["one".into()], "two".into()).await;
            let handle = handle.expect("there is room");
            let failed = handle.watcher.await_durable().await.expect_err("it is denied");
            said.error(&failed);
            said.debug(&handle);
            said.debug(&producer);
            said.debug(&producer.close().await);

            let consumer = ConsumerConfig {
                store: store.clone(),
                store_options: store_options.clone(),
                retry_timeout: Duration::from_millis(200),
                ..ConsumerConfig::default()
            };
            said.debug(&consumer);
            let consumer = Consumer::new(consumer, clock()).expect("nothing is asked yet");
            said.error(&consumer.initialize(None).await.expect_err("it is denied"));
            said.debug(&consumer);

            let runtime: Arc<dyn Runtime> =
                Arc::new(TokioRuntime::current().expect("inside tokio"));
            let opened = open_store(&store, &store_options, &runtime).expect("it can be opened");
            said.show(&opened);
            ask_everything(&*opened, &mut said).await;
        }
    }
    said.assert_discreet();
    let text = said.text();
    for proof in ["AccessDenied", "TRACE", "***", "s3://bucket/p", "127.0.0.1:9"] {
        assert!(text.contains(proof), "{proof} was not said, so this shows nothing");
    }
}

async fn ask_everything(store: &dyn Store, said: &mut Said) {
    let key = Location::from("q/key");
    let failure = store.write(&key, vec!["one".into()], Condition::Absent).await;
    said.debug(&failure.expect_err("it is denied"));
    said.debug(&store.read(&key, None).await.expect_err("it is denied"));
    said.debug(&store.list(&Location::from("q"), None).await.expect_err("it is denied"));
    said.debug(&store.delete(vec![key]).await);
}

#[tokio::test]
async fn what_cannot_be_opened_does_not_say_what_it_was_told() {
    let mut said = Said::here();
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current().expect("inside tokio"));
    for (url, options) in [
        ("s3://id:HIDDEN@bucket", vec![]),
        ("s3://bucket?HIDDEN", vec![]),
        ("s3://bucket#HIDDEN", vec![]),
        ("https://id:HIDDEN@host/dav?token=HIDDEN", vec![]),
        ("ftp://id:HIDDEN@host", vec![]),
        ("s3://bucket?secret_acess_key=HIDDEN", vec![]),
        ("s3://bucket", vec![("secret", "HIDDEN")]),
        ("s3://bucket", vec![("HIDDEN/and/a/key", "")]),
        ("s3://bucket", vec![("access_key_id", "HIDDEN")]),
        ("s3://bucket", vec![("allow_http", "HIDDEN")]),
        ("s3://bucket", vec![("endpoint", "https://id:HIDDEN@host")]),
        ("s3://bucket", vec![("endpoint", "HIDDEN")]),
        ("s3://bucket", vec![("account_key", "HIDDEN")]),
        ("az://box", vec![("account_key", "HIDDEN")]),
        ("az://box", vec![("account_name", "a"), ("account_key", "HIDDEN is no base64")]),
        ("az://box", vec![("account_name", "a"), ("sas_token", "HIDDEN")]),
        ("gs://bucket", vec![("service_account_key", "HIDDEN")]),
        ("gs://bucket", vec![("service_account_key", r#"{"private_key":["HIDDEN"]}"#)]),
        (".data", vec![("access_key_id", "HIDDEN")]),
        ("memory:x?token=HIDDEN", vec![]),
    ] {
        let options = StoreOptions::from_iter(options);
        let location = StoreLocation::from(url);
        said.show(&location);
        said.debug(&options);
        let error = open_store(&location, &options, &runtime).map(|_| ()).expect_err(url);
        said.error(&error);
        let Err(again) = Producer::new(
            ProducerConfig { store: location, store_options: options, ..ProducerConfig::default() },
            clock(),
        ) else {
            panic!("{url} was opened")
        };
        said.show(&again);
    }
    said.assert_discreet();
}

#[tokio::test]
async fn a_client_is_not_shown_by_what_holds_it() {
    let mut said = Said::here();
    let client = object_store::azure::MicrosoftAzureBuilder::new()
        .with_account("account")
        .with_container_name("box")
        .with_sas_authorization(vec![("sig".to_owned(), "HIDDEN".to_owned())]);
    let client: Arc<dyn object_store::ObjectStore> = Arc::new({
        // Installs what a client needs for encryption.
        let cloud = CloudStore::parse("s3://b", &StoreOptions::new(), &|_| None);
        said.show(&buffer::open_cloud_store(cloud.expect("it is sound")).expect("it opens"));
        client.build().expect("it is sound")
    });
    said.show(&buffer::ObjectStoreAdapter::new(Arc::clone(&client)).expect("it can swap"));
    let producer = Producer::with_object_store(ProducerConfig::default(), client, clock());
    said.debug(&producer.expect("it can swap"));
    said.assert_discreet();
}

#[test]
fn without_a_runtime_nothing_is_said_either() {
    let mut said = Said::here();
    let (store, store_options) = confidential("http://127.0.0.1:9").remove(0);
    let config = ProducerConfig { store, store_options, ..ProducerConfig::default() };
    let error = Producer::new(config, clock()).expect_err("there is no runtime");
    assert!(matches!(error, ConfigError::NoRuntime { .. }), "{error}");
    said.error(&error);
    said.assert_discreet();
}
