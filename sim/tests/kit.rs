//! The kit, by databases that are wrong in one way each: every one is found, made small, and called what it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use buffer_sim::Profile;
use buffer_sim::buffer_core::{self, Next, Resume, Sequence};
use buffer_sim::buffer_driver::{ConsumedBatch, ConsumerConfig, ProducerConfig};
use buffer_sim::kit::{
    self, AnyError, Application, AppliedEntry, Failure, Node, Settings, Summary, Violation,
    ViolationKind, World,
};

/// What is wrong with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Nothing,
    /// It notes the sequence after the batch.
    SequenceLater,
    /// It acknowledges, and notes the sequence, before it stores.
    StoresLater,
    /// It does not look whether another life has stored the batch meanwhile.
    NoFence,
    /// It stores the entries of a batch from the last to the first.
    Backwards,
    /// It stores something else.
    Mangles,
    /// It never acknowledges.
    NoAck,
    /// It fails at every batch.
    Fails,
    /// It panics in its second life.
    Panics,
    /// It keeps the time of something outside of its world.
    OutsideTime,
    /// It cannot be read.
    Unreadable,
    /// It acknowledges, and stores in another step.
    AcksFirst,
    /// It acknowledges, and stores at once, with nothing to wait for between the two.
    AcksJustBefore,
}

#[derive(Default)]
struct Disk {
    rows: Vec<AppliedEntry>,
    last: Option<u64>,
}

/// A database on a disk that survives.
struct Database {
    flaw: Flaw,
    disk: Mutex<Disk>,
}

/// What one world leaves to the next, as it must not.
static OUTSIDE: AtomicU64 = AtomicU64::new(0);

impl Database {
    fn with(flaw: Flaw) -> Self {
        Self { flaw, disk: Mutex::default() }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("nobody panics with it")
    }

    async fn store(&self, node: &Node, batch: &ConsumedBatch) -> Result<(), AnyError> {
        let sequence = batch.sequence;
        let mut rows = batch.entries.clone();
        match self.flaw {
            Flaw::Backwards => rows.reverse(),
            Flaw::Mangles => rows.iter_mut().for_each(|it| *it = it.slice(1..)),
            Flaw::Fails => return Err("the disk is full".into()),
            Flaw::Panics if node.number() == 2 => panic!("the second life has had enough"),
            Flaw::OutsideTime => {
                let outside = OUTSIDE.fetch_add(1, Ordering::Relaxed);
                node.sleep(Duration::from_millis(outside)).await;
            }
            Flaw::StoresLater => {
                self.disk().last = Some(sequence);
                node.step().await;
            }
            Flaw::Nothing
            | Flaw::SequenceLater
            | Flaw::NoFence
            | Flaw::NoAck
            | Flaw::Panics
            | Flaw::Unreadable
            | Flaw::AcksFirst
            | Flaw::AcksJustBefore => {}
        }
        let rows = rows.into_iter().map(|entry| AppliedEntry { sequence, entry });
        if self.flaw == Flaw::SequenceLater {
            {
                let mut disk = self.disk();
                if disk.last < Some(sequence) {
                    disk.rows.extend(rows);
                }
            }
            node.step().await;
            self.disk().last = Some(sequence);
        } else {
            let mut disk = self.disk();
            let is_next = disk.last < Some(sequence);
            if is_next || matches!(self.flaw, Flaw::NoFence | Flaw::StoresLater) {
                disk.rows.extend(rows);
                disk.last = Some(sequence);
            }
        }
        Ok(())
    }
}

impl Application for Database {
    async fn run(&self, node: Node) -> Result<(), AnyError> {
        let consumer = node.consumer(&ConsumerConfig::default())?;
        let last = self.disk().last;
        consumer.initialize(last).await?;
        loop {
            let batch = consumer.wait_batch().await?;
            let acks_first = matches!(self.flaw, Flaw::AcksFirst | Flaw::AcksJustBefore);
            if acks_first {
                consumer.ack(batch.sequence).await?;
            }
            if self.flaw == Flaw::AcksFirst {
                node.step().await;
            }
            self.store(&node, &batch).await?;
            if !acks_first && self.flaw != Flaw::NoAck {
                consumer.ack(batch.sequence).await?;
            }
        }
    }

    async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
        if self.flaw == Flaw::Unreadable {
            return Err("the disk is upside down".into());
        }
        Ok(self.disk().rows.clone())
    }
}

