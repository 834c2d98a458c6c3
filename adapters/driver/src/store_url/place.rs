//! From what users write to what is opened.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::cloud::{CloudStore, Provider};
use super::location::StoreLocation;
use super::options::StoreOptions;
use super::redact;
use crate::config::ConfigError;

/// What a location and its options come down to.
///
/// ```
/// use buffer_driver::{StoreOptions, StorePlace, process_environment};
///
/// let place = StorePlace::resolve(&"memory:one".into(), &StoreOptions::new(), &process_environment)?;
/// assert!(matches!(place, StorePlace::Memory(name) if name == "one"));
/// # Ok::<(), buffer_driver::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// A directory.
    Directory(PathBuf),
    /// A store of this name in this process.
    Memory(String),
    /// A bucket.
    Cloud(CloudStore),
}

impl StorePlace {
    /// Looks at everything, and opens nothing.
    ///
    /// `environment` tells environment variables; [`process_environment`] has the process's own.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a URL that means nothing here, and for options that are wrong.
    pub fn resolve(
        location: &StoreLocation,
        options: &StoreOptions,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let place = match location {
            StoreLocation::Directory(path) => Self::Directory(path.clone()),
            StoreLocation::Url(url) => {
                let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
                let scheme = scheme.to_ascii_lowercase();
                if Provider::of_scheme(&scheme).is_some() {
                    return CloudStore::parse(url, options, environment).map(Self::Cloud);
                }
                local(location, url, &scheme, rest)?
            }
        };
        match options.iter().next() {
            None => Ok(place),
            Some((name, _)) => Err(ConfigError::StoreOption {
                option: redact::name(name).to_owned(),
                reason: format!("{location} is on this machine and takes no options"),
            }),
        }
    }
}

/// The variables of this process; one that is not UTF-8 counts as not set.
///
/// ```
/// use buffer_driver::{CloudStore, StoreOptions, process_environment};
///
/// // A service whose variables begin with its own name: QUEUE_AWS_REGION, QUEUE_AWS_ACCESS_KEY_ID, ...
/// let environment = |name: &str| process_environment(&format!("QUEUE_{name}"));
/// let store = CloudStore::parse("s3://bucket", &StoreOptions::new(), &environment)?;
/// assert_eq!(store.region(), "us-east-1", "QUEUE_AWS_REGION is not set");
/// # Ok::<(), buffer_driver::ConfigError>(())
/// ```
#[must_use]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn local(
    location: &StoreLocation,
    url: &str,
    scheme: &str,
    rest: &str,
) -> Result<StorePlace, ConfigError> {
    let unknown = |reason: &str| ConfigError::UnknownStore {
        store: location.to_string(),
        reason: reason.to_owned(),
    };
    if let Some(path) = file_url(url) {
        return path.map(StorePlace::Directory).map_err(unknown);
    }
    match scheme {
        "memory" if rest.contains(['?', '#']) => {
            Err(unknown("memory: takes a name and no options"))
        }
        "memory" => Ok(StorePlace::Memory(rest.trim_start_matches('/').to_owned())),
        "http" | "https" | "webdav" => Err(ConfigError::NoCompareAndSwap {
            store: location.to_string(),
            reason:
                "WebDAV cannot replace an object on a condition; a bucket is named s3://BUCKET, \
                 gs://BUCKET or az://CONTAINER, and its service by the option `endpoint`"
                    .to_owned(),
        }),
        _ => Err(unknown(
            "write a path, file:///PATH, memory:NAME, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX",
        )),
    }
}

/// The path in a `file:` URL, or why it has none; `None` for any other URL.
pub(super) fn file_url(url: &str) -> Option<Result<PathBuf, &'static str>> {
    let (scheme, rest) = url.split_once(':')?;
    scheme.eq_ignore_ascii_case("file").then(|| file_path(rest))
}

fn file_path(rest: &str) -> Result<PathBuf, &'static str> {
    const WRONG: &str = "a file: URL names an absolute path: file:///PATH";
    if rest.contains(['?', '#']) {
        return Err("a file: URL has no query; ? and # in a path are written %3F and %23");
    }
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
    };
    if !path.starts_with('/') {
        return Err(WRONG);
    }
    // Before a Windows drive there is a slash that is not part of the path.
    let path = if cfg!(windows) { &path[1..] } else { path };
    let path = PathBuf::from(decode_path(path)?);
    if Path::is_absolute(&path) { Ok(path) } else { Err(WRONG) }
}

#[cfg(unix)]
fn decode_path(path: &str) -> Result<OsString, &'static str> {
    use std::os::unix::ffi::OsStringExt;
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    if bytes.contains(&0) {
        return Err("a path holds no zero byte");
    }
    Ok(OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn decode_path(path: &str) -> Result<OsString, &'static str> {
    let decoded = percent_decode_str(path).decode_utf8();
    decoded.map(|path| OsString::from(&*path)).map_err(|_| "the path is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(location: &str) -> Result<StorePlace, ConfigError> {
        StorePlace::resolve(&location.into(), &StoreOptions::new(), &|_| None)
    }

    #[cfg(unix)]
    #[test]
    fn a_file_url_is_its_path() {
        for (url, path) in [
            ("file:///srv/a%20b/%C3%A9", "/srv/a b/é"),
            ("file:/srv", "/srv"),
            ("FILE://localhost/srv/", "/srv/"),
        ] {
            assert_eq!(resolve(url).ok(), Some(StorePlace::Directory(path.into())), "{url}");
        }
        for wrong in
            ["file:srv", "file://host/srv", "file:///a?b", "file:///a#b", "file:", "file:///%00"]
        {
            let error = resolve(wrong).expect_err(wrong);
            assert!(matches!(error, ConfigError::UnknownStore { .. }), "{wrong}: {error}");
        }
    }

    #[test]
    fn other_schemes_are_told_apart() {
        assert_eq!(resolve("memory:a/b").ok(), Some(StorePlace::Memory("a/b".into())));
        assert_eq!(resolve("memory:").ok(), Some(StorePlace::Memory(String::new())));
        assert!(matches!(resolve("S3://bucket"), Ok(StorePlace::Cloud(_))));
        let dav = resolve("https://name:hidden@example.org/dav");
        let Err(error @ ConfigError::NoCompareAndSwap { .. }) = dav else { panic!("{dav:?}") };
        assert!(!error.to_string().contains("hidden"), "{error}");
        assert!(error.to_string().contains("https://***@example.org/dav"), "{error}");
        assert!(matches!(resolve("ftp://host"), Err(ConfigError::UnknownStore { .. })));
    }

    #[test]
    fn a_store_on_this_machine_takes_no_options() {
        let options = StoreOptions::from_iter([("region", "x")]);
        for local in ["queue", "memory:x", "file:///srv"] {
            let error = StorePlace::resolve(&local.into(), &options, &|_| None).expect_err(local);
            assert!(error.to_string().contains("region"), "{error}");
        }
    }
}
