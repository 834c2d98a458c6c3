//! The single questions that a probe asks.

use std::collections::BTreeSet;
use std::time::Duration;

use buffer_core::{
    Condition, Location, ReadOutcome, StoreError, StoreErrorKind, StoreOperation, Version,
    WriteOutcome,
};
use bytes::Bytes;

use super::{Latency, MOST_FAILURES, Probe, Verdict};
use crate::join;
use crate::store::StoreFailure;

/// How often a race is run.
const RACES: usize = 5;

/// How many swap one object at the same time, to see how many swaps it takes.
const SWAPPERS: usize = 4;

/// How many swaps in a row may fail before the store counts as failing.
const PATIENCE: usize = 100;

/// How long a swapper rests after it was told to ask for less, or was not answered.
const REST: Duration = Duration::from_millis(100);

impl Probe {
    pub(super) async fn create_only(&self, attempt: usize) -> Result<Verdict<()>, StoreError> {
        let key = self.key(format_args!("create-{attempt}"));
        self.create(&key, "first").await?;
        let outcome = self.write(&key, "second", Condition::Absent).await?;
        let object = match self.found(&key).await? {
            Ok(object) => object,
            Err(missing) => return Ok(Err(missing)),
        };
        Ok(match outcome {
            WriteOutcome::Stored(_) => {
                Err("a write that may only create was taken although the object was there".into())
            }
            WriteOutcome::Conflict if object.bytes != "first" => {
                Err("a write that may only create was refused, and replaced the object".into())
            }
            WriteOutcome::Conflict => Ok(()),
        })
    }

    pub(super) async fn stale_condition(&self, attempt: usize) -> Result<Verdict<()>, StoreError> {
        let key = self.key(format_args!("stale-{attempt}"));
        let first = self.create(&key, "first").await?;
        let swap = self.write(&key, "second", Condition::Version(first.clone())).await?;
        if swap == WriteOutcome::Conflict {
            return Ok(Err("a write on the present version was refused".into()));
        }
        let stale = self.write(&key, "third", Condition::Version(first.clone())).await?;
        let object = match self.found(&key).await? {
            Ok(object) => object,
            Err(missing) => return Ok(Err(missing)),
        };
        if stale != WriteOutcome::Conflict {
            return Ok(Err("a write on the condition of an old version was taken".into()));
        }
        if object.bytes != "second" {
            return Ok(Err("a write on an old version was refused, and happened".into()));
        }
        // What is not there has no version.
        let nothing = self.key(format_args!("nothing-{attempt}"));
        Ok(match self.write(&nothing, "fourth", Condition::Version(first)).await {
            Ok(WriteOutcome::Stored(_)) => {
                Err("a write on the version of an object that is not there was taken".into())
            }
            Ok(WriteOutcome::Conflict) => Ok(()),
            Err(error) if error.is_retryable() => return Err(error),
            // Refused in other words.
            Err(_) => Ok(()),
        })
    }

    pub(super) async fn one_winner(&self, attempt: usize) -> Result<Verdict<()>, StoreError> {
        let mut won = 0;
        for race in 0..RACES {
            let key = self.key(format_args!("race-{attempt}-{race}"));
            let created = self.race(&key, &Condition::Absent).await?;
            let version = match created {
                Ok(Some(version)) => version,
                // Nobody knows who won: the next race tells more.
                Ok(None) => continue,
                Err(failure) => return Ok(Err(format!("creating: {failure}"))),
            };
            match self.race(&key, &Condition::Version(version)).await? {
                Ok(winner) => won += usize::from(winner.is_some()),
                Err(failure) => return Ok(Err(format!("swapping: {failure}"))),
            }
        }
        Ok(if won > 0 { Ok(()) } else { Err(format!("in {RACES} races nobody won")) })
    }

    /// Many write one object at the same time; the version of the winner, if it is known.
    async fn race(
        &self,
        key: &Location,
        condition: &Condition,
    ) -> Result<Verdict<Option<Version>>, StoreError> {
        let racers = (0..self.options.racers).map(|racer| {
            let payload = format!("{condition:?} {racer}");
            async move { (payload.clone(), self.write(key, payload, condition.clone()).await) }
        });
        let (mut winners, mut unknown) = (Vec::new(), false);
        for (payload, outcome) in join::all(racers).await {
            match outcome {
                Ok(WriteOutcome::Stored(version)) => winners.push((payload, version)),
                Ok(WriteOutcome::Conflict) => {}
                Err(error) if error.is_retryable() => unknown = true,
                Err(error) => return Err(error),
            }
        }
        if winners.len() > 1 {
            let racers = self.options.racers;
            return Ok(Err(format!("{} of {racers} racing writers won", winners.len())));
        }
        let Some((payload, version)) = winners.pop() else { return Ok(Ok(None)) };
        if unknown {
            return Ok(Ok(None));
        }
        Ok(match self.found(key).await? {
            Ok(object) if object.bytes == payload => Ok(Some(version)),
            Ok(_) => Err("one of the racing writers won, and another one's object is there".into()),
            Err(missing) => Err(missing),
        })
    }

