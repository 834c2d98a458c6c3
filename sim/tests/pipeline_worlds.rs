//! The pipeline in random worlds: sinks that fail, hang, are slow or refuse what they get, and processes that crash.
//!
//! Besides what the kit looks at in the end, a witness sees every version of the queue's manifest: what has left the
//! queue by then must be in the database, or be listed in the queue for poison.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buffer_sim::Applied;
use buffer_sim::buffer_core::format::{Manifest, decode_batch};
use buffer_sim::buffer_core::{Location, Sequence};
use buffer_sim::buffer_driver::{
    ConsumedBatch, ConsumerConfig, Ended, Pipeline, PipelineConfig, PipelineError, Poison,
    ProducerConfig, SinkError,
};
use buffer_sim::bytes::Bytes;
use buffer_sim::kit::{
    self, AnyError, Application, AppliedEntry, Node, Summary, ViolationKind, World,
};

const QUEUE: &str = "ingest/manifest";
const QUARANTINE: &str = "poison/manifest";

/// What is wrong with a sink.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// It does not look at which batches it has.
    DoesNotLook,
    /// It says that a batch is stored, and stores it later.
    StoresLater,
}

/// What the sinks of all worlds met.
#[derive(Default)]
struct Met {
    timed_out: AtomicU64,
    quarantined: AtomicU64,
    fenced: AtomicU64,
    stored_before: AtomicU64,
}

impl Met {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn show(&self, worlds: &Summary) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "{worlds}; {} hung, {} quarantined, {} fenced, {} stored before",
            of(&self.timed_out),
            of(&self.quarantined),
            of(&self.fenced),
            of(&self.stored_before)
        );
        for counter in [&self.timed_out, &self.quarantined, &self.fenced, &self.stored_before] {
            assert!(of(counter) > 20, "what never happens shows nothing");
        }
    }
}

/// A database that takes several batches at a time, and has its moods.
struct Moody {
    mistake: Mistake,
    /// How often a batch fails before it is poison.
    max_attempts: Option<u32>,
    rows: Arc<Mutex<BTreeMap<u64, Vec<Bytes>>>>,
    repeated: Mutex<Vec<AppliedEntry>>,
    witness: Arc<Mutex<Witness>>,
    met: Arc<Met>,
}

impl Moody {
    fn new(world: &World, mistake: Mistake, max_attempts: Option<u32>, met: &Arc<Met>) -> Self {
        let rows: Arc<Mutex<BTreeMap<u64, Vec<Bytes>>>> = Arc::default();
        let witness: Arc<Mutex<Witness>> = Arc::default();
        let (seen, stored) = (Arc::clone(&witness), Arc::clone(&rows));
        world.store().observe(move |applied| {
            let stored = stored.lock().expect("nobody panics with it");
            seen.lock().expect("nobody panics with it").see(applied, &stored);
        });
        let met = Arc::clone(met);
        Self { mistake, max_attempts, rows, repeated: Mutex::default(), witness, met }
    }

    async fn store(
        self: &Arc<Self>,
        node: &Node,
        mood: u64,
        batch: &ConsumedBatch,
    ) -> Result<(), SinkError> {
        let (number, mood) = (mood / 10, mood % 10);
        node.sleep(Duration::from_millis(number)).await;
        let is_refused = batch.entries.iter().any(|entry| entry.ends_with(b"5"));
        match mood {
            0 => return Err(SinkError::failed("it is not in the mood")),
            1 => {
                Met::count(&self.met.timed_out);
                pending().await
            }
            _ if is_refused => return Err(SinkError::poison("it takes no fives")),
            _ => {}
        }
        if self.mistake == Mistake::StoresLater {
            let (database, batch) = (Arc::clone(self), batch.clone());
            let later = node.clone();
            drop(node.start(async move {
                later.sleep(Duration::from_secs(3)).await;
                database.insert(&batch);
            }));
            return Ok(());
        }
        self.insert(batch);
        // It has it, and does not say so.
        if mood == 2 { Err(SinkError::failed("the answer was lost")) } else { Ok(()) }
    }

    fn insert(&self, batch: &ConsumedBatch) {
        let mut rows = self.rows.lock().expect("nobody panics with it");
        let Some(before) = rows.insert(batch.sequence, batch.entries.clone()) else { return };
        Met::count(&self.met.stored_before);
        if self.mistake == Mistake::DoesNotLook {
            let again =
                before.into_iter().map(|entry| AppliedEntry { sequence: batch.sequence, entry });
            self.repeated.lock().expect("nobody panics with it").extend(again);
        }
    }
}

/// One database, which all lives share.
struct Shared(Arc<Moody>);

impl Application for Shared {
    async fn run(&self, node: Node) -> Result<(), AnyError> {
        let consumer = node.consumer(&ConsumerConfig::default())?;
        let quarantine = node.producer(&ProducerConfig {
            data_path_prefix: "poison".into(),
            manifest_path: QUARANTINE.into(),
            ..ProducerConfig::default()
        })?;
        consumer.initialize(None).await?;
        let moods = Mutex::new(node.random("moods"));
        let (database, life) = (&self.0, &node);
        let sink = |batch: Arc<ConsumedBatch>| {
            let mood = moods.lock().expect("nobody panics with it").u64(..1000);
            async move { database.store(life, mood, &batch).await }
        };
        let config = PipelineConfig {
            attempt_timeout: Duration::from_secs(1),
            max_attempts: database.max_attempts,
            ..PipelineConfig::default()
        };
        let pipeline = Pipeline::new(&consumer, config).on_poison(Poison::Quarantine(&quarantine));
        let result = pipeline.run(&sink, pending()).await;
        if let Err(PipelineError::Ended(Ended::Fenced { .. })) = result {
            Met::count(&database.met.fenced);
        }
        result?;
        Ok(())
    }

