//! Commands, and the reply slips that they carry.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use bytes::Bytes;

use crate::format::{self, Codec, Compression, EncodeError, FormatError};
use crate::store::{
    Condition, ListCursor, ListPage, ReadOutcome, Rope, StoreError, Version, WriteOutcome,
};
use crate::types::{BatchId, Location};

/// Names one command of one machine; never used twice.
///
/// ```
/// # use buffer_core::{Command, Consumer, ConsumerConfig, Machine, Now, Output, ReadOutcome, Resume};
/// # let now = Now::default();
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// let first = read.ticket.id();
/// consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// assert!(swap.ticket.id() > first, "they rise, from a start that the seed decides");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(u64);

/// Hands out command ids from a start of its own, so that a completion given to the wrong machine fits none of its commands.
#[derive(Debug)]
pub(crate) struct CommandIds {
    next: u64,
}

impl CommandIds {
    pub(crate) fn starting_at(seed: u64) -> Self {
        Self { next: seed }
    }

    pub(crate) fn ticket<R>(&mut self) -> (CommandId, Ticket<R>) {
        let id = CommandId(self.next);
        self.next = self.next.wrapping_add(1);
        (id, Ticket { id, reply: PhantomData })
    }
}

/// The reply slip of one command: used once, with a result of the one type that fits.
///
/// ```
/// use buffer_core::{Completion, ReadManifest, ReadOutcome, StoreError, Ticket};
///
/// /// Answers for a store that holds nothing yet.
/// fn find_nothing(read: ReadManifest) -> Completion {
///     let ticket: Ticket<Result<ReadOutcome, StoreError>> = read.ticket;
///     println!("{:?}: there is no {}", ticket.id(), read.location);
///     ticket.complete(Ok(ReadOutcome::Missing))
/// }
/// # use buffer_core::{Command, Consumer, ConsumerConfig, Machine, Now, Output, Resume};
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(Now::default(), Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(Now::default(), find_nothing(read));
/// # assert!(matches!(consumer.poll(), Output::Command(Command::CasManifest(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A second answer, and one of another type, do not compile:
///
/// ```compile_fail,E0382
/// fn twice(read: buffer_core::ReadManifest) {
///     let first = read.ticket.complete(Ok(buffer_core::ReadOutcome::Missing));
///     let second = read.ticket.complete(Ok(buffer_core::ReadOutcome::Missing));
/// }
/// ```
///
/// ```compile_fail,E0308
/// fn of_another_type(read: buffer_core::ReadManifest) {
///     read.ticket.complete(Ok(buffer_core::WriteOutcome::Conflict));
/// }
/// ```
#[must_use = "a command whose ticket is dropped is never answered"]
pub struct Ticket<R> {
    id: CommandId,
    reply: PhantomData<fn(R)>,
}

impl<R> Ticket<R> {
    /// The command that this answers; for logs and traces.
    #[must_use]
    pub const fn id(&self) -> CommandId {
        self.id
    }
}

impl<R> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.id.0)
    }
}

/// A result on its way back to the machine that asked.
///
/// ```
/// # use buffer_core::{Command, Consumer, ConsumerConfig, Machine, Now, Output, ReadOutcome, Resume};
/// # let now = Now::default();
/// let mut consumer = Consumer::new(ConsumerConfig::default(), 1)?;
/// let mut other = Consumer::new(ConsumerConfig::default(), 2)?;
/// consumer.initialize(now, Resume::default())?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// let completion = read.ticket.complete(Ok(ReadOutcome::Missing));
/// // Given to the wrong machine it fits nothing. The right one would go on with taking over.
/// other.handle_completion(now, completion);
/// assert!(matches!(other.poll(), Output::Idle { deadline: None }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Completion {
    pub(crate) id: CommandId,
    pub(crate) reply: Reply,
}

/// What a command came to, by kind.
#[derive(Debug)]
pub(crate) enum Reply {
    Write(Result<WriteOutcome, StoreError>),
    Read(Result<ReadOutcome, StoreError>),
    Listed(Result<ListPage, StoreError>),
    Deleted(Vec<Result<(), StoreError>>),
    Encoded(Result<EncodedBatch, EncodeError>),
    Decoded(Result<Vec<Bytes>, FormatError>),
}

