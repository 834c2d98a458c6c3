//! What a manifest does beside being bytes: appends, dequeues, agreement, limits.

mod common;

use buffer_core::format::{Disagreement, EncodeError, Manifest, Metadata, NewEntry};
use buffer_core::{Epoch, Location, Sequence};
use bytes::Bytes;
use common::{joined, metadata, object};

fn appended(manifest: &Manifest, keys: &[&str]) -> Manifest {
    let keys: Vec<Location> = keys.iter().map(|key| Location::from(*key)).collect();
    let entries: Vec<NewEntry<'_>> =
        keys.iter().map(|location| NewEntry { location, metadata: &[] }).collect();
    manifest.append(&entries).expect("they fit")
}

fn keys(manifest: &Manifest) -> Vec<String> {
    manifest.entries().map(|entry| entry.location.to_string()).collect()
}

/// As another process sees it.
fn reread(manifest: &Manifest) -> Manifest {
    Manifest::parse(&object(), joined(&manifest.to_rope())).expect("it is valid")
}

#[test]
fn an_append_shares_what_is_there() {
    let before = reread(&appended(&Manifest::absent(), &["a", "b"]));
    let after = appended(&before, &["c"]);
    assert_eq!(after.to_rope()[0].as_ptr(), before.to_rope()[0].as_ptr(), "it was copied");
    assert_eq!(keys(&after), ["a", "b", "c"]);
    assert_eq!(keys(&before), ["a", "b"]);
}

#[test]
fn an_append_of_nothing_changes_nothing() {
    let manifest = appended(&Manifest::absent(), &["a"]);
    assert_eq!(manifest.append(&[]).expect("it fits"), manifest);
}

#[test]
fn pieces_stay_few_however_many_appends_there_are() {
    let mut manifest = Manifest::absent();
    let mut expected = Vec::new();
    for n in 0..1000 {
        let key = format!("batch {n}");
        manifest = appended(&manifest, &[&key]);
        expected.push(key);
        assert!(manifest.to_rope().len() <= 66, "{} pieces", manifest.to_rope().len());
    }
    assert_eq!(keys(&manifest), expected);
    assert_eq!(reread(&manifest), manifest);
    let late: Vec<String> =
        manifest.locations_from(Sequence(990)).map(|(_, key)| key.to_string()).collect();
    assert_eq!(late, expected[990..]);
}

#[test]
fn a_backlog_is_not_copied_for_a_few_appends() {
    let backlog: Vec<String> = (0..1000).map(|n| format!("batch {n}")).collect();
    let backlog: Vec<&str> = backlog.iter().map(String::as_str).collect();
    let start = reread(&appended(&Manifest::absent(), &backlog));
    let mut manifest = start.clone();
    for _ in 0..200 {
        manifest = appended(&manifest, &["b"]);
    }
    assert_eq!(manifest.to_rope()[0].as_ptr(), start.to_rope()[0].as_ptr(), "it was copied");
    assert_eq!(manifest.len(), 1200);
    assert_eq!(reread(&manifest), manifest);
}

#[test]
fn entries_from_outside_are_all_or_none() {
    let manifest = appended(&Manifest::absent(), &["a", "b", "c"]).without_before(Sequence(1));
    assert_eq!(manifest.entries_from(Sequence(0)).count(), 2);
    assert_eq!(manifest.entries_from(Sequence(3)).count(), 0);
    assert_eq!(manifest.locations_from(Sequence(u64::MAX)).count(), 0);
    assert_eq!(Manifest::absent().entries_from(Sequence(0)).count(), 0);
}

#[test]
fn a_dequeue_stops_at_both_ends() {
    let manifest = appended(&Manifest::absent(), &["a", "b", "c"]).without_before(Sequence(1));
    assert_eq!(manifest.without_before(Sequence(0)), manifest);
    let emptied = manifest.without_before(Sequence(100));
    assert!(emptied.is_empty());
    assert_eq!(emptied.first_sequence(), Sequence(3));
    assert_eq!(emptied.next_sequence(), Sequence(3));
    assert_eq!(keys(&appended(&emptied, &["d"])), ["d"]);
}

#[test]
fn what_follows_a_manifest_agrees_with_it() {
    let start = appended(&Manifest::absent(), &["a", "b", "c"]);
    let successors = [
        start.clone(),
        reread(&start),
        appended(&start, &["d"]),
        reread(&appended(&start, &["d", "e"])),
        start.with_epoch(Epoch(1)),
        start.without_before(Sequence(2)),
        reread(&appended(&start, &["d"]).without_before(Sequence(2)).with_epoch(Epoch(9))),
        appended(&start, &["d"]).without_before(Sequence(4)),
    ];
    for later in successors {
        assert_eq!(later.check_follows(&start), Ok(()));
        assert_eq!(later.check_follows(&Manifest::absent()), Ok(()));
    }
}

