//! `completions` and `man`: what shells and readers of manuals are given.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::{Failure, Outcome, written};

#[derive(Args, Debug)]
pub(crate) struct CompletionsOptions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManOptions {
    /// Writes a page for each command to this directory, and makes that; without it, the main page is printed
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(options: &CompletionsOptions, mut command: Command) -> Outcome {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    print(&script)
}

pub(crate) fn man(options: &ManOptions, command: Command) -> Outcome {
    let Some(directory) = &options.dir else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.expect("memory takes what is written");
        return print(&page);
    };
    let made = fs::create_dir_all(directory);
    made.and_then(|()| clap_mangen::generate_to(command, directory)).map_err(|error| {
        Failure::failed(format!("cannot write to {}: {error}", directory.display()))
    })
}

fn print(text: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text).and_then(|()| stdout.flush()))?;
    Ok(())
}