fn check(flaw: Flaw) -> Result<Summary, Box<Failure>> {
    // One that does not get on needs no half hour to show it.
    let settings = Settings {
        time_limit: Duration::from_secs(120),
        // What two lives at one time may do is shown by one flaw, and would hide others.
        pauses: flaw == Flaw::NoFence,
        ..Settings::default()
    };
    settings.check(0..300, |_| Database::with(flaw))
}

#[test]
fn a_database_without_a_flaw_passes_everywhere() {
    for profile in [Profile::S3, Profile::AZURE, Profile::GCS, Profile::LOCAL] {
        let settings = Settings { profile, ..Settings::default() };
        let met = settings.check(0..150, |_| Database::with(Flaw::Nothing));
        let met = met.expect("it has no flaw");
        println!("{}: {met}", profile.name);
        assert!(met.crashes > 100 && met.pauses > 20 && met.faults > 100, "{met}");
        assert!(met.resumed > 20, "{met}");
    }
}

#[test]
fn each_flaw_is_found_and_called_what_it_is() {
    use ViolationKind::{
        Foreign, Lost, NotDeterministic, OutOfOrder, Panicked, Repeated, Stuck, Unreadable,
    };
    for (flaw, kind, entries, lives) in [
        (Flaw::SequenceLater, Repeated, 1, 1),
        (Flaw::StoresLater, Lost, 1, 1),
        (Flaw::NoFence, Repeated, 1, 1),
        // Whether two entries are in one batch is the seed's choice.
        (Flaw::Backwards, OutOfOrder, 4, 0),
        (Flaw::Mangles, Foreign, 1, 0),
        (Flaw::NoAck, Stuck, 1, 0),
        (Flaw::Fails, Stuck, 1, 0),
        (Flaw::Panics, Panicked, 1, 1),
        (Flaw::Unreadable, Unreadable, 1, 0),
    ] {
        let failure = check(flaw).expect_err("it is found");
        println!("{flaw:?}: {} in {} tries\n{failure}\n", failure.plan, failure.tried);
        assert_eq!(failure.violation.kind(), kind, "{flaw:?}: {failure}");
        let found = (failure.plan.entries, failure.plan.lives.len(), failure.plan.faults.len());
        assert_eq!(found, (entries, lives, 0), "{flaw:?}: {failure}");
    }
    let failure = check(Flaw::OutsideTime).expect_err("it is found");
    println!("{failure}");
    assert_eq!(failure.violation.kind(), NotDeterministic, "{failure}");
}

/// Goal: only a paused life that goes on beside another shows that a database has no fence.
#[test]
fn a_missing_fence_is_found_by_pauses_alone() {
    let failure = check(Flaw::NoFence).expect_err("it is found");
    assert!(failure.plan.to_string().contains("pause@"), "{failure}");
    let settings = Settings { pauses: false, ..Settings::default() };
    let met =
        settings.check(0..300, |_| Database::with(Flaw::NoFence)).expect("nobody is beside it");
    assert!(met.pauses == 0 && met.crashes > 300, "{met}");
}

#[test]
fn what_is_told_of_a_failure_names_all_that_happened() {
    let failure = check(Flaw::SequenceLater).expect_err("it is found");
    let text = format!("{failure:?}");
    for part in [
        &format!("seed {}: sequence 0: entry \"entry 0\" was applied 2 times", failure.seed),
        "producer: lists sequence 0: \"entry 0\"",
        "consumer 2: takes the queue over, in epoch 2",
        "consumer 1: crashes before step ",
        "consumer 2: starts",
        // The settings are not those that a replay has if it is given none.
        &format!(
            "settings.replay({}, &\"{}\".parse().unwrap(), |_| ...)",
            failure.seed, failure.plan
        ),
        "failure.trace",
    ] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    let Violation::Repeated { times: 2, .. } = failure.violation else {
        panic!("{failure}");
    };
}

/// A consumer without the driver: the core's machine, and code with no async in it between two turns.
struct OnCore(Database);

impl Application for OnCore {
    async fn run(&self, node: Node) -> Result<(), AnyError> {
        let config = buffer_core::ConsumerConfig::default();
        let entropy = node.random("names").u64(..);
        let mut host = node.host(buffer_core::Consumer::new(config, entropy)?);
        let last = self.0.disk().last.map(Sequence);
        let now = host.now();
        host.machine().initialize(now, Resume { last, ..Resume::default() })?;
        while host.machine().epoch().is_none() {
            if let Some(ended) = host.machine().ended() {
                return Err(ended.to_string().into());
            }
            for event in host.turn().await {
                if let buffer_core::ConsumerEvent::InitializeFailed(error) = event {
                    return Err(error.into());
                }
            }
        }
        loop {
            let (since, now) = (host.machine().mark(), host.now());
            match host.machine().next(now, since, true)? {
                Next::Ready(batch) => {
                    let batch = batch.into();
                    self.0.store(&node, &batch).await?;
                    let now = host.now();
                    host.machine().ack(now, Sequence(batch.sequence))?;
                }
                Next::Pending | Next::Empty => drop(host.turn().await),
            }
        }
    }

