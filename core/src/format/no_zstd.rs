//! What stands in for Zstandard in a build without it.

use alloc::vec::Vec;

use bytes::Bytes;

use super::batch::FOOTER_LEN;
use super::error::{EncodeError, FormatReason};
use crate::store::Rope;

pub(super) fn compress<'a>(
    _records: impl Iterator<Item = &'a Bytes>,
    _block_len: u64,
    _footer: [u8; FOOTER_LEN],
) -> Result<Rope, EncodeError> {
    Err(EncodeError::NoZstd)
}

pub(super) fn decompress(_frames: &[u8], _limit: usize) -> Result<Vec<u8>, FormatReason> {
    Err(FormatReason::NoZstd)
}
