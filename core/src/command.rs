//! Commands, and the reply slips that they carry.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use bytes::Bytes;

use crate::format::{self, Codec, Compression, EncodeError, FormatError};
use crate::store::{
    Condition, ListCursor, ListPage, ReadOutcome, Rope, StoreError, Version, WriteOutcome,
};
use crate::types::{BatchId, Location};

/// Names one command of one machine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(u64);

/// Hands out command ids from a start of its own, so that a completion given to the wrong machine fits none of its commands.
#[derive(Debug)]
pub(crate) struct CommandIds {
    next: u64,
}

impl CommandIds {
    pub(crate) fn starting_at(seed: u64) -> Self {
        Self { next: seed }
    }

    pub(crate) fn ticket<R>(&mut self) -> (CommandId, Ticket<R>) {
        let id = CommandId(self.next);
        self.next = self.next.wrapping_add(1);
        (id, Ticket { id, reply: PhantomData })
    }
}

/// The reply slip of one command: used once, with a result of the one type that fits.
///
/// A second answer, and one of another type, do not compile:
///
/// ```compile_fail,E0382
/// fn twice(read: buffer_core::ReadManifest) {
///     let first = read.ticket.complete(Ok(buffer_core::ReadOutcome::Missing));
///     let second = read.ticket.complete(Ok(buffer_core::ReadOutcome::Missing));
/// }
/// ```
///
/// ```compile_fail,E0308
/// fn of_another_type(read: buffer_core::ReadManifest) {
///     read.ticket.complete(Ok(buffer_core::WriteOutcome::Conflict));
/// }
/// ```
#[must_use = "a command whose ticket is dropped is never answered"]
pub struct Ticket<R> {
    id: CommandId,
    reply: PhantomData<fn(R)>,
}

impl<R> Ticket<R> {
    /// The command that this answers; for logs and traces.
    #[must_use]
    pub const fn id(&self) -> CommandId {
        self.id
    }
}

impl<R> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.id.0)
    }
}

/// A result on its way back to the machine that asked.
#[derive(Debug)]
pub struct Completion {
    pub(crate) id: CommandId,
    pub(crate) reply: Reply,
}

/// What a command came to, by kind.
#[derive(Debug)]
pub(crate) enum Reply {
    Write(Result<WriteOutcome, StoreError>),
    Read(Result<ReadOutcome, StoreError>),
    Listed(Result<ListPage, StoreError>),
    Deleted(Vec<Result<(), StoreError>>),
    Encoded(Result<EncodedBatch, EncodeError>),
    Decoded(Result<Vec<Bytes>, FormatError>),
}

macro_rules! tickets {
    ($($result:ty => $variant:ident),* $(,)?) => {$(
        impl Ticket<$result> {
            /// Answers the command.
            pub fn complete(self, result: $result) -> Completion {
                Completion { id: self.id, reply: Reply::$variant(result) }
            }
        }
    )*};
}

tickets! {
    Result<WriteOutcome, StoreError> => Write,
    Result<ReadOutcome, StoreError> => Read,
    Result<ListPage, StoreError> => Listed,
    Vec<Result<(), StoreError>> => Deleted,
    Result<EncodedBatch, EncodeError> => Encoded,
    Result<Vec<Bytes>, FormatError> => Decoded,
}

/// Something for the host to do. Exhaustive: a new command must break every host.
#[derive(Debug)]
pub enum Command {
    /// Write a new batch object.
    PutBatch(PutBatch),
    /// Read the manifest.
    ReadManifest(ReadManifest),
    /// Write the manifest if it is still what it was.
    CasManifest(CasManifest),
    /// Read a batch object.
    ReadBatch(ReadBatch),
    /// List the objects under a prefix, one page at a time.
    ListBatches(ListBatches),
    /// Delete batch objects.
    DeleteBatches(DeleteBatches),
    /// Turn entries into a batch object's bytes.
    Encode(Encode),
    /// Turn a batch object's bytes into entries.
    Decode(Decode),
}

