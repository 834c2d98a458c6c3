//! The pipeline, situation by situation: sinks that fail, hang or are slow, poison, and a consumer that is fenced.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buffer_sim::Verdict;
use buffer_sim::buffer_core::Sequence;
use buffer_sim::buffer_driver::{
    ConsumedBatch, Consumer, ConsumerConfig, Ended, NextError, Pipeline, PipelineConfig,
    PipelineError, Poison, Producer, ProducerConfig, Runtime, SinkError, StoreErrorKind,
};
use buffer_sim::kit::{AnyError, Node, Settings, World};

/// A world with a queue that has batches of one entry each: its number.
struct Queue {
    world: World,
    producer: Producer,
}

impl Queue {
    fn new() -> Self {
        let world = World::new(1, &Settings::default());
        let config = ProducerConfig { max_buffered_inputs: 1, ..ProducerConfig::default() };
        let producer = world.node("producer").producer(&config).expect("it is valid");
        Self { world, producer }
    }

    fn run<T>(&self, body: impl Future<Output = Result<T, AnyError>>) -> T {
        self.world.runtime().block_on(body).expect("it goes well")
    }

    async fn fill(&self, batches: u64) -> Result<(), AnyError> {
        for number in 0..batches {
            self.producer.produce(vec![number.to_string().into()], "note".into()).await?;
        }
        Ok(self.producer.flush().await?)
    }

    /// A consumer that dequeues at once.
    async fn consumer(&self, node: &Node) -> Result<Consumer, AnyError> {
        let config = ConsumerConfig { dequeue_acks: 1, ..ConsumerConfig::default() };
        let consumer = node.consumer(&config)?;
        consumer.initialize(None).await?;
        Ok(consumer)
    }
}

/// What a sink was given and what it has.
#[derive(Default)]
struct Seen {
    begun: Mutex<Vec<u64>>,
    stored: Mutex<BTreeSet<u64>>,
    busy: AtomicUsize,
    busiest: AtomicUsize,
}

impl Seen {
    fn begin(&self, sequence: u64) -> Busy<'_> {
        self.begun.lock().expect("nobody panics with it").push(sequence);
        let busy = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
        self.busiest.fetch_max(busy, Ordering::Relaxed);
        Busy(self)
    }

    fn store(&self, sequence: u64) {
        self.stored.lock().expect("nobody panics with it").insert(sequence);
    }

    fn attempts(&self, sequence: u64) -> usize {
        let begun = self.begun.lock().expect("nobody panics with it");
        begun.iter().filter(|of| **of == sequence).count()
    }

    fn stored(&self) -> Vec<u64> {
        self.stored.lock().expect("nobody panics with it").iter().copied().collect()
    }

    fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
}

/// A call of the sink, until it ends or is dropped.
struct Busy<'a>(&'a Seen);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn workers_store_at_the_same_time_and_no_more_than_there_are() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(20).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let (seen, life) = (&Seen::default(), &node);
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            life.sleep(Duration::from_secs(1)).await;
            seen.store(batch.sequence);
            Ok(())
        };
        let config = PipelineConfig { workers: 5, ..PipelineConfig::default() };
        let stats = Pipeline::new(&consumer, config)
            .run(&sink, life.sleep(Duration::from_millis(4500)))
            .await?;
        assert_eq!(seen.busiest.load(Ordering::Relaxed), 5);
        assert_eq!(seen.stored(), (0..20).collect::<Vec<_>>(), "five a second");
        assert_eq!((stats.stored, stats.unfinished), (20, 0));
        assert_eq!(consumer.stats().acks, 20);
        Ok(())
    });
}

