//! What must hold, judged from outside: by the store's bytes and by what the
//! application was told, never by what a machine says of itself.
//!
//! The world tells what happens at the moment when it happens, so that a run
//! can end at the first thing that is wrong.
//!
//! | | when it is looked at | where |
//! |---|---|---|
//! | I1 | a caller is told "durable"; a batch is deleted; a consumer finds nothing | `callers`, `queue`, `consumers` |
//! | I2 | at the end | `end` |
//! | I3 | a batch is listed, handed out, stored | `callers`, `consumers` |
//! | I4 | a caller is told; a batch is listed | `callers` |
//! | I5 | a batch is listed; it is handed out | `queue`, `consumers` |
//! | I6, I8 | the manifest changes; a batch is handed out | `queue`, `consumers` |
//! | I7 | a batch is listed | `callers` |
//! | I9 | the manifest changes; a batch is handed out | `queue`, `consumers` |
//! | I10 | a batch is listed; the database stores one | `callers`, `consumers` |
//! | I11 | a caller acknowledges; the manifest changes | `consumers`, `queue` |
//! | I12 | something is deleted; a batch is listed | `queue` |
//! | I13 | at the end | `end` |
//! | I14 | at the end, and in the lives of producers and consumers | `end` |
//! | I15 | a call is taken; an upload begins | `budgets` |
//! | I16 | a request is sent; at the end | `budgets`, `end` |
//! | I17 | a damaged batch was read, and one is handed out | `consumers` |
//! | I18 | in sweeps: every so often a seed is run twice | |

mod budgets;
mod callers;
mod consumers;
mod end;
pub(super) mod entry;
mod ledger;
mod queue;
pub(super) mod raw;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use buffer_core::Location;
use buffer_core::format::Codec;
use bytes::Bytes;

use super::Invariant;
use super::exemption::Exemption;
use crate::ProcessId;
use crate::store::KeyHasher;

pub(crate) use budgets::Sent;
use budgets::Spending;
use ledger::Ledger;
use raw::{RawManifest, RawMetadata};

/// Whether these bytes are a batch.
pub(crate) fn is_batch(location: &Location, bytes: &Bytes) -> bool {
    raw::records(&mut Codec::new(), location, bytes).is_some()
}

/// A map whose order is never looked at, with a hasher that is the same in every process.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;
type Set<K> = HashSet<K, BuildHasherDefault<KeyHasher>>;

/// What the queue of a world is promised to be.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) manifest: Location,
    /// The prefix of the batches, without the slash.
    pub(crate) prefix: String,
    /// What producers and collectors agree on.
    pub(crate) grace: Duration,
    /// How coarse the store's times are.
    pub(crate) time_grain: Duration,
    /// How long an orphan may stay once it can be collected and the collector runs; `None` when none does at the end.
    pub(crate) collected_within: Option<Duration>,
    /// A thousand producers are in each other's way.
    pub(crate) crowded: bool,
}

/// What runs in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Producer {
        /// `max_buffered_bytes`.
        limit: usize,
        /// `max_inflight_batches`.
        in_flight: usize,
        /// Whether what is held is at least what was handed over: not so when it is compressed.
        counts: bool,
    },
    Consumer {
        /// `prefetch_batches`.
        prefetch: usize,
        /// `gc_interval`.
        gc_interval: Duration,
    },
    /// A producer that follows none of our rules.
    Foreign,
}

/// What a caller was told of its submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Durable,
    NotDelivered,
    Unknown,
}

/// What is remembered of one process.
#[derive(Debug)]
struct Life {
    role: Role,
    /// How many submissions of it are listed: the order that the next one must exceed.
    listed_order: Option<u64>,
    /// What it last saw of the manifest: first, next, epoch.
    seen: (u64, u64, u64),
    /// Its last swaps, by the numbers of their requests, and what it had seen when it sent them.
    swaps: VecDeque<(u64, (u64, u64, u64))>,
    /// What it wrote last, known to it or not.
    written: (u64, u64, u64),
    /// How often in a row it was shown that there is no manifest.
    missing: u32,
    /// It was shown a manifest whose damage the format can tell.
    misled: bool,
    /// It was shown a manifest that lists nothing.
    shown_empty: bool,
    /// How often it took over.
    term: u64,
    epoch: Option<u64>,
    /// It has begun to take over, maybe from itself, and has not come to the end of that.
    taking_over: bool,
    /// A higher epoch that it was shown, and when.
    fenced_by: Option<(u64, Duration)>,
    /// Handed out in this term and not acknowledged, in order.
    handed: VecDeque<u64>,
    /// The last that was acknowledged in this term.
    acked: Option<u64>,
    /// The last that its caller had when it began to take over.
    resumed: Option<u64>,
    spending: Spending,
}

