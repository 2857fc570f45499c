//! Every limit of the engine: what happens at it.

use super::*;

const T0: Instant = 1_700_000_000_000;

fn authorize(offset: i64, at: Instant, terminal: &str, about: u32) -> Record {
    record(offset, at, event("pos.payment.authorize", &format!("a{offset}"), terminal, about, at, ""))
}

fn one(script: Script, key: Scope, capabilities: &[&str]) -> Scripted {
    let events = ["pos.payment.authorize", "pos.finding.raised", "x.again"];
    Scripted { descriptors: vec![descriptor("one", key, &events, &["finding"], capabilities)], scripts: vec![script] }
}

fn outputs(limits: Limits, rules: &mut Scripted, records: &[Record]) -> Vec<String> {
    let limits = settings(limits);
    let all = kinds(&run(&limits, rules, records, 0));
    assert_eq!(kinds(&run(&limits, rules, records, 1)), all, "the limit does not depend on batches");
    all
}

#[test]
fn a_state_past_state_bytes_max_is_a_fault() {
    fn growing(_: &Visit, state: &[u8], _: &str, _: &[&[u8]]) -> Result<Decision, String> {
        Ok(Decision { state: Some([state, &[1]].concat()), wake: Wake::Keep, actions: Vec::new() })
    }
    let records: Vec<Record> =
        (0..3).map(|offset| authorize(offset, T0 + offset, "T1", 1)).chain([tick(9, T0 + 900)]).collect();
    let out =
        outputs(Limits { state_bytes_max: 2, ..Limits::default() }, &mut one(growing, Scope::Terminal, &[]), &records);
    assert_eq!(out, ["dead state-max the state has 3 bytes: at most 2 are kept"]);
}

#[test]
fn a_key_past_keys_max_is_a_fault() {
    let records: Vec<Record> = (0..3u32)
        .map(|about| authorize(about.into(), T0, &format!("T{about}"), about))
        .chain([tick(9, T0 + 600)])
        .collect();
    let out = outputs(Limits { keys_max: 2, ..Limits::default() }, &mut pair(), &records);
    assert_eq!(out, ["dead keys-max the rule has state for 2 keys in this partition: raise keys_max"]);
}

#[test]
fn a_finding_past_findings_max_is_a_fault() {
    let records: Vec<Record> = (0..3u32)
        .map(|about| authorize(about.into(), T0, &format!("T{about}"), about))
        .chain([tick(9, T0 + 1_600)])
        .collect();
    let out = outputs(Limits { findings_max: 2, ..Limits::default() }, &mut pair(), &records);
    let dead: Vec<&String> = out.iter().filter(|line| line.starts_with("dead")).collect();
    assert_eq!(dead, ["dead findings-max 2 findings of the rule are open in this partition: raise findings_max"]);
}

#[test]
fn actions_past_actions_max_are_a_fault() {
    fn shouting(visit: &Visit, _: &[u8], _: &str, _: &[&[u8]]) -> Result<Decision, String> {
        let actions = ["a", "b", "c"].map(|kind| Action::Raise(finding(kind, visit.at))).to_vec();
        Ok(Decision { state: None, wake: Wake::Keep, actions })
    }
    let records = [authorize(0, T0, "T1", 1), tick(1, T0 + 600)];
    let may = ["finding:a", "finding:b", "finding:c"];
    let out =
        outputs(Limits { actions_max: 2, ..Limits::default() }, &mut one(shouting, Scope::Terminal, &may), &records);
    assert_eq!(out, ["dead bad-output 3 actions in one visit: at most 2"]);
}

#[test]
fn rounds_past_rounds_max_are_a_fault_and_what_the_last_one_did_is_taken_back() {
    fn endless(visit: &Visit, _: &[u8], _: &str, _: &[&[u8]]) -> Result<Decision, String> {
        let derived = tillwatch_wit::contract::Derived { event: "x.again".to_owned(), details: Vec::new() };
        let mut actions = vec![Action::Derive(derived)];
        if visit.trigger == Trigger::Event(0) {
            actions.insert(0, Action::Raise(finding("a", visit.at)));
        }
        Ok(Decision { state: None, wake: Wake::Keep, actions })
    }
    let records = [authorize(0, T0, "T1", 1), tick(1, T0 + 600)];
    let may = ["finding:a", "derive:x.again"];
    let out =
        outputs(Limits { rounds_max: 3, ..Limits::default() }, &mut one(endless, Scope::Terminal, &may), &records);
    assert_eq!(out.iter().filter(|line| line.starts_with("raised")).count(), 1);
    assert!(
        out.iter().filter(|line| line.contains("rounds-max its event would be round 4: at most 3")).count() >= 1,
        "{out:?}"
    );
}

