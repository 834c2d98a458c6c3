//! The queue manifest; see FORMAT, "Queue manifest".

use alloc::vec::Vec;

use bytes::Bytes;

use super::VERSION;
use super::entry::{MIN_ENTRY_LEN, ManifestEntry, NewEntry, RawEntry};
use super::error::{Disagreement, EncodeError, Field, FormatError, FormatReason, Section};
use super::reader::{Fault, Reader, check_count};
use crate::store::Rope;
use crate::types::{Epoch, Location, Sequence};

/// The length of a manifest's footer, in bytes.
const FOOTER_LEN: usize = 22;

/// How many pieces there are at most; an append to so many joins them.
const MAX_PIECES: usize = 64;

/// One state of the queue: the batches in it, in order, and the epoch.
///
/// It is kept as the bytes that it was read from or that will be written, in
/// pieces that changed manifests share with the ones that they were made from:
/// a manifest of any length is cheap to clone, and appending to it neither
/// decodes nor copies the entries that it has. All of the bytes were validated
/// when they came in.
///
/// Two manifests are equal if their bytes are.
///
/// ```
/// use buffer_core::format::{Manifest, NewEntry};
/// use buffer_core::{Location, Sequence};
///
/// let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// let entry = NewEntry { location: &location, metadata: &[] };
/// let manifest = Manifest::absent().append(&[entry, entry])?.without_before(Sequence(1));
/// assert_eq!((manifest.len(), manifest.is_empty()), (1, false));
/// assert_eq!(manifest.first_sequence(), Sequence(1));
/// assert_eq!(manifest.next_sequence(), Sequence(2));
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Ascending, without gaps, and none is empty.
    pieces: Vec<Piece>,
    count: u32,
    next: Sequence,
    epoch: Epoch,
}

/// Whole entries that lie behind one another.
#[derive(Clone, Debug)]
struct Piece {
    /// The sequence of the first of them.
    first: Sequence,
    bytes: Bytes,
}

const VALIDATED: &str = "a manifest's entries are validated when they come in";

impl Manifest {
    /// What a manifest object that does not exist reads as: nothing in it, and
    /// nothing ever was.
    #[must_use]
    pub fn absent() -> Self {
        Self::default()
    }

    /// Takes the contents of a manifest object, without copying them.
    ///
    /// An epoch of [`Epoch::RESERVED`] is accepted.
    ///
    /// # Errors
    ///
    /// [`FormatError`] for everything that FORMAT, "What a reader must refuse",
    /// names of manifests. Whether a `start_index` lies past the end of its
    /// batch shows only in the batch: see [`check_metadata`](super::check_metadata).
    pub fn parse(object: &Location, bytes: Bytes) -> Result<Self, FormatError> {
        Self::parse_after(object, bytes, &Self::absent())
    }

    /// Does what [`Manifest::parse`] does, and gives the same: faster where the contents go on as
    /// `earlier` does, as those of a later reading nearly always do. What is in both was validated
    /// when it came in, and is only compared.
    ///
    /// Nothing else is asked of `earlier`: see [`Manifest::check_follows`].
    ///
    /// ```
    /// use buffer_core::Location;
    /// use buffer_core::format::{Manifest, NewEntry};
    ///
    /// let (key, location) = (Location::from("ingest/manifest"), Location::from("ingest/a.batch"));
    /// let entry = NewEntry { location: &location, metadata: &[] };
    /// let earlier = Manifest::absent().append(&[entry])?;
    /// let object = earlier.append(&[entry])?.to_rope().concat();
    /// let later = Manifest::parse_after(&key, object.into(), &earlier)?;
    /// assert_eq!(later.len(), 2);
    /// later.check_follows(&earlier)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Manifest::parse`].
    pub fn parse_after(
        object: &Location,
        bytes: Bytes,
        earlier: &Self,
    ) -> Result<Self, FormatError> {
        Self::validate(bytes, earlier).map_err(|fault| fault.in_object(object))
    }

