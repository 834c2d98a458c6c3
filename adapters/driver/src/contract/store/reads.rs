//! Reads, with and without a condition.

use buffer_core::{ReadOutcome, UnixMillis};

use super::super::bench::{Bench, short, told};
use super::super::report::Violation;

type Result<T = ()> = std::result::Result<T, Violation>;

/// The first moment of 2001 and of 2200: what lies outside is no time at which an object was written.
const PLAUSIBLE: std::ops::Range<UnixMillis> =
    UnixMillis(978_307_200_000)..UnixMillis(7_258_118_400_000);

/// How far apart two tellings of one time may be: some are in whole seconds, cut off.
const PRECISION_MS: i64 = 1000;

pub(super) async fn a_read_gives_contents_and_version_as_written(bench: &Bench) -> Result {
    let key = bench.key("a/b/object");
    let version = bench.create(&key, "contents").await?;
    for _ in 0..3 {
        let object = bench.contents(&key, "contents").await?;
        bench.expect(object.version == version, told(&version), told(&object.version))?;
    }
    let is_named = version.e_tag.is_some() || version.generation.is_some();
    bench.expect(is_named, "a version with a tag or a generation", told(&version))
}

pub(super) async fn a_read_tells_when_the_object_was_written(bench: &Bench) -> Result {
    let key = bench.key("object");
    let version = bench.create(&key, "first").await?;
    let first = modified(bench, &key).await?;
    bench.expect(PLAUSIBLE.contains(&first), "a time of this age", told(&first))?;
    let listed = bench.list(&bench.prefix).await?;
    let times: Vec<_> = listed.iter().map(|object| object.last_modified).collect();
    let is_same = match times.as_slice() {
        [Some(time)] => (time.0 - first.0).abs() <= PRECISION_MS,
        _ => false,
    };
    bench.expect(
        is_same,
        format_args!("a listing to tell the same time, {first:?}"),
        told(&times),
    )?;
    bench.swap(&key, "second", &version).await?;
    let second = modified(bench, &key).await?;
    bench.expect(
        second.0 + PRECISION_MS >= first.0,
        format_args!("a swap not to be older than {first:?}"),
        told(&second),
    )
}

async fn modified(bench: &Bench, key: &buffer_core::Location) -> Result<UnixMillis> {
    match bench.object(key).await?.last_modified {
        Some(time) => Ok(time),
        None => bench.violation("the time of the write", "none"),
    }
}

pub(super) async fn a_read_unless_the_version_that_is_there_is_not_modified(
    bench: &Bench,
) -> Result {
    let key = bench.key("object");
    let first = bench.create(&key, "first").await?;
    for version in [first.clone(), bench.object(&key).await?.version] {
        let outcome = bench.read(&key, Some(&version)).await?;
        let is_same = outcome == ReadOutcome::NotModified;
        bench.expect(is_same, "\"not modified\" at the version that is there", short(&outcome))?;
    }
    let second = bench.swap(&key, "second", &first).await?;
    match bench.read(&key, Some(&first)).await? {
        ReadOutcome::Found(object) => {
            let is_new = object.bytes == "second" && object.version == second;
            bench.expect(is_new, "the new contents and version", told(&object))?;
        }
        other @ (ReadOutcome::NotModified | ReadOutcome::Missing) => {
            return bench.violation("the object that has changed", short(&other));
        }
    }
    bench.delete(vec![key.clone()]).await?;
    let outcome = bench.read(&key, Some(&second)).await?;
    let is_missing = outcome == ReadOutcome::Missing;
    bench.expect(is_missing, "what was deleted to be missing", short(&outcome))
}

pub(super) async fn a_read_of_what_is_not_there_is_missing(bench: &Bench) -> Result {
    bench.create(&bench.key("there/object"), "x").await?;
    for name in ["nowhere", "nowhere/at/all", "there", "there/obj", "there/object/below"] {
        bench.missing(&bench.key(name)).await?;
    }
    Ok(())
}

pub(super) async fn a_read_after_each_change_shows_it(bench: &Bench) -> Result {
    let key = bench.key("object");
    for round in 0..10 {
        let created = format!("created {round}");
        let version = bench.create(&key, created.clone()).await?;
        bench.contents(&key, created).await?;
        let swapped = format!("swapped {round}");
        bench.swap(&key, swapped.clone(), &version).await?;
        bench.contents(&key, swapped).await?;
        bench.delete(vec![key.clone()]).await?;
        bench.missing(&key).await?;
    }
    Ok(())
}
