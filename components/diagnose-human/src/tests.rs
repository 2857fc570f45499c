//! The rule, visited as the runtime does.

use tillwatch_sdk::{
    Instant, Value, ids,
    native::{Key, Native, said},
};
use tillwatch_wit::contract::Action;

use crate::DiagnoseHuman;

const MINUTE: Instant = 60_000;

/// A till; what is said of its operator, a line an action, and the signs that were told.
struct Bench {
    key: Key<DiagnoseHuman>,
    operator: &'static str,
    signs: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self { key: Key::new("T1", ""), operator: "op-1", signs: Vec::new() }
    }

    fn event(&mut self, at: Instant, event: &str, fields: &[(&str, Value)]) -> Vec<String> {
        let fields: Vec<_> =
            [("operator", Value::from(self.operator))].into_iter().chain(fields.iter().cloned()).collect();
        let actions = self.key.event(at, event, &fields);
        self.said(actions)
    }

    fn acts(&mut self, at: Instant, action: &str, dwell: i64, txn: &str) -> Vec<String> {
        let fields = [("action", action.into()), ("dwell_ms", Value::Integer(dwell)), ("subject", txn.into())];
        self.event(at, "pos.operator.action", &fields)
    }

    fn sale(&mut self, at: Instant, txn: &str, amount: i64) -> Vec<String> {
        self.event(at, "pos.payment.authorize", &[("subject", txn.into()), ("amount", Value::Integer(amount))])
    }

    fn answer(&mut self, at: Instant, txn: &str, outcome: &str) -> Vec<String> {
        self.event(at, "pos.payment.response", &[("subject", txn.into()), ("outcome", outcome.into())])
    }

    fn until(&mut self, at: Instant) -> Vec<String> {
        let actions = self.key.until(at);
        self.said(actions)
    }

    fn said(&mut self, actions: Vec<Action>) -> Vec<String> {
        said(actions, &mut self.signs)
    }
}

/// The id of a finding about the first operator.
fn finding(kind: &str) -> String {
    ids::finding("diagnose-human", kind, "operator:op-1", "")
}

/// So many payments, a minute each, with an action now and then.
fn block(bench: &mut Bench, from: Instant, payments: i64, help: i64) -> Vec<String> {
    let mut said = Vec::new();
    for payment in 0..payments {
        let at = from + payment * MINUTE;
        if payment < help {
            said.extend(bench.acts(at, "help", 3_000, ""));
        }
        said.extend(bench.sale(at + 10_000, &format!("P{at}"), at + 1));
        said.extend(bench.answer(at + 11_000, &format!("P{at}"), "approved"));
    }
    said
}

#[test]
fn help_above_the_line_over_thirty_payments_is_a_matter_of_training() {
    let mut bench = Bench::new();
    assert_eq!(block(&mut bench, 0, 30, 4), [""; 0], "13 in a hundred");
    assert_eq!(block(&mut bench, 40 * MINUTE, 30, 5), ["raise operator-help operator:op-1 1 P1 0.5 H4 by 0"]);
    assert_eq!(
        block(&mut bench, 80 * MINUTE, 30, 9),
        [format!("update {} P1 0.6 H4", finding("operator-help"))],
        "twice the line"
    );
    assert_eq!(block(&mut bench, 120 * MINUTE, 30, 0), ["clear operator-help mended"]);
    bench.until(300 * MINUTE);
    let blocks: Vec<&String> = bench.signs.iter().filter(|sign| sign.starts_with("P1 block")).collect();
    assert_eq!(blocks, ["P1 block 4", "P1 block 5", "P1 block 9", "P1 block 0"], "peers are told each");
}

#[test]
fn a_retry_that_mends_a_slip_or_repeats_a_payment_is_no_call_for_help() {
    let mut bench = Bench::new();
    for number in 0..10 {
        bench.acts(number * MINUTE, "retry", 1_000, "P");
        bench.acts(number * MINUTE + 20_000, "wrong-key", 1_000, "");
        bench.acts(number * MINUTE + 23_000, "retry", 1_000, "");
    }
    let said = block(&mut bench, 15 * MINUTE, 30, 0);
    assert!(said.iter().all(|line| !line.contains("operator-help")), "{said:?}");
}

#[test]
fn fewer_payments_than_thirty_say_nothing() {
    let mut bench = Bench::new();
    assert_eq!(block(&mut bench, 0, 29, 29), [""; 0]);
}

#[test]
fn a_long_dwell_counts_by_itself() {
    let mut bench = Bench::new();
    for payment in 0..4 {
        bench.acts(payment * MINUTE, "retry", 10_001, "");
    }
    assert_eq!(block(&mut bench, 5 * MINUTE, 30, 0), ["raise operator-help operator:op-1 1 P1 0.5 H4 by 0"]);
}