/// One `produce` call.
#[derive(Debug)]
struct Submission {
    process: ProcessId,
    /// What it holds; let go when it is listed, because its batch has it then.
    entries: Vec<Bytes>,
    count: usize,
    bytes: usize,
    metadata: Bytes,
    /// How many the producer had taken before it, and the time that was stamped on it; `None` until it is taken.
    taken: Option<(u64, i64)>,
    outcome: Option<Outcome>,
    /// Its producer knows that the store has it.
    stored: bool,
    /// The batch that lists it.
    batch: Option<BatchNumber>,
}

/// Counts batches in the order of their uploads.
type BatchNumber = usize;

/// One batch object.
#[derive(Debug)]
struct Batch {
    location: Location,
    foreign: bool,
    /// By the store's clock, in milliseconds.
    uploaded: i64,
    /// What it holds; let go when it is no longer needed.
    records: Vec<Bytes>,
    /// What the manifest says of it, when it is listed.
    metadata: Vec<RawMetadata>,
    /// Its places: more than one in case 4 alone.
    places: Vec<u64>,
    deleted: bool,
    /// An operator or a lifecycle rule took it, or its place.
    lost: bool,
    /// To whom it was handed out, and in which term.
    handed: Vec<(ProcessId, u64)>,
    /// In which term of whom the database stored it, and as what.
    stored: Option<(ProcessId, u64, u64)>,
}

/// Everything that is judged, and the verdicts.
#[derive(Debug)]
pub(crate) struct Oracles {
    rules: Rules,
    without: BTreeSet<Invariant>,
    exemptions: BTreeSet<Exemption>,
    violations: Vec<(Invariant, String)>,
    /// By the number of the process.
    lives: Vec<Option<Life>>,
    submissions: Ledger<Submission>,
    batches: Ledger<Batch>,
    codec: Codec,
    by_location: Map<Location, BatchNumber>,
    manifest: RawManifest,
    /// How many requests were sent before an operator last put another manifest in its place.
    replaced_at: u64,
    /// What takes effect at this moment was sent before that.
    lands_late: bool,
    /// When the manifest was written, by the store's clock.
    manifest_modified: i64,
    /// Which batch each sequence names, from `places_from` on.
    places: VecDeque<BatchNumber>,
    places_from: u64,
    /// Who raised which epoch.
    owners: Map<u64, ProcessId>,
    /// The last sequence that the database stored.
    last_stored: Option<u64>,
    /// Sequences that a consumer went past on its caller's word.
    skipped: Set<u64>,
    /// Batches whose bytes may be read changed in a way that version 1 cannot tell.
    undetectable: Set<Location>,
    /// Batches that were read damaged.
    damaged: Set<Location>,
    totals: Totals,
}

/// What is told at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) producer_requests: u64,
    /// How many producers there were.
    pub(crate) producers: u64,
    pub(crate) faults: u64,
    /// Requests to swap a manifest of ten entries or more.
    pub(crate) large_swaps: u64,
    pub(crate) swaps: u64,
    /// Requests to swap the manifest, by whom: those of foreign producers count for nobody.
    pub(crate) producer_swaps: u64,
    pub(crate) consumer_swaps: u64,
    /// Batches that callers of consumers got, and those that they acknowledged.
    pub(crate) handed_out: u64,
    pub(crate) acks: u64,
    /// How often a consumer took over, and how often one raised the epoch to that end.
    pub(crate) terms: u64,
    pub(crate) raised: u64,
    pub(crate) durable_entries: u64,
    pub(crate) batches: u64,
    pub(crate) listed_again: u64,
    pub(crate) gaps: u64,
    pub(crate) unknown: u64,
    pub(crate) not_delivered: u64,
    pub(crate) collected: u64,
    /// Bytes of submissions that producers took, and of batches that they sent.
    pub(crate) taken_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) largest_batch: u64,
}

impl Life {
    /// Whether it takes over at this moment, and wrote last as who it was before.
    fn wrote_earlier(&self) -> bool {
        self.taking_over && self.epoch == Some(self.written.2)
    }
}

impl Submission {
    /// Whether nothing can go wrong with it any more; `delivered` is of its batch.
    fn is_over(&self, delivered: impl FnOnce(BatchNumber) -> bool) -> bool {
        self.outcome == Some(Outcome::Durable) && self.batch.is_some_and(delivered)
    }
}

