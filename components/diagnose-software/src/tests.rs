//! The rule, visited as the runtime does.

use tillwatch_sdk::{
    Instant, Value,
    native::{Key, Native, said},
};
use tillwatch_wit::contract::Action;

use crate::DiagnoseSoftware;

/// A terminal; what is said of it, a line an action, and the signs that were told.
struct Bench {
    key: Key<DiagnoseSoftware>,
    signs: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self { key: Key::new("T1", ""), signs: Vec::new() }
    }

    fn event(&mut self, at: Instant, event: &str, fields: &[(&str, Value)]) -> Vec<String> {
        let site = [("site", Value::from("S1"))];
        let fields: Vec<_> = site.into_iter().chain(fields.iter().cloned()).collect();
        let actions = self.key.event(at, event, &fields);
        self.said(actions)
    }

    fn answer(&mut self, at: Instant, code: &str) -> Vec<String> {
        self.event(at, "pos.payment.response", &[("leg", "host".into()), ("code", code.into())])
    }

    fn app(&mut self, at: Instant, fields: &[(&str, Value)]) -> Vec<String> {
        let state = [("state", Value::from("heartbeat"))];
        let fields: Vec<_> = state.into_iter().chain(fields.iter().cloned()).collect();
        self.event(at, "pos.app.state", &fields)
    }

    fn signs(&mut self, at: Instant) -> Vec<String> {
        let actions = self.key.until(at);
        assert_eq!(self.said(actions), [""; 0]);
        std::mem::take(&mut self.signs)
    }

    fn said(&mut self, actions: Vec<Action>) -> Vec<String> {
        said(actions, &mut self.signs)
    }
}

fn behind() -> Vec<(&'static str, Value)> {
    vec![("version", "3.4.1".into()), ("min_version", "3.6.0".into())]
}

#[test]
fn codes_are_signs_of_their_causes() {
    for (code, name) in [
        ("A0", "S1 code"),
        ("99", "S1 code"),
        ("25", "S2 code"),
        ("77", "S2 code"),
        ("79", "S2 code"),
        ("95", "S2 code"),
        ("30", "S3 code"),
        ("12", "S3 code"),
        ("40", "S3 code"),
        ("03", "S4 code"),
        ("58", "S4 code"),
        ("97", "S4 code"),
    ] {
        let mut bench = Bench::new();
        assert_eq!(bench.answer(0, code), [""; 0]);
        assert_eq!(bench.signs(10_001), [format!("{name} 1")], "{code}");
    }
    let mut bench = Bench::new();
    for code in ["00", "51", "91"] {
        bench.answer(0, code);
    }
    assert_eq!(bench.signs(60_000), [""; 0], "these say nothing of the software");
}

#[test]
fn errors_of_the_app_and_of_connections_are_signs() {
    for (error, name) in [
        ("payment handler: field 38 is missing in an approval", Some("S1 handler")),
        ("HTTP 400", Some("S3 refused")),
        ("HTTP 429", None),
        ("HTTP 500", None),
    ] {
        let mut bench = Bench::new();
        bench.app(0, &[("error", error.into())]);
        let expected: Vec<_> = name.map(|name| format!("{name} 1")).into_iter().collect();
        assert_eq!(bench.signs(60_000), expected, "{error}");
    }
    for (error, name) in [("unsupported protocol version", "S3 refused"), ("certificate expired", "S4 certificate")] {
        let mut bench = Bench::new();
        bench.event(0, "pos.net.sample", &[("tls_error", error.into())]);
        assert_eq!(bench.signs(60_000), [format!("{name} 1")], "{error}");
    }
}

#[test]
fn a_batch_that_does_not_balance_is_a_sign() {
    let mut bench = Bench::new();
    bench.event(0, "pos.batch.result", &[("state", "balanced".into()), ("code", "00".into())]);
    assert_eq!(bench.signs(60_000), [""; 0]);
    bench.event(60_000, "pos.batch.result", &[("state", "unbalanced".into()), ("code", "95".into())]);
    assert_eq!(bench.signs(120_000), ["S2 batch 1", "S2 code 1"]);
}

