//! Chance, from a seed. Integers and plain arithmetic only, so that another machine rolls the same.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// One stream of a seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(stream);
        Self(dice)
    }

    /// A number from 0 to just under `count`.
    pub(super) fn below(&mut self, count: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(count);
        u64::try_from(wide >> 64).expect("invariant: the product of two u64 has 128 bits")
    }

    /// A number from `low` to `high`, both possible.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low).expect("invariant: low <= high");
        low + i64::try_from(self.below(span + 1)).expect("invariant: spans are small")
    }

    /// A number from 0 to just under 1.
    pub(super) fn unit(&mut self) -> f64 {
        /// Bits of a double's fraction.
        const BITS: u32 = 53;
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let unit = (self.0.next_u64() >> (64 - BITS)) as f64 / (1_u64 << BITS) as f64;
        unit
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// True so many times of a thousand.
    pub(super) fn permille(&mut self, share: u64) -> bool {
        self.below(1_000) < share
    }

    /// One of these.
    pub(super) fn of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        let count = u64::try_from(some.len()).expect("invariant: a count fits");
        &some[usize::try_from(self.below(count)).expect("invariant: below a count")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_bounds_hold() {
        let (mut one, mut two) = (Dice::new(1, 0), Dice::new(1, 1));
        let rolls: Vec<_> = (0..1_000).map(|_| (one.between(-3, 3), two.between(-3, 3))).collect();
        assert!(rolls.iter().any(|(one, two)| one != two));
        for wanted in -3..=3 {
            assert!(rolls.iter().any(|(one, _)| *one == wanted));
        }
        assert!(rolls.iter().all(|(one, _)| (-3..=3).contains(one)));
        assert!(!one.chance(0.0) && one.chance(1.0));
        assert!(!one.permille(0) && one.permille(1_000));
        assert!([4, 5].contains(one.of(&[4, 5])));
    }
}
