//! The SQLite example, whose processes are killed or put to sleep.
//!
//! What the processes run is the example's own code. Producers and the consumer are killed with SIGKILL at random
//! moments: whatever a producer was told is durable must be in the database once, what it was not told at most
//! once, and each producer's lines in order. Two consumers that are wrong show that these tests can fail.
//!
//! The moments come from a seed, which is printed: `BUFFER_KILL_SEED=N cargo test --test sqlite_kills` repeats it.

#[path = "../examples/sqlite.rs"]
#[allow(dead_code, reason = "not all of the example is for tests")]
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use buffer::buffer_core::format::Manifest;
use buffer::{ConsumedBatch, Consumer, ConsumerConfig, Producer, ProducerConfig, SystemClock};
use bytes::Bytes;
use rusqlite::Connection;

const ROUNDS: u64 = 100;
/// How long a consumer that is wrong takes between two transactions, as on a disk that is slow to sync.
const SLOW_SYNC: Duration = Duration::from_millis(5);

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Where a child finds its things, as the parent told it.
#[derive(Clone)]
struct Post {
    directory: PathBuf,
    /// Tells the lines of this life from all others'.
    name: String,
}

impl Post {
    fn of_this_child(role: &str) -> Option<Self> {
        let value = |name: &str| std::env::var(format!("BUFFER_KILLS_{name}")).ok();
        (value("ROLE")? == role).then_some(())?;
        Some(Self { directory: value("DIRECTORY")?.into(), name: value("NAME")? })
    }

    fn start(&self, role: &str) -> Process {
        let child = Command::new(std::env::current_exe().expect("this test is a program"))
            .args(["--exact", &format!("child_{role}"), "--nocapture", "--test-threads=1"])
            .env("BUFFER_KILLS_ROLE", role)
            .env("BUFFER_KILLS_DIRECTORY", &self.directory)
            .env("BUFFER_KILLS_NAME", &self.name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(appending(&self.directory.join("errors"))))
            .spawn();
        Process(child.expect("this test can be started again"))
    }

    fn queue(&self) -> PathBuf {
        self.directory.join("queue")
    }

    fn database(&self) -> PathBuf {
        self.directory.join("entries.db")
    }

    /// Lines that a producer was told are durable.
    fn told(&self) -> PathBuf {
        self.directory.join("told")
    }

    /// The sequence that a consumer which is wrong is about to store.
    fn in_hand(&self) -> PathBuf {
        self.directory.join("in_hand")
    }

    fn consumer_config(&self) -> ConsumerConfig {
        ConsumerConfig {
            store: self.queue().into(),
            dequeue_acks: 3,
            dequeue_interval: Duration::from_millis(20),
            poll_interval: Duration::from_millis(5),
            ..ConsumerConfig::default()
        }
    }

    /// A producer that makes a batch of at most so many lines.
    fn producer(&self, max_buffered_inputs: usize) -> Producer {
        let config = ProducerConfig {
            store: self.queue().into(),
            flush_interval: Duration::from_millis(5),
            max_buffered_inputs,
            ..ProducerConfig::default()
        };
        Producer::new(config, Arc::new(SystemClock)).expect("the configuration is valid")
    }
}

/// A child, which does not outlive the test.
struct Process(Child);

