//! `opendata-buffer`: looks into a queue, fills it and empties it from a shell.
//!
//! Standard output carries data and nothing else; the exit code says how it ended.

mod bench;
mod consume;
mod demo;
mod doctor;
mod exit;
mod gc;
mod input;
mod inspect;
mod interrupt;
mod layers;
mod manifest;
mod manual;
mod metrics;
mod output;
mod produce;
mod queue;
mod say;
mod size;
mod status;
mod tail;
mod time;
mod verify;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Outcome, Status};
use crate::interrupt::Interrupt;
use crate::layers::Layers;

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
    /// A file with settings, in TOML: `config show` lists them. OPENDATA_BUFFER_CONFIG names it as well
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tells how a queue is doing: how much waits in it, and for how long
    Status(status::Options),
    /// Prints a queue's entries, and leaves them to its consumer
    Tail(tail::Options),
    /// Looks closely at one object
    #[command(subcommand)]
    Inspect(inspect::Command),
    /// Checks that every batch that is listed is there, and whole
    Verify(verify::Options),
    /// Tells which files nobody needs and why the rest stays, and deletes them if told to
    Gc(gc::Options),
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
    /// Tells what the settings are
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints what a shell completes commands with
    Completions(manual::CompletionsOptions),
    /// Prints the manual page, or writes those of all commands
    Man(manual::ManOptions),
    /// Measures how fast queues are, over a real store or a simulated one
    #[command(subcommand)]
    Bench(Box<bench::Command>),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints each setting, its value, and where that comes from: the command line, a variable, the file, or the default
    Show,
}

/// How long a signal leaves what is being written out.
const LAST_WRITE: Duration = Duration::from_secs(1);

const EXIT_CODES: &str = "\
Exit codes:
  0    it worked
  1    it failed
  2    usage or configuration
  3    fenced: another consumer took over
  4    verification failed
  5    past a limit of `status --check`
  6    the store cannot compare and swap
  130  interrupted";

fn main() -> ExitCode {
    let outcome = Layers::read(std::env::args_os()).and_then(|layers| {
        let command = layers.below(Cli::command())?;
        let matches = command.clone().get_matches();
        let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        run(&cli, &matches, &layers, command)
    });
    let code = exit::report(outcome);
    // A thread may still hang in a read of standard input; returning would wait for nothing else.
    std::process::exit(code)
}

fn run(cli: &Cli, matches: &ArgMatches, layers: &Layers, command: clap::Command) -> Outcome {
    log_to_stderr(cli);
    match &cli.command {
        Command::Status(options) => looking(async |stop| status::run(options, stop).await),
        Command::Tail(options) => looking(async |stop| tail::run(options, stop).await),
        Command::Inspect(command) => looking(async |_| inspect::run(command).await),
        Command::Verify(options) => looking(async |stop| verify::run(options, stop).await),
        // What was deleted is told.
        Command::Gc(options) if options.deletes() => {
            on_runtime(async |stop| gc::run(options, stop).await)
        }
        Command::Gc(options) => looking(async |stop| gc::run(options, stop).await),
        Command::Manifest(command) => looking(async |_| manifest::run(command).await),
        Command::Produce(options) => on_runtime(async |stop| produce::run(options, stop).await),
        Command::Consume(options) => on_runtime(async |stop| consume::run(options, stop).await),
        Command::Demo(options) => on_runtime(async |stop| demo::run(options, stop).await),
        Command::Doctor(options) => on_runtime(async |stop| doctor::run(options, stop).await),
        Command::Config(ConfigCommand::Show) => show_config(matches, layers),
        Command::Completions(options) => manual::completions(options, command),
        Command::Man(options) => manual::man(options, command),
        Command::Bench(command) => on_runtime(async |stop| bench::run(command, stop).await),
    }
}

fn show_config(matches: &ArgMatches, layers: &Layers) -> Outcome {
    let show = matches.subcommand_matches("config").and_then(|it| it.subcommand_matches("show"));
    let settings = layers.shown(show.expect("it was asked for"));
    let width = settings.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value, source) in settings {
        text.push_str(&format!("{name:<17} {value:<width$}  {source}\n"));
    }
    exit::print(&text)
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

/// Runs a command that changes nothing: a signal ends it soon, whatever it hangs in.
fn looking(command: impl AsyncFnOnce(Interrupt) -> Outcome) -> Outcome {
    on_runtime(async |stop| {
        let raised = stop.clone();
        tokio::spawn(async move {
            raised.raised().await;
            tokio::time::sleep(LAST_WRITE).await;
            std::process::exit(Status::Interrupted.code());
        });
        command(stop).await
    })
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
