//! Puts two entries through a queue: in the store named, or in a temporary directory.
//!
//! `cargo run -p opendata-buffer-smol --example on_smol -- [STORE]`; with `--features aws`,
//! the store may be `s3://BUCKET/PREFIX`.

use std::error::Error;
use std::sync::Arc;

use buffer_smol::{Consumer, ConsumerConfig, Producer, ProducerConfig, StoreLocation, SystemClock};

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let named = std::env::args().nth(1).map(StoreLocation::from);
    let store = named.unwrap_or_else(|| temporary.path().to_owned().into());
    smol::block_on(round_trip(store))
}

async fn round_trip(store: StoreLocation) -> Result<(), Box<dyn Error>> {
    let config = ProducerConfig { store: store.clone(), ..ProducerConfig::default() };
    let producer = Producer::new(config, Arc::new(SystemClock))?;
    let handle = producer.produce(vec!["one".into(), "two".into()], "a note".into()).await?;
    handle.watcher.await_durable().await?;
    println!("two entries are durable in {store}");
    producer.close().await?;

    let config = ConsumerConfig { store, ..ConsumerConfig::default() };
    let consumer = Consumer::new(config, Arc::new(SystemClock))?;
    let taken = consumer.initialize(None).await?;
    println!("epoch {} took over from epoch {}", taken.epoch, taken.previous);
    while let Some(batch) = consumer.next_batch().await? {
        println!("batch {}: {:?}", batch.sequence, batch.entries);
        // A database stores the entries and the sequence together, and then:
        consumer.ack(batch.sequence).await?;
    }
    consumer.close().await?;
    Ok(())
}