impl Process {
    /// Kills it. One that ended before is an error: none of them should.
    fn kill(&mut self) -> Result<(), String> {
        let ended = self.0.try_wait().expect("it is ours");
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it is ours");
        ended.map_or(Ok(()), |status| Err(format!("a process ended by itself: {status}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn appending(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("the file can be opened")
}

/// Not a test by itself: the body of the producers that are killed.
#[tokio::test]
async fn child_producer() -> Outcome {
    let Some(post) = Post::of_this_child("producer") else { return Ok(()) };
    let producer = post.producer(16);
    let told = Arc::new(Mutex::new(appending(&post.told())));
    for number in 0_u64.. {
        let line = format!("{}-{number}", post.name);
        let handle = producer.produce(vec![Bytes::from(line.clone())], Bytes::new()).await?;
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            handle.watcher.await_durable().await.expect("the disk is well");
            let mut told = told.lock().expect("nobody panics with it");
            told.write_all(format!("{line}\n").as_bytes()).expect("a line can be written");
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Not a test by itself: the example, as the consumers that are killed run it.
#[tokio::test(flavor = "multi_thread")]
async fn child_consumer() -> Outcome {
    let Some(post) = Post::of_this_child("consumer") else { return Ok(()) };
    sqlite::consume(post.consumer_config(), &post.database(), false).await
}

/// Not a test by itself: the example with a mistake, the sequence in a transaction of its own.
#[tokio::test(flavor = "multi_thread")]
async fn child_in_two_transactions() -> Outcome {
    let Some(post) = Post::of_this_child("in_two_transactions") else { return Ok(()) };
    consume_wrongly(&post, |database, batch| {
        let transaction = database.transaction()?;
        sqlite::insert(&transaction, batch)?;
        transaction.commit()?;
        sleep(SLOW_SYNC);
        store_sequence(database, batch)
    })
    .await
}

/// Not a test by itself: the example with a mistake, no look at what is stored already.
#[tokio::test(flavor = "multi_thread")]
async fn child_without_a_look() -> Outcome {
    let Some(post) = Post::of_this_child("without_a_look") else { return Ok(()) };
    consume_wrongly(&post, |database, batch| {
        fs::write(post.in_hand(), batch.sequence.to_string())?;
        let transaction = database.transaction()?;
        sqlite::insert(&transaction, batch)?;
        store_sequence(&transaction, batch)?;
        transaction.commit()?;
        Ok(())
    })
    .await
}

fn store_sequence(database: &Connection, batch: &ConsumedBatch) -> Outcome {
    let sequence = i64::try_from(batch.sequence)?;
    database
        .execute("INSERT OR REPLACE INTO consumed (row, sequence) VALUES (1, ?1)", [sequence])?;
    Ok(())
}

/// What the example does, but for how it stores a batch.
async fn consume_wrongly(
    post: &Post,
    store: impl Fn(&mut Connection, &ConsumedBatch) -> Outcome,
) -> Outcome {
    let mut database = sqlite::open(&post.database())?;
    let consumer = Consumer::new(post.consumer_config(), Arc::new(SystemClock))?;
    sqlite::take_over(&consumer, &database).await?;
    loop {
        let batch = consumer.wait_batch().await?;
        tokio::task::block_in_place(|| store(&mut database, &batch))?;
        consumer.ack(batch.sequence).await?;
    }
}

/// Reads what is new in a database, and says what is wrong with it.
#[derive(Default)]
struct Audit {
    read_to: i64,
    /// The number that comes next, of each producer's life.
    next_of: BTreeMap<String, u64>,
    lines: BTreeSet<String>,
}

impl Audit {
    fn read(&mut self, post: &Post) -> Result<(), String> {
        let database = sqlite::open(&post.database()).expect("it can be opened");
        let mut select = database
            .prepare("SELECT id, entry FROM entries WHERE id > ?1 ORDER BY id")
            .expect("there is such a table");
        let mut rows = select.query([self.read_to]).expect("it can be read");
        while let Some(row) = rows.next().expect("it can be read") {
            self.read_to = row.get(0).expect("a number");
            let entry: Vec<u8> = row.get(1).expect("bytes");
            self.take(String::from_utf8(entry).expect("producers write text"))?;
        }
        Ok(())
    }

    fn take(&mut self, line: String) -> Result<(), String> {
        let (life, number) = line.rsplit_once('-').expect("a life and a number");
        let number: u64 = number.parse().expect("a number");
        let next = self.next_of.entry(life.to_owned()).or_default();
        if number > *next {
            return Err(format!("{line} comes before {life}-{next}"));
        }
        *next += 1;
        if self.lines.contains(&line) {
            return Err(format!("{line} is stored twice"));
        }
        self.lines.insert(line);
        Ok(())
    }

    /// Whether everything is there that should be; the number of lines that should.
    fn compare(&self, post: &Post) -> Result<usize, String> {
        let text = fs::read_to_string(post.told()).unwrap_or_default();
        // A process that was killed may have left a part of a line at the end.
        let told = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let (mut count, mut lost) = (0, Vec::new());
        for line in told {
            count += 1;
            if !self.lines.contains(line) {
                lost.push(line);
            }
        }
        match lost.first() {
            None => Ok(count),
            Some(first) => {
                Err(format!("{first} and {} more were durable and are not stored", lost.len() - 1))
            }
        }
    }
}

/// What a hundred rounds came to.
#[derive(Debug, Default)]
struct Tally {
    producers_killed: u64,
    consumers_killed: u64,
    /// Kills of consumers after which the queue still listed what was stored.
    killed_before_dequeue: u64,
    told: usize,
    stored: usize,
}

/// Processes that are running, and the chance that ends them.
struct Battle {
    directory: tempfile::TempDir,
    random: fastrand::Rng,
    consumer_role: &'static str,
    lives: u64,
    audit: Audit,
    tally: Tally,
}

impl Battle {
    fn new(seed: u64, consumer_role: &'static str) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory can be made"),
            random: fastrand::Rng::with_seed(seed),
            consumer_role,
            lives: 0,
            audit: Audit::default(),
            tally: Tally::default(),
        }
    }

    fn post(&self, name: String) -> Post {
        Post { directory: self.directory.path().to_owned(), name }
    }

    fn start(&mut self, role: &str) -> Process {
        self.lives += 1;
        self.post(format!("life{}", self.lives)).start(role)
    }

    fn rest(&mut self, millis: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.random.u64(millis)));
    }

    /// A hundred rounds; says what is wrong, and since when.
    fn fight(mut self) -> Result<Tally, String> {
        self.rounds().map_err(|wrong| {
            let errors = fs::read_to_string(self.directory.path().join("errors"));
            format!("{wrong}{}", errors.unwrap_or_default())
        })?;
        self.finish()
    }

    fn rounds(&mut self) -> Result<(), String> {
        let mut producers = [self.start("producer"), self.start("producer")];
        let mut consumer = self.start(self.consumer_role);
        for round in 0..ROUNDS {
            let in_round = |wrong| format!("round {round}: {wrong}");
            self.rest(40..200);
            // One of three is spared; a consumer that goes on meets producers that come back, and the other way round.
            let spared = self.random.u8(..3);
            if spared != 0 {
                let which = self.random.usize(..producers.len());
                producers[which].kill().map_err(in_round)?;
                producers[which] = self.start("producer");
                self.tally.producers_killed += 1;
                self.rest(0..30);
            }
            if spared != 1 {
                consumer.kill().map_err(in_round)?;
                self.examine().map_err(in_round)?;
                consumer = self.start(self.consumer_role);
            }
        }
        Ok(())
    }

    /// What a consumer left that was just killed.
    fn examine(&mut self) -> Result<(), String> {
        self.tally.consumers_killed += 1;
        let post = self.post(String::new());
        self.audit.read(&post)?;
        let Some(manifest) = read_manifest(&post) else { return Ok(()) };
        if !manifest.is_empty() && Some(manifest.first_sequence().0) <= stored_through(&post) {
            self.tally.killed_before_dequeue += 1;
        }
        Ok(())
    }

    /// Stores what is left, and looks at all of it.
    fn finish(mut self) -> Result<Tally, String> {
        let post = self.post(String::new());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        runtime
            .block_on(sqlite::consume(post.consumer_config(), &post.database(), true))
            .map_err(|error| error.to_string())?;
        self.audit.read(&post)?;
        self.tally.told = self.audit.compare(&post)?;
        self.tally.stored = self.audit.lines.len();
        Ok(self.tally)
    }
}

fn stored_through(post: &Post) -> Option<u64> {
    let database = sqlite::open(&post.database()).expect("it can be opened");
    let row = database.query_row("SELECT sequence FROM consumed", [], |row| row.get::<_, i64>(0));
    row.ok().and_then(|sequence| sequence.try_into().ok())
}

/// `None` before there is one.
fn read_manifest(post: &Post) -> Option<Manifest> {
    let bytes = fs::read(post.queue().join("ingest/manifest")).ok()?;
    Some(Manifest::parse(&"ingest/manifest".into(), bytes.into()).expect("it is whole"))
}

fn seed() -> u64 {
    let seed = std::env::var("BUFFER_KILL_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("BUFFER_KILL_SEED is a number"),
    );
    println!("BUFFER_KILL_SEED={seed}");
    seed
}

#[test]
fn a_hundred_rounds_of_kills_leave_each_line_once() {
    let tally = Battle::new(seed(), "consumer").fight().unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{tally:?}");
    assert!(tally.producers_killed > 30 && tally.consumers_killed > 30, "{tally:?}");
    assert!(tally.killed_before_dequeue > 5, "no kill would have made a difference: {tally:?}");
    assert!(tally.told > 500, "the producers got something done: {tally:?}");
}

/// Goal: the rounds above would find a database whose sequence comes in a second transaction.
#[test]
fn a_sequence_in_a_second_transaction_does_not_survive_the_kills() {
    let wrong = Battle::new(seed(), "in_two_transactions").fight().expect_err("it is wrong");
    println!("{wrong}");
    assert!(wrong.contains(" is stored twice"), "{wrong}");
}

/// Lines in the queue of a consumer before it falls asleep, and all in all; each is a batch.
#[cfg(unix)]
const LINES: (u64, u64) = (10, 40);

/// One consumer falls asleep with a batch in its hands, another stores all that is left, and the first wakes up.
#[cfg(unix)]
fn sleep_through_a_replacement(role: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let post = Post { directory: directory.path().to_owned(), name: String::new() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let produce = |lines: std::ops::Range<u64>| {
        runtime.block_on(async {
            let producer = post.producer(1);
            for number in lines {
                let line = Bytes::from(format!("life0-{number}"));
                producer.produce(vec![line], Bytes::new()).await.expect("the disk is well");
            }
            producer.close().await.expect("the disk is well");
        });
    };
    produce(0..LINES.0);
    // Here, because two who make the database at one time are in each other's way.
    let database = sqlite::open(&post.database()).expect("it can be made");
    let mut sleeper = post.start(role);
    until("it has stored and dequeued what there is", || {
        stored_through(&post) == Some(LINES.0 - 1)
            && read_manifest(&post).is_some_and(|manifest| manifest.is_empty())
    });

    // From here on it can store nothing, and has nothing to dequeue: it holds no lock when it falls asleep.
    database.execute_batch("BEGIN IMMEDIATE").expect("nobody holds it for long");
    produce(LINES.0..LINES.1);
    match role {
        "without_a_look" => until("it has a batch in its hands", || {
            fs::read_to_string(post.in_hand()).is_ok_and(|text| text == LINES.0.to_string())
        }),
        // The example does not say so. If it is slower than that, the test is easier for it.
        _ => sleep(Duration::from_secs(1)),
    }
    signal(&sleeper, "STOP");
    until("it is asleep", || is_asleep(&sleeper));
    database.execute_batch("ROLLBACK").expect("it was begun");
    drop(database);
    assert_eq!(stored_through(&post), Some(LINES.0 - 1));

    runtime
        .block_on(sqlite::consume(post.consumer_config(), &post.database(), true))
        .map_err(|error| error.to_string())?;
    assert_eq!(stored_through(&post), Some(LINES.1 - 1));
    signal(&sleeper, "CONT");
    until("it sees that it was replaced", || {
        sleeper.0.try_wait().expect("it is ours").is_some_and(|status| !status.success())
    });

    let mut audit = Audit::default();
    audit.read(&post)?;
    assert_eq!(audit.lines.len() as u64, LINES.1);
    Ok(())
}

/// Whether all threads of a process have stopped.
#[cfg(target_os = "linux")]
fn is_asleep(process: &Process) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", process.0.id())).expect("it is ours");
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the program's name, which is in parentheses.
        status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// Whether a process has stopped, as far as waiting tells.
#[cfg(all(unix, not(target_os = "linux")))]
fn is_asleep(_: &Process) -> bool {
    sleep(Duration::from_millis(500));
    true
}

#[cfg(unix)]
fn signal(process: &Process, name: &str) {
    let status = Command::new("kill").args(["-s", name, &process.0.id().to_string()]).status();
    assert!(status.expect("there is a `kill`").success());
}

#[cfg(unix)]
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(120), "waited in vain until {what}");
        sleep(Duration::from_millis(1));
    }
}

#[cfg(unix)]
#[test]
fn a_consumer_that_slept_through_its_replacement_stores_nothing_twice() {
    sleep_through_a_replacement("consumer").unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Goal: the test above would find a database that does not look at what it has.
#[cfg(unix)]
#[test]
fn a_consumer_that_does_not_look_at_what_is_stored_stores_it_again_when_it_wakes_up() {
    let wrong = sleep_through_a_replacement("without_a_look").expect_err("it is wrong");
    assert!(wrong.contains(" is stored twice"), "{wrong}");
}
