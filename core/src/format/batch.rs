//! stub
use super::error::{EncodeError, FormatError};
use crate::store::Rope;
use crate::types::Location;
use alloc::vec::Vec;
use bytes::Bytes;
/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Zstandard, level 3.
    Zstd,
}
/// stub
pub fn encode_batch<'a>(
    _records: impl Iterator<Item = &'a Bytes> + Clone,
    _compression: Compression,
) -> Result<Rope, EncodeError> {
    todo!()
}
/// stub
pub fn decode_batch(
    _object: &Location,
    _bytes: &Bytes,
    _limit: usize,
) -> Result<Vec<Bytes>, FormatError> {
    todo!()
}
