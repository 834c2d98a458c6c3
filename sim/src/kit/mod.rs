//! Proves that your own database gets each entry exactly once, in simulated worlds.
//!
//! You embed opendata-buffer: a consumer of yours reads batches and applies them to a database of
//! yours. [`check`] runs that consumer in one world for each seed. In each of them producers submit
//! entries, requests fail and lose their answers, clocks are wrong, and your consumer's process
//! crashes before one step or another, is started again, or is paused until another one has taken
//! over. At the end the database must have every entry once and in order. If one world fails, the
//! kit looks for the smallest that fails the same way, and tells you what happened in it. All that
//! is an ordinary test: no flags, no threads, no sleeping, and the same every time.
//!
//! # In ten minutes
//!
//! 1. Put `opendata-buffer-sim` under `[dev-dependencies]`.
//! 2. Implement [`Application`]: `run` is a life of your consumer, `applied` tells what your database has.
//! 3. Call [`check`] in a plain `#[test]`, not in a `#[tokio::test]`.
//!
//! Entries are `entry 0`, `entry 1` and so on. A database that expects another format has
//! [`Application::entry`] make them; `Bytes` is [`buffer_sim::bytes`](crate::bytes)'s.
//!
//! This database stores entries, and then how far it got. Between the two it may crash:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use buffer_sim::kit::{self, AnyError, AppliedEntry, Application, Node, ViolationKind};
//! use buffer_sim::buffer_driver::ConsumerConfig;
//!
//! /// What is on its disk, which survives a crash.
//! #[derive(Default)]
//! struct Disk {
//!     rows: Vec<AppliedEntry>,
//!     last: Option<u64>,
//! }
//!
//! #[derive(Default)]
//! struct Database {
//!     disk: Mutex<Disk>,
//!     in_one_transaction: bool,
//! }
//!
//! impl Application for Database {
//!     async fn run(&self, node: Node) -> Result<(), AnyError> {
//!         let consumer = node.consumer(&ConsumerConfig::default())?;
//!         let last = self.disk.lock().unwrap().last;
//!         consumer.initialize(last).await?;
//!         loop {
//!             let batch = consumer.wait_batch().await?;
//!             let sequence = batch.sequence;
//!             let rows = batch.entries.into_iter().map(|entry| AppliedEntry { sequence, entry });
//!             {
//!                 let mut disk = self.disk.lock().unwrap();
//!                 // Another life may have stored it meanwhile.
//!                 if disk.last < Some(sequence) {
//!                     disk.rows.extend(rows);
//!                     node.record(format_args!("stores the rows of {sequence}"));
//!                     if self.in_one_transaction {
//!                         disk.last = Some(sequence);
//!                     }
//!                 }
//!             }
//!             if !self.in_one_transaction {
//!                 node.step().await; // the second commit is another one
//!                 self.disk.lock().unwrap().last = Some(sequence);
//!                 node.record(format_args!("stores that {sequence} is done"));
//!             }
//!             consumer.ack(sequence).await?;
//!         }
//!     }
//!
//!     async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
//!         Ok(self.disk.lock().unwrap().rows.clone())
//!     }
//! }
//!
//! let failure = kit::check(0..200, |_| Database::default()).expect_err("it is wrong");
//! assert_eq!(failure.violation.kind(), ViolationKind::Repeated);
//! println!("{failure}");
//! // A single entry, and a single life that ends badly, at the wrong moment.
//! assert_eq!((failure.plan.entries, failure.plan.lives.len()), (1, 1));
//! assert!(failure.plan.faults.is_empty());
//!
//! let mended = |_: &kit::World| Database { in_one_transaction: true, ..Database::default() };
//! let met = kit::check(0..200, mended).expect("every entry is applied once and in order");
//! assert!(met.crashes > 100);
//! ```
//!
//! In your own test you write `kit::check(0..1000, |_| ...).expect("exactly once")`. The example `key_value` is a
//! whole database over `object_store` with the same bug, and without it. It prints this:
//!
//! ```text
//! seed 1: sequence 0: entry "apples 1" was applied 2 times
//!
//!    0.000  consumer 1: starts
//!    0.070  consumer 1: takes the queue over, in epoch 1
//!    0.130  producer: lists sequence 0: "apples 1"
//!    0.210  consumer 1: writes database/table
//!    0.220  consumer 1: crashes before step 25
//!    2.149  consumer 2: starts
//!    2.219  consumer 2: takes the queue over, in epoch 2
//!    2.259  consumer 2: writes database/table
//!    2.279  consumer 2: writes database/sequence
//!    3.299  consumer 2: dequeues all before sequence 1
//!
//! the smallest of 55 worlds that were tried for this; the first was:
//!     entries=17 pause@178+46078 crash@7 crash@544 crash@10 throttle@33
//! to see it again, and every request, with the closure of your `check`:
//!     let failure = buffer_sim::kit::replay(1, &"entries=1 crash@25".parse().unwrap(), |_| ...).unwrap_err();
//!     println!("{failure}\n{}", failure.trace.join("\n"));
//! ```
//!
//! The kit sees what is written to the store of the world. A database in memory or on a disk tells of its
//! writes by [`Node::record`], as the one above does. [`Failure::trace`] has every request, and
//! `late@7` in a line of a story is a word of the [`Plan`].
//!
//! # Your code, unchanged
//!
//! Your code runs on one thread and in virtual time: nothing really waits, so that an hour passes
//! in a moment. It is the same every time as long as it has its time, its chance and its
//! tasks from the kit. [`check`] runs its first world twice and says where the two part,
//! if they do.
//!
//! | your code has | in the kit |
//! |---|---|
//! | `buffer::Consumer`, `buffer_smol::Consumer` | both dereference to [`buffer_driver::Consumer`], which [`Node::consumer`] gives. Write your loop for a `&buffer_driver::Consumer`: it is `&buffer::buffer_driver::Consumer`, `&buffer_smol::buffer_driver::Consumer` and `&buffer_sim::buffer_driver::Consumer`, all the same type, and a `&buffer::Consumer` is passed for one as it is |
//! | an `Arc<dyn ObjectStore>` | `Arc::new(node.store().clone())`, with the feature `object-store` |
//! | an `Arc<dyn Store>` of the driver | the same |
//! | an `Arc<dyn Runtime>`, an `Arc<dyn Clock>` | `Arc::new(node.clone())`, `Arc::new(node.clock().clone())` |
//! | a machine of [`buffer_core`], with no async at all | [`Node::host`], or the machine in a loop of your own |
//! | channels, locks and events of `async-channel`, `async-lock`, `event-listener`, `futures`, `tokio::sync` | as they are: they depend on no runtime |
//!
//! | what is not the same every time, or does not work | instead |
//! |---|---|
//! | `tokio::spawn`, `spawn_blocking`, `smol::spawn` | [`Node::start`], or `spawn` and `spawn_blocking` of [`Runtime`](buffer_driver::Runtime) |
//! | `tokio::time`, `async_io::Timer` | [`Node::sleep`], or `sleep_until` of `Runtime` |
//! | `std::thread::sleep`: works, but you wait for it, no virtual time passes, and nothing crashes in it | the same |
//! | `tokio::select!`, which begins with any of its branches | the same with `biased;` as its first line, or `futures_lite::future::or`, or `select` of `futures` (not its `select!`, but `select_biased!`) |
//! | `std::thread`, rayon, `block_on` within a task | a task; [`Node::step`] where another thread might come between |
//! | `Instant::now()` | `monotonic` of `Runtime` |
//! | `SystemTime::now()`, `Utc::now()` | [`Node::clock`], which is a [`Clock`](buffer_driver::Clock) |
//! | `rand::rng()`, `fastrand`, `Uuid::new_v4()` | [`Node::random`], or a generator that is seeded from it |
//! | the order of a `HashMap` or `HashSet`, which is drawn anew in each process | `BTreeMap`, `IndexMap`, or a fixed hasher |
//! | an order by the addresses of objects | a number of your own |
//! | `static`s that one world leaves to the next | a field of what the closure of [`check`] makes |
//! | files and sockets | they work, but take no virtual time, meet no fault, and are no place to crash at but for [`Node::step`]; make them afresh for each world |
//!
//! # What is a crash
//!
//! Each time that a task of a process begins or goes on after an `await` is a step of that process, counted from
//! one: `crashes before step 25` means that it took 24. In a crash all its tasks are dropped between two steps. Code
//! that never waits is not interrupted: between two effects of an embedded database put [`Node::step`]. `ack` of a
//! consumer waits for nothing, but in the kit it is a place to crash at. What had been sent takes its course.
//! What [`Application`] itself holds is what survives: if it models a disk, keep in it only what was synced.
//!
//! An acknowledgement tells the queue that it may forget, and must come after the commit. Usually the queue forgets
//! a second later, or after a hundred of them; in half of the worlds it does so at once
//! ([`Settings::dequeues_at_once`], `dequeue=1` in a plan), and some lives crash in an `ack` (`crash@ack2`), so that
//! one that comes before its commit shows. A machine of the core knows of neither: set its `dequeue_acks` by
//! [`Node::dequeues_at_once`], and put [`Node::step`] behind its `ack`.
//!
//! # What must hold
//!
//! The kit sees every version of the manifest and every batch. What was ever listed must be in effect
//! once, in the order of sequences and of the entries in each batch; what a producer was told to be
//! durable must have been listed; and everything must be consumed within
//! [`Settings::time_limit`]. There is one excuse: a batch that version 1 of the format listed a second
//! time, under a second sequence, may be in effect under both (see the README, "The one repeat").
//! [`Oracle`] is that judgement alone, for worlds that you write by hand.
//!
//! # By hand
//!
//! [`World`] has what a check is made of: [`World::node`] makes processes, with
//! [`Process::crash`](crate::Process::crash), `crash_at_request`, `pause`, `resume` and a
//! [`clock`](crate::Process::clock) that is set wrong by `jump` and `set_drift`; to restart one is to make another.
//! [`SimStore::fault`](crate::SimStore::fault) decides by a closure what becomes of requests, for as long as its
//! guard lives.
//!
//! ```
//! use std::time::Duration;
//!
//! use buffer_sim::buffer_driver::ConsumerConfig;
//! use buffer_sim::kit::{Settings, World};
//! use buffer_sim::{Moment, Verdict};
//!
//! let world = World::new(1, &Settings::default());
//! let producer = world.node("producer").producer(&Default::default())?;
//! let (first, second) = (world.node("first"), world.node("second"));
//! second.clock().jump_back(Duration::from_secs(3600));
//!
//! world.runtime().block_on(async {
//!     producer.produce(vec!["one".into()], "".into()).await?.watcher.await_durable().await?;
//!
//!     // The first one dies when its third request has been done, and its answer is on the way.
//!     first.process().crash_at_request(3, Moment::Applied);
//!     let consumer = first.consumer(&ConsumerConfig::default())?;
//!     let life = first.start(async move {
//!         consumer.initialize(None).await?;
//!         Ok::<_, kit::AnyError>(consumer.next_batch().await?)
//!     });
//!     assert!(life.await.is_none(), "it crashed");
//!
//!     // The second one finds reads slow, and gets the batch.
//!     let _slow = world.store().fault(|request| {
//!         if request.is_read() { Verdict::Delay(Duration::from_secs(1)) } else { Verdict::Pass }
//!     });
//!     let consumer = second.consumer(&ConsumerConfig::default())?;
//!     consumer.initialize(None).await?;
//!     let batch = consumer.next_batch().await?.expect("it was not acknowledged");
//!     assert_eq!(batch.entries, ["one"]);
//!     Ok::<_, kit::AnyError>(())
//! })?;
//! # use buffer_sim::kit;
//! # Ok::<(), kit::AnyError>(())
//! ```

mod application;
mod check;
mod core_host;
mod course;
mod failure;
mod log;
mod node;
mod oracle;
mod plan;
mod settings;
mod shrink;
mod story;
mod summary;
mod violation;
mod world;

pub use application::{AnyError, Application};
pub use check::{check, replay};
pub use core_host::CoreHost;
pub use failure::Failure;
pub use node::Node;
pub use oracle::{AppliedEntry, Oracle};
pub use plan::{End, Fault, FaultKind, Life, Plan, PlanError};
pub use settings::Settings;
pub use summary::Summary;
pub use violation::{Violation, ViolationKind};
pub use world::World;
