//! The collector as transcripts: what it asks of the store, and what is left there.

mod collector_world;

use std::time::Duration;

use buffer_core::format::Manifest;
use buffer_core::{
    Command, ConsumerConfig, ConsumerStats, Epoch, Machine, Next, Output, Resume, Sequence,
    StoreErrorKind, UnixMillis,
};
use collector_world::{Asked, MANIFEST, Objects, World, key};

/// A world with an orphan that is older than the grace period, and a manifest changed since.
fn with_an_orphan() -> (World, String) {
    let mut world = World::new();
    let orphan = key(-1);
    world.upload(&orphan);
    world.pass(610);
    assert!(world.has(&orphan), "the manifest has not changed since");
    changed(&mut world);
    world.pass(2);
    world.log.clear();
    world.cycles();
    (world, orphan)
}

/// A producer lists a batch, and it is consumed: two changes of the manifest.
fn changed(world: &mut World) {
    let made = i64::try_from(world.now().monotonic.since_origin().as_secs()).expect("it is small");
    let name = key(made);
    world.upload(&name);
    world.objects.list_batch(&name);
    world.consume();
}

/// Goal: a dequeued batch goes without a listing, once the manifest has changed more
/// than the grace period after it was listed; on an idle queue it waits for that.
#[test]
fn what_was_dequeued_is_deleted_after_the_grace_period_and_a_change() {
    let mut world = World::new();
    let taken = key(0);
    world.upload(&taken);
    world.objects.list_batch(&taken);
    world.consume();
    world.rule(|_, asked| matches!(asked, Asked::List).then_some(StoreErrorKind::Denied));
    world.pass(1000);
    assert!(world.has(&taken), "the manifest has not changed since");
    changed(&mut world);
    world.pass(60);
    assert!(!world.has(&taken));
    assert_eq!(world.take_log(), ["read whole", "delete 1", "list ingest after None"]);
    let ConsumerStats { gc_files_deleted, gc_files_failed, .. } = world.consumer.stats();
    assert_eq!((gc_files_deleted, gc_files_failed), (1, 0));
    assert_eq!(world.consumer.remembered_names(), 1, "the name is forgotten with it");
}

/// The whole of a cycle. The listing was first looked at by the first reading, and the
/// page is decided by the second.
#[test]
fn what_was_never_listed_is_found_and_deleted() {
    let (mut world, orphan) = with_an_orphan();
    world.pass(60);
    assert!(!world.has(&orphan));
    let log = ["read whole", "list ingest after None", "read whole", "delete 1"];
    assert_eq!(world.take_log(), log);
    assert_eq!(world.cycles(), [(1, 0, None)]);
    world.pass(60);
    assert_eq!(world.take_log(), ["read whole", "list ingest after None"], "nothing is left");
}

// 1. A batch lies long in the queue's store before it is listed. 2. A sweep could take it
// before its name is forgotten. 3. Then its name comes up, and it would be deleted once more.
#[test]
fn nothing_is_deleted_twice() {
    let mut world = World::new();
    let taken = key(-30);
    world.upload(&taken);
    world.pass(30);
    world.objects.list_batch(&taken);
    world.consume();
    // By its own time it is past the grace period, by that of the listing not yet.
    world.pass(580);
    changed(&mut world);
    world.pass(100);
    assert!(world.has(&taken));
    changed(&mut world);
    world.pass(100);
    assert!(!world.has(&taken));
    world.pass(2000);
    assert_eq!(world.consumer.stats().gc_files_deleted, 1);
}

#[test]
fn a_cycle_comes_every_interval_and_the_first_after_one() {
    let mut world = World::new();
    world.pass(59);
    assert!(world.take_log().is_empty());
    world.pass(1);
    assert_eq!(world.take_log(), ["read whole", "list ingest after None"]);
    world.pass(600);
    assert_eq!((world.take_log().len(), world.consumer.stats().gc_cycles), (20, 11));
}

#[test]
fn switched_off_it_does_nothing() {
    let config = ConsumerConfig { gc_enabled: false, ..ConsumerConfig::default() };
    let mut world = World::with(config);
    world.upload(&key(-1));
    world.pass(10_000);
    assert!(world.take_log().is_empty() && world.cycles().is_empty());
}

