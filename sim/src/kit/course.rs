//! The course of one world: producers, one life of a consumer after the other, and what is left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buffer_core::{Location, Sequence};
use bytes::Bytes;
use futures_lite::future;

use super::application::{AnyError, Application};
use super::log::Endless;
use super::node::{Node, Paused};
use super::oracle::Oracle;
use super::plan::{LATE, Plan};
use super::settings::Settings;
use super::summary::Summary;
use super::violation::Violation;
use super::world::{MOST_STEPS, World};
use crate::{Applied, Change, FaultGuard, Verdict, guard};

/// What a world came to.
pub(super) struct Outcome {
    pub(super) violation: Option<Violation>,
    pub(super) summary: Summary,
    /// What happened, in short.
    pub(super) story: Vec<String>,
    /// Whether that shows anything of what the database did.
    pub(super) sees_database: bool,
    /// Everything that happened, if lines were asked for.
    pub(super) trace: Vec<String>,
    pub(super) hash: u64,
}

/// Runs one world to its end.
pub(super) fn run<A: Application>(
    settings: &Settings,
    seed: u64,
    plan: &Plan,
    keeps_lines: bool,
    make: &impl Fn(&World) -> A,
) -> Outcome {
    let world = World::with_lines(seed, settings, keeps_lines);
    let ended = guard::catch(&format!("seed {seed}"), || {
        let course = Course::new(&world, settings, plan, make(&world));
        world.runtime().block_on(course.run())
    });
    let violation = match ended {
        Ok(violation) => {
            // What panicked is left as it lies.
            let violation = violation.err();
            world.runtime().shutdown();
            violation
        }
        Err(panic) => Some(match world.log().endless() {
            Some(Endless { who, steps }) => Violation::Endless { who, steps },
            None if world.runtime().steps() > MOST_STEPS => {
                let within = world.runtime().elapsed();
                let what = format!(
                    "there is no end: more than {MOST_STEPS} steps in {within:?} of virtual time"
                );
                Violation::Panicked { what }
            }
            None => Violation::Panicked { what: panic.to_string() },
        }),
    };
    let (log, runtime) = (world.log(), world.runtime());
    log.count(|met| (met.worlds, met.requests) = (1, world.store().counts().requests()));
    Outcome {
        violation,
        summary: log.met(),
        story: log.lines(),
        sees_database: log.sees_database(),
        trace: runtime.trace(),
        hash: runtime.trace_hash(),
    }
}

struct Course<A> {
    world: World,
    settings: Settings,
    plan: Plan,
    application: Arc<A>,
    oracle: Oracle,
    manifest: Location,
    /// Everything is submitted and settled.
    is_submitted: Arc<AtomicBool>,
    /// What is durable, as the producer's caller was told.
    durable: Arc<Mutex<Vec<Bytes>>>,
}

/// How a life went.
enum Went {
    Crashed,
    /// For so long, once the next life has begun.
    Paused(Duration),
    Ended(Result<(), AnyError>),
    /// All is consumed.
    Done,
    /// It is not, and there is no more time.
    TooLate,
}

/// How long everything is left alone at the end: late requests and lives that were paused may still do harm.
const LINGER: Duration = Duration::from_secs(10);

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(500);

impl<A: Application> Course<A> {
    fn new(world: &World, settings: &Settings, plan: &Plan, application: A) -> Self {
        let manifest = Location::from(settings.producer.manifest_path.as_str());
        let log = world.log().clone();
        let oracle = Oracle::watch_and_tell(world.store(), &manifest, move |by, event| {
            log.add_by(by, format_args!("{event}"));
        });
        tell_of_objects(world, manifest.clone());
        Self {
            world: world.clone(),
            settings: settings.clone(),
            plan: plan.clone(),
            application: Arc::new(application),
            oracle,
            manifest,
            is_submitted: Arc::default(),
            durable: Arc::default(),
        }
    }

    fn node(&self, name: &str, number: u32) -> Node {
        self.world.numbered_node(name, number, self.plan.dequeues_at_once)
    }

    async fn run(&self) -> Result<(), Violation> {
        let faults = self.begin_faults();
        self.start_producer();
        let stuck = self.consume().await.err();
        self.world.runtime().sleep(LINGER).await;
        drop(faults);
        let applied = self.read_database().await?;
        let durable = self.durable.lock().expect("nobody panicked with it").clone();
        match (self.oracle.check(&applied), stuck) {
            // What is still in the queue is not lost: it had no time to get so far.
            (Err(Violation::Lost { sequence, .. }), Some(stuck)) if sequence >= self.left().1.0 => {
                return Err(stuck);
            }
            (Err(violation), _) => return Err(violation),
            (Ok(()), stuck) => stuck.map_or(Ok(()), Err)?,
        }
        self.world.log().count(|met| met.entries += applied.len() as u64);
        self.oracle.check_durable(&durable)
    }

    fn begin_faults(&self) -> FaultGuard {
        let (faults, log) = (self.plan.faults.clone(), self.world.log().clone());
        self.world.store().fault(move |request| {
            match faults.iter().find(|fault| fault.request == request.number) {
                None => Verdict::Pass,
                Some(fault) => {
                    let verdict = fault.kind.verdict(request);
                    let words = request.words();
                    log.add_by(Some(request.process), format_args!("{words} meets {fault}"));
                    log.count(|met| met.faults += 1);
                    verdict
                }
            }
        })
    }

