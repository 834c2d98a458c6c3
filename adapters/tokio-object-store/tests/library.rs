//! The library as its users meet it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use buffer::{
    BatchDescriptor, ConfigError, Consumer, ConsumerConfig, Depth, FetchHandle, InspectError,
    Inspector, InspectorConfig, Producer, ProducerConfig, StoreLocation, SystemClock,
};
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

type Failed = Box<dyn std::error::Error>;

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock)
}

fn producer_config(store: impl Into<StoreLocation>) -> ProducerConfig {
    let flush_interval = Duration::from_millis(5);
    ProducerConfig { store: store.into(), flush_interval, ..ProducerConfig::default() }
}

fn consumer_config(store: impl Into<StoreLocation>) -> ConsumerConfig {
    let poll_interval = Duration::from_millis(5);
    ConsumerConfig { store: store.into(), poll_interval, ..ConsumerConfig::default() }
}

/// Writes one batch and reads it back.
async fn round_trip(producer: &Producer, consumer: &Consumer) -> Result<String, Failed> {
    let handle = producer.produce(vec!["one".into(), "two".into()], "about".into()).await?;
    handle.watcher.await_durable().await?;
    producer.close().await?;
    consumer.initialize(None).await?;
    let batch = consumer.next_batch().await?.ok_or("the queue is empty")?;
    assert_eq!(batch.entries, ["one", "two"]);
    assert_eq!(batch.metadata.len(), 1);
    assert_eq!(batch.metadata[0].payload, "about");
    assert_eq!(batch.metadata[0].ingestion_time_ms, handle.ingestion_time_ms);
    consumer.ack(batch.sequence).await?;
    consumer.flush().await?;
    assert!(consumer.next_batch().await?.is_none());
    consumer.close().await?;
    Ok(batch.location)
}

#[test]
fn outside_a_runtime_is_a_configuration_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("queue");
    let producer = Producer::new(producer_config(store.clone()), clock());
    assert!(matches!(producer, Err(ConfigError::NoRuntime { runtime: "tokio" })), "{producer:?}");
    let consumer = Consumer::new(consumer_config(store.clone()), clock());
    assert!(matches!(consumer, Err(ConfigError::NoRuntime { .. })), "{consumer:?}");
    assert!(!store.exists(), "nothing was started");
}

#[tokio::test]
async fn a_client_of_ones_own_works_end_to_end() -> Result<(), Failed> {
    let client: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let producer =
        Producer::with_object_store(producer_config("unused"), Arc::clone(&client), clock())?;
    let consumer = Consumer::with_object_store(consumer_config("unused"), client, clock())?;
    round_trip(&producer, &consumer).await?;
    assert!(!Path::new("unused").exists(), "`config.store` is not looked at");
    Ok(())
}

#[tokio::test]
async fn a_client_that_cannot_compare_and_swap_is_refused_by_name() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let client = Arc::new(LocalFileSystem::new_with_prefix(directory.path())?);
    let refused = Producer::with_object_store(ProducerConfig::default(), client, clock());
    let Err(error @ ConfigError::NoCompareAndSwap { .. }) = refused else {
        panic!("it was taken: {refused:?}")
    };
    assert!(error.to_string().contains("LocalFileSystem"), "{error}");
    let refused = Producer::new(producer_config("https://example.org/dav"), clock());
    let Err(error @ ConfigError::NoCompareAndSwap { .. }) = refused else {
        panic!("it was taken: {refused:?}")
    };
    assert!(error.to_string().contains("https://example.org/dav"), "{error}");
    Ok(())
}

#[cfg(not(feature = "aws"))]
#[tokio::test]
async fn a_bucket_without_its_feature_is_an_error_that_names_it() {
    let refused = Producer::new(producer_config("s3://bucket/queue"), clock());
    let Err(error @ ConfigError::MissingFeature { feature: "aws", .. }) = refused else {
        panic!("it was taken: {refused:?}")
    };
    assert!(error.to_string().contains("s3://bucket"), "{error}");
    assert!(error.to_string().contains("feature `aws`"), "{error}");
}

