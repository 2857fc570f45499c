//! Two clocks: what fires when, and in which order.

use super::*;

const T0: Instant = 1_700_000_000_000;

fn authorize(offset: i64, at: Instant, terminal: &str, about: u32) -> Record {
    record(offset, at, event("pos.payment.authorize", &format!("a{offset}"), terminal, about, at, ""))
}

fn response(offset: i64, ingest: Instant, time: Instant, terminal: &str, about: u32) -> Record {
    record(offset, ingest, event("pos.payment.response", &format!("r{offset}"), terminal, about, time, "approved"))
}

fn outputs(records: &[Record]) -> Vec<String> {
    brief(&run(&settings(Limits::default()), &mut pair(), records, 0))
}

#[test]
fn a_timer_fires_when_the_watermark_is_strictly_past_its_deadline() {
    let at_deadline = [authorize(0, T0, "T1", 1), tick(1, T0 + 1_500)];
    assert_eq!(outputs(&at_deadline), Vec::<String>::new());
    let past = [authorize(0, T0, "T1", 1), tick(1, T0 + 1_501)];
    assert_eq!(outputs(&past)[0], "1000 raised no-answer payment:A:M:T1:1:1");
}

#[test]
fn an_event_at_the_deadline_is_in_time() {
    let records = [authorize(0, T0, "T1", 1), response(1, T0 + 1_400, T0 + 1_000, "T1", 1), tick(2, T0 + 9_000)];
    assert_eq!(outputs(&records), Vec::<String>::new());
    let records = [authorize(0, T0, "T1", 1), response(1, T0 + 1_400, T0 + 1_001, "T1", 1), tick(2, T0 + 9_000)];
    let expected = [
        "1000 raised no-answer payment:A:M:T1:1:1",
        "1000 command query-status terminal:T1",
        "1001 cleared no-answer payment:A:M:T1:1:1 mended",
    ];
    assert_eq!(outputs(&records), expected);
}

#[test]
fn without_the_log_moving_on_nothing_fires() {
    assert_eq!(outputs(&[authorize(0, T0, "T1", 1)]), Vec::<String>::new());
}

#[test]
fn a_backlog_raises_nothing_that_its_own_records_disprove() {
    // Ten minutes behind: the answer lies in the log behind the authorize, and no tick between them.
    let records = [authorize(0, T0, "T1", 1), response(1, T0 + 700, T0 + 700, "T1", 1), tick(2, T0 + 600_000)];
    assert_eq!(outputs(&records), Vec::<String>::new());
}

#[test]
fn one_clock_an_hour_ahead_changes_nothing_for_others() {
    let fast = record(1, T0 + 10, event("pos.payment.authorize", "f", "T2", 1, T0 + 3_600_000, ""));
    let with = [authorize(0, T0, "T1", 1), fast, tick(2, T0 + 1_400), response(3, T0 + 1_450, T0 + 900, "T1", 1)];
    assert!(outputs(&with).iter().all(|line| !line.contains("T1")), "{:?}", outputs(&with));
}

#[test]
fn a_late_event_takes_the_watermark_at_which_it_came_and_keeps_its_own_time() {
    fn telling(visit: &Visit, _state: &[u8], _key: &str, _fields: &[&[u8]]) -> Result<Decision, String> {
        Err(format!("at {} time {} late {}", visit.at - T0, visit.time - T0, visit.late))
    }
    let events = ["pos.payment.authorize"];
    let mut rules = Scripted {
        descriptors: vec![descriptor("telling", Scope::Payment, &events, &[], &[])],
        scripts: vec![telling],
    };
    let early = record(2, T0 + 5_010, event("pos.payment.authorize", "early", "T3", 1, T0 + 9_000, ""));
    let late = record(1, T0 + 5_000, event("pos.payment.authorize", "late", "T2", 1, T0, ""));
    let records = [tick(0, T0 + 5_000), late, early, tick(3, T0 + 9_000)];
    let out = kinds(&run(&settings(Limits::default()), &mut rules, &records, 0));
    assert_eq!(out, ["dead rule-failed at 4500 time 0 late true", "dead rule-failed at 5010 time 9000 late false"]);
}

