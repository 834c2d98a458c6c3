//! The course of a queue's life.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use buffer_core::{Ended, Location, NextError};
use bytes::Bytes;

use super::super::report::Violation;
use super::super::tasks::{Task, sleep, within};
use super::database::{Database, Stored, entry};
use super::{Keys, Plan, Side, Summary, violation};
use crate::AckError;
use crate::batch::ConsumedBatch;
use crate::consumer::Consumer;
use crate::producer::{Producer, ProducerStats};

type Result<T = ()> = std::result::Result<T, Violation>;

/// How many producers there are.
const PRODUCERS: usize = 3;

/// How many calls of a producer may be waiting to become durable.
const CALLS_UNDER_WAY: usize = 32;

/// How long a consumer that was replaced may go on without being told so.
const FENCED_WITHIN: Duration = Duration::from_secs(60);

/// How many times the manifest is changed, a grace period apart, to have what is left collected.
const COLLECTIONS: u32 = 8;

/// What everybody in it shares.
#[derive(Clone)]
pub(super) struct Life {
    plan: Plan,
    first: Side,
    second: Side,
    keys: Keys,
    database: Arc<Database>,
    /// Set when the second consumer has begun, or the first has ended.
    second_half: Arc<AtomicBool>,
    all_sent: Arc<AtomicBool>,
}

/// What the consumer learnt that was replaced.
struct Replaced {
    epoch: u64,
    by: u64,
}

impl Life {
    pub(super) fn new(plan: Plan, first: Side, second: Side, prefix: Location) -> Self {
        let (keys, database) = (Keys::below(&prefix), Arc::new(Database::new(PRODUCERS)));
        let (second_half, all_sent) = (Arc::default(), Arc::default());
        Self { plan, first, second, keys, database, second_half, all_sent }
    }

