//! The consumer's handle.

mod role;

use std::sync::Arc;

use buffer_core as core;
use buffer_core::{
    AckError, Ended, FlushError, InitializeError, NextError, Now, Sequence, SkipError,
};
use event_listener::Event;
use futures_core::Stream;
use futures_lite::stream;
use role::{Asked, ConsumerRole};
use tracing::{Span, debug_span};

use crate::batch::{BatchDescriptor, ConsumedBatch, Resume, TakeOver};
use crate::config::{ConfigError, ConsumerConfig};
use crate::engine::Engine;
use crate::fetch::FetchHandle;
use crate::host::Host;
use crate::metrics::{ConsumerMetrics, RequestMetrics, queue_name};
use crate::runtime::{Clock, Runtime};
use crate::store::Store;

/// Reads a queue's batches in order, as the only one who does.
///
/// A handle is shared by reference: every method takes `&self`. One that is
/// dropped without [`close`](Self::close) logs a warning, and what was
/// acknowledged is dequeued in the background, as long as its runtime runs.
///
/// While it runs, it also deletes batches that were dequeued, or uploaded and
/// never listed, once no producer can list them any more: every `gc_interval`,
/// unless `gc_enabled` is off. It stops when the consumer is closed, dropped or fenced.
///
/// ```
/// use buffer_driver::{Consumer, NextError};
///
/// /// Takes what is there; works with a consumer of any adapter.
/// async fn drain(consumer: &Consumer) -> Result<usize, NextError> {
///     let mut entries = 0;
///     while let Some(batch) = consumer.next_batch().await? {
///         entries += batch.entries.len(); // store them, with `batch.sequence`, in one transaction
///         consumer.ack(batch.sequence).await.expect("it was just handed out");
///     }
///     Ok(entries)
/// }
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = ProducerConfig { store: "memory:doc consumer".into(), ..ProducerConfig::default() };
/// # let producer = buffer::Producer::new(config, Arc::new(SystemClock))?;
/// # producer.produce(vec!["one".into(), "two".into()], "".into()).await?;
/// # producer.close().await?;
/// # let config = ConsumerConfig { store: "memory:doc consumer".into(), ..ConsumerConfig::default() };
/// # let consumer = buffer::Consumer::new(config, Arc::new(SystemClock))?;
/// consumer.initialize(None).await?;
/// assert_eq!(drain(&consumer).await?, 2);
/// consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    engine: Arc<Engine<ConsumerRole>>,
    fetch: FetchHandle,
}

/// What a consumer has done so far.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # for entry in ["one", "two"] {
/// #     producer.produce(vec![entry.into()], "".into()).await?;
/// #     producer.flush().await?;
/// # }
/// # producer.close().await?;
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// assert_eq!(consumer.next_batch().await?.map(|batch| batch.sequence), Some(0));
/// assert_eq!(consumer.len(), 1, "another one is listed");
/// assert_eq!(consumer.next_batch().await?.map(|batch| batch.sequence), Some(1));
/// assert!(consumer.is_empty());
///
/// consumer.ack_through(1).await?; // both
/// consumer.flush().await?; // the manifest lists neither any more
/// let stats = consumer.stats();
/// assert_eq!((stats.batches, stats.acks, stats.conflicts), (2, 2, 0));
/// assert_eq!(stats.swaps, 2, "the take-over, and one for both batches");
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Batches handed out, descriptors included.
    pub batches: u64,
    /// Batches acknowledged.
    pub acks: u64,
    /// Manifest entries passed over because their batch was taken before.
    pub repeats_dropped: u64,
    /// Manifest swaps sent, for take-over and for dequeuing.
    pub swaps: u64,
    /// Those that were answered with a conflict.
    pub conflicts: u64,
    /// Batches that the collector deleted.
    pub gc_files_deleted: u64,
    /// Batches that it could not delete; one that fails again counts again.
    pub gc_files_failed: u64,
    /// Its cycles, those that ended early included.
    pub gc_cycles: u64,
    /// Names of batches that are remembered so that repeats are noticed.
    pub remembered_names: usize,
}

