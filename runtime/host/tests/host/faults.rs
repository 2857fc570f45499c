//! A fault is of one visit, has a code and a reason that never changes, and harms nobody else.

use tillwatch_core::rules::{Action, Change, Rules, Value, Verdict, Wake};
use tillwatch_host::Limits;

use crate::support::{NOTHING, batch, fault, good, host, process};

#[test]
fn a_good_answer_comes_through_whole() {
    let answer = process(&mut host(Limits::default()), &["a", "quiet", "clear", "command"]);
    let wake = |at: i64| Wake::At(at + 1000);
    assert_eq!(
        answer.verdicts.verdicts,
        [
            good(0),
            Verdict { state: Change::Keep, wake: wake(10) },
            Verdict { state: Change::Clear, wake: wake(20) },
            good(30)
        ]
    );
    assert_eq!(answer.verdicts.states, b"s+s+");
    let [(0, Action::Raise(finding)), (3, Action::Command(command))] = answer.verdicts.actions.as_slice() else {
        panic!("{:?}", answer.verdicts.actions)
    };
    assert_eq!((finding.deadline, finding.amount, finding.currency.as_deref()), (Some(17), Some(-4), Some("CNY")));
    assert_eq!(finding.details, [("what".to_owned(), Value::from("a"))]);
    assert_eq!((command.kind.as_str(), command.expires_at, command.max_attempts), ("status-query", 2, 3));
    assert_eq!(answer.faults, []);
}

#[test]
fn every_wrong_thing_has_its_code() {
    let expected = [
        ("panic", "trap", "the till is on fire"),
        ("exit", "trap", "exit status 1"),
        ("recurse", "trap", "out of bounds memory access"),
        ("grow", "memory", "wanted more than its 67108864 bytes of memory"),
        ("undeclared", "bad-output", "does what it has not declared: finding:secret"),
        ("undeclared-command", "bad-output", "does what it has not declared: command:reverse"),
        ("update", "bad-output", "does what it has not declared: update:<kind>"),
        ("nan", "bad-output", "detail \"what\" is not a finite number"),
        ("infinite", "bad-output", "detail \"what\" is not a finite number"),
        ("extra-verdict", "bad-output", "2 verdicts for 1 visits"),
        ("short-states", "bad-output", "the states have 5 bytes, the verdicts say 10"),
        ("wrong-visit", "bad-output", "an action for visit 7 of 1"),
        ("big-state", "state-max", "a state of 100000 bytes, 65536 allowed"),
        ("many-actions", "bad-output", "300 actions, 256 allowed"),
        ("big-output", "output-max", "answered more than its 1048576 bytes"),
        ("huge-output", "output-max", "answered more than its 1048576 bytes"),
        ("fail", "rule-failed", "no such printer"),
    ];
    for (key, code, reason) in expected {
        let found = fault(Limits::default(), key);
        assert_eq!(found.code, code, "{key}: {}", found.reason);
        assert!(found.reason.contains(reason), "{key}: {}", found.reason);
        assert_eq!(found, fault(Limits::default(), key), "{key}: the same on every replay");
    }
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let found = fault(Limits { fuel_per_visit: 1_000_000, ..Limits::default() }, "loop");
    assert_eq!((found.code, found.reason.as_str()), ("fuel", "used up its 1000000 units of fuel"));
}

#[test]
fn one_visit_cannot_spoil_its_neighbours() {
    let limits = Limits { fuel_per_visit: 100_000_000, ..Limits::default() };
    for (wrong, code) in [
        ("panic", "trap"),
        ("loop", "fuel"),
        ("grow", "memory"),
        ("huge-output", "output-max"),
        ("fail", "rule-failed"),
    ] {
        let mut host = host(limits.clone());
        let answer = process(&mut host, &["a", wrong, "b"]);
        assert_eq!(answer.verdicts.verdicts, [good(0), NOTHING, good(20)], "{wrong}");
        assert_eq!(answer.verdicts.states, b"s+s+", "{wrong}");
        let actions: Vec<_> = answer.verdicts.actions.iter().map(|(visit, _)| *visit).collect();
        assert_eq!(actions, [0, 2], "{wrong}");
        let faults: Vec<_> = answer.faults.iter().map(|(visit, fault)| (*visit, fault.code)).collect();
        assert_eq!(faults, [(1, code)], "{wrong}");
        assert_eq!(process(&mut host, &["c"]).verdicts.verdicts, [good(0)], "{wrong}: the instance is replaced");
        let counted: Vec<_> = host.counters()[0].faults().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(code, 1)], "{wrong}");
    }
}

