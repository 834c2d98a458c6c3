//! A store that keeps only the latest batches whole, so that long runs fit into memory.
//!
//! A growing heap costs more than the library does: each new page is a fault.
//! Of a batch that is dropped, the sums of its entries stay.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use buffer::buffer_core::format::decode_batch;
use buffer::buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome, rope_len,
};
use buffer::{Store, StoreClient, StoreFailure};

use super::sums::Sums;

/// What a batch's footer takes; see FORMAT, "Data batch".
const FOOTER: usize = 7;

/// What stands before each record.
const LENGTH: usize = 4;

/// Keeps the latest batches, and of all of them what their entries sum up to.
#[derive(Debug)]
pub(crate) struct RecentStore {
    inner: Arc<dyn Store>,
    manifest: Location,
    /// How many bytes of batches are kept.
    limit: usize,
    calls: CallShape,
    taken: Mutex<Taken>,
}

/// What each call looks like in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallShape {
    pub(crate) entry_size: usize,
    pub(crate) entries: usize,
}

/// What a batch's calls sum up to, or what is wrong with it.
pub(crate) type SummedUp = Result<Sums, String>;

#[derive(Debug, Default)]
struct Taken {
    sums: HashMap<Location, SummedUp>,
    kept: VecDeque<(Location, usize)>,
    kept_bytes: usize,
}

impl RecentStore {
    pub(crate) fn new(
        inner: Arc<dyn Store>,
        manifest: Location,
        limit: usize,
        calls: CallShape,
    ) -> Self {
        Self { inner, manifest, limit, calls, taken: Mutex::default() }
    }

    /// What a batch's calls sum up to; `None` if there never was such a batch.
    pub(crate) fn sums(&self, location: &Location) -> Option<SummedUp> {
        self.taken().sums.get(location).cloned()
    }

    /// Whether a batch is there whole.
    pub(crate) fn is_kept(&self, location: &Location) -> bool {
        self.taken().kept.iter().any(|(kept, _)| kept == location)
    }

    /// Notes a batch that was written; what it pushes out is to be deleted.
    fn note(&self, location: Location, sums: SummedUp, len: usize) -> Vec<Location> {
        let mut taken = self.taken();
        taken.sums.insert(location.clone(), sums);
        taken.kept.push_back((location, len));
        taken.kept_bytes += len;
        let mut pushed_out = Vec::new();
        while taken.kept_bytes > self.limit
            && let Some((location, len)) = taken.kept.pop_front()
        {
            taken.kept_bytes -= len;
            pushed_out.push(location);
        }
        pushed_out
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreClient for RecentStore {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        if location == self.manifest {
            return self.inner.write(&location, payload, condition).await;
        }
        let len = rope_len(&payload);
        let sums = self.calls.sums_of_batch(&location, &payload);
        // A body that would go at once is not kept in the first place.
        let body = if len > self.limit { Rope::new() } else { payload };
        let outcome = self.inner.write(&location, body, condition).await?;
        if matches!(outcome, WriteOutcome::Stored(_)) {
            let pushed_out = self.note(location, sums, len);
            if !pushed_out.is_empty() {
                for result in self.inner.delete(pushed_out).await {
                    result?;
                }
            }
        }
        Ok(outcome)
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.inner.read(&location, unless).await
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.inner.list(&prefix, after).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        self.inner.delete(locations).await
    }
}

impl fmt::Display for RecentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl CallShape {
    /// What a batch's calls sum up to.
    ///
    /// Hardly more than a thousandth of it is looked at: this happens while time is taken.
    fn sums_of_batch(self, location: &Location, payload: &Rope) -> SummedUp {
        if is_compressed(payload) {
            let joined = payload.concat().into();
            let entries = decode_batch(location, &joined, usize::MAX);
            let mut sums = Sums::default();
            sums.add_calls(&entries.map_err(|error| error.to_string())?, self.entries);
            return Ok(sums);
        }
        let mut reader = RopeReader { rope: payload, piece: 0, at: 0 };
        self.sums(&mut reader, rope_len(payload))
            .map_err(|what| format!("{location} is no batch of whole calls: {what}"))
    }

    fn sums(self, reader: &mut RopeReader<'_>, len: usize) -> Result<Sums, &'static str> {
        let Self { entry_size, entries } = self;
        let record = LENGTH + entry_size;
        let mut left = len.checked_sub(FOOTER).ok_or("it is too short")?;
        let mut sums = Sums::default();
        while left > 0 {
            left = left.checked_sub(record * entries).ok_or("a call is cut off")?;
            let first = self.record(reader)?;
            let last = if entries == 1 {
                first.clone()
            } else {
                reader.skip(record * (entries - 2));
                self.record(reader)?
            };
            sums.add_call(&first, &last, entries as u64, (entry_size * entries) as u64);
        }
        let footer = reader.take(FOOTER);
        let count = footer.get(1..5).and_then(|count| count.try_into().ok());
        if count.map(u32::from_le_bytes).map(u64::from) != Some(sums.entries) {
            return Err("its footer counts other records");
        }
        Ok(sums)
    }

    fn record<'a>(self, reader: &mut RopeReader<'a>) -> Result<Cow<'a, [u8]>, &'static str> {
        let length = reader.take(LENGTH);
        let length = <[u8; LENGTH]>::try_from(&*length).map(u32::from_le_bytes);
        if length.is_ok_and(|length| length as usize == self.entry_size) {
            Ok(reader.take(self.entry_size))
        } else {
            Err("a record has another length")
        }
    }
}

/// Whether the footer says so, which is in one piece.
fn is_compressed(payload: &Rope) -> bool {
    let last = payload.last().and_then(|piece| piece.len().checked_sub(FOOTER).map(|at| piece[at]));
    last.is_some_and(|byte| byte != 0)
}

/// Reads a rope without joining it, but for what lies across two pieces.
struct RopeReader<'a> {
    rope: &'a Rope,
    piece: usize,
    at: usize,
}

