//! Each limit, at it and past it.

use std::sync::{Arc, Mutex};

use tillwatch_core::rules::{Answer, Rules, Stalled};
use tillwatch_host::Limits;

use crate::support::{batch, fault, good, host, process};

#[test]
fn state_bytes_max_and_actions_max_are_the_last_that_is_allowed() {
    let limits = |state_bytes_max, actions_max| Limits { state_bytes_max, actions_max, ..Limits::default() };
    assert_eq!(process(&mut host(limits(100_000, 300)), &["big-state", "many-actions"]).faults, []);
    assert_eq!(fault(limits(99_999, 300), "big-state").code, "state-max");
    assert_eq!(fault(limits(100_000, 299), "many-actions").code, "bad-output");
}

#[test]
fn output_bytes_max_counts_states_texts_and_entries() {
    // State `s+`; an action 128, a detail 32, `odd`, `CNY`, `what` and the text `a`.
    let bytes = 2 + 128 + 32 + 3 + 3 + 4 + 1;
    let limits = |output_bytes_max| Limits { output_bytes_max, ..Limits::default() };
    assert_eq!(process(&mut host(limits(bytes)), &["a"]).faults, []);
    assert_eq!(fault(limits(bytes - 1), "a").code, "output-max");
}

#[test]
fn memory_bytes_max_is_of_the_whole_instance() {
    let limits = Limits { memory_bytes_max: 4 << 20, recycle_bytes: usize::MAX, ..Limits::default() };
    let mut host = host(limits);
    assert_eq!(process(&mut host, &["hoard"]).faults, []);
    let answer = process(&mut host, &["hoard#1", "hoard#2", "hoard#3", "hoard#4"]);
    assert_eq!(answer.faults, [], "alone in fresh instances each has room");
    assert_eq!(host.counters()[0].reruns, 1);
}

#[test]
fn an_instance_that_has_grown_is_recycled() {
    let mut host = host(Limits { recycle_bytes: 3 << 20, ..Limits::default() });
    for _ in 0..6 {
        assert_eq!(process(&mut host, &["hoard"]).verdicts.verdicts, [good(0)]);
    }
    let counters = &host.counters()[0];
    assert!(counters.recycled >= 1 && counters.recycled < 6, "{counters:?}");
    assert_eq!(counters.reruns, 0);
}

#[test]
fn the_fuel_of_a_visit_is_its_own_whoever_shares_the_call() {
    // The guest burns about a million units a visit; the fuel that one has used says how many exactly.
    let used = |keys: &[&str]| {
        let mut host = host(Limits::default());
        assert_eq!(process(&mut host, keys).faults, []);
        host.counters()[0].fuel
    };
    let one = used(&["burn"]);
    assert!(used(&["burn"]) == one && used(&["burn", "burn#2"]) > one + one / 2);
    let mut host = host(Limits { fuel_per_visit: one * 3, ..Limits::default() });
    let answer = process(&mut host, &["burn#1", "burn#2", "burn#3", "burn#4", "burn#5"]);
    assert_eq!(answer.faults, []);
    assert_eq!(host.counters()[0].reruns, 1, "together they pass what one call gets");
    assert_eq!(fault(Limits { fuel_per_visit: one / 2, ..Limits::default() }, "burn").code, "fuel");
}

#[test]
fn stderr_bytes_max_bounds_what_a_guest_prints() {
    assert_eq!(process(&mut host(Limits::default()), &["print"]).verdicts.verdicts, [good(0)]);
    let found = fault(Limits { stderr_bytes_max: 20, ..Limits::default() }, "print-and-panic");
    assert_eq!((found.code, found.reason), ("trap", "x".repeat(20)));
}

#[test]
fn a_stall_is_no_verdict() {
    let limits = Limits { fuel_per_visit: u64::MAX, epoch_deadline_ms: 1, stall_retries: 2, ..Limits::default() };
    let mut host = host(limits);
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    host.on_stall(Box::new(move |stall| hook.lock().expect("one thread").push(stall.clone())));
    let mut answer = Answer::default();
    let stalled = host.process(0, &batch(&["a", "loop"]), &mut answer).expect_err("no fuel limit ends it");
    assert_eq!(stalled, Stalled { rule: "hostile".to_owned() });
    assert_eq!((answer.faults.len(), host.counters()[0].stalls), (0, 3));
    let told = told.lock().expect("one thread");
    assert_eq!(told.iter().map(|stall| stall.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(told[0].reason, "no answer within 1 ms of wall-clock time");
    answer.reset();
    host.process(0, &batch(&["a"]), &mut answer).expect("it goes on");
    assert_eq!(answer.verdicts.verdicts, [good(0)]);
}
