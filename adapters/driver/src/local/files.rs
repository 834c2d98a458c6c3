//! The synchronous part: what a read and a conditional write are made of.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use buffer_core::{
    Condition, ListCursor, ListPage, Location, Object, ReadOutcome, StoreErrorKind, UnixMillis,
    Version, WriteOutcome,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::places::{Place, Places, create_root, sync_directory};
use super::temporary::{Temporary, sweep};
use super::{key, listing, lock};
use crate::store::StoreFailure;

/// A directory of objects, for threads that may block: what [`LocalDirectory`] does its work with.
///
/// Every call is complete when it returns, and a write that says
/// [`WriteOutcome::Stored`] is on disk. Any number of handles, threads and
/// processes may use one directory.
///
/// ```
/// use buffer_core::{Condition, ReadOutcome, WriteOutcome};
/// use buffer_driver::LocalFiles;
///
/// # let root = std::env::temp_dir().join(format!("buffer-doc-{}", std::process::id()));
/// let files = LocalFiles::open(&root)?;
/// let key = "ingest/manifest".into();
/// let first = files.write(&key, &["one".into()], &Condition::Absent)?;
/// let WriteOutcome::Stored(version) = first else { panic!("it exists already") };
/// files.write(&key, &["two".into()], &Condition::Version(version))?;
/// let ReadOutcome::Found(object) = files.read(&key, None)? else { panic!("it was written") };
/// assert_eq!(object.bytes, "two");
/// # std::fs::remove_dir_all(root).unwrap();
/// # Ok::<(), buffer_driver::StoreFailure>(())
/// ```
///
/// [`LocalDirectory`]: crate::LocalDirectory
///
/// Whoever only looks at it opens it so that nothing can be made in it:
///
/// ```
/// use buffer_core::Condition;
/// use buffer_driver::{LocalFiles, StoreErrorKind};
///
/// # let root = std::env::temp_dir().join(format!("buffer-doc-existing-{}", std::process::id()));
/// # let _ = std::fs::remove_dir_all(&root); // of an earlier process of this number
/// let files = LocalFiles::open(&root)?;
/// let key = "ingest/1.batch".into();
/// files.write(&key, &["one".into()], &Condition::Absent)?;
///
/// let looking = LocalFiles::open_existing(&root)?;
/// assert_eq!(looking.root(), root);
/// assert_eq!(looking.list(&"ingest".into(), None)?.objects[0].location, key);
/// let refused = looking.delete(&key).unwrap_err();
/// assert_eq!(refused.kind, StoreErrorKind::Refused);
/// LocalFiles::open_existing_to_delete(&root)?.delete(&key)?;
/// assert!(looking.list(&"ingest".into(), None)?.objects.is_empty());
/// # std::fs::remove_dir_all(root).unwrap();
/// # Ok::<(), buffer_driver::StoreFailure>(())
/// ```
#[derive(Debug)]
pub struct LocalFiles {
    root: PathBuf,
    access: Access,
    places: Places,
}

/// What a handle can be told; the defaults are right for everyone but tests.
#[derive(Clone, Copy, Debug)]
struct Options {
    left_over_age: Duration,
    hard_links: bool,
    access: Access,
}

/// What may be done in a directory; each may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Read,
    Delete,
    Write,
}

impl LocalFiles {
    /// How long a swap waits for another one of the same object before it fails as timed out.
    pub const LOCK_PATIENCE: Duration = Duration::from_secs(20);

    /// How old a temporary file without a living writer is before it is deleted.
    pub const LEFT_OVER_AGE: Duration = Duration::from_secs(5 * 60);

    const OPTIONS: Options =
        Options { left_over_age: Self::LEFT_OVER_AGE, hard_links: true, access: Access::Write };

