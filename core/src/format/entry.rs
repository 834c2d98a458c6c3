//! The entries of a manifest; see FORMAT, "Queue manifest".

use alloc::vec::Vec;

use bytes::Bytes;

use super::error::{EncodeError, Field, FormatError, FormatReason, Section};
use super::reader::{Fault, Reader, check_count};
use crate::types::{Location, Sequence};

/// What one submission (or several alike) attached to a range of a batch's records.
///
/// ```
/// use buffer_core::format::Metadata;
///
/// let item = |start_index, payload: &'static str| Metadata {
///     start_index,
///     ingestion_time_ms: 1_712_345_678_000,
///     payload: payload.into(),
/// };
/// let metadata = [item(0, "from a"), item(2, "from b")];
/// // What was attached to a record says the last item that does not start after it.
/// let of = |record| metadata.iter().rfind(|item| item.start_index <= record);
/// assert!(of(1).is_some_and(|item| item.payload == "from a"));
/// assert!(of(2).is_some_and(|item| item.payload == "from b"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The index of the first record that this covers; it reaches to the next item's, or to the end.
    pub start_index: u32,
    /// When the entries were submitted, in milliseconds since the Unix epoch, by the producer's wall clock.
    pub ingestion_time_ms: i64,
    /// The producer's own bytes.
    pub payload: Bytes,
}

/// One line of the manifest.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{Manifest, ManifestEntry, NewEntry};
///
/// // A manifest is only bytes, and who can write it may list anything.
/// let location = Location::from("ingest/../secrets");
/// let manifest = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// let ManifestEntry { sequence, location, metadata } =
///     manifest.entries().next().expect("there is one");
/// assert_eq!((sequence.0, metadata.len()), (0, 0));
/// assert!(location.validate().is_err(), "no store is asked for it");
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Its place in the queue.
    pub sequence: Sequence,
    /// The batch's key.
    ///
    /// Nothing but UTF-8 so far: ask [`Location::validate`] before a store is asked for it.
    pub location: Location,
    /// What the submissions in it attached, by ascending `start_index`.
    pub metadata: Vec<Metadata>,
}

/// A line to be appended; its sequence is the manifest's to give.
///
/// ```
/// use buffer_core::format::{Manifest, Metadata, NewEntry};
///
/// let metadata =
///     [Metadata { start_index: 0, ingestion_time_ms: 1_712_345_678_000, payload: "a note".into() }];
/// let location = "ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch".into();
/// let new = NewEntry { location: &location, metadata: &metadata };
/// let manifest = Manifest::absent().append(&[new])?;
/// let added = manifest.encoded_len() - Manifest::absent().encoded_len();
/// assert_eq!(added as u64, new.encoded_len());
///
/// let entry = manifest.entries().next().expect("it was appended");
/// assert_eq!((entry.sequence.0, entry.location, &entry.metadata[..]), (0, location, &metadata[..]));
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// The batch's key, at most [`Location::MAX_LEN`] bytes.
    pub location: &'a Location,
    /// Its metadata, by ascending `start_index`.
    pub metadata: &'a [Metadata],
}

/// The length of `entry_len` itself, in bytes.
const LENGTH_LEN: u64 = 4;

/// The shortest entry, in bytes with its `entry_len`: no location, no metadata.
pub(super) const MIN_ENTRY_LEN: u64 = LENGTH_LEN + 8 + 2 + 4;

/// The shortest metadata item, in bytes: no payload.
const MIN_METADATA_LEN: u64 = 4 + 8 + 4;

impl NewEntry<'_> {
    /// How many bytes this adds to a manifest.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        let metadata =
            self.metadata.iter().map(|item| MIN_METADATA_LEN + item.payload.len() as u64);
        MIN_ENTRY_LEN + self.location.as_str().len() as u64 + metadata.sum::<u64>()
    }

    /// Says what the format cannot hold.
    pub(super) fn check(&self) -> Result<(), EncodeError> {
        let len = self.location.as_str().len();
        if u16::try_from(len).is_err() {
            return Err(EncodeError::LocationTooLong { len: len as u64 });
        }
        // This bounds the number of items and the length of each payload, too.
        let len = self.encoded_len() - LENGTH_LEN;
        if u32::try_from(len).is_err() {
            return Err(EncodeError::EntryTooLong { len });
        }
        for pair in self.metadata.windows(2) {
            let (previous, found) = (pair[0].start_index, pair[1].start_index);
            if found < previous {
                return Err(EncodeError::StartIndexDecreases { previous, found });
            }
        }
        Ok(())
    }

    /// Writes an entry that [`NewEntry::check`] found nothing wrong with.
    pub(super) fn encode(&self, sequence: Sequence, out: &mut Vec<u8>) {
        let entry_len = u32::try_from(self.encoded_len() - LENGTH_LEN).expect(CHECKED);
        let location = self.location.as_str().as_bytes();
        let location_len = u16::try_from(location.len()).expect(CHECKED);
        let metadata_count = u32::try_from(self.metadata.len()).expect(CHECKED);
        out.extend_from_slice(&entry_len.to_le_bytes());
        out.extend_from_slice(&sequence.0.to_le_bytes());
        out.extend_from_slice(&location_len.to_le_bytes());
        out.extend_from_slice(location);
        out.extend_from_slice(&metadata_count.to_le_bytes());
        for item in self.metadata {
            let payload_len = u32::try_from(item.payload.len()).expect(CHECKED);
            out.extend_from_slice(&item.start_index.to_le_bytes());
            out.extend_from_slice(&item.ingestion_time_ms.to_le_bytes());
            out.extend_from_slice(&payload_len.to_le_bytes());
            out.extend_from_slice(&item.payload);
        }
    }
}

