//! What is usual of operators (P1): help, cancels, steps back and long dwell in a hundred payments, of the blocks of all operators of the
//! region, in a histogram. Owns no finding: the rule of the terminal raises that, and is told here whether peers do better.

use serde::{Deserialize, Serialize};

/// The name of the sign that tells a block: actions of payments, both whole numbers.
pub const BLOCK: &str = "block";

/// Actions in a hundred payments of one step of the histogram; the last step holds everything above.
const STEP: i64 = 5;
const STEPS: usize = 40;

/// Blocks from which on peers are known.
const KNOWN_MIN: u32 = 20;

/// Blocks at which all counts are halved, so that older days weigh less.
const FULL: u32 = 2_000;

/// Of a hundred blocks of peers so many are usual.
const USUAL_PERCENT: u32 = 95;

/// The blocks so far, by step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers(Vec<u32>);

impl Peers {
    /// One more block; whether it is above what is usual of the others, and none before so many of them were seen.
    pub fn block(&mut self, actions: i64, payments: i64) -> Option<bool> {
        let step = (actions.clamp(0, 1_000_000) * 100 / payments.max(1) / STEP).min(STEPS as i64 - 1);
        let step = usize::try_from(step).expect("invariant: it is clamped to the histogram");
        let all: u32 = self.0.iter().sum();
        let below: u32 = self.0.iter().take(step).sum();
        let verdict = (all >= KNOWN_MIN).then_some(below * 100 >= all * USUAL_PERCENT);
        if self.0.len() <= step {
            self.0.resize(step + 1, 0);
        }
        self.0[step] += 1;
        if all >= FULL {
            self.0.iter_mut().for_each(|count| *count /= 2);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_compared_with_those_of_others() {
        let mut peers = Peers::default();
        for number in 0..20 {
            assert_eq!(peers.block(number % 4, 30), None, "nothing is usual before twenty blocks");
        }
        assert_eq!(peers.block(8, 30), Some(true), "26 in a hundred, and others have up to ten");
        assert_eq!(peers.block(3, 30), Some(false));
        // Where everybody needs help it is not the operator.
        let mut peers = Peers::default();
        for _ in 0..30 {
            peers.block(15, 30);
        }
        assert_eq!(peers.block(15, 30), Some(false));
        assert_eq!(peers.block(17, 30), Some(true), "the next step");
    }

    #[test]
    fn it_stays_small_and_forgets() {
        let mut peers = Peers::default();
        for _ in 0..10_000 {
            peers.block(i64::MAX, 1);
        }
        for _ in 0..10_000 {
            peers.block(0, 0);
        }
        assert!(peers.0.len() <= STEPS && peers.0.iter().sum::<u32>() <= FULL + 1);
        assert_eq!(peers.block(1, 20), Some(true), "what was usual long ago is not");
    }
}
