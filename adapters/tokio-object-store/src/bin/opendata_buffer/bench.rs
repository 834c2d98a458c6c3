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
mod producing;
mod recent;
mod report;
mod run;
mod sums;
mod timers;
mod verify;

use clap::Subcommand;

use crate::exit::{self, Outcome};
use crate::interrupt::Interrupt;

use drained::Question;

const HELP: &str = "\
MB are millions of bytes of entries that became durable, or that the consumer handed out, after
warming up. Requests, conflicts and dollars are of the whole run: a month of the same. What was
written is read back afterwards, or was summed up when the store took it, and compared with
what was sent: exit code 4 if it differs.

Examples:
  bench produce --latency 0ms,5ms,20ms,50ms --producers 1,4,16 --plot throughput.svg
  bench produce --latency 50ms --calls-in-flight max --max-buffered 512MiB
  bench produce --entry-size 100 --entries-per-call 1 --tasks 8 --calls-in-flight max
  bench produce --latency 20ms --rate 10
  bench produce --key-rate 1 --producers 8 --rate 10 --seconds 60
  bench consume --latency 50ms
  bench contend --latency 20ms --seconds 60
  bench produce s3://bucket/prefix --store-option region=eu-west-1 --seconds 30";

#[derive(Debug, Subcommand)]
#[command(after_help = HELP)]
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
        Command::Prices => exit::print(prices::BUILT_IN),
    }
}
