//! What the checks of a store work with: a store, a place in it, and requests that are tried again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use buffer_core::{
    Condition, ListedObject, Location, Object, ReadOutcome, Rope, Version, WriteOutcome,
};
use bytes::Bytes;

use super::report::Violation;
use super::store::Contract;
use super::tasks::sleep;
use crate::runtime::Runtime;
use crate::store::{Store, StoreFailure};

/// How often a request that failed for now is tried.
const ATTEMPTS: u32 = 24;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);

/// One check's place in a store. Clones are the same place.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) check: &'static str,
    pub(super) contract: Arc<Contract>,
    pub(super) store: Arc<dyn Store>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) prefix: Location,
    tried_again: Arc<AtomicU64>,
}

/// What became of a write as far as whoever sent it can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Stored(Version),
    Conflict,
    /// It failed for now: it happened or not.
    Unknown,
}

impl Bench {
    pub(super) fn new(
        check: &'static str,
        contract: &Arc<Contract>,
        store: &Arc<dyn Store>,
        runtime: &Arc<dyn Runtime>,
        prefix: Location,
    ) -> Self {
        Self {
            check,
            contract: Arc::clone(contract),
            store: Arc::clone(store),
            runtime: Arc::clone(runtime),
            prefix,
            tried_again: Arc::default(),
        }
    }

    /// How many requests failed for now and were tried again.
    pub(super) fn tried_again(&self) -> u64 {
        self.tried_again.load(Ordering::Relaxed)
    }

    /// A key of this check.
    pub(super) fn key(&self, name: impl fmt::Display) -> Location {
        Location::new(format!("{}/{name}", self.prefix))
    }

    pub(super) fn violation<T>(
        &self,
        expected: impl fmt::Display,
        seen: impl fmt::Display,
    ) -> Result<T, Violation> {
        Err(Violation {
            check: self.check.to_owned(),
            expected: expected.to_string(),
            seen: seen.to_string(),
        })
    }

    /// A violation, unless it is so.
    pub(super) fn expect(
        &self,
        is_so: bool,
        expected: impl fmt::Display,
        seen: impl fmt::Display,
    ) -> Result<(), Violation> {
        if is_so { Ok(()) } else { self.violation(expected, seen) }
    }

    /// Waits before the next attempt of a request that failed; a failure for good is a violation.
    async fn pause(&self, attempt: u32, failure: &StoreFailure) -> Result<(), Violation> {
        if !failure.kind.is_retryable() || attempt + 1 == ATTEMPTS {
            return self.violation("an answer", told(failure));
        }
        self.tried_again.fetch_add(1, Ordering::Relaxed);
        self.back_off(attempt).await;
        Ok(())
    }

    /// Makes way for others, for longer and longer, and not all for the same time.
    pub(super) async fn back_off(&self, attempt: u32) {
        let ceiling = LONGEST_PAUSE.min(Duration::from_millis(10) * (1 << attempt.min(8)));
        let share = u32::try_from(self.runtime.entropy() % 1000).expect("it is below 1,000");
        sleep(&self.runtime, ceiling / 2 + ceiling / 2 * share / 1000).await;
    }

