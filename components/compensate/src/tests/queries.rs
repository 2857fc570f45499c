//! Query chains: unanswered QR payments, `no-answer`, `reversal-unanswered`, QR `late-approval`.

use super::*;

/// The lines of the five queries of a finding raised at `from`.
fn five(txn: &str, chain: u32, from: Instant, finding: &str) -> Vec<String> {
    let acquirer = txn.split(':').next().expect("an acquirer");
    let offsets = [0, 5_000, 15_000, 45_000, 105_000];
    let due: Vec<_> = (0..5)
        .map(|step| from + offsets[step] + offsets.get(step + 1).map_or(0, |next| moved(txn, next - offsets[step])))
        .collect();
    (0..5)
        .map(|step| {
            let until = due.get(step + 1).copied().unwrap_or(due[4] + 30_000);
            format!(
                "{} query-status {chain}.{}/5 to acquirer:{acquirer} until {until} for {finding}",
                due[step],
                step + 1
            )
        })
        .collect()
}

fn polls(txn: &str, from: Instant, deadline: Instant) -> Vec<String> {
    let steps = (deadline - from - 1) / 5_000;
    let due =
        |step: i64| from + 5_000 * step + moved(txn, (from + 5_000 * (step + 1)).min(deadline) - from - 5_000 * step);
    (1..=steps)
        .map(|step| {
            let until = if step == steps { deadline } else { due(step + 1) };
            format!("{} query-status 1.{step}/{steps} to acquirer:W01 until {until} for nothing", due(step))
        })
        .collect()
}

#[test]
fn an_unanswered_qr_payment_is_asked_about_every_five_seconds_until_the_deadline() {
    let mut bench = Bench::new();
    bench.authorize(1_000, QR).until(100_000);
    assert_eq!(bench.lines(), polls(QR, 1_000, 46_000));
}

#[test]
fn commands_rest_on_the_payments_authorize() {
    let mut bench = Bench::new();
    bench.authorize(1_000, QR).until(8_000);
    let Some((_, Action::Command(command))) = bench.said.first() else { panic!("a query was sent") };
    assert_eq!(command.evidence[0].id, "e1");
    assert_eq!((command.rail.as_deref(), command.txn.as_deref()), (Some("wechat"), Some(QR)));
    assert!(command.preconditions.is_empty());
}

#[test]
fn the_answer_ends_the_polling_and_takes_back_the_open_query() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).until(7_000);
    assert_eq!(bench.lines().len(), 1);
    bench.host(8_000, QR, "approved").until(100_000);
    assert_eq!(bench.lines(), ["8000 cancel query-status 1.1 cleared"]);
}

#[test]
fn an_answer_by_the_query_itself_takes_nothing_back() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).until(7_000).lines();
    let answer = of(QR, &[("result", text("paid")), ("command", id(QR, "query-status", 1, 1))]);
    bench.event(8_000, "pos.payment.status", &answer).until(100_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn not_yet_is_no_answer() {
    for result in ["in-progress", "not-found", "unknown", "not-paid"] {
        let mut bench = Bench::new();
        bench.authorize(0, QR).until(7_000);
        bench.status(7_000, QR, result).until(100_000);
        assert_eq!(bench.lines(), polls(QR, 0, 45_000), "{result}");
    }
}

#[test]
fn cards_are_not_polled() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).until(300_000);
    assert_eq!(bench.lines(), [""; 0]);
    assert!(bench.state_bytes() < 60, "{} bytes", bench.state_bytes());
}

#[test]
fn an_authorize_that_comes_after_the_answer_is_not_polled() {
    let mut bench = Bench::new();
    bench.host(1_000, QR, "approved").late(3_000, 900, "pos.payment.authorize", &of(QR, &[])).until(100_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn a_late_authorize_is_asked_about_from_the_next_step_on() {
    let mut bench = Bench::new();
    bench.late(31_000, 0, "pos.payment.authorize", &of(QR, &[])).until(100_000);
    let due = |step: i64| step * 5_000 + moved(QR, 5_000);
    assert_eq!(
        bench.lines(),
        [
            format!("{} query-status 1.1/2 to acquirer:W01 until {} for nothing", due(7), due(8)),
            format!("{} query-status 1.2/2 to acquirer:W01 until 45000 for nothing", due(8)),
        ]
    );
}

#[test]
fn no_answer_asks_five_times_and_then_a_person() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").until(400_000);
    let mut expected = five(CARD, 1, 65_000, "no-answer");
    expected.push("200000 unresolved queries query-status".to_owned());
    assert_eq!(bench.lines(), expected);
}

#[test]
fn polling_gives_way_to_the_queries_of_no_answer() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).until(45_000).lines();
    bench.raised(45_000, QR, "no-answer").until(400_000);
    let mut expected = five(QR, 2, 45_000, "no-answer");
    expected.push("180000 unresolved queries query-status".to_owned());
    assert_eq!(bench.lines(), expected);
}

