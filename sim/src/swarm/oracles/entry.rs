//! The entries that callers submit: each says which it is, and can be made again.

use bytes::{BufMut, Bytes, BytesMut};

/// The length of an entry without anything that fills it.
pub(crate) const LEAST: usize = 12;

/// The entry with this index of a submission, `filler` bytes longer than it need be.
pub(crate) fn make(submission: u64, index: u32, filler: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(LEAST + filler);
    bytes.put_u64(submission);
    bytes.put_u32(index);
    bytes.put_bytes(b'.', filler);
    bytes.freeze()
}

/// Which submission an entry is of, and its index there.
pub(crate) fn read(bytes: &[u8]) -> Option<(u64, u32)> {
    let (submission, rest) = bytes.split_first_chunk()?;
    let (index, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*submission), u32::from_be_bytes(*index)))
}
