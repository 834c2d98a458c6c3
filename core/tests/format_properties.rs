//! What holds for any records, any queue, and any damage to their bytes.

mod common;

use buffer_core::format::{Compression, Manifest, NewEntry, decode_batch, encode_batch};
use buffer_core::{Epoch, Sequence};
use bytes::Bytes;
use common::{
    Damage, Line, Records, assert_names_object, joined, naive_batch, naive_manifest, object,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};

const LIMIT: usize = 1 << 20;

fn encoded(records: &Records, compression: Compression) -> Bytes {
    joined(&encode_batch(records.0.iter(), compression).expect("the records fit"))
}

/// Reads what may not be a batch: refused by name, or else sound enough to be written.
fn read_batch(bytes: &Bytes) {
    match decode_batch(&object(), bytes, LIMIT) {
        Err(error) => assert_names_object(&error),
        Ok(records) => {
            let again = Records(records);
            let plain = encoded(&again, Compression::None);
            // Frames that decompress alike are many; plain records are laid out in one way only.
            if bytes[bytes.len() - 7] == 0 {
                assert_eq!(plain, bytes);
            }
            assert_eq!(decode_batch(&object(), &plain, LIMIT), Ok(again.0));
        }
    }
}

/// Reads what may not be a manifest, in all the ways that there are.
fn read_manifest(bytes: &Bytes) {
    match Manifest::parse(&object(), bytes.clone()) {
        Err(error) => assert_names_object(&error),
        Ok(manifest) => {
            assert_eq!(joined(&manifest.to_rope()), bytes);
            let lines: Vec<(u64, Line)> = manifest
                .entries()
                .map(|entry| {
                    let line = Line { location: entry.location, metadata: entry.metadata };
                    (entry.sequence.0, line)
                })
                .collect();
            let (next, epoch) = (manifest.next_sequence().0, manifest.epoch().0);
            assert_eq!(naive_manifest(&lines, next, epoch), bytes);
            assert_eq!(manifest.locations_from(Sequence(0)).count(), lines.len());
            assert_eq!(manifest.without_before(manifest.next_sequence()).len(), 0);
        }
    }
}

#[test]
fn records_come_back() {
    fn holds(records: Records) {
        let plain = encoded(&records, Compression::None);
        assert_eq!(plain, naive_batch(&records.0));
        assert_eq!(decode_batch(&object(), &plain, LIMIT), Ok(records.0.clone()));
        if cfg!(feature = "zstd") {
            let compressed = encoded(&records, Compression::Zstd);
            assert_eq!(decode_batch(&object(), &compressed, LIMIT), Ok(records.0));
        }
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(Records));
}

/// What happens to a queue.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Line>),
    Dequeue(u8),
    RaiseEpoch,
    Reread,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0 => Self::Dequeue(u8::arbitrary(g) % 8),
            1 => Self::RaiseEpoch,
            2 => Self::Reread,
            _ => {
                let count = usize::arbitrary(g) % 4;
                Self::Append((0..count).map(|_| Line::arbitrary(g)).collect())
            }
        }
    }
}

/// The queue as a list, to compare with.
#[derive(Default)]
struct Model {
    lines: Vec<(u64, Line)>,
    next: u64,
    epoch: u64,
}

impl Model {
    /// Does the same to both.
    fn take(&mut self, step: Step, manifest: &Manifest) -> Manifest {
        match step {
            Step::Append(lines) => {
                let entries: Vec<NewEntry<'_>> = lines
                    .iter()
                    .map(|Line { location, metadata }| NewEntry { location, metadata })
                    .collect();
                let added: u64 = entries.iter().map(NewEntry::encoded_len).sum();
                let appended = manifest.append(&entries).expect("they fit");
                assert_eq!(appended.encoded_len(), manifest.encoded_len() + added as usize);
                for line in lines {
                    self.lines.push((self.next, line));
                    self.next += 1;
                }
                appended
            }
            Step::Dequeue(count) => {
                let through = manifest.first_sequence().plus(u64::from(count));
                self.lines.retain(|(sequence, _)| *sequence >= through.0);
                manifest.without_before(through)
            }
            Step::RaiseEpoch => {
                self.epoch += 1;
                manifest.with_epoch(Epoch(self.epoch))
            }
            Step::Reread => {
                Manifest::parse(&object(), joined(&manifest.to_rope())).expect("it is valid")
            }
        }
    }

    fn assert_is(&self, manifest: &Manifest) {
        assert_eq!(manifest.len(), self.lines.len() as u64);
        assert_eq!(manifest.next_sequence().0, self.next);
        assert_eq!(manifest.first_sequence().0, self.next - self.lines.len() as u64);
        let bytes = joined(&manifest.to_rope());
        assert_eq!(bytes, naive_manifest(&self.lines, self.next, self.epoch));
        assert_eq!(bytes.len(), manifest.encoded_len());
        let read = Manifest::parse(&object(), bytes).expect("it is valid");
        assert_eq!(&read, manifest);
    }

    fn assert_reads_from(&self, manifest: &Manifest, first: u64) {
        let expected = self.lines.iter().filter(|(sequence, _)| *sequence >= first);
        let mut entries = manifest.entries_from(Sequence(first));
        let mut locations = manifest.locations_from(Sequence(first));
        for (sequence, line) in expected {
            let entry = entries.next().expect("it is listed");
            assert_eq!(entry.sequence.0, *sequence);
            assert_eq!((&entry.location, &entry.metadata), (&line.location, &line.metadata));
            let (sequence, location) = locations.next().expect("it is listed");
            assert_eq!((sequence, location), (entry.sequence, entry.location));
        }
        assert!(entries.next().is_none());
        assert!(locations.next().is_none());
    }
}

