//! A status as it is printed.

use std::fmt;
use std::io::{self, Write};

use buffer::{QueueObjects, QueueStatus, Store};
use serde_json::json;

use crate::size::{counted, grouped};
use crate::time::{millis, rounded};

/// Everything there is to say of a queue.
pub(super) struct Report<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) status: QueueStatus,
    /// What a listing told, if there was one.
    pub(super) objects: Option<QueueObjects>,
    /// Whether orphans were asked for.
    pub(super) orphans: bool,
}

impl Report<'_> {
    pub(super) fn table(&self, to: &mut impl Write) -> io::Result<()> {
        let QueueStatus { epoch, first_sequence, next_sequence, depth, .. } = self.status;
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(to, "{name:<10} {value}");
        line("store", &self.store)?;
        line("epoch", &epoch)?;
        match next_sequence.checked_sub(1).filter(|_| depth > 0) {
            Some(last) => {
                line("sequences", &format!("{first_sequence} to {last}, next {next_sequence}"))?;
            }
            None => line("sequences", &format!("none, next {next_sequence}"))?,
        }
        line("depth", &counted(depth, "batch", "batches"))?;
        if let Some(objects) = &self.objects {
            line("bytes", &grouped(objects.batch_bytes))?;
        }
        line("lag", &self.status.lag().map_or_else(|| "unknown".to_owned(), rounded))?;
        let manifest = counted(self.status.manifest_bytes, "byte", "bytes");
        match self.status.last_modified {
            Some(time) => {
                let ago = rounded(self.status.taken_at.saturating_since(time));
                line("manifest", &format!("{manifest}, written {ago} ago"))?;
            }
            None => line("manifest", &manifest)?,
        }
        if self.status.manifest_is_large() {
            line("", &"warning: each commit and each dequeue writes all of it")?;
            line("", &"let the consumer catch up, keep metadata short, or flush less often")?;
        }
        if let Some(objects) = self.objects.as_ref().filter(|_| self.orphans) {
            let bytes = counted(objects.orphan_bytes, "byte", "bytes");
            line("orphans", &format!("{}, {bytes}", grouped(objects.orphans)))?;
        }
        Ok(())
    }

    pub(super) fn json(&self, to: &mut impl Write) -> io::Result<()> {
        let status = &self.status;
        let oldest = status.oldest.as_ref().map(|oldest| {
            json!({
                "sequence": oldest.sequence,
                "location": oldest.location.as_str(),
                "ingestion_time_ms": oldest.ingestion_time.map(|time| time.0),
            })
        });
        let objects = self.objects.as_ref();
        let orphans = objects.filter(|_| self.orphans);
        let line = json!({
            "store": self.store.to_string(),
            "epoch": status.epoch,
            "first_sequence": status.first_sequence,
            "next_sequence": status.next_sequence,
            "depth": status.depth,
            "bytes": objects.map(|objects| objects.batch_bytes),
            "lag_ms": status.lag().map(millis),
            "oldest": oldest,
            "manifest_bytes": status.manifest_bytes,
            "manifest_is_large": status.manifest_is_large(),
            "manifest_modified_ms": status.last_modified.map(|time| time.0),
            "orphans": orphans.map(|objects| objects.orphans),
            "orphan_bytes": orphans.map(|objects| objects.orphan_bytes),
        });
        writeln!(to, "{line}")
    }

    pub(super) fn prometheus(&self, to: &mut impl Write) -> io::Result<()> {
        let status = &self.status;
        let objects = self.objects.as_ref();
        let orphans = objects.filter(|_| self.orphans);
        let number = |number: u64| Some(number as f64);
        let modified = status.last_modified.map(|time| time.0 as f64 / 1e3);
        let metrics = [
            ("epoch", "The epoch of whoever consumes the queue.", number(status.epoch)),
            ("first_sequence", "The oldest batch.", number(status.first_sequence)),
            ("next_sequence", "What the next batch gets.", number(status.next_sequence)),
            ("depth_batches", "Batches that are listed.", number(status.depth)),
            ("depth_bytes", "Bytes of these.", objects.map(|it| it.batch_bytes as f64)),
            (
                "lag_seconds",
                "How long the oldest entry has waited.",
                status.lag().map(|lag| lag.as_secs_f64()),
            ),
            ("manifest_bytes", "Bytes of the manifest.", number(status.manifest_bytes)),
            ("manifest_modified_seconds", "When it was written, since the Unix epoch.", modified),
            ("orphans", "Batches that nobody lists.", orphans.map(|it| it.orphans as f64)),
            ("orphan_bytes", "Bytes of these.", orphans.map(|it| it.orphan_bytes as f64)),
        ];
        let store = Escaped(&self.store.to_string()).to_string();
        for (name, help, value) in metrics {
            let Some(value) = value else { continue };
            let name = format!("opendata_buffer_{name}");
            writeln!(to, "# HELP {name} {help}\n# TYPE {name} gauge")?;
            writeln!(to, "{name}{{queue=\"{store}\"}} {value}")?;
        }
        Ok(())
    }
}

/// A label's value.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(Escaped("a\"b\\c\nd").to_string(), r#"a\"b\\c\nd"#);
    }
}
