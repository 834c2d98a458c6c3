//! What happened in a world, as data: what charts are drawn of.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::decisions::SharedTrace;
use crate::process::ProcessId;
use crate::store::Kind;

/// Something that happened.
///
/// Nothing is kept of events unless [`SimOptions::keeps_events`](crate::SimOptions::keeps_events);
/// they are no part of the trace hash.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_sim::event::{Happening, Remark};
/// use buffer_sim::{SimOptions, SimRuntime};
///
/// let options = SimOptions { keeps_events: true, ..SimOptions::default() };
/// let runtime = SimRuntime::with_options(1, options);
/// let process = runtime.process("producer");
/// runtime.advance(Duration::from_secs(2));
/// process.crash();
/// runtime.remark(process.id(), Remark::Violation, format_args!("it took an entry with it"));
///
/// let events = runtime.take_events();
/// let [began, crashed, said] = &events[..] else { panic!("{events:?}") };
/// assert_eq!(began.time, Duration::ZERO);
/// assert_eq!(crashed.time, Duration::from_secs(2));
/// assert_eq!(crashed.what, Happening::Crashed { process: process.id() });
/// assert!(said.is_violation() && !crashed.is_violation());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in virtual time since the world began.
    pub time: Duration,
    /// What.
    pub what: Happening,
}

/// What happened.
///
/// ```
/// use buffer_core::{Condition, Location, StoreErrorKind};
/// use buffer_driver::Store;
/// use buffer_sim::event::Happening;
/// use buffer_sim::{Profile, SimOptions, SimRuntime, SimStore, Verdict};
///
/// let options = SimOptions { keeps_events: true, ..SimOptions::default() };
/// let runtime = SimRuntime::with_options(1, options);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let _lost = store.fault(|_| Verdict::ApplyThenFail(StoreErrorKind::Transient));
/// let key = Location::new("queue/manifest");
/// let write = store.write(&key, vec!["one".into()], Condition::Absent);
/// runtime.block_on(write).expect_err("its reply is lost");
///
/// // A request is three events: the store had done it, whatever its sender was told.
/// let events = runtime.take_events();
/// let [sent, applied, answered] = &events[..] else { panic!("{events:?}") };
/// let Happening::Sent { request, fault, .. } = sent.what else { panic!("{sent:?}") };
/// assert_eq!(fault, Some("apply-then-fail/swap"));
/// assert!(matches!(&applied.what, Happening::Applied { request: by, .. } if *by == Some(request)));
/// assert!(matches!(&answered.what, Happening::Answered { is_ok: false, is_seen: true, .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A process began.
    Began {
        /// Which one.
        process: ProcessId,
        /// What it is called.
        name: String,
    },
    /// A request was sent.
    Sent {
        /// Its number.
        request: u64,
        /// By whom.
        process: ProcessId,
        /// What for.
        kind: Kind,
        /// What it asks for, in words.
        text: String,
        /// The fault that befalls it, by the name under which the store counts it.
        fault: Option<&'static str>,
        /// The verdict, in words; empty if it passes.
        verdict: String,
    },
    /// Something took effect in the store.
    Applied {
        /// The request that did it; `None` for what was done without one.
        request: Option<u64>,
        /// What, in words.
        text: String,
        /// What the manifest is from here on, if it was written.
        manifest: Option<Stated>,
    },
    /// The store looked at a write, and left things as they were.
    LeftAlone {
        /// The request.
        request: u64,
    },
    /// An answer came back.
    Answered {
        /// To which request.
        request: u64,
        /// What it says.
        text: String,
        /// Whether it is no error.
        is_ok: bool,
        /// Whether anybody was there to see it.
        is_seen: bool,
    },
    /// Its sender waits for it no longer.
    GivenUp {
        /// The request.
        request: u64,
    },
    /// A process crashed.
    Crashed {
        /// Which one.
        process: ProcessId,
    },
    /// A process does nothing from here on.
    Paused {
        /// Which one.
        process: ProcessId,
    },
    /// A process goes on.
    Resumed {
        /// Which one.
        process: ProcessId,
    },
    /// Somebody said something.
    Said {
        /// Whom it is about; [`ProcessId::WORLD`] for nobody.
        process: ProcessId,
        /// What it is.
        remark: Remark,
        /// In words.
        text: String,
    },
}

