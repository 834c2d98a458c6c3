//! The works that are timed and counted, each under a name and at three sizes.

use buffer_core::format::{Compression, Manifest, Metadata, NewEntry, decode_batch, encode_batch};
use buffer_core::{
    Instant, Location, Now, Producer, ProducerConfig, Rope, Sequence, Submission, UnixMillis,
};
use bytes::Bytes;

/// How many entries there are: of a batch, or in the backlog.
const SIZES: [usize; 3] = [10, 1_000, 100_000];

/// The length of one entry of a batch.
const ENTRY_LEN: usize = 256;
/// The length of an entry that is submitted alone.
const LONE_ENTRY_LEN: usize = 100;
/// How many entries a call hands over, if not one.
const ENTRIES_A_CALL: usize = 100;

/// How many batches a consumer dequeues at once; the default of `dequeue_acks`.
const DEQUEUED: usize = 100;
/// How many pieces a manifest has at most. A backlog of so many is joined by the next append.
const PIECES: usize = 64;
/// What a batch takes in the manifest: a key of 39 bytes, and one metadata item without a payload.
const LISTED_LEN: usize = 18 + 39 + 16;
const FOOTER_LEN: usize = 22;

/// One work at one size.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// What is done.
    pub(crate) kind: &'static str,
    /// With how many entries.
    pub(crate) entries: usize,
    /// How many bytes it is about: those of all entries, or those of the manifest.
    pub(crate) bytes: usize,
    /// Whether it goes through them, or is meant to take as long however many there are.
    pub(crate) is_bulk: bool,
}

impl Work {
    fn on_batch(kind: &'static str, entries: usize, entry_len: usize) -> Self {
        Self { kind, entries, bytes: entries * entry_len, is_bulk: true }
    }

    fn on_manifest(kind: &'static str, entries: usize, is_bulk: bool) -> Self {
        Self { kind, entries, bytes: entries * LISTED_LEN + FOOTER_LEN, is_bulk }
    }
}

/// What is done with a work: it is timed, counted, or named.
pub(crate) trait Visitor {
    /// `prepare` is done at most once, `input` before each `run`, and `run` alone is measured.
    /// What `run` gives back is dropped outside.
    fn visit<S, I, O>(
        &mut self,
        work: &Work,
        prepare: impl FnOnce() -> S,
        input: impl Fn(&S) -> I,
        run: impl Fn(&mut I) -> O,
    );
}

/// Shows all works to a visitor.
pub(crate) fn visit_all(visitor: &mut impl Visitor) {
    for entries in SIZES {
        visit_submit(visitor, entries);
    }
    for entries in SIZES {
        visit_batch(visitor, entries, ["encode_none", "decode_none"], Compression::None);
        visit_batch(visitor, entries, ["encode_zstd", "decode_zstd"], Compression::Zstd);
    }
    for entries in SIZES {
        visit_append(visitor, entries);
        visit_dequeue(visitor, entries);
        visit_parse(visitor, entries);
    }
}

/// All entries go into one open batch: what sealing starts is measured by the works on batches and manifests.
fn visit_submit(visitor: &mut impl Visitor, entries: usize) {
    for (kind, entry_len, a_call) in
        [("submit_100", ENTRY_LEN, ENTRIES_A_CALL), ("submit_1", LONE_ENTRY_LEN, 1)]
    {
        visitor.visit(
            &Work::on_batch(kind, entries, entry_len),
            || submissions(entries, entry_len, a_call),
            |submissions| (producer(entries), submissions.clone()),
            |(producer, submissions)| {
                for submission in submissions.drain(..) {
                    producer.submit(now(), submission).expect("there is room");
                }
            },
        );
    }
}

