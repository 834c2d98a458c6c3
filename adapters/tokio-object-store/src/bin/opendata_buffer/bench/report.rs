//! What is told of the measurements: a table, or JSON.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use buffer::measure::{RequestCounts, RequestKind};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

use crate::exit::{self, Failure};
use crate::size::{counted, grouped};

use super::meter::Memory;
use super::options::Output;
use super::plot;
use super::prices::Prices;
use super::run::{Plan, Ran};
use super::sums::{Compared, Sums};

/// All that one command measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) command: &'static str,
    version: &'static str,
    allocator: &'static str,
    processors: Option<usize>,
    pub(crate) store: String,
    /// What was asked for.
    pub(crate) settings: Value,
    pub(crate) runs: Vec<Measured>,
}

/// What one run came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measured {
    /// What tells this run from the others: latency, producers, entries.
    pub(crate) name: String,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) producers: usize,
    pub(crate) seconds: f64,
    pub(crate) mb_per_second: f64,
    pub(crate) entries_per_second: f64,
    pub(crate) calls_per_second: f64,
    pub(crate) acknowledgement: Option<Quantiles>,
    pub(crate) end_to_end: Option<Quantiles>,
    /// Other times that were taken, by what took them.
    pub(crate) times: BTreeMap<&'static str, Quantiles>,
    /// Other numbers, by what they are of.
    pub(crate) figures: BTreeMap<&'static str, f64>,
    pub(crate) slowest_producer_mb_per_second: Option<f64>,
    pub(crate) mean_producer_mb_per_second: Option<f64>,
    pub(crate) consumed_mb_per_second: Option<f64>,
    /// Over the whole run, warming up and the end included.
    pub(crate) whole: Whole,
    pub(crate) cpu_seconds_per_gb: Option<f64>,
    pub(crate) cpus: Option<f64>,
    pub(crate) peak_rss_bytes: Option<u64>,
    pub(crate) rss_before_bytes: Option<u64>,
    pub(crate) dollars_per_month: BTreeMap<String, f64>,
    pub(crate) verified: Option<Verified>,
    /// It ended before its time, at the limit of what may be durable and not consumed.
    pub(crate) ended_early: bool,
    /// Seconds since the first call, and the megabytes that were durable then.
    pub(crate) progress: Vec<(f64, f64)>,
}

/// What happened in the whole of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Whole {
    pub(crate) seconds: f64,
    pub(crate) calls: u64,
    pub(crate) failed_calls: u64,
    /// The first failure.
    pub(crate) failure: Option<String>,
    pub(crate) durable_bytes: u64,
    pub(crate) batches: u64,
    pub(crate) requests: BTreeMap<&'static str, Requests>,
    pub(crate) requests_per_mb: f64,
    pub(crate) conflicts: u64,
    pub(crate) swaps_per_batch: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Requests {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) mean_ms: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Verified {
    pub(crate) compared: Compared,
    #[serde(flatten)]
    pub(crate) found: Sums,
}

impl Report {
    pub(crate) fn new(command: &'static str, store: String, settings: Value) -> Self {
        Self {
            command,
            version: env!("CARGO_PKG_VERSION"),
            allocator: if cfg!(feature = "cli") { "mimalloc" } else { "system" },
            processors: std::thread::available_parallelism().ok().map(Into::into),
            store,
            settings,
            runs: Vec::new(),
        }
    }

    /// Prints what was measured, and draws it, as it was asked for.
    ///
    /// Fails if calls did: what was measured is of a store in trouble then.
    pub(crate) fn publish(&self, output: &Output) -> Result<(), Failure> {
        if let Some(path) = &output.plot {
            let name = path.display();
            fs::write(path, plot::draw(self))
                .map_err(|error| Failure::failed(format!("cannot write {name}: {error}")))?;
        }
        let text = if output.json {
            let text = serde_json::to_string_pretty(self);
            text.expect("numbers and texts can be written") + "\n"
        } else {
            self.table()
        };
        exit::print(&text)?;
        match self.runs.iter().map(|run| &run.whole).find(|whole| whole.failed_calls > 0) {
            None => Ok(()),
            Some(Whole { failed_calls, failure, .. }) => Err(Failure::failed(format!(
                "{} failed: {}",
                counted(*failed_calls, "call", "calls"),
                failure.as_deref().unwrap_or("nobody knows why"),
            ))),
        }
    }