#[test]
fn a_batch_that_fails_holds_back_acknowledgements_and_not_the_batches_behind_it() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(30).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let seen = &Seen::default();
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            if batch.sequence == 3 {
                return Err(SinkError::failed("not this one"));
            }
            seen.store(batch.sequence);
            Ok(())
        };
        let config = PipelineConfig {
            workers: 2,
            max_unacknowledged: 10,
            drain_timeout: Duration::from_secs(1),
            ..PipelineConfig::default()
        };
        let pipeline = Pipeline::new(&consumer, config);
        let stats = pipeline.run(&sink, node.sleep(Duration::from_secs(10))).await?;
        // Of ten that are taken from 3 on, all but 3 are stored; after that nothing more is taken.
        assert_eq!(seen.stored(), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!((stats.stored, stats.unfinished), (12, 10));
        assert_eq!(consumer.stats().acks, 3);
        // 100 ms, doubled each time, and half of it by chance: 0.1, 0.2, 0.4, ... 6.4 s.
        assert!((6..=9).contains(&seen.attempts(3)), "{} attempts", seen.attempts(3));
        Ok(())
    });
}

#[test]
fn one_worker_stores_in_order() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(20).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let (seen, moods) = (&Seen::default(), &Mutex::new(node.random("moods")));
        let stored = &Mutex::new(Vec::new());
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            if moods.lock().expect("nobody panics with it").bool() {
                return Err(SinkError::failed("it is not in the mood"));
            }
            stored.lock().expect("nobody panics with it").push(batch.sequence);
            Ok(())
        };
        let config = PipelineConfig { workers: 1, ..PipelineConfig::default() };
        let stats = Pipeline::new(&consumer, config)
            .run(&sink, node.sleep(Duration::from_secs(600)))
            .await?;
        let stored = stored.lock().expect("nobody panics with it").clone();
        assert_eq!(stored, (0..20).collect::<Vec<_>>());
        assert!(seen.begun.lock().expect("nobody panics with it").len() > 25, "some failed");
        assert_eq!((stats.stored, consumer.stats().acks), (20, 20));
        Ok(())
    });
}

#[test]
fn retries_come_further_and_further_apart_up_to_a_limit_and_not_at_the_same_time() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(2).await?;
        let node = &queue.world.node("consumer");
        let consumer = queue.consumer(node).await?;
        let attempts = &Mutex::new([Vec::new(), Vec::new()]);
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let now = node.monotonic().since_origin().as_millis();
            attempts.lock().expect("nobody panics with it")[batch.sequence as usize].push(now);
            Err(SinkError::failed("not this one"))
        };
        let config = PipelineConfig {
            retry_delay: Duration::from_millis(1000),
            retry_delay_max: Duration::from_secs(5),
            drain_timeout: Duration::ZERO,
            ..PipelineConfig::default()
        };
        Pipeline::new(&consumer, config).run(&sink, node.sleep(Duration::from_secs(30))).await?;
        let attempts = attempts.lock().expect("nobody panics with it").clone();
        for times in &attempts {
            let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
            for (gap, most) in
                gaps.zip([1000, 2000, 4000].into_iter().chain(std::iter::repeat(5000)))
            {
                assert!((most / 2..=most + 1).contains(&gap), "{gap} of {most} in {times:?}");
            }
            assert!((6..=16).contains(&times.len()), "{times:?}");
        }
        assert_ne!(attempts[0][1..], attempts[1][1..], "chance has its part");
        Ok(())
    });
}

#[test]
fn a_call_that_hangs_is_dropped_and_its_batch_is_tried_again() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(3).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let seen = &Seen::default();
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            if batch.sequence == 1 && seen.attempts(1) < 3 {
                pending::<()>().await;
            }
            seen.store(batch.sequence);
            Ok(())
        };
        let pipeline = Pipeline::new(&consumer, PipelineConfig::default());
        let stats = pipeline.run(&sink, node.sleep(Duration::from_secs(200))).await?;
        assert_eq!((stats.stored, seen.attempts(1), seen.busy()), (3, 3, 0));
        assert_eq!(consumer.stats().acks, 3);
        Ok(())
    });
}

