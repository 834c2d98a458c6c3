//! Data batches; see FORMAT, "Data batch".

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::mem;

use bytes::Bytes;

use super::codec::Codec;
use super::error::{EncodeError, Field, FormatError, FormatReason, Section};
use super::reader::{Fault, Reader, check_count};
use super::{VERSION, zstd};
use crate::store::Rope;
use crate::types::Location;

/// How a batch's records are compressed; see FORMAT, "Data batch".
///
/// ```
/// use buffer_core::format::{Compression, decode_batch, encode_batch};
/// use buffer_core::{Location, rope_len};
/// use bytes::Bytes;
///
/// let records = [Bytes::from(vec![b'x'; 10_000])];
/// let plain = encode_batch(records.iter(), Compression::None)?;
/// let packed = encode_batch(records.iter(), Compression::Zstd)?;
/// assert!(rope_len(&plain) > 10_000 && rope_len(&packed) < 100);
///
/// // A batch says itself how it is compressed.
/// let key = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// for object in [plain, packed] {
///     assert_eq!(decode_batch(&key, &object.concat().into(), 1 << 20)?, records);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Zstandard, level 3, with a checksum. Needs the feature `zstd`.
    Zstd,
}

impl Compression {
    const fn to_byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zstd => 1,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Zstd),
            2.. => None,
        }
    }
}

/// The length of a batch's footer, in bytes.
pub(super) const FOOTER_LEN: usize = 7;

/// The length of the number before each record, in bytes.
pub(super) const LENGTH_LEN: usize = 4;

/// Records shorter than this are copied together; a longer one costs less as a
/// piece of its own.
pub(super) const COPY_BELOW: usize = 4096;

/// Copied records come in pieces of at most this length: an allocator makes them of what it got back from other uses,
/// where larger ones would each want memory of their own beside it, and records can be let go while those after them
/// are copied.
const CHUNK_LEN: usize = 64 << 10;

/// A reader always has this many bytes for its list of records, however small
/// its limit and the object are.
const LIST_FLOOR: u64 = 4096;

/// Whether a batch object says that its records are compressed; nothing else of it is checked.
pub(crate) fn is_compressed(bytes: &[u8]) -> bool {
    let compression_type = bytes.len().checked_sub(FOOTER_LEN).and_then(|at| bytes.get(at));
    compression_type.is_some_and(|byte| *byte != Compression::None.to_byte())
}

/// Turns records into a batch object; see [`Codec::encode_batch`], which spares what this makes anew each time.
///
/// ```
/// use buffer_core::format::{Compression, decode_batch, encode_batch};
/// use bytes::Bytes;
///
/// let records = ["one", "two"].map(Bytes::from);
/// let object = encode_batch(records.iter(), Compression::None)?.concat();
/// assert_eq!(object.len(), 2 * (4 + 3) + 7, "each with its length, and a footer");
///
/// let key = "ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch".into();
/// assert_eq!(decode_batch(&key, &object.clone().into(), 1 << 20)?, records);
/// let cut = decode_batch(&key, &Bytes::copy_from_slice(&object[1..]), 1 << 20).unwrap_err();
/// assert!(cut.to_string().starts_with("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch is corrupt at byte "));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// # Errors
///
/// As there.
pub fn encode_batch<'a>(
    records: impl Iterator<Item = &'a Bytes> + Clone,
    compression: Compression,
) -> Result<Rope, EncodeError> {
    Codec::new().encode_batch(records, compression)
}

/// Takes a batch object apart; see [`Codec::decode_batch`], which spares what this makes anew each time.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{Compression, FormatReason, decode_batch, encode_batch};
/// use bytes::Bytes;
///
/// let records = [Bytes::from(vec![b'x'; 10_000])];
/// let object = Bytes::from(encode_batch(records.iter(), Compression::Zstd)?.concat());
/// let key = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// assert_eq!(decode_batch(&key, &object, 16_384)?, records);
///
/// // The object is far shorter than the limit: what is decompressed counts, lengths included.
/// let error = decode_batch(&key, &object, 8_192).unwrap_err();
/// assert_eq!(error.reason, FormatReason::RecordsTooLarge { needed: 10_004, limit: 8_192 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As there.
pub fn decode_batch(
    object: &Location,
    bytes: &Bytes,
    limit: usize,
) -> Result<Vec<Bytes>, FormatError> {
    Codec::new().decode_batch(object, bytes, limit)
}

/// Encodes records of a shape that was looked at first. Those that are given by value are let go one by one.
pub(super) fn encode<R: Borrow<Bytes>>(
    contexts: &mut zstd::Contexts,
    shape: &Shape,
    records: impl Iterator<Item = R>,
    compression: Compression,
) -> Result<Rope, EncodeError> {
    let footer = footer(compression, shape.count);
    match compression {
        Compression::None => Ok(lay_out(records, shape, footer)),
        Compression::Zstd => zstd::compress(contexts, records, shape.block_len, footer),
    }
}

