//! `bench`: how fast queues are.

mod backlog;
mod backlog_store;
mod consume;
mod course;
mod drain;
mod drained;
mod load;
mod meter;
mod options;
mod payload;
mod place;
mod plot;
mod prices;
mod produce;
mod recent;
mod report;
mod run;
mod sums;
mod verify;

use clap::Subcommand;

use crate::exit::Outcome;
use crate::interrupt::Interrupt;

use drained::Question;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How fast producers make entries durable
    Produce(produce::Options),
    /// How fast a consumer gets through a backlog
    Consume(consume::Options),
    /// How long it takes from a producer's call to the consumer
    EndToEnd(drained::Options),
    /// What a long manifest costs: appending to it, taking it over, dequeuing from it
    Backlog(backlog::Options),
    /// What many producers do to each other, while a consumer drains
    Contend(drained::Options),
    /// Prints the table by which dollars are computed
    Prices,
}

pub(crate) async fn run(command: &Command, stop: Interrupt) -> Outcome {
    match command {
        Command::Produce(options) => produce::run(options, &stop).await,
        Command::Consume(options) => consume::run(options, &stop).await,
        Command::EndToEnd(options) => drained::run(options, Question::EndToEnd, &stop).await,
        Command::Backlog(options) => backlog::run(options, &stop).await,
        Command::Contend(options) => drained::run(options, Question::Contend, &stop).await,
        Command::Prices => {
            print!("{}", prices::BUILT_IN);
            Ok(())
        }
    }
}
