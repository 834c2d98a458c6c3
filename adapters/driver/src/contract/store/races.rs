//! Many writers at once, as tasks of the runtime.

use buffer_core::{Condition, Location, ReadOutcome};
use bytes::Bytes;

use super::super::bench::{Bench, Sent, excerpt, short};
use super::super::report::Violation;
use super::super::tasks::{Task, join_all};
use crate::runtime::BoxFuture;

type Result<T = ()> = std::result::Result<T, Violation>;

/// What one of many racing writers learnt.
struct Racer {
    contents: String,
    sent: Sent,
}

pub(super) async fn one_of_many_creates_wins(bench: &Bench) -> Result {
    for race in 0..bench.contract.races {
        let key = bench.key(format_args!("race-{race}"));
        let racers = run_race(bench, &key, &Condition::Absent).await?;
        expect_one_winner(bench, &key, &racers, None).await?;
    }
    Ok(())
}

pub(super) async fn one_of_many_swaps_wins(bench: &Bench) -> Result {
    let key = bench.key("object");
    let mut version = bench.create(&key, "start").await?;
    for _ in 0..bench.contract.races {
        let before = bench.object(&key).await?.bytes;
        let racers = run_race(bench, &key, &Condition::Version(version)).await?;
        expect_one_winner(bench, &key, &racers, Some(before)).await?;
        version = bench.object(&key).await?.version;
    }
    Ok(())
}

async fn run_race(bench: &Bench, key: &Location, condition: &Condition) -> Result<Vec<Racer>> {
    let racers = (0..bench.contract.racing_writers).map(|number| {
        let (bench, key, condition) = (bench.clone(), key.clone(), condition.clone());
        let contents = format!("writer {number} of {:016x}", bench.runtime.entropy());
        let work: BoxFuture<'static, Result<Racer>> = Box::pin(async move {
            let payload = vec![Bytes::from(contents.clone())];
            let sent = bench.send(&key, payload, condition).await?;
            Ok(Racer { contents, sent })
        });
        work
    });
    join_all(&bench.runtime, racers.collect()).await.into_iter().collect()
}

/// One was told that it won, and its contents are there. Who was told nothing may have won instead.
async fn expect_one_winner(
    bench: &Bench,
    key: &Location,
    racers: &[Racer],
    before: Option<Bytes>,
) -> Result {
    let won: Vec<_> = racers.iter().filter(|racer| matches!(racer.sent, Sent::Stored(_))).collect();
    let is_unknown = |racer: &Racer| racer.sent == Sent::Unknown;
    let expected = format!("one winner of {} writers", racers.len());
    bench.expect(won.len() <= 1, &expected, format_args!("{}", won.len()))?;
    let there = match bench.read(key, None).await? {
        ReadOutcome::Found(object) => Some(object.bytes),
        ReadOutcome::NotModified | ReadOutcome::Missing => None,
    };
    if let [winner] = won.as_slice() {
        let seen = there.as_ref().map_or("no object".to_owned(), excerpt);
        let is_there = there.as_deref() == Some(winner.contents.as_bytes());
        return bench.expect(is_there, format_args!("{:?}", winner.contents), seen);
    }
    let unknown = racers.iter().filter(|racer| is_unknown(racer));
    let by_unknown =
        unknown.clone().any(|racer| there.as_deref() == Some(racer.contents.as_bytes()));
    let is_possible = by_unknown || (unknown.count() > 0 && there == before);
    let seen = there.as_ref().map_or("none, and no object".to_owned(), excerpt);
    bench.expect(is_possible, expected, format_args!("none, and {seen}"))
}

/// A counter with a place for each writer, as bytes: whoever had no answer looks at its own place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tally(Vec<u64>);

impl Tally {
    fn to_bytes(&self) -> Bytes {
        self.0.iter().flat_map(|count| count.to_be_bytes()).collect::<Vec<u8>>().into()
    }

    fn parse(bytes: &Bytes) -> Self {
        let places = bytes.chunks_exact(8);
        Self(
            places
                .map(|place| u64::from_be_bytes(place.try_into().expect("it is eight")))
                .collect(),
        )
    }
}

