//! Listings of an `object_store` client.

use buffer_driver::buffer_core::{ListCursor, ListPage, ListedObject, Location, UnixMillis};
use buffer_driver::{ListStream, Listings, StoreFailure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::failure::failure;
use super::parse;

/// The next page of what lies below `prefix`, however deep.
pub(super) async fn page(
    listings: &Listings,
    client: &dyn ObjectStore,
    prefix: &Path,
    after: Option<ListCursor>,
) -> Result<ListPage, StoreFailure> {
    let open = |after: Option<Location>| -> ListStream {
        let found = match after.as_ref().map(parse) {
            None => client.list(Some(prefix)),
            Some(Ok(key)) => client.list_with_offset(Some(prefix), &key),
            Some(Err(failure)) => return stream::iter([Err(failure)]).boxed(),
        };
        found.map_ok(|meta| listed(&meta)).map_err(failure).boxed()
    };
    listings.page(after, open).await
}

fn listed(meta: &ObjectMeta) -> ListedObject {
    ListedObject {
        location: Location::from(meta.location.as_ref()),
        last_modified: Some(UnixMillis(meta.last_modified.timestamp_millis())),
        bytes: Some(meta.size),
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    /// Goal: this client begins right after the key that it is given.
    #[tokio::test]
    async fn a_listing_whose_stream_is_gone_goes_on_from_its_last_key() {
        let client = InMemory::new();
        for number in 0..1500 {
            let path = Path::from(format!("q/{number:05}"));
            client.put(&path, PutPayload::new()).await.expect("it takes everything");
        }
        let prefix = Path::from("q");
        let first = page(&Listings::default(), &client, &prefix, None).await.expect("it lists");
        // Other listings: they know nothing of the stream.
        let rest = page(&Listings::default(), &client, &prefix, first.next).await;
        let rest = rest.expect("it lists");
        assert_eq!((rest.objects.len(), rest.next), (500, None));
        assert_eq!(rest.objects[0].location.as_str(), "q/01000");
    }
}
