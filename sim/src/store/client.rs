//! The store as code over `object_store` sees it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use async_trait::async_trait;
use buffer_core::{
    Condition, ListCursor, Location, Object, ReadOutcome, Rope, StoreErrorKind, Version,
    WriteOutcome,
};
use buffer_driver::{Store, StoreFailure};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_lite::stream::{self, Boxed, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

use super::SimStore;

/// How many keys one request deletes at the most, as with S3.
const KEYS_A_REQUEST: usize = 1000;

/// For code over `object_store`, unchanged: give it `Arc::new(store.clone())`.
///
/// Every call is one request to the store, or several, which take virtual time and meet the
/// rules of [`SimStore::fault`] as a buffer's own do:
///
/// - `get`, `head` and each range of `get_ranges` read the whole object.
/// - A listing is a request for each page. Sizes and ETags in it are those of the moment at which the page arrives.
/// - `copy` is a read and then a write, `rename` these and a deletion.
/// - The parts of a multipart upload are kept by the client, and written in one request by `complete`.
/// - Attributes and tags are not kept. Old versions cannot be read by their names.
///
/// Errors are those that `object_store`'s clients make of a service's answers, so that code that
/// looks into them finds what it would find there. Nothing is tried again: a client's own
/// retries would come from `object_store`'s `RetryConfig`, and are not simulated.
///
/// ```
/// use std::sync::Arc;
///
/// use buffer_sim::{Profile, SimRuntime, SimStore};
/// use object_store::path::Path;
/// use object_store::{ObjectStore, ObjectStoreExt};
///
/// async fn your_code(store: Arc<dyn ObjectStore>) -> object_store::Result<u64> {
///     let path = Path::from("database/table");
///     store.put(&path, "contents".into()).await?;
///     Ok(store.head(&path).await?.size)
/// }
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let size = runtime.block_on(your_code(Arc::new(store.clone())));
/// assert_eq!(size.expect("nothing is wrong"), 8);
/// ```
#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let condition = match options.mode {
            PutMode::Overwrite => None,
            PutMode::Create => Some(Condition::Absent),
            PutMode::Update(update) => Some(Condition::Version(Version {
                e_tag: update.e_tag.map(Into::into),
                generation: update.version.map(Into::into),
            })),
        };
        put(self, path, payload.into_iter().collect(), condition).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload { store: self.clone(), path: path.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let unless = options.if_none_match.as_deref().map(Version::from_e_tag);
        let object = get(self, path, unless).await?;
        let meta = meta(path.clone(), &object);
        if options.version.is_some() && options.version != meta.version {
            return Err(missing(path, "only the latest version can be read"));
        }
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => range.as_range(meta.size).map_err(generic)?,
        };
        let within = |end: u64| usize::try_from(end).expect("the object is in memory");
        let bytes = object.bytes.slice(within(range.start)..within(range.end));
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(Ok(bytes)).boxed()),
            meta,
            range,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, paths: Boxed<Result<Path>>) -> Boxed<Result<Path>> {
        let start = (self.clone(), Some(paths));
        let requests = stream::unfold(start, |(store, paths)| async move {
            let (results, rest) = delete_some(&store, paths?).await;
            Some((stream::iter(results), (store, rest)))
        });
        requests.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> Boxed<Result<ObjectMeta>> {
        let prefix = Location::new(prefix.map_or("", Path::as_ref));
        let start = (self.clone(), prefix, Some(None));
        let pages = stream::unfold(start, |(store, prefix, next)| async move {
            let (found, next) = list_page(&store, &prefix, next?).await;
            Some((stream::iter(found), (store, prefix, next)))
        });
        pages.flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = ObjectStore::list(self, prefix);
        let prefix = prefix.cloned().unwrap_or_default();
        let (mut objects, mut deeper) = (Vec::new(), BTreeSet::new());
        while let Some(found) = listed.next().await {
            let found = found?;
            let mut parts = found.location.prefix_match(&prefix).into_iter().flatten();
            match (parts.next(), parts.next()) {
                (Some(first), Some(_)) => {
                    deeper.insert(prefix.clone().join(first));
                }
                (Some(_), None) => objects.push(found.clone()),
                (None, _) => {}
            }
        }
        let common_prefixes = deeper.into_iter().collect();
        Ok(ListResult { objects, common_prefixes, extensions: Default::default() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let object = get(self, from, None).await?;
        let condition = match options.mode {
            CopyMode::Overwrite => None,
            CopyMode::Create => Some(Condition::Absent),
        };
        put(self, to, vec![object.bytes], condition).await.map(drop)
    }
}

async fn put(
    store: &SimStore,
    path: &Path,
    payload: Rope,
    condition: Option<Condition>,
) -> Result<PutResult> {
    let creates = condition == Some(Condition::Absent);
    let written = store.send_write(&location(path), payload, condition).await;
    match written.map_err(|failure| error(path, failure))? {
        WriteOutcome::Stored(version) => Ok(PutResult {
            e_tag: version.e_tag.map(|tag| tag.to_string()),
            version: version.generation.map(|generation| generation.to_string()),
            extensions: Default::default(),
        }),
        WriteOutcome::Conflict if creates => Err(Error::AlreadyExists {
            path: path.to_string(),
            source: "there is an object of this key".into(),
        }),
        WriteOutcome::Conflict => Err(Error::Precondition {
            path: path.to_string(),
            source: "the object is another one by now".into(),
        }),
    }
}

async fn get(store: &SimStore, path: &Path, unless: Option<Version>) -> Result<Object> {
    let read = store.read(&location(path), unless).await;
    match read.map_err(|failure| error(path, failure))? {
        ReadOutcome::Found(object) => Ok(object),
        ReadOutcome::Missing => Err(missing(path, "there is no such object")),
        ReadOutcome::NotModified => Err(Error::NotModified {
            path: path.to_string(),
            source: "the object is still the same".into(),
        }),
    }
}

/// Deletes what fits into one request; gives back the rest, if there may be one.
async fn delete_some(
    store: &SimStore,
    mut paths: Boxed<Result<Path>>,
) -> (Vec<Result<Path>>, Option<Boxed<Result<Path>>>) {
    let mut taken = Vec::new();
    let rest = loop {
        match paths.next().await {
            Some(Ok(path)) => taken.push(path),
            // What came before the error is deleted all the same.
            Some(Err(error)) => {
                let mut results = delete(store, taken).await;
                results.push(Err(error));
                return (results, Some(paths));
            }
            None => break None,
        }
        if taken.len() == KEYS_A_REQUEST {
            break Some(paths);
        }
    };
    (delete(store, taken).await, rest)
}

async fn delete(store: &SimStore, paths: Vec<Path>) -> Vec<Result<Path>> {
    if paths.is_empty() {
        return Vec::new();
    }
    let results = Store::delete(store, paths.iter().map(location).collect()).await;
    let named = paths.into_iter().zip(results);
    let result = |(path, result): (Path, std::result::Result<(), StoreFailure>)| match result {
        Ok(()) => Ok(path),
        Err(failure) => Err(error(&path, failure)),
    };
    named.map(result).collect()
}

/// One page, and where the next one begins if there is one.
async fn list_page(
    store: &SimStore,
    prefix: &Location,
    after: Option<ListCursor>,
) -> (VecDeque<Result<ObjectMeta>>, Option<Option<ListCursor>>) {
    let page = match Store::list(store, prefix, after).await {
        Ok(page) => page,
        Err(failure) => {
            let path = Path::parse(prefix.as_str()).unwrap_or_default();
            return (VecDeque::from([Err(error(&path, failure))]), None);
        }
    };
    let state = store.inner.state();
    let found = page.objects.into_iter().filter_map(|listed| {
        let path = Path::parse(listed.location.as_str()).map_err(Error::from);
        // One that was deleted meanwhile, or should not be here at all, is as it was.
        let object = state.objects.get(&listed.location);
        let object = object.or_else(|| state.objects.past(&listed.location, 1))?;
        let object = Object { last_modified: listed.last_modified, ..object.clone() };
        Some(path.map(|path| meta(path, &object)))
    });
    (found.collect(), page.next.map(Some))
}

/// A path is a key as it is.
fn location(path: &Path) -> Location {
    Location::new(path.as_ref())
}

fn meta(location: Path, object: &Object) -> ObjectMeta {
    let millis = object.last_modified.map_or(0, |time| time.0);
    ObjectMeta {
        location,
        last_modified: DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default(),
        size: object.bytes.len() as u64,
        e_tag: object.version.e_tag.as_deref().map(str::to_owned),
        version: object.version.generation.as_deref().map(str::to_owned),
    }
}

fn missing(path: &Path, why: &'static str) -> Error {
    Error::NotFound { path: path.to_string(), source: why.into() }
}

fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "SimStore", source: source.into() }
}

