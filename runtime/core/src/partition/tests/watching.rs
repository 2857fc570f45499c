//! Blindness, wrong clocks and quarantine.

use tillwatch_wit::contract::Value;

use super::*;
use crate::{
    log::{Blind, Tick},
    partition::SilentSource,
};

const T0: Instant = 1_700_000_000_000;

fn sight(offset: i64, ingest: Instant, blind: Blind) -> Record {
    Record { offset, ingest, body: Body::Tick(Tick { blind: Some(blind) }) }
}

fn authorize(offset: i64, at: Instant, terminal: &str, about: u32) -> Record {
    record(offset, at, event("pos.payment.authorize", &format!("a{offset}"), terminal, about, at, ""))
}

fn both(settings: &Arc<Settings>, records: &[Record]) -> Vec<String> {
    let all = run(settings, &mut pair(), records, 0);
    assert_eq!(run(settings, &mut pair(), records, 1), all);
    assert_eq!(run_crashing(settings, &mut pair(), records), all);
    brief(&all)
}

#[test]
fn while_the_feed_is_blind_commands_of_class_b_wait_and_expired_ones_are_dropped() {
    // The second command of a terminal is of class B (see `answering`).
    let records = [
        authorize(0, T0, "T1", 1),
        authorize(1, T0 + 300, "T1", 2),
        tick(2, T0 + 1_600),
        sight(3, T0 + 1_700, Blind::Lag),
        tick(4, T0 + 5_000),
        sight(5, T0 + 6_000, Blind::Over),
        tick(6, T0 + 7_000),
    ];
    let limits = settings(Limits::default());
    let expected = [
        "1000 raised no-answer payment:A:M:T1:1:1",
        "1000 command query-status terminal:T1",
        "1200 raised feed-blind partition:pos.events/0",
        "1300 raised no-answer payment:A:M:T1:1:2",
        "5500 cleared feed-blind partition:pos.events/0 mended",
        "1300 command flush-pending-reversal terminal:T1",
    ];
    assert_eq!(both(&limits, &records), expected);
    let mut late = records.to_vec();
    late[5] = sight(5, T0 + 70_000, Blind::Over);
    late[6] = tick(6, T0 + 71_000);
    assert!(!both(&limits, &late).iter().any(|line| line.contains("flush")), "it had expired");
}

#[test]
fn past_held_commands_max_the_oldest_gives_way() {
    let mut records = vec![sight(0, T0, Blind::Broker)];
    for about in 1..=6u32 {
        records.push(authorize(about.into(), T0 + 10 * i64::from(about), "T1", about));
    }
    records.extend([tick(7, T0 + 5_000), sight(8, T0 + 5_100, Blind::Over)]);
    let limits = settings(Limits { held_commands_max: 1, ..Limits::default() });
    let flushes = both(&limits, &records).iter().filter(|line| line.contains("flush")).count();
    assert_eq!(flushes, 1);
    let mut rules = pair();
    let mut partition = partition(&limits, &rules);
    partition.step(&mut records, &mut rules, &mut Vec::new()).expect("no stall");
    assert_eq!((partition.counters().held, partition.counters().held_dropped), (3, 2));
}

#[test]
fn a_source_that_normally_speaks_and_falls_silent_is_blindness() {
    let watched = Arc::new(Settings {
        silent_sources: vec![SilentSource { prefix: "/r/x/s/S1/t/G".to_owned(), silent_ms: 2_000 }],
        topic: "pos.events".to_owned(),
        ..Settings::default()
    });
    let heartbeat = |offset, at| record(offset, at, event("pos.app.state", &format!("h{offset}"), "G", 0, at, ""));
    let records =
        [heartbeat(0, T0), tick(1, T0 + 1_000), tick(2, T0 + 4_000), heartbeat(3, T0 + 5_000), tick(4, T0 + 6_000)];
    let expected =
        ["2000 raised feed-blind source:/r/x/s/S1/t/G", "5000 cleared feed-blind source:/r/x/s/S1/t/G mended"];
    assert_eq!(both(&watched, &records), expected);
    assert_eq!(
        both(&watched, &[tick(0, T0 + 1_000), tick(1, T0 + 4_000)]),
        Vec::<String>::new(),
        "one that never spoke is not missed"
    );
}

