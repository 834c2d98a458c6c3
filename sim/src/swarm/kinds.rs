//! The kinds of request faults, and which requests can have them.

use crate::Kind;
use crate::Kind::{Delete, List, Put, ReadBatch, ReadManifest, Swap};

/// A collector sends few requests: what befalls them must be drawn more often.
pub(crate) const fn is_of_collector(kind: Kind) -> bool {
    matches!(kind, List | Delete)
}

/// What can befall a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// It is lost on its way.
    Drop,
    /// It takes effect, and its reply is lost.
    LoseReply,
    /// It takes effect, and is answered with an error: 500 after apply.
    FailAfter,
    /// It takes effect, and the client library meets it when it sends it again.
    OwnConflict,
    /// It has no effect, and is answered with a conflict: 409.
    FalseConflict,
    /// It takes effect after its sender gave up, retried, crashed or was fenced.
    Late,
    /// It arrives twice.
    Duplicate,
    /// It arrives late: the slow tail.
    Delay,
    /// Its reply comes late, after the client's time-out.
    LateReply,
    /// 500 before apply.
    Fail,
    /// 429 or 503.
    Throttle,
    /// The connection breaks, or the client's own time-out comes first.
    TimeOut,
    Denied,
    /// The past is read.
    Stale,
    /// 304 for an old version.
    WrongNotModified,
    /// One byte is another.
    Corrupt,
    Truncate,
    Empty,
    /// Another batch's bytes under the right key.
    OtherBytes,
    /// A delete fails in part.
    Partial,
    KeysTwice,
    Shuffled,
    /// A key that was there all the time is not in it.
    KeyMissing,
    /// A key that is gone is in it.
    KeyDeleted,
    /// The store tells no times.
    NoTimes,
}

/// Which requests can have what; each pair is a fault by itself, on or off in a seed.
pub(crate) const TABLE: &[(Trouble, &[Kind])] = &[
    (Trouble::Drop, &Kind::ALL),
    (Trouble::LoseReply, &[Put, Swap, Delete]),
    (Trouble::FailAfter, &[Put, Swap, Delete]),
    (Trouble::OwnConflict, &[Put, Swap]),
    (Trouble::FalseConflict, &[Put, Swap]),
    (Trouble::Late, &[Put, Swap, Delete]),
    (Trouble::Duplicate, &[Put, Swap, Delete]),
    (Trouble::Delay, &Kind::ALL),
    (Trouble::LateReply, &Kind::ALL),
    (Trouble::Fail, &Kind::ALL),
    (Trouble::Throttle, &Kind::ALL),
    (Trouble::TimeOut, &Kind::ALL),
    (Trouble::Denied, &Kind::ALL),
    (Trouble::Stale, &[ReadManifest, ReadBatch, List]),
    (Trouble::WrongNotModified, &[ReadManifest]),
    (Trouble::Corrupt, &[ReadManifest, ReadBatch]),
    (Trouble::Truncate, &[ReadManifest, ReadBatch]),
    (Trouble::Empty, &[ReadManifest, ReadBatch]),
    (Trouble::OtherBytes, &[ReadBatch]),
    (Trouble::Partial, &[Delete]),
    (Trouble::KeysTwice, &[List]),
    (Trouble::Shuffled, &[List]),
    (Trouble::KeyMissing, &[List]),
    (Trouble::KeyDeleted, &[List]),
    (Trouble::NoTimes, &[ReadManifest, List]),
];
