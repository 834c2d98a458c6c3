//! Submissions while answers are lost: every one settles, and what it is told is true.
//!
//! Producers send through something that loses answers after their requests were applied: a
//! [`Proxy`](super::proxy::Proxy) before a server, or a [`WireServer`](super::wire::WireServer).
//! Afterwards a consumer whose answers are not lost reads the queue, and every submission is held
//! against what its producer was told: durable ones are there once, those that were reported
//! as not delivered are not, and those of unknown outcome are there at most once.
//!
//! The client's own retries must be off: each write of the store has to be one write on the wire,
//! and what came twice there was sent twice from here.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use buffer_driver::{Runtime, Store};
//! use buffer_driver::contract::proxy::{Fate, Losses, Proxy, Scope};
//! use buffer_driver::contract::queue::Side;
//! use buffer_driver::contract::submissions::{self, Plan};
//!
//! # fn open_s3(endpoint: &str) -> Arc<dyn Store> { unimplemented!("{endpoint}") }
//! # async fn example(runtime: Arc<dyn Runtime>) -> Result<(), Box<dyn std::error::Error>> {
//! let losses = Losses::of(Scope::Writes, 7).losing(Fate::Closed, 100).losing(Fate::Answer(500), 100);
//! let proxy = Proxy::start("127.0.0.1:5000".parse()?, losses)?;
//! let lossy = Side::new(open_s3(&proxy.url()), Arc::clone(&runtime));
//! let direct = Side::new(open_s3("http://127.0.0.1:5000"), runtime);
//! let summary = submissions::settle(&Plan::default(), &proxy, lossy, direct, "lossy-4711".into()).await?;
//! println!("{summary}");
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buffer_core::{
    Condition, DeliveryError, ListCursor, ListPage, Location, ReadOutcome, Rope, Version,
    WriteOutcome,
};
use bytes::Bytes;

use super::draw::fingerprint;
use super::queue::{Keys, Side, broken};
use super::report::Violation;
use super::tasks::{Task, within};
use crate::client::StoreClient;
use crate::config::{ConsumerConfig, ProducerConfig};
use crate::consumer::Consumer;
use crate::producer::Producer;
use crate::store::{Store, StoreFailure};

type Result<T = (), E = Violation> = std::result::Result<T, E>;

/// How much is sent, and for how long it is tried.
///
/// ```
/// use buffer_driver::contract::submissions::Plan;
///
/// // Fewer, in larger batches, for a slow server.
/// let plan = Plan { submissions: 120, submissions_per_batch: 20, ..Plan::default() };
/// assert_eq!(plan.submissions / plan.submissions_per_batch as u64, 6);
/// assert!(plan.delivery_timeout > plan.request_timeout, "a lost answer leaves time to look");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many submissions there are, of one entry each. Default: 500.
    pub submissions: u64,
    /// How many producers send them, taking turns at the manifest. Default: 3.
    pub producers: u64,
    /// How many submissions go into a batch. Default: 5.
    pub submissions_per_batch: usize,
    /// How long one request may take. Default: 30 s.
    pub request_timeout: Duration,
    /// How long a batch is tried. Default: 60 s.
    pub delivery_timeout: Duration,
    /// How long the whole may take. Default: 10 min.
    pub time_limit: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            submissions: 500,
            producers: 3,
            submissions_per_batch: 5,
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(60),
            time_limit: Duration::from_secs(600),
        }
    }
}

