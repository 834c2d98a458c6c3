//! Both adapters doing the same work on the driver's store in memory.
//!
//! `cargo test --release -p opendata-buffer-smol --test throughput -- --ignored --nocapture`

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer_smol::{
    ConsumerConfig, MemoryStore, ProducerConfig, Runtime, SmolRuntime, Store, SystemClock,
};
use bytes::Bytes;

const SUBMISSIONS: usize = 200_000;
const ROUNDS: usize = 5;

/// Sends everything and reads it back. The handles are used where the caller runs.
async fn work(runtime: Arc<dyn Runtime>) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new("throughput"));
    let clock = Arc::new(SystemClock);
    let config = ProducerConfig { flush_size_bytes: 1 << 20, ..ProducerConfig::default() };
    let producer = buffer_driver::Producer::with_store(
        &config,
        Arc::clone(&store),
        clock.clone(),
        Arc::clone(&runtime),
    );
    let producer = producer.expect("it is valid");
    for _ in 0..SUBMISSIONS {
        let entries = vec![Bytes::from_static(&[7; 256])];
        producer.produce(entries, Bytes::new()).await.expect("there is room");
    }
    producer.close().await.expect("the store is well");
    let config = ConsumerConfig::default();
    let consumer = buffer_driver::Consumer::with_store(&config, store, clock, runtime);
    let consumer = consumer.expect("it is valid");
    consumer.initialize(None).await.expect("it is free");
    let mut entries = 0;
    while let Some(batch) = consumer.next_batch().await.expect("the store is well") {
        entries += batch.entries.len();
        consumer.ack(batch.sequence).await.expect("it was handed out");
    }
    consumer.close().await.expect("the store is well");
    assert_eq!(entries, SUBMISSIONS);
}

fn on_tokio() -> Duration {
    let tokio = tokio::runtime::Runtime::new().expect("a runtime can be made");
    tokio.block_on(async {
        let runtime = buffer::TokioRuntime::current().expect("it is inside one");
        let begun = Instant::now();
        work(Arc::new(runtime)).await;
        begun.elapsed()
    })
}

fn on_smol() -> Duration {
    smol::block_on(async {
        let begun = Instant::now();
        work(Arc::new(SmolRuntime::new())).await;
        begun.elapsed()
    })
}

/// Goal: neither adapter costs more than half as much again as the other.
#[test]
#[ignore = "it measures: run it alone, in release mode"]
fn both_adapters_take_about_the_same_time() {
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        took[0].push(on_tokio());
        took[1].push(on_smol());
    }
    let [tokio, smol] = took.map(|mut times| {
        times.sort();
        times[ROUNDS / 2].as_secs_f64()
    });
    let rate = |seconds: f64| SUBMISSIONS as f64 / seconds;
    let ratio = smol / tokio;
    println!("tokio {:.0}/s, smol {:.0}/s; smol takes {ratio:.2} x", rate(tokio), rate(smol));
    assert!((1.0 / 1.5..=1.5).contains(&ratio), "{ratio:.2}");
}