#[test]
fn what_is_cleared_asks_no_more() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").until(73_000).lines();
    bench.host(73_000, CARD, "approved").cleared(73_000, CARD, "no-answer").until(400_000);
    assert_eq!(bench.lines(), ["73000 cancel query-status 1.2 cleared"]);
}

#[test]
fn an_open_status_ends_the_query_and_not_the_chain() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").until(67_000);
    bench.status(67_000, CARD, "in-progress").until(73_000);
    assert_eq!(bench.lines(), five(CARD, 1, 65_000, "no-answer")[..2]);
    bench.status(73_000, CARD, "in-progress").cleared(73_500, CARD, "no-answer").until(400_000);
    assert_eq!(bench.lines(), [""; 0], "nothing is open");
}

#[test]
fn an_answer_to_another_query_ends_nothing() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").until(73_000).lines();
    let other = of(CARD, &[("result", text("in-progress")), ("command", id(CARD, "query-status", 1, 1))]);
    bench.event(73_000, "pos.payment.status", &other).cleared(73_500, CARD, "no-answer");
    assert_eq!(bench.lines(), ["73500 cancel query-status 1.2 cleared"]);
}

#[test]
fn a_failed_query_is_followed_by_the_next_at_once() {
    for state in ["failed", "expired", "refused"] {
        let mut bench = Bench::new();
        bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").until(67_000).lines();
        bench.result(67_000, id(CARD, "query-status", 1, 1), "accepted");
        assert_eq!(bench.lines(), [""; 0]);
        bench.result(67_100, id(CARD, "query-status", 1, 1), state).until(300_000);
        let plan = five(CARD, 1, 65_000, "no-answer");
        let third = plan[2].split(' ').next().expect("an instant");
        let mut expected = vec![format!("67100 query-status 1.2/5 to acquirer:A01 until {third} for no-answer")];
        expected.extend_from_slice(&plan[2..]);
        expected.push("200000 unresolved queries query-status".to_owned());
        assert_eq!(bench.lines(), expected);
    }
}

#[test]
fn reversal_unanswered_joins_the_queries_that_run() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").until(70_000).lines();
    bench.reversal(70_000, CARD, "request").raised(100_000, CARD, "reversal-unanswered").cleared(
        100_500,
        CARD,
        "no-answer",
    );
    bench.until(400_000);
    let last = five(CARD, 1, 65_000, "reversal-unanswered");
    let mut expected = five(CARD, 1, 65_000, "no-answer")[1..3].to_vec();
    expected.extend_from_slice(&last[3..]);
    expected.push("200000 unresolved queries query-status".to_owned());
    assert_eq!(bench.lines(), expected);
}

#[test]
fn a_second_chain_has_the_next_number() {
    let mut bench = Bench::new();
    bench.authorize(0, CARD).raised(65_000, CARD, "no-answer").cleared(66_500, CARD, "no-answer").until(70_000).lines();
    bench.raised(90_000, CARD, "reversal-unanswered").until(400_000);
    assert_eq!(bench.lines()[..5], five(CARD, 2, 90_000, "reversal-unanswered"));
}

#[test]
fn a_late_approval_of_a_qr_payment_is_asked_about_once_and_the_till_told() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).reversal(20_000, QR, "request").until(22_000).lines();
    bench.host(22_000, QR, "approved").lines();
    bench.raised_with(22_000, QR, "late-approval", &[("approved_at", Value::Integer(22_000))]);
    assert_eq!(bench.lines(), ["22000 query-status 2.1/1 to acquirer:W01 until 52000 for late-approval"]);
    bench.status(23_000, QR, "paid").until(1_000_000);
    assert_eq!(
        bench.lines(),
        [
            "23000 unresolved late-approval query-status",
            "23000 display-guide 1.1/1 to terminal:T1 until 623000 for late-approval guide=paid-at-acquirer",
        ]
    );
}