fn visit_batch(
    visitor: &mut impl Visitor,
    entries: usize,
    [encode, decode]: [&'static str; 2],
    compression: Compression,
) {
    visitor.visit(
        &Work::on_batch(encode, entries, ENTRY_LEN),
        || records(entries, ENTRY_LEN),
        Vec::clone,
        |records| encode_batch(records.iter(), compression).expect("it fits the format"),
    );
    visitor.visit(
        &Work::on_batch(decode, entries, ENTRY_LEN),
        || {
            let rope = encode_batch(records(entries, ENTRY_LEN).iter(), compression);
            Bytes::from(rope.expect("it fits the format").concat())
        },
        Bytes::clone,
        |object| decode_batch(&object_key(), object, usize::MAX).expect("it was just encoded"),
    );
}

/// One batch is listed behind a backlog, and the new object's bytes are asked for.
fn visit_append(visitor: &mut impl Visitor, entries: usize) {
    let append = |(manifest, location, metadata): &mut (Manifest, Location, [Metadata; 1])| {
        let entry = NewEntry { location, metadata };
        let appended = manifest.append(&[entry]).expect("it fits the format");
        let rope = appended.to_rope();
        (appended, rope)
    };
    let input = |manifest: &Manifest| (manifest.clone(), key_of(entries), metadata());
    let prepare = || as_read(&backlog(entries, 1));
    visitor.visit(&Work::on_manifest("append", entries, false), prepare, input, append);

    // The worst case: as many pieces as there may be, of one size, so that all of them are joined.
    if entries > PIECES {
        let prepare = || backlog(entries, PIECES);
        visitor.visit(&Work::on_manifest("append_joining", entries, true), prepare, input, append);
    }
}

/// Batches leave at the front, and the new object's bytes are asked for.
fn visit_dequeue(visitor: &mut impl Visitor, entries: usize) {
    for (kind, dequeued) in [("dequeue", DEQUEUED.min(entries / 2)), ("dequeue_half", entries / 2)]
    {
        visitor.visit(
            &Work::on_manifest(kind, entries, kind == "dequeue_half"),
            || as_read(&backlog(entries, 1)),
            Manifest::clone,
            |manifest| {
                let shortened = manifest.without_before(Sequence(dequeued as u64));
                let rope: Rope = shortened.to_rope();
                (shortened, rope)
            },
        );
    }
}

/// What a reading of the manifest takes that is not the store's: taking it in, and holding it against the one before.
fn visit_parse(visitor: &mut impl Visitor, entries: usize) {
    visitor.visit(
        &Work::on_manifest("parse", entries, true),
        || object_of(&backlog(entries, 1)),
        Bytes::clone,
        |object| Manifest::parse(&object_key(), object.clone()).expect("it was just written"),
    );
    visitor.visit(
        &Work::on_manifest("parse_after", entries, true),
        || (as_read(&backlog(entries - 1, 1)), object_of(&backlog(entries, 1))),
        |(before, object)| (before.clone(), object.clone()),
        |(before, object)| {
            Manifest::parse_after(&object_key(), object.clone(), before).expect("it is sound")
        },
    );
    visitor.visit(
        &Work::on_manifest("follow", entries, true),
        || (as_read(&backlog(entries, 1)), as_read(&backlog(entries, 1))),
        |(before, now)| (before.clone(), now.clone()),
        |(before, now)| now.check_follows(before).expect("they are the same"),
    );
}

fn now() -> Now {
    Now { monotonic: Instant::default(), wall: UnixMillis(1_700_000_000_000) }
}

fn producer(max_buffered_inputs: usize) -> Producer {
    let config = ProducerConfig {
        // Nothing is sealed: the last submission does not reach this.
        max_buffered_inputs: max_buffered_inputs + 1,
        ..ProducerConfig::default()
    };
    Producer::new(config, 42).expect("it can work")
}

fn submissions(entries: usize, entry_len: usize, a_call: usize) -> Vec<Submission> {
    let records = records(entries, entry_len);
    let entries = records.chunks(a_call).map(<[Bytes]>::to_vec);
    entries.map(|entries| Submission { entries, metadata: Bytes::new() }).collect()
}

/// Lines of a log, so that there is something to compress, and not everything.
fn records(count: usize, len: usize) -> Vec<Bytes> {
    const WORDS: [&str; 16] = [
        "GET",
        "POST",
        "/api/v1/orders",
        "/api/v1/users",
        "status=200",
        "status=404",
        "status=500",
        "region=eu-central",
        "region=us-east",
        "cache=hit",
        "cache=miss",
        "retry=false",
        "tenant=alpha",
        "tenant=beta",
        "user-agent=curl",
        "duration_us=",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let record = |_| {
        let mut line = String::with_capacity(len + 32);
        while line.len() < len {
            line.push_str(WORDS[random.usize(..WORDS.len())]);
            line.push(' ');
            if random.u8(..4) == 0 {
                line.push_str(&random.u32(..).to_string());
                line.push(' ');
            }
        }
        line.truncate(len);
        Bytes::from(line)
    };
    (0..count).map(record).collect()
}

fn object_key() -> Location {
    Location::from("ingest/manifest")
}

/// A key of the length that batches' keys have under the default prefix.
fn key_of(number: usize) -> Location {
    Location::from(format!("ingest/{number:026}.batch"))
}

fn metadata() -> [Metadata; 1] {
    [Metadata { start_index: 0, ingestion_time_ms: 1_700_000_000_000, payload: Bytes::new() }]
}

/// A manifest that was made by so many appends of about one length.
fn backlog(entries: usize, appends: usize) -> Manifest {
    let keys: Vec<Location> = (0..entries).map(key_of).collect();
    let metadata = metadata();
    let listed: Vec<NewEntry<'_>> =
        keys.iter().map(|location| NewEntry { location, metadata: &metadata }).collect();
    let bound = |append: usize| entries * append / appends;
    let manifest = (0..appends).fold(Manifest::absent(), |manifest, append| {
        let listed = &listed[bound(append)..bound(append + 1)];
        manifest.append(listed).expect("it fits the format")
    });
    assert_eq!(manifest.encoded_len(), entries * LISTED_LEN + FOOTER_LEN, "rows speak of bytes");
    manifest
}

fn object_of(manifest: &Manifest) -> Bytes {
    manifest.to_rope().concat().into()
}

/// In one piece, as it comes from the store.
fn as_read(manifest: &Manifest) -> Manifest {
    Manifest::parse(&object_key(), object_of(manifest)).expect("it was just written")
}
