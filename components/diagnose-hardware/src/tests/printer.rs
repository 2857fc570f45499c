//! Missing receipts (H1).

use super::updates;
use crate::{DiagnoseHardware, printer::FINDINGS_MAX};
use tillwatch_sdk::{Instant, Updated, Value, native::Native};

struct Bench(tillwatch_sdk::native::Key<DiagnoseHardware>);

impl Bench {
    fn new() -> Self {
        Self(tillwatch_sdk::native::Key::new("T1", ""))
    }

    fn event(&mut self, at: Instant, event: &str, fields: &[(&str, &str)]) -> Vec<Updated> {
        let fields: Vec<_> = fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (*name, Value::from(*value)))
            .collect();
        updates(self.0.event(at, event, &fields))
    }

    fn print(&mut self, at: Instant, txn: &str, state: &str, fault: &str) -> Vec<Updated> {
        self.event(at, "pos.print.result", &[("subject", txn), ("state", state), ("fault", fault)])
    }

    fn status(&mut self, at: Instant, word: &str) -> Vec<Updated> {
        self.event(at, "pos.device.status", &[("printer", word)])
    }

    fn raised(&mut self, at: Instant, txn: &str) -> Vec<Updated> {
        let finding = format!("f-{txn}");
        self.event(at, "pos.finding.raised", &[("kind", "not-printed"), ("finding", &finding), ("txn", txn)])
    }

    fn cleared(&mut self, at: Instant, txn: &str) -> Vec<Updated> {
        let finding = format!("f-{txn}");
        self.event(at, "pos.finding.cleared", &[("kind", "not-printed"), ("finding", &finding), ("txn", txn)])
    }
}

fn detail<'a>(updated: &'a Updated, name: &str) -> &'a Value {
    &updated.details.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is not there")).1
}

