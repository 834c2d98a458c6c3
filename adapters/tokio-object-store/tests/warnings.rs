//! What a producer warns of.
//!
//! Alone in its process: `tracing` asks once for each place in the code whether anybody follows it, and may ask
//! the thread that comes there first.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use buffer::{Producer, ProducerConfig, StoreLocation, SystemClock};
use bytes::Bytes;

/// What `tracing` wrote.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_dropped_producer_warns_and_delivers_all_the_same()
-> Result<(), Box<dyn std::error::Error>> {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || written.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);

    // The interval is long: it is the drop that seals the batch.
    let flush_interval = Duration::from_secs(60);
    let store: StoreLocation = "memory:dropped".into();
    let config = ProducerConfig { store, flush_interval, ..ProducerConfig::default() };
    let producer = Producer::new(config.clone(), Arc::new(SystemClock))?;
    let handle = producer.produce(vec!["kept".into()], Bytes::new()).await?;
    assert_eq!(log.text(), "");
    drop(producer);
    assert!(log.text().contains("WARN"), "{}", log.text());
    assert!(log.text().contains("dropped without `close`"), "{}", log.text());
    handle.watcher.await_durable().await?;

    let closed = Producer::new(config, Arc::new(SystemClock))?;
    closed.close().await?;
    let before = log.text();
    drop(closed);
    assert_eq!(log.text(), before, "a closed one is silent");
    Ok(())
}
