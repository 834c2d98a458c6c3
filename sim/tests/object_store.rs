//! The simulated store as a client of `object_store`: it keeps the contract, and its errors mean what they should.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use buffer::ObjectStoreAdapter;
use buffer_driver::contract::{self, Contract};
use buffer_driver::{Runtime, Store, StoreErrorKind};
use buffer_sim::{Latency, ListingOrder, Profile, SimOptions, SimRuntime, SimStore, Verdict};
use bytes::Bytes;
use futures_lite::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A world, and its store 10 ms away.
fn world(profile: Profile) -> (SimRuntime, SimStore) {
    let options = SimOptions { keeps_lines: false, step_budget: u64::MAX, ..SimOptions::default() };
    let runtime = SimRuntime::with_options(1, options);
    let store = SimStore::new(&runtime, profile);
    store.set_keeps_log(false);
    store.set_latency(Latency::fixed(Duration::from_millis(10)));
    (runtime, store)
}

/// Goal: what the adapter makes of this client is what the store does itself.
#[test]
fn a_queue_over_this_client_has_a_store_that_keeps_the_contract() {
    // `object_store` itself goes on with a listing by its last key.
    let sorted = |profile: &Profile| match profile.listing {
        ListingOrder::Sorted => profile.honours_conditions,
        ListingOrder::Arbitrary => false,
    };
    for profile in Profile::ALL.into_iter().filter(sorted) {
        let (runtime, store) = world(profile);
        let adapter = ObjectStoreAdapter::new(Arc::new(store)).expect("it can compare and swap");
        let (adapter, shared) = (Arc::new(adapter), Arc::new(runtime.clone()) as Arc<dyn Runtime>);
        let contract = Contract {
            large_object_bytes: 1 << 20,
            rope_pieces: 1_000,
            listed_objects: 1_200,
            time_limit: 12 * HOUR,
            ..Contract::default()
        };
        let report = runtime.block_on(contract::run(&contract, adapter, shared, "c".into()));
        eprintln!("{}: {report}", profile.name);
        report.expect_all();
        runtime.shutdown();
    }
}

#[test]
fn failures_come_out_of_the_adapter_as_they_went_into_the_client() {
    use StoreErrorKind::{
        Denied, InvalidLocation, NoSuchStore, Refused, Throttled, TimedOut, Transient, Unsupported,
    };
    let (runtime, store) = world(Profile::S3);
    let adapter = ObjectStoreAdapter::new(Arc::new(store.clone())).expect("it can");
    let location = buffer_sim::buffer_core::Location::from("q/manifest");
    store.put_raw(&location, "something");
    for kind in
        [Denied, InvalidLocation, NoSuchStore, Refused, Throttled, TimedOut, Transient, Unsupported]
    {
        let _fails = store.fault(move |_| Verdict::Fail(kind));
        runtime.block_on(async {
            let read = adapter.read(&location, None).await;
            assert_eq!(read.expect_err("it fails").kind, kind);
            let absent = buffer_sim::buffer_core::Condition::Absent;
            let written = adapter.write(&location, vec!["x".into()], absent).await;
            assert_eq!(written.expect_err("it fails").kind, kind);
            let listed = adapter.list(&"q".into(), None).await;
            assert_eq!(listed.expect_err("it fails").kind, kind);
            let deleted = adapter.delete(vec![location.clone()]).await;
            assert_eq!(
                deleted.into_iter().map(|it| it.map_err(|it| it.kind)).collect::<Vec<_>>(),
                [Err(kind)]
            );
        });
    }
}

#[test]
fn writes_meet_their_conditions() {
    for profile in [Profile::S3, Profile::GCS, Profile::AZURE] {
        let (runtime, store) = world(profile);
        runtime.block_on(async {
            let path = Path::from("database/table");
            let put =
                |mode: PutMode, text: &'static str| store.put_opts(&path, text.into(), mode.into());
            let first = put(PutMode::Create, "one").await.expect("there is none");
            // One write a second is what a key of GCS takes.
            runtime.sleep(Duration::from_secs(2)).await;
            let again = put(PutMode::Create, "two").await;
            assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
            let second = put(PutMode::Update(first.clone().into()), "two").await.expect("it is");
            runtime.sleep(Duration::from_secs(2)).await;
            let stale = put(PutMode::Update(first.into()), "three").await;
            assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");
            // Some clients give back only one of the two.
            let e_tag = UpdateVersion { e_tag: second.e_tag, version: None };
            put(PutMode::Update(e_tag), "three").await.expect("it is the latest");
            runtime.sleep(Duration::from_secs(2)).await;
            let nothing = UpdateVersion { e_tag: None, version: None };
            let none = put(PutMode::Update(nothing), "four").await;
            assert!(matches!(none, Err(Error::Precondition { .. })), "{none:?}");
            put(PutMode::Overwrite, "five").await.expect("nobody asks what was there");
            let found = store.get(&path).await.expect("it is there").bytes().await;
            assert_eq!(found.expect("it is here"), "five");
        });
    }
}

