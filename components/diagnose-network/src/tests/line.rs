//! Signs of the line: round trips, loss, resets, silence.

use super::*;

/// When the terminal of the bench tells what it has counted since 0, by its name: in the second half of thirty seconds.
const MOMENT: Instant = 29_864;

#[test]
fn round_trips_are_counted_calmly_and_told_to_the_region() {
    let mut bench = Bench::new();
    bench.net(0, &rtt(40.0));
    bench.net(29_000, &rtt(60.0));
    bench.until(MOMENT);
    assert_eq!(bench.told, [], "at its deadline it is not due yet");
    bench.until(MOMENT + 1);
    let [sign] = &bench.told[..] else { panic!("one record") };
    assert_eq!(line(sign), "N1 rtt site:S1 0/2");
    assert_eq!(
        (value(sign, "scope"), value(sign, "strength"), value(sign, "value")),
        ("region:R1".to_owned(), "-0.6".to_owned(), "60".to_owned())
    );
}

#[test]
fn a_round_trip_is_long_above_the_line_and_once_known_above_three_times_what_is_normal() {
    let mut bench = Bench::new();
    for (at, ms, line) in [(0, 800.0, "N1 rtt site:S1 0/1"), (60_000, 801.0, "N1 rtt site:S1 1/1")] {
        bench.net(at, &rtt(ms));
        bench.until(at + 40_000);
        assert_eq!(bench.lines(), [line], "{ms}");
    }
    // What is normal is 40, whose bucket ends at 48; it is known from the twentieth on.
    for (samples, ms, long) in [(19, 145.0, 0), (20, 144.0, 0), (20, 145.0, 1)] {
        let mut bench = Bench::new();
        for sample in 0..samples {
            bench.net(sample * 60_000, &rtt(40.0));
        }
        bench.until(samples * 60_000);
        bench.lines();
        bench.net(samples * 60_000, &rtt(ms));
        bench.until(samples * 60_000 + 40_000);
        assert_eq!(bench.lines(), [format!("N1 rtt site:S1 {long}/1")], "{samples} {ms}");
    }
}

#[test]
fn a_sign_is_told_within_the_interval_with_all_that_was_counted() {
    let mut bench = Bench::new();
    bench.net(0, &rtt(40.0));
    bench.net(5_000, &[("gateway_ok", Value::Flag(false))]);
    bench.until(15_000);
    assert_eq!(bench.told, []);
    bench.until(15_001);
    let gateway = bench.told.iter().find(|derived| value(derived, "what") == "gateway").expect("it is told");
    assert_eq!((value(gateway, "event"), value(gateway, "event_id")), ("pos.net.sample".to_owned(), "e2".to_owned()));
    assert_eq!(bench.lines(), ["N1 rtt site:S1 0/1", "N3 gateway site:S1 1/1"]);
}

#[test]
fn loss_has_two_lines() {
    for (loss, lines) in [
        (1.9, &[][..]),
        (2.0, &["N1 broken site:S1 0/1"]),
        (5.0, &["N1 broken site:S1 0/1"]),
        (5.1, &["N1 broken site:S1 0/1", "N3 loss site:S1 1/1"]),
    ] {
        let mut bench = Bench::new();
        bench.net(0, &[("loss_pct", Value::Number(loss))]);
        bench.until(80_000);
        assert_eq!(bench.lines(), lines, "{loss}");
    }
}

#[test]
fn a_connection_that_is_reset_is_signed_with_its_peer_unless_the_probe_fails_too() {
    let reset = |probe: bool, error: &str| {
        let mut bench = Bench::new();
        let peer = ("peer", Value::from("h1.a01.example:443"));
        bench.net(0, &[("tcp_error", error.into()), peer, ("probe_ok", Value::Flag(probe))]);
        bench.until(80_000);
        bench.lines()
    };
    let broken = "N1 broken site:S1 0/1";
    assert_eq!(
        reset(true, "connection reset by peer"),
        [broken, "N2 h1.a01.example:443 tcp: connection reset by peer site:S1 1/1"]
    );
    assert_eq!(reset(false, "connection reset by peer"), [broken, "N3 probe site:S1 1/1"]);
    assert_eq!(reset(true, "connection timed out"), [broken], "a time-out is nobody's signature");
}

#[test]
fn a_terminal_is_silent_once_and_back_once() {
    let mut bench = Bench::new();
    bench.event(0, "pos.app.state", &[("state", "heartbeat".into())]);
    bench.until(90_000);
    assert_eq!(bench.told, []);
    bench.until(1_000_000);
    assert_eq!(bench.lines(), ["N3 silent site:S1 1/1"]);
    bench.net(1_000_000, &[]);
    bench.until(1_030_001);
    assert_eq!(bench.lines(), ["N3 silent site:S1 0/1"]);
}

#[test]
fn what_stops_and_says_so_is_not_silent() {
    let mut bench = Bench::new();
    bench.event(0, "pos.app.state", &[("state", "heartbeat".into())]);
    bench.event(30_000, "pos.app.state", &[("state", "stop".into())]);
    bench.until(3_600_000);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn maintenance_is_announced_and_called_off() {
    let mut bench = Bench::new();
    let stop = [("state", Value::from("stop")), ("maintenance", Value::Flag(true))];
    bench.event(0, "pos.app.state", &stop);
    bench.event(1_000, "pos.app.state", &stop);
    assert_eq!(bench.lines(), ["notice terminal:T1 0 7200000"]);
    bench.event(60_000, "pos.app.state", &[("state", "start".into())]);
    bench.event(61_000, "pos.app.state", &[("state", "heartbeat".into())]);
    assert_eq!(bench.lines(), ["notice terminal:T1 60000 60000"]);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let refused = |settings: &str| {
        tillwatch_sdk::native::Native::<DiagnoseNetwork>::with_settings(settings).expect_err("it is refused")
    };
    for key in ["rtt_ms", "rtt_factor", "rtt_samples_min", "silent_ms", "maintenance_ms"] {
        assert!(refused(&format!("{{\"{key}\":0}}")).contains(key));
    }
    assert!(refused(r#"{"loss_pct":101}"#).contains("loss_pct"));
    assert!(refused(r#"{"evidence":{"interval_ms":10}}"#).contains("evidence.interval_ms"));
    assert!(refused(r#"{"host_codes":[""]}"#).contains("host_codes"));
    assert!(refused(r#"{"rtt":1}"#).contains("rtt"));
}
