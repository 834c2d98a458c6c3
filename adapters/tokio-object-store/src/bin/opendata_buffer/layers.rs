//! Where settings come from: a flag, then an `OPENDATA_BUFFER_*` variable, then the file of `--config`, then the default.

mod file;

use std::ffi::OsString;
use std::path::PathBuf;

use buffer::{StoreLocation, StoreOptions};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::exit::Failure;

use file::File;

/// The variable that names the file.
const FILE_VARIABLE: &str = "OPENDATA_BUFFER_CONFIG";

/// The settings, each by its argument's id, and by its name in a file and in variables. They say what a queue is,
/// and how its producers and consumers behave; what a single command does is said to that command alone.
const SETTINGS: [(&str, &str); 13] = [
    (QUEUE, "queue"),
    (STORE_OPTION, "store_option"),
    ("data_path_prefix", "data_path_prefix"),
    ("manifest_path", "manifest_path"),
    ("flush_interval", "flush_interval"),
    ("flush_size", "flush_size"),
    ("max_buffered", "max_buffered"),
    ("compression", "compression"),
    ("delivery_timeout", "delivery_timeout"),
    ("gc_grace_period", "gc_grace_period"),
    ("gc_interval", "gc_interval"),
    ("no_gc", "no_gc"),
    ("delimiter", "delimiter"),
];

const QUEUE: &str = "store";
const STORE_OPTION: &str = "given";

/// These make queues of their own, or none.
const WITHOUT_SETTINGS: [&str; 5] = ["bench", "demo", "completions", "man", "config"];

/// The layers below the command line.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    file: Option<File>,
}

fn name_of(id: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|(found, _)| *found == id).map(|(_, name)| *name)
}

fn variable(name: &str) -> String {
    format!("OPENDATA_BUFFER_{}", name.to_ascii_uppercase())
}

impl Layers {
    /// Reads the file that the arguments or the environment name, if they do.
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let named = file_argument(arguments).or_else(|| std::env::var_os(FILE_VARIABLE));
        let file = named.map(|path| File::read(PathBuf::from(path))).transpose()?;
        if let Some(file) = &file {
            file.expect_names(&SETTINGS.map(|(_, name)| name))?;
        }
        Ok(Self { file })
    }

    /// A command whose settings have these layers below them.
    pub(crate) fn below(&self, command: Command) -> Result<Command, Failure> {
        let show = settings_of(&command);
        for arg in &show {
            self.check(arg)?;
        }
        let command = self.below_all(command);
        let show = show.into_iter().map(|arg| self.below_one(arg.required(false)));
        Ok(command.mut_subcommand("config", |config| {
            config.mut_subcommand("show", |command| command.args(show))
        }))
    }

    fn below_all(&self, command: Command) -> Command {
        if WITHOUT_SETTINGS.contains(&command.get_name()) {
            return command;
        }
        // Where more follows the queue, what is given alone is not the queue.
        let names: Vec<_> = command.get_positionals().map(|arg| arg.get_id().as_str()).collect();
        let is_followed = names.len() > 1 && names[0] == QUEUE;
        let command = command.allow_missing_positional(is_followed);
        let command = command.mut_args(|arg| self.below_one(arg));
        command.mut_subcommands(|command| self.below_all(command))
    }

    fn below_one(&self, arg: Arg) -> Arg {
        let id = arg.get_id().to_string();
        let Some(name) = name_of(&id) else {
            return arg;
        };
        let arg = arg.env(variable(name)).hide_env_values(true);
        let Some(values) = self.file.as_ref().and_then(|file| file.values(name)) else {
            return arg;
        };
        // There may be secrets in there.
        let is_secret = id == STORE_OPTION || id == QUEUE;
        let arg = if is_secret { arg.hide_default_value(true) } else { arg };
        arg.required(false).default_values(values)
    }

    /// Checks what the file and the environment say, so that an error tells which of them it is about.
    fn check(&self, arg: &Arg) -> Result<(), Failure> {
        let name = name_of(arg.get_id().as_str()).expect("it is a setting");
        let file = self.file.as_ref();
        for value in file.and_then(|file| file.values(name)).unwrap_or_default() {
            let place = file.expect("it has the value").place(name);
            check_value(arg, value.into(), &place)?;
        }
        let variable = variable(name);
        match std::env::var_os(&variable) {
            Some(value) => check_value(arg, value, &variable),
            None => Ok(()),
        }
    }

    /// What `config show` prints: each setting, its value, and where that comes from.
    pub(crate) fn shown(&self, show: &ArgMatches) -> Vec<(&'static str, String, String)> {
        let settings = SETTINGS.iter().map(|(id, name)| {
            let raw = show.get_raw(id).into_iter().flatten();
            let values: Vec<_> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
            (*name, redacted(id, &values), self.source(show, id, name))
        });
        settings.collect()
    }

    fn source(&self, show: &ArgMatches, id: &str, name: &str) -> String {
        match show.value_source(id) {
            Some(ValueSource::CommandLine) => "the command line".to_owned(),
            Some(ValueSource::EnvVariable) => variable(name),
            _ => {
                let file = self.file.as_ref().filter(|file| file.values(name).is_some());
                file.map_or_else(|| "default".to_owned(), |file| file.path())
            }
        }
    }
}

