//! The lock that makes a swap exclusive.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_micros(30), Duration::from_millis(1));

/// How often a lock file may be replaced under us before that is an error.
const REPLACEMENTS: usize = 16;

/// Held until it is dropped. The operating system frees it when the process dies.
#[derive(Debug)]
pub(super) struct Guard {
    file: File,
}

/// Takes the lock at `path`, making the file if it is missing.
///
/// Excludes other processes and other handles of this one alike. Gives up
/// after `patience` with [`io::ErrorKind::TimedOut`]: whoever holds it may be
/// stopped, and a thread must not wait for ever.
pub(super) fn acquire(path: &Path, patience: Duration) -> io::Result<Guard> {
    let deadline = Instant::now() + patience;
    for _ in 0..REPLACEMENTS {
        let file = open(path)?;
        wait(&file, deadline)?;
        let guard = Guard { file };
        // 1. We open the file. 2. An operator deletes it. 3. Another process makes it
        // anew. 4. Both hold "the" lock.
        if is_still_at(&guard.file, path)? {
            return Ok(guard);
        }
    }
    Err(io::Error::other("the lock file is being replaced all the time"))
}

fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    match opened {
        // Made by another user: a local lock needs no right to write.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            File::open(path).map_err(|_| error)
        }
        opened => opened,
    }
}

/// Tries again and again: a blocking wait could not be given up.
fn wait(file: &File, deadline: Instant) -> io::Result<()> {
    let (mut pause, longest) = PAUSES;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(error);
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another process holds the lock and does not let go",
            ));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Elsewhere a file that is open is not replaced.
#[cfg(not(unix))]
fn is_still_at(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Said in so many words: a child that another thread is just forking has a
        // copy of the handle, so closing ours would not free the lock yet.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_handles_of_one_process_exclude_each_other() {
        let path = std::env::temp_dir().join(format!("buffer-lock-{}", std::process::id()));
        let held = acquire(&path, Duration::ZERO).expect("nobody holds it");
        let refused = acquire(&path, Duration::from_millis(5)).expect_err("it is held");
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        drop(held);
        acquire(&path, Duration::ZERO).expect("it was let go");
        std::fs::remove_file(&path).expect("it exists");
    }

    /// Goal: a lock on a file that nobody else will find is no lock.
    #[cfg(unix)]
    #[test]
    fn lock_file_that_was_replaced_while_waiting_does_not_count() {
        let path = std::env::temp_dir().join(format!("buffer-relock-{}", std::process::id()));
        let first = acquire(&path, Duration::ZERO).expect("nobody holds it");
        thread::scope(|scope| {
            let waiter = scope.spawn(|| acquire(&path, Duration::from_millis(400)));
            thread::sleep(Duration::from_millis(100));
            std::fs::remove_file(&path).expect("it exists");
            let second = acquire(&path, Duration::ZERO).expect("it is a new file");
            drop(first);
            let waited = waiter.join().expect("the waiter does not panic");
            assert_eq!(waited.expect_err("it is held").kind(), io::ErrorKind::TimedOut);
            drop(second);
        });
        std::fs::remove_file(&path).expect("it exists");
    }
}
