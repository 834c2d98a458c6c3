//! Makes a plan smaller that fails.

use super::plan::{End, Fault, FaultKind, Life, Plan};

/// How many steps of a first life, and half as many requests, the smallest plans go through.
const SMALL: u64 = 60;

/// How many of its acknowledgements.
const FEW: u64 = 2;

/// What was left of a plan, and how many worlds that took.
pub(super) struct Shrunk {
    pub(super) plan: Plan,
    pub(super) tried: usize,
}

/// Looks for a smaller plan that `fails` as well, in at most so many worlds.
///
/// It begins with the smallest plans that there are: what fails in a large world nearly always
/// fails in one of these, which cannot be reached from the large one by taking things out.
pub(super) fn shrink(plan: Plan, most: usize, fails: impl FnMut(&Plan) -> bool) -> Shrunk {
    let mut search = Search { plan, tried: 0, most, fails };
    search.try_the_smallest();
    loop {
        let before = search.plan.clone();
        search.drop_faults();
        search.drop_lives();
        search.lower_entries();
        search.dequeue_later();
        search.make_lives_simpler();
        search.lower_steps();
        if search.plan == before || search.is_over() {
            return Shrunk { plan: search.plan, tried: search.tried };
        }
    }
}

struct Search<F> {
    /// The smallest that fails so far.
    plan: Plan,
    tried: usize,
    most: usize,
    fails: F,
}

impl<F: FnMut(&Plan) -> bool> Search<F> {
    const fn is_over(&self) -> bool {
        self.tried >= self.most
    }

    /// Keeps the candidate if it fails.
    fn accept(&mut self, candidate: Plan) -> bool {
        if self.is_over() || candidate == self.plan {
            return false;
        }
        self.tried += 1;
        let fails = (self.fails)(&candidate);
        if fails {
            self.plan = candidate;
        }
        fails
    }

