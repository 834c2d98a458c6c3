//! Pictures of runs, to a file or to the terminal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use buffer_sim::chart::Chart;
use buffer_sim::event::Event;
use buffer_sim::swarm::{Failure, Load, Token};
use clap::Args;

use crate::exit::{Ended, Outcome, say};
use crate::workers::patience;

/// What is drawn of a run.
#[derive(Debug, Args)]
pub(crate) struct Pictures {
    /// Writes a picture of what happened to a file, for a browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Prints the last rows of a picture, 60 if no number is given
    #[arg(long, value_name = "ROWS", num_args = 0..=1, require_equals = true, default_missing_value = "60")]
    pub(crate) chart: Option<usize>,
}

impl Pictures {
    pub(crate) const fn are_wanted(&self) -> bool {
        self.html.is_some() || self.chart.is_some()
    }

    /// Draws what is wanted of one run.
    pub(crate) fn of_run(&self, token: &Token) -> Outcome {
        if !self.are_wanted() {
            return Ok(());
        }
        if token.load != Load::Short {
            return Err(Ended::usage("only a short world has few enough events for a picture"));
        }
        let (failure, events) = events(token)?;
        let mut chart = Chart::new(token.to_string(), events);
        if let Some(failure) = failure {
            chart = chart.with_note(failure.to_string());
        }
        self.draw(&[chart])
    }

    /// Draws these.
    pub(crate) fn draw(&self, charts: &[Chart]) -> Outcome {
        if let Some(path) = &self.html {
            write_page(path, charts)?;
        }
        if let Some(rows) = self.chart {
            for chart in charts {
                say!("{}", chart.text(rows).trim_end());
            }
        }
        Ok(())
    }
}

/// Writes charts as one page.
pub(crate) fn write_page(path: &Path, charts: &[Chart]) -> Outcome {
    fs::write(path, Chart::pages(charts)).map_err(|error| Ended::of_file(path, &error))
}

/// What happened in a run, and how it failed; the thread of one that never comes back is left behind.
pub(crate) fn events(token: &Token) -> Result<(Option<Box<Failure>>, Vec<Event>), Ended> {
    let (sender, ended) = mpsc::channel();
    let run = token.clone();
    thread::spawn(move || {
        let _ = sender.send(run.run_with_events());
    });
    let limit = patience(token.load);
    let (ran, events) = ended
        .recv_timeout(limit)
        .map_err(|_| Ended::failed(format!("{token} is still running after {limit:?}")))?;
    Ok((ran.err(), events))
}