    /// Several count in one object; how many swaps a second that made, if none was lost.
    pub(super) async fn many_swaps(&self, attempt: usize) -> Result<Verdict<f64>, StoreError> {
        let key = self.key(format_args!("count-{attempt}"));
        self.create(&key, "0").await?;
        let started = self.runtime.monotonic();
        let deadline = started + self.options.swapping;
        let swappers = (0..SWAPPERS).map(|_| self.swap_until(&key, deadline));
        let (mut taken, mut unknown) = (0, 0);
        for counts in join::all(swappers).await {
            let counts = match counts? {
                Ok(counts) => counts,
                Err(failure) => return Ok(Err(failure)),
            };
            taken += counts.taken;
            unknown += counts.unknown;
        }
        let elapsed = self.runtime.monotonic().saturating_since(started);
        let count = match self.count(&key).await? {
            Ok((count, _)) => count,
            Err(failure) => return Ok(Err(failure)),
        };
        if !(taken..=taken + unknown).contains(&count) {
            return Ok(Err(format!(
                "{taken} swaps of one object were taken and {unknown} not answered, and it counts {count}"
            )));
        }
        Ok(Ok(taken as f64 / elapsed.as_secs_f64().max(0.001)))
    }

    async fn swap_until(
        &self,
        key: &Location,
        deadline: buffer_core::Instant,
    ) -> Result<Verdict<Counts>, StoreError> {
        let mut counts = Counts::default();
        let mut failures = 0;
        while self.runtime.monotonic() < deadline {
            let swapped = async {
                let (count, version) = match self.count(key).await? {
                    Ok(found) => found,
                    Err(failure) => return Ok(Err(failure)),
                };
                let next = (count + 1).to_string();
                let outcome = self.write(key, next, Condition::Version(version)).await;
                outcome.map(Ok).inspect_err(|_| counts.unknown += 1)
            };
            match swapped.await {
                Ok(Ok(WriteOutcome::Stored(_))) => (counts.taken, failures) = (counts.taken + 1, 0),
                Ok(Ok(WriteOutcome::Conflict)) => failures = 0,
                Ok(Err(failure)) => return Ok(Err(failure)),
                Err(error) if error.is_retryable() && failures < PATIENCE => {
                    failures += 1;
                    self.runtime.sleep_until(self.runtime.monotonic() + REST).await;
                }
                Err(error) if error.kind == StoreErrorKind::Unsupported => {
                    return Ok(Err(error.to_string()));
                }
                Err(error) => return Err(error),
            }
            // A store that answers at once would keep the timers from their turn.
            self.runtime.yield_now().await;
        }
        Ok(Ok(counts))
    }

    async fn count(&self, key: &Location) -> Result<Verdict<(u64, Version)>, StoreError> {
        let object = match self.found(key).await? {
            Ok(object) => object,
            Err(missing) => return Ok(Err(missing)),
        };
        let count = str::from_utf8(&object.bytes).ok().and_then(|text| text.parse().ok());
        Ok(count
            .map(|count| (count, object.version))
            .ok_or_else(|| format!("{key} holds {} bytes that nobody wrote", object.bytes.len())))
    }

    pub(super) async fn fresh_reads(&self, attempt: usize) -> Result<Verdict<()>, StoreError> {
        let key = self.key(format_args!("fresh-{attempt}"));
        let mut version = self.create(&key, "0").await?;
        for round in 1..=10 {
            let payload = round.to_string();
            let swap = self.write(&key, payload.clone(), Condition::Version(version.clone()));
            let WriteOutcome::Stored(next) = swap.await? else {
                return Ok(Err("a write on the present version was refused".into()));
            };
            let object = match self.read(&key, Some(version)).await? {
                ReadOutcome::Found(object) => object,
                ReadOutcome::NotModified | ReadOutcome::Missing => {
                    return Ok(Err("a read did not find what was just written".into()));
                }
            };
            if object.bytes != payload {
                return Ok(Err("a read found what was there before the last write".into()));
            }
            if object.version != next {
                return Ok(Err("a read names another version than the write that made it".into()));
            }
            version = next;
        }
        Ok(match self.read(&key, Some(version.clone())).await? {
            ReadOutcome::NotModified => Ok(()),
            // It costs a transfer, and is right.
            ReadOutcome::Found(object) if object.version == version => Ok(()),
            ReadOutcome::Found(_) | ReadOutcome::Missing => {
                Err("a read of an object that nobody changed found something else".into())
            }
        })
    }

