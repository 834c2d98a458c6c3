//! The library as its users meet it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer_smol::{
    ConfigError, Consumer, ConsumerConfig, Depth, Inspector, InspectorConfig, Producer,
    ProducerConfig, Runtime, SmolRuntime, SystemClock,
};
use opendal::{Operator, services};

#[test]
fn an_operator_that_cannot_compare_and_swap_is_refused_by_name() {
    let operator = Operator::new(services::Memory::default()).expect("it needs nothing");
    let config = ProducerConfig { store: "unused".into(), ..ProducerConfig::default() };
    let refused = Producer::with_operator(config, operator.clone(), Arc::new(SystemClock));
    let Err(ConfigError::NoCompareAndSwap { store, reason }) = &refused else {
        panic!("it was taken: {refused:?}")
    };
    assert!(store.starts_with("memory://") && reason.contains("condition"), "{store}: {reason}");
    let config = ConsumerConfig::default();
    let refused = Consumer::with_operator(config, operator, Arc::new(SystemClock));
    assert!(matches!(refused, Err(ConfigError::NoCompareAndSwap { .. })), "{refused:?}");
    assert!(!Path::new("unused").exists());
}

#[test]
fn what_cannot_be_opened_is_refused_by_name() {
    let refused = |store: &str| {
        let config = ProducerConfig { store: store.into(), ..ProducerConfig::default() };
        Producer::new(config, Arc::new(SystemClock)).expect_err(store)
    };
    let error = refused("https://example.org/dav");
    assert!(matches!(error, ConfigError::NoCompareAndSwap { .. }), "{error}");
    let error = refused("ftp://example.org");
    assert!(matches!(error, ConfigError::UnknownStore { .. }), "{error}");
    let error = refused("s3://bucket?regoin=x");
    assert!(error.to_string().contains("`region`"), "{error}");
    if cfg!(not(feature = "aws")) {
        let error = refused("s3://bucket?region=x");
        assert!(matches!(error, ConfigError::MissingFeature { feature: "aws", .. }), "{error}");
    }
}

/// Goal: the executor of one's own does the work, and the time is the machine's.
#[test]
fn an_executor_of_ones_own_runs_everything() {
    let executor = Arc::new(smol::Executor::new());
    let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime::with_executor(Arc::clone(&executor)));
    let named = "memory:own-executor".into();
    let store = buffer_smol::open_store(&named, &Default::default(), &runtime).expect("it opens");
    let (clock, config) = (Arc::new(SystemClock), ProducerConfig::default());
    let producer = buffer_driver::Producer::with_store(&config, store, clock, runtime);
    let producer = producer.expect("it is valid");
    let begun = Instant::now();
    smol::block_on(executor.run(async {
        let handle = producer.produce(vec!["one".into()], "".into()).await.expect("there is room");
        handle.watcher.await_durable().await.expect("the store is well");
        producer.close().await.expect("everything is settled");
    }));
    assert!(begun.elapsed() >= config.flush_interval, "{:?}", begun.elapsed());
}

#[test]
fn the_runtime_sleeps_works_and_draws() {
    let runtime = SmolRuntime::new();
    let start = runtime.monotonic();
    smol::block_on(runtime.sleep_until(start + Duration::from_millis(30)));
    let slept = runtime.monotonic().saturating_since(start);
    assert!(slept >= Duration::from_millis(30), "{slept:?}");
    smol::block_on(runtime.sleep_until(start));
    let (sender, receiver) = smol::channel::bounded(1);
    runtime.spawn_blocking(Box::new(move || sender.try_send(()).expect("there is room")));
    smol::block_on(receiver.recv()).expect("it ran");
    assert_ne!(runtime.entropy(), runtime.entropy());
}

#[test]
fn an_inspector_looks_at_what_is_there_and_makes_nothing() {
    let clock = || Arc::new(SystemClock);
    let directory = tempfile::tempdir().expect("a directory");
    let queue = directory.path().join("queue");
    let config = InspectorConfig { store: queue.clone().into(), ..InspectorConfig::default() };
    let refused = Inspector::new(config.clone(), clock());
    assert!(matches!(refused, Err(ConfigError::Open { .. })), "{refused:?}");
    assert!(!queue.exists());

    smol::block_on(async {
        let made = ProducerConfig { store: queue.into(), ..ProducerConfig::default() };
        let producer = Producer::new(made, clock()).expect("it opens");
        producer.produce(vec!["one".into()], "".into()).await.expect("there is room");
        producer.close().await.expect("it is delivered");
        let inspector = Inspector::new(config, clock()).expect("it opens");
        let found = inspector.verify(Depth::Decodes).await.expect("it is there");
        assert!(found.is_sound() && found.records == 1, "{found:?}");
    });
}
