//! The sums as Markdown tables.

use crate::tally::{NOTHING, Tally};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The whole report.
#[must_use]
pub fn table(tally: &Tally) -> String {
    let mut text = String::new();
    reached(tally, &mut text);
    confusion(tally, &mut text);
    kinds(tally, &mut text);
    calibration(tally, &mut text);
    text
}

/// A share in percent; none of nothing.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * per(part, whole))
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn per(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn reached(tally: &Tally, text: &mut String) {
    let mut line = |what: &str, value: String, reach: &str, holds: Option<bool>| {
        let verdict = match holds {
            None => "",
            Some(true) => "reached",
            Some(false) => "not reached",
        };
        put(text, &format!("| {what} | {value} | {reach} | {verdict} |"));
    };
    let share = |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.2} %"));
    let seconds =
        |ms: Option<i64>| ms.map_or("never".to_owned(), |ms| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100));
    line("figure", "value".to_owned(), "reach", None);
    line("---", "---".to_owned(), "---", None);
    let count = |value: u64| value.to_string();
    line("scenarios", count(tally.scenarios), "", None);
    line("events", count(tally.events), "", None);
    line("payments", count(tally.payments), "", None);
    line("injected faults, near misses apart", count(tally.faults), "", None);
    line("of them with anything said", count(tally.with_evidence), "", None);
    let right = percent(tally.right, tally.with_evidence);
    line("cause right, where anything was said", share(right), "90 %", right.map(|value| value >= 90.0));
    line("cause right, of all", share(percent(tally.right, tally.faults)), "", None);
    let wrong = percent(tally.sure_and_wrong, tally.faults);
    line("wrong cause, confidence above 0.8", share(wrong), "at most 2 %", wrong.map(|value| value <= 2.0));
    line("near misses", count(tally.near_misses), "", None);
    line("near misses that got a cause", count(tally.near_misses_named), "", None);
    let (expected, found) = tally.kinds.values().fold((0, 0), |sum, hits| (sum.0 + hits.expected, sum.1 + hits.found));
    let recall = percent(found, expected);
    line("recall of payment findings", share(recall), "99.9 %", recall.map(|value| value >= 99.9));
    let alarms = (tally.good > 0).then(|| 100_000.0 * per(tally.alarms, tally.good));
    let told = alarms.map_or("none".to_owned(), |value| format!("{value:.2} ({} of {})", tally.alarms, tally.good));
    line("false alarms per 100,000 good payments", told, "at most 1", alarms.map(|value| value <= 1.0));
    line("median time to find", seconds(tally.median_find_ms), "", None);
    line("median time to name the right cause", seconds(tally.median_name_ms), "", None);
    let evidence = (tally.events > 0).then(|| 1_000.0 * per(tally.evidence, tally.events));
    line("evidence records per 1,000 events", evidence.map_or("none".to_owned(), |v| format!("{v:.1}")), "", None);
    let each: Vec<String> =
        tally.incidents.iter().map(|(count, faults)| format!("{count} incidents: {faults} faults")).collect();
    line("incidents per injected fault (in the region that has most)", each.join(", "), "", None);
    line("incidents without a payment that anything befell", tally.strays.to_string(), "", None);
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("invariant: a text takes text");
}

fn confusion(tally: &Tally, text: &mut String) {
    put(text, "\nInjected (rows) and named (columns):\n");
    let columns: BTreeSet<&str> = tally.confusion.values().flat_map(|row| row.keys().map(String::as_str)).collect();
    let (last, mut columns): (Vec<&str>, Vec<&str>) = columns.into_iter().partition(|column| *column == NOTHING);
    columns.extend(last);
    put(text, &format!("| | {} |", columns.join(" | ")));
    put(text, &format!("|---|{}", "---|".repeat(columns.len())));
    for (cause, row) in &tally.confusion {
        let cells: Vec<String> =
            columns.iter().map(|column| row.get(*column).map_or(String::new(), u64::to_string)).collect();
        put(text, &format!("| {cause} | {} |", cells.join(" | ")));
    }
}

fn kinds(tally: &Tally, text: &mut String) {
    put(text, "\nPayment findings:\n\n| kind | expected | recall | precision | wrong |\n|---|---|---|---|---|");
    let share = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2} %"));
    for (kind, hits) in &tally.kinds {
        let recall = share(percent(hits.found, hits.expected));
        let precision = share(percent(hits.found, hits.found + hits.wrong));
        put(text, &format!("| `{kind}` | {} | {recall} | {precision} | {} |", hits.expected, hits.wrong));
    }
}

fn calibration(tally: &Tally, text: &mut String) {
    put(text, "\nConfidence of findings of struck payments:\n\n| said | how often | mean | right |\n|---|---|---|---|");
    for (tenth, bin) in &tally.calibration {
        #[allow(clippy::cast_precision_loss, reason = "a count of findings")]
        let mean = bin.sure / bin.said as f64;
        let right = percent(bin.right, bin.said).unwrap_or(0.0);
        let to = if *tenth == 9 { "1.0".to_owned() } else { format!("0.{}", tenth + 1) };
        put(text, &format!("| 0.{tenth} to {to} | {} | {mean:.2} | {right:.1} % |", bin.said));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Hits, Judged};
    use crate::tally::tally;

    #[test]
    fn what_is_not_reached_is_told_so() {
        let kinds = [("not-printed", Hits { expected: 1_000, found: 998, wrong: 2 })].into();
        let text = table(&tally(&[Judged { good: 100_000, alarms: 1, kinds, ..Judged::default() }]));
        assert!(text.contains("| recall of payment findings | 99.80 % | 99.9 % | not reached |"), "{text}");
        assert!(text.contains("| 1.00 (1 of 100000) | at most 1 | reached |"), "{text}");
        assert!(text.contains("| `not-printed` | 1000 | 99.80 % | 99.80 % | 2 |"), "{text}");
        assert!(text.contains("| cause right, where anything was said | none | 90 % |  |"), "{text}");
    }
}
