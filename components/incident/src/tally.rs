//! How many payments each cohort had in the window that slides.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::Instant;

use crate::sheet::{Sheet, cells};

/// How fine the window slides, ms.
const SLOT_MS: i64 = 30_000;
/// Slots of the window.
const SLOTS: usize = 10;
/// The window in which cohorts are compared, ms.
pub const WINDOW_MS: i64 = SLOT_MS * SLOTS as i64;
/// Bytes of a count.
const BYTES: usize = 3;
/// What a cohort has in a slot at most, a million half a second: more is as much.
const COUNT_MAX: u32 = (1 << (8 * BYTES)) - 1;
/// Cohorts whose payments are counted; of more, the payments of those that came later are not known, and they look worse than they are.
pub const COHORTS_MAX: usize = 512;

/// Cohorts by scope, in the order of scopes, each with a ring of slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The newest slot.
    newest: i64,
    cohorts: Sheet<{ SLOTS * BYTES }>,
}

fn count(cell: &[u8]) -> u32 {
    let [low, middle, high] = cells(cell);
    u32::from_le_bytes([low, middle, high, 0])
}

fn sum(row: &[u8; SLOTS * BYTES]) -> u32 {
    row.chunks_exact(BYTES).map(count).sum()
}

/// Where a slot is in the ring.
fn place(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(SLOTS as i64)).expect("invariant: it is below the number of slots") * BYTES
}

impl Tally {
    /// Cohorts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cohorts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cohorts.is_empty()
    }

    /// Their scopes, in order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.cohorts.text(row))
    }

    /// Payments of a cohort in the window, as far as they are known.
    #[must_use]
    pub fn begun(&self, scope: &str) -> usize {
        self.find(scope).map_or(0, |row| sum(&self.cohorts.cells(row)) as usize)
    }

    /// Adds payments to a cohort; a new one where it is `wanted` and there is room.
    pub fn add(&mut self, scope: &str, payments: u32, wanted: impl FnOnce() -> bool) {
        let row = match self.find(scope) {
            Ok(row) => row,
            Err(row) if self.len() < COHORTS_MAX && wanted() => {
                self.cohorts.insert(row, scope);
                row
            }
            Err(_) => return,
        };
        let at = place(self.newest);
        let cell = &mut self.cohorts.cells_mut(row)[at..at + BYTES];
        let sum = count(cell).saturating_add(payments).min(COUNT_MAX);
        cell.copy_from_slice(&sum.to_le_bytes()[..BYTES]);
    }

    /// Slides where a new slot has begun, before payments of it are added: where all is well nothing else does.
    pub fn catch_up(&mut self, now: Instant) {
        if now.div_euclid(SLOT_MS) > self.newest {
            self.slide(now);
        }
    }

    /// Forgets payments that are past, and cohorts without any.
    pub fn slide(&mut self, now: Instant) {
        let slot = now.div_euclid(SLOT_MS).max(self.newest);
        let first = (slot + 1 - SLOTS as i64).max(self.newest + 1);
        for row in 0..self.len() {
            let row = self.cohorts.cells_mut(row);
            (first..=slot).for_each(|past| row[place(past)..][..BYTES].fill(0));
        }
        self.newest = slot;
        self.cohorts.retain(|row| sum(&row) > 0);
    }

    /// Where a cohort is, or would be.
    fn find(&self, scope: &str) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.cohorts.text(middle).cmp(scope) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payments of a cohort at a time.
    fn add(tally: &mut Tally, scope: &str, at: Instant, payments: u32) {
        tally.catch_up(at);
        tally.add(scope, payments, || true);
    }

    #[test]
    fn a_window_is_the_last_ten_slots() {
        let mut tally = Tally::default();
        let mut all: Vec<(Instant, &str, u32)> = Vec::new();
        for (step, scope) in (0..500_i64).zip(["a", "b", "区"].into_iter().cycle()) {
            // Now and then nothing comes for longer than a slot, and once for longer than the window.
            let at = step * 7_000 + step / 50 * 95_000 + step / 400 * 400_000;
            let payments = u32::try_from(step % 5).expect("few");
            add(&mut tally, scope, at, payments);
            all.push((at, scope, payments));
            let first = at.div_euclid(SLOT_MS) - SLOTS as i64;
            for scope in ["a", "b", "区"] {
                let inside = all.iter().filter(|(at, of, _)| *of == scope && at.div_euclid(SLOT_MS) > first);
                let sum: usize = inside.map(|(.., count)| *count as usize).sum();
                assert_eq!(tally.begun(scope), sum, "{scope} after {step}");
            }
        }
        tally.slide(Instant::MAX);
        assert!(tally.is_empty());
    }

    #[test]
    fn more_than_is_counted_is_as_much() {
        let mut tally = Tally::default();
        add(&mut tally, "a", 0, u32::MAX);
        add(&mut tally, "a", 0, 1);
        assert_eq!(tally.begun("a"), COUNT_MAX as usize);
        assert_eq!((tally.begun("b"), tally.len()), (0, 1));
        tally.add("b", 1, || false);
        assert_eq!(tally.len(), 1, "nobody wants it");
        (0..2 * COHORTS_MAX).for_each(|number| add(&mut tally, &number.to_string(), 0, 1));
        assert_eq!((tally.len(), tally.begun("0"), tally.begun("1000")), (COHORTS_MAX, 1, 0));
        assert!(tally.scopes().is_sorted());
    }
}