/// A sink that takes no batch whose sequence can be divided by five.
async fn refuse_fives(seen: &Seen, batch: Arc<ConsumedBatch>) -> Result<(), SinkError> {
    let _busy = seen.begin(batch.sequence);
    if batch.sequence.is_multiple_of(5) {
        return Err(SinkError::poison("it can be divided by five"));
    }
    seen.store(batch.sequence);
    Ok(())
}

#[test]
fn poison_goes_to_another_queue_and_everything_else_goes_on() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(12).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let quarantine = quarantine(&node)?;
        let seen = &Seen::default();
        let sink = |batch| refuse_fives(seen, batch);
        let stats = Pipeline::new(&consumer, PipelineConfig::default())
            .on_poison(Poison::Quarantine(&quarantine))
            .run(&sink, node.sleep(Duration::from_secs(10)))
            .await?;
        assert_eq!(seen.stored(), [1, 2, 3, 4, 6, 7, 8, 9, 11]);
        assert_eq!((stats.stored, stats.quarantined, stats.unfinished), (9, 3, 0));
        assert_eq!(consumer.stats().acks, 12);
        assert_eq!(seen.attempts(5), 1, "what is poison is not tried again");

        let config = ConsumerConfig {
            data_path_prefix: "poison".into(),
            manifest_path: "poison/manifest".into(),
            ..ConsumerConfig::default()
        };
        let reader = queue.world.node("reader").consumer(&config)?;
        reader.initialize(None).await?;
        let (mut entries, mut notes) = (Vec::new(), BTreeSet::new());
        while let Some(batch) = reader.next_batch().await? {
            entries.extend(batch.entries);
            notes.extend(batch.metadata.into_iter().map(|item| item.payload));
        }
        entries.sort();
        assert_eq!(entries, ["0", "10", "5"]);
        assert_eq!(notes.into_iter().collect::<Vec<_>>(), ["note"]);
        Ok(())
    });
}

/// A producer for poison.
fn quarantine(node: &Node) -> Result<Producer, AnyError> {
    let config = ProducerConfig {
        data_path_prefix: "poison".into(),
        manifest_path: "poison/manifest".into(),
        ..ProducerConfig::default()
    };
    Ok(node.producer(&config)?)
}

#[test]
fn poison_that_is_not_yet_durable_elsewhere_is_not_acknowledged() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(4).await?;
        let node = &queue.world.node("consumer");
        let consumer = &queue.consumer(node).await?;
        let quarantine = quarantine(node)?;
        let broken = queue.world.store().fault(|request| {
            if request.location.as_str() == "poison/manifest" {
                Verdict::Fail(StoreErrorKind::Transient)
            } else {
                Verdict::Pass
            }
        });
        let seen = &Seen::default();
        let sink = |batch| refuse_fives(seen, batch);
        let stop = async {
            // Longer than `delivery_timeout`: what was not delivered is submitted again.
            node.sleep(Duration::from_secs(300)).await;
            assert_eq!((seen.stored(), consumer.stats().acks), (vec![1, 2, 3], 0));
            assert!(quarantine.stats().batches_failed > 0);
            drop(broken);
            node.sleep(Duration::from_secs(300)).await;
        };
        let stats = Pipeline::new(consumer, PipelineConfig::default())
            .on_poison(Poison::Quarantine(&quarantine))
            .run(&sink, stop)
            .await?;
        assert_eq!((stats.stored, stats.quarantined, stats.unfinished), (3, 1, 0));
        assert_eq!(consumer.stats().acks, 4);
        Ok(())
    });
}

#[test]
fn poison_that_the_other_queue_does_not_take_ends_a_pipeline() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(2).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let quarantine = quarantine(&node)?;
        quarantine.close().await?;
        let seen = &Seen::default();
        let sink = |batch| refuse_fives(seen, batch);
        let error = Pipeline::new(&consumer, PipelineConfig::default())
            .on_poison(Poison::Quarantine(&quarantine))
            .run(&sink, pending())
            .await;
        let Err(PipelineError::Quarantine { sequence: 0, .. }) = error else { panic!("{error:?}") };
        assert_eq!(consumer.stats().acks, 0);
        Ok(())
    });
}

