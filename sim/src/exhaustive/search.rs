//! The search: depth first, on several threads that share what was met.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use buffer_core::hooks::Bug;

use super::Limits;
use super::application::Broken;
use super::world::World;
use crate::{guard, plant};

/// What was looked at.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_sim::exhaustive::{Limits, Summary, explore};
///
/// let limits = Limits { producers: 1, take_overs: 0, crashes: 0, ticks: 2, ..Limits::SMALL };
/// let Summary { states, transitions, repeated, complete, found, .. } =
///     explore(limits, None, 1, Duration::from_secs(60));
/// // Everything was tried, and everything held in it.
/// assert!(complete && found.is_none());
/// // Some steps lead to where others have led; and to come back to a state its steps are done again.
/// assert!(states < transitions && transitions < repeated);
///
/// // With no time for it, nothing is known.
/// assert!(!explore(limits, None, 1, Duration::ZERO).complete);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// States that differ.
    pub states: u64,
    /// Steps that were tried, each from a state that had not been met, or that nobody had tried it in.
    pub transitions: u64,
    /// Steps that were done again to get back to a state.
    pub repeated: u64,
    /// Runs that ended because nothing more could happen.
    pub ended: u64,
    /// The longest run, in steps.
    pub depth: usize,
    /// How often each place of [`Point::ALL`](buffer_core::hooks::Point::ALL) was reached; empty where nothing is counted.
    pub reached: Vec<u64>,
    /// Whether everything was tried before time ran out.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
    /// What did not hold, if anything.
    pub found: Option<Found>,
}

/// A run in which an invariant did not hold.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_core::hooks::Bug;
/// use buffer_sim::exhaustive::{Limits, explore};
/// use buffer_sim::hooks_are_on;
///
/// // Where bugs can be planted: batches are told durable when their swap is sent.
/// let bug = hooks_are_on().then_some(Bug::SettledBeforeSwap);
/// match explore(Limits::LADDER[0], bug, 1, Duration::from_secs(60)).found {
///     Some(found) => {
///         assert_eq!(found.invariant, "I1");
///         // The last step is the one after which it did not hold any more.
///         let text = found.to_string();
///         assert!(text.starts_with(&format!("I1 does not hold: {}", found.what)), "{text}");
///         assert!(text.trim_end().ends_with(&found.steps[found.steps.len() - 1]), "{text}");
///     }
///     // In any other build everything holds.
///     None => assert!(!hooks_are_on()),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The invariant, such as `"I5"`.
    pub invariant: &'static str,
    /// How it did not hold.
    pub what: String,
    /// What happened, step by step.
    pub steps: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} does not hold: {}", self.invariant, self.what)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>4}  {step}", number + 1)?;
        }
        Ok(())
    }
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Seen = HashSet<u64, BuildHasherDefault<AsItIs>>;

const SHARDS: u64 = 64;

struct Search {
    limits: Limits,
    bug: Option<Bug>,
    until: Instant,
    seen: Vec<Mutex<Seen>>,
    /// Runs that somebody has begun and left to others, by the choices that lead to them.
    left: Mutex<Left>,
    changed: Condvar,
    hungry: AtomicUsize,
    stops: AtomicBool,
    found: Mutex<Option<Found>>,
}

struct Left {
    runs: Vec<Vec<usize>>,
    /// Workers that have one, and may leave more.
    busy: usize,
}

