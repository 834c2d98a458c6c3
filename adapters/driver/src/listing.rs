//! Listings, page by page, over a client that only gives streams.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use buffer_core::{ListCursor, ListPage, ListedObject, Location, StoreErrorKind};
use futures_core::Stream;
use futures_lite::StreamExt;

use crate::store::StoreFailure;

/// How many objects a page has: as many as a client gets in one request.
const PAGE: usize = 1000;

/// How many listings can be under way: one a consumer, and a few that were left.
const MOST: usize = 8;

/// The objects of a listing as a client gives them, one after the other.
///
/// ```
/// use buffer_driver::buffer_core::ListedObject;
/// use buffer_driver::{ListStream, StoreErrorKind, StoreFailure};
/// use futures_lite::{StreamExt, future::block_on, stream};
///
/// // What a client lists, in its own words, as the driver's.
/// let client = stream::iter([Ok(("q/a", 3)), Err("HTTP 503")]);
/// let mut listing: ListStream = Box::pin(client.map(|said| match said {
///     Ok((key, bytes)) => {
///         Ok(ListedObject { location: key.into(), last_modified: None, bytes: Some(bytes) })
///     }
///     Err(error) => Err(StoreFailure::new(StoreErrorKind::Throttled, error)),
/// }));
/// let first = block_on(listing.try_next())?.expect("one is there");
/// assert_eq!((first.location.as_str(), first.bytes), ("q/a", Some(3)));
/// assert!(block_on(listing.try_next()).is_err());
/// # Ok::<(), StoreFailure>(())
/// ```
pub type ListStream = Pin<Box<dyn Stream<Item = Result<ListedObject, StoreFailure>> + Send>>;

/// Makes pages of streams, for a [`Store`](crate::Store) whose client lists by streams.
///
/// The stream itself is kept between two pages, because not every store can go on from a key: one
/// that does not list in order would leave objects out, and some begin anew and skip what
/// was there. Where the stream is gone (it failed, or too many others came), going on from the
/// last key is what is left; what that leaves out, the next listing shows.
///
/// ```
/// use buffer_driver::buffer_core::{ListedObject, Location};
/// use buffer_driver::{ListStream, Listings};
///
/// # futures_lite::future::block_on(async {
/// let client = |after: Option<Location>| -> ListStream {
///     assert_eq!(after, None, "a listing begins at its beginning");
///     let object = ListedObject { location: Location::from("q/a"), last_modified: None, bytes: None };
///     Box::pin(futures_lite::stream::iter([Ok(object)]))
/// };
/// let listings = Listings::default();
/// let page = listings.page(None, client).await.expect("it lists");
/// assert_eq!((page.objects.len(), page.next), (1, None));
/// # });
/// ```
#[derive(Default)]
pub struct Listings {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Oldest first.
    streams: Vec<(u64, ListStream)>,
    next_number: u64,
}

impl fmt::Debug for Listings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listings", self.waiting().streams.len())
    }
}

impl Listings {
    /// The next page. `open` starts a listing: from its beginning, or with what comes after a key.
    ///
    /// # Errors
    ///
    /// What the stream failed with, or [`StoreErrorKind::InvalidLocation`] for
    /// a cursor that was not made here.
    pub async fn page(
        &self,
        after: Option<ListCursor>,
        open: impl FnOnce(Option<Location>) -> ListStream,
    ) -> Result<ListPage, StoreFailure> {
        let mut stream = match &after {
            None => open(None),
            Some(cursor) => {
                let (number, key) = parse(cursor)?;
                let kept = self.take(number);
                kept.unwrap_or_else(|| open(Some(key)))
            }
        };
        let mut objects = Vec::new();
        while objects.len() < PAGE {
            let Some(object) = stream.try_next().await? else {
                return Ok(ListPage { objects, next: None });
            };
            objects.push(object);
        }
        let last = objects.last().expect("the page is full");
        let next = Some(self.keep(stream, &last.location));
        Ok(ListPage { objects, next })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, number: u64) -> Option<ListStream> {
        let mut waiting = self.waiting();
        let place = waiting.streams.iter().position(|(found, _)| *found == number)?;
        Some(waiting.streams.remove(place).1)
    }

