//! What must hold whatever the events.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tillwatch_sdk::Command;

use super::*;

/// One thing that happens, a while after the one before, to one of four payments.
#[derive(Clone, Debug)]
struct Step {
    after: i64,
    payment: usize,
    what: usize,
}

const PAYMENTS: [&str; 4] = [CARD, CARD_2, QR, QR_2];
const FINDINGS: [&str; 7] = [
    "no-answer",
    "reversal-unanswered",
    "approved-undelivered",
    "not-shown",
    "not-printed",
    "reversal-missing",
    "late-approval",
];
const EVENTS: usize = 24;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after = prop_oneof![Just(0), 1_i64..3_000, 3_000_i64..70_000];
    let what = 0..EVENTS + 2 * FINDINGS.len();
    let step = (after, 0..PAYMENTS.len(), what).prop_map(|(after, payment, what)| Step { after, payment, what });
    prop::collection::vec(step, 1..60)
}

fn act(bench: &mut Bench, at: Instant, step: &Step, seen: &Seen) {
    let txn = PAYMENTS[step.payment];
    let state = |state: &str| of(txn, &[("state", text(state))]);
    let attempt = 1 + u32::try_from(step.payment % 2).expect("small");
    let _ = match step.what {
        0..=2 => bench.authorize(at, txn),
        3 => bench.host(at, txn, "approved"),
        4 => bench.host(at, txn, "declined"),
        5 => bench.terminal(at, txn, "approved"),
        6 => bench.event(at, "pos.payment.confirm", &of(txn, &[])),
        7 => bench.event(at, "pos.payment.display", &of(txn, &[("shown", text("approved"))])),
        8 => bench.event(at, "pos.print.result", &state("printed")),
        9 => bench.event(at, "pos.print.result", &of(txn, &[("state", text("failed")), ("fault", text("jam"))])),
        10 => bench.reversal(at, txn, "request"),
        11 => bench.reversal(at, txn, "response"),
        12 => bench.status(at, txn, "paid"),
        13 => bench.status(at, txn, "not-paid"),
        14 => bench.status(at, txn, "in-progress"),
        15 => bench.status(at, txn, "revoked"),
        16 => bench.heartbeat(at),
        17 => bench.printer(at, "ok"),
        18 => bench.printer(at, "no-paper"),
        19 => bench.result(at, id(txn, "query-status", 1, attempt), "failed"),
        20 => bench.result(at, id(txn, "redeliver-result", 1, 1), "refused"),
        21 => bench.result(at, id(txn, "flush-pending-reversal", 1, attempt), "done"),
        22 => bench.raised_with(at, txn, "unresolved", &[("why", text("contradiction"))]),
        23 => bench.event(at, "pos.payment.notify", &of(txn, &[("outcome", text("approved"))])),
        what if what < EVENTS + FINDINGS.len() => {
            let mut facts = vec![
                ("goods", Value::Flag(seen.goods.get(&step.payment).is_some_and(|seen| *seen <= at))),
                ("reversal_seen", Value::Flag(seen.reversal.get(&step.payment).is_some_and(|seen| *seen <= at))),
            ];
            let authorize = seen.authorize.get(&step.payment).filter(|seen| **seen <= at);
            facts.extend(authorize.map(|authorize| ("authorized_at", Value::Integer(*authorize))));
            facts.extend(authorize.map(|authorize| ("gives_up_at", Value::Integer(authorize + 60_000))));
            bench.raised_with(at, txn, FINDINGS[what - EVENTS], &facts)
        }
        what => bench.cleared(at, txn, FINDINGS[what - EVENTS - FINDINGS.len()]),
    };
}

/// What was seen by each moment, as plainly as can be.
#[derive(Default)]
struct Seen {
    goods: BTreeMap<usize, Instant>,
    reversal: BTreeMap<usize, Instant>,
    authorize: BTreeMap<usize, Instant>,
    contradiction: BTreeMap<usize, Instant>,
}

