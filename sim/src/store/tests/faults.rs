//! What each fault does, and when it counts as active.

use std::sync::{Arc, Mutex};

use buffer_core::{ListCursor, ListPage, UnixMillis};

use super::*;
use crate::{Change, Moment, Quirk};

impl Bench {
    fn active(&self) -> Vec<(&'static str, u64)> {
        self.store.active().into_iter().collect()
    }

    fn batch(number: u32) -> Location {
        Location::new(format!("queue/data/{number}.batch"))
    }

    /// So many batches, written by nobody.
    fn fill(&self, count: u32) {
        for number in 0..count {
            self.store.put_raw(&Self::batch(number), format!("{number}"));
        }
    }

    fn page(&self, after: Option<ListCursor>) -> ListPage {
        let list = self.store.list(&Location::new("queue/data"), after);
        self.runtime.block_on(list).expect("it can be listed")
    }

    /// The keys of all pages, and how many pages there were.
    fn list(&self) -> (Vec<Location>, usize) {
        let (mut keys, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = self.page(after);
            keys.extend(page.objects.into_iter().map(|object| object.location));
            pages += 1;
            after = page.next;
            if after.is_none() {
                return (keys, pages);
            }
        }
    }

    fn delete(&self, keys: &[Location]) -> Vec<Option<StoreErrorKind>> {
        let results = self.runtime.block_on(self.store.delete(keys.to_vec()));
        results.into_iter().map(|result| result.err().map(|failure| failure.kind)).collect()
    }

    /// Asks, and gives up after this long.
    fn create_within(&self, bytes: &'static str, patience: Duration) -> bool {
        let write = self.store.write(&self.key, vec![bytes.into()], Condition::Absent);
        let late = async {
            self.runtime.sleep(patience).await;
            false
        };
        self.runtime.block_on(futures_lite::future::or(
            async {
                write.await.expect("it was served");
                true
            },
            late,
        ))
    }
}

fn sorted(mut keys: Vec<Location>) -> Vec<Location> {
    keys.sort_unstable();
    keys
}

#[test]
fn a_listing_comes_in_pages_of_the_profile() {
    for profile in [Profile::S3, Profile::S3_EXPRESS] {
        let bench = Bench::with(1, Profile { page_size: 3, ..profile });
        bench.fill(8);
        bench.store.put_raw(&Location::new("queue/database/1.batch"), "another prefix");
        bench.store.put_raw(&bench.key, "a manifest");
        let all: Vec<Location> = (0..8).map(Bench::batch).collect();
        let (keys, pages) = bench.list();
        assert_eq!(pages, 3);
        assert_eq!(keys == all, profile == Profile::S3, "by key, or in no order");
        assert_eq!(sorted(keys), all);
        assert_eq!(bench.store.counts().lists, 3);
    }
    let bench = Bench::new();
    assert_eq!(bench.list(), (vec![], 1));
    bench.fill(3);
    assert_eq!(bench.list().1, 1, "a page that is full has none after it");
}

#[test]
fn what_comes_and_goes_between_pages_disturbs_nothing_else() {
    for profile in [Profile::S3, Profile::LOCAL] {
        let bench = Bench::with(2, Profile { page_size: 2, ..profile });
        bench.fill(6);
        let first = bench.page(None);
        let seen: Vec<_> = first.objects.into_iter().map(|object| object.location).collect();
        bench.store.remove(&seen[1]);
        bench.store.put_raw(&Location::new("queue/data/0-new.batch"), "new");
        let (mut keys, mut after) = (seen, first.next);
        while let Some(cursor) = after {
            let page = bench.page(Some(cursor));
            keys.extend(page.objects.into_iter().map(|object| object.location));
            after = page.next;
        }
        let expected: Vec<Location> = (0..6).map(Bench::batch).collect();
        keys.retain(|key| expected.contains(key));
        assert_eq!(sorted(keys), expected);
    }
}

#[test]
fn a_cursor_of_somebody_else_is_an_error() {
    let bench = Bench::new();
    let list = bench.store.list(&Location::new("queue/data"), Some(ListCursor("?".into())));
    let failure = bench.runtime.block_on(list).expect_err("it is no cursor");
    assert_eq!(failure.kind, StoreErrorKind::InvalidLocation);
}