#[test]
fn another_operator_begins_anew() {
    let mut bench = Bench::new();
    block(&mut bench, 0, 29, 29);
    bench.operator = "op-2";
    assert_eq!(block(&mut bench, 30 * MINUTE, 2, 0), [""; 0]);
    for minute in [40, 41, 42] {
        bench.acts(minute * MINUTE, "idle", 31_000, "");
    }
    bench.operator = "op-3";
    assert_eq!(bench.acts(43 * MINUTE, "login", 0, ""), ["clear prompts-unanswered expired"]);
}

#[test]
fn three_unanswered_prompts_in_an_hour_and_an_hour_without_them() {
    let mut bench = Bench::new();
    assert_eq!(bench.acts(0, "idle", 30_001, ""), [""; 0]);
    assert_eq!(bench.acts(MINUTE, "idle", 30_000, ""), [""; 0], "in time");
    assert_eq!(bench.acts(30 * MINUTE, "idle", 31_000, ""), [""; 0]);
    assert_eq!(
        bench.acts(60 * MINUTE - 1, "idle", 31_000, ""),
        ["raise prompts-unanswered operator:op-1 1 P2 0.7 P1 by 3"]
    );
    assert_eq!(bench.until(120 * MINUTE - 1), [""; 0]);
    assert_eq!(bench.until(120 * MINUTE), ["clear prompts-unanswered mended"]);
    let signs = std::mem::take(&mut bench.signs);
    assert_eq!(signs, ["P2 prompt 1", "P2 prompt 1", "P2 prompt 1"]);
}

#[test]
fn two_unanswered_prompts_or_three_in_more_than_an_hour_are_a_near_miss() {
    let mut bench = Bench::new();
    for minute in [0, 30, 60, 90] {
        assert_eq!(bench.acts(minute * MINUTE, "idle", 31_000, ""), [""; 0], "{minute}");
    }
}

#[test]
fn five_customers_who_have_paid_and_wait_are_evidence_and_four_are_not() {
    let mut bench = Bench::new();
    for minute in 0..4 {
        assert_eq!(bench.acts(minute * 60 * MINUTE, "idle", 45_000, "P"), [""; 0]);
    }
    assert_eq!(
        bench.acts(400 * MINUTE, "idle", 45_000, "P"),
        ["raise customers-waiting operator:op-1 1 P3 0.6 P2 by 5"]
    );
}

#[test]
fn a_wait_with_a_reason_does_not_count() {
    let fields = |event: &str| match event {
        "pos.print.result" => vec![("state", Value::from("failed"))],
        "pos.app.state" => vec![("state", "anr".into())],
        _ => vec![("kind", "no-answer".into()), ("rule", "correlate-payment".into())],
    };
    for event in ["pos.print.result", "pos.app.state", "pos.finding.raised"] {
        let mut bench = Bench::new();
        for wait in 0..8 {
            bench.event(wait * 20 * MINUTE, event, &fields(event));
            assert_eq!(bench.acts(wait * 20 * MINUTE + 10 * MINUTE, "idle", 45_000, "P"), [""; 0], "{event}");
        }
    }
}

#[test]
fn a_cancel_after_the_approval_is_a_slip_at_once_and_one_before_is_none() {
    let mut bench = Bench::new();
    bench.sale(0, "P", 100);
    assert_eq!(bench.acts(1_000, "cancel", 1_500, "P"), [""; 0]);
    bench.sale(10_000, "Q", 100);
    bench.answer(11_000, "Q", "declined");
    assert_eq!(bench.acts(12_000, "cancel", 1_500, "Q"), [""; 0]);
    bench.sale(20_000, "R", 100);
    bench.answer(21_000, "R", "approved");
    assert_eq!(
        bench.acts(22_000, "cancel", 1_500, "R"),
        [format!("update {} P4 0.85 customer", finding("operator-slips"))],
        "P was never answered: R was the second attempt"
    );
    let mut bench = Bench::new();
    bench.sale(0, "P", 100);
    bench.answer(1_000, "P", "approved");
    assert_eq!(bench.acts(2_000, "cancel", 1_500, "P"), ["raise operator-slips operator:op-1 1 P4 0.85 customer by 1"]);
    assert_eq!(bench.until(15 * MINUTE + 2_001), ["clear operator-slips mended"]);
}

#[test]
fn a_second_attempt_at_an_unanswered_sale_is_a_slip() {
    let said = |second: &str, amount: i64, at: Instant, answered: bool, repeat: bool| {
        let mut bench = Bench::new();
        bench.sale(0, "P", 100);
        if answered {
            bench.answer(1_000, "P", "declined");
        }
        let fields = [("subject", second.into()), ("amount", Value::Integer(amount)), ("repeat", Value::Flag(repeat))];
        bench.event(at, "pos.payment.authorize", &fields).len()
    };
    assert_eq!(said("Q", 100, 9_000, false, false), 1);
    assert_eq!(said("Q", 100, 120_000, false, false), 1);
    for near in [
        said("Q", 101, 9_000, false, false),
        said("Q", 100, 120_001, false, false),
        said("Q", 100, 9_000, true, false),
        said("P", 100, 9_000, false, false),
        said("Q", 100, 9_000, false, true),
    ] {
        assert_eq!(near, 0);
    }
}

