//! Entries as they are written out.

use std::io::{self, BufWriter, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use buffer::{ConsumedBatch, Metadata};
use clap::ValueEnum;
use serde::Serialize;

use crate::input::Delimiter;

/// How much is written at once, in bytes.
const BUFFER: usize = 64 << 10;

/// How an entry is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Format {
    /// Its bytes, and the delimiter
    #[default]
    Raw,
    /// A line of JSON with its sequence, index, payload and metadata
    Json,
}

#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) format: Format,
    pub(super) delimiter: Delimiter,
}

impl Output {
    /// Writes the first `count` entries to standard output, and flushes them.
    pub(super) fn write(&self, batch: &ConsumedBatch, count: u64) -> io::Result<()> {
        self.write_to(io::stdout().lock(), batch, count)
    }

    fn write_to(&self, to: impl Write, batch: &ConsumedBatch, count: u64) -> io::Result<()> {
        let mut to = BufWriter::with_capacity(BUFFER, to);
        let mut covering = Covering::of(&batch.metadata);
        for (index, payload) in (0..count).zip(&batch.entries) {
            match self.format {
                Format::Raw => {
                    to.write_all(payload)?;
                    to.write_all(self.delimiter.as_bytes())?;
                }
                Format::Json => {
                    let item = covering.at(index);
                    let line = Line {
                        sequence: batch.sequence,
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
        to.flush()
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