    pub(super) async fn complete_listing(&self, attempt: usize) -> Result<Verdict<()>, StoreError> {
        let gone = self.key(format_args!("gone-{attempt}"));
        self.create(&gone, "soon").await?;
        let deleted = self.within(async { Ok(self.store.delete(vec![gone.clone()]).await) }).await;
        let deleted = deleted.and_then(|results| results.into_iter().collect::<Result<(), _>>());
        deleted.map_err(|it: StoreFailure| it.of(StoreOperation::DeleteBatch, gone.clone()))?;
        self.lock().remove(&gone);

        let listed: BTreeSet<_> = self.list().await?.into_iter().map(|it| it.location).collect();
        if listed.contains(&gone) {
            return Ok(Err("a listing shows an object that was deleted".into()));
        }
        let written = self.lock().clone();
        let surely = written.iter().filter(|(_, surely)| **surely);
        let (all, missing) = surely.fold((0, 0), |(all, missing), (key, _)| {
            (all + 1, missing + usize::from(!listed.contains(key)))
        });
        if missing > 0 {
            return Ok(Err(format!("a listing left out {missing} of {all} objects")));
        }
        Ok(match listed.iter().find(|key| !written.contains_key(*key)) {
            None => Ok(()),
            Some(strange) => Err(format!("a listing shows {strange}, which nobody wrote")),
        })
    }

    /// By how much the store's clock is ahead, in milliseconds, if there are times.
    pub(super) async fn times(&self, attempt: usize) -> Result<Verdict<i64>, StoreError> {
        let key = self.key(format_args!("time-{attempt}"));
        self.create(&key, "now").await?;
        let now = self.wall_clock();
        let object = match self.found(&key).await? {
            Ok(object) => object,
            Err(missing) => return Ok(Err(missing)),
        };
        let Some(written) = object.last_modified else {
            return Ok(Err("a read does not tell when an object was written".into()));
        };
        if self.list().await?.iter().any(|object| object.last_modified.is_none()) {
            return Ok(Err("a listing does not tell when objects were written".into()));
        }
        Ok(Ok(written.0.saturating_sub(now.0)))
    }

    fn sample(&self, number: usize) -> Location {
        self.key(format_args!("sample-{number}"))
    }

    pub(super) async fn time_puts(&self) -> Result<Latency, StoreError> {
        // Not all the same byte: some services compress.
        let payload: Vec<u8> =
            (0..self.options.object_bytes).map(|n| (n * n % 251) as u8).collect();
        let payload = Bytes::from(payload);
        let mut times = Times::default();
        for number in 0..self.options.samples {
            let (key, started) = (self.sample(number), self.runtime.monotonic());
            let written = self.write(&key, payload.clone(), Condition::Absent).await;
            times.take(self.since(started), written)?;
        }
        Ok(Latency::of(times.times))
    }

    pub(super) async fn time_gets(&self) -> Result<Latency, StoreError> {
        let mut times = Times::default();
        for number in 0..self.options.samples {
            let (key, started) = (self.sample(number), self.runtime.monotonic());
            let read = self.read(&key, None).await;
            times.take(self.since(started), read)?;
        }
        Ok(Latency::of(times.times))
    }

    pub(super) async fn time_swaps(&self) -> Result<Latency, StoreError> {
        let key = self.key("swapped");
        let mut present = Some(self.create(&key, "0").await?);
        let mut times = Times::default();
        for number in 1..=self.options.samples {
            let version = match present.take() {
                Some(version) => version,
                // The last swap was not answered, or lost to the one before.
                None => match self.found(&key).await? {
                    Ok(object) => object.version,
                    Err(_) => continue,
                },
            };
            let started = self.runtime.monotonic();
            let condition = Condition::Version(version);
            let swapped = self.write(&key, format!("swap {number}"), condition).await;
            if let Some(WriteOutcome::Stored(version)) = times.take(self.since(started), swapped)? {
                present = Some(version);
            }
        }
        Ok(Latency::of(times.times))
    }

    fn since(&self, started: buffer_core::Instant) -> Duration {
        self.runtime.monotonic().saturating_since(started)
    }
}

/// How long requests took; the few that fail for now are left out.
#[derive(Default)]
struct Times {
    times: Vec<Duration>,
    failures: usize,
}

impl Times {
    fn take<T>(
        &mut self,
        took: Duration,
        result: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match result {
            Ok(answer) => {
                self.times.push(took);
                Ok(Some(answer))
            }
            Err(error) if error.is_retryable() && self.failures < MOST_FAILURES => {
                self.failures += 1;
                Ok(None)
            }
            // That was found out before, and is in the report.
            Err(error) if error.kind == StoreErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What became of one writer's swaps.
#[derive(Default)]
struct Counts {
    taken: u64,
    /// They may have happened.
    unknown: u64,
}