#[test]
fn an_entry_that_the_order_system_lacks_is_a_matter_of_the_databases() {
    let mut bench = Bench::new();
    let fields = [("kind", Value::from("unsynced")), ("finding", "f".into()), ("txn", "P".into())];
    assert_eq!(bench.event(0, "pos.finding.raised", &fields), ["update f S2 0.75 N3"]);
    assert_eq!(bench.signs(10_001), ["S2 unsynced 1"]);
    let fields = [("kind", Value::from("no-answer")), ("finding", "f".into()), ("txn", "P".into())];
    assert_eq!(bench.event(20_000, "pos.finding.raised", &fields), [""; 0]);
}

#[test]
fn what_is_behind_and_fails_by_it_is_outdated_until_it_is_not_behind() {
    let mut bench = Bench::new();
    assert_eq!(bench.app(0, &behind()), [""; 0]);
    assert_eq!(bench.answer(10_000, "97"), [""; 0]);
    assert_eq!(bench.answer(20_000, "97"), [""; 0]);
    assert_eq!(bench.answer(30_000, "03"), ["raise outdated terminal:T1 1 S4 0.8 S3 by 3"]);
    let finding = tillwatch_sdk::ids::finding("diagnose-software", "outdated", "terminal:T1", "");
    let lag = [("version", "3.4.1".into()), ("min_version", "3.6.0".into()), ("param_lag", Value::Integer(4))];
    assert_eq!(bench.app(40_000, &lag), [format!("update {finding} S4 0.85 S3")]);
    let now = [("version", "3.6.0".into()), ("min_version", "3.6.0".into()), ("param_lag", Value::Integer(0))];
    assert_eq!(bench.app(50_000, &now), ["clear outdated mended"]);
}

#[test]
fn either_alone_is_a_near_miss() {
    let mut bench = Bench::new();
    for at in [0, 1_000, 2_000, 3_000] {
        assert_eq!(bench.answer(at, "97"), [""; 0], "nothing is behind");
    }
    let near = [("version", "3.6.0".into()), ("min_version", "3.6.0".into()), ("param_lag", Value::Integer(1))];
    assert_eq!(bench.app(4_000, &near), [""; 0]);
    let mut bench = Bench::new();
    bench.app(0, &behind());
    for at in [0, 300_000, 600_000, 900_000] {
        assert_eq!(bench.answer(at, "97"), [""; 0], "two of these lie within ten minutes");
    }
}

#[test]
fn that_it_is_behind_may_be_heard_after_the_failures() {
    let mut bench = Bench::new();
    for at in [0, 1_000, 2_000] {
        assert_eq!(bench.answer(at, "97"), [""; 0]);
    }
    assert_eq!(bench.app(30_000, &behind()), ["raise outdated terminal:T1 1 S4 0.8 S3 by 3"]);
}

#[test]
fn a_certificate_counts_from_its_end_on() {
    let mut bench = Bench::new();
    bench.app(0, &[("cert_expires", Value::Integer(100_000))]);
    let fail =
        |bench: &mut Bench, at| bench.event(at, "pos.net.sample", &[("tls_error", "certificate expired".into())]);
    for at in [10_000, 20_000, 30_000, 99_999] {
        assert_eq!(fail(&mut bench, at), [""; 0]);
    }
    assert_eq!(fail(&mut bench, 100_000), ["raise outdated terminal:T1 1 S4 0.8 S3 by 5"]);
}

#[test]
fn failures_that_come_late_count_at_their_own_time() {
    let mut bench = Bench::new();
    bench.app(0, &behind());
    let fields = [("leg", Value::from("host")), ("code", "97".into()), ("site", "S1".into())];
    let actions: Vec<_> = [100, 200, 300]
        .into_iter()
        .flat_map(|time| bench.key.late(time, 3_600_000, "pos.payment.response", &fields))
        .collect();
    let said = bench.said(actions);
    assert_eq!(said, [""; 0], "they are an hour old");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let refused = |settings: &str| Native::<DiagnoseSoftware>::with_settings(settings).expect_err("it is refused");
    for key in ["param_lag_min", "fails_min", "fails_window_ms"] {
        assert!(refused(&format!("{{\"{key}\":0}}")).contains(key));
    }
    assert!(refused(r#"{"mac_codes":[""]}"#).contains("mac_codes"));
    assert!(refused(r#"{"fails":1}"#).contains("fails"));
}
