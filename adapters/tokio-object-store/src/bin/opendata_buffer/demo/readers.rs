//! The consumers' side: one, and another that takes over in mid-stream.

use std::sync::Arc;
use std::time::Duration;

use buffer::buffer_core::{ListedObject, Location};
use buffer::{
    AckError, ConsumedBatch, Consumer, ConsumerConfig, Ended, NextError, Store, StoreError,
    StoreOperation, SystemClock,
};
use tokio::sync::watch;

use super::database::{Database, Verdict};
use super::feed::GRACE_PERIOD;
use crate::exit::{Failure, Outcome, Status, chain};
use crate::queue::Keys;

/// How long the replaced consumer may take to notice.
const FENCED_WITHIN: Duration = Duration::from_secs(30);

/// How often the collector looks.
const GC_INTERVAL: Duration = Duration::from_millis(500);

/// How long it may take to delete what is left at the end.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);

pub(super) struct Readers {
    first: Consumer,
    second: Consumer,
    /// How many lines will come; the second takes over after half of them.
    total: u64,
}

/// How the queue changed hands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    pub(super) first_epoch: u64,
    pub(super) second_epoch: u64,
    /// The last batch that the first consumer had stored.
    pub(super) after: Option<u64>,
}

impl Readers {
    pub(super) fn new(store: &Arc<dyn Store>, keys: &Keys, total: u64) -> Result<Self, Failure> {
        let consumer = || {
            let config = ConsumerConfig {
                data_path_prefix: keys.data_path_prefix.clone(),
                manifest_path: keys.manifest_path.clone(),
                poll_interval: Duration::from_millis(10),
                poll_interval_max: Duration::from_millis(100),
                gc_interval: GC_INTERVAL,
                gc_grace_period: GRACE_PERIOD,
                ..ConsumerConfig::default()
            };
            Consumer::with_store(config, Arc::clone(store), Arc::new(SystemClock))
        };
        Ok(Self { first: consumer()?, second: consumer()?, total })
    }

    /// Consumes until all was fed and the queue is empty.
    pub(super) async fn run(
        &self,
        database: &Database,
        all_fed: watch::Receiver<bool>,
    ) -> Result<Handover, Failure> {
        let taken = self.first.initialize(None).await?;
        database.lock().await.epoch = taken.epoch;
        let first = until_fenced(&self.first, taken.epoch, database);
        let second = async {
            database.has_lines(self.total / 2).await;
            let handover = self.take_over(taken.epoch, database).await?;
            to_the_end(&self.second, handover.second_epoch, database, all_fed).await?;
            Ok(handover)
        };
        let (by, handover) = tokio::try_join!(first, second)?;
        if by != handover.second_epoch {
            let Handover { second_epoch, .. } = handover;
            let message = format!("the first consumer was fenced by {by}, not by {second_epoch}");
            return Err(Failure::new(Status::Differs, message));
        }
        Ok(handover)
    }

    /// Nothing is stored while the queue changes hands: what the second one
    /// resumes after is the last that was stored, and stays that.
    async fn take_over(&self, first_epoch: u64, database: &Database) -> Result<Handover, Failure> {
        let mut stored = database.lock().await;
        let after = stored.last;
        let taken = self.second.initialize(after).await?;
        stored.epoch = taken.epoch;
        Ok(Handover { first_epoch, second_epoch: taken.epoch, after })
    }

    /// Waits until no batch is left in the store: the collector has deleted all of them.
    ///
    /// An idle queue's manifest does not change, and then nothing can be said of the last
    /// batches; taking over once more changes it.
    pub(super) async fn collect(
        &self,
        store: &dyn Store,
        keys: &Keys,
        after: Option<u64>,
    ) -> Outcome {
        let limit = tokio::time::Instant::now() + COLLECTED_WITHIN;
        loop {
            // An upload that was given up may still have come in after the last line.
            tokio::time::sleep(GRACE_PERIOD + Duration::from_millis(100)).await;
            self.second.initialize(after).await?;
            let again = tokio::time::Instant::now() + GRACE_PERIOD;
            let mut left = batches_left(store, keys).await?;
            while left > 0 && tokio::time::Instant::now() < again {
                tokio::time::sleep(Duration::from_millis(100)).await;
                left = batches_left(store, keys).await?;
            }
            if left == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() > limit {
                let message = format!("{left} batches are still there {COLLECTED_WITHIN:?} later");
                return Err(Failure::new(Status::Differs, message));
            }
        }
    }

