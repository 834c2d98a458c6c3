//! Every shape of FORMAT, written out byte by byte.

mod common;

use buffer_core::format::{
    Compression, Manifest, ManifestEntry, NewEntry, decode_batch, encode_batch,
};
use buffer_core::{Epoch, Location, Sequence};
use bytes::Bytes;
use common::{hex, joined, metadata, object};

/// Written and read in both directions: the bytes are these and no others.
fn assert_batch(records: &[&'static str], golden: &Bytes) {
    let records: Vec<Bytes> = records.iter().map(|record| Bytes::from(*record)).collect();
    let written = encode_batch(records.iter(), Compression::None).expect("the records fit");
    assert_eq!(joined(&written), golden);
    assert_eq!(decode_batch(&object(), golden, 1024).expect("it is valid"), records);
}

#[test]
fn an_empty_batch_is_a_footer() {
    assert_batch(&[], &hex("00 00000000 0100"));
}

#[test]
fn a_batch_of_one_record() {
    assert_batch(&["hello"], &hex("05000000 68656c6c6f  00 01000000 0100"));
}

#[test]
fn a_batch_of_many_records() {
    let golden = hex("
        05000000 66697273 74
        06000000 7365636f 6e64
        01000000 33
        00 03000000 0100
    ");
    assert_batch(&["first", "second", "3"], &golden);
}

#[test]
fn an_empty_record_is_a_record() {
    assert_batch(&[""], &hex("00000000  00 01000000 0100"));
    assert_batch(&["", "a", ""], &hex("00000000 01000000 61 00000000  00 03000000 0100"));
}

#[test]
fn a_large_record_is_a_piece_of_its_own_and_the_bytes_are_the_same() {
    let large = Bytes::from(vec![b'x'; 4096]);
    let records = [Bytes::from("a"), large.clone(), large.clone(), Bytes::from("b")];
    let rope = encode_batch(records.iter(), Compression::None).expect("the records fit");
    let pieces = [
        hex("01000000 61 00100000"),
        large.clone(),
        hex("00100000"),
        large.clone(),
        hex("01000000 62  00 04000000 0100"),
    ];
    assert_eq!(rope, pieces);
    assert_eq!(rope[1].as_ptr(), large.as_ptr(), "it was copied");
    assert_eq!(decode_batch(&object(), &joined(&rope), 10_000).expect("it is valid"), records);
}

#[cfg(feature = "zstd")]
mod compressed {
    use super::*;

    fn assert_reads(golden: &Bytes, records: &[&'static str]) {
        assert_eq!(decode_batch(&object(), golden, 1024).expect("it is valid"), records);
    }

    // Frames as RFC 8878 has them: magic, descriptor, size or window, then
    // one raw block, whose header is its length times 8 plus 1 for the last.

    #[test]
    fn a_frame_that_declares_its_size() {
        let golden = hex("
            28b52ffd 20 09 490000 05000000 68656c6c6f
            01 01000000 0100
        ");
        assert_reads(&golden, &["hello"]);
    }

    #[test]
    fn a_frame_that_does_not_declare_its_size() {
        let golden = hex("
            28b52ffd 00 58 490000 05000000 68656c6c6f
            01 01000000 0100
        ");
        assert_reads(&golden, &["hello"]);
    }

    #[test]
    fn a_frame_that_another_writer_compressed() {
        // Fifteen records of 0 to 4 bytes, as version 0.3.0 of the existing
        // implementation wrote them, with a compressed block.
        let golden = hex("
            28b52ffd 20 50 450100 c000000101020000 0002030000000303 0304000000040404
            0406003915 93c90058a1 34d8b98b01 2c
            01 0f000000 0100
        ");
        let records: Vec<Bytes> = (0..5_u8)
            .flat_map(|last| (0..=last).map(|n| Bytes::from(vec![n; usize::from(n)])))
            .collect();
        assert_eq!(decode_batch(&object(), &golden, 1024).expect("it is valid"), records);
    }

    #[test]
    fn several_frames_are_one_block() {
        // The cut goes through a record; a skippable frame lies in between.
        let golden = hex("
            28b52ffd 20 06 310000 05000000 6865
            502a4d18 03000000 aabbcc
            28b52ffd 00 58 190000 6c6c6f
            01 01000000 0100
        ");
        assert_reads(&golden, &["hello"]);
    }

    #[test]
    fn no_records_in_no_frame() {
        assert_reads(&hex("01 00000000 0100"), &[]);
        assert_reads(&hex("28b52ffd 20 00 010000  01 00000000 0100"), &[]);
    }

    #[test]
    fn what_is_written_declares_its_size_and_carries_a_checksum() {
        let records: Vec<Bytes> =
            (0..1000).map(|n| Bytes::from(format!("record number {n}"))).collect();
        let object_bytes =
            joined(&encode_batch(records.iter(), Compression::Zstd).expect("the records fit"));
        assert_eq!(object_bytes[..4], hex("28b52ffd"));
        let descriptor = object_bytes[4];
        assert_eq!(descriptor & 0b0000_0100, 0b0000_0100, "the checksum flag");
        // A single segment has a size even where the flag for its width is 0.
        assert_ne!(descriptor & 0b1110_0000, 0, "the declared size");
        assert_eq!(object_bytes[object_bytes.len() - 7..], hex("01 e8030000 0100"));
        assert!(object_bytes.len() < 8 * 1024, "{} bytes", object_bytes.len());
        assert_eq!(decode_batch(&object(), &object_bytes, 1 << 20).expect("it is valid"), records);
    }

    #[test]
    fn records_of_every_size_come_back() {
        // Around what is copied, what is staged and what a piece of output holds.
        let mut noise = 1_u64;
        let mut byte = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            noise.to_le_bytes()[7]
        };
        let mut record = |len: usize| (0..len).map(|_| byte()).collect::<Bytes>();
        let records: Vec<Bytes> =
            [0, 4095, 4096, 4097, 131_068, 131_072, 0, 1 << 20, (1 << 20) + 1, 3 << 20, 1]
                .into_iter()
                .chain((0..100).map(|n| n * 41))
                .map(&mut record)
                .collect();
        for compression in [Compression::None, Compression::Zstd] {
            let rope = encode_batch(records.iter(), compression).expect("the records fit");
            let read = decode_batch(&object(), &joined(&rope), 16 << 20).expect("it is valid");
            assert!(read == records, "{compression:?}");
        }
    }
}

#[cfg(not(feature = "zstd"))]
#[test]
fn a_build_without_zstandard_says_so() {
    use buffer_core::format::{EncodeError, FormatReason};

    let golden = hex("28b52ffd 20 09 490000 05000000 68656c6c6f  01 01000000 0100");
    let error = decode_batch(&object(), &golden, 1024).expect_err("it cannot be read");
    assert_eq!((error.offset, error.reason), (0, FormatReason::NoZstd));
    let refused = encode_batch([].iter(), Compression::Zstd).expect_err("it cannot be written");
    assert_eq!(refused, EncodeError::NoZstd);
}

/// Read, and written as it was read.
fn parsed(golden: &Bytes) -> Manifest {
    let manifest = Manifest::parse(&object(), golden.clone()).expect("it is valid");
    assert_eq!(joined(&manifest.to_rope()), golden);
    assert_eq!(manifest.encoded_len(), golden.len());
    manifest
}

fn entry(sequence: u64, location: &str) -> ManifestEntry {
    ManifestEntry {
        sequence: Sequence(sequence),
        location: Location::from(location),
        metadata: Vec::new(),
    }
}

#[test]
fn an_empty_manifest_is_a_footer() {
    let golden = hex("00000000 0000000000000000 0000000000000000 0100");
    assert_eq!(joined(&Manifest::absent().to_rope()), golden);
    let manifest = parsed(&golden);
    assert_eq!(manifest, Manifest::absent());
    assert!(manifest.is_empty());
    assert_eq!(manifest.entries().count(), 0);
    assert_eq!(manifest.first_sequence(), Sequence(0));
}

const ONE: &str = "
    23000000 0000000000000000 0300 622f31 01000000
        00000000 e803000000000000 02000000 6869
    01000000 0100000000000000 0000000000000000 0100
";

#[test]
fn a_manifest_of_one_entry() {
    let location = Location::from("b/1");
    let items = [metadata(0, 1000, "hi")];
    let new = NewEntry { location: &location, metadata: &items };
    assert_eq!(new.encoded_len(), 39);
    let written = Manifest::absent().append(&[new]).expect("it fits");
    assert_eq!(joined(&written.to_rope()), hex(ONE));

    let manifest = parsed(&hex(ONE));
    assert_eq!(manifest, written);
    assert_eq!(manifest.next_sequence(), Sequence(1));
    let expected = ManifestEntry { metadata: items.to_vec(), ..entry(0, "b/1") };
    assert_eq!(manifest.entries().collect::<Vec<_>>(), [expected]);
}

/// The second entry has two metadata items, one of them without a payload and
/// from before 1970; the third has an empty location.
const MANY: &str = "
    11000000 0700000000000000 0300 622f37 00000000
    36000000 0800000000000000 0400 622fc3bc 02000000
        00000000 ffffffffffffffff 00000000
        05000000 00e40b5402000000 04000000 00ff00ff
    0e000000 0900000000000000 0000 00000000
    03000000 0a00000000000000 0200000000000000 0100
";

#[test]
fn a_manifest_of_many_entries_and_several_metadata_items() {
    let manifest = parsed(&hex(MANY));
    assert_eq!(manifest.first_sequence(), Sequence(7));
    assert_eq!(manifest.next_sequence(), Sequence(10));
    assert_eq!(manifest.epoch(), Epoch(2));
    assert_eq!(manifest.len(), 3);

    let mut binary = metadata(5, 10_000_000_000, "");
    binary.payload = Bytes::from_static(&[0, 255, 0, 255]);
    let items = [metadata(0, -1, ""), binary];
    let second = ManifestEntry { metadata: items.to_vec(), ..entry(8, "b/ü") };
    let expected = [entry(7, "b/7"), second, entry(9, "")];
    assert_eq!(manifest.entries().collect::<Vec<_>>(), expected);
    assert_eq!(manifest.entries_from(Sequence(8)).collect::<Vec<_>>(), expected[1..]);
    let keys: Vec<_> = manifest.locations_from(Sequence(9)).collect();
    assert_eq!(keys, [(Sequence(9), Location::from(""))]);

    // The same, written: to an empty queue that has come as far as sequence 7.
    let emptied = parsed(&hex("00000000 0700000000000000 0200000000000000 0100"));
    let locations: Vec<Location> = expected.iter().map(|entry| entry.location.clone()).collect();
    let written = emptied
        .append(&[NewEntry { location: &locations[0], metadata: &[] }])
        .and_then(|manifest| {
            manifest.append(&[
                NewEntry { location: &locations[1], metadata: &items },
                NewEntry { location: &locations[2], metadata: &[] },
            ])
        })
        .expect("they fit");
    assert_eq!(joined(&written.to_rope()), hex(MANY));
}

#[test]
fn payloads_are_slices_of_the_manifest() {
    let golden = hex(ONE);
    let manifest = parsed(&golden);
    let entry = manifest.entries().next().expect("there is one");
    let payload = &entry.metadata[0].payload;
    assert!(golden.as_ptr_range().contains(&payload.as_ptr()));
}

#[test]
fn a_dequeue_drops_the_front_and_nothing_else() {
    let manifest = parsed(&hex(MANY));
    let dequeued = hex("
        0e000000 0900000000000000 0000 00000000
        01000000 0a00000000000000 0200000000000000 0100
    ");
    assert_eq!(joined(&manifest.without_before(Sequence(9)).to_rope()), dequeued);
    assert_eq!(parsed(&dequeued).first_sequence(), Sequence(9));

    let emptied = hex("00000000 0a00000000000000 0200000000000000 0100");
    assert_eq!(joined(&manifest.without_before(Sequence(10)).to_rope()), emptied);
    assert_eq!(parsed(&emptied).first_sequence(), Sequence(10));
}

#[test]
fn an_epoch_is_raised_in_the_footer_alone() {
    let first = parsed(&hex(ONE)).with_epoch(Epoch(1));
    let raised = hex("
        23000000 0000000000000000 0300 622f31 01000000
            00000000 e803000000000000 02000000 6869
        01000000 0100000000000000 0100000000000000 0100
    ");
    assert_eq!(joined(&first.to_rope()), raised);
    assert_eq!(parsed(&raised), first);

    let highest = first.with_epoch(Epoch(u64::MAX - 1));
    let raised = hex("
        23000000 0000000000000000 0300 622f31 01000000
            00000000 e803000000000000 02000000 6869
        01000000 0100000000000000 feffffffffffffff 0100
    ");
    assert_eq!(joined(&highest.to_rope()), raised);
    assert_eq!(parsed(&raised).epoch(), Epoch(u64::MAX - 1));
}

#[test]
fn the_reserved_epoch_is_read() {
    let golden = hex("00000000 0000000000000000 ffffffffffffffff 0100");
    assert_eq!(parsed(&golden).epoch(), Epoch::RESERVED);
}

#[test]
#[should_panic(expected = "the reserved epoch is never written")]
fn the_reserved_epoch_is_not_written() {
    let _ = Manifest::absent().with_epoch(Epoch::RESERVED);
}
