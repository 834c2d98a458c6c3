//! A machine of the core, hosted in a simulated process: for who embeds the core without the driver.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use buffer_core::format::Codec;
use buffer_core::{
    Command, Completion, Condition, Instant, Location, Machine, Now, Output, StoreError,
    StoreErrorKind, StoreOperation,
};
use buffer_driver::{Runtime, Store, StoreFailure};
use futures_lite::future;

use super::node::Node;

/// Drives a machine of the core in a [`Node`]: does what it asks for on the simulated store, and tells it the time.
///
/// What you do with the machine between two turns is your own code, with no async in it.
///
/// ```
/// use buffer_core::{Consumer, ConsumerConfig, Next, Resume};
/// use buffer_sim::kit::{Settings, World};
///
/// let world = World::new(7, &Settings::default());
/// let queue = world.node("producer").producer(&Default::default())?;
/// let machine = Consumer::new(ConsumerConfig::default(), 7)?;
/// let mut host = world.node("consumer").host(machine);
///
/// let entries = world.runtime().block_on(async {
///     queue.produce(vec!["one".into()], "".into()).await?.watcher.await_durable().await?;
///     let now = host.now();
///     host.machine().initialize(now, Resume::default())?;
///     while host.machine().epoch().is_none() {
///         host.turn().await;
///     }
///     let since = host.machine().mark();
///     loop {
///         let now = host.now();
///         match host.machine().next(now, since, false)? {
///             Next::Ready(batch) => break Ok::<_, Box<dyn std::error::Error>>(batch.entries),
///             Next::Pending => drop(host.turn().await),
///             Next::Empty => panic!("the batch is listed"),
///         }
///     }
/// })?;
/// assert_eq!(entries, ["one"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CoreHost<M> {
    node: Node,
    machine: M,
    mail: Arc<Mutex<Mail>>,
    /// How many requests are under way.
    under_way: usize,
    codec: Codec,
}

/// Answers that the machine has not been given yet.
#[derive(Default)]
struct Mail {
    arrived: Vec<Completion>,
    waker: Option<Waker>,
}

impl<M: Machine> CoreHost<M> {
    pub(super) fn new(node: Node, machine: M) -> Self {
        Self { node, machine, mail: Arc::default(), under_way: 0, codec: Codec::default() }
    }