#[test]
fn ingest_time_never_runs_backwards() {
    let records = [
        authorize(0, T0, "T1", 1),
        tick(1, T0 + 1_600),
        tick(2, T0),
        response(3, T0, T0, "T1", 1),
        tick(4, T0 + 9_000),
    ];
    // The response's own time is before the deadline, yet it came after the watermark had passed it.
    let out = outputs(&records);
    assert_eq!(out.len(), 3, "{out:?}");
    assert_eq!(out[2], "1100 cleared no-answer payment:A:M:T1:1:1 mended");
}

#[test]
fn events_of_one_instant_are_handed_out_by_source_and_id_whatever_their_arrival() {
    let a = record(0, T0, event("pos.payment.response", "a", "T1", 1, T0, "bomb"));
    let b = record(1, T0, event("pos.payment.response", "b", "T1", 1, T0, "bomb"));
    let swapped = [Record { offset: 0, ..b.clone() }, Record { offset: 1, ..a.clone() }, tick(2, T0 + 600)];
    let ids = |records: &[Record]| -> Vec<Vec<u8>> {
        run(&settings(Limits::default()), &mut pair(), records, 0)
            .into_iter()
            .map(|output| match output.data {
                Data::DeadLetter(letter) => letter.bytes.expect("an event's letter has bytes"),
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    };
    assert_eq!(ids(&swapped), ids(&[a, b, tick(2, T0 + 600)]));
    assert_eq!(ids(&swapped)[0], b"a as it came");
}

#[test]
fn of_two_that_share_an_id_and_an_instant_the_same_one_counts_whatever_their_arrival() {
    let first = record(0, T0, event("pos.payment.response", "a", "T1", 1, T0, "bomb"));
    let second = record(1, T0, event("pos.payment.response", "a", "T1", 2, T0, "bomb"));
    let swapped = [Record { offset: 0, ..second.clone() }, Record { offset: 1, ..first.clone() }, tick(2, T0 + 600)];
    let subjects = |records: &[Record]| -> Vec<Option<String>> {
        run(&settings(Limits::default()), &mut pair(), records, 0).into_iter().map(|output| output.subject).collect()
    };
    assert_eq!(subjects(&swapped), [Some("A:M:T1:1:1".to_owned())]);
    assert_eq!(subjects(&[first, second, tick(2, T0 + 600)]), subjects(&swapped));
}

#[test]
fn a_duplicate_is_dropped_also_after_a_restart() {
    let settings = settings(Limits::default());
    let mut twin = authorize(2, T0 + 100, "T1", 1);
    if let Body::Event(event) = &mut twin.body {
        *event = super::event("pos.payment.authorize", "a0", "T1", 1, T0 + 100, "");
    }
    let records = [authorize(0, T0, "T1", 1), tick(1, T0 + 700), twin, tick(3, T0 + 900)];
    let mut rules = pair();
    let mut first = partition(&settings, &rules);
    let mut out = Vec::new();
    first.step(&mut records.to_vec(), &mut rules, &mut out).expect("no stall");
    assert_eq!((first.counters().events, first.counters().duplicates), (1, 1));
    assert!(run_crashing(&settings, &mut pair(), &records).is_empty());
}

#[test]
fn a_state_and_a_wake_up_that_are_put_as_they_were_are_no_change() {
    let steady: Script =
        |_, _, _, _| Ok(Decision { state: Some(b"state".to_vec()), wake: Wake::At(T0 + 60_000), actions: Vec::new() });
    let mut rules = pair();
    rules.scripts[0] = steady;
    let mut partition = partition(&settings(Limits::default()), &rules);
    let mut states = |offset: i64, at: Instant| {
        let mut records = vec![authorize(offset, at, "T1", 1), tick(offset + 1, at + 600)];
        partition.step(&mut records, &mut rules, &mut Vec::new()).expect("no stall");
        let mut changes = Changes::default();
        partition.changes(&mut changes);
        (changes.iter().filter(|(key, _)| key.starts_with(b"s")).count(), partition.counters().visits)
    };
    assert_eq!(states(0, T0), (1, 1));
    assert_eq!(states(2, T0 + 1_000), (0, 2), "nothing is new");
    assert_eq!(partition.next_deadline(), Some(T0 + 60_000));
}

#[test]
fn state_of_another_version_is_migrated_or_refused() {
    let settings = settings(Limits::default());
    let mut rules = pair();
    let mut first = partition(&settings, &rules);
    first.step(&mut vec![authorize(0, T0, "T1", 1), tick(1, T0 + 600)], &mut rules, &mut Vec::new()).expect("no stall");
    let mut changes = Changes::default();
    first.changes(&mut changes);
    rules.descriptors[0].state_version = 2;
    let load = |rules: &Scripted| {
        let mut second = partition(&settings, rules);
        for (key, value) in changes.iter() {
            second.load(key, value).expect("loads");
        }
        second
    };
    let mut second = load(&rules);
    second.resume(Some(first.position()), &mut rules).expect("migrates");
    let mut written = Changes::default();
    second.changes(&mut written);
    let migrated = |value: &[u8]| value.windows(9).any(|window| window == b"migrated:");
    assert!(written.iter().any(|(_, value)| value.is_some_and(migrated)), "the new form is written");
    let mut odd = pair();
    odd.descriptors[0].state_version = 7;
    let mut writer = partition(&settings, &odd);
    writer.step(&mut vec![authorize(0, T0, "T1", 1), tick(1, T0 + 600)], &mut odd, &mut Vec::new()).expect("no stall");
    let mut sevens = Changes::default();
    writer.changes(&mut sevens);
    let mut third = partition(&settings, &rules);
    for (key, value) in sevens.iter() {
        third.load(key, value).expect("loads");
    }
    let error = third.resume(None, &mut rules).expect_err("seven is refused");
    assert!(error.to_string().contains("absence") && error.to_string().contains("seven is refused"), "{error}");
}

#[test]
fn a_corrupt_changelog_record_is_named() {
    let rules = pair();
    let mut partition = partition(&settings(Limits::default()), &rules);
    let error = partition.load(b"s\x00\x00", Some(b"\x01x")).expect_err("no such key");
    assert!(error.to_string().contains("s\\x00\\x00"), "{error}");
    let error = partition.load(b"w", Some(b"\x63")).expect_err("format 99");
    assert!(error.to_string().contains("format 99"), "{error}");
}

#[test]
fn state_of_a_rule_that_is_not_loaded_stays_for_its_return() {
    let settings = settings(Limits::default());
    let mut rules = pair();
    let mut first = partition(&settings, &rules);
    first.step(&mut vec![authorize(0, T0, "T1", 1), tick(1, T0 + 600)], &mut rules, &mut Vec::new()).expect("no stall");
    let mut changes = Changes::default();
    first.changes(&mut changes);
    let without = Scripted { descriptors: rules.descriptors[1..].to_vec(), scripts: rules.scripts[1..].to_vec() };
    let mut second = partition(&settings, &without);
    for (key, value) in changes.iter() {
        second.load(key, value).expect("loads");
    }
    let mut third = partition(&settings, &rules);
    let from = third.restore(&second.snapshot(), &mut rules).expect("restores");
    assert_eq!(third.next_deadline(), Some(T0 + 1_000), "reading goes on at {from}");
}

/// What a worker may do that has no ticks in its log.
#[derive(Clone)]
enum Step {
    Read(Record),
    /// A local tick, with the partition read to its end.
    Local(Instant, Option<crate::log::Blind>),
}

/// Runs steps with a crash before each of those in `crashes`: what the changelog and the position keep is all that goes on.
fn run_locally(steps: &[Step], crashes: &[usize]) -> Vec<Output> {
    let (settings, mut rules) = (settings(Limits::default()), pair());
    let mut kept: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    let mut read: Vec<Record> = Vec::new();
    let mut partition = partition(&settings, &rules);
    let mut out = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if crashes.contains(&index) {
            let position = partition.position();
            partition = super::partition(&settings, &rules);
            for (key, value) in &kept {
                partition.load(key, value.as_deref()).expect("what was written loads");
            }
            let from =
                partition.resume(Some(position), &mut rules).expect("no migration").expect("there is a position");
            let mut again: Vec<Record> = read.iter().filter(|record| record.offset >= from).cloned().collect();
            partition.step(&mut again, &mut rules, &mut out).expect("no stall");
        }
        let mut batch = Vec::new();
        match step {
            Step::Read(record) => {
                read.push(record.clone());
                batch.push(record.clone());
            }
            Step::Local(now, blind) => partition.tick_locally(crate::log::Tick { blind: *blind }, *now, true),
        }
        partition.step(&mut batch, &mut rules, &mut out).expect("no stall");
        let mut changes = Changes::default();
        partition.changes(&mut changes);
        kept.extend(changes.pairs());
    }
    out
}

#[test]
fn a_local_tick_fires_what_is_due_once_whatever_crashes_follow() {
    use crate::log::Blind;
    // The worker's clock is 300 ms ahead of the log's, so that what comes behind a tick may lie before it.
    let steps = [
        Step::Read(authorize(0, T0, "T1", 1)),
        Step::Read(authorize(1, T0 + 400, "T2", 1)),
        Step::Local(T0 + 700, None),
        Step::Read(response(2, T0 + 450, T0 + 440, "T9", 1)),
        Step::Local(T0 + 1_600, Some(Blind::Broker)),
        Step::Read(response(3, T0 + 1_310, T0 + 990, "T1", 1)),
        Step::Read(response(4, T0 + 1_320, T0 + 1_300, "T2", 1)),
        Step::Local(T0 + 1_601, Some(Blind::Over)),
        Step::Read(authorize(5, T0 + 1_330, "T3", 1)),
        Step::Local(T0 + 1_500, None),
        Step::Local(T0 + 4_000, None),
        Step::Read(response(6, T0 + 3_800, T0 + 3_790, "T3", 1)),
        Step::Local(T0 + 9_000, None),
    ];
    let straight = run_locally(&steps, &[]);
    let expected = [
        "1000 raised no-answer payment:A:M:T1:1:1",
        "1000 command query-status terminal:T1",
        "1100 raised feed-blind partition:pos.events/0",
        // Its own time was before the deadline, but it came behind the tick that fired it.
        "1100 cleared no-answer payment:A:M:T1:1:1 mended",
        "1101 cleared feed-blind partition:pos.events/0 mended",
        "2330 raised no-answer payment:A:M:T3:1:1",
        "2330 command query-status terminal:T3",
        "3790 cleared no-answer payment:A:M:T3:1:1 mended",
    ];
    assert_eq!(brief(&straight), expected);
    let ids: std::collections::BTreeSet<_> = straight.iter().map(|output| output.id.clone()).collect();
    assert_eq!(ids.len(), straight.len(), "every output has an id of its own");
    for index in 1..steps.len() {
        assert_eq!(run_locally(&steps, &[index]), straight, "a crash before step {index}");
    }
    assert_eq!(run_locally(&steps, &(1..steps.len()).collect::<Vec<_>>()), straight, "a crash before every step");
}

#[test]
fn a_local_tick_that_is_behind_changes_the_sight_and_not_the_time() {
    use crate::log::{Blind, Tick};
    let (settings, mut rules) = (settings(Limits::default()), pair());
    let mut partition = partition(&settings, &rules);
    let mut out = Vec::new();
    partition.step(&mut vec![authorize(0, T0, "T1", 1)], &mut rules, &mut out).expect("no stall");
    let before = partition.position();
    partition.tick_locally(Tick { blind: Some(Blind::Lag) }, T0 + 60_000, false);
    partition.step(&mut Vec::new(), &mut rules, &mut out).expect("no stall");
    assert_eq!(brief(&out), ["-500 raised feed-blind partition:pos.events/0"]);
    assert_eq!(partition.position(), before);
}

#[test]
fn what_is_due_for_a_terminal_comes_after_its_payments_in_the_same_instant() {
    /// Wakes a second after the authorize, at once after a finding, and once more after its first wake-up.
    fn telling(visit: &Visit, state: &[u8], _key: &str, _fields: &[&[u8]]) -> Result<Decision, String> {
        let wake = match visit.trigger {
            Trigger::Event(0) => Wake::At(visit.at + 1_000),
            Trigger::Timer if !state.is_empty() => return Err(format!("at {}", visit.at - T0)),
            _ => Wake::At(visit.at),
        };
        let state = (visit.trigger == Trigger::Timer).then(|| b"woken".to_vec());
        Ok(Decision { state, wake, actions: Vec::new() })
    }
    let told = |events: &[&str]| {
        let mut rules = pair();
        rules.descriptors[1] = descriptor("telling", Scope::Terminal, events, &[], &[]);
        rules.scripts[1] = telling;
        let records = [authorize(0, T0, "T1", 1), tick(1, T0 + 9_000)];
        kinds(&run(&settings(Limits::default()), &mut rules, &records, 0))
    };
    // Its turn comes after that of the payment whose finding asks for it, whether its wake-up stood before or not; then it is over.
    let expected = ["raised no-answer payment:A:M:T1:1:1", "dead rule-failed at 1001"];
    assert_eq!(told(&["pos.payment.authorize", "pos.finding.raised"]), expected);
    assert_eq!(told(&["pos.device.status", "pos.finding.raised"]), expected);
}