    pub(super) async fn run(self) -> Result<Summary> {
        let runtime = Arc::clone(&self.first.runtime);
        let start = runtime.monotonic();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| {
                let (life, side) = (self.clone(), self.side_of(number).clone());
                Task::start(&side.runtime.clone(), async move { life.produce(number, side).await })
            })
            .collect();
        let first = {
            let (life, side) = (self.clone(), self.second.clone());
            Task::start(&side.runtime.clone(), async move {
                let replaced = life.consume_until_replaced(side).await;
                life.second_half.store(true, Ordering::SeqCst);
                replaced
            })
        };
        let second = {
            let (life, side) = (self.clone(), self.first.clone());
            Task::start(&side.runtime.clone(), async move { life.take_over(side).await })
        };
        let (mut swaps, mut conflicts) = (0, 0);
        for producer in producers {
            let stats = producer.join().await?;
            swaps += stats.swaps;
            conflicts += stats.conflicts;
        }
        self.all_sent.store(true, Ordering::SeqCst);
        let replaced = first.join().await?;
        let (consumer, epoch) = second.join().await?;
        expect(
            "a_consumer_that_was_replaced_is_told_by_whom",
            (replaced.by, replaced.epoch < epoch) == (epoch, true),
            format_args!("epoch {epoch}"),
            format_args!("{}, after its own {}", replaced.by, replaced.epoch),
        )?;
        self.database.has_all(self.plan.entries_per_producer)?;
        let stored_within = runtime.monotonic().saturating_since(start);
        self.collect(&consumer).await?;
        let deleted = self.deleted(&consumer).await;
        consumer.close().await.map_err(|error| broken("a_consumer_closes", &error))?;
        let batches = self.database.batches();
        expect(
            "both_consumers_have_their_part",
            matches!(batches.as_slice(), [before, after] if *before > 0 && *after > 0),
            "batches of both",
            format_args!("{batches:?}"),
        )?;
        Ok(Summary {
            entries: self.database.entries(),
            batches_before: batches[0],
            batches_after: batches[1],
            swaps,
            conflicts,
            deleted,
            stored_within,
            took: runtime.monotonic().saturating_since(start),
        })
    }

    /// Producers on both sides: the first, the second, the first.
    const fn side_of(&self, producer: usize) -> &Side {
        if producer.is_multiple_of(2) { &self.first } else { &self.second }
    }

    async fn produce(&self, number: usize, side: Side) -> Result<ProducerStats> {
        let config = self.keys.producer(&self.plan, number);
        let runtime = Arc::clone(&side.runtime);
        let producer = Producer::with_store(&config, side.store, side.clock, side.runtime)
            .map_err(|error| broken("a_producer_can_be_made", &error))?;
        let failed = |error: &dyn fmt::Debug| broken("every_entry_becomes_durable", error);
        let mut under_way = VecDeque::new();
        let mut next = 0;
        let half = self.plan.entries_per_producer.div_ceil(2);
        while next < self.plan.entries_per_producer {
            // What is left is for the second consumer.
            while next >= half && !self.second_half.load(Ordering::SeqCst) {
                sleep(&runtime, Duration::from_millis(2)).await;
            }
            let end = (next + self.plan.entries_per_call).min(self.plan.entries_per_producer);
            let entries: Vec<Bytes> = (next..end).map(|place| entry(number, place)).collect();
            let metadata = format!("producer {number} from {next}");
            let submitted = producer.produce(entries, metadata.into()).await;
            under_way.push_back(submitted.map_err(|error| failed(&error))?.watcher);
            next = end;
            if under_way.len() == CALLS_UNDER_WAY {
                let watcher = under_way.pop_front().expect("there are many");
                watcher.await_durable().await.map_err(|error| failed(&error))?;
            }
        }
        producer.close().await.map_err(|error| failed(&error))?;
        for watcher in under_way {
            watcher.await_durable().await.map_err(|error| failed(&error))?;
        }
        Ok(producer.stats())
    }

    fn consumer(&self, side: Side) -> Result<Consumer> {
        let config = self.keys.consumer(&self.plan);
        Consumer::with_store(&config, side.store, side.clock, side.runtime)
            .map_err(|error| broken("a_consumer_can_be_made", &error))
    }

    /// The first consumer: goes on until it is told that another one has taken over.
    async fn consume_until_replaced(&self, side: Side) -> Result<Replaced> {
        let runtime = Arc::clone(&side.runtime);
        let consumer = self.consumer(side)?;
        let (term, last) = self.database.begin_term();
        let taken = consumer.initialize(last).await;
        let epoch = taken.map_err(|error| broken("a_new_queue_can_be_taken_over", &error))?.epoch;
        let mut is_late = false;
        loop {
            // One that was locked out by the database hears of it from the queue as well, and soon.
            let limit = if is_late { FENCED_WITHIN } else { self.plan.time_limit };
            let next = within(&runtime, limit, consumer.wait_batch()).await;
            let ended = match next {
                Some(Ok(batch)) => match self.database.store(term, &batch)? {
                    Stored::TooLate => {
                        is_late = true;
                        None
                    }
                    Stored::Yes => match consumer.ack(batch.sequence).await {
                        Ok(()) => None,
                        Err(AckError::Ended(ended)) => Some(ended),
                        Err(error) => return Err(broken("a_batch_can_be_acknowledged", &error)),
                    },
                },
                Some(Err(NextError::Ended(ended))) => Some(ended),
                Some(Err(error)) => return Err(broken("every_batch_can_be_read", &error)),
                None => {
                    let check = "a_consumer_that_was_replaced_is_told_so";
                    return Err(violation(check, format!("it within {limit:?}"), "nothing"));
                }
            };
            match ended {
                None => {}
                Some(Ended::Fenced { by, .. }) => return Ok(Replaced { epoch, by: by.0 }),
                Some(other) => {
                    return Err(broken("a_consumer_ends_only_if_it_is_replaced", &other));
                }
            }
        }
    }

    /// The second consumer: takes over in the middle of the stream, and stores what is left.
    async fn take_over(&self, side: Side) -> Result<(Consumer, u64)> {
        let runtime = Arc::clone(&side.runtime);
        let third = self.plan.entries_per_producer * PRODUCERS as u64 / 3;
        while self.database.entries() < third {
            sleep(&runtime, Duration::from_millis(2)).await;
        }
        let consumer = self.consumer(side)?;
        let (term, last) = self.database.begin_term();
        self.second_half.store(true, Ordering::SeqCst);
        let taken = consumer.initialize(last).await;
        let epoch = taken.map_err(|error| broken("a_queue_can_be_taken_over", &error))?.epoch;
        loop {
            let was_all_sent = self.all_sent.load(Ordering::SeqCst);
            let next = consumer.next_batch().await;
            match next.map_err(|error| broken("every_batch_can_be_read", &error))? {
                Some(batch) => self.store_and_ack(term, &consumer, &batch).await?,
                None if was_all_sent => break,
                None => sleep(&runtime, Duration::from_millis(5)).await,
            }
        }
        consumer.flush().await.map_err(|error| broken("a_consumer_can_dequeue", &error))?;
        Ok((consumer, epoch))
    }

    async fn store_and_ack(
        &self,
        term: super::database::Term,
        consumer: &Consumer,
        batch: &ConsumedBatch,
    ) -> Result {
        if self.database.store(term, batch)? == Stored::TooLate {
            let seen = "the database refused it";
            return Err(violation("who_took_over_last_may_store", "batches to be stored", seen));
        }
        let acked = consumer.ack(batch.sequence).await;
        acked.map_err(|error| broken("a_batch_can_be_acknowledged", &error))
    }

    /// Waits until the collector has deleted every batch.
    ///
    /// It measures age by the manifest's own time, so somebody has to write the manifest once a
    /// batch is old enough: here the consumer, by taking over from itself.
    async fn collect(&self, consumer: &Consumer) -> Result {
        let runtime = &self.first.runtime;
        let mut left = Vec::new();
        for _ in 0..COLLECTIONS {
            sleep(runtime, self.plan.grace_period + Duration::from_millis(1200)).await;
            let taken = consumer.initialize(self.database.last()).await;
            taken.map_err(|error| broken("a_consumer_takes_over_from_itself", &error))?;
            let until = runtime.monotonic() + self.plan.grace_period;
            while runtime.monotonic() < until {
                left = batches_left(&self.first, &self.keys).await?;
                if left.is_empty() {
                    return Ok(());
                }
                sleep(runtime, self.plan.grace_period / 50).await;
            }
        }
        let seen = format!("{} of them, such as {}; {:?}", left.len(), left[0], consumer.stats());
        Err(violation("every_batch_is_collected_in_the_end", "no batch to be left", seen))
    }

    /// How many objects the collector deleted. It hears of it a little after they are gone.
    async fn deleted(&self, consumer: &Consumer) -> u64 {
        let expected = self.database.batches().iter().sum();
        let mut deleted = 0;
        for _ in 0..50 {
            deleted = consumer.stats().gc_files_deleted;
            if deleted >= expected {
                break;
            }
            sleep(&self.first.runtime, Duration::from_millis(20)).await;
        }
        deleted
    }
}