#[test]
fn what_a_rule_did_not_declare_is_a_fault_of_the_whole_visit() {
    fn sly(visit: &Visit, _: &[u8], _: &str, _: &[&[u8]]) -> Result<Decision, String> {
        let actions = vec![Action::Raise(finding("a", visit.at)), Action::Raise(finding("b", visit.at))];
        Ok(Decision { state: Some(vec![1]), wake: Wake::Keep, actions })
    }
    let records = [authorize(0, T0, "T1", 1), tick(1, T0 + 600)];
    let out = outputs(Limits::default(), &mut one(sly, Scope::Terminal, &["finding:a"]), &records);
    assert_eq!(out, ["dead bad-output the rule did not declare the capability finding:b"]);
}

#[test]
fn a_finding_opens_once_and_only_an_open_one_clears() {
    fn twice(visit: &Visit, state: &[u8], _: &str, _: &[&[u8]]) -> Result<Decision, String> {
        let clear = Cleared { kind: "a".to_owned(), scope: None, resolution: "mended".to_owned(), after_ms: 0 };
        let actions = match state.len() {
            0 => vec![Action::Clear(clear)],
            1 => vec![Action::Raise(finding("a", visit.at))],
            2 => vec![Action::Raise(finding("a", visit.at))],
            _ => vec![Action::Clear(clear), Action::Raise(finding("a", visit.at))],
        };
        Ok(Decision { state: Some([state, &[1]].concat()), wake: Wake::Keep, actions })
    }
    fn step(visit: &Visit, state: &[u8], key: &str, fields: &[&[u8]]) -> Result<Decision, String> {
        // A fault leaves the state, so the payment's number says which step it is.
        let about = usize::from(fields[0].first().copied().unwrap_or(b'0') - b'0');
        twice(visit, &vec![1; about], key, fields).map(|decision| Decision { state: Some(state.to_vec()), ..decision })
    }
    let mut rules = one(step, Scope::Terminal, &["finding:a"]);
    rules.descriptors[0].fields = vec!["outcome".to_owned()];
    rules.descriptors[0].events.truncate(1);
    let records: Vec<Record> = (0..4i64)
        .map(|n| record(n, T0 + n, event("pos.payment.authorize", &format!("e{n}"), "T1", 1, T0 + n, &n.to_string())))
        .chain([tick(9, T0 + 600)])
        .collect();
    let out = outputs(Limits::default(), &mut rules, &records);
    let expected = [
        "dead bad-output a is not open for terminal:T1",
        "raised a terminal:T1",
        "dead bad-output a is open already for terminal:T1",
        "cleared a terminal:T1 mended",
        "raised a terminal:T1",
    ];
    assert_eq!(out, expected);
}

#[test]
fn past_waiting_events_max_the_oldest_is_handed_out_early_and_counted() {
    let records: Vec<Record> =
        (0..4u32).map(|about| authorize(about.into(), T0 + i64::from(about), &format!("T{about}"), about)).collect();
    let Body::Event(first) = &records[0].body else { panic!("an event") };
    for limits in [
        Limits { waiting_events_max: 2, ..Limits::default() },
        Limits { waiting_bytes_max: 2 * first.size(), ..Limits::default() },
    ] {
        let settings = settings(limits);
        let mut rules = pair();
        let mut partition = partition(&settings, &rules);
        partition.step(&mut records.clone(), &mut rules, &mut Vec::new()).expect("no stall");
        assert!(partition.counters().overflows > 0 && partition.counters().events > 0);
        assert_eq!(partition.gauges().waiting_events + usize::try_from(partition.counters().events).expect("few"), 4);
    }
}

#[test]
fn a_call_has_at_most_visits_max_visits() {
    let records: Vec<Record> = (0..10u32)
        .map(|about| authorize(about.into(), T0, &format!("T{about}"), about))
        .chain([tick(99, T0 + 600)])
        .collect();
    let settings = settings(Limits { visits_max: 4, ..Limits::default() });
    let mut rules = pair();
    let mut partition = partition(&settings, &rules);
    partition.step(&mut records.clone(), &mut rules, &mut Vec::new()).expect("no stall");
    assert_eq!((partition.counters().visits, partition.counters().calls), (10, 3));
}

#[test]
fn rules_that_cannot_run_together_are_refused_by_name() {
    let limits = settings(Limits::default());
    let error = |descriptors: &[Descriptor]| {
        Partition::new(0, Arc::clone(&limits), descriptors).err().expect("refused").to_string()
    };
    let fine = descriptor("a", Scope::Payment, &[], &[], &[]);
    assert!(error(&[fine.clone(), fine.clone()]).contains("two rules are called a"));
    assert!(error(&[descriptor("b", Scope::Site, &[], &[], &[])]).contains("keyed by site"));
    assert!(error(&[descriptor("c", Scope::Payment, &[], &["colour"], &[])]).contains("\"colour\""));
    let many: Vec<Descriptor> = (0..65).map(|n| descriptor(&format!("r{n}"), Scope::Payment, &[], &[], &[])).collect();
    assert!(error(&many).contains("at most 64"));
}
