//! Listings, page by page.

use std::time::Duration;

use buffer_core::{ListCursor, ListPage, ListedObject, Location, Object};

use super::objects::Objects;
use super::profile::{ListingOrder, Profile};
use super::verdict::Quirk;
use crate::decisions::Random;

/// Where a page begins, as the store reads its own cursor.
struct Start {
    /// What the order of this listing depends on.
    salt: u8,
    after: Option<Location>,
}

impl Start {
    /// `None` for a cursor that this store did not make.
    fn read(cursor: Option<&ListCursor>, random: &mut Random) -> Option<Self> {
        let Some(ListCursor(text)) = cursor else {
            return Some(Self { salt: random.u8(..), after: None });
        };
        let (salt, after) = text.split_once(':')?;
        let salt = u8::from_str_radix(salt, 16).ok()?;
        Some(Self { salt, after: Some(Location::new(after)) })
    }
}

/// One page as the store has it now, or had it then; `None` if the cursor is not one of its own.
pub(super) fn page(
    objects: &Objects,
    profile: &Profile,
    prefix: &Location,
    cursor: Option<&ListCursor>,
    at: Option<Duration>,
    random: &mut Random,
) -> Option<ListPage> {
    let Start { salt, after } = Start::read(cursor, random)?;
    let size = profile.page_size.max(1);
    let (found, more): (Vec<(&Location, &Object)>, bool) = match profile.listing {
        ListingOrder::Sorted => {
            let mut rest = objects.under(prefix, after.as_ref(), at);
            let found = rest.by_ref().take(size).collect();
            (found, rest.next().is_some())
        }
        ListingOrder::Arbitrary => {
            let mut rest = objects.ranked(prefix, salt, after.as_ref(), at);
            let found = rest.by_ref().take(size).collect();
            (found, rest.next().is_some())
        }
    };
    let next = match found.last() {
        Some((last, _)) if more => Some(ListCursor(format!("{salt:02x}:{last}").into())),
        Some(_) | None => None,
    };
    Some(ListPage { objects: found.into_iter().map(listed).collect(), next })
}

fn listed((location, object): (&Location, &Object)) -> ListedObject {
    let Object { bytes, last_modified, .. } = object;
    let bytes = Some(bytes.len() as u64);
    ListedObject { location: location.clone(), last_modified: *last_modified, bytes }
}

/// Makes a page odd.
pub(super) fn distort(
    page: &mut ListPage,
    quirk: Quirk,
    objects: &Objects,
    prefix: &Location,
    random: &mut Random,
) {
    match quirk {
        Quirk::Twice => {
            let again = page.objects.clone();
            page.objects.extend(again);
        }
        Quirk::Shuffled => random.shuffle(&mut page.objects),
        Quirk::Missing => {
            if !page.objects.is_empty() {
                let missing = random.usize(..page.objects.len());
                page.objects.remove(missing);
            }
        }
        Quirk::Ghost => {
            if let Some((location, object)) = objects.removed_under(prefix, random) {
                page.objects.push(listed((location, object)));
            }
        }
    }
}
