//! Flushing a pending reversal, and all that forbids it.

use super::*;

/// A card payment without an answer whose reversal is missing.
fn missing() -> Bench {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(90_000, CARD, "reversal-missing");
    bench
}

fn flush(attempt: u32, at: Instant) -> String {
    format!("{at} flush-pending-reversal 1.{attempt}/3 to terminal:T1 until {} for reversal-missing", at + 60_000)
}

#[test]
fn a_missing_reversal_is_flushed_three_times_and_then_a_person_looks() {
    let mut bench = missing();
    bench.until(1_000_000);
    let unresolved = "270000 unresolved flushes flush-pending-reversal".to_owned();
    assert_eq!(bench.lines(), [flush(1, 90_000), flush(2, 150_000), flush(3, 210_000), unresolved]);
    let Some((_, Action::Command(command))) = bench.said.first() else { panic!("a command was sent") };
    assert_eq!(command.preconditions, ["reversal-pending"]);
}

#[test]
fn a_late_approval_of_a_card_is_flushed() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).host(70_000, CARD, "approved").raised(70_000, CARD, "late-approval").until(71_000);
    assert_eq!(bench.lines(), ["70000 flush-pending-reversal 1.1/3 to terminal:T1 until 130000 for late-approval"]);
}

#[test]
fn nothing_is_flushed_before_the_terminal_gives_up() {
    let mut bench = Bench::new();
    bench.late(100_000, 0, "pos.payment.authorize", &of(CARD, &[])).status(106_000, CARD, "paid");
    bench.raised(106_000, CARD, "reversal-missing").until(150_000);
    assert_eq!(bench.lines(), [""; 0]);
    bench.terminal(150_000, CARD, "approved").cleared(150_000, CARD, "reversal-missing").until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn a_reversal_takes_it_back() {
    for phase in ["request", "response"] {
        let mut bench = missing();
        bench.lines();
        bench.reversal(95_000, CARD, phase).cleared(95_000, CARD, "reversal-missing").until(1_000_000);
        assert_eq!(bench.lines(), ["95000 cancel flush-pending-reversal 1.1 reversal-seen"]);
    }
}

#[test]
fn nothing_is_flushed_once_a_reversal_was_seen() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).reversal(61_000, CARD, "request").raised(70_000, CARD, "late-approval").until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn delivery_takes_it_back() {
    let mut bench = missing();
    bench.lines();
    bench.terminal(95_000, CARD, "declined").cleared(95_000, CARD, "reversal-missing").until(1_000_000);
    assert_eq!(bench.lines(), ["95000 cancel flush-pending-reversal 1.1 cleared"]);
}

#[test]
fn a_late_approval_delivered_takes_the_running_flush_over() {
    let mut bench = missing();
    bench.lines();
    bench.terminal(95_000, CARD, "approved").cleared(95_000, CARD, "reversal-missing");
    bench.raised(95_000, CARD, "late-approval").until(160_000);
    assert_eq!(bench.lines(), ["150000 flush-pending-reversal 1.2/3 to terminal:T1 until 210000 for late-approval"]);
}

#[test]
fn goods_take_it_back_and_a_person_looks() {
    let mut bench = missing();
    bench.lines();
    bench.event(95_000, "pos.payment.confirm", &of(CARD, &[])).until(1_000_000);
    assert_eq!(bench.lines(), ["95000 cancel flush-pending-reversal 1.1 goods", "95000 unresolved goods"]);
}

#[test]
fn goods_before_the_terminal_gives_up_are_for_a_person_from_then_on() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).event(10_000, "pos.payment.confirm", &of(CARD, &[])).until(60_001);
    assert_eq!(bench.lines(), ["60000 unresolved goods"]);
    bench.raised_with(90_000, CARD, "reversal-missing", &[("goods", Value::Flag(true))]).until(1_000_000);
    assert_eq!(bench.lines(), [""; 0], "said once, and nothing flushed");
}