impl Consumer {
    /// A consumer over a store, on a runtime. Adapters offer more convenient constructors.
    ///
    /// `config.store` is not looked at.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use buffer_driver::{Consumer, ConsumerConfig, MemoryStore, SystemClock};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
    /// let runtime = Arc::new(buffer::TokioRuntime::current()?); // or one of your own
    /// let config = ConsumerConfig { prefetch_batches: 0, ..ConsumerConfig::default() };
    /// let error = Consumer::with_store(&config, store.clone(), clock.clone(), runtime.clone());
    /// let told = "configuration: `prefetch_batches` must be more than zero";
    /// assert_eq!(error.unwrap_err().to_string(), told);
    ///
    /// let consumer = Consumer::with_store(&ConsumerConfig::default(), store, clock, runtime)?;
    /// consumer.initialize(None).await?;
    /// assert_eq!(consumer.next_batch().await?, None);
    /// # consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a field of the configuration cannot work.
    pub fn with_store(
        config: &ConsumerConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, ConfigError> {
        let core_config = config.to_core();
        let manifest = core_config.manifest_path.clone();
        let machine = core::Consumer::new(core_config, runtime.entropy())?;
        let queue = queue_name(&*store, manifest.as_str());
        let requests = Arc::new(RequestMetrics::of_consumer(Arc::clone(&queue)));
        let role = ConsumerRole {
            machine,
            metrics: ConsumerMetrics::new(Arc::clone(&requests)),
            queue,
            cycle: None,
            changed: Event::new(),
            initialized: None,
            stopped: false,
            let_go: false,
        };
        let host = Host::new(runtime, store, clock, requests);
        let fetch = FetchHandle::new(
            host.clone(),
            manifest,
            config.max_batch_bytes,
            config.request_timeout,
        );
        Ok(Self { engine: Engine::start(host, role), fetch })
    }

    /// Takes over the queue: fences whoever consumed it before.
    ///
    /// `last` is the last sequence that was consumed, as the database stored
    /// it; `None` starts at the first batch that is listed. What is listed up
    /// to `last` counts as acknowledged, and is dequeued. Dropping the call
    /// does not stop it: the queue may change hands all the same.
    ///
    /// # Errors
    ///
    /// [`InitializeError`]; above all when the queue does not fit `last`.
    /// [`initialize_with`](Self::initialize_with) can accept that.
    pub async fn initialize(&self, last: Option<u64>) -> Result<TakeOver, InitializeError> {
        self.initialize_with(Resume::after(last)).await
    }

    /// The same, with a say about a queue that does not fit.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use buffer_driver::{ConsumerConfig, MemoryStore, SystemClock};
    /// use buffer_driver::{InitializeError, Resume};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
    /// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
    /// // The database has stored batch 41, and the queue was made anew meanwhile.
    /// let stored = Some(41);
    /// let refused = consumer.initialize(stored).await;
    /// assert!(matches!(refused, Err(InitializeError::AheadOfQueue { .. })));
    /// let resume = Resume { accept_reset: true, ..Resume::after(stored) };
    /// let taken = consumer.initialize_with(resume).await?;
    /// assert_eq!(consumer.epoch(), Some(taken.epoch));
    /// # consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InitializeError`].
    pub async fn initialize_with(&self, resume: Resume) -> Result<TakeOver, InitializeError> {
        self.engine.with(|role, now| {
            role.initialized = None;
            role.machine.initialize(now, resume.to_core())
        })?;
        self.ask(|role, _| {
            let listener = role.changed.listen();
            match (role.initialized.clone(), role.machine.ended()) {
                (Some(result), _) => Ok(result),
                (None, Some(ended)) => Ok(Err(ended.clone().into())),
                (None, None) if role.stopped => Ok(Err(Ended::Stopped.into())),
                (None, None) => Err(listener),
            }
        })
        .await
    }

    /// The next batch, or `None` when a reading of the manifest that began after this call showed no more.
    ///
    /// Batches are fetched ahead from the first call on. Cancel-safe: a call
    /// that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// [`NextError`]. The cursor stays where it is; the next call tries again.
    pub async fn next_batch(&self) -> Result<Option<ConsumedBatch>, NextError> {
        let since = self.engine.look(|role| role.machine.mark());
        self.ask(|role, now| role.next(now, since, false)).await
    }

    /// The next batch, as soon as there is one. Cancel-safe.
    ///
    /// While the queue is empty, the manifest is polled every `poll_interval`,
    /// slowing down to `poll_interval_max`; such a poll transfers no body.
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub async fn wait_batch(&self) -> Result<ConsumedBatch, NextError> {
        let since = self.engine.look(|role| role.machine.mark());
        loop {
            if let Some(batch) = self.ask(|role, now| role.next(now, since, true)).await? {
                return Ok(batch);
            }
        }
    }

    /// Batches as they come, without end, for a consumer that has taken over. It ends after an error
    /// that says [`NextError::Ended`] or [`NextError::NotInitialized`]; any other is followed by another try.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
    /// use futures_lite::StreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
    /// # let config = ProducerConfig::default();
    /// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
    /// # for entry in ["one", "two", "three"] {
    /// #     producer.produce(vec![entry.into()], "".into()).await?;
    /// #     producer.flush().await?;
    /// # }
    /// # producer.close().await?;
    /// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
    /// # consumer.initialize(None).await?;
    /// let mut batches = std::pin::pin!(consumer.stream().take(2));
    /// let mut entries = Vec::new();
    /// while let Some(batch) = batches.try_next().await? {
    ///     consumer.ack(batch.sequence).await?;
    ///     entries.extend(batch.entries);
    /// }
    /// assert_eq!(entries, ["one", "two"]);
    /// # consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&self) -> impl Stream<Item = Result<ConsumedBatch, NextError>> + Send + '_ {
        stream::unfold(false, move |ended| async move {
            if ended {
                return None;
            }
            let item = self.wait_batch().await;
            let ended = matches!(item, Err(NextError::Ended(_) | NextError::NotInitialized));
            Some((item, ended))
        })
    }

