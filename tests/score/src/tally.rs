//! Sums over many judged scenarios. Pure.

use crate::judge::{Hits, Judged};
use serde::Serialize;
use std::collections::BTreeMap;

/// Named with more confidence than this, a wrong cause is a bad one.
pub const SURE: f64 = 0.8;

/// The column of the confusion matrix for faults of which nothing was said.
pub const NOTHING: &str = "nothing";

/// How often what was said with some confidence was right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// How often it was said.
    pub said: u64,
    /// How often it was right.
    pub right: u64,
    /// Sum of the confidences.
    pub sure: f64,
}

/// The sums.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the fields of `Judged`")]
pub struct Tally {
    pub scenarios: u64,
    pub events: u64,
    pub evidence: u64,
    pub payments: u64,
    pub good: u64,
    pub alarms: u64,
    pub kinds: BTreeMap<&'static str, Hits>,
    /// Injected cause, then named cause; near misses are not in it.
    pub confusion: BTreeMap<String, BTreeMap<String, u64>>,
    /// Injected faults that are no near misses.
    pub faults: u64,
    /// Those of which something was said.
    pub with_evidence: u64,
    /// Those whose cause is right.
    pub right: u64,
    /// Those with a wrong cause of more than [`SURE`].
    pub sure_and_wrong: u64,
    /// Near misses, and how many of them got a cause all the same.
    pub near_misses: u64,
    pub near_misses_named: u64,
    pub median_find_ms: Option<i64>,
    pub median_name_ms: Option<i64>,
    /// By tenths of the confidence of findings.
    pub calibration: BTreeMap<u8, Calibration>,
    /// How many faults had so many incidents.
    pub incidents: BTreeMap<usize, u64>,
    /// Incidents without a struck payment.
    pub strays: usize,
}

/// Sums up.
#[must_use]
pub fn tally(all: &[Judged]) -> Tally {
    let mut tally = Tally { scenarios: all.len() as u64, ..Tally::default() };
    let (mut find, mut name) = (Vec::new(), Vec::new());
    for judged in all {
        tally.events += judged.events;
        tally.evidence += judged.evidence;
        tally.payments += judged.payments;
        tally.good += judged.good;
        tally.alarms += judged.alarms;
        tally.strays += judged.strays;
        for (kind, hits) in &judged.kinds {
            let sum = tally.kinds.entry(kind).or_default();
            sum.expected += hits.expected;
            sum.found += hits.found;
            sum.wrong += hits.wrong;
        }
        for (sure, right) in &judged.claims {
            let bin = tally.calibration.entry(tenth(*sure)).or_default();
            bin.said += 1;
            bin.right += u64::from(*right);
            bin.sure += sure;
        }
        for fault in &judged.faults {
            let named = fault.named.as_deref();
            if fault.near_miss {
                tally.near_misses += 1;
                tally.near_misses_named += u64::from(named.is_some_and(|named| named != "undetermined"));
                continue;
            }
            let right = named == Some(fault.cause.as_str());
            tally.faults += 1;
            tally.with_evidence += u64::from(named.is_some());
            tally.right += u64::from(right);
            let wrong = named.is_some_and(|named| named != "undetermined") && !right;
            tally.sure_and_wrong += u64::from(wrong && fault.confidence > SURE);
            let row = tally.confusion.entry(fault.cause.clone()).or_default();
            *row.entry(named.unwrap_or(NOTHING).to_owned()).or_default() += 1;
            *tally.incidents.entry(fault.incidents).or_default() += 1;
            find.extend(fault.found_ms);
            name.extend(fault.named_ms);
        }
    }
    tally.median_find_ms = median(find);
    tally.median_name_ms = median(name);
    tally
}

/// Of an even number, the lower of the two in the middle.
fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 9 after the clamp")]
fn tenth(sure: f64) -> u8 {
    // Percents, so that 0.7 counts among those from 0.7 on.
    (((sure.clamp(0.0, 1.0) * 100.0).round() / 10.0) as u8).min(9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Fault;

    fn fault(cause: &str, named: Option<&str>, confidence: f64, ms: Option<i64>) -> Fault {
        Fault {
            cause: cause.to_owned(),
            scope: "site:S0001".to_owned(),
            near_miss: false,
            named: named.map(str::to_owned),
            confidence,
            found_ms: ms,
            named_ms: ms.map(|ms| ms * 2),
            incidents: usize::from(named.is_some()),
        }
    }

    #[test]
    fn faults_are_counted_where_they_belong() {
        let near = Fault { near_miss: true, ..fault("N1", Some("N3"), 0.9, None) };
        let faults = vec![
            fault("N1", Some("N1"), 0.9, Some(10)),
            fault("N1", Some("N3"), 0.81, Some(30)),
            fault("N1", Some("N3"), 0.8, Some(20)),
            fault("H1", Some("undetermined"), 0.9, None),
            fault("H1", None, 0.0, None),
            near,
        ];
        let tally = tally(&[Judged { faults, ..Judged::default() }]);
        assert_eq!((tally.faults, tally.with_evidence, tally.right, tally.sure_and_wrong), (5, 4, 1, 1));
        assert_eq!((tally.near_misses, tally.near_misses_named), (1, 1));
        assert_eq!(tally.confusion["N1"], BTreeMap::from([("N1".to_owned(), 1), ("N3".to_owned(), 2)]));
        assert_eq!(tally.confusion["H1"], BTreeMap::from([("undetermined".to_owned(), 1), (NOTHING.to_owned(), 1)]));
        assert_eq!((tally.median_find_ms, tally.median_name_ms), (Some(20), Some(40)));
        assert_eq!(tally.incidents, BTreeMap::from([(0, 1), (1, 4)]));
    }

    #[test]
    fn confidence_falls_into_tenths() {
        assert_eq!([0.0, 0.29, 0.3, 0.7, 0.799, 0.95, 1.0].map(tenth), [0, 2, 3, 7, 8, 9, 9]);
        let claims = vec![(0.8, true), (0.85, false), (0.8, true), (0.4, false)];
        let tally = tally(&[Judged { claims, ..Judged::default() }]);
        let eight = tally.calibration[&8];
        assert_eq!((eight.said, eight.right, tally.calibration[&4].right), (3, 2, 0));
    }

    #[test]
    fn the_median_of_few() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![5]), Some(5));
        assert_eq!(median(vec![9, 1, 4, 7]), Some(4));
    }
}
