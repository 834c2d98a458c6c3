//! How often a fault changed what a process saw.

use std::collections::BTreeMap;

use super::request::Kind;
use super::verdict::Fault;

/// Counts by fault and kind of request.
#[derive(Default)]
pub(super) struct Active {
    counts: BTreeMap<(usize, Kind), u64>,
}

impl Active {
    pub(super) fn count(&mut self, fault: Fault, kind: Kind) {
        *self.counts.entry((fault as usize, kind)).or_default() += 1;
    }

    pub(super) fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let mut named = BTreeMap::new();
        for ((fault, kind), count) in &self.counts {
            *named.entry(Fault::ALL[*fault].name(*kind)).or_default() += count;
        }
        named
    }
}