/// Finding, cause, confidence, runner-up and evidence of the only update.
fn said(updates: &[Updated]) -> (String, String, f64, String, Vec<String>) {
    let [updated] = updates else { panic!("one update, not {updates:?}") };
    let text = |name: &str| match detail(updated, name) {
        Value::Text(text) => text.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let Value::Number(confidence) = detail(updated, "confidence") else { panic!("a number") };
    let evidence = updated.evidence.iter().map(|row| format!("{} {}", row.event, row.id)).collect();
    (updated.finding.clone(), text("cause"), *confidence, text("runner_up"), evidence)
}

fn expected(
    cause: &str,
    confidence: f64,
    runner_up: &str,
    evidence: &[&str],
) -> (String, String, f64, String, Vec<String>) {
    let evidence = evidence.iter().map(|row| (*row).to_owned()).collect();
    ("f-P".to_owned(), cause.to_owned(), confidence, runner_up.to_owned(), evidence)
}

#[test]
fn a_failed_print_of_the_receipt_itself_is_the_printer() {
    let mut bench = Bench::new();
    assert_eq!(bench.print(1_000, "P", "failed", "no-paper"), []);
    let updates = bench.raised(1_000, "P");
    assert_eq!(said(&updates), expected("H1", 0.95, "undetermined", &["pos.print.result e1"]));
    assert_eq!(detail(&updates[0], "fault"), &Value::from("no-paper"));
    assert_eq!(detail(&updates[0], "runbook"), &Value::from("docs/runbook.md#h1-printer"));
    assert_eq!(updates[0].severity, None);
}

#[test]
fn a_fault_in_the_terminals_status_is_the_printer() {
    let mut bench = Bench::new();
    bench.status(1_000, "jam");
    assert_eq!(said(&bench.raised(60_000, "P")), expected("H1", 0.9, "undetermined", &["pos.device.status e1"]));
}

#[test]
fn a_fault_at_another_payments_receipt_is_the_printer() {
    let mut bench = Bench::new();
    bench.print(1_000, "other", "failed", "cover-open");
    assert_eq!(said(&bench.raised(60_000, "P")), expected("H1", 0.9, "undetermined", &["pos.print.result e1"]));
}

#[test]
fn faults_that_pass_explain_less() {
    let mut bench = Bench::new();
    bench.status(1_000, "busy");
    assert_eq!(said(&bench.raised(60_000, "P")).2, 0.7);
    let mut bench = Bench::new();
    bench.print(1_000, "P", "failed", "low-voltage");
    assert_eq!(said(&bench.raised(1_000, "P")).2, 0.75);
}

#[test]
fn a_printer_that_says_nothing_is_half_a_cause() {
    assert_eq!(said(&Bench::new().raised(60_000, "P")), expected("H1", 0.5, "H4", &[]));
}

#[test]
fn a_job_taken_and_not_printed_is_probably_the_printer() {
    let mut bench = Bench::new();
    bench.print(1_000, "P", "accepted", "");
    assert_eq!(said(&bench.raised(11_000, "P")), expected("H1", 0.7, "H4", &["pos.print.result e1"]));
}

#[test]
fn a_printer_that_says_ok_is_not_blamed_for_silence() {
    let mut bench = Bench::new();
    bench.status(1_000, "ok");
    let updates = bench.raised(60_000, "P");
    assert_eq!(said(&updates), expected("undetermined", 0.5, "H1", &["pos.device.status e1"]));
    assert_eq!(detail(&updates[0], "runbook"), &Value::from("docs/runbook.md#not-printed"));
}

#[test]
fn old_evidence_does_not_count() {
    for (word, age, confidence) in [("jam", 600_000, 0.9), ("jam", 600_001, 0.5)] {
        let mut bench = Bench::new();
        bench.status(1_000, word);
        assert_eq!(said(&bench.raised(1_000 + age, "P")).2, confidence);
    }
    for (age, cause) in [(120_000, "undetermined"), (120_001, "H1")] {
        let mut bench = Bench::new();
        bench.status(1_000, "ok");
        assert_eq!(said(&bench.raised(1_000 + age, "P")).1, cause);
    }
}

#[test]
fn news_that_changes_the_decision_is_told_and_other_news_is_not() {
    let mut bench = Bench::new();
    bench.raised(10_000, "P");
    assert_eq!(said(&bench.status(11_000, "ok")), expected("undetermined", 0.5, "H1", &[]));
    assert_eq!(bench.status(12_000, "ok"), []);
    assert_eq!(said(&bench.status(13_000, "jam")), expected("H1", 0.9, "undetermined", &[]));
    assert_eq!(bench.status(14_000, "jam"), []);
    assert_eq!(bench.status(15_000, "cover-open"), [], "the first fault stands");
    assert_eq!(bench.status(16_000, "ok"), [], "that it is mended does not change what it was");
    assert_eq!(said(&bench.print(17_000, "P", "failed", "jam")), expected("H1", 0.95, "undetermined", &[]));
    assert_eq!(bench.print(18_000, "P", "accepted", ""), []);
}

#[test]
fn nothing_is_told_of_what_is_cleared() {
    let mut bench = Bench::new();
    bench.raised(10_000, "P");
    bench.raised(10_000, "Q");
    bench.cleared(11_000, "P");
    let updates = bench.status(12_000, "jam");
    assert_eq!(updates.iter().map(|updated| updated.finding.as_str()).collect::<Vec<_>>(), ["f-Q"]);
    bench.cleared(13_000, "Q");
    assert_eq!(bench.status(14_000, "ok"), []);
}

#[test]
fn other_findings_are_no_matter() {
    let mut bench = Bench::new();
    bench.status(1_000, "jam");
    let fields = [("kind", "no-answer"), ("finding", "f"), ("txn", "P")];
    assert_eq!(bench.event(2_000, "pos.finding.raised", &fields), []);
}

#[test]
fn the_oldest_finding_gives_way() {
    let mut bench = Bench::new();
    for number in 0..=FINDINGS_MAX {
        bench.raised(10_000, &format!("P{number}"));
    }
    let updates = bench.status(11_000, "jam");
    assert_eq!(updates.len(), FINDINGS_MAX);
    assert_eq!(updates[0].finding, "f-P1");
}

#[test]
fn what_is_too_long_to_keep_is_judged_once() {
    let mut bench = Bench::new();
    let txn = "x".repeat(200);
    bench.print(1_000, &txn, "accepted", "");
    let before = bench.0.state_bytes();
    assert_eq!(bench.raised(10_000, &txn).len(), 1);
    assert_eq!(bench.0.state_bytes(), before);
    assert_eq!(bench.status(11_000, "jam"), []);
}

#[test]
fn bad_settings_are_refused_by_name() {
    let refused = |settings: &str| Native::<DiagnoseHardware>::with_settings(settings).expect_err("it is refused");
    assert!(refused(r#"{"fault_age_ms":1}"#).contains("fault_age_ms"));
    assert!(refused(r#"{"fault_age":1}"#).contains("fault_age"));
}