/// The keys of batches that are in the store.
pub(in super::super) async fn batches_left(side: &Side, keys: &Keys) -> Result<Vec<Location>> {
    let prefix = Location::new(keys.batches.as_str());
    let (mut left, mut after, mut failures) = (Vec::new(), None, 0);
    loop {
        let page = match side.store.list(&prefix, after.clone()).await {
            Ok(page) => page,
            Err(failure) if failure.kind.is_retryable() && failures < 20 => {
                failures += 1;
                sleep(&side.runtime, Duration::from_millis(100)).await;
                continue;
            }
            Err(failure) => return Err(broken("batches_can_be_listed", &failure)),
        };
        let found = page.objects.into_iter().map(|object| object.location);
        left.extend(found.filter(|location| location.as_str().ends_with(".batch")));
        after = page.next;
        if after.is_none() {
            return Ok(left);
        }
    }
}

fn expect(
    check: &str,
    is_so: bool,
    expected: impl fmt::Display,
    seen: impl fmt::Display,
) -> Result {
    if is_so { Ok(()) } else { Err(violation(check, expected, seen)) }
}

/// A call failed that should not.
pub(in super::super) fn broken(check: &str, error: &dyn fmt::Debug) -> Violation {
    violation(check, "no failure", super::super::bench::told(&error))
}
