//! The work of producers and consumers as spans.
//!
//! Every test here follows spans, and no test that does not may be in this file: `tracing` asks once for
//! each place in the code whether anybody follows it, and may ask the thread that comes there first.

mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use buffer_core::StoreErrorKind;
use buffer_driver::CompressionType;
use buffer_driver::metrics::queue_name;
use buffer_sim::scenarios::queue::{consumer_on, one_by_one, produce, secs};
use buffer_sim::{Kind, Verdict};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use watched::{World, give_up_in, reading_config, writing_config};

/// One span: what it was about, and what was said within it.
#[derive(Clone, Debug, Default)]
struct Span {
    name: &'static str,
    /// The name of the span that it is in.
    parent: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
    events: Vec<String>,
    /// How many handles hold it; none once it is closed.
    handles: u32,
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<Span>,
    entered: Vec<Id>,
}

/// Keeps all spans of this thread.
#[derive(Clone, Debug, Default)]
struct Followed(Arc<Mutex<State>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

fn place(id: &Id) -> usize {
    id.into_u64() as usize - 1
}

impl Subscriber for Followed {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("buffer_driver")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut state = self.0.lock().expect("nobody panics");
        let around = if attributes.is_contextual() { state.entered.last() } else { None };
        let parent = attributes.parent().or(around).map(|id| state.spans[place(id)].name);
        let name = attributes.metadata().name();
        let mut span = Span { name, parent, handles: 1, ..Span::default() };
        attributes.record(&mut Fields(&mut span.fields));
        state.spans.push(span);
        Id::from_u64(state.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Fields(
            &mut self.0.lock().expect("nobody panics").spans[place(span)].fields,
        ));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let mut state = self.0.lock().expect("nobody panics");
        if let Some(within) = state.entered.last().map(place) {
            state.spans[within].events.push(fields.remove("message").unwrap_or_default());
        }
    }

    fn enter(&self, span: &Id) {
        self.0.lock().expect("nobody panics").entered.push(span.clone());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.0.lock().expect("nobody panics").entered.pop().as_ref(), Some(span));
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.0.lock().expect("nobody panics").spans[place(span)].handles += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let handles = &mut self.0.lock().expect("nobody panics").spans[place(&span)].handles;
        *handles -= 1;
        *handles == 0
    }
}

/// All spans that something was done in, once it is over.
fn follow(run: impl FnOnce()) -> Vec<Span> {
    let followed = Followed::default();
    tracing::subscriber::with_default(followed.clone(), run);
    let state = followed.0.lock().expect("nobody panics");
    assert!(state.entered.is_empty(), "{:?}", state.entered);
    state.spans.clone()
}

/// A batch is uploaded at the second try, listed, fetched, acknowledged and dequeued, the next one is fetched by hand,
/// and the collector deletes what it can.
fn go_through_all(world: &World) {
    let mut failed = false;
    let _rule = world.store.fault(move |request| match request.kind() {
        Kind::Put if !std::mem::replace(&mut failed, true) => {
            Verdict::Fail(StoreErrorKind::Transient)
        }
        Kind::Put
        | Kind::Swap
        | Kind::ReadManifest
        | Kind::ReadBatch
        | Kind::List
        | Kind::Delete => Verdict::Pass,
    });
    let producer = world.producer(&one_by_one());
    let process = world.runtime.process("consumer");
    let consumer = consumer_on(Arc::new(world.reading.clone()), &process, &reading_config());
    world.runtime.block_on(async {
        produce(&producer, "a").await;
        producer.flush().await.expect("it is tried again");
        consumer.initialize(None).await.expect("all is well");
        let batch = consumer.next_batch().await.expect("all is well").expect("it is listed");
        consumer.ack(batch.sequence).await.expect("it was just handed out");
        produce(&producer, "b").await;
        producer.flush().await.expect("all is well");
        let found = consumer.next_descriptors(1).await.expect("all is well");
        let descriptor = found.into_iter().next().expect("it is listed");
        let batch = consumer.fetch_handle().fetch(descriptor).await.expect("it is there");
        consumer.ack_through(batch.sequence).await.expect("it was handed out");
        consumer.flush().await.expect("all is well");
        world.runtime.sleep(secs(200)).await;
        produce(&producer, "c").await;
        producer.close().await.expect("all is well");
        world.runtime.sleep(secs(100)).await;
        assert!(consumer.stats().gc_files_deleted > 0, "{:?}", consumer.stats());
        consumer.close().await.expect("all is well");
    });
    drop((producer, consumer));
    world.runtime.shutdown();
}

/// Goal: whoever follows spans sees every piece of work, in its place, and what it is about.
#[test]
fn the_way_of_a_batch_can_be_followed() {
    let (mut queue, mut swaps) = (None, 0);
    let spans = follow(|| {
        let world = World::new(1);
        queue = Some(queue_name(&world.reading, "ingest/manifest"));
        go_through_all(&world);
        swaps = world.writing.seen.lock().expect("nobody panics").swaps as usize;
    });
    let named = |name| spans.iter().filter(move |span| span.name == name);
    let places: BTreeSet<_> = spans.iter().map(|span| (span.name, span.parent)).collect();
    let expected = [
        ("ack", None),
        ("collect", None),
        ("commit", None),
        ("decode", None),
        ("delete", Some("collect")),
        ("dequeue", None),
        ("encode", Some("flush")),
        ("fetch", None),
        ("flush", None),
        ("list", Some("collect")),
        ("read_manifest", None),
        ("submit", None),
        ("take_over", None),
        ("upload", Some("flush")),
    ];
    assert_eq!(places, expected.into());
    for span in &spans {
        assert_eq!(span.handles, 0, "it is over: {span:?}");
        if span.parent.is_none() {
            assert_eq!(span.fields.get("queue").map(String::as_str), queue.as_deref(), "{span:?}");
        }
    }

    let field = |name, field| {
        let values = named(name).map(move |span| span.fields[field].as_str());
        values.collect::<Vec<_>>()
    };
    assert_eq!(field("submit", "entries"), ["1"; 3]);
    assert_eq!(field("flush", "batch"), ["0", "1", "2"]);
    assert_eq!(field("flush", "outcome"), ["durable"; 3]);
    assert_eq!(field("ack", "sequence"), ["0", "1"]);
    // Those that met a conflict have one as well.
    assert_eq!(named("commit").count(), swaps);
    assert!(swaps >= 3, "{swaps}");
    // What failed is said where it was done; the second try has a name of its own.
    let uploads = field("upload", "location");
    assert_eq!((uploads.len(), uploads.iter().collect::<BTreeSet<_>>().len()), (4, 4));
    let told: Vec<_> = named("upload").map(|span| span.events.len()).collect();
    assert_eq!(told, [1, 0, 0, 0]);
    assert!(named("upload").next().is_some_and(|span| span.events[0] == "request failed"));
    assert_eq!(field("fetch", "location")[..2], uploads[1..3]);
}

/// Goal: a flush says that it came to nothing, and as what.
#[test]
fn a_flush_tells_what_it_came_to() {
    let spans = follow(|| {
        let world = World::new(1);
        let config = writing_config(CompressionType::None);
        let error = give_up_in(&world, &config, Verdict::DropRequest);
        assert!(error.is_unknown(), "{error}");
        world.runtime.shutdown();
    });
    let mut flushes = spans.iter().filter(|span| span.name == "flush");
    assert_eq!(flushes.next().map(|span| span.fields["outcome"].as_str()), Some("unknown"));
    assert_eq!(flushes.count(), 0);
}
