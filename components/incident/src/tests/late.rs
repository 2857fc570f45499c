//! What was opened as `undetermined`, and explained by what came later.

use tillwatch_sdk::decode_state;

use super::*;
use crate::state;

/// A host's tills are stuck, and the host is well: nothing says why for as long as it is waited for.
fn unexplained() -> Bench {
    let bench = h1_stuck(Bench::new(), 0, 60_000);
    assert_eq!(bench.opened(), ["opened undetermined host:A/h1"]);
    bench
}

fn refused(bench: &mut Bench) {
    behind_h1().for_each(|till| bench.sign(till, "N2", &format!("site:S{}", till / 10), (1, 1)));
}

#[test]
fn its_name_stays_and_its_payments_are_told_the_cause() {
    let mut bench = unexplained();
    bench.stuck(1, 2, "no-answer");
    let before = bench.told.len();
    assert_eq!((before, bench.last_cause()), (26, Some(Value::from("undetermined"))));
    refused(&mut bench);
    bench.pass(15_000);
    let said = bench.incidents.iter().rfind(|incident| incident.cause == "N2").expect("it has got a cause");
    assert_eq!((said.turn, said.scope.as_str(), said.generation), (Turn::Updated, "host:A/h1", 1));
    assert_eq!((said.opened_as.as_deref(), said.payments), (Some("undetermined"), 26));
    assert!(said.confidence > 0.7 && said.text_en.ends_with("firewall or security software interferes"), "{said:?}");
    let told = &bench.told[before..];
    assert_eq!(told.len(), 26, "each once");
    let id = tillwatch_sdk::ids::incident("host:A/h1", "undetermined", 1);
    for told in told {
        let detail = |name: &str| told.details.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        assert_eq!((detail("cause"), detail("incident")), (Some(Value::from("N2")), Some(Value::from(id.as_str()))));
    }
    // What comes later is told the same, and the end is of the same incident.
    bench.stuck(5, 3, "no-answer");
    assert_eq!(bench.last_cause(), Some(Value::from("N2")));
    bench.usual();
    bench.pass(200_000);
    let end = bench.incidents.last().expect("it is over");
    assert_eq!((end.turn, end.cause.as_str(), end.opened_as.as_deref()), (Turn::Resolved, "N2", Some("undetermined")));
    assert_eq!(bench.opened().len(), 1);
}

#[test]
fn it_is_told_when_an_update_may_come_and_not_before() {
    let mut bench = unexplained();
    let opened = bench.now;
    bench.stuck(1, 2, "no-answer");
    bench.pass(10_000);
    let count = bench.incidents.len();
    let said = bench.incidents.last().map(|incident| incident.turn);
    assert_eq!((count, said), (2, Some(Turn::Updated)), "for the payment that joined, after {opened}");
    let at = bench.now;
    refused(&mut bench);
    while bench.incidents.len() == count {
        bench.pass(1_000);
    }
    assert!((5_000..=15_000).contains(&(bench.now - at)), "{} ms", bench.now - at);
}

#[test]
fn evidence_all_the_time_does_not_put_the_next_thought_off() {
    let mut bench = Bench::new();
    bench.usual();
    behind_h1().for_each(|till| bench.stuck(till, 1, "no-answer"));
    bench.pass(20_000);
    bench.sign(1, "N4", "host:A/h1", (11, 100));
    for _ in 0..60 {
        bench.sign(2, "N1", "site:S0", (0, 1));
        bench.pass(100);
    }
    assert_eq!(bench.opened(), ["opened N4 host:A/h1"], "within six seconds");
}

#[test]
fn a_narrower_one_that_gets_a_cause_of_its_own_stands_for_itself() {
    let mut bench = Bench::new();
    bench.usual();
    // The line of a site is there, and nothing else is known; then its host fails, too.
    (20..30).for_each(|till| bench.sign(till, "N1", "site:S2", (0, 3)));
    (0..2).for_each(|number| [21, 25, 29].into_iter().for_each(|till| bench.stuck(till, number, "no-answer")));
    bench.pass(50_000);
    assert_eq!(bench.opened(), ["opened undetermined site:S2"]);
    bench.sign(1, "N4", "host:A/h1", (30, 100));
    for number in 2..4 {
        behind_h1().filter(|till| !(20..30).contains(till)).for_each(|till| bench.stuck(till, number, "no-answer"));
        bench.pass(1_000);
    }
    // Before it is thought over again, more than the host's word for it is known.
    (20..30).for_each(|till| bench.sign(till, "N2", "site:S2", (3, 3)));
    (20..30).for_each(|till| bench.sign(till, "N4", "host:A/h1", (0, 1_000)));
    bench.pass(20_000);
    let of = |cause: &str| bench.incidents.iter().rfind(|incident| incident.cause == cause).expect("it is said");
    assert_eq!((of("N2").inhibited_by.clone(), of("N2").opened_as.as_deref()), (None, Some("undetermined")));
    assert!(of("N4").inhibits.is_empty(), "{:?}", of("N4"));
}

#[test]
fn the_payments_that_are_kept_have_the_room_of_those_that_wait() {
    let mut bench = unexplained();
    for number in 2..12 {
        behind_h1().for_each(|till| bench.stuck(till, number, "no-answer"));
    }
    let region: state::Region = decode_state(&bench.state).expect("it decodes");
    let kept: usize = region.incidents.iter().map(|open| open.undecided.len()).sum();
    assert_eq!(kept + region.waiting.len(), state::WAITING_MAX);
    assert!(bench.largest < 64 << 10, "{} bytes of state", bench.largest);
    let told = bench.told.len();
    refused(&mut bench);
    bench.pass(15_000);
    assert_eq!(bench.told.len() - told, state::WAITING_MAX, "the oldest keep what they were told");
}
