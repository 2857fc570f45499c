//! What a commit has of a partition's state, in one piece of memory: a thousand keys a second change, and a list of keys and values would be three
//! allocations each.

use std::collections::BTreeMap;

/// Changed keys of a partition's state, in order; no value is a tombstone. Keys and values are the core's own format (`partition::snapshot`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Key and value of each, one behind the other.
    bytes: Vec<u8>,
    ends: Vec<Ends>,
}

/// Where a change ends in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    key: usize,
    value: Option<usize>,
}

impl Changes {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes that it has room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<Ends>()
    }

    /// Takes all out and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds one whose key and value are appended by who knows them; without a value it is a tombstone.
    pub fn add(&mut self, key: impl FnOnce(&mut Vec<u8>), value: Option<impl FnOnce(&mut Vec<u8>)>) {
        key(&mut self.bytes);
        let key = self.bytes.len();
        let value = value.map(|value| {
            value(&mut self.bytes);
            self.bytes.len()
        });
        self.ends.push(Ends { key, value });
    }

    /// Adds one.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.add(
            |bytes| bytes.extend_from_slice(key),
            value.map(|value| |bytes: &mut Vec<u8>| bytes.extend_from_slice(value)),
        );
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.ends.iter().scan(0, |begin, ends| {
            let key = &self.bytes[*begin..ends.key];
            let value = ends.value.map(|end| &self.bytes[ends.key..end]);
            *begin = ends.value.unwrap_or(ends.key);
            Some((key, value))
        })
    }

    /// Keys and values, for who keeps them.
    pub fn pairs(&self) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
        self.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
    }

    /// These and later ones, each key once with what it became last.
    #[must_use]
    pub fn followed_by(&self, later: &Self) -> Self {
        let last: BTreeMap<&[u8], Option<&[u8]>> = self.iter().chain(later.iter()).collect();
        last.into_iter().collect()
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, Option<V>)> for Changes {
    fn from_iter<I: IntoIterator<Item = (K, Option<V>)>>(pairs: I) -> Self {
        let mut changes = Self::default();
        for (key, value) in pairs {
            changes.push(key.as_ref(), value.as_ref().map(AsRef::as_ref));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option::of, prelude::*};

    use super::*;

    type Pairs = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn pairs() -> impl Strategy<Value = Pairs> {
        vec((vec(0..3_u8, 0..3), of(vec(any::<u8>(), 0..4))), 0..8)
    }

    proptest! {
        #[test]
        fn what_was_added_comes_back(pairs in pairs()) {
            let mut changes: Changes = pairs.iter().cloned().collect();
            prop_assert_eq!(changes.pairs().collect::<Pairs>(), pairs.clone());
            prop_assert_eq!((changes.len(), changes.is_empty()), (pairs.len(), pairs.is_empty()));
            let room = changes.room();
            changes.clear();
            prop_assert!(changes.is_empty() && changes.room() == room);
        }

        #[test]
        fn the_last_of_each_key_counts(first in pairs(), later in pairs()) {
            let both: BTreeMap<_, _> = first.iter().chain(&later).cloned().collect();
            let [first, later] = [first, later].map(|pairs| pairs.into_iter().collect::<Changes>());
            prop_assert_eq!(first.followed_by(&later).pairs().collect::<Pairs>(), both.into_iter().collect::<Pairs>());
        }
    }
}