#[test]
fn reads_meet_their_conditions_and_ranges() {
    let (runtime, store) = world(Profile::S3);
    runtime.block_on(async {
        let path = Path::from("a");
        let e_tag = store.put(&path, "0123456789".into()).await.expect("it takes it").e_tag;
        let get = |options: GetOptions| store.get_opts(&path, options);
        let same = get(GetOptions::new().with_if_none_match(e_tag.clone())).await;
        assert!(matches!(same, Err(Error::NotModified { .. })), "{same:?}");
        let other = get(GetOptions::new().with_if_match(Some("\"other\""))).await;
        assert!(matches!(other, Err(Error::Precondition { .. })), "{other:?}");
        get(GetOptions::new().with_if_match(e_tag)).await.expect("it is the one");
        let missing = store.get(&Path::from("b")).await;
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
        for (range, text) in [
            (GetRange::Bounded(2..4), "23"),
            (GetRange::Bounded(8..40), "89"),
            (GetRange::Offset(7), "789"),
            (GetRange::Suffix(2), "89"),
        ] {
            let found = get(GetOptions::new().with_range(Some(range))).await.expect("it is there");
            assert_eq!(found.bytes().await.expect("it is here"), text);
        }
        let outside = get(GetOptions::new().with_range(Some(GetRange::Offset(10)))).await;
        assert!(outside.is_err(), "{outside:?}");
        let ranges: [Range<u64>; 2] = [0..1, 9..10];
        let parts = store.get_ranges(&path, &ranges).await.expect("it is there");
        assert_eq!(parts, [Bytes::from("0"), Bytes::from("9")]);
        let meta = store.head(&path).await.expect("it is there");
        let written = 1_704_067_200;
        assert_eq!((meta.size, meta.last_modified.timestamp()), (10, written));
    });
}

#[test]
fn listings_go_over_pages_and_know_directories() {
    let (runtime, store) = world(Profile { page_size: 3, ..Profile::S3 });
    let keys = ["a/1", "a/2", "a/b/3", "a/b/4", "a/c/5", "ab/6", "d"];
    runtime.block_on(async {
        for (size, key) in keys.iter().enumerate() {
            let bytes = Bytes::from(vec![0; size]);
            store.put(&Path::from(*key), bytes.into()).await.expect("it takes it");
        }
        let list = async |prefix: Option<&str>| {
            let prefix = prefix.map(Path::from);
            let found: Vec<_> = ObjectStore::list(&store, prefix.as_ref()).collect().await;
            let found = found.into_iter().map(|it| it.expect("it is listed"));
            found.map(|meta| (meta.location.to_string(), meta.size)).collect::<Vec<_>>()
        };
        let all: Vec<_> = keys.iter().map(|it| it.to_string()).zip(0..).collect();
        assert_eq!(list(None).await, all);
        assert_eq!(list(Some("a")).await, all[..5]);
        assert_eq!(list(Some("nothing")).await, []);
        let from: Vec<_> =
            store.list_with_offset(Some(&Path::from("a")), &Path::from("a/b/3")).collect().await;
        assert_eq!(from.len(), 2);
        let listed = store.list_with_delimiter(Some(&Path::from("a"))).await.expect("it lists");
        let objects: Vec<&str> = listed.objects.iter().map(|it| it.location.as_ref()).collect();
        assert_eq!(objects, ["a/1", "a/2"]);
        assert_eq!(listed.common_prefixes, [Path::from("a/b"), Path::from("a/c")]);
        let root = store.list_with_delimiter(None).await.expect("it lists");
        assert_eq!((root.objects.len(), root.common_prefixes.len()), (1, 2));
    });
    assert!(store.counts().lists > 8, "pages are requests: {:?}", store.counts());
}

#[test]
fn copies_deletions_and_uploads_in_parts_do_what_they_say() {
    let (runtime, store) = world(Profile::S3);
    runtime.block_on(async {
        let (from, to) = (Path::from("from"), Path::from("to"));
        let mut upload = store.put_multipart(&from).await.expect("it begins");
        for part in ["on", "e"] {
            upload.put_part(PutPayload::from(part)).await.expect("it is kept");
        }
        assert!(store.head(&from).await.is_err(), "nothing is there before it is whole");
        upload.complete().await.expect("it is whole");
        let mut given_up = store.put_multipart(&to).await.expect("it begins");
        given_up.put_part("two".into()).await.expect("it is kept");
        given_up.abort().await.expect("it is given up");
        store.copy_if_not_exists(&from, &to).await.expect("there is none");
        let again = store.copy_if_not_exists(&from, &to).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        store.copy(&from, &to).await.expect("it may be written over");
        let copied = store.get(&to).await.expect("it is there").bytes().await;
        assert_eq!(copied.expect("it is here"), "one");

        let before = store.counts().deletes;
        let keys: Vec<Path> = (0..1500).map(|number| Path::from(format!("x/{number}"))).collect();
        let asked = keys.iter().cloned().chain([from, to]).map(Ok);
        let deleted = store.delete_stream(stream::iter(asked.collect::<Vec<_>>()).boxed());
        assert_eq!(deleted.collect::<Vec<_>>().await.len(), 1502);
        assert_eq!(store.counts().deletes, before + 2);
    });
    assert_eq!(store.locations(), []);
}
