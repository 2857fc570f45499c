//! Random histories of terminals: core, `correlate-payment` and `compensate` say what a plain reading of "Commands" says, command by command.

mod calls;
mod chain;
mod engine;
mod facts;
mod generate;
mod history;
mod reading;
mod steps;

use std::{collections::BTreeSet, fmt::Write as _};

use proptest::prelude::*;

use crate::{
    history::{LATENESS, Rail, START, What},
    says::{answered_decline, approval, money_back},
    settings,
};
use generate::{History, history};
use history::{Arrival, Happens, Payment, handed_out};
use reading::{Line, Said, read};

/// The answers of targets are added one by one, each against what the engine says with those before it.
fn with_replies(history: &History, payments: &[Payment], settings: &str) -> Result<Vec<Arrival>, TestCaseError> {
    let mut arrivals = history.arrivals();
    for (index, reply) in history.replies.iter().enumerate() {
        let (said, _) = engine::engine(payments, &arrivals, settings, end(&arrivals))?;
        arrivals.extend(reply.arrival(index, &said, payments));
        arrivals.sort_by_key(|arrival| arrival.ingest);
    }
    Ok(arrivals)
}

fn end(arrivals: &[Arrival]) -> i64 {
    arrivals.iter().map(|arrival| arrival.ingest).max().unwrap_or(START) + 3_600_000
}

/// Commands, and what a person was called for.
type Lines = (Vec<Line>, Vec<Line>);

/// By payment, by time; of one instant what is taken back comes first.
fn by_payment(payments: usize, lines: &[Line]) -> Vec<Lines> {
    let of = |number| {
        let mut lines: Vec<Line> = lines.iter().filter(|line| line.payment == number).cloned().collect();
        lines.sort();
        lines.into_iter().partition(|line| !matches!(line.said, Said::Unresolved { .. }))
    };
    (0..payments).map(of).collect()
}

/// Payments with answers of both kinds. The rule need not remember all that would tell whether a reversal is due, and then calls for a
/// person rather once too often.
fn ambiguous(arrivals: &[Arrival]) -> BTreeSet<usize> {
    let all = |test: fn(What) -> bool| -> BTreeSet<usize> {
        let about = arrivals.iter().filter_map(|arrival| match arrival.happens {
            Happens::Payment { payment, what, .. } if test(what) => Some(payment),
            _ => None,
        });
        about.collect()
    };
    let refuses = |what| {
        answered_decline(what)
            || matches!(what, What::Status { result: "not-paid", .. } | What::Display { shown: "declined" })
    };
    let money_moved = |what| approval(what) || money_back(what);
    &all(money_moved) & &all(refuses)
}

fn is_about_goods(line: &Line) -> bool {
    matches!(&line.said, Said::Unresolved { why, .. } if why == "goods")
}

/// A disagreement as a person reads it: ms from the start.
fn show(number: usize, payments: &[Payment], arrivals: &[Arrival], got: &Lines, wanted: &Lines) -> String {
    let mut text = format!("\npayment {number} of {payments:?}\n");
    for Arrival { id, time, ingest, happens, .. } in arrivals {
        let _ = writeln!(text, "{id} at {} came {}: {happens:?}", time - START, ingest - START);
    }
    for (who, lines) in [("the rule", got), ("the reading", wanted)] {
        let _ = writeln!(text, "{who} says");
        for Line { at, said, .. } in lines.0.iter().chain(&lines.1) {
            let _ = writeln!(text, "  {} {said:?}", at - START);
        }
    }
    text
}

fn check(history: &History, variant: usize) -> Result<(), TestCaseError> {
    let payments = history.payments();
    let windows = |rail| settings(variant, rail).1;
    let text = settings(variant, Rail::Card).0;
    let arrivals = with_replies(history, &payments, text)?;
    let end = end(&arrivals);
    let (mut said, mut changes) = engine::engine(&payments, &arrivals, text, end)?;
    let ambiguous = ambiguous(&arrivals);
    let mut expected = Vec::new();
    for terminal in 0..2 {
        let events = handed_out(&arrivals, terminal);
        let changes = changes.remove(&terminal).unwrap_or_default();
        expected.extend(read(terminal, &payments, &windows, &events, &changes, end - LATENESS));
    }
    for lines in [&mut said, &mut expected] {
        lines.retain(|line| !(is_about_goods(line) && ambiguous.contains(&line.payment)));
    }
    let (got, wanted) = (by_payment(payments.len(), &said), by_payment(payments.len(), &expected));
    for (number, (got, wanted)) in got.into_iter().zip(wanted).enumerate() {
        prop_assert!(got == wanted, "{}", show(number, &payments, &arrivals, &got, &wanted));
    }
    Ok(())
}

/// At least so many histories, more where `PROPTEST_CASES` says so.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(cases), failure_persistence: None, max_shrink_iters: 20_000, ..default }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn commands_are_what_a_plain_reading_says(history in history(), variant in 0..5_usize) {
        check(&history, variant)?;
    }
}
