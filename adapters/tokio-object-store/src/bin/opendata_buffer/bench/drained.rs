//! `bench contend` and `bench end-to-end`: producers, and a consumer that drains.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::exit::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::size;

use super::options::{Batching, Length, Load, Output, Rate, Reading, Where};
use super::place::{self, Place};
use super::prices::Prices;
use super::report::{self, Measured, Report};
use super::run::Plan;
use super::verify;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    batching: Batching,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    length: Length,
    /// Ends when so much is durable and was not consumed: the consumer does not keep up
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size::parse)]
    max_backlog: usize,
    #[command(flatten)]
    output: Output,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// What producers do to each other.
    Contend,
    /// How long an entry is on its way.
    EndToEnd,
}

impl Question {
    const fn command(self) -> &'static str {
        match self {
            Self::Contend => "contend",
            Self::EndToEnd => "end-to-end",
        }
    }

    const fn producers(self) -> usize {
        match self {
            Self::Contend => 16,
            Self::EndToEnd => 1,
        }
    }

    const fn rate(self) -> Rate {
        match self {
            Self::Contend => Rate::AsManyAsGo,
            Self::EndToEnd => Rate::PerSecond(100.0),
        }
    }
}

pub(crate) async fn run(options: &Options, question: Question, stop: &Interrupt) -> Outcome {
    let prices = Prices::load(options.output.prices.as_deref())?;
    let block = options.load.made_of.block(options.batching.compression, options.place.seed)?;
    let settings = json!({
        "store": options.place.settings(),
        "load": options.load,
        "batching": options.batching,
        "reading": options.reading,
        "length": options.length,
    });
    let mut report = Report::new(question.command(), place::name(&options.place), settings);
    for latency in &options.place.latency {
        for producers in options.load.producers(question.producers()) {
            let place = Place::open(&options.place, *latency, |base, _, _| base)?;
            let setting = Setting { question, block, latency: *latency, producers };
            let measured = measure(options, setting, &place, &prices, stop).await;
            place.clean_up().await;
            report.runs.push(measured?);
        }
    }
    report.publish(&options.output)
}

/// What tells one run from another.
#[derive(Clone, Copy)]
struct Setting {
    question: Question,
    block: &'static [u8],
    latency: Duration,
    producers: usize,
}

async fn measure(
    options: &Options,
    Setting { question, block, latency, producers }: Setting,
    place: &Place,
    prices: &Prices,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let payload = Arc::new(options.load.payload(block, producers)?);
    let name = report::name_of(latency, Some(producers));
    let plan = Plan {
        title: name.clone(),
        place,
        payload: Arc::clone(&payload),
        producers,
        load: &options.load,
        rate: options.load.rate.unwrap_or(question.rate()),
        batching: &options.batching,
        length: &options.length,
        most_held: options.max_backlog as u64,
        reading: Some(&options.reading),
        stamped: question == Question::EndToEnd,
    };
    let ran = plan.run(stop).await?;
    let found = ran.drained.as_ref().expect("there was a consumer").sums;
    let verified = verify::drained(place, found, &payload, &ran.called).await?;
    let measured = Measured::of_run(name, &ran, payload.call_bytes(), payload.entries_per_call())
        .with_prices(prices, &ran.counts, ran.took);
    Ok(Measured {
        latency_ms: Some(latency.as_secs_f64() * 1e3),
        verified: Some(verified),
        ..measured
    })
}
