//! Listings, page by page, over a client that only gives streams.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use buffer_driver::StoreFailure;
use buffer_driver::buffer_core::{ListCursor, ListPage, ListedObject, Location, UnixMillis};
use futures_util::stream::{BoxStream, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};

use super::failure::failure;

/// How many objects a page has: as many as a client gets in one request.
const PAGE: usize = 1000;

/// How many listings can be under way: one a consumer, and a few that were left.
const MOST: usize = 8;

/// Listings that have ended a page and not begun the next.
///
/// The stream itself is kept, because not every store can go on from a key: one that does not
/// list in order would leave objects out, and some begin anew and skip what was there. Where
/// the stream is gone (it failed, or too many others came), going on from the last key is
/// what is left; what that leaves out, the next listing shows.
#[derive(Default)]
pub(super) struct Listings {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Oldest first.
    streams: Vec<(u64, BoxStream<'static, Result<ObjectMeta>>)>,
    next_number: u64,
}

impl fmt::Debug for Listings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listings", self.waiting().streams.len())
    }
}

impl Listings {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next page of what lies below `prefix`, however deep.
    pub(super) async fn page(
        &self,
        client: &dyn ObjectStore,
        prefix: &Path,
        after: Option<ListCursor>,
    ) -> std::result::Result<ListPage, StoreFailure> {
        let mut stream = match &after {
            None => client.list(Some(prefix)),
            Some(cursor) => {
                let (number, key) = parse(cursor)?;
                let kept = self.take(number);
                kept.unwrap_or_else(|| client.list_with_offset(Some(prefix), &key))
            }
        };
        let mut objects = Vec::new();
        while objects.len() < PAGE {
            let Some(meta) = stream.try_next().await.map_err(failure)? else {
                return Ok(ListPage { objects, next: None });
            };
            objects.push(listed(&meta));
        }
        let last = objects.last().expect("the page is full");
        let next = Some(self.keep(stream, &last.location));
        Ok(ListPage { objects, next })
    }

    fn take(&self, number: u64) -> Option<BoxStream<'static, Result<ObjectMeta>>> {
        let mut waiting = self.waiting();
        let place = waiting.streams.iter().position(|(found, _)| *found == number)?;
        Some(waiting.streams.remove(place).1)
    }

    fn keep(&self, stream: BoxStream<'static, Result<ObjectMeta>>, last: &Location) -> ListCursor {
        let mut waiting = self.waiting();
        if waiting.streams.len() == MOST {
            drop(waiting.streams.remove(0));
        }
        let number = waiting.next_number;
        waiting.next_number += 1;
        waiting.streams.push((number, stream));
        ListCursor(format!("{number} {last}").into())
    }
}

fn parse(cursor: &ListCursor) -> std::result::Result<(u64, Path), StoreFailure> {
    let parts = cursor.0.split_once(' ');
    let parsed =
        parts.and_then(|(number, key)| Some((number.parse().ok()?, Path::parse(key).ok()?)));
    parsed.ok_or_else(|| {
        let kind = buffer_driver::StoreErrorKind::InvalidLocation;
        StoreFailure::new(kind, "the cursor is not one of this store's")
    })
}

fn listed(meta: &ObjectMeta) -> ListedObject {
    ListedObject {
        location: Location::from(meta.location.as_ref()),
        last_modified: Some(UnixMillis(meta.last_modified.timestamp_millis())),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    async fn filled(count: usize) -> InMemory {
        let client = InMemory::new();
        for number in 0..count {
            let path = Path::from(format!("q/{number:05}"));
            client.put(&path, PutPayload::new()).await.expect("it takes everything");
        }
        client
    }

    async fn pages(listings: &Listings, client: &InMemory) -> Vec<Vec<String>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = listings.page(client, &Path::from("q"), after).await.expect("it lists");
            pages.push(page.objects.iter().map(|object| object.location.to_string()).collect());
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    #[tokio::test]
    async fn a_listing_goes_on_where_its_page_ended() {
        for (count, expected) in
            [(0, [0].as_slice()), (1, &[1]), (1000, &[1000, 0]), (2500, &[1000, 1000, 500])]
        {
            let (listings, client) = (Listings::default(), filled(count).await);
            let pages = pages(&listings, &client).await;
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            let keys: std::collections::BTreeSet<_> = pages.concat().into_iter().collect();
            assert_eq!(keys.len(), count);
            assert!(listings.waiting().streams.is_empty());
        }
    }

    /// Goal: a stream that is in no order is gone through all the same.
    #[tokio::test]
    async fn a_listing_in_no_order_leaves_nothing_out() {
        let (listings, client) = (Listings::default(), filled(2500).await);
        let mut metas: Vec<_> = client.list(None).try_collect().await.expect("it lists");
        metas.reverse();
        let stream = futures_util::stream::iter(metas.into_iter().map(Ok)).boxed();
        let mut after = Some(listings.keep(stream, &Location::from("q/00000")));
        let mut count = 0;
        while after.is_some() {
            let page = listings.page(&client, &Path::from("q"), after).await.expect("it lists");
            count += page.objects.len();
            after = page.next;
        }
        assert_eq!(count, 2500);
    }

    #[tokio::test]
    async fn a_listing_whose_stream_is_gone_goes_on_from_its_last_key() {
        let (listings, client) = (Listings::default(), filled(1500).await);
        let prefix = Path::from("q");
        let first = listings.page(&client, &prefix, None).await.expect("it lists");
        for _ in 0..MOST {
            listings.page(&client, &prefix, None).await.expect("it lists");
        }
        assert_eq!(
            listings.waiting().streams.len(),
            MOST,
            "those that nobody goes on with are let go"
        );
        let rest = listings.page(&client, &prefix, first.next).await.expect("it lists");
        assert_eq!((rest.objects.len(), rest.next), (500, None));
        assert_eq!(rest.objects[0].location.as_str(), "q/01000");
        let strange = ListCursor("strange".into());
        assert!(listings.page(&client, &prefix, Some(strange)).await.is_err());
    }
}
