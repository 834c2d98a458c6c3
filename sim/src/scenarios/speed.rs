//! What the protocol costs, in requests and in time: in worlds where computing takes none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::queue::{Queue, ms, produce, secs};
use crate::{Counts, Join, Profile, SimRuntime};
use buffer_driver::{ConsumerConfig, Producer, ProducerConfig, WriteHandle};
use bytes::Bytes;

/// How long every submission of one producer took.
type Times = Vec<Duration>;

/// Keeps so many calls under way until `end`, of 26 bytes each; what they took.
async fn keep_busy(
    runtime: &SimRuntime,
    producer: &Producer,
    calls: usize,
    end: Duration,
) -> Times {
    let entry = Bytes::from_static(b"an entry of 22 letters");
    let (mut under_way, mut times) = (VecDeque::new(), Vec::new());
    while runtime.elapsed() < end || !under_way.is_empty() {
        if runtime.elapsed() < end && under_way.len() < calls {
            let began = runtime.elapsed();
            let handle = producer.produce(vec![entry.clone()], Bytes::new()).await;
            under_way.push_back((began, handle.expect("the producer takes it")));
            continue;
        }
        let Some((began, handle)) = under_way.pop_front() else { break };
        handle.watcher.await_durable().await.expect("the store is well");
        times.push(runtime.elapsed() - began);
    }
    times
}

/// How long a submission took when it is settled.
fn time_to_settle(runtime: &SimRuntime, began: Duration, handle: WriteHandle) -> Join<Duration> {
    let clock = runtime.clone();
    runtime.start(async move {
        handle.watcher.await_durable().await.expect("the store is well");
        clock.elapsed() - began
    })
}

fn percentile(times: &Times, percent: usize) -> Duration {
    let mut times = times.clone();
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

/// Runs producers that are always busy until `end`, and a consumer that drains the queue.
fn contend(queue: &Queue, config: &ProducerConfig, end: Duration) -> Vec<Times> {
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (runtime, producer) = (queue.runtime.clone(), queue.producer(config));
            // Four batches of each.
            queue.runtime.start(async move {
                let times = keep_busy(&runtime, &producer, 1310, end).await;
                producer.close().await.expect("the store is well");
                times
            })
        })
        .collect();
    let consumer = queue.consumer(&ConsumerConfig::default());
    queue.runtime.block_on(async {
        let drain = async {
            consumer.initialize(None).await.expect("it is free");
            loop {
                let batch = consumer.wait_batch().await.expect("the queue can be read");
                consumer.ack(batch.sequence).await.expect("it was just handed out");
            }
        };
        let times = async {
            let mut all = Vec::new();
            for task in tasks {
                all.push(task.await.expect("nothing crashes"));
            }
            all
        };
        futures_lite::future::or(times, drain).await
    })
}

/// Goal: writers of one manifest need few tries, none is left behind, and none waits for long.
pub(super) fn sixteen_busy_producers_are_served_alike_and_soon() {
    let queue = Queue::new(16);
    let config =
        ProducerConfig { flush_size_bytes: 8192, max_buffered_inputs: 328, ..Default::default() };
    let times = contend(&queue, &config, secs(60));
    let counts = queue.store.counts();
    let tries = counts.swaps_per_batch();
    let each: Vec<usize> = times.iter().map(Vec::len).collect();
    let mean = each.iter().sum::<usize>() / each.len();
    let slowest = *each.iter().min().expect("there are sixteen");
    let p99 = percentile(&times.concat(), 99);
    note!(
        "{} batches, {tries:.2} tries a batch; mean {mean}, slowest {slowest}; p50 {:?}, p99 {p99:?}",
        counts.batch_writes,
        percentile(&times.concat(), 50),
    );
    assert!(tries <= 2.0, "{tries} tries for each batch");
    assert!(slowest * 2 >= mean, "one got {slowest}, the mean is {mean}");
    assert!(p99 < secs(1), "{p99:?}");
    queue.runtime.shutdown();
}

/// Goal: on a store that takes one write a second to the manifest, all get their turn within half a minute.
pub(super) fn eight_producers_share_one_write_a_second() {
    let queue = Queue::with_profile(8, ms(50), Profile::GCS);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let producer = Arc::new(queue.producer(&ProducerConfig::default()));
            let runtime = queue.runtime.clone();
            queue.runtime.start(async move {
                let mut waits = Vec::new();
                while runtime.elapsed() < secs(300) {
                    let began = runtime.elapsed();
                    let handle = produce(&producer, "x").await;
                    waits.push(time_to_settle(&runtime, began, handle));
                    runtime.sleep(ms(100)).await;
                }
                let mut times = Vec::new();
                for wait in waits {
                    times.push(wait.await.expect("nothing crashes"));
                }
                (times, producer.stats())
            })
        })
        .collect();
    let mut times = Vec::new();
    for (of_one, stats) in queue.finish(tasks) {
        assert_eq!((stats.batches_failed, stats.buffered_bytes), (0, 0), "all settle");
        times.extend(of_one);
    }
    let Counts { swaps, swaps_stored, batch_writes, .. } = queue.store.counts();
    let tries = swaps as f64 / swaps_stored as f64;
    let longest = percentile(&times, 100);
    note!(
        "{batch_writes} batches, {swaps} swaps, {swaps_stored} stored: {tries:.2} tries each; p50 {:?}, p99 {:?}, longest {longest:?}",
        percentile(&times, 50),
        percentile(&times, 99),
    );
    assert!(tries <= 5.0, "{tries} tries for each swap");
    assert!(longest <= secs(30), "{longest:?}");
    queue.runtime.shutdown();
}

