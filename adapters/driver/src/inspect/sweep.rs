//! What the collector would delete, and why it keeps the rest.

use std::sync::Arc;
use std::time::Duration;

use buffer_core::{
    CollectError, Gate, ListCursor, ListedObject, Location, StoreError, StoreOperation, UnixMillis,
    Verdict,
};

use super::{InspectError, Inspector};

/// How many objects one request deletes at the most: what every store takes.
const MOST_DELETES: usize = 256;

/// Goes through the objects under a queue's prefix, page by page, and judges each by the collector's own gate.
///
/// A page is judged by a reading of the manifest that was made after it was listed, as the collector does it.
/// That needs no fence and no write: what the gate lets pass no producer that keeps to the grace period lists any
/// more, whoever consumes. So `gc_grace_period` must be that of the queue's producers and consumers, and what is
/// said of producers of other implementations holds here too. A consumer that runs also remembers whether it ever
/// saw a batch outside the prefix; a sweep knows only what is listed now.
///
/// ```
/// # use buffer_driver::{Inspector, SweepError};
/// # async fn shown(inspector: &Inspector) -> Result<(), SweepError> {
/// let mut sweep = inspector.sweep();
/// while let Some(page) = sweep.next_page().await? {
///     for file in page.files() {
///         println!("{} {:?}", file.location, file.verdict);
///     }
///     // Only then anything is deleted: sweep.delete(page).await
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sweep<'a> {
    inspector: &'a Inspector,
    gate: Option<JudgedBy>,
    cursor: Option<ListCursor>,
    ended: bool,
}

/// The last reading that was gone by.
#[derive(Debug)]
struct JudgedBy {
    gate: Gate,
    modified: Option<UnixMillis>,
}

/// Objects that were judged together. Only a sweep makes one, so that nothing is deleted that was not judged.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, Store, SystemClock};
/// # use buffer_driver::buffer_core::{Condition, Location};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let left_over = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// # let _ = store.write(&left_over, vec!["a batch".into()], Condition::Absent).await;
/// # std::thread::sleep(Duration::from_millis(5));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// # let config =
/// #     InspectorConfig { gc_grace_period: Duration::from_millis(1), ..InspectorConfig::default() };
/// # let inspector = buffer::Inspector::with_store(config, store, clock)?;
/// // A batch that nobody lists, and that is older than the grace period.
/// let mut sweep = inspector.sweep();
/// let page = sweep.next_page().await?.expect("objects are there");
/// assert_eq!(page.files().len(), 3, "the manifest, a listed batch, and that one");
/// let deleted = sweep.delete(&page).await;
/// assert!(matches!(&deleted[..], [(key, Ok(()))] if *key == left_over));
/// assert!(sweep.next_page().await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SweptPage {
    files: Vec<SweptFile>,
}

/// One object, and what becomes of it.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{InspectorConfig, MemoryStore, ProducerConfig, SystemClock};
/// use buffer_driver::buffer_core::{KeepReason, Verdict};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ProducerConfig::default();
/// # let producer = buffer::Producer::with_store(config, store.clone(), clock.clone())?;
/// # producer.produce(vec!["one".into()], "".into()).await?;
/// # producer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// let page = inspector.sweep().next_page().await?.expect("objects are there");
/// let [batch, manifest] = page.files() else { panic!("{page:?}") };
/// assert_eq!(batch.verdict, Verdict::Keep(KeepReason::Listed));
/// assert_eq!(manifest.location.as_str(), "ingest/manifest");
/// assert_eq!(manifest.verdict, Verdict::Keep(KeepReason::NoBatch));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweptFile {
    /// Its key.
    pub location: Location,
    /// When it was written, by the store's own clock; `None` where the store does not say.
    pub last_modified: Option<UnixMillis>,
    /// Its length; `None` where the listing does not say.
    pub bytes: Option<u64>,
    /// By how much the manifest was modified later: more than the grace period, or it stays.
    pub older_than_manifest: Option<Duration>,
    /// Whether it is deleted, or why not.
    pub verdict: Verdict,
}