/// Tries every order of steps within the limits, on so many threads and for no longer than `time`.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_sim::exhaustive::{Limits, explore};
///
/// // One producer, one consumer, one crash of either: whenever it comes, everything holds.
/// let limits = Limits { producers: 1, take_overs: 0, faults: 0, ticks: 2, ..Limits::SMALL };
/// let summary = explore(limits, None, 1, Duration::from_secs(60));
/// assert!(summary.complete, "{} states in {:?}", summary.states, summary.took);
/// assert_eq!(summary.found, None);
/// assert!(summary.ended > 1, "there is more than one way through it");
/// ```
///
/// # Panics
///
/// With a bug, where none can be planted; see [`hooks_are_on`](crate::hooks_are_on).
#[must_use]
pub fn explore(limits: Limits, bug: Option<Bug>, jobs: usize, time: Duration) -> Summary {
    let begun = Instant::now();
    let jobs = jobs.max(1);
    let search = Search {
        limits,
        bug,
        until: begun + time,
        seen: (0..SHARDS).map(|_| Mutex::default()).collect(),
        left: Mutex::new(Left { runs: vec![Vec::new()], busy: 0 }),
        changed: Condvar::new(),
        hungry: AtomicUsize::new(0),
        stops: AtomicBool::new(false),
        found: Mutex::default(),
    };
    let summaries: Vec<Summary> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| search.work())).collect();
        workers.into_iter().map(|it| it.join().expect("panics are caught in runs")).collect()
    });
    let mut all = Summary { complete: !search.stops.load(Ordering::Relaxed), ..Summary::default() };
    for one in &summaries {
        all.add(one);
    }
    all.states = search.seen.iter().map(|shard| locked(shard).len() as u64).sum();
    all.found = locked(&search.found).take();
    all.took = begun.elapsed();
    all
}

/// Tries one configuration after the other, from the smallest on, and tells of each, until the time is over. Ends where
/// something does not hold. The sum is of all of them.
///
/// ```
/// use std::time::Duration;
///
/// use buffer_sim::exhaustive::{Limits, climb};
///
/// let quiet = Limits { take_overs: 0, crashes: 0, faults: 0, ticks: 2, ..Limits::SMALL };
/// let ladder = [Limits { producers: 1, ..quiet }, quiet];
/// let mut told = Vec::new();
/// let all = climb(&ladder, None, 1, Duration::from_secs(60), |limits, summary| {
///     told.push((limits.producers, summary.states));
/// });
/// let [(1, one), (2, two)] = told[..] else { panic!("{told:?}") };
/// assert!(one < two && all.states == one + two);
/// assert!(all.complete && all.found.is_none());
/// ```
///
/// # Panics
///
/// As [`explore`].
#[must_use]
pub fn climb(
    ladder: &[Limits],
    bug: Option<Bug>,
    jobs: usize,
    time: Duration,
    mut tell: impl FnMut(&Limits, &Summary),
) -> Summary {
    let begun = Instant::now();
    let mut all = Summary { complete: true, ..Summary::default() };
    for limits in ladder {
        let one = explore(*limits, bug, jobs, time.saturating_sub(begun.elapsed()));
        tell(limits, &one);
        all.states += one.states;
        all.complete &= one.complete;
        all.add(&one);
        all.found = one.found;
        if all.found.is_some() {
            break;
        }
    }
    all.took = begun.elapsed();
    all
}

