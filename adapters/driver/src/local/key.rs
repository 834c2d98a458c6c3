//! From a key to a path, and which keys have none.

use std::path::{Path, PathBuf};

use buffer_core::{Location, StoreErrorKind};

use crate::store::StoreFailure;

/// The hidden directory for temporary files.
pub(super) const WORKSHOP: &str = ".opendata-buffer";

/// What a lock file's name ends with; it begins with a dot.
const LOCK_SUFFIX: &str = ".lock";

/// The file of an object: its key's segments joined as they are.
///
/// Refuses what [`Location::validate`] refuses, and names that are ours.
pub(super) fn object_path(root: &Path, location: &Location) -> Result<PathBuf, StoreFailure> {
    location.validate()?;
    let mut path = root.to_path_buf();
    for segment in location.as_str().split('/') {
        if let Some(reason) = refusal(segment) {
            let message = format!("{location:?} cannot be a file here: {reason}");
            return Err(StoreFailure::new(StoreErrorKind::InvalidLocation, message));
        }
        path.push(segment);
    }
    Ok(path)
}

/// The lock file of an object, next to it.
pub(super) fn lock_path(object: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(object.file_name().expect("a key has a last segment"));
    name.push(LOCK_SUFFIX);
    object.with_file_name(name)
}

/// Whether a name can be a segment of a key here.
pub(super) fn is_usable(segment: &str) -> bool {
    refusal(segment).is_none()
}

/// Why a segment cannot be used, if it cannot.
fn refusal(segment: &str) -> Option<&'static str> {
    // Compared without case: some filesystems do not tell the two apart.
    let lower = segment.to_ascii_lowercase();
    if lower == WORKSHOP {
        return Some("`.opendata-buffer` holds temporary files");
    }
    if lower.starts_with('.') && lower.ends_with(LOCK_SUFFIX) {
        return Some("`.*.lock` is the name of a lock file");
    }
    if cfg!(windows) { windows_refusal(segment) } else { None }
}

/// Why Windows would take this segment for something else than a file of that name.
fn windows_refusal(segment: &str) -> Option<&'static str> {
    const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
    if segment.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) {
        return Some("it holds a character that Windows reserves");
    }
    if segment.ends_with(['.', ' ']) {
        return Some("Windows drops dots and spaces at the end of a name");
    }
    let stem = segment.split('.').next().unwrap_or(segment).trim_end().to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    if DEVICES.contains(&stem.as_str()) || port.is_some_and(|number| number.chars().count() == 1) {
        return Some("it is the name of a device on Windows");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_aliases_are_refused() {
        let hostile = [
            "a\\b", "C:x", "a:stream", "what?", "end.", "end ", "nul", "NUL.txt", "com1", "LPT9.x",
        ];
        for segment in hostile {
            assert!(windows_refusal(segment).is_some(), "{segment:?}");
        }
        for segment in ["manifest", ".hidden", "01J.batch", "comet", "com10", "a b", "~#[]%+"] {
            assert_eq!(windows_refusal(segment), None, "{segment:?}");
        }
    }

    #[test]
    fn lock_lies_next_to_its_object_under_a_name_that_is_no_key() {
        let path = lock_path(Path::new("/q/ingest/manifest"));
        assert_eq!(path, Path::new("/q/ingest/.manifest.lock"));
        assert!(refusal(".manifest.lock").is_some());
        assert!(refusal(".Manifest.LOCK").is_some());
        assert!(refusal(".Opendata-Buffer").is_some());
        assert_eq!(refusal("manifest.lock"), None);
    }
}
