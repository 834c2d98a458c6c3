//! Listings and deletions.

use std::collections::BTreeSet;

use buffer_core::Location;

use super::super::bench::{Bench, told};
use super::super::report::Violation;
use super::super::tasks::join_all;
use crate::StoreErrorKind;
use crate::runtime::BoxFuture;

type Result<T = ()> = std::result::Result<T, Violation>;

/// What a listing has, as keys: each once or more.
async fn listed(bench: &Bench, prefix: &Location) -> Result<BTreeSet<Location>> {
    let objects = bench.list(prefix).await?;
    Ok(objects.into_iter().map(|object| object.location).collect())
}

pub(super) async fn expect_listed(
    bench: &Bench,
    prefix: &Location,
    expected: &BTreeSet<Location>,
) -> Result {
    let seen = listed(bench, prefix).await?;
    let missing: Vec<_> = expected.difference(&seen).take(5).collect();
    let strange: Vec<_> = seen.difference(expected).take(5).collect();
    bench.expect(
        seen == *expected,
        format_args!("{} keys below {prefix}", expected.len()),
        format_args!("{}; not there: {missing:?}; too many: {strange:?}", seen.len()),
    )
}

/// Makes many small objects, several at a time.
async fn fill(bench: &Bench, keys: &[Location]) -> Result {
    let each = keys.len().div_ceil(bench.contract.requests_at_once.max(1)).max(1);
    let work = keys.chunks(each).map(|keys| {
        let (bench, keys) = (bench.clone(), keys.to_vec());
        let work: BoxFuture<'static, Result> = Box::pin(async move {
            for key in &keys {
                bench.create(key, key.as_str().to_owned()).await?;
            }
            Ok(())
        });
        work
    });
    join_all(&bench.runtime, work.collect()).await.into_iter().collect()
}

fn many_keys(bench: &Bench) -> Vec<Location> {
    // A third lies deeper, so that a store that lists level by level is seen to.
    let name = |number: usize| match number % 3 {
        0 => format!("many/deep/{}/{number:06}.batch", number % 7),
        _ => format!("many/{number:06}.batch"),
    };
    (0..bench.contract.listed_objects).map(|number| bench.key(name(number))).collect()
}

pub(super) async fn a_listing_has_all_below_its_prefix_and_nothing_beside(bench: &Bench) -> Result {
    let below = ["prefix/a", "prefix/b/c", "prefix/b/d/e/f/g", "prefix/prefix", "prefix/~"];
    let beside = ["prefix2/x", "prefixx", "prefi", "prefix.batch", "Prefiy/x", "other/prefix/x"];
    for name in below.iter().chain(&beside) {
        bench.create(&bench.key(name), *name).await?;
    }
    let keys = |names: &[&str]| names.iter().map(|name| bench.key(name)).collect();
    expect_listed(bench, &bench.key("prefix"), &keys(&below)).await?;
    expect_listed(bench, &bench.key("prefix/b"), &keys(&below[1..3])).await?;
    let all = keys(&[below.as_slice(), &beside].concat());
    expect_listed(bench, &bench.prefix, &all).await
}

pub(super) async fn an_object_is_not_below_itself(bench: &Bench) -> Result {
    let (object, below) = (bench.key("prefix"), bench.key("prefix/below"));
    bench.create(&object, "object").await?;
    bench.create(&below, "below").await?;
    expect_listed(bench, &object, &BTreeSet::from([below])).await?;
    bench.contents(&object, "object").await?;
    Ok(())
}

pub(super) async fn a_listing_of_nothing_is_empty(bench: &Bench) -> Result {
    let page = bench.page(&bench.key("nothing"), None).await?;
    let is_empty = page.objects.is_empty() && page.next.is_none();
    bench.expect(is_empty, "one empty page", told(&page))?;
    let key = bench.key("was/here");
    bench.create(&key, "x").await?;
    bench.delete(vec![key]).await?;
    expect_listed(bench, &bench.key("was"), &BTreeSet::new()).await
}

