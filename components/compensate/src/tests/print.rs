//! Receipts: reprints, and guides where the printer needs hands.

use super::*;

fn failed(txn: &str, fault: &str) -> Fields<'static> {
    of(txn, &[("state", text("failed")), ("fault", text(fault))])
}

fn reprint(at: Instant) -> String {
    format!("{at} reprint 1.1/1 to terminal:T1 until {} for not-printed", at + 60_000)
}

fn guide(at: Instant, fault: &str) -> String {
    format!(
        "{at} display-guide 1.1/1 to terminal:T1 until {} for not-printed guide=printer fault={fault}",
        at + 600_000
    )
}

fn approved() -> [(&'static str, Value); 1] {
    [("approved_at", Value::Integer(10_000))]
}

#[test]
fn with_a_printer_of_which_nothing_is_known_it_is_printed_once_more() {
    let mut bench = Bench::new();
    bench.raised_with(20_000, CARD, "not-printed", &approved()).until(1_000_000);
    assert_eq!(bench.lines(), [reprint(20_000)]);
    let Some((_, Action::Command(command))) = bench.said.first() else { panic!("a command was sent") };
    assert_eq!(command.preconditions, ["not-reversed"]);
}

#[test]
fn with_a_printer_that_is_well_or_will_be_it_is_printed_once_more() {
    for word in ["ok", "busy", "low-voltage"] {
        let mut bench = Bench::new();
        bench.printer(1_000, word).raised_with(20_000, CARD, "not-printed", &approved()).until(1_000_000);
        assert_eq!(bench.lines(), [reprint(20_000)], "{word}");
    }
}

#[test]
fn a_fault_that_needs_hands_is_shown_until_the_printer_is_ok() {
    let mut bench = Bench::new();
    bench.event(15_000, "pos.print.result", &failed(CARD, "no-paper")).raised_with(
        15_000,
        CARD,
        "not-printed",
        &approved(),
    );
    assert_eq!(bench.lines(), [guide(15_000, "no-paper")]);
    bench.printer(40_000, "ok").until(1_000_000);
    assert_eq!(bench.lines(), ["40000 cancel display-guide 1.1 cleared".to_owned(), reprint(40_000)]);
}

#[test]
fn a_command_names_the_cause_once_it_is_known() {
    let mut bench = Bench::new();
    bench.printer(5_000, "jam").raised_with(15_000, CARD, "not-printed", &approved());
    bench
        .event(15_000, "pos.finding.updated", &finding(CARD, "not-printed", &[("cause", text("H1"))]))
        .printer(40_000, "ok");
    let causes = bench.said.iter().filter_map(|(_, action)| match action {
        Action::Command(command) => Some((command.kind.as_str(), command.cause.as_deref())),
        _ => None,
    });
    assert_eq!(causes.collect::<Vec<_>>(), [("display-guide", None), ("reprint", Some("H1"))]);
}

#[test]
fn the_fault_may_come_from_any_print_or_status_of_the_terminal() {
    let mut bench = Bench::new();
    bench.event(5_000, "pos.print.result", &failed(CARD_2, "jam")).raised_with(
        15_000,
        CARD,
        "not-printed",
        &approved(),
    );
    assert_eq!(bench.lines(), [guide(15_000, "jam")]);
    let mut bench = Bench::new();
    bench.printer(5_000, "cover-open").raised_with(15_000, CARD, "not-printed", &approved());
    assert_eq!(bench.lines(), [guide(15_000, "cover-open")]);
}

#[test]
fn another_receipt_shows_that_the_printer_is_ok() {
    let mut bench = Bench::new();
    bench.printer(5_000, "jam").raised_with(15_000, CARD, "not-printed", &approved()).lines();
    bench.event(30_000, "pos.print.result", &of(CARD_2, &[("state", text("printed"))]));
    assert_eq!(bench.lines(), ["30000 cancel display-guide 1.1 cleared".to_owned(), reprint(30_000)]);
}

#[test]
fn its_own_receipt_prints_nothing_more() {
    let mut bench = Bench::new();
    bench.printer(5_000, "jam").raised_with(15_000, CARD, "not-printed", &approved()).lines();
    bench.event(30_000, "pos.print.result", &of(CARD, &[("state", text("printed"))])).cleared(
        30_000,
        CARD,
        "not-printed",
    );
    bench.until(1_000_000);
    assert_eq!(bench.lines(), ["30000 cancel display-guide 1.1 cleared"]);
}

#[test]
fn after_ten_minutes_the_guide_is_over() {
    let mut bench = Bench::new();
    bench.printer(5_000, "jam").raised_with(15_000, CARD, "not-printed", &approved()).until(615_001).lines();
    bench.printer(616_000, "ok").until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn nothing_is_printed_later_than_three_minutes_after_the_answer() {
    for (at, lines) in [(190_000, 2), (190_001, 1)] {
        let mut bench = Bench::new();
        bench.printer(5_000, "jam").raised_with(15_000, CARD, "not-printed", &approved()).lines();
        bench.printer(at, "ok");
        assert_eq!(bench.lines().len(), lines, "{at}");
    }
    for (at, lines) in [(190_000, 1), (190_001, 0)] {
        for word in ["jam", "ok"] {
            let mut bench = Bench::new();
            bench.printer(5_000, word).raised_with(at, CARD, "not-printed", &approved());
            assert_eq!(bench.lines().len(), lines, "{at}");
        }
    }
}

#[test]
fn a_receipt_takes_the_reprint_back() {
    let mut bench = Bench::new();
    bench.raised_with(20_000, CARD, "not-printed", &approved()).lines();
    bench.event(30_000, "pos.print.result", &of(CARD, &[("state", text("printed"))])).cleared(
        30_000,
        CARD,
        "not-printed",
    );
    assert_eq!(bench.lines(), ["30000 cancel reprint 1.1 cleared"]);
}

#[test]
fn a_reprint_that_is_done_is_not_taken_back() {
    let mut bench = Bench::new();
    bench.raised_with(20_000, CARD, "not-printed", &approved()).lines();
    bench.result(29_000, id(CARD, "reprint", 1, 1), "done").cleared(30_000, CARD, "not-printed").until(1_000_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn a_guide_that_was_shown_still_leads_to_a_reprint() {
    for state in ["done", "failed", "refused", "expired"] {
        let mut bench = Bench::new();
        bench.printer(5_000, "jam").raised_with(15_000, CARD, "not-printed", &approved()).lines();
        bench.result(16_000, id(CARD, "display-guide", 1, 1), state).printer(40_000, "ok").until(1_000_000);
        assert_eq!(bench.lines(), [reprint(40_000)], "{state}");
    }
}

#[test]
fn a_reversal_or_a_contradiction_ends_printing_for_good() {
    for word in ["jam", "ok"] {
        let kind = if word == "ok" { "reprint" } else { "display-guide" };
        let mut bench = Bench::new();
        bench.printer(5_000, word).raised_with(15_000, CARD, "not-printed", &approved()).lines();
        bench.reversal(16_000, CARD, "request").printer(20_000, "ok").raised_with(
            21_000,
            CARD,
            "not-printed",
            &approved(),
        );
        assert_eq!(bench.lines(), [format!("16000 cancel {kind} 1.1 reversal-seen")]);
        let mut bench = Bench::new();
        bench.printer(5_000, word).raised_with(15_000, CARD, "not-printed", &approved()).lines();
        bench.raised_with(16_000, CARD, "unresolved", &[("why", text("contradiction"))]).printer(20_000, "ok");
        bench.raised_with(21_000, CARD, "not-printed", &approved());
        assert_eq!(bench.lines(), [format!("16000 cancel {kind} 1.1 contradiction")]);
    }
}
