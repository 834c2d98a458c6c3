//! No tokio runtime anywhere. Threads are known by their names, so no test here is named after it.

mod stores;
mod watched;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use buffer_smol::{Consumer, ConsumerConfig, Producer, ProducerConfig, SystemClock};
use stores::Named;
use watched::Watched;

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    let names = tasks.map(|task| {
        let name = task.expect("it is listed").path().join("comm");
        // A thread may end in between.
        std::fs::read_to_string(name).unwrap_or_default().trim_end().to_owned()
    });
    names.collect()
}

/// A queue's whole way, over a store that looks for tokio in every task that asks something of it.
async fn round_trip(named: &Named, prefix: &str) {
    let (store, _) = named.open();
    let watched = Arc::new(Watched::new(store));
    let config = ProducerConfig {
        data_path_prefix: format!("{prefix}/ingest"),
        manifest_path: format!("{prefix}/manifest"),
        flush_interval: Duration::from_millis(5),
        batch_compression: buffer_smol::CompressionType::Zstd,
        ..ProducerConfig::default()
    };
    let producer = Producer::with_store(config, watched.clone(), Arc::new(SystemClock));
    let producer = producer.expect("it is valid");
    let config = ConsumerConfig {
        data_path_prefix: format!("{prefix}/ingest"),
        manifest_path: format!("{prefix}/manifest"),
        poll_interval: Duration::from_millis(5),
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::with_store(config, watched.clone(), Arc::new(SystemClock));
    let consumer = consumer.expect("it is valid");
    consumer.initialize(None).await.expect("it is free");
    for number in 0..5_u8 {
        // So large that it is encoded and decoded on the blocking threads.
        let entry = bytes::Bytes::from(vec![number; 1 << 20]);
        let handle = producer.produce(vec![entry.clone()], "".into()).await;
        let handle = handle.expect("there is room");
        handle.watcher.await_durable().await.expect("the store is well");
        let batch = consumer.wait_batch().await.expect("the store is well");
        assert_eq!(batch.entries, [entry]);
        consumer.ack(batch.sequence).await.expect("it was handed out");
    }
    producer.close().await.expect("everything is settled");
    consumer.close().await.expect("the store is well");
    let calls = watched.calls.load(Ordering::Relaxed);
    assert!(calls >= 15, "{calls} calls were looked at");
    assert_eq!(watched.inside_tokio.load(Ordering::Relaxed), 0, "of {calls} calls");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "threads are listed in /proc")]
fn smol_is_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut stores =
        vec![Named::plain("memory:no-tokio"), Named::plain(directory.path().to_owned())];
    if cfg!(feature = "cloud") {
        stores.extend(stores::servers());
    }
    for named in stores {
        smol::block_on(async {
            round_trip(&named, &stores::fresh("no-tokio")).await;
            assert!(tokio::runtime::Handle::try_current().is_err());
        });
        let threads = threads();
        assert!(threads.iter().any(|name| name.starts_with("smol")), "{threads:?}");
        assert!(!threads.iter().any(|name| name.contains("tokio")), "{threads:?}");
        eprintln!("{}: {threads:?}", named.location);
    }
}

/// Goal: the look would find a runtime if there were one.
#[test]
fn another_runtime_would_be_noticed() {
    let (store, _) = Named::plain("memory:noticed").open();
    let watched = Watched::new(store);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it can be made");
    runtime.block_on(watched.read_nothing());
    assert_eq!(watched.inside_tokio.load(Ordering::Relaxed), 1);
    smol::block_on(watched.read_nothing());
    assert_eq!(watched.calls.load(Ordering::Relaxed), 2);
    assert_eq!(watched.inside_tokio.load(Ordering::Relaxed), 1);
}
