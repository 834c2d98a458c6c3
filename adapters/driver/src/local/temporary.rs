//! Files on their way to becoming objects, and the sweep for those that never did.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use buffer_core::Version;
use bytes::Bytes;

use super::files::{link_count, version_of};

/// Small pieces of a rope are gathered up to this; larger ones go straight to the file.
const BUFFER_BYTES: usize = 256 * 1024;

/// How often a name that is taken is replaced by another.
const NAMES: usize = 8;

/// What a temporary file's name ends with.
const SUFFIX: &str = ".tmp";

/// What the second name of a file on its way to a rename ends with.
const TWIN_SUFFIX: &str = ".swap";

/// A file whose contents are on disk and whose final name is not.
///
/// Locked while it exists, so that a sweep of another process leaves it alone.
/// Dropping it deletes it, unless it was published and not settled: then the
/// second link stays, as the sign that the final name may not be on disk.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    file: File,
    version: Version,
    names: Names,
}

/// Under which names the contents can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Temporary,
    Both,
    Final,
}

impl Temporary {
    /// Writes and syncs a new file in the directory `workshop`.
    pub(super) fn write(workshop: &Path, payload: &[Bytes]) -> io::Result<Self> {
        let version = version_of(payload.iter());
        let (path, file) = create(workshop)?;
        let temporary = Self { path, file, version, names: Names::Temporary };
        match temporary.file.try_lock() {
            Ok(()) => {}
            // No locks here, or a sweep with a wrong clock: the age has to do.
            Err(fs::TryLockError::Error(_) | fs::TryLockError::WouldBlock) => {}
        }
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, &temporary.file);
        for piece in payload {
            writer.write_all(piece)?;
        }
        writer.flush()?;
        drop(writer);
        temporary.file.sync_all()?;
        Ok(temporary)
    }

    /// Whether the filesystem that it lies on has hard links.
    pub(super) fn can_be_linked(&self) -> bool {
        let twin = self.twin();
        let linked = fs::hard_link(&self.path, &twin).is_ok();
        let _ = fs::remove_file(&twin);
        linked
    }

    /// Gives it its final name, which must be free: of all who try, one succeeds.
    pub(super) fn link_to(&mut self, object: &Path) -> io::Result<()> {
        self.before_publishing();
        match fs::hard_link(&self.path, object) {
            // A network filesystem lost the answer, asked again, and met its own link.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && link_count(&self.file.metadata()?) > 1 => {}
            Err(error) => return Err(self.in_doubt(error)),
            Ok(()) => {}
        }
        self.names = Names::Both;
        Ok(())
    }

    /// Gives it the name of an object, whose old contents lose it.
    ///
    /// `linked`: it keeps its own name as well, so that others see that the
    /// new one may not be on disk.
    pub(super) fn rename_to(&mut self, object: &Path, linked: bool) -> io::Result<()> {
        self.before_publishing();
        if !linked {
            fs::rename(&self.path, object)?;
            self.names = Names::Final;
            return Ok(());
        }
        let twin = self.twin();
        fs::hard_link(&self.path, &twin)?;
        if let Err(error) = fs::rename(&twin, object) {
            let _ = fs::remove_file(&twin);
            return Err(self.in_doubt(error));
        }
        self.names = Names::Both;
        Ok(())
    }

    /// Says that the final name is on disk, so that the other may go.
    pub(super) fn settle(mut self) -> Version {
        if self.names == Names::Both {
            self.names = Names::Temporary;
        }
        self.version.clone()
    }

    /// A call that failed may have happened all the same: then the sign must stay.
    fn in_doubt(&mut self, error: io::Error) -> io::Error {
        if self.file.metadata().map_or(true, |metadata| link_count(&metadata) > 1) {
            self.names = Names::Both;
        }
        error
    }

    fn twin(&self) -> PathBuf {
        self.path.with_extension(&TWIN_SUFFIX[1..])
    }

    /// On Windows a lock keeps readers out, and this file is about to be an object.
    fn before_publishing(&self) {
        if cfg!(windows) {
            let _ = self.file.unlock();
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.names == Names::Temporary {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a new file under a name that nobody has.
fn create(workshop: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAMES {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
        let name = format!("{}-{:016x}{SUFFIX}", std::process::id(), hasher.finish());
        let path = workshop.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// Deletes what processes that died have left in `workshop`, once it is `age` old.
///
/// What a living writer holds is locked, and a file that is not locked yet is
/// young. A failure leaves files to the next sweep and harms nobody.
pub(super) fn sweep(workshop: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(workshop) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_ours) {
            let _ = sweep_file(&entry.path(), age);
        }
    }
}

fn sweep_file(path: &Path, age: Duration) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let metadata = file.metadata()?;
    let modified = metadata.modified()?;
    let is_old = SystemTime::now().duration_since(modified).is_ok_and(|old| old >= age);
    if !is_old || file.try_lock().is_err() {
        return Ok(());
    }
    // A second link says that the other may not be on disk. Syncing the file makes its
    // links durable on the filesystems that we know, and their journals did so long ago.
    let synced = if link_count(&metadata) > 1 { file.sync_all() } else { Ok(()) };
    let removed = synced.and_then(|()| fs::remove_file(path));
    let _ = file.unlock();
    removed
}

/// Whether a file of this name was made by [`create`] or is its twin.
fn is_ours(name: &str) -> bool {
    let stem = name.strip_suffix(SUFFIX).or_else(|| name.strip_suffix(TWIN_SUFFIX));
    let Some((process, random)) = stem.and_then(|stem| stem.split_once('-')) else { return false };
    !process.is_empty()
        && process.bytes().all(|byte| byte.is_ascii_digit())
        && random.len() == 16
        && random.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_our_own_names_are_swept() {
        assert!(is_ours("4711-0123456789abcdef.tmp"));
        assert!(is_ours("4711-0123456789abcdef.swap"));
        for name in ["manifest", "notes.tmp", "-0123456789abcdef.tmp", "1-0123.tmp", "1-2.swap"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
