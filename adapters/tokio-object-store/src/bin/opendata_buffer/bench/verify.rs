//! What was written is read back, and compared with what was sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use buffer::buffer_core::format::Manifest;
use buffer::buffer_core::{ReadOutcome, Sequence};
use buffer::{Consumer, ConsumerConfig, Resume, SystemClock};
use bytes::Bytes;

use crate::exit::{Failure, Status};
use crate::size::counted;

use super::load::{Called, Fate};
use super::payload::Payload;
use super::place::Place;
use super::recent::RecentStore;
use super::report::Verified;
use super::sums::{Compared, Depth, Expected, Sums, hash_of_call};

/// What must be in the queue after these calls. Each durable or unknown call is shown as well.
fn expected(
    payload: &Payload,
    called: &[Called],
    depth: Depth,
    mut show: impl FnMut(usize, u64),
) -> Expected {
    let mut expected = Expected::default();
    for task in called {
        for (call, fate) in task.fates() {
            let sums = match fate {
                Fate::Durable => &mut expected.durable,
                Fate::Unknown => &mut expected.unknown,
                Fate::NotDelivered => continue,
            };
            match depth {
                Depth::Whole => {
                    payload.entries(task.number, call).for_each(|entry| sums.add(entry));
                }
                Depth::Calls => payload.add_call_to(sums, task.number, call),
            }
            show(task.number, call);
        }
    }
    expected
}

/// Reads the whole queue and compares every byte of it.
pub(crate) async fn whole(
    place: &Place,
    payload: &Payload,
    called: &[Called],
) -> Result<Verified, Failure> {
    let mut found = Sums::default();
    read(place, None, |entries| entries.iter().for_each(|entry| found.add(entry))).await?;
    let expected = expected(payload, called, Depth::Whole, |_, _| {});
    Ok(Verified { compared: expected.compare(&found)?, found })
}

/// Compares what the listed batches summed up to when they were written, and every byte of those that are kept.
pub(crate) async fn recent(
    place: &Place,
    store: &RecentStore,
    payload: &Payload,
    called: &[Called],
) -> Result<Verified, Failure> {
    let manifest = read_manifest(place).await?;
    let (mut found, mut seen, mut last_dropped) = (Sums::default(), HashSet::new(), None);
    for (sequence, location) in manifest.locations_from(Sequence(0)) {
        let Some(sums) = store.sums(&location) else {
            return Err(differs(format!("{location} is listed and was never written")));
        };
        if !store.is_kept(&location) {
            last_dropped = Some(sequence.0);
        }
        if !seen.insert(location.clone()) {
            return Err(differs(format!("{location} is listed twice")));
        }
        found.merge(sums.map_err(differs)?);
    }
    let mut kept = Kept::default();
    if last_dropped.is_none_or(|last| last + 1 < manifest.next_sequence().0) {
        let per_call = payload.entries_per_call();
        read(place, last_dropped, |entries| {
            entries.chunks(per_call).for_each(|call| kept.add(call.to_vec()));
        })
        .await?;
    }
    let expected = expected(payload, called, Depth::Calls, |producer, call| {
        kept.find(&payload.entries(producer, call).collect::<Vec<_>>());
    });
    let compared = expected.compare(&found)?;
    kept.finish()?;
    Ok(Verified { compared, found })
}

/// Compares what a consumer got, which must have left nothing.
pub(crate) async fn drained(
    place: &Place,
    found: Sums,
    payload: &Payload,
    called: &[Called],
) -> Result<Verified, Failure> {
    let left = read_manifest(place).await?.len();
    if left > 0 {
        let left = counted(left, "batch is", "batches are");
        return Err(differs(format!("{left} still listed that were acknowledged")));
    }
    let expected = expected(payload, called, Depth::Calls, |_, _| {});
    let compared: Compared = expected.compare(&found)?;
    Ok(Verified { compared, found })
}

fn differs(message: String) -> Failure {
    Failure::new(Status::Differs, message)
}

/// Calls whose entries are there whole, until they were found among those that were made.
#[derive(Default)]
struct Kept {
    /// By their ends.
    calls: HashMap<u64, Vec<Vec<Bytes>>>,
}