#[test]
fn deleting_what_is_gone_is_a_success() {
    let bench = Bench::new();
    bench.fill(2);
    let keys = [Bench::batch(0), Bench::batch(7), Bench::batch(1)];
    assert_eq!(bench.delete(&keys), [None, None, None]);
    assert!(bench.store.locations().is_empty());
    assert_eq!((bench.store.counts().deletes, bench.store.counts().objects_deleted), (1, 2));
    let again = bench.store.put_raw(&Bench::batch(0), "again");
    assert_eq!(bench.store.object(&Bench::batch(0)).expect("it is back").version, again);
}

#[test]
fn a_deletion_may_fail_for_some_keys() {
    let bench = Bench::new();
    bench.fill(8);
    let keys: Vec<Location> = (0..8).map(Bench::batch).collect();
    let rule = bench.always(Verdict::Partial);
    let results = bench.delete(&keys);
    drop(rule);
    let failed: Vec<Location> =
        keys.iter().zip(&results).filter(|it| it.1.is_some()).map(|it| it.0.clone()).collect();
    assert!(!failed.is_empty() && failed.len() < 8, "{failed:?}");
    assert_eq!(bench.store.locations(), failed);
    assert_eq!(bench.active(), [("partial/delete", 1)]);
}

#[test]
fn pages_may_be_odd() {
    let mut orders = Vec::new();
    for quirk in [Quirk::Twice, Quirk::Shuffled, Quirk::Missing, Quirk::Ghost] {
        let bench = Bench::new();
        bench.fill(9);
        bench.store.remove(&Bench::batch(4));
        let rule = bench.always(Verdict::Listing(quirk));
        let (keys, _) = bench.list();
        drop(rule);
        let usual = bench.list().0;
        assert_eq!(bench.active().len(), 1, "{quirk:?}");
        let changed = match quirk {
            Quirk::Twice => keys.len() == 16,
            Quirk::Shuffled => keys != usual && sorted(keys.clone()) == usual,
            Quirk::Missing => keys.len() == 7,
            Quirk::Ghost => keys.len() == 9 && keys.contains(&Bench::batch(4)),
        };
        assert!(changed, "{quirk:?}: {keys:?}");
        orders.push(bench.active()[0].0);
    }
    let names = ["keys-twice/list", "page-shuffled/list", "key-missing/list", "key-deleted/list"];
    assert_eq!(orders, names);
    let bench = Bench::new();
    let _rule = bench.always(Verdict::Listing(Quirk::Twice));
    assert_eq!(bench.list().0, [], "nothing twice is nothing");
    assert_eq!(bench.active(), []);
}

#[test]
fn a_stale_listing_shows_what_there_was() {
    let bench = Bench::new();
    bench.fill(2);
    bench.runtime.advance(ms(1000));
    bench.store.put_raw(&Bench::batch(2), "new");
    bench.store.remove(&Bench::batch(0));
    let _rule = bench.always(Verdict::StaleListing(ms(500)));
    assert_eq!(bench.list().0, [Bench::batch(0), Bench::batch(1)]);
    assert_eq!(bench.active(), [("stale/list", 1)]);
    bench.runtime.advance(ms(1000));
    assert_eq!(bench.list().0, [Bench::batch(1), Bench::batch(2)]);
    assert_eq!(bench.active(), [("stale/list", 1)], "it changed nothing any more");
}

#[test]
fn observers_are_told_at_the_very_moment_of_what_and_by_whom() {
    let bench = Bench::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (seen_in, store) = (Arc::clone(&seen), bench.store.clone());
    bench.store.observe(move |applied| {
        let is_there = store.object(&applied.location).is_some();
        seen_in.lock().expect("nobody panics").push((applied.clone(), is_there));
    });
    bench.store.set_keeps_log(false);
    bench.store.put_raw(&bench.key, "one");
    bench.store.remove(&bench.key);
    let process = bench.create_in_process(&bench.key, "two");
    bench.runtime.advance(ms(1000));
    let seen = std::mem::take(&mut *seen.lock().expect("nobody panics"));
    let told: Vec<_> = seen
        .iter()
        .map(|(it, is_there)| (it.time, it.request.map(|by| by.process), it.bytes(), *is_there))
        .collect();
    let at = Duration::ZERO;
    assert_eq!(told[0], (at, None, "one".into(), true));
    assert_eq!(told[1], (at, None, "".into(), false));
    assert_eq!(told[2], (ms(10), Some(process.id()), "two".into(), true));
    assert_eq!(seen[1].0.change, Change::Deleted);
    assert!(bench.store.log().is_empty(), "the log is not kept");
}

