//! Looking twice before a manifest is called lost.

use core::time::Duration;

/// How often a reading that contradicts an earlier one is looked at again.
const LOOKS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Counts readings in a row that cannot follow what was known.
///
/// A store may answer one read from the past; only a contradiction that stays is believed.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    looks: u32,
}

impl Suspicion {
    pub(crate) const fn new() -> Self {
        Self { looks: 0 }
    }

    /// How long to wait before looking again, or `None` when it was looked at often enough.
    pub(crate) fn again(&mut self) -> Option<Duration> {
        self.looks += 1;
        (self.looks <= LOOKS).then(|| FIRST_WAIT * (1 << self.looks))
    }

    /// Whether something contradicted, and was looked at again.
    pub(crate) const fn has_looked(&self) -> bool {
        self.looks > 0
    }

    pub(crate) const fn clear(&mut self) {
        self.looks = 0;
    }
}
