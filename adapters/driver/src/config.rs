//! What users configure, as they write it: in code, or in a file through serde.

use std::fmt;
use std::time::Duration;

use buffer_core as core;
use buffer_core::Location;
use serde::{Deserialize, Serialize};

use crate::store::StoreFailure;
use crate::store_url::{CloudStore, StoreLocation, StoreOptions};

/// How a batch's records are compressed.
///
/// ```
/// use buffer_driver::{CompressionType, ProducerConfig};
///
/// let config: ProducerConfig = serde_json::from_str(r#"{ "batch_compression": "zstd" }"#)?;
/// assert_eq!(config.batch_compression, CompressionType::Zstd);
/// assert_eq!(ProducerConfig::default().batch_compression, CompressionType::None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionType {
    /// Not at all.
    #[default]
    None,
    /// Zstandard, level 3.
    Zstd,
}

impl From<CompressionType> for core::format::Compression {
    fn from(compression: CompressionType) -> Self {
        match compression {
            CompressionType::None => Self::None,
            CompressionType::Zstd => Self::Zstd,
        }
    }
}

macro_rules! config {
    (
        $(#[$docs:meta])* $name:ident,
        { $($(#[$field_docs:meta])* $field:ident: $type:ty,)* }
    ) => {
        $(#[$docs])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// Where the queue is kept. Default: the directory `.data`.
            pub store: StoreLocation,
            /// What the store has to be told besides: endpoint, region, keys. Default: nothing.
            pub store_options: StoreOptions,
            /// Batches are named `{data_path_prefix}/{ULID}.batch`. Two queues must not share one. Default: `ingest`.
            pub data_path_prefix: String,
            /// The manifest's key. Default: `ingest/manifest`.
            pub manifest_path: String,
            $($(#[$field_docs])* pub $field: $type,)*
        }
    };
}

config! {
    /// How a [`Producer`](crate::Producer) batches, how much it holds, and how long it tries.
    ///
    /// In a file, durations are written as `"100ms"` or as whole milliseconds; a
    /// field that does not exist is refused.
    ///
    /// ```
    /// use buffer_driver::ProducerConfig;
    ///
    /// let config: ProducerConfig = serde_json::from_str(r#"{ "flush_interval": "250ms" }"#)?;
    /// assert_eq!(config.flush_interval.as_millis(), 250);
    /// assert_eq!(config.flush_size_bytes, 64 << 20);
    /// assert!(serde_json::from_str::<ProducerConfig>(r#"{ "flush_intervall": 250 }"#).is_err());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ProducerConfig, {
        /// How long after its first submission a batch is sealed, if a place in flight is free. Default: 100 ms.
        #[serde(with = "duration")]
        flush_interval: Duration,
        /// At how many bytes of entries and metadata a batch is sealed. Default: 64 MiB.
        flush_size_bytes: usize,
        /// At how many `produce` calls a batch is sealed. Default: 1,000.
        max_buffered_inputs: usize,
        /// How a batch's records are compressed. Default: not at all.
        batch_compression: CompressionType,
        /// How much memory may be taken; past that, `produce` waits. Entries take three quarters of it, or all of it
        /// if there is but one call: the rest is for what is held twice while it is encoded, and for what the
        /// allocator has not given back yet. What is uploaded and waits for the manifest is held only as long as
        /// there is room. Default: 256 MiB.
        max_buffered_bytes: usize,
        /// How many batches may be uploaded at one time; as many are encoded ahead. Up to eight times as many may be
        /// past sealing: those that are uploaded wait for the manifest. Default: 16.
        max_inflight_batches: usize,
        /// How long after it was sealed, or after `flush_interval` if no place was free then,
        /// a batch is given up. Less than half of `gc_grace_period`. Default: 2 min.
        #[serde(with = "duration")]
        delivery_timeout: Duration,
        /// How long the queue's collector leaves a batch alone. It must be the
        /// same for every producer and consumer of the queue: format version 1
        /// cannot check that. Default: 10 min.
        #[serde(with = "duration")]
        gc_grace_period: Duration,
        /// How long to wait for one request before its outcome counts as unknown. Default: 30 s.
        #[serde(with = "duration")]
        request_timeout: Duration,
    }
}

config! {
    /// How a [`Consumer`](crate::Consumer) reads ahead, when it dequeues, and how long it tries.
    ///
    /// Written in a file like [`ProducerConfig`].
    ///
    /// ```
    /// use buffer_driver::ConsumerConfig;
    ///
    /// let config: ConsumerConfig = serde_json::from_str(r#"{ "store": "/srv/queue", "poll_interval": 50 }"#)?;
    /// assert_eq!(config.poll_interval.as_millis(), 50);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ConsumerConfig, {
        /// How many batches may be fetched ahead of the caller. Default: 16.
        prefetch_batches: usize,
        /// How many bytes those may take; one batch is always fetched, whatever its size. Default: 256 MiB.
        prefetch_bytes: usize,
        /// The largest batch that is opened, in bytes of its records. Default: 1 GiB.
        max_batch_bytes: usize,
        /// After how many acknowledgements the manifest is dequeued. Default: 100.
        dequeue_acks: usize,
        /// How long after the first of them it is dequeued at the latest. Default: 1 s.
        #[serde(with = "duration")]
        dequeue_interval: Duration,
        /// How often the manifest is read while a caller waits for a batch. Default: 100 ms.
        #[serde(with = "duration")]
        poll_interval: Duration,
        /// To what that slows down while nothing comes. Default: 2 s.
        #[serde(with = "duration")]
        poll_interval_max: Duration,
        /// Whether batches that were dequeued, or uploaded and never listed, are deleted. Default: yes.
        gc_enabled: bool,
        /// How long the collector rests between two cycles, and before the first. Default: 5 min.
        #[serde(with = "duration")]
        gc_interval: Duration,
        /// How long the queue's collector leaves a batch alone. It must be the
        /// same for every producer and consumer of the queue: format version 1
        /// cannot check that. Default: 10 min.
        #[serde(with = "duration")]
        gc_grace_period: Duration,
        /// How long to wait for one request before its outcome counts as unknown. Default: 30 s.
        #[serde(with = "duration")]
        request_timeout: Duration,
        /// How long a failing request is tried again before the caller is told. Default: 2 min.
        #[serde(with = "duration")]
        retry_timeout: Duration,
    }
}

config! {
    /// What an [`Inspector`](crate::Inspector) has to know of a queue.
    ///
    /// Written in a file like [`ProducerConfig`].
    ///
    /// ```
    /// use buffer_driver::InspectorConfig;
    ///
    /// let config: InspectorConfig = serde_json::from_str(r#"{ "store": "/srv/queue" }"#)?;
    /// assert_eq!(config.manifest_path, "ingest/manifest");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    InspectorConfig, {
        /// The largest batch that is opened, in bytes of its records. Default: 1 GiB.
        max_batch_bytes: usize,
        /// How long the queue's collector leaves a batch alone: that of its producers and consumers. Only
        /// [`sweep`](crate::Inspector::sweep) goes by it. Default: 10 min.
        #[serde(with = "duration")]
        gc_grace_period: Duration,
        /// How long to wait for one request. Default: 30 s.
        #[serde(with = "duration")]
        request_timeout: Duration,
    }
}

impl Default for ProducerConfig {
    fn default() -> Self {
        let core = core::ProducerConfig::default();
        Self {
            store: StoreLocation::default(),
            store_options: StoreOptions::new(),
            data_path_prefix: core.data_path_prefix.to_string(),
            manifest_path: core.manifest_path.to_string(),
            flush_interval: core.flush_interval,
            flush_size_bytes: core.flush_size_bytes,
            max_buffered_inputs: core.max_buffered_inputs,
            batch_compression: CompressionType::None,
            max_buffered_bytes: core.max_buffered_bytes,
            max_inflight_batches: core.max_inflight_batches,
            delivery_timeout: core.delivery_timeout,
            gc_grace_period: core.gc_grace_period,
            request_timeout: core.request_timeout,
        }
    }
}

impl ProducerConfig {
    pub(crate) fn to_core(&self) -> core::ProducerConfig {
        core::ProducerConfig {
            data_path_prefix: Location::new(self.data_path_prefix.as_str()),
            manifest_path: Location::new(self.manifest_path.as_str()),
            flush_interval: self.flush_interval,
            flush_size_bytes: self.flush_size_bytes,
            max_buffered_inputs: self.max_buffered_inputs,
            max_buffered_bytes: self.max_buffered_bytes,
            max_inflight_batches: self.max_inflight_batches,
            batch_compression: self.batch_compression.into(),
            delivery_timeout: self.delivery_timeout,
            gc_grace_period: self.gc_grace_period,
            request_timeout: self.request_timeout,
        }
    }
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        let core = core::ConsumerConfig::default();
        Self {
            store: StoreLocation::default(),
            store_options: StoreOptions::new(),
            data_path_prefix: core.data_path_prefix.to_string(),
            manifest_path: core.manifest_path.to_string(),
            prefetch_batches: core.prefetch_batches,
            prefetch_bytes: core.prefetch_bytes,
            max_batch_bytes: core.max_batch_bytes,
            dequeue_acks: core.dequeue_acks,
            dequeue_interval: core.dequeue_interval,
            poll_interval: core.poll_interval,
            poll_interval_max: core.poll_interval_max,
            gc_enabled: core.gc_enabled,
            gc_interval: core.gc_interval,
            gc_grace_period: core.gc_grace_period,
            request_timeout: core.request_timeout,
            retry_timeout: core.retry_timeout,
        }
    }
}

impl ConsumerConfig {
    pub(crate) fn to_core(&self) -> core::ConsumerConfig {
        core::ConsumerConfig {
            manifest_path: Location::new(self.manifest_path.as_str()),
            data_path_prefix: Location::new(self.data_path_prefix.as_str()),
            prefetch_batches: self.prefetch_batches,
            prefetch_bytes: self.prefetch_bytes,
            max_batch_bytes: self.max_batch_bytes,
            dequeue_acks: self.dequeue_acks,
            dequeue_interval: self.dequeue_interval,
            poll_interval: self.poll_interval,
            poll_interval_max: self.poll_interval_max,
            gc_enabled: self.gc_enabled,
            gc_interval: self.gc_interval,
            gc_grace_period: self.gc_grace_period,
            request_timeout: self.request_timeout,
            retry_timeout: self.retry_timeout,
        }
    }
}

impl Default for InspectorConfig {
    fn default() -> Self {
        let ConsumerConfig {
            store,
            store_options,
            data_path_prefix,
            manifest_path,
            max_batch_bytes,
            gc_grace_period,
            request_timeout,
            ..
        } = ConsumerConfig::default();
        Self {
            store,
            store_options,
            data_path_prefix,
            manifest_path,
            max_batch_bytes,
            gc_grace_period,
            request_timeout,
        }
    }
}

impl InspectorConfig {
    /// A consumer's, which is checked in the same way.
    pub(crate) fn to_core(&self) -> core::ConsumerConfig {
        core::ConsumerConfig {
            manifest_path: Location::new(self.manifest_path.as_str()),
            data_path_prefix: Location::new(self.data_path_prefix.as_str()),
            max_batch_bytes: self.max_batch_bytes,
            gc_grace_period: self.gc_grace_period,
            request_timeout: self.request_timeout,
            ..core::ConsumerConfig::default()
        }
    }
}

/// A configuration or a store that cannot work. Nothing was started, and nothing secret is repeated.
///
/// ```
/// # use std::sync::Arc;
/// use buffer_driver::{ConfigError, ProducerConfig, SystemClock};
///
/// let outside = buffer::Producer::new(ProducerConfig::default(), Arc::new(SystemClock));
/// assert!(matches!(outside, Err(ConfigError::NoRuntime { runtime: "tokio" })));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field cannot have this value.
    #[error("configuration: {0}")]
    Field(#[from] core::ConfigError),
    /// It was called outside a runtime, and the loop has nowhere to run.
    #[error("there is no {runtime} runtime here: call this inside one")]
    NoRuntime {
        /// The runtime's name.
        runtime: &'static str,
    },
    /// The store cannot write on a condition, so no queue can be kept in it.
    #[error("{store} cannot keep a queue: {reason}")]
    NoCompareAndSwap {
        /// The store.
        store: String,
        /// What it lacks.
        reason: String,
    },
    /// An option of the store is unknown, missing, or cannot have this value.
    #[error("store option {option}: {reason}")]
    StoreOption {
        /// The option, or the environment variable that stands for it.
        option: String,
        /// What would be right.
        reason: String,
    },
    /// This build leaves out what it takes to open the store.
    #[error("cannot use the store {store}: build with the feature `{feature}`")]
    MissingFeature {
        /// The store.
        store: String,
        /// The feature to turn on.
        feature: &'static str,
    },
    /// The URL is not one that this adapter understands.
    #[error("cannot use the store {store:?}: {reason}")]
    UnknownStore {
        /// The URL or path.
        store: String,
        /// What would be right.
        reason: String,
    },
    /// The store cannot be opened.
    #[error("cannot open the store {store}: {source}")]
    Open {
        /// The store.
        store: String,
        /// What it said.
        source: core::StoreError,
    },
}

impl ConfigError {
    /// A store that cannot be opened, and why.
    ///
    /// ```
    /// use buffer_driver::{ConfigError, StoreErrorKind, StoreFailure};
    ///
    /// let failure = StoreFailure::new(StoreErrorKind::Denied, "HTTP 403");
    /// let error = ConfigError::cannot_open("s3://orders", failure);
    /// let told =
    ///     "cannot open the store s3://orders: opening s3://orders: the store denied access (HTTP 403)";
    /// assert_eq!(error.to_string(), told);
    /// ```
    pub fn cannot_open(store: impl fmt::Display, failure: StoreFailure) -> Self {
        let store = store.to_string();
        let source = failure.of(core::StoreOperation::Open, Location::from(store.as_str()));
        Self::Open { store, source }
    }

    /// A build that leaves out what it takes to open this bucket: the feature of its provider.
    ///
    /// ```
    /// use buffer_driver::{CloudStore, ConfigError, StoreOptions};
    ///
    /// let bucket = CloudStore::parse("gs://orders", &StoreOptions::new(), &|_| None)?;
    /// let error = ConfigError::missing_feature(&bucket);
    /// assert_eq!(error.to_string(), "cannot use the store gs://orders: build with the feature `gcp`");
    /// # Ok::<(), ConfigError>(())
    /// ```
    #[must_use]
    pub fn missing_feature(cloud: &CloudStore) -> Self {
        Self::MissingFeature { store: cloud.to_string(), feature: cloud.provider().feature() }
    }
}

/// Durations as `"100ms"`, or as whole milliseconds.
mod duration {
    use std::fmt;
    use std::time::Duration;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(DurationVisitor)
    }

    struct DurationVisitor;

    impl Visitor<'_> for DurationVisitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"100ms\" or \"2m\", or whole milliseconds")
        }

        fn visit_u64<E: Error>(self, millis: u64) -> Result<Duration, E> {
            Ok(Duration::from_millis(millis))
        }

        fn visit_i64<E: Error>(self, millis: i64) -> Result<Duration, E> {
            let millis =
                u64::try_from(millis).map_err(|_| E::custom("a duration is not negative"))?;
            self.visit_u64(millis)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text).map_err(|error| {
                E::custom(format_args!("{text:?} is no duration such as \"100ms\": {error}"))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_a_round_trip_and_agree_between_the_roles() {
        let producer = ProducerConfig::default();
        let consumer = ConsumerConfig::default();
        let text = serde_json::to_string(&producer).expect("it is plain data");
        assert_eq!(
            serde_json::from_str::<ProducerConfig>(&text).expect("it was just written"),
            producer
        );
        let text = serde_json::to_string(&consumer).expect("it is plain data");
        assert_eq!(
            serde_json::from_str::<ConsumerConfig>(&text).expect("it was just written"),
            consumer
        );
        assert_eq!(producer.store, consumer.store);
        assert_eq!(producer.data_path_prefix, consumer.data_path_prefix);
        assert_eq!(producer.manifest_path, consumer.manifest_path);
        assert_eq!(producer.gc_grace_period, consumer.gc_grace_period);
        assert_eq!(producer.to_core().validate(), Ok(()));
        assert_eq!(consumer.to_core().validate(), Ok(()));
    }

    #[test]
    fn the_documented_defaults_hold() {
        let producer = ProducerConfig::default();
        assert_eq!(producer.flush_interval, Duration::from_millis(100));
        assert_eq!(producer.flush_size_bytes, 64 << 20);
        assert_eq!(producer.max_buffered_inputs, 1000);
        assert_eq!(producer.batch_compression, CompressionType::None);
        assert_eq!(producer.data_path_prefix, "ingest");
        assert_eq!(producer.manifest_path, "ingest/manifest");
        let consumer = ConsumerConfig::default();
        assert!(consumer.gc_enabled);
        assert_eq!(consumer.gc_interval, Duration::from_secs(300));
        assert_eq!(consumer.gc_grace_period, Duration::from_secs(600));
    }

    #[test]
    fn the_collectors_fields_are_read_and_handed_on() {
        let text = r#"{ "gc_enabled": false, "gc_interval": "30s", "gc_grace_period": "1h" }"#;
        let config: ConsumerConfig = serde_json::from_str(text).expect("it is sound");
        let core = config.to_core();
        let found = (core.gc_enabled, core.gc_interval, core.gc_grace_period);
        assert_eq!(found, (false, Duration::from_secs(30), Duration::from_secs(3600)));
    }

    #[test]
    fn durations_are_texts_or_milliseconds_and_nothing_else() {
        let parse = |value: &str| {
            let text = format!(r#"{{ "flush_interval": {value} }}"#);
            serde_json::from_str::<ProducerConfig>(&text).map(|config| config.flush_interval)
        };
        assert_eq!(parse("\"1m 30s\"").ok(), Some(Duration::from_secs(90)));
        assert_eq!(parse("250").ok(), Some(Duration::from_millis(250)));
        for wrong in ["-1", "1.5", "\"soon\"", "\"10\"", "null", "[]"] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains("duration"), "{wrong}: {error}");
        }
    }
}
