//! What is fed: which line comes where.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::feed::PRODUCERS;
use crate::exit::Failure;

/// A file's lines, repeated: every producer feeds all of them, over and over.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) file: PathBuf,
    lines: Vec<Bytes>,
    /// How many lines each producer feeds.
    per_producer: u64,
}

/// A place in what is fed: which producer, and which of its lines, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) producer: usize,
    pub(super) line: u64,
}

impl Tag {
    /// As it is written in the metadata.
    pub(super) fn to_metadata(self) -> Bytes {
        format!("producer {} line {}", self.producer, self.line).into()
    }

    pub(super) fn from_metadata(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (producer, line) = text.strip_prefix("producer ")?.split_once(" line ")?;
        let (producer, line) = (producer.parse().ok()?, line.parse().ok()?);
        (1..=PRODUCERS).contains(&producer).then_some(Self { producer, line })
    }
}

impl Script {
    pub(super) fn read(input: Option<&Path>, total: u64) -> Result<Self, Failure> {
        let file = match input {
            Some(file) => file.to_owned(),
            None => find_readme().ok_or_else(|| {
                Failure::failed(
                    "there is no README.md next to a Cargo.toml, neither here nor above: \
                     name a file to feed with -i FILE",
                )
            })?,
        };
        let text = fs::read(&file)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
        let text = Bytes::from(text);
        let without_end = text.strip_suffix(b"\n").unwrap_or(&text);
        if text.is_empty() {
            let message = format!("{} is empty: name a file that has lines", file.display());
            return Err(Failure::failed(message));
        }
        let lines: Vec<Bytes> =
            without_end.split(|&byte| byte == b'\n').map(|line| text.slice_ref(line)).collect();
        // Each producer sends all of the file, and as much more of it as makes the total.
        let per_producer = total.div_ceil(PRODUCERS as u64).max(lines.len() as u64);
        Ok(Self { file, lines, per_producer })
    }

    /// How many lines the file has.
    pub(super) fn file_lines(&self) -> u64 {
        self.lines.len() as u64
    }

    pub(super) fn per_producer(&self) -> u64 {
        self.per_producer
    }

    /// How many lines are fed in all.
    pub(super) fn total(&self) -> u64 {
        self.per_producer * PRODUCERS as u64
    }

    /// How many bytes are fed in all.
    pub(super) fn total_bytes(&self) -> u64 {
        let length = |lines: &[Bytes]| lines.iter().map(|line| line.len() as u64).sum::<u64>();
        let (rounds, rest) =
            (self.per_producer / self.file_lines(), self.per_producer % self.file_lines());
        let rest = usize::try_from(rest).expect("it is less than the number of lines");
        (rounds * length(&self.lines) + length(&self.lines[..rest])) * PRODUCERS as u64
    }

    /// What any producer feeds as this line, counted from 1; `None` past the last.
    pub(super) fn line(&self, line: u64) -> Option<&Bytes> {
        let index = line.checked_sub(1)?;
        if index >= self.per_producer {
            return None;
        }
        let index = usize::try_from(index % self.file_lines()).expect("it is an index of a list");
        self.lines.get(index)
    }
}

/// The project's own README: next to the first `Cargo.toml` above the current directory, or above this program.
fn find_readme() -> Option<PathBuf> {
    let starts = [std::env::current_dir(), std::env::current_exe()];
    starts.iter().flatten().find_map(|start| {
        start.ancestors().find_map(|directory| {
            let readme = directory.join("README.md");
            (readme.is_file() && directory.join("Cargo.toml").is_file()).then_some(readme)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_a_round_trip() {
        let tag = Tag { producer: 3, line: 1_001 };
        assert_eq!(Tag::from_metadata(&tag.to_metadata()), Some(tag));
        for wrong in ["", "producer 4 line 1", "producer 0 line 1", "producer x line 1"] {
            assert_eq!(Tag::from_metadata(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn every_producer_feeds_the_file_over_and_over() {
        let lines = ["a", "", "ccc"].map(Bytes::from).to_vec();
        let script = Script { file: PathBuf::new(), lines, per_producer: 5 };
        let fed: Vec<_> = (0..=6).map(|line| script.line(line).cloned()).collect();
        let expected = [None, Some("a"), Some(""), Some("ccc"), Some("a"), Some(""), None];
        assert_eq!(fed, expected.map(|line| line.map(Bytes::from)));
        assert_eq!(script.total_bytes(), 15);
    }
}
