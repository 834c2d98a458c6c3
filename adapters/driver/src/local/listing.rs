//! What lies in the directory, as keys.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use buffer_core::{ListCursor, ListPage, ListedObject, Location};

use super::files::{is_absence, last_modified};
use super::key;

/// How many objects a page has at the most.
const PAGE: usize = 1000;

/// One page of the keys below `prefix`, which is the directory `path`: in order, from behind `after`.
///
/// A directory is read from its start for each page, because nothing else tells
/// where a page ended once files come and go; only a page's keys are held, and
/// only its files are looked at.
pub(super) fn page(
    path: PathBuf,
    prefix: &Location,
    after: Option<&ListCursor>,
) -> io::Result<ListPage> {
    let mut found =
        Found { after: after.map(|cursor| &*cursor.0), keys: BTreeMap::new(), more: false };
    let mut directories = vec![(path, prefix.to_string())];
    while let Some((path, key)) = directories.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            // Gone since it was found, or there never was one.
            Err(error) if is_absence(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) if is_absence(&error) => continue,
                Err(error) => return Err(error),
            };
            let name = entry.file_name();
            // What is no key's part is none of ours: locks, temporary files, names that are no text.
            let Some(name) = name.to_str().filter(|name| key::is_usable(name)) else { continue };
            found.take(kind, entry.path(), format!("{key}/{name}"), &mut directories);
        }
    }
    found.into_page()
}

/// The first keys of those behind a cursor.
struct Found<'a> {
    after: Option<&'a str>,
    keys: BTreeMap<String, PathBuf>,
    more: bool,
}

impl Found<'_> {
    fn take(
        &mut self,
        kind: FileType,
        path: PathBuf,
        key: String,
        directories: &mut Vec<(PathBuf, String)>,
    ) {
        if kind.is_dir() {
            // All keys in it begin so, and lie together in the order of keys.
            let below = format!("{key}/");
            let is_done =
                self.after.is_some_and(|after| after > &*below && !after.starts_with(&below));
            if !is_done {
                directories.push((path, key));
            }
            return;
        }
        // A link is not followed: what it leads to lies elsewhere.
        let is_object = kind.is_file() && Location::from(key.as_str()).validate().is_ok();
        if !is_object || self.after.is_some_and(|after| key.as_str() <= after) {
            return;
        }
        self.keys.insert(key, path);
        if self.keys.len() > PAGE {
            self.keys.pop_last();
            self.more = true;
        }
    }

    fn into_page(self) -> io::Result<ListPage> {
        let last = self.keys.last_key_value().filter(|_| self.more);
        let next = last.map(|(key, _)| ListCursor(key.as_str().into()));
        let mut objects = Vec::with_capacity(self.keys.len());
        for (key, path) in self.keys {
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() => objects.push(ListedObject {
                    location: Location::from(key),
                    last_modified: last_modified(&metadata),
                    bytes: Some(metadata.len()),
                }),
                // Something else by now.
                Ok(_) => {}
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ListPage { objects, next })
    }
}

/// Removes an object's file and the lock file next to it, if there is one. Says why not, if it is no file.
///
/// Nothing is synced: a deletion that a power failure takes back is made again
/// by whoever wanted it.
pub(super) fn remove(object: &Path, guard: Option<super::lock::Guard>) -> io::Result<()> {
    match fs::symlink_metadata(object) {
        Ok(metadata) if metadata.is_file() => match fs::remove_file(object) {
            Err(error) if !is_absence(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        },
        Ok(_) => return Err(io::ErrorKind::IsADirectory.into()),
        Err(error) if is_absence(&error) => {}
        Err(error) => return Err(error),
    }
    if let Some(guard) = guard {
        // Whoever waits for this lock sees that its file is gone, and makes another.
        let _ = fs::remove_file(key::lock_path(object));
        drop(guard);
    }
    Ok(())
}
