//! The directory as others see it: other tools, another client, an async runtime.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod local_support;

use std::fs;
use std::sync::Arc;
use std::thread;

use buffer_core::{Condition, Instant, ReadOutcome, StoreErrorKind, WriteOutcome};
use buffer_driver::{BoxFuture, LocalDirectory, LocalFiles, Runtime, Store};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use local_support::*;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

/// What does to a request what a test wants.
#[derive(Debug)]
enum TestRuntime {
    Runs,
    Drops,
    Panics,
}

impl Runtime for TestRuntime {
    fn monotonic(&self) -> Instant {
        unreachable!("a store needs no clock")
    }

    fn spawn(&self, _task: BoxFuture<'static, ()>) {
        unreachable!("a store needs no tasks")
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        match self {
            Self::Runs => drop(thread::spawn(work)),
            Self::Drops => drop(work),
            Self::Panics => drop(thread::spawn(move || {
                let _work = work;
                std::panic::resume_unwind(Box::new("on purpose"));
            })),
        }
    }

    fn sleep_until(&self, _deadline: Instant) -> BoxFuture<'static, ()> {
        unreachable!("a store sets no timers")
    }

    fn entropy(&self) -> u64 {
        unreachable!("a store names no objects")
    }
}

#[test]
fn async_store_does_what_the_files_do() {
    let scratch = Scratch::new("async");
    let store = LocalDirectory::open(scratch.path(), Arc::new(TestRuntime::Runs)).unwrap();
    assert_eq!(store.to_string(), scratch.path().display().to_string());
    let key = "ingest/manifest".into();
    block_on(async {
        assert_eq!(store.read(&key, None).await.unwrap(), ReadOutcome::Missing);
        let rope = vec!["o".into(), "ne".into()];
        let outcome = store.write(&key, rope.clone(), Condition::Absent).await.unwrap();
        let WriteOutcome::Stored(one) = outcome else { panic!("it was absent") };
        let again = store.write(&key, rope, Condition::Absent).await.unwrap();
        assert_eq!(again, WriteOutcome::Conflict);
        let unless = Some(one.clone());
        assert_eq!(store.read(&key, unless).await.unwrap(), ReadOutcome::NotModified);
        let swapped = store.write(&key, vec!["two".into()], Condition::Version(one)).await;
        assert!(matches!(swapped, Ok(WriteOutcome::Stored(_))));
    });
    let reader = LocalDirectory::open_existing(scratch.path(), Arc::new(TestRuntime::Runs));
    let read = block_on(async { reader.unwrap().read(&key, None).await }).unwrap();
    assert!(matches!(read, ReadOutcome::Found(object) if object.bytes == "two"));
    let missing = scratch.path().join("missing");
    let opened = LocalDirectory::open_existing(missing, Arc::new(TestRuntime::Runs));
    assert_eq!(kind(opened), StoreErrorKind::NoSuchStore);
}

#[test]
fn request_that_the_runtime_drops_is_a_transient_error() {
    let scratch = Scratch::new("dropped");
    for runtime in [TestRuntime::Drops, TestRuntime::Panics] {
        let store = LocalDirectory::open(scratch.path(), Arc::new(runtime)).unwrap();
        let write = store.write(&"m".into(), vec![], Condition::Absent);
        assert_eq!(kind(block_on(write)), StoreErrorKind::Transient);
        assert_eq!(kind(block_on(store.read(&"m".into(), None))), StoreErrorKind::Transient);
    }
}

/// A queue that `cp` or a backup put there has no lock file and no hidden directory.
#[test]
fn directory_made_by_other_tools_opens_and_swaps() {
    let scratch = Scratch::new("copied");
    fs::create_dir_all(scratch.path().join("ingest")).unwrap();
    fs::write(scratch.path().join("ingest/manifest"), "one").unwrap();
    let files = LocalFiles::open(scratch.path()).unwrap();
    let object = found(&files, "ingest/manifest");
    let two = stored(swap(&files, "ingest/manifest", "two", &object.version));
    fs::write(scratch.path().join("ingest/manifest"), "restored").unwrap();
    let stale = swap(&files, "ingest/manifest", "three", &two).unwrap();
    assert_eq!(stale, WriteOutcome::Conflict, "the version is of the bytes, whoever wrote them");
}

/// What is there for other tools to see: objects, one lock file beside a swapped one, one
/// hidden directory.
#[test]
fn listing_shows_the_objects_and_two_hidden_names() {
    let scratch = Scratch::new("listing");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let version = stored(create(&files, "ingest/manifest", "one"));
    stored(create(&files, "ingest/0.batch", "data"));
    stored(swap(&files, "ingest/manifest", "two", &version));
    let listed = |path| {
        let entries = fs::read_dir(scratch.path().join(path)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(listed(""), [".opendata-buffer", "ingest"]);
    assert_eq!(listed(".opendata-buffer"), [""; 0]);
    assert_eq!(listed("ingest"), [".manifest.lock", "0.batch", "manifest"]);
    let ours = |name: &str| name.starts_with('.');
    let client = LocalFileSystem::new_with_prefix(scratch.path()).unwrap();
    let keys: Vec<_> = block_on(client.list(None).map(|found| found.unwrap().location).collect());
    let mut keys: Vec<_> =
        keys.iter().map(Path::as_ref).filter(|key| !key.split('/').any(ours)).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["ingest/0.batch", "ingest/manifest"]);
}

/// Keys are paths as they are: what the existing implementation's client wrote is found, and
/// it finds what was written here.
#[test]
fn object_store_and_this_store_see_the_same_objects() {
    let scratch = Scratch::new("object-store");
    let files = LocalFiles::open(scratch.path()).unwrap();
    let client = LocalFileSystem::new_with_prefix(scratch.path()).unwrap();
    let keys = [
        "ingest/manifest",
        "ingest/01JABCDEFGHJKMNPQRSTVWXYZ0.batch",
        "a~b/c[d]e+f",
        "with space/x y",
        "größe/消息.batch",
        "50%25/%41",
        "hash#tag/q?r",
    ];
    let mut seen = 0;
    for key in keys {
        stored(create(&files, key, key));
        let Ok(path) = Path::parse(key) else {
            println!("object_store cannot name {key:?}");
            continue;
        };
        let got = block_on(async { client.get(&path).await.unwrap().bytes().await }).unwrap();
        assert_eq!(got, key);
        let create_only = PutOptions::from(PutMode::Create);
        let refused = block_on(client.put_opts(&path, "x".into(), create_only));
        assert!(matches!(refused, Err(object_store::Error::AlreadyExists { .. })), "{refused:?}");
        block_on(client.put(&path, "theirs".into())).unwrap();
        let object = found(&files, key);
        assert_eq!(object.bytes, "theirs");
        stored(swap(&files, key, "ours", &object.version));
        let got = block_on(async { client.get(&path).await.unwrap().bytes().await }).unwrap();
        assert_eq!(got, "ours");
        seen += 1;
    }
    println!("{seen} of {} keys exist for object_store", keys.len());
    assert!(seen >= 5);
}
