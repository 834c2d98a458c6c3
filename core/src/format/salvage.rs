//! What can be saved of a damaged batch.

use alloc::vec::Vec;

use bytes::Bytes;

use super::batch::{BatchFooter, Compression, LENGTH_LEN};
use crate::types::Location;

/// The records of a damaged batch object from its start up to the first that is not whole.
///
/// Nothing vouches for them: version 1 has no checksums, so that a length that was damaged may cut the rest
/// into records that never were. Where the object has lost its footer, all of it is taken for records that
/// are not compressed; of compressed ones nothing is saved. They share the object's memory, and a
/// list of many empty records takes eight times the object.
///
/// ```
/// use buffer_core::format::{Compression, encode_batch, salvage_records};
/// use bytes::Bytes;
///
/// let records = [Bytes::from("first"), Bytes::from("second")];
/// let object = Bytes::from(encode_batch(records.iter(), Compression::None)?.concat());
/// let torn = object.slice(..object.len() - 10);
/// assert_eq!(salvage_records(&torn), records[..1]);
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
#[must_use]
pub fn salvage_records(object: &Bytes) -> Vec<Bytes> {
    let unnamed = Location::from("");
    let (block, count) = match BatchFooter::parse(&unnamed, object) {
        Ok(BatchFooter { compression: Compression::Zstd, .. }) => return Vec::new(),
        Ok(BatchFooter { compression: Compression::None, record_count }) => {
            (object.slice(..object.len() - BatchFooter::LEN), record_count)
        }
        Err(_) => (object.clone(), u32::MAX),
    };
    let mut records = Vec::new();
    let mut at = 0;
    for _ in 0..count {
        let Some((length, _)) = block[at..].split_first_chunk() else { break };
        let start = at + LENGTH_LEN;
        let length = u32::from_le_bytes(*length) as usize;
        let Some(end) = start.checked_add(length).filter(|end| *end <= block.len()) else { break };
        records.push(block.slice(start..end));
        at = end;
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::encode_batch;

    fn object(compression: Compression) -> Bytes {
        let records = [Bytes::from("one"), Bytes::new(), Bytes::from("three")];
        encode_batch(records.iter(), compression).expect("it fits").concat().into()
    }

    #[test]
    fn whole_records_are_saved_wherever_the_object_ends() {
        let object = object(Compression::None);
        // 7 bytes, 4 bytes, 9 bytes, and the footer.
        for (len, saved) in [(0, 0), (6, 0), (7, 1), (10, 1), (11, 2), (19, 2), (20, 3), (26, 3)] {
            let records = salvage_records(&object.slice(..len));
            assert_eq!(records.len(), saved, "of {len} bytes: {records:?}");
            assert!(saved < 3 || records == ["one", "", "three"]);
        }
        assert_eq!(salvage_records(&object).len(), 3);
    }

    #[test]
    fn a_length_that_lies_ends_it() {
        for at in [0, 7, 11] {
            let mut bytes = object(Compression::None).to_vec();
            bytes[at + 3] = 0xff;
            let saved = [0, 7, 11].iter().filter(|start| **start < at).count();
            assert_eq!(salvage_records(&bytes.into()).len(), saved);
        }
    }

    #[test]
    fn a_footer_that_lies_saves_what_there_is() {
        let object = object(Compression::None);
        let count_at = object.len() - 6;
        for (count, saved) in [(0, 0), (2, 2), (9, 3)] {
            let mut bytes = object.to_vec();
            bytes[count_at] = count;
            assert_eq!(salvage_records(&bytes.into()).len(), saved);
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn of_compressed_records_nothing_is_saved() {
        assert!(salvage_records(&object(Compression::Zstd)).is_empty());
    }
}