#[test]
fn a_fault_that_one_visit_is_to_blame_for_needs_no_second_run() {
    let mut host = host(Limits::default());
    let answer = process(&mut host, &["a", "fail", "b", "undeclared", "big-state", "c"]);
    assert_eq!(answer.verdicts.verdicts, [good(0), NOTHING, good(20), NOTHING, NOTHING, good(50)]);
    assert_eq!(answer.verdicts.states, b"s+s+s+");
    let counters = &host.counters()[0];
    assert_eq!((counters.calls, counters.visits, counters.reruns), (1, 6, 0));
}

#[test]
fn a_call_of_the_wrong_shape_is_judged_visit_by_visit() {
    let mut host = host(Limits::default());
    let answer = process(&mut host, &["a", "backwards", "b"]);
    assert_eq!(answer.verdicts.verdicts, [good(0), good(10), good(20)], "alone, each is in order");
    assert_eq!(answer.faults, []);
    assert_eq!(host.counters()[0].reruns, 1);
}

#[test]
fn only_the_verdict_of_a_visit_alone_in_a_fresh_instance_counts() {
    let mut host = host(Limits::default());
    let answer = process(&mut host, &["a", "alone", "b"]);
    assert_eq!(answer.faults, [], "it panics in company only");
    assert_eq!(process(&mut host, &["a"]).faults, []);
    assert_eq!(process(&mut host, &["alone"]).faults, [], "nor after others");
}

#[test]
fn output_of_many_visits_is_judged_visit_by_visit() {
    let mut host = host(Limits::default());
    let answer = process(&mut host, &["half-output#1", "half-output#2", "half-output#3"]);
    assert_eq!(answer.faults, []);
    assert_eq!(answer.verdicts.actions.len(), 3);
    assert_eq!(host.counters()[0].reruns, 1);
}

#[test]
fn verdicts_do_not_depend_on_how_visits_are_cut_into_calls() {
    let keys =
        ["a", "fail", "half-output", "panic", "b", "undeclared", "burn", "half-output#", "alone", "exit", "quiet", "c"];
    let mut whole = process(&mut host(Limits::default()), &keys);
    for size in [1, 2, 5] {
        let mut host = host(Limits::default());
        let (mut verdicts, mut states, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (cut, part) in keys.chunks(size).enumerate() {
            let first = u32::try_from(cut * size).expect("few keys");
            let answer = process(&mut host, part);
            verdicts.extend(answer.verdicts.verdicts.into_iter().map(|verdict| verdict.state));
            states.extend(answer.verdicts.states);
            faults.extend(answer.faults.into_iter().map(|(visit, fault)| (first + visit, fault)));
        }
        let of_whole: Vec<_> = whole.verdicts.verdicts.iter().map(|verdict| verdict.state.clone()).collect();
        assert_eq!((verdicts, states, &faults), (of_whole, whole.verdicts.states.clone(), &whole.faults), "{size}");
    }
    whole.reset();
    host(Limits::default()).process(0, &batch(&[]), &mut whole).expect("no stall");
    assert_eq!(whole.verdicts.verdicts, [], "no visit, no call");
}

#[test]
fn the_world_is_the_same_everywhere_and_nobody_sleeps() {
    let seen = |answer: tillwatch_core::rules::Answer| match &answer.verdicts.actions[0].1 {
        Action::Raise(finding) => finding.details[0].1.clone(),
        other => panic!("{other:?}"),
    };
    let first = seen(process(&mut host(Limits::default()), &["world"]));
    let Value::Text(text) = &first else { panic!("{first:?}") };
    assert!(text.starts_with("now 0 slept 0 drawn "), "{text}");
    assert!(text.ends_with("arguments 0 variables 0 files false read 0"), "{text}");
    assert_eq!(first, seen(process(&mut host(Limits::default()), &["world"])));
}

#[test]
fn migration_says_what_the_rule_says() {
    let mut host = host(Limits { fuel_per_visit: 10_000_000, ..Limits::default() });
    assert_eq!(host.migrate(0, 1, b"old"), Ok(b"2:old".to_vec()));
    assert_eq!(host.migrate(0, 2, b""), Err("does not read format 2".to_owned()));
    let error = host.migrate(0, 3, b"").expect_err("panics");
    assert!(error.starts_with("trap: ") && error.contains("migrates badly"), "{error}");
    assert_eq!(host.migrate(0, 4, b""), Err("state-max: a state of 100000 bytes, 65536 allowed".to_owned()));
    assert_eq!(host.migrate(0, 5, b""), Err("fuel: used up its 10000000 units of fuel".to_owned()));
    assert_eq!(host.migrate(0, 1, b"old"), Ok(b"2:old".to_vec()), "the instance is replaced");
}