    /// Opens a directory for reading and writing.
    ///
    /// Makes it and its parents if they are missing, and deletes what processes
    /// that died have left behind.
    ///
    /// # Errors
    ///
    /// `NoSuchStore` if the path is something else than a directory, `Denied`
    /// or `Refused` if it cannot be made, `Unsupported` on a filesystem that
    /// cannot sync a directory.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreFailure> {
        Self::open_with(root.into(), Self::OPTIONS)
    }

    /// Opens a directory for reading only: never makes, writes or locks anything.
    ///
    /// # Errors
    ///
    /// `NoSuchStore` if there is no such directory, `Denied` if it may not be looked at.
    pub fn open_existing(root: impl Into<PathBuf>) -> Result<Self, StoreFailure> {
        Self::open_with(root.into(), Options { access: Access::Read, ..Self::OPTIONS })
    }

    /// Opens a directory for reading and deleting: never makes or writes anything.
    ///
    /// # Errors
    ///
    /// As for [`LocalFiles::open_existing`].
    pub fn open_existing_to_delete(root: impl Into<PathBuf>) -> Result<Self, StoreFailure> {
        Self::open_with(root.into(), Options { access: Access::Delete, ..Self::OPTIONS })
    }

    /// As [`LocalFiles::open`], with another age for left-overs. For tests.
    #[doc(hidden)]
    pub fn open_sweeping(
        root: impl Into<PathBuf>,
        left_over_age: Duration,
    ) -> Result<Self, StoreFailure> {
        Self::open_with(root.into(), Options { left_over_age, ..Self::OPTIONS })
    }

    /// As [`LocalFiles::open`], on a filesystem that is known to have no hard links. For tests.
    #[doc(hidden)]
    pub fn open_without_hard_links(root: impl Into<PathBuf>) -> Result<Self, StoreFailure> {
        Self::open_with(root.into(), Options { hard_links: false, ..Self::OPTIONS })
    }

    fn open_with(root: PathBuf, options: Options) -> Result<Self, StoreFailure> {
        let opened = std::path::absolute(&root).and_then(|root| {
            if options.access == Access::Write {
                create_root(&root)?;
                sweep(&root.join(key::WORKSHOP), options.left_over_age);
            } else if !fs::metadata(&root)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(root)
        });
        let root = opened.map_err(|error| {
            let kind =
                if is_absence(&error) { StoreErrorKind::NoSuchStore } else { kind_of(&error) };
            StoreFailure::new(kind, FileError { step: "opening", path: root, source: error })
        })?;
        let places = Places::new(root.clone(), options.left_over_age, options.hard_links);
        Ok(Self { root, access: options.access, places })
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a whole object if `condition` holds; see [`Store::write`](crate::Store::write).
    ///
    /// # Errors
    ///
    /// `InvalidLocation` for a key that cannot be a file here, `NoSuchStore`
    /// when the directory is gone, `Refused` when the disk is full or
    /// read-only, `Denied`, `TimedOut` after [`LocalFiles::LOCK_PATIENCE`], and
    /// `Transient` for all else: the write may have happened.
    pub fn write(
        &self,
        location: &Location,
        payload: &[Bytes],
        condition: &Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        self.check_access(Access::Write)?;
        let object = key::object_path(&self.root, location)?;
        match condition {
            Condition::Absent => self.create(&object, payload),
            Condition::Version(_) if buffer_core::planted!(LocalSecondWriteFails) => {
                Err(StoreErrorKind::Transient.into())
            }
            Condition::Version(expected) => self.swap(&object, payload, expected),
        }
    }

    /// Reads a whole object; takes no lock and is never torn.
    ///
    /// What it returns is on disk, if it was written through a store like this
    /// one: a state that is still on its way is synced before it is shown.
    ///
    /// # Errors
    ///
    /// As for [`LocalFiles::write`], but for `Refused` and `TimedOut`.
    pub fn read(
        &self,
        location: &Location,
        unless: Option<&Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        let object = key::object_path(&self.root, location)?;
        Ok(match self.load(&object)? {
            None => ReadOutcome::Missing,
            Some(found) if Some(&found.version) == unless => ReadOutcome::NotModified,
            Some(found) => ReadOutcome::Found(found),
        })
    }

    /// Lists the objects whose keys begin with `prefix` and a slash, in order, one page
    /// at a time; see [`Store::list`](crate::Store::list).
    ///
    /// Only what a write could have made is listed: no links, locks and temporary files.
    ///
    /// # Errors
    ///
    /// As for [`LocalFiles::read`].
    pub fn list(
        &self,
        prefix: &Location,
        after: Option<&ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        let directory = key::object_path(&self.root, prefix)?;
        if !self.root.is_dir() {
            return Err(self.explain("listing", &directory, io::ErrorKind::NotFound.into()));
        }
        listing::page(directory.clone(), prefix, after)
            .map_err(|error| self.explain("listing", &directory, error))
    }

    /// Deletes an object that is never swapped, such as a batch. It is a success if there is none.
    ///
    /// A directory or a link under its name is left alone.
    ///
    /// # Errors
    ///
    /// As for [`LocalFiles::write`].
    pub fn delete(&self, location: &Location) -> Result<(), StoreFailure> {
        self.check_access(Access::Delete)?;
        let object = key::object_path(&self.root, location)?;
        if !self.root.is_dir() {
            return Err(self.explain("deleting", &object, io::ErrorKind::NotFound.into()));
        }
        // Where there are no hard links, making an object takes a lock, whose file is left.
        let locked = fs::symlink_metadata(key::lock_path(&object)).is_ok();
        let guard = if locked { Some(self.lock(&object)?) } else { None };
        listing::remove(&object, guard).map_err(|error| self.explain("deleting", &object, error))
    }

    fn check_access(&self, wanted: Access) -> Result<(), StoreFailure> {
        if self.access >= wanted {
            return Ok(());
        }
        let message = match self.access {
            Access::Read => "the directory was opened for reading only",
            Access::Delete | Access::Write => {
                "the directory was opened for reading and deleting only"
            }
        };
        Err(StoreFailure::new(StoreErrorKind::Refused, message))
    }

    /// Contents, version and time from one handle, once they are on disk.
    fn load(&self, object: &Path) -> Result<Option<Object>, StoreFailure> {
        let explain = |error| self.explain("reading", object, error);
        let mut file = match File::open(object) {
            Ok(file) => file,
            Err(error) if is_absence(&error) && self.root.is_dir() => return Ok(None),
            Err(error) => return Err(explain(error)),
        };
        let metadata = file.metadata().map_err(explain)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        bytes
            .try_reserve_exact(length)
            .map_err(|error| explain(io::Error::new(io::ErrorKind::OutOfMemory, error)))?;
        file.read_to_end(&mut bytes).map_err(explain)?;
        self.settle(object, &metadata)?;
        let bytes = Bytes::from(bytes);
        let version = version_of(std::iter::once(&bytes));
        Ok(Some(Object { bytes, version, last_modified: last_modified(&metadata) }))
    }

    /// Puts an object's name on disk if whoever made it may not have done so yet.
    fn settle(&self, object: &Path, metadata: &Metadata) -> Result<(), StoreFailure> {
        if link_count(metadata) < 2 {
            return Ok(());
        }
        match sync_directory(directory_of(object)) {
            // Nothing is on its way to a disk that takes no writes.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
            synced => {
                synced.map_err(|error| self.explain("syncing the directory of", object, error))
            }
        }
    }

    fn create(&self, object: &Path, payload: &[Bytes]) -> Result<WriteOutcome, StoreFailure> {
        let directory = directory_of(object);
        loop {
            let place = self.prepare(object)?;
            if !place.hard_links {
                let _guard = self.lock(object)?;
                return match fs::symlink_metadata(object) {
                    Ok(_) => self.occupied(object),
                    Err(error) if is_absence(&error) => self.replace(object, payload),
                    Err(error) => Err(self.explain("looking at", object, error)),
                };
            }
            let mut temporary = self.stage(object, &place, payload)?;
            match temporary.link_to(object) {
                Ok(()) => return self.finish(object, temporary),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return self.occupied(object);
                }
                Err(error) if self.places.learn(directory, &place, &temporary, &error) => {}
                Err(error) => return Err(self.explain("linking", object, error)),
            }
        }
    }

    /// What a create-only write says that found something under its name.
    fn occupied(&self, object: &Path) -> Result<WriteOutcome, StoreFailure> {
        match fs::metadata(object) {
            Ok(metadata) if metadata.is_file() => {
                // The caller may take this for its own earlier success.
                self.settle(object, &metadata)?;
                Ok(WriteOutcome::Conflict)
            }
            // Something that a read does not show, so a conflict would be a riddle.
            Ok(_) => Err(self.explain("making", object, io::ErrorKind::IsADirectory.into())),
            Err(_) if fs::symlink_metadata(object).is_ok_and(|found| found.is_symlink()) => {
                Err(self.explain("making", object, io::ErrorKind::NotADirectory.into()))
            }
            // Deleted again: it did exist.
            Err(error) if is_absence(&error) => Ok(WriteOutcome::Conflict),
            Err(error) => Err(self.explain("looking at", object, error)),
        }
    }

    fn swap(
        &self,
        object: &Path,
        payload: &[Bytes],
        expected: &Version,
    ) -> Result<WriteOutcome, StoreFailure> {
        match fs::symlink_metadata(object) {
            Ok(metadata) if metadata.is_file() => {}
            // Renaming onto a link would part it from what it links to.
            Ok(_) => {
                return Err(self.explain("swapping", object, io::ErrorKind::IsADirectory.into()));
            }
            Err(error) if is_absence(&error) && self.root.is_dir() => {
                return Ok(WriteOutcome::Conflict);
            }
            Err(error) => return Err(self.explain("swapping", object, error)),
        }
        let _guard = self.lock(object)?;
        // Syncs what a swapper that died may have left unsynced: once it is replaced,
        // those who have read it could not see that any more.
        match self.load(object)? {
            Some(current) if current.version == *expected => self.replace(object, payload),
            Some(_) | None => Ok(WriteOutcome::Conflict),
        }
    }

    /// Puts new contents under an object's name. The caller holds the object's lock.
    fn replace(&self, object: &Path, payload: &[Bytes]) -> Result<WriteOutcome, StoreFailure> {
        let directory = directory_of(object);
        loop {
            let place = self.prepare(object)?;
            let mut temporary = self.stage(object, &place, payload)?;
            match temporary.rename_to(object, place.hard_links) {
                Ok(()) => return self.finish(object, temporary),
                Err(error) if self.places.learn(directory, &place, &temporary, &error) => {}
                Err(error) => return Err(self.explain("renaming", object, error)),
            }
        }
    }

    /// The last step of every write: from visible to durable.
    fn finish(&self, object: &Path, temporary: Temporary) -> Result<WriteOutcome, StoreFailure> {
        match sync_directory(directory_of(object)) {
            Ok(()) => Ok(WriteOutcome::Stored(temporary.settle())),
            // Whether it is on disk nobody knows; the second link stays and says so.
            Err(error) => Err(StoreFailure::new(
                StoreErrorKind::Transient,
                FileError { step: "syncing the directory of", path: object.into(), source: error },
            )),
        }
    }

    fn prepare(&self, object: &Path) -> Result<Place, StoreFailure> {
        self.places
            .prepare(directory_of(object))
            .map_err(|error| self.explain("making the directory of", object, error))
    }

    fn stage(
        &self,
        object: &Path,
        place: &Place,
        payload: &[Bytes],
    ) -> Result<Temporary, StoreFailure> {
        Temporary::write(&place.workshop, payload).map_err(|error| {
            self.places.forget_if_gone(directory_of(object), &error);
            self.explain("writing", object, error)
        })
    }

    fn lock(&self, object: &Path) -> Result<lock::Guard, StoreFailure> {
        lock::acquire(&key::lock_path(object), Self::LOCK_PATIENCE)
            .map_err(|error| self.explain("locking", object, error))
    }

    /// Says what a failure means to whoever asked.
    fn explain(&self, step: &'static str, object: &Path, error: io::Error) -> StoreFailure {
        let kind = if error.kind() == io::ErrorKind::NotFound && !self.root.is_dir() {
            StoreErrorKind::NoSuchStore
        } else {
            kind_of(&error)
        };
        StoreFailure::new(kind, FileError { step, path: object.into(), source: error })
    }
}

