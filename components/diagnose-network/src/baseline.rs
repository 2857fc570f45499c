//! What is normal for a terminal's round trips: the 95th percentile of a histogram with four buckets an octave.
//!
//! Integers only, at most 64 counts, an error of at most a quarter, always upwards: a line has to be worse than it seems to be called long.
//! When the histogram is full all counts are halved, so that older days weigh less. `docs/adr/0014-baselines.md` has the reasons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Samples after which all counts are halved.
const FULL: u32 = 1_024;

/// Of samples that are long so many are left out for one that is learned: what lasts becomes normal, what passes does not.
const LONG_EVERY: u8 = 8;

/// The last bucket; it holds everything above.
const LAST: u8 = 63;

/// The round trips so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    counts: BTreeMap<u8, u16>,
    total: u32,
    long: u8,
}

impl Baseline {
    /// Takes a sample, ms; of long ones only every eighth.
    pub fn learn(&mut self, ms: i64, long: bool) {
        if long {
            self.long += 1;
            if self.long < LONG_EVERY {
                return;
            }
            self.long = 0;
        }
        let count = self.counts.entry(bucket(ms)).or_default();
        *count = count.saturating_add(1);
        self.total += 1;
        if self.total >= FULL {
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
            self.total = self.counts.values().copied().map(u32::from).sum();
        }
    }

    /// The upper edge of the bucket in which the 95th percentile lies, ms; none before so many samples.
    #[must_use]
    pub fn p95_ms(&self, samples_min: u32) -> Option<i64> {
        if self.total < samples_min.max(1) {
            return None;
        }
        let place = (self.total * 95).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in &self.counts {
            seen += u32::from(*count);
            if seen >= place {
                return Some(edge(*bucket));
            }
        }
        None
    }
}

/// The bucket of a round trip: its octave, and which quarter of that.
fn bucket(ms: i64) -> u8 {
    let ms = u64::try_from(ms).unwrap_or(0).max(1);
    let octave = ms.ilog2();
    let quarter = ((ms << 2) >> octave) & 3;
    u8::try_from(u64::from(octave) * 4 + quarter).map_or(LAST, |bucket| bucket.min(LAST))
}

/// The first whole number of milliseconds above a bucket.
fn edge(bucket: u8) -> i64 {
    let (octave, quarter) = (bucket / 4, i64::from(bucket % 4));
    ((quarter + 5) << octave) / 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_edge_is_above_its_bucket_by_a_quarter_at_most(ms in 1_i64..60_000) {
            let edge = edge(bucket(ms));
            prop_assert!(edge >= ms && edge <= ms + ms / 4 + 1, "{ms} {edge}");
        }

        #[test]
        fn it_is_never_below_the_percentile_and_stays_small(times in proptest::collection::vec(1_i64..5_000, 20..3_000)) {
            let mut baseline = Baseline::default();
            times.iter().for_each(|ms| baseline.learn(*ms, false));
            prop_assert!(baseline.counts.len() <= 64 && baseline.total < FULL);
            if times.len() < FULL as usize {
                let mut sorted = times.clone();
                sorted.sort_unstable();
                let exact = sorted[(sorted.len() * 95).div_ceil(100) - 1];
                let known = baseline.p95_ms(20).unwrap();
                prop_assert!(known >= exact && known <= exact + exact / 4 + 1, "{known} {exact}");
            }
        }
    }

    #[test]
    fn it_is_not_known_at_first_and_forgets_in_the_end() {
        let mut baseline = Baseline::default();
        (0..19).for_each(|_| baseline.learn(40, false));
        assert_eq!(baseline.p95_ms(20), None);
        baseline.learn(40, false);
        assert_eq!(baseline.p95_ms(20), Some(48));
        (0..5_000).for_each(|_| baseline.learn(400, false));
        assert_eq!(baseline.p95_ms(20), Some(448));
    }

    #[test]
    fn what_passes_is_not_learned_and_what_lasts_is() {
        let mut baseline = Baseline::default();
        (0..200).for_each(|_| baseline.learn(40, false));
        (0..60).for_each(|_| baseline.learn(900, true));
        assert_eq!(baseline.p95_ms(20), Some(48), "an hour of trouble at one sample a minute");
        (0..100).for_each(|_| baseline.learn(900, true));
        assert_eq!(baseline.p95_ms(20), Some(1_024), "a line that has become so");
    }
}
