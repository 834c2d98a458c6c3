//! A bucket, and everything that is known about how to reach it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use buffer_core::Location;
use percent_encoding::percent_decode_str;

use super::endpoint::Endpoint;
use super::options::StoreOptions;
use super::table::{self, StoreOption};
use super::{location::StoreLocation, redact};
use crate::bucket::Bucket;
use crate::config::ConfigError;
use crate::store::Store;

/// Whose object store it is, or whose protocol it speaks.
///
/// ```
/// use buffer_driver::{CloudStore, Provider, StoreOptions};
///
/// let store = CloudStore::parse("s3a://bucket", &StoreOptions::new(), &|_| None)?;
/// let provider = store.provider();
/// assert_eq!(provider, Provider::S3);
/// let advice = format!("{provider} needs the feature `{}`", provider.feature());
/// assert_eq!(advice, "S3 needs the feature `aws`");
/// # Ok::<(), buffer_driver::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Amazon S3 and what speaks its protocol: `s3://`, `s3a://`.
    S3,
    /// Google Cloud Storage: `gs://`.
    Gcs,
    /// Azure Blob Storage: `az://`, `azure://`, `abfs://`, `abfss://`.
    Azure,
}

impl Provider {
    /// The provider of a URL's scheme.
    pub(super) fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" | "s3a" => Some(Self::S3),
            "gs" => Some(Self::Gcs),
            "az" | "azure" | "abfs" | "abfss" => Some(Self::Azure),
            _ => None,
        }
    }

    /// Whether an environment variable is one of this provider's.
    pub(super) fn owns(self, variable: &str) -> bool {
        variable.starts_with(match self {
            Self::S3 => "AWS_",
            Self::Gcs => "GOOGLE_",
            Self::Azure => "AZURE_",
        })
    }

    /// The feature of an adapter's crate that brings its client.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::S3 => "aws",
            Self::Gcs => "gcp",
            Self::Azure => "azure",
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "S3",
            Self::Gcs => "Google Cloud Storage",
            Self::Azure => "Azure",
        })
    }
}

/// A bucket or container in the cloud, with a prefix and options: checked, and merged from
/// URL, configuration and environment, of which each goes before the next.
///
/// `Debug` and `Display` show no secrets.
///
/// ```
/// use buffer_driver::{CloudStore, Provider, StoreOptions};
///
/// let options = StoreOptions::from_iter([("region", "eu-west-1")]);
/// let store = CloudStore::parse("s3://bucket/queues/one?region=eu-north-1", &options, &|_| None)?;
/// assert_eq!((store.provider(), store.bucket()), (Provider::S3, "bucket"));
/// assert_eq!(store.prefix().map(|prefix| prefix.as_str()), Some("queues/one"));
/// assert_eq!(store.option("region"), Some("eu-north-1"));
///
/// let error = CloudStore::parse("s3://bucket?regoin=x", &options, &|_| None).unwrap_err();
/// assert!(error.to_string().contains("`region`"));
/// # Ok::<(), buffer_driver::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CloudStore {
    provider: Provider,
    bucket: String,
    prefix: Option<Location>,
    options: BTreeMap<&'static str, String>,
}

impl CloudStore {
    /// Takes a URL apart, and adds options and what `environment` tells of the provider's variables.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownStore`] for a URL that names no bucket, and
    /// [`ConfigError::StoreOption`] for an option that is unknown, belongs to
    /// another provider, has a value that cannot be, or is missing.
    pub fn parse(
        url: &str,
        options: &StoreOptions,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let named = Named::parse(url).map_err(|reason| unknown(url, reason))?;
        let mut found = Self {
            provider: named.provider,
            bucket: named.bucket,
            prefix: named.prefix,
            options: BTreeMap::new(),
        };
        for (name, value) in named.account {
            found.options.insert(name, value);
        }
        for (name, value) in &named.query {
            found.take(name, value)?;
        }
        for (name, value) in options.iter() {
            found.take(name, value)?;
        }
        found.take_environment(environment)?;
        found.check()?;
        Ok(found)
    }