pub(super) async fn a_long_listing_comes_in_pages_and_leaves_nothing_out(bench: &Bench) -> Result {
    let keys = many_keys(bench);
    fill(bench, &keys).await?;
    expect_listed(bench, &bench.key("many"), &keys.iter().cloned().collect()).await?;
    bench.delete(keys).await?;
    expect_listed(bench, &bench.key("many"), &BTreeSet::new()).await
}

/// As the collector does: it deletes what one page had, and asks for the next.
pub(super) async fn a_listing_goes_on_while_what_it_listed_is_deleted(bench: &Bench) -> Result {
    let keys = many_keys(bench);
    fill(bench, &keys).await?;
    let (mut seen, mut after) = (BTreeSet::new(), None);
    loop {
        let page = bench.page(&bench.key("many"), after).await?;
        let found: Vec<_> = page.objects.into_iter().map(|object| object.location).collect();
        bench.delete(found.clone()).await?;
        seen.extend(found);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let missed: Vec<_> = keys.iter().filter(|key| !seen.contains(*key)).take(5).collect();
    bench.expect(
        missed.is_empty(),
        format_args!("all {} keys in a listing whose pages were deleted", keys.len()),
        format_args!("{}; left out: {missed:?}", seen.len()),
    )?;
    expect_listed(bench, &bench.key("many"), &BTreeSet::new()).await
}

pub(super) async fn what_was_deleted_is_not_listed(bench: &Bench) -> Result {
    let keys: Vec<_> = (0..12).map(|number| bench.key(format_args!("x/{number}"))).collect();
    fill(bench, &keys).await?;
    let (gone, left) = keys.split_at(5);
    bench.delete(gone.to_vec()).await?;
    expect_listed(bench, &bench.key("x"), &left.iter().cloned().collect()).await?;
    for key in gone {
        bench.missing(key).await?;
    }
    for key in left {
        bench.contents(key, key.as_str().to_owned()).await?;
    }
    Ok(())
}

pub(super) async fn deleting_what_is_gone_is_a_success(bench: &Bench) -> Result {
    let (gone, never) = (bench.key("gone"), bench.key("never/was/there"));
    bench.create(&gone, "x").await?;
    for _ in 0..3 {
        bench.delete(vec![gone.clone()]).await?;
    }
    bench.delete(vec![never.clone(), gone.clone(), never, gone]).await?;
    bench.delete(Vec::new()).await
}

/// Some are there, some are gone, one is no key at all.
pub(super) async fn each_deletion_has_its_result_in_order(bench: &Bench) -> Result {
    // More than a client puts into one request.
    let keys: Vec<_> = (0..300).map(|number| bench.key(format_args!("x/{number}"))).collect();
    let there: Vec<_> = keys.iter().step_by(3).cloned().collect();
    fill(bench, &there).await?;
    let kept = bench.key("x/kept");
    bench.create(&kept, "kept").await?;
    let refuses =
        bench.contract.lacks.iter().all(|lack| lack.feature != super::Feature::RefusedKeys);
    let mut asked = keys.clone();
    if refuses {
        asked.insert(123, Location::new(format!("{}/x//no key", bench.prefix)));
    }
    let seen = deletions(bench, &asked).await;
    let counts = (seen.len(), asked.len());
    bench.expect(counts.0 == counts.1, format_args!("{} results", counts.1), counts.0)?;
    for (key, seen) in asked.iter().zip(seen) {
        let expected = key.validate().err().map(|_| StoreErrorKind::InvalidLocation);
        bench.expect(seen == expected, format_args!("{expected:?} of {key}"), told(&seen))?;
    }
    expect_listed(bench, &bench.key("x"), &BTreeSet::from([kept])).await
}

/// How each deletion fails, or that it does not, once none of them only fails for now.
async fn deletions(bench: &Bench, keys: &[Location]) -> Vec<Option<StoreErrorKind>> {
    let mut kinds = Vec::new();
    for attempt in 0..10 {
        let results = bench.store.delete(keys.to_vec()).await;
        kinds =
            results.into_iter().map(|result| result.err().map(|failure| failure.kind)).collect();
        if !kinds.iter().flatten().any(|kind: &StoreErrorKind| kind.is_retryable()) {
            break;
        }
        bench.back_off(attempt).await;
    }
    kinds
}
