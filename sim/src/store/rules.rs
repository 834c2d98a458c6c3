//! The rules that decide what becomes of requests.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use super::Inner;
use super::request::Request;
use super::verdict::Verdict;

type Rule = Box<dyn FnMut(&Request) -> Verdict + Send>;

/// Absent while it runs, so that a rule that gets back to itself finds nothing.
type SharedRule = Arc<Mutex<Option<Rule>>>;

/// The rules in force, by age. Shared, so that asking them takes no copy.
#[derive(Clone, Default)]
pub(super) struct Rules {
    rules: Arc<Vec<(u64, SharedRule)>>,
    created: u64,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) -> u64 {
        self.created += 1;
        let shared = Arc::new(Mutex::new(Some(rule)));
        Arc::make_mut(&mut self.rules).push((self.created, shared));
        self.created
    }

    /// Gives back the rule, to be dropped where no lock is held.
    fn remove(&mut self, id: u64) -> Option<SharedRule> {
        let index = self.rules.iter().position(|(rule, _)| *rule == id)?;
        Some(Arc::make_mut(&mut self.rules).remove(index).1)
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
///
/// ```
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let is_answered = || {
///     let read = store.read(&Location::new("queue/manifest"), None);
///     runtime.block_on(read).is_ok()
/// };
/// let guard = store.fault(|_| Verdict::Throttle);
/// assert!(!is_answered());
/// drop(guard);
/// assert!(is_answered());
/// ```
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