    /// What was measured by lines, each run in a column.
    fn table(&self) -> String {
        let cells = self.runs.iter().map(rows).collect::<Vec<_>>();
        let mut labels: Vec<&str> = Vec::new();
        for (label, _) in cells.iter().flatten() {
            if !labels.contains(&&**label) {
                labels.push(label);
            }
        }
        let cell = |column: &[(String, String)], label: &str| {
            let found = column.iter().find(|(name, _)| name == label);
            found.map_or_else(|| "-".to_owned(), |(_, text)| text.clone())
        };
        let first = labels.iter().map(|label| label.len()).max().unwrap_or_default();
        let widths: Vec<_> = cells
            .iter()
            .map(|column| column.iter().map(|(_, text)| text.len()).max().unwrap_or_default())
            .collect();
        let mut table = String::new();
        for label in labels {
            let mut line = format!("{label:first$}");
            for (column, width) in cells.iter().zip(&widths) {
                line.push_str(&format!("  {:>width$}", cell(column, label)));
            }
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }
}

/// What tells a run from the others of a command.
pub(crate) fn name_of(latency: Duration, producers: Option<usize>) -> String {
    let millis = latency.as_secs_f64() * 1e3;
    match producers {
        None => format!("{millis} ms"),
        Some(1) => format!("{millis} ms, 1 producer"),
        Some(producers) => format!("{millis} ms, {producers} producers"),
    }
}

/// The lines of one run.
fn rows(run: &Measured) -> Vec<(String, String)> {
    let mut rows = vec![(String::new(), run.name.clone())];
    let mut row = |label: &str, text: Option<String>| {
        if let Some(text) = text {
            rows.push((label.to_owned(), text));
        }
    };
    let some = |figure: f64| (figure > 0.0).then(|| number(figure));
    row("MB/s", some(run.mb_per_second));
    row("entries/s", some(run.entries_per_second));
    row("calls/s", some(run.calls_per_second));
    for (name, figure) in &run.figures {
        row(name, Some(number(*figure)));
    }
    row("consumed MB/s", run.consumed_mb_per_second.map(number));
    if run.producers > 1 {
        row("slowest producer, MB/s", run.slowest_producer_mb_per_second.map(number));
        row("mean producer, MB/s", run.mean_producer_mb_per_second.map(number));
    }
    let named = [("acknowledged", run.acknowledgement), ("end to end", run.end_to_end)];
    let named = named.into_iter().filter_map(|(name, times)| Some((name, times?)));
    for (name, times) in named.chain(run.times.iter().map(|(name, times)| (*name, *times))) {
        row(&format!("{name} p50, ms"), Some(number(times.p50_ms)));
        row(&format!("{name} p90, ms"), Some(number(times.p90_ms)));
        row(&format!("{name} p99, ms"), Some(number(times.p99_ms)));
        row(&format!("{name} max, ms"), Some(number(times.max_ms)));
    }
    for (name, requests) in &run.whole.requests {
        let Requests { requests, bytes, mean_ms } = *requests;
        let megabytes = number(bytes as f64 / 1e6);
        let text = format!("{} ({megabytes} MB, {} ms)", grouped(requests), number(mean_ms));
        row(&name.replace('_', " "), Some(text));
    }
    row("requests/MB", some(run.whole.requests_per_mb));
    row("conflicts", Some(grouped(run.whole.conflicts)));
    row("swaps sent/batch", run.whole.swaps_per_batch.map(number));
    row("CPU s/GB", run.cpu_seconds_per_gb.map(number));
    row("CPUs busy", run.cpus.map(number));
    let megabytes = |bytes: u64| number(bytes as f64 / (1 << 20) as f64);
    row("peak RSS, MiB", Some(run.peak_rss_bytes.map_or("unknown".to_owned(), megabytes)));
    row("RSS before, MiB", Some(run.rss_before_bytes.map_or("unknown".to_owned(), megabytes)));
    for (store, dollars) in &run.dollars_per_month {
        row(&format!("$/month, {store}"), Some(number(*dollars)));
    }
    row("failed calls", (run.whole.failed_calls > 0).then(|| grouped(run.whole.failed_calls)));
    let verified = run.verified.map(|verified| match verified.compared {
        Compared::ByHash => format!("{} entries", grouped(verified.found.entries)),
        Compared::ByCount => format!("{} entries, by count", grouped(verified.found.entries)),
    });
    row("verified", verified);
    row("ended early", run.ended_early.then(|| "at its limit of bytes".to_owned()));
    rows
}

/// Three digits or more.
fn number(number: f64) -> String {
    match number.abs() {
        100.0.. => grouped(number.round() as u64),
        10.0..100.0 => format!("{number:.1}"),
        1.0..10.0 => format!("{number:.2}"),
        _ if number == 0.0 => "0".to_owned(),
        _ => format!("{number:.4}"),
    }
}

impl Quantiles {
    /// `None` where nothing was timed.
    pub(crate) fn of(times: &Histogram<u64>) -> Option<Self> {
        let millis = |micros: u64| micros as f64 / 1e3;
        (!times.is_empty()).then(|| Self {
            count: times.len(),
            p50_ms: millis(times.value_at_quantile(0.5)),
            p90_ms: millis(times.value_at_quantile(0.9)),
            p99_ms: millis(times.value_at_quantile(0.99)),
            max_ms: millis(times.max()),
        })
    }
}

impl Whole {
    pub(crate) fn of(counts: &RequestCounts, took: Duration, durable_bytes: u64) -> Self {
        let tallies = RequestKind::ALL.into_iter().map(|kind| (kind, counts.of(kind)));
        let requests = tallies.filter(|(_, tally)| tally.requests > 0).map(|(kind, tally)| {
            let mean_ms = tally.time.as_secs_f64() * 1e3 / tally.requests as f64;
            (kind.name(), Requests { requests: tally.requests, bytes: tally.bytes, mean_ms })
        });
        let of = |kind| counts.of(kind).requests;
        let batches = of(RequestKind::BatchPut);
        let swaps =
            of(RequestKind::SwapWon) + of(RequestKind::SwapLost) + of(RequestKind::SwapThrottled);
        let megabytes = durable_bytes as f64 / 1e6;
        Self {
            seconds: took.as_secs_f64(),
            durable_bytes,
            batches,
            requests: requests.collect(),
            requests_per_mb: ratio(counts.requests() as f64, megabytes).unwrap_or_default(),
            conflicts: of(RequestKind::SwapLost),
            swaps_per_batch: ratio(swaps as f64, batches as f64),
            ..Self::default()
        }
    }
}

fn ratio(one: f64, other: f64) -> Option<f64> {
    (other > 0.0).then(|| one / other)
}

impl Measured {
    /// What a run with producers came to.
    pub(crate) fn of_run(plan: &Plan<'_>, ran: &Ran) -> Self {
        let (call_bytes, entries_per_call) =
            (plan.payload.call_bytes(), plan.payload.entries_per_call());
        let seconds = ran.measured.as_secs_f64();
        let per_second = |amount: f64| ratio(amount, seconds).unwrap_or_default();
        let durable_calls = ran.calls() - ran.failed_calls();
        let mut whole = Whole::of(&ran.counts, ran.took, durable_calls * call_bytes as u64);
        whole.calls = ran.calls();
        whole.failed_calls = ran.failed_calls();
        whole.failure =
            ran.called.iter().find_map(|task| task.failure.as_ref()).map(ToString::to_string);
        whole.batches = ran.stats.iter().map(|stats| stats.batches_durable).sum();
        let swaps: u64 = ran.stats.iter().map(|stats| stats.swaps).sum();
        whole.swaps_per_batch = ratio(swaps as f64, whole.batches as f64);
        let megabytes = |bytes: u64| per_second(bytes as f64 / 1e6);
        let slowest = ran.by_producer.iter().min().map(|bytes| megabytes(*bytes));
        let mean = megabytes(ran.measured_bytes()) / ran.by_producer.len() as f64;
        let drained = ran.drained.as_ref();
        Self {
            name: plan.title.clone(),
            producers: ran.by_producer.len(),
            seconds,
            mb_per_second: megabytes(ran.measured_bytes()),
            entries_per_second: per_second(ran.measured_calls() as f64 * entries_per_call as f64),
            calls_per_second: per_second(ran.measured_calls() as f64),
            acknowledgement: Quantiles::of(&ran.latency),
            end_to_end: drained.and_then(|drained| Quantiles::of(&drained.latency)),
            slowest_producer_mb_per_second: slowest,
            mean_producer_mb_per_second: Some(mean),
            consumed_mb_per_second: drained.map(|drained| megabytes(drained.measured_bytes)),
            whole,
            cpu_seconds_per_gb: ran
                .cpu
                .and_then(|(cpu, bytes)| ratio(cpu.as_secs_f64(), bytes as f64 / 1e9)),
            cpus: ran.cpu.and_then(|(cpu, _)| ratio(cpu.as_secs_f64(), seconds)),
            ended_early: ran.was_full,
            progress: ran
                .samples
                .iter()
                .map(|(time, bytes)| (time.as_secs_f64(), *bytes as f64 / 1e6))
                .collect(),
            ..Self::default()
        }
        .with_memory(ran.memory_before, ran.memory)
    }

    pub(crate) fn with_memory(self, before: Memory, after: Memory) -> Self {
        Self { peak_rss_bytes: after.peak, rss_before_bytes: before.resident, ..self }
    }

    /// Adds what a month of this costs.
    pub(crate) fn with_prices(
        mut self,
        prices: &Prices,
        counts: &RequestCounts,
        time: Duration,
    ) -> Self {
        let stores = prices.stores.iter();
        self.dollars_per_month =
            stores.map(|store| (store.name.clone(), store.per_month(counts, time))).collect();
        self
    }
}
