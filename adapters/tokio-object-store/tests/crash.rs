//! Processes that are killed, on a local directory.
//!
//! Two producers and a consumer run as processes of their own and are killed
//! with SIGKILL at random moments, fifty rounds long. Whatever a producer had
//! reported durable must be in the consumer's database once, and nothing may be
//! there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use buffer::buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
};
use buffer::{
    Consumer, ConsumerConfig, Producer, ProducerConfig, Runtime, Store, StoreClient, StoreFailure,
    StoreLocation, StoreOptions, SystemClock, TokioRuntime, open_store,
};
use bytes::Bytes;

const ROUNDS: usize = 50;
/// How long a producer lingers between its uploads and the swap that lists them.
const LINGER: Duration = Duration::from_millis(25);

/// What a child was doing when it died; it notes each step before it takes it.
const IDLE: &str = "before anything";
const UPLOADING: &str = "after an upload began";
const BETWEEN: &str = "between upload and swap";
const SWAPPING: &str = "in a swap";
const SWAPPED: &str = "after a swap";
const READING: &str = "after a read began";

/// A store that notes what it is doing in a file, and lingers before each swap.
#[derive(Debug)]
struct Noted {
    inner: Arc<dyn Store>,
    note: Mutex<File>,
    linger: Duration,
    /// A swap is about to be sent: what else happens meanwhile is between its uploads and it.
    lingers: AtomicBool,
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Noted {
    fn note(&self, step: &str) {
        let step = if self.lingers.load(Ordering::Relaxed) { BETWEEN } else { step };
        let mut note = self.note.lock().expect("nobody panics with it");
        note.write_all(format!("{step}\n").as_bytes()).expect("a line can be written");
    }
}

impl StoreClient for Noted {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        if location.as_str().ends_with(".batch") {
            self.note(UPLOADING);
            return self.inner.write(&location, payload, condition).await;
        }
        self.lingers.store(true, Ordering::Relaxed);
        self.note(BETWEEN);
        tokio::time::sleep(self.linger).await;
        self.lingers.store(false, Ordering::Relaxed);
        self.note(SWAPPING);
        let result = self.inner.write(&location, payload, condition).await;
        self.note(SWAPPED);
        result
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.note(READING);
        self.inner.read(&location, unless).await
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.inner.list(&prefix, after).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.inner.delete(locations).await
    }
}

/// Where a child finds its things, as the parent told it.
struct Post {
    queue: PathBuf,
    /// Lines that survive the child: what was reported, or the database.
    log: PathBuf,
    /// What the child was doing last.
    note: PathBuf,
    /// Tells the entries of this child from all others'.
    name: String,
}

impl Post {
    fn of_this_child(role: &str) -> Option<Self> {
        let value = |name: &str| std::env::var(format!("BUFFER_CRASH_{name}")).ok();
        (value("ROLE")? == role).then_some(())?;
        Some(Self {
            queue: value("QUEUE")?.into(),
            log: value("LOG")?.into(),
            note: value("NOTE")?.into(),
            name: value("NAME")?,
        })
    }

    fn start(&self, role: &str) -> Child {
        let mut child = Command::new(std::env::current_exe().expect("this test is a program"));
        child
            .args(["--exact", &format!("child_{role}"), "--nocapture", "--test-threads=1"])
            .env("BUFFER_CRASH_ROLE", role)
            .env("BUFFER_CRASH_QUEUE", &self.queue)
            .env("BUFFER_CRASH_LOG", &self.log)
            .env("BUFFER_CRASH_NOTE", &self.note)
            .env("BUFFER_CRASH_NAME", &self.name)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        child.spawn().expect("this test can be started again")
    }

    fn store(&self, linger: Duration) -> Arc<dyn Store> {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current().expect("inside tokio"));
        let queue = StoreLocation::Directory(self.queue.clone());
        let inner = open_store(&queue, &StoreOptions::new(), &runtime)
            .expect("the directory can be opened");
        let note = Mutex::new(appending(&self.note));
        Arc::new(Noted { inner, note, linger, lingers: AtomicBool::new(false) })
    }
}

fn appending(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("the file can be opened")
}

