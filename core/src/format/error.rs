//! What can be wrong with bytes, and with what should become bytes.

use alloc::boxed::Box;
use core::fmt;

use crate::types::{Epoch, Location, Sequence};

/// Bytes that are not what they should be: which object, where in it, and why.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{Compression, decode_batch, encode_batch};
/// use bytes::Bytes;
///
/// let mut object = encode_batch([Bytes::from("hello")].iter(), Compression::None)?.concat();
/// object[0] = 9; // the first byte of the record's length
/// let key = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// let error = decode_batch(&key, &object.into(), 1024).unwrap_err();
/// assert_eq!((&error.object, error.offset), (&key, 4));
/// assert_eq!(
///     error.to_string(),
///     format!("{key} is corrupt at byte 4: a record needs 9 bytes where 5 are left")
/// );
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object} is corrupt at byte {offset}: {reason}")]
pub struct FormatError {
    /// The object's key.
    pub object: Location,
    /// Where in the object, in bytes from its start; within the decompressed
    /// records where the reason is [`FormatReason::Decompressed`].
    pub offset: u64,
    /// What was found and what would be right.
    pub reason: FormatReason,
}

/// Why bytes were refused.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{FormatReason, Manifest};
///
/// let mut object = Manifest::absent().to_rope().concat();
/// let key = Location::from("ingest/manifest");
/// let reason = |bytes: &[u8]| Manifest::parse(&key, bytes.to_vec().into()).unwrap_err().reason;
/// assert_eq!(reason(&object[1..]), FormatReason::TooShort { found: 21, needed: 22 });
///
/// // What a later version has written is refused, not guessed at.
/// object[20..].copy_from_slice(&2_u16.to_le_bytes());
/// assert_eq!(reason(&object), FormatReason::UnknownVersion { found: 2 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatReason {
    /// Not even a footer fits.
    #[error("{found} bytes are too few for a footer of {needed}")]
    TooShort {
        /// The object's length.
        found: u64,
        /// The footer's length.
        needed: u64,
    },
    /// The footer names a version that this build does not read.
    #[error("format version {found} is not one that this build reads (it reads version 1)")]
    UnknownVersion {
        /// What the footer says.
        found: u16,
    },
    /// The batch's footer names a compression that version 1 does not have.
    #[error("compression type {found} is not part of format version 1")]
    UnknownCompression {
        /// What the footer says.
        found: u8,
    },
    /// The batch is sound as far as can be told, but compressed.
    #[error("this build cannot read Zstandard: enable the feature `zstd`")]
    NoZstd,
    /// The records are not the Zstandard frames that the footer says they are,
    /// or a frame's checksum does not match.
    ///
    /// The offset is that of the first frame; where in the frames the damage
    /// is, the decompressor does not tell.
    #[error("its records do not decompress: {detail}")]
    BadZstd {
        /// What the decompressor said.
        detail: &'static str,
    },
    /// The records are larger than the reader wants to hold; raise its limit to read them.
    #[error("its records take at least {needed} bytes, over the reader's limit of {limit}")]
    RecordsTooLarge {
        /// How many bytes they take, decompressed: the least that is known.
        needed: u64,
        /// The reader's limit.
        limit: u64,
    },
    /// There is no memory for the decompressed records, though they may be within the limit.
    #[error("there is no memory for the {needed} bytes of its records")]
    NoMemory {
        /// How many bytes were asked for.
        needed: u64,
    },
    /// There are so many small records that the list of them would take more
    /// memory than the reader wants to give; raise its limit to read them.
    #[error("a list of its {count} records takes {needed} bytes, over the {allowed} left to it")]
    TooManyRecords {
        /// How many records there are.
        count: u32,
        /// How many bytes of memory the list takes.
        needed: u64,
        /// The larger of the limit and twice the object's length, less what was
        /// decompressed.
        allowed: u64,
    },
    /// A count is higher than the bytes that are there could hold.
    #[error("{field} is {count}, more than the remaining {remaining} bytes can hold")]
    CountTooHigh {
        /// Which count.
        field: Field,
        /// What it says.
        count: u32,
        /// How many bytes there are for what it counts.
        remaining: u64,
    },
    /// A field reaches past the end of what it is part of.
    #[error("{field} needs {needed} bytes where {remaining} are left")]
    Overrun {
        /// Which field.
        field: Field,
        /// Its length.
        needed: u64,
        /// How many bytes there are for it.
        remaining: u64,
    },
    /// Bytes that nothing speaks for.
    #[error("{bytes} bytes are left over after {section}")]
    LeftOver {
        /// What they follow.
        section: Section,
        /// How many there are.
        bytes: u64,
    },
    /// A batch's key is not UTF-8; the offset is that of the first byte that is not.
    #[error("a location is not UTF-8")]
    LocationNotUtf8,
    /// Two neighbours in the manifest are not neighbours in the queue.
    #[error("sequence {found} follows sequence {previous}")]
    SequenceGap {
        /// The sequence of the entry before.
        previous: Sequence,
        /// The sequence of the entry at the offset.
        found: Sequence,
    },
    /// The manifest's next sequence is not the one after its last entry.
    #[error("the next sequence is {next}, and the last entry has {last}")]
    NextSequenceMismatch {
        /// The last entry's sequence.
        last: Sequence,
        /// What the footer says comes next.
        next: Sequence,
    },
    /// A metadata item starts before the one that it follows.
    #[error("a metadata item starts at record {found}, after one that starts at {previous}")]
    StartIndexDecreases {
        /// Where the item before starts.
        previous: u32,
        /// Where this one starts.
        found: u32,
    },
    /// A metadata item starts past the end of its batch.
    #[error("metadata item {item} starts at record {found} of a batch that has {records}")]
    StartIndexPastEnd {
        /// Which item, counted from 0.
        item: usize,
        /// Where it starts.
        found: u32,
        /// How many records there are.
        records: u64,
    },
    /// What is wrong is inside the decompressed records, and the offset counts from their start.
    #[error("(counted in the decompressed records) {0}")]
    Decompressed(Box<Self>),
}

