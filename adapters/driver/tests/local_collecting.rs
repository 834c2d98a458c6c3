//! Listing and deleting in a local directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod local_support;

use std::collections::BTreeSet;
use std::fs;

use buffer_core::{ListCursor, Location, StoreErrorKind};
use buffer_driver::LocalFiles;
use local_support::{Scratch, create, find, found, kind, left_overs, stored, swap};

/// All pages, as keys in the order in which they came, and how many pages there were.
fn list(files: &LocalFiles, prefix: &str) -> (Vec<String>, usize) {
    let (mut keys, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = files.list(&prefix.into(), after.as_ref()).unwrap();
        pages += 1;
        keys.extend(page.objects.iter().map(|object| object.location.to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => return (keys, pages),
        }
    }
}

#[test]
fn objects_are_listed_as_they_were_written_and_nothing_else_is() {
    let scratch = Scratch::new("listed");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let base = stored(create(&files, "ingest/manifest", "one"));
    stored(swap(&files, "ingest/manifest", "two", &base));
    for key in
        ["ingest/b.batch", "ingest/a b~%.batch", "ingest/sub/deep/er", "other/x", "ingestion/x"]
    {
        stored(create(&files, key, "x"));
    }
    let directory = scratch.path().join("ingest");
    assert!(directory.join(".manifest.lock").is_file());
    fs::create_dir(directory.join(".opendata-buffer")).unwrap();
    fs::write(directory.join(".opendata-buffer/1-0123456789abcdef.tmp"), "x").unwrap();
    fs::write(directory.join("control\u{7}"), "x").unwrap();
    fs::create_dir(directory.join("empty.batch")).unwrap();
    let expected =
        ["ingest/a b~%.batch", "ingest/b.batch", "ingest/manifest", "ingest/sub/deep/er"];
    assert_eq!(list(&files, "ingest"), (expected.map(str::to_owned).to_vec(), 1));
    let page = files.list(&"ingest".into(), None).unwrap();
    for object in page.objects {
        let read = found(&files, object.location.as_str());
        assert_eq!(object.last_modified, read.last_modified, "one clock, in both answers");
        assert!(object.last_modified.is_some());
    }
}

#[test]
fn a_prefix_without_objects_is_empty_and_a_store_that_is_gone_is_an_error() {
    let scratch = Scratch::new("nothing");
    let root = scratch.path().join("root");
    let files = LocalFiles::open(&root).unwrap();
    assert_eq!(list(&files, "ingest"), (Vec::new(), 1));
    stored(create(&files, "ingest/x", "x"));
    assert_eq!(list(&files, "ingest/x"), (Vec::new(), 1), "an object is no prefix of itself");
    assert_eq!(kind(files.list(&"../up".into(), None)), StoreErrorKind::InvalidLocation);
    assert_eq!(kind(files.list(&".opendata-buffer".into(), None)), StoreErrorKind::InvalidLocation);
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(kind(files.list(&"ingest".into(), None)), StoreErrorKind::NoSuchStore);
    assert_eq!(kind(files.delete(&"ingest/x".into())), StoreErrorKind::NoSuchStore);
}

/// Goal: what was there before the first page and is there after the last comes exactly once,
/// whatever is made and deleted in between.
#[test]
fn many_objects_come_in_pages_while_others_come_and_go() {
    let scratch = Scratch::new("pages");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let directory = scratch.path().join("q");
    fs::create_dir_all(directory.join("0500.d/e")).unwrap();
    let stay: BTreeSet<_> = (0..2500).map(|number| format!("q/{number:04}")).collect();
    let deep: BTreeSet<_> = (0..700).map(|number| format!("q/0500.d/e/{number:03}")).collect();
    let all: BTreeSet<_> = stay.union(&deep).cloned().collect();
    for key in &all {
        fs::write(scratch.path().join(key), "x").unwrap();
    }
    let (keys, pages) = list(&files, "q");
    assert_eq!((keys.len(), pages), (all.len(), 4));
    assert!(keys.is_sorted() && keys.into_iter().collect::<BTreeSet<_>>() == all);

    let (mut seen, mut after): (Vec<String>, Option<ListCursor>) = (Vec::new(), None);
    for round in 0.. {
        let page = files.list(&"q".into(), after.as_ref()).unwrap();
        assert!(page.objects.len() <= 1000);
        seen.extend(page.objects.iter().map(|object| object.location.to_string()));
        fs::write(directory.join(format!("new-{round}")), "x").unwrap();
        fs::write(directory.join(format!("00{round}0-new")), "x").unwrap();
        // Also the key at which a page ended.
        if let Some(last) = page.objects.last().filter(|_| round == 1) {
            files.delete(&last.location).unwrap();
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let unique: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(unique.len(), seen.len(), "nothing comes twice");
    assert!(unique.is_superset(&all));
}

#[test]
fn deleting_takes_the_object_and_what_belongs_to_it_and_can_be_repeated() {
    let scratch = Scratch::new("deleted");
    // Here making an object takes a lock, and leaves its file.
    let files = LocalFiles::open_without_hard_links(scratch.path()).unwrap();
    let (gone, kept) = (Location::from("ingest/a.batch"), "ingest/b.batch");
    stored(create(&files, "ingest/a.batch", "x"));
    stored(create(&files, kept, "y"));
    let lock = scratch.path().join("ingest/.a.batch.lock");
    assert!(lock.is_file());
    files.delete(&gone).unwrap();
    assert!(find(&files, "ingest/a.batch").is_none() && !lock.exists());
    files.delete(&gone).unwrap();
    files.delete(&"nowhere/at/all".into()).unwrap();
    files.delete(&"ingest/b.batch/deeper".into()).unwrap();
    assert_eq!(found(&files, kept).bytes, "y");
    assert!(left_overs(scratch.path()).is_empty());
    // An interrupted deletion leaves the lock file; the next takes it.
    fs::write(&lock, "").unwrap();
    files.delete(&gone).unwrap();
    assert!(!lock.exists());
}

#[cfg(unix)]
#[test]
fn links_and_directories_are_left_alone() {
    use std::os::unix::fs::symlink;

    let scratch = Scratch::new("links");
    let files = LocalFiles::open(scratch.path()).unwrap();
    stored(create(&files, "ingest/real", "x"));
    stored(create(&files, "elsewhere/x", "x"));
    let directory = scratch.path().join("ingest");
    symlink(directory.join("real"), directory.join("link.batch")).unwrap();
    symlink(directory.join("none"), directory.join("broken.batch")).unwrap();
    symlink(scratch.path().join("elsewhere"), directory.join("linked")).unwrap();
    symlink(&directory, directory.join("loop")).unwrap();
    fs::create_dir(directory.join("dir.batch")).unwrap();
    assert_eq!(list(&files, "ingest").0, ["ingest/real"]);
    for name in ["link.batch", "broken.batch", "dir.batch", "loop"] {
        let location = format!("ingest/{name}").into();
        assert_eq!(kind(files.delete(&location)), StoreErrorKind::InvalidLocation, "{name}");
        assert!(directory.join(name).symlink_metadata().is_ok(), "{name}");
    }
    for key in ["ingest/.real.lock", ".opendata-buffer/x", "../x", "ingest/"] {
        assert_eq!(kind(files.delete(&key.into())), StoreErrorKind::InvalidLocation, "{key}");
    }
    assert_eq!(found(&files, "ingest/real").bytes, "x");
}

#[test]
fn who_only_reads_deletes_nothing() {
    let scratch = Scratch::new("reader");
    stored(create(&LocalFiles::open(scratch.path()).unwrap(), "ingest/x", "x"));
    let files = LocalFiles::open_existing(scratch.path()).unwrap();
    assert_eq!(list(&files, "ingest").0, ["ingest/x"]);
    assert_eq!(kind(files.delete(&"ingest/x".into())), StoreErrorKind::Refused);
    assert!(find(&files, "ingest/x").is_some());
}
