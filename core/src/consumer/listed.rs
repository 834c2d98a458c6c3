//! Which keys a manifest lists, in eight bytes each.

use alloc::vec::Vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::format::Manifest;

/// The listed keys as digests, for many questions about one manifest.
///
/// Two keys that share a digest are taken for one another, so that a key may be
/// called listed that is not; never the other way round. All who ask keep what is listed.
#[derive(Debug)]
pub(crate) struct Listed {
    /// In order.
    digests: Vec<u64>,
}

impl Listed {
    pub(crate) fn in_manifest(manifest: &Manifest) -> Self {
        let mut digests: Vec<u64> = manifest.keys().map(digest).collect();
        digests.sort_unstable();
        Self { digests }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.digests.binary_search(&digest(key)).is_ok()
    }
}

fn digest(key: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}
