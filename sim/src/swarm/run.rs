//! One seed, from its plan to what is told of it.

use crate::{SimOptions, SimRuntime, guard};

use super::options::{Load, Options};
use super::plan::Plan;
use super::report::{Failure, Report};
use super::secs;
use super::world::World;

/// Runs the world of a seed to its end.
///
/// # Errors
///
/// [`Failure`]: the first invariant that did not hold, or a panic, or a world without an end.
pub fn run(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    let changes = options.changes.iter().map(|change| (change.index, change.value)).collect();
    let (time_budget, step_budget) = match options.load {
        Load::Short => (secs(3 * 60 * 60), 500_000),
        Load::Long => (secs(60 * 24 * 60 * 60), 2_000_000_000),
        Load::Crowd => (secs(24 * 60 * 60), 200_000_000),
    };
    let limits = SimOptions {
        time_budget,
        step_budget,
        changes,
        keeps_lines: options.keeps_lines,
        ..SimOptions::default()
    };
    let runtime = SimRuntime::with_options(seed, limits);
    let plan = Plan::draw(&mut runtime.random("plan"), options.load);
    runtime.set_cpu_delay(plan.cpu_delay);
    runtime.set_shuffles(plan.shuffles);
    runtime.record(format_args!("{plan:?}"));
    let world = World::new(&runtime, plan, options);
    let ended = guard::catch(&format!("seed {seed}"), || runtime.block_on(world.run()));
    let failure = match ended {
        Ok(()) => world.first_violation().map(|(invariant, what)| (Some(invariant), what)),
        // Of the code, or of a world that has no end.
        Err(panic) => Some((None, panic.to_string())),
    };
    let mut lines = if options.keeps_lines { runtime.trace() } else { Vec::new() };
    let Some((invariant, what)) = failure else {
        let report = Report { lines, ..report(&world) };
        runtime.shutdown();
        return Ok(report);
    };
    let at = lines.iter().position(|line| line.contains("VIOLATED"));
    lines.truncate(at.map_or(lines.len(), |at| at + 1));
    // What panicked is left as it lies.
    if invariant.is_some() {
        runtime.shutdown();
    }
    Err(Box::new(Failure { seed, invariant, what, lines }))
}

fn report(world: &World) -> Report {
    let (totals, submissions) = {
        let oracles = world.oracles();
        (oracles.totals(), oracles.next_submission())
    };
    Report {
        hash: world.runtime.trace_hash(),
        simulated: world.runtime.elapsed(),
        requests: totals.requests,
        large_swaps: totals.large_swaps,
        faults: world.activity().into_iter().collect(),
        entries: totals.durable_entries,
        submissions,
        batches: totals.batches,
        listed_again: totals.listed_again,
        gaps: totals.gaps,
        unknown: totals.unknown,
        not_delivered: totals.not_delivered,
        epochs: totals.terms,
        collected: totals.collected,
        // Counted by who plants and counts.
        reached: Vec::new(),
        lines: Vec::new(),
    }
}