#[tokio::test]
async fn a_memory_store_is_shared_by_its_name() -> Result<(), Failed> {
    let producer = Producer::new(producer_config("memory:shared"), clock())?;
    let consumer = Consumer::new(consumer_config("memory:shared"), clock())?;
    let other = Consumer::new(consumer_config("memory:other"), clock())?;
    round_trip(&producer, &consumer).await?;
    other.initialize(None).await?;
    assert!(other.next_batch().await?.is_none());
    other.close().await?;
    Ok(())
}

#[test]
fn a_field_that_does_not_exist_is_refused_by_name() {
    let error = serde_json::from_str::<ProducerConfig>(r#"{ "flush_size": 1 }"#);
    let error = error.expect_err("it is a misspelling").to_string();
    assert!(error.contains("flush_size") && error.contains("flush_size_bytes"), "{error}");
    let error = serde_json::from_str::<ConsumerConfig>(r#"{ "prefetch": 1 }"#);
    assert!(error.expect_err("it is a misspelling").to_string().contains("prefetch_batches"));
}

#[tokio::test]
async fn a_fetch_handle_goes_anywhere() -> Result<(), Failed> {
    fn assert_portable<T: Clone + Send + Sync + 'static>(_: &T) {}

    let producer = Producer::new(producer_config("memory:fetch"), clock())?;
    for entry in ["a", "b", "c"] {
        producer.produce(vec![entry.into()], Bytes::new()).await?;
        producer.flush().await?;
    }
    let consumer = Consumer::new(consumer_config("memory:fetch"), clock())?;
    consumer.initialize(None).await?;
    let handle = consumer.fetch_handle();
    assert_portable(&handle);
    let descriptors = consumer.next_descriptors(10).await?;
    let fetches = descriptors.into_iter().map(|descriptor| {
        let handle = handle.clone();
        tokio::spawn(fetch(handle, descriptor))
    });
    let mut entries = Vec::new();
    for fetch in fetches.collect::<Vec<_>>() {
        entries.push(fetch.await?.map_err(|error| error.to_string())?);
    }
    assert_eq!(entries, ["a", "b", "c"]);
    consumer.ack_through(2).await?;
    consumer.close().await?;
    Ok(())
}

async fn fetch(handle: FetchHandle, descriptor: BatchDescriptor) -> Result<Bytes, String> {
    let batch = handle.fetch(descriptor).await.map_err(|error| error.to_string())?;
    batch.entries.first().cloned().ok_or_else(|| "it is empty".to_owned())
}

#[tokio::test]
async fn batches_come_as_a_stream_that_waits() -> Result<(), Failed> {
    let producer = Producer::new(producer_config("memory:stream"), clock())?;
    let consumer = Consumer::new(consumer_config("memory:stream"), clock())?;
    consumer.initialize(None).await?;
    let feed = async {
        for number in 0..5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            producer.produce(vec![format!("{number}").into()], Bytes::new()).await?;
            producer.flush().await?;
        }
        Ok::<(), Failed>(())
    };
    let read = async {
        let mut batches = Box::pin(consumer.stream().take(5));
        let mut entries = Vec::new();
        while let Some(batch) = batches.next().await {
            entries.extend(batch?.entries);
        }
        Ok::<_, Failed>(entries)
    };
    let ((), entries) = tokio::try_join!(feed, read)?;
    assert_eq!(entries, ["0", "1", "2", "3", "4"]);
    producer.close().await?;
    consumer.close().await?;
    Ok(())
}

#[tokio::test]
async fn awkward_names_are_kept_as_they_are() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for prefix in ["~", "a b", "[x]", "#1", "100%", "%7E", "é", "~a/[b] #%25/é"] {
        let prefix = prefix.to_owned();
        let manifest = format!("{prefix}/the manifest~");
        let producer = |store: StoreLocation| ProducerConfig {
            data_path_prefix: prefix.clone(),
            manifest_path: manifest.clone(),
            ..producer_config(store)
        };
        let consumer = |store: StoreLocation| ConsumerConfig {
            data_path_prefix: prefix.clone(),
            manifest_path: manifest.clone(),
            ..consumer_config(store)
        };

        let client = Arc::new(InMemory::new());
        let shared: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(&client);
        let unused = StoreLocation::default();
        let location = round_trip(
            &Producer::with_object_store(producer(unused.clone()), Arc::clone(&shared), clock())?,
            &Consumer::with_object_store(consumer(unused), shared, clock())?,
        )
        .await?;
        assert!(location.starts_with(&format!("{prefix}/")), "{location}");
        let listed: Vec<_> = client.list(None).collect::<Vec<_>>().await;
        let listed: Vec<String> = listed
            .into_iter()
            .map(|meta| Ok(meta?.location.into()))
            .collect::<Result<_, Failed>>()?;
        assert!(listed.contains(&location), "{listed:?}");
        assert!(listed.contains(&manifest), "{listed:?}");

        let store = StoreLocation::Directory(directory.path().to_owned());
        let location = round_trip(
            &Producer::new(producer(store.clone()), clock())?,
            &Consumer::new(consumer(store), clock())?,
        )
        .await?;
        assert!(directory.path().join(&location).is_file(), "{location}");
        assert!(directory.path().join(&manifest).is_file(), "{manifest}");
    }
    Ok(())
}