/// Writes an object that must not exist yet. See [`Command::PutBatch`].
#[derive(Debug)]
pub struct PutBatch {
    /// The batch, as [`ProducerEvent::Settled`](crate::ProducerEvent::Settled) names it later.
    pub batch: BatchId,
    /// Its key, never used before.
    pub location: Location,
    /// Its bytes.
    pub payload: Rope,
    /// When to give up waiting, counted from the start; the result is then [`StoreErrorKind::TimedOut`](crate::StoreErrorKind::TimedOut).
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<WriteOutcome, StoreError>>,
}

/// Reads the manifest. See [`Command::ReadManifest`].
#[derive(Debug)]
pub struct ReadManifest {
    /// Its key.
    pub location: Location,
    /// Answer [`ReadOutcome::NotModified`] if it is still at this version.
    pub unless: Option<Version>,
    /// When to give up waiting.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<ReadOutcome, StoreError>>,
}

/// Writes the manifest on a condition. See [`Command::CasManifest`].
#[derive(Debug)]
pub struct CasManifest {
    /// Its key.
    pub location: Location,
    /// What it must still be.
    pub condition: Condition,
    /// Its new bytes.
    pub payload: Rope,
    /// When to give up waiting; the outcome is then unknown.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<WriteOutcome, StoreError>>,
}

/// Reads a batch object. See [`Command::ReadBatch`].
#[derive(Debug)]
pub struct ReadBatch {
    /// Its key, as the manifest lists it.
    pub location: Location,
    /// When to give up waiting.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<ReadOutcome, StoreError>>,
}

/// Lists the objects whose keys begin with a prefix and a slash. See [`Command::ListBatches`].
#[derive(Debug)]
pub struct ListBatches {
    /// What comes before the slash.
    pub prefix: Location,
    /// Where an earlier page ended; `None` begins.
    pub after: Option<ListCursor>,
    /// When to give up waiting.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<ListPage, StoreError>>,
}

/// Deletes objects. See [`Command::DeleteBatches`].
#[derive(Debug)]
pub struct DeleteBatches {
    /// Their keys.
    pub locations: Vec<Location>,
    /// When to give up waiting; what was not answered by then is unknown.
    pub timeout: Duration,
    /// The reply slip: one result for each key, in their order. Deleting what is gone is a success.
    pub ticket: Ticket<Vec<Result<(), StoreError>>>,
}

/// A batch object's bytes, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBatch {
    /// The bytes, in pieces.
    pub payload: Rope,
}

/// CPU work: builds a batch object. See [`Command::Encode`].
#[derive(Debug)]
pub struct Encode {
    pub(crate) batch: BatchId,
    pub(crate) submissions: Vec<Vec<Bytes>>,
    pub(crate) compression: Compression,
    pub(crate) bytes: usize,
    pub(crate) ticket: Ticket<Result<EncodedBatch, EncodeError>>,
}

impl Encode {
    /// The batch, as [`ProducerEvent::Settled`](crate::ProducerEvent::Settled) names it later.
    #[must_use]
    pub const fn batch(&self) -> BatchId {
        self.batch
    }

    /// How many bytes go in: whether to run this where it stands or off the loop.
    #[must_use]
    pub const fn input_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the bytes are also to be compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compression != Compression::None
    }

    /// Does the work, with any codec: see [`Codec`].
    pub fn run(self, codec: &mut Codec) -> Completion {
        let result = codec.encode_submissions(self.submissions, self.compression);
        self.ticket.complete(result.map(|payload| EncodedBatch { payload }))
    }
}

/// CPU work: opens a batch object. See [`Command::Decode`].
#[derive(Debug)]
pub struct Decode {
    pub(crate) location: Location,
    pub(crate) bytes: Bytes,
    pub(crate) limit: usize,
    pub(crate) ticket: Ticket<Result<Vec<Bytes>, FormatError>>,
}

impl Decode {
    /// How many bytes go in: whether to run this where it stands or off the loop.
    #[must_use]
    pub fn input_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the bytes say that they are compressed, and so will be more.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        format::is_compressed(&self.bytes)
    }

    /// Does the work, with any codec: see [`Codec`].
    pub fn run(self, codec: &mut Codec) -> Completion {
        let result = codec.decode_batch(&self.location, &self.bytes, self.limit);
        self.ticket.complete(result)
    }
}