#[test]
fn a_fast_clock_is_a_finding_at_once_and_ends_with_the_first_right_time() {
    let wrong =
        |offset, ingest, time| record(offset, ingest, event("pos.app.state", &format!("h{offset}"), "T1", 0, time, ""));
    let records = [
        wrong(0, T0, T0 + 3_600_000),
        wrong(1, T0 + 1_000, T0 + 3_601_000),
        wrong(2, T0 + 2_000, T0 + 2_000),
        tick(3, T0 + 9_000),
    ];
    let expected = ["0 raised clock-skew terminal:T1", "2000 cleared clock-skew terminal:T1 mended"];
    assert_eq!(both(&settings(Limits::default()), &records), expected);
}

#[test]
fn a_slow_clock_is_told_from_a_backlog_that_is_uploaded() {
    let sent =
        |offset, ingest, time| record(offset, ingest, event("pos.app.state", &format!("h{offset}"), "T1", 0, time, ""));
    let slow: Vec<Record> = (0..10).map(|n| sent(n, T0 + n * 10_000, T0 + n * 10_000 - 3_600_000)).collect();
    let out = both(&settings(Limits::default()), &slow);
    assert_eq!(out, ["69500 raised clock-skew terminal:T1"]);
    let backlog: Vec<Record> = (0..100).map(|n| sent(n, T0 + n * 1_000, T0 + n * 30_000 - 3_600_000)).collect();
    assert_eq!(both(&settings(Limits::default()), &backlog), Vec::<String>::new());
}

#[test]
fn a_rule_past_faults_max_is_quarantined_says_so_and_comes_back() {
    let bomb = |offset, at: Instant, terminal: &str| {
        record(offset, at, event("pos.payment.response", &format!("b{offset}"), terminal, 9, at, "bomb"))
    };
    let records = [
        authorize(0, T0, "T1", 1),
        bomb(1, T0 + 10, "T2"),
        bomb(2, T0 + 20, "T3"),
        bomb(3, T0 + 30, "T4"),
        authorize(4, T0 + 40, "T5", 1),
        tick(5, T0 + 4_000),
        tick(6, T0 + 20_000),
    ];
    let limits = settings(Limits { faults_max: 3, quarantine_ms: 10_000, ..Limits::default() });
    let expected = [
        "10 dead rule-failed bomb",
        "20 dead rule-failed bomb",
        "30 raised rule-quarantined rule:absence",
        "30 dead rule-failed bomb",
        "10030 cleared rule-quarantined rule:absence mended",
        // Its wake-up waited; the authorize of T5 was never seen by it.
        "10030 raised no-answer payment:A:M:T1:1:1",
        "10030 command query-status terminal:T1",
    ];
    assert_eq!(both(&limits, &records), expected);
}

#[test]
fn a_visit_left_out_in_quarantine_is_counted_once_whoever_faults_beside_it() {
    let bomb = |offset, at: Instant, terminal: &str| {
        record(offset, at, event("pos.payment.response", &format!("b{offset}"), terminal, 9, at, "bomb"))
    };
    // The authorize and the last bomb share a call, whose fault makes it run again.
    let records =
        [bomb(0, T0, "T1"), authorize(1, T0 + 2_999, "T2", 1), bomb(2, T0 + 3_000, "T3"), tick(3, T0 + 9_000)];
    let limits = settings(Limits { faults_max: 1, quarantine_ms: 3_000, ..Limits::default() });
    both(&limits, &records);
    let skipped = run(&limits, &mut pair(), &records, 0).into_iter().find_map(|output| match output.data {
        Data::Cleared(finding, _) => finding.details.into_iter().find(|(name, _)| name == "skipped"),
        _ => None,
    });
    assert_eq!(skipped, Some(("skipped".to_owned(), Value::Integer(1))));
}