/// What became of the submissions.
///
/// ```
/// # use std::fmt;
/// # use std::sync::Arc;
/// # use std::sync::atomic::{AtomicU64, Ordering};
/// # use buffer_driver::buffer_core::*;
/// # use buffer_driver::{MemoryStore, StoreClient, StoreFailure};
/// use buffer_driver::contract::queue::Side;
/// use buffer_driver::contract::submissions::{self, Plan, Witness, Witnessed};
///
/// /// Stores all that it is given, and loses every fifth answer to a write.
/// # #[derive(Debug)]
/// struct Lossy(Arc<MemoryStore>, AtomicU64);
/// impl Witness for Lossy {
///     fn witnessed(&self) -> Witnessed {
///         let writes = self.1.load(Ordering::SeqCst);
///         Witnessed { writes, repeated_writes: 0, lost: [("answer".into(), writes / 5)].into() }
///     }
/// }
/// # impl fmt::Display for Lossy {
/// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
/// #         f.write_str("a lossy store")
/// #     }
/// # }
/// # type Result<T, E = StoreFailure> = std::result::Result<T, E>;
/// # impl StoreClient for Lossy {
/// #     async fn put(&self, key: Location, bytes: Rope, when: Condition) -> Result<WriteOutcome> {
/// #         let outcome = self.0.put(key, bytes, when).await;
/// #         let is_lost = (self.1.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(5);
/// #         if is_lost { Err(StoreErrorKind::TimedOut.into()) } else { outcome }
/// #     }
/// #     async fn get(&self, key: Location, unless: Option<Version>) -> Result<ReadOutcome> {
/// #         self.0.get(key, unless).await
/// #     }
/// #     async fn page(&self, prefix: Location, after: Option<ListCursor>) -> Result<ListPage> {
/// #         self.0.page(prefix, after).await
/// #     }
/// #     async fn remove(&self, keys: Vec<Location>) -> Vec<Result<()>> {
/// #         self.0.remove(keys).await
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// let store = Arc::new(MemoryStore::new("x"));
/// let lossy = Arc::new(Lossy(store.clone(), AtomicU64::new(0)));
/// let (through, direct) = (Side::new(lossy.clone(), runtime.clone()), Side::new(store, runtime));
/// let plan = Plan { submissions: 50, ..Plan::default() };
/// let summary = submissions::settle(&plan, &*lossy, through, direct, "lossy-4711".into()).await?;
/// assert_eq!((summary.durable, summary.unknown), (50, 0), "there was time to look");
/// assert_eq!(summary.lost["answer"], summary.writes / 5);
/// assert!(summary.to_string().starts_with("50 durable, 0 not delivered, 0 unknown"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Submissions that were reported as durable; all of them were there, once.
    pub durable: u64,
    /// Submissions that were reported as not delivered; none of them was there.
    pub not_delivered: u64,
    /// Submissions whose outcome was reported as unknown.
    pub unknown: u64,
    /// Those of them that were there, once.
    pub unknown_and_there: u64,
    /// Batches that the queue had.
    pub batches: u64,
    /// Calls of [`Store::write`]; on the wire there are as many, but for those that were given up.
    pub writes: u64,
    /// Those of them that the buffer had sent before: the same key, condition and contents.
    pub repeated_writes: u64,
    /// Answers that were lost, and how.
    pub lost: BTreeMap<String, u64>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} durable, {} not delivered, {} unknown ({} of them there), in {} batches; \
             {} writes ({} of them again), answers lost: {:?}; {:.1?}",
            self.durable,
            self.not_delivered,
            self.unknown,
            self.unknown_and_there,
            self.batches,
            self.writes,
            self.repeated_writes,
            self.lost,
            self.took,
        )
    }
}

/// What a producer was told about a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Durable,
    NotDelivered,
    Unknown,
}

/// What sees the requests of clients, and loses answers.
///
/// ```
/// use buffer_driver::contract::submissions::{Witness, Witnessed};
///
/// /// A gateway of one's own: how many writes it let pass, and how many answers it kept back.
/// struct Gateway(u64, u64);
///
/// impl Witness for Gateway {
///     fn witnessed(&self) -> Witnessed {
///         Witnessed { writes: self.0, repeated_writes: 0, lost: [("kept".into(), self.1)].into() }
///     }
/// }
/// assert_eq!(Gateway(7, 2).witnessed().lost["kept"], 2);
/// ```
pub trait Witness: Sync {
    /// What it has seen so far.
    fn witnessed(&self) -> Witnessed;
}

/// What a [`Witness`] has seen.
///
/// ```
/// use std::io::{Write, read_to_string};
/// use std::net::TcpStream;
/// use buffer_driver::contract::submissions::Witness;
/// use buffer_driver::contract::wire::{Fault, Faults, Options, WireServer};
///
/// let faults = Faults::of(7).with(Fault::LostReply, 1.0)?;
/// let server = WireServer::start(&Options { faults, ..Options::default() })?;
/// let mut socket = TcpStream::connect(server.address())?;
/// socket.write_all(b"PUT /bucket/key HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")?;
/// assert_eq!(read_to_string(socket)?, "", "the connection is closed without an answer");
/// let seen = server.witnessed();
/// assert_eq!((seen.writes, seen.repeated_writes, seen.lost["lost-reply"]), (1, 0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// Requests to write one object.
    pub writes: u64,
    /// Those of them that had been seen before: the same key, condition and contents.
    pub repeated_writes: u64,
    /// Answers that were lost, by the way in which they were.
    pub lost: BTreeMap<String, u64>,
}