#[test]
fn four_small_slips_in_a_quarter_of_an_hour() {
    let mut bench = Bench::new();
    for minute in [0, 4, 8] {
        assert_eq!(bench.acts(minute * MINUTE, "wrong-key", 1_000, ""), [""; 0]);
    }
    assert_eq!(bench.acts(15 * MINUTE, "amount-edit", 1_000, ""), [""; 0], "the first is too old");
    assert_eq!(
        bench.acts(16 * MINUTE, "amount-edit", 1_000, ""),
        ["raise operator-slips operator:op-1 1 P4 0.55 P1 by 4"]
    );
}

#[test]
fn a_wrong_key_after_a_long_look_is_no_slip() {
    let mut bench = Bench::new();
    for minute in 0..6 {
        assert_eq!(bench.acts(minute * MINUTE, "wrong-key", 10_001, ""), [""; 0]);
    }
    bench.until(60 * MINUTE);
    assert!(bench.signs.iter().all(|sign| sign.starts_with("P1")), "{:?}", bench.signs);
}

/// A finding about a payment.
fn stuck(bench: &mut Bench, at: Instant, kind: &str, txn: &str) -> Vec<String> {
    let fields =
        [("kind", kind.into()), ("finding", "f".into()), ("txn", txn.into()), ("rule", "correlate-payment".into())];
    bench.event(at, "pos.finding.raised", &fields)
}

#[test]
fn a_sale_that_was_given_up_and_begun_again_is_stuck_by_that() {
    let mut bench = Bench::new();
    bench.sale(0, "P", 100);
    bench.sale(9_000, "Q", 100);
    bench.answer(10_000, "Q", "approved");
    assert_eq!(stuck(&mut bench, 20_000, "approved-undelivered", "P"), ["update f P4 0.85 N4"]);
    assert_eq!(stuck(&mut bench, 20_000, "approved-undelivered", "Q"), [""; 0], "the second is not");
    assert_eq!(stuck(&mut bench, 21_000, "not-printed", "P"), [""; 0], "no hand makes a printer fail");
    // Another amount is another sale.
    let mut bench = Bench::new();
    bench.sale(0, "P", 100);
    bench.sale(9_000, "Q", 101);
    assert_eq!(stuck(&mut bench, 20_000, "approved-undelivered", "P"), [""; 0]);
}

#[test]
fn a_payment_that_waits_for_the_customer_is_the_customers() {
    let mut bench = Bench::new();
    bench.sale(0, "P", 100);
    bench.answer(1_000, "P", "pending");
    assert_eq!(stuck(&mut bench, 45_000, "no-answer", "P"), ["update f customer 0.85 N4"]);
    assert_eq!(stuck(&mut bench, 46_000, "no-answer", "Q"), [""; 0], "another one");
    // Confirmed, and then lost on the way.
    bench.answer(47_000, "P", "approved");
    assert_eq!(stuck(&mut bench, 53_000, "no-answer", "P"), [""; 0]);
    // Never heard of.
    let mut bench = Bench::new();
    bench.sale(0, "P", 100);
    assert_eq!(stuck(&mut bench, 45_000, "no-answer", "P"), [""; 0]);
}

#[test]
fn nobody_is_meant_where_nobody_is_named() {
    let mut key = Key::<DiagnoseHuman>::new("T1", "");
    for minute in 0..6 {
        let fields = [("action", Value::from("idle")), ("dwell_ms", Value::Integer(60_000))];
        assert_eq!(key.event(minute * MINUTE, "pos.operator.action", &fields), []);
    }
    assert_eq!(key.wake(), None);
}

#[test]
fn prompts_that_come_late_count_at_their_own_time() {
    let mut bench = Bench::new();
    let fields = [("action", Value::from("idle")), ("dwell_ms", Value::Integer(60_000)), ("operator", "op-1".into())];
    let now = 180 * MINUTE;
    let told: Vec<_> = [0, 150, 160, 170]
        .into_iter()
        .flat_map(|minute| bench.key.late(minute * MINUTE, now, "pos.operator.action", &fields))
        .collect();
    assert_eq!(bench.said(told), ["raise prompts-unanswered operator:op-1 1 P2 0.7 P1 by 3"]);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let refused = |settings: &str| Native::<DiagnoseHuman>::with_settings(settings).expect_err("it is refused");
    for key in ["payments_min", "prompt_ms", "prompts_min", "waits_min", "shift_ms", "slips_min", "trouble_ms"] {
        assert!(refused(&format!("{{\"{key}\":0}}")).contains(key));
    }
    assert!(refused(r#"{"prompts_min":21}"#).contains("prompts_min"));
    assert!(refused(r#"{"prompt":1}"#).contains("prompt"));
}
