//! `bench contend` and `bench end-to-end`: producers, and a consumer that drains.

use clap::Args;

use crate::exit::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::size;

use super::options::{Output, Rate, Reading};
use super::place::Place;
use super::producing::{Producing, Setting};
use super::report::Measured;
use super::run::Plan;
use super::verify;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    producing: Producing,
    #[command(flatten)]
    reading: Reading,
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
    let measure = async |setting: Setting<'_>| {
        let place = Place::open(&options.producing.place, setting.latency, |base, _, _| base)?;
        let measured = measure_in(options, question, &place, &setting, stop).await;
        place.clean_up().await;
        measured
    };
    let Options { producing, reading, output, .. } = options;
    let (command, producers) = (question.command(), question.producers());
    producing.measure_each(command, producers, Some(reading), output, measure).await
}

async fn measure_in(
    options: &Options,
    question: Question,
    place: &Place,
    setting: &Setting<'_>,
    stop: &Interrupt,
) -> Result<Measured, Failure> {
    let plan = Plan {
        rate: options.producing.load.rate.unwrap_or(question.rate()),
        most_held: options.max_backlog as u64,
        reading: Some(&options.reading),
        stamped: question == Question::EndToEnd,
        ..setting.plan(place)
    };
    let ran = plan.run(stop).await?;
    let found = ran.drained.as_ref().expect("there was a consumer").sums;
    let verified = verify::drained(place, found, &setting.payload, &ran.called).await?;
    Ok(setting.measured(&plan, &ran, verified))
}
