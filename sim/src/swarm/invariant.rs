//! What must hold.

use std::fmt;
use std::str::FromStr;

/// What must hold in every world.
///
/// ```
/// use buffer_sim::swarm::Invariant;
///
/// let repeats: Invariant = "I5".parse()?;
/// assert_eq!(repeats, Invariant::NoRepeats);
/// assert_eq!((repeats.id(), repeats.name()), ("I5", "no repeats"));
/// assert_eq!(repeats.to_string(), "I5 no repeats");
/// assert_eq!(Invariant::ALL[4], repeats);
/// # Ok::<(), buffer_sim::swarm::NoSuchInvariant>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// I1: What was acknowledged to a caller is in the manifest, or was delivered and acknowledged; its batch exists until it is dequeued.
    DurableAck,
    /// I2: Once faults stop and the queue drains, every acknowledged entry was delivered.
    NoLoss,
    /// I3: Everything delivered was submitted, byte for byte.
    NoPhantom,
    /// I4: Durable, definitely failed, unknown: "failed" is never delivered, "unknown" at most once.
    ThreeOutcomes,
    /// I5: A batch is handed out at most once in a consumer's life, and gets a second sequence only in case 4.
    NoRepeats,
    /// I6: Contiguous, never reused; a manifest that went back is a typed error.
    Sequences,
    /// I7: A producer's submissions get sequences in the order of submission.
    Order,
    /// I8: A sequence names the same batch and the same bytes for every reader, for ever.
    Agreement,
    /// I9: Once a higher epoch is durable, no lower one changes the manifest.
    Fencing,
    /// I10: A database that stores batch and sequence together ends with no repeat and no gap.
    ExactlyOnce,
    /// I11: Only what was handed out can be acknowledged, in order; only what was acknowledged is dequeued.
    Acks,
    /// I12: A deleted batch is in no current or future manifest; nothing but batches of this queue is deleted.
    SafeCollection,
    /// I13: Once faults stop and the manifest changes, no orphan outlives its bound.
    LiveCollection,
    /// I14: Within a bounded time after faults stop, every submission has its outcome and the queue drains.
    Liveness,
    /// I15: Bytes held never exceed the configured limit.
    BoundedMemory,
    /// I16: Requests are bounded by what is achieved and by the faults; nothing is tried without rest.
    BoundedRequests,
    /// I17: Changed or cut bytes that the format can tell are a typed error.
    CorruptionShows,
    /// I18: The same seed is the same world.
    Determinism,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 18] = [
        Self::DurableAck,
        Self::NoLoss,
        Self::NoPhantom,
        Self::ThreeOutcomes,
        Self::NoRepeats,
        Self::Sequences,
        Self::Order,
        Self::Agreement,
        Self::Fencing,
        Self::ExactlyOnce,
        Self::Acks,
        Self::SafeCollection,
        Self::LiveCollection,
        Self::Liveness,
        Self::BoundedMemory,
        Self::BoundedRequests,
        Self::CorruptionShows,
        Self::Determinism,
    ];

    /// Its number, such as `I5`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::DurableAck => "I1",
            Self::NoLoss => "I2",
            Self::NoPhantom => "I3",
            Self::ThreeOutcomes => "I4",
            Self::NoRepeats => "I5",
            Self::Sequences => "I6",
            Self::Order => "I7",
            Self::Agreement => "I8",
            Self::Fencing => "I9",
            Self::ExactlyOnce => "I10",
            Self::Acks => "I11",
            Self::SafeCollection => "I12",
            Self::LiveCollection => "I13",
            Self::Liveness => "I14",
            Self::BoundedMemory => "I15",
            Self::BoundedRequests => "I16",
            Self::CorruptionShows => "I17",
            Self::Determinism => "I18",
        }
    }

    /// Its name, such as `no repeats`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DurableAck => "durable ack",
            Self::NoLoss => "no loss",
            Self::NoPhantom => "no phantom",
            Self::ThreeOutcomes => "three outcomes",
            Self::NoRepeats => "no repeats",
            Self::Sequences => "sequences",
            Self::Order => "order",
            Self::Agreement => "agreement",
            Self::Fencing => "fencing",
            Self::ExactlyOnce => "exactly once",
            Self::Acks => "acks",
            Self::SafeCollection => "collection is safe",
            Self::LiveCollection => "collection is live",
            Self::Liveness => "liveness",
            Self::BoundedMemory => "bounded memory",
            Self::BoundedRequests => "bounded requests",
            Self::CorruptionShows => "corruption shows",
            Self::Determinism => "determinism",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.name())
    }
}

/// The text names no invariant.
///
/// ```
/// use buffer_sim::swarm::Invariant;
///
/// let error = "I19".parse::<Invariant>().expect_err("there are eighteen");
/// assert_eq!(error.to_string(), "\"I19\" is no invariant; they are I1 to I18");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no invariant; they are I1 to I18")]
pub struct NoSuchInvariant(String);

impl FromStr for Invariant {
    type Err = NoSuchInvariant;

    /// Takes the number, such as `I5`.
    fn from_str(text: &str) -> Result<Self, NoSuchInvariant> {
        let found = Self::ALL.into_iter().find(|it| it.id().eq_ignore_ascii_case(text));
        found.ok_or_else(|| NoSuchInvariant(text.to_owned()))
    }
}
