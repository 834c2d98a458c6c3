//! `exhaustive`: every order of a few requests, and which planted bugs that finds.

use std::time::Duration;

use buffer_core::hooks::{Bug, Point};
use buffer_sim::exhaustive::{Found, Limits, Summary, climb};
use buffer_sim::hooks_are_on;
use clap::Args;

use crate::exit::{Ended, Outcome, say};
use crate::numbers::{grouped, span};
use crate::one::{HOW_TO_BUILD, bug};
use crate::workers::cores;

/// Why these cannot show here.
const BEYOND: &[(&str, &[Bug])] = &[
    (
        "manifests are never lost, nor put back",
        &[
            Bug::SequenceRestartedOnMissingManifest,
            Bug::RollbackAccepted,
            Bug::MissingManifestTakenForUnchanged,
        ],
    ),
    (
        "there are no objects but those of this queue, and their names need no encoding",
        &[
            Bug::LocationEncodedTwice,
            Bug::UploadConflictTakenForStored,
            Bug::ForeignKeysCollected,
            Bug::NestedKeysCollected,
            Bug::OtherPrefixCollected,
            Bug::YoungerThanListedCollected,
            Bug::FirstPageOnly,
        ],
    ),
    (
        "nothing is damaged, and clocks are right",
        &[
            Bug::SkipRefused,
            Bug::CollectByWallClock,
            Bug::ImpossibleTimesBelieved,
            Bug::SuspensionUnnoticed,
            Bug::FooterCountTrusted,
            Bug::RecordCountUnchecked,
            Bug::SequenceOrderUnchecked,
        ],
    ),
    (
        "how often something is tried, and for how long, is not looked at",
        &[
            Bug::TransientErrorEndsBatch,
            Bug::RetryWithoutBackoff,
            Bug::UploadRetriedWithoutBackoff,
            Bug::NoPauseAfterConflict,
            Bug::NoGroupCommit,
            Bug::PollWithoutRest,
            Bug::CollectWithoutRest,
        ],
    ),
    (
        "nothing comes near a bound",
        &[
            Bug::InFlightUnbounded,
            Bug::MemoryUnbounded,
            Bug::BytesReleasedTooSoon,
            Bug::BackPressureNeverReleased,
            Bug::PrefetchUnbounded,
        ],
    ),
    (
        "callers flush at once, have no metadata, close nothing, and acknowledge at once and in order",
        &[
            Bug::FlushTimerLost,
            Bug::FlushTimerStarved,
            Bug::LastBatchDroppedOnClose,
            Bug::IngestionTimesMerged,
            Bug::FirstAckUnchecked,
            Bug::GapInAcksAccepted,
            Bug::RepeatDequeuedAlone,
        ],
    ),
    (
        "a run ends after some ticks, whatever is left to do",
        &[
            Bug::StoredNotDequeued,
            Bug::FailedDequeueNotRetried,
            Bug::SweepNeverBeginsAnew,
            Bug::OrphansLeftBehind,
            Bug::CollectorStopsAtError,
        ],
    ),
    (
        "it takes more time than a run has: a grace period, or until a batch is given up",
        &[
            Bug::JudgeOffByOne,
            Bug::OldBatchListed,
            Bug::CollectByAgeAlone,
            Bug::CollectByTwoReadings,
            Bug::CollectByCachedManifest,
            Bug::UnusedQueueCollected,
        ],
    ),
    (
        "the driver has no part in it",
        &[Bug::BackgroundFailureNotTold, Bug::RequestsWaitForEver, Bug::LocalSecondWriteFails],
    ),
];

fn beyond(bug: Bug) -> Option<&'static str> {
    BEYOND.iter().find(|(_, bugs)| bugs.contains(&bug)).map(|(why, _)| *why)
}