#[test]
#[should_panic(expected = "an observer of a store changes nothing in it")]
fn an_observer_changes_nothing() {
    let bench = Bench::new();
    let (store, key) = (bench.store.clone(), bench.key.clone());
    bench.store.observe(move |_| drop(store.put_raw(&key, "again")));
    bench.store.put_raw(&bench.key, "once");
}

#[test]
fn a_fault_is_active_if_a_waiting_caller_saw_another_answer() {
    let bench = Bench::new();
    let rule = bench.always(Verdict::FalseConflict);
    let _conflict = bench.create("one");
    bench.store.put_raw(&bench.key, "zero");
    let _true_conflict = bench.create("one");
    drop(rule);
    assert_eq!(bench.active(), [("false-conflict/swap", 1)], "the second one was true");
    let rule = bench.always(Verdict::Stale(3));
    let _read = bench.read(None);
    drop(rule);
    assert_eq!(bench.active()[1], ("stale/read-manifest", 1), "there was none before");
    let bench = Bench::new();
    let rule = bench.always(Verdict::Stale(3));
    let _missing = bench.read(None);
    drop(rule);
    let rule = bench.always(Verdict::Corrupt { offset: 0, mask: 0xff });
    let _missing = bench.read(None);
    drop(rule);
    let _rule = bench.always(Verdict::Delay(Duration::ZERO));
    let _version = version_of(bench.create("one"));
    assert_eq!(bench.active(), [], "nothing is damaged of what is missing");
}

#[test]
fn an_answer_that_does_not_come_is_seen_by_who_gives_up_after_it_was_due() {
    for (verdict, name) in [
        (Verdict::DropRequest, "drop-request/swap"),
        (Verdict::ApplyThenLoseReply, "lost-reply/swap"),
        (Verdict::DelayReply(ms(500)), "late-reply/swap"),
    ] {
        let bench = Bench::new();
        let _rule = bench.always(verdict);
        assert!(!bench.create_within("one", ms(10)));
        assert_eq!(bench.active(), [], "it would not have been answered by then");
        bench.runtime.advance(ms(1000));
        bench.store.remove(&bench.key);
        assert!(!bench.create_within("one", ms(100)));
        assert_eq!(bench.active(), [(name, 1)]);
    }
}

#[test]
fn who_has_crashed_sees_no_fault() {
    for verdict in
        [Verdict::DropRequest, Verdict::Fail(TRANSIENT), Verdict::ApplyThenFail(TRANSIENT)]
    {
        let bench = Bench::new();
        let _rule = bench.always(verdict);
        let process = bench.create_in_process(&bench.key, "one");
        bench.runtime.advance(ms(if verdict == Verdict::DropRequest { 100 } else { 15 }));
        process.crash();
        bench.runtime.advance(ms(1000));
        assert_eq!(bench.active(), [], "{verdict:?}");
    }
    let bench = Bench::new();
    let _rule = bench.always(Verdict::DropRequest);
    let _waiting = bench.create_in_process(&bench.key, "one");
    bench.runtime.advance(ms(1000));
    bench.runtime.shutdown();
    assert_eq!(bench.active(), [], "the end of the world is no time-out");
}

#[test]
fn a_duplicate_is_active_if_it_changes_the_store_again() {
    let bench = Bench::new();
    let rule = bench.always(Verdict::Duplicate { after: ms(100) });
    let _version = version_of(bench.create("one"));
    bench.runtime.advance(ms(1000));
    assert_eq!((bench.store.log().len(), bench.active()), (1, vec![]), "its condition is gone");
    bench.store.remove(&bench.key);
    let _version = version_of(bench.create("two"));
    bench.store.remove(&bench.key);
    bench.runtime.advance(ms(1000));
    drop(rule);
    assert_eq!(bench.stored(), Some("two".into()), "it came back");
    assert_eq!(bench.active(), [("duplicate/swap", 1)]);
}

