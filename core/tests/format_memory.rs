//! Whatever the bytes say, reading them takes no more memory than it is given.
//!
//! Counted is what this thread has allocated and not freed, a buffer that is
//! moved to a larger one with both. The decompressor's own state is not in it:
//! it is the same 100 KiB or so whatever the frames say, as long as they are
//! decompressed straight into their buffer, as is done here.

mod common;

use buffer_core::format::{Compression, Manifest, decode_batch, encode_batch};
use bytes::Bytes;
use common::{Damage, Line, Records, joined, naive_manifest, object};
use quickcheck::QuickCheck;

/// Errors and what `Bytes` needs to be shared.
const SMALL: u64 = 4096;

/// The most that was allocated at any one time.
fn peak(read: impl FnOnce()) -> u64 {
    allocation_counter::measure(read).bytes_max
}

#[track_caller]
fn assert_bounded(bytes: &Bytes, limit: usize, peak: u64) {
    let bound = (2 * bytes.len()).max(limit) as u64 + SMALL;
    assert!(peak <= bound, "{peak} bytes for {}, limit {limit}", bytes.len());
}

#[track_caller]
fn assert_batch_bounded(bytes: &Bytes, limit: usize) {
    let peak = peak(|| drop(decode_batch(&object(), bytes, limit)));
    assert_bounded(bytes, limit, peak);
}

#[test]
fn damaged_batches_take_what_they_are_given() {
    fn holds(records: Records, damage: Vec<Damage>, limit: u16) {
        for compression in [Compression::None, Compression::Zstd] {
            if compression == Compression::None || cfg!(feature = "zstd") {
                let whole = encode_batch(records.0.iter(), compression).expect("the records fit");
                let whole = joined(&whole);
                assert_batch_bounded(&whole, limit.into());
                for damage in &damage {
                    let mut bytes = whole.to_vec();
                    damage.apply(&mut bytes);
                    assert_batch_bounded(&bytes.into(), limit.into());
                }
            }
        }
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(Records, Vec<Damage>, u16));
}

#[test]
fn damaged_manifests_take_what_they_are_given() {
    fn holds(lines: Vec<Line>, damage: Vec<Damage>) {
        let next = lines.len() as u64;
        let whole = naive_manifest(&(0..).zip(lines).collect::<Vec<_>>(), next, 0);
        for damage in &damage {
            let mut bytes = whole.to_vec();
            damage.apply(&mut bytes);
            let bytes = Bytes::from(bytes);
            let peak = peak(|| drop(Manifest::parse(&object(), bytes.clone())));
            assert!(peak <= SMALL, "{peak} bytes: a manifest stays where it is");
        }
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(Vec<Line>, Vec<Damage>));
}

#[test]
fn an_entry_takes_little_more_than_its_metadata() {
    // The densest there is: items without payload, 16 bytes each.
    let item = common::metadata(0, 0, "");
    let line = Line { location: "l".into(), metadata: vec![item; 1000] };
    let lines: Vec<(u64, Line)> = (0..).zip(vec![line; 10]).collect();
    let bytes = naive_manifest(&lines, 10, 0);
    let manifest = Manifest::parse(&object(), bytes.clone()).expect("it is valid");
    let peak = peak(|| manifest.entries().for_each(drop));
    let longest = bytes.len() as u64 / 10;
    assert!(peak <= 3 * longest + SMALL, "{peak} bytes for an entry of {longest}");
}

#[test]
fn a_count_at_random_allocates_nothing() {
    // What aborted the process once: a flipped bit in the record count.
    for bit in 0..32 {
        let mut bytes = vec![0; 4 * 16];
        bytes.extend([0, 16, 0, 0, 0, 1, 0]);
        bytes[4 * 16 + 1 + bit / 8] ^= 1 << (bit % 8);
        let bytes = Bytes::from(bytes);
        let peak = peak(|| {
            decode_batch(&object(), &bytes, 1024).expect_err("the count is wrong");
        });
        assert!(peak <= 256, "{peak} bytes for an error");
    }
}

#[test]
fn a_plain_batch_is_its_list_of_records() {
    let records: Vec<Bytes> = vec![Bytes::from(vec![b'r'; 256]); 1000];
    let whole = encode_batch(records.iter(), Compression::None).expect("the records fit");
    let whole = joined(&whole);
    let peak = peak(|| drop(decode_batch(&object(), &whole, 1 << 20)));
    assert!(peak <= 32_000 + 256, "{peak} bytes for a list of 32,000");
}

#[cfg(feature = "zstd")]
mod bombs {
    use super::*;
    use buffer_core::format::FormatReason;
    use common::{hex, repeating_frame, zstd_batch};

