//! The driver's store, over any OpenDAL operator that can compare and swap.

mod answers;
mod failure;
mod requirements;

use std::fmt;

use buffer_driver::buffer_core::{
    Condition, ListCursor, ListPage, ListedObject, Location, Object, ReadOutcome, Rope,
    StoreErrorKind, UnixMillis, Version, WriteOutcome,
};
use buffer_driver::{ConfigError, ListStream, Listings, StoreClient, StoreFailure, unquoted_e_tag};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use opendal::options::ListOptions;
use opendal::raw::normalize_path;
use opendal::{Buffer, Entry, ErrorKind, Metadata, MetadataBuilder, Operator};

use answers::AnswersLayer;
use failure::failure;
use requirements::{Versions, requirements};

/// How many deletions of one call are under way at once.
const DELETIONS: usize = 16;

/// An OpenDAL operator as a store for buffers.
///
/// The operator must send each request once. **`RetryLayer` must not be on it**: after a lost reply
/// it sends the write again, and reports the conflict with its own first attempt. The buffer
/// retries by itself, and knows what it may repeat. `TimeoutLayer` is not needed either, and
/// panics outside a tokio runtime.
///
/// ```
/// use buffer_smol::{ConfigError, OpendalStore};
///
/// // OpenDAL's own memory store names no versions, so nothing can be swapped in it.
/// let operator = opendal::Operator::new(opendal::services::Memory::default())?;
/// let refused = OpendalStore::new(operator).expect_err("it has no compare-and-swap");
/// assert!(matches!(refused, ConfigError::NoCompareAndSwap { .. }));
/// # Ok::<(), opendal::Error>(())
/// ```
#[derive(Debug)]
pub struct OpendalStore {
    operator: Operator,
    name: String,
    versions: Versions,
    unquoted_e_tags: bool,
    listings: Listings,
}

impl fmt::Display for OpendalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl OpendalStore {
    /// Takes an operator. Keys are relative to its root.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoCompareAndSwap`] for an operator whose service cannot write on a condition
    /// or names no versions (`fs`, `memory`), or that has OpenDAL's `RetryLayer`. Other layers that
    /// send requests again are not seen.
    pub fn new(operator: Operator) -> Result<Self, ConfigError> {
        let info = operator.info();
        let name = format!("{}://{}{}", info.scheme(), info.name(), info.root());
        match requirements(&operator) {
            Err(reason) => {
                Err(ConfigError::NoCompareAndSwap { store: name, reason: reason.to_owned() })
            }
            Ok(versions) => Ok(Self {
                operator: operator.layer(AnswersLayer),
                name,
                versions,
                unquoted_e_tags: false,
                listings: Listings::default(),
            }),
        }
    }

    /// The same under another name, for people.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(feature = "aws")]
    /// # {
    /// use buffer_smol::{HttpOptions, OpendalStore, http_context};
    /// use opendal::{Operator, services::S3};
    ///
    /// let service = S3::default().bucket("one").root("queue").region("eu-west-1").disable_config_load();
    /// let operator = Operator::new(service)?.with_context(http_context(&HttpOptions::default())?);
    /// let store = OpendalStore::new(operator)?;
    /// assert_eq!(store.to_string(), "s3://one/queue/");
    /// assert_eq!(store.named("the orders' bucket").to_string(), "the orders' bucket");
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Compares entity tags without their quotes when it writes, as Ceph and DigitalOcean Spaces need it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(feature = "aws")]
    /// # {
    /// use buffer_smol::{HttpOptions, OpendalStore, http_context, unquoted_e_tag};
    /// use opendal::{Operator, services::S3};
    ///
    /// let service = S3::default().bucket("one").endpoint("https://fra1.digitaloceanspaces.com");
    /// let service = service.region("us-east-1").disable_config_load();
    /// let operator = Operator::new(service)?.with_context(http_context(&HttpOptions::default())?);
    /// let store = OpendalStore::new(operator)?.with_unquoted_e_tags();
    /// assert_eq!(store.to_string(), "s3://one/");
    /// // What it sends as `If-Match` for an object that the service calls so:
    /// assert_eq!(unquoted_e_tag("\"9b2cf5\""), "9b2cf5");
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_unquoted_e_tags(self) -> Self {
        Self { unquoted_e_tags: true, ..self }
    }

    /// The version that a state has for swaps; none is what does not count for them.
    fn version_of(&self, metadata: &Metadata) -> Result<Version, StoreFailure> {
        let version = match self.versions {
            Versions::ETags { .. } => metadata.etag().map(Version::from_e_tag),
            Versions::Generations => metadata
                .version()
                .map(|version| Version { e_tag: None, generation: Some(version.into()) }),
        };
        version.ok_or_else(StoreFailure::without_version)
    }

    /// What OpenDAL makes its conditions of.
    fn metadata_of(&self, version: &Version) -> Metadata {
        let mut metadata = MetadataBuilder::unknown();
        if let Some(e_tag) = &version.e_tag {
            metadata.etag(if self.unquoted_e_tags { unquoted_e_tag(e_tag) } else { e_tag });
        }
        if let Some(generation) = &version.generation {
            metadata.version(&**generation);
        }
        metadata.build()
    }

    fn objects(&self, prefix: &Location, after: Option<Location>) -> ListStream {
        let (operator, directory) = (self.operator.clone(), format!("{prefix}/"));
        let can_skip = operator.info().capability().list_with_start_after;
        let start_after = after.as_ref().filter(|_| can_skip).map(Location::to_string);
        let options = ListOptions { recursive: true, start_after, ..ListOptions::default() };
        // A service that cannot begin in the middle begins anew; what was there is skipped here.
        let skipped = move |object: &ListedObject| {
            !can_skip && after.as_ref().is_some_and(|after| object.location <= *after)
        };
        stream::once(async move { operator.lister_options(&directory, options).await })
            .try_flatten()
            .try_filter_map(async |entry| Ok(listed(&entry)))
            .try_filter(move |object| std::future::ready(!skipped(object)))
            .map_err(failure)
            .boxed()
    }
}

