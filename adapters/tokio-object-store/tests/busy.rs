//! Callers that never rest, on a runtime with a single thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::{Producer, ProducerConfig, SystemClock};
use bytes::Bytes;
use object_store::memory::InMemory;

/// Goal: a caller whose every `produce` is taken at once never
/// waits for anything. The loop gets its turns all the same, and batches are sealed in time.
#[tokio::test(flavor = "current_thread")]
async fn failure_14_callers_that_never_wait_do_not_starve_the_flush_timer() {
    let config = ProducerConfig {
        flush_interval: Duration::from_millis(50),
        max_buffered_inputs: usize::MAX,
        max_buffered_bytes: 4 << 30,
        flush_size_bytes: 1 << 30,
        ..ProducerConfig::default()
    };
    let producer =
        Producer::with_object_store(config, Arc::new(InMemory::new()), Arc::new(SystemClock))
            .expect("it is valid");
    let start = Instant::now();
    let mut calls = 0_u64;
    while start.elapsed() < Duration::from_secs(1) {
        let entries = vec![Bytes::from_static(b"x")];
        producer.produce(entries, Bytes::new()).await.expect("there is room");
        calls += 1;
    }
    let durable = producer.stats().batches_durable;
    println!("{calls} calls and {durable} batches in a second of 50 ms each");
    assert!(durable >= 8, "{durable} batches in a second of 50 ms each");
    producer.close().await.expect("the store is well");
}