/// The file that the arguments name. They are looked at before they are parsed: what they may be depends on it.
fn file_argument(arguments: impl Iterator<Item = OsString>) -> Option<OsString> {
    let mut arguments = arguments.skip(1).take_while(|argument| argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next();
        }
        if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

/// One argument for each setting, from the first command that has it.
fn settings_of(command: &Command) -> Vec<Arg> {
    let of_settings = |command: &&Command| !WITHOUT_SETTINGS.contains(&command.get_name());
    let commands: Vec<_> = command.get_subcommands().filter(of_settings).collect();
    let find = |(id, _): (&str, &str)| {
        let mut args = commands.iter().flat_map(|command| command.get_arguments());
        args.find(|arg| arg.get_id() == id).cloned()
    };
    SETTINGS.into_iter().filter_map(find).collect()
}

/// Whether an argument takes a value; says who gave it if not.
fn check_value(arg: &Arg, value: OsString, place: &str) -> Result<(), Failure> {
    let arg = arg.clone().required(false).long("value").short(None);
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
    if is_flag {
        return match value.to_str() {
            Some("true" | "false") => Ok(()),
            _ => Err(Failure::usage(format!("{place}: write true or false"))),
        };
    }
    let mut argument = OsString::from("--value=");
    argument.push(value);
    let parsed = Command::new("x").no_binary_name(true).arg(arg).try_get_matches_from([argument]);
    parsed.map(|_| ()).map_err(|error| {
        let said = error.to_string();
        let said = said.lines().next().unwrap_or_default();
        let said = said.strip_prefix("error: ").unwrap_or(said);
        // What the argument is called here is known to nobody.
        let said = said
            .split_once("for '--value")
            .map_or(said, |(before, after)| after.split_once("': ").map_or(before, |(_, why)| why));
        Failure::usage(format!("{place}: {}", said.trim_end()))
    })
}

/// Values as they may be shown.
fn redacted(id: &str, values: &[String]) -> String {
    if id == QUEUE {
        let shown = values.iter().map(|value| StoreLocation::from(value.as_str()).to_string());
        return shown.collect();
    }
    if id == STORE_OPTION {
        let pairs: Option<Vec<_>> = values.iter().map(|value| value.split_once('=')).collect();
        return match pairs {
            Some(pairs) if pairs.is_empty() => String::new(),
            Some(pairs) => format!("{:?}", StoreOptions::from_iter(pairs)),
            None => "***".to_owned(),
        };
    }
    values.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_before_arguments_are_parsed() {
        let find = |arguments: &[&str]| file_argument(arguments.iter().map(OsString::from));
        assert_eq!(find(&["x", "status", "--config", "a"]), Some("a".into()));
        assert_eq!(find(&["x", "--config=b", "status"]), Some("b".into()));
        assert_eq!(find(&["x", "status", "--", "--config", "a"]), None);
        assert_eq!(find(&["--config", "a"]), None, "the program's own name is none");
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let shown = redacted(STORE_OPTION, &["region=x".into(), "secret_access_key=hidden".into()]);
        assert!(shown.contains("region") && !shown.contains("hidden"), "{shown}");
        let shown = redacted(QUEUE, &["s3://b/p?secret_access_key=hidden".into()]);
        assert!(shown.starts_with("s3://b/p") && !shown.contains("hidden"), "{shown}");
        assert_eq!(redacted(STORE_OPTION, &["hidden".into()]), "***");
    }
}