impl StoreClient for OpendalStore {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        let key = key(&location)?;
        // OpenDAL takes an empty piece for the end of a body.
        let pieces: Rope = payload.into_iter().filter(|piece| !piece.is_empty()).collect();
        // However many pieces it has, a payload that is given at once is one request: never a
        // multipart upload. Google's service takes two, of which the second writes.
        let write = self.operator.write_with(key, Buffer::from(pieces));
        let swaps = matches!(condition, Condition::Version(_));
        let write = match condition {
            Condition::Absent => write.if_not_exists(true),
            Condition::Version(version) => write.if_not_changed(&self.metadata_of(&version)),
        };
        match write.await {
            Ok(stored) => self.version_of(&stored).map(WriteOutcome::Stored),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists
                ) =>
            {
                Ok(WriteOutcome::Conflict)
            }
            // Some stores answer so when the object that was to be replaced is gone.
            Err(error) if swaps && error.kind() == ErrorKind::NotFound => {
                Ok(WriteOutcome::Conflict)
            }
            Err(error) => Err(failure(error)),
        }
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        let read = self.operator.reader_with(key(&location)?);
        let read = match (&unless, self.versions) {
            (Some(Version { e_tag: Some(e_tag), .. }), Versions::ETags { on_read: true }) => {
                read.if_none_match(e_tag)
            }
            (Some(Version { generation: Some(generation), .. }), Versions::Generations) => {
                read.if_version_not_match(generation)
            }
            _ => read,
        };
        // One request: its answer has the contents, and what `metadata` tells of them.
        let result = async {
            let reader = read.await?;
            let contents = reader.read(..).await?;
            Ok::<_, opendal::Error>((contents, reader.metadata().cloned()))
        };
        let (contents, metadata) = match result.await {
            Ok((contents, Some(metadata))) => (contents, metadata),
            Ok((_, None)) => return Err(StoreFailure::without_version()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ReadOutcome::Missing),
            Err(error) if unless.is_some() && error.kind() == ErrorKind::ConditionNotMatch => {
                return Ok(ReadOutcome::NotModified);
            }
            Err(error) => return Err(failure(error)),
        };
        let version = self.version_of(&metadata)?;
        if unless.is_some_and(|unless| unless == version) {
            return Ok(ReadOutcome::NotModified);
        }
        let last_modified = last_modified(&metadata);
        Ok(ReadOutcome::Found(Object { bytes: contents.to_bytes(), version, last_modified }))
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        key(&prefix)?;
        self.listings.page(after, |after| self.objects(&prefix, after)).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        // One request for each key: OpenDAL's deleter of many says only of all together whether it
        // failed, and not every service that speaks S3 can delete many.
        let deletions = stream::iter(locations).map(async |location| {
            let key = key(&location)?;
            match self.operator.delete(key).await {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(failure(error)),
                Ok(()) | Err(_) => Ok(()),
            }
        });
        deletions.buffered(DELETIONS).collect().await
    }
}

/// A location as OpenDAL takes it: as it is, or not at all. OpenDAL would tidy up some, and then
/// what is written under one key is listed under another.
fn key(location: &Location) -> Result<&str, StoreFailure> {
    location.validate()?;
    let key = location.as_str();
    if normalize_path(key) == key {
        return Ok(key);
    }
    let reason = format!("{location:?} begins or ends with white space");
    Err(StoreFailure::new(StoreErrorKind::InvalidLocation, reason))
}

fn last_modified(metadata: &Metadata) -> Option<UnixMillis> {
    metadata.last_modified().map(|time| UnixMillis(time.into_inner().as_millisecond()))
}

/// An object of a listing; what services list as directories is none.
fn listed(entry: &Entry) -> Option<ListedObject> {
    let metadata = entry.metadata();
    (!metadata.is_dir()).then(|| ListedObject {
        location: Location::from(entry.path()),
        last_modified: last_modified(metadata),
        // It does not tell an object without contents, which no batch is, from a length that it was not told.
        bytes: Some(metadata.content_length()).filter(|bytes| *bytes > 0),
    })
}
