//! The store that is measured, with a queue of its own in it.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use buffer::buffer_core::Location;
use buffer::measure::{CountingStore, SlowStore, Slowness};
use buffer::{
    ConsumerConfig, MemoryStore, ProducerConfig, Runtime, Store, StoreLocation, TokioRuntime,
};

use crate::exit::Failure;
use crate::queue;
use crate::say::say;

use super::options::Where;
use super::timers::ExactTimers;

/// How many objects are deleted in one request.
const DELETED_AT_ONCE: usize = 256;

/// A queue that nobody else has, and what was asked of its store.
#[derive(Debug)]
pub(crate) struct Place {
    /// The store as it is: not slow, and not counted.
    pub(crate) base: Arc<dyn Store>,
    /// The store that is measured.
    pub(crate) store: Arc<CountingStore<Arc<dyn Store>>>,
    data_path_prefix: String,
    manifest_path: String,
    /// What is made, and deleted at the end, if the store outlives this process.
    made: Option<Made>,
}

/// A queue in a store that stays.
#[derive(Debug)]
struct Made {
    top: String,
    directory: Option<PathBuf>,
    keep: bool,
}

impl Place {
    /// The store that was asked for; `dress` puts something over one in
    /// memory, given the prefix of batches and the manifest's key.
    pub(crate) fn open(
        wanted: &Where,
        latency: Duration,
        dress: impl FnOnce(Arc<dyn Store>, &str, Location) -> Arc<dyn Store>,
    ) -> Result<Self, Failure> {
        let Some(location) = &wanted.queue else { return Self::in_memory(wanted, latency, dress) };
        queue::refuse_memory(location)?;
        let top = format!("bench-{:012x}", fastrand::u64(..1 << 48));
        let base = queue::open(location, &wanted.told.parse()?)?;
        let directory = location.directory().map(|path| path.to_owned());
        let made = Made { top: top.clone(), directory, keep: wanted.keep };
        let manifest_path = format!("{top}/manifest");
        let store = CountingStore::new(Arc::clone(&base), manifest_path.as_str().into());
        Ok(Self {
            base,
            store: Arc::new(store),
            data_path_prefix: format!("{top}/ingest"),
            manifest_path,
            made: Some(made),
        })
    }

    fn in_memory(
        wanted: &Where,
        latency: Duration,
        dress: impl FnOnce(Arc<dyn Store>, &str, Location) -> Arc<dyn Store>,
    ) -> Result<Self, Failure> {
        let runtime: Arc<dyn Runtime> =
            Arc::new(ExactTimers::over(Arc::new(TokioRuntime::current()?)));
        let ProducerConfig { data_path_prefix, manifest_path, .. } = ProducerConfig::default();
        let memory = Arc::new(MemoryStore::new("bench"));
        let base = dress(memory, &data_path_prefix, manifest_path.as_str().into());
        let slowness = Slowness {
            latency,
            latency_p99: wanted.latency_p99,
            bandwidth: wanted.bandwidth.map(|megabytes| (megabytes * 1e6) as u64),
            key_rate: wanted.key_rate,
            seed: wanted.seed,
        };
        let slow: Arc<dyn Store> = Arc::new(SlowStore::new(Arc::clone(&base), slowness, runtime));
        let store = Arc::new(CountingStore::new(slow, manifest_path.as_str().into()));
        Ok(Self { base, store, data_path_prefix, manifest_path, made: None })
    }

    /// Whether bodies stay in this process's memory until somebody deletes them.
    pub(crate) const fn is_memory(&self) -> bool {
        self.made.is_none()
    }

    pub(crate) fn manifest(&self) -> Location {
        Location::from(self.manifest_path.as_str())
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.data_path_prefix
    }

    /// A configuration for this queue.
    pub(crate) fn producer_config(&self, config: ProducerConfig) -> ProducerConfig {
        let (data_path_prefix, manifest_path) =
            (self.data_path_prefix.clone(), self.manifest_path.clone());
        ProducerConfig { data_path_prefix, manifest_path, ..config }
    }

    /// A configuration for this queue.
    pub(crate) fn consumer_config(&self, config: ConsumerConfig) -> ConsumerConfig {
        let (data_path_prefix, manifest_path) =
            (self.data_path_prefix.clone(), self.manifest_path.clone());
        ConsumerConfig { data_path_prefix, manifest_path, ..config }
    }

    /// The measured store, as a producer or a consumer takes it.
    pub(crate) fn measured(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// Deletes the queue, if it would stay.
    pub(crate) async fn clean_up(&self) {
        let Some(Made { top, directory, keep }) = &self.made else { return };
        if *keep {
            say!("the queue is kept: {} in {}", self.manifest_path, self.base);
            return;
        }
        if let Err(left) = self.delete_all(top).await {
            say!("could not delete all below {top}/ in {}: {left}", self.base);
        }
        if let Some(directory) = directory {
            // What is not empty stays: the rest is somebody's.
            for below in [&self.data_path_prefix, top] {
                let _ = fs::remove_dir(directory.join(below));
            }
        }
    }

    async fn delete_all(&self, top: &str) -> Result<(), String> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = self.base.list(&Location::from(top), after).await;
            let page = page.map_err(|failure| failure.kind.to_string())?;
            keys.extend(page.objects.into_iter().map(|object| object.location));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for some in keys.chunks(DELETED_AT_ONCE) {
            for result in self.base.delete(some.to_vec()).await {
                result.map_err(|failure| failure.kind.to_string())?;
            }
        }
        Ok(())
    }
}

/// How the measured store is called in a report.
pub(crate) fn name(wanted: &Where) -> String {
    fn or_memory(queue: Option<&StoreLocation>) -> &dyn fmt::Display {
        match queue {
            Some(queue) => queue,
            None => &"memory",
        }
    }
    or_memory(wanted.queue.as_ref()).to_string()
}
