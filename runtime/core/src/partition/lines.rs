//! A hash table laid out by lines of memory: a look at a place that nothing has looked at lately is a look at one line, for what is found there
//! and for what is put in (ADR 0030, ADR 0034). Knows nothing of what its entries stand for.

use super::pieces::Pieces;
use crate::line::LINE_BYTES;

/// What a table keeps beside the part of a hash.
pub(super) trait Kept: Copy {
    /// What stands where nothing is.
    const NOTHING: Self;

    fn is_there(&self) -> bool;
}

/// A line of memory. What is in it stands at its beginning. Parts of hashes stand together, so that they are compared together.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line<K, const PLACES: usize> {
    parts: [u32; PLACES],
    kept: [K; PLACES],
}

impl<K: Kept, const PLACES: usize> Line<K, PLACES> {
    const EMPTY: Self = Self { parts: [0; PLACES], kept: [K::NOTHING; PLACES] };

    /// A bit for each place, the first of which is not the lowest: compilers have instructions for so many equal operations.
    const BITS: [u32; PLACES] = {
        assert!(PLACES < u32::BITS as usize && size_of::<Self>() == LINE_BYTES);
        let mut bits = [2; PLACES];
        let mut place = 1;
        while place < PLACES {
            bits[place] = bits[place - 1] << 1;
            place += 1;
        }
        bits
    };

    /// How many are in it; counted, since a way out of a loop would be guessed wrong at every second line.
    fn taken(&self) -> usize {
        self.kept.iter().map(|kept| u32::from(kept.is_there())).sum::<u32>() as usize
    }

    fn is_full(&self) -> bool {
        self.kept[PLACES - 1].is_there()
    }

    /// The first place of this part where what is kept `is` the one. The latter is asked of hardly another.
    fn place(&self, part: u32, is: impl Fn(&K) -> bool) -> Option<usize> {
        let places = self.parts.iter().zip(&Self::BITS).map(|(other, bit)| if *other == part { *bit } else { 0 });
        let mut places = places.fold(0, |places, bit| places | bit) >> 1;
        while places != 0 {
            let place = places.trailing_zeros() as usize;
            if self.kept[place].is_there() && is(&self.kept[place]) {
                return Some(place);
            }
            places &= places - 1;
        }
        None
    }

    fn put(&mut self, part: u32, kept: K) {
        let place = self.taken();
        (self.parts[place], self.kept[place]) = (part, kept);
    }

    /// Puts it in, where there is room.
    fn offer(&mut self, part: u32, kept: K) -> bool {
        let room = !self.is_full();
        if room {
            self.put(part, kept);
        }
        room
    }

    fn take(&mut self, place: usize) -> (u32, K) {
        let last = self.taken() - 1;
        let taken = (self.parts[place], self.kept[place]);
        (self.parts[place], self.kept[place]) = (self.parts[last], self.kept[last]);
        (self.parts[last], self.kept[last]) = (0, K::NOTHING);
        taken
    }
}

/// Lines of an empty table.
const LINES_MIN: usize = 16;

/// Of so many places [`TAKEN_MAX`] are taken on the average, at most: then two lines of five are full, and the next is looked at too.
const TAKEN_OF: usize = 4;
const TAKEN_MAX: usize = 3;

/// See the module. What belongs into a line that is full stands in the next that is not.
#[derive(Debug)]
pub(super) struct Lines<K, const PLACES: usize> {
    lines: Pieces<Line<K, PLACES>>,
    len: usize,
}

impl<K: Kept, const PLACES: usize> Default for Lines<K, PLACES> {
    fn default() -> Self {
        let mut lines = Pieces::default();
        (0..LINES_MIN).for_each(|_| lines.push(Line::EMPTY));
        Self { lines, len: 0 }
    }
}

