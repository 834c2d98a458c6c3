//! What the tests of the format share.
#![allow(dead_code, reason = "no test uses all of it")]

use buffer_core::format::{FormatError, Metadata};
use buffer_core::{Location, Rope};
use bytes::Bytes;
use quickcheck::{Arbitrary, Gen};

/// Bytes written out as hexadecimal digits; white space is for the reader.
pub(crate) fn hex(digits: &str) -> Bytes {
    let digits: Vec<u8> = digits
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| {
            u8::try_from(digit.to_digit(16).expect("a hexadecimal digit")).expect("a nibble")
        })
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The object that a rope becomes.
pub(crate) fn joined(rope: &Rope) -> Bytes {
    rope.concat().into()
}

/// The key that objects under test are said to have.
pub(crate) fn object() -> Location {
    Location::from("queue/object")
}

pub(crate) fn metadata(
    start_index: u32,
    ingestion_time_ms: i64,
    payload: &'static str,
) -> Metadata {
    Metadata { start_index, ingestion_time_ms, payload: Bytes::from_static(payload.as_bytes()) }
}

/// Fails unless the error names the object under test.
pub(crate) fn assert_names_object(error: &FormatError) {
    assert_eq!(error.object, object());
    assert!(error.to_string().starts_with("queue/object is corrupt at byte "), "{error}");
}

/// Records of a batch: mostly small, now and then one that is not copied.
#[derive(Clone, Debug)]
pub(crate) struct Records(pub(crate) Vec<Bytes>);

impl Arbitrary for Records {
    fn arbitrary(g: &mut Gen) -> Self {
        let record = |g: &mut Gen| match u8::arbitrary(g) % 16 {
            0 => Bytes::from(vec![u8::arbitrary(g); 4000 + usize::from(u8::arbitrary(g))]),
            1..=3 => Bytes::new(),
            _ => Bytes::from(Vec::arbitrary(g)),
        };
        let count = usize::arbitrary(g) % 24;
        Self((0..count).map(|_| record(g)).collect())
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let plain: Vec<Vec<u8>> = self.0.iter().map(|record| record.to_vec()).collect();
        Box::new(plain.shrink().map(|records| Self(records.into_iter().map(Bytes::from).collect())))
    }
}

/// A batch's place in a manifest, but for its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) location: Location,
    pub(crate) metadata: Vec<Metadata>,
}

impl Arbitrary for Line {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut metadata: Vec<Metadata> = (0..usize::arbitrary(g) % 5)
            .map(|_| Metadata {
                start_index: u32::arbitrary(g),
                ingestion_time_ms: i64::arbitrary(g),
                payload: Bytes::from(Vec::arbitrary(g)),
            })
            .collect();
        metadata.sort_by_key(|item| item.start_index);
        Self { location: Location::from(String::arbitrary(g)), metadata }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let location = self.location.clone();
        let fewer = (0..self.metadata.len()).map({
            let metadata = self.metadata.clone();
            move |without| {
                let mut metadata = metadata.clone();
                metadata.remove(without);
                Self { location: location.clone(), metadata }
            }
        });
        let metadata = self.metadata.clone();
        let shorter = self.location.as_str().to_owned().shrink().map(move |location| Self {
            location: Location::from(location),
            metadata: metadata.clone(),
        });
        Box::new(fewer.chain(shorter))
    }
}

/// The bytes of a manifest as its description has them, without the machinery under test.
pub(crate) fn naive_manifest(lines: &[(u64, Line)], next: u64, epoch: u64) -> Bytes {
    let mut out = Vec::new();
    for (sequence, line) in lines {
        let mut entry = Vec::new();
        let location = line.location.as_str();
        entry.extend(sequence.to_le_bytes());
        entry.extend(u16::try_from(location.len()).expect("a short location").to_le_bytes());
        entry.extend(location.as_bytes());
        entry.extend(len_u32(line.metadata.len()));
        for item in &line.metadata {
            entry.extend(item.start_index.to_le_bytes());
            entry.extend(item.ingestion_time_ms.to_le_bytes());
            entry.extend(len_u32(item.payload.len()));
            entry.extend(&item.payload);
        }
        out.extend(len_u32(entry.len()));
        out.extend(entry);
    }
    out.extend(len_u32(lines.len()));
    out.extend(next.to_le_bytes());
    out.extend(epoch.to_le_bytes());
    out.extend(1_u16.to_le_bytes());
    out.into()
}

/// The bytes of an uncompressed batch, in the same way.
pub(crate) fn naive_batch(records: &[Bytes]) -> Bytes {
    let mut out = Vec::new();
    for record in records {
        out.extend(len_u32(record.len()));
        out.extend(record);
    }
    out.push(0);
    out.extend(len_u32(records.len()));
    out.extend(1_u16.to_le_bytes());
    out.into()
}

fn len_u32(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("a short vector").to_le_bytes()
}

/// One thing that goes wrong with an object's bytes. Places are taken modulo its length.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Flip { at: usize, bit: u8 },
    Overwrite { at: usize, with: Vec<u8> },
    Insert { at: usize, what: Vec<u8> },
    Delete { at: usize, len: usize },
    Duplicate { at: usize, len: usize },
    Truncate { at: usize },
}

impl Damage {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let place = |at: usize| at % (len + 1);
        match self {
            Self::Flip { at, bit } => {
                if let Some(byte) = bytes.get_mut(place(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Overwrite { at, with } => {
                bytes.iter_mut().skip(place(*at)).zip(with).for_each(|(to, from)| *to = *from);
            }
            Self::Insert { at, what } => {
                bytes.splice(place(*at)..place(*at), what.iter().copied());
            }
            Self::Delete { at, len } => {
                let start = place(*at);
                bytes.drain(start..(start + len).min(bytes.len()));
            }
            Self::Duplicate { at, len } => {
                let start = place(*at);
                let range = bytes[start..(start + len).min(bytes.len())].to_vec();
                bytes.splice(start..start, range);
            }
            Self::Truncate { at } => bytes.truncate(place(*at)),
        }
    }
}

impl Arbitrary for Damage {
    fn arbitrary(g: &mut Gen) -> Self {
        let at = usize::arbitrary(g);
        let len = usize::arbitrary(g) % 64;
        // Numbers that are near a limit do more than numbers at random.
        let numbers =
            [vec![0; 4], vec![255; 4], vec![255; 8], vec![1, 0, 0, 0], vec![0, 0, 0, 128]];
        let number = g.choose(&numbers).expect("there are some").clone();
        match u8::arbitrary(g) % 7 {
            0 => Self::Flip { at, bit: u8::arbitrary(g) },
            1 => Self::Overwrite { at, with: Vec::arbitrary(g) },
            2 => Self::Overwrite { at, with: number },
            3 => Self::Insert { at, what: Vec::arbitrary(g) },
            4 => Self::Delete { at, len },
            5 => Self::Duplicate { at, len },
            _ => Self::Truncate { at },
        }
    }
}

/// A Zstandard frame without a declared size, of blocks that each repeat one byte.
pub(crate) fn repeating_frame(blocks: usize, block_len: u32) -> Vec<u8> {
    // Magic, a descriptor without any flag, a window of 2 MiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 0..blocks {
        let last = u32::from(block + 1 == blocks);
        let header = block_len << 3 | 1 << 1 | last;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// A compressed batch of the frames given.
pub(crate) fn zstd_batch(frames: &[u8], record_count: u32) -> Bytes {
    let mut object = frames.to_vec();
    object.push(1);
    object.extend(record_count.to_le_bytes());
    object.extend(1_u16.to_le_bytes());
    object.into()
}
