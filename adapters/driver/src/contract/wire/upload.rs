//! Writes that come in parts: Google's resumable uploads.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::objects::{Condition, Outcome, Place};

/// How many uploads are kept that have begun and not ended; the oldest is forgotten for a new one.
const MOST_UPLOADS: usize = 1024;

/// How large an upload may become, in bytes.
const LARGEST_UPLOAD: u64 = 1 << 30;

/// A part of a write, as `Content-Range` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it begins; `None` where it only asks, or ends an empty object.
    pub(super) first: Option<u64>,
    /// How long the whole is, where that is known.
    pub(super) total: Option<u64>,
    pub(super) body: Bytes,
}

impl Part {
    /// Reads `bytes 0-9/10`, `bytes 0-9/*` or `bytes */10`.
    pub(super) fn parse(range: &str, body: Bytes) -> Option<Self> {
        let (place, total) = range.strip_prefix("bytes ")?.split_once('/')?;
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let first = match place {
            "*" => None,
            place => {
                let (first, last) = place.split_once('-')?;
                let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
                let length = last.checked_sub(first)?.checked_add(1)?;
                if length != body.len() as u64 {
                    return None;
                }
                Some(first)
            }
        };
        (first.is_some() || body.is_empty()).then_some(Self { first, total, body })
    }

    fn end(&self) -> u64 {
        self.first.unwrap_or_default().saturating_add(self.body.len() as u64)
    }

    /// Whether it says that nothing comes after it.
    pub(super) fn is_last(&self) -> bool {
        self.total == Some(self.end())
    }
}

/// A write of which not everything has come yet.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) place: Place,
    pub(super) condition: Condition,
    pub(super) body: Vec<u8>,
}

impl Upload {
    pub(super) const fn new(place: Place, condition: Condition) -> Self {
        Self { place, condition, body: Vec::new() }
    }

    /// Takes a part; says what came of it, unless the write is complete.
    pub(super) fn take(&mut self, part: Part) -> Option<Outcome> {
        let received = self.body.len() as u64;
        let Some(first) = part.first else {
            let is_whole = part.total == Some(received);
            return (!is_whole).then_some(Outcome::GoesOn { received });
        };
        if first > received || part.end() > LARGEST_UPLOAD {
            return Some(Outcome::Gap { received });
        }
        // What had come already is not taken again.
        let known = usize::try_from(received - first).unwrap_or(usize::MAX).min(part.body.len());
        self.body.extend_from_slice(&part.body[known..]);
        let received = self.body.len() as u64;
        (part.total != Some(received)).then_some(Outcome::GoesOn { received })
    }
}

/// Those that have begun, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    begun: u64,
    open: BTreeMap<u64, Upload>,
}

impl Uploads {
    pub(super) fn begin(&mut self, upload: Upload) -> u64 {
        if self.open.len() == MOST_UPLOADS {
            self.open.pop_first();
        }
        self.begun += 1;
        self.open.insert(self.begun, upload);
        self.begun
    }

    pub(super) fn find(&mut self, id: u64) -> Option<&mut Upload> {
        self.open.get_mut(&id)
    }

    pub(super) fn end(&mut self, id: u64) -> Option<Upload> {
        self.open.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload() -> Upload {
        let place = Place { bucket: "b".into(), key: "k".into() };
        Upload::new(place, Condition::Always)
    }

    fn part(range: &str, body: &'static str) -> Part {
        Part::parse(range, body.into()).expect(range)
    }

    #[test]
    fn parts_come_together() {
        let mut it = upload();
        assert!(matches!(
            it.take(part("bytes 0-2/*", "abc")),
            Some(Outcome::GoesOn { received: 3 })
        ));
        assert!(matches!(it.take(part("bytes */9", "")), Some(Outcome::GoesOn { received: 3 })));
        assert!(matches!(it.take(part("bytes 5-6/*", "xy")), Some(Outcome::Gap { received: 3 })));
        // The answer was lost, and it comes once more, with more after it.
        assert!(it.take(part("bytes 0-4/5", "abcde")).is_none());
        assert_eq!(it.body, b"abcde");
    }

    #[test]
    fn an_empty_object_needs_no_part() {
        assert!(upload().take(part("bytes */0", "")).is_none());
        assert!(part("bytes */0", "").is_last());
        assert!(part("bytes 3-4/5", "xy").is_last());
        assert!(!part("bytes 3-4/*", "xy").is_last());
    }

    #[test]
    fn what_does_not_fit_its_range_is_no_part() {
        for (range, body) in [
            ("bytes 0-2/3", "ab"),
            ("bytes 2-0/3", "ab"),
            ("bytes */3", "ab"),
            ("bytes 0-18446744073709551615/*", "ab"),
            ("bytes a-b/c", "ab"),
            ("0-1/2", "ab"),
        ] {
            assert_eq!(Part::parse(range, body.into()), None, "{range}");
        }
    }
}
