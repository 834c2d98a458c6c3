//! What format version 1 cannot tell, by name. Nothing else is exempt.

/// Something that happens in a world and that nobody can be blamed for not noticing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Exemption {
    /// Bits of the manifest or of an uncompressed record flip, and the structure stays valid.
    UndetectableFlips,
    /// The manifest is rolled back or deleted, and grows again before anybody looks.
    Regrown,
    /// A consumer restarts in case 4: a batch of which nobody can tell whether it was there is listed again.
    RestartInCaseFour,
    /// Both clocks of a process stand still.
    FrozenClocks,
    /// Producers that follow none of our rules.
    ForeignProducers,
    /// A collector with a smaller grace period than the producers'.
    SmallerGrace,
}