#[test]
fn every_page_is_looked_at_and_only_batches_go() {
    let mut world = World::new();
    let orphans: Vec<_> = (1..=10).map(|number| key(-number)).collect();
    let others = ["ingest/!first", "ingest/07.batch", "ingest/sub/x", "ingest/zz", "ingest2/x"];
    let deeper = key(-1).replace("ingest/", "ingest/sub/");
    orphans.iter().for_each(|orphan| world.upload(orphan));
    others.iter().for_each(|other| world.upload(other));
    world.upload(&deeper);
    world.pass(601);
    changed(&mut world);
    world.pass(60);
    assert!(!orphans.iter().any(|orphan| world.has(orphan)));
    assert!(others.iter().all(|other| world.has(other)) && world.has(&deeper));
    assert!(world.has(MANIFEST));
    assert_eq!(world.cycles().pop(), Some((10, 0, None)));
    let lists = world.take_log().iter().filter(|line| line.starts_with("list")).count();
    assert!(lists >= 5, "{lists} pages of three");
}

/// Goal: one request never deletes more than stores take in one.
#[test]
fn many_are_deleted_in_bounded_chunks() {
    let mut world = World::new();
    for number in 0..600 {
        let name = key(-1000 - number);
        world.upload(&name);
        world.objects.list_batch(&name);
    }
    world.consume();
    world.pass(601);
    changed(&mut world);
    world.pass(60);
    let deletes: Vec<_> =
        world.take_log().into_iter().filter(|line| line.starts_with("delete")).collect();
    assert_eq!(deletes, ["delete 256", "delete 256", "delete 88"]);
    assert_eq!(world.consumer.stats().gc_files_deleted, 600);
}

/// Goal: contents and time come from one answer; "not modified" to a question without a version is no answer.
#[test]
fn a_store_that_says_not_modified_gets_no_deletions() {
    let (mut world, orphan) = with_an_orphan();
    world.objects.always_unmodified = true;
    world.pass(200);
    assert!(world.has(&orphan));
    let cycles = world.cycles();
    assert!(!cycles.is_empty() && cycles.iter().all(|(_, _, error)| error.is_some()), "{cycles:?}");
}

#[test]
fn a_store_without_times_gets_no_deletions() {
    let (mut world, orphan) = with_an_orphan();
    world.objects.timeless = true;
    world.pass(60);
    assert!(world.has(&orphan));
    let told = world.cycles().pop().and_then(|(_, _, error)| error).expect("it says why");
    assert!(told.contains("does not tell when"), "{told}");
    world.objects.timeless = false;
    world.pass(60);
    assert!(!world.has(&orphan));
}

/// 1. The store's clock is a century ahead when the manifest is written. 2. It is set right. 3. A batch is uploaded.
#[test]
fn a_manifest_from_the_far_future_gets_no_deletions() {
    let mut world = World::new();
    let real = world.objects.clock;
    world.objects.clock = UnixMillis(real.0 + 100 * 366 * 24 * 3600 * 1000);
    let same = world.objects.manifest();
    world.objects.set_manifest(&same);
    world.objects.clock = real;
    let young = key(0);
    world.upload(&young);
    world.pass(120);
    assert!(world.has(&young));
}

#[test]
fn a_listed_batch_that_is_newer_than_its_manifest_ends_the_cycle() {
    let (mut world, orphan) = with_an_orphan();
    // It comes after the orphan in the listing.
    let listed = key(10_000);
    world.objects.list_batch(&listed);
    world.objects.clock.0 += 1_000_000;
    world.upload(&listed);
    world.objects.clock.0 -= 1_000_000;
    world.pass(60);
    assert!(world.has(&orphan));
    let told = world.cycles().pop().and_then(|(_, _, error)| error).expect("it says why");
    assert!(told.contains("by the store's clock") && told.contains(&listed), "{told}");
}

/// 1. A wrong path makes a new, empty manifest. 2. Beside it lies the backlog of the right one.
#[test]
fn a_queue_that_never_had_an_entry_deletes_nothing() {
    let mut objects = Objects { clock: UnixMillis(1), ..Objects::default() };
    objects.put(&key(-1), "backlog");
    let mut world = World::over(objects, ConsumerConfig::default(), Resume::default());
    assert_eq!(world.objects.manifest().next_sequence(), Sequence(0));
    world.pass(1000);
    assert!(world.has(&key(-1)));
    let told = world.cycles().pop().and_then(|(_, _, error)| error).expect("it says why");
    assert!(told.contains("nothing was ever listed"), "{told}");
}