/// What is known of the records before any of them is copied.
pub(super) struct Shape {
    count: u32,
    /// All records with their lengths.
    block_len: u64,
    /// All lengths, and the records short enough to be copied.
    copied_len: usize,
}

impl Shape {
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a Bytes>) -> Result<Self, EncodeError> {
        let mut shape = Self { count: 0, block_len: 0, copied_len: 0 };
        for record in records {
            let len = record.len();
            if u32::try_from(len).is_err() {
                return Err(EncodeError::RecordTooLong { index: shape.count, len: len as u64 });
            }
            shape.count = shape.count.checked_add(1).ok_or(EncodeError::TooManyRecords)?;
            shape.block_len = shape.block_len.saturating_add((LENGTH_LEN + len) as u64);
            shape.copied_len += LENGTH_LEN;
            if len < COPY_BELOW {
                shape.copied_len += len;
            }
        }
        Ok(shape)
    }
}

/// The number that stands before a record.
pub(super) fn length_prefix(record: &Bytes) -> [u8; LENGTH_LEN] {
    let len = u32::try_from(record.len()).expect("the lengths were looked at first");
    len.to_le_bytes()
}

fn footer(compression: Compression, count: u32) -> [u8; FOOTER_LEN] {
    let mut footer = [0; FOOTER_LEN];
    footer[0] = compression.to_byte();
    footer[1..5].copy_from_slice(&count.to_le_bytes());
    footer[5..].copy_from_slice(&VERSION.to_le_bytes());
    footer
}

/// Copies records into chunks; a record that is not copied goes between two parts of one.
fn lay_out<R: Borrow<Bytes>>(
    records: impl Iterator<Item = R>,
    shape: &Shape,
    footer: [u8; FOOTER_LEN],
) -> Rope {
    let mut left = shape.copied_len + FOOTER_LEN;
    let mut chunk = Chunk::for_rest_of(left);
    let mut rope = Vec::with_capacity(left / CHUNK_LEN + 1);
    for record in records {
        let record = record.borrow();
        let is_copied = record.len() < COPY_BELOW;
        let next = LENGTH_LEN + if is_copied { record.len() } else { 0 };
        if !chunk.has_room_for(next) {
            left -= chunk.copied.len();
            mem::replace(&mut chunk, Chunk::for_rest_of(left)).cut_into(&mut rope);
        }
        chunk.copied.extend_from_slice(&length_prefix(record));
        if is_copied {
            chunk.copied.extend_from_slice(record);
        } else {
            chunk.uncopied.push((chunk.copied.len(), record.clone()));
        }
    }
    if !chunk.has_room_for(FOOTER_LEN) {
        mem::replace(&mut chunk, Chunk::for_rest_of(FOOTER_LEN)).cut_into(&mut rope);
    }
    chunk.copied.extend_from_slice(&footer);
    chunk.cut_into(&mut rope);
    rope
}

/// One allocation for what is copied, and what goes in between.
struct Chunk {
    copied: Vec<u8>,
    /// Records that are not copied, and after how much of what is copied they come.
    uncopied: Vec<(usize, Bytes)>,
}

impl Chunk {
    fn for_rest_of(left: usize) -> Self {
        Self { copied: Vec::with_capacity(left.min(CHUNK_LEN)), uncopied: Vec::new() }
    }

    const fn has_room_for(&self, len: usize) -> bool {
        self.copied.capacity() - self.copied.len() >= len
    }

    fn cut_into(self, rope: &mut Rope) {
        let mut copied = Bytes::from(self.copied);
        let mut cut = 0;
        for (at, record) in self.uncopied {
            if at > cut {
                rope.push(copied.split_to(at - cut));
            }
            rope.push(record);
            cut = at;
        }
        if !copied.is_empty() {
            rope.push(copied);
        }
    }
}

pub(super) fn decode(
    contexts: &mut zstd::Contexts,
    bytes: &Bytes,
    limit: usize,
) -> Result<Vec<Bytes>, Fault> {
    let Some(block_len) = bytes.len().checked_sub(FOOTER_LEN) else {
        return Err(too_short(bytes));
    };
    let footer = Footer::read(&bytes[block_len..], block_len as u64)?;
    let plain = bytes.slice(..block_len);
    // How much may be allocated here in all.
    let allowed = (limit as u64).max(bytes.len() as u64 * 2).max(LIST_FLOOR);
    match footer.compression {
        Compression::None => {
            if block_len > limit {
                let (needed, limit) = (block_len as u64, limit as u64);
                return Err(Fault::new(0, FormatReason::RecordsTooLarge { needed, limit }));
            }
            footer.check_list(plain.len(), allowed)?;
            split(&plain, footer.count)
        }
        Compression::Zstd => {
            crate::sometimes!(DecompressedBatch);
            let block = zstd::decompress(contexts, &plain, limit)
                .map_err(|reason| Fault::new(0, reason))?;
            let block = Bytes::from(block);
            footer.check_list(block.len(), allowed.saturating_sub(block.len() as u64))?;
            split(&block, footer.count).map_err(|fault| {
                Fault::new(fault.offset, FormatReason::Decompressed(Box::new(fault.reason)))
            })
        }
    }
}

