//! One seed, from its plan to what is told of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{SimOptions, SimRuntime};

use super::options::{Load, Options};
use super::plan::Plan;
use super::report::{Failure, Report};
use super::world::World;
use super::{ms, secs};

/// How many lines before a failure are told.
const LINES: usize = 60;

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
    // A world is made before its plan is drawn in it.
    let cpu_delay = ms(SimRuntime::new(seed).random("cpu delay").u64(0..5));
    let limits = SimOptions {
        cpu_delay,
        time_budget,
        step_budget,
        changes,
        keeps_lines: options.keeps_lines,
        ..SimOptions::default()
    };
    let runtime = SimRuntime::with_options(seed, limits);
    let plan = Plan::draw(&mut runtime.random("plan"), options.load);
    runtime.record(format_args!("{plan:?}"));
    let world = World::new(&runtime, plan, options);
    #[cfg(buffer_sim)]
    let _before = buffer_core::hooks::take_reached();
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(world.run())));
    let failure = match ended {
        Ok(()) => world.first_violation().map(|(invariant, what)| (Some(invariant), what)),
        // Of the code, or of a world that has no end.
        Err(panic) => Some((None, message(&*panic))),
    };
    let Some((invariant, what)) = failure else {
        let report = report(&world);
        runtime.shutdown();
        return Ok(report);
    };
    let trace = runtime.trace();
    let at = trace.iter().position(|line| line.contains("VIOLATED"));
    let end = at.map_or(trace.len(), |at| at + 1);
    let lines = trace[end.saturating_sub(LINES)..end].to_vec();
    if invariant.is_some() {
        runtime.shutdown();
    }
    Err(Box::new(Failure { seed, invariant, what, lines }))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

fn report(world: &World) -> Report {
    let (totals, submissions, epochs) = {
        let oracles = world.oracles();
        (oracles.totals(), oracles.next_submission(), oracles.epoch())
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
        epochs,
        collected: totals.collected,
        #[cfg(buffer_sim)]
        reached: buffer_core::hooks::take_reached(),
        #[cfg(not(buffer_sim))]
        reached: Vec::new(),
    }
}
