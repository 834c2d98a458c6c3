//! The pipeline's loop.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use buffer_core::{AckError, Ended, NextError};
use futures_lite::future;

use crate::batch::ConsumedBatch;
use crate::consumer::Consumer;
use crate::pipeline::worker::{Fate, Worker};
use crate::pipeline::{PipelineConfig, PipelineError, Poison, Sink};
use crate::runtime::BoxFuture;

/// Stores a consumer's batches in a [`Sink`], several at a time, and acknowledges them in order.
///
/// Batches go to the sink in order. One is acknowledged once it and all before it are stored, or are durable in
/// another queue ([`Poison::Quarantine`]); never before. One that fails is tried again, with back-off; those behind
/// it go on meanwhile, as far as `max_unacknowledged` allows. So `workers` are the batches that are in memory, besides
/// what the consumer fetches ahead.
///
/// What the sink needs for exactly once is told at [`Sink`].
///
/// ```
/// # use std::sync::Arc;
/// use buffer_driver::{ConsumedBatch, Consumer, Pipeline, PipelineConfig, PipelineError, SinkError};
///
/// async fn store(batch: Arc<ConsumedBatch>) -> Result<(), SinkError> {
///     for entry in &batch.entries {
///         str::from_utf8(entry).map_err(SinkError::poison)?;
///     }
///     Ok(()) // stored, with its sequence, unless it was there already
/// }
///
/// async fn follow(consumer: &Consumer) -> Result<(), PipelineError> {
///     let pipeline = Pipeline::new(consumer, PipelineConfig { workers: 8, ..PipelineConfig::default() });
///     let told_to_stop = std::future::pending();
///     let stats = pipeline.run(&store, told_to_stop).await?;
///     println!("{} batches stored", stats.stored);
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Pipeline<'a> {
    pub(super) consumer: &'a Consumer,
    pub(super) config: PipelineConfig,
    pub(super) poison: Poison<'a>,
}

/// What a pipeline did until it was told to stop.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, MemoryStore, ProducerConfig, SystemClock};
/// use std::time::Duration;
/// use buffer_driver::{ConsumedBatch, Pipeline, PipelineConfig};
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
/// # let consumer = buffer::Consumer::with_store(ConsumerConfig::default(), store, clock)?;
/// # consumer.initialize(None).await?;
/// # let stop = async {
/// #     while consumer.stats().acks < 1 || consumer.stats().batches < 2 {
/// #         tokio::task::yield_now().await;
/// #     }
/// # };
/// // A sink that hangs at the second batch.
/// let store = async |batch: Arc<ConsumedBatch>| {
///     if batch.sequence == 1 {
///         std::future::pending::<()>().await;
///     }
///     Ok(())
/// };
/// let config =
///     PipelineConfig { drain_timeout: Duration::from_millis(5), ..PipelineConfig::default() };
/// let stats = Pipeline::new(&consumer, config).run(&store, stop).await?;
/// assert_eq!((stats.stored, stats.quarantined), (1, 0));
/// assert_eq!(stats.unfinished, 1, "it comes again to whoever takes over");
/// # consumer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineStats {
    /// Batches that the sink stored.
    pub stored: u64,
    /// Batches that went to another queue.
    pub quarantined: u64,
    /// Batches that were still under way at `drain_timeout`, or stored behind one that was, and are not acknowledged.
    pub unfinished: usize,
}

impl<'a> Pipeline<'a> {
    /// A pipeline of a consumer that has taken over, which ends at poison.
    ///
    /// Nobody else may take or acknowledge this consumer's batches while it runs.
    #[must_use]
    pub fn new(consumer: &'a Consumer, config: PipelineConfig) -> Self {
        Self { consumer, config, poison: Poison::Stop }
    }

    /// Sets what becomes of poison.
    #[must_use]
    pub fn on_poison(self, poison: Poison<'a>) -> Self {
        Self { poison, ..self }
    }

    /// Stores batches until `stop` ends; then takes no more, and waits for those under way.
    ///
    /// All of it happens in the task that waits for this: a sink that computes or blocks starts a task or a thread
    /// for that. Acknowledged batches are dequeued as the consumer is configured, or by its `close`.
    ///
    /// A consumer that is fenced learns that at its next look at the manifest: while it waits for a batch, or
    /// when it dequeues. The sink's calls are dropped then, and nothing more is acknowledged.
    ///
    /// A call of this that is dropped drops the sink's calls. What was stored in order is acknowledged; the other
    /// batches come again to whoever takes over, which may be this consumer, by `initialize`.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub async fn run<S: Sink>(
        &self,
        sink: &S,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<PipelineStats, PipelineError> {
        self.config.validate()?;
        let mut work = Work {
            pipeline: self,
            sink,
            taken: VecDeque::new(),
            active: Vec::new(),
            stats: PipelineStats::default(),
            failure: None,
        };
        work.take_until(pin!(stop)).await?;
        let runtime = self.consumer.runtime();
        let mut late = runtime.sleep_until(runtime.monotonic() + self.config.drain_timeout);
        work.drain_until(late.as_mut()).await?;
        work.stats.unfinished = work.taken.len();
        work.failure.map_or(Ok(work.stats), Err)
    }
}

