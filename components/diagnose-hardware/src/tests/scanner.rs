//! The scanner (H2).

use super::*;

fn scan(bench: &mut Bench, at: Instant, state: &str) -> Vec<String> {
    bench.event(at, "pos.scan.result", &[("state", state.into())])
}

#[test]
fn three_failed_reads_in_two_minutes_are_the_scanner_and_a_good_one_ends_it() {
    let mut bench = Bench::new();
    assert_eq!(scan(&mut bench, 0, "fail"), [""; 0]);
    assert_eq!(scan(&mut bench, 60_000, "fail"), [""; 0]);
    assert_eq!(scan(&mut bench, 119_999, "fail"), ["raise scanner-fault terminal:T1 warning 1 H2 0.8 P1"]);
    assert_eq!(scan(&mut bench, 121_000, "fail"), [""; 0], "that it goes on is no news");
    assert_eq!(scan(&mut bench, 130_000, "read"), ["clear scanner-fault mended"]);
    for at in [200_000, 201_000] {
        assert_eq!(scan(&mut bench, at, "fail"), [""; 0]);
    }
    assert_eq!(scan(&mut bench, 202_000, "fail"), ["raise scanner-fault terminal:T1 warning 2 H2 0.8 P1"]);
}

#[test]
fn near_misses_are_no_fault() {
    let mut bench = Bench::new();
    for (at, state) in [(0, "fail"), (1_000, "fail"), (2_000, "read"), (3_000, "fail"), (4_000, "fail")] {
        assert_eq!(scan(&mut bench, at, state), [""; 0], "a good read begins anew");
    }
    let mut bench = Bench::new();
    for at in [0, 60_000, 120_000, 180_000] {
        assert_eq!(scan(&mut bench, at, "fail"), [""; 0], "two of these lie within two minutes");
    }
}

#[test]
fn a_scanner_that_is_gone_is_told_at_once() {
    let mut bench = Bench::new();
    assert_eq!(scan(&mut bench, 0, "absent"), ["raise scanner-fault terminal:T1 warning 1 H2 0.95 H3"]);
    assert_eq!(bench.status(1_000, &[("scanner", "absent".into())]), [""; 0]);
    assert_eq!(bench.status(2_000, &[("scanner", "ok".into())]), ["clear scanner-fault mended"]);
}

#[test]
fn a_scanner_that_calls_itself_well_is_not_believed_while_reads_fail() {
    let mut bench = Bench::new();
    for at in [0, 1_000, 2_000] {
        scan(&mut bench, at, "fail");
    }
    assert_eq!(bench.status(3_000, &[("scanner", "ok".into())]), [""; 0]);
    assert_eq!(bench.status(4_000, &[("scanner", "fault".into())]), ["update H2 0.95 undetermined"]);
    assert_eq!(scan(&mut bench, 5_000, "read"), ["clear scanner-fault mended"]);
}

#[test]
fn a_report_alone_is_a_sign_and_no_finding() {
    let mut bench = Bench::new();
    assert_eq!(bench.status(0, &[("scanner", "fault".into())]), [""; 0]);
    assert_eq!(signs(&bench.key.until(10_001)), ["H2 scanner 1 0"]);
}

#[test]
fn failed_reads_that_come_late_count_at_their_own_time() {
    let mut bench = Bench::new();
    let fail = [("state", Value::from("fail"))];
    for (time, raised) in [(0, 0), (500_000, 0), (540_000, 0), (580_000, 1)] {
        let actions = bench.key.late(time, 600_000, "pos.scan.result", &fail);
        assert_eq!(said(actions).len(), raised, "{time}");
    }
}