#[test]
fn poison_ends_a_pipeline_that_has_no_other_queue_for_it() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(4).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let seen = &Seen::default();
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            if batch.sequence == 1 {
                return Err(SinkError::failed("not this one"));
            }
            seen.store(batch.sequence);
            Ok(())
        };
        let config = PipelineConfig { max_attempts: Some(3), ..PipelineConfig::default() };
        let error = Pipeline::new(&consumer, config).run(&sink, pending()).await;
        let Err(PipelineError::Poison { sequence: 1, attempts: 3, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!((consumer.stats().acks, seen.attempts(1)), (1, 3));
        Ok(())
    });
}

/// Goal: a batch that one run left unfinished is not acknowledged along with what the next one stores.
#[test]
fn a_sink_that_hangs_keeps_no_pipeline_from_stopping_and_its_batch_is_not_passed() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(3).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let (seen, hangs) = (&Seen::default(), &AtomicBool::new(true));
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            if batch.sequence == 1 && hangs.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
            seen.store(batch.sequence);
            Ok(())
        };
        let config = PipelineConfig {
            attempt_timeout: Duration::MAX,
            drain_timeout: Duration::from_secs(2),
            ..PipelineConfig::default()
        };
        let pipeline = Pipeline::new(&consumer, config);
        let begun = queue.world.runtime().elapsed();
        let stats = pipeline.run(&sink, node.sleep(Duration::from_secs(1))).await?;
        let took = queue.world.runtime().elapsed() - begun;
        assert_eq!(took.as_millis(), 3000, "a second, and two to drain");
        assert_eq!((stats.stored, stats.unfinished), (2, 2));
        assert_eq!((seen.stored(), seen.busy()), (vec![0, 2], 0));
        assert_eq!(consumer.stats().acks, 1);

        hangs.store(false, Ordering::Relaxed);
        queue.fill(1).await?;
        let error = pipeline.run(&sink, pending()).await;
        let Err(PipelineError::Ack { sequence: 3, .. }) = error else { panic!("{error:?}") };
        assert_eq!(consumer.stats().acks, 1, "batch 1 is not stored");

        consumer.initialize(None).await?;
        let stats = pipeline.run(&sink, node.sleep(Duration::from_secs(1))).await?;
        assert_eq!((stats.stored, stats.unfinished), (3, 0), "what was not acknowledged");
        assert_eq!((seen.stored(), consumer.stats().acks), (vec![0, 1, 2, 3], 4));
        Ok(())
    });
}

#[test]
fn a_pipeline_that_is_dropped_has_acknowledged_what_was_stored_in_order() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(6).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let seen = &Seen::default();
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            if batch.sequence == 2 {
                pending::<()>().await;
            }
            seen.store(batch.sequence);
            Ok(())
        };
        let pipeline = Pipeline::new(&consumer, PipelineConfig::default());
        let run = async { Some(pipeline.run(&sink, pending()).await) };
        let dropped = async {
            node.sleep(Duration::from_secs(5)).await;
            None
        };
        assert!(futures_lite::future::or(run, dropped).await.is_none());
        assert_eq!((seen.stored(), seen.busy()), (vec![0, 1, 3, 4, 5], 0));
        assert_eq!(consumer.stats().acks, 2);
        Ok(())
    });
}

