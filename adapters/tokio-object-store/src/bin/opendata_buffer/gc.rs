//! `gc`: what may be deleted, and why the rest stays.

use std::io::{self, Write};
use std::time::Duration;

use buffer::buffer_core::{KeepReason, Verdict};
use buffer::{InspectError, InspectorConfig, Sweep, SweepError, SweptFile, SweptPage};
use clap::Args;
use serde_json::json;

use crate::exit::{Failure, Outcome, chain, written};
use crate::interrupt::Interrupt;
use crate::queue::{self, Queue};
use crate::say::say;
use crate::size::{counted, grouped};
use crate::time::rounded;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// Deletes what nobody needs, page by page as it is printed
    #[arg(long)]
    delete: bool,
    /// How long a batch is left alone: what the queue's producers and consumers are told, or entries can be lost
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    gc_grace_period: Duration,
    /// Prints a line of JSON for each file
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Whether it does more than tell.
    pub(crate) const fn deletes(&self) -> bool {
        self.delete
    }
}

/// What was done so far.
#[derive(Default)]
struct Sums {
    doomed: u64,
    doomed_bytes: u64,
    kept: u64,
    deleted: u64,
    failed: u64,
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    let config =
        InspectorConfig { gc_grace_period: options.gc_grace_period, ..InspectorConfig::default() };
    let inspector = queue::inspect(&options.queue, config)?;
    let mut sums = Sums::default();
    let mut sweep = inspector.sweep();
    let ended = loop {
        let page = tokio::select! {
            biased;
            () = stop.raised() => break Err(Failure::interrupted()),
            page = sweep.next_page() => page,
        };
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => break Ok(()),
            Err(error) => break Err(explain(error, &options.queue)),
        };
        sums.note(&page);
        if written(print(&page, options, io::stdout().lock()))?.is_none() {
            // Who does not see what is deleted does not want it.
            break Ok(());
        }
        if options.delete {
            delete(&sweep, &page, &mut sums).await;
        }
    };
    if ended.is_ok() || sums.doomed + sums.kept > 0 {
        say!("{}", sums.summary(options.delete));
    }
    ended?;
    if sums.failed > 0 {
        let failed = counted(sums.failed, "file", "files");
        return Err(Failure::failed(format!("{failed} could not be deleted; see above")));
    }
    Ok(())
}

async fn delete(sweep: &Sweep<'_>, page: &SweptPage, sums: &mut Sums) {
    for (location, result) in sweep.delete(page).await {
        match result {
            Ok(()) => sums.deleted += 1,
            Err(error) => {
                sums.failed += 1;
                say!("{location}: {}", chain(&error));
            }
        }
    }
}

fn explain(error: SweepError, queue: &Queue) -> Failure {
    let inspect: Option<InspectError> =
        if let SweepError::Inspect(error) = &error { Some(error.clone()) } else { None };
    match inspect {
        Some(error) => queue::unreadable(error, queue),
        None => Failure::from(error).context(&queue.store.to_string()),
    }
}

fn print(page: &SweptPage, options: &Options, mut to: io::StdoutLock<'_>) -> io::Result<()> {
    for file in page.files() {
        let (action, reason) = told(file);
        if options.json {
            let line = json!({
                "location": file.location.as_str(),
                "delete": file.verdict == Verdict::Delete,
                "reason": name(file.verdict),
                "bytes": file.bytes,
                "last_modified_ms": file.last_modified.map(|time| time.0),
            });
            writeln!(to, "{line}")?;
        } else {
            writeln!(to, "{action:<7} {}  {reason}", file.location)?;
        }
    }
    to.flush()
}

/// What becomes of a file, and why, in words.
fn told(file: &SweptFile) -> (&'static str, String) {
    let age = || match file.older_than_manifest.filter(|age| !age.is_zero()) {
        Some(age) => format!("{} older than the manifest", rounded(age)),
        None => "no older than the manifest".to_owned(),
    };
    match file.verdict {
        Verdict::Delete => ("delete", format!("not listed, and {}", age())),
        Verdict::Keep(reason) => (
            "keep",
            match reason {
                KeepReason::NoBatch => "not a batch of this queue".to_owned(),
                KeepReason::NoTime => "the store does not say when it was written".to_owned(),
                KeepReason::Listed => "listed".to_owned(),
                KeepReason::Young => {
                    format!("may still be listed: {}, within the grace period", age())
                }
                KeepReason::Pending => {
                    "may still be listed: named after the oldest batch that is listed".to_owned()
                }
            },
        ),
        // A sweep ends with an error there.
        Verdict::Nonsense => ("keep", "the store's times contradict one another".to_owned()),
    }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delete => "unlisted",
        Verdict::Keep(KeepReason::NoBatch) => "no_batch",
        Verdict::Keep(KeepReason::NoTime) => "no_time",
        Verdict::Keep(KeepReason::Listed) => "listed",
        Verdict::Keep(KeepReason::Young) => "young",
        Verdict::Keep(KeepReason::Pending) => "pending",
        Verdict::Nonsense => "nonsense",
    }
}

impl Sums {
    fn note(&mut self, page: &SweptPage) {
        for file in page.files() {
            if file.verdict == Verdict::Delete {
                self.doomed += 1;
                self.doomed_bytes += file.bytes.unwrap_or(0);
            } else {
                self.kept += 1;
            }
        }
    }

    fn summary(&self, delete: bool) -> String {
        let kept = grouped(self.kept);
        if delete {
            let deleted = counted(self.deleted, "file", "files");
            return format!("deleted {deleted}, kept {kept}");
        }
        let doomed = counted(self.doomed, "file", "files");
        let bytes = counted(self.doomed_bytes, "byte", "bytes");
        let hint = if self.doomed > 0 { "; --delete deletes them" } else { "" };
        format!("{doomed} ({bytes}) to delete, {kept} to keep{hint}")
    }
}
