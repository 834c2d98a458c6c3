//! Listings, in pages.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::Refusal;
use super::objects::Object;
use super::operation::{Query, decode};

/// How many keys and common prefixes a page has at the most.
const PAGE: usize = 1000;

/// What is to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) prefix: String,
    /// Begins after this key.
    pub(super) after: Option<String>,
    /// Begins with this key.
    pub(super) from: Option<String>,
    /// Up to where keys are listed as one, if they have it after the prefix.
    pub(super) delimiter: Option<String>,
    /// How many a page has.
    pub(super) most: usize,
    /// Whether keys are written as they are in URLs.
    pub(super) in_url: bool,
}

impl Listing {
    /// As S3's ListObjectsV2 asks for it.
    pub(super) fn of_s3(query: &Query) -> Result<Self, Refusal> {
        query.expect_only(&[
            "list-type",
            "prefix",
            "start-after",
            "continuation-token",
            "max-keys",
            "delimiter",
            "encoding-type",
            "fetch-owner",
        ])?;
        if query.value("list-type") != Some("2") {
            return Err(Refusal::not_implemented("ListObjects, but ListObjectsV2 (list-type=2)"));
        }
        let after = match query.value("continuation-token") {
            Some(token) => Some(decode(token)?),
            None => query.text("start-after"),
        };
        Ok(Self {
            prefix: query.text("prefix").unwrap_or_default(),
            after,
            from: None,
            delimiter: query.text("delimiter"),
            most: most(query, "max-keys")?,
            in_url: query.value("encoding-type") == Some("url"),
        })
    }

    /// As Google's JSON interface asks for it.
    pub(super) fn of_google(query: &Query) -> Result<Self, Refusal> {
        let known = ["prefix", "startOffset", "pageToken", "maxResults", "delimiter"];
        query.expect_only(&[&known[..], &super::json::HARMLESS].concat())?;
        Ok(Self {
            prefix: query.text("prefix").unwrap_or_default(),
            after: query.value("pageToken").map(decode).transpose()?,
            from: query.text("startOffset"),
            delimiter: query.text("delimiter"),
            most: most(query, "maxResults")?,
            in_url: false,
        })
    }
}

fn most(query: &Query, name: &str) -> Result<usize, Refusal> {
    let asked = query.number(name)?.map(|most| usize::try_from(most).unwrap_or(PAGE));
    Ok(asked.unwrap_or(PAGE).min(PAGE))
}

/// A page of a listing.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) bucket: String,
    pub(super) listing: Listing,
    pub(super) objects: Vec<(String, Object)>,
    /// What keys have in common that are listed as one.
    pub(super) prefixes: Vec<String>,
    /// Where the next page goes on; `None` where this is the last.
    pub(super) next: Option<String>,
}

impl Page {
    pub(super) const fn empty(bucket: String, listing: Listing) -> Self {
        Self { bucket, listing, objects: Vec::new(), prefixes: Vec::new(), next: None }
    }

    /// Fills a page from what is there, in its order.
    pub(super) fn of<'a>(
        found: impl Iterator<Item = (&'a String, &'a Object)>,
        listing: &Listing,
    ) -> Self {
        let mut page = Self::empty(String::new(), Listing::default());
        let mut last = None;
        for (key, object) in found {
            let common = common_prefix(key, listing);
            if common.is_some() && common == page.prefixes.last().map(String::as_str) {
                last = Some(key);
                continue;
            }
            if page.len() == listing.most {
                page.next = last.map(|key| token(key));
                break;
            }
            match common {
                Some(common) => page.prefixes.push(common.to_owned()),
                None => page.objects.push((key.clone(), object.clone())),
            }
            last = Some(key);
        }
        page
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len() + self.prefixes.len()
    }
}

/// What is listed instead of a key.
fn common_prefix<'a>(key: &'a str, listing: &Listing) -> Option<&'a str> {
    let delimiter = listing.delimiter.as_deref()?;
    let begin = listing.prefix.len();
    let at = key.get(begin..)?.find(delimiter)?;
    key.get(..begin + at + delimiter.len())
}

fn token(key: &str) -> String {
    utf8_percent_encode(key, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Conditions;
    use super::super::objects::{Condition, Objects, Operation, Outcome, Place};
    use super::*;

    /// All pages of a listing: keys, and common prefixes.
    fn pages(keys: &[&str], listing: &Listing) -> Vec<Vec<String>> {
        let objects = Objects::new(Conditions::Kept, Duration::ZERO);
        for key in keys {
            let place = Place { bucket: "b".into(), key: (*key).into() };
            let body = bytes::Bytes::new();
            objects.apply(Operation::Write { place, condition: Condition::Always, body });
        }
        let (mut pages, mut listing) = (Vec::new(), listing.clone());
        loop {
            let asked = Operation::List { bucket: "b".into(), listing: listing.clone() };
            let Outcome::Listed(page) = objects.apply(asked) else { panic!("it is no listing") };
            let keys = page.objects.into_iter().map(|(key, _)| key);
            pages.push(keys.chain(page.prefixes).collect());
            let Some(next) = page.next else { return pages };
            listing.after = Some(decode(&next).expect("it is one of ours"));
        }
    }

    #[test]
    fn pages_leave_nothing_out_and_repeat_nothing() {
        let keys = ["a", "p/1", "p/2", "p/é %", "p/4/x", "q"];
        let listing = Listing { prefix: "p/".into(), most: 2, ..Listing::default() };
        let expected = [vec!["p/1", "p/2"], vec!["p/4/x", "p/é %"]];
        assert_eq!(pages(&keys, &listing), expected);
        let after = Listing { after: Some("p/1".into()), most: 9, ..listing.clone() };
        assert_eq!(pages(&keys, &after), [["p/2", "p/4/x", "p/é %"]]);
        let from = Listing { from: Some("p/2".into()), most: 9, ..listing.clone() };
        assert_eq!(pages(&keys, &from), [["p/2", "p/4/x", "p/é %"]]);
        let before = Listing { after: Some("a".into()), most: 9, ..listing.clone() };
        assert_eq!(pages(&keys, &before)[0].len(), 4);
        assert_eq!(pages(&keys, &Listing { most: 0, ..listing }), [Vec::<String>::new()]);
    }

    #[test]
    fn what_has_the_delimiter_is_listed_as_one() {
        let keys = ["d/a/1", "d/a/2", "d/a/3", "d/b", "d/c/1", "d/c/2", "e"];
        let listing = Listing {
            prefix: "d/".into(),
            delimiter: Some("/".into()),
            most: 1,
            ..Listing::default()
        };
        assert_eq!(pages(&keys, &listing), [["d/a/"], ["d/b"], ["d/c/"]]);
        let whole = Listing { most: 9, ..listing };
        assert_eq!(pages(&keys, &whole), [["d/b", "d/a/", "d/c/"]]);
    }
}
