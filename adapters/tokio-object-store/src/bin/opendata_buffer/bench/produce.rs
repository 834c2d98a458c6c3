//! `bench produce`: producers alone.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::exit::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::size;

use super::options::{Batching, Compression, Length, Load, Output, Rate, Where};
use super::place::{self, Place};
use super::prices::Prices;
use super::recent::{CallShape, RecentStore};
use super::report::{self, Measured, Report};
use super::run::Plan;
use super::verify;

/// How many bytes of batches in memory stay whole.
const KEPT: usize = 64 << 20;

/// How many bytes become durable at the most where all of them are kept.
const MOST_KEPT: u64 = 4 << 30;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    batching: Batching,
    #[command(flatten)]
    length: Length,
    /// Ends when so much is durable, if that is before its time; 4GiB where all of it is kept: in a
    /// real store, and with --compression zstd
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    bytes: Option<usize>,
    /// Keeps of every batch in memory only the sums of its entries, to see what memory producers
    /// take. Without it the last 64 MiB are kept whole, and all that is compressed
    #[arg(long, conflicts_with = "queue")]
    drop_bodies: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: &Options, stop: &Interrupt) -> Outcome {
    let prices = Prices::load(options.output.prices.as_deref())?;
    let block = options.load.made_of.block(options.batching.compression, options.place.seed)?;
    let settings = json!({
        "store": options.place.settings(),
        "load": options.load,
        "batching": options.batching,
        "length": options.length,
    });
    let mut report = Report::new("produce", place::name(&options.place), settings);
    for latency in &options.place.latency {
        for producers in options.load.producers(1) {
            let setting = Setting { latency: *latency, producers, prices: &prices };
            report.runs.push(measure(options, block, setting, stop).await?);
        }
    }
    report.publish(&options.output)
}

/// How much of what was written stays there to be read back.
enum Keeping {
    All,
    Recent(Arc<RecentStore>),
}

async fn measure(
    options: &Options,
    block: &'static [u8],
    setting: Setting<'_>,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let mut keeping = Keeping::All;
    let calls =
        CallShape { entry_size: options.load.entry_size, entries: options.load.entries_per_call };
    let place = Place::open(&options.place, setting.latency, |base, _, manifest| {
        let limit = match (options.drop_bodies, options.batching.compression) {
            (true, _) => 0,
            (false, Compression::None) => KEPT,
            // To sum them up they would have to be decompressed.
            (false, Compression::Zstd) => return base,
        };
        let recent = Arc::new(RecentStore::new(base, manifest, limit, calls));
        keeping = Keeping::Recent(Arc::clone(&recent));
        recent
    })?;
    let measured = measure_in(options, &place, &keeping, block, setting, stop).await;
    place.clean_up().await;
    measured
}

/// What tells one run from another.
#[derive(Clone, Copy)]
struct Setting<'a> {
    latency: Duration,
    producers: usize,
    prices: &'a Prices,
}

async fn measure_in(
    options: &Options,
    place: &Place,
    keeping: &Keeping,
    block: &'static [u8],
    Setting { latency, producers, prices }: Setting<'_>,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let payload = Arc::new(options.load.payload(block, producers)?);
    let name = report::name_of(latency, Some(producers));
    let most_held = match (options.bytes, keeping) {
        (Some(bytes), _) => bytes as u64,
        (None, Keeping::All) => MOST_KEPT,
        (None, Keeping::Recent(_)) => u64::MAX,
    };
    let plan = Plan {
        title: name.clone(),
        place,
        payload: Arc::clone(&payload),
        producers,
        load: &options.load,
        rate: options.load.rate.unwrap_or(Rate::AsManyAsGo),
        batching: &options.batching,
        length: &options.length,
        most_held,
        reading: None,
        stamped: false,
    };
    let ran = plan.run(stop).await?;
    let measured = Measured::of_run(name, &ran, payload.call_bytes(), payload.entries_per_call())
        .with_prices(prices, &ran.counts, ran.took);
    let verified = match keeping {
        Keeping::All => verify::whole(place, &payload, &ran.called).await?,
        Keeping::Recent(store) => verify::recent(place, store, &payload, &ran.called).await?,
    };
    Ok(Measured {
        latency_ms: Some(latency.as_secs_f64() * 1e3),
        verified: Some(verified),
        ..measured
    })
}
