//! The policies of the guide allow what each role asks of S3, and nothing that it does not need.
//!
//! Roles run for real, on a store in memory that asks their policy before each request. That is not S3: it takes
//! actions, resources and conditions as AWS documents them, as far as the guide's policies have them.

mod guide_support;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buffer::buffer_core::{
    Condition, ListCursor, ListPage, Location, ReadOutcome, Rope, Version, WriteOutcome,
};
use buffer::{
    Consumer, ConsumerConfig, Depth, InspectError, Inspector, InspectorConfig, MemoryStore,
    Producer, ProducerConfig, Store, StoreClient, StoreErrorKind, StoreFailure, SystemClock,
};
use serde_json::{Map, Value};

const BUCKET: &str = "arn:aws:s3:::BUCKET";
const MANIFEST: &str = "ingest/manifest";

/// What one role may do.
#[derive(Clone, Debug)]
struct Policy {
    statements: Vec<Map<String, Value>>,
}

impl Policy {
    fn of(role: &str) -> Self {
        let blocks = guide_support::blocks(
            &guide_support::chapter("permissions.md"),
            &format!("json policy {role}"),
        );
        assert_eq!(blocks.len(), 1, "{role}");
        let policy: Value = serde_json::from_str(&blocks[0]).expect("it is JSON");
        assert_eq!(policy["Version"], "2012-10-17");
        let statements = policy["Statement"].as_array().expect("there are statements").iter();
        let statements =
            statements.map(|statement| statement.as_object().expect("it is an object").clone());
        Self { statements: statements.collect() }
    }

    /// Each permission alone: the statement, and one of its actions on one of its resources.
    fn permissions(&self) -> Vec<(usize, String, String)> {
        let each = self.statements.iter().enumerate().flat_map(|(index, statement)| {
            let resources = texts(&statement["Resource"]);
            texts(&statement["Action"]).into_iter().flat_map(move |action| {
                let resources = resources.clone().into_iter();
                resources.map(move |resource| (index, action.clone(), resource))
            })
        });
        each.collect()
    }

    /// The same without one permission.
    fn without(&self, (index, action, resource): &(usize, String, String)) -> Self {
        let mut statements = self.statements.clone();
        let changed = statements.remove(*index);
        for (other, on, of) in self.permissions() {
            if other == *index && (&on, &of) != (action, resource) {
                let mut statement = changed.clone();
                statement.insert("Action".to_owned(), on.into());
                statement.insert("Resource".to_owned(), of.into());
                statements.push(statement);
            }
        }
        Self { statements }
    }

    /// Whether a request is allowed: an action on a resource, with what the request carries.
    fn allows(&self, action: &str, resource: &str, carried: &[(&str, &str)]) -> bool {
        self.statements.iter().any(|statement| {
            assert_eq!(statement["Effect"], "Allow");
            texts(&statement["Action"]).iter().any(|it| it == action)
                && texts(&statement["Resource"]).iter().any(|it| matches(it, resource))
                && statement.get("Condition").is_none_or(|condition| holds(condition, carried))
        })
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().flat_map(self::texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            panic!("{value} is no text")
        }
    }
}

/// Whether a text is one that a pattern with stars stands for.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))
        }),
    }
}

fn holds(condition: &Value, carried: &[(&str, &str)]) -> bool {
    let condition = condition.as_object().expect("a condition is an object");
    condition.iter().all(|(operator, keys)| {
        let mut keys = keys.as_object().expect("an operator has keys").iter();
        keys.all(|(key, wanted)| {
            let wanted = wanted.as_str().expect("a key has a value");
            let found = carried.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
            match operator.as_str() {
                "Null" => found.is_none() == (wanted == "true"),
                "StringLike" => found.is_some_and(|found| matches(wanted, found)),
                other => panic!("{other} is not known here"),
            }
        })
    })
}

/// A bucket, as one role sees it.
#[derive(Debug)]
struct Guarded {
    bucket: Arc<MemoryStore>,
    policy: Policy,
    refused: Mutex<Vec<String>>,
}

impl Guarded {
    fn new(bucket: &Arc<MemoryStore>, policy: Policy) -> Arc<Self> {
        Arc::new(Self { bucket: Arc::clone(bucket), policy, refused: Mutex::default() })
    }

    fn ask(&self, action: &str, key: &str, carried: &[(&str, &str)]) -> Result<(), StoreFailure> {
        let resource =
            if key.is_empty() { BUCKET.to_owned() } else { format!("{BUCKET}/QUEUE/{key}") };
        if self.policy.allows(action, &resource, carried) {
            return Ok(());
        }
        self.refused.lock().expect("nobody panics").push(format!("{action} on {resource}"));
        Err(StoreErrorKind::Denied.into())
    }

    fn refused(&self) -> Vec<String> {
        self.refused.lock().expect("nobody panics").clone()
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a guarded bucket")
    }
}