    pub(super) async fn close(&self) {
        // A fenced consumer says so here, too.
        let _ = self.first.close().await;
        let _ = self.second.close().await;
    }
}

/// How many batches the store still has.
async fn batches_left(store: &dyn Store, keys: &Keys) -> Result<usize, Failure> {
    let prefix = Location::from(keys.data_path_prefix.as_str());
    let (mut left, mut after) = (0, None);
    loop {
        let page = store.list(&prefix, after).await.map_err(|failure| {
            let mut error =
                StoreError::new(failure.kind, StoreOperation::ListBatches, prefix.clone());
            error.source = failure.source;
            Failure::failed(error.to_string())
        })?;
        let is_batch = |object: &&ListedObject| object.location.as_str().ends_with(".batch");
        left += page.objects.iter().filter(is_batch).count();
        after = page.next;
        if after.is_none() {
            return Ok(left);
        }
    }
}

/// Stores batches until another consumer takes over; says which epoch that one has.
async fn until_fenced(
    consumer: &Consumer,
    epoch: u64,
    database: &Database,
) -> Result<u64, Failure> {
    let mut replaced_at = None;
    loop {
        let next = match replaced_at {
            None => consumer.wait_batch().await,
            Some(since) => {
                let limit = since + FENCED_WITHIN;
                tokio::time::timeout_at(limit, consumer.wait_batch()).await.map_err(|_| {
                    let message = format!("it was replaced and not told so in {FENCED_WITHIN:?}");
                    Failure::new(Status::Differs, message)
                })?
            }
        };
        let batch = match next {
            Ok(batch) => batch,
            Err(NextError::Ended(Ended::Fenced { by, .. })) => return Ok(by.0),
            Err(error) => return Err(unreadable(error)),
        };
        match database.store(epoch, &batch).await? {
            Verdict::Late => {
                replaced_at.get_or_insert_with(tokio::time::Instant::now);
            }
            Verdict::Stored => match consumer.ack(batch.sequence).await {
                Ok(()) => {}
                Err(AckError::Ended(Ended::Fenced { by, .. })) => return Ok(by.0),
                Err(error) => return Err(error.into()),
            },
        }
    }
}

/// Stores batches until all was fed and the queue is empty.
async fn to_the_end(
    consumer: &Consumer,
    epoch: u64,
    database: &Database,
    mut all_fed: watch::Receiver<bool>,
) -> Result<(), Failure> {
    loop {
        let done = *all_fed.borrow_and_update();
        let batch = if done {
            match consumer.next_batch().await.map_err(unreadable)? {
                Some(batch) => batch,
                None => break,
            }
        } else {
            tokio::select! {
                batch = consumer.wait_batch() => batch.map_err(unreadable)?,
                _ = all_fed.changed() => continue,
            }
        };
        store(consumer, epoch, database, &batch).await?;
    }
    Ok(consumer.flush().await?)
}

async fn store(
    consumer: &Consumer,
    epoch: u64,
    database: &Database,
    batch: &ConsumedBatch,
) -> Result<(), Failure> {
    match database.store(epoch, batch).await? {
        Verdict::Stored => Ok(consumer.ack(batch.sequence).await?),
        Verdict::Late => {
            let message = "the database refused the consumer that took over last";
            Err(Failure::new(Status::Differs, message))
        }
    }
}

/// A batch that cannot be read as it was written is a difference like any other.
fn unreadable(error: NextError) -> Failure {
    if matches!(error, NextError::BatchMissing { .. } | NextError::BatchCorrupt { .. }) {
        Failure::new(Status::Differs, chain(&error))
    } else {
        error.into()
    }
}
