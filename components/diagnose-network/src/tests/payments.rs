//! Payments, answers, hosts and cohorts.

use super::*;

fn authorize(bench: &mut Bench, at: Instant) {
    bench.event(at, "pos.payment.authorize", &[("operator", "op-1".into()), ("app_version", "3.5.0".into())]);
}

fn answer(bench: &mut Bench, at: Instant, host: &str, code: &str) {
    let fields = [("leg", "host".into()), ("host", host.into()), ("code", code.into())];
    bench.event(at, "pos.payment.response", &fields);
}

fn finding(bench: &mut Bench, at: Instant, event: &str, kind: &str, more: &[(&str, Value)]) {
    let fields = [("finding", Value::from("f")), ("kind", kind.into()), ("txn", "P".into())];
    let fields: Vec<_> = fields.into_iter().chain(more.iter().cloned()).collect();
    bench.event(at, &format!("pos.finding.{event}"), &fields);
}

#[test]
fn payments_are_counted_with_all_cohorts() {
    let mut bench = Bench::new();
    authorize(&mut bench, 0);
    // The host is news that splits nothing: none was known before it.
    answer(&mut bench, 1_000, "H1", "00");
    authorize(&mut bench, 20_000);
    bench.until(30_001);
    let [census] = &bench.told[..] else { panic!("one record") };
    assert_eq!(line(census), "census 2");
    let names = ["scope", "region", "site", "terminal", "acquirer", "host", "app_version", "operator", "from", "until"];
    let values = ["region:R1", "R1", "S1", "T1", "A01", "H1", "3.5.0", "op-1", "0", "29864"];
    assert_eq!(names.map(|name| value(census, name)), values);
}

#[test]
fn the_same_payment_sent_again_is_not_begun_again() {
    let mut bench = Bench::new();
    authorize(&mut bench, 0);
    bench.event(1_000, "pos.payment.authorize", &[("repeat", Value::Flag(true))]);
    bench.until(30_001);
    assert_eq!(bench.lines(), ["census 1"]);
}

#[test]
fn each_record_speaks_of_one_company() {
    let mut bench = Bench::new();
    authorize(&mut bench, 0);
    answer(&mut bench, 1_000, "H1", "91");
    answer(&mut bench, 2_000, "H2", "91");
    assert_eq!(bench.lines(), ["census 1", "N4 code host:A01/H1 1/1"]);
    bench.until(60_000);
    assert_eq!(bench.lines(), ["N4 code host:A01/H2 1/1"]);
}

#[test]
fn what_is_stuck_is_told_at_once_and_again_when_its_cause_is_known() {
    let mut bench = Bench::new();
    let money = [("amount", Value::Integer(1_280)), ("currency", "CNY".into()), ("broke_at", "printing".into())];
    finding(&mut bench, 0, "raised", "not-printed", &money);
    let names = ["finding", "amount", "currency", "broke_at", "site"];
    assert_eq!(names.map(|name| value(&bench.told[0], name)), ["f", "1280", "CNY", "printing", "S1"]);
    assert_eq!(bench.lines(), ["stuck not-printed P -"]);
    finding(&mut bench, 1, "updated", "not-printed", &[("cause", "H1".into()), ("confidence", Value::Number(0.9))]);
    assert_eq!(value(&bench.told[0], "confidence"), "0.9");
    assert_eq!(bench.lines(), ["stuck not-printed P H1"]);
    finding(&mut bench, 2, "updated", "not-printed", &[]);
    assert_eq!(bench.lines(), [""; 0], "an update without a cause is no news");
    finding(
        &mut bench,
        3,
        "cleared",
        "not-printed",
        &[("resolution", "mended".into()), ("after_ms", Value::Integer(7))],
    );
    assert_eq!(bench.lines(), ["ended not-printed mended"]);
}