    async fn applied(&self, node: Node) -> Result<Vec<AppliedEntry>, AnyError> {
        self.0.applied(node).await
    }
}

#[test]
fn a_consumer_on_the_core_alone_is_proved_alike() {
    let met = kit::check(0..300, |_| OnCore(Database::with(Flaw::Nothing)));
    let met = met.expect("it has no flaw");
    println!("{met}");
    assert!(met.crashes > 150, "{met}");
    let failure = kit::check(0..300, |_| OnCore(Database::with(Flaw::SequenceLater)));
    let failure = failure.expect_err("it is found");
    assert_eq!(failure.violation.kind(), ViolationKind::Repeated);
    assert_eq!((failure.plan.entries, failure.plan.lives.len()), (1, 1), "{failure}");
}

/// Goal: queues of other names, and what the closure is given.
#[test]
fn the_queue_lies_where_the_settings_say() {
    struct Elsewhere(Arc<Mutex<Vec<AppliedEntry>>>);

    impl Application for Elsewhere {
        async fn run(&self, node: Node) -> Result<(), AnyError> {
            let config = ConsumerConfig {
                manifest_path: "q/list".to_owned(),
                data_path_prefix: "q/data".to_owned(),
                ..ConsumerConfig::default()
            };
            let consumer = node.consumer(&config)?;
            let last = self.0.lock().expect("it is free").last().map(|row| row.sequence);
            consumer.initialize(last).await?;
            loop {
                let batch = consumer.wait_batch().await?;
                let sequence = batch.sequence;
                {
                    let mut rows = self.0.lock().expect("it is free");
                    if rows.last().is_none_or(|last| last.sequence < sequence) {
                        let entries = batch.entries.into_iter();
                        rows.extend(entries.map(|entry| AppliedEntry { sequence, entry }));
                    }
                }
                consumer.ack(sequence).await?;
            }
        }

        async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
            Ok(self.0.lock().expect("it is free").clone())
        }

        fn entry(&self, number: u64) -> bytes::Bytes {
            vec![0; usize::try_from(number % 3).expect("it is small")].into()
        }
    }

    let producer = ProducerConfig {
        manifest_path: "q/list".to_owned(),
        data_path_prefix: "q/data".to_owned(),
        ..Settings::default().producer
    };
    let settings = Settings { producer, ..Settings::default() };
    let make = |world: &World| {
        assert_eq!(world.store().locations(), []);
        Elsewhere(Arc::default())
    };
    let met = settings.check(0..100, make).expect("alike entries are told apart by their batches");
    assert!(met.entries > 500, "{met}");
}

/// Goal: a crash between an acknowledgement and the commit that should have been before it shows, although a world
/// has fewer entries than are usually acknowledged before the manifest is dequeued.
#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    for flaw in [Flaw::AcksFirst, Flaw::AcksJustBefore] {
        let failure = kit::check(0..200, |_| Database::with(flaw)).expect_err("it is found");
        println!("{flaw:?}: {failure}\n");
        assert_eq!(failure.violation.kind(), ViolationKind::Lost, "{failure}");
        assert!(failure.plan.entries <= 3 && failure.plan.faults.is_empty(), "{failure}");
        let is_pause = |life: &kit::Life| matches!(life.end, kit::End::Pause { .. });
        assert!(matches!(&failure.plan.lives[..], [life] if !is_pause(life)), "{failure}");
        let line = failure.plan.to_string();
        assert!(line.contains(" dequeue=1 "), "{line}");
        assert_eq!(line.parse().as_ref(), Ok(&failure.plan), "{line}");
        let again = kit::replay(failure.seed, &failure.plan, |_| Database::with(flaw));
        assert_eq!(again.expect_err("it is the same world").violation, failure.violation);
    }
}

/// A consumer that ends by itself before it has done anything.
struct EndsAtOnce(Result<(), &'static str>);

impl Application for EndsAtOnce {
    async fn run(&self, _: Node) -> Result<(), AnyError> {
        Ok(self.0?)
    }

    async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
        Ok(Vec::new())
    }
}

