//! The contract between a machine and its host.

use crate::command::{Command, Completion};
use crate::time::{Instant, Now};

/// A machine that decides on inputs and is drained afterwards.
///
/// ```
/// use buffer_core::format::Codec;
/// use buffer_core::{Command, Machine, Now, Output, Producer, ProducerConfig, Submission};
///
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// let empty = producer.fingerprint();
/// assert_eq!(Producer::new(ProducerConfig::default(), 7)?.fingerprint(), empty);
///
/// let submission = Submission { entries: vec!["an entry".into()], ..Submission::default() };
/// producer.submit(Now::default(), submission)?;
/// assert!(producer.wants_poll(), "there is a deadline to tell");
/// let Output::Idle { deadline: Some(deadline) } = producer.poll() else { unreachable!() };
/// assert!(!producer.wants_poll(), "and now it is told");
///
/// // The host has slept until then.
/// let now = Now { monotonic: deadline, ..Now::default() };
/// producer.handle_timeout(now);
/// while let Output::Command(command) = producer.poll() {
///     if let Command::Encode(encode) = command {
///         producer.handle_completion(now, encode.run(&mut Codec::new()));
///     } // and so on: the manifest is to be read, and then the batch to be written
/// }
/// assert_ne!(producer.fingerprint(), empty);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Machine {
    /// What the machine tells its host.
    type Event;

    /// Takes the result of a command. `now` is read when the result is in hand.
    ///
    /// A completion that answers no command of this machine is ignored.
    fn handle_completion(&mut self, now: Now, completion: Completion);

    /// Tells the time. Harmless when early, and when nothing is due.
    fn handle_timeout(&mut self, now: Now);

    /// Takes the next output. Decides nothing; a drain ends at [`Output::Idle`].
    fn poll(&mut self) -> Output<Self::Event>;

    /// Whether a drain would bring something that the host does not know yet:
    /// an input that leaves this false needs no drain.
    fn wants_poll(&self) -> bool;

    /// A digest of the state in which no time and no random draw takes part: two
    /// machines that will behave alike from here on have the same one.
    fn fingerprint(&self) -> u64;
}

/// One step of a drain.
///
/// ```
/// use buffer_core::{Command, Instant, Machine, Output};
///
/// /// Takes all that a machine has to say, and gives back when it wants to be told the time.
/// fn drain<M: Machine>(machine: &mut M, to_start: &mut Vec<Command>) -> Option<Instant> {
///     loop {
///         match machine.poll() {
///             Output::Command(command) => to_start.push(command),
///             Output::Event(_) => {} // the application learns of it
///             Output::Idle { deadline } => return deadline,
///         }
///     }
/// }
/// # use buffer_core::{Consumer, ConsumerConfig, Now, Resume};
/// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
/// consumer.initialize(Now::default(), Resume::default())?;
/// let mut to_start = Vec::new();
/// assert_eq!(drain(&mut consumer, &mut to_start), None, "it waits for the answer alone");
/// assert!(matches!(to_start[..], [Command::ReadManifest(_)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub enum Output<E> {
    /// Start this, and answer its ticket once.
    Command(Command),
    /// Something that the application may want to know.
    Event(E),
    /// Nothing more for now; call [`Machine::handle_timeout`] at `deadline`, if there is one.
    Idle {
        /// When the machine next has something to do by itself.
        deadline: Option<Instant>,
    },
}