#[test]
fn a_slow_answer_is_nothing_stuck_and_no_sign_of_the_host() {
    let mut bench = Bench::new();
    answer(&mut bench, 0, "H1", "00");
    finding(&mut bench, 1, "raised", "slow-answer", &[]);
    finding(&mut bench, 2, "updated", "slow-answer", &[("cause", "N4".into())]);
    finding(&mut bench, 3, "cleared", "slow-answer", &[]);
    bench.until(10_002);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn what_other_rules_find_of_a_payment_does_not_make_it_stuck() {
    let mut bench = Bench::new();
    finding(&mut bench, 0, "raised", "loyalty-card-missing", &[]);
    finding(&mut bench, 1, "updated", "loyalty-card-missing", &[("cause", "N4".into())]);
    finding(&mut bench, 2, "cleared", "loyalty-card-missing", &[]);
    bench.until(60_000);
    assert_eq!(bench.told, []);
}

#[test]
fn findings_about_no_payment_do_not_count() {
    let mut bench = Bench::new();
    let fields = [("finding", Value::from("f")), ("kind", "clock-skew".into())];
    bench.event(0, "pos.finding.raised", &fields);
    bench.event(1, "pos.finding.cleared", &fields);
    bench.until(60_000);
    assert_eq!(bench.told, []);
}

#[test]
fn codes_of_the_host_and_of_nobody_else() {
    for code in ["68", "91", "92", "96", "98"] {
        let mut bench = Bench::new();
        answer(&mut bench, 0, "H1", code);
        bench.until(10_001);
        assert_eq!(bench.lines(), ["N4 code host:A01/H1 1/1"], "{code}");
    }
    let mut bench = Bench::new();
    answer(&mut bench, 0, "H1", "51");
    bench.until(60_000);
    assert_eq!(bench.told, []);
}

#[test]
fn an_app_whose_host_is_busy_says_so() {
    for (error, lines) in [
        ("HTTP 429", &["N4 http acquirer:A01 1/1"][..]),
        ("HTTP 503 from the gateway", &["N4 http acquirer:A01 1/1"]),
        ("HTTP 400", &[]),
    ] {
        let mut bench = Bench::new();
        bench.event(0, "pos.app.state", &[("state", "heartbeat".into()), ("error", error.into())]);
        bench.until(10_001);
        assert_eq!(bench.lines(), lines, "{error}");
    }
}

#[test]
fn a_gateways_sample_is_about_its_host() {
    let mut bench = Bench { key: Key::new("A01/H1", ""), told: Vec::new() };
    let fields = |reachable: bool, maintenance: bool| {
        vec![
            ("region", Value::from("R1")),
            ("acquirer", "A01".into()),
            ("host", "H1".into()),
            ("total", Value::Integer(50)),
            ("failed", Value::Integer(7)),
            ("timed_out", Value::Integer(2)),
            ("p95_ms", Value::Number(1_200.0)),
            ("reachable", Value::Flag(reachable)),
            ("maintenance", Value::Flag(maintenance)),
        ]
    };
    for (at, down) in [(0, false), (30_000, true), (60_000, false)] {
        let actions = bench.key.event(at, "pos.host.sample", &fields(!down, down));
        bench.take(actions);
    }
    bench.until(100_000);
    assert!(bench.told.iter().all(|told| value(told, "terminal") == "-" && value(told, "scope") == "region:R1"));
    assert_eq!(
        bench.lines(),
        [
            "N4 sample host:A01/H1 9/50",
            "notice host:A01/H1 30000 7230000",
            "N4 sample host:A01/H1 9/50",
            "N4 unreachable host:A01/H1 1/1",
            "notice host:A01/H1 60000 60000",
            "N4 sample host:A01/H1 9/50",
        ]
    );
}

#[test]
fn what_comes_late_is_told_when_it_comes() {
    let mut bench = Bench::new();
    let fields = [("site", Value::from("S1")), ("loss_pct", Value::Number(9.0))];
    let actions = bench.key.late(1_000, 600_000, "pos.net.sample", &fields);
    bench.take(actions);
    bench.until(610_001);
    let loss = bench.told.iter().find(|told| value(told, "what") == "loss").expect("it is told");
    assert_eq!(value(loss, "event_time"), "1000", "with its own time");
}

#[test]
fn many_signatures_do_not_fill_the_state() {
    let mut bench = Bench::new();
    for number in 0..100 {
        let peer = Value::from(format!("host-{number}.example:443"));
        bench.net(number, &[("tcp_error", "connection reset by peer".into()), ("peer", peer)]);
    }
    assert!(bench.key.state_bytes() < 4_000, "{}", bench.key.state_bytes());
    bench.until(60_000);
    assert_eq!(bench.lines().len(), tillwatch_sdk::evidence::SIGNS_MAX);
}