#[test]
fn what_went_back_is_named() {
    let start = appended(&Manifest::absent(), &["a", "b", "c"]).with_epoch(Epoch(3));
    let later = appended(&start, &["d"]).without_before(Sequence(1)).with_epoch(Epoch(4));

    let error = start.check_follows(&later).expect_err("it went back");
    let expected = Disagreement::SequenceWentBack { before: Sequence(4), now: Sequence(3) };
    assert_eq!(error, expected);

    let returned = appended(&start, &["d"]).with_epoch(Epoch(4));
    let error = returned.check_follows(&later).expect_err("a dequeued entry is back");
    assert_eq!(error, Disagreement::FirstWentBack { before: Sequence(1), now: Sequence(0) });

    let error = later.with_epoch(Epoch(3)).check_follows(&later).expect_err("it went back");
    assert_eq!(error, Disagreement::EpochWentBack { before: Epoch(4), now: Epoch(3) });

    let recreated = Manifest::absent();
    let error = recreated.check_follows(&start).expect_err("it was recreated");
    let expected = Disagreement::SequenceWentBack { before: Sequence(3), now: Sequence(0) };
    assert_eq!(error, expected);
}

#[test]
fn another_batch_under_a_known_sequence_is_named() {
    let ours = appended(&Manifest::absent(), &["a", "b", "c"]);
    // Someone else's "b" and "c", and a queue that went on.
    let theirs = appended(&Manifest::absent(), &["a", "B", "C", "d"]);
    let expected = Err(Disagreement::EntryChanged { sequence: Sequence(1) });
    assert_eq!(theirs.check_follows(&ours), expected);
    let dequeued = theirs.without_before(Sequence(2));
    let expected = Err(Disagreement::EntryChanged { sequence: Sequence(2) });
    assert_eq!(dequeued.check_follows(&ours), expected);
    assert_eq!(theirs.without_before(Sequence(3)).check_follows(&ours), Ok(()));
}

#[test]
fn a_location_longer_than_its_length_field_is_refused() {
    let fits = Location::from("l".repeat(65_535));
    let manifest = Manifest::absent();
    let longest = manifest.append(&[NewEntry { location: &fits, metadata: &[] }]).expect("it fits");
    assert_eq!(reread(&longest), longest);
    let location = Location::from("l".repeat(65_536));
    let error = manifest.append(&[NewEntry { location: &location, metadata: &[] }]);
    assert_eq!(error, Err(EncodeError::LocationTooLong { len: 65_536 }));
}

#[test]
fn an_entry_longer_than_its_length_field_is_refused() {
    // One payload of a mebibyte, 4096 times: 4 GiB without taking them.
    let payload = Bytes::from(vec![0; 1 << 20]);
    let item = Metadata { start_index: 0, ingestion_time_ms: 0, payload };
    let items = vec![item; 4096];
    let location = Location::from("l");
    let entry = NewEntry { location: &location, metadata: &items };
    let len = 8 + 2 + 1 + 4 + 4096 * (16 + (1 << 20));
    assert_eq!(entry.encoded_len(), 4 + len);
    assert_eq!(Manifest::absent().append(&[entry]), Err(EncodeError::EntryTooLong { len }));
}

#[test]
fn metadata_out_of_order_is_refused() {
    let items = [metadata(4, 0, "a"), metadata(4, 0, "b"), metadata(3, 0, "c")];
    let location = Location::from("l");
    let entry = |metadata| NewEntry { location: &location, metadata };
    let manifest = Manifest::absent();
    // All or nothing: the first entry is sound.
    let error = manifest.append(&[entry(&items[..2]), entry(&items)]);
    assert_eq!(error, Err(EncodeError::StartIndexDecreases { previous: 4, found: 3 }));
}

#[test]
fn sequences_do_not_come_round() {
    let mut bytes = joined(&Manifest::absent().to_rope()).to_vec();
    bytes[4..12].copy_from_slice(&(u64::MAX - 1).to_le_bytes());
    let manifest = Manifest::parse(&object(), bytes.into()).expect("it is valid");
    let last = appended(&manifest, &["a"]);
    assert_eq!(reread(&last), last);
    assert_eq!(last.first_sequence(), Sequence(u64::MAX - 1));
    let location = Location::from("b");
    let error = last.append(&[NewEntry { location: &location, metadata: &[] }]);
    assert_eq!(error, Err(EncodeError::SequencesExhausted { last: Sequence(u64::MAX) }));
}

#[cfg(target_pointer_width = "64")]
mod enormous {
    use super::*;
    use buffer_core::format::{Compression, encode_batch};

    #[test]
    #[ignore = "takes 4 GiB of address space"]
    fn a_record_longer_than_its_length_field_is_refused() {
        let records = [Bytes::from("a"), Bytes::from(vec![0; 1 << 32])];
        let error = encode_batch(records.iter(), Compression::None);
        assert_eq!(error, Err(EncodeError::RecordTooLong { index: 1, len: 1 << 32 }));
    }

    #[test]
    #[ignore = "takes seconds, and minutes without optimisation"]
    fn more_records_than_their_count_field_are_refused() {
        let record = Bytes::new();
        let records = std::iter::repeat_n(&record, 1 << 32);
        let error = encode_batch(records, Compression::None);
        assert_eq!(error, Err(EncodeError::TooManyRecords));
    }
}
