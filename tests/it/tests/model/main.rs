//! Random histories of many payments, late, early, out of order, twice and in part: core and `correlate-payment` say what a plain reading of
//! `docs/spec/payment.md` says, line for line.

mod commands;
mod history;
mod reading;
mod says;

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use tillwatch_core::{
    output::{Data, Output},
    partition::{Partition, Settings},
    rules::Rules,
};
use tillwatch_it::cases::{Setup, native::NativeRules};

use history::{LATENESS, Payment, Rail, START, Step, What, arrivals, handed_out, key, records};
use reading::{Line, Windows, read};

/// Settings as the rule gets them, and as the reading does.
fn settings(variant: usize, rail: Rail) -> (&'static str, Windows) {
    let windows = Windows {
        response: if rail == Rail::Wechat { 45_000 } else { 65_000 },
        terminal: 60_000,
        delivery: 5_000,
        display: 5_000,
        print: 10_000,
        reversal: 30_000,
        reversal_answer: 30_000,
        sync: 60_000,
        slow: 15_000,
        grace: 5_000,
        expects_display: true,
        expects_receipt: true,
        expects_ledger: false,
    };
    match variant {
        0 => ("{}", windows),
        1 => (
            r#"{"defaults":{"expects":["display","receipt","ledger"],"sync_ms":20000}}"#,
            Windows { expects_ledger: true, sync: 20_000, ..windows },
        ),
        2 => (r#"{"defaults":{"expects":["receipt"]}}"#, Windows { expects_display: false, ..windows }),
        3 => (
            r#"{"defaults":{"expects":["display","ledger"],"late_grace_ms":0,"slow_ms":5000},"rails":{"wechat":{"response_ms":5000},"other":{"response_ms":5000},"card":{"response_ms":5000,"terminal_ms":5000,"reversal_ms":5000}}}"#,
            Windows {
                expects_receipt: false,
                expects_ledger: true,
                grace: 0,
                slow: 5_000,
                response: 5_000,
                terminal: if rail == Rail::Card { 5_000 } else { 60_000 },
                reversal: if rail == Rail::Card { 5_000 } else { 30_000 },
                ..windows
            },
        ),
        _ => (r#"{"defaults":{"expects":[]}}"#, Windows { expects_display: false, expects_receipt: false, ..windows }),
    }
}

fn outcome() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just("approved"), 1 => Just("partial"), 3 => Just("declined"), 1 => Just("pending"), 1 => Just("unknown")]
}

fn what() -> impl Strategy<Value = What> {
    let result = prop_oneof![
        4 => Just("paid"),
        4 => Just("not-paid"),
        1 => Just("in-progress"),
        1 => Just("not-found"),
        1 => Just("refunded"),
        1 => Just("revoked"),
        1 => Just("unknown"),
    ];
    prop_oneof![
        8 => Just(What::Authorize { repeat: false }),
        1 => Just(What::Authorize { repeat: true }),
        6 => (any::<bool>(), outcome()).prop_map(|(terminal, outcome)| What::Response { terminal, outcome }),
        2 => outcome().prop_map(|outcome| What::Notify { outcome }),
        4 => (result, prop_oneof![Just(None), moment().prop_map(Some)])
            .prop_map(|(result, age)| What::Status { result, age }),
        4 => prop_oneof![3 => Just("approved"), 1 => Just("declined"), 1 => Just("unknown")]
            .prop_map(|shown| What::Display { shown }),
        4 => prop_oneof![Just("accepted"), Just("printed"), Just("failed")].prop_map(|state| What::Print { state }),
        1 => prop_oneof![Just("done"), Just("failed")].prop_map(|state| What::Announce { state }),
        1 => Just(What::Confirm),
        3 => (any::<bool>(), prop_oneof![Just("approved"), Just("declined"), Just("unknown")])
            .prop_map(|(request, outcome)| What::Reversal { request, outcome }),
        2 => prop_oneof![Just("paid"), Just("unpaid"), Just("reversed")].prop_map(|state| What::Ledger { state }),
    ]
}