#[test]
fn what_fails_after_a_pipeline_was_told_to_stop_is_told() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(2).await?;
        let node = &queue.world.node("consumer");
        let consumer = queue.consumer(node).await?;
        let sink = |batch: Arc<ConsumedBatch>| async move {
            node.sleep(Duration::from_secs(2 + batch.sequence)).await;
            if batch.sequence == 1 { Err(SinkError::poison("it is one")) } else { Ok(()) }
        };
        let pipeline = Pipeline::new(&consumer, PipelineConfig::default());
        let error = pipeline.run(&sink, node.sleep(Duration::from_secs(1))).await;
        let Err(PipelineError::Poison { sequence: 1, attempts: 1, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(consumer.stats().acks, 1, "the other one was waited for");
        Ok(())
    });
}

#[test]
fn a_batch_that_is_missing_ends_a_pipeline_which_goes_on_behind_it() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(4).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let manifest = queue.world.store().manifest(&"ingest/manifest".into());
        let third = manifest.locations_from(Sequence(2)).next().expect("there are four").1;
        assert!(queue.world.store().remove(&third));
        let seen = &Seen::default();
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            seen.store(batch.sequence);
            Ok(())
        };
        let pipeline = Pipeline::new(&consumer, PipelineConfig::default());
        let error = pipeline.run(&sink, pending()).await;
        let Err(PipelineError::Next(NextError::BatchMissing { sequence, .. })) = error else {
            panic!("{error:?}");
        };
        assert_eq!((seen.stored(), consumer.stats().acks), (vec![0, 1], 2));
        consumer.skip(sequence.0).await?;
        let stats = pipeline.run(&sink, node.sleep(Duration::from_secs(1))).await?;
        assert_eq!((stats.stored, consumer.stats().acks), (1, 3));
        assert_eq!(seen.stored(), [0, 1, 3]);
        Ok(())
    });
}

#[test]
fn a_fenced_pipeline_drops_what_is_under_way_and_says_so() {
    let queue = Queue::new();
    queue.run(async {
        queue.fill(10).await?;
        let node = queue.world.node("consumer");
        let consumer = queue.consumer(&node).await?;
        let seen = &Seen::default();
        let sink = |batch: Arc<ConsumedBatch>| async move {
            let _busy = seen.begin(batch.sequence);
            if batch.sequence > 1 {
                pending::<()>().await;
            }
            seen.store(batch.sequence);
            Ok(())
        };
        let successor = queue.world.node("successor");
        let other = async {
            successor.sleep(Duration::from_secs(5)).await;
            queue.consumer(&successor).await
        };
        let config = PipelineConfig { workers: 20, ..PipelineConfig::default() };
        let pipeline = Pipeline::new(&consumer, config);
        let run = async {
            let error = pipeline.run(&sink, pending()).await;
            let Err(PipelineError::Ended(Ended::Fenced { .. })) = error else {
                panic!("{error:?}");
            };
            assert_eq!((seen.attempts(9), seen.busy()), (1, 0), "its calls were dropped");
        };
        let ((), other) = futures_lite::future::zip(run, other).await;
        let first = other?.next_batch().await?.expect("there are more");
        assert_eq!(first.sequence, 2, "what the first acknowledged");
        Ok(())
    });
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let queue = Queue::new();
    queue.run(async {
        let consumer = queue.consumer(&queue.world.node("consumer")).await?;
        let usual = PipelineConfig::default;
        for (config, wrong) in [
            (PipelineConfig { workers: 0, ..usual() }, "workers"),
            (PipelineConfig { max_unacknowledged: 3, ..usual() }, "max_unacknowledged"),
            (PipelineConfig { attempt_timeout: Duration::ZERO, ..usual() }, "attempt_timeout"),
            (PipelineConfig { retry_delay: Duration::from_secs(31), ..usual() }, "retry_delay"),
            (PipelineConfig { max_attempts: Some(0), ..usual() }, "max_attempts"),
        ] {
            let sink = |_| async { Ok(()) };
            match Pipeline::new(&consumer, config).run(&sink, pending()).await {
                Err(PipelineError::Config { field, .. }) => assert_eq!(field, wrong),
                other => panic!("{wrong}: {other:?}"),
            }
        }
        Ok(())
    });
}
