//! `opendata-buffer`: looks into a queue, fills it and empties it from a shell.
//!
//! Standard output carries data and nothing else; the exit code says how it ended.

mod bench;
mod consume;
mod demo;
mod doctor;
mod exit;
mod input;
mod interrupt;
mod manifest;
mod produce;
mod queue;
mod size;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Outcome};
use crate::interrupt::Interrupt;

// Batches are megabytes that come and go: the C library's allocator gives them back to the
// operating system each time, and gets them as pages that have to be zeroed again.
#[cfg(feature = "cli")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Looks into a buffer's queue, fills it and empties it.
#[derive(Debug, Parser)]
#[command(name = "opendata-buffer", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    /// Says more on stderr about what happens; twice for everything. RUST_LOG has the last word
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Looks at a queue's manifest
    #[command(subcommand)]
    Manifest(manifest::Command),
    /// Writes the lines of a file, or of standard input, to a queue
    Produce(produce::Options),
    /// Writes a queue's entries to standard output, and acknowledges them
    Consume(consume::Options),
    /// Sends a file through a queue, with a take-over in mid-stream, and compares what comes out
    Demo(demo::Options),
    /// Tries what a queue needs of its store, times it, and says which flush interval fits
    Doctor(doctor::Options),
    /// Measures how fast queues are, over a real store or a simulated one
    #[command(subcommand)]
    Bench(Box<bench::Command>),
}

const EXIT_CODES: &str = "\
Exit codes:
  0    it worked
  1    it failed
  2    usage or configuration
  3    fenced: another consumer took over
  4    verification failed
  6    the store cannot compare and swap
  130  interrupted";

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(&cli);
    let outcome = match &cli.command {
        Command::Manifest(command) => on_runtime(async |_| manifest::run(command).await),
        Command::Produce(options) => on_runtime(async |stop| produce::run(options, stop).await),
        Command::Consume(options) => on_runtime(async |stop| consume::run(options, stop).await),
        Command::Demo(options) => on_runtime(async |stop| demo::run(options, stop).await),
        Command::Doctor(options) => on_runtime(async |stop| doctor::run(options, stop).await),
        Command::Bench(command) => on_runtime(async |stop| bench::run(command, stop).await),
    };
    let code = exit::report(outcome);
    // A thread may still hang in a read of standard input; returning would wait for nothing else.
    std::process::exit(code)
}

fn log_to_stderr(cli: &Cli) {
    let level = match cli.verbose {
        // What is worth a warning in a service's log, a command says itself.
        0 => "error",
        1 => "info",
        2.. => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Runs a command on a runtime of its own, and leaves that with whatever hangs in it.
fn on_runtime(command: impl AsyncFnOnce(Interrupt) -> Outcome) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        let interrupt = Interrupt::listen()
            .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        command(interrupt).await
    });
    runtime.shutdown_background();
    outcome
}