    /// Up to `max` of the next descriptors, for a caller that fetches by itself; none when the queue is empty.
    ///
    /// They count as handed out, and are not given again in this consumer's
    /// life. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch), but for errors about one batch.
    pub async fn next_descriptors(&self, max: usize) -> Result<Vec<BatchDescriptor>, NextError> {
        let since = self.engine.look(|role| role.machine.mark());
        self.ask(|role, now| role.next_descriptors(now, since, max)).await
    }

    /// A handle that fetches what [`next_descriptors`](Self::next_descriptors) gave.
    #[must_use]
    pub fn fetch_handle(&self) -> FetchHandle {
        self.fetch.clone()
    }

    /// Says that the next batch in order is done with. Takes no request and never waits.
    ///
    /// # Errors
    ///
    /// [`AckError`] when it was not handed out, is acknowledged already, or
    /// comes too early. Nothing has changed then.
    pub async fn ack(&self, sequence: u64) -> Result<(), AckError> {
        self.ack_span(sequence).in_scope(|| {
            self.engine.with(|role, now| {
                role.check_running()?;
                role.machine.ack(now, Sequence(sequence))?;
                role.metrics.report(&role.machine);
                Ok::<_, AckError>(())
            })
        })?;
        self.end_ack().await;
        Ok(())
    }

    /// Says that this batch and all before it are done with. Takes no request and never waits.
    ///
    /// # Errors
    ///
    /// [`AckError`] when it was not handed out or is acknowledged already.
    pub async fn ack_through(&self, sequence: u64) -> Result<(), AckError> {
        self.ack_span(sequence).in_scope(|| {
            self.engine.with(|role, now| {
                role.check_running()?;
                role.machine.ack_through(now, Sequence(sequence))?;
                role.metrics.report(&role.machine);
                Ok::<_, AckError>(())
            })
        })?;
        self.end_ack().await;
        Ok(())
    }

    fn ack_span(&self, sequence: u64) -> Span {
        debug_span!("ack", queue = %self.engine.host.metrics.queue(), sequence)
    }

    /// Goes past the next batch without handing it out, because it is missing
    /// or corrupt: its entries are lost to this caller.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, Store, SystemClock};
    /// use buffer_driver::NextError;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
    /// # let config = ProducerConfig::default();
    /// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
    /// # for entry in ["one", "two"] {
    /// #     producer.produce(vec![entry.into()], "".into()).await?;
    /// #     producer.flush().await?;
    /// # }
    /// # producer.close().await?;
    /// # let first = store.list(&"ingest".into(), None).await.unwrap().objects.remove(0).location;
    /// # store.delete(vec![first]).await;
    /// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
    /// # consumer.initialize(None).await?;
    /// // Somebody has deleted the first of two batches.
    /// let Err(NextError::BatchMissing { sequence, .. }) = consumer.next_batch().await else {
    ///     panic!("it is gone");
    /// };
    /// consumer.skip(sequence.0).await?; // its entries are lost
    /// let batch = consumer.wait_batch().await?;
    /// assert_eq!(batch.sequence, 1);
    /// assert_eq!(batch.entries, ["two"]);
    /// # consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SkipError`] when `sequence` is not the next one.
    pub async fn skip(&self, sequence: u64) -> Result<(), SkipError> {
        self.engine.with(|role, now| {
            role.check_running()?;
            role.machine.skip(now, Sequence(sequence))
        })?;
        self.end_ack().await;
        Ok(())
    }