/// Goal: a consumer that was told another queue's prefix does not delete that queue's
/// backlog, not even once its own queue is empty.
#[test]
fn a_queue_whose_batches_lie_elsewhere_deletes_nothing_ever_after() {
    let (mut world, backlog) = with_an_orphan();
    world.upload("other/x.batch");
    world.objects.list_batch("other/x.batch");
    world.consume();
    world.pass(60);
    world.initialize();
    world.pass(60);
    assert!(world.has(&backlog) && world.has("other/x.batch"));
    let told = world.cycles().pop().and_then(|(_, _, error)| error).expect("it says why");
    assert!(told.contains("other/x.batch"), "{told}");
}

/// The same with what was consumed before this consumer took over, and is only passed by.
#[test]
fn a_batch_elsewhere_that_is_passed_by_counts_as_well() {
    let mut objects = Objects { clock: UnixMillis(1), ..Objects::default() };
    objects.list_batch("other/x.batch");
    let resume = Resume::after(Some(Sequence(0)));
    let mut world = World::over(objects, ConsumerConfig::default(), resume);
    let backlog = key(-1);
    world.upload(&backlog);
    changed(&mut world);
    world.pass(700);
    changed(&mut world);
    world.pass(60);
    assert!(world.has(&backlog) && world.objects.manifest().is_empty());
}

/// 1. A page shows an orphan. 2. A producer that was paused lists it. 3. The second reading shows that.
#[test]
fn what_is_listed_between_the_page_and_its_reading_is_kept() {
    let (mut world, orphan) = with_an_orphan();
    let late = orphan.clone();
    world.rule(move |objects, asked| {
        if matches!(asked, Asked::List) && objects.manifest().is_empty() {
            objects.list_batch(&late);
        }
        None
    });
    world.pass(120);
    assert!(world.has(&orphan));
    let log = world.take_log();
    assert_eq!(log[..3], ["read whole", "list ingest after None", "read whole"]);
    assert!(!log.iter().any(|line| line.starts_with("delete")), "{log:?}");
}

#[test]
fn another_consumers_epoch_stops_it_in_mid_cycle() {
    let (mut world, orphan) = with_an_orphan();
    world.rule(|objects, asked| {
        if matches!(asked, Asked::List) {
            let fenced = objects.manifest().with_epoch(Epoch(99));
            objects.set_manifest(&fenced);
        }
        None
    });
    world.pass(60);
    assert!(world.has(&orphan));
    assert_eq!(world.take_log(), ["read whole", "list ingest after None", "read whole"]);
    assert!(world.consumer.ended().is_some());
    world.pass(1000);
    assert!(world.take_log().is_empty());
    let Output::Idle { deadline: None } = world.consumer.poll() else { panic!("it has ended") };
}

#[test]
fn a_fenced_consumer_finds_out_by_its_collector() {
    let (mut world, orphan) = with_an_orphan();
    world.fence();
    world.pass(60);
    assert!(world.has(&orphan) && world.consumer.ended().is_some());
    assert_eq!(world.take_log(), ["read whole"]);
}

/// Goal: a manifest that was rolled back is none to delete by.
#[test]
fn a_manifest_that_went_back_gets_no_deletions() {
    let (mut world, orphan) = with_an_orphan();
    world.objects.set_manifest(&Manifest::absent().with_epoch(Epoch(1)));
    world.pass(120);
    assert!(world.has(&orphan));
    assert!(world.consumer.ended().is_some(), "it looked again, and gave up");
}

#[test]
fn a_manifest_that_is_gone_gets_no_deletions() {
    let (mut world, orphan) = with_an_orphan();
    world.objects.by_key.remove(MANIFEST);
    world.pass(120);
    assert!(world.has(&orphan) && world.consumer.ended().is_some());
}

/// A stale reading is a state that was: what it proves, it proves for ever.
#[test]
fn a_stale_reading_deletes_no_more_than_it_proves() {
    let (mut world, orphan) = with_an_orphan();
    let before = world.objects.by_key[MANIFEST].clone();
    let listed = key(700);
    world.upload(&listed);
    world.objects.list_batch(&listed);
    world.objects.by_key.insert(MANIFEST.to_owned(), before);
    world.pass(60);
    assert!(!world.has(&orphan) && world.has(&listed));
}

