//! The entries that callers submit: each says which it is, and can be made again.

use bytes::{BufMut, Bytes, BytesMut};

/// The length of an entry without anything that fills it.
pub(crate) const LEAST: usize = 12;

/// The entries of a submission, longer than they need be by so many bytes each.
///
/// They share their memory: a world has millions of them.
pub(crate) fn make_all(submission: u64, fillers: &[usize]) -> Vec<Bytes> {
    let len = fillers.iter().map(|filler| LEAST + filler).sum();
    let mut bytes = BytesMut::with_capacity(len);
    for (index, filler) in (0..).zip(fillers) {
        bytes.put_u64(submission);
        bytes.put_u32(index);
        bytes.put_bytes(b'.', *filler);
    }
    let mut rest = bytes.freeze();
    fillers.iter().map(|filler| rest.split_to(LEAST + filler)).collect()
}

/// The only entry of a submission.
pub(crate) fn make(submission: u64, filler: usize) -> Bytes {
    make_all(submission, &[filler]).remove(0)
}

/// Which submission an entry is of, and its index there.
pub(crate) fn read(bytes: &[u8]) -> Option<(u64, u32)> {
    let (submission, rest) = bytes.split_first_chunk()?;
    let (index, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*submission), u32::from_be_bytes(*index)))
}
