//! The set of hashes that [`super::dedup`] keeps, laid out by lines of memory.
//!
//! It is the largest of a partition's tables, and at each event one place of it is looked at that nothing has looked at lately: here that is one
//! line, for the look and for what is put in. A general table asks for a second one, and stores into it are waited for (ADR 0030).
//! Owns no time and no order; which buckets there are is `dedup`'s.

use crate::line::fetch;

/// A hash that is remembered, and its bucket, in 16 bytes: 96 bits of the hash, which are as good against chance among the millions of a window, and
/// the bucket's number as far as the window makes it known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    low: u64,
    high: u32,
    /// Not 0 but where nothing is.
    bucket: u32,
}

impl Seen {
    const NOTHING: Self = Self { low: 0, high: 0, bucket: 0 };

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is cut off is not wanted")]
    pub(super) fn new(hash: u128, bucket: i64) -> Self {
        let bucket = bucket.rem_euclid(i64::from(u32::MAX)) as u32 + 1;
        Self { low: hash as u64, high: (hash >> u64::BITS) as u32, bucket }
    }

    fn is_there(&self) -> bool {
        self.bucket != 0
    }

    /// Whether it is the same hash, whatever the bucket.
    fn is(&self, other: &Self) -> bool {
        self.is_there() && (self.low, self.high) == (other.low, other.high)
    }
}

/// As many as fit into a line.
const PLACES: usize = 4;

/// A line of memory. What is in it stands at its beginning.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([Seen; PLACES]);

impl Line {
    const EMPTY: Self = Self([Seen::NOTHING; PLACES]);

    /// How many are in it; counted, since a way out of a loop would be guessed wrong at every second line.
    fn taken(&self) -> usize {
        self.0.iter().map(|seen| usize::from(seen.is_there())).sum()
    }

    fn is_full(&self) -> bool {
        self.0[PLACES - 1].is_there()
    }

    fn place(&self, seen: &Seen) -> Option<usize> {
        let same = self.0.iter().rev().fold(0_u8, |places, other| places << 1 | u8::from(other.is(seen)));
        (same != 0).then(|| same.trailing_zeros() as usize)
    }

    fn put(&mut self, seen: Seen) {
        self.0[self.taken()] = seen;
    }

    fn take(&mut self, place: usize) -> Seen {
        let last = self.taken() - 1;
        self.0.swap(place, last);
        std::mem::replace(&mut self.0[last], Seen::NOTHING)
    }
}

/// Lines of an empty set.
const LINES_MIN: usize = 16;

/// Of [`PLACES`] so many are taken on the average, at most: then two lines of five are full, and the next is looked at too.
const TAKEN_MAX: usize = 3;

/// See the module. What belongs into a line that is full stands in the next that is not.
#[derive(Debug)]
pub(super) struct SeenSet {
    lines: Vec<Line>,
    len: usize,
}

impl Default for SeenSet {
    fn default() -> Self {
        Self { lines: vec![Line::EMPTY; LINES_MIN], len: 0 }
    }
}

