//! Every line of FORMAT's list of what a reader must refuse: the exact error, and where it is.

mod common;

use buffer_core::Sequence;
use buffer_core::format::{Field, FormatReason, Manifest, Section, check_metadata, decode_batch};
use bytes::Bytes;
use common::{assert_names_object, hex, metadata, object};

const LIMIT: usize = 1024;

#[track_caller]
fn assert_batch_refused(bytes: &Bytes, offset: u64, reason: FormatReason) {
    let error = decode_batch(&object(), bytes, LIMIT).expect_err("it must be refused");
    assert_names_object(&error);
    assert_eq!((error.offset, error.reason), (offset, reason));
}

#[track_caller]
fn assert_manifest_refused(bytes: &Bytes, offset: u64, reason: FormatReason) {
    let error = Manifest::parse(&object(), bytes.clone()).expect_err("it must be refused");
    assert_names_object(&error);
    assert_eq!((error.offset, error.reason), (offset, reason));
}

#[test]
fn too_short_for_a_footer() {
    for found in 0..7 {
        let reason = FormatReason::TooShort { found, needed: 7 };
        assert_batch_refused(&vec![1; found as usize].into(), 0, reason);
    }
    for found in 0..22 {
        let reason = FormatReason::TooShort { found, needed: 22 };
        assert_manifest_refused(&vec![1; found as usize].into(), 0, reason);
    }
}

#[test]
fn unknown_versions() {
    for (version, found) in [("0000", 0), ("0200", 2), ("0001", 256), ("ffff", 65_535)] {
        let reason = FormatReason::UnknownVersion { found };
        let batch = hex(&format!("05000000 68656c6c6f 00 01000000 {version}"));
        assert_batch_refused(&batch, 14, reason.clone());
        let manifest = hex(&format!("00000000 0000000000000000 0000000000000000 {version}"));
        assert_manifest_refused(&manifest, 20, reason);
    }
}

#[test]
fn a_version_comes_before_all_else_that_is_wrong() {
    let reason = FormatReason::UnknownVersion { found: 2 };
    assert_batch_refused(&hex("aabbcc 09 ffffffff 0200"), 8, reason.clone());
    let manifest = hex("aabbcc ffffffff ffffffffffffffff 0000000000000000 0200");
    assert_manifest_refused(&manifest, 23, reason);
}

#[test]
fn unknown_compression_types() {
    for found in 2..=255 {
        let batch = hex(&format!("05000000 68656c6c6f {found:02x} 01000000 0100"));
        assert_batch_refused(&batch, 9, FormatReason::UnknownCompression { found });
    }
}

#[test]
fn counts_that_the_remaining_bytes_cannot_hold() {
    // Nine bytes hold two empty records at most.
    for (count, digits) in [(3, "03000000"), (u32::MAX, "ffffffff")] {
        let batch = hex(&format!("05000000 68656c6c6f 00 {digits} 0100"));
        let field = Field::RecordCount;
        assert_batch_refused(&batch, 10, FormatReason::CountTooHigh { field, count, remaining: 9 });
    }
    // An entry takes at least 18 bytes.
    for (count, digits) in [(2, "02000000"), (u32::MAX, "ffffffff")] {
        let manifest = hex(&format!(
            "11000000 0000000000000000 0300 622f31 00000000
             {digits} 0100000000000000 0000000000000000 0100"
        ));
        let field = Field::EntryCount;
        let reason = FormatReason::CountTooHigh { field, count, remaining: 21 };
        assert_manifest_refused(&manifest, 21, reason);
    }
    // A metadata item takes at least 16.
    for (count, digits) in [(2, "02000000"), (u32::MAX, "ffffffff")] {
        let manifest = hex(&format!(
            "21000000 0000000000000000 0300 622f31 {digits}
                 00000000 e803000000000000 00000000
             01000000 0100000000000000 0000000000000000 0100"
        ));
        let field = Field::MetadataCount;
        let reason = FormatReason::CountTooHigh { field, count, remaining: 16 };
        assert_manifest_refused(&manifest, 17, reason);
    }
}