/// Goal: alone and at ease, an entry takes the flush interval, an upload and a swap, and the manifest is read once.
pub(super) fn under_light_load_an_entry_takes_an_upload_and_a_swap() {
    let queue = Queue::new(1);
    let producer = queue.producer(&ProducerConfig::default());
    let times = queue.runtime.block_on(async {
        let mut handles = Vec::new();
        for number in 0..600 {
            let began = queue.runtime.elapsed();
            let handle = produce(&producer, format!("{number}")).await;
            handles.push(time_to_settle(&queue.runtime, began, handle));
            queue.runtime.sleep(ms(100)).await;
        }
        let mut times = Vec::new();
        for handle in handles {
            times.push(handle.await.expect("nothing crashes"));
        }
        times
    });
    let counts = queue.store.counts();
    let p50 = percentile(&times, 50);
    note!(
        "p50 {p50:?}, p99 {:?}, {} reads of the manifest",
        percentile(&times, 99),
        counts.manifest_reads
    );
    let usual = ProducerConfig::default().flush_interval + ms(20) + ms(20);
    assert!(p50 <= usual.mul_f64(1.1), "{p50:?} where {usual:?} is needed");
    assert_eq!(counts.manifest_reads, 1);
}

/// Goal: a consumer that waits transfers nothing, and asks ever less often.
pub(super) fn an_idle_consumer_transfers_nothing_and_polls_ever_less() {
    let queue = Queue::new(2);
    let producer = queue.producer(&ProducerConfig::default());
    let consumer =
        queue.consumer(&ConsumerConfig { gc_enabled: false, ..ConsumerConfig::default() });
    queue.runtime.block_on(async {
        produce(&producer, "x").await.watcher.await_durable().await.expect("the store is well");
        consumer.initialize(None).await.expect("it is free");
        let batch = consumer.wait_batch().await.expect("there is one");
        consumer.ack(batch.sequence).await.expect("it was just handed out");
        consumer.flush().await.expect("the store is well");
    });
    let before = queue.store.counts();
    let idle = async {
        let waiting = async { drop(consumer.wait_batch().await) };
        futures_lite::future::or(waiting, queue.runtime.sleep(secs(600))).await;
    };
    queue.runtime.block_on(idle);
    let after = queue.store.counts();
    let polls = after.manifest_reads - before.manifest_reads;
    let transferred = after.manifest_reads_found - before.manifest_reads_found;
    note!("{polls} polls in ten minutes, {transferred} of them with a body");
    // At most one by whoever waits first, who may not know yet what its own dequeue made of the manifest.
    assert_eq!(transferred, 0);
    let most = ConsumerConfig::default().poll_interval_max;
    let fewest = secs(600).div_duration_f64(most);
    assert!(polls as f64 <= fewest * 1.05 + 10.0, "{polls} polls where {fewest} are due");
}

/// Goal: what is uploaded takes no room from others. A producer that is short of room makes more than its room
/// allows over the two round trips that a batch takes, though making the batches takes a quarter of that time as
/// well. It makes 0.7 of it when all is held until it is listed.
pub(super) fn what_is_uploaded_takes_no_room() {
    const CALLS: usize = 40;
    const ENTRY: usize = 1000;
    let (round_trip, making) = (ms(50), Duration::from_micros(2500));
    // Ten batches, and what is held beside their entries.
    let room = 10 * CALLS * (ENTRY + 200);
    let config = ProducerConfig {
        max_buffered_inputs: CALLS,
        max_buffered_bytes: room,
        ..ProducerConfig::default()
    };
    let queue = Queue::with_latency(3, round_trip);
    let producer = queue.producer(&config);
    let entry = Bytes::from(vec![7; ENTRY]);
    let mut bytes = 0;
    queue.runtime.block_on(async {
        while queue.runtime.elapsed() < secs(20) {
            let handle = producer.produce(vec![entry.clone()], Bytes::new()).await;
            drop(handle.expect("the producer takes it"));
            bytes += ENTRY;
            queue.runtime.sleep(making / u32::try_from(CALLS).expect("they are few")).await;
        }
        producer.close().await.expect("the store is well");
    });
    let possible = room as f64 * secs(20).div_duration_f64(round_trip * 2);
    let share = bytes as f64 / possible;
    let counts = queue.store.counts();
    note!(
        "{share:.2} of its room every two round trips; {} batches, {} swaps",
        counts.batch_writes,
        counts.swaps
    );
    assert!(share > 1.0, "{share}");
}
