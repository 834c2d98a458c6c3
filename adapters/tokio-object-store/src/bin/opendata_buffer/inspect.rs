//! `inspect batch`: one batch object, damaged or not.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use buffer::buffer_core::format::{Compression, ManifestEntry};
use buffer::buffer_core::{Location, UnixMillis};
use buffer::{BatchObject, Inspector, InspectorConfig};
use bytes::Bytes;
use clap::{Args, Subcommand};

use crate::exit::{Failure, Outcome, Status, chain, written};
use crate::queue::{self, Queue};
use crate::size::{counted, grouped};
use crate::time::time_of_day;

/// How many bytes a line of a hexadecimal dump shows.
const HEX_LINE: usize = 16;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints what a batch holds, and what the manifest says of it
    Batch(BatchOptions),
}

#[derive(Args, Debug)]
pub(crate) struct BatchOptions {
    #[command(flatten)]
    queue: Queue,
    /// Which batch: a sequence that is listed, or the key of any object, as `gc` and `manifest dump` print it
    #[arg(value_name = "SEQUENCE|LOCATION")]
    batch: String,
    /// Prints each record, what is no ASCII text escaped
    #[arg(long)]
    records: bool,
    /// Prints each record as hexadecimal digits
    #[arg(long)]
    hex: bool,
    /// Says how large the records are
    #[arg(long)]
    stats: bool,
}

pub(crate) async fn run(command: &Command) -> Outcome {
    match command {
        Command::Batch(options) => batch(options).await,
    }
}

async fn batch(options: &BatchOptions) -> Outcome {
    let inspector = queue::inspect(&options.queue, InspectorConfig::default())?;
    let (location, entry) = find(&inspector, options).await?;
    let batch = inspector.batch(&location).await?;
    // What is known of a damaged batch is printed all the same.
    let records = match &entry {
        Some(entry) => batch.records_of(&entry.metadata),
        None => batch.records(),
    };
    let to = BufWriter::new(io::stdout().lock());
    written(options.print(&batch, entry.as_ref(), records.as_deref().ok(), to))?;
    match records {
        Ok(_) => Ok(()),
        Err(error) => {
            let failure = Failure::new(Status::Differs, chain(&error));
            Err(failure.context(&inspector.store().to_string()))
        }
    }
}

/// The key that is meant, and its manifest entry if it is listed.
async fn find(
    inspector: &Inspector,
    options: &BatchOptions,
) -> Result<(Location, Option<ManifestEntry>), Failure> {
    let read = inspector.read().await;
    let Ok(sequence) = options.batch.parse::<u64>() else {
        // An object can be looked at without a manifest.
        let location = Location::new(options.batch.as_str());
        let entry = read.ok().and_then(|reading| reading.entry_at(&location));
        return Ok((location, entry));
    };
    let reading = read.map_err(|error| queue::unreadable(error, &options.queue))?;
    if let Some(entry) = reading.entry(sequence) {
        return Ok((entry.location.clone(), Some(entry)));
    }
    let (first, next) = (reading.manifest.first_sequence(), reading.manifest.next_sequence());
    let why = if sequence >= next.0 {
        format!("the queue has only got to {next}")
    } else {
        format!("it was dequeued; the queue starts at {first}")
    };
    Err(Failure::failed(format!("{}: batch {sequence} is not listed: {why}", inspector.store())))
}

impl BatchOptions {
    fn print(
        &self,
        batch: &BatchObject,
        entry: Option<&ManifestEntry>,
        records: Option<&[Bytes]>,
        mut to: impl Write,
    ) -> io::Result<()> {
        match entry {
            Some(entry) => writeln!(to, "sequence    {}", entry.sequence)?,
            None => writeln!(to, "sequence    not listed")?,
        }
        writeln!(to, "location    {}", batch.location)?;
        if let Some(time) = batch.object.last_modified {
            writeln!(to, "written     {}", time_of_day(time))?;
        }
        writeln!(to, "bytes       {}", grouped(batch.object.bytes.len() as u64))?;
        if let Ok(footer) = batch.footer() {
            let compression = match footer.compression {
                Compression::None => "none",
                Compression::Zstd => "zstd",
            };
            writeln!(to, "compression {compression}")?;
            writeln!(to, "records     {}", grouped(footer.record_count.into()))?;
        }
        for item in entry.map_or(&[][..], |entry| &entry.metadata) {
            let time = time_of_day(UnixMillis(item.ingestion_time_ms));
            let payload = text(&item.payload);
            writeln!(to, "metadata    from record {}, {time}, {payload}", item.start_index)?;
        }
        let Some(records) = records else { return to.flush() };
        if self.stats {
            print_sizes(batch.object.bytes.len(), records, &mut to)?;
        }
        if self.records || self.hex {
            self.print_records(records, &mut to)?;
        }
        to.flush()
    }

    fn print_records(&self, records: &[Bytes], to: &mut impl Write) -> io::Result<()> {
        for (index, record) in records.iter().enumerate() {
            let length = counted(record.len() as u64, "byte", "bytes");
            if self.records {
                writeln!(to, "record {index}, {length}: {}", text(record))?;
            } else {
                writeln!(to, "record {index}, {length}")?;
            }
            if self.hex {
                for (line, bytes) in record.chunks(HEX_LINE).enumerate() {
                    writeln!(to, "{}", hex_line(line * HEX_LINE, bytes))?;
                }
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn hex_line(offset: usize, bytes: &[u8]) -> String {
    let mut line = format!("  {offset:08x} ");
    for at in 0..HEX_LINE {
        let digits = bytes.get(at).map_or_else(|| "  ".to_owned(), |byte| format!("{byte:02x}"));
        write!(line, " {digits}").expect("a text takes what is written");
    }
    let is_printed = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let shown: String =
        bytes.iter().map(|byte| if is_printed(byte) { char::from(*byte) } else { '.' }).collect();
    line + "  |" + &shown + "|"
}

fn print_sizes(object_bytes: usize, records: &[Bytes], to: &mut impl Write) -> io::Result<()> {
    let mut sizes: Vec<u64> = records.iter().map(|record| record.len() as u64).collect();
    sizes.sort_unstable();
    let total: u64 = sizes.iter().sum();
    writeln!(to, "record bytes")?;
    writeln!(to, "  total     {}", grouped(total))?;
    if let (Some(least), Some(most)) = (sizes.first(), sizes.last()) {
        let at = |percent: usize| sizes[(sizes.len() - 1) * percent / 100];
        writeln!(to, "  least     {}", grouped(*least))?;
        writeln!(to, "  p50       {}", grouped(at(50)))?;
        writeln!(to, "  p99       {}", grouped(at(99)))?;
        writeln!(to, "  most      {}", grouped(*most))?;
        writeln!(to, "  mean      {:.1}", total as f64 / sizes.len() as f64)?;
    }
    writeln!(to, "  in object {:.1} %", 100.0 * object_bytes as f64 / total.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hexadecimal_line_shows_offset_digits_and_text() {
        let line = hex_line(16, b"a b\n\xff");
        assert_eq!(line, format!("  00000010  61 20 62 0a ff{}  |a b..|", " ".repeat(33)));
        assert_eq!(hex_line(0, &[b'x'; 16]).len(), hex_line(0, b"").len() + 16);
    }
}