impl StoreClient for Guarded {
    async fn put(
        &self,
        location: Location,
        payload: Rope,
        condition: Condition,
    ) -> Result<WriteOutcome, StoreFailure> {
        match &condition {
            Condition::Absent => {
                self.ask("s3:PutObject", location.as_str(), &[("s3:if-none-match", "*")])?;
            }
            Condition::Version(_) => {
                self.ask("s3:PutObject", location.as_str(), &[("s3:if-match", "\"tag\"")])?;
                self.ask("s3:GetObject", location.as_str(), &[])?;
            }
        }
        self.bucket.write(&location, payload, condition).await
    }

    async fn get(
        &self,
        location: Location,
        unless: Option<Version>,
    ) -> Result<ReadOutcome, StoreFailure> {
        self.ask("s3:GetObject", location.as_str(), &[])?;
        let outcome = self.bucket.read(&location, unless).await?;
        if outcome == ReadOutcome::Missing {
            // 403 in place of 404.
            self.ask("s3:ListBucket", "", &[])?;
        }
        Ok(outcome)
    }

    async fn page(
        &self,
        prefix: Location,
        after: Option<ListCursor>,
    ) -> Result<ListPage, StoreFailure> {
        self.ask("s3:ListBucket", "", &[("s3:prefix", &format!("QUEUE/{prefix}/"))])?;
        self.bucket.list(&prefix, after).await
    }

    async fn remove(&self, locations: Vec<Location>) -> Vec<Result<(), StoreFailure>> {
        let mut results = Vec::new();
        for location in locations {
            results.push(match self.ask("s3:DeleteObject", location.as_str(), &[]) {
                Ok(()) => self.bucket.delete(vec![location]).await.remove(0),
                Err(denied) => Err(denied),
            });
        }
        results
    }
}

fn bucket() -> Arc<MemoryStore> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Arc::new(MemoryStore::new(format!("policies {number}")))
}

fn producer_over(store: Arc<dyn Store>) -> Producer {
    let config =
        ProducerConfig { flush_interval: Duration::from_millis(1), ..ProducerConfig::default() };
    buffer::Producer::with_store(config, store, Arc::new(SystemClock)).expect("it is valid")
}

async fn send(producer: &Producer) -> Result<(), String> {
    let sent = producer.produce(vec!["entry".into()], "".into()).await;
    let handle = sent.map_err(|error| error.to_string())?;
    handle.watcher.await_durable().await.map_err(|error| error.to_string())
}

/// A producer begins a queue, and goes on.
async fn produce(store: Arc<Guarded>) -> Result<(), String> {
    let producer = producer_over(store);
    send(&producer).await?;
    send(&producer).await
}

/// A consumer takes over a queue that does not exist yet, takes what comes, and collects.
async fn consume(store: Arc<Guarded>, gc_enabled: bool) -> Result<(), String> {
    let bucket = Arc::clone(&store.bucket);
    let grace = Duration::from_millis(40);
    let config = ConsumerConfig {
        gc_enabled,
        gc_interval: Duration::from_millis(10),
        gc_grace_period: grace,
        poll_interval: Duration::from_millis(5),
        ..ConsumerConfig::default()
    };
    let watched: Arc<dyn Store> = Arc::<Guarded>::clone(&store);
    let consumer =
        Consumer::with_store(config, watched, Arc::new(SystemClock)).expect("it is valid");
    consumer.initialize(None).await.map_err(|error| error.to_string())?;
    let producer = producer_over(bucket);
    for _ in 0..2 {
        send(&producer).await?;
        let batch = consumer.wait_batch().await.map_err(|error| error.to_string())?;
        consumer.ack(batch.sequence).await.map_err(|error| error.to_string())?;
        consumer.flush().await.map_err(|error| error.to_string())?;
        tokio::time::sleep(grace * 2).await;
    }
    // The manifest has to change for the first batch to go.
    while gc_enabled && consumer.stats().gc_files_deleted == 0 && store.refused().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    consumer.close().await.map_err(|error| error.to_string())
}

fn inspector_over(store: Arc<dyn Store>, grace: Duration) -> Inspector {
    let config = InspectorConfig { gc_grace_period: grace, ..InspectorConfig::default() };
    Inspector::with_store(config, store, Arc::new(SystemClock)).expect("it is valid")
}

/// An inspector is told that there is no queue, and then sees all of one.
async fn inspect(store: Arc<Guarded>) -> Result<(), String> {
    let bucket = Arc::clone(&store.bucket);
    let inspector = inspector_over(store, Duration::from_secs(600));
    match inspector.read().await {
        Err(InspectError::NoQueue { .. }) => {}
        other => return Err(format!("{other:?}")),
    }
    send(&producer_over(bucket)).await?;
    let verified = inspector.verify(Depth::Decodes).await.map_err(|error| error.to_string())?;
    verified.is_sound().then_some(()).ok_or_else(|| format!("{:?}", verified.problems))
}

