//! One row for each misbehaviour, with what it must end in.

use tillwatch_core::limits::Limits;
use tillwatch_it::cases::Way;

use super::scene::{PLACES, WAYS, dead, of_neighbours, of_others, rules, settings, tight, twelve};

/// What the rule does when it is visited for the payment, how many of its visits fault (authorize, response and a wake-up after each), with
/// which code, and part of the reason.
const TABLE: [(&str, usize, &str, &str); 24] = [
    ("loop", 2, "fuel", "used up its 20000000 units of fuel"),
    ("slow", 2, "fuel", "used up its 20000000 units of fuel"),
    ("grow", 2, "memory", "wanted more than its 8388608 bytes of memory"),
    ("panic", 2, "trap", "the till is on fire"),
    ("exit", 2, "trap", "exit status 1"),
    ("recurse", 2, "trap", "out of bounds memory access"),
    ("print-and-panic", 2, "trap", "xxxx"),
    ("timer-panic", 2, "trap", "woken on the wrong side"),
    ("extra-verdict", 2, "bad-output", "2 verdicts for 1 visits"),
    ("missing-verdict", 2, "bad-output", "0 verdicts for 1 visits"),
    ("short-states", 2, "bad-output", "the states have 5 bytes, the verdicts say 10"),
    ("wrong-visit", 2, "bad-output", "an action for visit 7 of 1"),
    ("undeclared", 2, "bad-output", "does what it has not declared: finding:secret"),
    ("undeclared-command", 2, "bad-output", "does what it has not declared: command:reverse"),
    ("update", 2, "bad-output", "does what it has not declared: update:<kind>"),
    ("nan", 2, "bad-output", "is not a finite number"),
    ("infinite", 2, "bad-output", "is not a finite number"),
    ("many-actions", 2, "bad-output", "300 actions, 256 allowed"),
    ("big-state", 2, "state-max", "a state of 100000 bytes, 65536 allowed"),
    ("big-output", 2, "output-max", "answered more than its 1048576 bytes"),
    ("huge-output", 2, "memory", "wanted more than its 8388608 bytes of memory"),
    ("fail", 2, "rule-failed", "no such printer"),
    ("alone", 0, "", ""),
    ("backwards", 0, "", ""),
];

#[test]
fn each_ends_in_its_dead_letter_and_nobody_else_notices() {
    let settings = settings(Limits::default());
    let well = Way::Batches(0).outputs(&settings, &mut rules(Some(0), &tight()), twelve("well"));
    for (how, faults, code, reason) in TABLE {
        let without = Way::Batches(0).outputs(&settings, &mut rules(None, &tight()), twelve(how));
        assert!(of_others(&without).len() > 24, "{how}: there is something to disturb");
        for place in PLACES {
            let mut host = rules(Some(place), &tight());
            let first = Way::Batches(0).outputs(&settings, &mut host, twelve(how));
            let letters = dead(&first);
            let found: Vec<_> = letters.iter().map(|letter| letter["data"]["code"].as_str()).collect();
            assert_eq!(found, vec![Some(code); faults], "{how}: {letters:#?}");
            for letter in &letters {
                let told = letter["data"]["reason"].as_str().unwrap_or_default();
                assert!(told.contains(reason), "{how}: {told}");
                assert!(letter["data"]["visit_key"].as_str().is_some_and(|key| key.starts_with(how)), "{letter}");
            }
            assert_eq!(of_others(&first), of_others(&without), "{how}: the other rules");
            assert_eq!(of_neighbours(&first), of_neighbours(&well), "{how}: its neighbours");
            for way in WAYS.into_iter().filter(|_| place == 0) {
                assert_eq!(way.outputs(&settings, &mut host, twelve(how)), first, "{how} {way:?}");
            }
        }
    }
}

#[test]
fn slow_but_within_its_fuel_is_no_fault() {
    let limits = tillwatch_host::Limits { fuel_per_visit: 200_000_000, ..tight() };
    let settings = settings(Limits::default());
    let without = Way::Batches(0).outputs(&settings, &mut rules(None, &limits), twelve("slow"));
    let mut host = rules(Some(0), &limits);
    for way in WAYS {
        let out = way.outputs(&settings, &mut host, twelve("slow"));
        assert_eq!(dead(&out).len(), 0, "{way:?}");
        assert_eq!(of_others(&out), of_others(&without), "{way:?}");
    }
}

/// Two allocations lie elsewhere in an instance that has made others before: no host can tell that from an answer. Such a rule harms itself, and
/// is mostly refused when it is loaded.
#[test]
fn an_answer_made_of_addresses_harms_nobody_else() {
    let settings = settings(Limits::default());
    let without = Way::Batches(0).outputs(&settings, &mut rules(None, &tight()), twelve("address"));
    let well = Way::Batches(0).outputs(&settings, &mut rules(Some(0), &tight()), twelve("well"));
    let mut host = rules(Some(0), &tight());
    for way in WAYS {
        let out = way.outputs(&settings, &mut host, twelve("address"));
        assert_eq!(of_others(&out), of_others(&without), "{way:?}");
        assert_eq!(of_neighbours(&out), of_neighbours(&well), "{way:?}");
    }
}