impl Witnessed {
    /// What is new since then.
    fn since(&self, before: &Self) -> Self {
        let lost_before = |way: &str| before.lost.get(way).copied().unwrap_or_default();
        let lost = self.lost.iter().map(|(way, count)| (way.clone(), count - lost_before(way)));
        Self {
            writes: self.writes - before.writes,
            repeated_writes: self.repeated_writes - before.repeated_writes,
            lost: lost.collect(),
        }
    }
}

/// Sends through `lossy`, whose client speaks to `witness`, and looks through `direct`.
///
/// # Errors
///
/// [`Violation`], with the fact that does not hold; also if no answer was lost.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::MemoryStore;
/// use buffer_driver::contract::queue::Side;
/// use buffer_driver::contract::submissions::{self, Plan};
/// use buffer_driver::contract::wire::{Options, WireServer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(buffer::TokioRuntime::current()?);
/// # let side = Side::new(Arc::new(MemoryStore::new("x")), runtime);
/// // The witness was left without faults, so all went well and nothing is shown by it.
/// let server = WireServer::start(&Options::default())?;
/// let told = submissions::settle(&Plan::default(), &server, side.clone(), side, "x".into()).await;
/// let told = told.expect_err("a mistake in the test's set-up").to_string();
/// assert_eq!(told, "answers_are_lost: expected some, saw none, so nothing was shown");
/// # Ok(())
/// # }
/// ```
pub async fn settle(
    plan: &Plan,
    witness: &dyn Witness,
    lossy: Side,
    direct: Side,
    prefix: Location,
) -> Result<Summary> {
    let (runtime, limit) = (Arc::clone(&direct.runtime), plan.time_limit);
    let work = settle_all(plan, witness, lossy, direct, prefix);
    within(&runtime, limit, work).await.unwrap_or_else(|| {
        let check = "every_submission_settles";
        Err(violation(check, format!("an end within {limit:?}"), "that it still runs"))
    })
}

async fn settle_all(
    plan: &Plan,
    witness: &dyn Witness,
    lossy: Side,
    direct: Side,
    prefix: Location,
) -> Result<Summary> {
    let start = direct.runtime.monotonic();
    let keys = Keys::below(&prefix);
    let before = witness.witnessed();
    let counted = Arc::new(Counted { store: Arc::clone(&lossy.store), sent: Mutex::default() });
    let sides = Side { store: Arc::clone(&counted) as Arc<dyn Store>, ..lossy };
    let tasks: Vec<_> = (0..plan.producers.max(1))
        .map(|number| {
            let (plan, side, keys) = (plan.clone(), sides.clone(), keys.clone());
            Task::start(
                &side.runtime.clone(),
                async move { send(&plan, side, &keys, number).await },
            )
        })
        .collect();
    let mut told = BTreeMap::new();
    for task in tasks {
        told.extend(task.join().await?);
    }
    let seen = witness.witnessed().since(&before);
    if seen.lost.values().sum::<u64>() == 0 {
        return Err(violation("answers_are_lost", "some", "none, so nothing was shown"));
    }
    let (writes, repeated_writes) = {
        let sent = counted.sent();
        check_wire(&sent, &seen)?;
        (sent.writes, sent.repeated_writes)
    };
    let (found, batches) = read_all(&direct, &keys).await?;
    let lost = seen.lost;
    let mut summary = Summary { batches, writes, repeated_writes, lost, ..Summary::default() };
    compare(&told, &found, plan.producers.max(1), &mut summary)?;
    summary.took = direct.runtime.monotonic().saturating_since(start);
    Ok(summary)
}