#[test]
fn goods_known_only_to_the_finding_count_too() {
    let mut bench = Bench::new();
    let facts =
        [("goods", Value::Flag(true)), ("authorized_at", Value::Integer(0)), ("gives_up_at", Value::Integer(60_000))];
    bench.raised_with(90_000, CARD, "reversal-missing", &facts).until(1_000_000);
    assert_eq!(bench.lines(), ["90000 unresolved goods"]);
}

#[test]
fn goods_with_the_answer_delivered_or_declined_or_reversed_are_no_matter() {
    type Act = fn(&mut Bench) -> &mut Bench;
    let acts: [Act; 5] = [
        |bench| bench.terminal(60_000, CARD, "approved"),
        |bench| bench.host(60_000, CARD, "declined"),
        |bench| bench.reversal(60_000, CARD, "request"),
        |bench| bench.status(60_000, CARD, "refunded"),
        |bench| bench.event(60_000, "pos.print.result", &of(CARD, &[("state", text("accepted"))])),
    ];
    for act in acts {
        let mut bench = Bench::new();
        bench.authorize(0, CARD).event(10_000, "pos.payment.confirm", &of(CARD, &[]));
        act(&mut bench);
        bench.until(1_000_000);
        assert_eq!(bench.lines(), [""; 0]);
    }
}

#[test]
fn a_display_or_receipt_takes_it_back() {
    let display = ("pos.payment.display", of(CARD, &[("shown", text("approved"))]));
    let receipt = ("pos.print.result", of(CARD, &[("state", text("printed"))]));
    let voice = ("pos.announce.result", of(CARD, &[("state", text("done"))]));
    for (event, fields) in [display, receipt, voice] {
        let mut bench = missing();
        bench.lines();
        bench.event(95_000, event, &fields).cleared(95_000, CARD, "reversal-missing").until(1_000_000);
        assert_eq!(bench.lines(), ["95000 cancel flush-pending-reversal 1.1 goods"]);
    }
}

#[test]
fn a_newer_card_sale_takes_it_back_and_the_acquirer_is_asked() {
    let mut bench = missing();
    bench.lines();
    bench.authorize(100_000, CARD_2);
    assert_eq!(bench.lines(), ["100000 cancel flush-pending-reversal 1.1 newer-sale"]);
    bench.terminal(103_000, CARD_2, "approved").until(1_000_000);
    let lines = bench.lines();
    assert_eq!(lines.len(), 6, "{lines:?}");
    let first = 130_000 + moved(CARD, 5_000);
    assert!(lines[0].starts_with(&format!("{first} query-status 1.1/5 to acquirer:A01 ")), "{lines:?}");
    assert_eq!(lines[5], "265000 unresolved queries query-status");
}

#[test]
fn a_newer_card_sale_that_reverses_is_enough() {
    let mut bench = missing();
    bench.lines();
    bench.authorize(100_000, CARD_2).lines();
    bench.reversal(100_500, CARD, "request").cleared(100_500, CARD, "reversal-missing").until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn nothing_is_flushed_when_the_newer_card_sale_came_first() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).authorize(70_000, CARD_2).terminal(72_000, CARD_2, "approved");
    bench.raised(90_000, CARD, "reversal-missing").until(102_000);
    let first = 100_000 + moved(CARD, 5_000);
    let lines = bench.lines();
    assert!(lines.len() == 1 && lines[0].starts_with(&format!("{first} query-status 1.1/5 ")), "{lines:?}");
}

#[test]
fn the_same_sale_again_is_no_newer_one() {
    let mut bench = missing();
    bench.lines();
    bench.event(100_000, "pos.payment.authorize", &of(CARD, &[])).until(151_000);
    assert_eq!(bench.lines(), [flush(2, 150_000)]);
}

#[test]
fn an_older_sale_that_comes_late_is_no_newer_one() {
    let mut bench = Bench::new();
    bench.authorize(1_000, CARD).raised(91_000, CARD, "reversal-missing").lines();
    bench.late(93_000, 500, "pos.payment.authorize", &of(CARD_2, &[]));
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn it_waits_while_a_sale_of_the_till_is_unanswered() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).authorize(80_000, QR).raised(90_000, CARD, "reversal-missing").until(94_000);
    bench.lines();
    bench.host(94_000, QR, "approved");
    assert_eq!(bench.lines(), ["94000 cancel query-status 1.2 cleared".to_owned(), flush(1, 94_000)]);
    bench.until(155_000);
    assert_eq!(bench.lines(), [flush(2, 154_000)]);
}

