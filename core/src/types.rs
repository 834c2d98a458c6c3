//! Numbers and names with a meaning.

use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;

/// A batch's place in the queue. Sequences are contiguous and never reused.
///
/// ```
/// use buffer_core::Sequence;
///
/// let last = Sequence(41);
/// assert_eq!(last.next(), Sequence(42));
/// assert_eq!(last.plus(9), Sequence(50));
/// assert_eq!(Sequence(50).distance_from(last), 9);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence `count` places further on; saturates at the last one.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The sequence right after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// How many places this is past `earlier`; zero when it is not past it.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a consumer's term; each take-over raises it.
///
/// ```
/// use buffer_core::Epoch;
///
/// assert_eq!(Epoch(1).next(), Some(Epoch(2)));
/// assert_eq!(Epoch(u64::MAX - 1).next(), None, "the last one is reserved");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// `u64::MAX` means "not initialised" to the existing implementation and is never written.
    pub const RESERVED: Self = Self(u64::MAX);

    /// The epoch of the next consumer, or `None` when only the reserved value is left.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) if next != Self::RESERVED.0 => Some(Self(next)),
            Some(_) | None => None,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A batch within one producer's life, in the order in which batches were opened.
///
/// ```
/// use buffer_core::{BatchId, Now, Producer, ProducerConfig, Submission};
///
/// let submission = || Submission { entries: vec!["an entry".into()], ..Submission::default() };
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// assert_eq!(producer.submit(Now::default(), submission())?.batch, BatchId(0));
/// assert_eq!(producer.submit(Now::default(), submission())?.batch, BatchId(0), "it is still open");
/// producer.flush(Now::default());
/// assert_eq!(producer.submit(Now::default(), submission())?.batch, BatchId(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// The key of an object in the store, exactly as it is listed: never encoded, never normalised.
///
/// ```
/// use buffer_core::Location;
///
/// let key = Location::new("ingest/ü ~.batch");
/// assert_eq!(key.as_str(), "ingest/ü ~.batch", "nothing in it is encoded");
/// assert!(key.validate().is_ok());
/// let error = Location::from("ingest/../manifest").validate().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#""ingest/../manifest" cannot be an object's key: it has a `.` or `..` segment"#
/// );
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(Arc<str>);

impl Location {
    /// The longest key that a manifest entry can hold, in bytes; see FORMAT, "Queue manifest".
    pub const MAX_LEN: usize = u16::MAX as usize;

    /// Takes a key as it is; [`Location::validate`] says whether a store may be asked for it.
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that the key names the same object in every store.
    ///
    /// # Errors
    ///
    /// [`LocationError`] for a key that is empty or too long, holds a control
    /// character, or has an empty, `.` or `..` segment (a manifest is only
    /// bytes: a hostile one must not lead out of its directory).
    pub fn validate(&self) -> Result<(), LocationError> {
        let reason = if self.0.is_empty() {
            "it is empty"
        } else if self.0.len() > Self::MAX_LEN {
            "it is longer than 65,535 bytes"
        } else if self.0.chars().any(char::is_control) {
            "it holds a control character"
        } else if self.0.split('/').any(|part| part.is_empty()) {
            "it has an empty segment"
        } else if self.0.split('/').any(|part| part == "." || part == "..") {
            "it has a `.` or `..` segment"
        } else {
            return Ok(());
        };
        Err(LocationError { location: self.clone(), reason })
    }
}

/// A key is looked up in a map of locations by its text alone.
impl Borrow<str> for Location {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Location {
    fn from(key: &str) -> Self {
        Self(key.into())
    }
}

impl From<String> for Location {
    fn from(key: String) -> Self {
        Self(key.into())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A key that no store should be asked for.
///
/// ```
/// use buffer_core::Location;
///
/// let error = Location::from("ingest//manifest").validate().unwrap_err();
/// assert_eq!(error.location.as_str(), "ingest//manifest");
/// assert_eq!(error.reason, "it has an empty segment");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location:?} cannot be an object's key: {reason}")]
pub struct LocationError {
    /// The key.
    pub location: Location,
    /// What is wrong with it.
    pub reason: &'static str,
}
