//! What a machine knows of the manifest.

use crate::format::Manifest;
use crate::store::{Condition, Version};

/// A reading of the manifest that a swap can be built on.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) manifest: Manifest,
    /// `None`: there is no manifest object yet.
    pub(crate) version: Option<Version>,
}

impl Known {
    pub(crate) fn absent() -> Self {
        Self { manifest: Manifest::absent(), version: None }
    }

    /// Whether both are the same state of the manifest.
    ///
    /// The version alone would say so on a store whose writes and reads name one
    /// state alike. Where they do not, the numbers tell: one of them rises with every write.
    pub(crate) fn is_same_state(&self, other: &Self) -> bool {
        let numbers = |known: &Self| {
            let manifest = &known.manifest;
            (manifest.first_sequence(), manifest.next_sequence(), manifest.epoch())
        };
        let both_there = self.version.is_some() && other.version.is_some();
        self.version == other.version || (both_there && numbers(self) == numbers(other))
    }

    pub(crate) fn condition(&self) -> Condition {
        match &self.version {
            Some(version) => Condition::Version(version.clone()),
            None => Condition::Absent,
        }
    }
}
