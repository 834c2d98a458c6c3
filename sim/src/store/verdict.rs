//! What becomes of requests.

use std::time::Duration;

use buffer_core::StoreErrorKind;

use super::request::{Kind, Operation, Request};

/// What becomes of a request.
///
/// A write "takes effect" only if its condition holds when the store looks.
///
/// ```
/// use buffer_core::StoreErrorKind;
/// use buffer_sim::{Profile, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// // One manifest write in four takes effect, and nobody hears of it.
/// let mut random = runtime.random("faults");
/// let _rule = store.fault(move |request| {
///     if request.is_swap() && random.u8(..4) == 0 {
///         Verdict::ApplyThenFail(StoreErrorKind::Transient)
///     } else {
///         Verdict::Pass
///     }
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Pass,
    /// It never reaches the store and is never answered; only the caller's own time-out ends it.
    DropRequest,
    /// It takes effect, and is never answered.
    ApplyThenLoseReply,
    /// It takes effect, and is answered with this error.
    ApplyThenFail(StoreErrorKind),
    /// A write takes effect; its reply is lost, and what the client library sent again met the first attempt.
    ApplyThenConflict,
    /// A write has no effect, and is answered as if its condition had not held (409 from S3).
    FalseConflict,
    /// A write or a deletion is answered with an error, and takes effect only after that.
    ApplyLate {
        /// The error.
        reply: StoreErrorKind,
        /// How long after the reply the store looks.
        after: Duration,
    },
    /// A write or a deletion is served, and reaches the store once more, unseen.
    Duplicate {
        /// How long after the first answer.
        after: Duration,
    },
    /// It is served, but reaches the store this much later.
    Delay(Duration),
    /// It is served in time, but answered this much later.
    DelayReply(Duration),
    /// It is answered with this error, and had no effect.
    Fail(StoreErrorKind),
    /// The store asks for fewer requests; there was no effect.
    Throttle,
    /// A read sees what the object was this many changes ago, or as long ago as the store remembers.
    Stale(usize),
    /// A listing shows what there was this long ago, or as long ago as the store remembers.
    StaleListing(Duration),
    /// A page of a listing is odd.
    Listing(Quirk),
    /// A read finds the bits of `mask` flipped in one byte.
    Corrupt {
        /// Which byte; counting goes on at the start when it passes the end.
        offset: usize,
        /// Which bits.
        mask: u8,
    },
    /// A read finds no more than this many bytes.
    Truncate(usize),
    /// A read finds no bytes at all.
    Empty,
    /// A read finds the bytes of another object under the same prefix.
    OtherBytes,
    /// A read that names a version is answered "not modified", whatever the object is now.
    NotModifiedWrongly,
    /// A read or a listing says nothing of when objects were written.
    NoTimes,
    /// A read or a listing is wrong by this many milliseconds about when objects were written.
    WrongTimes(i64),
    /// A deletion fails for some keys, at least one, and takes effect for the others.
    Partial,
}

/// What is odd about a page of a listing.
///
/// ```
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{Profile, Quirk, SimRuntime, SimStore, Verdict};
///
/// let runtime = SimRuntime::new(1);
/// let store = SimStore::new(&runtime, Profile::S3);
/// let batches = ["queue/1.batch", "queue/2.batch", "queue/3.batch"].map(Location::from);
/// for batch in &batches {
///     store.put_raw(batch, "entries");
/// }
/// store.remove(&batches[0]); // two are left
/// let listed = |quirk| {
///     let _rule = store.fault(move |_| Verdict::Listing(quirk));
///     let page = runtime.block_on(store.list(&Location::new("queue"), None));
///     page.expect("it is answered").objects.len()
/// };
/// assert_eq!(listed(Quirk::Twice), 4);
/// assert_eq!(listed(Quirk::Missing), 1);
/// assert_eq!(listed(Quirk::Ghost), 3, "the first one is back");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Each key comes twice.
    Twice,
    /// The order is another one.
    Shuffled,
    /// One of the keys is missing.
    Missing,
    /// An object that was deleted is listed again.
    Ghost,
}