/// Whole lines only: a process that died may have left a part of one.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// Not a test by itself: the body of the processes that are killed.
#[tokio::test]
async fn child_producer() {
    let Some(post) = Post::of_this_child("producer") else { return };
    let config = ProducerConfig {
        flush_interval: Duration::from_millis(5),
        max_buffered_inputs: 16,
        ..ProducerConfig::default()
    };
    let producer = Producer::with_store(config, post.store(LINGER), Arc::new(SystemClock))
        .expect("the configuration is valid");
    let log = Arc::new(Mutex::new(appending(&post.log)));
    for number in 0_u64.. {
        let entry = format!("{}-{number}", post.name);
        let entries = vec![Bytes::from(entry.clone())];
        let handle = producer.produce(entries, Bytes::new()).await.expect("the disk is well");
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            handle.watcher.await_durable().await.expect("the disk is well");
            let mut log = log.lock().expect("nobody panics with it");
            log.write_all(format!("{entry}\n").as_bytes()).expect("a line can be written");
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Not a test by itself: the body of the processes that are killed.
#[tokio::test]
async fn child_consumer() {
    let Some(post) = Post::of_this_child("consumer") else { return };
    consume(&post, false).await;
}

/// Stores each batch and its sequence together, as one line, and goes on after the last one stored.
async fn consume(post: &Post, until_empty: bool) {
    let config = ConsumerConfig {
        dequeue_acks: 3,
        dequeue_interval: Duration::from_millis(20),
        poll_interval: Duration::from_millis(5),
        ..ConsumerConfig::default()
    };
    let store = post.store(Duration::from_millis(2));
    let consumer = Consumer::with_store(config, store, Arc::new(SystemClock))
        .expect("the configuration is valid");
    let last = lines(&post.log).last().map(|line| {
        let (sequence, _) = line.split_once(' ').expect("a sequence, then entries");
        sequence.parse().expect("a sequence")
    });
    consumer.initialize(last).await.expect("the queue goes with its database");
    let mut database = repaired(&post.log);
    loop {
        let batch = if until_empty {
            match consumer.next_batch().await.expect("the disk is well") {
                Some(batch) => batch,
                None => break,
            }
        } else {
            consumer.wait_batch().await.expect("the disk is well")
        };
        let entries: Vec<_> =
            batch.entries.iter().map(|entry| String::from_utf8_lossy(entry)).collect();
        let row = format!("{} {}\n", batch.sequence, entries.join(","));
        database.write_all(row.as_bytes()).expect("a row can be written");
        consumer.ack(batch.sequence).await.expect("it was just handed out");
    }
    consumer.close().await.expect("the disk is well");
}

/// Opens the database, without the part of a row that a killed process may have left.
fn repaired(path: &Path) -> File {
    let file = appending(path);
    let whole = lines(path).iter().map(|line| line.len() as u64 + 1).sum();
    file.set_len(whole).expect("the file can be cut");
    file
}

fn millis(random: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

/// Goal: no kill loses what was reported durable, or makes the database repeat anything.
#[test]
fn killed_processes_lose_and_repeat_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let post = |kind: &str, name: String| Post {
        queue: directory.path().join("queue"),
        log: directory.path().join(kind),
        note: directory.path().join(format!("note-{name}")),
        name,
    };
    let mut histogram: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut kill = |role: &str, post: &Post, mut child: Child| {
        let status = child.try_wait().expect("it is ours");
        assert!(status.is_none(), "{role} {} ended by itself: {status:?}", post.name);
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        let step = lines(&post.note).pop().unwrap_or_else(|| IDLE.to_owned());
        *histogram.entry((role.to_owned(), step)).or_default() += 1;
    };
    let start = |role: &str, post: Post| {
        let child = post.start(role);
        (post, child)
    };
    let mut steady = start("producer", post("reported", "steady".to_owned()));
    let mut consumer = start("consumer", post("database", "consumer".to_owned()));
    for round in 0..ROUNDS {
        let producer = start("producer", post("reported", format!("p{round}")));
        sleep(millis(&mut random, 60..200));
        kill("producer", &producer.0, producer.1);
        if round % 5 == 4 {
            kill("producer", &steady.0, steady.1);
            steady = start("producer", post("reported", format!("steady{round}")));
        }
        sleep(millis(&mut random, 0..40));
        kill("consumer", &consumer.0, consumer.1);
        consumer = start("consumer", post("database", format!("consumer{round}")));
    }
    kill("producer", &steady.0, steady.1);
    kill("consumer", &consumer.0, consumer.1);
    for ((role, step), count) in &histogram {
        println!("{count:4} {role}s killed {step}");
    }
    let between = histogram.get(&("producer".to_owned(), BETWEEN.to_owned()));
    assert!(between.is_some_and(|count| *count >= 10), "too few kills hit the gap");

    let last = post("database", "last".to_owned());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(consume(&last, true));
    verify(&directory.path().join("reported"), &last.log);
}

fn verify(reported: &Path, database: &Path) {
    let reported: BTreeSet<String> = lines(reported).into_iter().collect();
    let mut stored = BTreeSet::new();
    let mut sequences = BTreeSet::new();
    let mut next_of: BTreeMap<String, u64> = BTreeMap::new();
    for row in lines(database) {
        let (sequence, entries) = row.split_once(' ').expect("a sequence, then entries");
        assert!(sequences.insert(sequence.to_owned()), "sequence {sequence} twice");
        for entry in entries.split(',') {
            assert!(stored.insert(entry.to_owned()), "{entry} twice");
            let (name, number) = entry.rsplit_once('-').expect("a name and a number");
            let number: u64 = number.parse().expect("a number");
            let next = next_of.entry(name.to_owned()).or_default();
            assert_eq!(number, *next, "{name} out of order, or with a gap");
            *next += 1;
        }
    }
    let lost: Vec<_> = reported.difference(&stored).collect();
    println!(
        "{} entries reported durable, {} stored, in {} batches",
        reported.len(),
        stored.len(),
        sequences.len()
    );
    assert!(lost.is_empty(), "reported durable and lost: {lost:?}");
    assert!(reported.len() > 1000, "the producers got something done");
}
