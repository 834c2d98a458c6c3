//! What people do to a queue.

use std::sync::Arc;

use buffer_core::format::{Compression, Manifest, NewEntry, encode_batch};
use buffer_core::{Epoch, Location, Sequence};

use super::plan::Theme;
use super::world::World;
use super::{Random, foreign, manifest, secs};

/// Does what the world's theme says, once, in the middle of everything.
pub(crate) async fn meddle(world: &Arc<World>) {
    let theme = world.plan.theme;
    let meddles = match theme {
        Theme::ManifestDeleted
        | Theme::ManifestRolledBack
        | Theme::ManifestReplaced
        | Theme::BatchDeleted => true,
        Theme::Plain
        | Theme::WrongManifestPath
        | Theme::WrongPrefix
        | Theme::ForeignProducers
        | Theme::SmallerGrace
        | Theme::BothClocksFrozen
        | Theme::UndetectableDamage
        | Theme::BrokenStore => false,
    };
    if !meddles {
        return;
    }
    let mut random = world.fork("operator");
    let (from, until) = world.plan.operators_come;
    let when = from + (until - from) * random.of("comes at").f64();
    while world.is_unkind() && world.progress() < when {
        world.rest(world.plan.unkind.div_f64(200.0).min(secs(60))).await;
    }
    if theme == Theme::ManifestRolledBack {
        write_again(world, &mut random).await;
    }
    // There must be something to meddle with.
    for _ in 0..50 {
        if !world.is_unkind() {
            return;
        }
        let stored = world.store.object(&manifest());
        let parsed = stored.and_then(|object| Manifest::parse(&manifest(), object.bytes).ok());
        let done = parsed.is_some_and(|stored| match theme {
            Theme::BatchDeleted => delete_a_batch(world, &stored),
            Theme::ManifestDeleted => {
                world.queue_changes("manifest-deleted");
                world.store.remove(&manifest())
            }
            Theme::ManifestRolledBack => {
                world.queue_changes("manifest-rolled-back");
                world.store.restore(&manifest(), random.of("rolls back by").usize(1..20));
                true
            }
            Theme::ManifestReplaced => {
                world.queue_changes("manifest-replaced-by-another-queue's");
                replace(world, random.of("next").u64(0..40), Epoch(random.of("epoch").u64(0..9)));
                true
            }
            Theme::Plain
            | Theme::WrongManifestPath
            | Theme::WrongPrefix
            | Theme::ForeignProducers
            | Theme::SmallerGrace
            | Theme::BothClocksFrozen
            | Theme::UndetectableDamage
            | Theme::BrokenStore => true,
        });
        if done {
            return;
        }
        world.rest(super::ms(300)).await;
    }
}

/// Writes the manifest again as it is, under another version: as who copies an object onto itself does.
async fn write_again(world: &Arc<World>, random: &mut Random) {
    for _ in 0..random.of("writes again").u32(0..12) {
        if !world.is_unkind() {
            return;
        }
        if world.store.object(&manifest()).is_some() {
            world.queue_changes("manifest-written-again");
            world.store.restore(&manifest(), 0);
        }
        world.rest(super::ms(random.u64(50..1500))).await;
    }
}

/// A lifecycle rule takes a batch that is still listed.
fn delete_a_batch(world: &World, stored: &Manifest) -> bool {
    let listed: Vec<_> = stored.locations_from(Sequence(0)).collect();
    let Some((_, location)) = listed.get(listed.len() / 2) else { return false };
    world.batch_is_lost();
    world.store.remove(location)
}

/// Puts the manifest of another queue in the place of ours, with batches of its own.
fn replace(world: &World, next: u64, epoch: Epoch) {
    let mut other = Manifest::absent();
    for index in 0..=next {
        let location =
            Location::from(format!("other/{}.batch", foreign::ulid(1, u128::from(index))));
        let entries = [NewEntry { location: &location, metadata: &[] }];
        other = other.append(&entries).expect("it is short");
        let record = super::oracles::entry::make(u64::MAX, 3);
        let batch = encode_batch([&record].into_iter(), Compression::None).expect("it is short");
        world.store.put_raw(&location, batch.concat());
    }
    let other = other.without_before(Sequence(next / 2)).with_epoch(epoch);
    world.store.put_raw(&manifest(), other.to_rope().concat());
}
