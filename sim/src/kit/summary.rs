//! What worlds met on their way.

use std::fmt;

/// What happened in the worlds of a check that held, added up: a check that meets nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Worlds.
    pub worlds: u64,
    /// Entries in effect in the databases at the end.
    pub entries: u64,
    /// Lives of your consumer.
    pub lives: u64,
    /// Those that crashed.
    pub crashes: u64,
    /// Those that were paused until another had begun.
    pub pauses: u64,
    /// Paused lives that went on.
    pub resumed: u64,
    /// Those that ended by themselves with an error.
    pub errors: u64,
    /// Requests that had a fault.
    pub faults: u64,
    /// Requests in all.
    pub requests: u64,
}

impl Summary {
    pub(super) fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.entries += other.entries;
        self.lives += other.lives;
        self.crashes += other.crashes;
        self.pauses += other.pauses;
        self.resumed += other.resumed;
        self.errors += other.errors;
        self.faults += other.faults;
        self.requests += other.requests;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worlds, entries, lives, crashes, pauses, resumed: _, errors, faults, requests } =
            self;
        write!(
            f,
            "{worlds} worlds: {entries} entries, each applied once and in order; {lives} lives, of which {crashes} crashed, \
             {pauses} were paused and {errors} ended with an error; {faults} faults in {requests} requests"
        )
    }
}