#[test]
fn other_bytes_and_no_bytes_and_a_304_that_is_wrong() {
    let bench = Bench::new();
    bench.fill(2);
    let read = |unless| {
        let read = bench.store.read(&Bench::batch(0), unless);
        bench.runtime.block_on(read).expect("it can be read")
    };
    let ReadOutcome::Found(object) = read(None) else { panic!("it is there") };
    let rule = bench.always(Verdict::OtherBytes);
    let ReadOutcome::Found(other) = read(None) else { panic!("it is there") };
    assert_eq!((other.bytes, other.version), ("1".into(), object.version.clone()));
    drop(rule);
    let rule = bench.always(Verdict::Empty);
    let ReadOutcome::Found(empty) = read(None) else { panic!("it is there") };
    assert_eq!(empty.bytes, "");
    drop(rule);
    bench.store.put_raw(&Bench::batch(0), "newer");
    let rule = bench.always(Verdict::NotModifiedWrongly);
    assert_eq!(read(Some(object.version)), ReadOutcome::NotModified);
    assert!(matches!(read(None), ReadOutcome::Found(_)), "who names no version is told all");
    drop(rule);
    let expected = [
        ("empty/read-batch", 1),
        ("not-modified-wrongly/read-batch", 1),
        ("other-bytes/read-batch", 1),
    ];
    let mut active = bench.active();
    active.sort_unstable();
    assert_eq!(active, expected);
}

#[test]
fn a_store_may_tell_no_time_or_a_wrong_one() {
    let bench = Bench::with(1, GENERATIONS);
    bench.fill(1);
    let time = |bench: &Bench| bench.page(None).objects[0].last_modified;
    let right = time(&bench).expect("it is told");
    let rule = bench.always(Verdict::NoTimes);
    assert_eq!(time(&bench), None);
    drop(rule);
    let _rule = bench.always(Verdict::WrongTimes(-5000));
    assert_eq!(time(&bench), Some(UnixMillis(right.0 - 5000)));
    assert_eq!(bench.active(), [("no-times/list", 1), ("wrong-times/list", 1)]);
}

#[test]
fn s3_tells_whole_seconds() {
    let bench = Bench::new();
    bench.store.clock().jump(ms(1999));
    bench.fill(1);
    let told = bench.page(None).objects[0].last_modified.expect("it is told");
    let now = bench.store.clock().unix_millis();
    assert_eq!(told.0 % 1000, 0);
    assert!(now.0 - told.0 < 1020, "{told:?} {now:?}");
}

#[test]
fn a_hot_key_takes_one_write_a_second() {
    let bench = Bench::with(1, Profile::GCS);
    let first = version_of(bench.create("one"));
    let swap = |version: Version| bench.write("two", Condition::Version(version));
    assert_eq!(swap(first.clone()), Err(StoreErrorKind::Throttled));
    bench.fill(3);
    bench.runtime.advance(ms(1000));
    let _version = version_of(swap(first));
    assert_eq!(bench.active(), [("hot-key/swap", 1)]);
}

#[test]
fn a_broken_store_ignores_conditions() {
    let bench = Bench::with(1, Profile::BROKEN);
    let first = version_of(bench.create("one"));
    let _second = version_of(bench.create("two"));
    let _third = version_of(bench.write("three", Condition::Version(first)));
    assert_eq!(bench.stored(), Some("three".into()));
}

#[test]
fn a_process_crashes_at_any_moment_of_a_request() {
    for (moment, applied, at) in
        [(Moment::Sent, false, 0), (Moment::Applied, true, 10), (Moment::Answered, true, 20)]
    {
        let bench = Bench::new();
        let process = bench.runtime.process("writer");
        process.crash_at_request(2, moment);
        let (store, other, key) = (bench.store.clone(), Bench::batch(1), bench.key.clone());
        let task = process.start(async move {
            let _read = store.read(&other, None).await;
            let _write = store.write(&key, vec!["one".into()], Condition::Absent).await;
        });
        let dead = process.clone();
        bench.runtime.block_on(async {
            while !dead.is_crashed() {
                bench.runtime.sleep(ms(1)).await;
            }
        });
        assert_eq!(bench.runtime.elapsed().as_millis().div_ceil(10) * 10, 20 + at, "{moment:?}");
        assert_eq!(bench.stored().is_some(), applied, "{moment:?}");
        assert_eq!(bench.runtime.block_on(task), None);
        bench.runtime.advance(ms(100));
        assert!(bench.stored().is_some(), "a request that was sent takes its course");
    }
}
