//! Runs on several threads, and watched: a world that never comes back must not hold up the others.

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use buffer_sim::swarm::{Failure, Load, Report, Token};

/// What a run came to.
pub(crate) type Ran = Result<Report, Box<Failure>>;

/// As many runs at once as there are cores.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// How long a world may take, in real time. The budgets of time and steps end it long before,
/// unless one single step goes round without end.
pub(crate) const fn patience(load: Load) -> Duration {
    match load {
        Load::Short => Duration::from_secs(60),
        Load::Crowd => Duration::from_secs(15 * 60),
        Load::Long => Duration::from_secs(60 * 60),
    }
}

type Next = dyn FnMut() -> Option<Token> + Send;
type Slot = Mutex<Option<(Token, Instant)>>;

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what `next` gives, until it gives nothing more; tells `each` of every end, on this thread.
pub(crate) fn run_all(
    jobs: usize,
    keeps_lines: bool,
    next: impl FnMut() -> Option<Token> + Send + 'static,
    mut each: impl FnMut(&Token, Ran),
) {
    let next: Arc<Mutex<Next>> = Arc::new(Mutex::new(next));
    let (sender, ended) = mpsc::channel();
    let start = || {
        let slot = Arc::new(Slot::default());
        let (next, sender, mine) = (Arc::clone(&next), sender.clone(), Arc::clone(&slot));
        thread::spawn(move || {
            loop {
                let token = locked(&next)();
                let Some(token) = token else { break };
                *locked(&mine) = Some((token.clone(), Instant::now()));
                let ran = token.run(keeps_lines);
                // Nobody took it for lost meanwhile, or it is told twice.
                if locked(&mine).take().is_none() || sender.send(Some((token, ran))).is_err() {
                    return;
                }
            }
            let _ = sender.send(None);
        });
        slot
    };
    let mut slots: Vec<_> = (0..jobs).map(|_| start()).collect();
    let mut working = jobs;
    while working > 0 {
        match ended.recv_timeout(Duration::from_secs(1)) {
            Ok(Some((token, ran))) => each(&token, ran),
            Ok(None) => working -= 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        for slot in &mut slots {
            let Some(token) = give_up(slot) else { continue };
            *slot = start();
            let failure = Failure {
                seed: token.seed,
                invariant: None,
                what: format!("still running after {:?}", patience(token.load)),
                lines: Vec::new(),
            };
            each(&token, Err(Box::new(failure)));
        }
    }
}

/// Takes the run from a thread that has had it for too long; the thread is left behind.
fn give_up(slot: &Slot) -> Option<Token> {
    let mut running = locked(slot);
    let (token, since) = running.as_ref()?;
    if since.elapsed() < patience(token.load) {
        return None;
    }
    running.take().map(|(token, _)| token)
}

/// Runs one, and waits for it.
pub(crate) fn run_one(token: &Token, keeps_lines: bool) -> Ran {
    let mut once = Some(token.clone());
    let mut ended = None;
    run_all(1, keeps_lines, move || once.take(), |_, ran| ended = Some(ran));
    ended.expect("every run ends, or is given up")
}

/// Runs a failed one again, for its lines. The run is the same, so the failure is.
pub(crate) fn with_lines(token: &Token, failure: &Failure) -> Box<Failure> {
    match run_one(token, true) {
        Err(again) => again,
        Ok(_) => Box::new(Failure {
            what: format!("{} (and once more it did not happen: I18 determinism)", failure.what),
            ..failure.clone()
        }),
    }
}
