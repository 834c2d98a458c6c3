//! What is done on smol is told as metrics, whatever thread does it.

use std::sync::Arc;

use buffer_smol::metrics::METRICS;
use buffer_smol::{Consumer, ConsumerConfig, Producer, ProducerConfig, SystemClock};
use metrics_exporter_prometheus::PrometheusBuilder;

#[test]
fn what_is_done_on_smol_is_recorded() {
    let recorded = PrometheusBuilder::new().install_recorder().expect("it is the only one");
    smol::block_on(async {
        let store = "memory:orders";
        let config = ProducerConfig { store: store.into(), ..ProducerConfig::default() };
        let producer = Producer::new(config, Arc::new(SystemClock)).expect("it is valid");
        let config = ConsumerConfig { store: store.into(), ..ConsumerConfig::default() };
        let consumer = Consumer::new(config, Arc::new(SystemClock)).expect("it is valid");
        consumer.initialize(None).await.expect("it is free");
        let entries = vec!["one".into(), "two".into()];
        producer.produce(entries, "".into()).await.expect("there is room");
        producer.close().await.expect("the store is well");
        let batch = consumer.wait_batch().await.expect("the store is well");
        consumer.ack(batch.sequence).await.expect("it was handed out");
        consumer.close().await.expect("the store is well");
    });
    let page = recorded.render();
    let queue = r#"queue="memory:orders/ingest/manifest""#;
    for (series, value) in [
        (format!("buffer_batches_flushed{{{queue}}}"), 1),
        (format!("buffer_entries_flushed{{{queue}}}"), 2),
        (format!("buffer_bytes_flushed{{{queue}}}"), 6),
        (format!("buffer_flush_duration_seconds_count{{{queue}}}"), 1),
        (format!("buffer_inflight_batches{{{queue}}}"), 0),
        (format!("buffer_entries_collected{{{queue}}}"), 2),
        (format!("buffer_fetch_duration_seconds_count{{{queue}}}"), 1),
        (format!("buffer_acks{{{queue}}}"), 1),
        (format!("buffer_manifest_writes{{{queue},role=\"producer\"}}"), 1),
        // One to take over, one to dequeue.
        (format!("buffer_manifest_writes{{{queue},role=\"consumer\"}}"), 2),
    ] {
        let line = format!("{series} {value}");
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    let untold = |name: &str| !page.contains(&format!("# HELP {} ", name.replace('.', "_")));
    // Nothing failed, nothing was tried again or given up.
    let untold: Vec<_> =
        METRICS.iter().map(|metric| metric.name).filter(|name| untold(name)).collect();
    assert_eq!(
        untold,
        ["buffer.batches_failed", "buffer.request_failures", "buffer.request_retries",]
    );
}