macro_rules! tickets {
    ($($result:ty => $variant:ident),* $(,)?) => {$(
        impl Ticket<$result> {
            /// Answers the command.
            pub fn complete(self, result: $result) -> Completion {
                Completion { id: self.id, reply: Reply::$variant(result) }
            }
        }
    )*};
}

tickets! {
    Result<WriteOutcome, StoreError> => Write,
    Result<ReadOutcome, StoreError> => Read,
    Result<ListPage, StoreError> => Listed,
    Vec<Result<(), StoreError>> => Deleted,
    Result<EncodedBatch, EncodeError> => Encoded,
    Result<Vec<Bytes>, FormatError> => Decoded,
}

/// Something for the host to do. Exhaustive: a new command must break every host.
///
/// ```
/// use buffer_core::{Command, StoreOperation};
///
/// /// What a host counts a command as; `None` is work for the processor.
/// fn operation(command: &Command) -> Option<StoreOperation> {
///     Some(match command {
///         Command::PutBatch(_) => StoreOperation::PutBatch,
///         Command::ReadManifest(_) => StoreOperation::ReadManifest,
///         Command::CasManifest(_) => StoreOperation::SwapManifest,
///         Command::ReadBatch(_) => StoreOperation::ReadBatch,
///         Command::ListBatches(_) => StoreOperation::ListBatches,
///         Command::DeleteBatches(_) => StoreOperation::DeleteBatch,
///         Command::Encode(_) | Command::Decode(_) => return None,
///     })
/// }
/// # use buffer_core::{Consumer, ConsumerConfig, Machine, Now, Output, Resume};
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(Now::default(), Resume::default())?;
/// let Output::Command(command) = consumer.poll() else { unreachable!() };
/// assert_eq!(operation(&command), Some(StoreOperation::ReadManifest));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Command {
    /// Write a new batch object.
    PutBatch(PutBatch),
    /// Read the manifest.
    ReadManifest(ReadManifest),
    /// Write the manifest if it is still what it was.
    CasManifest(CasManifest),
    /// Read a batch object.
    ReadBatch(ReadBatch),
    /// List the objects under a prefix, one page at a time.
    ListBatches(ListBatches),
    /// Delete batch objects.
    DeleteBatches(DeleteBatches),
    /// Turn entries into a batch object's bytes.
    Encode(Encode),
    /// Turn a batch object's bytes into entries.
    Decode(Decode),
}

/// Writes an object that must not exist yet. See [`Command::PutBatch`].
///
/// ```
/// # use buffer_core::format::Codec;
/// # use buffer_core::{Command, Machine, Now, Output, Producer, ProducerConfig, Submission};
/// # let now = Now::default();
/// # let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// # let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
/// # use buffer_core::{Version, WriteOutcome};
/// let receipt = producer.submit(now, submission)?;
/// producer.flush(now);
/// let put = loop {
///     match producer.poll() {
///         Output::Command(Command::Encode(encode)) => {
///             producer.handle_completion(now, encode.run(&mut Codec::new()));
///         }
///         Output::Command(Command::PutBatch(put)) => break put,
///         Output::Command(_) | Output::Event(_) => {} // the manifest is read beside it
///         Output::Idle { .. } => unreachable!(),
///     }
/// };
/// assert_eq!(put.batch, receipt.batch);
/// assert!(put.location.as_str().starts_with("ingest/") && !put.payload.is_empty());
/// // The host writes the payload to that key, at most `put.timeout` long, and says what came of it.
/// let completion = put.ticket.complete(Ok(WriteOutcome::Stored(Version::from_e_tag("1"))));
/// producer.handle_completion(now, completion);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PutBatch {
    /// The batch, as [`ProducerEvent::Settled`](crate::ProducerEvent::Settled) names it later.
    pub batch: BatchId,
    /// Its key, never used before.
    pub location: Location,
    /// Its bytes.
    pub payload: Rope,
    /// When to give up waiting, counted from the start; the result is then [`StoreErrorKind::TimedOut`](crate::StoreErrorKind::TimedOut).
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<WriteOutcome, StoreError>>,
}