/// Without a number, all of [`Limits::LADDER`]; with one, the others are as in [`Limits::SMALL`].
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Producers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    producers: Option<u8>,
    /// Batches of each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    batches: Option<u8>,
    /// How many more consumers take over
    #[arg(long, value_name = "N")]
    take_overs: Option<u8>,
    /// How many processes crash
    #[arg(long, value_name = "N")]
    crashes: Option<u8>,
    /// How many answers are lost or late
    #[arg(long, value_name = "N")]
    faults: Option<u8>,
    /// How often time passes while something else could happen
    #[arg(long, value_name = "N")]
    hurries: Option<u8>,
    /// How often time passes in all before a run ends
    #[arg(long, value_name = "N")]
    ticks: Option<u8>,
    /// For how long, at the most
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// How many threads [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Plants this bug
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Option<Bug>,
    /// Plants every bug that can show here in turn, and fails unless all are found; `--minutes` is for each
    #[arg(long, conflicts_with = "bug")]
    bugs: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    if (options.bug.is_some() || options.bugs) && !hooks_are_on() {
        return Err(Ended::usage(HOW_TO_BUILD));
    }
    let time = Duration::try_from_secs_f64(options.minutes * 60.0)
        .map_err(|error| Ended::usage(format!("--minutes {}: {error}", options.minutes)))?;
    let jobs = options.jobs.unwrap_or_else(cores);
    let ladder = options.ladder();
    if options.bugs {
        return look_for_each(&ladder, jobs, time);
    }
    let summary = climb(&ladder, options.bug, jobs, time, |limits, one| {
        let whole = if one.complete { "to the end" } else { "as far as time went" };
        let (states, transitions) = (grouped(one.states), grouped(one.transitions));
        say!("{limits}: {states} states, {transitions} transitions, {whole}");
    });
    tell(&summary);
    match (&summary.found, options.bug) {
        (None, None) => Ok(()),
        (None, Some(bug)) => Err(Ended::broken(format!("{} is not found", bug.name()))),
        (Some(found), Some(_)) => {
            say!("\n{found}");
            Ok(())
        }
        (Some(found), None) => Err(Ended::broken(found.to_string())),
    }
}

impl Options {
    fn ladder(&self) -> Vec<Limits> {
        let given = [self.producers, self.batches, self.take_overs, self.crashes, self.faults];
        if given.iter().chain(&[self.hurries, self.ticks]).all(Option::is_none) {
            return Limits::LADDER.to_vec();
        }
        let small = Limits::SMALL;
        vec![Limits {
            producers: self.producers.map_or(small.producers, usize::from),
            batches: self.batches.map_or(small.batches, usize::from),
            take_overs: self.take_overs.unwrap_or(small.take_overs),
            crashes: self.crashes.unwrap_or(small.crashes),
            faults: self.faults.unwrap_or(small.faults),
            hurries: self.hurries.unwrap_or(small.hurries),
            ticks: self.ticks.unwrap_or(small.ticks),
        }]
    }
}

fn tell(summary: &Summary) {
    let Summary { states, transitions, repeated, ended, depth, took, .. } = summary;
    say!("states       {}", grouped(*states));
    let rate = *transitions as f64 / took.as_secs_f64();
    say!("transitions  {}, {} a second", grouped(*transitions), grouped(rate as u64));
    say!("repeated     {} to get back to a state", grouped(*repeated));
    say!("runs ended   {}, the longest after {depth} steps", grouped(*ended));
    say!("took         {}", span(*took));
    if summary.reached.is_empty() {
        return;
    }
    let places = || Point::ALL.iter().zip(&summary.reached);
    let count = places().filter(|(_, times)| **times > 0).count();
    say!("coverage     {count} of {} points reached", Point::ALL.len());
    let never: Vec<_> = places().filter(|(_, times)| **times == 0).map(|it| it.0.name()).collect();
    say!("never        {}", never.join(", "));
}

fn look_for_each(ladder: &[Limits], jobs: usize, time: Duration) -> Outcome {
    let width = Bug::ALL.iter().map(|bug| bug.name().len()).max().unwrap_or(0);
    let (mut count, mut missed) = (0, Vec::new());
    for bug in Bug::ALL {
        let name = bug.name();
        if let Some(why) = beyond(*bug) {
            say!("{name:<width$}  cannot show: {why}");
            continue;
        }
        let summary = climb(ladder, Some(*bug), jobs, time, |_, _| {});
        let after = grouped(summary.transitions);
        let Some(found) = summary.found else {
            say!("{name:<width$}  not found in {after} transitions");
            missed.push(name);
            continue;
        };
        count += 1;
        let named = bug.caught_by().split('+').any(|named| named == found.invariant);
        let as_named = if named { "" } else { ", not one of those that its entry names" };
        let Found { invariant, steps, .. } = &found;
        let steps = steps.len();
        say!("{name:<width$}  {invariant} after {after} transitions, in {steps} steps{as_named}");
    }
    say!("found {count}; {} cannot show here", Bug::ALL.len() - count - missed.len());
    match missed.is_empty() {
        true => Ok(()),
        false => Err(Ended::broken(format!("not found: {}", missed.join(", ")))),
    }
}
