//! `doctor`: tries what a queue needs of its store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use buffer::buffer_core::Location;
use buffer::{
    CheckResult, FlushAdvice, FlushBound, Latency, Probe, ProbeOptions, ProbeReport, Runtime,
    StoreLocation, StorePlace, SystemClock, TokioRuntime,
};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::{self, Failure, Outcome, Status};
use crate::interrupt::Interrupt;
use crate::queue::{self, Queue};
use crate::say::say;
use crate::size::{self, counted};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// How often each request is timed
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// How large the objects are that are timed
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size::parse)]
    object_size: usize,
    /// How many producers the flush interval is recommended for
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    producers: u16,
    /// What the writes of one busy producer to a cloud may cost a month, in dollars at S3's prices
    #[arg(long, value_name = "DOLLARS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    budget: u32,
    /// Prints the results as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    let Queue { store: location, options: told, keys } = &options.queue;
    queue::refuse_memory(location)?;
    let told = told.parse()?;
    let environment = buffer::process_environment;
    let place = StorePlace::resolve(location, &told, &environment)?;
    let prefix = Location::from(keys.data_path_prefix.as_str());
    prefix.validate().map_err(|error| Failure::usage(format!("--data-path-prefix: {error}")))?;

    let made = Made::before(&place, location);
    let store = queue::open(location, &told)?;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
    let probing = ProbeOptions {
        data_path_prefix: prefix,
        samples: options.samples.into(),
        object_bytes: options.object_size,
        producers: options.producers.into(),
        monthly_dollars: match place {
            StorePlace::Cloud(_) => Some(options.budget.into()),
            StorePlace::Directory(_) | StorePlace::Memory(_) => None,
        },
        ..ProbeOptions::default()
    };
    let probe = Probe::new(Arc::clone(&store), Arc::new(SystemClock), runtime, probing);
    say!("trying {store} below {}/", probe.scratch());
    let ran = tokio::select! {
        biased;
        () = stop.raised() => None,
        ran = probe.run() => Some(ran),
    };
    let left = probe.clean_up().await;
    made.remove(probe.scratch());
    if left > 0 {
        let left = counted(left as u64, "object", "objects");
        say!("could not delete {left} below {}/", probe.scratch());
    }
    let Some(ran) = ran else { return Err(Failure::interrupted()) };
    let report = ran.map_err(|error| Failure::failed(format!("{store}: {error}")))?;
    let json = || format!("{:#}\n", to_json(&store.to_string(), &report));
    exit::print(&if options.json { json() } else { table(&report) })?;
    conclude(&store.to_string(), &report)
}

/// What goes in a directory that this command makes, and what does not stay.
struct Made {
    root: Option<PathBuf>,
    was_there: bool,
}

impl Made {
    fn before(place: &StorePlace, location: &StoreLocation) -> Self {
        let root = match place {
            StorePlace::Directory(path) => Some(path.clone()),
            StorePlace::Memory(_) | StorePlace::Cloud(_) => None,
        };
        let was_there = location.directory().is_some_and(|path| path.exists());
        Self { root, was_there }
    }

    /// Removes the directories of the scratch prefix, as far as nothing is in them, and the whole
    /// directory if it was not there before.
    fn remove(&self, scratch: &Location) {
        let Some(root) = &self.root else { return };
        // What is not empty stays: the rest is somebody's.
        let remove = |path: &Path| fs::remove_dir(path).is_ok();
        let mut key = Some(scratch.as_str());
        while let Some(part) = key {
            if !remove(&root.join(part)) || self.was_there {
                break;
            }
            key = part.rsplit_once('/').map(|(above, _)| above);
        }
        if !self.was_there {
            remove(&root.join(".opendata-buffer"));
            remove(root);
        }
    }
}

fn conclude(store: &str, report: &ProbeReport) -> Outcome {
    let failed: Vec<_> = report.failures().map(|(check, _)| check.name()).collect();
    let failed = failed.join(", ");
    if !report.can_compare_and_swap() {
        let message =
            format!("{store} cannot compare and swap, so no queue is safe in it: {failed}");
        return Err(Failure::new(Status::NoCompareAndSwap, message));
    }
    if !report.is_all_well() {
        return Err(Failure::failed(format!("{store} is not what a queue needs: {failed}")));
    }
    Ok(())
}

fn table(report: &ProbeReport) -> String {
    let mut lines = Vec::new();
    for CheckResult { check, failure } in &report.checks {
        lines.push(match failure {
            None => format!("ok      {check}"),
            Some(failure) => format!("FAILED  {check}: {failure}"),
        });
    }
    lines.push(format!("\n{:<8}{:>10}{:>10}", "", "p50", "p99"));
    for (name, latency) in timed(report) {
        let (p50, p99) = (millis(latency.p50), millis(latency.p99));
        lines.push(format!("{name:<8}{p50:>7} ms{p99:>7} ms"));
    }
    let swaps = report.swaps_per_second;
    lines.push(format!("one object took {swaps:.1} swaps a second from four writers"));
    if let Some(ahead) = report.clock_ahead_ms {
        let (off, how) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead of" });
        lines.push(format!(
            "the store's clock is {off} ms {how} this machine's, give or take a second"
        ));
    }
    if let Some(advice) = &report.advice {
        recommend(advice, &mut lines);
    }
    lines.join("\n") + "\n"
}

fn recommend(advice: &FlushAdvice, lines: &mut Vec<String>) {
    let FlushAdvice { flush_interval, bound, dollars_per_month, .. } = advice;
    let interval = humantime::format_duration(*flush_interval);
    lines.push(format!("\nrecommended: --flush-interval {interval}"));
    lines.push(format!("why: {bound}"));
    // Where nothing is paid for, there is nothing to say about that.
    for (bound, least) in advice.at_least.iter().filter(|(_, least)| !least.is_zero()) {
        lines.push(format!("  {:>8} ms  {bound}", millis(*least)));
        if *bound == FlushBound::Price {
            lines.push(format!(
                "a producer that is always busy writes for ${dollars_per_month:.0} a month then, at S3's prices"
            ));
        }
    }
}

fn timed(report: &ProbeReport) -> [(&'static str, Latency); 3] {
    [("PUT", report.put), ("GET", report.get), ("swap", report.swap)]
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

fn to_json(store: &str, report: &ProbeReport) -> Value {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|CheckResult { check, failure }| {
            json!({
                "check": check.name(),
                "ok": failure.is_none(),
                "compare_and_swap": check.is_compare_and_swap(),
                "failure": failure,
            })
        })
        .collect();
    let latency = |latency: Latency| json!({ "p50_ms": exact_millis(latency.p50), "p99_ms": exact_millis(latency.p99) });
    json!({
        "store": store,
        "all_well": report.is_all_well(),
        "can_compare_and_swap": report.can_compare_and_swap(),
        "checks": checks,
        "put": latency(report.put),
        "get": latency(report.get),
        "swap": latency(report.swap),
        "swaps_per_second": report.swaps_per_second,
        "clock_ahead_ms": report.clock_ahead_ms,
        "advice": report.advice.as_ref().map(advice_to_json),
    })
}

fn advice_to_json(advice: &FlushAdvice) -> Value {
    let at_least = advice.at_least.iter();
    let at_least: serde_json::Map<_, _> = at_least
        .map(|(bound, least)| (format!("{}_ms", bound.name()), exact_millis(*least).into()))
        .collect();
    json!({
        "flush_interval_ms": exact_millis(advice.flush_interval),
        "bound": advice.bound.name(),
        "at_least": at_least,
        "dollars_per_month": advice.dollars_per_month,
    })
}

fn exact_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
