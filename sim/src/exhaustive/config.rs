//! How producers and consumers are set, so that few ticks are much time to them.

use std::time::Duration;

use buffer_core::{ConsumerConfig, ProducerConfig};

pub(super) fn producer_config() -> ProducerConfig {
    ProducerConfig {
        delivery_timeout: Duration::from_secs(4),
        request_timeout: Duration::from_secs(2),
        gc_grace_period: Duration::from_secs(10),
        ..ProducerConfig::default()
    }
}

pub(super) fn consumer_config() -> ConsumerConfig {
    ConsumerConfig {
        dequeue_acks: 1,
        poll_interval: Duration::from_secs(3),
        poll_interval_max: Duration::from_secs(3),
        gc_interval: Duration::from_secs(7),
        gc_grace_period: Duration::from_secs(10),
        request_timeout: Duration::from_secs(2),
        retry_timeout: Duration::from_secs(4),
        ..ConsumerConfig::default()
    }
}