impl SeenSet {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The line that a hash belongs into.
    #[allow(clippy::cast_possible_truncation, reason = "it is less than the number of lines")]
    fn home(&self, seen: &Seen) -> usize {
        ((u128::from(seen.low) * self.lines.len() as u128) >> u64::BITS) as usize
    }

    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }

    /// How many lines `to` is behind `from`, which may be across the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.lines.len() - from }
    }

    /// Where a hash is, whatever its bucket, or the line that it may be put into.
    fn find(&self, seen: &Seen) -> (usize, Option<usize>) {
        let mut at = self.home(seen);
        loop {
            let line = &self.lines[at];
            let place = line.place(seen);
            if place.is_some() || !line.is_full() {
                return (at, place);
            }
            at = self.after(at);
        }
    }

    /// Fetches the line that a hash belongs into and the one behind it, which is looked at where the first is full: asking for it costs less
    /// than finding out.
    pub(super) fn fetch(&self, seen: &Seen) {
        let home = self.home(seen);
        fetch(&self.lines, home);
        fetch(&self.lines, self.after(home));
    }

    /// Puts a hash in, unless it is there: gives the one that is.
    pub(super) fn insert(&mut self, seen: Seen) -> Option<&mut Seen> {
        if self.len >= self.lines.len() * TAKEN_MAX {
            self.grow();
        }
        let (line, place) = self.find(&seen);
        if place.is_none() {
            self.lines[line].put(seen);
            self.len += 1;
        }
        place.map(|place| &mut self.lines[line].0[place])
    }

    /// Forgets a hash, if it has this bucket.
    pub(super) fn remove(&mut self, seen: Seen) {
        let (line, Some(place)) = self.find(&seen) else { return };
        if self.lines[line].0[place] == seen {
            let full = self.lines[line].is_full();
            self.lines[line].take(place);
            self.len -= 1;
            if full {
                self.close(line);
            }
        }
    }

    /// Where a line was full and has room now, what had to pass it comes back.
    fn close(&mut self, mut gap: usize) {
        let mut at = self.after(gap);
        loop {
            let full = self.lines[at].is_full();
            let passed =
                |other: &Seen| other.is_there() && self.distance(self.home(other), at) >= self.distance(gap, at);
            if let Some(place) = self.lines[at].0.iter().position(passed) {
                let seen = self.lines[at].take(place);
                self.lines[gap].put(seen);
                gap = at;
            }
            if !full {
                return;
            }
            at = self.after(at);
        }
    }

    fn grow(&mut self) {
        let lines = self.lines.len() + self.lines.len() / 2;
        let old = std::mem::replace(&mut self.lines, vec![Line::EMPTY; lines]);
        for seen in old.iter().flat_map(|line| line.0).filter(Seen::is_there) {
            let mut line = self.home(&seen);
            while self.lines[line].is_full() {
                line = self.after(line);
            }
            self.lines[line].put(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Insert,
        Replace,
        Remove,
    }

    /// Hashes that belong into few lines, so that they pass full ones, across the end too.
    fn deeds() -> impl Strategy<Value = Vec<(Deed, u128, i64)>> {
        let deed = prop_oneof![Just(Deed::Insert), Just(Deed::Replace), Just(Deed::Remove)];
        let hash = (0..4_u64, 0..12_u64).prop_map(|(home, rest)| u128::from((home.wrapping_sub(2) << 61) | rest));
        vec((deed, hash, 0..3_i64), 0..300)
    }

    fn check(set: &SeenSet, known: &BTreeMap<u128, i64>) {
        assert_eq!(set.len(), known.len());
        let mut held = 0;
        for (at, line) in set.lines.iter().enumerate() {
            let taken = line.taken();
            held += taken;
            assert!(line.0[taken..].iter().all(|seen| *seen == Seen::NOTHING), "what there is stands at the beginning");
            for seen in &line.0[..taken] {
                let home = set.home(seen);
                let passed = (0..set.distance(home, at)).map(|step| (home + step) % set.lines.len());
                assert!(passed.map(|line| set.lines[line]).all(|line| line.is_full()), "it passed full lines alone");
            }
        }
        assert_eq!(held, known.len());
        for (&hash, &bucket) in known {
            let (line, place) = set.find(&Seen::new(hash, bucket));
            assert_eq!(set.lines[line].0[place.expect("it is there")], Seen::new(hash, bucket));
        }
    }

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(deeds in deeds()) {
            let (mut set, mut known) = (SeenSet::default(), BTreeMap::new());
            for (deed, hash, bucket) in deeds {
                let seen = Seen::new(hash, bucket);
                match deed {
                    Deed::Insert => {
                        prop_assert_eq!(set.insert(seen).is_none(), !known.contains_key(&hash));
                        known.entry(hash).or_insert(bucket);
                    }
                    Deed::Replace => {
                        if let Some(there) = set.insert(seen) {
                            *there = seen;
                        }
                        known.insert(hash, bucket);
                    }
                    Deed::Remove => {
                        set.remove(seen);
                        if known.get(&hash) == Some(&bucket) {
                            known.remove(&hash);
                        }
                    }
                }
                check(&set, &known);
            }
        }
    }

    #[test]
    fn it_is_never_fuller_than_it_may_be_and_lets_all_go() {
        let hash = |number: u64| Seen::new(u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)), 7);
        let mut set = SeenSet::default();
        for number in 0..10_000 {
            assert!(set.insert(hash(number)).is_none() && set.insert(hash(number)).is_some());
            assert!(set.len() <= set.lines.len() * TAKEN_MAX);
        }
        for number in 0..10_000 {
            set.remove(hash(number));
        }
        assert!(set.len() == 0 && set.lines.iter().all(|line| line.0 == Line::EMPTY.0));
    }

    #[test]
    fn no_bucket_looks_like_none() {
        for bucket in [i64::MIN, -1, 0, i64::from(u32::MAX) - 1, i64::from(u32::MAX), i64::MAX] {
            let seen = Seen::new(0, bucket);
            let mut set = SeenSet::default();
            assert!(set.insert(seen).is_none() && set.insert(seen).is_some(), "{bucket}");
        }
    }

    #[test]
    fn a_line_is_a_line() {
        assert_eq!(size_of::<Line>(), crate::line::LINE_BYTES);
        assert_eq!(align_of::<Line>(), crate::line::LINE_BYTES);
    }
}
