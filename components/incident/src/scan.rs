//! Blast radius: which cohort explains that payments are stuck. A scan statistic (Kulldorff's, for counts): of all cohorts, the one in which the
//! stuck payments are least likely to have come together by chance, given how many payments each had.
//!
//! Owns no state and no cause. Its logarithm is its own: the one of a machine's library may differ in the last bit from another's.

use serde::{Deserialize, Serialize};

use crate::{
    life::follows,
    settings::Settings,
    state::{Region, Waiting, word_of},
};

/// Where the chain broke, as far as it tells causes apart: only what broke at one place is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// On the way to the host and back.
    Way,
    /// In the terminal, with the answer there.
    Terminal,
    /// At the printer.
    Printing,
    /// In the order system.
    Ledger,
    /// By the hand of whoever works there.
    Operator,
}

impl Family {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Way, Self::Terminal, Self::Printing, Self::Ledger, Self::Operator];

    /// Of a kind of finding.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        match kind {
            "not-shown" => Self::Terminal,
            "not-printed" => Self::Printing,
            "unsynced" => Self::Ledger,
            "double-charge-risk" | "double-charge" => Self::Operator,
            _ => Self::Way,
        }
    }
}

/// Chance that is no chance: e to this against one.
const SCORE_MIN: f64 = 3.0;

/// Share of a region's payments from which all of it is in trouble, percent.
const REGION_PERCENT_MIN: usize = 20;

/// Of a hundred payments so many are stuck on any day, since customers walk away: about one does, and a busy hour doubles it.
pub const USUAL_PERCENT: usize = 2;

/// Words of scopes, narrow ones first: of two that explain the same, the first is chosen.
const WORDS: [&str; 7] = ["terminal", "operator", "site", "host", "acquirer", "version", "region"];

/// How narrow a scope is: less is narrower.
#[must_use]
pub fn rank(scope: &str) -> usize {
    WORDS.iter().position(|word| *word == word_of(scope)).unwrap_or(WORDS.len())
}

/// A cohort that explains something.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its scope.
    pub scope: String,
    /// How many are stuck in it.
    pub stuck: usize,
}

/// The cohort that best explains the stuck payments of a family, if any does.
#[must_use]
pub fn best(region: &Region, stuck: &[&Waiting], settings: &Settings) -> Option<Found> {
    // Findings of one payment are one payment, and what follows of an older one is none.
    let hashes: Vec<u64> = stuck.iter().map(|waiting| tillwatch_sdk::hash(waiting.txn())).collect();
    let first = |index: &usize| {
        let (waiting, hash) = (stuck[*index], hashes[*index]);
        let mut before = stuck.iter().zip(&hashes).take(*index);
        !follows(waiting.kind()) && before.all(|(before, known)| *known != hash || before.txn() != waiting.txn())
    };
    let one_each: Vec<&Waiting> = (0..stuck.len()).filter(first).map(|index| stuck[index]).collect();
    let stuck = one_each.as_slice();
    // A payment has a scope once: so many are in it.
    let scopes = counted(stuck.iter().flat_map(|waiting| waiting.scopes()).collect());
    let everywhere = scopes
        .iter()
        .filter(|(scope, _)| word_of(scope) == "region")
        .map(|(scope, _)| region.payments.begun(scope))
        .sum::<usize>();
    let all = everywhere.max(stuck.len());
    let mut found: Option<(f64, Found)> = None;
    let ranked = WORDS.iter().flat_map(|word| scopes.iter().filter(move |(scope, _)| word_of(scope) == *word));
    for (scope, count) in ranked.copied() {
        if !enough(scope, stuck, count, settings) {
            continue;
        }
        let word = word_of(scope);
        if word == "region" {
            // It has no outside to compare with.
            if found.is_none() && count * 100 >= all * REGION_PERCENT_MIN && spread(scope, stuck, "site") > 1 {
                found = Some((0.0, Found { scope: scope.to_owned(), stuck: count }));
            }
            continue;
        }
        let score = score(count, region.payments.begun(scope).max(count), stuck.len(), all);
        if score >= SCORE_MIN && found.as_ref().is_none_or(|(best, _)| score > *best) {
            found = Some((score, Found { scope: scope.to_owned(), stuck: count }));
        }
    }
    found.map(|(_, found)| found)
}

