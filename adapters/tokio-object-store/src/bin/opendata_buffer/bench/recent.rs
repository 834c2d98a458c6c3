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
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, StoreErrorKind, Version,
    WriteOutcome, rope_len,
};
use buffer::{BoxFuture, Store, StoreFailure};

use super::sums::{Depth, Sums};

/// What a batch's footer takes; see FORMAT, "Data batch".
const FOOTER: usize = 7;

/// Keeps the latest batches, and of all of them what their entries sum up to.
#[derive(Debug)]
pub(crate) struct RecentStore {
    inner: Arc<dyn Store>,
    manifest: Location,
    /// How many bytes of batches are kept.
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    sums: HashMap<Location, Sums>,
    kept: VecDeque<(Location, usize)>,
    kept_bytes: usize,
}

impl RecentStore {
    pub(crate) fn new(inner: Arc<dyn Store>, manifest: Location, limit: usize) -> Self {
        Self { inner, manifest, limit, taken: Mutex::default() }
    }

    /// What the ends of a batch's entries sum up to; `None` if there never was such a batch.
    pub(crate) fn sums(&self, location: &Location) -> Option<Sums> {
        self.taken().sums.get(location).copied()
    }

    /// Whether a batch is there whole.
    pub(crate) fn is_kept(&self, location: &Location) -> bool {
        self.taken().kept.iter().any(|(kept, _)| kept == location)
    }

    /// Notes a batch that was written; what it pushes out is to be deleted.
    fn note(&self, location: Location, sums: Sums, len: usize) -> Vec<Location> {
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

impl Store for RecentStore {
    fn write(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> BoxFuture<'_, Result<WriteOutcome, StoreFailure>> {
        if *location == self.manifest {
            return self.inner.write(location, payload, condition);
        }
        let location = location.clone();
        Box::pin(async move {
            let len = rope_len(&payload);
            let sums = sums_of_batch(&location, &payload)?;
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
        })
    }

    fn read(
        &self,
        location: &Location,
        unless: Option<Version>,
    ) -> BoxFuture<'_, Result<ReadOutcome, StoreFailure>> {
        self.inner.read(location, unless)
    }

    fn list(
        &self,
        prefix: &Location,
        after: Option<ListCursor>,
    ) -> BoxFuture<'_, Result<ListPage, StoreFailure>> {
        self.inner.list(prefix, after)
    }

    fn delete(&self, locations: Vec<Location>) -> BoxFuture<'_, Vec<Result<(), StoreFailure>>> {
        self.inner.delete(locations)
    }
}

impl fmt::Display for RecentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// What the ends of a batch's entries sum up to.
///
/// Only the ends are looked at: this happens while time is taken.
fn sums_of_batch(location: &Location, payload: &Rope) -> Result<Sums, StoreFailure> {
    let corrupt = |what: &dyn fmt::Display| {
        StoreFailure::new(StoreErrorKind::Refused, format!("{location} is no batch: {what}"))
    };
    let mut sums = Sums::default();
    let mut reader = RopeReader { rope: payload, piece: 0, at: 0 };
    let records = rope_len(payload).checked_sub(FOOTER).ok_or_else(|| corrupt(&"too short"))?;
    if is_compressed(payload) {
        let joined = payload.concat().into();
        let entries = decode_batch(location, &joined, usize::MAX);
        for entry in entries.map_err(|error| corrupt(&error))? {
            sums.add(&entry, Depth::Ends);
        }
        return Ok(sums);
    }
    let mut left = records;
    while left > 0 {
        let length = reader.take(4.min(left));
        let length = <[u8; 4]>::try_from(&*length).map_err(|_| corrupt(&"a length is cut off"))?;
        let length = u32::from_le_bytes(length) as usize;
        left = left.checked_sub(4 + length).ok_or_else(|| corrupt(&"a record is cut off"))?;
        sums.add(&reader.take(length), Depth::Ends);
    }
    Ok(sums)
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

    fn entries() -> Vec<Bytes> {
        // Some are copied into a batch, and some are pieces of their own.
        let sizes = [5, 0, 100, 4096, 10_000, 1, 5000];
        sizes.into_iter().enumerate().map(|(n, size)| vec![n as u8; size].into()).collect()
    }

    fn sums(entries: &[Bytes]) -> Sums {
        let mut sums = Sums::default();
        entries.iter().for_each(|entry| sums.add(entry, Depth::Ends));
        sums
    }

    #[test]
    fn a_batch_is_summed_up_however_it_is_cut() {
        let entries = entries();
        for compression in [Compression::None, Compression::Zstd] {
            let rope = encode_batch(entries.iter(), compression).expect("it can be encoded");
            let whole = rope.concat();
            let (body, footer) = whole.split_at(whole.len() - FOOTER);
            let crumbs = body.chunks(3).chain([footer]);
            let crumbs: Rope = crumbs.map(Bytes::copy_from_slice).collect();
            for rope in [rope, vec![Bytes::from(whole.clone())], crumbs] {
                let found = sums_of_batch(&"b".into(), &rope).expect("it is a batch");
                assert_eq!(found, sums(&entries));
            }
        }
        let rope = encode_batch(entries.iter(), Compression::None).expect("it can be encoded");
        let cut = Bytes::from(rope.concat()).slice(3..);
        assert!(sums_of_batch(&"b".into(), &vec![cut]).is_err());
    }

    #[tokio::test]
    async fn only_the_latest_batches_are_kept() {
        let store = RecentStore::new(Arc::new(MemoryStore::new("x")), "m".into(), 100);
        for number in 0..5_u8 {
            let entries = [Bytes::from(vec![number; 30])];
            let rope = encode_batch(entries.iter(), Compression::None).expect("it can be encoded");
            let key = Location::from(format!("{number}.batch"));
            store.write(&key, rope, Condition::Absent).await.expect("it writes");
            assert_eq!(store.sums(&key), Some(sums(&entries)));
        }
        let kept: Vec<_> = (0..5)
            .filter(|number| store.is_kept(&Location::from(format!("{number}.batch"))))
            .collect();
        assert_eq!(kept, [3, 4]);
        let gone = store.read(&"2.batch".into(), None).await.expect("it answers");
        assert_eq!(gone, ReadOutcome::Missing);
        assert_eq!(store.sums(&"2.batch".into()).expect("it was there").entries, 1);
        // The manifest is no batch.
        store
            .write(&"m".into(), vec![Bytes::from_static(b"abc")], Condition::Absent)
            .await
            .expect("it writes");
    }
}