#[test]
fn a_delete_that_fails_is_counted_and_tried_again_in_the_next_cycle() {
    let (mut world, orphan) = with_an_orphan();
    let second = key(-2);
    world.upload(&second);
    world.objects.by_key.get_mut(&second).expect("it is there").1 = UnixMillis(1_600_000_000_000);
    let stubborn = orphan.clone();
    let mut refusals = 2;
    world.rule(move |_, asked| match asked {
        Asked::Delete(key) if key == stubborn && refusals > 0 => {
            refusals -= 1;
            Some(StoreErrorKind::Throttled)
        }
        Asked::Delete(_) | Asked::List | Asked::Read => None,
    });
    world.pass(60);
    assert!(world.has(&orphan) && !world.has(&second));
    assert_eq!(world.cycles(), [(1, 1, None)]);
    world.pass(60);
    // Nothing went: the store is left alone.
    let cycles = world.cycles();
    assert!(
        matches!(&cycles[..], [(0, 1, Some(error))] if error.contains("deleting")),
        "{cycles:?}"
    );
    world.pass(60);
    assert!(!world.has(&orphan));
    let ConsumerStats { gc_files_deleted, gc_files_failed, .. } = world.consumer.stats();
    assert_eq!((gc_files_deleted, gc_files_failed), (2, 2));
}

/// The same for what was dequeued, which no listing has to find.
#[test]
fn a_dequeued_batch_that_could_not_be_deleted_is_tried_again() {
    let mut world = World::new();
    let taken = key(0);
    world.upload(&taken);
    world.objects.list_batch(&taken);
    world.consume();
    let mut refusals = 1;
    world.rule(move |_, asked| match asked {
        Asked::List => Some(StoreErrorKind::Denied),
        Asked::Delete(_) if refusals > 0 => {
            refusals -= 1;
            Some(StoreErrorKind::Transient)
        }
        Asked::Delete(_) | Asked::Read => None,
    });
    world.pass(601);
    changed(&mut world);
    world.pass(60);
    assert!(world.has(&taken));
    world.pass(60);
    assert!(!world.has(&taken));
}

#[test]
fn a_page_that_fails_is_tried_again_with_growing_pauses_and_not_for_ever() {
    let (mut world, orphan) = with_an_orphan();
    let mut failures = 3;
    world.rule(move |_, asked| {
        let fails = matches!(asked, Asked::List) && failures > 0;
        failures -= i32::from(fails);
        fails.then_some(StoreErrorKind::Throttled)
    });
    world.pass(65);
    assert!(!world.has(&orphan));
    assert_eq!(world.cycles(), [(1, 0, None)]);
    world.log.clear();
    world.rule(|_, asked| matches!(asked, Asked::List).then_some(StoreErrorKind::TimedOut));
    world.pass(70);
    let lists = world.take_log().iter().filter(|line| line.starts_with("list")).count();
    assert_eq!(lists, 5);
    let told = world.cycles().pop().and_then(|(_, _, error)| error).expect("it says why");
    assert!(told.contains("listing batches"), "{told}");
}

#[test]
fn a_manifest_that_cannot_be_read_ends_the_cycle_in_bounded_time() {
    let config =
        ConsumerConfig { retry_timeout: Duration::from_secs(20), ..ConsumerConfig::default() };
    let mut world = World::with(config);
    world.rule(|_, asked| matches!(asked, Asked::Read).then_some(StoreErrorKind::Transient));
    world.pass(100);
    let reads = world.take_log().len();
    assert!((3..30).contains(&reads), "{reads} reads of one cycle");
    assert!(matches!(&world.cycles()[..], [(0, 0, Some(_))]));
    world.rule(|_, _| None);
    world.pass(60);
    assert_eq!(world.cycles(), [(0, 0, None)]);
}

#[test]
fn a_listing_that_does_not_get_on_ends() {
    let (mut world, orphan) = with_an_orphan();
    world.objects.endless = true;
    world.pass(60);
    assert!(!world.has(&orphan));
    assert!(world.take_log().len() < 10);
    assert_eq!(world.consumer.stats().gc_cycles, 11);
}