/// What a batch object says of itself at its end; nothing of it is held against the records.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{BatchFooter, Compression, encode_batch};
/// use bytes::Bytes;
///
/// let records = [Bytes::from("first"), Bytes::from("second")];
/// let object = encode_batch(records.iter(), Compression::Zstd)?.concat();
/// let footer =
///     BatchFooter::parse(&Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch"), &object)?;
/// assert_eq!((footer.compression, footer.record_count), (Compression::Zstd, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchFooter {
    /// How the records are compressed.
    pub compression: Compression,
    /// How many there are said to be.
    pub record_count: u32,
}

impl BatchFooter {
    /// Its length in bytes.
    pub const LEN: usize = FOOTER_LEN;

    /// Reads the end of a batch object.
    ///
    /// # Errors
    ///
    /// [`FormatError`] for an object that is too short for a footer, or one of another version or compression.
    pub fn parse(object: &Location, bytes: &[u8]) -> Result<Self, FormatError> {
        let footer = match bytes.len().checked_sub(FOOTER_LEN) {
            Some(at) => Footer::read(&bytes[at..], at as u64),
            None => Err(too_short(bytes)),
        };
        let Footer { compression, count, .. } = footer.map_err(|fault| fault.in_object(object))?;
        Ok(Self { compression, record_count: count })
    }
}

fn too_short(bytes: &[u8]) -> Fault {
    let (found, needed) = (bytes.len() as u64, FOOTER_LEN as u64);
    Fault::new(0, FormatReason::TooShort { found, needed })
}

/// What a batch says of itself.
struct Footer {
    compression: Compression,
    count: u32,
    count_offset: u64,
}

impl Footer {
    fn read(footer: &[u8], offset: u64) -> Result<Self, Fault> {
        let mut reader = Reader::new(footer, offset);
        let compression = reader.u8(Field::Footer)?;
        let count_offset = reader.offset();
        let count = reader.u32(Field::Footer)?;
        let version_offset = reader.offset();
        let version = reader.u16(Field::Footer)?;
        // The version comes first: another one may give the byte before another meaning.
        if version != VERSION {
            let reason = FormatReason::UnknownVersion { found: version };
            return Err(Fault::new(version_offset, reason));
        }
        let Some(compression) = Compression::from_byte(compression) else {
            return Err(Fault::new(
                offset,
                FormatReason::UnknownCompression { found: compression },
            ));
        };
        Ok(Self { compression, count, count_offset })
    }

    /// Holds the count against the block, and the list of records against the memory allowed for it.
    fn check_list(&self, block_len: usize, allowed: u64) -> Result<(), Fault> {
        if crate::planted!(FooterCountTrusted) {
            return Ok(());
        }
        check_count(
            self.count,
            Field::RecordCount,
            self.count_offset,
            LENGTH_LEN as u64,
            block_len as u64,
        )?;
        let needed = u64::from(self.count) * mem::size_of::<Bytes>() as u64;
        if needed > allowed {
            let reason = FormatReason::TooManyRecords { count: self.count, needed, allowed };
            return Err(Fault::new(self.count_offset, reason));
        }
        Ok(())
    }
}

/// Cuts a block into its records: once through to see that all is well, and
/// only then a list of the right size.
fn split(block: &Bytes, count: u32) -> Result<Vec<Bytes>, Fault> {
    let mut reader = Reader::new(block, 0);
    for index in 0..count {
        if crate::planted!(FooterCountTrusted) && reader.remaining() == 0 {
            let mut records = split(block, index)?;
            records.resize(count.min(1 << 20) as usize, Bytes::new());
            return Ok(records);
        }
        let length = reader.u32(Field::RecordLength)?;
        reader.take(length, Field::Record)?;
    }
    if !crate::planted!(RecordCountUnchecked) {
        reader.finish(Section::Records)?;
    }

    let mut records = Vec::with_capacity(count as usize);
    let mut at = 0;
    for _ in 0..count {
        let (length, _) =
            block[at..].split_first_chunk().expect("the block was walked to its end before");
        let start = at + LENGTH_LEN;
        at = start + u32::from_le_bytes(*length) as usize;
        records.push(block.slice(start..at));
    }
    Ok(records)
}