/// Names the role that this test binary plays in the current directory, when it runs itself.
const ROLE: &str = "BUFFER_TEST_ROLE";

#[tokio::test]
async fn role_in_another_process() -> Result<(), Failed> {
    match std::env::var(ROLE).as_deref() {
        Ok("produce") => {
            let producer = Producer::new(ProducerConfig::default(), clock())?;
            let handle = producer.produce(vec!["from afar".into()], Bytes::new()).await?;
            handle.watcher.await_durable().await?;
            producer.close().await?;
        }
        Ok("consume") => {
            let consumer = Consumer::new(ConsumerConfig::default(), clock())?;
            consumer.initialize(None).await?;
            let batch = consumer.next_batch().await?.ok_or("the queue is empty")?;
            assert_eq!(batch.entries, ["from afar"]);
            consumer.ack(batch.sequence).await?;
            consumer.close().await?;
        }
        Ok(other) => panic!("there is no role {other}"),
        // Not asked to play any.
        Err(_) => {}
    }
    Ok(())
}

#[test]
fn defaults_in_two_processes_share_a_queue() {
    let directory = tempfile::tempdir().expect("a directory");
    for role in ["produce", "consume"] {
        let output = Command::new(std::env::current_exe().expect("this test has a path"))
            .args(["--exact", "role_in_another_process"])
            .env(ROLE, role)
            .current_dir(directory.path())
            .output()
            .expect("this test runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{role}: {stdout}");
    }
    assert!(directory.path().join(".data/ingest/manifest").is_file());
}

#[tokio::test]
async fn an_inspector_looks_at_what_is_there_and_makes_nothing() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let store = StoreLocation::from(directory.path().join("queue"));
    let config = InspectorConfig { store: store.clone(), ..InspectorConfig::default() };
    let refused = Inspector::new(config.clone(), clock());
    assert!(matches!(refused, Err(ConfigError::Open { .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(directory.path())?.count(), 0);

    let consumer = Consumer::new(consumer_config(store.clone()), clock())?;
    let inspector = Inspector::new(config, clock())?;
    let nothing = inspector.read().await;
    assert!(matches!(nothing, Err(InspectError::NoQueue { .. })), "{nothing:?}");
    round_trip(&Producer::new(producer_config(store), clock())?, &consumer).await?;
    let reading = inspector.read().await?;
    let status = inspector.status(&reading);
    assert_eq!((status.epoch, status.next_sequence, status.depth), (1, 1, 0));
    let found = inspector.verify(Depth::Decodes).await?;
    assert!(found.is_sound() && found.orphans == 1, "{found:?}");
    assert_eq!(inspector.objects(&reading).await?.orphan_bytes, found.orphan_bytes);
    assert!(found.orphan_bytes > 0, "a listing tells lengths");
    Ok(())
}
