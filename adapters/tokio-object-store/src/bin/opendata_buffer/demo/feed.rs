//! The producers' side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::{Producer, ProducerConfig, Store, SystemClock};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::script::{Script, Tag};
use crate::exit::{Failure, chain};
use crate::queue::Keys;

/// How many producers there are.
pub(super) const PRODUCERS: usize = 3;

/// How many lines go into one call.
const LINES_A_CALL: u64 = 20;

/// How many calls of a producer may be waiting to become durable: as many
/// requests as a service would have under way, not as many as memory holds.
const CALLS_UNDER_WAY: usize = 64;

/// Small, so that there are many batches to take over in the middle of.
const BATCH_BYTES: usize = 16 << 10;

/// How long a batch is left alone: short, so that there is something to see. A
/// producer on a machine that stands still for half of this gives batches up.
pub(super) const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Three producers on one queue.
pub(super) fn producers(
    store: &Arc<dyn Store>,
    keys: &Keys,
) -> Result<[Producer; PRODUCERS], Failure> {
    let producer = || {
        let config = ProducerConfig {
            data_path_prefix: keys.data_path_prefix.clone(),
            manifest_path: keys.manifest_path.clone(),
            flush_interval: Duration::from_millis(10),
            flush_size_bytes: BATCH_BYTES,
            delivery_timeout: GRACE_PERIOD * 2 / 5,
            gc_grace_period: GRACE_PERIOD,
            ..ProducerConfig::default()
        };
        Producer::with_store(config, Arc::clone(store), Arc::new(SystemClock))
    };
    Ok([producer()?, producer()?, producer()?])
}

/// Feeds everything, until it is durable. Returns how long each call took for that, in microseconds.
pub(super) async fn feed_all(
    producers: &[Producer; PRODUCERS],
    script: &Script,
) -> Result<Histogram<u64>, Failure> {
    let [one, two, three] = producers;
    let (mut latency, second, third) =
        tokio::try_join!(feed(one, 1, script), feed(two, 2, script), feed(three, 3, script))?;
    for other in [second, third] {
        latency.add(other).expect("their ranges grow as needed");
    }
    Ok(latency)
}

async fn feed(
    producer: &Producer,
    number: usize,
    script: &Script,
) -> Result<Histogram<u64>, Failure> {
    let (calls, mut durable) = mpsc::channel(CALLS_UNDER_WAY);
    let submit = async move {
        let mut line = 1;
        while line <= script.per_producer() {
            let entries: Vec<Bytes> =
                (line..line + LINES_A_CALL).map_while(|line| script.line(line).cloned()).collect();
            let tag = Tag { producer: number, line };
            line += entries.len() as u64;
            let submitted = Instant::now();
            let handle = producer
                .produce(entries, tag.to_metadata())
                .await
                .map_err(|error| Failure::failed(chain(&error)))?;
            if calls.send((submitted, handle.watcher)).await.is_err() {
                break;
            }
        }
        drop(calls);
        Ok::<(), Failure>(producer.close().await?)
    };
    let watch = async move {
        let mut latency = Histogram::<u64>::new(3).expect("three digits are possible");
        while let Some((submitted, watcher)) = durable.recv().await {
            let watcher: buffer::DurabilityWatcher = watcher;
            watcher.await_durable().await?;
            let taken = u64::try_from(submitted.elapsed().as_micros()).unwrap_or(u64::MAX);
            latency.record(taken).expect("it grows as needed");
        }
        Ok::<_, Failure>(latency)
    };
    let context = format!("producer {number}");
    let ((), latency) = tokio::try_join!(submit, watch).map_err(|error| error.context(&context))?;
    Ok(latency)
}
