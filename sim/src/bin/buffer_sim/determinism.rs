//! `check-determinism`: the same seed is the same world, in this process and in another.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use buffer_sim::swarm::{Load, Token};
use clap::Args;

use crate::exit::{Ended, Outcome, say};
use crate::numbers::grouped;
use crate::seeds::Seeds;
use crate::workers::{Ran, cores, run_all};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which seeds
    #[arg(long, value_name = "A..B", default_value = "0..100")]
    seeds: Seeds,
    /// How much there is to do: short, long or crowd
    #[arg(long, value_name = "LOAD", default_value_t)]
    load: Load,
    /// How many worlds at once [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Compares with the hashes in this file as well, also those of other seeds
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// Writes the hashes to this file
    #[arg(long, value_name = "FILE", conflicts_with = "golden")]
    write_golden: Option<PathBuf>,
    /// Prints the hashes, and compares nothing
    #[arg(long, hide = true)]
    print: bool,
}

/// What became of each seed: its hash, or how it failed.
type Hashes = BTreeMap<u64, String>;

pub(crate) fn run(options: &Options) -> Outcome {
    let Some(end) = options.seeds.end else {
        return Err(Ended::usage("check-determinism needs a last seed, as in 0..100"));
    };
    let seeds: Vec<u64> = (options.seeds.start..end).collect();
    let jobs = options.jobs.unwrap_or_else(cores).max(1);
    if options.print {
        say!("{}", file(&hashes(&seeds, options.load, jobs, false)).trim_end());
        return Ok(());
    }
    let other = Other::start(options, end)?;
    let first = hashes(&seeds, options.load, jobs, false);
    compare(&first, &hashes(&seeds, options.load, jobs, true), "once more, with lines")?;
    compare(&first, &other.hashes()?, "in another process")?;
    if let Some(path) = &options.golden {
        let golden = read(path)?;
        let missing: Vec<u64> =
            golden.keys().copied().filter(|seed| !first.contains_key(seed)).collect();
        let mut found = hashes(&missing, options.load, jobs, false);
        found.extend(first.iter().map(|(seed, hash)| (*seed, hash.clone())));
        found.retain(|seed, _| golden.contains_key(seed));
        compare(&golden, &found, "against the file")?;
        say!("{} hashes are those of {}", grouped(golden.len() as u64), path.display());
    }
    if let Some(path) = &options.write_golden {
        fs::write(path, file(&first)).map_err(|error| Ended::of_file(path, &error))?;
        say!("wrote {} hashes to {}", grouped(first.len() as u64), path.display());
    }
    say!(
        "{} seeds ran three times, with and without lines, in two processes: all the same",
        grouped(first.len() as u64)
    );
    Ok(())
}

fn hashes(seeds: &[u64], load: Load, jobs: usize, keeps_lines: bool) -> Hashes {
    let mut hashes = Hashes::new();
    let all = seeds.to_vec();
    let mut left = all.into_iter();
    let next = move || left.next().map(|seed| Token { load, ..Token::new(seed) });
    run_all(jobs, keeps_lines, next, |token, ran| {
        hashes.insert(token.seed, told(&ran));
    });
    hashes
}

/// A world that fails must fail in the same way, too.
fn told(ran: &Ran) -> String {
    match ran {
        Ok(report) => format!("{:016x}", report.hash),
        Err(failure) => {
            let what = failure.what.lines().next().unwrap_or_default();
            let invariant = failure.invariant.map_or("-", |invariant| invariant.id());
            format!("failed {invariant} {what}")
        }
    }
}

fn file(hashes: &Hashes) -> String {
    let mut text = String::new();
    for (seed, hash) in hashes {
        let _ = writeln!(text, "{seed} {hash}");
    }
    text
}

fn read(path: &Path) -> Result<Hashes, Ended> {
    let text = fs::read_to_string(path).map_err(|error| Ended::of_file(path, &error))?;
    parse(&text).map_err(|line| {
        Ended::failed(format!("{}: {line:?} is not a seed and its hash", path.display()))
    })
}

/// Gives back the first line that is none.
fn parse(text: &str) -> Result<Hashes, String> {
    let line = |line: &str| {
        let (seed, hash) = line.split_once(' ')?;
        Some((seed.parse().ok()?, hash.to_owned()))
    };
    text.lines().map(|text| line(text).ok_or_else(|| text.to_owned())).collect()
}

fn compare(expected: &Hashes, found: &Hashes, how: &str) -> Outcome {
    let is_other = |(seed, hash): &(&u64, &String)| found.get(seed) != Some(hash);
    let others: Vec<_> = expected.iter().filter(is_other).collect();
    let Some((seed, hash)) = others.first() else { return Ok(()) };
    let other = found.get(seed).map_or("nothing", String::as_str);
    Err(Ended::broken(format!(
        "I18 determinism: {} of {} seeds are not the same {how}; the first is {seed}: {hash}, and then {other}",
        others.len(),
        expected.len(),
    )))
}

/// The same seeds in a process of their own.
struct Other(Child);

impl Other {
    fn start(options: &Options, end: u64) -> Result<Self, Ended> {
        let failed =
            |error: io::Error| Ended::failed(format!("cannot start this program again: {error}"));
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["check-determinism", "--print", "--jobs", "1"])
            .args(["--seeds", &format!("{}..{end}", options.seeds.start)])
            .args(["--load", options.load.name()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        Ok(Self(child))
    }

    fn hashes(self) -> Result<Hashes, Ended> {
        let output = self.0.wait_with_output();
        let output =
            output.map_err(|error| Ended::failed(format!("the second process: {error}")))?;
        if !output.status.success() {
            return Err(Ended::failed(format!("the second process ended with {}", output.status)));
        }
        parse(&String::from_utf8_lossy(&output.stdout))
            .map_err(|line| Ended::failed(format!("the second process said {line:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(lines: &str) -> Hashes {
        parse(lines).expect("they are lines of hashes")
    }

    #[test]
    fn a_hash_that_differs_or_is_missing_is_told() {
        let two = hashes("1 aa\n2 bb\n");
        assert_eq!(file(&two), "1 aa\n2 bb\n");
        assert!(compare(&two, &two, "again").is_ok());
        assert!(compare(&two, &hashes("1 aa\n2 cc\n"), "again").is_err());
        assert!(compare(&two, &hashes("1 aa\n"), "again").is_err());
        assert_eq!(parse("1 aa\nx bb\n"), Err("x bb".to_owned()));
    }
}