    /// Waits until everything acknowledged is dequeued. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`FlushError`]. What is acknowledged stays so, and is tried again.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let mark = self.engine.with(|role, now| role.machine.flush(now));
        self.ask(|role, _| role.flushed(mark)).await
    }

    /// Dequeues what is acknowledged, and ends.
    ///
    /// Ends within `retry_timeout` and `request_timeout` together. Calling it
    /// again is harmless. Cancel-safe: closing goes on in the background.
    ///
    /// # Errors
    ///
    /// [`FlushError`] when acknowledged batches are still listed. That loses
    /// nothing: whoever resumes after the stored sequence does not get them again.
    pub async fn close(&self) -> Result<(), FlushError> {
        let mark = self.engine.with(|role, now| {
            role.let_go = true;
            let mark = role.machine.flush(now);
            role.machine.close(now);
            mark
        });
        self.ask(|role, _| {
            if role.machine.ended().is_some() || role.stopped {
                role.flushed(mark)
            } else {
                Err(role.changed.listen())
            }
        })
        .await
    }

    /// This consumer's epoch, for a database that fences by it; `None` before
    /// it took over and after it ended.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.engine.look(|role| role.machine.epoch()).map(|epoch| epoch.0)
    }

    /// Batches that were listed when the manifest was last read, and are not handed out yet.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.engine.look(|role| role.machine.len())
    }

    /// Whether [`len`](Self::len) is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings the [metrics](crate::metrics) up to date, for whoever is about to read them.
    ///
    /// ```
    /// use buffer_driver::Consumer;
    ///
    /// /// Answers a scrape; `render` is the recorder's, which writes down what it was told last.
    /// fn scrape(consumer: &Consumer, render: impl Fn() -> String) -> String {
    ///     consumer.refresh_metrics(); // the lag has risen since, if nothing was done
    ///     render()
    /// }
    /// # use std::sync::Arc;
    /// # use buffer_driver::{ConsumerConfig, MemoryStore, SystemClock};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
    /// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
    /// # assert_eq!(scrape(&consumer, || "a page".into()), "a page");
    /// # consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh_metrics(&self) {
        self.engine.report();
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        self.engine.look(|role| {
            let stats = role.machine.stats();
            ConsumerStats {
                batches: stats.batches,
                acks: stats.acks,
                repeats_dropped: stats.repeats_dropped,
                swaps: stats.swaps,
                conflicts: stats.conflicts,
                gc_files_deleted: stats.gc_files_deleted,
                gc_files_failed: stats.gc_files_failed,
                gc_cycles: stats.gc_cycles,
                remembered_names: role.machine.remembered_names(),
            }
        })
    }

    /// A simulation may end this process here.
    async fn end_ack(&self) {
        if let Some(after) = self.engine.host.runtime.after_ack() {
            after.await;
        }
    }

    /// Waits until this consumer has ended, and says how.
    pub(crate) async fn ended(&self) -> Ended {
        self.ask(|role, _| {
            let listener = role.changed.listen();
            match role.machine.ended() {
                Some(ended) => Ok(ended.clone()),
                None if role.stopped => Ok(Ended::Stopped),
                None => Err(listener),
            }
        })
        .await
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        &*self.engine.host.runtime
    }

    /// Asks until there is an answer.
    async fn ask<T>(&self, mut ask: impl FnMut(&mut ConsumerRole, Now) -> Asked<T>) -> T {
        loop {
            match self.engine.with(&mut ask) {
                Ok(answer) => return answer,
                Err(listener) => listener.await,
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.engine.with(|role, now| {
            if role.let_go || role.stopped || role.machine.ended().is_some() {
                return;
            }
            buffer_core::sometimes!(ConsumerDropped);
            tracing::warn!("a consumer was dropped without `close`");
            role.let_go = true;
            role.machine.close(now);
        });
    }
}
