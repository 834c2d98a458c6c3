//! `bench`: how fast queues are.

mod backlog_store;
mod consume;
mod course;
mod drain;
mod load;
mod meter;
mod options;
mod payload;
mod place;
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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How fast producers make entries durable
    Produce(produce::Options),
    /// How fast a consumer gets through a backlog
    Consume(consume::Options),
    /// Prints the table by which dollars are computed
    Prices,
}

pub(crate) async fn run(command: &Command, stop: Interrupt) -> Outcome {
    match command {
        Command::Produce(options) => produce::run(options, &stop).await,
        Command::Consume(options) => consume::run(options, &stop).await,
        Command::Prices => {
            print!("{}", prices::BUILT_IN);
            Ok(())
        }
    }
}
