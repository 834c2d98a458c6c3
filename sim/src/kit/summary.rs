//! What worlds met on their way.

use std::fmt;

/// What happened in the worlds of a check that held, added up: a check that meets nothing proves nothing.
///
/// ```
/// # use std::sync::Mutex;
/// # use buffer_sim::buffer_driver::ConsumerConfig;
/// # use buffer_sim::kit::{AnyError, AppliedEntry, Application, Node};
/// use buffer_sim::kit::Settings;
///
/// # #[derive(Default)]
/// # struct Database(Mutex<Vec<AppliedEntry>>);
/// # impl Application for Database {
/// #     async fn run(&self, node: Node) -> Result<(), AnyError> {
/// #         let consumer = node.consumer(&ConsumerConfig::default())?;
/// #         let last = self.0.lock().map_err(|_| "it is free")?.last().map(|row| row.sequence);
/// #         consumer.initialize(last).await?;
/// #         loop {
/// #             let batch = consumer.wait_batch().await?;
/// #             let sequence = batch.sequence;
/// #             let rows = batch.entries.into_iter().map(|entry| AppliedEntry { sequence, entry });
/// #             self.0.lock().map_err(|_| "it is free")?.extend(rows);
/// #             consumer.ack(sequence).await?;
/// #         }
/// #     }
/// #     async fn applied(&self, _: Node) -> Result<Vec<AppliedEntry>, AnyError> {
/// #         Ok(self.0.lock().map_err(|_| "it is free")?.clone())
/// #     }
/// # }
/// // `Database` is an `Application` that stores a batch and its sequence at once. No second life
/// // runs beside it, as on the disk of a single machine.
/// let settings = Settings { pauses: false, ..Settings::default() };
/// let met = settings.check(0..20, |_| Database::default()).expect("exactly once");
/// assert_eq!((met.worlds, met.pauses, met.errors), (20, 0, 0));
/// // Enough went wrong in them for that to say something.
/// assert!(met.crashes > 10 && met.faults > 10, "{met}");
/// assert!(met.to_string().starts_with("20 worlds: "));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Worlds.
    pub worlds: u64,
    /// Entries in effect in the databases at the end.
    pub entries: u64,
    /// Lives of your consumer.
    pub lives: u64,
    /// Those that crashed.
    pub crashes: u64,
    /// Those that were paused until another had begun.
    pub pauses: u64,
    /// Paused lives that went on.
    pub resumed: u64,
    /// Those that ended by themselves with an error.
    pub errors: u64,
    /// Requests that had a fault.
    pub faults: u64,
    /// Requests in all.
    pub requests: u64,
}

impl Summary {
    pub(super) fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.entries += other.entries;
        self.lives += other.lives;
        self.crashes += other.crashes;
        self.pauses += other.pauses;
        self.resumed += other.resumed;
        self.errors += other.errors;
        self.faults += other.faults;
        self.requests += other.requests;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worlds, entries, lives, crashes, pauses, resumed: _, errors, faults, requests } =
            *self;
        write!(
            f,
            "{}: {}, each applied once and in order; {}, of which {crashes} crashed, {pauses} paused and {errors} ended \
             with an error; {} in {}",
            Count(worlds, "world", "worlds"),
            Count(entries, "entry", "entries"),
            Count(lives, "life", "lives"),
            Count(faults, "fault", "faults"),
            Count(requests, "request", "requests"),
        )
    }
}

/// So many of something, in words.
pub(super) struct Count(pub(super) u64, pub(super) &'static str, pub(super) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, one, many) = self;
        write!(f, "{number} {}", if *number == 1 { one } else { many })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_is_not_many() {
        let one = Summary { worlds: 1, entries: 1, lives: 1, requests: 12, ..Summary::default() };
        let text = one.to_string();
        assert!(text.starts_with("1 world: 1 entry, each applied"), "{text}");
        assert!(text.ends_with("; 0 faults in 12 requests"), "{text}");
    }
}