    /// Whose it is.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        self.provider
    }

    /// The bucket, or container.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What stands before every key, without slashes at its ends.
    #[must_use]
    pub const fn prefix(&self) -> Option<&Location> {
        self.prefix.as_ref()
    }

    /// Takes the prefix out: what is left is the whole bucket.
    ///
    /// ```
    /// use buffer_driver::{CloudStore, StoreOptions};
    ///
    /// let mut store = CloudStore::parse("gs://bucket/queues/one", &StoreOptions::new(), &|_| None)?;
    /// assert_eq!(store.take_prefix(), Some("queues/one".into()));
    /// assert_eq!(store.to_string(), "gs://bucket");
    /// # Ok::<(), buffer_driver::ConfigError>(())
    /// ```
    pub const fn take_prefix(&mut self) -> Option<Location> {
        self.prefix.take()
    }

    /// Opens it with a function that makes a store of the whole bucket, to which the prefix is added.
    ///
    /// Whatever that store says of itself or of a failure, no secret of the options gets out of it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use buffer_driver::buffer_core::{Condition, ReadOutcome};
    /// use buffer_driver::{CloudStore, MemoryStore, Store, StoreOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # futures_lite::future::block_on(async {
    /// let cloud = CloudStore::parse("s3://bucket/queue", &StoreOptions::new(), &|_| None)?;
    /// // An adapter makes a client of the provider, the bucket and the options here.
    /// let bucket = Arc::new(MemoryStore::new("bucket"));
    /// let store = cloud.open(|whole| {
    ///     assert_eq!((whole.bucket(), whole.prefix()), ("bucket", None));
    ///     Ok(bucket.clone())
    /// })?;
    ///
    /// assert_eq!(store.to_string(), "s3://bucket/queue");
    /// let written = store.write(&"key".into(), vec!["value".into()], Condition::Absent).await;
    /// assert!(written.is_ok());
    /// let read = bucket.read(&"queue/key".into(), None).await;
    /// assert!(matches!(read, Ok(ReadOutcome::Found(object)) if object.bytes == "value"));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `open_bucket` says.
    pub fn open(
        self,
        open_bucket: impl FnOnce(&Self) -> Result<Arc<dyn Store>, ConfigError>,
    ) -> Result<Arc<dyn Store>, ConfigError> {
        Ok(Arc::new(Bucket::open(self, open_bucket)?))
    }

    /// The value of an option, if anything gave it one.
    ///
    /// # Panics
    ///
    /// For a name that is not in [`STORE_OPTIONS`](crate::STORE_OPTIONS).
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        assert!(table::find(name).is_some(), "there is no option {name}");
        self.options.get(name).map(String::as_str)
    }

    /// Whether an option that is true or false is true; false if nothing gave it a value.
    ///
    /// ```
    /// use buffer_driver::{CloudStore, StoreOptions};
    ///
    /// let url = "s3://bucket?endpoint=http://127.0.0.1:9000&allow_http=1";
    /// let store = CloudStore::parse(url, &StoreOptions::new(), &|_| None)?;
    /// assert!(store.flag("allow_http"));
    /// assert!(!store.flag("unquoted_etag"), "nobody said so");
    /// # Ok::<(), buffer_driver::ConfigError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`option`](Self::option).
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.option(name) == Some("true")
    }

    /// The region to sign requests for: `us-east-1` where nothing says.
    ///
    /// ```
    /// use buffer_driver::{CloudStore, StoreOptions};
    ///
    /// let none = StoreOptions::new();
    /// assert_eq!(CloudStore::parse("s3://bucket", &none, &|_| None)?.region(), "us-east-1");
    /// let environment = |name: &str| (name == "AWS_REGION").then(|| "eu-west-1".to_owned());
    /// assert_eq!(CloudStore::parse("s3://bucket", &none, &environment)?.region(), "eu-west-1");
    /// # Ok::<(), buffer_driver::ConfigError>(())
    /// ```
    #[must_use]
    pub fn region(&self) -> &str {
        self.option("region").unwrap_or("us-east-1")
    }

    /// All options with their values, secrets included.
    ///
    /// ```
    /// use buffer_driver::{CloudStore, StoreOptions};
    ///
    /// let given = StoreOptions::from_iter([("account_name", "me"), ("account_key", "abc")]);
    /// let store = CloudStore::parse("az://container", &given, &|_| None)?;
    /// // As it may be shown.
    /// let shown = store.options().map(|(option, value)| {
    ///     let value = if option.secret { "***" } else { value };
    ///     format!("{}={value}", option.name)
    /// });
    /// assert!(shown.eq(["account_key=***", "account_name=me"]));
    /// # Ok::<(), buffer_driver::ConfigError>(())
    /// ```
    pub fn options(&self) -> impl Iterator<Item = (&'static StoreOption, &str)> {
        self.options.iter().map(|(name, value)| {
            (table::find(name).expect("only known options are kept"), value.as_str())
        })
    }

    /// Sets an option, unless something more specific did.
    fn take(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let option = self.known(name)?;
        let parsed = option.parse(value).map_err(|reason| wrong(option.name, reason))?;
        self.options.entry(option.name).or_insert(parsed);
        Ok(())
    }

    fn known(&self, name: &str) -> Result<&'static StoreOption, ConfigError> {
        let provider = self.provider;
        let reason = match table::find(name) {
            Some(option) if option.providers.contains(&provider) => return Ok(option),
            Some(option) => {
                let owners: Vec<_> = option.providers.iter().map(Provider::to_string).collect();
                let owners = owners.join(" and ");
                format!("it is an option of {owners}, and this store is {provider}")
            }
            None => match table::nearest(provider, name) {
                Some(nearest) => format!("there is no such option; did you mean `{nearest}`?"),
                None => {
                    let names: Vec<_> = table::of(provider).map(|option| option.name).collect();
                    format!("there is no such option; {provider} has {}", names.join(", "))
                }
            },
        };
        Err(wrong(redact::name(name), reason))
    }

    /// Adds what the environment says. Credentials that were given are not mixed with others
    /// from there: a session token of somebody else would spoil a key.
    fn take_environment(
        &mut self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let has_credentials = self.options().any(|(option, _)| option.credential);
        let provider = self.provider;
        for option in table::of(provider) {
            if has_credentials && option.credential || self.options.contains_key(option.name) {
                continue;
            }
            let own = option.variables.iter().filter(|variable| provider.owns(variable));
            let mut set = own.filter_map(|variable| {
                let value = environment(variable).filter(|value| !value.is_empty())?;
                Some((*variable, value))
            });
            if let Some((variable, value)) = set.next() {
                let parsed = option.parse(&value).map_err(|reason| wrong(variable, reason))?;
                self.options.insert(option.name, parsed);
            }
        }
        Ok(())
    }

    /// Checks what one option demands of another.
    fn check(&self) -> Result<(), ConfigError> {
        let has = |name| self.option(name).is_some();
        if let Some(endpoint) = self.option("endpoint") {
            let endpoint = Endpoint::parse(endpoint).map_err(|reason| wrong("endpoint", reason))?;
            if !endpoint.encrypted && !self.flag("allow_http") {
                let reason = "it is http:, which anybody on the way can read and change; \
                     say allow_http=true if that is meant, or give an https: URL";
                return Err(wrong("endpoint", reason));
            }
        }
        let halves = ["access_key_id", "secret_access_key"];
        if self.provider == Provider::S3 && has(halves[0]) != has(halves[1]) {
            let missing = if has(halves[0]) { halves[1] } else { halves[0] };
            return Err(wrong(missing, "an access key is an id and a secret, and this is missing"));
        }
        if has("session_token") && !has("access_key_id") {
            return Err(wrong("access_key_id", "session_token belongs to a key, which is missing"));
        }
        if self.provider == Provider::Azure && !has("account_name") {
            let reason = "it is missing: give this option, set AZURE_STORAGE_ACCOUNT_NAME, \
                 or write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net";
            return Err(wrong("account_name", reason));
        }
        if has("sse_kms_key_id") && self.option("server_side_encryption") != Some("aws:kms") {
            return Err(wrong("sse_kms_key_id", "it needs server_side_encryption=aws:kms"));
        }
        Ok(())
    }
}

