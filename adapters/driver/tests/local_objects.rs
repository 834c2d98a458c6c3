//! What one handle on a local directory does: the store's contract, and keys.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod local_support;

use std::fs;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, SystemTime};

use buffer_core::{Condition, ReadOutcome, StoreErrorKind, UnixMillis, Version, WriteOutcome};
use buffer_driver::LocalFiles;
use bytes::Bytes;
use local_support::*;

/// Keys that tools like to encode, normalise or trip over.
#[cfg(unix)]
const AWKWARD: [&str; 12] = [
    "a~b[c]#d%e+f",
    "100%25/%2e%2e/x",
    "with space/ and more ",
    "übergrößenträger/消息队列.batch",
    "e\u{301}/\u{e9}",
    "..a/b../...",
    ".hidden/.file",
    "a?b&c=d*e|f<g>h\"i'j`k",
    "ingest/deeply/nested/manifest",
    "UPPER/lower",
    "-rf",
    "manifest.lock",
];

#[test]
fn created_object_is_read_with_its_version_and_time() {
    let scratch = Scratch::new("read");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let version = stored(create(&files, "ingest/manifest", "one"));
    let object = found(&files, "ingest/manifest");
    assert_eq!(object.bytes, "one");
    assert_eq!(object.version, version);
    // SHA-256 of "one", by another implementation.
    let hash = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    assert_eq!(version, Version::from_e_tag(hash));
    let before = UnixMillis(before.as_millis() as i64 - 1_000);
    let after = UnixMillis(before.0 + 60_000);
    assert!((before..after).contains(&object.last_modified.unwrap()), "{object:?} {before:?}");
}

#[test]
fn create_refuses_an_object_that_exists_and_leaves_it() {
    let scratch = Scratch::new("create");
    let files = LocalFiles::open(scratch.path()).unwrap();
    stored(create(&files, "m", "first"));
    assert_eq!(create(&files, "m", "second").unwrap(), WriteOutcome::Conflict);
    assert_eq!(create(&files, "m", "first").unwrap(), WriteOutcome::Conflict);
    assert_eq!(found(&files, "m").bytes, "first");
    assert!(left_overs(scratch.path()).is_empty());
}

/// Failure 12 of the existing implementation: the second write was refused as not implemented.
#[test]
fn second_and_third_write_work() {
    let scratch = Scratch::new("second");
    for files in [
        LocalFiles::open(scratch.path().join("links")).unwrap(),
        LocalFiles::open_without_hard_links(scratch.path().join("none")).unwrap(),
    ] {
        let one = stored(create(&files, "m", "one"));
        let two = stored(swap(&files, "m", "two", &one));
        let three = stored(swap(&files, "m", "three", &two));
        let object = found(&files, "m");
        assert_eq!((text(&object), &object.version), ("three", &three));
        assert!(left_overs(files.root()).is_empty());
    }
}

#[test]
fn stale_swap_is_a_conflict_and_changes_nothing() {
    let scratch = Scratch::new("stale");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let one = stored(create(&files, "m", "one"));
    stored(swap(&files, "m", "two", &one));
    assert_eq!(swap(&files, "m", "three", &one).unwrap(), WriteOutcome::Conflict);
    let foreign = Version { generation: Some("7".into()), ..found(&files, "m").version };
    assert_eq!(swap(&files, "m", "three", &foreign).unwrap(), WriteOutcome::Conflict);
    assert_eq!(found(&files, "m").bytes, "two");
    assert!(left_overs(scratch.path()).is_empty());
}

#[test]
fn swap_of_a_missing_object_is_a_conflict_and_makes_nothing() {
    let scratch = Scratch::new("missing");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let version = Version::from_e_tag("0".repeat(64));
    assert_eq!(swap(&files, "a/b/m", "x", &version).unwrap(), WriteOutcome::Conflict);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    stored(create(&files, "a", "x"));
    assert_eq!(swap(&files, "a/b/m", "x", &version).unwrap(), WriteOutcome::Conflict);
}

#[test]
fn unchanged_object_is_not_read_again() {
    let scratch = Scratch::new("unless");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let one = stored(create(&files, "m", "one"));
    assert_eq!(files.read(&"m".into(), Some(&one)).unwrap(), ReadOutcome::NotModified);
    let two = stored(swap(&files, "m", "two", &one));
    let ReadOutcome::Found(object) = files.read(&"m".into(), Some(&one)).unwrap() else {
        panic!("it was changed")
    };
    assert_eq!((text(&object), &object.version), ("two", &two));
    assert_eq!(files.read(&"other".into(), Some(&one)).unwrap(), ReadOutcome::Missing);
}

