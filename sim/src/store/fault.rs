//! Requests, and what becomes of them.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use buffer_core::{Condition, Location, StoreErrorKind, Version};

use super::Inner;
use crate::process::ProcessId;

/// A request as the store received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Counts the requests of this store, from one.
    pub number: u64,
    /// Whose task sent it.
    pub process: ProcessId,
    /// What it asks for.
    pub operation: Operation,
    /// Which object it is about.
    pub location: Location,
    /// When it was sent, in virtual time since the world began.
    pub time: Duration,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To write an object.
    Write {
        /// What must hold.
        condition: Condition,
        /// How many bytes there are.
        bytes: usize,
    },
    /// To read an object.
    Read {
        /// The version that need not be sent again.
        unless: Option<Version>,
    },
}

impl Request {
    /// Whether it is a write.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        match self.operation {
            Operation::Write { .. } => true,
            Operation::Read { .. } => false,
        }
    }

    /// Whether it is about a batch, not about a manifest: keys of batches end in `.batch`.
    #[must_use]
    pub fn is_of_batch(&self) -> bool {
        is_batch(&self.location)
    }

    /// Whether it writes a manifest.
    #[must_use]
    pub fn is_swap(&self) -> bool {
        self.is_write() && !self.is_of_batch()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, process, location, .. } = self;
        match &self.operation {
            Operation::Write { condition: Condition::Absent, bytes } => {
                write!(f, "#{number} {process} write {location} {bytes} if absent")
            }
            Operation::Write { condition: Condition::Version(version), bytes } => {
                write!(f, "#{number} {process} write {location} {bytes} if {}", Short(version))
            }
            Operation::Read { unless: None } => write!(f, "#{number} {process} read {location}"),
            Operation::Read { unless: Some(version) } => {
                write!(f, "#{number} {process} read {location} unless {}", Short(version))
            }
        }
    }
}

pub(super) fn is_batch(location: &Location) -> bool {
    location.as_str().ends_with(".batch")
}

/// A version as a trace shows it.
pub(super) struct Short<'a>(pub(super) &'a Version);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.generation, &self.0.e_tag) {
            (Some(generation), _) => write!(f, "g{generation}"),
            (None, Some(e_tag)) => f.write_str(e_tag),
            (None, None) => f.write_str("?"),
        }
    }
}

/// What becomes of a request.
///
/// A write "takes effect" only if its condition holds when the store looks.
///
/// ```
/// use buffer_core::StoreErrorKind;
/// use buffer_sim::{Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// // One manifest write in four takes effect, and nobody hears of it.
/// let mut random = runtime.random("faults");
/// let _rule = store.fault(move |request| {
///     if request.is_swap() && random.u8(..4) == 0 {
///         Verdict::ApplyThenFail(StoreErrorKind::Transient)
///     } else {
///         Verdict::Pass
///     }
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Pass,
    /// It is served, but reaches the store this much later.
    Delay(Duration),
    /// It is answered with this error, and had no effect.
    Fail(StoreErrorKind),
    /// The store asks for fewer requests; there was no effect.
    Throttle,
    /// It takes effect, and is answered with this error.
    ApplyThenFail(StoreErrorKind),
    /// A write takes effect; its reply is lost, and what the client sent again by itself met the first attempt.
    ApplyThenConflict,
    /// A write has no effect, and is answered as if its condition had not held (409 from S3).
    FalseConflict,
    /// A write is answered with an error, and takes effect only after that.
    ApplyLate {
        /// The error.
        reply: StoreErrorKind,
        /// How long after the reply the store looks.
        after: Duration,
    },
    /// It is never answered; only the caller's own time-out ends it.
    Hang {
        /// Whether a write takes effect.
        applied: bool,
    },
    /// A read sees what the object was this many changes ago, or as long ago as the store remembers.
    Stale(usize),
    /// A read finds the bits of `mask` flipped in one byte.
    Corrupt {
        /// Which byte; counting goes on at the start when it passes the end.
        offset: usize,
        /// Which bits.
        mask: u8,
    },
    /// A read finds no more than this many bytes.
    Truncate(usize),
}

impl Verdict {
    /// Makes sure that a rule does not think it has injected what cannot be.
    pub(super) fn assert_fits(self, request: &Request) {
        let fits = match self {
            Self::Pass
            | Self::Delay(_)
            | Self::Fail(_)
            | Self::Throttle
            | Self::ApplyThenFail(_)
            | Self::Hang { .. } => true,
            Self::ApplyThenConflict | Self::FalseConflict | Self::ApplyLate { .. } => {
                request.is_write()
            }
            Self::Stale(_) | Self::Corrupt { .. } | Self::Truncate(_) => !request.is_write(),
        };
        assert!(fits, "a fault rule says {self:?} of {request}");
    }
}

type Rule = Box<dyn FnMut(&Request) -> Verdict + Send>;

/// Absent while it runs, so that a rule that gets back to itself finds nothing.
type SharedRule = Arc<Mutex<Option<Rule>>>;

/// The rules in force, by age.
#[derive(Clone, Default)]
pub(super) struct Rules {
    rules: Vec<(u64, SharedRule)>,
    created: u64,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) -> u64 {
        self.created += 1;
        self.rules.push((self.created, Arc::new(Mutex::new(Some(rule)))));
        self.created
    }

    /// Gives back the rule, to be dropped where no lock is held.
    fn remove(&mut self, id: u64) -> Option<SharedRule> {
        let index = self.rules.iter().position(|(rule, _)| *rule == id)?;
        Some(self.rules.remove(index).1)
    }

    /// Asks the rules, the newest first, until one has something to say.
    pub(super) fn judge(&self, request: &Request) -> Verdict {
        for (_, shared) in self.rules.iter().rev() {
            let taken = shared.lock().expect("no rule runs under its lock").take();
            let Some(mut rule) = taken else { continue };
            let verdict = rule(request);
            *shared.lock().expect("no rule runs under its lock") = Some(rule);
            if verdict != Verdict::Pass {
                return verdict;
            }
        }
        Verdict::Pass
    }
}

/// Keeps a fault rule in force; it ends when this is dropped.
#[must_use = "a fault rule ends when its guard is dropped"]
pub struct FaultGuard {
    store: Weak<Inner>,
    id: u64,
}

impl FaultGuard {
    pub(super) fn new(store: &Arc<Inner>, id: u64) -> Self {
        Self { store: Arc::downgrade(store), id }
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            let rule = store.state().rules.remove(self.id);
            drop(rule);
        }
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultGuard").field(&self.id).finish()
    }
}
