//! Which promise is off after what format version 1 cannot tell.

use super::exemption::Exemption;
use super::invariant::Invariant;
use Invariant::{
    Acks, Agreement, BoundedMemory, BoundedRequests, CorruptionShows, Determinism, DurableAck,
    ExactlyOnce, Fencing, LiveCollection, Liveness, NoLoss, NoPhantom, NoRepeats, Order,
    SafeCollection, Sequences, ThreeOutcomes,
};

impl Exemption {
    /// Whether this invariant may fail to hold in a world in which it happened.
    pub(crate) const fn excuses(self, invariant: Invariant) -> bool {
        match self {
            // What is written on top of a damaged manifest is damaged for good.
            Self::UndetectableFlips => !matches!(invariant, BoundedMemory | Determinism),
            // It is another queue from there on. That it shows, or that it cannot, is the scenarios' to tell.
            Self::Regrown => match invariant {
                DurableAck | NoLoss | ThreeOutcomes | NoRepeats | Sequences | Order | Agreement
                | Fencing | ExactlyOnce | Acks | SafeCollection | LiveCollection => true,
                NoPhantom | Liveness | BoundedMemory | BoundedRequests | CorruptionShows
                | Determinism => false,
            },
            // The oracles know that gap, place by place.
            Self::RestartInCaseFour => false,
            Self::FrozenClocks => matches!(invariant, SafeCollection | DurableAck | NoLoss),
            // Repeats are forgotten by the same gate.
            Self::SmallerGrace => {
                let forgotten = matches!(invariant, NoRepeats | ExactlyOnce);
                forgotten || matches!(invariant, SafeCollection | DurableAck | NoLoss)
            }
            Self::ForeignProducers => matches!(invariant, LiveCollection),
        }
    }
}

impl Invariant {
    /// Whether it holds on a store that ignores conditions: nothing does that rests on a swap.
    pub(crate) const fn needs_no_conditions(self) -> bool {
        matches!(self, BoundedMemory | Determinism)
    }
}
