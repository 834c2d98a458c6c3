//! The contract between a machine and its host.

use crate::command::{Command, Completion};
use crate::time::{Instant, Now};

/// A machine that decides on inputs and is drained afterwards.
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