    /// What is in the database or in quarantine: several batches at a time are in no order but that of their sequences.
    async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
        let rows = self.0.rows.lock().expect("nobody panics with it");
        let witness = self.0.witness.lock().expect("nobody panics with it");
        if let Some(early) = &witness.early {
            return Err(early.clone().into());
        }
        let mut found = self.0.repeated.lock().expect("nobody panics with it").clone();
        for (&sequence, entries) in &witness.listed {
            let in_quarantine = entries.iter().all(|entry| witness.in_quarantine.contains(entry));
            if !rows.contains_key(&sequence) && in_quarantine {
                Met::count(&self.0.met.quarantined);
                let entries = entries.iter().cloned();
                found.extend(entries.map(|entry| AppliedEntry { sequence, entry }));
            }
        }
        for (&sequence, entries) in &*rows {
            let entries = entries.iter().cloned();
            found.extend(entries.map(|entry| AppliedEntry { sequence, entry }));
        }
        found.sort_by_key(|row| row.sequence);
        Ok(found)
    }
}

/// Sees what is stored, and what leaves the queue too early.
#[derive(Default)]
struct Witness {
    uploaded: BTreeMap<Location, Vec<Bytes>>,
    /// What was ever listed in the queue.
    listed: BTreeMap<u64, Vec<Bytes>>,
    locations: BTreeSet<Location>,
    /// Repeats that version 1 of the format has: a consumer may drop them.
    again: BTreeSet<u64>,
    in_quarantine: BTreeSet<Bytes>,
    first: u64,
    early: Option<String>,
}

impl Witness {
    fn see(&mut self, applied: &Applied, stored: &BTreeMap<u64, Vec<Bytes>>) {
        let Some(written) = applied.written() else { return };
        let location = &applied.location;
        if location.as_str().ends_with(".batch") {
            let entries = decode_batch(location, &written.bytes, usize::MAX).expect("it is whole");
            self.uploaded.insert(location.clone(), entries);
        } else {
            let manifest = Manifest::parse(location, written.bytes.clone()).expect("it is whole");
            match location.as_str() {
                QUEUE => self.see_queue(&manifest, stored),
                QUARANTINE => self.see_quarantine(&manifest),
                other => panic!("nobody writes {other}"),
            }
        }
    }

    fn see_queue(&mut self, manifest: &Manifest, stored: &BTreeMap<u64, Vec<Bytes>>) {
        let next = self.listed.last_key_value().map_or(0, |(sequence, _)| sequence + 1);
        for (sequence, location) in manifest.locations_from(Sequence(next)) {
            self.listed.insert(sequence.0, self.uploaded[&location].clone());
            if !self.locations.insert(location) {
                self.again.insert(sequence.0);
            }
        }
        for sequence in self.first..manifest.first_sequence().0 {
            let is_quarantined =
                self.listed[&sequence].iter().all(|entry| self.in_quarantine.contains(entry));
            if !stored.contains_key(&sequence) && !is_quarantined && !self.again.contains(&sequence)
            {
                self.early.get_or_insert_with(|| {
                    format!("sequence {sequence} left the queue before it was anywhere else")
                });
            }
        }
        self.first = manifest.first_sequence().0;
    }

    fn see_quarantine(&mut self, manifest: &Manifest) {
        for (_, location) in manifest.locations_from(manifest.first_sequence()) {
            self.in_quarantine.extend(self.uploaded[&location].iter().cloned());
        }
    }
}

fn check(
    seeds: std::ops::Range<u64>,
    mistake: Mistake,
    max_attempts: Option<u32>,
) -> (Result<Summary, Box<kit::Failure>>, Arc<Met>) {
    let met: Arc<Met> = Arc::default();
    let result =
        kit::check(seeds, |world| Shared(Arc::new(Moody::new(world, mistake, max_attempts, &met))));
    (result, met)
}

#[test]
fn a_sink_with_moods_gets_every_batch_and_none_leaves_the_queue_before() {
    let (worlds, met) = check(0..400, Mistake::None, None);
    let worlds = worlds.expect("every entry is in effect once");
    met.show(&worlds);
    assert!(worlds.crashes > 200 && worlds.resumed > 20, "{worlds}");
}

/// Here also what failed twice, and may be stored for all that, goes into quarantine.
#[test]
fn what_fails_too_often_is_in_quarantine_before_it_leaves_the_queue() {
    let (worlds, met) = check(0..400, Mistake::None, Some(2));
    let worlds = worlds.expect("every entry is in effect");
    met.show(&worlds);
    assert!(worlds.crashes > 200 && worlds.resumed > 20, "{worlds}");
}

/// Goal: the worlds above would find batches that are stored twice.
#[test]
fn a_sink_that_does_not_look_what_it_has_is_found_out() {
    let failure = check(0..50, Mistake::DoesNotLook, None).0.expect_err("it stores twice");
    assert_eq!(failure.violation.kind(), ViolationKind::Repeated);
}

/// Goal: the worlds above would find acknowledgements that come before their batch is stored.
#[test]
fn a_sink_that_speaks_too_soon_is_found_out() {
    let failure = check(0..50, Mistake::StoresLater, None).0.expect_err("it stores too late");
    let text = failure.violation.to_string();
    assert!(text.contains("left the queue before it was anywhere else"), "{text}");
}
