//! The second stage: the same outputs however the partitions of the first are interleaved, cut, crashed and restored.

use proptest::prelude::*;
use tillwatch_wit::contract::{Derived, Incident, Told, Turn, Value};

use super::*;
use crate::{
    partition::SetupError,
    stage::{LeftOut, Passed, Stage},
};

const T0: Instant = 1_700_000_000_000;

/// Counts evidence of its region; says an incident a second after the first, tells of a finding, and ends it at the next.
fn counting(visit: &Visit, state: &[u8], key: &str, fields: &[&[u8]]) -> Result<Decision, String> {
    let count = state.first().copied().unwrap_or(0);
    let mut decision =
        Decision { state: Some(vec![count.wrapping_add(1).max(1)]), wake: Wake::Keep, actions: Vec::new() };
    match visit.trigger {
        Trigger::Event(_) if fields[0] == b"bomb" => return Err("bomb".to_owned()),
        Trigger::Event(_) => decision.wake = Wake::At(visit.at + 1_000),
        Trigger::Timer => {
            decision.state = Some(Vec::new());
            decision.actions.push(Action::Incident(Box::new(incident(key, u64::from(count), visit.at))));
            decision.actions.push(Action::Tell(Told {
                finding: "f".to_owned(),
                kind: "no-answer".to_owned(),
                scope: "payment:p".to_owned(),
                severity: None,
                evidence: Vec::new(),
                details: vec![("cause".to_owned(), Value::from("N4")), ("confidence".to_owned(), Value::Number(0.5))],
            }));
        }
    }
    Ok(decision)
}

fn incident(scope: &str, findings: u64, at: Instant) -> Incident {
    Incident {
        turn: Turn::Opened,
        scope: scope.to_owned(),
        cause: "N4".to_owned(),
        opened_as: None,
        confidence: 0.9,
        runner_up: None,
        generation: 1,
        severity: Severity::Warning,
        evidence: Vec::new(),
        findings,
        payments: 1,
        money: vec![("CNY".to_owned(), 100)],
        first_at: at,
        opened_at: at,
        resolved_at: None,
        inhibits: Vec::new(),
        inhibited_by: None,
        maintenance: false,
        text_en: String::new(),
        text_zh: String::new(),
        remedy_en: String::new(),
        remedy_zh: String::new(),
        runbook: String::new(),
        report: None,
    }
}

fn rules() -> Scripted {
    let may = ["incident:N4", "update:no-answer"];
    Scripted {
        descriptors: vec![descriptor("counting", Scope::Region, &["pos.evidence.x"], &["outcome"], &may)],
        scripts: vec![counting],
    }
}

fn settings() -> Arc<Settings> {
    let limits = Limits { faults_max: 1_000, ..Limits::default() };
    Arc::new(Settings { limits, topic: "pos.evidence".to_owned(), stage: Stage::Second, ..Settings::default() })
}

fn evidence(id: &str, region: u32, time: Instant, outcome: &str) -> Body {
    let mut event = EventBuilder::new(&[]);
    event.set_type(TypeId::CUSTOM);
    event.set_time(time);
    event.push(FieldId::TYPE, b"pos.evidence.x");
    event.push(FieldId::ID, id.as_bytes());
    event.push(FieldId::SOURCE, b"/tillwatch/x");
    event.push(FieldId::PARTITIONKEY, format!("region:R{region}").as_bytes());
    event.push(FieldId::OUTCOME, outcome.as_bytes());
    Body::Event(event.build())
}

/// What three partitions of the first stage send, each in its order: evidence, then how far they have come, which is past it.
fn inputs() -> impl Strategy<Value = Vec<Vec<Body>>> {
    let step = (0u8..6, 0u32..3, prop_oneof![0i64..40, 0i64..900, 0i64..3_000]);
    proptest::collection::vec(proptest::collection::vec(step, 1..20), 3).prop_map(|inputs| {
        let input = |(number, steps): (usize, Vec<(u8, u32, i64)>)| {
            let input = u32::try_from(number).expect("small");
            let mut at = T0;
            let mut bodies = vec![Body::Passed(Passed { input, inputs: 3, at })];
            for (index, (what, region, gap)) in steps.into_iter().enumerate() {
                bodies.push(match what {
                    0 => {
                        at += gap;
                        Body::Passed(Passed { input, inputs: 3, at })
                    }
                    1 => evidence(&format!("{number}-{index}"), region, at + gap, "bomb"),
                    _ => evidence(&format!("{number}-{index}"), region, at + gap, ""),
                });
                if what != 0 {
                    // Evidence comes in the order of its time.
                    at += gap;
                }
            }
            bodies.push(Body::Passed(Passed { input, inputs: 3, at: at.max(T0 + 100_000) }));
            bodies
        };
        inputs.into_iter().enumerate().map(input).collect()
    })
}

