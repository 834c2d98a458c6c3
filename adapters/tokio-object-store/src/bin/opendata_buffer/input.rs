//! From a stream of bytes to entries.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// How much is read at once, in bytes.
const CHUNK: usize = 256 << 10;

/// How many chunks are read ahead.
const CHUNKS: usize = 4;

/// What stands between two entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delimiter(Vec<u8>);

impl Delimiter {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Delimiter {
    type Err = String;

    /// Takes the text as it is, but for `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            rest = &rest[next.len_utf8()..];
            if next != '\\' {
                bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            let escape = rest.chars().next().ok_or("a `\\` at its end: write `\\\\`")?;
            rest = &rest[escape.len_utf8()..];
            bytes.push(match escape {
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                '0' => 0,
                '\\' => b'\\',
                'x' => {
                    let digits = rest.get(..2).filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()));
                    let digits = digits.ok_or("`\\x` needs two hexadecimal digits")?;
                    rest = &rest[2..];
                    u8::from_str_radix(digits, 16).expect("they are hexadecimal digits")
                }
                other => {
                    return Err(format!("`\\{other}` is none of \\n \\r \\t \\0 \\\\ \\xHH"));
                }
            });
        }
        if bytes.is_empty() { Err("it must not be empty".to_owned()) } else { Ok(Self(bytes)) }
    }
}

/// Cuts a stream at its delimiters.
#[derive(Debug)]
pub(crate) struct Splitter {
    delimiter: Delimiter,
    held: BytesMut,
    /// No delimiter begins in `held` before this.
    searched: usize,
}

impl Splitter {
    pub(crate) fn new(delimiter: Delimiter) -> Self {
        Self { delimiter, held: BytesMut::new(), searched: 0 }
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The next entry that is complete.
    pub(crate) fn next_entry(&mut self) -> Option<Bytes> {
        let delimiter = self.delimiter.as_bytes();
        match find(&self.held[self.searched..], delimiter) {
            Some(at) => {
                let entry = self.held.split_to(self.searched + at).freeze();
                let _ = self.held.split_to(delimiter.len());
                self.searched = 0;
                Some(entry)
            }
            None => {
                // The delimiter may have begun already.
                self.searched = self.held.len().saturating_sub(delimiter.len() - 1);
                None
            }
        }
    }

    /// How many bytes are held of an entry that is not complete.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The end of the stream ends an entry, unless a delimiter did so just before.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        self.searched = 0;
        if self.held.is_empty() { None } else { Some(self.held.split().freeze()) }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|&byte| byte == first) {
        let at = from + at;
        if haystack[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Where entries come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

impl Source {
    /// `-` and nothing at all are standard input.
    pub(crate) fn new(path: Option<&Path>) -> Self {
        match path {
            Some(path) if path != Path::new("-") => Self::File(path.to_owned()),
            Some(_) | None => Self::Stdin,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Opens it, and says how long it is if it is a regular file.
    pub(crate) fn open(&self) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
        match self {
            Self::Stdin => Ok((Box::new(io::stdin()), None)),
            Self::File(path) => {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                let length = metadata.is_file().then_some(metadata.len());
                Ok((Box::new(file), length))
            }
        }
    }
}

/// Reads on a thread of its own, a few chunks ahead. The thread is never waited
/// for: a read of a terminal cannot be called off.
pub(crate) fn read_ahead(mut from: Box<dyn Read + Send>) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            let chunk = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => Ok(Bytes::copy_from_slice(&buffer[..read])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(delimiter: &str, chunks: &[&[u8]]) -> Vec<Bytes> {
        let mut splitter = Splitter::new(delimiter.parse().expect("a delimiter"));
        let mut entries = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(entry) = splitter.next_entry() {
                entries.push(entry);
            }
        }
        entries.extend(splitter.finish());
        entries
    }

    #[test]
    fn an_empty_line_is_an_entry_and_the_last_line_needs_no_end() {
        assert_eq!(split("\\n", &[b"one\n\ntwo"]), ["one", "", "two"]);
        assert_eq!(split("\\n", &[b"one\n\n"]), ["one", ""]);
        assert!(split("\\n", &[b""]).is_empty());
    }

    #[test]
    fn a_delimiter_may_lie_across_chunks() {
        assert_eq!(split("--", &[b"a-b-", b"-c-", b"-", b"-d-"]), ["a-b", "c", "-d-"]);
        assert_eq!(split("aab", &[b"xaa", b"aab", b"y"]), ["xaa", "y"]);
    }

    #[test]
    fn escapes_are_bytes() {
        let parse = |text: &str| text.parse::<Delimiter>().map(|delimiter| delimiter.0);
        assert_eq!(parse("\\0"), Ok(vec![0]));
        assert_eq!(parse("\\x1e\\n"), Ok(vec![0x1e, b'\n']));
        assert_eq!(parse("\\\\é\\t"), Ok("\\é\t".as_bytes().to_vec()));
        for wrong in ["", "\\", "\\q", "\\x", "\\x1", "\\xé", "\\x+1"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
