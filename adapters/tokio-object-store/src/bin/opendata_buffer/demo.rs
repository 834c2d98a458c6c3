//! `demo`: what a queue is for, in one run. Three producers feed a file, one
//! consumer is taken over by a second, every line is compared with the file, and
//! the collector deletes what nobody needs any more, until nothing is left.

mod database;
mod feed;
mod readers;
mod report;
mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::buffer_core::{Location, ReadOutcome};
use buffer::measure::CountingStore;
use buffer::{Producer, Store, StoreLocation};
use clap::Args;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::exit::{Failure, Outcome, Status};
use crate::interrupt::Interrupt;
use crate::queue::{self, Keys};
use crate::say::say;

use database::Database;
use feed::{GRACE_PERIOD, PRODUCERS};
use readers::{Handover, Readers};
use report::Report;
use script::Script;

/// Names a file that must exist before anything is consumed: time to look at the queue, or to damage it.
const HOLD: &str = "OPENDATA_BUFFER_DEMO_HOLD";

/// More would take days.
const MOST_LINES: u64 = 1_000_000_000_000;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Feeds the lines of this file; without it, those of the project's README.md
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// How many lines are fed, at least; the file is repeated as often as that takes
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=MOST_LINES))]
    lines: u64,
    /// Leaves the temporary directory where it is
    #[arg(long)]
    keep: bool,
    /// A directory (or URL) for the queue, which stays; without it, a temporary directory
    #[arg(value_name = "QUEUE-DIR", value_parser = queue::store_location())]
    queue: Option<StoreLocation>,
    #[command(flatten)]
    options: queue::StoreTold,
    #[command(flatten)]
    keys: Keys,
}

/// Where the queue is, and whether it stays there.
struct Place {
    store: StoreLocation,
    temporary: Option<TempDir>,
}

pub(crate) async fn run(options: &Options, stop: Interrupt) -> Outcome {
    let script = Arc::new(Script::read(options.input.as_deref(), options.lines)?);
    let place = Place::of(options)?;
    let store = Arc::new(CountingStore::new(
        queue::open(&place.store, &options.options.parse()?)?,
        Location::from(options.keys.manifest_path.as_str()),
    ));
    refuse_a_queue_in_use(&*store, &options.keys.manifest_path).await?;
    say!("queue: {}", place.store);
    let shared = Arc::clone(&store) as Arc<dyn Store>;
    let producers = feed::producers(&shared, &options.keys)?;
    let readers = Readers::new(&shared, &options.keys, script.total())?;

    let ran = tokio::select! {
        biased;
        () = stop.raised() => Err(Failure::interrupted()),
        ran = go(&script, &producers, &readers, &*store, &options.keys) => ran,
    };
    close(&producers, &readers).await;
    match ran {
        Ok(run) => {
            let Run { elapsed, latency, handover, late } = run;
            let (counts, queue) = (store.counts(), place.end(options.keep));
            Report { script: &script, elapsed, latency, counts, handover, late, queue }.print()
        }
        Err(failure) if failure.status == Status::Differs => {
            // Somebody will want to see what is in there.
            Err(failure.hint(&format!("the queue is still there: {}", place.end(true))))
        }
        Err(failure) => {
            drop(place.end(options.keep));
            Err(failure)
        }
    }
}

/// What a run that went well has to tell.
struct Run {
    /// From the first `produce` to the last line that was compared.
    elapsed: Duration,
    latency: hdrhistogram::Histogram<u64>,
    handover: Handover,
    /// Batches that the fenced consumer still handed out, and the database refused.
    late: u64,
}

async fn go(
    script: &Arc<Script>,
    producers: &[Producer; PRODUCERS],
    readers: &Readers,
    store: &dyn Store,
    keys: &Keys,
) -> Result<Run, Failure> {
    let started = Instant::now();
    let progress = progress(script.total());
    let database = Database::new(Arc::clone(script), progress.clone());
    let (fed, all_fed) = watch::channel(false);
    let feed = async {
        let latency = feed::feed_all(producers, script).await?;
        fed.send_replace(true);
        Ok(latency)
    };
    let consume = async {
        held_back().await;
        readers.run(&database, all_fed).await
    };
    let ran = tokio::try_join!(feed, consume);
    progress.finish_and_clear();
    let (latency, handover) = ran?;
    let late = database.expect_everything().await?;
    let elapsed = started.elapsed();
    say!("all lines came; the collector may delete the last batches in {GRACE_PERIOD:?}");
    let last = database.lock().await.last;
    readers.collect(store, keys, last).await?;
    Ok(Run { elapsed, latency, handover, late })
}

async fn held_back() {
    if let Some(file) = std::env::var_os(HOLD) {
        while !Path::new(&file).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// So that nothing is written any more when the directory goes. How it ends was seen before.
async fn close(producers: &[Producer; PRODUCERS], readers: &Readers) {
    let all = async {
        for producer in producers {
            let _ = producer.close().await;
        }
        readers.close().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
}

async fn refuse_a_queue_in_use(store: &dyn Store, manifest_path: &str) -> Outcome {
    match store.read(&Location::from(manifest_path), None).await {
        Ok(ReadOutcome::Missing) => Ok(()),
        Ok(ReadOutcome::Found(_) | ReadOutcome::NotModified) => Err(Failure::failed(format!(
            "there is a queue in {store} already ({manifest_path}), and a demo would consume it: \
             name another directory"
        ))),
        Err(failure) => {
            let source = failure.source.map(|source| format!(" ({source})")).unwrap_or_default();
            Err(Failure::failed(format!("cannot look into {store}: {}{source}", failure.kind)))
        }
    }
}

impl Place {
    fn of(options: &Options) -> Result<Self, Failure> {
        if let Some(store) = &options.queue {
            return Ok(Self { store: store.clone(), temporary: None });
        }
        let temporary = tempfile::Builder::new()
            .prefix("opendata-buffer-demo-")
            .tempdir()
            .map_err(|error| Failure::failed(format!("cannot make a directory: {error}")))?;
        let store = StoreLocation::Directory(temporary.path().to_owned());
        Ok(Self { store, temporary: Some(temporary) })
    }

    /// Removes the directory if it is ours and nobody wants it, and says where the queue is.
    fn end(self, keep: bool) -> String {
        match self.temporary {
            None => self.store.to_string(),
            Some(directory) if keep => directory.keep().display().to_string(),
            Some(directory) => match directory.close() {
                Ok(()) => format!("{}, removed", self.store),
                Err(error) => format!("{}, could not be removed: {error}", self.store),
            },
        }
    }
}

fn progress(lines: u64) -> ProgressBar {
    let template = "{bar:30} {human_pos}/{human_len} lines compared, {elapsed}";
    ProgressBar::new(lines)
        .with_finish(ProgressFinish::AndClear)
        .with_style(ProgressStyle::with_template(template).expect("the template is sound"))
}
