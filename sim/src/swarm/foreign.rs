//! What is not of this project, or not of this queue: producers that follow none of our rules, and other people's objects.

use std::sync::Arc;
use std::time::Duration;

use buffer_core::format::{Compression, Manifest, Metadata, NewEntry, encode_batch};
use buffer_core::{Condition, Location, ReadOutcome, WriteOutcome};
use buffer_driver::Store as _;
use bytes::Bytes;

use super::exemption::Exemption;
use super::oracles::{Role, entry};
use super::plan::Theme;
use super::world::World;
use super::{Random, manifest, ms};

/// A ULID, as names of batches have it: 48 bits of time, 80 of chance.
pub(crate) fn ulid(millis: u64, chance: u128) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let value = (u128::from(millis) << 80) | (chance & ((1 << 80) - 1));
    (0..26)
        .rev()
        .map(|digit| {
            let index = usize::try_from((value >> (digit * 5)) & 31).expect("it is small");
            char::from(DIGITS[index])
        })
        .collect()
}

/// Where another queue has its batches.
pub(crate) const OTHER_PREFIX: &str = "other/queue";

/// Lays objects about that look like the queue's and are not: a nested queue, copies, notes.
pub(crate) fn place_keys(world: &Arc<World>) {
    let mut random = world.fork("foreign keys");
    let name = ulid(1, u128::from(random.u64(..)));
    let record = entry::make(u64::MAX, 3);
    let batch =
        encode_batch([&record].into_iter(), Compression::None).expect("it is short").concat();
    if world.plan.theme == Theme::WrongPrefix {
        let location = Location::from(format!("{OTHER_PREFIX}/{name}.batch"));
        world.store.put_raw(&location, batch.clone());
    }
    if !world.plan.foreign_keys {
        return;
    }
    let prefix = world.plan.prefix;
    let nested = Location::from(format!("{prefix}/nested/{name}.batch"));
    let entries = [NewEntry { location: &nested, metadata: &[] }];
    let listed = Manifest::absent().append(&entries).expect("it is short").to_rope().concat();
    world.store.put_raw(&nested, batch.clone());
    world.store.put_raw(&Location::from(format!("{prefix}/nested/manifest")), listed.clone());
    world.store.put_raw(&Location::from(format!("{prefix}/manifest.bak")), listed);
    let lower = name.to_lowercase();
    let like_batches = [
        format!("{prefix}/{name}.batch.bak"),
        format!("{prefix}/{lower}.batch"),
        format!("{prefix}/{}.batch", &name[1..]),
        format!("{prefix}/.{name}.batch.lock"),
        format!("{prefix}ion/{name}.batch"),
        format!("{prefix}/notes.txt"),
    ];
    for key in like_batches {
        world.store.put_raw(&Location::from(key), batch.clone());
    }
}

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Lists whatever it uploaded, whenever it likes: it knows no age, and tries again for ever.
pub(crate) async fn produce(world: &Arc<World>) {
    if world.plan.theme != Theme::ForeignProducers {
        return;
    }
    let mut random = world.fork("foreign producer");
    let process = world.process("foreign", Role::Foreign);
    let world_too = Arc::clone(world);
    let _running = process.start(async move { run(&world_too, &mut random).await }).await;
}

async fn run(world: &Arc<World>, random: &mut Random) {
    let longest = u64::try_from(world.plan.grace.as_millis()).expect("it is short") * 2;
    for _ in 0..random.of("batches").u32(1..8) {
        world.rest(ms(random.of("rest").u64(0..3000))).await;
        let now = 1_704_067_200_000
            + u64::try_from(world.runtime.elapsed().as_millis()).expect("it fits");
        let name = ulid(now, u128::from(random.u64(..)));
        let location = Location::from(format!("{}/{name}.batch", world.plan.prefix));
        let record = entry::make(u64::MAX, random.usize(0..9));
        let batch = encode_batch([&record].into_iter(), Compression::None).expect("it is short");
        let written = world.store.write(&location, batch, Condition::Absent);
        let written = world.within(PATIENCE, written).await;
        if !matches!(written, Some(Ok(WriteOutcome::Stored(_)))) {
            continue;
        }
        if random.of("lists late").usually(1).u32(..3) == 0 {
            world.rest(ms(random.of("how late").u64(0..longest))).await;
        }
        world.exempt(Exemption::ForeignProducers);
        world.active("foreign-producer");
        for _ in 0..20 {
            let listed = world.within(PATIENCE, list(world, &location)).await;
            if listed == Some(true) {
                break;
            }
            world.runtime.sleep(ms(random.u64(10..500))).await;
        }
    }
}

/// Adds a batch to the manifest as it is now; says whether it is there.
async fn list(world: &World, location: &Location) -> bool {
    let Ok(read) = world.store.read(&manifest(), None).await else { return false };
    let (before, condition) = match read {
        ReadOutcome::Found(object) => match Manifest::parse(&manifest(), object.bytes) {
            Ok(before) => (before, Condition::Version(object.version)),
            Err(_) => return false,
        },
        ReadOutcome::Missing => (Manifest::absent(), Condition::Absent),
        ReadOutcome::NotModified => return false,
    };
    let item = Metadata { start_index: 0, ingestion_time_ms: 1, payload: Bytes::new() };
    let entries = [NewEntry { location, metadata: &[item] }];
    let after = before.append(&entries).expect("it is short");
    let written = world.store.write(&manifest(), after.to_rope(), condition).await;
    matches!(written, Ok(WriteOutcome::Stored(_)))
}