#[test]
fn a_record_that_overruns_the_block() {
    let batch = hex("05000000 68656c6c6f 03000000 6161 00 02000000 0100");
    let reason = FormatReason::Overrun { field: Field::Record, needed: 3, remaining: 2 };
    assert_batch_refused(&batch, 13, reason);
    let batch = hex("ffffffff 68656c6c6f 00 01000000 0100");
    let (field, needed) = (Field::Record, u64::from(u32::MAX));
    assert_batch_refused(&batch, 4, FormatReason::Overrun { field, needed, remaining: 5 });
}

#[test]
fn a_record_length_that_is_cut_off() {
    let batch = hex("05000000 68656c6c6f 0300 00 02000000 0100");
    let reason = FormatReason::Overrun { field: Field::RecordLength, needed: 4, remaining: 2 };
    assert_batch_refused(&batch, 9, reason);
}

#[test]
fn bytes_left_over_after_the_last_record() {
    let left = |bytes| FormatReason::LeftOver { section: Section::Records, bytes };
    assert_batch_refused(&hex("05000000 68656c6c6f ff 00 01000000 0100"), 9, left(1));
    // A count that is too low.
    assert_batch_refused(&hex("05000000 68656c6c6f 00 00000000 0100"), 0, left(9));
}

#[test]
fn records_over_the_limit() {
    let records = vec![0; 4 * 257];
    let batch = [&records[..], &hex("00 01010000 0100")].concat().into();
    let reason = FormatReason::RecordsTooLarge { needed: 1028, limit: 1024 };
    assert_batch_refused(&batch, 0, reason);
    assert_eq!(decode_batch(&object(), &batch, 1028).expect_err("a list of 257").offset, 1029);
    assert_eq!(decode_batch(&object(), &batch, 16_384).expect("all fits").len(), 257);
}

#[test]
fn a_list_of_records_over_what_may_be_allocated() {
    let batch = [&[0; 4 * 200][..], &hex("00 c8000000 0100")].concat().into();
    let reason = FormatReason::TooManyRecords { count: 200, needed: 6400, allowed: 4096 };
    assert_batch_refused(&batch, 801, reason);
}

/// An entry, then a footer that fits if the entry does.
fn manifest_with(entry: &str) -> Bytes {
    hex(&format!("{entry} 01000000 0100000000000000 0000000000000000 0100"))
}

#[test]
fn an_entry_length_that_overruns() {
    let manifest = manifest_with("12000000 0000000000000000 0300 622f31 00000000");
    let reason = FormatReason::Overrun { field: Field::Entry, needed: 18, remaining: 17 };
    assert_manifest_refused(&manifest, 4, reason);
    let manifest = manifest_with("ffffffff 0000000000000000 0300 622f31 00000000");
    let (field, needed) = (Field::Entry, u64::from(u32::MAX));
    assert_manifest_refused(&manifest, 4, FormatReason::Overrun { field, needed, remaining: 17 });
}