/// What `object_store`'s clients make of the answer that stands for such a failure.
fn error(path: &Path, failure: StoreFailure) -> Error {
    let (status, code) = answer(failure.kind);
    let message = failure.source.map_or_else(String::new, |source| source.to_string());
    let said = format!(
        "Server returned non-2xx status code: {status}: <Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let (path, source) = (path.to_string(), said.into());
    match failure.kind {
        StoreErrorKind::Denied => Error::PermissionDenied { path, source },
        StoreErrorKind::NoSuchStore => Error::NotFound { path, source },
        StoreErrorKind::Unsupported => Error::NotSupported { source },
        // The kinds of failures may become more; the client calls most of them the same.
        StoreErrorKind::Transient
        | StoreErrorKind::Throttled
        | StoreErrorKind::TimedOut
        | StoreErrorKind::InvalidLocation
        | StoreErrorKind::Refused
        | _ => Error::Generic { store: "SimStore", source },
    }
}

/// How S3 says it.
const fn answer(kind: StoreErrorKind) -> (&'static str, &'static str) {
    match kind {
        StoreErrorKind::Throttled => ("503 Service Unavailable", "SlowDown"),
        StoreErrorKind::TimedOut => ("408 Request Timeout", "RequestTimeout"),
        StoreErrorKind::Denied => ("403 Forbidden", "AccessDenied"),
        StoreErrorKind::Unsupported => ("501 Not Implemented", "NotImplemented"),
        StoreErrorKind::NoSuchStore => ("404 Not Found", "NoSuchBucket"),
        StoreErrorKind::InvalidLocation => ("400 Bad Request", "InvalidURI"),
        StoreErrorKind::Refused => ("413 Content Too Large", "EntityTooLarge"),
        StoreErrorKind::Transient | _ => ("500 Internal Server Error", "InternalError"),
    }
}

/// An upload in parts, which the client keeps until they are all there.
struct Upload {
    store: SimStore,
    path: Path,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = std::mem::take(&mut self.parts);
        put(&self.store, &self.path, parts, None).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).finish_non_exhaustive()
    }
}
