//! The table at the end.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use buffer::measure::{RequestCounts, RequestKind};
use hdrhistogram::Histogram;

use super::readers::Handover;
use super::script::Script;
use crate::exit::{Failure, Outcome, is_broken_pipe};
use crate::size::{counted, grouped};

/// What a run showed.
pub(super) struct Report<'a> {
    pub(super) script: &'a Script,
    /// From the first `produce` to the last line that was compared.
    pub(super) elapsed: Duration,
    /// From `produce` to durable, in microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) counts: RequestCounts,
    pub(super) handover: Handover,
    pub(super) late: u64,
    /// Where the queue is, or was.
    pub(super) queue: String,
}

impl Report<'_> {
    /// Prints it to standard output: it is what the command is for.
    pub(super) fn print(&self) -> Outcome {
        match write!(io::stdout().lock(), "{self}") {
            Err(error) if !is_broken_pipe(&error) => {
                Err(Failure::failed(format!("cannot write to standard output: {error}")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn input(&self) -> String {
        let Self { script, .. } = self;
        format!("{}, {}", script.file.display(), counted(script.file_lines(), "line", "lines"))
    }

    fn throughput(&self) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let megabytes = self.script.total_bytes() as f64 / 1e6;
        let entries = self.script.total() as f64 / seconds;
        format!(
            "{:.1} MB/s, {} entries/s ({megabytes:.1} MB in {seconds:.2} s)",
            megabytes / seconds,
            grouped(entries as u64)
        )
    }

    fn latency(&self) -> String {
        let at = |quantile| milliseconds(self.latency.value_at_quantile(quantile));
        let max = milliseconds(self.latency.max());
        format!("p50 {}, p99 {}, max {max}", at(0.5), at(0.99))
    }

    fn epochs(&self) -> String {
        let Handover { first_epoch, second_epoch, after } = self.handover;
        let after = match after {
            Some(sequence) => format!("after batch {}", grouped(sequence)),
            None => "before the first batch".to_owned(),
        };
        format!("{first_epoch}, fenced by {second_epoch} {after}")
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        use RequestKind::{
            BatchGet, BatchMissing, BatchPut, BatchRefused, Delete, ManifestGet, ManifestMissing,
            ManifestNotModified, OtherFailed, SwapLost, SwapThrottled, SwapWon, WriteFailed,
        };
        let of = |kind| self.counts.of(kind).requests;
        let manifest_reads = of(ManifestGet) + of(ManifestNotModified) + of(ManifestMissing);
        let (manifest_reads, unchanged) =
            (grouped(manifest_reads), grouped(of(ManifestNotModified)));
        let swaps = of(SwapWon) + of(SwapLost) + of(SwapThrottled);
        let failed = of(WriteFailed) + of(OtherFailed);
        let mut rows = vec![
            ("queue", self.queue.clone()),
            ("input", self.input()),
            (
                "entries",
                format!("{}, each exactly once and in order", grouped(self.script.total())),
            ),
            ("throughput", self.throughput()),
            ("acknowledgement", self.latency()),
            ("epochs", self.epochs()),
            ("late batches", format!("{}, refused by epoch", grouped(self.late))),
            ("batch writes", grouped(of(BatchPut) + of(BatchRefused))),
            ("batch reads", grouped(of(BatchGet) + of(BatchMissing))),
            ("manifest reads", format!("{manifest_reads}, {unchanged} unchanged")),
            ("manifest swaps", grouped(swaps)),
            ("manifest conflicts", grouped(of(SwapLost))),
            ("files deleted", format!("{}, after which no batch was left", grouped(of(Delete)))),
        ];
        if failed > 0 {
            rows.push(("failed requests", grouped(failed)));
        }
        rows
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in rows {
            writeln!(f, "{name:width$}  {value}")?;
        }
        Ok(())
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1e3)
}
