//! Where a hash finds the number of a thing that stands elsewhere: a slot, a terminal. Eight of them are a line of memory.

use super::lines::{Kept, Lines};

/// The part of a hash that is kept beside a number: another hash that has it too is one of some billions.
#[allow(clippy::cast_possible_truncation, reason = "what is cut off is not wanted")]
fn part(hash: u64) -> u32 {
    (hash >> u32::BITS) as u32
}

/// One more than a number; 0 where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number(u32);

impl Number {
    fn of(number: u32) -> Self {
        Self(number + 1)
    }

    fn get(self) -> u32 {
        self.0 - 1
    }
}

impl Kept for Number {
    const NOTHING: Self = Self(0);

    fn is_there(&self) -> bool {
        self.0 != 0
    }
}

/// As many as fit into a line.
const PLACES: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index(Lines<Number, PLACES>);

impl Index {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Asks for what a hash is looked for in.
    pub(super) fn fetch(&self, hash: u64) {
        self.0.fetch(part(hash));
    }

    /// The number of this hash that is the one.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.get(part(hash), |number| is(number.get())).map(Number::get)
    }

    /// The number that is probably the one, without a look at what it stands for.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Puts a number in that is not there.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        self.0.add(part(hash), Number::of(number));
    }

    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        self.0.remove(part(hash), |other| *other == Number::of(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_hash_are_told_apart_and_taken_out_alone() {
        let mut index = Index::default();
        // Their upper halves are the same.
        let hash = |number: u32| (7 << 32) | u64::from(number);
        (0..20).for_each(|number| index.insert(hash(number), number));
        index.insert(u64::MAX, 20);
        for number in 0..20 {
            assert_eq!(index.find(hash(number), |other| other == number), Some(number));
        }
        assert_eq!(index.guess(hash(19)), Some(0));
        (0..19).for_each(|number| index.remove(hash(number), number));
        assert_eq!((index.len(), index.guess(0), index.guess(hash(0))), (2, None, Some(19)));
        assert_eq!(index.find(u64::MAX, |number| number == 20), Some(20));
    }
}