/// What `gc --delete` does, on a queue with one batch that was dequeued.
async fn collect(store: Arc<Guarded>) -> Result<(), String> {
    let bucket = Arc::clone(&store.bucket);
    let grace = Duration::from_millis(40);
    let producer = producer_over(Arc::<MemoryStore>::clone(&bucket));
    send(&producer).await?;
    let watched: Arc<dyn Store> = bucket;
    let config = ConsumerConfig { gc_enabled: false, ..ConsumerConfig::default() };
    let consumer =
        Consumer::with_store(config, watched, Arc::new(SystemClock)).expect("it is valid");
    consumer.initialize(Some(0)).await.map_err(|error| error.to_string())?;
    consumer.close().await.map_err(|error| error.to_string())?;
    tokio::time::sleep(grace * 2).await;
    send(&producer).await?;

    let inspector = inspector_over(store, grace);
    let mut sweep = inspector.sweep();
    let mut deleted = 0;
    while let Some(page) = sweep.next_page().await.map_err(|error| error.to_string())? {
        for (_, result) in sweep.delete(&page).await {
            result.map_err(|error| error.to_string())?;
            deleted += 1;
        }
    }
    (deleted == 1).then_some(()).ok_or_else(|| format!("{deleted} were deleted"))
}

async fn run(role: &str, policy: Policy) -> (Result<(), String>, Vec<String>) {
    let store = Guarded::new(&bucket(), policy);
    let seen = Arc::clone(&store);
    let course = async {
        match role {
            "producer" => produce(store).await,
            "consumer" => consume(store, true).await,
            "reader" => consume(store, false).await,
            "collector" => collect(store).await,
            "inspector" => inspect(store).await,
            other => panic!("{other} is no role"),
        }
    };
    let result = tokio::time::timeout(Duration::from_secs(60), course).await;
    (result.expect("a role ends"), seen.refused())
}

const ROLES: [&str; 5] = ["producer", "consumer", "reader", "collector", "inspector"];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_works_under_its_policy() {
    for role in ROLES {
        let (result, refused) = run(role, Policy::of(role)).await;
        assert_eq!((result, refused), (Ok(()), Vec::new()), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_role_works_without_any_of_its_permissions() {
    for role in ROLES {
        let policy = Policy::of(role);
        for permission in policy.permissions() {
            let (_, refused) = run(role, policy.without(&permission)).await;
            assert!(!refused.is_empty(), "{role} does not need {permission:?}");
        }
    }
}

/// Goal: a consumer whose collector may not list or delete consumes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_may_not_collect_goes_on() {
    let store = Guarded::new(&bucket(), Policy::of("reader"));
    consume(Arc::clone(&store), true).await.expect("it consumes");
    assert!(store.refused().iter().all(|refused| refused.starts_with("s3:DeleteObject")));
    assert!(!store.refused().is_empty());
}

#[test]
fn policies_allow_nothing_that_harms() {
    let batch = format!("{BUCKET}/QUEUE/ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
    let manifest = format!("{BUCKET}/QUEUE/{MANIFEST}");
    for role in ROLES {
        let policy = Policy::of(role);
        // Batches are created, never replaced, and that by producers alone.
        let creates = policy.allows("s3:PutObject", &batch, &[("s3:if-none-match", "*")]);
        assert_eq!(creates, role == "producer", "{role}");
        assert!(!policy.allows("s3:PutObject", &batch, &[]), "{role}");
        assert!(!policy.allows("s3:PutObject", &batch, &[("s3:if-match", "x")]), "{role}");
        let swaps = policy.allows("s3:PutObject", &manifest, &[("s3:if-match", "x")]);
        assert_eq!(swaps, !matches!(role, "collector" | "inspector"), "{role}");
        let deletes = policy.allows("s3:DeleteObject", &batch, &[]);
        assert_eq!(deletes, matches!(role, "consumer" | "collector"), "{role}");
        assert!(!policy.allows("s3:DeleteObject", &manifest, &[]), "{role}");
        for elsewhere in ["QUEUE/other", "OTHER/ingest/manifest", "QUEUE/ingest/notes.txt"] {
            let elsewhere = format!("{BUCKET}/{elsewhere}");
            for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
                let carried = [("s3:if-none-match", "*")];
                assert!(!policy.allows(action, &elsewhere, &carried), "{role}: {elsewhere}");
            }
        }
    }
}

#[test]
fn stars_stand_for_any_text() {
    assert!(matches("a*c", "abc") && matches("a*c", "ac") && matches("*", "") && matches("a", "a"));
    assert!(!matches("a*c", "abd") && !matches("a", "ab") && !matches("a*b*c", "acb"));
}
