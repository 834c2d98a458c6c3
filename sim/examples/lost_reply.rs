//! A producer whose swap is applied and whose reply is lost, in virtual time.
//!
//! The producer cannot know what became of its swap, looks, and finds its own
//! batch listed: it is delivered once. `cargo run -p opendata-buffer-sim --example lost_reply -- SEED`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::StoreErrorKind;
use buffer_driver::{Consumer, ConsumerConfig, Producer, ProducerConfig};
use buffer_sim::{Latency, Process, Profile, SimRuntime, SimStore, Verdict};

fn producer(process: &Process, store: &SimStore) -> Result<Producer, Box<dyn Error>> {
    let (clock, runtime) = (Arc::new(process.clock().clone()), Arc::new(process.clone()));
    let store = Arc::new(store.clone());
    Ok(Producer::with_store(&ProducerConfig::default(), store, clock, runtime)?)
}

fn consumer(process: &Process, store: &SimStore) -> Result<Consumer, Box<dyn Error>> {
    let (clock, runtime) = (Arc::new(process.clock().clone()), Arc::new(process.clone()));
    let store = Arc::new(store.clone());
    Ok(Consumer::with_store(&ConsumerConfig::default(), store, clock, runtime)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(7), |seed| seed.parse())?;
    let world = SimRuntime::new(seed);
    let store = SimStore::new(&world, Profile::S3);
    store.set_latency(Latency::fixed(Duration::from_millis(20)));

    // The first swap takes effect, and nobody hears of it.
    let mut swaps = 0;
    let _rule = store.fault(move |request| {
        swaps += u64::from(request.is_swap());
        if request.is_swap() && swaps == 1 {
            Verdict::ApplyThenFail(StoreErrorKind::Transient)
        } else {
            Verdict::Pass
        }
    });

    let producer = producer(&world.process("producer"), &store)?;
    let consumer = consumer(&world.process("consumer"), &store)?;
    let delivered = world.block_on(async {
        let handle = producer.produce(vec!["once".into()], "".into()).await?;
        handle.watcher.await_durable().await?;
        producer.close().await?;

        let mut delivered = Vec::new();
        consumer.initialize(None).await?;
        while let Some(batch) = consumer.next_batch().await? {
            consumer.ack(batch.sequence).await?;
            delivered.extend(batch.entries);
        }
        consumer.close().await?;
        Ok::<_, Box<dyn Error>>(delivered)
    })?;

    for line in world.trace() {
        println!("{line}");
    }
    println!("delivered {delivered:?} within {:?} of virtual time", world.elapsed());
    println!("trace {:016x} of seed {seed}", world.trace_hash());
    assert_eq!(delivered, ["once"]);
    Ok(())
}