impl Batch {
    /// Whether the database has it, or nobody can.
    const fn is_delivered(&self) -> bool {
        self.stored.is_some() || self.lost || self.foreign
    }
}

impl Oracles {
    pub(crate) fn new(rules: Rules, without: BTreeSet<Invariant>) -> Self {
        Self {
            rules,
            without,
            exemptions: BTreeSet::new(),
            violations: Vec::new(),
            lives: Vec::new(),
            submissions: Ledger::new(),
            batches: Ledger::new(),
            codec: Codec::new(),
            by_location: Map::default(),
            manifest: RawManifest::absent(),
            replaced_at: 0,
            lands_late: false,
            manifest_modified: 0,
            places: VecDeque::new(),
            places_from: 0,
            owners: Map::default(),
            last_stored: None,
            skipped: Set::default(),
            undetectable: Set::default(),
            damaged: Set::default(),
            totals: Totals::default(),
        }
    }

    /// A process begins.
    pub(crate) fn started(&mut self, process: ProcessId, role: Role) {
        let index = process.index();
        if self.lives.len() <= index {
            self.lives.resize_with(index + 1, || None);
        }
        self.totals.producers += u64::from(matches!(role, Role::Producer { .. }));
        self.lives[index] = Some(Life {
            role,
            listed_order: None,
            swaps: VecDeque::new(),
            seen: (0, 0, 0),
            written: (0, 0, 0),
            missing: 0,
            misled: false,
            shown_empty: false,
            term: 0,
            epoch: None,
            taking_over: false,
            fenced_by: None,
            handed: VecDeque::new(),
            acked: None,
            resumed: None,
            spending: Spending::default(),
        });
    }

    /// Something happens in this world that version 1 cannot tell.
    pub(crate) fn exempt(&mut self, exemption: Exemption) {
        self.exemptions.insert(exemption);
    }

    pub(crate) fn is_exempt(&self, exemption: Exemption) -> bool {
        self.exemptions.contains(&exemption)
    }

    /// Takes note of an invariant that does not hold, unless something happened that excuses it.
    pub(crate) fn violated(&mut self, invariant: Invariant, what: impl Into<String>) {
        if !self.exemptions.iter().any(|it| it.excuses(invariant)) {
            self.violated_without_excuse(invariant, what);
        }
    }

    /// The same for what could be told whatever happened; not if it is not looked at.
    pub(crate) fn violated_without_excuse(
        &mut self,
        invariant: Invariant,
        what: impl Into<String>,
    ) {
        if !self.without.contains(&invariant) {
            self.violations.push((invariant, what.into()));
        }
    }

    /// The first thing that was wrong.
    pub(crate) fn first_violation(&self) -> Option<&(Invariant, String)> {
        self.violations.first()
    }

    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    fn life(&mut self, process: ProcessId) -> Option<&mut Life> {
        self.lives.get_mut(process.index())?.as_mut()
    }

    fn role(&self, process: ProcessId) -> Option<Role> {
        Some(self.lives.get(process.index())?.as_ref()?.role)
    }

    /// Whether a batch was delivered, as far as it was to be. Only those that were are forgotten.
    fn is_delivered(&self, number: BatchNumber) -> bool {
        self.batches.get(number).map_or(self.batches.is_forgotten(number), Batch::is_delivered)
    }

    /// Makes room for one more of everything: a run may have millions of them.
    fn forget(&mut self) {
        let batches = &self.batches;
        let is_delivered =
            |number| batches.get(number).map_or(batches.is_forgotten(number), Batch::is_delivered);
        let _settled = self.submissions.forget(|oldest| oldest.is_over(is_delivered));
        let first = self.manifest.first();
        let settled = self.batches.forget(|oldest| {
            let listed = oldest.places.last().is_some_and(|place| *place >= first);
            oldest.deleted && !listed && (oldest.places.is_empty() || oldest.is_delivered())
        });
        if let Some(batch) = settled {
            self.by_location.remove(&batch.location);
            self.undetectable.remove(&batch.location);
            self.damaged.remove(&batch.location);
        }
        while self.places_from < first
            && self.places.front().is_some_and(|number| self.batches.get(*number).is_none())
        {
            self.places.pop_front();
            self.places_from += 1;
        }
    }

    /// The batch that a sequence names.
    fn place(&self, sequence: u64) -> Option<BatchNumber> {
        let index = usize::try_from(sequence.checked_sub(self.places_from)?).ok()?;
        self.places.get(index).copied()
    }
}
