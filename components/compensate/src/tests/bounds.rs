//! What is kept, how much of it, and what happens at the bounds; settings; whose findings count.

use super::*;
use crate::till::PAYMENTS_MAX;

fn card(number: usize) -> String {
    format!("A01:M0000042:T0000123:000017:{number:06}")
}

#[test]
fn one_payment_too_many_and_the_oldest_gives_way() {
    let mut bench = Bench::new();
    for number in 0..PAYMENTS_MAX {
        let at = 90_000 + i64::try_from(number).expect("few");
        bench.raised_with(at, &card(number), "approved-undelivered", &late_facts(at));
    }
    assert_eq!(bench.lines().len(), PAYMENTS_MAX);
    bench.raised_with(91_000, &card(900), "approved-undelivered", &late_facts(91_000));
    assert_eq!(
        bench.lines(),
        [
            "91000 cancel redeliver-result 1.1 evicted",
            "91000 unresolved evicted",
            "91000 redeliver-result 1.1/1 to terminal:T1 until 146000 for approved-undelivered",
        ]
    );
    bench.raised(91_001, &card(0), "no-answer").until(95_000);
    assert_eq!(
        bench.lines(),
        ["91001 cancel redeliver-result 1.1 evicted", "91001 unresolved evicted"],
        "a person has the first one"
    );
    assert!(bench.state_bytes() < 40_000, "{} bytes", bench.state_bytes());
}

#[test]
fn a_masked_key_gets_no_commands_and_a_person_is_told() {
    for txn in ["A01:M1:T1:000017:422222***2222", "W01:M1:202611******0042"] {
        let mut bench = Bench::new();
        bench.event(1_000, "pos.payment.authorize", &of(txn, &[])).until(40_000);
        assert_eq!(bench.lines(), [""; 0], "no queries before the answer of {txn}");
        bench.raised(46_000, txn, "no-answer").raised(61_000, txn, "not-printed");
        bench.event(62_000, "pos.payment.status", &of(txn, &[("result", text("paid"))]));
        bench.raised(62_000, txn, "late-approval").until(400_000);
        assert_eq!(
            bench.lines(),
            ["46000 unresolved masked", "61000 unresolved masked", "62000 unresolved masked"],
            "of {txn}, each time that a finding would call for commands"
        );
    }
}

fn late_facts(at: Instant) -> [(&'static str, Value); 2] {
    [("authorized_at", Value::Integer(at)), ("gives_up_at", Value::Integer(at + 60_000))]
}

#[test]
fn the_largest_state_fits() {
    let mut bench = Bench::new();
    let long = |number: usize| format!("{:0>32}:{:0>59}:T1:B:{number:0>30}", "A", "M");
    let known = [("acquirer", text(&"A".repeat(32)))];
    for number in 0..3 * PAYMENTS_MAX {
        bench.event(1_000, "pos.payment.authorize", &of(&long(number), &known));
    }
    for number in 0..2 * PAYMENTS_MAX {
        for kind in ["no-answer", "reversal-missing", "reversal-unanswered", "late-approval"] {
            let id = ("finding", text(&"f".repeat(32)));
            let mut fields = finding(&long(number), kind, &[known[0].clone(), ("cause", text(&"c".repeat(32)))]);
            fields.retain(|(name, _)| *name != "finding");
            fields.push(id);
            bench.event(95_000, "pos.finding.raised", &fields);
        }
    }
    bench.until(96_500);
    assert!(bench.failed.is_empty() && bench.state_bytes() > 30_000, "{} bytes", bench.state_bytes());
}

#[test]
fn names_too_long_to_keep_fail_the_visit_and_nothing_else() {
    let mut bench = Bench::new();
    bench.authorize(0, &format!("A:{}", "x".repeat(127)));
    bench.event(1, "pos.payment.authorize", &[("subject", text(QR)), ("rail", text(&"r".repeat(33)))]);
    assert_eq!(
        bench.failed,
        [
            "`subject` has 129 bytes, at most 128 can be kept: no commands for this event",
            "`rail` has 33 bytes, at most 32 can be kept: no commands for this event",
        ]
    );
    bench.raised(1_000, CARD, "not-printed");
    assert_eq!(bench.lines().len(), 1);
}

#[test]
fn payments_that_need_nothing_never_drive_out_those_that_do() {
    let mut bench = Bench::new();
    bench.raised(1_000, &card(0), "no-answer").lines();
    for number in 1..1_000 {
        bench.authorize(2_000, &card(number));
    }
    assert!(bench.state_bytes() < 20_000, "{} bytes", bench.state_bytes());
    bench.until(3_000);
    assert!(bench.lines()[0].contains("query-status 1.1/5"));
}

#[test]
fn a_payment_that_went_well_leaves_next_to_nothing() {
    let mut bench = Bench::new();
    for number in 0..100_u32 {
        let at = i64::from(number) * 20_000;
        let txn = card(number as usize);
        bench.authorize(at, &txn).host(at + 2_000, &txn, "approved").terminal(at + 2_300, &txn, "approved");
        bench.event(at + 2_500, "pos.payment.display", &of(&txn, &[("shown", text("approved"))]));
        bench.event(at + 5_000, "pos.print.result", &of(&txn, &[("state", text("printed"))]));
    }
    assert_eq!(bench.lines(), [""; 0]);
    assert!(bench.state_bytes() < 400, "{} bytes", bench.state_bytes());
}

#[test]
fn an_undelivered_payment_is_forgotten_in_the_end() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).until(1_000_000).heartbeat(1_000_000);
    assert!(bench.state_bytes() < 40, "{} bytes", bench.state_bytes());
}

