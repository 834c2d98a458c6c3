//! What an embedder brings.

use std::future::Future;

use bytes::Bytes;

use super::node::Node;
use super::oracle::AppliedEntry;

/// An error of yours, whatever it is; `?` makes one.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Your consumer and its database, as the kit runs and questions them.
///
/// The value itself is what survives a crash: the disk, or nothing if the database lives in the
/// store. What dies with a process belongs into [`run`](Self::run). The methods may be written as `async fn`.
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