#[test]
fn empty_object_is_an_object() {
    let scratch = Scratch::new("empty");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let WriteOutcome::Stored(empty) = files.write(&"m".into(), &[], &Condition::Absent).unwrap()
    else {
        panic!("it was absent")
    };
    assert_eq!(found(&files, "m").bytes, "");
    assert_eq!(found(&files, "m").version, empty);
    assert_eq!(create(&files, "m", "x").unwrap(), WriteOutcome::Conflict);
    let full = stored(swap(&files, "m", "x", &empty));
    assert_eq!(stored(swap(&files, "m", "", &full)), empty);
}

#[test]
fn rope_of_many_pieces_is_one_object() {
    let scratch = Scratch::new("rope");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let whole: Vec<u8> =
        (0..8 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole = Bytes::from(whole);
    let mut rope = Vec::new();
    let (mut at, mut step) = (0, 0);
    while at < whole.len() {
        let end = whole.len().min(at + step % 9_973);
        rope.push(whole.slice(at..end));
        (at, step) = (end, (step * 7 + 1_000) % 1_000_003);
    }
    assert!(rope.len() > 1_000, "{}", rope.len());
    let outcome = files.write(&"big".into(), &rope, &Condition::Absent).unwrap();
    let in_one =
        files.write(&"same".into(), std::slice::from_ref(&whole), &Condition::Absent).unwrap();
    assert_eq!(outcome, in_one, "the version does not depend on the pieces");
    assert!(found(&files, "big").bytes == whole);
}

#[cfg(unix)]
#[test]
fn key_is_the_file_at_exactly_that_path() {
    let scratch = Scratch::new("keys");
    let files = LocalFiles::open(scratch.path()).unwrap();
    for key in AWKWARD {
        let version = stored(create(&files, key, key));
        assert_eq!(fs::read_to_string(scratch.path().join(key)).unwrap(), key);
        stored(swap(&files, key, "two", &version));
        assert_eq!(fs::read_to_string(scratch.path().join(key)).unwrap(), "two");
        assert_eq!(found(&files, key).bytes, "two");
    }
}

#[test]
fn hostile_keys_are_refused_and_touch_nothing() {
    let outer = Scratch::new("hostile");
    let root = outer.path().join("root");
    let files = LocalFiles::open(&root).unwrap();
    fs::write(outer.path().join("x"), "secret").unwrap();
    let long = "n".repeat(300);
    let hostile = [
        "../x",
        "/etc/x",
        "a//b",
        "a/../../x",
        ".",
        "..",
        "./x",
        "x/",
        "/",
        "",
        "a/./b",
        "a\0b",
        "a\nb",
        "a\u{7f}b",
        "\u{85}",
        ".manifest.lock",
        "a/.m.lock/x",
        ".opendata-buffer",
        ".opendata-buffer/1-0123456789abcdef.tmp",
        "a/.Opendata-Buffer/x",
        &long,
    ];
    for key in hostile {
        let version = Version::from_e_tag("x");
        let expected = StoreErrorKind::InvalidLocation;
        assert_eq!(kind(create(&files, key, "evil")), expected, "{key:?}");
        assert_eq!(kind(swap(&files, key, "evil", &version)), expected, "{key:?}");
        assert_eq!(kind(files.read(&key.into(), None)), expected, "{key:?}");
    }
    assert_eq!(fs::read_to_string(outer.path().join("x")).unwrap(), "secret");
    assert!(
        fs::read_dir(&root).unwrap().all(|entry| entry.unwrap().file_name() == ".opendata-buffer")
    );
}

#[test]
fn directory_is_not_an_object_and_an_object_not_a_directory() {
    let scratch = Scratch::new("kinds");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let version = stored(create(&files, "a/b", "x"));
    assert_eq!(find(&files, "a"), None);
    assert_eq!(kind(create(&files, "a", "x")), StoreErrorKind::InvalidLocation);
    assert_eq!(kind(swap(&files, "a", "x", &version)), StoreErrorKind::InvalidLocation);
    assert_eq!(find(&files, "a/b/c"), None);
    assert_eq!(kind(create(&files, "a/b/c", "x")), StoreErrorKind::InvalidLocation);
}

/// Two links to one object have two locks, and a rename parts them: lost updates.
#[cfg(unix)]
#[test]
fn object_behind_a_symbolic_link_is_read_but_not_swapped() {
    let scratch = Scratch::new("symlink");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let version = stored(create(&files, "m", "x"));
    std::os::unix::fs::symlink("m", scratch.path().join("alias")).unwrap();
    std::os::unix::fs::symlink("nothing", scratch.path().join("dangling")).unwrap();
    assert_eq!(found(&files, "alias").bytes, "x");
    assert_eq!(create(&files, "alias", "y").unwrap(), WriteOutcome::Conflict);
    assert_eq!(kind(swap(&files, "alias", "y", &version)), StoreErrorKind::InvalidLocation);
    assert_eq!(find(&files, "dangling"), None);
    assert_eq!(kind(create(&files, "dangling", "y")), StoreErrorKind::InvalidLocation);
}

#[test]
fn open_makes_the_directory_and_open_existing_does_not() {
    let scratch = Scratch::new("open");
    let root = scratch.path().join("not/there/yet");
    assert_eq!(kind(LocalFiles::open_existing(&root)), StoreErrorKind::NoSuchStore);
    assert!(!scratch.path().join("not").exists());
    LocalFiles::open(&root).unwrap();
    assert!(root.is_dir());
    LocalFiles::open_existing(&root).unwrap();
    fs::write(root.join("file"), "x").unwrap();
    for path in [root.join("file"), root.join("file/below")] {
        assert_eq!(kind(LocalFiles::open(&path)), StoreErrorKind::NoSuchStore, "{path:?}");
        assert_eq!(kind(LocalFiles::open_existing(&path)), StoreErrorKind::NoSuchStore);
    }
}

#[test]
fn read_only_handle_leaves_no_trace() {
    let scratch = Scratch::new("readonly");
    fs::write(scratch.path().join("m"), "x").unwrap();
    let files = LocalFiles::open_existing(scratch.path()).unwrap();
    let object = found(&files, "m");
    assert_eq!(kind(create(&files, "n", "y")), StoreErrorKind::Refused);
    assert_eq!(kind(swap(&files, "m", "y", &object.version)), StoreErrorKind::Refused);
    let names: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["m"]);
}

