//! stub
use super::error::{Disagreement, EncodeError, FormatError};
use crate::store::Rope;
use crate::types::{Epoch, Location, Sequence};
use alloc::vec::Vec;
use bytes::Bytes;
/// What one submission (or several alike) attached to a range of a batch's records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The index of the first record that this covers; it reaches to the next item's, or to the end.
    pub start_index: u32,
    /// When the entries were submitted, by the producer's wall clock.
    pub ingestion_time_ms: i64,
    /// The producer's own bytes.
    pub payload: Bytes,
}
/// One line of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Its place in the queue.
    pub sequence: Sequence,
    /// The batch's key.
    pub location: Location,
    /// What the submissions in it attached.
    pub metadata: Vec<Metadata>,
}
/// A line to be appended.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// The batch's key.
    pub location: &'a Location,
    /// Its metadata.
    pub metadata: &'a [Metadata],
}
/// stub
#[derive(Clone, Debug)]
pub struct Manifest;
impl Manifest {
    /// stub
    pub fn absent() -> Self {
        todo!()
    }
    /// stub
    pub fn parse(_object: &Location, _bytes: Bytes) -> Result<Self, FormatError> {
        todo!()
    }
    /// stub
    pub fn first_sequence(&self) -> Sequence {
        todo!()
    }
    /// stub
    pub fn next_sequence(&self) -> Sequence {
        todo!()
    }
    /// stub
    pub fn epoch(&self) -> Epoch {
        todo!()
    }
    /// stub
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// stub
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// stub
    pub fn encoded_len(&self) -> usize {
        todo!()
    }
    /// stub
    pub fn entries(&self) -> impl Iterator<Item = ManifestEntry> + '_ {
        core::iter::empty()
    }
    /// stub
    pub fn entries_from(&self, _first: Sequence) -> impl Iterator<Item = ManifestEntry> + '_ {
        core::iter::empty()
    }
    /// stub
    pub fn locations_from(
        &self,
        _first: Sequence,
    ) -> impl Iterator<Item = (Sequence, Location)> + '_ {
        core::iter::empty()
    }
    /// stub
    pub fn append(&self, _entries: &[NewEntry<'_>]) -> Result<Self, EncodeError> {
        todo!()
    }
    /// stub
    pub fn without_before(&self, _sequence: Sequence) -> Self {
        todo!()
    }
    /// stub
    pub fn with_epoch(&self, _epoch: Epoch) -> Self {
        todo!()
    }
    /// stub
    pub fn to_rope(&self) -> Rope {
        todo!()
    }
    /// stub
    pub fn check_follows(&self, _earlier: &Self) -> Result<(), Disagreement> {
        todo!()
    }
}
