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

    pub(crate) fn condition(&self) -> Condition {
        match &self.version {
            Some(version) => Condition::Version(version.clone()),
            None => Condition::Absent,
        }
    }
}
