//! A bucket that was opened by its URL, and keeps its secrets.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
};

use crate::client::StoreClient;
use crate::config::ConfigError;
use crate::prefixed::PrefixedStore;
use crate::store::{Store, StoreFailure};
use crate::store_url::{CloudStore, Secrets};

/// A store in the cloud. Whatever its client says of itself or of a failure, no secret of its options gets out.
///
/// Clients cannot be trusted with that: some show their keys in `Debug`, and services repeat in
/// an error what they were sent.
pub(crate) struct Bucket {
    store: Arc<dyn Store>,
    cloud: CloudStore,
    secrets: Secrets,
}

impl Bucket {
    /// Opens the whole bucket with `open`, and adds the prefix.
    pub(crate) fn open(
        cloud: CloudStore,
        open: impl FnOnce(&CloudStore) -> Result<Arc<dyn Store>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let secrets = Secrets::of(&cloud);
        let mut whole = cloud.clone();
        let prefix = whole.take_prefix();
        let store = open(&whole).map_err(|error| hide_in_config_error(error, &secrets))?;
        let store = match prefix {
            Some(prefix) => Arc::new(PrefixedStore::new(store, prefix)),
            None => store,
        };
        Ok(Self { store, cloud, secrets })
    }

    fn hiding<T>(&self, answer: Result<T, StoreFailure>) -> Result<T, StoreFailure> {
        answer.map_err(|failure| hide(failure, &self.secrets))
    }
}

impl StoreClient for Bucket {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.hiding(self.store.write(&location, payload, condition).await)
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.hiding(self.store.read(&location, unless).await)
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.hiding(self.store.list(&prefix, after).await)
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        let results = self.store.delete(locations).await.into_iter();
        results.map(|result| self.hiding(result)).collect()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cloud.fmt(f)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.cloud).finish()
    }
}

type Source = Arc<dyn Error + Send + Sync>;

fn hide(failure: StoreFailure, secrets: &Secrets) -> StoreFailure {
    StoreFailure { source: failure.source.map(|source| hide_in(source, secrets)), ..failure }
}

/// The error itself if it shows no secret; else what it says, without them.
fn hide_in(source: Source, secrets: &Secrets) -> Source {
    let mut said = source.to_string();
    let mut cause = source.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        cause = error.source();
    }
    if secrets.are_in(&said) || secrets.are_in(&format!("{source:?}")) {
        let hidden: Box<dyn Error + Send + Sync> = secrets.hide(&said).into();
        return hidden.into();
    }
    source
}

fn hide_in_config_error(error: ConfigError, secrets: &Secrets) -> ConfigError {
    match error {
        ConfigError::Open { store, mut source } => {
            source.source = source.source.map(|source| hide_in(source, secrets));
            ConfigError::Open { store: secrets.hide(&store), source }
        }
        ConfigError::StoreOption { option, reason } => {
            ConfigError::StoreOption { option, reason: secrets.hide(&reason) }
        }
        ConfigError::UnknownStore { store, reason } => {
            ConfigError::UnknownStore { store, reason: secrets.hide(&reason) }
        }
        ConfigError::NoCompareAndSwap { store, reason } => {
            ConfigError::NoCompareAndSwap { store, reason: secrets.hide(&reason) }
        }
        ConfigError::Field(_)
        | ConfigError::NoRuntime { .. }
        | ConfigError::MissingFeature { .. } => error,
    }
}

#[cfg(test)]
mod tests {
    use buffer_core::{StoreError, StoreErrorKind, StoreOperation};
    use futures_lite::future::block_on;

    use super::*;
    use crate::store_url::StoreOptions;

    /// A client that tells everybody what it knows.
    #[derive(Debug)]
    struct Gossip(&'static str);

    impl fmt::Display for Gossip {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a client with {}", self.0)
        }
    }

    impl Gossip {
        fn failure(&self) -> StoreFailure {
            let said = format!("403: <StringToSign>{}</StringToSign>", self.0);
            StoreFailure::new(StoreErrorKind::Denied, said)
        }
    }

    impl StoreClient for Gossip {
        async fn put(
            &self,
            _: Location,
            _: Rope,
            _: Condition,
        ) -> Result<WriteOutcome, StoreFailure> {
            Err(self.failure())
        }

        async fn get(&self, _: Location, _: Option<Version>) -> Result<ReadOutcome, StoreFailure> {
            Err(self.failure())
        }

        async fn page(&self, _: Location, _: Option<ListCursor>) -> Result<ListPage, StoreFailure> {
            Err(self.failure())
        }

        async fn remove(&self, _: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
            vec![Err(self.failure())]
        }
    }

    fn cloud() -> CloudStore {
        let options = [("account_name", "a"), ("sas_token", "sv=1&sig=hid%2Fden")];
        let options = StoreOptions::from_iter(options);
        CloudStore::parse("az://box/p", &options, &|_| None).expect("it is sound")
    }

    #[track_caller]
    fn assert_hidden(said: impl fmt::Debug) {
        let said = format!("{said:?}");
        assert!(!said.contains("hid/den") && !said.contains("hid%2Fden"), "{said}");
        assert!(said.contains("***"), "{said}");
    }

    #[test]
    fn a_client_that_talks_is_not_repeated() {
        for talk in ["sv=1&sig=hid%2Fden", "sig=hid/den", "hid%2Fden"] {
            let open = |_: &CloudStore| Ok(Arc::new(Gossip(talk)) as Arc<dyn Store>);
            let bucket = Bucket::open(cloud(), open).expect("it opens");
            assert_eq!(bucket.to_string(), "az://box/p");
            assert_hidden(&bucket);
            let key = Location::from("k");
            assert_hidden(block_on(bucket.write(&key, Rope::new(), Condition::Absent)));
            let failure = block_on(bucket.read(&key, None)).expect_err("it always fails");
            let source = failure.source.as_ref().expect("it says why").to_string();
            assert!(
                source.starts_with("403: <StringToSign>") && source.contains("***"),
                "{source}"
            );
            assert_hidden(block_on(bucket.list(&key, None)));
            assert_hidden(block_on(bucket.delete(vec![key])));
        }
    }

    #[test]
    fn an_opening_that_fails_keeps_secrets_too() {
        let error = |_: &CloudStore| {
            let source = StoreError::new(StoreErrorKind::Denied, StoreOperation::Open, "p".into());
            let source = source.with_source("no such account: hid%2Fden");
            Err(ConfigError::Open { store: "az://box".to_owned(), source })
        };
        let error = Bucket::open(cloud(), error).expect_err("it fails");
        assert_hidden(&error);
        assert!(error.to_string().contains("no such account: ***"), "{error}");
    }
}
