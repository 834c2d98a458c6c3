//! What kinds of stores there are, as data.

use buffer_core::UnixMillis;

/// How a store makes versions.
///
/// ```
/// use buffer_core::Location;
/// use buffer_sim::{Profile, SimRuntime, SimStore, Versions};
///
/// let comes_again = |versions| {
///     let store = SimStore::new(&SimRuntime::new(1), Profile { versions, ..Profile::S3 });
///     let location = Location::new("queue/manifest");
///     let first = store.put_raw(&location, "one");
///     store.put_raw(&location, "two");
///     store.put_raw(&location, "one") == first
/// };
/// assert!(comes_again(Versions::ContentHash), "nobody can tell that there was anything between");
/// assert!(!comes_again(Versions::UniqueTag));
/// assert!(!comes_again(Versions::Generation));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// ETags that are hashes of the contents: equal bytes are equal versions.
    ContentHash,
    /// ETags that no other write ever gets.
    UniqueTag,
    /// Generations: each write makes one that the object never had.
    Generation,
    /// Generations, and ETags that go with them.
    Both,
}

/// In which order a store lists.
///
/// ```
/// use buffer_core::Location;
/// use buffer_driver::Store;
/// use buffer_sim::{ListingOrder, Profile, SimRuntime, SimStore};
///
/// let listed = |listing| -> Vec<Location> {
///     let runtime = SimRuntime::new(1);
///     let store = SimStore::new(&runtime, Profile { listing, ..Profile::S3 });
///     for number in 0..9 {
///         store.put_raw(&Location::new(format!("queue/{number}.batch")), "entries");
///     }
///     let page = runtime.block_on(store.list(&Location::new("queue"), None));
///     page.expect("nothing is wrong").objects.into_iter().map(|it| it.location).collect()
/// };
/// let (sorted, mut other) = (listed(ListingOrder::Sorted), listed(ListingOrder::Arbitrary));
/// assert!(sorted.is_sorted() && !other.is_sorted());
/// other.sort();
/// assert_eq!(other, sorted, "all of them are there all the same");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingOrder {
    /// By key.
    Sorted,
    /// Any; each listing has one of its own, from the seed.
    Arbitrary,
}

/// How exactly a store says when an object was written.
///
/// ```
/// use std::time::Duration;
/// use buffer_core::Location;
/// use buffer_sim::{ModifiedTimes, Profile, SimRuntime, SimStore};
///
/// let wrong_by = |modified_times| {
///     let runtime = SimRuntime::new(1);
///     let store = SimStore::new(&runtime, Profile { modified_times, ..Profile::S3 });
///     runtime.advance(Duration::from_millis(1_999));
///     let location = Location::new("queue/1.batch");
///     store.put_raw(&location, "entries");
///     let told = store.object(&location)?.last_modified?;
///     Some(store.clock().unix_millis().saturating_since(told))
/// };
/// assert_eq!(wrong_by(ModifiedTimes::Millis), Some(Duration::ZERO));
/// assert_eq!(wrong_by(ModifiedTimes::Seconds), Some(Duration::from_millis(999)));
/// assert_eq!(wrong_by(ModifiedTimes::Never), None, "it says nothing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModifiedTimes {
    /// In whole seconds, cut off.
    Seconds,
    /// In milliseconds.
    Millis,
    /// Not at all.
    Never,
}

/// How a store behaves when nothing is wrong with it.
///
/// ```
/// use buffer_sim::Profile;
///
/// // Pages so short that a few objects fill several.
/// let profile = Profile { page_size: 3, ..Profile::S3_EXPRESS };
/// assert_eq!(profile.name, "s3-express");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it is called.
    pub name: &'static str,
    /// How it makes versions.
    pub versions: Versions,
    /// In which order it lists.
    pub listing: ListingOrder,
    /// How many objects a page of a listing has at the most.
    pub page_size: usize,
    /// How exactly it says when an object was written.
    pub modified_times: ModifiedTimes,
    /// Whether it takes no more than one write a second to one key; what is more is answered "throttled".
    pub one_write_a_second: bool,
    /// Whether it looks at the conditions of writes at all.
    pub honours_conditions: bool,
}

impl Profile {
    /// S3: ETags that are content hashes, times in whole seconds.
    pub const S3: Self = Self {
        name: "s3",
        versions: Versions::ContentHash,
        listing: ListingOrder::Sorted,
        page_size: 1000,
        modified_times: ModifiedTimes::Seconds,
        one_write_a_second: false,
        honours_conditions: true,
    };

    /// S3 Express One Zone: ETags that say nothing of the contents, listings in no order.
    pub const S3_EXPRESS: Self = Self {
        name: "s3-express",
        versions: Versions::UniqueTag,
        listing: ListingOrder::Arbitrary,
        ..Self::S3
    };

    /// Google Cloud Storage: generations, and one write a second to one key.
    pub const GCS: Self = Self {
        name: "gcs",
        versions: Versions::Both,
        modified_times: ModifiedTimes::Millis,
        one_write_a_second: true,
        ..Self::S3
    };

    /// Azure Blob Storage: ETags of single writes, long pages.
    pub const AZURE: Self =
        Self { name: "azure", versions: Versions::UniqueTag, page_size: 5000, ..Self::S3 };

    /// A local directory: ETags that are content hashes, listings in no order, times in milliseconds.
    pub const LOCAL: Self = Self {
        name: "local",
        listing: ListingOrder::Arbitrary,
        modified_times: ModifiedTimes::Millis,
        ..Self::S3
    };

    /// A store that ignores the conditions of writes.
    pub const BROKEN: Self = Self { name: "broken", honours_conditions: false, ..Self::S3 };

    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::S3, Self::S3_EXPRESS, Self::GCS, Self::AZURE, Self::LOCAL, Self::BROKEN];

    /// What the store says of an object that was written now.
    pub(super) const fn modified(self, now: UnixMillis) -> Option<UnixMillis> {
        match self.modified_times {
            ModifiedTimes::Seconds => Some(UnixMillis(now.0.div_euclid(1000) * 1000)),
            ModifiedTimes::Millis => Some(now),
            ModifiedTimes::Never => None,
        }
    }
}