    /// The sequence of the oldest batch; [`Manifest::next_sequence`] if there is none.
    #[must_use]
    pub fn first_sequence(&self) -> Sequence {
        Sequence(self.next.0 - u64::from(self.count))
    }

    /// The sequence that the next batch will get.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// The number of the consumer's term.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many batches are listed.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::from(self.count)
    }

    /// Whether no batch is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes the manifest object takes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>() + FOOTER_LEN
    }

    /// The listed batches, oldest first, each decoded as it is reached.
    ///
    /// Payloads are slices of this manifest's bytes.
    pub fn entries(&self) -> impl Iterator<Item = ManifestEntry> + '_ {
        self.entries_from(self.first_sequence())
    }

    /// The batches from sequence `first` on, oldest first.
    ///
    /// ```
    /// use buffer_core::format::{Manifest, NewEntry};
    /// use buffer_core::{Location, Sequence};
    ///
    /// let locations = ["ingest/a.batch", "ingest/b.batch", "ingest/c.batch"].map(Location::from);
    /// let entries = locations.each_ref().map(|location| NewEntry { location, metadata: &[] });
    /// let manifest = Manifest::absent().append(&entries)?.without_before(Sequence(1));
    /// let after_1 = manifest.entries_from(Sequence(2)).map(|entry| entry.location);
    /// assert!(after_1.eq([locations[2].clone()]));
    ///
    /// // Of what is not listed any more there is nothing.
    /// let sequences = manifest.locations_from(Sequence(0)).map(|(sequence, _)| sequence);
    /// assert!(sequences.eq([Sequence(1), Sequence(2)]));
    /// # Ok::<(), buffer_core::format::EncodeError>(())
    /// ```
    pub fn entries_from(&self, first: Sequence) -> impl Iterator<Item = ManifestEntry> + '_ {
        self.raw_entries_from(first).map(|(_, piece, entry)| {
            let entry = RawEntry::read(&mut Reader::new(entry, 0)).expect(VALIDATED);
            entry.decode(piece).expect(VALIDATED)
        })
    }

    /// The batches' keys from sequence `first` on, oldest first; their metadata is not decoded.
    pub fn locations_from(
        &self,
        first: Sequence,
    ) -> impl Iterator<Item = (Sequence, Location)> + '_ {
        self.raw_entries_from(first).map(|(sequence, _, entry)| {
            let entry = RawEntry::read(&mut Reader::new(entry, 0)).expect(VALIDATED);
            (sequence, Location::from(entry.location))
        })
    }

    /// The keys of all listed batches, oldest first, without a copy of any.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> + '_ {
        self.raw_entries_from(self.first_sequence()).map(|(_, _, entry)| {
            RawEntry::read(&mut Reader::new(entry, 0)).expect(VALIDATED).location
        })
    }

    /// This manifest with more batches at its end, in the order given.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] for an entry that the format cannot hold, and when the
    /// manifest is full or the queue out of sequences; nothing is added then.
    pub fn append(&self, entries: &[NewEntry<'_>]) -> Result<Self, EncodeError> {
        for entry in entries {
            entry.check()?;
        }
        let added = u32::try_from(entries.len()).map_err(|_| EncodeError::TooManyEntries)?;
        let count = self.count.checked_add(added).ok_or(EncodeError::TooManyEntries)?;
        let next = self.next.0.checked_add(u64::from(added));
        let next = Sequence(next.ok_or(EncodeError::SequencesExhausted { last: self.next })?);
        let mut pieces = self.pieces.clone();
        if !entries.is_empty() {
            if pieces.len() >= MAX_PIECES {
                crate::sometimes!(PiecesJoined);
                Piece::join(&mut pieces);
            }
            pieces.push(Piece::encode(self.next, entries));
        }
        Ok(Self { pieces, count, next, epoch: self.epoch })
    }

    /// This manifest without the batches whose sequence is lower; what was not
    /// in it stays out of it.
    #[must_use]
    pub fn without_before(&self, sequence: Sequence) -> Self {
        let sequence = sequence.clamp(self.first_sequence(), self.next);
        let mut pieces = Vec::new();
        if sequence < self.next {
            let at = self.piece_of(sequence);
            pieces.extend_from_slice(&self.pieces[at..]);
            pieces[0].drop_before(sequence);
        }
        let left = u32::try_from(self.next.distance_from(sequence))
            .expect("it is at most the count that there was");
        Self { pieces, count: left, next: self.next, epoch: self.epoch }
    }

    /// This manifest under another epoch.
    ///
    /// ```
    /// use buffer_core::Epoch;
    /// use buffer_core::format::Manifest;
    ///
    /// // What a consumer writes to take over.
    /// let found = Manifest::absent().with_epoch(Epoch(4));
    /// let raised = found.epoch().next().map(|epoch| found.with_epoch(epoch)).expect("there is one more");
    /// assert_eq!(raised.epoch(), Epoch(5));
    /// assert_eq!(raised.next_sequence(), found.next_sequence());
    /// ```
    ///
    /// # Panics
    ///
    /// If `epoch` is [`Epoch::RESERVED`], which is never written;
    /// [`Epoch::next`] does not give it.
    #[must_use]
    pub fn with_epoch(&self, epoch: Epoch) -> Self {
        assert_ne!(epoch, Epoch::RESERVED, "the reserved epoch is never written");
        Self { epoch, ..self.clone() }
    }

    /// The bytes of the manifest object.
    #[must_use]
    pub fn to_rope(&self) -> Rope {
        let mut footer = Vec::with_capacity(FOOTER_LEN);
        footer.extend_from_slice(&self.count.to_le_bytes());
        footer.extend_from_slice(&self.next.0.to_le_bytes());
        footer.extend_from_slice(&self.epoch.0.to_le_bytes());
        footer.extend_from_slice(&VERSION.to_le_bytes());
        let mut rope = Vec::with_capacity(self.pieces.len() + 1);
        rope.extend(self.pieces.iter().map(|piece| piece.bytes.clone()));
        rope.push(footer.into());
        rope
    }

    /// Checks that this can be what became of `earlier`: nothing went back, and
    /// what both list is the same, byte for byte.
    ///
    /// # Errors
    ///
    /// [`Disagreement`] if the manifest was replaced, rolled back or recreated
    /// in between (or was not read later).
    pub fn check_follows(&self, earlier: &Self) -> Result<(), Disagreement> {
        if self.next < earlier.next {
            return Err(Disagreement::SequenceWentBack { before: earlier.next, now: self.next });
        }
        let (before, now) = (earlier.first_sequence(), self.first_sequence());
        if now < before {
            return Err(Disagreement::FirstWentBack { before, now });
        }
        if self.epoch < earlier.epoch {
            return Err(Disagreement::EpochWentBack { before: earlier.epoch, now: self.epoch });
        }
        match self.first_difference(earlier) {
            None => Ok(()),
            Some(sequence) => Err(Disagreement::EntryChanged { sequence }),
        }
    }

    /// The first sequence that both list, and that is not the same in both.
    fn first_difference(&self, other: &Self) -> Option<Sequence> {
        let first = self.first_sequence().max(other.first_sequence());
        // An entry says how long it is, so that equal bytes are equal entries. That is nearly always
        // so, and looking at each of a long backlog would cost more than all the rest.
        if are_alike(self.bytes_from(first), other.bytes_from(first)) {
            return None;
        }
        let here = self.raw_entries_from(first);
        let there = other.raw_entries_from(first);
        here.zip(there)
            .find_map(|((sequence, _, here), (_, _, there))| (here != there).then_some(sequence))
    }

    fn validate(bytes: Bytes, earlier: &Self) -> Result<Self, Fault> {
        let Some(entries_len) = bytes.len().checked_sub(FOOTER_LEN) else {
            let (found, needed) = (bytes.len() as u64, FOOTER_LEN as u64);
            return Err(Fault::new(0, FormatReason::TooShort { found, needed }));
        };
        let footer_offset = entries_len as u64;
        let mut footer = Reader::new(&bytes[entries_len..], footer_offset);
        let count = footer.u32(Field::Footer)?;
        let next_offset = footer.offset();
        let next = Sequence(footer.u64(Field::Footer)?);
        let epoch = Epoch(footer.u64(Field::Footer)?);
        let version_offset = footer.offset();
        let version = footer.u16(Field::Footer)?;
        if version != VERSION {
            let reason = FormatReason::UnknownVersion { found: version };
            return Err(Fault::new(version_offset, reason));
        }
        check_count(count, Field::EntryCount, footer_offset, MIN_ENTRY_LEN, footer_offset)?;

        let mut manifest = Self { pieces: Vec::new(), count, next, epoch };
        let entries = &bytes[..entries_len];
        let known = earlier.beginning_of(&manifest, entries).unwrap_or(Validated::NOTHING);
        let last = validate_entries(entries, count, known)?;
        // The last entry is the one before the next, so that the count is at most `next`.
        if let Some(last) = last.filter(|last| last.0.checked_add(1) != Some(next.0)) {
            let reason = FormatReason::NextSequenceMismatch { last, next };
            return Err(Fault::new(next_offset, reason));
        }
        if count > 0 {
            let first = manifest.first_sequence();
            manifest.pieces.push(Piece { first, bytes: bytes.slice(..entries_len) });
        }
        Ok(manifest)
    }

    /// How `entries` begin, if they begin as this manifest goes on from their first sequence.
    ///
    /// They are those of a `later` manifest, of which only the footer was read and nothing is believed.
    fn beginning_of(&self, later: &Self, entries: &[u8]) -> Option<Validated> {
        let first = Sequence(later.next.0.checked_sub(u64::from(later.count))?);
        let is_listed = self.first_sequence() <= first && first < self.next;
        if !is_listed || later.next < self.next {
            return None;
        }
        let len = self.bytes_from(first).map(<[u8]>::len).sum();
        let beginning = entries.get(..len)?;
        let count = u32::try_from(self.next.distance_from(first)).ok()?;
        are_alike(self.bytes_from(first), core::iter::once(beginning)).then_some(Validated {
            len,
            count,
            last: Some(Sequence(self.next.0 - 1)),
        })
    }

    /// Sequence, piece and bytes of every entry from `first` on.
    fn raw_entries_from(
        &self,
        first: Sequence,
    ) -> impl Iterator<Item = (Sequence, &Bytes, &[u8])> + '_ {
        self.pieces[self.piece_of(first)..]
            .iter()
            .flat_map(|piece| {
                piece.raw_entries().map(move |(sequence, entry)| (sequence, &piece.bytes, entry))
            })
            .skip_while(move |(sequence, ..)| *sequence < first)
    }

    /// The bytes of all entries from `first` on.
    fn bytes_from(&self, first: Sequence) -> impl Iterator<Item = &[u8]> + '_ {
        let pieces = &self.pieces[self.piece_of(first)..];
        pieces.iter().map(move |piece| &piece.bytes[piece.offset_of(first)..])
    }

    /// The index of the piece that `sequence` is in, or would be.
    fn piece_of(&self, sequence: Sequence) -> usize {
        self.pieces.partition_point(|piece| piece.first <= sequence).saturating_sub(1)
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        (self.next, self.count, self.epoch) == (other.next, other.count, other.epoch)
            && self.first_difference(other).is_none()
    }
}

