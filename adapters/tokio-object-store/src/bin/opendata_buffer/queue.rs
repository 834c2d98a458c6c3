//! Which queue a command is about.

use std::sync::Arc;

use buffer::{
    ProducerConfig, Runtime, Store, StoreLocation, StoreOptions, TokioRuntime, open_store,
};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::exit::{Failure, Outcome};

/// A queue, as it is named on the command line.
#[derive(Args, Debug)]
pub(crate) struct Queue {
    /// The queue's store: a directory, or a URL such as file:///srv/queue
    #[arg(value_name = "QUEUE", value_parser = store_location())]
    pub(crate) store: StoreLocation,
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

/// Takes a path that is not UTF-8, too.
pub(crate) fn store_location() -> impl TypedValueParser<Value = StoreLocation> {
    OsStringValueParser::new().map(|text| match text.into_string() {
        Ok(text) => StoreLocation::from(text),
        Err(path) => StoreLocation::Directory(path.into()),
    })
}

/// Opens a queue's store.
pub(crate) fn open(store: &StoreLocation) -> Result<Arc<dyn Store>, Failure> {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
    Ok(open_store(store, &StoreOptions::new(), &runtime)?)
}

/// Refuses a store that ends with this process: a shell could not do anything with it.
pub(crate) fn refuse_memory(store: &StoreLocation) -> Outcome {
    if let StoreLocation::Url(url) = store
        && url.starts_with("memory:")
    {
        let message = format!(
            "{url} would end with this command, and nothing else could reach it: name a directory"
        );
        return Err(Failure::usage(message));
    }
    Ok(())
}
