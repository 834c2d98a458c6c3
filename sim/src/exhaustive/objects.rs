//! The store: a manifest, batches, and what requests do to them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use buffer_core::format::{Codec, Manifest};
use buffer_core::{
    Condition, ListCursor, ListPage, ListedObject, Location, Object, ReadOutcome, Rope, Sequence,
    UnixMillis, Version, WriteOutcome,
};
use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Which batch of which producer it is.
pub(super) type Content = u8;

#[derive(Default)]
pub(super) struct Objects {
    manifest: Option<(Bytes, UnixMillis)>,
    batches: BTreeMap<Location, (Bytes, UnixMillis)>,
    contents: HashMap<Location, Content>,
    /// What each version of the manifest is, by no name and no time.
    digests: HashMap<Version, u64>,
}

pub(super) fn manifest_location() -> Location {
    Location::from("ingest/manifest")
}

impl Objects {
    pub(super) fn manifest(&self) -> Manifest {
        self.manifest.as_ref().map_or_else(Manifest::absent, |(bytes, _)| {
            Manifest::parse(&manifest_location(), bytes.clone()).expect("machines write manifests")
        })
    }

    /// The contents from `first` on, as the manifest lists them.
    pub(super) fn listed(&self, manifest: &Manifest) -> Vec<(Sequence, Location, Content)> {
        let all = manifest.locations_from(manifest.first_sequence());
        all.map(|(sequence, location)| {
            let location = Location::from(location.as_str());
            let content = self.content(&location);
            (sequence, location, content)
        })
        .collect()
    }

    pub(super) fn has(&self, location: &Location) -> bool {
        self.batches.contains_key(location)
    }

    pub(super) fn put(
        &mut self,
        codec: &mut Codec,
        location: &Location,
        payload: &Rope,
        now: UnixMillis,
    ) -> WriteOutcome {
        if self.batches.contains_key(location) {
            return WriteOutcome::Conflict;
        }
        let bytes = Bytes::from(payload.concat());
        let entries = codec.decode_batch(location, &bytes, 1 << 20);
        let first = entries.ok().and_then(|entries| entries.first()?.first().copied());
        // What is no batch has no content of its own; whoever lists it is found out by who reads it.
        self.contents.insert(location.clone(), first.unwrap_or(Content::MAX));
        self.batches.insert(location.clone(), (bytes, now));
        WriteOutcome::Stored(Version::from_e_tag("batch"))
    }

    pub(super) fn swap(
        &mut self,
        condition: &Condition,
        payload: &Rope,
        now: UnixMillis,
    ) -> WriteOutcome {
        let version = self.manifest.as_ref().map(|(bytes, _)| version_of(bytes));
        let holds = match condition {
            Condition::Absent => version.is_none(),
            Condition::Version(expected) => version.as_ref() == Some(expected),
        };
        if !holds {
            return WriteOutcome::Conflict;
        }
        let bytes = Bytes::from(payload.concat());
        let version = version_of(&bytes);
        self.manifest = Some((bytes, now));
        let digest = self.digest_of(&self.manifest());
        self.digests.insert(version.clone(), digest);
        WriteOutcome::Stored(version)
    }

    pub(super) fn read_manifest(&self, unless: Option<&Version>) -> ReadOutcome {
        let Some((bytes, written)) = &self.manifest else { return ReadOutcome::Missing };
        let version = version_of(bytes);
        if unless == Some(&version) {
            return ReadOutcome::NotModified;
        }
        ReadOutcome::Found(Object { bytes: bytes.clone(), version, last_modified: Some(*written) })
    }

    pub(super) fn read_batch(&self, location: &Location) -> ReadOutcome {
        let Some((bytes, written)) = self.batches.get(location) else {
            return ReadOutcome::Missing;
        };
        let version = Version::from_e_tag("batch");
        ReadOutcome::Found(Object { bytes: bytes.clone(), version, last_modified: Some(*written) })
    }

    /// All in one page.
    pub(super) fn list(&self, after: Option<&ListCursor>) -> ListPage {
        let rest = self
            .batches
            .iter()
            .filter(|(location, _)| after.is_none_or(|after| location.as_str() > &*after.0));
        let objects = rest.map(|(location, (_, written))| ListedObject {
            location: location.clone(),
            last_modified: Some(*written),
            bytes: None,
        });
        ListPage { objects: objects.collect(), next: None }
    }

    pub(super) fn delete(&mut self, location: &Location) {
        self.batches.remove(location);
    }

    /// What there is, by no name and no time.
    pub(super) fn fingerprint(&self, hasher: &mut Xxh3) {
        self.digest_of(&self.manifest()).hash(hasher);
        let mut there: Vec<Content> = self.batches.keys().map(|it| self.contents[it]).collect();
        there.sort_unstable();
        there.hash(hasher);
    }

    /// What a swap would do, by no name and no time.
    pub(super) fn digest_of_swap(&self, condition: &Condition, payload: &Rope) -> u64 {
        let base = match condition {
            Condition::Absent => 0,
            Condition::Version(version) => self.digests.get(version).copied().unwrap_or(1),
        };
        let parsed = Manifest::parse(&manifest_location(), payload.concat().into());
        let result = parsed.map_or(2, |manifest| self.digest_of(&manifest));
        let mut hasher = Xxh3::new();
        (base, result).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn digest_of_version(&self, version: Option<&Version>) -> u64 {
        version.map_or(0, |version| self.digests.get(version).copied().unwrap_or(1))
    }

    pub(super) fn content(&self, location: &Location) -> Content {
        self.contents.get(location).copied().unwrap_or(Content::MAX)
    }

    fn digest_of(&self, manifest: &Manifest) -> u64 {
        let mut hasher = Xxh3::new();
        (manifest.first_sequence().0, manifest.epoch().0).hash(&mut hasher);
        for (_, location) in manifest.locations_from(manifest.first_sequence()) {
            let location = Location::from(location.as_str());
            (self.content(&location), self.has(&location)).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn version_of(bytes: &Bytes) -> Version {
    Version::from_e_tag(format!("{:x}", xxh3_64(bytes)))
}