const CHECKED: &str = "the entry was checked before it is encoded";

/// Checks a batch's metadata against the batch, once that is decoded.
///
/// `object` is the batch's key. An item may start at the very end: a submission
/// without entries leaves one there.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{Metadata, check_metadata};
/// use bytes::Bytes;
///
/// let item = |start_index| Metadata { start_index, ingestion_time_ms: 0, payload: Bytes::new() };
/// let key = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// check_metadata(&key, &[item(0), item(2)], 2)?;
/// let error = check_metadata(&key, &[item(0), item(3)], 2).unwrap_err();
/// assert_eq!(error.reason.to_string(), "metadata item 1 starts at record 3 of a batch that has 2");
/// # Ok::<(), buffer_core::format::FormatError>(())
/// ```
///
/// # Errors
///
/// [`FormatReason::StartIndexPastEnd`] for an item that starts past the
/// `record_count` records that there are. The offset is 0: the reason names the item.
pub fn check_metadata(
    object: &Location,
    metadata: &[Metadata],
    record_count: usize,
) -> Result<(), FormatError> {
    let records = record_count as u64;
    let past_end = |(_, item): &(usize, &Metadata)| u64::from(item.start_index) > records;
    match metadata.iter().enumerate().find(past_end) {
        None => Ok(()),
        Some((item, Metadata { start_index, .. })) => {
            let reason = FormatReason::StartIndexPastEnd { item, found: *start_index, records };
            Err(Fault::new(0, reason).in_object(object))
        }
    }
}

/// An entry where it lies. The metadata is not looked at before it is asked for.
#[derive(Debug)]
pub(super) struct RawEntry<'a> {
    pub(super) sequence: Sequence,
    /// Where in the object `sequence` stands.
    pub(super) sequence_offset: u64,
    pub(super) location: &'a str,
    pub(super) metadata: RawMetadata<'a>,
}

impl<'a> RawEntry<'a> {
    /// Reads an entry and leaves `manifest` behind it, by its length alone.
    pub(super) fn read(manifest: &mut Reader<'a>) -> Result<Self, Fault> {
        let length = manifest.u32(Field::EntryLength)?;
        let mut entry = manifest.part(length, Field::Entry)?;
        let sequence_offset = entry.offset();
        let sequence = Sequence(entry.u64(Field::EntrySequence)?);
        let location_len = entry.u16(Field::LocationLength)?;
        let location_offset = entry.offset();
        let location = entry.take(u32::from(location_len), Field::Location)?;
        let location = str::from_utf8(location).map_err(|error| {
            let offset = location_offset + error.valid_up_to() as u64;
            Fault::new(offset, FormatReason::LocationNotUtf8)
        })?;
        let count_offset = entry.offset();
        let count = entry.u32(Field::MetadataCount)?;
        check_count(
            count,
            Field::MetadataCount,
            count_offset,
            MIN_METADATA_LEN,
            entry.remaining(),
        )?;
        let metadata = RawMetadata { reader: entry, left: count, previous: 0 };
        Ok(Self { sequence, sequence_offset, location, metadata })
    }

    /// Walks the metadata to its end, which must be the entry's.
    pub(super) fn check_metadata(mut self) -> Result<(), Fault> {
        while self.metadata.next()?.is_some() {}
        self.metadata.reader.finish(Section::Metadata)
    }

    /// The entry as others see it; payloads stay slices of `piece`, in which it lies.
    pub(super) fn decode(mut self, piece: &Bytes) -> Result<ManifestEntry, Fault> {
        let mut metadata = Vec::with_capacity(self.metadata.left as usize);
        while let Some(RawItem { start_index, ingestion_time_ms, payload }) =
            self.metadata.next()?
        {
            let payload = piece.slice_ref(payload);
            metadata.push(Metadata { start_index, ingestion_time_ms, payload });
        }
        let location = Location::from(self.location);
        Ok(ManifestEntry { sequence: self.sequence, location, metadata })
    }
}

/// A metadata item where it lies.
struct RawItem<'a> {
    start_index: u32,
    ingestion_time_ms: i64,
    payload: &'a [u8],
}

/// The metadata items of an entry, read one by one.
#[derive(Debug)]
pub(super) struct RawMetadata<'a> {
    reader: Reader<'a>,
    left: u32,
    previous: u32,
}

impl<'a> RawMetadata<'a> {
    fn next(&mut self) -> Result<Option<RawItem<'a>>, Fault> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let offset = self.reader.offset();
        let found = self.reader.u32(Field::StartIndex)?;
        let previous = self.previous;
        if found < previous {
            return Err(Fault::new(offset, FormatReason::StartIndexDecreases { previous, found }));
        }
        self.previous = found;
        let ingestion_time_ms = self.reader.i64(Field::IngestionTime)?;
        let payload_len = self.reader.u32(Field::PayloadLength)?;
        let payload = self.reader.take(payload_len, Field::Payload)?;
        Ok(Some(RawItem { start_index: found, ingestion_time_ms, payload }))
    }
}