/// Why a sweep cannot go on. What was deleted before stays deleted.
///
/// ```
/// # use std::sync::Arc;
/// # use buffer_driver::{ConsumerConfig, InspectorConfig, MemoryStore, SystemClock};
/// use buffer_driver::{CollectError, SweepError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, clock) = (Arc::new(MemoryStore::new("one")), Arc::new(SystemClock));
/// # let config = ConsumerConfig::default();
/// # let consumer = buffer::Consumer::with_store(config, store.clone(), clock.clone())?;
/// # consumer.initialize(None).await?;
/// # consumer.close().await?;
/// # let inspector = buffer::Inspector::with_store(InspectorConfig::default(), store, clock)?;
/// // Nobody has produced here yet: the path may be wrong.
/// let error = inspector.sweep().next_page().await.unwrap_err();
/// assert!(matches!(error, SweepError::Collect(CollectError::NeverUsed)));
/// assert!(error.to_string().starts_with("nothing can be deleted: nothing was ever listed"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The manifest cannot be read.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// Nothing can be deleted by this manifest, or the objects cannot be listed.
    #[error("nothing can be deleted: {0}")]
    Collect(#[from] CollectError),
}

impl SweptPage {
    /// The objects, in the store's order.
    #[must_use]
    pub fn files(&self) -> &[SweptFile] {
        &self.files
    }
}

impl<'a> Sweep<'a> {
    pub(super) const fn new(inspector: &'a Inspector) -> Self {
        Self { inspector, gate: None, cursor: None, ended: false }
    }

    /// Lists and judges the next page; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`SweepError`]. The next call tries the same page again.
    pub async fn next_page(&mut self) -> Result<Option<SweptPage>, SweepError> {
        if self.ended {
            return Ok(None);
        }
        if self.gate.is_none() {
            self.gate = Some(self.read_gate().await?);
        }
        let listed = self.inspector.list(self.cursor.clone()).await;
        let page = listed.map_err(CollectError::NotListed)?;
        let wall = self.inspector.wall();
        let judge = |by: &JudgedBy| {
            let judged = page.objects.iter().map(|object| by.judge(object, wall));
            judged.collect::<Result<Vec<_>, _>>()
        };
        let mut files = judge(self.gate.as_ref().expect("it was read before the first page"))?;
        // What was listed since is seen, also where a producer does not keep to the grace period.
        if files.iter().any(|file| file.verdict == Verdict::Delete) {
            let later = self.read_gate().await?;
            files = judge(&later)?;
            self.gate = Some(later);
        }
        // A listing that does not get on would never end.
        self.ended = page.next.is_none() || page.next == self.cursor;
        self.cursor = page.next;
        Ok(Some(SweptPage { files }))
    }

    /// Deletes what of a page was judged so, and says of each whether it is gone.
    pub async fn delete(&self, page: &SweptPage) -> Vec<(Location, Result<(), StoreError>)> {
        let doomed = page.files.iter().filter(|file| file.verdict == Verdict::Delete);
        let doomed: Vec<_> = doomed.map(|file| file.location.clone()).collect();
        let host = &self.inspector.host;
        let mut results = Vec::with_capacity(doomed.len());
        for chunk in doomed.chunks(MOST_DELETES) {
            let request = {
                let (store, chunk) = (Arc::clone(&host.store), chunk.to_vec());
                async move { Ok(store.delete(chunk).await) }
            };
            let said = host.within(self.inspector.timeout, request).await;
            let mut said =
                said.unwrap_or_else(|failure| vec![Err(failure); chunk.len()]).into_iter();
            for location in chunk {
                let result = said.next().unwrap_or_else(|| {
                    // A store that answers too little has said nothing of the rest.
                    Err(buffer_core::StoreErrorKind::Transient.into())
                });
                let operation = StoreOperation::DeleteBatch;
                let result = result.map_err(|failure| failure.of(operation, location.clone()));
                results.push((location.clone(), result));
            }
        }
        results
    }

    async fn read_gate(&self) -> Result<JudgedBy, SweepError> {
        let Inspector { prefix, grace, .. } = self.inspector;
        let reading = self.inspector.read().await?;
        let modified = reading.last_modified;
        let gate = Gate::of_reading(prefix, *grace, &reading.manifest, modified, reading.read_at)?;
        Ok(JudgedBy { gate, modified })
    }
}

impl JudgedBy {
    fn judge(&self, object: &ListedObject, wall: UnixMillis) -> Result<SweptFile, CollectError> {
        let verdict = self.gate.judge(object, wall);
        let ListedObject { location, last_modified, bytes } = object.clone();
        if verdict == Verdict::Nonsense {
            return Err(CollectError::TimeNonsense { location });
        }
        let times = self.modified.zip(last_modified);
        let older_than_manifest =
            times.map(|(modified, written)| modified.saturating_since(written));
        Ok(SweptFile { location, last_modified, bytes, older_than_manifest, verdict })
    }
}
