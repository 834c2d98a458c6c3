//! What the worlds of a check are like.

use std::time::Duration;

use buffer_driver::ProducerConfig;

use crate::{Latency, Profile};

/// How much happens in the worlds of a check, and on what store.
///
/// ```
/// use buffer_sim::Profile;
/// use buffer_sim::kit::Settings;
///
/// // For a database on the disk of its only machine: a second consumer cannot run beside the first.
/// let settings = Settings { pauses: false, profile: Profile::GCS, ..Settings::default() };
/// assert_eq!(settings.most_lives, 4);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How many entries are submitted at the most; at least one is.
    pub most_entries: u64,
    /// How many lives of your consumer end badly at the most.
    pub most_lives: u32,
    /// How many requests have a fault at the most.
    pub most_faults: u32,
    /// Whether a life may be paused until another one has begun, so that two run at one time.
    pub pauses: bool,
    /// Whether wall clocks may be wrong.
    pub skews: bool,
    /// Whether in half of the worlds each acknowledgement is dequeued at once, whatever the [`dequeue_acks`] are that
    /// [`Node::consumer`](super::Node::consumer) is given, and some lives crash in an acknowledgement. A world has
    /// few entries: else nearly all acknowledgements would be forgotten by the next crash, and one that comes
    /// before its commit would do no harm.
    ///
    /// [`dequeue_acks`]: buffer_driver::ConsumerConfig::dequeue_acks
    pub dequeues_at_once: bool,
    /// What kind of store it is.
    pub profile: Profile,
    /// How long its requests take.
    pub latency: Latency,
    /// How entries are submitted; also says where the manifest is and how batches are named.
    pub producer: ProducerConfig,
    /// How much virtual time everything may take, before your consumer counts as one that does not get on.
    pub time_limit: Duration,
    /// How many smaller worlds are tried once one has failed.
    pub most_shrinking: usize,
}

impl Default for Settings {
    /// Up to 24 entries, 4 lives and 6 faults; pauses, wrong clocks, dequeuing at once; S3, 20 ms away; at most two calls to a
    /// batch; half an hour; 1,000 smaller worlds.
    fn default() -> Self {
        Self {
            most_entries: 24,
            most_lives: 4,
            most_faults: 6,
            pauses: true,
            skews: true,
            dequeues_at_once: true,
            profile: Profile::S3,
            latency: Latency::fixed(Duration::from_millis(20)),
            producer: ProducerConfig { max_buffered_inputs: 2, ..ProducerConfig::default() },
            time_limit: Duration::from_secs(30 * 60),
            most_shrinking: 1000,
        }
    }
}