impl Eq for Manifest {}

impl Piece {
    fn encode(first: Sequence, entries: &[NewEntry<'_>]) -> Self {
        let len = entries.iter().map(NewEntry::encoded_len).sum::<u64>();
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        let mut sequence = first;
        for entry in entries {
            entry.encode(sequence, &mut bytes);
            sequence = sequence.next();
        }
        Self { first, bytes: bytes.into() }
    }

    /// Makes two pieces of many: the first stays what it is for as long as the
    /// others together are smaller, so that a long backlog is not copied for
    /// the sake of a few appends; they become one.
    fn join(pieces: &mut Vec<Self>) {
        let len = |pieces: &[Self]| pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        let at = usize::from(len(&pieces[..1]) > len(&pieces[1..]));
        let mut bytes = Vec::with_capacity(len(&pieces[at..]));
        for piece in &pieces[at..] {
            bytes.extend_from_slice(&piece.bytes);
        }
        let joined = Self { first: pieces[at].first, bytes: bytes.into() };
        pieces.truncate(at);
        pieces.push(joined);
    }

    /// Sequence and bytes of every entry, found by their lengths alone.
    fn raw_entries(&self) -> impl Iterator<Item = (Sequence, &[u8])> + '_ {
        let mut sequence = self.first;
        let mut rest = &self.bytes[..];
        core::iter::from_fn(move || {
            let (length, _) = rest.split_first_chunk()?;
            let len = length.len() + u32::from_le_bytes(*length) as usize;
            let (entry, behind) = rest.split_at_checked(len).expect(VALIDATED);
            rest = behind;
            let found = sequence;
            sequence = sequence.next();
            Some((found, entry))
        })
    }

