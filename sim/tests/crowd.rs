//! Many producers that start at the same instant on one manifest.

mod common;

use std::time::Duration;

use buffer_driver::ProducerConfig;
use buffer_sim::Profile;
use common::{Queue, ms, one_by_one, produce, secs};

/// What it cost a crowd to list one batch each.
struct Cost {
    durable: usize,
    failed: usize,
    requests_per_batch: f64,
    requests_per_producer: f64,
    p50: Duration,
    p99: Duration,
}

fn crowd(producers: usize, latency: Duration, profile: Profile, config: &ProducerConfig) -> Cost {
    let queue = Queue::with_profile(8, latency, profile);
    let tasks: Vec<_> = (0..producers)
        .map(|_| (queue.producer(config), queue.runtime.clone()))
        .map(|(producer, runtime)| {
            queue.runtime.start(async move {
                let start = runtime.elapsed();
                let handle = produce(&producer, "x").await;
                let told = handle.watcher.await_durable().await;
                let took = runtime.elapsed() - start;
                let _told = producer.close().await;
                told.map(|_| took)
            })
        })
        .collect();
    let told = queue.finish(tasks);
    let mut delays: Vec<Duration> = told.iter().flatten().copied().collect();
    delays.sort_unstable();
    let counts = queue.store.counts();
    let requests = counts.batch_writes + counts.swaps + counts.manifest_reads;
    let cost = Cost {
        durable: delays.len(),
        failed: told.len() - delays.len(),
        requests_per_batch: requests as f64 / delays.len() as f64,
        requests_per_producer: requests as f64 / producers as f64,
        p50: delays[delays.len() / 2],
        p99: delays[delays.len() * 99 / 100],
    };
    println!(
        "{producers} at once on {}, {latency:?}: {} durable, {} failed, {:.1} requests a batch ({:.1} a producer), \
         {:.2} swaps a batch, acknowledged in {:?} (p50), {:?} (p99), {:?} (last)",
        profile.name,
        cost.durable,
        cost.failed,
        cost.requests_per_batch,
        cost.requests_per_producer,
        counts.swaps as f64 / delays.len() as f64,
        cost.p50,
        cost.p99,
        delays[delays.len() - 1],
    );
    queue.runtime.shutdown();
    cost
}

/// Goal: however many start at once, each batch costs a number of requests that hardly grows with
/// them, and all become durable in at most three times what their swaps take one after the other.
#[test]
fn a_crowd_is_served_without_a_storm() {
    let cases = [(1, 3.1), (2, 5.0), (4, 7.0), (16, 12.0), (32, 15.0), (200, 26.0), (1000, 35.0)];
    for latency in [ms(20), ms(50)] {
        for (producers, bound) in cases {
            let cost = crowd(producers, latency, Profile::S3, &one_by_one());
            assert_eq!((cost.durable, cost.failed), (producers, 0));
            assert!(cost.requests_per_batch < bound, "{} requests", cost.requests_per_batch);
            let turns = latency * u32::try_from(producers).expect("it is small");
            assert!(cost.p50 < turns + ms(150), "{:?} in the middle", cost.p50);
            assert!(cost.p99 < turns * 3 + ms(100), "{:?} at the 99th percentile", cost.p99);
        }
    }
}

/// Goal: where the store cannot serve all of them in time, those that fail have not stormed it,
/// and as many as it can serve are served.
#[test]
fn those_who_cannot_be_served_do_not_storm() {
    let on_gcs = |producers| crowd(producers, ms(20), Profile::GCS, &one_by_one());
    let cost = on_gcs(32);
    assert_eq!((cost.durable, cost.failed), (32, 0));
    assert!(cost.requests_per_batch < 26.0, "{} requests", cost.requests_per_batch);
    let cost = on_gcs(1000);
    assert!(cost.durable > 100, "{} of 120 that were possible", cost.durable);
    assert!(cost.requests_per_producer < 42.0, "{} requests", cost.requests_per_producer);

    let short = ProducerConfig { delivery_timeout: secs(10), ..one_by_one() };
    let cost = crowd(1000, ms(50), Profile::S3, &short);
    assert!(cost.durable > 180, "{} of 200 that were possible", cost.durable);
    assert!(cost.requests_per_producer < 40.0, "{} requests", cost.requests_per_producer);
}
