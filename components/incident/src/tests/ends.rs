//! When an incident is over.

use super::*;

/// Payments that one till has begun.
fn begun(bench: &mut Bench, till: u32, payments: i64) {
    let (from, until) = (bench.now - 30_000, bench.now);
    bench.send(&Census { cohorts: cohorts(till), payments, from, until }.derived());
}

/// A till of which each second payment does not print.
fn printer() -> Bench {
    let mut bench = Bench::new();
    bench.usual();
    for number in 0..3 {
        bench.stuck(7, number, "not-printed");
        begun(&mut bench, 7, 2);
    }
    bench.sign(7, "H1", "terminal:T7", (3, 3));
    bench.pass(50_000);
    assert_eq!(bench.opened(), ["opened H1 terminal:T7"]);
    bench
}

#[test]
fn a_till_that_few_pay_at_is_one_incident_however_long_its_customers_take() {
    let mut bench = printer();
    bench.pass(240_000);
    bench.stuck(7, 3, "not-printed");
    begun(&mut bench, 7, 2);
    bench.pass(240_000);
    bench.stuck(7, 4, "not-printed");
    bench.pass(599_000);
    assert_eq!(bench.incidents.last().map(|last| (last.turn, last.payments)), Some((Turn::Updated, 5)));
    bench.pass(2_000);
    // Nobody pays there any more.
    assert_eq!(bench.incidents.last().map(|last| last.turn), Some(Turn::Resolved));
    assert_eq!(bench.opened().len(), 1);
}

#[test]
fn it_is_over_when_so_many_went_well_that_some_would_have_been_stuck() {
    let mut bench = printer();
    let over = |bench: &Bench| bench.incidents.last().is_some_and(|last| last.turn == Turn::Resolved);
    bench.pass(100_000);
    begun(&mut bench, 7, 5);
    bench.pass(50_000);
    assert!(!over(&bench), "of five more than two would have been stuck, not three");
    begun(&mut bench, 7, 1);
    bench.pass(1);
    assert!(over(&bench), "the quiet time is over already: {:?}", bench.brief());
}

#[test]
fn customers_who_walk_away_do_not_keep_it_open() {
    let mut bench = h1_stuck(Bench::new(), 30, 10_000);
    assert_eq!(bench.opened(), ["opened N4 host:A/h1"]);
    for number in 2..5 {
        bench.usual();
        bench.pass(45_000);
        // One of 125.
        bench.stuck(1, number, "no-answer");
    }
    let end = bench.incidents.last().expect("it is over");
    assert_eq!((end.turn, end.payments), (Turn::Resolved, 27), "{:?}", bench.brief());
}
