//! The set of hashes that [`super::dedup`] keeps. It is the largest of a partition's tables.
//! Owns no time and no order; which buckets there are is `dedup`'s.

use super::lines::{Kept, Lines};

/// A hash that is remembered, and its bucket, in 16 bytes: 96 bits of the hash, which are as good against chance among the millions of a window, and
/// the bucket's number as far as the window makes it known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    part: u32,
    kept: Rest,
}

/// What is kept beside the part of a hash by which its line is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    middle: u32,
    high: u32,
    /// Not 0 but where nothing is.
    bucket: u32,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is cut off is not wanted")]
impl Seen {
    pub(super) fn new(hash: u128, bucket: i64) -> Self {
        let kept = Rest { middle: (hash >> 32) as u32, high: (hash >> 64) as u32, bucket: kept_bucket(bucket) };
        Self { part: hash as u32, kept }
    }

    /// The part of its hash that it is found by.
    pub(super) fn part(self) -> u32 {
        self.part
    }
}

/// A bucket's number as it is kept.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is less than what it is divided by")]
fn kept_bucket(bucket: i64) -> u32 {
    bucket.rem_euclid(i64::from(u32::MAX)) as u32 + 1
}

impl Rest {
    /// Whether it is of the same hash, whatever the bucket.
    fn is(&self, other: &Self) -> bool {
        (self.middle, self.high) == (other.middle, other.high)
    }
}

impl Kept for Rest {
    const NOTHING: Self = Self { middle: 0, high: 0, bucket: 0 };

    fn is_there(&self) -> bool {
        self.bucket != 0
    }
}

/// As many as fit into a line.
const PLACES: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SeenSet(Lines<Rest, PLACES>);

impl SeenSet {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Asks for what a hash with this part is looked for in.
    pub(super) fn fetch(&self, part: u32) {
        self.0.fetch(part);
    }

    /// Remembers a hash, unless it is: says whether it was not.
    pub(super) fn insert(&mut self, seen: Seen) -> bool {
        self.0.insert(seen.part, seen.kept, |other| other.is(&seen.kept)).is_none()
    }

    /// Remembers a hash, and in this bucket where it was in another.
    pub(super) fn replace(&mut self, seen: Seen) {
        if let Some(there) = self.0.insert(seen.part, seen.kept, |other| other.is(&seen.kept)) {
            *there = seen.kept;
        }
    }

    /// Forgets one hash that has this part and this bucket, if there is one.
    pub(super) fn remove(&mut self, part: u32, bucket: i64) {
        let bucket = kept_bucket(bucket);
        self.0.remove(part, |other| other.bucket == bucket);
    }

    /// The hashes of a bucket as far as they are kept, in order.
    pub(super) fn of(&self, bucket: i64) -> Vec<u128> {
        let bucket = kept_bucket(bucket);
        let all = self.0.iter().filter(|(_, kept)| kept.bucket == bucket);
        let whole =
            |(part, Rest { middle, high, .. })| u128::from(part) | u128::from(middle) << 32 | u128::from(high) << 64;
        let mut hashes: Vec<u128> = all.map(whole).collect();
        hashes.sort_unstable();
        hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_known_in_any_bucket_and_forgotten_in_its_own() {
        let mut set = SeenSet::default();
        // Two and two have the same part.
        let hashes = [1, 1 << 64, 1 << 32, 1 | 1 << 95];
        for hash in hashes {
            assert!(set.insert(Seen::new(hash, 3)) && !set.insert(Seen::new(hash, 4)));
        }
        set.replace(Seen::new(1, 4));
        assert_eq!((set.of(3), set.of(4)), (vec![1 << 32, 1 << 64, 1 | 1 << 95], vec![1]));
        for part in hashes.map(|hash| Seen::new(hash, 3).part()) {
            set.remove(part, 5);
            assert!(!set.insert(Seen::new(1 << 32, 3)), "it is remembered in another");
        }
        for part in hashes.map(|hash| Seen::new(hash, 3).part()) {
            set.remove(part, 3);
        }
        assert_eq!((set.len(), set.of(3), set.of(4)), (1, Vec::new(), vec![1]));
        set.remove(1, 4);
        assert_eq!(set.len(), 0);
    }

    #[test]
    fn no_bucket_looks_like_none() {
        for bucket in [i64::MIN, -1, 0, i64::from(u32::MAX) - 1, i64::from(u32::MAX), i64::MAX] {
            let seen = Seen::new(0, bucket);
            let mut set = SeenSet::default();
            assert!(set.insert(seen) && !set.insert(seen), "{bucket}");
        }
    }
}