#[test]
fn a_manifest_is_a_list() {
    fn holds(steps: Vec<Step>, first: u8) {
        let mut model = Model::default();
        let mut manifest = Manifest::absent();
        let mut seen = vec![manifest.clone()];
        for step in steps {
            manifest = model.take(step, &manifest);
            model.assert_is(&manifest);
            model.assert_reads_from(&manifest, u64::from(first) % 40);
            for earlier in seen.iter().rev().take(3) {
                assert_eq!(manifest.check_follows(earlier), Ok(()));
            }
            seen.push(manifest.clone());
        }
        for earlier in &seen {
            assert_eq!(manifest.check_follows(earlier), Ok(()));
            assert_eq!(earlier.check_follows(&manifest).is_ok(), *earlier == manifest);
        }
    }
    QuickCheck::new().tests(200).quickcheck(holds as fn(Vec<Step>, u8));
}

/// Goal: what was validated once is not looked at again, and no one could tell.
#[test]
fn a_reading_is_the_same_whatever_was_known() {
    fn assert_same(bytes: &Bytes, known: &Manifest) {
        let alone = Manifest::parse(&object(), bytes.clone());
        assert_eq!(Manifest::parse_after(&object(), bytes.clone(), known), alone);
    }
    fn holds(steps: Vec<Step>, damage: Vec<Damage>) {
        let mut model = Model::default();
        let mut states = vec![Manifest::absent()];
        for step in steps {
            let state = model.take(step, states.last().expect("there is one"));
            states.push(state);
        }
        // Any may have been known, also what is later, and anything may have been made of the bytes.
        for known in states.iter().rev().step_by(3) {
            for read in states.iter().rev().take(6) {
                let bytes = joined(&read.to_rope());
                assert_same(&bytes, known);
                for first in damage.iter().take(8) {
                    assert_same(&damaged(&bytes, core::slice::from_ref(first)), known);
                }
            }
        }
    }
    QuickCheck::new().tests(200).quickcheck(holds as fn(Vec<Step>, Vec<Damage>));
}

#[test]
fn every_truncation_is_refused_or_sound() {
    fn holds(records: Records, lines: Vec<Line>, first: u32) {
        for compression in [Compression::None, Compression::Zstd] {
            if compression == Compression::None || cfg!(feature = "zstd") {
                let whole = encoded(&records, compression);
                // The front and the back hold all that is not payload.
                let ends =
                    (0..whole.len().min(600)).chain(whole.len().saturating_sub(60)..whole.len());
                for len in ends {
                    read_batch(&whole.slice(..len));
                }
            }
        }
        let whole = manifest_of(lines, first);
        for len in 0..whole.len().min(3000) {
            read_manifest(&whole.slice(..len));
        }
    }
    QuickCheck::new().tests(50).quickcheck(holds as fn(Records, Vec<Line>, u32));
}

fn manifest_of(lines: Vec<Line>, first: u32) -> Bytes {
    let numbered: Vec<(u64, Line)> = (u64::from(first)..).zip(lines).collect();
    let next = u64::from(first) + numbered.len() as u64;
    naive_manifest(&numbered, next, 0)
}

fn damaged(bytes: &Bytes, damage: &[Damage]) -> Bytes {
    let mut bytes = bytes.to_vec();
    damage.iter().for_each(|damage| damage.apply(&mut bytes));
    bytes.into()
}

#[test]
fn damaged_batches_are_refused_or_sound() {
    fn holds(records: Records, damage: Vec<Damage>) {
        for compression in [Compression::None, Compression::Zstd] {
            if compression == Compression::None || cfg!(feature = "zstd") {
                let whole = encoded(&records, compression);
                for first in &damage {
                    read_batch(&damaged(&whole, core::slice::from_ref(first)));
                }
                read_batch(&damaged(&whole, &damage[..damage.len().min(4)]));
            }
        }
    }
    QuickCheck::new().tests(300).quickcheck(holds as fn(Records, Vec<Damage>));
}

#[test]
fn damaged_manifests_are_refused_or_sound() {
    fn holds(lines: Vec<Line>, first: u32, damage: Vec<Damage>) {
        let whole = manifest_of(lines, first);
        read_manifest(&whole);
        for first in &damage {
            read_manifest(&damaged(&whole, core::slice::from_ref(first)));
        }
        read_manifest(&damaged(&whole, &damage[..damage.len().min(4)]));
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(Vec<Line>, u32, Vec<Damage>));
}

#[cfg(feature = "zstd")]
#[test]
fn a_changed_byte_of_a_compressed_batch_is_never_good_data() {
    fn holds(records: Records, at: usize, bit: u8) {
        let whole = encoded(&records, Compression::Zstd);
        let mut changed = whole.to_vec();
        let block_len = changed.len() - 7;
        changed[at % block_len] ^= 1 << (bit % 8);
        // Flags that no reader needs may change; what comes out may not.
        if let Ok(read) = decode_batch(&object(), &changed.into(), LIMIT) {
            assert_eq!(read, records.0);
        }
    }
    QuickCheck::new().tests(2000).quickcheck(holds as fn(Records, usize, u8));
}