/// A queue that was deleted must not come back as an empty one.
#[test]
fn deleted_root_is_an_error_and_is_not_made_again() {
    let scratch = Scratch::new("deleted");
    let root = scratch.path().join("root");
    let files = LocalFiles::open(&root).unwrap();
    let version = stored(create(&files, "a/m", "x"));
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(kind(create(&files, "a/n", "x")), StoreErrorKind::NoSuchStore);
    assert_eq!(kind(create(&files, "b/n", "x")), StoreErrorKind::NoSuchStore);
    assert_eq!(kind(create(&files, "n", "x")), StoreErrorKind::NoSuchStore);
    assert_eq!(kind(swap(&files, "a/m", "x", &version)), StoreErrorKind::NoSuchStore);
    assert_eq!(kind(files.read(&"a/m".into(), None)), StoreErrorKind::NoSuchStore);
    assert!(!root.exists());
}

#[test]
fn directory_that_was_deleted_is_made_again_by_the_next_write() {
    let scratch = Scratch::new("remade");
    let files = LocalFiles::open(scratch.path()).unwrap();
    stored(create(&files, "a/one", "x"));
    fs::remove_dir_all(scratch.path().join("a")).unwrap();
    assert_eq!(kind(create(&files, "a/two", "x")), StoreErrorKind::Transient);
    stored(create(&files, "a/two", "x"));
    fs::remove_dir_all(scratch.path().join(".opendata-buffer")).unwrap();
    assert_eq!(kind(create(&files, "a/three", "x")), StoreErrorKind::Transient);
    stored(create(&files, "a/three", "x"));
}

#[test]
fn threads_and_handles_of_one_process_lose_no_update() {
    let scratch = Scratch::new("threads");
    for files in [
        LocalFiles::open(scratch.path().join("links")).unwrap(),
        LocalFiles::open_without_hard_links(scratch.path().join("none")).unwrap(),
    ] {
        stored(create(&files, "m", ""));
        let own = LocalFiles::open(files.root()).unwrap();
        thread::scope(|scope| {
            for id in 0..4 {
                let files = if id % 2 == 0 { &files } else { &own };
                scope.spawn(move || {
                    for n in 0..50 {
                        append(files, "m", &format!("{id}:{n}"));
                    }
                });
            }
        });
        let object = found(&files, "m");
        let mut lines: Vec<_> = text(&object).lines().collect();
        assert_eq!(lines.len(), 200);
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 200);
    }
}

#[test]
fn one_of_many_threads_creates() {
    let scratch = Scratch::new("winner");
    for files in [
        LocalFiles::open(scratch.path().join("links")).unwrap(),
        LocalFiles::open_without_hard_links(scratch.path().join("none")).unwrap(),
    ] {
        let barrier = Barrier::new(8);
        for round in 0..50 {
            let key = format!("round/{round}");
            let winners: Vec<String> = thread::scope(|scope| {
                let racers: Vec<_> = (0..8)
                    .map(|id| {
                        let (files, barrier, key) = (&files, &barrier, &key);
                        scope.spawn(move || {
                            barrier.wait();
                            let id = format!("racer {id}");
                            let outcome = create(files, key, &id).unwrap();
                            (outcome != WriteOutcome::Conflict).then_some(id)
                        })
                    })
                    .collect();
                racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
            });
            assert_eq!(winners.len(), 1, "{winners:?}");
            assert_eq!(found(&files, &key).bytes, winners[0]);
        }
    }
}

