//! The summary of a sweep, for people and as JSON.

use std::fmt;
use std::time::Duration;

use buffer_core::hooks::Point;
use buffer_sim::swarm::Load;
use serde::Serialize;

use super::tally::{ENOUGH_ENTRIES, Met, Tally};
use crate::numbers::{grouped, percent, span};

/// What a sweep came to.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    load: &'static str,
    seeds: u64,
    seeds_with_enough_entries: u64,
    failures: usize,
    jobs: usize,
    real_seconds: f64,
    processor_seconds: f64,
    simulated_seconds: f64,
    requests: u64,
    requests_per_second: f64,
    requests_per_second_and_core: f64,
    large_swaps_percent: f64,
    times_real_time: f64,
    entries: u64,
    submissions: u64,
    batches: u64,
    batches_collected: u64,
    terms_of_consumers: u64,
    not_delivered: u64,
    unknown: u64,
    listed_again: u64,
    documented_gaps: u64,
    faults: Vec<Line>,
    /// Nothing where coverage is not compiled in.
    points: Option<Vec<Line>>,
    points_never_reached: Vec<&'static str>,
}

/// A fault, or a place in the code.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    times: u64,
    seeds: u64,
    percent_of_seeds: f64,
    first_seed: Option<u64>,
}

impl Line {
    fn new(name: &str, met: &Met, of: u64) -> Self {
        Self {
            name: name.to_owned(),
            times: met.times,
            seeds: met.seeds,
            percent_of_seeds: percent(met.seeds, of),
            first_seed: met.first,
        }
    }
}

impl Summary {
    pub(crate) fn of(tally: &Tally, load: Load, jobs: usize, failures: usize) -> Self {
        let (real, processor) = tally.took;
        let (real, sum) = (real.as_secs_f64(), &tally.sum);
        // Where the processor's time is not known, every thread is taken to have had a core for itself.
        let processor = match processor {
            Duration::ZERO => real * jobs as f64,
            known => known.as_secs_f64(),
        };
        let reached = || Point::ALL.iter().zip(&tally.reached);
        let points = reached()
            .filter(|(_, met)| met.times > 0)
            .map(|(point, met)| Line::new(point.name(), met, tally.seeds));
        let never = reached().filter(|(_, met)| met.times == 0).map(|(point, _)| point.name());
        Self {
            load: load.name(),
            seeds: tally.seeds,
            seeds_with_enough_entries: tally.counted,
            failures,
            jobs,
            real_seconds: real,
            processor_seconds: processor,
            simulated_seconds: tally.simulated.as_secs_f64(),
            requests: sum.requests,
            requests_per_second: sum.requests as f64 / real,
            requests_per_second_and_core: sum.requests as f64 / processor,
            large_swaps_percent: percent(sum.large_swaps, sum.requests),
            times_real_time: tally.simulated.as_secs_f64() / real,
            entries: sum.entries,
            submissions: sum.submissions,
            batches: sum.batches,
            batches_collected: sum.collected,
            terms_of_consumers: sum.epochs,
            not_delivered: sum.not_delivered,
            unknown: sum.unknown,
            listed_again: sum.listed_again,
            documented_gaps: sum.gaps,
            faults: tally
                .faults
                .iter()
                .map(|(name, met)| Line::new(name, met, tally.counted))
                .collect(),
            points: buffer_sim::hooks_are_on().then(|| points.collect()),
            points_never_reached: never.collect(),
        }
    }

    fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simulated = span(Duration::from_secs_f64(self.simulated_seconds));
        let whole = |number: f64| grouped(number as u64);
        let lines = [
            (
                "seeds",
                format!(
                    "{}, of which {} acknowledged {ENOUGH_ENTRIES} entries or more; {} failed",
                    grouped(self.seeds),
                    grouped(self.seeds_with_enough_entries),
                    self.failures
                ),
            ),
            (
                "took",
                format!(
                    "{:.1} s on {} threads, {:.1} s of processor time",
                    self.real_seconds, self.jobs, self.processor_seconds
                ),
            ),
            ("simulated time", format!("{simulated}, {} x real time", whole(self.times_real_time))),
            (
                "requests",
                format!(
                    "{}, {} a second, {} a second and core",
                    grouped(self.requests),
                    whole(self.requests_per_second),
                    whole(self.requests_per_second_and_core)
                ),
            ),
            (
                "large swaps",
                format!(
                    "{:.1} % of requests are swaps on manifests of ten entries and more",
                    self.large_swaps_percent
                ),
            ),
            (
                "entries",
                format!(
                    "{} acknowledged, in {} submissions and {} batches",
                    grouped(self.entries),
                    grouped(self.submissions),
                    grouped(self.batches)
                ),
            ),
            (
                "not acknowledged",
                format!(
                    "{} not delivered, {} unknown",
                    grouped(self.not_delivered),
                    grouped(self.unknown)
                ),
            ),
            (
                "listed again",
                format!(
                    "{}, of which {} repeated across a restart",
                    grouped(self.listed_again),
                    grouped(self.documented_gaps)
                ),
            ),
            ("terms", grouped(self.terms_of_consumers)),
            ("collected", format!("{} batches", grouped(self.batches_collected))),
        ];
        for (name, value) in lines {
            writeln!(f, "{name:<18}{value}")?;
        }
        Ok(())
    }

    fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let often = self.faults.iter().filter(|it| it.percent_of_seeds >= 1.0).count();
        writeln!(
            f,
            "\nfaults: {} kinds were active, {often} of them in 1 % of the seeds or more",
            self.faults.iter().filter(|it| it.seeds > 0).count()
        )?;
        table(f, &self.faults, "seeds")
    }

    fn coverage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(points) = &self.points else {
            return writeln!(f, "\ncoverage: not counted; `cargo sim` builds what counts it");
        };
        writeln!(f, "\ncoverage: {} of {} points reached", points.len(), Point::ALL.len())?;
        table(f, points, "seeds")?;
        if !self.points_never_reached.is_empty() {
            writeln!(f, "never reached: {}", self.points_never_reached.join(", "))?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, lines: &[Line], of: &str) -> fmt::Result {
    let width = lines.iter().map(|it| it.name.len()).max().unwrap_or(0);
    for Line { name, times, seeds, percent_of_seeds, first_seed } in lines {
        let (times, seeds) = (grouped(*times), grouped(*seeds));
        write!(f, "  {name:<width$}  {times:>13} times  {percent_of_seeds:>5.1} % ({seeds} {of})")?;
        match first_seed {
            Some(first) => writeln!(f, ", first in {first}")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures(f)?;
        self.faults(f)?;
        self.coverage(f)
    }
}