/// Reads the manifest. See [`Command::ReadManifest`].
///
/// ```
/// # use std::time::Duration;
/// # use buffer_core::{Command, Consumer, ConsumerConfig, Machine, Now, Output, Resume};
/// use buffer_core::{Location, ReadOutcome};
///
/// # let now = Now::default();
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(now, Resume::default())?;
/// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// assert_eq!(read.location, Location::from("ingest/manifest"));
/// assert_eq!(read.unless, None, "it has seen no version yet");
/// assert_eq!(read.timeout, Duration::from_secs(30), "`request_timeout`");
/// // Nobody has used this queue yet.
/// consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadManifest {
    /// Its key.
    pub location: Location,
    /// Answer [`ReadOutcome::NotModified`] if it is still at this version.
    pub unless: Option<Version>,
    /// When to give up waiting.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<ReadOutcome, StoreError>>,
}

/// Writes the manifest on a condition. See [`Command::CasManifest`].
///
/// ```
/// # use buffer_core::{Command, Consumer, ConsumerConfig, Machine, Now, Output, ReadOutcome, Resume};
/// use buffer_core::format::Manifest;
/// use buffer_core::{Condition, Epoch, Version, WriteOutcome};
///
/// # let now = Now::default();
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// // A consumer that found no manifest takes over by making one.
/// let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// assert_eq!(swap.condition, Condition::Absent);
/// let manifest = Manifest::parse(&swap.location, swap.payload.concat().into())?;
/// assert_eq!(manifest.epoch(), Epoch(1));
/// // Or `WriteOutcome::Conflict`, if there is one by now: then it reads again.
/// let completion = swap.ticket.complete(Ok(WriteOutcome::Stored(Version::from_e_tag("1"))));
/// consumer.handle_completion(now, completion);
/// assert_eq!(consumer.epoch(), Some(Epoch(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CasManifest {
    /// Its key.
    pub location: Location,
    /// What it must still be.
    pub condition: Condition,
    /// Its new bytes.
    pub payload: Rope,
    /// When to give up waiting; the outcome is then unknown.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<WriteOutcome, StoreError>>,
}

/// Reads a batch object. See [`Command::ReadBatch`].
///
/// ```
/// # use buffer_core::{format::*, *};
/// # let now = Now::default();
/// # let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// # let listed = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// # let (bytes, version) = (listed.to_rope().concat().into(), Version::from_e_tag("1"));
/// # let found = Object { bytes, version: version.clone(), last_modified: None };
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Found(found))));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Stored(version))));
/// # while let Output::Event(_) = consumer.poll() {}
/// // The consumer has taken over a queue that lists one batch, and somebody asks for it.
/// consumer.next(now, consumer.mark(), true)?;
/// let Output::Command(Command::ReadBatch(read)) = consumer.poll() else { unreachable!() };
/// assert_eq!(read.location, location);
/// assert_eq!(read.timeout, ConsumerConfig::default().request_timeout);
/// // A batch that is listed and not there is doubted: the manifest is read again first.
/// consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Missing)));
/// assert!(matches!(consumer.poll(), Output::Command(Command::ReadManifest(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadBatch {
    /// Its key, as the manifest lists it.
    pub location: Location,
    /// When to give up waiting.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<ReadOutcome, StoreError>>,
}

