//! Chance from a seed, and how much of it: the environment of a longer run says so.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The seed of a run that nobody gives one.
const SEED: u64 = 4;

/// Events of a run that nobody asks to be longer.
const EVENTS: u64 = 200_000;

/// A stream of numbers.
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number from 0 to just under `count`.
    pub fn below(&mut self, count: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(count);
        u64::try_from(wide >> 64).expect("invariant: the product of two u64 has 128 bits")
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.below(of.len() as u64);
        &of[usize::try_from(index).expect("invariant: an index of a slice")]
    }
}

/// The seed of this run.
#[must_use]
pub fn seed() -> u64 {
    number("TILLWATCH_FAULT_SEED").unwrap_or(SEED)
}

/// How many events a run under faults takes in.
#[must_use]
pub fn events() -> u64 {
    number("TILLWATCH_FAULT_EVENTS").unwrap_or(EVENTS)
}

#[allow(clippy::disallowed_methods, reason = "the one place where these tests read the environment")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
