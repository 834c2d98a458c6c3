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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in virtual time since the world began.
    pub time: Duration,
    /// What.
    pub what: Happening,
}

/// What happened.
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
