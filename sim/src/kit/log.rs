//! What is told of a world, and counted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::summary::Summary;
use crate::{Process, ProcessId, SimRuntime};

/// The story of one world, in lines for people. Clones write the same.
#[derive(Clone)]
pub(super) struct Log {
    runtime: SimRuntime,
    told: Arc<Mutex<Told>>,
}

/// What a world came to so far.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    met: Summary,
    names: BTreeMap<ProcessId, String>,
    /// Something was told that only the embedder's code knows, or that its database wrote.
    is_seen: bool,
    endless: Option<Endless>,
}

/// Which process never waits, and how many steps it took at one moment.
#[derive(Clone)]
pub(super) struct Endless {
    pub(super) who: String,
    pub(super) steps: u64,
}

impl Log {
    pub(super) fn new(runtime: &SimRuntime) -> Self {
        Self { runtime: runtime.clone(), told: Arc::default() }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("nothing panics while it holds the log")
    }

    pub(super) fn add(&self, line: fmt::Arguments<'_>) {
        self.runtime.record(line);
        let now = self.runtime.elapsed();
        let line = format!("{:>4}.{:03}  {line}", now.as_secs(), now.subsec_millis());
        self.told().lines.push(line);
    }

    /// Remembers what a process is called.
    pub(super) fn name(&self, process: &Process) {
        self.told().names.insert(process.id(), process.name().to_owned());
    }

    /// Adds a line about something that a process did; about something that a test did itself, without one.
    pub(super) fn add_by(&self, process: Option<ProcessId>, line: fmt::Arguments<'_>) {
        let name = process.and_then(|process| self.told().names.get(&process).cloned());
        let name = name.unwrap_or_else(|| "the test".to_owned());
        self.add(format_args!("{name}: {line}"));
    }

    /// Notes that the story shows what the embedder's database does.
    pub(super) fn see_database(&self) {
        self.told().is_seen = true;
    }

    pub(super) fn sees_database(&self) -> bool {
        self.told().is_seen
    }

    /// Notes that a process never waits, before the world is ended for it.
    pub(super) fn set_endless(&self, endless: Endless) {
        self.told().endless = Some(endless);
    }

    pub(super) fn endless(&self) -> Option<Endless> {
        self.told().endless.clone()
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Summary)) {
        count(&mut self.told().met);
    }

    pub(super) fn met(&self) -> Summary {
        self.told().met
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.told().lines.clone()
    }
}