/// The reader must see one whole state, whatever the writers are at.
#[test]
fn reads_are_never_torn() {
    let scratch = Scratch::new("torn");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let state = |n: usize| n.to_string().repeat(1 + n * 5_000);
    let mut version = stored(create(&files, "m", &state(0)));
    thread::scope(|scope| {
        let (files, reader) = (&files, LocalFiles::open_existing(scratch.path()).unwrap());
        let writer = scope.spawn(move || {
            for n in 1..200 {
                version = stored(swap(files, "m", &state(n % 10), &version));
            }
        });
        let mut seen = [0; 10];
        while !writer.is_finished() {
            let object = found(&reader, "m");
            let n = usize::from(object.bytes[0] - b'0');
            assert!(object.bytes == state(n), "{} bytes of state {n}", object.bytes.len());
            seen[n] += 1;
        }
        writer.join().unwrap();
        assert!(seen.iter().filter(|&&times| times > 0).count() > 3, "{seen:?}");
    });
}

#[test]
fn sweep_takes_what_is_old_and_nobodys() {
    let scratch = Scratch::new("sweep");
    stored(create(&LocalFiles::open(scratch.path()).unwrap(), "m", "x"));
    let workshop = scratch.path().join(".opendata-buffer");
    let name = |n: u32| workshop.join(format!("{n}-0123456789abcdef.tmp"));
    let old = SystemTime::now() - LocalFiles::LEFT_OVER_AGE - Duration::from_secs(1);
    for n in [1, 2] {
        let file = fs::File::create(name(n)).unwrap();
        file.set_modified(old).unwrap();
    }
    fs::File::create(name(3)).unwrap();
    fs::File::create(workshop.join("somebody's notes.tmp")).unwrap().set_modified(old).unwrap();
    let living_writer = fs::File::open(name(2)).unwrap();
    living_writer.lock().unwrap();

    LocalFiles::open_existing(scratch.path()).unwrap();
    assert_eq!(left_overs(scratch.path()).len(), 4, "a read-only handle deletes nothing");
    LocalFiles::open(scratch.path()).unwrap();
    let mut left = left_overs(scratch.path());
    left.sort_unstable();
    assert_eq!(left, ["2-0123456789abcdef.tmp", "3-0123456789abcdef.tmp", "somebody's notes.tmp"]);
    drop(living_writer);
    LocalFiles::open(scratch.path()).unwrap();
    assert!(!name(2).exists());
    assert!(name(3).exists());
}

/// Nothing can be linked or renamed from the root's filesystem into this directory.
#[cfg(target_os = "linux")]
#[test]
fn directory_on_another_filesystem_is_written_and_swept() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new("mounts");
    let device = |path: &std::path::Path| fs::metadata(path).map(|found| found.dev()).ok();
    let memory = std::path::Path::new("/dev/shm");
    if device(memory).is_none() || device(memory) == device(scratch.path()) {
        println!("skipped: there is no second filesystem at /dev/shm");
        return;
    }
    let other = Scratch(memory.join(format!("buffer-test-{}", std::process::id())));
    fs::create_dir_all(other.path().join(".opendata-buffer")).unwrap();
    let left_over = other.path().join(".opendata-buffer/1-0123456789abcdef.tmp");
    fs::write(left_over, "").unwrap();
    std::os::unix::fs::symlink(other.path(), scratch.path().join("ingest")).unwrap();
    let files = LocalFiles::open_sweeping(scratch.path(), Duration::ZERO).unwrap();
    let one = stored(create(&files, "ingest/m", "one"));
    let two = stored(swap(&files, "ingest/m", "two", &one));
    stored(create(&files, "ingest/n", "one"));
    let again = LocalFiles::open(scratch.path()).unwrap();
    stored(swap(&again, "ingest/m", "three", &two));
    assert_eq!(fs::read_to_string(other.path().join("m")).unwrap(), "three");
    assert!(left_overs(scratch.path()).is_empty());
    assert!(left_overs(other.path()).is_empty(), "{:?}", left_overs(other.path()));
}

/// Two roots, one object: a lock under the root would not exclude.
#[test]
fn handles_with_different_roots_lose_no_update() {
    let scratch = Scratch::new("roots");
    let outer = LocalFiles::open(scratch.path()).unwrap();
    stored(create(&outer, "ingest/m", ""));
    let inner = LocalFiles::open(scratch.path().join("ingest")).unwrap();
    thread::scope(|scope| {
        for (files, key) in [(&outer, "ingest/m"), (&inner, "m")] {
            scope.spawn(move || {
                for n in 0..100 {
                    append(files, key, &format!("{key}:{n}"));
                }
            });
        }
    });
    assert_eq!(text(&found(&inner, "m")).lines().count(), 200);
}