/// Whether the writes on the wire are those that were sent from here.
///
/// What the buffer gave up waiting for may never have got there. What a client sends again by
/// itself is the same write once more, and that is one more than was sent.
fn check_wire(sent: &Sent, seen: &Witnessed) -> Result {
    let all_arrived = sent.writes.saturating_sub(sent.given_up)..=sent.writes;
    let is_right =
        all_arrived.contains(&seen.writes) && seen.repeated_writes <= sent.repeated_writes;
    if is_right {
        return Ok(());
    }
    let told = |writes, again| format!("{writes} writes on the wire, {again} of them again");
    let expected = told(sent.writes, sent.repeated_writes);
    let expected = format!("{expected}, but for {} that were given up", sent.given_up);
    let seen = told(seen.writes, seen.repeated_writes);
    Err(violation("each_write_is_one_request", expected, seen))
}

/// One producer's submissions, with what it was told of each.
async fn send(plan: &Plan, side: Side, keys: &Keys, number: u64) -> Result<Vec<(u64, Told)>> {
    let config = ProducerConfig {
        data_path_prefix: keys.batches.clone(),
        manifest_path: keys.manifest.clone(),
        flush_interval: Duration::from_millis(5),
        max_buffered_inputs: plan.submissions_per_batch,
        request_timeout: plan.request_timeout,
        delivery_timeout: plan.delivery_timeout,
        gc_grace_period: plan.delivery_timeout * 3,
        ..ProducerConfig::default()
    };
    let producer = Producer::with_store(&config, side.store, side.clock, side.runtime)
        .map_err(|error| broken("a_producer_can_be_made", &error))?;
    let mut watchers = Vec::new();
    for submission in (0..plan.submissions).filter(|place| place % plan.producers.max(1) == number)
    {
        let entry = Bytes::from(format!("submission {submission}"));
        let submitted = producer.produce(vec![entry], Bytes::new()).await;
        let handle = submitted.map_err(|error| broken("a_submission_is_taken", &error))?;
        watchers.push((submission, handle.watcher));
    }
    // What failed is told by each watcher.
    let _ = producer.close().await;
    let mut told = Vec::new();
    for (submission, watcher) in watchers {
        let outcome = match watcher.await_durable().await {
            Ok(()) => Told::Durable,
            Err(DeliveryError::NotDelivered(_)) => Told::NotDelivered,
            Err(_) => Told::Unknown,
        };
        told.push((submission, outcome));
    }
    Ok(told)
}

/// All submissions that the queue has, in its order.
async fn read_all(side: &Side, keys: &Keys) -> Result<(Vec<u64>, u64)> {
    let config = ConsumerConfig {
        data_path_prefix: keys.batches.clone(),
        manifest_path: keys.manifest.clone(),
        gc_enabled: false,
        ..ConsumerConfig::default()
    };
    let Side { store, runtime, clock } = side.clone();
    let consumer = Consumer::with_store(&config, store, clock, runtime)
        .map_err(|error| broken("a_consumer_can_be_made", &error))?;
    let taken = consumer.initialize(None).await;
    taken.map_err(|error| broken("the_queue_can_be_taken_over", &error))?;
    let (mut found, mut batches) = (Vec::new(), 0);
    loop {
        let next = consumer.next_batch().await;
        let Some(batch) = next.map_err(|error| broken("every_batch_can_be_read", &error))? else {
            break;
        };
        batches += 1;
        for entry in &batch.entries {
            let text = std::str::from_utf8(entry).unwrap_or_default();
            let number = text.strip_prefix("submission ").and_then(|number| number.parse().ok());
            let Some(number) = number else {
                let seen = format!("{entry:?} in batch {}", batch.sequence);
                return Err(violation("entries_come_back_as_they_went", "a submission", seen));
            };
            found.push(number);
        }
        let acked = consumer.ack(batch.sequence).await;
        acked.map_err(|error| broken("a_batch_can_be_acknowledged", &error))?;
    }
    consumer.close().await.map_err(|error| broken("a_consumer_closes", &error))?;
    Ok((found, batches))
}