impl fmt::Display for CloudStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider.scheme(), self.bucket)?;
        if let Some(prefix) = &self.prefix {
            write!(f, "/{prefix}")?;
        }
        match self.option("endpoint") {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CloudStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: StoreOptions = self.options().map(|(it, value)| (it.name, value)).collect();
        f.debug_struct("CloudStore")
            .field("provider", &self.provider)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("options", &options)
            .finish()
    }
}

/// What a URL alone says.
struct Named {
    provider: Provider,
    bucket: String,
    prefix: Option<Location>,
    /// What the host's name says of an Azure account.
    account: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
}

impl Named {
    /// Reasons never repeat what may be a secret.
    fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("write SCHEME://BUCKET/PREFIX")?;
        let scheme = scheme.to_ascii_lowercase();
        let provider = Provider::of_scheme(&scheme)
            .ok_or("write s3://BUCKET, gs://BUCKET or az://CONTAINER")?;
        if rest.contains('#') {
            return Err("a # in a prefix is written %23".to_owned());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (bucket, account) = match authority.split_once('@') {
            Some((container, host)) if scheme.starts_with("abfs") && !container.contains(':') => {
                (container, account(host)?)
            }
            None => (authority, Vec::new()),
            Some(_) => {
                return Err(
                    "a URL names no user and password: give access keys as store options, \
                 or in the environment"
                        .to_owned(),
                );
            }
        };
        let is_bucket = |c: char| c.is_ascii_alphanumeric() || "-._$".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_bucket) {
            return Err(format!(
                "after {scheme}:// comes a bucket's name, of letters, digits, '-', '.' and '_'"
            ));
        }
        Ok(Self {
            provider,
            bucket: bucket.to_owned(),
            prefix: prefix(path)?,
            account,
            query: parameters(query)?,
        })
    }
}

