//! `buffer-sim`: runs simulated worlds, finds the one in which something is wrong, and shows it again.
//!
//! `cargo sim` builds it optimised, and with `--cfg buffer_sim`: only then is
//! coverage counted, and only then can bugs be planted.

mod determinism;
mod exhaustive;
mod exit;
mod mutate;
mod numbers;
mod one;
mod pictures;
mod scenario;
mod seeds;
mod serve;
mod shrink;
mod shrunk_bugs;
mod sweep;
mod workers;

use clap::{Parser, Subcommand};

/// A run allocates and lets go some thirty times for each request: a fifth of its time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs simulated worlds of a buffer, its producers, consumers and store.
#[derive(Debug, Parser)]
#[command(name = "buffer-sim", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the world of one seed
    Run(one::RunOptions),
    /// Repeats the run that a token names
    Replay(one::ReplayOptions),
    /// Looks for less that fails in the same way as a run that failed
    Shrink(shrink::Options),
    /// Runs the worlds of many seeds, and tells what they met
    Sweep(sweep::Options),
    /// Runs situations that have a name
    Scenario(scenario::Options),
    /// Plants every bug in turn, and tells which seed and which invariant finds it
    Mutate(mutate::Options),
    /// Tries every order in which a few requests can take effect and be answered
    Exhaustive(exhaustive::Options),
    /// Runs seeds several times and compares what happened
    CheckDeterminism(determinism::Options),
    /// Serves a faulty S3 on a port of this machine, for tests in any language
    Serve(serve::Options),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  everything held
  1  it failed
  2  usage
  4  an invariant did not hold, or a planted bug was not found
After `serve ... -- COMMAND` it is the code of that command.";

fn main() {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Run(options) => one::run(options),
        Command::Replay(options) => one::replay(options),
        Command::Shrink(options) => shrink::run(options),
        Command::Sweep(options) => sweep::run(options),
        Command::Scenario(options) => scenario::run(options),
        Command::Mutate(options) => mutate::run(options),
        Command::Exhaustive(options) => exhaustive::run(options),
        Command::CheckDeterminism(options) => determinism::run(options),
        Command::Serve(options) => serve::run(options),
    };
    let code = exit::report(outcome);
    // A world may still go round and round on another thread.
    std::process::exit(code)
}
