//! Things that come and go, each under a key that is never used twice.

/// Names one thing of one slab: its place, and how often that place was given away before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The key as one number.
    pub(crate) const fn token(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    pub(crate) const fn of_token(token: u64) -> Self {
        Self { index: (token & 0xffff_ffff) as u32, generation: (token >> 32) as u32 }
    }
}

struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// Places in a row; those that are free are used again, the latest first.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.value = Some(value);
            return Key { index, generation: place.generation };
        }
        let index = u32::try_from(self.places.len()).expect("fewer than four billion at one time");
        self.places.push(Place { generation: 0, value: Some(value) });
        Key { index, generation: 0 }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation == key.generation { place.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All that are there, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let index = u32::try_from(index).expect("fewer than four billion at one time");
            place.value.as_ref().map(|value| (Key { index, generation: place.generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_used_twice() {
        let mut slab = Slab::new();
        let first = slab.insert("a");
        let other = slab.insert("b");
        assert_eq!(slab.remove(first), Some("a"));
        let again = slab.insert("c");
        assert_ne!(first, again);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(Key::of_token(again.token())), Some(&mut "c"));
        let all: Vec<_> = slab.iter().collect();
        assert_eq!(all, [(again, &"c"), (other, &"b")]);
        assert_eq!(slab.len(), 2);
    }
}