/// Whether so many are more than one till's bad luck.
fn enough(scope: &str, stuck: &[&Waiting], count: usize, settings: &Settings) -> bool {
    match word_of(scope) {
        "terminal" | "operator" => count >= settings.alone_min,
        "site" => count >= settings.cohort_min && spread(scope, stuck, "terminal") >= settings.terminals_min,
        _ => {
            count >= settings.cohort_min
                && spread(scope, stuck, "terminal") > settings.terminals_min
                && spread(scope, stuck, "site") > 1
        }
    }
}

/// Over how many scopes of a word the stuck payments of a cohort are spread.
fn spread(scope: &str, stuck: &[&Waiting], word: &str) -> usize {
    let inside = stuck.iter().filter(|waiting| waiting.within(scope));
    counted(inside.filter_map(|waiting| waiting.named(word)).collect()).len()
}

/// Each name once, in their order, and how often it is there. The one sort of the component: each more, of whatever, would cost 5 KB of it.
fn counted(mut names: Vec<&str>) -> Vec<(&str, usize)> {
    names.sort_unstable();
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counted.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => counted.push((name, 1)),
        }
    }
    counted
}

/// The logarithm of the likelihood ratio: `stuck` of `payments` in the cohort, `all_stuck` of `all` in the region. 0 where the cohort is no
/// worse than the rest.
fn score(stuck: usize, payments: usize, all_stuck: usize, all: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "counts of payments are far below 2^52")]
    let [stuck, payments, all_stuck, all] = [stuck, payments.min(all), all_stuck, all].map(|count| count as f64);
    let expected = all_stuck * payments / all;
    if stuck <= expected {
        return 0.0;
    }
    let outside = all_stuck - stuck;
    let rest = if outside > 0.0 { outside * ln(outside / (all_stuck - expected)) } else { 0.0 };
    stuck * ln(stuck / expected) + rest
}

/// Whether more are stuck in a cohort than customers who walk away would be, by as much as one cohort must differ from the others.
#[must_use]
pub fn unusual(stuck: usize, payments: usize) -> bool {
    #[allow(clippy::cast_precision_loss, reason = "counts of payments are far below 2^52")]
    let [stuck, usual] = [stuck as f64, (payments.max(stuck) * USUAL_PERCENT) as f64 / 100.0];
    stuck > usual && stuck * ln(stuck / usual) - (stuck - usual) >= SCORE_MIN
}

/// The natural logarithm of a positive number, by additions, products and quotients alone, which are the same on every machine.
fn ln(number: f64) -> f64 {
    debug_assert!(number.is_normal() && number > 0.0, "a ratio of counts");
    let bits = number.to_bits();
    #[allow(clippy::cast_possible_wrap, reason = "an exponent has eleven bits")]
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1_023;
    let fraction = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let z = (fraction - 1.0) / (fraction + 1.0);
    let square = z * z;
    let mut term = z;
    let mut sum = 0.0;
    let mut odd = 1.0;
    // z is below a third: the twentieth term is below the last bit.
    for _ in 0..20 {
        sum += term / odd;
        term *= square;
        odd += 2.0;
    }
    #[allow(clippy::cast_precision_loss, reason = "an exponent has eleven bits")]
    let whole = exponent as f64;
    2.0 * sum + whole * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_that_of_the_library_but_for_the_last_bits() {
        for number in [1e-6, 0.01, 0.5, 0.999, 1.0, 1.5, 2.0, 3.75, 1e3, 123_456.789] {
            let (own, library) = (ln(number), f64::ln(number));
            assert!((own - library).abs() <= 1e-12 * library.abs().max(1.0), "{number}: {own} {library}");
        }
    }

    #[test]
    fn what_customers_do_on_any_day_is_not_unusual() {
        // A host with 166 payments in five minutes, a site with 50, one with 20.
        for (payments, least) in [(166, 9), (50, 5), (20, 3), (0, 2)] {
            let first = (1..100).find(|stuck| unusual(*stuck, payments));
            assert_eq!(first, Some(least), "of {payments}");
        }
        assert!(!unusual(0, 0) && !unusual(100, 5_000) && unusual(200, 5_000));
    }

    #[test]
    fn a_cohort_scores_by_how_much_more_is_stuck_in_it_than_its_share() {
        // A host with a quarter of the payments and all that is stuck; a site in it with its share of that.
        let host = score(100, 2_500, 100, 10_000);
        let site = score(4, 4, 100, 10_000);
        assert!(host > 100.0 && host > site, "{host} {site}");
        assert!(score(1, 100, 100, 10_000).abs() < f64::EPSILON, "its share and no more");
        // A site that is wholly stuck beats the region's host when nothing else is stuck.
        assert!(score(20, 25, 20, 10_000) > score(20, 2_500, 20, 10_000));
    }
}