/// A kind of fault, as the store counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    DropRequest,
    LostReply,
    ApplyThenFail,
    ApplyThenConflict,
    FalseConflict,
    ApplyLate,
    Duplicate,
    Delay,
    LateReply,
    Fail,
    TimedOut,
    Denied,
    NoSuchStore,
    Refused,
    OtherError,
    Throttle,
    Stale,
    StaleListing,
    KeysTwice,
    PageShuffled,
    KeyMissing,
    KeyDeleted,
    Corrupt,
    Truncate,
    Empty,
    OtherBytes,
    NotModifiedWrongly,
    NoTimes,
    WrongTimes,
    Partial,
    HotKey,
}

macro_rules! fault_names {
    ($($fault:ident => $name:literal,)*) => {
        impl Fault {
            pub(super) const ALL: &'static [Self] = &[$(Self::$fault,)*];

            /// `"{fault}/{operation}"`.
            pub(super) const fn name(self, kind: Kind) -> &'static str {
                match self {$(
                    Self::$fault => match kind {
                        Kind::Put => concat!($name, "/put"),
                        Kind::Swap => concat!($name, "/swap"),
                        Kind::ReadManifest => concat!($name, "/read-manifest"),
                        Kind::ReadBatch => concat!($name, "/read-batch"),
                        Kind::List => concat!($name, "/list"),
                        Kind::Delete => concat!($name, "/delete"),
                    },
                )*}
            }
        }
    };
}

fault_names! {
    DropRequest => "drop-request",
    LostReply => "lost-reply",
    ApplyThenFail => "apply-then-fail",
    ApplyThenConflict => "apply-then-conflict",
    FalseConflict => "false-conflict",
    ApplyLate => "apply-late",
    Duplicate => "duplicate",
    Delay => "delay",
    LateReply => "late-reply",
    Fail => "fail",
    TimedOut => "timed-out",
    Denied => "denied",
    NoSuchStore => "no-such-store",
    Refused => "refused",
    OtherError => "other-error",
    Throttle => "throttle",
    Stale => "stale",
    StaleListing => "stale",
    KeysTwice => "keys-twice",
    PageShuffled => "page-shuffled",
    KeyMissing => "key-missing",
    KeyDeleted => "key-deleted",
    Corrupt => "corrupt",
    Truncate => "truncate",
    Empty => "empty",
    OtherBytes => "other-bytes",
    NotModifiedWrongly => "not-modified-wrongly",
    NoTimes => "no-times",
    WrongTimes => "wrong-times",
    Partial => "partial",
    HotKey => "hot-key",
}

impl Verdict {
    /// Makes sure that a rule does not think it has injected what cannot be.
    pub(super) fn assert_fits(self, request: &Request) {
        let (is_write, is_read) = (request.is_write(), request.is_read());
        let (is_list, is_delete) = match request.operation {
            Operation::Write { .. } | Operation::Read { .. } => (false, false),
            Operation::List { .. } => (true, false),
            Operation::Delete { .. } => (false, true),
        };
        let fits = match self {
            Self::Pass
            | Self::DropRequest
            | Self::ApplyThenLoseReply
            | Self::ApplyThenFail(_)
            | Self::Delay(_)
            | Self::DelayReply(_)
            | Self::Fail(_)
            | Self::Throttle => true,
            Self::ApplyThenConflict | Self::FalseConflict => is_write,
            Self::ApplyLate { .. } | Self::Duplicate { .. } => is_write || is_delete,
            Self::Stale(_)
            | Self::Corrupt { .. }
            | Self::Truncate(_)
            | Self::Empty
            | Self::OtherBytes
            | Self::NotModifiedWrongly => is_read,
            Self::StaleListing(_) | Self::Listing(_) => is_list,
            Self::NoTimes | Self::WrongTimes(_) => is_read || is_list,
            Self::Partial => is_delete,
        };
        assert!(fits, "a fault rule says {self:?} of {request}");
    }

