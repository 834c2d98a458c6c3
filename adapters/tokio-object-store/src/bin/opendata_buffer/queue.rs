//! Which queue a command is about.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use buffer::buffer_core::{Location, ReadOutcome, StoreError, StoreErrorKind, StoreOperation};
use buffer::{
    InspectError, Inspector, InspectorConfig, ProducerConfig, Runtime, STORE_OPTIONS, Store,
    StoreFailure, StoreLocation, StoreOptions, SystemClock, TokioRuntime, open_store,
};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::exit::{Failure, Outcome, Status};

/// How long a command waits for a request that it sends by itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A queue, as it is named on the command line.
#[derive(Args, Debug)]
pub(crate) struct Queue {
    /// The queue's store: a directory, or a URL such as s3://bucket/prefix, gs:, az: or file:
    #[arg(value_name = "QUEUE", value_parser = store_location())]
    pub(crate) store: StoreLocation,
    #[command(flatten)]
    pub(crate) options: StoreTold,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

/// Where in its store a queue lies.
#[derive(Args, Clone, Debug)]
pub(crate) struct Keys {
    /// Batches are named {PREFIX}/{ULID}.batch
    #[arg(long, value_name = "PREFIX", default_value_t = ProducerConfig::default().data_path_prefix)]
    pub(crate) data_path_prefix: String,
    /// The manifest's key in the store
    #[arg(long, value_name = "KEY", default_value_t = ProducerConfig::default().manifest_path)]
    pub(crate) manifest_path: String,
}

/// What a store is told besides its URL.
#[derive(Args)]
pub(crate) struct StoreTold {
    /// Tells a store in the cloud something, such as region=eu-west-1; --help lists what there is
    #[arg(long = "store-option", value_name = "NAME=VALUE", long_help = long_help())]
    given: Vec<String>,
}

impl fmt::Debug for StoreTold {
    /// There may be secrets in there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} store options", self.given.len())
    }
}

impl StoreTold {
    /// Names and values. What is wrong is not repeated: it may be a secret.
    pub(crate) fn parse(&self) -> Result<StoreOptions, Failure> {
        let mut options = StoreOptions::new();
        for given in &self.given {
            let Some((name, value)) = given.split_once('=') else {
                return Err(Failure::usage("a --store-option is written NAME=VALUE"));
            };
            if options.value(name).is_some() {
                return Err(Failure::usage("a --store-option is given twice"));
            }
            options.insert(name, value);
        }
        Ok(options)
    }
}

fn long_help() -> String {
    let mut help =
        "Tells a store in the cloud something; give it again for more. A URL's query does \
        the same (s3://bucket/prefix?region=eu-west-1) and goes before this, and the \
        provider's environment variables come last. Secrets are best kept in those.\n\n"
            .to_owned();
    for option in STORE_OPTIONS {
        let providers: Vec<_> = option.providers.iter().map(ToString::to_string).collect();
        help.push_str(&format!("{} ({}): {}", option.name, providers.join(", "), option.help));
        if !option.variables.is_empty() {
            help.push_str(&format!(" [{}]", option.variables.join(", ")));
        }
        help.push('\n');
    }
    help
}

/// Takes a path that is not UTF-8, too.
pub(crate) fn store_location() -> impl TypedValueParser<Value = StoreLocation> {
    OsStringValueParser::new().map(|text| match text.into_string() {
        Ok(text) => StoreLocation::from(text),
        Err(path) => StoreLocation::Directory(path.into()),
    })
}

/// Opens a queue's store.
pub(crate) fn open(
    store: &StoreLocation,
    options: &StoreOptions,
) -> Result<Arc<dyn Store>, Failure> {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
    Ok(open_store(store, options, &runtime)?)
}

/// Opens a queue for looking: makes nothing, fences nobody.
pub(crate) fn inspect(queue: &Queue, config: InspectorConfig) -> Result<Inspector, Failure> {
    let Queue { store, options, keys } = queue;
    refuse_memory(store)?;
    expect_directory(store)?;
    let config = InspectorConfig {
        store: store.clone(),
        store_options: options.parse()?,
        data_path_prefix: keys.data_path_prefix.clone(),
        manifest_path: keys.manifest_path.clone(),
        ..config
    };
    Ok(Inspector::new(config, Arc::new(SystemClock))?)
}

/// Why a queue cannot be looked at, with what may help.
pub(crate) fn unreadable(error: InspectError, queue: &Queue) -> Failure {
    let is_missing = matches!(error, InspectError::NoQueue { .. });
    let failure = Failure::from(error);
    if !is_missing {
        return failure.context(&queue.store.to_string());
    }
    failure.hint(&elsewhere(&queue.store, "--manifest-path names another"))
}

/// Where the queue is, if this is a path into one; else the other hint.
pub(crate) fn elsewhere(store: &StoreLocation, otherwise: &str) -> String {
    let above = store.directory().and_then(|path| queue_above(&path));
    above.unwrap_or_else(|| otherwise.to_owned())
}

/// Refuses a directory that is not there: looking and reading must not make any.
pub(crate) fn expect_directory(store: &StoreLocation) -> Outcome {
    let Some(path) = store.directory().filter(|path| !path.is_dir()) else { return Ok(()) };
    let failure =
        Failure::failed(format!("no such queue: there is no directory {}", path.display()));
    let beside = || Some(format!("there is {}", path.with_file_name(similar(&path)?).display()));
    Err(match queue_above(&path).or_else(beside) {
        Some(hint) => failure.hint(&hint),
        None => failure,
    })
}

/// For a path into a queue, where that is.
fn queue_above(path: &Path) -> Option<String> {
    let manifest = ProducerConfig::default().manifest_path;
    let above = path.ancestors().skip(1).take(2).find(|above| above.join(&manifest).is_file())?;
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    Some(format!("the queue is {}", above.display()))
}

/// A directory beside this one whose name differs by a slip of the hand.
fn similar(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let beside = std::fs::read_dir(parent.unwrap_or(Path::new("."))).ok()?;
    let names = beside.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let near = names.map(|other| (strsim::damerau_levenshtein(name, &other), other));
    let (distance, found) = near.min()?;
    (distance <= 2 && distance < name.chars().count()).then_some(found)
}

/// Reads a manifest, as a command does it that has no consumer.
pub(crate) async fn read_manifest(
    store: &dyn Store,
    location: &Location,
) -> Result<ReadOutcome, Failure> {
    let reading = tokio::time::timeout(REQUEST_TIMEOUT, store.read(location, None));
    let late = |_| Err(StoreFailure::from(StoreErrorKind::TimedOut));
    reading.await.unwrap_or_else(late).map_err(|failure| {
        let operation = StoreOperation::ReadManifest;
        let mut error = StoreError::new(failure.kind, operation, location.clone());
        error.source = failure.source;
        Failure::failed(format!("{store}: {error}"))
    })
}

/// Refuses a store that ends with this process: a shell could not do anything with it.
pub(crate) fn refuse_memory(store: &StoreLocation) -> Outcome {
    if let StoreLocation::Url(url) = store
        && url.to_ascii_lowercase().starts_with("memory:")
    {
        let message = format!(
            "{store} would end with this command, and nothing else could reach it: name a directory"
        );
        return Err(Failure::new(Status::Usage, message));
    }
    Ok(())
}
