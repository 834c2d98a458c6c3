//! Directories: made durably, and remembered.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::key::WORKSHOP;
use super::temporary::{self, Temporary};

/// How many directories are remembered; past it, all are forgotten and looked at again.
const REMEMBERED: usize = 1024;

/// How objects are written in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where temporary files lie, on the same filesystem.
    pub(super) workshop: PathBuf,
    /// Whether its filesystem has hard links.
    pub(super) hard_links: bool,
}

/// The directories below one root that this handle has written to.
#[derive(Debug)]
pub(super) struct Places {
    root: PathBuf,
    /// Whether the first guess is that hard links work.
    hard_links: bool,
    left_over_age: Duration,
    known: Mutex<HashMap<PathBuf, Place>>,
}

impl Places {
    pub(super) fn new(root: PathBuf, left_over_age: Duration, hard_links: bool) -> Self {
        Self { root, hard_links, left_over_age, known: Mutex::default() }
    }

    /// Makes sure that `directory` exists, and that it and all above it are on disk.
    ///
    /// Never makes the root: a queue that was deleted must not come back empty.
    pub(super) fn prepare(&self, directory: &Path) -> io::Result<Place> {
        if let Some(place) = self.known().get(directory) {
            return Ok(place.clone());
        }
        let below = directory.strip_prefix(&self.root).expect("a key lies below the root");
        let mut path = self.root.clone();
        for segment in below {
            let parent = path.clone();
            path.push(segment);
            create_directory(&path)?;
            // Also when it was there: another process may have made it this instant.
            sync_directory(&parent)?;
        }
        let workshop = self.root.join(WORKSHOP);
        create_directory(&workshop)?;
        let place = Place { workshop, hard_links: self.hard_links };
        self.remember(directory, place.clone());
        Ok(place)
    }

    /// Draws the conclusion from a link or rename that failed.
    ///
    /// Says whether there is another way to try; there are two conclusions, so
    /// a caller that tries again does so at most twice.
    pub(super) fn learn(
        &self,
        directory: &Path,
        place: &Place,
        temporary: &Temporary,
        error: &io::Error,
    ) -> bool {
        let own_workshop = directory.join(WORKSHOP);
        if error.kind() == io::ErrorKind::CrossesDevices && place.workshop != own_workshop {
            if create_directory(&own_workshop).is_err() {
                return false;
            }
            temporary::sweep(&own_workshop, self.left_over_age);
            self.remember(directory, Place { workshop: own_workshop, ..place.clone() });
            return true;
        }
        // The same error comes from a directory that may not be changed. Had one process
        // concluded from it what others had not, create-only would have two winners.
        if may_lack_hard_links(error) && place.hard_links && !temporary.can_be_linked() {
            self.remember(directory, Place { hard_links: false, ..place.clone() });
            return true;
        }
        self.forget_if_gone(directory, error);
        false
    }

    /// Forgets a directory that somebody seems to have deleted; the next write makes it again.
    pub(super) fn forget_if_gone(&self, directory: &Path, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            self.known().remove(directory);
        }
    }

    fn remember(&self, directory: &Path, place: Place) {
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(directory.to_path_buf(), place);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Place>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the root and what is missing above it, and syncs all of it.
pub(super) fn create_root(root: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut path = root;
    while !path.try_exists()? {
        missing.push(path);
        path = path.parent().ok_or(io::ErrorKind::NotFound)?;
    }
    for path in missing.into_iter().rev() {
        create_directory(path)?;
        if let Some(parent) = path.parent() {
            sync_directory(parent)?;
        }
    }
    if !fs::metadata(root)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // Fails here, and not at the first write, where directories cannot be synced.
    sync_directory(root)?;
    sync_above(root);
    Ok(())
}

/// Syncs what is above an existing root as far as that is possible and our business:
/// another process may have made it this instant.
fn sync_above(root: &Path) {
    let Ok(root) = root.canonicalize() else { return };
    let device = device(&root);
    for path in root.ancestors().skip(1).take_while(|path| self::device(path) == device) {
        let _ = sync_directory(path);
    }
}

#[cfg(unix)]
fn device(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| metadata.dev())
}

#[cfg(not(unix))]
fn device(_path: &Path) -> Option<u64> {
    None
}

/// Makes one directory; it may be there already.
fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Puts the names in a directory on disk.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Elsewhere there is no such call; the filesystem's journal has to do.
#[cfg(not(unix))]
pub(super) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether this is what a filesystem without hard links says to one.
fn may_lack_hard_links(error: &io::Error) -> bool {
    /// `EPERM` on Unix, `ERROR_INVALID_FUNCTION` on Windows.
    const NOT_POSSIBLE: i32 = 1;
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(NOT_POSSIBLE)
}