#[test]
fn a_late_approval_of_a_qr_payment_is_unresolved_in_any_case() {
    for result in ["in-progress", "not-found", ""] {
        let mut bench = Bench::new();
        bench.raised(50_000, QR, "late-approval").lines();
        if !result.is_empty() {
            bench.status(51_000, QR, result);
        }
        bench.until(1_000_000);
        assert_eq!(bench.lines(), ["80000 unresolved late-approval query-status"], "{result}");
    }
    let mut bench = Bench::new();
    bench.authorize(0, QR).until(45_000).raised(50_000, QR, "late-approval").lines();
    bench.status(51_000, QR, "not-paid").until(1_000_000);
    assert_eq!(bench.lines(), ["51000 unresolved late-approval query-status"]);
}

#[test]
fn a_late_approval_takes_over_the_queries_of_no_answer() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).until(45_000).raised(45_000, QR, "no-answer").until(52_000).lines();
    bench.host(52_000, QR, "approved").cleared(52_000, QR, "no-answer").raised(52_000, QR, "late-approval");
    assert_eq!(bench.lines(), [""; 0], "the query that is open goes on");
    bench.status(53_000, QR, "paid").until(300_000);
    assert_eq!(
        bench.lines(),
        [
            "53000 unresolved late-approval query-status",
            "53000 display-guide 1.1/1 to terminal:T1 until 653000 for late-approval guide=paid-at-acquirer",
        ]
    );
}

#[test]
fn a_late_approval_told_by_the_query_itself_is_not_asked_about_again() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).until(45_000).raised(45_000, QR, "no-answer").until(52_000).lines();
    bench
        .status(52_000, QR, "paid")
        .cleared(52_000, QR, "no-answer")
        .raised(52_000, QR, "late-approval")
        .until(300_000);
    assert_eq!(
        bench.lines(),
        [
            "52000 unresolved late-approval query-status",
            "52000 display-guide 1.1/1 to terminal:T1 until 652000 for late-approval guide=paid-at-acquirer",
        ]
    );
}

#[test]
fn a_late_approval_that_does_not_follow_leaves_nothing_open() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).until(45_000).raised(45_000, QR, "no-answer").until(52_000).lines();
    bench.host(52_000, QR, "approved").cleared(52_000, QR, "no-answer").until(300_000);
    assert_eq!(bench.lines(), ["52000 cancel query-status 2.2 cleared"]);
}

#[test]
fn the_guide_goes_when_the_late_approval_is_over() {
    let mut bench = Bench::new();
    bench.raised(50_000, QR, "late-approval").status(51_000, QR, "paid").lines();
    bench.cleared(60_000, QR, "late-approval");
    assert_eq!(bench.lines(), ["60000 cancel display-guide 1.1 cleared"]);
}

#[test]
fn paid_to_the_queries_before_the_answer_answers_a_late_approval() {
    let mut bench = Bench::new();
    bench.authorize(0, QR).reversal(6_000, QR, "request").until(8_000).lines();
    bench.status(8_000, QR, "paid").raised(8_000, QR, "late-approval").until(9_000);
    assert_eq!(
        bench.lines(),
        [
            "8000 unresolved late-approval query-status",
            "8000 display-guide 1.1/1 to terminal:T1 until 608000 for late-approval guide=paid-at-acquirer"
        ]
    );
}

#[test]
fn what_ends_a_late_approval_in_its_own_moment_is_named_as_what_ended_the_queries() {
    let mut bench = Bench::new();
    bench.reversal(0, CARD, "request").raised(30_000, CARD, "reversal-unanswered").until(31_000).lines();
    bench.host(31_000, CARD, "approved").raised(31_000, CARD, "late-approval");
    bench.event(
        31_000,
        "pos.payment.reversal",
        &of(CARD, &[("phase", text("response")), ("outcome", text("approved"))]),
    );
    bench.cleared(31_000, CARD, "reversal-unanswered");
    assert_eq!(bench.lines(), ["31000 cancel query-status 1.1 cleared"], "at once, not by a wake-up");
}