impl<K: Kept, const PLACES: usize> Lines<K, PLACES> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The line that a part of a hash belongs into: all parts of one line are those between two of them.
    #[allow(clippy::cast_possible_truncation, reason = "it is less than the number of lines")]
    fn home(&self, part: u32) -> usize {
        ((u64::from(part) * self.lines.len() as u64) >> u32::BITS) as usize
    }

    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }

    /// How many lines `to` is behind `from`, which may be across the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.lines.len() - from }
    }

    /// Where what is kept with a part of a hash `is` the one, or the line that it may be put into.
    fn find(&self, part: u32, is: impl Fn(&K) -> bool) -> (usize, Option<usize>) {
        let mut at = self.home(part);
        loop {
            let line = &self.lines[at];
            let place = line.place(part, &is);
            if place.is_some() || !line.is_full() {
                return (at, place);
            }
            at = self.after(at);
        }
    }

    /// The line that something with a part of a hash may be put into.
    fn room(&self, part: u32) -> usize {
        let mut at = self.home(part);
        while self.lines[at].is_full() {
            at = self.after(at);
        }
        at
    }

    /// What is kept with a part of a hash and `is` the one.
    pub(super) fn get(&self, part: u32, is: impl Fn(&K) -> bool) -> Option<K> {
        let (line, place) = self.find(part, is);
        place.map(|place| self.lines[line].kept[place])
    }

    /// All that is kept, each with the part of its hash.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, K)> {
        let lines = self.lines.iter();
        lines.flat_map(|line| line.parts.into_iter().zip(line.kept).filter(|(_, kept)| kept.is_there()))
    }

    /// Asks for the line that a part of a hash belongs into and the one behind it, which is looked at where the first is full: asking for it
    /// costs less than finding out.
    pub(super) fn fetch(&self, part: u32) {
        self.lines.fetch::<2>(self.home(part));
    }

    fn reserve(&mut self) {
        if self.len * TAKEN_OF >= self.lines.len() * PLACES * TAKEN_MAX {
            self.grow();
        }
    }

    /// Keeps what is not there.
    pub(super) fn add(&mut self, part: u32, kept: K) {
        self.reserve();
        let room = self.room(part);
        self.lines[room].put(part, kept);
        self.len += 1;
    }

    /// Keeps something, unless it is there, as `is` says: gives what is.
    pub(super) fn insert(&mut self, part: u32, kept: K, is: impl Fn(&K) -> bool) -> Option<&mut K> {
        self.reserve();
        let (line, place) = self.find(part, is);
        if place.is_none() {
            self.lines[line].put(part, kept);
            self.len += 1;
        }
        place.map(|place| &mut self.lines[line].kept[place])
    }

    /// Forgets what `is` the one, where it is there.
    pub(super) fn remove(&mut self, part: u32, is: impl Fn(&K) -> bool) {
        let (line, Some(place)) = self.find(part, is) else { return };
        let full = self.lines[line].is_full();
        self.lines[line].take(place);
        self.len -= 1;
        if full {
            self.close(line);
        }
    }

    /// Where a line was full and has room now, what had to pass it comes back.
    fn close(&mut self, mut gap: usize) {
        let mut at = self.after(gap);
        loop {
            let line = &self.lines[at];
            let full = line.is_full();
            let passed = |part: &u32| self.distance(self.home(*part), at) >= self.distance(gap, at);
            if let Some(place) = line.parts[..line.taken()].iter().position(passed) {
                let (part, kept) = self.lines[at].take(place);
                self.lines[gap].put(part, kept);
                gap = at;
            }
            if !full {
                return;
            }
            at = self.after(at);
        }
    }

    /// As many new lines behind the others. What a line has is then as far behind as it was in proportion: from the last to the first, it goes where what
    /// was there has gone already.
    fn grow(&mut self) {
        let before = self.lines.len();
        (0..before).for_each(|_| self.lines.push(Line::EMPTY));
        // What passed lines that are still to be gone through, and what would go on at the beginning: a handful.
        let mut others = Vec::new();
        for at in (0..before).rev() {
            let line = std::mem::replace(&mut self.lines[at], Line::EMPTY);
            for (part, kept) in line.parts.into_iter().zip(line.kept).take(line.taken()) {
                let home = self.home(part);
                let mut rooms = home..self.lines.len();
                if home < at || !rooms.any(|room| self.lines[room].offer(part, kept)) {
                    others.push((part, kept));
                }
            }
        }
        for (part, kept) in others {
            let room = self.room(part);
            self.lines[room].put(part, kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The rest of a hash, and what is kept beside it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Value(u32, u64);

    impl Kept for Value {
        const NOTHING: Self = Self(0, 0);

        fn is_there(&self) -> bool {
            self.1 != 0
        }
    }

    type Table = Lines<Value, 3>;

    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Insert,
        Replace,
        Remove,
    }

    /// Hashes that belong into few lines, so that they pass full ones, across the end too.
    fn deeds() -> impl Strategy<Value = Vec<(Deed, (u32, u32), u64)>> {
        let deed = prop_oneof![2 => Just(Deed::Insert), 1 => Just(Deed::Replace), 1 => Just(Deed::Remove)];
        let hash =
            (0..4_u32, 0..6_u32, 0..8_u32).prop_map(|(home, more, rest)| ((home.wrapping_sub(2) << 29) | more, rest));
        vec((deed, hash, 1..4_u64), 0..300)
    }

    fn check(table: &Table, known: &BTreeMap<(u32, u32), u64>) {
        assert_eq!(table.len(), known.len());
        let mut held = 0;
        for (at, line) in table.lines.iter().enumerate() {
            let taken = line.taken();
            held += taken;
            assert!(
                line.kept[taken..].iter().all(|value| *value == Value::NOTHING),
                "what there is stands at the beginning"
            );
            for part in &line.parts[..taken] {
                let home = table.home(*part);
                let passed = (0..table.distance(home, at)).map(|step| (home + step) % table.lines.len());
                assert!(passed.map(|line| table.lines[line]).all(|line| line.is_full()), "it passed full lines alone");
            }
        }
        assert_eq!(held, known.len());
        for (&(part, rest), &value) in known {
            assert_eq!(table.get(part, |other| other.0 == rest), Some(Value(rest, value)));
            assert_eq!(table.get(part, |other| other.0 == rest && other.1 != value), None);
        }
    }

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(deeds in deeds()) {
            let (mut table, mut known) = (Table::default(), BTreeMap::new());
            for (deed, hash, value) in deeds {
                let (part, rest) = hash;
                let kept = Value(rest, value);
                match deed {
                    Deed::Insert => {
                        let there = table.insert(part, kept, |other| other.0 == rest).map(|there| there.1);
                        prop_assert_eq!(there, known.get(&hash).copied());
                        known.entry(hash).or_insert(value);
                    }
                    Deed::Replace => {
                        if let Some(there) = table.insert(part, kept, |other| other.0 == rest) {
                            *there = kept;
                        }
                        known.insert(hash, value);
                    }
                    Deed::Remove => {
                        table.remove(part, |other| *other == kept);
                        if known.get(&hash) == Some(&value) {
                            known.remove(&hash);
                        }
                    }
                }
                check(&table, &known);
            }
        }
    }

    #[test]
    fn it_is_never_fuller_than_it_may_be_and_lets_all_go() {
        let part = |number: u32| number.wrapping_mul(0x9e37_79b9);
        let mut table = Table::default();
        for number in 0..10_000 {
            let mut insert = || table.insert(part(number), Value(number, 7), |other| other.0 == number).copied();
            assert_eq!((insert(), insert()), (None, Some(Value(number, 7))));
            assert!(table.len() * TAKEN_OF <= table.lines.len() * 3 * TAKEN_MAX + TAKEN_OF);
        }
        for number in 0..10_000 {
            table.remove(part(number), |other| other.0 == number);
        }
        assert!(table.len() == 0 && table.lines.iter().all(|line| line.kept == [Value::NOTHING; 3]));
    }
}