/// One interleaving: which input speaks next.
fn interleave(inputs: &[Vec<Body>], turns: &[usize]) -> Vec<Record> {
    let mut next = vec![0; inputs.len()];
    let mut turns = turns.iter().copied().cycle();
    let mut records = Vec::new();
    let total: usize = inputs.iter().map(Vec::len).sum();
    while records.len() < total {
        let wanted = turns.next().unwrap_or(0) % inputs.len();
        let input =
            (0..inputs.len()).map(|step| (wanted + step) % inputs.len()).find(|at| next[*at] < inputs[*at].len());
        let input = input.expect("one has more");
        let offset = i64::try_from(records.len()).expect("small");
        // The log's own time means nothing here.
        records.push(Record { offset, ingest: 7, body: inputs[input][next[input]].clone() });
        next[input] += 1;
    }
    records
}

fn without_places(mut out: Vec<Output>) -> Vec<Output> {
    for output in &mut out {
        if let Data::DeadLetter(letter) = &mut output.data {
            letter.offset = None;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn cuts_and_crashes_do_not_matter(inputs in inputs(), turns in proptest::collection::vec(0usize..3, 1..40)) {
        let settings = settings();
        let records = interleave(&inputs, &turns);
        let golden = run(&settings, &mut rules(), &records, 1);
        for size in [2, 7, 0] {
            prop_assert_eq!(&run(&settings, &mut rules(), &records, size), &golden, "batches of {}", size);
        }
        prop_assert_eq!(brief(&run_crashing(&settings, &mut rules(), &records)), brief(&golden));
        prop_assert_eq!(run_crashing(&settings, &mut rules(), &records), golden);
    }

    #[test]
    fn the_interleaving_does_not_matter(
        inputs in inputs(),
        some in proptest::collection::vec(0usize..3, 1..40),
        others in proptest::collection::vec(0usize..3, 1..40),
    ) {
        let settings = settings();
        let golden = without_places(run(&settings, &mut rules(), &interleave(&inputs, &some), 0));
        let other = without_places(run(&settings, &mut rules(), &interleave(&inputs, &others), 0));
        prop_assert_eq!(brief(&other), brief(&golden));
        prop_assert_eq!(other, golden);
    }

    #[test]
    fn what_is_left_out_is_left_out_again_after_a_crash(
        inputs in inputs(),
        turns in proptest::collection::vec(0usize..3, 1..40),
        at in 0usize..40,
        gone in 0u32..3,
    ) {
        let settings = settings();
        let mut records = interleave(&inputs, &turns);
        let at = at.min(records.len());
        // It says where the input stands at that moment, as whoever writes it knows.
        let passed = records[..at].iter().rev().find_map(|record| match record.body {
            Body::Passed(passed) if passed.input == gone => Some(passed.at),
            _ => None,
        });
        records.insert(at, Record { offset: 0, ingest: 7, body: Body::LeftOut(LeftOut { input: gone, passed }) });
        for (offset, record) in (0i64..).zip(&mut records) {
            record.offset = offset;
        }
        let golden = run(&settings, &mut rules(), &records, 1);
        prop_assert_eq!(&run(&settings, &mut rules(), &records, 0), &golden);
        prop_assert_eq!(brief(&run_crashing(&settings, &mut rules(), &records)), brief(&golden));
        prop_assert_eq!(run_crashing(&settings, &mut rules(), &records), golden);
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken(inputs in inputs(), turns in proptest::collection::vec(0usize..3, 1..40), at in 0usize..60) {
        let settings = settings();
        let records = interleave(&inputs, &turns);
        let mut rules = rules();
        let golden = run(&settings, &mut rules, &records, 0);
        let mut first = partition(&settings, &rules);
        let mut out = Vec::new();
        first.step(&mut records[..at.min(records.len())].to_vec(), &mut rules, &mut out).expect("no stall");
        let snapshot = first.snapshot();
        let mut second = partition(&settings, &rules);
        let from = second.restore(&snapshot, &mut rules).expect("restores");
        prop_assert_eq!(second.snapshot(), snapshot.clone());
        let rest: Vec<Record> = records.iter().filter(|record| record.offset >= from).cloned().collect();
        second.step(&mut rest.clone(), &mut rules, &mut out).expect("no stall");
        prop_assert_eq!(out, golden);
    }
}

fn passed(offset: i64, input: u32, inputs: u32, at: Instant) -> Record {
    Record { offset, ingest: 7, body: Body::Passed(Passed { input, inputs, at }) }
}

#[test]
fn time_is_that_of_the_slowest_and_nothing_happens_before_all_were_heard() {
    let settings = settings();
    let mut rules = rules();
    let mut partition = partition(&settings, &rules);
    let mut out = Vec::new();
    let mut step = |partition: &mut Partition, record: Record| {
        partition.step(&mut vec![record], &mut rules, &mut out).expect("no stall");
        brief(&out)
    };
    let told = Record { offset: 0, ingest: 7, body: evidence("e", 1, T0 + 10, "") };
    step(&mut partition, told);
    step(&mut partition, passed(1, 0, 2, T0 + 5_000));
    assert_eq!(partition.gauges().waiting_events, 1);
    assert_eq!(partition.inputs().collect::<Vec<_>>(), [(0, Some(T0 + 5_000)), (1, None)]);
    step(&mut partition, passed(2, 1, 2, T0 + 1_010));
    assert_eq!(partition.gauges().waiting_events, 0, "the slower one is past it");
    let said = step(&mut partition, passed(3, 1, 2, T0 + 1_011));
    assert_eq!(said, ["1010 told no-answer payment:p", "1010 pos.incident.opened N4 region:R1"]);
    // A third partition was added: time waits for it.
    step(&mut partition, passed(4, 0, 3, T0 + 9_000));
    step(&mut partition, passed(5, 1, 3, T0 + 9_000));
    assert_eq!(partition.watermark(), T0 + 1_011);
}

#[test]
fn what_stands_still_is_left_out_said_once_and_waited_for_again() {
    let settings = settings();
    let mut records = vec![passed(0, 0, 2, T0), passed(1, 1, 2, T0), passed(2, 0, 2, T0 + 40_000)];
    let leave = |offset, input, passed| Record { offset, ingest: 7, body: Body::LeftOut(LeftOut { input, passed }) };
    // The first is of a moment that is past: the input has moved since.
    records.push(leave(3, 1, Some(T0 - 1)));
    records.push(leave(4, 1, Some(T0)));
    records.push(leave(5, 1, Some(T0)));
    // What it sends now is late.
    records.push(Record { offset: 6, ingest: 7, body: evidence("late", 1, T0 + 100, "") });
    records.push(passed(7, 1, 2, T0 + 30_000));
    records.push(passed(8, 0, 2, T0 + 41_000));
    records.push(passed(9, 1, 2, T0 + 41_000));
    records.push(passed(10, 0, 2, T0 + 90_000));
    records.push(passed(11, 1, 2, T0 + 90_000));
    let out = run(&settings, &mut rules(), &records, 1);
    assert_eq!(
        brief(&out),
        [
            "40000 raised feed-blind partition:pos.evidence/0/inputs",
            "41000 cleared feed-blind partition:pos.evidence/0/inputs mended",
            "41000 told no-answer payment:p",
            "41000 pos.incident.opened N4 region:R1",
        ]
    );
    let Data::Raised(finding) = &out[0].data else { panic!("a finding") };
    assert_eq!(finding.details[1], ("input".to_owned(), Value::Integer(1)));
}

#[test]
fn rules_have_their_stage_and_the_second_does_not_send_to_itself() {
    let region = descriptor("r", Scope::Region, &["custom"], &[], &[]);
    let refused = |settings: &Arc<Settings>, descriptor: &Descriptor| {
        Partition::new(0, Arc::clone(settings), std::slice::from_ref(descriptor)).err()
    };
    assert_eq!(refused(&settings(), &region), None);
    let first = super::settings(Limits::default());
    assert_eq!(refused(&first, &region), Some(SetupError::WrongKey("r".to_owned(), Scope::Region)));
    let terminal = descriptor("t", Scope::Terminal, &["custom"], &[], &[]);
    assert_eq!(refused(&settings(), &terminal), Some(SetupError::WrongKey("t".to_owned(), Scope::Terminal)));
    let endless = descriptor("r", Scope::Site, &["custom"], &[], &["derive:pos.evidence.x"]);
    assert!(matches!(refused(&settings(), &endless), Some(SetupError::Loop(..))));
}

#[test]
fn a_rule_sees_what_is_addressed_to_scopes_of_its_key() {
    fn telling(_: &Visit, _: &[u8], key: &str, _: &[&[u8]]) -> Result<Decision, String> {
        let derived = Derived { event: "x.seen".to_owned(), details: Vec::new() };
        assert!(key.starts_with("site:"), "{key}");
        Ok(Decision { state: Some(vec![1]), wake: Wake::Keep, actions: vec![Action::Derive(derived)] })
    }
    let settings = settings();
    let mut rules = Scripted {
        descriptors: vec![descriptor("site", Scope::Site, &["pos.evidence.x"], &[], &["derive:x.seen"])],
        scripts: vec![telling],
    };
    let mut partition = partition(&settings, &rules);
    let mut records = vec![Record { offset: 0, ingest: 7, body: evidence("e", 1, T0, "") }, passed(1, 0, 1, T0 + 1)];
    partition.step(&mut records, &mut rules, &mut Vec::new()).expect("no stall");
    assert_eq!((partition.counters().events, partition.counters().visits), (1, 0));
}