/// The account in `ACCOUNT.dfs.core.windows.net`, and the endpoint if it lies elsewhere.
fn account(host: &str) -> Result<Vec<(&'static str, String)>, String> {
    const WRONG: &str = "after the @ comes ACCOUNT.dfs.core.windows.net";
    let (account, suffix) = host.split_once('.').ok_or(WRONG)?;
    let suffix =
        suffix.strip_prefix("dfs.").or_else(|| suffix.strip_prefix("blob.")).ok_or(WRONG)?;
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    };
    if !is_name(account) || !is_name(suffix) {
        return Err(WRONG.to_owned());
    }
    let mut options = vec![("account_name", account.to_owned())];
    if suffix != "core.windows.net" {
        options.push(("endpoint", format!("https://{account}.blob.{suffix}")));
    }
    Ok(options)
}

/// The prefix in a URL's path.
fn prefix(path: &str) -> Result<Option<Location>, String> {
    let decoded = decode(path)?;
    let trimmed = decoded.strip_suffix('/').unwrap_or(&decoded);
    if trimmed.is_empty() {
        return Ok(None);
    }
    let prefix = Location::from(trimmed);
    prefix.validate().map_err(|error| format!("the prefix cannot be part of a key: {error}"))?;
    Ok(Some(prefix))
}

/// The options in a URL's query.
fn parameters(query: &str) -> Result<Vec<(String, String)>, String> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let parameters = parts.map(|part| {
        let (name, value) =
            part.split_once('=').ok_or("options in a URL are written NAME=VALUE")?;
        Ok((decode(name)?, decode(value)?))
    });
    let parameters: Vec<(String, String)> = parameters.collect::<Result<_, String>>()?;
    for (number, (name, _)) in parameters.iter().enumerate() {
        if parameters[..number].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("it gives the option {} twice", redact::name(name)));
        }
    }
    Ok(parameters)
}

/// A `+` stays one: it is part of keys and tokens.
fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "what its percent signs encode is not UTF-8".to_owned())
}

fn unknown(url: &str, reason: String) -> ConfigError {
    ConfigError::UnknownStore { store: StoreLocation::Url(url.to_owned()).to_string(), reason }
}

fn wrong(option: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::StoreOption { option: option.to_owned(), reason: reason.into() }
}

#[cfg(test)]
mod tests;
