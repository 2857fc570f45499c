//! One fault that shows at one place after the other.

use super::*;

/// What is stuck at some tills, with what telemetry says of their place.
fn breaks(bench: &mut Bench, tills: impl Iterator<Item = u32>, cause: &str, about: &str) {
    for till in tills {
        bench.sign(till, cause, about, (30, 30));
        bench.stuck(till, 1, "no-answer");
    }
    bench.pass(60_000);
}

#[test]
fn an_acquirer_whose_hosts_fail_one_after_the_other_is_one_incident() {
    let mut bench = Bench::new();
    bench.usual();
    breaks(&mut bench, behind_h1(), "N4", "host:A/h1");
    assert_eq!(bench.opened(), ["opened N4 host:A/h1"]);
    let first = bench.incidents.last().map(|of| tillwatch_sdk::ids::incident(&of.scope, &of.cause, of.generation));
    breaks(&mut bench, (0..100).filter(|till| till % 4 == 2), "N4", "host:A/h2");
    assert_eq!(bench.opened(), ["opened N4 host:A/h1", "opened N4 acquirer:A"]);
    let wider = bench.incidents.iter().find(|of| of.scope == "acquirer:A").expect("it was opened");
    assert_eq!(wider.inhibits, first.as_slice(), "and explains the first");
}

#[test]
fn routers_of_two_sites_are_two_whatever_they_share() {
    let mut bench = Bench::new();
    bench.usual();
    breaks(&mut bench, 20..30, "N3", "site:S2");
    breaks(&mut bench, 50..60, "N3", "site:S5");
    assert_eq!(bench.opened(), ["opened N3 site:S2", "opened N3 site:S5"]);
}

#[test]
fn an_overloaded_host_is_that_where_one_of_its_sites_shows_it() {
    let mut bench = Bench::new();
    bench.usual();
    bench.sign(1, "N4", "host:A/h1", (30, 100));
    // Two tills of one site, several times: of the region's cohorts the site stands out most.
    for number in 0..3 {
        [21, 25, 29].into_iter().for_each(|till| bench.stuck(till, number, "no-answer"));
    }
    bench.pass(60_000);
    assert_eq!(bench.opened(), ["opened N4 host:A/h1"]);
}

#[test]
fn an_app_that_fails_on_answers_is_its_version_whoever_answered() {
    let mut bench = Bench::new();
    bench.usual();
    bench.sign(1, "S1", "version:v1", (3, 3));
    // Tills of one host, and all of one version: 1, 13, 25 and so on.
    (0..100).filter(|till| till % 12 == 1).for_each(|till| {
        (0..2).for_each(|number| bench.stuck(till, number, "not-shown"));
    });
    bench.pass(60_000);
    assert_eq!(bench.opened(), ["opened S1 version:v1"]);
}

#[test]
fn devices_of_several_sites_do_not_fail_together() {
    let mut bench = Bench::new();
    bench.usual();
    (0..100).filter(|till| till % 12 == 1).for_each(|till| {
        bench.send(&stuck(till, 1, "not-shown", "H4").derived());
        bench.sign(till, "H4", &format!("terminal:T{till}"), (3, 3));
    });
    bench.pass(60_000);
    assert_eq!(bench.opened(), ["opened S1 version:v1"], "what they share is the app");
}
