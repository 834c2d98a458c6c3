//! Conditions of writes, one writer at a time.

use std::sync::Arc;

use buffer_core::{Condition, Version};

use super::super::bench::Bench;
use super::super::report::Violation;

type Result = std::result::Result<(), Violation>;

pub(super) async fn a_second_create_is_a_conflict_and_the_first_contents_stay(
    bench: &Bench,
) -> Result {
    let key = bench.key("object");
    let version = bench.create(&key, "first").await?;
    for contents in ["second", "first", ""] {
        bench
            .expect_conflict(
                &key,
                contents,
                Condition::Absent,
                &format!("creating what is there with {contents:?}"),
            )
            .await?;
    }
    let object = bench.contents(&key, "first").await?;
    bench.expect(object.version == version, format_args!("{version:?}"), object.version_text())
}

pub(super) async fn a_swap_makes_the_version_that_a_read_shows(bench: &Bench) -> Result {
    let key = bench.key("object");
    let mut version = bench.create(&key, "0").await?;
    for number in 1..=5 {
        let contents = number.to_string();
        let swapped = bench.swap(&key, contents.clone(), &version).await?;
        bench.expect(swapped != version, "another version after a swap", "the same")?;
        let object = bench.contents(&key, contents).await?;
        bench.expect(
            object.version == swapped,
            format_args!("the version {swapped:?}"),
            object.version_text(),
        )?;
        version = swapped;
    }
    Ok(())
}

pub(super) async fn a_stale_swap_is_a_conflict_and_changes_nothing(bench: &Bench) -> Result {
    let key = bench.key("object");
    let first = bench.create(&key, "first").await?;
    let second = bench.swap(&key, "second", &first).await?;
    for contents in ["stale", "second"] {
        bench
            .expect_conflict(
                &key,
                contents,
                Condition::Version(first.clone()),
                &format!("a swap at a version that is gone, to {contents:?}"),
            )
            .await?;
    }
    let object = bench.contents(&key, "second").await?;
    bench.expect(object.version == second, format_args!("{second:?}"), object.version_text())?;
    // The right version still does.
    bench.swap(&key, "third", &second).await?;
    bench.contents(&key, "third").await?;
    Ok(())
}

pub(super) async fn a_swap_of_a_missing_object_is_a_conflict_and_creates_nothing(
    bench: &Bench,
) -> Result {
    let (gone, never) = (bench.key("gone"), bench.key("never"));
    let version = bench.create(&gone, "was here").await?;
    bench.delete(vec![gone.clone()]).await?;
    for key in [gone, never] {
        bench
            .expect_conflict(
                &key,
                "new",
                Condition::Version(version.clone()),
                &format!("a swap of {key}, which is missing"),
            )
            .await?;
        bench.missing(&key).await?;
    }
    Ok(())
}

pub(super) async fn a_swap_at_the_version_of_another_object_is_a_conflict(bench: &Bench) -> Result {
    let (one, other) = (bench.key("one"), bench.key("other"));
    bench.create(&one, "one").await?;
    let version = bench.create(&other, "other").await?;
    bench
        .expect_conflict(
            &one,
            "new",
            Condition::Version(version),
            "a swap at another object's version",
        )
        .await?;
    bench.contents(&one, "one").await?;
    Ok(())
}

pub(super) async fn a_swap_at_a_version_that_never_was_is_a_conflict(bench: &Bench) -> Result {
    let key = bench.key("object");
    let version = bench.create(&key, "contents").await?;
    bench
        .expect_conflict(
            &key,
            "new",
            Condition::Version(altered(&version)),
            "a swap at a version that never was",
        )
        .await?;
    bench.contents(&key, "contents").await?;
    Ok(())
}

pub(super) async fn a_deleted_object_can_be_created_and_its_old_version_is_stale(
    bench: &Bench,
) -> Result {
    let key = bench.key("object");
    let first = bench.create(&key, "first life").await?;
    bench.delete(vec![key.clone()]).await?;
    bench.missing(&key).await?;
    let second = bench.create(&key, "second life").await?;
    bench
        .expect_conflict(
            &key,
            "new",
            Condition::Version(first),
            "a swap at the version of the object's first life",
        )
        .await?;
    bench.swap(&key, "swapped", &second).await?;
    bench.contents(&key, "swapped").await?;
    Ok(())
}

/// A version that looks like this one, and is none: with another last digit.
fn altered(version: &Version) -> Version {
    let alter = |text: &Arc<str>| {
        let mut letters: Vec<char> = text.chars().collect();
        if let Some(digit) = letters.iter_mut().rfind(|letter| letter.is_ascii_hexdigit()) {
            *digit = if *digit == '1' { '2' } else { '1' };
        }
        letters.into_iter().collect::<String>().into()
    };
    Version {
        e_tag: version.e_tag.as_ref().map(alter),
        generation: version.generation.as_ref().map(alter),
    }
}

/// A version for people.
trait VersionText {
    fn version_text(&self) -> String;
}

impl VersionText for buffer_core::Object {
    fn version_text(&self) -> String {
        format!("{:?}", self.version)
    }
}