/// Lists the objects whose keys begin with a prefix and a slash. See [`Command::ListBatches`].
///
/// ```
/// # use buffer_core::{format::*, *};
/// # let mut now = Now { wall: UnixMillis(1_700_000_000_000), ..Now::default() };
/// # let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// # let entry = NewEntry { location: &location, metadata: &[] };
/// # let mut manifest = Manifest::absent().append(&[entry])?.to_rope();
/// # let version = Version::from_e_tag("1");
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(now, Resume::default())?;
/// // A store that holds a manifest, and time that passes: soon the collector begins a cycle.
/// let list = loop {
///     let completion = match consumer.poll() {
///         Output::Command(Command::ReadManifest(read)) => {
///             let (version, last_modified) = (version.clone(), Some(now.wall));
///             let object = Object { bytes: manifest.concat().into(), version, last_modified };
///             read.ticket.complete(Ok(ReadOutcome::Found(object)))
///         }
///         Output::Command(Command::CasManifest(swap)) => {
///             manifest = swap.payload;
///             swap.ticket.complete(Ok(WriteOutcome::Stored(version.clone())))
///         }
///         Output::Command(Command::ListBatches(list)) => break list,
///         Output::Command(_) => unreachable!(),
///         Output::Event(_) => continue,
///         Output::Idle { deadline } => {
///             now.monotonic = deadline.ok_or("it rests between two cycles")?;
///             consumer.handle_timeout(now);
///             continue;
///         }
///     };
///     consumer.handle_completion(now, completion);
/// };
/// assert_eq!((list.prefix, list.after), (Location::from("ingest"), None));
/// assert!(consumer.is_collecting());
/// // Nothing lies there, on this page and on any other: the cycle is over.
/// consumer.handle_completion(now, list.ticket.complete(Ok(ListPage::default())));
/// assert!(!consumer.is_collecting());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ListBatches {
    /// What comes before the slash.
    pub prefix: Location,
    /// Where an earlier page ended; `None` begins.
    pub after: Option<ListCursor>,
    /// When to give up waiting.
    pub timeout: Duration,
    /// The reply slip.
    pub ticket: Ticket<Result<ListPage, StoreError>>,
}

/// Deletes objects. See [`Command::DeleteBatches`].
///
/// ```
/// # use buffer_core::{format::*, *};
/// # let mut now = Now { wall: UnixMillis(1_700_000_000_000), ..Now::default() };
/// # let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// # let entry = NewEntry { location: &location, metadata: &[] };
/// # let mut manifest = Manifest::absent().append(&[entry])?.to_rope();
/// # let version = Version::from_e_tag("1");
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// // The store has a batch from an hour ago that nobody lists.
/// let orphan = Location::from("ingest/01ARZ3NDEKTSV4RRFFQ69G5FAV.batch");
/// let written = UnixMillis(now.wall.0 - 3_600_000);
/// let found = ListedObject { location: orphan.clone(), last_modified: Some(written), bytes: None };
/// # let delete = loop {
/// #     let completion = match consumer.poll() {
/// #         Output::Command(Command::ReadManifest(read)) => {
/// #             let (version, last_modified) = (version.clone(), Some(now.wall));
/// #             let object = Object { bytes: manifest.concat().into(), version, last_modified };
/// #             read.ticket.complete(Ok(ReadOutcome::Found(object)))
/// #         }
/// #         Output::Command(Command::CasManifest(swap)) => {
/// #             manifest = swap.payload;
/// #             swap.ticket.complete(Ok(WriteOutcome::Stored(version.clone())))
/// #         }
/// #         Output::Command(Command::ListBatches(list)) => {
/// #             list.ticket.complete(Ok(ListPage { objects: vec![found.clone()], next: None }))
/// #         }
/// #         Output::Command(Command::DeleteBatches(delete)) => break delete,
/// #         Output::Command(_) => unreachable!(),
/// #         Output::Event(_) => continue,
/// #         Output::Idle { deadline } => {
/// #             now.monotonic = deadline.ok_or("it rests between two cycles")?;
/// #             consumer.handle_timeout(now);
/// #             continue;
/// #         }
/// #     };
/// #     consumer.handle_completion(now, completion);
/// # };
/// // The collector lists what there is, reads the manifest once more, and asks:
/// assert_eq!(delete.locations, [orphan]);
/// // One answer for each key.
/// consumer.handle_completion(now, delete.ticket.complete(vec![Ok(())]));
/// assert_eq!(consumer.stats().gc_files_deleted, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DeleteBatches {
    /// Their keys.
    pub locations: Vec<Location>,
    /// When to give up waiting; what was not answered by then is unknown.
    pub timeout: Duration,
    /// The reply slip: one result for each key, in their order. Deleting what is gone is a success.
    pub ticket: Ticket<Vec<Result<(), StoreError>>>,
}

/// A batch object's bytes, ready to be written.
///
/// ```
/// use buffer_core::format::{Compression, encode_batch};
/// use buffer_core::{EncodedBatch, rope_len};
///
/// let payload = encode_batch(["an entry".into()].iter(), Compression::None)?;
/// let batch = EncodedBatch { payload };
/// assert!(rope_len(&batch.payload) > "an entry".len(), "its length and a footer come on top");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBatch {
    /// The bytes, in pieces.
    pub payload: Rope,
}

