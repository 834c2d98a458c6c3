//! What an adapter brings: a runtime, here of plain threads, and a store.
//!
//! One thread a task and one a timer is no way to run a service; it is the
//! whole of what the driver asks for. `cargo run -p opendata-buffer-driver --example threads`

use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::thread;

use buffer_driver::buffer_core::Instant;
use buffer_driver::{
    BoxFuture, Consumer, ConsumerConfig, LocalDirectory, Producer, ProducerConfig, Runtime,
    SystemClock,
};
use event_listener::Event;
use futures_lite::future::block_on;

#[derive(Debug)]
struct Threads {
    origin: std::time::Instant,
}

impl Runtime for Threads {
    fn monotonic(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        thread::spawn(|| block_on(task));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        thread::spawn(work);
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let delay = deadline.saturating_since(self.monotonic());
        let rung = Arc::new(Event::new());
        let listener = rung.listen();
        thread::spawn(move || {
            thread::sleep(delay);
            rung.notify(usize::MAX);
        });
        Box::pin(listener)
    }

    fn entropy(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::temp_dir().join(format!("buffer-threads-{}", std::process::id()));
    let runtime: Arc<dyn Runtime> = Arc::new(Threads { origin: std::time::Instant::now() });
    let directory = LocalDirectory::open(&root, Arc::clone(&runtime));
    let store =
        Arc::new(directory.map_err(|failure| format!("cannot open {root:?}: {failure:?}"))?);
    let clock = Arc::new(SystemClock);

    block_on(async {
        let config = ProducerConfig::default();
        let producer =
            Producer::with_store(&config, store.clone(), clock.clone(), Arc::clone(&runtime))?;
        let handle = producer.produce(vec!["one".into(), "two".into()], "a note".into()).await?;
        handle.watcher.await_durable().await?;
        println!("durable in {}", root.display());
        producer.close().await?;

        let consumer = Consumer::with_store(&ConsumerConfig::default(), store, clock, runtime)?;
        consumer.initialize(None).await?;
        while let Some(batch) = consumer.next_batch().await? {
            println!("batch {}: {:?}", batch.sequence, batch.entries);
            assert_eq!(batch.entries, ["one", "two"]);
            consumer.ack(batch.sequence).await?;
        }
        consumer.close().await?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    std::fs::remove_dir_all(root)?;
    Ok(())
}
