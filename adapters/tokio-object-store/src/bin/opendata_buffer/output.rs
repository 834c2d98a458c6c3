//! Entries as they are written out.

use std::io::{self, BufWriter, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use buffer::{ConsumedBatch, Metadata};
use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;

use crate::input::Delimiter;

/// How much is written at once, in bytes.
const BUFFER: usize = 64 << 10;

/// How an entry is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// Its bytes, and the delimiter
    #[default]
    Raw,
    /// A line of JSON with its sequence, index, payload and metadata
    Json,
}

#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) delimiter: Delimiter,
}

/// Entries of one batch, and which of them are written.
pub(crate) struct Entries<'a> {
    pub(crate) sequence: u64,
    pub(crate) payloads: &'a [Bytes],
    pub(crate) metadata: &'a [Metadata],
    /// How many are passed over at the beginning.
    pub(crate) skip: u64,
    /// How many are written at the most.
    pub(crate) take: u64,
    /// What was submitted before this is passed over, in milliseconds since the Unix epoch.
    pub(crate) since_ms: Option<i64>,
}

impl<'a> Entries<'a> {
    /// The first so many of a batch.
    pub(crate) fn first_of(batch: &'a ConsumedBatch, take: u64) -> Self {
        let ConsumedBatch { sequence, entries, metadata, .. } = batch;
        Self { sequence: *sequence, payloads: entries, metadata, skip: 0, take, since_ms: None }
    }
}

impl Output {
    /// Writes entries to standard output, flushes them, and says how many these were.
    pub(crate) fn write(&self, entries: &Entries<'_>) -> io::Result<u64> {
        self.write_to(io::stdout().lock(), entries)
    }

    /// The same, to somewhere else.
    pub(crate) fn write_to(&self, to: impl Write, entries: &Entries<'_>) -> io::Result<u64> {
        let mut to = BufWriter::with_capacity(BUFFER, to);
        let mut covering = Covering::of(entries.metadata);
        let mut written = 0;
        for (index, payload) in (0..).zip(entries.payloads) {
            if written == entries.take {
                break;
            }
            let item = covering.at(index);
            let is_early = |since| item.is_some_and(|item| item.ingestion_time_ms < since);
            if index < entries.skip || entries.since_ms.is_some_and(is_early) {
                continue;
            }
            written += 1;
            match self.format {
                Format::Raw => {
                    to.write_all(payload)?;
                    to.write_all(self.delimiter.as_bytes())?;
                }
                Format::Json => {
                    let line = Line {
                        sequence: entries.sequence,
                        index,
                        payload_base64: BASE64_STANDARD.encode(payload),
                        ingestion_time_ms: item.map(|item| item.ingestion_time_ms),
                        metadata_base64: item.map(|item| BASE64_STANDARD.encode(&item.payload)),
                    };
                    serde_json::to_writer(&mut to, &line)?;
                    to.write_all(b"\n")?;
                }
            }
        }
        to.flush()?;
        Ok(written)
    }
}

#[derive(Serialize)]
struct Line {
    sequence: u64,
    index: u64,
    payload_base64: String,
    /// Null if no metadata item covers the entry; none of this project's producers leaves that out.
    ingestion_time_ms: Option<i64>,
    metadata_base64: Option<String>,
}

/// Finds the metadata item of each entry, going forward.
struct Covering<'a> {
    current: Option<&'a Metadata>,
    later: &'a [Metadata],
}

impl<'a> Covering<'a> {
    fn of(metadata: &'a [Metadata]) -> Self {
        Self { current: None, later: metadata }
    }

    fn at(&mut self, index: u64) -> Option<&'a Metadata> {
        while let Some((next, later)) = self.later.split_first()
            && u64::from(next.start_index) <= index
        {
            (self.current, self.later) = (Some(next), later);
        }
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_covers_up_to_the_next_one_and_the_last_of_several_at_one_place_counts() {
        let item = |start_index, payload: &'static str| Metadata {
            start_index,
            ingestion_time_ms: 0,
            payload: payload.into(),
        };
        let items = [item(1, "a"), item(3, "empty"), item(3, "b")];
        let mut covering = Covering::of(&items);
        let found: Vec<_> =
            (0..5).map(|index| covering.at(index).map(|item| item.payload.clone())).collect();
        let expected = [None, Some("a"), Some("a"), Some("b"), Some("b")];
        assert_eq!(found, expected.map(|payload| payload.map(bytes::Bytes::from)));
    }
}