#[test]
fn it_waits_no_longer_than_the_till_waits() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).authorize(80_000, QR).raised(90_000, CARD, "reversal-missing").until(126_000);
    let flushes: Vec<_> = bench.lines().into_iter().filter(|line| line.contains("flush")).collect();
    assert_eq!(flushes, [flush(1, 125_000)]);
}

#[test]
fn an_open_flush_stays_when_a_qr_sale_begins_and_the_next_waits() {
    let mut bench = missing();
    bench.authorize(149_000, QR).until(160_000);
    let flushes: Vec<_> = bench.lines().into_iter().filter(|line| line.contains("flush")).collect();
    assert_eq!(flushes, [flush(1, 90_000)]);
    bench.lines();
    bench.host(160_000, QR, "approved");
    assert_eq!(bench.lines().last(), Some(&flush(2, 160_000)));
}

#[test]
fn where_the_window_was_late_the_acquirer_is_asked_first() {
    for (result, flushed, unresolved) in
        [("paid", true, false), ("not-paid", false, false), ("in-progress", false, true), ("", false, true)]
    {
        let mut bench = Bench::new();
        bench.late(100_000, 0, "pos.payment.authorize", &of(CARD, &[]));
        let facts = [
            ("late_window", Value::Flag(true)),
            ("authorized_at", Value::Integer(0)),
            ("gives_up_at", Value::Integer(160_000)),
        ];
        bench.raised_with(165_000, CARD, "reversal-missing", &facts);
        assert_eq!(bench.lines(), ["165000 query-status 1.1/1 to acquirer:A01 until 195000 for reversal-missing"]);
        if !result.is_empty() {
            bench.status(166_000, CARD, result);
        }
        bench.until(200_000);
        let lines = bench.lines();
        assert_eq!(lines.contains(&flush(1, 166_000)), flushed, "{result}: {lines:?}");
        assert_eq!(
            lines.contains(&"195000 unresolved queries query-status".to_owned()),
            unresolved,
            "{result}: {lines:?}"
        );
        assert_eq!(lines.len(), usize::from(flushed) + usize::from(unresolved), "{result}: {lines:?}");
    }
}

#[test]
fn asking_first_joins_queries_that_run() {
    let mut bench = Bench::new();
    bench.late(100_000, 0, "pos.payment.authorize", &of(CARD, &[])).raised(105_000, CARD, "no-answer");
    bench.raised_with(105_000, CARD, "reversal-missing", &[("late_window", Value::Flag(true))]).until(107_000);
    let lines = bench.lines();
    assert!(lines.len() == 1 && lines[0].contains("query-status 1.1/5"), "{lines:?}");
    bench.status(107_000, CARD, "paid").cleared(107_000, CARD, "no-answer").raised(107_000, CARD, "late-approval");
    assert_eq!(bench.lines(), [""; 0], "by its authorize's arrival the terminal has not given up yet");
    bench.until(161_000);
    assert_eq!(bench.lines(), [flush(1, 160_000)]);
}

#[test]
fn an_answer_of_this_very_moment_need_not_be_asked_for() {
    let late = [("late_window", Value::Flag(true))];
    let mut bench = Bench::new();
    bench.late(100_000, 0, "pos.payment.authorize", &of(CARD, &[])).status(170_000, CARD, "paid");
    bench.raised_with(170_000, CARD, "late-approval", &late);
    assert_eq!(bench.lines(), ["170000 flush-pending-reversal 1.1/3 to terminal:T1 until 230000 for late-approval"]);
    let mut bench = Bench::new();
    bench.late(100_000, 0, "pos.payment.authorize", &of(CARD, &[])).host(170_000, CARD, "approved");
    bench.raised_with(170_000, CARD, "late-approval", &late);
    assert_eq!(bench.lines(), ["170000 query-status 1.1/1 to acquirer:A01 until 200000 for late-approval"]);
}

