//! `bench produce`: producers alone.

use std::sync::Arc;

use clap::Args;

use crate::exit::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::size;

use super::options::{Compression, Output};
use super::place::Place;
use super::producing::{Producing, Setting};
use super::recent::{CallShape, RecentStore};
use super::report::Measured;
use super::run::Plan;
use super::verify;

/// How many bytes of batches in memory stay whole.
const KEPT: usize = 64 << 20;

/// How many bytes become durable at the most where all of them are kept.
const MOST_KEPT: u64 = 4 << 30;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    producing: Producing,
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
    let measure = async |setting: Setting<'_>| measure(options, &setting, stop).await;
    options.producing.measure_each("produce", 1, None, &options.output, measure).await
}

/// How much of what was written stays there to be read back.
enum Keeping {
    All,
    Recent(Arc<RecentStore>),
}

async fn measure(
    options: &Options,
    setting: &Setting<'_>,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let Producing { place, load, batching, .. } = &options.producing;
    let mut keeping = Keeping::All;
    let calls = CallShape { entry_size: load.entry_size, entries: load.entries_per_call };
    let place = Place::open(place, setting.latency, |base, _, manifest| {
        let limit = match (options.drop_bodies, batching.compression) {
            (true, _) => 0,
            (false, Compression::None) => KEPT,
            // To sum them up they would have to be decompressed.
            (false, Compression::Zstd) => return base,
        };
        let recent = Arc::new(RecentStore::new(base, manifest, limit, calls));
        keeping = Keeping::Recent(Arc::clone(&recent));
        recent
    })?;
    let measured = measure_in(options, &place, &keeping, setting, stop).await;
    place.clean_up().await;
    measured
}

async fn measure_in(
    options: &Options,
    place: &Place,
    keeping: &Keeping,
    setting: &Setting<'_>,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let most_held = match (options.bytes, keeping) {
        (Some(bytes), _) => bytes as u64,
        (None, Keeping::All) => MOST_KEPT,
        (None, Keeping::Recent(_)) => u64::MAX,
    };
    let plan = Plan { most_held, ..setting.plan(place) };
    let ran = plan.run(stop).await?;
    let (payload, called) = (&setting.payload, &ran.called);
    let verified = match keeping {
        Keeping::All => verify::whole(place, payload, called).await?,
        Keeping::Recent(store) => verify::recent(place, store, payload, called).await?,
    };
    Ok(setting.measured(&plan, &ran, verified))
}
