//! What an embedder brings.

use std::future::Future;

use bytes::Bytes;

use super::node::Node;
use super::oracle::AppliedEntry;

/// An error of yours, whatever it is; `?` makes one.
///
/// ```
/// use buffer_sim::kit::AnyError;
///
/// fn sequence(row: &str) -> Result<u64, AnyError> {
///     let (_, number) = row.split_once('=').ok_or("the row has no sequence")?;
///     Ok(number.parse()?)
/// }
///
/// assert_eq!(sequence("last=7")?, 7);
/// let told = |row| sequence(row).expect_err("it is damaged").to_string();
/// assert_eq!(told("last"), "the row has no sequence");
/// assert_eq!(told("last=x"), "invalid digit found in string");
/// # Ok::<(), AnyError>(())
/// ```
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Your consumer and its database, as the kit runs and questions them.
///
/// The value itself is what survives a crash: the disk, or nothing if the database lives in the
/// store. What dies with a process belongs into [`run`](Self::run). The methods may be written as `async fn`.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// use buffer_sim::buffer_driver::ConsumerConfig;
/// use buffer_sim::bytes::Bytes;
/// use buffer_sim::kit::{self, AnyError, AppliedEntry, Application, Node, Settings, World};
///
/// /// A table on a disk. Its last row says how far it has got, so that no crash comes between the two.
/// #[derive(Default)]
/// struct Database(Mutex<Vec<AppliedEntry>>);
///
/// impl Application for Database {
///     async fn run(&self, node: Node) -> Result<(), AnyError> {
///         let consumer = node.consumer(&ConsumerConfig::default())?;
///         let last = self.0.lock().map_err(|_| "it is free")?.last().map(|row| row.sequence);
///         consumer.initialize(last).await?;
///         loop {
///             let batch = consumer.wait_batch().await?;
///             let sequence = batch.sequence;
///             {
///                 let mut rows = self.0.lock().map_err(|_| "it is free")?;
///                 // A life that was paused may come back when another has stored this.
///                 if rows.last().is_none_or(|last| last.sequence < sequence) {
///                     let entries = batch.entries.into_iter();
///                     rows.extend(entries.map(|entry| AppliedEntry { sequence, entry }));
///                 }
///             }
///             node.record(format_args!("stores sequence {sequence}"));
///             consumer.ack(sequence).await?;
///         }
///     }
///
///     async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
///         Ok(self.0.lock().map_err(|_| "it is free")?.clone())
///     }
///
///     fn entry(&self, number: u64) -> Bytes {
///         format!("apples {number}").into()
///     }
/// }
///
/// // In many worlds, as a test does it:
/// let met = kit::check(0..20, |_| Database::default()).expect("exactly once");
/// assert!(met.crashes > 0 && met.entries > 0);
///
/// // By hand, and with one life:
/// let world = World::new(7, &Settings::default());
/// let (producer, node) = (world.node("producer"), world.node("consumer"));
/// let producer = producer.producer(&Default::default())?;
/// let database = Arc::new(Database::default());
/// let (own, life) = (Arc::clone(&database), node.clone());
/// let _life = node.start(async move { own.run(life).await });
/// world.runtime().block_on(async {
///     let entries = vec![database.entry(3)];
///     producer.produce(entries, "".into()).await?.watcher.await_durable().await?;
///     world.runtime().sleep(Duration::from_secs(60)).await;
///     let rows = database.applied(world.node("reader")).await?;
///     assert_eq!(rows, [AppliedEntry { sequence: 0, entry: "apples 3".into() }]);
///     Ok::<_, AnyError>(())
/// })?;
/// # Ok::<(), AnyError>(())
/// ```
pub trait Application: Send + Sync + 'static {
    /// One life of your consumer: opens the database, takes the queue over where the database says, and consumes.
    ///
    /// It goes on until it is dropped, which is a crash. One that ends by itself is started again
    /// after a while, as a supervisor would, whether or not with an error. It may use what the
    /// [`Node`] has, and no time, chance or thread besides.
    ///
    /// A life may be paused until after another has begun; see [`Settings::pauses`](super::Settings::pauses).
    fn run(&self, node: Node) -> impl Future<Output = Result<(), AnyError>> + Send;

    /// Every entry that is in effect, in the order in which it took effect.
    ///
    /// It is asked once, at the end, after all processes have crashed and while the store is
    /// well. Read what is durable, as a new life would. A database that forgets (a counter, a key
    /// that is written over) keeps a journal for this while it is tested: one more row, in the same
    /// transaction as the entry's effect.
    fn applied(
        &self,
        node: Node,
    ) -> impl Future<Output = Result<Vec<AppliedEntry>, AnyError>> + Send;

    /// The entry that is submitted as the one of this number, counted from zero: `entry 0`, `entry 1` and so on,
    /// unless you make them in your own format. `Bytes` is [`buffer_sim::bytes::Bytes`](crate::bytes::Bytes).
    fn entry(&self, number: u64) -> Bytes {
        format!("entry {number}").into()
    }
}
