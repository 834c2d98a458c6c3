//! What one world is like: everything that its seed decides before it begins.

use std::time::Duration;

use crate::{Jitter, Latency, Profile, Random};
use buffer_driver::{CompressionType, ConsumerConfig, ProducerConfig};

use super::{ms, secs};

/// How often which fault is injected, in ten-thousandths of the requests that can have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan {
    pub(crate) fail: u32,
    pub(crate) throttle: u32,
    pub(crate) apply_then_fail: u32,
    pub(crate) apply_then_conflict: u32,
    pub(crate) false_conflict: u32,
    pub(crate) apply_late: u32,
    pub(crate) hang: u32,
    pub(crate) delay: u32,
    pub(crate) stale: u32,
    pub(crate) truncate: u32,
    pub(crate) denied: u32,
    /// A producer's swap takes effect unseen, and all it asks fails for some seconds.
    pub(crate) blind: u32,
    /// How many times all requests fail for some seconds.
    pub(crate) outages: u32,
}

/// What befalls processes.
#[derive(Clone, Debug)]
pub(crate) struct ProcessPlan {
    pub(crate) crashes: bool,
    pub(crate) pauses: bool,
    pub(crate) wrong_clocks: bool,
    /// How long a producer lives at the most.
    pub(crate) producer_life: Duration,
    /// How long a consumer lives at the most before another one takes over.
    pub(crate) consumer_life: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) profile: Profile,
    pub(crate) latency: Latency,
    pub(crate) cpu_delay: Duration,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) faults: FaultPlan,
    pub(crate) processes: ProcessPlan,
    /// How long the world is unkind.
    pub(crate) unkind: Duration,
    /// How long a producer's caller rests between two submissions at the most.
    pub(crate) rest: Duration,
    pub(crate) largest_entry: usize,
}

pub(crate) const GRACE: Duration = Duration::from_secs(120);

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let one_in = |random: &mut Random, n: u32| random.u32(..n) == 0;
        let wide = !one_in(random, 4);
        let jitter = Jitter {
            up_to: ms(random.u64(0..50)),
            slow_one_in: if wide { random.u32(5..60) } else { 0 },
            slow_by: ms(random.u64(50..3000)),
        };
        let latency = Latency {
            read: ms(random.u64(1..40)),
            write: ms(random.u64(1..60)),
            bandwidth: one_in(random, 3).then(|| 1 << random.u32(21..28)),
            jitter: Some(jitter),
        };
        // Now and then long enough for a pause that is longer than the grace period.
        let long = one_in(random, 12);
        Self {
            // One write a second would leave too little to see in so short a time.
            profile: if random.bool() {
                Profile::S3
            } else {
                Profile { one_write_a_second: false, ..Profile::GCS }
            },
            latency,
            cpu_delay: ms(random.u64(0..5)),
            producers: random.usize(1..=5),
            consumers: random.usize(1..=3),
            faults: FaultPlan::draw(random),
            processes: ProcessPlan {
                crashes: !one_in(random, 4),
                pauses: long || one_in(random, 3),
                wrong_clocks: one_in(random, 2),
                producer_life: secs(random.u64(2..30)),
                consumer_life: secs(random.u64(1..20)),
            },
            unkind: secs(if long { random.u64(150..300) } else { random.u64(5..40) }),
            rest: ms(if long { 3000 } else { [5, 50, 300, 2000][random.usize(..4)] }),
            largest_entry: [20, 200, 2000, 50_000][random.usize(..4)],
        }
    }

    pub(crate) fn producer(&self, random: &mut Random) -> ProducerConfig {
        let least = self.largest_entry * 4 + 1000;
        ProducerConfig {
            flush_interval: ms([0, 5, 50, 400][random.usize(..4)]),
            flush_size_bytes: random.usize(1..least * 2),
            max_buffered_inputs: random.usize(1..20),
            max_buffered_bytes: least * random.usize(1..10),
            max_inflight_batches: random.usize(1..8),
            delivery_timeout: secs(random.u64(4..30)),
            gc_grace_period: GRACE,
            request_timeout: ms(random.u64(500..5000)),
            batch_compression: match random.u32(..3) {
                0 => CompressionType::Zstd,
                _ => CompressionType::None,
            },
            ..ProducerConfig::default()
        }
    }

    pub(crate) fn consumer(&self, random: &mut Random) -> ConsumerConfig {
        let poll_interval = ms(random.u64(20..300));
        ConsumerConfig {
            prefetch_batches: random.usize(1..8),
            prefetch_bytes: self.largest_entry * random.usize(1..20),
            dequeue_acks: random.usize(1..20),
            dequeue_interval: ms([0, 10, 200, 1000, 60_000][random.usize(..5)]),
            poll_interval,
            poll_interval_max: poll_interval * random.u32(1..8),
            gc_grace_period: GRACE,
            request_timeout: ms(random.u64(500..5000)),
            retry_timeout: secs(random.u64(2..20)),
            ..ConsumerConfig::default()
        }
    }
}

impl FaultPlan {
    fn draw(random: &mut Random) -> Self {
        let most = match random.u32(..8) {
            0 => return Self::default(),
            1..=3 => 100,
            4..=6 => 500,
            _ => 2000,
        };
        let mut some =
            |out_of: u32| if random.u32(..out_of) == 0 { random.u32(1..=most) } else { 0 };
        Self {
            fail: some(2),
            throttle: some(3),
            apply_then_fail: some(2),
            apply_then_conflict: some(2),
            false_conflict: some(3),
            apply_late: some(2),
            hang: some(3),
            delay: some(3),
            stale: some(6).min(300),
            truncate: some(6),
            denied: some(8).min(100),
            blind: some(2),
            outages: some(3).min(3),
        }
    }
}