    /// Tries one or two entries with nothing wrong, or one thing, of a kind that the plan has.
    fn try_the_smallest(&mut self) {
        let planned = self.plan.clone();
        let pause = planned.lives.iter().find_map(|life| match life.end {
            End::Crash { .. } | End::CrashInAck { .. } => None,
            End::Pause { millis, .. } => Some(millis),
        });
        let in_ack = planned.lives.iter().any(|life| matches!(life.end, End::CrashInAck { .. }));
        let acks = if in_ack { FEW } else { 0 };
        let ends = |step| {
            let crash = (!planned.lives.is_empty()).then_some(End::Crash { step });
            crash.into_iter().chain(pause.map(|millis| End::Pause { step, millis }))
        };
        let mut kinds: Vec<FaultKind> = planned.faults.iter().map(|fault| fault.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for entries in 1..=planned.entries.min(2) {
            let calm = Plan { dequeues_at_once: planned.dequeues_at_once, ..Plan::calm(entries) };
            let lives = (1..=acks)
                .map(|ack| End::CrashInAck { ack })
                .chain((1..=SMALL).flat_map(ends))
                .map(|end| Plan { lives: vec![Life { end, skew_millis: 0 }], ..calm.clone() });
            let faults = (1..=SMALL / 2)
                .flat_map(|request| kinds.iter().map(move |&kind| Fault { request, kind }));
            let faults = faults.map(|fault| Plan { faults: vec![fault], ..calm.clone() });
            let found = [calm.clone()].into_iter().chain(lives).chain(faults);
            if found.into_iter().any(|plan| self.accept(plan)) {
                return;
            }
        }
    }

    fn drop_faults(&mut self) {
        self.drop_from(
            |plan| plan.faults.len(),
            |plan, from, to| drop(plan.faults.drain(from..to)),
        );
    }

    fn drop_lives(&mut self) {
        self.drop_from(|plan| plan.lives.len(), |plan, from, to| drop(plan.lives.drain(from..to)));
    }

    /// Takes things out, all at first, then halves, then one by one.
    fn drop_from(
        &mut self,
        len: impl Fn(&Plan) -> usize,
        remove: impl Fn(&mut Plan, usize, usize),
    ) {
        let mut size = len(&self.plan);
        while size > 0 {
            let mut from = 0;
            while from < len(&self.plan) {
                let to = (from + size).min(len(&self.plan));
                let mut candidate = self.plan.clone();
                remove(&mut candidate, from, to);
                if !self.accept(candidate) {
                    from = to;
                }
            }
            size /= 2;
        }
    }

    fn lower_entries(&mut self) {
        for entries in 1..self.plan.entries {
            if self.accept(Plan { entries, ..self.plan.clone() }) {
                break;
            }
        }
    }

    fn dequeue_later(&mut self) {
        self.accept(Plan { dequeues_at_once: false, ..self.plan.clone() });
    }

    /// A clock that is right, and a crash instead of a pause.
    fn make_lives_simpler(&mut self) {
        for index in 0..self.plan.lives.len() {
            let mut right = self.plan.clone();
            right.lives[index].skew_millis = 0;
            self.accept(right);
            if let End::Pause { step, millis } = self.plan.lives[index].end {
                let mut crashes = self.plan.clone();
                crashes.lives[index].end = End::Crash { step };
                if !self.accept(crashes) {
                    self.lower(millis, |plan, millis| {
                        plan.lives[index].end = End::Pause { step, millis };
                    });
                }
            }
        }
    }

    fn lower_steps(&mut self) {
        for index in 0..self.plan.lives.len() {
            match self.plan.lives[index].end {
                End::Crash { step } => self.lower(step, |plan, step| {
                    plan.lives[index].end = End::Crash { step };
                }),
                End::CrashInAck { ack } => self.lower(ack, |plan, ack| {
                    plan.lives[index].end = End::CrashInAck { ack };
                }),
                End::Pause { step, millis } => self.lower(step, |plan, step| {
                    plan.lives[index].end = End::Pause { step, millis };
                }),
            }
        }
        for index in 0..self.plan.faults.len() {
            let request = self.plan.faults[index].request;
            self.lower(request, |plan, request| plan.faults[index].request = request);
        }
    }

    /// Lowers a number: by half, by less and less, by one.
    fn lower(&mut self, mut number: u64, set: impl Fn(&mut Plan, u64)) {
        let mut by = number / 2;
        while by > 0 {
            let mut candidate = self.plan.clone();
            set(&mut candidate, number - by);
            if self.accept(candidate) {
                number -= by;
                by = by.min(number / 2);
            } else {
                by /= 2;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Plan {
        line.parse().expect("it is a plan")
    }

    #[test]
    fn nothing_is_left_that_is_not_needed() {
        let large = "entries=20 crash@90 crash@100 pause@300+5000 skew=-7 crash@4 fail@3 lost@70 slow@9 lost@80";
        // It takes five entries, a pause and a lost reply.
        let fails = |plan: &Plan| {
            let is_pause = |life: &super::super::Life| match life.end {
                End::Pause { step, millis } => step >= 100 && millis >= 2000,
                End::Crash { .. } | End::CrashInAck { .. } => false,
            };
            let line = plan.to_string();
            plan.entries >= 5 && plan.lives.iter().any(is_pause) && line.contains("lost@")
        };
        let shrunk = shrink(plan(large), 1000, fails);
        assert_eq!(shrunk.plan.to_string(), "entries=5 pause@100+2000 lost@1");
        assert!(shrunk.tried < 600, "{} tried", shrunk.tried);
    }

    #[test]
    fn what_fails_whatever_happens_is_one_entry() {
        let shrunk = shrink(plan("entries=20 dequeue=1 crash@90 fail@3"), 1000, |_| true);
        assert_eq!(shrunk.plan, Plan::calm(1));
    }

    #[test]
    fn dequeuing_at_once_is_left_where_it_is_needed() {
        let fails = |plan: &Plan| plan.dequeues_at_once && !plan.lives.is_empty();
        let shrunk = shrink(plan("entries=20 dequeue=1 crash@90 fail@3"), 1000, fails);
        assert_eq!(shrunk.plan.to_string(), "entries=1 dequeue=1 crash@1");
    }

    #[test]
    fn a_crash_in_an_acknowledgement_is_made_one_in_the_first() {
        let fails = |plan: &Plan| plan.to_string().contains("crash@ack");
        let shrunk = shrink(plan("entries=20 crash@90 crash@ack5 fail@3"), 1000, fails);
        assert_eq!(shrunk.plan.to_string(), "entries=1 crash@ack1");
    }

    #[test]
    fn it_ends_when_it_may_try_no_more() {
        let large = plan("entries=20 crash@90 crash@80 fail@3");
        let shrunk = shrink(large.clone(), 2, |plan| plan.entries == 20);
        assert_eq!((shrunk.plan, shrunk.tried), (large, 2));
    }
}