impl Kept {
    fn add(&mut self, call: Vec<Bytes>) {
        if let (Some(first), Some(last)) = (call.first(), call.last()) {
            self.calls.entry(hash_of_call(first, last)).or_default().push(call);
        }
    }

    /// A call that was made.
    fn find(&mut self, made: &[&[u8]]) {
        if let (Some(first), Some(last)) = (made.first(), made.last())
            && let Some(calls) = self.calls.get_mut(&hash_of_call(first, last))
            && let Some(at) = calls.iter().position(|call| *call == made)
        {
            calls.swap_remove(at);
        }
    }

    fn finish(self) -> Result<(), Failure> {
        let left: usize = self.calls.values().map(Vec::len).sum();
        if left == 0 {
            return Ok(());
        }
        let left = counted(left as u64, "call was", "calls were");
        Err(differs(format!("{left} read back that nobody made so")))
    }
}

pub(crate) async fn read_manifest(place: &Place) -> Result<Manifest, Failure> {
    let location = place.manifest();
    let read = place.base.read(&location, None).await;
    let bytes = match read {
        Ok(ReadOutcome::Found(object)) => object.bytes,
        Ok(ReadOutcome::NotModified | ReadOutcome::Missing) => return Ok(Manifest::absent()),
        Err(failure) => {
            return Err(Failure::failed(format!("cannot read {location}: {}", failure.kind)));
        }
    };
    Manifest::parse(&location, bytes).map_err(|error| differs(error.to_string()))
}