    const LIMIT: usize = 1 << 20;

    /// Stopped by the limit, and before it is passed.
    #[track_caller]
    fn assert_stopped(frames: &[u8], limit: usize) {
        let batch = zstd_batch(frames, 1);
        let mut error = None;
        let peak = peak(|| error = decode_batch(&object(), &batch, limit).err());
        assert_bounded(&batch, limit, peak);
        let error = error.expect("it must be refused");
        assert!(matches!(error.reason, FormatReason::RecordsTooLarge { .. }), "{error}");
    }

    #[test]
    fn a_huge_declared_size() {
        for declared in [LIMIT as u64 + 1, 1 << 32, 1 << 62, u64::MAX - 2] {
            let mut frame = hex("28b52ffd e0").to_vec();
            frame.extend(declared.to_le_bytes());
            frame.extend(hex("030000 00"));
            assert_stopped(&frame, LIMIT);
        }
    }

    #[test]
    fn a_declared_size_within_the_limit_that_so_few_bytes_cannot_hold() {
        let mut frame = hex("28b52ffd e0").to_vec();
        frame.extend((1_u64 << 40).to_le_bytes());
        frame.extend(hex("030000 00"));
        let batch = zstd_batch(&frame, 1);
        let mut error = None;
        let peak = peak(|| error = decode_batch(&object(), &batch, usize::MAX).err());
        assert!(peak < 1 << 20, "{peak} bytes");
        let error = error.expect("it must be refused");
        assert!(matches!(error.reason, FormatReason::BadZstd { .. }), "{error}");
    }

    #[test]
    fn blocks_that_repeat_one_byte() {
        // 4 bytes stand for 128 KiB: 4 KiB of them for 128 MiB.
        for limit in [0, 1, 1000, LIMIT, LIMIT + 1, 100 << 20] {
            assert_stopped(&repeating_frame(1024, 128 << 10), limit);
        }
    }

    #[test]
    fn an_undeclared_size_just_within_the_limit() {
        let batch = zstd_batch(&repeating_frame(8, 128 << 10), 1 << 18);
        // All of the limit goes to the block, and nothing is left for the list.
        let mut error = None;
        let peak = peak(|| error = decode_batch(&object(), &batch, LIMIT).err());
        assert_bounded(&batch, LIMIT, peak);
        let error = error.expect("it must be refused");
        assert!(matches!(error.reason, FormatReason::TooManyRecords { .. }), "{error}");
        assert_batch_bounded(&batch, 9 * LIMIT);
        let read = decode_batch(&object(), &batch, 9 * LIMIT).expect("it all fits");
        assert_eq!(read.len(), 1 << 18);
    }

    #[test]
    fn many_frames_after_one_another() {
        assert_stopped(&repeating_frame(1, 128 << 10).repeat(1000), LIMIT);
        // The first is honest about itself, and empty.
        let empty = hex("28b52ffd 20 00 010000");
        let frames = [&empty[..], &repeating_frame(1, 128 << 10).repeat(1000)].concat();
        assert_stopped(&frames, LIMIT);
        // Skippable frames say nothing of a size.
        let skippable = hex("502a4d18 00000000");
        let frames = [&skippable.repeat(1000)[..], &repeating_frame(100, 128 << 10)].concat();
        assert_stopped(&frames, LIMIT);
    }

    #[test]
    fn a_frame_inside_of_what_was_a_frame() {
        // What is decompressed is data, however much it looks like a bomb.
        let bomb = repeating_frame(1024, 128 << 10);
        let records = [Bytes::from(bomb)];
        let whole = encode_batch(records.iter(), Compression::Zstd).expect("it fits");
        let read = decode_batch(&object(), &joined(&whole), LIMIT).expect("it is valid");
        assert_eq!(read, records);
    }

    #[test]
    fn a_huge_window() {
        // From 1 KiB to nearly 4 TiB, around what is really a hundred bytes.
        for window in 0..=255 {
            let mut frame = repeating_frame(1, 100);
            frame[5] = window;
            let batch = zstd_batch(&frame, 25);
            assert_batch_bounded(&batch, LIMIT);
        }
    }

    #[test]
    fn a_compressor_s_own_bomb() {
        let records = [Bytes::from(vec![0; 64 << 20])];
        let whole = joined(&encode_batch(records.iter(), Compression::Zstd).expect("it fits"));
        assert!(whole.len() < 16 << 10, "{} bytes", whole.len());
        assert_stopped(&whole[..whole.len() - 7], LIMIT);
    }
}
