//! Payments that are answered or forgotten, by a hash each, so that an authorize that comes again, or after its answer, opens nothing. In one piece
//! that is read and written as it lies: most visits change none of it.

use tillwatch_sdk::Instant;

/// Payments that are remembered so; one more, and the oldest is forgotten.
pub const PAST_MAX: usize = 16;

/// Bytes of one: hash, when it came to be past, what was seen.
const BYTES: usize = 17;

// What was seen.
const AUTHORIZED: u8 = 1;
const DELIVERED: u8 = 2;

/// What is remembered of a payment that is past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its authorize was seen.
    pub authorized: bool,
    /// The terminal had its answer.
    pub delivered: bool,
}

/// See the module. The oldest comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    rows: Vec<u8>,
}

impl Past {
    fn rows(&self) -> &[[u8; BYTES]] {
        self.rows.as_chunks().0
    }

    fn place(&self, hash: u64) -> Option<usize> {
        self.rows().iter().position(|row| row.first_chunk() == Some(&hash.to_le_bytes()))
    }

    /// What is remembered of the payment of this hash.
    #[must_use]
    pub fn find(&self, hash: u64) -> Option<Gone> {
        self.place(hash).map(|place| {
            let [.., seen] = self.rows()[place];
            Gone { authorized: seen & AUTHORIZED != 0, delivered: seen & DELIVERED != 0 }
        })
    }

    /// A payment comes to be past at `at`, or more is known of one that is; `at` never runs backwards.
    pub fn put(&mut self, hash: u64, gone: Gone, at: Instant) {
        let mut seen = if gone.authorized { AUTHORIZED } else { 0 } | if gone.delivered { DELIVERED } else { 0 };
        if let Some(place) = self.place(hash) {
            let [.., before] = self.rows()[place];
            seen |= before;
            self.rows.drain(place * BYTES..(place + 1) * BYTES);
        } else if self.rows().len() == PAST_MAX {
            self.rows.drain(..BYTES);
        }
        self.rows.extend_from_slice(&hash.to_le_bytes());
        self.rows.extend_from_slice(&at.to_le_bytes());
        self.rows.push(seen);
    }

    /// Forgets those that came to be past at `until` or before.
    pub fn forget(&mut self, until: Instant) {
        let since = |row: &[u8; BYTES]| row[8..].first_chunk().map_or(Instant::MIN, |at| i64::from_le_bytes(*at));
        let old = self.rows().iter().take_while(|row| since(row) <= until).count();
        if old > 0 {
            self.rows.drain(..old * BYTES);
        }
    }

    /// As a state holds them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.rows
    }

    /// From what a state holds; none where it is not that.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (rows, rest) = bytes.as_chunks::<BYTES>();
        let sound = rest.is_empty()
            && rows.len() <= PAST_MAX
            && rows.iter().all(|row| row[BYTES - 1] <= AUTHORIZED | DELIVERED);
        sound.then(|| Self { rows: bytes.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Gone = Gone { authorized: false, delivered: false };

    #[test]
    fn what_was_once_seen_of_a_payment_stays_seen() {
        let mut past = Past::default();
        past.put(7, Gone { authorized: true, delivered: false }, 1);
        past.put(8, NOTHING, 2);
        past.put(7, Gone { authorized: false, delivered: true }, 3);
        assert_eq!(past.find(7), Some(Gone { authorized: true, delivered: true }));
        assert_eq!((past.find(8), past.find(9)), (Some(NOTHING), None));
        assert_eq!(Past::read(past.bytes()), Some(past));
    }

    #[test]
    fn the_oldest_is_forgotten_by_number_and_by_age() {
        let mut past = Past::default();
        for hash in 0..20 {
            past.put(hash, NOTHING, i64::try_from(hash).expect("small"));
        }
        past.put(4, NOTHING, 20);
        let kept = |past: &Past| (0..20).filter(|hash| past.find(*hash).is_some()).collect::<Vec<u64>>();
        assert_eq!(kept(&past), (4..20).collect::<Vec<_>>());
        past.forget(7);
        assert_eq!(kept(&past), [&[4][..], &(8..20).collect::<Vec<_>>()].concat());
        past.forget(20);
        assert_eq!(past, Past::default());
    }

    #[test]
    fn bytes_that_hold_no_whole_rows_or_too_many_are_none() {
        for bytes in [vec![0; BYTES - 1], vec![0; BYTES * (PAST_MAX + 1)], vec![4; BYTES]] {
            assert_eq!(Past::read(&bytes), None);
        }
    }
}
