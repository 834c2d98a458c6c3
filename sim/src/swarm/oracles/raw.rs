//! The two formats, read anew from their bytes: an oracle does not ask the code that it judges.

use buffer_core::Location;
use buffer_core::format::Codec;
use bytes::Bytes;

/// The footer of a manifest; see FORMAT, "Queue manifest".
const MANIFEST_FOOTER: usize = 22;
/// The footer of a batch; see FORMAT, "Data batch".
const BATCH_FOOTER: usize = 7;

/// A manifest as it lies in the store. Only what is new in it is ever looked at closely.
#[derive(Clone, Debug)]
pub(super) struct RawManifest {
    bytes: Bytes,
    pub(super) count: u64,
    pub(super) next: u64,
    pub(super) epoch: u64,
}

/// One entry of a manifest.
#[derive(Clone, Debug)]
pub(crate) struct RawEntry {
    pub(crate) sequence: u64,
    pub(crate) location: Bytes,
    pub(crate) metadata: Vec<RawMetadata>,
}

impl RawEntry {
    /// Its location; empty when that is no text.
    pub(crate) fn name(&self) -> &str {
        std::str::from_utf8(&self.location).unwrap_or_default()
    }
}

/// One metadata item of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawMetadata {
    pub(crate) start_index: u32,
    pub(crate) ingestion_time_ms: i64,
    pub(crate) payload: Bytes,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn length(value: u32) -> usize {
    usize::try_from(value).expect("a simulator runs on more than 16 bits")
}

impl RawManifest {
    /// What a queue is before anything was written.
    pub(super) const fn absent() -> Self {
        Self { bytes: Bytes::new(), count: 0, next: 0, epoch: 0 }
    }

    /// Reads the footer; `None` when there is none that makes sense.
    pub(super) fn read(bytes: &Bytes) -> Option<Self> {
        let at = bytes.len().checked_sub(MANIFEST_FOOTER)?;
        let count = u64::from(u32_at(bytes, at)?);
        let (next, epoch) = (u64_at(bytes, at + 4)?, u64_at(bytes, at + 12)?);
        (u16_at(bytes, at + 20)? == 1 && count <= next).then(|| Self {
            bytes: bytes.slice(..at),
            count,
            next,
            epoch,
        })
    }

    /// The sequence of the first entry, or the next one where there is none.
    pub(super) const fn first(&self) -> u64 {
        self.next - self.count
    }

    /// The bytes of all entries but the first `count`.
    pub(super) fn without(&self, count: u64) -> Option<Bytes> {
        let mut at = 0;
        for _ in 0..count {
            at += 4 + length(u32_at(&self.bytes, at)?);
        }
        (at <= self.bytes.len()).then(|| self.bytes.slice(at..))
    }

    /// What follows `kept`, if these bytes begin with it.
    pub(super) fn after(&self, kept: &[u8]) -> Option<Bytes> {
        self.bytes.starts_with(kept).then(|| self.bytes.slice(kept.len()..))
    }
}

/// Takes entries apart; `None` when the bytes are no entries.
pub(crate) fn entries(mut bytes: Bytes) -> Option<Vec<RawEntry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let entry_len = length(u32_at(&bytes, 0)?);
        if bytes.len() < 4 + entry_len {
            return None;
        }
        let rest = bytes.split_off(4 + entry_len);
        entries.push(entry(&bytes.slice(4..))?);
        bytes = rest;
    }
    Some(entries)
}

fn entry(bytes: &Bytes) -> Option<RawEntry> {
    let sequence = u64_at(bytes, 0)?;
    let mut at = 10 + usize::from(u16_at(bytes, 8)?);
    let count = u32_at(bytes, at)?;
    let location = bytes.slice(10..at);
    at += 4;
    let mut metadata = Vec::new();
    for _ in 0..count {
        let start_index = u32_at(bytes, at)?;
        let stamp = u64_at(bytes, at + 4)?;
        let end = at + 16 + length(u32_at(bytes, at + 12)?);
        if end > bytes.len() {
            return None;
        }
        let payload = bytes.slice(at + 16..end);
        let ingestion_time_ms = i64::from_le_bytes(stamp.to_le_bytes());
        metadata.push(RawMetadata { start_index, ingestion_time_ms, payload });
        at = end;
    }
    (at == bytes.len()).then_some(RawEntry { sequence, location, metadata })
}

/// The records of a batch; `None` when the bytes are no batch.
pub(super) fn records(codec: &mut Codec, location: &Location, bytes: &Bytes) -> Option<Vec<Bytes>> {
    let footer = bytes.len().checked_sub(BATCH_FOOTER)?;
    match bytes[footer] {
        0 => {}
        // There is one reader of Zstandard here, and it is not ours.
        1 => return codec.decode_batch(location, bytes, usize::MAX).ok(),
        _ => return None,
    }
    let count = u32_at(bytes, footer + 1)?;
    let mut records = Vec::new();
    let mut at = 0;
    while at < footer {
        let end = at + 4 + length(u32_at(bytes, at)?);
        if end > footer {
            return None;
        }
        records.push(bytes.slice(at + 4..end));
        at = end;
    }
    (records.len() == length(count) && u16_at(bytes, footer + 5)? == 1).then_some(records)
}
