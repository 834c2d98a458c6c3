//! `manifest diff`: what became of a manifest.

use std::io::{self, BufWriter, Write};

use buffer::buffer_core::format::{Manifest, ManifestEntry};
use clap::Args;

use super::{Named, parse};
use crate::exit::{Failure, Outcome, Status, written};
use crate::queue;

#[derive(Args, Debug)]
pub(crate) struct DiffOptions {
    /// The earlier one: a file, a URL such as s3://bucket/prefix/ingest/manifest, or `-` for standard input
    #[arg(value_name = "A", value_parser = queue::store_location())]
    earlier: buffer::StoreLocation,
    /// The later one, named likewise
    #[arg(value_name = "B", value_parser = queue::store_location())]
    later: buffer::StoreLocation,
    #[command(flatten)]
    options: queue::StoreTold,
}

pub(super) async fn run(options: &DiffOptions) -> Outcome {
    let stdin = buffer::StoreLocation::Directory("-".into());
    if options.earlier == stdin && options.later == stdin {
        return Err(Failure::usage("standard input can be only one of the two"));
    }
    let read = async |named| parse(Named { manifest: named, options: &options.options }).await;
    let (earlier, later) = (read(&options.earlier).await?, read(&options.later).await?);
    written(print(&earlier, &later, io::stdout().lock()))?;
    later.check_follows(&earlier).map_err(|disagreement| {
        let message = format!(
            "{} cannot be what became of {}: {disagreement}",
            options.later, options.earlier
        );
        Failure::new(Status::Differs, message)
    })
}

fn print(earlier: &Manifest, later: &Manifest, to: impl Write) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    let numbers = [
        ("epoch", earlier.epoch().0, later.epoch().0),
        ("first_sequence", earlier.first_sequence().0, later.first_sequence().0),
        ("next_sequence", earlier.next_sequence().0, later.next_sequence().0),
        ("bytes", earlier.encoded_len() as u64, later.encoded_len() as u64),
    ];
    for (name, before, now) in numbers {
        if before == now {
            writeln!(to, "  {name} {now}")?;
        } else {
            writeln!(to, "~ {name} {before} -> {now}")?;
        }
    }
    let (mut before, mut now) = (earlier.entries().peekable(), later.entries().peekable());
    loop {
        let (old, new) = match (before.peek(), now.peek()) {
            (None, None) => break,
            (Some(_), None) => (before.next(), None),
            (None, Some(_)) => (None, now.next()),
            (Some(old), Some(new)) => {
                let (old, new) = (old.sequence, new.sequence);
                let take_old = old <= new;
                let take_new = new <= old;
                (take_old.then(|| before.next()).flatten(), take_new.then(|| now.next()).flatten())
            }
        };
        print_entry(old.as_ref(), new.as_ref(), &mut to)?;
    }
    to.flush()
}

/// An entry that only one has, or that differs. What both have is left out.
fn print_entry(
    old: Option<&ManifestEntry>,
    new: Option<&ManifestEntry>,
    to: &mut impl Write,
) -> io::Result<()> {
    match (old, new) {
        (Some(old), Some(new)) if old == new => Ok(()),
        (Some(old), Some(new)) if old.location == new.location => {
            writeln!(to, "~ {} {}: other metadata", new.sequence, new.location)
        }
        (Some(old), Some(new)) => {
            writeln!(to, "~ {} {} -> {}", new.sequence, old.location, new.location)
        }
        (Some(old), None) => writeln!(to, "- {} {}", old.sequence, old.location),
        (None, Some(new)) => writeln!(to, "+ {} {}", new.sequence, new.location),
        (None, None) => Ok(()),
    }
}