    /// The machine, to give it inputs.
    ///
    /// ```
    /// use buffer_core::{Consumer, ConsumerConfig};
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let mut host = world.node("consumer").host(Consumer::new(ConsumerConfig::default(), 7)?);
    /// assert_eq!(host.machine().epoch(), None, "it was not told to take the queue over");
    /// # Ok::<(), buffer_core::ConfigError>(())
    /// ```
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Both clocks of its process, for the machine's inputs.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use buffer_core::{Consumer, ConsumerConfig};
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let node = world.node("consumer");
    /// let host = node.host(Consumer::new(ConsumerConfig::default(), 7)?);
    /// let before = host.now();
    /// world.runtime().advance(Duration::from_secs(3));
    /// node.clock().jump_back(Duration::from_secs(60));
    /// let now = host.now();
    /// // Only the wall clock can go back.
    /// assert_eq!(now.monotonic, before.monotonic + Duration::from_secs(3));
    /// assert!(now.wall < before.wall);
    /// # Ok::<(), buffer_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn now(&self) -> Now {
        let (monotonic, wall) = (self.node.monotonic(), self.node.clock().unix_millis());
        Now { monotonic, wall }
    }

    /// Starts what the machine asks for, and gives its events.
    ///
    /// If there are none it first waits until a request is answered or the machine's deadline has
    /// come, and tells the machine. With nothing to wait for it comes back after one step. A turn that is
    /// dropped has lost nothing.
    ///
    /// ```
    /// use buffer_core::{Consumer, ConsumerConfig, Resume};
    /// use buffer_sim::kit::{Settings, World};
    ///
    /// let world = World::new(7, &Settings::default());
    /// let mut host = world.node("consumer").host(Consumer::new(ConsumerConfig::default(), 7)?);
    /// let now = host.now();
    /// host.machine().initialize(now, Resume::default())?;
    /// // Each turn is a request or a rest, and what the machine makes of it.
    /// let turns = world.runtime().block_on(async {
    ///     let mut turns = 0;
    ///     while host.machine().epoch().is_none() {
    ///         host.turn().await;
    ///         turns += 1;
    ///     }
    ///     turns
    /// });
    /// assert!(turns > 1, "to take a queue over is to read its manifest and to write it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn turn(&mut self) -> Vec<M::Event> {
        let (events, deadline) = self.drain();
        if !events.is_empty() {
            return events;
        }
        if self.under_way == 0 && deadline.is_none() {
            self.node.step().await;
            return Vec::new();
        }
        let arrived = self.wait(deadline).await;
        let now = self.now();
        if arrived.is_empty() {
            self.machine.handle_timeout(now);
        }
        for completion in arrived {
            self.under_way -= 1;
            self.machine.handle_completion(now, completion);
        }
        self.drain().0
    }

    fn drain(&mut self) -> (Vec<M::Event>, Option<Instant>) {
        let mut events = Vec::new();
        loop {
            match self.machine.poll() {
                Output::Command(command) => self.start(command),
                Output::Event(event) => events.push(event),
                Output::Idle { deadline } => return (events, deadline),
            }
        }
    }

    /// What has arrived; nothing if the deadline came first.
    async fn wait(&self, deadline: Option<Instant>) -> Vec<Completion> {
        let mail = &self.mail;
        let arrived = poll_fn(move |context| {
            let mut mail = lock(mail);
            if mail.arrived.is_empty() {
                mail.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut mail.arrived))
        });
        let too_late = async {
            match deadline {
                Some(deadline) => self.node.sleep_until(deadline).await,
                None => future::pending().await,
            }
            Vec::new()
        };
        future::or(arrived, too_late).await
    }

    fn start(&mut self, command: Command) {
        let store = self.node.store().clone();
        match command {
            Command::PutBatch(put) => {
                let (location, payload) = (put.location.clone(), put.payload);
                let request =
                    async move { store.write(&location, payload, Condition::Absent).await };
                let error = named(StoreOperation::PutBatch, put.location);
                let ticket = put.ticket;
                self.send(put.timeout, request, |it| ticket.complete(it.map_err(error)));
            }
            Command::CasManifest(cas) => {
                let (location, payload) = (cas.location.clone(), cas.payload);
                let request = async move { store.write(&location, payload, cas.condition).await };
                let error = named(StoreOperation::SwapManifest, cas.location);
                let ticket = cas.ticket;
                self.send(cas.timeout, request, |it| ticket.complete(it.map_err(error)));
            }
            Command::ReadManifest(read) => {
                let location = read.location.clone();
                let request = async move { store.read(&location, read.unless).await };
                let error = named(StoreOperation::ReadManifest, read.location);
                let ticket = read.ticket;
                self.send(read.timeout, request, |it| ticket.complete(it.map_err(error)));
            }
            Command::ReadBatch(read) => {
                let location = read.location.clone();
                let request = async move { store.read(&location, None).await };
                let error = named(StoreOperation::ReadBatch, read.location);
                let ticket = read.ticket;
                self.send(read.timeout, request, |it| ticket.complete(it.map_err(error)));
            }
            Command::ListBatches(list) => {
                let prefix = list.prefix.clone();
                let request = async move { Store::list(&store, &prefix, list.after).await };
                let error = named(StoreOperation::ListBatches, list.prefix);
                let ticket = list.ticket;
                self.send(list.timeout, request, |it| ticket.complete(it.map_err(error)));
            }
            Command::DeleteBatches(delete) => {
                let (keys, locations) = (delete.locations.clone(), delete.locations);
                let request = async move { Ok(Store::delete(&store, keys).await) };
                let ticket = delete.ticket;
                self.send(delete.timeout, request, |it: Result<Vec<_>, StoreFailure>| {
                    let count = locations.len();
                    let results = it.unwrap_or_else(|failure| vec![Err(failure); count]);
                    let results = results.into_iter().zip(locations).map(|(result, location)| {
                        result.map_err(named(StoreOperation::DeleteBatch, location))
                    });
                    ticket.complete(results.collect())
                });
            }
            Command::Encode(encode) => {
                let completion = encode.run(&mut self.codec);
                self.machine.handle_completion(self.now(), completion);
            }
            Command::Decode(decode) => {
                let completion = decode.run(&mut self.codec);
                self.machine.handle_completion(self.now(), completion);
            }
        }
    }

    fn send<T: Send + 'static>(
        &mut self,
        timeout: Duration,
        request: impl Future<Output = Result<T, StoreFailure>> + Send + 'static,
        complete: impl FnOnce(Result<T, StoreFailure>) -> Completion + Send + 'static,
    ) {
        self.under_way += 1;
        let too_late = self.node.sleep_until(self.node.monotonic() + timeout);
        let timed_out = async move {
            too_late.await;
            Err(StoreFailure::from(StoreErrorKind::TimedOut))
        };
        let mail = Arc::clone(&self.mail);
        self.node.spawn(Box::pin(async move {
            let completion = complete(future::or(request, timed_out).await);
            let waker = {
                let mut mail = lock(&mail);
                mail.arrived.push(completion);
                mail.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }));
    }
}

fn lock(mail: &Mutex<Mail>) -> MutexGuard<'_, Mail> {
    mail.lock().expect("nothing panics while it holds the mail")
}

fn named(operation: StoreOperation, location: Location) -> impl FnOnce(StoreFailure) -> StoreError {
    move |failure| {
        let mut error = StoreError::new(failure.kind, operation, location);
        error.source = failure.source;
        error
    }
}

impl<M: fmt::Debug> fmt::Debug for CoreHost<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, machine, under_way, .. } = self;
        f.debug_struct("CoreHost")
            .field("node", node)
            .field("machine", machine)
            .field("under_way", under_way)
            .finish_non_exhaustive()
    }
}