#[test]
fn a_payment_whose_chains_have_ended_is_forgotten_after_a_while() {
    let mut bench = Bench::new();
    bench.raised(1_000, CARD, "no-answer").until(300_000).cleared(300_000, CARD, "no-answer");
    bench.raised(800_000, CARD, "reversal-unanswered").until(801_500);
    assert!(bench.lines().last().is_some_and(|line| line.contains("query-status 2.1/5")));
    bench.cleared(802_000, CARD, "reversal-unanswered").until(2_000_000).heartbeat(2_000_000);
    assert!(bench.state_bytes() < 40, "{} bytes", bench.state_bytes());
}

#[test]
fn findings_of_other_rules_call_for_nothing() {
    let mut bench = Bench::new();
    let mut fields = finding(CARD, "reversal-missing", &[]);
    fields.retain(|(name, _)| *name != "rule");
    fields.push(("rule", text("somebody-else")));
    bench.authorize(0, CARD).event(90_000, "pos.finding.raised", &fields).until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn kinds_that_call_for_nothing_send_nothing() {
    for kind in ["slow-answer", "unsynced", "unresolved", "double-charge", "something-new"] {
        let mut bench = Bench::new();
        bench.authorize(0, CARD).raised(20_000, CARD, kind).cleared(30_000, CARD, kind).until(1_000_000);
        assert_eq!(bench.lines(), [""; 0], "{kind}");
    }
}

#[test]
fn rail_and_acquirer_are_read_from_the_transaction_key_where_nothing_says_them() {
    let mut bench = Bench::new();
    let raised = |txn: &str| {
        vec![
            ("txn", text(txn)),
            ("kind", text("late-approval")),
            ("finding", text("f")),
            ("rule", text("correlate-payment")),
        ]
    };
    bench.event(1_000, "pos.finding.raised", &raised("B07:M:T1:1:2")).event(
        1_000,
        "pos.finding.raised",
        &raised("B08:M:order"),
    );
    let lines = bench.lines();
    assert!(lines[0].starts_with("1000 flush-pending-reversal 1.1/3 to terminal:T1 "), "{lines:?}");
    assert!(lines[1].starts_with("1000 query-status 1.1/1 to acquirer:B08 "), "{lines:?}");
}

#[test]
fn windows_come_from_the_settings_by_rail_acquirer_and_site() {
    let settings = r#"{"windows":{"sites":{"S1":{"terminal_ms":30000}},"rails":{"wechat":{"response_ms":11000}}}}"#;
    let mut bench = Bench::with(settings);
    let mut fields = of(CARD, &[]);
    fields.push(("site", text("S1")));
    bench.event(0, "pos.payment.authorize", &fields).raised(8_000, CARD, "approved-undelivered");
    assert_eq!(bench.lines(), ["8000 redeliver-result 1.1/1 to terminal:T1 until 25000 for approved-undelivered"]);
    let mut bench = Bench::with(settings);
    bench.authorize(0, QR).until(100_000);
    assert_eq!(bench.lines().len(), 2);
}

#[test]
fn bad_settings_are_refused_by_name() {
    let refused = |settings: &str| Native::<Compensate>::with_settings(settings).expect_err("it is refused");
    assert!(refused(r#"{"silent_ms":5}"#).contains("silent_ms"));
    assert!(refused(r#"{"silence_ms":5}"#).contains("silence_ms"));
    assert!(refused(r#"{"windows":{"rails":{"wechat":{"responce_ms":1}}}}"#).contains("responce_ms"));
}

#[test]
fn a_command_carries_the_id_that_it_is_known_by() {
    let mut bench = Bench::new();
    bench.raised(20_000, CARD, "not-printed").result(21_000, id(CARD, "reprint", 1, 1), "failed").cleared(
        22_000,
        CARD,
        "not-printed",
    );
    assert_eq!(bench.lines().len(), 1, "it had ended, and is not taken back");
}