/// Goal: a consumer that closes starts no deletion any more, wherever the cycle is.
#[test]
fn closing_stops_it_before_each_of_its_steps() {
    for answered in 0..4 {
        let (mut world, orphan) = with_an_orphan();
        world.held = Some(Vec::new());
        world.pass(60);
        for _ in 0..answered {
            let command = world.held.as_mut().and_then(Vec::pop).expect("one is under way");
            world.answer(command);
            world.settle();
        }
        let now = world.now();
        world.consumer.close(now);
        let under_way = world.held.take().expect("they are held");
        assert_eq!(under_way.len(), 1);
        let deletes = matches!(under_way[0], Command::DeleteBatches(_));
        assert_eq!(deletes, answered == 3);
        for command in under_way {
            world.answer(command);
        }
        world.settle();
        world.pass(1000);
        assert_eq!(world.has(&orphan), !deletes, "after {answered} answers");
        assert!(world.consumer.ended().is_some());
        let deletes = world.take_log().iter().filter(|line| line.starts_with("delete")).count();
        assert!(deletes <= 1);
    }
}

// 1. A chunk is being deleted, and more are to follow. 2. The consumer is closed, and has
// something to dequeue first. 3. The reply comes.
#[test]
fn closing_leaves_the_other_chunks_alone() {
    let (mut world, _) = with_an_orphan();
    for number in 0..300 {
        let name = key(-2000 - number);
        world.upload(&name);
        world.objects.list_batch(&name);
    }
    world.consume();
    world.pass(700);
    changed(&mut world);
    let last = key(2000);
    world.upload(&last);
    world.objects.list_batch(&last);
    let (now, since) = (world.now(), world.consumer.mark());
    assert!(matches!(world.consumer.next(now, since, false), Ok(Next::Pending)));
    world.settle();
    world.held = Some(Vec::new());
    world.pass(60);
    let read = world.held.as_mut().and_then(Vec::pop).expect("it reads");
    world.answer(read);
    world.settle();
    let delete = world.held.as_mut().and_then(Vec::pop).expect("it deletes");
    let batch = world.consumer.next(world.now(), since, false).expect("it was fetched");
    let Next::Ready(batch) = batch else { panic!("{batch:?}") };
    let now = world.now();
    world.consumer.ack(now, batch.descriptor.sequence).expect("it was handed out");
    world.consumer.close(now);
    world.settle();
    world.answer(delete);
    world.settle();
    let held = world.held.take().expect("they are held");
    assert!(matches!(&held[..], [Command::CasManifest(_)]), "{held:?}");
    assert_eq!(world.consumer.stats().gc_files_deleted, 257);
}

/// Goal: what was begun before a second `initialize` is not taken up after it.
#[test]
fn initializing_again_begins_anew() {
    let (mut world, orphan) = with_an_orphan();
    world.held = Some(Vec::new());
    world.pass(60);
    let read = world.held.take().and_then(|mut held| held.pop()).expect("it reads");
    world.initialize();
    world.answer(read);
    world.settle();
    world.log.clear();
    world.pass(59);
    assert!(world.take_log().is_empty() && world.has(&orphan));
    world.pass(1);
    assert!(!world.has(&orphan));
    // While it takes over, it has no business of its own.
    world.held = Some(Vec::new());
    let now = world.now();
    world.consumer.initialize(now, Resume::default()).expect("it has not ended");
    world.pass(100);
    let Output::Idle { deadline: None } = world.consumer.poll() else { panic!("it only waits") };
}

/// A zombie: it decided, stood still for days while another took over, and deletes then.
#[test]
fn a_deletion_that_was_decided_before_a_pause_is_still_right() {
    let (mut world, orphan) = with_an_orphan();
    world.held = Some(Vec::new());
    world.pass(60);
    for _ in 0..3 {
        let command = world.held.as_mut().and_then(Vec::pop).expect("one is under way");
        world.answer(command);
        world.settle();
    }
    let delete = world.held.take().and_then(|mut held| held.pop()).expect("it deletes");
    let newer = key(100_000);
    world.objects.clock.0 += 3 * 24 * 3600 * 1000;
    world.upload(&newer);
    world.objects.list_batch(&newer);
    world.fence();
    world.answer(delete);
    world.settle();
    assert!(!world.has(&orphan) && world.has(&newer));
    world.pass(60);
    assert!(world.consumer.ended().is_some() && world.has(&newer));
}