    /// What it is counted as; `None` if it is no fault.
    pub(super) const fn fault(self) -> Option<Fault> {
        Some(match self {
            Self::Pass => return None,
            Self::DropRequest => Fault::DropRequest,
            Self::ApplyThenLoseReply => Fault::LostReply,
            Self::ApplyThenFail(_) => Fault::ApplyThenFail,
            Self::ApplyThenConflict => Fault::ApplyThenConflict,
            Self::FalseConflict => Fault::FalseConflict,
            Self::ApplyLate { .. } => Fault::ApplyLate,
            Self::Duplicate { .. } => Fault::Duplicate,
            Self::Delay(_) => Fault::Delay,
            Self::DelayReply(_) => Fault::LateReply,
            Self::Fail(kind) => match kind {
                StoreErrorKind::Transient => Fault::Fail,
                StoreErrorKind::Throttled => Fault::Throttle,
                StoreErrorKind::TimedOut => Fault::TimedOut,
                StoreErrorKind::Denied => Fault::Denied,
                StoreErrorKind::NoSuchStore => Fault::NoSuchStore,
                StoreErrorKind::Refused => Fault::Refused,
                // The kinds of errors may become more; those that have no name of their own share one.
                StoreErrorKind::Unsupported | StoreErrorKind::InvalidLocation | _ => {
                    Fault::OtherError
                }
            },
            Self::Throttle => Fault::Throttle,
            Self::Stale(_) => Fault::Stale,
            Self::StaleListing(_) => Fault::StaleListing,
            Self::Listing(Quirk::Twice) => Fault::KeysTwice,
            Self::Listing(Quirk::Shuffled) => Fault::PageShuffled,
            Self::Listing(Quirk::Missing) => Fault::KeyMissing,
            Self::Listing(Quirk::Ghost) => Fault::KeyDeleted,
            Self::Corrupt { .. } => Fault::Corrupt,
            Self::Truncate(_) => Fault::Truncate,
            Self::Empty => Fault::Empty,
            Self::OtherBytes => Fault::OtherBytes,
            Self::NotModifiedWrongly => Fault::NotModifiedWrongly,
            Self::NoTimes => Fault::NoTimes,
            Self::WrongTimes(_) => Fault::WrongTimes,
            Self::Partial => Fault::Partial,
        })
    }

    /// How much later a request arrives, and is answered.
    pub(super) const fn delays(self) -> (Duration, Duration) {
        if let Self::Delay(extra) = self {
            (extra, Duration::ZERO)
        } else if let Self::DelayReply(extra) = self {
            (Duration::ZERO, extra)
        } else {
            (Duration::ZERO, Duration::ZERO)
        }
    }

    /// How long after the answer the request reaches the store once more, or only then.
    pub(super) const fn comes_again(self) -> Option<Duration> {
        if let Self::ApplyLate { after, .. } | Self::Duplicate { after } = self {
            Some(after)
        } else {
            None
        }
    }

    /// The name under which [`SimStore::active`](crate::SimStore::active) counts this fault of a request of this kind.
    ///
    /// ```
    /// use buffer_sim::{Kind, Verdict};
    ///
    /// let lost = Verdict::ApplyThenLoseReply;
    /// assert_eq!(lost.name(Kind::Swap), Some("lost-reply/swap"));
    /// assert_eq!(lost.name(Kind::ReadBatch), Some("lost-reply/read-batch"));
    /// assert_eq!(Verdict::Pass.name(Kind::Swap), None, "it is no fault");
    /// ```
    #[must_use]
    pub const fn name(self, kind: Kind) -> Option<&'static str> {
        match self.fault() {
            Some(fault) => Some(fault.name(kind)),
            None => None,
        }
    }
}
