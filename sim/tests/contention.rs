//! Many producers on one manifest.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use buffer_driver::ProducerConfig;
use common::{Queue, ms, produce, secs};

/// What twenty seconds of steady load on one manifest came to.
struct Share {
    swaps_per_batch: f64,
    p50: Duration,
    p99: Duration,
    fewest: u64,
    most: u64,
}

fn share(producers: usize, latency: Duration, flush_interval: Duration) -> Share {
    let queue = Queue::with_latency(8, latency);
    let config = ProducerConfig { flush_interval, ..ProducerConfig::default() };
    let handles: Vec<_> = (0..producers).map(|_| Arc::new(queue.producer(&config))).collect();
    let delays = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = handles
        .iter()
        .map(|producer| {
            let (producer, runtime) = (Arc::clone(producer), queue.runtime.clone());
            let delays = Arc::clone(&delays);
            queue.runtime.start(async move {
                while runtime.elapsed() < secs(20) {
                    let start = runtime.elapsed();
                    let handle = produce(&producer, "x").await;
                    let (clock, delays) = (runtime.clone(), Arc::clone(&delays));
                    drop(runtime.start(async move {
                        handle.watcher.await_durable().await.expect("the store is well");
                        let mut delays = delays.lock().expect("nobody panics with it");
                        delays.push(clock.elapsed() - start);
                    }));
                    runtime.sleep(ms(10)).await;
                }
                producer.close().await.expect("the store is well");
            })
        })
        .collect();
    queue.finish(tasks);
    let counts = queue.store.counts();
    assert_eq!(queue.manifest().len(), counts.batch_writes, "each batch is listed once");
    let mut delays = std::mem::take(&mut *delays.lock().expect("nobody panics with it"));
    delays.sort_unstable();
    let durable = handles.iter().map(|producer| producer.stats().batches_durable);
    let share = Share {
        swaps_per_batch: counts.swaps_per_batch(),
        p50: delays[delays.len() / 2],
        p99: delays[delays.len() * 99 / 100],
        fewest: durable.clone().min().expect("there are some"),
        most: durable.max().expect("there are some"),
    };
    println!(
        "{producers} producers, {latency:?}, flushed every {flush_interval:?}: {:.2} swaps a batch, \
         acknowledged in {:?} (p50), {:?} (p99), batches of a producer {}..{}",
        share.swaps_per_batch, share.p50, share.p99, share.fewest, share.most,
    );
    queue.runtime.shutdown();
    share
}

/// Goal: nobody is left behind, nobody waits for long, and the manifest is not
/// hammered: from two producers to as many as the manifest can bear.
#[test]
fn producers_share_one_manifest_fairly() {
    let cases = [
        (2, ms(4), ms(20), ms(100)),
        (3, ms(4), ms(20), ms(500)),
        (16, ms(20), ms(100), secs(2)),
        (32, ms(20), ms(100), secs(3)),
        // Each of these could keep the manifest busy by itself.
        (16, ms(50), ms(20), secs(6)),
    ];
    for (producers, latency, flush_interval, bound) in cases {
        let share = share(producers, latency, flush_interval);
        assert!(share.swaps_per_batch < 2.0, "{} swaps a batch", share.swaps_per_batch);
        assert!(share.p99 < bound, "{:?} at the 99th percentile", share.p99);
        assert!(share.fewest * 2 > share.most, "{}..{}", share.fewest, share.most);
    }
}