/// A field of an object; see FORMAT for where each stands.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{Field, FormatReason, Manifest};
///
/// // The footer of a manifest that is said to have five entries, of which there is none.
/// let mut object = Manifest::absent().to_rope().concat();
/// object[0] = 5;
/// let error = Manifest::parse(&Location::from("ingest/manifest"), object.into()).unwrap_err();
/// let FormatReason::CountTooHigh { field, count, .. } = error.reason else {
///     unreachable!("{error}");
/// };
/// assert_eq!((field, count), (Field::EntryCount, 5));
/// assert_eq!(field.to_string(), "entry_count", "as FORMAT names it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Field {
    /// What stands at the end of an object and says how to read the rest.
    Footer,
    /// Of a batch: how many records it holds.
    RecordCount,
    /// Of a record: how long it is.
    RecordLength,
    /// Of a record: its bytes.
    Record,
    /// Of a manifest: how many entries it holds.
    EntryCount,
    /// Of a manifest entry: how many bytes follow.
    EntryLength,
    /// Of a manifest: all that its length speaks for.
    Entry,
    /// Of a manifest entry: its place in the queue.
    EntrySequence,
    /// Of a manifest entry: how long the batch's key is.
    LocationLength,
    /// Of a manifest entry: the batch's key.
    Location,
    /// Of a manifest entry: how many metadata items it has.
    MetadataCount,
    /// Of a metadata item: the first record that it covers.
    StartIndex,
    /// Of a metadata item: when its entries were submitted.
    IngestionTime,
    /// Of a metadata item: how long its payload is.
    PayloadLength,
    /// Of a metadata item: its payload.
    Payload,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Footer => "footer",
            Self::RecordCount => "record_count",
            Self::RecordLength => "a record's length",
            Self::Record => "a record",
            Self::EntryCount => "entry_count",
            Self::EntryLength => "entry_len",
            Self::Entry => "an entry",
            Self::EntrySequence => "an entry's sequence",
            Self::LocationLength => "location_len",
            Self::Location => "a location",
            Self::MetadataCount => "metadata_count",
            Self::StartIndex => "start_index",
            Self::IngestionTime => "ingestion_time_ms",
            Self::PayloadLength => "payload_len",
            Self::Payload => "a payload",
        })
    }
}