#[test]
fn refused_is_followed_by_the_next_at_once() {
    let mut bench = missing();
    bench.result(91_000, id(CARD, "flush-pending-reversal", 1, 1), "refused");
    assert_eq!(bench.lines(), [flush(1, 90_000), flush(2, 91_000)]);
    bench.result(92_000, id(CARD, "flush-pending-reversal", 1, 2), "failed");
    bench.result(93_000, id(CARD, "flush-pending-reversal", 1, 3), "expired").until(1_000_000);
    assert_eq!(bench.lines(), [flush(3, 92_000), "93000 unresolved flushes flush-pending-reversal".to_owned()]);
}

#[test]
fn done_waits_for_the_reversal_itself() {
    let mut bench = missing();
    bench.result(91_000, id(CARD, "flush-pending-reversal", 1, 1), "done").until(151_000);
    assert_eq!(bench.lines(), [flush(1, 90_000), flush(2, 150_000)]);
}

#[test]
fn a_silent_terminal_is_not_flushed() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).heartbeat(0).raised(90_000, CARD, "reversal-missing").until(200_000);
    assert_eq!(bench.lines(), [""; 0]);
    bench.heartbeat(200_000).until(200_001);
    assert_eq!(bench.lines(), ["200000 flush-pending-reversal 1.2/3 to terminal:T1 until 210000 for reversal-missing"]);
}

#[test]
fn a_terminal_that_stays_silent_ends_with_a_person() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).heartbeat(0).raised(90_000, CARD, "reversal-missing").until(1_000_000);
    assert_eq!(bench.lines(), ["270000 unresolved flushes flush-pending-reversal"]);
}

#[test]
fn money_back_while_the_terminal_is_silent_calls_for_nobody() {
    let mut bench = Bench::new();
    bench.heartbeat(0).authorize(100_000, CARD);
    let facts = [("authorized_at", Value::Integer(100_000)), ("gives_up_at", Value::Integer(160_000))];
    bench.raised_with(190_000, CARD, "reversal-missing", &facts).status(200_000, CARD, "refunded");
    bench.cleared(200_000, CARD, "reversal-missing").until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn goods_handed_over_before_the_authorize_is_heard_of_are_told_when_the_terminal_gives_up() {
    let mut bench = Bench::new();
    bench.event(0, "pos.payment.confirm", &of(CARD, &[])).authorize(1, CARD).until(300_000);
    assert_eq!(bench.lines(), ["60001 unresolved goods"]);
}

#[test]
fn a_late_approval_that_came_late_joins_the_queries_of_the_finding_that_it_clears() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").until(66_000 + moved(CARD, 5_000)).lines();
    let approved = of(CARD, &[("leg", text("host")), ("outcome", text("approved"))]);
    bench.late(68_000, 66_000, "pos.payment.response", &approved).cleared(68_000, CARD, "no-answer");
    bench.raised_with(68_000, CARD, "late-approval", &[("late_window", Value::Flag(true))]);
    assert_eq!(bench.lines(), [""; 0]);
    bench.status(69_000, CARD, "paid");
    assert_eq!(bench.lines(), ["69000 flush-pending-reversal 1.1/3 to terminal:T1 until 129000 for late-approval"]);
}

#[test]
fn goods_after_money_back_are_not_told_again_when_the_authorize_is_heard_of_last() {
    for answered_first in [false, true] {
        let mut bench = Bench::new();
        if answered_first {
            bench.host(0, CARD, "approved");
        }
        bench.status(0, CARD, "refunded").host(1, CARD, "approved");
        bench.raised_with(1, CARD, "unresolved", &[("why", text("contradiction"))]);
        bench.event(1, "pos.payment.confirm", &of(CARD, &[]));
        bench.late(50_000, 0, "pos.payment.authorize", &of(CARD, &[])).until(1_000_000);
        assert_eq!(bench.lines(), [""; 0]);
    }
}

#[test]
fn money_back_of_a_payment_that_is_over_takes_no_place() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).terminal(1_000, CARD, "approved");
    let before = bench.state_bytes();
    bench.status(2_000, CARD, "refunded");
    assert_eq!(bench.state_bytes(), before);
}
