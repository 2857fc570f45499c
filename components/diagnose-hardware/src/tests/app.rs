//! The terminal's software (H4).

use super::*;

fn state(bench: &mut Bench, at: Instant, state: &str, error: &str) -> Vec<String> {
    let mut fields = vec![("state", Value::from(state))];
    fields.extend((!error.is_empty()).then(|| ("error", error.into())));
    bench.event(at, "pos.app.state", &fields)
}

fn not_shown(bench: &mut Bench, at: Instant, event: &str, txn: &str) -> Vec<String> {
    let finding = format!("f-{txn}");
    let fields = [("kind", "not-shown".into()), ("finding", finding.as_str().into()), ("txn", txn.into())];
    bench.event(at, event, &fields)
}

#[test]
fn an_answer_that_is_not_shown_is_probably_the_app_and_surely_where_it_crashes() {
    let mut bench = Bench::new();
    assert_eq!(not_shown(&mut bench, 0, "pos.finding.raised", "P"), ["update H4 0.6 S1"]);
    assert_eq!(
        state(&mut bench, 40_000, "anr", ""),
        ["update H4 0.8 S1", "raise app-fault terminal:T1 warning 1 H4 0.6 S1"]
    );
    assert_eq!(
        bench.status(50_000, &[("mem_free_mb", Value::Number(12.0))]),
        ["update H4 0.9 S1", "update H4 0.65 S1"]
    );
    assert_eq!(not_shown(&mut bench, 60_000, "pos.finding.cleared", "P"), [""; 0]);
    // The first sign is half an hour old, and the others are too few.
    assert_eq!(bench.until(1_800_000), [""; 0]);
    assert_eq!(bench.until(1_800_001), ["clear app-fault mended"]);
    assert_eq!(bench.until(9_000_000), [""; 0]);
}

#[test]
fn an_app_that_speaks_of_the_payment_handler_is_another_cause() {
    let mut bench = Bench::new();
    assert_eq!(not_shown(&mut bench, 0, "pos.finding.raised", "P"), ["update H4 0.6 S1"]);
    let error = "payment handler: field 38 is missing in an approval";
    assert_eq!(state(&mut bench, 40_000, "heartbeat", error), ["update S1 0.85 H4"]);
    for (at, txn) in [(60_000, "Q"), (90_000, "R"), (120_000, "S")] {
        assert_eq!(
            not_shown(&mut bench, at, "pos.finding.raised", txn),
            ["update S1 0.85 H4"],
            "nothing of it is the terminal's"
        );
    }
}

#[test]
fn what_the_handler_explains_is_taken_back_from_the_terminal() {
    let mut bench = Bench::new();
    not_shown(&mut bench, 0, "pos.finding.raised", "P");
    not_shown(&mut bench, 10_000, "pos.finding.cleared", "P");
    assert_eq!(
        not_shown(&mut bench, 20_000, "pos.finding.raised", "Q"),
        ["update H4 0.6 S1", "raise app-fault terminal:T1 warning 1 H4 0.6 S1"]
    );
    let error = "payment handler: field 38 is missing in an approval";
    assert_eq!(state(&mut bench, 40_000, "heartbeat", error), ["clear app-fault superseded", "update S1 0.85 H4"]);
}

#[test]
fn a_crash_alone_or_little_memory_alone_is_a_near_miss() {
    let mut bench = Bench::new();
    assert_eq!(state(&mut bench, 0, "crash", ""), [""; 0]);
    for at in [1_000, 600_000, 1_200_000] {
        assert_eq!(bench.status(at, &[("mem_free_mb", Value::Number(31.9))]), [""; 0], "it is one condition");
    }
    let mut bench = Bench::new();
    assert_eq!(bench.status(0, &[("mem_free_mb", Value::Number(32.0))]), [""; 0]);
    assert_eq!(bench.key.wake(), None);
}

#[test]
fn crashes_far_apart_are_not_added_up() {
    let mut bench = Bench::new();
    assert_eq!(state(&mut bench, 0, "crash", ""), [""; 0]);
    assert_eq!(state(&mut bench, 1_800_000, "crash", ""), [""; 0]);
    assert_eq!(state(&mut bench, 1_800_001, "crash", ""), ["raise app-fault terminal:T1 warning 1 H4 0.6 S1"]);
}

#[test]
fn an_app_that_is_silent_while_the_link_is_up_is_a_sign_once() {
    let mut bench = Bench::new();
    state(&mut bench, 0, "heartbeat", "");
    let net = |bench: &mut Bench, at, link: &str| bench.event(at, "pos.net.sample", &[("link", link.into())]);
    assert_eq!(net(&mut bench, 179_999, "wifi"), [""; 0]);
    assert_eq!(net(&mut bench, 190_000, "none"), [""; 0], "without a link nothing is said of the app");
    assert_eq!(state(&mut bench, 190_001, "crash", ""), [""; 0]);
    assert_eq!(net(&mut bench, 380_000, "wifi"), ["raise app-fault terminal:T1 warning 1 H4 0.6 S1"]);
    assert_eq!(net(&mut bench, 400_000, "wifi"), [""; 0]);
}

#[test]
fn an_app_that_was_stopped_is_not_silent() {
    let mut bench = Bench::new();
    state(&mut bench, 0, "crash", "");
    state(&mut bench, 1_000, "stop", "");
    assert_eq!(bench.event(900_000, "pos.net.sample", &[("link", "wifi".into())]), [""; 0]);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let refused = |settings: &str| {
        tillwatch_sdk::native::Native::<DiagnoseHardware>::with_settings(settings).expect_err("it is refused")
    };
    for key in ["scan_fails_min", "scan_window_ms", "reboots_min", "app_window_ms", "app_points_min", "app_silent_ms"] {
        assert!(refused(&format!("{{\"{key}\":0}}")).contains(key));
    }
    assert!(refused(r#"{"temp_c":-1}"#).contains("temp_c"));
    assert!(refused(r#"{"handler_words":[""]}"#).contains("handler_words"));
}
