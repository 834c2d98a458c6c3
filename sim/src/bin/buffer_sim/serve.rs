//! `serve`: a faulty S3 on a port of this machine.

use std::ffi::OsString;
use std::process::Command;
use std::sync::mpsc;

use buffer_driver::contract::wire::{self, Fault, Faults, Profile, RateError, WireServer};
use clap::{Args, ValueEnum};

use crate::exit::{Ended, Outcome, say};

#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub(crate) struct Options {
    /// The port to listen on; 0 is a free one
    #[arg(long, value_name = "P", default_value_t = 0)]
    port: u16,
    /// Whose service it is like
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileName,
    /// The share of requests that each fault befalls
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    fault_rate: f64,
    /// The same for one fault, such as lost-reply=0.05; may be given for several
    #[arg(long, value_name = "NAME=R", value_parser = fault)]
    fault: Vec<(Fault, f64)>,
    /// The seed that says which requests those are
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Runs this with the server's address in its environment, and ends with it
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ProfileName {
    /// S3: conditions on entity tags
    #[default]
    S3,
    /// Google Cloud Storage: conditions on generations, one write a second to one object
    Gcs,
}

fn after_help() -> String {
    let names = Fault::ALL.map(Fault::name).join(", ");
    format!(
        "Faults: {names}.\n\n\
         It serves this machine alone, asks for no signature, has every bucket and forgets all when it ends.\n\
         GET /_counts says what it has seen. COMMAND finds the address in AWS_ENDPOINT_URL (profile gcs:\n\
         STORAGE_EMULATOR_HOST), beside a key and a region that do."
    )
}

/// A fault and its rate, as they are written on a command line.
fn fault(text: &str) -> Result<(Fault, f64), String> {
    let (name, rate) = text.split_once('=').ok_or("faults are written as lost-reply=0.05")?;
    let fault = name.parse::<Fault>().map_err(|error| error.to_string())?;
    let rate =
        rate.parse().map_err(|_| format!("{rate:?} is no rate; they are written as 0.05"))?;
    Ok((fault, rate))
}

impl Options {
    fn faults(&self) -> Result<Faults, RateError> {
        let all = Faults::of(self.seed).all(self.fault_rate)?;
        self.fault.iter().try_fold(all, |faults, (fault, rate)| faults.with(*fault, *rate))
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let faults = options.faults().map_err(|error| Ended::usage(error.to_string()))?;
    let profile = match options.profile {
        ProfileName::S3 => Profile::S3,
        ProfileName::Gcs => Profile::Gcs,
    };
    let served = wire::Options { port: options.port, faults, ..wire::Options::of(profile) };
    let server = WireServer::start(&served)
        .map_err(|error| Ended::failed(format!("port {}: {error}", options.port)))?;
    if let Some((program, arguments)) = options.command.split_first() {
        // Standard output is the command's.
        eprintln!("listening on {}", server.url());
        let ended = run_command(program, arguments, profile, &server);
        eprint!("{}", server.counts());
        return ended;
    }
    let (stop, stopped) = mpsc::channel();
    let is_heard = ctrlc::set_handler(move || {
        // Whoever waits no longer needs no word.
        let _ = stop.send(());
    });
    is_heard.map_err(|error| Ended::failed(format!("interrupts cannot be heard: {error}")))?;
    say!("listening on {}", server.url());
    // The other end is kept by the handler.
    let _ = stopped.recv();
    let counts = server.counts().to_string();
    say!("{}", counts.trim_end());
    Ok(())
}

fn run_command(
    program: &OsString,
    arguments: &[OsString],
    profile: Profile,
    server: &WireServer,
) -> Outcome {
    let url = server.url();
    let variables = match profile {
        Profile::S3 => vec![
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
        ],
        Profile::Gcs => vec![("STORAGE_EMULATOR_HOST", url.as_str())],
    };
    let program_name = program.to_string_lossy();
    let status = Command::new(program).args(arguments).envs(variables).status();
    let status = status.map_err(|error| Ended::failed(format!("{program_name}: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Ended::other(code, format!("{program_name} ended with {code}"))),
        None => Err(Ended::failed(format!("{program_name}: {status}"))),
    }
}