    /// Drops the entries in front of `sequence`, which is in this piece.
    fn drop_before(&mut self, sequence: Sequence) {
        self.bytes = self.bytes.slice(self.offset_of(sequence)..);
        self.first = sequence;
    }

    /// Where the entry of `sequence` begins: at 0 if it is before this piece, and at the end if behind.
    fn offset_of(&self, sequence: Sequence) -> usize {
        let before = self.raw_entries().take_while(|(found, _)| *found < sequence);
        before.map(|(_, entry)| entry.len()).sum()
    }
}

/// Whether two runs of bytes are the same, as far as both go.
fn are_alike<'a>(
    mut here: impl Iterator<Item = &'a [u8]>,
    mut there: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let (mut left, mut right): (&[u8], &[u8]) = (&[], &[]);
    loop {
        let (Some(here), Some(there)) = (or_next(left, &mut here), or_next(right, &mut there))
        else {
            return true;
        };
        let len = here.len().min(there.len());
        let ((here, after_here), (there, after_there)) = (here.split_at(len), there.split_at(len));
        // The same memory is the same bytes; most manifests share most of theirs.
        if !core::ptr::eq(here, there) && here != there {
            return false;
        }
        (left, right) = (after_here, after_there);
    }
}

/// What is left of a run of bytes that goes on with `rest`: never empty, but `None` at its end.
fn or_next<'a>(left: &'a [u8], rest: &mut impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    if left.is_empty() { rest.find(|piece| !piece.is_empty()) } else { Some(left) }
}

