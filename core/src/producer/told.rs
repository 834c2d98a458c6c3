//! What a producer tells.

use super::DeliveryError;
#[cfg(doc)]
use super::{Producer, SubmitError};
use crate::time::UnixMillis;
use crate::types::BatchId;

/// What a producer tells its host.
///
/// ```
/// use buffer_core::{Machine, Now, Output, Producer, ProducerConfig, ProducerEvent};
///
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// producer.close(Now::default());
/// // It held nothing: there is nothing to settle first.
/// assert!(matches!(producer.poll(), Output::Event(ProducerEvent::Closed)));
/// # Ok::<(), buffer_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub enum ProducerEvent {
    /// A batch is durable, or will not be tried any more.
    Settled {
        /// Which one.
        batch: BatchId,
        /// `Ok` is durable: uploaded and listed.
        outcome: Result<(), DeliveryError>,
    },
    /// There is room again after [`SubmitError::Full`].
    Ready,
    /// Everything is settled after [`Producer::close`]; there will be no more output.
    Closed,
}

/// What a submission that was taken can be followed by.
///
/// ```
/// use buffer_core::{Now, Producer, ProducerConfig, Submission, UnixMillis};
///
/// let now = Now { wall: UnixMillis(1_712_345_678_000), ..Now::default() };
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// let entries = vec!["an entry".into()];
/// let receipt = producer.submit(now, Submission { entries, ..Submission::default() })?;
/// assert_eq!(receipt.ingestion_time, now.wall);
/// assert_eq!(producer.flush(now), Some(receipt.batch), "when that is settled, so is this");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The batch that holds it; [`ProducerEvent::Settled`] names it later.
    pub batch: BatchId,
    /// The wall-clock time that it was stamped with.
    pub ingestion_time: UnixMillis,
}

/// What a producer has done since it was made.
///
/// ```
/// # use core::time::Duration;
/// # use buffer_core::{Instant, Machine, Now, Producer, ProducerConfig, Submission};
/// # let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// # let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
/// producer.submit(Now::default(), submission)?;
/// let late = Instant::from_origin(Duration::from_secs(600));
/// producer.handle_timeout(Now { monotonic: late, ..Now::default() });
/// assert_eq!(producer.stats().batches_failed, 1, "it was given up");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerStats {
    /// Batches that became durable.
    pub batches_durable: u64,
    /// Batches that were given up, or whose outcome is unknown.
    pub batches_failed: u64,
    /// Manifest swaps sent.
    pub swaps: u64,
    /// Manifest swaps that were answered with a conflict.
    pub conflicts: u64,
    /// Entries of the batches that became durable.
    pub entries_durable: u64,
    /// Bytes of these entries, without what the format adds.
    pub entry_bytes_durable: u64,
    /// Bytes of these batches' objects: what is left of the entries when they are compressed, and what the format adds.
    pub object_bytes_durable: u64,
}