/// Spans of time, often exactly a window's length or one millisecond beside it.
fn moment() -> impl Strategy<Value = i64> {
    let windows = prop::sample::select(vec![
        5_000_i64, 10_000, 15_000, 20_000, 30_000, 40_000, 45_000, 50_000, 60_000, 65_000, 90_000,
    ]);
    prop_oneof![
        6 => 0..3_000_i64,
        6 => (windows, -1..=1_i64).prop_map(|(window, beside)| window + beside),
        1 => (Just(600_000_i64), -1..=1_i64).prop_map(|(window, beside)| window + beside),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let lag = prop_oneof![6 => Just(0_i64), 4 => 0..=501_i64, 1 => moment(), 1 => 0..300_000_i64];
    let again = prop_oneof![9 => Just(None), 1 => moment().prop_map(Some)];
    (moment(), lag, what(), again).prop_map(|(gap, lag, what, again)| Step { gap, lag, what, again })
}

fn payment() -> impl Strategy<Value = Payment> {
    let rail = prop_oneof![3 => Just(Rail::Card), 1 => Just(Rail::Wechat), 1 => Just(Rail::Other)];
    (0..3_u8, rail, 0..120_000_i64, prop::collection::vec(step(), 1..10))
        .prop_map(|(terminal, rail, start, steps)| Payment { terminal, rail, start, steps })
}

fn engine(payments: &[Payment], settings: &str, end: i64) -> Result<BTreeMap<String, Vec<Line>>, TestCaseError> {
    const RULE: &str = "correlate-payment";
    let settings = serde_json::from_str(settings).expect("settings are JSON");
    let setup = Setup {
        rules: Some(vec![RULE.to_owned()]),
        settings: BTreeMap::from([(RULE.to_owned(), settings)]),
        ..Setup::default()
    };
    let mut rules = NativeRules::new(&setup);
    let mut partition = Partition::new(0, Arc::new(Settings::default()), rules.descriptors()).expect("one rule fits");
    let mut out = Vec::new();
    let mut records = records(payments, &arrivals(payments), end);
    partition.step(&mut records, &mut rules, &mut out).expect("nothing stalls");
    let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for Output { time, data, .. } in out {
        let (finding, cleared) = match data {
            Data::Raised(finding) => (finding, None),
            Data::Cleared(finding, how) => {
                let after = i64::try_from(how.after_ms).expect("a span");
                (finding, Some((how.resolution, how.cleared_by, after)))
            }
            Data::Updated(_) => continue,
            other => return Err(TestCaseError::fail(format!("neither raised nor cleared: {other:?}"))),
        };
        if finding.rule != RULE {
            continue;
        }
        let txn = finding.txn.expect("a finding about a payment names it");
        let line = Line {
            at: time,
            kind: finding.kind,
            generation: finding.generation,
            deadline: finding.deadline.expect("a finding about a payment has a deadline"),
            cleared,
        };
        lines.entry(txn).or_default().push(line);
    }
    Ok(lines)
}

/// An authorize and then silence, by hand: so that neither side of the comparison can be empty.
#[test]
fn silence_after_authorize() {
    let authorize = Step { gap: 0, lag: 0, what: What::Authorize { repeat: false }, again: None };
    let payments = [Payment { terminal: 0, rail: Rail::Card, start: 0, steps: vec![authorize] }];
    let end = START + 3_600_000;
    let line = |span: i64, kind: &str, deadline: i64, cleared| Line {
        at: START + span,
        kind: kind.to_owned(),
        generation: 1,
        deadline: START + deadline,
        cleared,
    };
    let expected = vec![
        line(15_000, "slow-answer", 15_000, None),
        line(65_000, "no-answer", 65_000, None),
        line(65_000, "slow-answer", 15_000, Some(("superseded".to_owned(), None, 0))),
        line(90_000, "reversal-missing", 90_000, None),
    ];
    let (text, windows) = settings(0, Rail::Card);
    let found = engine(&payments, text, end).expect("only findings");
    assert_eq!(found.get(&key(0, &payments[0])), Some(&expected));
    assert_eq!(read(Rail::Card, &windows, &handed_out(&arrivals(&payments), 0), end - LATENESS), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_rule_says_what_a_plain_reading_says(
        payments in prop::collection::vec(payment(), 1..12),
        variant in 0..5_usize,
        days in 0..=1_i64,
    ) {
        let arrivals = arrivals(&payments);
        let last = arrivals.iter().map(|arrival| arrival.ingest).max().unwrap_or(START);
        let end = last + 7_200_000 + days * 86_400_000;
        let found = engine(&payments, settings(variant, Rail::Card).0, end)?;
        for (number, payment) in payments.iter().enumerate() {
            let windows = settings(variant, payment.rail).1;
            let events = handed_out(&arrivals, number);
            let expected = read(payment.rail, &windows, &events, end - LATENESS);
            let got = found.get(&key(number, payment)).cloned().unwrap_or_default();
            prop_assert_eq!(&got, &expected, "payment {} saw {:#?}", number, events);
        }
    }
}
