//! The device (H3).

use super::*;

#[test]
fn tamper_is_told_at_once_and_lasts_until_it_is_denied() {
    let mut bench = Bench::new();
    let tampered = [("tamper", Value::Flag(true)), ("ped", "fault".into())];
    assert_eq!(bench.status(0, &tampered), ["raise device-damage terminal:T1 critical 1 H3 0.99 undetermined"]);
    assert_eq!(bench.status(1_000, &tampered), [""; 0]);
    assert_eq!(bench.status(2_000, &[("ped", "ok".into())]), [""; 0], "a status that says nothing of it ends nothing");
    assert_eq!(
        bench.status(3_000, &[("ped", "ok".into()), ("tamper", Value::Flag(false))]),
        ["clear device-damage mended"]
    );
}

#[test]
fn a_dead_pin_pad_is_told_at_once_and_tamper_makes_it_worse() {
    let mut bench = Bench::new();
    let ped = ("ped", Value::from("fault"));
    assert_eq!(
        bench.status(0, std::slice::from_ref(&ped)),
        ["raise device-damage terminal:T1 warning 1 H3 0.95 undetermined"]
    );
    assert_eq!(bench.status(1_000, &[ped, ("tamper", Value::Flag(true))]), ["update H3 0.99 undetermined"]);
}

#[test]
fn restarts_heat_and_battery_are_scored() {
    for (reboots, degrees, percent, confidence) in [
        (2, 40.0, 80.0, None),
        (3, 40.0, 80.0, Some("0.65")),
        (0, 59.9, 10.1, None),
        (0, 60.0, 80.0, None),
        (0, 40.0, 10.0, None),
        (0, 60.0, 10.0, Some("0.7")),
        (3, 75.0, 5.0, Some("0.85")),
    ] {
        let mut bench = Bench::new();
        let status = [
            ("reboots_1h", Value::Integer(reboots)),
            ("temp_c", Value::Number(degrees)),
            ("battery_pct", Value::Number(percent)),
        ];
        let expected: Vec<_> = confidence
            .map(|confidence| format!("raise device-damage terminal:T1 warning 1 H3 {confidence} H4"))
            .into_iter()
            .collect();
        assert_eq!(bench.status(0, &status), expected, "{reboots} {degrees} {percent}");
        let over = bench.status(1_000, &[("reboots_1h", Value::Integer(0))]);
        assert_eq!(over.len(), expected.len());
    }
}

#[test]
fn what_scores_is_a_sign_with_its_value() {
    let mut bench = Bench::new();
    let status = [("temp_c", Value::Number(71.5)), ("site", "S1".into())];
    bench.key.event(0, "pos.device.status", &status);
    assert_eq!(signs(&bench.key.until(10_001)), ["H3 hot 1 71"]);
}