    /// Sends a write once.
    pub(super) async fn send(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<Sent, Violation> {
        match self.store.write(location, payload, condition).await {
            Ok(WriteOutcome::Stored(version)) => Ok(Sent::Stored(version)),
            Ok(WriteOutcome::Conflict) => Ok(Sent::Conflict),
            Err(failure) if failure.kind.is_retryable() => {
                self.tried_again.fetch_add(1, Ordering::Relaxed);
                Ok(Sent::Unknown)
            }
            Err(failure) => self.violation("an answer", told(&failure)),
        }
    }

    /// Writes until it is known what became of it. Nobody else writes this object, and it never
    /// had these contents before.
    pub(super) async fn write_rope(
        &self,
        location: &Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, Violation> {
        for attempt in 0..ATTEMPTS {
            let sent = self.send(location, payload.clone(), condition.clone()).await?;
            match sent {
                Sent::Stored(version) => return Ok(WriteOutcome::Stored(version)),
                Sent::Conflict if attempt == 0 => return Ok(WriteOutcome::Conflict),
                Sent::Conflict | Sent::Unknown => {}
            }
            // A conflict may be one with our own earlier attempt, whose answer was lost.
            if let ReadOutcome::Found(object) = self.read(location, None).await?
                && object.bytes == payload.concat()
            {
                return Ok(WriteOutcome::Stored(object.version));
            }
            if sent == Sent::Conflict {
                return Ok(WriteOutcome::Conflict);
            }
            self.back_off(attempt).await;
        }
        self.violation("an answer", format_args!("{ATTEMPTS} failures in a row"))
    }

    pub(super) async fn write(
        &self,
        location: &Location,
        contents: impl Into<Bytes>,
        condition: Condition,
    ) -> Result<WriteOutcome, Violation> {
        self.write_rope(location, vec![contents.into()], condition).await
    }

    /// Writes an object that must not be there yet.
    pub(super) async fn create(
        &self,
        location: &Location,
        contents: impl Into<Bytes>,
    ) -> Result<Version, Violation> {
        let outcome = self.write(location, contents, Condition::Absent).await?;
        self.stored(outcome, format_args!("{location} to be created"))
    }

    /// Swaps an object that must be at this version.
    pub(super) async fn swap(
        &self,
        location: &Location,
        contents: impl Into<Bytes>,
        base: &Version,
    ) -> Result<Version, Violation> {
        let outcome = self.write(location, contents, Condition::Version(base.clone())).await?;
        self.stored(outcome, format_args!("{location} to be swapped"))
    }

    pub(super) fn stored(
        &self,
        outcome: WriteOutcome,
        expected: impl fmt::Display,
    ) -> Result<Version, Violation> {
        match outcome {
            WriteOutcome::Stored(version) => Ok(version),
            WriteOutcome::Conflict => self.violation(expected, "a conflict"),
        }
    }

    /// Sends a write whose condition does not hold, until it is told so.
    ///
    /// One that was not answered may have been applied against its condition; the next answer
    /// is a conflict all the same, so the caller looks at the object as well.
    pub(super) async fn expect_conflict(
        &self,
        location: &Location,
        contents: impl Into<Bytes>,
        condition: Condition,
        what: &str,
    ) -> Result<(), Violation> {
        let payload = vec![contents.into()];
        for attempt in 0..ATTEMPTS {
            match self.send(location, payload.clone(), condition.clone()).await? {
                Sent::Conflict => return Ok(()),
                Sent::Unknown => self.back_off(attempt).await,
                stored @ Sent::Stored(_) => {
                    return self.violation(format_args!("a conflict of {what}"), told(&stored));
                }
            }
        }
        self.violation("an answer", format_args!("{ATTEMPTS} failures in a row"))
    }

    pub(super) async fn read(
        &self,
        location: &Location,
        unless: Option<&Version>,
    ) -> Result<ReadOutcome, Violation> {
        let mut attempt = 0;
        loop {
            match self.store.read(location, unless.cloned()).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => self.pause(attempt, &failure).await?,
            }
            attempt += 1;
        }
    }

    /// Reads an object that must be there.
    pub(super) async fn object(&self, location: &Location) -> Result<Object, Violation> {
        match self.read(location, None).await? {
            ReadOutcome::Found(object) => Ok(object),
            other @ (ReadOutcome::NotModified | ReadOutcome::Missing) => {
                self.violation(format_args!("the object {location}"), short(&other))
            }
        }
    }

    /// Reads an object that must be there with these contents.
    pub(super) async fn contents(
        &self,
        location: &Location,
        contents: impl Into<Bytes>,
    ) -> Result<Object, Violation> {
        let (object, contents) = (self.object(location).await?, contents.into());
        let is_same = object.bytes == contents;
        self.expect(is_same, excerpt(&contents), excerpt(&object.bytes))?;
        Ok(object)
    }

    pub(super) async fn missing(&self, location: &Location) -> Result<(), Violation> {
        let outcome = self.read(location, None).await?;
        let is_missing = outcome == ReadOutcome::Missing;
        self.expect(is_missing, format_args!("{location} to be missing"), short(&outcome))
    }

    /// Lists to the end, page by page.
    pub(super) async fn list(&self, prefix: &Location) -> Result<Vec<ListedObject>, Violation> {
        let (mut objects, mut after, mut pages) = (Vec::new(), None, 0_usize);
        loop {
            let page = self.page(prefix, after).await?;
            objects.extend(page.objects);
            after = page.next;
            pages += 1;
            if after.is_none() {
                return Ok(objects);
            }
            if pages > 10_000 {
                return self.violation("a listing that ends", format_args!("{pages} pages"));
            }
        }
    }

    pub(super) async fn page(
        &self,
        prefix: &Location,
        after: Option<buffer_core::ListCursor>,
    ) -> Result<buffer_core::ListPage, Violation> {
        let mut attempt = 0;
        loop {
            match self.store.list(prefix, after.clone()).await {
                Ok(page) => return Ok(page),
                Err(failure) => self.pause(attempt, &failure).await?,
            }
            attempt += 1;
        }
    }

    /// Deletes all of these, and what fails for now again.
    pub(super) async fn delete(&self, locations: Vec<Location>) -> Result<(), Violation> {
        let (mut left, mut attempt) = (locations, 0);
        loop {
            let results = self.store.delete(left.clone()).await;
            let counts = (results.len(), left.len());
            self.expect(
                counts.0 == counts.1,
                format_args!("{} results of deletions", counts.1),
                counts.0,
            )?;
            let mut failed = None;
            let results = left.into_iter().zip(results);
            left = Vec::new();
            for (location, result) in results {
                if let Err(failure) = result {
                    left.push(location);
                    failed = Some(failure);
                }
            }
            match failed {
                None => return Ok(()),
                Some(failure) => self.pause(attempt, &failure).await?,
            }
            attempt += 1;
        }
    }
}

/// A failure or an outcome, for people.
pub(super) fn told(what: &impl fmt::Debug) -> String {
    let mut text = format!("{what:?}");
    if let Some((end, _)) = text.char_indices().nth(400) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A read's outcome without all of its contents.
pub(super) fn short(outcome: &ReadOutcome) -> String {
    match outcome {
        ReadOutcome::Found(object) => {
            format!("{} at version {:?}", excerpt(&object.bytes), object.version)
        }
        ReadOutcome::NotModified => "\"not modified\"".to_owned(),
        ReadOutcome::Missing => "no such object".to_owned(),
    }
}

/// The length and the beginning of some contents.
pub(super) fn excerpt(contents: &Bytes) -> String {
    let beginning = &contents[..contents.len().min(40)];
    format!("{} bytes that begin {:?}", contents.len(), Bytes::copy_from_slice(beginning))
}