/// Entries at the beginning of a manifest that need not be looked at any more.
struct Validated {
    len: usize,
    count: u32,
    last: Option<Sequence>,
}

impl Validated {
    const NOTHING: Self = Self { len: 0, count: 0, last: None };
}

/// Walks all entries behind those that are known; gives the last one's sequence.
fn validate_entries(bytes: &[u8], count: u32, known: Validated) -> Result<Option<Sequence>, Fault> {
    let mut reader = Reader::new(&bytes[known.len..], known.len as u64);
    let mut previous = known.last;
    for _ in known.count..count {
        let entry = RawEntry::read(&mut reader)?;
        let found = entry.sequence;
        if let Some(previous) =
            previous.filter(|previous| previous.0.checked_add(1) != Some(found.0))
            && !crate::planted!(SequenceOrderUnchecked)
        {
            let reason = FormatReason::SequenceGap { previous, found };
            return Err(Fault::new(entry.sequence_offset, reason));
        }
        entry.check_metadata()?;
        previous = Some(found);
    }
    reader.finish(Section::Entries)?;
    Ok(previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Too many entries to make, so that only the count is there.
    #[test]
    fn more_entries_than_their_count_field_are_refused() {
        let full = Manifest { count: u32::MAX, next: Sequence(1 << 40), ..Manifest::absent() };
        let location = Location::from("l");
        let entry = NewEntry { location: &location, metadata: &[] };
        assert_eq!(full.append(&[entry]), Err(EncodeError::TooManyEntries));
    }
}