fn compare(
    told: &BTreeMap<u64, Told>,
    found: &[u64],
    producers: u64,
    summary: &mut Summary,
) -> Result {
    let mut times = BTreeMap::<u64, u64>::new();
    let mut last = BTreeMap::<u64, u64>::new();
    for number in found {
        *times.entry(*number).or_default() += 1;
        if let Some(earlier) = last.insert(number % producers, *number)
            && earlier >= *number
        {
            let seen = format!("{number} after {earlier}");
            let check = "submissions_of_a_producer_come_in_order";
            return Err(violation(check, "rising numbers", seen));
        }
    }
    if let Some(strange) = times.keys().find(|number| !told.contains_key(number)) {
        return Err(violation("nothing_comes_that_was_not_sent", "what was sent", strange));
    }
    for (number, told) in told {
        let count = times.get(number).copied().unwrap_or_default();
        let (check, is_right) = match told {
            Told::Durable => ("what_is_durable_is_there_once", count == 1),
            Told::NotDelivered => ("what_was_not_delivered_is_not_there", count == 0),
            Told::Unknown => ("what_is_unknown_is_there_at_most_once", count <= 1),
        };
        if !is_right {
            let seen = format!("submission {number} {count} times");
            return Err(violation(check, format!("what {told:?} says"), seen));
        }
        match told {
            Told::Durable => summary.durable += 1,
            Told::NotDelivered => summary.not_delivered += 1,
            Told::Unknown => {
                summary.unknown += 1;
                summary.unknown_and_there += count;
            }
        }
    }
    Ok(())
}

fn violation(check: &str, expected: impl fmt::Display, seen: impl fmt::Display) -> Violation {
    Violation { check: check.to_owned(), expected: expected.to_string(), seen: seen.to_string() }
}

/// A store whose writes are counted as they are sent.
#[derive(Debug)]
struct Counted {
    store: Arc<dyn Store>,
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    writes: u64,
    /// Those of them that had been sent before.
    repeated_writes: u64,
    /// Those whose answer nobody waited for to its end.
    given_up: u64,
    known: BTreeSet<[u8; 32]>,
}

impl Counted {
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, location: &Location, payload: &Rope, condition: &Condition) {
        let condition = format!("{condition:?}");
        let contents = payload.concat();
        let parts = [location.as_str().as_bytes(), condition.as_bytes(), &contents];
        let write = fingerprint(parts);
        let mut sent = self.sent();
        sent.writes += 1;
        // Until it has ended, it may be dropped at any time.
        sent.given_up += 1;
        if !sent.known.insert(write) {
            sent.repeated_writes += 1;
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl StoreClient for Counted {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.count(&location, &payload, &condition);
        let result = self.store.write(&location, payload, condition).await;
        self.sent().given_up -= 1;
        result
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.store.read(&location, unless).await
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.store.list(&prefix, after).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.store.delete(locations).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_again_by_itself_is_one_too_many() {
        let sent = Sent { writes: 9, repeated_writes: 2, given_up: 3, ..Sent::default() };
        let is_right = |writes, repeated_writes| {
            check_wire(&sent, &Witnessed { writes, repeated_writes, ..Witnessed::default() })
                .is_ok()
        };
        assert!(is_right(9, 2) && is_right(6, 0));
        assert!(!is_right(10, 2), "one more than was sent");
        assert!(!is_right(5, 0), "one was not given up, and is not there");
        assert!(!is_right(9, 3), "the same came again, and one that was given up did not come");
    }

    fn compared(told: &[(u64, Told)], found: &[u64]) -> Result<Summary, String> {
        let mut summary = Summary::default();
        let told = told.iter().copied().collect();
        compare(&told, found, 2, &mut summary).map_err(|violation| violation.check)?;
        Ok(summary)
    }

    #[test]
    fn what_was_told_is_held_against_what_is_there() {
        use Told::{Durable, NotDelivered, Unknown};
        let told = [(0, Durable), (1, NotDelivered), (2, Unknown), (3, Unknown), (4, Durable)];
        let summary = compared(&told, &[0, 3, 4]).expect("it all fits");
        let Summary { durable, not_delivered, unknown, unknown_and_there, .. } = summary;
        assert_eq!([durable, not_delivered, unknown, unknown_and_there], [2, 1, 2, 1]);
        let wrong: [(&[u64], &str); 6] = [
            (&[0], "what_is_durable_is_there_once"),
            (&[0, 1, 4], "what_was_not_delivered_is_not_there"),
            (&[0, 0, 4], "submissions_of_a_producer_come_in_order"),
            (&[4, 0], "submissions_of_a_producer_come_in_order"),
            (&[0, 3, 4, 3], "submissions_of_a_producer_come_in_order"),
            (&[0, 4, 6], "nothing_comes_that_was_not_sent"),
        ];
        for (found, check) in wrong {
            assert_eq!(compared(&told, found), Err(check.to_owned()), "{found:?}");
        }
    }
}
