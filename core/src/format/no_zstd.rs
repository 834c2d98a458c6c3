//! What stands in for Zstandard in a build without it.

use alloc::vec::Vec;
use core::borrow::Borrow;

use bytes::Bytes;

use super::batch::FOOTER_LEN;
use super::error::{EncodeError, FormatReason};
use crate::store::Rope;

/// Nothing is needed where nothing is compressed.
#[derive(Default)]
pub(super) struct Contexts;

impl Contexts {
    pub(super) const fn new() -> Self {
        Self
    }
}

pub(super) fn compress<R: Borrow<Bytes>>(
    _contexts: &mut Contexts,
    _records: impl Iterator<Item = R>,
    _block_len: u64,
    _footer: [u8; FOOTER_LEN],
) -> Result<Rope, EncodeError> {
    Err(EncodeError::NoZstd)
}

pub(super) fn decompress(
    _contexts: &mut Contexts,
    _frames: &[u8],
    _limit: usize,
) -> Result<Vec<u8>, FormatReason> {
    Err(FormatReason::NoZstd)
}