impl Summary {
    /// Adds what was done, which is not all: states may be the same.
    fn add(&mut self, one: &Self) {
        self.transitions += one.transitions;
        self.repeated += one.repeated;
        self.ended += one.ended;
        self.depth = self.depth.max(one.depth);
        self.reached.resize(one.reached.len(), 0);
        self.reached.iter_mut().zip(&one.reached).for_each(|(all, one)| *all += one);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A choice of a run: which of how many steps is tried.
#[derive(Clone, Copy)]
struct Choice {
    taken: usize,
    of: usize,
}

impl Search {
    fn work(&self) -> Summary {
        let mut summary = Summary::default();
        drop(plant::take_reached());
        plant::with(self.bug, || {
            while let Some(prefix) = self.take_one() {
                self.search_below(prefix, &mut summary);
                let mut left = locked(&self.left);
                left.busy -= 1;
                drop(left);
                self.changed.notify_all();
            }
        });
        summary.reached = plant::take_reached();
        summary
    }

    /// A run that somebody left, once there is one; `None` when there will be none any more.
    fn take_one(&self) -> Option<Vec<usize>> {
        let mut left = locked(&self.left);
        self.hungry.fetch_add(1, Ordering::Relaxed);
        loop {
            if self.stops.load(Ordering::Relaxed) {
                self.changed.notify_all();
                return None;
            }
            if let Some(run) = left.runs.pop() {
                left.busy += 1;
                self.hungry.fetch_sub(1, Ordering::Relaxed);
                return Some(run);
            }
            if left.busy == 0 {
                self.changed.notify_all();
                return None;
            }
            let wait = self.changed.wait_timeout(left, Duration::from_millis(50));
            left = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn search_below(&self, prefix: Vec<usize>, summary: &mut Summary) {
        let fixed = prefix.len();
        let mut path: Vec<Choice> =
            prefix.into_iter().map(|taken| Choice { taken, of: 0 }).collect();
        loop {
            if self.stops.load(Ordering::Relaxed) {
                return;
            }
            if Instant::now() >= self.until {
                self.stops.store(true, Ordering::Relaxed);
                return;
            }
            let ended = guard::catch("a run", || self.run(&mut path, summary))
                .unwrap_or_else(|panic| Err(("no panic", panic.to_string())));
            if let Err(broken) = ended {
                let found = self.explain(broken, &path);
                locked(&self.found).get_or_insert(found);
                self.stops.store(true, Ordering::Relaxed);
                return;
            }
            self.leave_some(&mut path, fixed);
            // The next run: the last choice that has another way.
            while path.len() > fixed && path[path.len() - 1].taken + 1 >= path[path.len() - 1].of {
                path.pop();
            }
            if path.len() <= fixed {
                return;
            }
            let last = path.len() - 1;
            path[last].taken += 1;
        }
    }

    /// Leaves the ways not taken of the first choice that has some to whoever has nothing to do.
    fn leave_some(&self, path: &mut [Choice], fixed: usize) {
        if self.hungry.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(at) = (fixed..path.len()).find(|at| path[*at].taken + 1 < path[*at].of) else {
            return;
        };
        let before: Vec<usize> = path[..at].iter().map(|choice| choice.taken).collect();
        let mut left = locked(&self.left);
        for taken in path[at].taken + 1..path[at].of {
            left.runs.push(before.iter().copied().chain([taken]).collect());
        }
        path[at].of = path[at].taken + 1;
        drop(left);
        self.changed.notify_all();
    }

    /// Does again what the path says, and goes on from there, by the first step each time, until
    /// a state was met before or nothing can happen.
    fn run(&self, path: &mut Vec<Choice>, summary: &mut Summary) -> Result<(), Broken> {
        let mut world = World::new(self.limits)?;
        let known = path.len();
        for at in 0.. {
            let steps = world.steps();
            let is_new = at + 1 >= known;
            if at >= known {
                if steps.is_empty() {
                    summary.ended += 1;
                    return world.check_end();
                }
                path.push(Choice { taken: 0, of: steps.len() });
            }
            *(if is_new { &mut summary.transitions } else { &mut summary.repeated }) += 1;
            summary.depth = summary.depth.max(at + 1);
            world.take(steps[path[at].taken])?;
            if is_new && self.was_met(world.fingerprint()) {
                break;
            }
        }
        Ok(())
    }

    fn was_met(&self, fingerprint: u64) -> bool {
        let shard = usize::try_from(fingerprint % SHARDS).expect("there are few");
        !locked(&self.seen[shard]).insert(fingerprint)
    }

    /// Does a run again, to tell what happened.
    fn explain(&self, (invariant, what): Broken, path: &[Choice]) -> Found {
        let mut steps = Vec::new();
        // What is told was seen before, whatever becomes of the run now.
        let again = guard::catch("a run, again", || {
            let mut world = World::new(self.limits)?;
            for choice in path {
                let step = world.steps()[choice.taken];
                steps.push(world.describe(step));
                world.take(step)?;
            }
            Ok::<(), Broken>(())
        });
        drop(again);
        Found { invariant, what, steps }
    }
}