    fn start_producer(&self) {
        let node = self.node("producer", 0);
        let producer = node.producer(&self.settings.producer);
        let entries: Vec<Bytes> =
            (0..self.plan.entries).map(|number| self.application.entry(number)).collect();
        let (mut random, own) = (self.world.random("producer"), node.clone());
        let (is_submitted, durable) = (Arc::clone(&self.is_submitted), Arc::clone(&self.durable));
        let work = node.start(async move {
            let producer = producer.expect("the settings' configuration of producers can work");
            let mut watched = Vec::new();
            for entry in entries {
                let handle = producer.produce(vec![entry.clone()], Bytes::new()).await;
                watched.push((entry, handle.expect("there is room for a few entries").watcher));
                own.sleep(Duration::from_millis(random.u64(0..300))).await;
            }
            for (entry, watcher) in watched {
                if watcher.await_durable().await.is_ok() {
                    durable.lock().expect("nobody panicked with it").push(entry);
                }
            }
            // What failed was told by the watchers.
            drop(producer.close().await);
            is_submitted.store(true, Ordering::Relaxed);
        });
        drop(work);
    }

    /// One life after the other, until everything is consumed.
    async fn consume(&self) -> Result<(), Violation> {
        let mut random = self.world.random("consumers");
        let mut lives = self.plan.lives.iter();
        let (mut nodes, mut last_error) = (Vec::<Node>::new(), None);
        let mut paused: Option<(Node, Duration)> = None;
        let went = loop {
            let number = u32::try_from(nodes.len() + 1).expect("time ends before that");
            let node = self.node(&format!("consumer {number}"), number);
            let stopped = lives.next().map(|life| node.doom(life));
            node.tell(format_args!("starts"));
            self.world.log().count(|met| met.lives += 1);
            nodes.push(node.clone());
            if let Some((before, pause)) = paused.take() {
                before.resume_after(pause);
            }
            match self.live(&node, stopped).await {
                Went::Crashed => {}
                Went::Paused(pause) => paused = Some((node, pause)),
                Went::Ended(Ok(())) => {
                    node.tell(format_args!("ends"));
                    node.process().crash();
                }
                Went::Ended(Err(error)) => {
                    node.tell(format_args!("ends with an error: {error}"));
                    self.world.log().count(|met| met.errors += 1);
                    last_error = Some(error.to_string());
                    node.process().crash();
                }
                went @ (Went::Done | Went::TooLate) => break went,
            }
            let rest = Duration::from_millis(random.u64(100..2000));
            self.world.runtime().sleep(rest).await;
        };
        nodes.iter().for_each(Node::set_last);
        // One that was paused may go on only now.
        while self.has_paused() {
            self.world.runtime().sleep(LOOK).await;
        }
        self.world.runtime().sleep(LINGER).await;
        nodes.iter().for_each(|node| node.process().crash());
        match went {
            Went::TooLate => Err(self.stuck(last_error)),
            Went::Crashed | Went::Paused(_) | Went::Ended(_) | Went::Done => Ok(()),
        }
    }

    async fn live(&self, node: &Node, paused: Option<Paused>) -> Went {
        let (application, own) = (Arc::clone(&self.application), node.clone());
        let run = node.start(async move { application.run(own).await });
        let ended = async {
            match run.await {
                None => Went::Crashed,
                Some(result) => Went::Ended(result),
            }
        };
        let stopped = async {
            if let Some(paused) = paused
                && let Some(pause) = paused.await
            {
                return Went::Paused(pause);
            }
            future::pending().await
        };
        let over = async {
            loop {
                if self.world.runtime().elapsed() > self.settings.time_limit {
                    return Went::TooLate;
                }
                let is_submitted = self.is_submitted.load(Ordering::Relaxed);
                if is_submitted && self.left().0 == 0 {
                    return Went::Done;
                }
                self.world.runtime().sleep(LOOK).await;
            }
        };
        future::or(future::or(ended, stopped), over).await
    }

    fn has_paused(&self) -> bool {
        let met = self.world.log().met();
        met.pauses > met.resumed
    }

    /// How many batches are listed, and the first of them.
    fn left(&self) -> (u64, Sequence) {
        let manifest = self.world.store().manifest(&self.manifest);
        (manifest.len(), manifest.first_sequence())
    }

    fn stuck(&self, error: Option<String>) -> Violation {
        let (batches, sequence) = self.left();
        let minutes = self.settings.time_limit.as_secs() / 60;
        Violation::Stuck { sequence: sequence.0, batches, minutes, error }
    }

    /// Opens the database afresh, as after a crash, and asks what it has.
    async fn read_database(&self) -> Result<Vec<super::AppliedEntry>, Violation> {
        let node = self.node("reader", u32::MAX);
        let (application, own) = (Arc::clone(&self.application), node.clone());
        let applied = node.start(async move { application.applied(own).await });
        let late = async {
            self.world.runtime().sleep(self.settings.time_limit).await;
            Some(Err("it is not read within the time limit".into()))
        };
        let applied = future::or(applied, late).await;
        node.process().crash();
        match applied {
            Some(Ok(applied)) => Ok(applied),
            Some(Err(error)) => Err(Violation::Unreadable { error: error.to_string() }),
            None => Err(Violation::Unreadable { error: "its reader crashed".to_owned() }),
        }
    }
}

/// Tells of objects that are not the queue's: they are the database's.
fn tell_of_objects(world: &World, manifest: Location) {
    let log = world.log().clone();
    world.store().observe(move |applied| {
        let Applied { location, change, request, .. } = applied;
        if *location == manifest || location.as_str().ends_with(".batch") {
            return;
        }
        let done = match change {
            Change::Written(_) => "writes",
            Change::Deleted => "deletes",
        };
        let by = request.map(|request| request.process);
        log.see_database();
        log.add_by(by, format_args!("{done} {location}"));
    });
}

const _: () = assert!(LINGER.as_secs() > LATE.as_secs(), "what is late has come by the end");
