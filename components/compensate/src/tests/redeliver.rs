//! Redelivery of answers: `approved-undelivered` and `not-shown`.

use super::*;

#[test]
fn an_undelivered_approval_is_handed_over_until_the_card_terminal_is_about_to_give_up() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).host(3_000, CARD, "approved").raised(8_000, CARD, "approved-undelivered").until(400_000);
    assert_eq!(bench.lines(), ["8000 redeliver-result 1.1/1 to terminal:T1 until 55000 for approved-undelivered"]);
    let Some((_, Action::Command(command))) = bench.said.first() else { panic!("a command was sent") };
    assert_eq!(command.preconditions, ["transaction-current", "not-timed-out", "not-reversed"]);
}

#[test]
fn with_less_than_two_seconds_left_the_terminal_reverses() {
    for (at, lines) in [(53_000, 1), (53_001, 0)] {
        let mut bench = Bench::new();
        bench.authorize(0, CARD).raised(at, CARD, "approved-undelivered");
        assert_eq!(bench.lines().len(), lines, "{at}");
    }
}

#[test]
fn without_an_authorize_nothing_is_redelivered() {
    let mut bench = Bench::new();
    bench.host(0, CARD, "approved").raised(5_000, CARD, "approved-undelivered").until(400_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn delivery_takes_the_command_back() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(8_000, CARD, "approved-undelivered").lines();
    bench.terminal(9_000, CARD, "approved").cleared(9_000, CARD, "approved-undelivered").until(400_000);
    assert_eq!(bench.lines(), ["9000 cancel redeliver-result 1.1 cleared"]);
}

#[test]
fn an_undelivered_qr_approval_is_asked_about_once_when_redelivery_failed() {
    for (state, asked) in [("failed", 10_000), ("refused", 10_000), ("expired", 10_000), ("", 40_000)] {
        let mut bench = Bench::new();
        bench.authorize(0, QR).host(3_000, QR, "approved").raised(8_000, QR, "approved-undelivered");
        assert_eq!(bench.lines(), ["8000 redeliver-result 1.1/1 to terminal:T1 until 40000 for approved-undelivered"]);
        if !state.is_empty() {
            bench.result(10_000, id(QR, "redeliver-result", 1, 1), state);
        }
        bench.until(400_000);
        assert_eq!(
            bench.lines(),
            [
                format!("{asked} query-status 1.1/1 to acquirer:W01 until {} for approved-undelivered", asked + 30_000),
                format!("{} unresolved undelivered query-status", asked + 30_000),
            ]
        );
    }
}

#[test]
fn a_redelivery_that_is_done_is_delivered_only_when_the_terminal_says_so() {
    let sent = || {
        let mut bench = Bench::new();
        bench.authorize(0, QR).host(3_000, QR, "approved").raised(8_000, QR, "approved-undelivered").lines();
        bench.result(10_000, id(QR, "redeliver-result", 1, 1), "done");
        bench
    };
    let mut bench = sent();
    assert_eq!(
        bench.until(400_000).lines(),
        [
            "40000 query-status 1.1/1 to acquirer:W01 until 70000 for approved-undelivered",
            "70000 unresolved undelivered query-status"
        ]
    );
    let mut bench = sent();
    bench.terminal(11_000, QR, "approved").cleared(11_000, QR, "approved-undelivered").until(400_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn what_is_not_shown_is_handed_over_for_half_a_minute() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).terminal(3_000, CARD, "declined").raised(8_000, CARD, "not-shown").until(400_000);
    assert_eq!(bench.lines(), ["8000 redeliver-result 1.1/1 to terminal:T1 until 38000 for not-shown"]);
}

#[test]
fn a_second_redelivery_is_a_second_chain() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).host(3_000, CARD, "approved").raised(8_000, CARD, "approved-undelivered");
    bench.terminal(9_000, CARD, "approved").cleared(9_000, CARD, "approved-undelivered").lines();
    bench.raised(14_000, CARD, "not-shown");
    assert_eq!(bench.lines(), ["14000 redeliver-result 2.1/1 to terminal:T1 until 44000 for not-shown"]);
}

#[test]
fn nothing_is_redelivered_once_the_till_has_begun_another_payment() {
    for other in [CARD_2, QR_2] {
        let mut bench = Bench::new();
        bench
            .authorize(0, CARD)
            .terminal(3_000, CARD, "approved")
            .authorize(7_000, other)
            .host(7_500, other, "declined");
        bench.raised_with(8_000, CARD, "not-shown", &[("authorized_at", Value::Integer(0))]).until(400_000);
        assert_eq!(bench.lines(), [""; 0]);
    }
}

