//! Keys that clients and servers like to encode, decode or normalise.

use std::collections::BTreeSet;

use buffer_core::{Condition, Location};

use super::super::bench::{Bench, told};
use super::super::report::Violation;
use super::listings::expect_listed;
use crate::StoreErrorKind;
use crate::runtime::BoxFuture;
use crate::store::StoreFailure;

type Result = std::result::Result<(), Violation>;

/// Each is a segment in the middle of a key, and at its end.
const AWKWARD: &[&str] = &[
    "tilde~",
    "a[b]c",
    "a#b",
    "100%",
    "a%25b",
    "a+b",
    "a?b=c",
    "a*b",
    "a&b",
    "a=b",
    "a:b",
    "a@b",
    "a!b",
    "a$b",
    "it's",
    "a(b)c",
    "a,b",
    "a;b",
    "with spaces in it",
    "a%20b",
    "a%2Fb",
    "a%2520b",
    "übergröße",
    "消息漢",
    "emoji🦀",
    "..a",
    "a..",
    "-dash",
    "_",
    ".hidden",
    "%",
    "%zz",
    "a|b",
    "a{b}",
    "a^b",
    "a`b",
    "a\"b",
    "a<b>c",
];

/// Groups of keys that somebody may take for one and the same.
const ALIKE: &[&[&str]] = &[
    &["a b", "a%20b", "a+b", "a%2Bb", "a%2520b"],
    &["ü", "%C3%BC", "%c3%bc", "u\u{308}"],
    &["x~y", "x%7Ey", "x%7ey"],
    &["p/q", "p%2Fq", "p%2fq"],
    &["50%", "50%25"],
    &["e.batch", "e%2Ebatch"],
];

pub(super) async fn awkward_keys_are_taken_as_they_are(bench: &Bench) -> Result {
    let mut keys = BTreeSet::new();
    for segment in AWKWARD {
        let place = bench.key("all");
        keys.insert(Location::new(format!("{place}/{segment}/end")));
        keys.insert(Location::new(format!("{place}/as the end/{segment}")));
    }
    for key in &keys {
        let version = bench.create(key, key.as_str().to_owned()).await?;
        let swapped = format!("{key}, swapped");
        bench.swap(key, swapped.clone(), &version).await?;
        bench.contents(key, swapped).await?;
    }
    expect_listed(bench, &bench.key("all"), &keys).await?;
    for segment in AWKWARD {
        let prefix = Location::new(format!("{}/{segment}", bench.key("all")));
        let below = Location::new(format!("{prefix}/end"));
        expect_listed(bench, &prefix, &BTreeSet::from([below])).await?;
    }
    for key in &keys {
        bench.delete(vec![key.clone()]).await?;
        bench.missing(key).await?;
    }
    expect_listed(bench, &bench.key("all"), &BTreeSet::new()).await
}

async fn expect_different(bench: &Bench, place: &str, names: &[&str]) -> Result {
    let key = |name: &&str| Location::new(format!("{}/{name}", bench.key(place)));
    for name in names {
        bench.create(&key(name), (*name).to_owned()).await?;
    }
    for name in names {
        bench.contents(&key(name), (*name).to_owned()).await?;
    }
    expect_listed(bench, &bench.key(place), &names.iter().map(key).collect()).await
}

pub(super) async fn keys_that_differ_by_encoding_are_different_objects(bench: &Bench) -> Result {
    for (number, names) in ALIKE.iter().enumerate() {
        expect_different(bench, &format!("group-{number}"), names).await?;
    }
    Ok(())
}

pub(super) async fn keys_that_differ_by_case_are_different_objects(bench: &Bench) -> Result {
    expect_different(bench, "case", &["Manifest", "manifest", "MANIFEST"]).await?;
    expect_different(bench, "case-of-umlauts", &["Ü", "ü"]).await
}

pub(super) async fn a_deletion_takes_the_very_key_that_was_named(bench: &Bench) -> Result {
    for (number, names) in ALIKE.iter().enumerate() {
        let key = |name: &&str| bench.key(format_args!("group-{number}/{name}"));
        for name in *names {
            bench.create(&key(name), (*name).to_owned()).await?;
        }
        let mut left: BTreeSet<_> = names.iter().map(key).collect();
        for name in *names {
            bench.delete(vec![key(name)]).await?;
            left.remove(&key(name));
            let group = bench.key(format_args!("group-{number}"));
            expect_listed(bench, &group, &left).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_backslash_is_no_slash(bench: &Bench) -> Result {
    expect_different(bench, "backslash", &["a\\b", "a/b", "a%5Cb"]).await
}

/// No store is asked for these: what one takes, another normalises, or lets out of its root.
pub(super) async fn what_cannot_be_a_key_is_refused(bench: &Bench) -> Result {
    let inside = ["a//b", "/a", "a/", "a/./b", "a/../b", "..", "a\nb", "a\u{0}b"];
    let mut keys: Vec<_> = inside.iter().map(|name| bench.key(name)).collect();
    keys.extend(["", "/", "../outside", "/absolute"].map(Location::from));
    for key in keys {
        let store = &bench.store;
        let write = || store.write(&key, vec!["x".into()], Condition::Absent);
        let delete = || -> BoxFuture<'_, std::result::Result<(), StoreFailure>> {
            let deleting = store.delete(vec![key.clone()]);
            Box::pin(async move {
                let result = deleting.await.pop();
                result.unwrap_or(Err(StoreErrorKind::Transient.into()))
            })
        };
        let seen = [
            kind(bench, write).await,
            kind(bench, || store.read(&key, None)).await,
            kind(bench, delete).await,
        ];
        let is_refused = seen == [Some(StoreErrorKind::InvalidLocation); 3];
        let expected = format!("a write, a read and a deletion of {key:?} to be refused");
        bench.expect(is_refused, expected, told(&seen))?;
    }
    Ok(())
}

/// How a request fails that does not only fail for now; `None` if it does not fail.
async fn kind<'a, T>(
    bench: &Bench,
    request: impl Fn() -> BoxFuture<'a, std::result::Result<T, StoreFailure>>,
) -> Option<StoreErrorKind> {
    let mut seen = None;
    for attempt in 0..10 {
        seen = request().await.err().map(|failure| failure.kind);
        if !seen.is_some_and(StoreErrorKind::is_retryable) {
            break;
        }
        bench.back_off(attempt).await;
    }
    seen
}
