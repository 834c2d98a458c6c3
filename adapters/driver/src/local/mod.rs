//! A queue in a plain directory.
//!
//! # What lies where
//!
//! ```text
//! {root}/ingest/manifest              an object: the file at exactly its key, byte for byte
//! {root}/ingest/01J...Z.batch         another
//! {root}/ingest/.manifest.lock        empty; who swaps `manifest` holds its lock
//! {root}/.opendata-buffer/*.tmp       being written, or left over by a process that died
//! ```
//!
//! - **The lock lies next to the object**, because that is what it belongs to:
//!   two processes that open the same files under different roots (`.data` and
//!   `.data/ingest`, or through a symbolic link) must meet at one lock. Only
//!   objects that are swapped have one: a manifest, never a batch.
//! - **Temporary files lie in one hidden directory in the root**, so that a
//!   sweep reads one small directory and never walks a tree of batches. Where a
//!   directory below the root is another filesystem, which nothing can be
//!   renamed into, that directory gets a hidden directory of its own, swept
//!   when it is first written to.
//! - Keys that could name either are refused; everything else that a listing
//!   shows is an object. Links and directories are neither listed nor deleted.
//!
//! # What is on disk when
//!
//! A write is answered after the file *and* its directory were synced, and the
//! directories above it. Between the two, others can see the new state, and a
//! power failure can take it back. So **the name of a state is linked twice
//! until its directory was synced** (the object, and the temporary file that it
//! was made from), and whoever finds two links syncs the directory before
//! relying on what it read:
//!
//! ```text
//! // 1. A renames its manifest into place. 2. B reads it, hands out a batch, and
//! // the database stores its sequence. 3. The power fails; A's rename is gone.
//! // 4. The sequence is given to another batch, and the database skips it.
//! ```
//!
//! That costs a reader nothing but a look at the link count, which comes with
//! the modification time, except in the moment of a write. It cannot see what
//! other tools left unsynced, and not on filesystems without hard links.

mod files;
mod key;
mod listing;
mod lock;
mod places;
mod reply;
mod temporary;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreErrorKind, Version,
    WriteOutcome,
};

pub use files::LocalFiles;

use crate::client::StoreClient;
use crate::runtime::Runtime;
use crate::store::StoreFailure;

/// A store in a directory of the local filesystem, shared by any number of processes.
///
/// Conditional writes are real between processes, and a write that was answered
/// is synced to disk. All file access runs on the runtime's threads for
/// blocking work; a swap may hold one for up to [`LocalFiles::LOCK_PATIENCE`].
///
/// Not meant for network filesystems, whose locks and links promise less.
///
/// ```
/// use std::sync::Arc;
/// use buffer_driver::buffer_core::Condition;
/// use buffer_driver::{LocalDirectory, Runtime, Store, StoreErrorKind, StoreFailure};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime: Arc<dyn Runtime> = Arc::new(buffer::TokioRuntime::current()?);
/// # let root = std::env::temp_dir().join(format!("buffer-doc-directory-{}", std::process::id()));
/// # let _ = std::fs::remove_dir_all(&root); // of an earlier process of this number
/// # async fn shown(root: &std::path::Path, runtime: Arc<dyn Runtime>) -> Result<(), StoreFailure> {
/// let missing = LocalDirectory::open_existing(root, runtime.clone()).unwrap_err();
/// assert_eq!(missing.kind, StoreErrorKind::NoSuchStore);
/// let store = LocalDirectory::open(root, runtime.clone())?; // makes it
/// assert_eq!(store.root(), root);
/// store.write(&"q/a".into(), vec!["one".into()], Condition::Absent).await?;
///
/// let only_read = LocalDirectory::open_existing(root, runtime.clone())?;
/// let deleted = only_read.delete(vec!["q/a".into()]).await;
/// assert!(matches!(&deleted[..], [Err(failure)] if failure.kind == StoreErrorKind::Refused));
/// let sweeper = LocalDirectory::open_existing_to_delete(root, runtime)?;
/// assert!(matches!(&sweeper.delete(vec!["q/a".into()]).await[..], [Ok(())]));
/// # Ok(())
/// # }
/// # shown(&root, runtime).await.map_err(|failure| format!("{failure:?}"))?;
/// # std::fs::remove_dir_all(root)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LocalDirectory {
    files: Arc<LocalFiles>,
    runtime: Arc<dyn Runtime>,
}

impl LocalDirectory {
    /// Opens a directory for reading and writing; makes it if it is missing.
    ///
    /// Blocks the calling thread for a few file operations.
    ///
    /// # Errors
    ///
    /// See [`LocalFiles::open`].
    pub fn open(root: impl Into<PathBuf>, runtime: Arc<dyn Runtime>) -> Result<Self, StoreFailure> {
        Ok(Self { files: Arc::new(LocalFiles::open(root)?), runtime })
    }

    /// Opens a directory for reading only: never makes, writes or locks anything.
    ///
    /// # Errors
    ///
    /// See [`LocalFiles::open_existing`].
    pub fn open_existing(
        root: impl Into<PathBuf>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, StoreFailure> {
        Ok(Self { files: Arc::new(LocalFiles::open_existing(root)?), runtime })
    }

    /// Opens a directory for reading and deleting: never makes or writes anything.
    ///
    /// # Errors
    ///
    /// See [`LocalFiles::open_existing`].
    pub fn open_existing_to_delete(
        root: impl Into<PathBuf>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, StoreFailure> {
        Ok(Self { files: Arc::new(LocalFiles::open_existing_to_delete(root)?), runtime })
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.files.root()
    }

    /// Runs `work` where it may block, and waits for what it returns.
    async fn off_the_loop<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LocalFiles) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        let files = Arc::clone(&self.files);
        let (sender, reply) = reply::pair();
        self.runtime.spawn_blocking(Box::new(move || sender.send(work(&files))));
        reply.await.unwrap_or_else(|| {
            Err(StoreFailure::new(
                StoreErrorKind::Transient,
                "the runtime dropped the request, or it panicked",
            ))
        })
    }
}

impl StoreClient for LocalDirectory {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.off_the_loop(move |files| files.write(&location, &payload, &condition)).await
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.off_the_loop(move |files| files.read(&location, unless.as_ref())).await
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.off_the_loop(move |files| files.list(&prefix, after.as_ref())).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        let count = locations.len();
        let deleting = self.off_the_loop(move |files| {
            Ok(locations.iter().map(|location| files.delete(location)).collect())
        });
        deleting.await.unwrap_or_else(|failure| vec![Err(failure); count])
    }
}

impl fmt::Display for LocalDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().display().fmt(f)
    }
}