/// Reads the queue after the batch of this sequence.
pub(crate) async fn read(
    place: &Place,
    after: Option<u64>,
    mut take: impl FnMut(&[Bytes]),
) -> Result<(), Failure> {
    let config = ConsumerConfig { gc_enabled: false, ..ConsumerConfig::default() };
    let config = place.consumer_config(config);
    let consumer = Consumer::with_store(config, Arc::clone(&place.base), Arc::new(SystemClock))?;
    consumer.initialize_with(Resume::after(after)).await?;
    while let Some(batch) = consumer.next_batch().await? {
        take(&batch.entries);
    }
    consumer.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use buffer::buffer_core::format::{Compression, NewEntry, decode_batch, encode_batch};
    use buffer::buffer_core::{Condition, Location};
    use buffer::{Producer, ProducerConfig};
    use clap::Parser;

    use super::*;
    use crate::bench::options::Where;
    use crate::bench::payload::{Kind, block};
    use crate::bench::recent::CallShape;

    const CALLS: u64 = 6;
    const SHAPE: CallShape = CallShape { entry_size: 100, entries: 3 };

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        place: Where,
    }

    /// A queue in memory that batches of two calls each were written to.
    struct Written {
        place: Place,
        store: Arc<RecentStore>,
        payload: Payload,
        called: [Called; 1],
    }

    impl Written {
        async fn new() -> Self {
            let asked = Asked::parse_from(["bench"]).place;
            let mut store = None;
            let place = Place::open(&asked, Duration::ZERO, |base, _, manifest| {
                let recent = Arc::new(RecentStore::new(base, manifest, 1 << 20, SHAPE));
                store = Some(Arc::clone(&recent));
                recent
            });
            let place = place.expect("memory opens");
            let payload = Payload::new(block(Kind::Random, 3), 100, 3, 1).expect("it fits");
            let config = place.producer_config(ProducerConfig::default());
            let producer = Producer::with_store(config, place.measured(), Arc::new(SystemClock));
            let producer = producer.expect("the configuration is sound");
            for call in 0..CALLS {
                let produced = producer.produce(payload.call(0, call), Bytes::new()).await;
                produced.expect("there is room");
                if call % 2 == 1 {
                    producer.flush().await.expect("memory does not fail");
                }
            }
            producer.close().await.expect("memory does not fail");
            let store = store.expect("it was dressed");
            Self { place, store, payload, called: [Called::durable(CALLS)] }
        }

        /// How both comparisons end: of what is read back, and of what was summed up as well.
        async fn compare(&self) -> [Option<Status>; 2] {
            let whole = whole(&self.place, &self.payload, &self.called).await;
            let recent = recent(&self.place, &self.store, &self.payload, &self.called).await;
            [whole, recent].map(|compared| match compared {
                Ok(Verified { compared, found }) => {
                    assert_eq!((compared, found.entries), (Compared::ByHash, CALLS * 3));
                    None
                }
                Err(failure) => Some(failure.status),
            })
        }

        async fn batch(&self, index: usize) -> Location {
            let manifest = read_manifest(&self.place).await.expect("it is there");
            let mut locations = manifest.locations_from(Sequence(0)).map(|(_, location)| location);
            locations.nth(index).expect("there are three")
        }

        /// Writes a batch anew, behind everybody's back.
        async fn change(&self, index: usize, change: impl FnOnce(&mut Vec<Bytes>)) {
            let (location, base) = (self.batch(index).await, &self.place.base);
            let read = base.read(&location, None).await.expect("memory does not fail");
            let ReadOutcome::Found(object) = read else { panic!("{location} is not there") };
            let mut entries = decode_batch(&location, &object.bytes, 1 << 20).expect("it is sound");
            change(&mut entries);
            let rope = encode_batch(entries.iter(), Compression::None).expect("it is encoded");
            for result in base.delete(vec![location.clone()]).await {
                result.expect("memory does not fail");
            }
            base.write(&location, rope, Condition::Absent).await.expect("memory does not fail");
        }

        async fn change_manifest(&self, change: impl FnOnce(Manifest) -> Manifest) {
            let key = self.place.manifest();
            let read = self.place.base.read(&key, None).await.expect("memory does not fail");
            let ReadOutcome::Found(object) = read else { panic!("there is a manifest") };
            let manifest = Manifest::parse(&key, object.bytes).expect("it is sound");
            let (rope, at) = (change(manifest).to_rope(), Condition::Version(object.version));
            self.place.base.write(&key, rope, at).await.expect("memory does not fail");
        }
    }

    const DIFFERS: Option<Status> = Some(Status::Differs);

    #[tokio::test]
    async fn what_was_written_compares() {
        assert_eq!(Written::new().await.compare().await, [None, None]);
    }

    #[tokio::test]
    async fn a_byte_that_changed_in_the_store_is_found() {
        let written = Written::new().await;
        written
            .change(1, |entries| {
                let mut entry = entries[1].to_vec();
                entry[50] ^= 1;
                entries[1] = entry.into();
            })
            .await;
        assert_eq!(written.compare().await, [DIFFERS, DIFFERS]);
    }

    #[tokio::test]
    async fn a_batch_that_is_listed_no_more_is_missed() {
        let written = Written::new().await;
        written.change_manifest(|manifest| manifest.without_before(Sequence(1))).await;
        assert_eq!(written.compare().await, [DIFFERS, DIFFERS]);
    }

    #[tokio::test]
    async fn a_batch_that_is_listed_twice_is_found() {
        let written = Written::new().await;
        let location = written.batch(0).await;
        let entry = NewEntry { location: &location, metadata: &[] };
        let again = |manifest: Manifest| manifest.append(&[entry]).expect("there is room");
        written.change_manifest(again).await;
        // A consumer drops the repetition: what it reads is right.
        assert_eq!(written.compare().await, [None, DIFFERS]);
    }

    #[tokio::test]
    async fn an_entry_that_was_lost_is_missed() {
        let written = Written::new().await;
        written.change(2, |entries| drop(entries.pop())).await;
        assert_eq!(written.compare().await, [DIFFERS, DIFFERS]);
    }

    #[test]
    fn what_is_kept_must_have_been_sent_byte_for_byte() {
        let entry = |middle: u8| [&[1; 8][..], &[middle; 8], &[2; 8]].concat();
        let kept = || {
            let mut kept = Kept::default();
            for middle in [5, 6] {
                kept.add(vec![entry(1).into(), entry(middle).into(), entry(2).into()]);
            }
            kept
        };
        let find = |kept: &mut Kept, middle: u8| kept.find(&[&entry(1), &entry(middle), &entry(2)]);
        // The ends are the same, and what lies between is not.
        let mut wrong = kept();
        [5, 5, 7].into_iter().for_each(|middle| find(&mut wrong, middle));
        assert!(wrong.finish().is_err());
        let mut right = kept();
        [6, 7, 5].into_iter().for_each(|middle| find(&mut right, middle));
        assert!(right.finish().is_ok());
    }
}