    fn keep(&self, stream: ListStream, last: &Location) -> ListCursor {
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

fn parse(cursor: &ListCursor) -> Result<(u64, Location), StoreFailure> {
    let parts = cursor.0.split_once(' ');
    let parsed = parts.and_then(|(number, key)| Some((number.parse().ok()?, Location::from(key))));
    parsed.ok_or_else(|| {
        let kind = StoreErrorKind::InvalidLocation;
        StoreFailure::new(kind, "the cursor is not one of this store's")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_lite::future::block_on;
    use futures_lite::stream;

    use super::*;

    fn object(number: usize) -> ListedObject {
        let location = Location::new(format!("q/{number:05}"));
        ListedObject { location, last_modified: None, bytes: None }
    }

    /// A client with so many objects, listed in order.
    fn filled(count: usize) -> impl Fn(Option<Location>) -> ListStream {
        move |after| {
            let objects = (0..count).map(object);
            let rest = objects.filter(move |object| Some(&object.location) > after.as_ref());
            Box::pin(stream::iter(rest.map(Ok)))
        }
    }

    async fn pages(
        listings: &Listings,
        open: impl Fn(Option<Location>) -> ListStream,
    ) -> Vec<Vec<Location>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = listings.page(after, &open).await.expect("it lists");
            pages.push(page.objects.into_iter().map(|object| object.location).collect());
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn a_listing_goes_on_where_its_page_ended() {
        for (count, expected) in
            [(0, [0].as_slice()), (1, &[1]), (1000, &[1000, 0]), (2500, &[1000, 1000, 500])]
        {
            let listings = Listings::default();
            let pages = block_on(pages(&listings, filled(count)));
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            let keys: BTreeSet<_> = pages.concat().into_iter().collect();
            assert_eq!(keys.len(), count);
            assert!(listings.waiting().streams.is_empty());
        }
    }

    /// Goal: a stream that is in no order is gone through all the same.
    #[test]
    fn a_listing_in_no_order_leaves_nothing_out() {
        let listings = Listings::default();
        let backwards = |after: Option<Location>| -> ListStream {
            assert_eq!(after, None, "the stream was kept");
            Box::pin(stream::iter((0..2500).rev().map(object).map(Ok)))
        };
        let pages = block_on(pages(&listings, backwards));
        assert_eq!(pages.iter().map(Vec::len).sum::<usize>(), 2500);
    }

    #[test]
    fn a_listing_whose_stream_is_gone_goes_on_from_its_last_key() {
        let (listings, open) = (Listings::default(), filled(1500));
        let first = block_on(listings.page(None, &open)).expect("it lists");
        for _ in 0..MOST {
            block_on(listings.page(None, &open)).expect("it lists");
        }
        assert_eq!(
            listings.waiting().streams.len(),
            MOST,
            "those that nobody goes on with are let go"
        );
        let rest = block_on(listings.page(first.next, &open)).expect("it lists");
        assert_eq!((rest.objects.len(), rest.next), (500, None));
        assert_eq!(rest.objects[0].location.as_str(), "q/01000");
        let strange = ListCursor("strange".into());
        block_on(listings.page(Some(strange), &open)).expect_err("it is no cursor");
    }

    #[test]
    fn a_listing_that_fails_says_so_and_is_not_kept() {
        let listings = Listings::default();
        let failing = |_after| -> ListStream {
            let lost = StoreFailure::from(StoreErrorKind::Transient);
            Box::pin(stream::iter([Ok(object(0)), Err(lost)]))
        };
        let failure = block_on(listings.page(None, failing)).expect_err("it fails");
        assert_eq!(failure.kind, StoreErrorKind::Transient);
        assert!(listings.waiting().streams.is_empty());
    }
}
