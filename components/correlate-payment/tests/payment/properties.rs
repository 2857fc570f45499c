//! Random histories: what must hold whatever happens.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tillwatch_wit::contract::Action;

use crate::script::{START, Till};

const STAGES: [&str; 4] = ["no-answer", "approved-undelivered", "not-shown", "not-printed"];

/// What a state may take; ids of 26 characters, as ULIDs have.
const STATE_BYTES_MAX: usize = 400;

fn what() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "authorize",
        "authorize",
        "host approved",
        "host approved",
        "host declined",
        "host pending",
        "terminal approved",
        "terminal declined",
        "notify approved",
        "shown approved",
        "shown declined",
        "print printed",
        "print failed",
        "print accepted",
        "announce done",
        "confirm",
        "ledger paid",
        "ledger reversed",
        "status paid",
        "status not-paid",
        "status refunded",
        "status in-progress",
        "reversal request",
        "reversal response approved",
        "reversal response declined",
        "unresolved queries",
    ])
}

/// (ms since the last event, how late it is, what).
fn history() -> impl Strategy<Value = Vec<(i64, Option<i64>, &'static str)>> {
    let gap = prop_oneof![5 => 0_i64..3_000, 3 => 3_000_i64..40_000, 1 => 40_000_i64..700_000];
    let late = prop_oneof![4 => Just(None), 1 => (501_i64..200_000).prop_map(Some)];
    prop::collection::vec((gap, late, what()), 1..24)
}

/// Follows what is open; panics where a finding is raised twice or cleared without being open.
#[derive(Default)]
struct Ledger {
    open: BTreeMap<String, u32>,
    generations: BTreeMap<String, u32>,
}

impl Ledger {
    fn take(&mut self, action: &Action) {
        match action {
            Action::Raise(finding) => {
                let generation = self.generations.entry(finding.kind.clone()).or_default();
                *generation += 1;
                assert_eq!(finding.generation, *generation);
                assert_eq!(self.open.insert(finding.kind.clone(), 1), None, "{} was open", finding.kind);
            }
            Action::Clear(cleared) => {
                assert!(self.open.remove(&cleared.kind).is_some(), "{} was not open", cleared.kind);
                if cleared.resolution == "superseded" || cleared.resolution == "proved-wrong" {
                    assert_eq!(cleared.after_ms, 0);
                }
            }
            other => panic!("not an action of this rule: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn findings_are_coherent_states_small_and_everything_ends(
        history in history(),
        qr in any::<bool>(),
        ledger in any::<bool>(),
    ) {
        let settings = if ledger { r#"{"defaults":{"expects":["display","receipt","ledger"]}}"# } else { "" };
        let mut till = if qr { Till::qr(settings) } else { Till::card(settings) };
        let mut books = Ledger::default();
        let mut seen = 0;
        let mut now = 0;
        let mut money_back = false;
        for (gap, late, what) in history {
            now += gap;
            let empty_before = till.state.is_empty();
            till.until(START + now);
            if till.state.is_empty() && !empty_before {
                // It was forgotten and begins anew.
                books.generations.clear();
                money_back = false;
            }
            let line = late.map_or_else(|| format!("{now} {what}"), |late| format!("{now} late {} {what}", now - late));
            let before = till.actions.len();
            till.line(&line);
            for (_, action) in &till.actions[seen..] {
                books.take(action);
            }
            if money_back {
                for (_, action) in &till.actions[before..] {
                    let unresolved = match action {
                        Action::Raise(finding) => finding.kind == "unresolved",
                        Action::Clear(cleared) => cleared.kind == "unresolved",
                        _ => false,
                    };
                    prop_assert!(unresolved, "{what}: {action:?}");
                }
            }
            seen = till.actions.len();
            money_back |= matches!(what, "status refunded" | "reversal response approved");
            let stages = STAGES.iter().filter(|stage| books.open.contains_key(**stage)).count();
            prop_assert!(stages <= 1, "{:?}", books.open);
            prop_assert!(!money_back || books.open.keys().all(|kind| kind == "unresolved"), "{:?}", books.open);
            prop_assert!(till.state.len() <= STATE_BYTES_MAX, "{} bytes", till.state.len());
        }
        till.until(START + now + 3 * 24 * 3_600_000);
        for (_, action) in &till.actions[seen..] {
            books.take(action);
        }
        prop_assert!(till.state.is_empty());
        prop_assert!(books.open.is_empty(), "{:?}", books.open);
    }

    #[test]
    fn a_duplicate_says_nothing_new(history in history(), again in any::<prop::sample::Index>()) {
        // The core drops true duplicates; two reports of one fact at one moment are the rule's own matter.
        let again = again.index(history.len());
        let told = |twice: bool| {
            let mut till = Till::card("");
            let mut now = 0;
            for (index, (gap, late, what)) in history.iter().enumerate() {
                now += gap;
                let line = late.map_or_else(|| format!("{now} {what}"), |late| format!("{now} late {} {what}", now - late));
                till.line(&line);
                if twice && index == again {
                    till.line(&line);
                }
            }
            till.until(START + now + 3 * 24 * 3_600_000);
            let kinds: Vec<String> = till.actions.iter().map(|(at, action)| match action {
                Action::Raise(finding) => format!("{at} + {} {:?}", finding.kind, finding.deadline),
                Action::Clear(cleared) => format!("{at} - {} {} {}", cleared.kind, cleared.resolution, cleared.after_ms),
                other => panic!("not an action of this rule: {other:?}"),
            }).collect();
            kinds
        };
        prop_assert_eq!(told(false), told(true));
    }
}