/// What the operating system said, and about what.
#[derive(Debug, thiserror::Error)]
#[error("{step} {path:?}: {source}")]
struct FileError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The version of these contents: SHA-256, in lower-case hexadecimal digits.
pub(super) fn version_of<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> Version {
    let mut digest = Sha256::new();
    pieces.for_each(|piece| digest.update(piece));
    let mut hex = String::with_capacity(64);
    for byte in digest.finalize() {
        write!(hex, "{byte:02x}").expect("a string takes everything");
    }
    Version::from_e_tag(hex)
}

/// How many names a file has.
#[cfg(unix)]
pub(super) fn link_count(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

/// Elsewhere it is not told, and directories cannot be synced anyway.
#[cfg(not(unix))]
pub(super) fn link_count(_metadata: &Metadata) -> u64 {
    1
}

fn directory_of(object: &Path) -> &Path {
    object.parent().expect("an object lies below the root")
}

/// Whether there is nothing of that name, or only a file where a directory would have to be.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn last_modified(metadata: &Metadata) -> Option<UnixMillis> {
    let modified = metadata.modified().ok()?;
    let millis = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).ok()?,
        Err(error) => -i64::try_from(error.duration().as_millis()).ok()?,
    };
    Some(UnixMillis(millis))
}

/// What an error of the operating system means for a store.
fn kind_of(error: &io::Error) -> StoreErrorKind {
    use io::ErrorKind as Io;
    let kind = error.kind();
    if matches!(
        kind,
        Io::StorageFull | Io::QuotaExceeded | Io::ReadOnlyFilesystem | Io::FileTooLarge
    ) {
        StoreErrorKind::Refused
    } else if kind == Io::PermissionDenied {
        StoreErrorKind::Denied
    } else if matches!(
        kind,
        Io::InvalidFilename | Io::NotADirectory | Io::IsADirectory | Io::InvalidInput
    ) {
        StoreErrorKind::InvalidLocation
    } else if kind == Io::Unsupported {
        StoreErrorKind::Unsupported
    } else if kind == Io::TimedOut {
        StoreErrorKind::TimedOut
    } else {
        StoreErrorKind::Transient
    }
}
