//! Where a queue is kept, as users write it.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{place, redact};

/// Where a queue is kept: a directory, or a URL that the adapter understands.
///
/// Written as one string: what has a scheme (`memory:`, `file:///srv/queue`,
/// `s3://bucket/prefix`) is a URL, anything else a path.
///
/// `Display` and `Debug` are for people and logs: they put `***` for what may be a
/// secret in a URL. `String::from` and serialisation keep the whole.
///
/// ```
/// use buffer_driver::StoreLocation;
///
/// assert_eq!("/srv/queue".parse(), Ok(StoreLocation::Directory("/srv/queue".into())));
/// assert_eq!("memory:".parse(), Ok(StoreLocation::Url("memory:".into())));
/// assert_eq!(StoreLocation::default(), StoreLocation::Directory(".data".into()));
///
/// let bucket = StoreLocation::from("s3://bucket/queue?region=eu-west-1&secret_access_key=abc");
/// assert_eq!(bucket.to_string(), "s3://bucket/queue?region=eu-west-1&secret_access_key=***");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum StoreLocation {
    /// A directory on this machine; it is created when it is not there.
    Directory(PathBuf),
    /// Anything else.
    Url(String),
}

impl StoreLocation {
    /// The directory that this names, by its path or by a `file:` URL; `None` for every other store.
    ///
    /// ```
    /// use buffer_driver::StoreLocation;
    ///
    /// let directory = |location| StoreLocation::from(location).directory();
    /// assert_eq!(directory("queues/one"), Some("queues/one".into()));
    /// # #[cfg(unix)]
    /// assert_eq!(directory("file:///srv/my%20queue"), Some("/srv/my queue".into()));
    /// assert_eq!(directory("s3://bucket/queues/one"), None);
    /// ```
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(path) => Some(path.clone()),
            Self::Url(url) => place::file_url(url)?.ok(),
        }
    }
}

impl Default for StoreLocation {
    /// The directory `.data`, for producers and consumers alike.
    fn default() -> Self {
        Self::Directory(PathBuf::from(".data"))
    }
}

impl From<String> for StoreLocation {
    fn from(text: String) -> Self {
        // One letter before the colon is a Windows drive.
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        let is_url = scheme.is_some_and(|scheme| {
            scheme.len() > 1
                && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
        if is_url { Self::Url(text) } else { Self::Directory(PathBuf::from(text)) }
    }
}

impl From<&str> for StoreLocation {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl FromStr for StoreLocation {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

impl From<StoreLocation> for String {
    /// The whole, secrets included.
    fn from(store: StoreLocation) -> Self {
        match store {
            StoreLocation::Directory(path) => path.display().to_string(),
            StoreLocation::Url(url) => url,
        }
    }
}

impl From<PathBuf> for StoreLocation {
    fn from(path: PathBuf) -> Self {
        Self::Directory(path)
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Url(url) => redact::url(url).fmt(f),
        }
    }
}

impl fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Url(url) => f.debug_tuple("Url").field(&redact::url(url)).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_letter_is_no_scheme() {
        assert_eq!(StoreLocation::from("C:\\queue"), StoreLocation::Directory("C:\\queue".into()));
        assert_eq!(StoreLocation::from("s3://b/p"), StoreLocation::Url("s3://b/p".into()));
        assert_eq!(StoreLocation::from("./a:b"), StoreLocation::Directory("./a:b".into()));
    }

    #[test]
    fn secrets_are_shown_to_nobody_and_kept_in_files() {
        let text = "s3://id:pass@bucket/p?secret_access_key=hidden";
        let location = StoreLocation::from(text);
        let shown = format!("{location} {location:?} {location:#?}");
        assert!(!shown.contains("pass") && !shown.contains("hidden"), "{shown}");
        assert_eq!(String::from(location.clone()), text);
        let json = serde_json::to_string(&location).expect("it is a string");
        assert_eq!(json, format!("{text:?}"));
        let read: StoreLocation = serde_json::from_str(&json).expect("it was just written");
        assert_eq!(read, location);
    }
}