fn seen(steps: &[Step]) -> Seen {
    let mut seen = Seen::default();
    let mut at = 0;
    for step in steps {
        at += step.after;
        let map = match step.what {
            0..=2 => &mut seen.authorize,
            6..=8 => &mut seen.goods,
            10 | 11 => &mut seen.reversal,
            22 => &mut seen.contradiction,
            _ => continue,
        };
        map.entry(step.payment).or_insert(at);
    }
    seen
}

fn run(steps: &[Step]) -> Vec<(Instant, Action)> {
    // What is forgotten may begin anew, with the same numbers; here nothing is.
    let (mut bench, seen) = (Bench::with(r#"{"remember_ms":86400000}"#), seen(steps));
    let mut at = 0;
    for step in steps {
        at += step.after;
        act(&mut bench, at, step, &seen);
    }
    bench.until(at + 3_600_000);
    bench.said
}

fn payment(command: &Command) -> usize {
    PAYMENTS.iter().position(|txn| Some(*txn) == command.txn.as_deref()).expect("a known payment")
}

fn before(map: &BTreeMap<usize, Instant>, payment: usize, at: Instant) -> bool {
    map.get(&payment).is_some_and(|seen| *seen < at)
}

fn is_safe(seen: &Seen, at: Instant, command: &Command) -> Result<(), TestCaseError> {
    let payment = payment(command);
    prop_assert!(
        ["query-status", "redeliver-result", "reprint", "display-guide", "flush-pending-reversal"]
            .contains(&command.kind.as_str())
    );
    prop_assert!(command.not_before == at && at < command.expires_at, "{command:?} at {at}");
    prop_assert!(command.attempt >= 1 && command.attempt <= command.max_attempts, "{command:?}");
    let reversed = before(&seen.reversal, payment, at);
    if command.kind == "flush-pending-reversal" {
        prop_assert!(!reversed && !before(&seen.goods, payment, at), "{command:?}");
        prop_assert_eq!(command.rail.as_deref(), Some("card"));
        let authorize = seen.authorize.get(&payment).filter(|authorize| **authorize < at);
        prop_assert!(authorize.is_none_or(|authorize| at >= authorize + 60_000), "not given up yet: {command:?}");
        if let (Some(own), Some(other)) = (seen.authorize.get(&payment), seen.authorize.get(&(1 - payment))) {
            prop_assert!(!(other > own && *other < at), "a newer card sale has begun: {command:?}");
        }
    }
    if matches!(command.kind.as_str(), "redeliver-result" | "reprint") {
        prop_assert!(!reversed && !before(&seen.contradiction, payment, at), "{command:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn commands_are_safe_open_once_and_named_once(steps in steps()) {
        let said = run(&steps);
        let seen = seen(&steps);
        let mut ids = BTreeSet::new();
        let mut open: BTreeMap<(usize, String), (Instant, u32, u32)> = BTreeMap::new();
        let mut cancelled = BTreeSet::new();
        for (at, action) in &said {
            match action {
                Action::Command(command) => {
                    is_safe(&seen, *at, command)?;
                    let name = (payment(command), command.kind.clone());
                    prop_assert!(ids.insert((name.clone(), command.chain, command.attempt)), "sent twice: {command:?}");
                    if let Some((_, chain, attempt)) = open.get(&name) {
                        prop_assert!((command.chain, command.attempt) > (*chain, *attempt), "{command:?}");
                    }
                    open.insert(name, (command.expires_at, command.chain, command.attempt));
                }
                Action::Cancel(cancel) => {
                    let payment = PAYMENTS.iter().position(|txn| Some(*txn) == cancel.txn.as_deref()).expect("known");
                    let (until, chain, attempt) = open[&(payment, cancel.kind.clone())];
                    prop_assert_eq!((chain, attempt), (cancel.chain, cancel.attempt), "the open one is taken back");
                    prop_assert!(*at <= until, "{cancel:?} at {at} was over at {until}");
                    prop_assert!(cancelled.insert((payment, cancel.kind.clone(), chain, attempt)), "twice: {cancel:?}");
                }
                _ => {}
            }
        }
        prop_assert_eq!(said, run(&steps), "the same again");
    }
}