pub(super) async fn no_increment_is_lost(bench: &Bench) -> Result {
    let (writers, swaps) = (bench.contract.racing_writers, bench.contract.swaps);
    let key = bench.key("counter");
    bench.create(&key, Tally(vec![0; writers]).to_bytes()).await?;
    let work = (0..writers).map(|number| {
        let (bench, key) = (bench.clone(), key.clone());
        let work: BoxFuture<'static, Result> =
            Box::pin(async move { increment_often(&bench, &key, number).await });
        work
    });
    join_all(&bench.runtime, work.collect()).await.into_iter().collect::<Result>()?;
    let tally = Tally::parse(&bench.object(&key).await?.bytes);
    let expected = Tally(vec![swaps as u64; writers]);
    let sum: u64 = tally.0.iter().sum();
    bench.expect(
        tally == expected,
        format_args!("a sum of {} from {swaps} increments of each of {writers}", swaps * writers),
        format_args!("{sum}: {:?}", tally.0),
    )
}

/// Adds one to the writer's own place until it has done so often enough.
async fn increment_often(bench: &Bench, key: &Location, number: usize) -> Result {
    let (mut failures, mut told) = (0, 0_u64);
    while told < bench.contract.swaps as u64 {
        let object = bench.object(key).await?;
        let mut tally = Tally::parse(&object.bytes);
        let Some(place) = tally.0.get_mut(number) else {
            return bench.violation("a counter with a place for each", excerpt(&object.bytes));
        };
        // One more than it was told of is an increment whose answer was lost.
        if *place != told && *place != told + 1 {
            return bench.violation(
                format_args!("{told} increments of writer {number}"),
                format_args!("{place}, so one was lost or made twice"),
            );
        }
        told = *place;
        if told == bench.contract.swaps as u64 {
            break;
        }
        *place += 1;
        // A store that never waits would let each writer finish before the next begins.
        bench.runtime.yield_now().await;
        let swap = Condition::Version(object.version);
        match bench.send(key, vec![tally.to_bytes()], swap).await? {
            Sent::Stored(_) => {
                told += 1;
                failures = 0;
            }
            Sent::Conflict | Sent::Unknown => {
                failures += 1;
                bench.back_off(failures).await;
            }
        }
    }
    Ok(())
}

/// How many bytes the objects have that are replaced while they are read.
const REPLACED_BYTES: usize = 200_000;

/// How often they are replaced.
const REPLACEMENTS: u8 = 24;

pub(super) async fn a_reader_sees_whole_objects_while_they_are_replaced(bench: &Bench) -> Result {
    let key = bench.key("object");
    bench.create(&key, uniform(0)).await?;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (bench, key) = (bench.clone(), key.clone());
            Task::start(&bench.runtime.clone(), async move { read_to_the_last(&bench, &key).await })
        })
        .collect();
    let mut version = bench.object(&key).await?.version;
    for number in 1..=REPLACEMENTS {
        version = bench.swap(&key, uniform(number), &version).await?;
        bench.back_off(0).await;
    }
    for reader in readers {
        reader.join().await?;
    }
    Ok(())
}

/// Contents whose length and bytes all follow from one number.
fn uniform(number: u8) -> Bytes {
    vec![number; REPLACED_BYTES + 1000 * usize::from(number)].into()
}

async fn read_to_the_last(bench: &Bench, key: &Location) -> Result {
    let mut last = 0;
    loop {
        let bytes = match bench.read(key, None).await? {
            ReadOutcome::Found(object) => object.bytes,
            other @ (ReadOutcome::Missing | ReadOutcome::NotModified) => {
                return bench.violation("an object that is being replaced", short(&other));
            }
        };
        let number = bytes.first().copied().unwrap_or_default();
        let is_whole = bytes == uniform(number);
        bench.expect(is_whole, "contents as one of the writes made them", excerpt(&bytes))?;
        bench.expect(
            number >= last,
            format_args!("no older contents than those of write {last}"),
            format_args!("those of write {number}"),
        )?;
        if number == REPLACEMENTS {
            return Ok(());
        }
        last = number;
        bench.back_off(0).await;
    }
}
