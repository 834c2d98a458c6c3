//! `mutate --shrink`: how little is left of the first failure of each bug.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use buffer_core::hooks::Bug;
use buffer_sim::swarm::{Failure, Shrunk, Token};

use crate::exit::{Ended, Outcome, say};
use crate::mutate::first_failure;
use crate::numbers::grouped;
use crate::shrink::{PATIENCE, watched};

/// How many decisions are left at the most, in the median of all bugs.
const MEDIAN: usize = 15;

/// How long it takes at the most, for each.
const LONGEST: Duration = Duration::from_secs(30);

/// What became of one bug.
enum Row {
    Shrunk { from: Token, failure: Box<Failure>, shrunk: Box<Shrunk>, took: Duration },
    NotFound,
    NotShrunk(Token, Ended),
}

/// Shrinks the first failure of each of these bugs, several at a time.
pub(crate) fn run(bugs: &[Bug], most: u64, jobs: usize) -> Outcome {
    let width = bugs.iter().map(|bug| bug.name().len()).max().unwrap_or(0);
    say!(
        "{:<width$}  {:>9}  {:>6}  {:>7}  invariant, and how to repeat it",
        "bug",
        "decisions",
        "before",
        "seconds"
    );
    let next = Mutex::new(bugs.iter());
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.min(bugs.len()) {
            scope.spawn(|| {
                loop {
                    let bug = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(bug) = bug else { return };
                    let row = shrink(*bug, most);
                    say!("{:<width$}  {}", bug.name(), told(&row));
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push((*bug, row));
                }
            });
        }
    });
    judge(&rows.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn shrink(bug: Bug, most: u64) -> Row {
    let like = Token { bug: Some(bug), ..Token::default() };
    let Some((seed, failure)) = first_failure(&like, 0..most, 1) else { return Row::NotFound };
    let (from, began) = (Token { seed, ..like }, Instant::now());
    match watched(&from, PATIENCE) {
        Ok(shrunk) => {
            Row::Shrunk { from, failure, shrunk: Box::new(shrunk), took: began.elapsed() }
        }
        Err(why) => Row::NotShrunk(from, why),
    }
}

fn told(row: &Row) -> String {
    match row {
        Row::NotFound => format!("{:>9}  in no world of these seeds", "-"),
        Row::NotShrunk(from, why) => format!("{:>9}  {from}: {}", "-", why.message()),
        Row::Shrunk { shrunk, took, .. } => {
            let what = match shrunk.failure.invariant {
                Some(invariant) => invariant.to_string(),
                None => "no end, or a panic".to_owned(),
            };
            format!(
                "{:>9}  {:>6}  {:>7.1}  {what}: {}",
                shrunk.decisions.len(),
                grouped(shrunk.before as u64),
                took.as_secs_f64(),
                shrunk.token
            )
        }
    }
}

fn judge(rows: &[(Bug, Row)]) -> Outcome {
    let mut lengths = Vec::new();
    let mut wrong = Vec::new();
    let mut longest = Duration::ZERO;
    for (bug, row) in rows {
        match row {
            // Another command tells whether each is found.
            Row::NotFound => {}
            Row::NotShrunk(..) => wrong.push(format!("{} is not shrunk", bug.name())),
            Row::Shrunk { from, failure, shrunk, took } => {
                lengths.push(shrunk.decisions.len());
                longest = longest.max(*took);
                let again = shrunk.token.run(false);
                if !again.is_err_and(|again| again.is_like(failure)) {
                    wrong.push(format!("{} fails otherwise than {from}", shrunk.token));
                }
            }
        }
    }
    lengths.sort_unstable();
    let Some(median) = lengths.get(lengths.len() / 2) else {
        return Err(Ended::failed("no bug was found"));
    };
    say!(
        "shrunk {}, to {median} decisions in the median and {} at the most, none in more than {:.1} s",
        lengths.len(),
        lengths.last().expect("there is one"),
        longest.as_secs_f64()
    );
    if *median > MEDIAN {
        wrong.push(format!("the median of {median} decisions is over {MEDIAN}"));
    }
    if longest > LONGEST {
        wrong.push(format!("one took {longest:.1?}, over {LONGEST:?}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Ended::failed(wrong.join("; "))) }
}