/// CPU work: builds a batch object. See [`Command::Encode`].
///
/// ```
/// # use buffer_core::format::Codec;
/// # use buffer_core::{Command, Machine, Now, Output, Producer, ProducerConfig, Submission};
/// # let now = Now::default();
/// # let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// # let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
/// let receipt = producer.submit(now, submission)?;
/// producer.flush(now);
/// let Output::Command(Command::Encode(encode)) = producer.poll() else { unreachable!() };
/// assert_eq!(encode.batch(), receipt.batch);
/// assert!(!encode.is_compressed() && encode.input_bytes() < 1024, "no work for another thread");
/// let completion = encode.run(&mut Codec::new());
/// producer.handle_completion(now, completion);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Encode {
    pub(crate) batch: BatchId,
    pub(crate) submissions: Vec<Vec<Bytes>>,
    pub(crate) compression: Compression,
    pub(crate) bytes: usize,
    pub(crate) ticket: Ticket<Result<EncodedBatch, EncodeError>>,
}

impl Encode {
    /// The batch, as [`ProducerEvent::Settled`](crate::ProducerEvent::Settled) names it later.
    #[must_use]
    pub const fn batch(&self) -> BatchId {
        self.batch
    }

    /// How many bytes go in: whether to run this where it stands or off the loop.
    #[must_use]
    pub const fn input_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the bytes are also to be compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compression != Compression::None
    }

    /// Does the work, with any codec: see [`Codec`].
    pub fn run(self, codec: &mut Codec) -> Completion {
        let result = codec.encode_submissions(self.submissions, self.compression);
        self.ticket.complete(result.map(|payload| EncodedBatch { payload }))
    }
}

/// CPU work: opens a batch object. See [`Command::Decode`].
///
/// ```
/// # use buffer_core::{format::*, *};
/// use buffer_core::format::{Codec, Compression, encode_batch};
///
/// # let now = Now::default();
/// # let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// # let listed = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
/// # let (bytes, version) = (listed.to_rope().concat().into(), Version::from_e_tag("1"));
/// # let found = Object { bytes, version: version.clone(), last_modified: None };
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// # consumer.initialize(now, Resume::default())?;
/// # let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Found(found))));
/// # let Output::Command(Command::CasManifest(swap)) = consumer.poll() else { unreachable!() };
/// # consumer.handle_completion(now, swap.ticket.complete(Ok(WriteOutcome::Stored(version))));
/// # while let Output::Event(_) = consumer.poll() {}
/// consumer.next(now, consumer.mark(), true)?;
/// let Output::Command(Command::ReadBatch(read)) = consumer.poll() else { unreachable!() };
/// let bytes = encode_batch(["an entry".into()].iter(), Compression::None)?.concat().into();
/// let object = Object { bytes, version: Version::from_e_tag("7"), last_modified: None };
/// consumer.handle_completion(now, read.ticket.complete(Ok(ReadOutcome::Found(object))));
/// // What was read is to be opened before it is handed out.
/// let Output::Command(Command::Decode(decode)) = consumer.poll() else { unreachable!() };
/// assert!(!decode.is_compressed() && decode.input_bytes() < 1024, "no work for another thread");
/// consumer.handle_completion(now, decode.run(&mut Codec::new()));
/// let Next::Ready(batch) = consumer.next(now, consumer.mark(), true)? else { unreachable!() };
/// assert_eq!(batch.entries, ["an entry"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Decode {
    pub(crate) location: Location,
    pub(crate) bytes: Bytes,
    pub(crate) limit: usize,
    pub(crate) ticket: Ticket<Result<Vec<Bytes>, FormatError>>,
}

impl Decode {
    /// How many bytes go in: whether to run this where it stands or off the loop.
    #[must_use]
    pub fn input_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the bytes say that they are compressed, and so will be more.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        format::is_compressed(&self.bytes)
    }

    /// Does the work, with any codec: see [`Codec`].
    pub fn run(self, codec: &mut Codec) -> Completion {
        let result = codec.decode_batch(&self.location, &self.bytes, self.limit);
        self.ticket.complete(result)
    }
}