#[test]
fn lives_that_are_all_alike_are_told_once() {
    for (ended, line) in [(Ok(()), "ends"), (Err("no"), "ends with an error: no")] {
        let failure = kit::check(0..10, |_| EndsAtOnce(ended)).expect_err("it gets nowhere");
        let text = failure.to_string();
        println!("{text}\n");
        assert_eq!(failure.violation.kind(), ViolationKind::Stuck);
        assert!(text.lines().count() < 40, "{} lines", text.lines().count());
        for part in ["consumer 1: starts", &format!("consumer 1: {line}"), "did the same"] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        assert!(failure.story.len() > 1000, "what is told as data is told in full");
    }
    // One whose disk is full in each life does more in each of them.
    let failure = kit::check(0..10, |_| Database::with(Flaw::Fails)).expect_err("it gets nowhere");
    let text = failure.to_string();
    println!("{text}\n");
    assert!(text.lines().count() < 60, "{} lines:\n{text}", text.lines().count());
    assert!(text.contains("did the same"), "{text}");
}

#[test]
fn a_replay_runs_a_world_twice_as_well() {
    let failure = check(Flaw::OutsideTime).expect_err("it is found");
    assert_eq!(failure.violation.kind(), ViolationKind::NotDeterministic);
    let text = failure.to_string();
    assert!(text.contains("it is not made smaller"), "{text}");
    let again = kit::replay(failure.seed, &failure.plan, |_| Database::with(Flaw::OutsideTime));
    let again = again.expect_err("it goes two ways again");
    assert_eq!(again.violation.kind(), ViolationKind::NotDeterministic);
}

/// A flawed database that tells of what it stores, or does not.
struct Telling {
    database: Database,
    tells: bool,
}

impl Application for Telling {
    async fn run(&self, node: Node) -> Result<(), AnyError> {
        if self.tells {
            node.record(format_args!("stores something"));
        }
        self.database.run(node).await
    }

    async fn applied(&self, node: Node) -> Result<Vec<AppliedEntry>, AnyError> {
        self.database.applied(node).await
    }
}

#[test]
fn a_story_without_the_databases_writes_says_how_they_come_into_it() {
    for tells in [false, true] {
        let make = |_: &World| Telling { database: Database::with(Flaw::SequenceLater), tells };
        let text = kit::check(0..300, make).expect_err("it is found").to_string();
        println!("{text}\n");
        assert_eq!(text.contains("node.record(format_args!("), !tells, "{text}");
        let last = text.lines().last().expect("it has lines");
        assert_eq!(last.contains("node.record(format_args!("), !tells, "{text}");
    }
}

#[test]
#[should_panic(expected = "no seed was given")]
fn a_check_of_no_seed_shows_nothing_and_says_so() {
    let _ = kit::check(0..0, |_| Database::with(Flaw::Nothing));
}

/// A consumer in a loop that gives others their turn, and never waits for anything.
struct Spins;

impl Application for Spins {
    async fn run(&self, node: Node) -> Result<(), AnyError> {
        loop {
            node.step().await;
        }
    }

    async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
        Ok(Vec::new())
    }
}

#[test]
fn a_loop_that_never_waits_is_called_so() {
    let failure = kit::check(0..10, |_| Spins).expect_err("it gets nowhere");
    println!("{failure}");
    let said = failure.violation.to_string();
    assert!(said.starts_with("your code never waits: consumer 1 took "), "{said}");
    assert!(!failure.to_string().contains(".rs:"), "{failure}");
}

/// Goal: a paused life goes on beside another one, and never before that one has begun.
#[test]
fn a_paused_life_goes_on_after_the_next_has_begun() {
    let plan = "entries=3 pause@1+1".parse().expect("it is a plan");
    let failure = kit::replay(5, &plan, |_| Database::with(Flaw::Mangles));
    let story = failure.expect_err("it is wrong").story;
    let at = |part: &str| {
        let found = story.iter().position(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("{part:?} is missing: {story:#?}"))
    };
    assert!(at("consumer 1: stops before step 1") < at("consumer 2: starts"), "{story:#?}");
    assert!(at("consumer 2: starts") < at("consumer 1: goes on"), "{story:#?}");
}

#[test]
fn a_story_has_the_words_of_its_plan() {
    let plan = "entries=1 late@2 slow@3 throttle@4 fail@5 lost@6".parse().expect("it is a plan");
    let failure = kit::replay(5, &plan, |_| Database::with(Flaw::Mangles));
    let story = failure.expect_err("it is wrong").story.join("\n");
    for word in ["late@2", "slow@3", "throttle@4", "fail@5", "lost@6"] {
        assert!(story.contains(word), "{word} is missing:\n{story}");
    }
    assert!(!story.contains("TimedOut") && !story.contains("Delay"), "{story}");
}