impl Event {
    /// Whether it says that an invariant did not hold.
    #[must_use]
    pub const fn is_violation(&self) -> bool {
        matches!(self.what, Happening::Said { remark: Remark::Violation, .. })
    }
}

/// What a remark is about.
///
/// ```
/// use buffer_sim::event::{Happening, Remark};
/// use buffer_sim::{SimOptions, SimRuntime};
///
/// let options = SimOptions { keeps_events: true, ..SimOptions::default() };
/// let runtime = SimRuntime::with_options(1, options);
/// let process = runtime.process("database");
/// process.freeze_monotonic();
/// runtime.remark(process.id(), Remark::Application, format_args!("stores sequence 0"));
///
/// let events = runtime.take_events().into_iter();
/// let said = events.filter_map(|event| match event.what {
///     Happening::Said { remark, text, .. } => Some((remark, text)),
///     _ => None,
/// });
/// let said: Vec<_> = said.collect();
/// assert_eq!(said[0], (Remark::Clock, "its monotonic clock stands still".to_owned()));
/// assert_eq!(said[1], (Remark::Application, "stores sequence 0".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// What an application did, or was told.
    Application,
    /// A clock, or a timer.
    Clock,
    /// The world itself.
    World,
    /// An invariant that did not hold.
    Violation,
}

/// What a manifest says.
///
/// ```
/// use std::sync::Arc;
///
/// use buffer_sim::event::{Happening, Stated};
/// use buffer_sim::scenarios::queue::{one_by_one, produce, producer_on};
/// use buffer_sim::{Profile, SimOptions, SimRuntime, SimStore};
///
/// let options = SimOptions { keeps_events: true, ..SimOptions::default() };
/// let runtime = SimRuntime::with_options(1, options);
/// let store = Arc::new(SimStore::new(&runtime, Profile::S3));
/// let producer = producer_on(store, &runtime.process("producer"), &one_by_one());
/// let watcher = runtime.block_on(produce(&producer, "one")).watcher;
/// runtime.block_on(watcher.await_durable())?;
///
/// let events = runtime.take_events().into_iter();
/// let stated: Vec<Stated> = events
///     .filter_map(|event| match event.what {
///         Happening::Applied { manifest, .. } => manifest,
///         _ => None,
///     })
///     .collect();
/// // Its only version lists sequence 0; no consumer has taken the queue over.
/// assert_eq!(stated, [Stated { epoch: 0, first: 0, next: 1 }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Its epoch.
    pub epoch: u64,
    /// The first sequence that it lists, or would.
    pub first: u64,
    /// The sequence that comes next.
    pub next: u64,
}

thread_local! {
    static WATCHES: Cell<bool> = const { Cell::new(false) };
    static WATCHED: RefCell<Vec<SharedTrace>> = const { RefCell::new(Vec::new()) };
}

/// Whether worlds that begin on this thread keep their events, whoever makes them.
pub(crate) fn is_watching() -> bool {
    WATCHES.get()
}

/// A world begins on a thread that watches.
pub(crate) fn watch_world(trace: &SharedTrace) {
    WATCHED.with_borrow_mut(|watched| watched.push(trace.clone()));
}

/// Runs `work`, and gives the events of each world that began in it on this thread, in order.
pub(crate) fn watch<T>(work: impl FnOnce() -> T) -> (T, Vec<Vec<Event>>) {
    /// Also where `work` panics.
    struct End;

    impl Drop for End {
        fn drop(&mut self) {
            WATCHES.set(false);
        }
    }

    WATCHED.take();
    WATCHES.set(true);
    let end = End;
    let result = work();
    drop(end);
    let worlds = WATCHED.take();
    (result, worlds.into_iter().map(|trace| trace.lock_anyway().take_events()).collect())
}
