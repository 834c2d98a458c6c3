//! One seed, from its plan to what is told of it.

use std::collections::BTreeMap;

use crate::decisions::{Calm, Choices};
use crate::event::Event;
use crate::{Decision, SimOptions, SimRuntime, guard};

use super::options::{Load, Options};
use super::plan::Plan;
use super::report::{Failure, Report};
use super::secs;
use super::world::World;

/// Runs the world of a seed to its end.
///
/// ```
/// use buffer_sim::swarm::{Options, run};
///
/// for seed in 0..5 {
///     let report = run(seed, &Options::default())?;
///     assert!(report.batches > 0, "seed {seed}");
///     assert_eq!(run(seed, &Options::default())?.hash, report.hash, "the same seed, the same world");
/// }
/// # Ok::<(), Box<buffer_sim::swarm::Failure>>(())
/// ```
///
/// # Errors
///
/// [`Failure`]: the first invariant that did not hold, or a panic, or a world without an end.
pub fn run(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    watch(seed, options, Watch::default()).ran
}

/// What is wanted of a run beside its end.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Decisions that are told apart by their places, in a calm run.
    pub(super) calm: Option<Calm>,
    pub(super) keeps_events: bool,
    pub(super) records_decisions: bool,
    /// Fewer steps than the load allows for.
    pub(super) most_steps: Option<u64>,
}

/// A run, and what was wanted of it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) ran: Result<Report, Box<Failure>>,
    pub(super) events: Vec<Event>,
    pub(super) decisions: Vec<Decision>,
    /// What the sources of those decisions are called.
    pub(super) sources: BTreeMap<u64, String>,
    pub(super) steps: u64,
}

impl Watched {
    /// A run of which nothing is known but that it failed.
    pub(super) fn failed(failure: Failure) -> Self {
        Self {
            ran: Err(Box::new(failure)),
            events: Vec::new(),
            decisions: Vec::new(),
            sources: BTreeMap::new(),
            steps: 0,
        }
    }
}

/// The same, watched.
pub(super) fn watch(seed: u64, options: &Options, watch: Watch) -> Watched {
    let changes = options.changes.iter().map(|change| (change.index, change.value)).collect();
    let (time_budget, step_budget) = match options.load {
        Load::Short => (secs(3 * 60 * 60), 500_000),
        Load::Long => (secs(60 * 24 * 60 * 60), 2_000_000_000),
        Load::Crowd => (secs(24 * 60 * 60), 200_000_000),
    };
    let limits = SimOptions {
        time_budget,
        step_budget: watch.most_steps.map_or(step_budget, |most| most.min(step_budget)),
        keeps_lines: options.keeps_lines,
        keeps_events: watch.keeps_events,
        ..SimOptions::default()
    };
    let calm = watch.calm.or_else(|| options.calm.then(Calm::default));
    let choices = Choices { changes, records: watch.records_decisions, calm };
    let runtime = SimRuntime::with_choices(seed, limits, choices);
    let plan = Plan::draw(&mut runtime.random("plan"), options.load);
    runtime.set_cpu_delay(plan.cpu_delay);
    runtime.set_shuffles(plan.shuffles);
    runtime.record(format_args!("{plan:?}"));
    let world = World::new(&runtime, plan, options);
    let ended = guard::catch(&format!("seed {seed}"), || runtime.block_on(world.run()));
    let is_panic = ended.is_err();
    let failure = match ended {
        Ok(()) => world.first_violation().map(|(invariant, what)| (Some(invariant), what)),
        // Of the code, or of a world that has no end.
        Err(panic) => Some((None, panic.to_string())),
    };
    let mut lines = if options.keeps_lines { runtime.trace() } else { Vec::new() };
    let ran = match failure {
        None => Ok(Report { lines, ..report(&world) }),
        Some((invariant, what)) => {
            let at = lines.iter().position(|line| line.contains("VIOLATED"));
            lines.truncate(at.map_or(lines.len(), |at| at + 1));
            Err(Box::new(Failure { seed, invariant, what, lines }))
        }
    };
    let (decisions, sources) = decisions(&runtime);
    let (mut events, steps) = (runtime.take_events(), runtime.steps());
    let at = events.iter().position(Event::is_violation);
    events.truncate(at.map_or(events.len(), |at| at + 1));
    // What panicked is left as it lies, unless it was the world that had no end.
    if !is_panic || ran.as_ref().is_err_and(|failure| failure.is_endless()) {
        runtime.shutdown();
    }
    Watched { ran, events, decisions, sources, steps }
}

/// What was decided, and what the sources are called that decided otherwise than usual.
fn decisions(runtime: &SimRuntime) -> (Vec<Decision>, BTreeMap<u64, String>) {
    let decisions = runtime.decisions();
    let unusual = decisions.iter().filter(|decision| decision.is_unusual());
    let name = |decision: &Decision| {
        let source = decision.place.source;
        Some((source, runtime.source_name(source)?))
    };
    let sources = unusual.filter_map(name).collect();
    (decisions, sources)
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
        producer_swaps: totals.producer_swaps,
        consumer_swaps: totals.consumer_swaps,
        handed_out: totals.handed_out,
        acks: totals.acks,
        epochs: totals.terms,
        collected: totals.collected,
        // Counted by who plants and counts.
        reached: Vec::new(),
        lines: Vec::new(),
    }
}