#[test]
fn an_entry_length_that_is_cut_off() {
    let manifest = hex("
        11000000 0000000000000000 0300 622f31 00000000 0e000000 0100000000000000 0000 00
        03000000 0300000000000000 0000000000000000 0100
    ");
    // What is there would do for a second entry by its count, but not for its fields.
    let field = Field::EntryCount;
    let reason = FormatReason::CountTooHigh { field, count: 3, remaining: 36 };
    assert_manifest_refused(&manifest, 36, reason);
    let manifest = hex("
        20000000 0000000000000000 1200 626262626262626262626262626262626262 00000000 0e00
        02000000 0200000000000000 0000000000000000 0100
    ");
    let reason = FormatReason::Overrun { field: Field::EntryLength, needed: 4, remaining: 2 };
    assert_manifest_refused(&manifest, 36, reason);
}

#[test]
fn an_entry_length_that_underruns_a_field() {
    // The entry's length ends it in the middle of each of its fields in turn.
    let entry = "0000000000000000 0300 622f31 01000000 00000000 e803000000000000 02000000 6869";
    let all = hex(entry);
    for (field, start, needed) in [
        (Field::EntrySequence, 0, 8),
        (Field::LocationLength, 8, 2),
        (Field::Location, 10, 3),
        (Field::MetadataCount, 13, 4),
    ] {
        for remaining in 0..needed {
            let length = start + remaining;
            let manifest = manifest_with(&format!("{length:02x}000000 {entry}"));
            let reason = FormatReason::Overrun { field, needed, remaining };
            assert_manifest_refused(&manifest, 4 + start, reason);
        }
    }
    for remaining in 0..16 {
        let manifest = manifest_with(&format!("{:02x}000000 {entry}", 17 + remaining));
        let reason =
            FormatReason::CountTooHigh { field: Field::MetadataCount, count: 1, remaining };
        assert_manifest_refused(&manifest, 4 + 13, reason);
    }
    for remaining in 0..2 {
        let manifest = manifest_with(&format!("{:02x}000000 {entry}", 33 + remaining));
        let reason = FormatReason::Overrun { field: Field::Payload, needed: 2, remaining };
        assert_manifest_refused(&manifest, 4 + 33, reason);
    }
    assert_eq!(all.len(), 35);
}

#[test]
fn metadata_that_reaches_into_the_next_entry() {
    // The first item's payload takes up what the second item's fields need.
    let manifest = manifest_with(
        "31000000 0000000000000000 0000 02000000
            00000000 0000000000000000 09000000 aaaaaaaaaaaaaaaaaa
            00000000 00000000 0000",
    );
    let reason = FormatReason::Overrun { field: Field::IngestionTime, needed: 8, remaining: 6 };
    assert_manifest_refused(&manifest, 47, reason);
    // A location's length does the same to all behind it.
    let manifest = manifest_with("11000000 0000000000000000 0500 622f31 00000000");
    let reason = FormatReason::Overrun { field: Field::MetadataCount, needed: 4, remaining: 2 };
    assert_manifest_refused(&manifest, 19, reason);
    // The metadata of one entry ends where the entry does, not where the next one does.
    let manifest = hex("
        1e000000 0000000000000000 0000 01000000 00000000 0000000000000000 12000000
        0e000000 0100000000000000 0000 00000000
        02000000 0200000000000000 0000000000000000 0100
    ");
    let reason = FormatReason::Overrun { field: Field::Payload, needed: 18, remaining: 0 };
    assert_manifest_refused(&manifest, 34, reason);
}

#[test]
fn a_location_that_is_not_utf_8() {
    let manifest = manifest_with("12000000 0000000000000000 0400 622fff31 00000000");
    assert_manifest_refused(&manifest, 16, FormatReason::LocationNotUtf8);
    // A character that is cut off.
    let manifest = manifest_with("11000000 0000000000000000 0300 622fc3 00000000");
    assert_manifest_refused(&manifest, 16, FormatReason::LocationNotUtf8);
}

#[test]
fn bytes_left_over_after_the_last_metadata_item() {
    let left = |bytes| FormatReason::LeftOver { section: Section::Metadata, bytes };
    let manifest = manifest_with("13000000 0000000000000000 0300 622f31 00000000 aabb");
    assert_manifest_refused(&manifest, 21, left(2));
    // A count that is too low.
    let manifest = manifest_with(
        "21000000 0000000000000000 0300 622f31 00000000 00000000 0000000000000000 00000000",
    );
    assert_manifest_refused(&manifest, 21, left(16));
}

#[test]
fn bytes_left_over_after_the_last_entry() {
    let left = |bytes| FormatReason::LeftOver { section: Section::Entries, bytes };
    let manifest = manifest_with("11000000 0000000000000000 0300 622f31 00000000 aabb");
    assert_manifest_refused(&manifest, 21, left(2));
    // A count that is too low, and zero is the lowest.
    let manifest = hex("
        11000000 0000000000000000 0300 622f31 00000000
        00000000 0100000000000000 0000000000000000 0100
    ");
    assert_manifest_refused(&manifest, 0, left(21));
}

/// Entries with these sequences and nothing else, and a footer.
fn manifest_of(sequences: &[u64], next: u64) -> Bytes {
    let mut out = Vec::new();
    for sequence in sequences {
        out.extend(hex("0e000000"));
        out.extend(sequence.to_le_bytes());
        out.extend(hex("0000 00000000"));
    }
    out.extend((sequences.len() as u32).to_le_bytes());
    out.extend(next.to_le_bytes());
    out.extend(hex("0000000000000000 0100"));
    out.into()
}

#[test]
fn sequences_that_are_not_contiguous() {
    let gap = |previous, found| FormatReason::SequenceGap {
        previous: Sequence(previous),
        found: Sequence(found),
    };
    // A gap, a repeat, a descent, and one that comes round.
    assert_manifest_refused(&manifest_of(&[3, 4, 6], 7), 40, gap(4, 6));
    assert_manifest_refused(&manifest_of(&[3, 3], 4), 22, gap(3, 3));
    assert_manifest_refused(&manifest_of(&[3, 2], 3), 22, gap(3, 2));
    assert_manifest_refused(&manifest_of(&[u64::MAX, 0], 1), 22, gap(u64::MAX, 0));
}

#[test]
fn sequences_that_do_not_end_before_the_next_one() {
    let mismatch = |last, next| FormatReason::NextSequenceMismatch {
        last: Sequence(last),
        next: Sequence(next),
    };
    // Too low, too high, lower than there are entries, and the last sequence of all.
    assert_manifest_refused(&manifest_of(&[3, 4], 4), 40, mismatch(4, 4));
    assert_manifest_refused(&manifest_of(&[3, 4], 6), 40, mismatch(4, 6));
    assert_manifest_refused(&manifest_of(&[3, 4], 1), 40, mismatch(4, 1));
    assert_manifest_refused(&manifest_of(&[u64::MAX], 0), 22, mismatch(u64::MAX, 0));
    let highest = manifest_of(&[u64::MAX - 2, u64::MAX - 1], u64::MAX);
    assert!(Manifest::parse(&object(), highest).is_ok());
}

#[test]
fn start_indexes_that_decrease() {
    let manifest = manifest_with(
        "2e000000 0000000000000000 0000 02000000
            03000000 0000000000000000 00000000
            02000000 0000000000000000 00000000",
    );
    let reason = FormatReason::StartIndexDecreases { previous: 3, found: 2 };
    assert_manifest_refused(&manifest, 34, reason);
}

#[test]
fn start_indexes_past_the_record_count() {
    let items = [metadata(0, 1, "a"), metadata(3, 2, "b"), metadata(7, 3, "c")];
    assert_eq!(check_metadata(&object(), &items, 7), Ok(()));
    for records in [6, 3] {
        let error = check_metadata(&object(), &items, records).expect_err("it must be refused");
        assert_names_object(&error);
        let reason = FormatReason::StartIndexPastEnd { item: 2, found: 7, records: records as u64 };
        assert_eq!((error.offset, error.reason), (0, reason));
    }
    let error = check_metadata(&object(), &items, 0).expect_err("it must be refused");
    assert_eq!(error.reason, FormatReason::StartIndexPastEnd { item: 1, found: 3, records: 0 });
}

#[cfg(feature = "zstd")]
mod compressed {
    use super::*;
    use common::{repeating_frame, zstd_batch};

    /// A frame that declares its size and has one raw block.
    fn frame(content: &[u8]) -> Vec<u8> {
        let len = u8::try_from(content.len()).expect("a short block");
        let header = (u32::from(len) << 3 | 1).to_le_bytes();
        [&hex("28b52ffd 20")[..], &[len], &header[..3], content].concat()
    }

    fn inside(reason: FormatReason) -> FormatReason {
        FormatReason::Decompressed(Box::new(reason))
    }

    #[test]
    fn what_is_wrong_inside_counts_from_the_start_of_the_records() {
        let batch = zstd_batch(&frame(&hex("05000000 68656c6c6f ff")), 1);
        let reason = FormatReason::LeftOver { section: Section::Records, bytes: 1 };
        assert_batch_refused(&batch, 9, inside(reason));
        let batch = zstd_batch(&frame(&hex("05000000 68656c6c")), 1);
        let reason = FormatReason::Overrun { field: Field::Record, needed: 5, remaining: 4 };
        assert_batch_refused(&batch, 4, inside(reason));
    }

    #[test]
    fn a_count_that_the_decompressed_bytes_cannot_hold() {
        let batch = zstd_batch(&frame(&hex("05000000 68656c6c6f")), 3);
        let reason =
            FormatReason::CountTooHigh { field: Field::RecordCount, count: 3, remaining: 9 };
        assert_batch_refused(&batch, 19, reason);
    }

    #[track_caller]
    fn assert_does_not_decompress(batch: &Bytes, because: &str) {
        let error = decode_batch(&object(), batch, LIMIT).expect_err("it must be refused");
        assert_names_object(&error);
        assert_eq!(error.offset, 0);
        let FormatReason::BadZstd { detail } = error.reason else { panic!("{error}") };
        // The decompressor's words, so only the one that counts.
        assert!(detail.contains(because), "{detail}");
    }

    #[test]
    fn what_is_not_a_frame() {
        assert_does_not_decompress(
            &zstd_batch(b"not so much as the beginning of a frame", 0),
            "frame descriptor",
        );
        let cut = &frame(&hex("05000000 68656c6c6f"))[..12];
        assert_does_not_decompress(&zstd_batch(cut, 1), "size");
        let followed = [&frame(&hex("05000000 68656c6c6f"))[..], b"more"].concat();
        assert_does_not_decompress(&zstd_batch(&followed, 1), "size");
    }

    #[test]
    fn a_changed_byte_under_a_checksum() {
        // The same raw block, with the checksum flag and a checksum that is not its own.
        let batch = hex("
            28b52ffd 24 09 490000 05000000 68656c6c6f 01020304
            01 01000000 0100
        ");
        assert_does_not_decompress(&batch, "checksum");
    }

    #[test]
    fn a_declared_size_that_is_not_the_content_s() {
        let batch = hex("
            28b52ffd 20 0a 490000 05000000 68656c6c6f
            01 01000000 0100
        ");
        assert_does_not_decompress(&batch, "corruption");
    }

    #[test]
    fn a_declared_size_over_the_limit() {
        // Eight bytes of declared size in a single segment: descriptor e0.
        for needed in [1025, 1 << 40, u64::MAX - 2] {
            let mut bytes = hex("28b52ffd e0").to_vec();
            bytes.extend(u64::to_le_bytes(needed));
            bytes.extend(hex("490000 05000000 68656c6c6f"));
            let reason = FormatReason::RecordsTooLarge { needed, limit: 1024 };
            assert_batch_refused(&zstd_batch(&bytes, 1), 0, reason);
        }
    }

    #[test]
    fn an_undeclared_size_over_the_limit() {
        let reason = FormatReason::RecordsTooLarge { needed: 1025, limit: 1024 };
        let batch = zstd_batch(&repeating_frame(1, 1025), 256);
        assert_batch_refused(&batch, 0, reason.clone());
        // Two frames of which each is within the limit.
        let twice = repeating_frame(1, 600).repeat(2);
        assert_batch_refused(&zstd_batch(&twice, 300), 0, reason);
        let read = decode_batch(&object(), &zstd_batch(&twice, 300), 1 << 20).expect("it fits");
        assert_eq!(read.len(), 300);
    }

    #[test]
    fn a_list_of_records_over_what_the_block_leaves() {
        let batch = zstd_batch(&repeating_frame(1, 1024), 256);
        let reason = FormatReason::TooManyRecords { count: 256, needed: 8192, allowed: 3072 };
        assert_batch_refused(&batch, 11, reason);
    }
}
