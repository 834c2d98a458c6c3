//! What the measurements with producers have in common.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::exit::{Failure, Outcome};

use super::options::{Batching, Length, Load, Output, Rate, Reading, Where};
use super::payload::Payload;
use super::place::{self, Place};
use super::prices::Prices;
use super::report::{self, Measured, Report, Verified};
use super::run::{Plan, Ran};

#[derive(Args, Debug)]
pub(crate) struct Producing {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) batching: Batching,
    #[command(flatten)]
    pub(crate) length: Length,
}

/// What tells one run from another.
pub(crate) struct Setting<'a> {
    options: &'a Producing,
    prices: &'a Prices,
    pub(crate) latency: Duration,
    producers: usize,
    pub(crate) payload: Arc<Payload>,
}

impl Producing {
    /// Measures with each latency and each number of producers that was asked for, `default`
    /// without one, and tells what came of it.
    pub(crate) async fn measure_each(
        &self,
        command: &'static str,
        default: usize,
        reading: Option<&Reading>,
        output: &Output,
        measure: impl AsyncFn(Setting<'_>) -> Result<Measured, Failure>,
    ) -> Outcome {
        let prices = Prices::load(output.prices.as_deref())?;
        let block = self.load.made_of.block(self.batching.compression, self.place.seed)?;
        let mut settings = json!({
            "store": self.place.settings(),
            "load": self.load,
            "batching": self.batching,
            "length": self.length,
        });
        if let Some(reading) = reading {
            settings["reading"] = json!(reading);
        }
        let mut report = Report::new(command, place::name(&self.place), settings);
        for &latency in &self.place.latency {
            for producers in self.load.producers(default) {
                let payload = Arc::new(self.load.payload(block, producers)?);
                let (options, prices) = (self, &prices);
                let setting = Setting { options, prices, latency, producers, payload };
                report.runs.push(measure(setting).await?);
            }
        }
        report.publish(output)
    }
}

impl Setting<'_> {
    /// Producers alone, called as often as goes unless a rate was asked for, with no limit but time.
    pub(crate) fn plan<'a>(&'a self, place: &'a Place) -> Plan<'a> {
        let Producing { load, batching, length, .. } = self.options;
        Plan {
            title: report::name_of(self.latency, Some(self.producers)),
            place,
            payload: Arc::clone(&self.payload),
            producers: self.producers,
            load,
            rate: load.rate.unwrap_or(Rate::AsManyAsGo),
            batching,
            length,
            most_held: u64::MAX,
            reading: None,
            stamped: false,
        }
    }

    pub(crate) fn measured(&self, plan: &Plan<'_>, ran: &Ran, verified: Verified) -> Measured {
        Measured {
            latency_ms: Some(self.latency.as_secs_f64() * 1e3),
            verified: Some(verified),
            ..Measured::of_run(plan, ran).with_prices(self.prices, &ran.counts, ran.took)
        }
    }
}