#[test]
fn an_open_redelivery_stays_when_the_till_begins_another_payment() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).terminal(3_000, CARD, "approved").raised(8_000, CARD, "not-shown").lines();
    bench.authorize(9_000, CARD_2).host(9_500, CARD_2, "declined").until(400_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn results_are_not_sent_later_than_three_minutes_after_the_answer() {
    for (at, lines) in [(183_000, 1), (183_001, 0)] {
        let mut bench = Bench::new();
        bench.raised_with(at, CARD, "not-shown", &[("approved_at", Value::Integer(3_000))]);
        assert_eq!(bench.lines().len(), lines, "{at}");
    }
    // The answer to a decline is not in the finding; the display's window began with its delivery.
    for (at, lines) in [(184_000, 1), (184_001, 0)] {
        let mut bench = Bench::new();
        bench.raised_with(at, CARD, "not-shown", &[("deadline", Value::Integer(9_000))]);
        assert_eq!(bench.lines().len(), lines, "{at}");
    }
}

#[test]
fn a_reversal_ends_redelivery_for_good() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(8_000, CARD, "approved-undelivered").lines();
    bench.reversal(9_000, CARD, "request");
    assert_eq!(bench.lines(), ["9000 cancel redeliver-result 1.1 reversal-seen"]);
    bench.raised(20_000, CARD, "not-shown").until(400_000);
    assert_eq!(bench.lines(), [""; 0]);
    let mut bench = Bench::new();
    bench.raised_with(20_000, CARD, "not-shown", &[("reversal_seen", Value::Flag(true))]).until(400_000);
    assert_eq!(bench.lines(), [""; 0], "seen by correlate-payment alone");
}

#[test]
fn a_contradiction_ends_redelivery_for_good() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(8_000, CARD, "approved-undelivered").lines();
    bench.raised_with(9_000, CARD, "unresolved", &[("why", text("contradiction"))]);
    assert_eq!(bench.lines(), ["9000 cancel redeliver-result 1.1 contradiction"]);
    bench.raised(20_000, CARD, "not-shown").until(400_000);
    assert_eq!(bench.lines(), [""; 0]);
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(8_000, CARD, "approved-undelivered").lines();
    bench.raised_with(9_000, CARD, "unresolved", &[("why", text("queries"))]).until(50_000);
    assert_eq!(bench.lines(), [""; 0], "only a contradiction does");
}

#[test]
fn a_terminal_whose_heartbeats_have_stopped_gets_it_when_it_is_heard_again() {
    let mut bench = Bench::new();
    bench.heartbeat(0).authorize(88_000, CARD).host(89_000, CARD, "approved");
    bench.raised(90_000, CARD, "approved-undelivered").until(100_000);
    assert_eq!(bench.lines(), [""; 0]);
    bench.heartbeat(100_000).until(400_000);
    assert_eq!(bench.lines(), ["100000 redeliver-result 1.1/1 to terminal:T1 until 143000 for approved-undelivered"]);
}

#[test]
fn heartbeats_stop_at_ninety_seconds_and_not_before() {
    let mut bench = Bench::new();
    bench.heartbeat(0).authorize(80_000, CARD).raised(89_999, CARD, "approved-undelivered");
    assert_eq!(bench.lines().len(), 1);
}

#[test]
fn a_terminal_that_is_heard_too_late_gets_nothing() {
    let mut bench = Bench::new();
    bench.heartbeat(0).authorize(88_000, QR).host(90_000, QR, "approved").raised(95_000, QR, "approved-undelivered");
    bench.until(400_000).heartbeat(400_000);
    assert_eq!(
        bench.lines(),
        [
            "128000 query-status 1.1/1 to acquirer:W01 until 158000 for approved-undelivered",
            "158000 unresolved undelivered query-status",
        ]
    );
}

#[test]
fn a_terminal_that_was_never_heard_is_no_silent_one() {
    let mut bench = Bench::new();
    bench.authorize(500_000, CARD).raised(508_000, CARD, "approved-undelivered");
    assert_eq!(bench.lines().len(), 1);
}

#[test]
fn a_delivery_while_the_terminal_is_silent_asks_nobody() {
    let mut bench = Bench::new();
    bench.heartbeat(0).authorize(100_000, QR).host(103_000, QR, "approved").raised(108_000, QR, "approved-undelivered");
    bench.terminal(139_000, QR, "approved").cleared(139_000, QR, "approved-undelivered").until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}