/// A run of fields that ends where its count or its length says.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{Compression, FormatReason, Section, decode_batch, encode_batch};
/// use bytes::Bytes;
///
/// let records = [Bytes::from("hello"), Bytes::from("world")];
/// let mut object = encode_batch(records.iter(), Compression::None)?.concat();
/// let count_at = object.len() - 6;
/// object[count_at] = 1; // of the two records
/// let key = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// let error = decode_batch(&key, &object.into(), 1024).unwrap_err();
/// assert_eq!(error.reason, FormatReason::LeftOver { section: Section::Records, bytes: 9 });
/// assert_eq!(error.reason.to_string(), "9 bytes are left over after the last record");
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Section {
    /// The records of a batch.
    Records,
    /// The entries of a manifest.
    Entries,
    /// The metadata items of a manifest entry.
    Metadata,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "the last record",
            Self::Entries => "the last entry",
            Self::Metadata => "the last metadata item",
        })
    }
}

/// Something that format version 1 cannot hold.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{EncodeError, Manifest, NewEntry};
///
/// let location = Location::from("x".repeat(70_000));
/// let entry = NewEntry { location: &location, metadata: &[] };
/// let error = Manifest::absent().append(&[entry]).unwrap_err();
/// assert_eq!(error, EncodeError::LocationTooLong { len: 70_000 });
/// assert_eq!(
///     error.to_string(),
///     "a location has 70000 bytes, and a manifest entry holds at most 65535"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Compressed batches were asked for in a build that cannot write them.
    #[error("this build cannot compress: enable the feature `zstd`")]
    NoZstd,
    /// The compressor gave up, which it only does when it gets no memory.
    #[error("the records do not compress: {detail}")]
    Zstd {
        /// What it said.
        detail: &'static str,
    },
    /// A record is longer than 4,294,967,295 bytes; split it.
    #[error("record {index} has {len} bytes, and a record has at most 4294967295")]
    RecordTooLong {
        /// Which record, counted from 0.
        index: u32,
        /// Its length in bytes.
        len: u64,
    },
    /// There are more than 4,294,967,295 records; spread them over several batches.
    #[error("a batch has at most 4294967295 records")]
    TooManyRecords,
    /// A batch's key is longer than 65,535 bytes; shorten the prefix.
    #[error("a location has {len} bytes, and a manifest entry holds at most 65535")]
    LocationTooLong {
        /// Its length in bytes.
        len: u64,
    },
    /// The metadata of one batch takes 4 GiB or more; make smaller batches.
    #[error("a manifest entry takes {len} bytes after its length, which is at most 4294967295")]
    EntryTooLong {
        /// What its length would have to say.
        len: u64,
    },
    /// A metadata item starts before the one that it follows.
    #[error("a metadata item starts at record {found}, after one that starts at {previous}")]
    StartIndexDecreases {
        /// Where the item before starts.
        previous: u32,
        /// Where this one starts.
        found: u32,
    },
    /// The manifest would list more than 4,294,967,295 batches; the consumer is that far behind.
    #[error("a manifest has at most 4294967295 entries")]
    TooManyEntries,
    /// The queue has used up its sequences.
    #[error("there is no sequence left after {last}")]
    SequencesExhausted {
        /// The next sequence before the entries that do not fit.
        last: Sequence,
    },
}

/// How two readings of one manifest contradict each other.
///
/// ```
/// use buffer_core::format::{Disagreement, Manifest, NewEntry};
/// use buffer_core::{Location, Sequence};
///
/// let location = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// let entry = NewEntry { location: &location, metadata: &[] };
/// let backup = Manifest::absent().append(&[entry])?;
/// let seen = backup.append(&[entry])?;
/// let error = backup.check_follows(&seen).unwrap_err();
/// assert_eq!(error, Disagreement::SequenceWentBack { before: Sequence(2), now: Sequence(1) });
/// assert_eq!(error.to_string(), "its next sequence went back from 2 to 1");
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// `next_sequence` is lower than it was.
    #[error("its next sequence went back from {before} to {now}")]
    SequenceWentBack {
        /// What it was.
        before: Sequence,
        /// What it is.
        now: Sequence,
    },
    /// The first sequence is lower than it was: dequeued entries are back.
    #[error("its first sequence went back from {before} to {now}")]
    FirstWentBack {
        /// What it was.
        before: Sequence,
        /// What it is.
        now: Sequence,
    },
    /// The epoch is lower than it was.
    #[error("its epoch went back from {before} to {now}")]
    EpochWentBack {
        /// What it was.
        before: Epoch,
        /// What it is.
        now: Epoch,
    },
    /// A sequence that both list names different batches.
    #[error("sequence {sequence} named another batch before")]
    EntryChanged {
        /// The first such sequence.
        sequence: Sequence,
    },
}