/// What happened next.
enum Turn {
    Stop,
    Ended(Ended),
    Done(u64, Result<Fate, PipelineError>),
    Next(Result<ConsumedBatch, NextError>),
}

/// A batch that was handed out.
struct Taken {
    sequence: u64,
    done: bool,
}

/// What is under way.
struct Work<'a, S> {
    pipeline: &'a Pipeline<'a>,
    sink: &'a S,
    /// In the order in which they were handed out; the first is not done.
    taken: VecDeque<Taken>,
    active: Vec<(u64, BoxFuture<'a, Result<Fate, PipelineError>>)>,
    stats: PipelineStats,
    /// The first that there was. Nothing is taken after it.
    failure: Option<PipelineError>,
}

impl<'a, S: Sink> Work<'a, S> {
    /// Takes batches until it is to stop, or something fails. An error leaves nothing to wait for.
    async fn take_until(
        &mut self,
        mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(), PipelineError> {
        let PipelineConfig { workers, max_unacknowledged, .. } = self.pipeline.config;
        while self.failure.is_none() {
            let takes = self.active.len() < workers && self.taken.len() < max_unacknowledged;
            match self.turn(stop.as_mut(), takes).await {
                Turn::Next(Ok(batch)) => self.start(batch),
                Turn::Next(Err(error)) => self.failure = Some(PipelineError::Next(error)),
                Turn::Done(sequence, result) => self.finish(sequence, result).await?,
                Turn::Ended(ended) => return Err(ended.into()),
                Turn::Stop => break,
            }
        }
        Ok(())
    }

    /// Waits for what is under way, and no longer than until `late` ends. An error leaves nothing to wait for.
    async fn drain_until(
        &mut self,
        mut late: Pin<&mut (impl Future<Output = ()> + Send + ?Sized)>,
    ) -> Result<(), PipelineError> {
        while !self.active.is_empty() {
            match self.turn(late.as_mut(), false).await {
                Turn::Next(_) => unreachable!("nothing is taken"),
                Turn::Done(sequence, result) => self.finish(sequence, result).await?,
                Turn::Ended(ended) => return Err(ended.into()),
                Turn::Stop => break,
            }
        }
        Ok(())
    }

    /// Waits for the next thing to happen, of several the one that matters most.
    async fn turn(
        &mut self,
        stop: Pin<&mut (impl Future<Output = ()> + Send + ?Sized)>,
        takes: bool,
    ) -> Turn {
        let consumer = self.pipeline.consumer;
        let ended = async { Turn::Ended(consumer.ended().await) };
        let stop = async {
            stop.await;
            Turn::Stop
        };
        let next = async {
            if !takes {
                return future::pending().await;
            }
            match consumer.wait_batch().await {
                Err(NextError::Ended(ended)) => Turn::Ended(ended),
                result => Turn::Next(result),
            }
        };
        future::or(ended, future::or(self.done(), future::or(stop, next))).await
    }

    async fn done(&mut self) -> Turn {
        poll_fn(|context| {
            for at in 0..self.active.len() {
                let (sequence, worker) = &mut self.active[at];
                if let Poll::Ready(result) = worker.as_mut().poll(context) {
                    let sequence = *sequence;
                    drop(self.active.swap_remove(at));
                    return Poll::Ready(Turn::Done(sequence, result));
                }
            }
            Poll::Pending
        })
        .await
    }

    fn start(&mut self, batch: ConsumedBatch) {
        let sequence = batch.sequence;
        let worker = Worker { pipeline: self.pipeline, sink: self.sink, batch: Arc::new(batch) };
        self.taken.push_back(Taken { sequence, done: false });
        self.active.push((sequence, Box::pin(worker.deliver())));
    }

    /// Notes what became of a batch, and acknowledges it if all before it are done with.
    async fn finish(
        &mut self,
        sequence: u64,
        result: Result<Fate, PipelineError>,
    ) -> Result<(), PipelineError> {
        match result {
            Ok(Fate::Stored) => self.stats.stored += 1,
            Ok(Fate::Quarantined) => self.stats.quarantined += 1,
            Err(error) => {
                self.failure.get_or_insert(error);
                return Ok(());
            }
        }
        let taken = self.taken.iter_mut().find(|taken| taken.sequence == sequence);
        taken.expect("what is done was taken").done = true;
        while let Some(Taken { sequence, .. }) = self.taken.pop_front_if(|taken| taken.done) {
            // One by one: `ack_through` would take what an earlier run, or somebody else, took and did not store.
            match self.pipeline.consumer.ack(sequence).await {
                Ok(()) => {}
                Err(AckError::Ended(ended)) => return Err(ended.into()),
                Err(source) => return Err(PipelineError::Ack { sequence, source }),
            }
        }
        Ok(())
    }
}
