//! How many requests a simulated world does in a second of real time.
//!
//! Producers and a consumer in steady state, on a manifest of ten to forty
//! entries, with the real driver and core, and nothing wrong:
//! `cargo run --profile sim -p opendata-buffer-sim --example speed -- SIMULATED_SECONDS`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use buffer_core::Location;
use buffer_core::format::Manifest;
use buffer_driver::{Consumer, ConsumerConfig, Producer, ProducerConfig};
use buffer_sim::{Jitter, Latency, Profile, SimOptions, SimRuntime, SimStore};

const MS: Duration = Duration::from_millis(1);
const PRODUCERS: usize = 2;
/// How many batches the consumer leaves unacknowledged, so that the manifest stays long.
const BACKLOG: u64 = 12;

/// How long this thread has run; zero where the system does not say.
fn cpu_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

async fn produce(world: SimRuntime, producer: Producer, until: Duration) {
    let mut random = world.random("callers");
    while world.elapsed() < until {
        let handle = producer.produce(vec!["a small entry".into()], "".into()).await;
        drop(handle.expect("it has room"));
        world.sleep(MS * random.u32(50..250)).await;
    }
    producer.close().await.expect("the store is well");
}

async fn consume(world: SimRuntime, consumer: Consumer, until: Duration) -> u64 {
    consumer.initialize(None).await.expect("the store is well");
    let mut entries = 0;
    while world.elapsed() < until {
        let batch = consumer.wait_batch().await.expect("the store is well");
        entries += batch.entries.len() as u64;
        if let Some(done) = batch.sequence.checked_sub(BACKLOG) {
            consumer.ack_through(done).await.expect("it was handed out");
        }
    }
    entries
}

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(5000), |seconds| seconds.parse())?;
    let until = Duration::from_secs(seconds);
    let options = SimOptions {
        keeps_lines: false,
        step_budget: u64::MAX,
        time_budget: Duration::MAX,
        ..SimOptions::default()
    };
    let world = SimRuntime::with_options(1, options);
    let store = SimStore::new(&world, Profile::S3);
    store.set_keeps_log(false);
    let jitter = Jitter { up_to: MS * 10, slow_one_in: 50, slow_by: MS * 100 };
    store.set_latency(Latency { jitter: Some(jitter), ..Latency::fixed(MS * 8) });
    let (swaps, listed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (swaps_in, listed_in) = (Arc::clone(&swaps), Arc::clone(&listed));
    let manifest = Location::from("ingest/manifest");
    let counted = manifest.clone();
    store.observe(move |applied| {
        // Now and then, so that counting costs nothing.
        if applied.location == counted && swaps_in.fetch_add(1, Ordering::Relaxed) % 256 == 255 {
            let manifest = Manifest::parse(&counted, applied.bytes()).expect("it is one");
            listed_in.fetch_add(manifest.len(), Ordering::Relaxed);
        }
    });

    let config = ProducerConfig { max_buffered_inputs: 1, ..ProducerConfig::default() };
    let producers = (0..PRODUCERS).map(|number| {
        let process = world.process(&format!("producer {number}"));
        let clock = Arc::new(process.clock().clone());
        Producer::with_store(&config, Arc::new(store.clone()), clock, Arc::new(process))
    });
    let producers = producers.collect::<Result<Vec<_>, _>>()?;
    let process = world.process("consumer");
    let clock = Arc::new(process.clock().clone());
    let config =
        ConsumerConfig { dequeue_acks: 15, poll_interval: MS * 400, ..ConsumerConfig::default() };
    let consumer =
        Consumer::with_store(&config, Arc::new(store.clone()), clock, Arc::new(process))?;

    let (start, cpu_start) = (Instant::now(), cpu_time());
    let tasks: Vec<_> = producers
        .into_iter()
        .map(|producer| world.start(produce(world.clone(), producer, until)))
        .collect();
    let consumed = world.start(consume(world.clone(), consumer, until));
    world.block_on(async {
        for task in tasks {
            task.await;
        }
    });
    let entries = world.block_on(consumed).unwrap_or_default();
    let took = start.elapsed();
    // On a machine that others use as well, only this thread's own time says anything.
    let cpu = cpu_time().saturating_sub(cpu_start);
    let cpu = if cpu.is_zero() { took } else { cpu };

    let counts = store.counts();
    let requests = counts.requests();
    let per_second = requests as f64 / cpu.as_secs_f64();
    println!("{counts:?}");
    println!("entries delivered     {entries}");
    println!(
        "manifest entries      {}",
        listed.load(Ordering::Relaxed) / (swaps.load(Ordering::Relaxed) / 256).max(1)
    );
    println!(
        "requests              {requests}, of which swaps {:.1} %",
        counts.swaps as f64 * 100.0 / requests as f64
    );
    println!("requests per second   {per_second:.0}");
    println!("time per request      {:.0} ns", cpu.as_nanos() as f64 / requests as f64);
    println!("time                  {cpu:.2?} of this thread, {took:.2?} in all");
    println!("simulated / real time {:.0}", world.elapsed().as_secs_f64() / cpu.as_secs_f64());
    println!("trace hash            {:016x}", world.trace_hash());
    world.shutdown();
    Ok(())
}
