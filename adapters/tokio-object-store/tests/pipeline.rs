//! The pipeline on tokio.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use buffer::{
    ConsumedBatch, Consumer, ConsumerConfig, Pipeline, PipelineConfig, Producer, ProducerConfig,
    SinkError, SystemClock,
};
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;

type Failed = Box<dyn std::error::Error>;

/// Goal: a pipeline can be a task, its times are real ones, and its sink may use what tokio has.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_runs_in_a_task_of_its_own_and_tries_again_what_hangs() -> Result<(), Failed> {
    let client: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let clock = Arc::new(SystemClock);
    let config = ProducerConfig { max_buffered_inputs: 1, ..ProducerConfig::default() };
    let producer = Producer::with_object_store(config, Arc::clone(&client), clock.clone())?;
    for number in 0..20 {
        producer.produce(vec![number.to_string().into()], Bytes::new()).await?;
    }
    producer.close().await?;
    let consumer = Consumer::with_object_store(ConsumerConfig::default(), client, clock)?;
    consumer.initialize(None).await?;

    let rows: Arc<Mutex<BTreeMap<u64, Vec<Bytes>>>> = Arc::default();
    let database = Arc::clone(&rows);
    let pipeline = tokio::spawn(async move {
        let hung = &AtomicBool::new(false);
        let sink = |batch: Arc<ConsumedBatch>| {
            let database = Arc::clone(&database);
            async move {
                if batch.sequence == 3 && !hung.swap(true, Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                let store = move || {
                    let mut rows = database.lock().unwrap_or_else(PoisonError::into_inner);
                    rows.entry(batch.sequence).or_insert_with(|| batch.entries.clone());
                };
                tokio::task::spawn_blocking(store).await.map_err(SinkError::failed)
            }
        };
        let stop = async {
            while consumer.stats().acks < 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let attempt_timeout = Duration::from_millis(500);
        let config = PipelineConfig { attempt_timeout, ..PipelineConfig::default() };
        let stats = Pipeline::new(&consumer, config).run(&sink, stop).await;
        assert!(hung.load(Ordering::Relaxed));
        (stats, consumer.close().await)
    });
    let (stats, closed) = pipeline.await?;
    closed?;
    let stats = stats?;
    assert_eq!((stats.stored, stats.unfinished), (20, 0));
    let rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    let expected = (0..20).map(|number| (number, vec![Bytes::from(number.to_string())]));
    assert_eq!(*rows, expected.collect());
    Ok(())
}
