//! How the producers and consumers of a world are configured, and what consumers are told wrongly.

use buffer_driver::{CompressionType, ConsumerConfig, ProducerConfig};

use super::exemption::Exemption;
use super::foreign::OTHER_PREFIX;
use super::plan::{Plan, Theme};
use super::world::World;
use super::{Random, ms, secs};

impl Plan {
    /// In milliseconds. Of a crowd, each waits for the swaps of all others.
    const fn least_delivery_timeout(&self) -> u64 {
        if self.crowded { 60_000 } else { 4000 }
    }

    pub(crate) fn producer(&self, random: &mut Random) -> ProducerConfig {
        // Three entries of the longest, and what they are made of.
        let least = self.largest_entry * 4 + 1000;
        let half_grace = u64::try_from(self.grace.as_millis()).expect("it is short") / 2;
        ProducerConfig {
            flush_interval: ms([0, 5, 50, 400][random.of("flush interval").usually(2).usize(..4)]),
            flush_size_bytes: random.of("flush size").usually(u64::MAX).usize(1..least * 2),
            max_buffered_inputs: random.of("inputs").usually(19).usize(1..20),
            max_buffered_bytes: match self.hurries {
                true => least,
                false => least * random.of("buffer").usually(9).usize(1..10),
            },
            max_inflight_batches: random.of("batches in flight").usually(7).usize(1..8),
            delivery_timeout: ms(random
                .of("delivery timeout")
                .usually(u64::MAX)
                .u64(self.least_delivery_timeout()..half_grace)),
            gc_grace_period: self.grace,
            request_timeout: ms(random.of("request timeout").usually(1000).u64(500..5000)),
            batch_compression: match self.zstd && random.of("compresses").bool() {
                true => CompressionType::Zstd,
                false => CompressionType::None,
            },
            data_path_prefix: self.prefix.to_owned(),
            ..ProducerConfig::default()
        }
    }

    pub(crate) fn consumer(&self, random: &mut Random) -> ConsumerConfig {
        let poll_interval = ms(random.of("poll interval").usually(400).u64(50..500));
        ConsumerConfig {
            prefetch_batches: random.of("prefetch").usually(7).usize(1..8),
            prefetch_bytes: self.largest_entry
                * random.of("prefetch bytes").usually(19).usize(1..20),
            dequeue_acks: random.of("dequeue acks").usually(19).usize(match self.is_long() {
                true => 1..3,
                false => 1..20,
            }),
            dequeue_interval: ms(
                [0, 10, 200, 1000, 60_000][random.of("dequeue interval").usually(3).usize(..5)]
            ),
            poll_interval,
            poll_interval_max: poll_interval * random.of("poll interval's most").u32(2..24),
            gc_enabled: self.collects,
            gc_interval: self.gc_interval,
            gc_grace_period: self.grace,
            request_timeout: ms(random.of("request timeout").usually(1000).u64(500..5000)),
            retry_timeout: secs(random.of("retry timeout").usually(10).u64(2..20)),
            data_path_prefix: self.prefix.to_owned(),
            ..ConsumerConfig::default()
        }
    }
}

/// Tells a consumer what its theme says.
pub(super) fn mislead(world: &World, random: &mut Random, config: &mut ConsumerConfig) {
    if world.plan.theme == Theme::WrongManifestPath
        && world.is_unkind()
        && random.of("wrong manifest path").usually(1).u32(..3) == 0
    {
        world.active("wrong-manifest-path");
        config.manifest_path = "ingest/manifset".to_owned();
    }
    if world.plan.theme == Theme::WrongPrefix
        && world.is_unkind()
        && random.of("wrong prefix").bool()
    {
        world.active("wrong-prefix");
        config.data_path_prefix = OTHER_PREFIX.to_owned();
    }
    if world.plan.theme == Theme::SmallerGrace
        && world.is_unkind()
        && random.of("smaller grace period").bool()
    {
        world.active("smaller-grace-period");
        world.exempt(Exemption::SmallerGrace);
        config.gc_grace_period = world.plan.grace / 8;
    }
}
