//! What is sent: entries that cost the sender next to nothing, and that nobody else sends.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use clap::ValueEnum;

use crate::exit::Failure;

use super::sums::Sums;

/// How large the block is that entries are cut from. Larger than a second-level cache, and small
/// beside what producers hold.
const BLOCK: usize = 16 << 20;

/// What entries are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Random bytes, which cannot be compressed
    Random,
    /// Lines of a log, which can
    Text,
}

/// Entries by their number: windows of one block, each a little further than the last.
///
/// A window's place says which entry it is, so that nothing has to be written into it, and
/// its contents are not in any other until the block was gone through as often as an
/// entry has bytes.
#[derive(Debug)]
pub(crate) struct Payload {
    block: &'static [u8],
    entry_size: usize,
    entries_per_call: usize,
    producers: usize,
    /// Whether entries count who holds them, as a network client's buffers do.
    counted: bool,
    /// How many calls the block is good for before the next round begins one byte further.
    calls_per_round: u64,
}

/// Memory that lives for ever, as if somebody owned it: entries are counted as a network
/// client's buffers are.
struct Lent(&'static [u8]);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl Payload {
    /// Entries for this many producers, cut from `block`.
    pub(crate) fn new(
        block: &'static [u8],
        entry_size: usize,
        entries_per_call: usize,
        producers: usize,
    ) -> Result<Self, Failure> {
        if entry_size == 0 {
            return Err(Failure::usage("entries without bytes cannot be told apart"));
        }
        let call = entry_size.checked_mul(entries_per_call);
        let room = block.len().saturating_sub(entry_size);
        match call.map(|call| room / call.max(1)) {
            Some(calls @ 1..) => Ok(Self {
                block,
                entry_size,
                entries_per_call,
                producers,
                counted: true,
                calls_per_round: calls as u64,
            }),
            Some(0) | None => Err(Failure::usage(format!(
                "{entries_per_call} entries of {entry_size} bytes are more than the {room} bytes \
                 that one call can have here"
            ))),
        }
    }

    /// Entries that nobody has to count: their memory is there for ever.
    pub(crate) fn uncounted(self) -> Self {
        Self { counted: false, ..self }
    }

    /// How many bytes of entries a call has.
    pub(crate) const fn call_bytes(&self) -> usize {
        self.entry_size * self.entries_per_call
    }

    pub(crate) const fn entries_per_call(&self) -> usize {
        self.entries_per_call
    }

    /// The bytes of one producer's call of this number.
    fn bytes(&self, producer: usize, call: u64) -> &'static [u8] {
        let number = call * self.producers as u64 + producer as u64;
        let (round, place) = (number / self.calls_per_round, number % self.calls_per_round);
        let shift = round % self.entry_size as u64;
        let start = usize::try_from(place).expect("it is in the block") * self.call_bytes()
            + usize::try_from(shift).expect("it is shorter than an entry");
        &self.block[start..start + self.call_bytes()]
    }

    /// The entries of one producer's call of this number, ready to be sent.
    pub(crate) fn call(&self, producer: usize, call: u64) -> Vec<Bytes> {
        let bytes = self.bytes(producer, call);
        if !self.counted {
            return bytes.chunks_exact(self.entry_size).map(Bytes::from_static).collect();
        }
        let whole = Bytes::from_owner(Lent(bytes));
        if self.entries_per_call == 1 {
            return vec![whole];
        }
        let starts = (0..self.entries_per_call).map(|index| index * self.entry_size);
        starts.map(|start| whole.slice(start..start + self.entry_size)).collect()
    }

    /// The ends of that call, as [`Sums::add_call`] takes them.
    pub(crate) fn add_call_to(&self, sums: &mut Sums, producer: usize, call: u64) {
        let bytes = self.bytes(producer, call);
        let (first, last) = (&bytes[..self.entry_size], &bytes[bytes.len() - self.entry_size..]);
        sums.add_call(first, last, self.entries_per_call as u64, bytes.len() as u64);
    }

    /// The same entries, to be looked at.
    pub(crate) fn entries(
        &self,
        producer: usize,
        call: u64,
    ) -> impl Iterator<Item = &'static [u8]> {
        self.bytes(producer, call).chunks_exact(self.entry_size)
    }
}

/// Makes a block to cut entries from. It lives as long as the process: there are few of them.
pub(crate) fn block(kind: Kind, seed: u64) -> &'static [u8] {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut block = Vec::with_capacity(BLOCK + 256);
    match kind {
        Kind::Random => {
            block.resize(BLOCK, 0);
            random.fill(&mut block);
        }
        Kind::Text => {
            while block.len() < BLOCK {
                push_line(&mut block, &mut random);
            }
            block.truncate(BLOCK);
        }
    }
    block.leak()
}

/// Reads a block from a file, and repeats it until it is large enough.
pub(crate) fn block_of_file(path: &Path) -> Result<&'static [u8], Failure> {
    let contents = fs::read(path)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    if contents.is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    let times = BLOCK.div_ceil(contents.len());
    Ok(contents.repeat(times).leak())
}

fn push_line(block: &mut Vec<u8>, random: &mut fastrand::Rng) {
    const METHODS: [&str; 5] = ["GET", "GET", "GET", "POST", "DELETE"];
    const PATHS: [&str; 8] = [
        "/api/v1/orders",
        "/api/v1/orders/items",
        "/api/v1/customers",
        "/api/v2/search",
        "/static/app.js",
        "/static/style.css",
        "/healthz",
        "/login",
    ];
    const STATUSES: [u16; 8] = [200, 200, 200, 200, 204, 301, 404, 500];
    let mut choose = |many: usize| random.usize(..many);
    let (method, path) = (METHODS[choose(METHODS.len())], PATHS[choose(PATHS.len())]);
    let status = STATUSES[choose(STATUSES.len())];
    let (minute, second, micros) = (choose(60), choose(60), choose(1_000_000));
    let (user, bytes, took) = (random.u64(..1 << 40), random.u32(..100_000), random.u32(..5_000));
    let line = format!(
        "2026-03-14T09:{minute:02}:{second:02}.{micros:06}Z INFO http: {method} {path}/{user:010x} \
         status={status} bytes={bytes} took={took}us\n"
    );
    block.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_entry_is_like_another() {
        let block = block(Kind::Random, 1)[..100_000].to_vec().leak();
        let payload = Payload::new(block, 16, 100, 3).expect("a call fits");
        let uncounted = Payload::new(block, 16, 100, 3).expect("a call fits").uncounted();
        let mut seen = HashSet::new();
        // Two rounds and more.
        for call in 0..50 {
            for producer in 0..3 {
                let entries = payload.call(producer, call);
                assert_eq!(entries.len(), 100);
                let again: Vec<_> = payload.entries(producer, call).collect();
                assert_eq!(entries, again);
                assert_eq!(entries, uncounted.call(producer, call));
                for entry in entries {
                    assert_eq!(entry.len(), 16);
                    assert!(seen.insert(entry), "{producer} {call}");
                }
            }
        }
        assert!(payload.calls_per_round < 150);
    }

    #[test]
    fn a_call_that_is_larger_than_the_block_is_refused() {
        let block = block(Kind::Text, 1);
        assert!(Payload::new(block, 1 << 20, 15, 1).is_ok());
        assert!(Payload::new(block, 1 << 20, 16, 1).is_err());
        assert!(Payload::new(block, usize::MAX, 2, 1).is_err());
        assert!(Payload::new(block, 0, 1, 1).is_err());
    }
}