impl<'a> RopeReader<'a> {
    fn skip(&mut self, mut len: usize) {
        while let Some(piece) = self.rope.get(self.piece)
            && len > 0
        {
            let here = len.min(piece.len() - self.at);
            (self.at, len) = (self.at + here, len - here);
            if self.at == piece.len() {
                (self.piece, self.at) = (self.piece + 1, 0);
            }
        }
    }

    /// The next bytes; fewer at the end.
    fn take(&mut self, len: usize) -> Cow<'a, [u8]> {
        let rope = self.rope;
        if let Some(piece) = rope.get(self.piece)
            && let Some(bytes) = piece.get(self.at..self.at + len)
        {
            self.at += len;
            return Cow::Borrowed(bytes);
        }
        let mut joined = Vec::new();
        while joined.len() < len
            && let Some(piece) = rope.get(self.piece)
        {
            let part = &piece[self.at..piece.len().min(self.at + len - joined.len())];
            joined.extend_from_slice(part);
            self.at += part.len();
            if self.at == piece.len() {
                (self.piece, self.at) = (self.piece + 1, 0);
            }
        }
        Cow::Owned(joined)
    }
}

#[cfg(test)]
mod tests {
    use buffer::MemoryStore;
    use buffer::buffer_core::format::{Compression, encode_batch};
    use bytes::Bytes;

    use super::*;

    fn entries(size: usize, count: u8) -> Vec<Bytes> {
        (0..count).map(|number| vec![number; size].into()).collect()
    }

    fn sums(entries: &[Bytes], per_call: usize) -> Sums {
        let mut sums = Sums::default();
        sums.add_calls(entries, per_call);
        sums
    }

    #[test]
    fn a_batch_is_summed_up_however_it_is_cut() {
        // The small ones are copied into a batch, and the large ones are pieces of their own.
        for (entry_size, per_call) in [(100, 1), (100, 2), (30, 6), (5000, 1), (4096, 4)] {
            let entries = entries(entry_size, 12);
            let calls = CallShape { entry_size, entries: per_call };
            for compression in [Compression::None, Compression::Zstd] {
                let rope = encode_batch(entries.iter(), compression).expect("it can be encoded");
                let whole = rope.concat();
                let (body, footer) = whole.split_at(whole.len() - FOOTER);
                let crumbs = body.chunks(3).chain([footer]);
                let crumbs: Rope = crumbs.map(Bytes::copy_from_slice).collect();
                for rope in [rope, vec![Bytes::from(whole.clone())], crumbs] {
                    let found = calls.sums_of_batch(&"b".into(), &rope).expect("it is a batch");
                    assert_eq!(found, sums(&entries, per_call));
                }
            }
        }
    }

    #[test]
    fn what_is_no_batch_of_such_calls_is_refused() {
        let rope = encode_batch(entries(100, 12).iter(), Compression::None).expect("it is encoded");
        let refused = |rope: &Rope, entry_size: usize, entries: usize| {
            CallShape { entry_size, entries }.sums_of_batch(&"b".into(), rope).is_err()
        };
        assert!(!refused(&rope, 100, 4));
        assert!(refused(&rope, 100, 5) && refused(&rope, 99, 4));
        let whole = Bytes::from(rope.concat());
        assert!(refused(&vec![whole.slice(3..)], 100, 4));
        assert!(refused(&vec![whole.slice(4 * 104..)], 100, 4));
    }

    #[tokio::test]
    async fn only_the_latest_batches_are_kept() {
        let calls = CallShape { entry_size: 30, entries: 1 };
        let store = RecentStore::new(Arc::new(MemoryStore::new("x")), "m".into(), 100, calls);
        for number in 0..5_u8 {
            let entries = [Bytes::from(vec![number; 30])];
            let rope = encode_batch(entries.iter(), Compression::None).expect("it can be encoded");
            let key = Location::from(format!("{number}.batch"));
            store.write(&key, rope, Condition::Absent).await.expect("it writes");
            assert_eq!(store.sums(&key), Some(Ok(sums(&entries, 1))));
        }
        let kept: Vec<_> = (0..5)
            .filter(|number| store.is_kept(&Location::from(format!("{number}.batch"))))
            .collect();
        assert_eq!(kept, [3, 4]);
        let gone = store.read(&"2.batch".into(), None).await.expect("it answers");
        assert_eq!(gone, ReadOutcome::Missing);
        assert!(store.sums(&"2.batch".into()).is_some_and(|sums| sums.is_ok()));
        // The manifest is no batch.
        let manifest = vec![Bytes::from_static(b"abc")];
        store.write(&"m".into(), manifest, Condition::Absent).await.expect("it writes");
    }
}
