//! Announced maintenance: one incident on record, and nobody is woken.

use super::*;
use crate::state::{self, NOTICES_MAX, PLACES_MAX};

const LASTS_MS: i64 = 600_000;

impl Bench {
    fn notice(&mut self, till: u32, about: &str, until: Instant) {
        let notice = Notice { cohorts: cohorts(till), about: about.to_owned(), from: self.now, until };
        self.send(&notice.derived());
    }

    fn goes_down(&mut self, till: u32) {
        self.notice(till, &format!("terminal:T{till}"), self.now + LASTS_MS);
    }

    fn is_back(&mut self, till: u32) {
        self.notice(till, &format!("terminal:T{till}"), self.now);
    }
}

#[test]
fn a_region_that_goes_down_is_one_incident_with_what_was_stuck_in_it_and_ends_when_it_is_back() {
    const { assert!(100 > NOTICES_MAX, "more than are remembered by name") };
    let mut bench = Bench::new();
    bench.usual();
    for till in 0..100 {
        bench.goes_down(till);
        if till % 10 == 9 {
            bench.pass(1_000);
        }
        if till % 3 == 0 {
            bench.stuck(till, 1, "no-answer");
        }
    }
    bench.pass(26_000);
    assert_eq!(bench.brief(), ["opened maintenance region:R"]);
    let first = &bench.incidents[0];
    assert!(first.maintenance && first.severity == Severity::Info, "{first:?}");
    assert_eq!(first.text_en, "Region R: 34 payments stuck. Cause: announced maintenance");
    assert_eq!(bench.told.len(), 34, "what was at work there has its cause");
    assert!(bench.told.iter().all(|told| told.details[0].1 == Value::from("maintenance")));
    bench.stuck(50, 2, "no-answer");
    bench.pass(15_000);
    let said = bench.incidents.last().expect("it was updated");
    assert_eq!((said.turn, said.payments), (Turn::Updated, 35));
    // It lasts for as long as somebody is down, however quiet it is.
    (0..99).for_each(|till| bench.is_back(till));
    bench.pass(200_000);
    assert_eq!(bench.incidents.last().map(|incident| incident.turn), Some(Turn::Updated));
    bench.is_back(99);
    bench.pass(119_000);
    assert_eq!(bench.incidents.last().map(|incident| incident.turn), Some(Turn::Updated));
    bench.pass(2_000);
    let end = bench.incidents.last().expect("it is over");
    assert_eq!((end.turn, end.cause.as_str(), bench.opened().len()), (Turn::Resolved, "maintenance", 1));
}

#[test]
fn what_nobody_ends_is_over_when_its_window_is() {
    let mut bench = Bench::new();
    bench.usual();
    (0..100).for_each(|till| bench.goes_down(till));
    bench.pass(LASTS_MS - 1_000);
    assert_eq!(bench.brief(), ["opened maintenance region:R"]);
    let text = |incident: &Incident| (incident.text_en.clone(), incident.text_zh.clone());
    assert_eq!(
        text(&bench.incidents[0]),
        ("Region R: announced maintenance".to_owned(), "区域 R:计划维护".to_owned()),
        "and nothing is stuck"
    );
    bench.pass(1_001);
    assert_eq!(bench.brief(), ["opened maintenance region:R", "resolved maintenance region:R"]);
}

#[test]
fn what_is_stuck_beside_it_or_after_it_wakes_somebody() {
    let mut bench = Bench::new();
    bench.usual();
    (20..30).for_each(|till| bench.goes_down(till));
    bench.pass(36_000);
    assert_eq!(bench.opened(), ["opened maintenance site:S2"]);
    let trouble = |bench: &mut Bench, site: u32, number: u32| {
        for till in site * 10..site * 10 + 10 {
            bench.sign(till, "N3", &format!("site:S{site}"), (3, 3));
            bench.stuck(till, number, "no-answer");
        }
        bench.pass(10_000);
    };
    trouble(&mut bench, 3, 1);
    assert_eq!(bench.opened()[1..], ["opened N3 site:S3"]);
    (20..30).for_each(|till| bench.is_back(till));
    bench.pass(state::AFTER_MS - 1);
    bench.stuck(21, 2, "no-answer");
    assert_eq!(bench.last_cause(), Some(Value::from("maintenance")), "it began before the end");
    bench.pass(1);
    bench.stuck(21, 2, "unresolved");
    assert_eq!(bench.last_cause(), Some(Value::from("maintenance")), "and so did what follows of it");
    trouble(&mut bench, 2, 3);
    assert_eq!(bench.opened()[2..], ["opened N3 site:S2"]);
    assert!(bench.incidents.iter().all(|incident| incident.maintenance == (incident.cause == "maintenance")));
}

#[test]
fn it_is_of_the_place_that_announces_it() {
    let opened = |announce: &dyn Fn(&mut Bench)| {
        let mut bench = Bench::new();
        bench.usual();
        announce(&mut bench);
        bench.pass(36_000);
        bench.opened()
    };
    let host = |bench: &mut Bench, host: &str| bench.notice(0, &format!("host:A/{host}"), bench.now + LASTS_MS);
    assert_eq!(opened(&|bench| bench.goes_down(7)), [""; 0], "one till is its own matter");
    assert_eq!(opened(&|bench| (20..22).for_each(|till| bench.goes_down(till))), ["opened maintenance site:S2"]);
    let few: Vec<u32> = (10..15).chain(40..45).collect();
    assert_eq!(
        opened(&|bench| few.iter().for_each(|till| bench.goes_down(*till))),
        ["opened maintenance site:S1", "opened maintenance site:S4"]
    );
    assert_eq!(opened(&|bench| (0..50).for_each(|till| bench.goes_down(till))), ["opened maintenance region:R"]);
    assert_eq!(opened(&|bench| host(bench, "h1")), ["opened maintenance host:A/h1"]);
    let acquirer: &dyn Fn(&mut Bench) =
        &|bench| ["h0", "h1", "h2", "h3"].into_iter().for_each(|name| host(bench, name));
    assert_eq!(opened(acquirer), ["opened maintenance acquirer:A"]);
    let called_off: &dyn Fn(&mut Bench) = &|bench| {
        (20..30).for_each(|till| bench.goes_down(till));
        (20..30).for_each(|till| bench.is_back(till));
    };
    assert_eq!(opened(called_off), [""; 0]);
}

#[test]
fn a_region_that_follows_its_first_site_explains_it() {
    let mut bench = Bench::new();
    bench.usual();
    (0..10).for_each(|till| bench.goes_down(till));
    bench.pass(36_000);
    (10..100).for_each(|till| bench.goes_down(till));
    bench.pass(40_000);
    assert_eq!(bench.opened(), ["opened maintenance site:S0", "opened maintenance region:R"]);
    let site = bench.incidents.iter().rfind(|incident| incident.scope == "site:S0").expect("it was updated");
    assert!(site.inhibited_by.is_some(), "{site:?}");
}

#[test]
fn bounds_hold_whatever_is_announced() {
    let mut bench = Bench::new();
    for till in 0..5_000 {
        bench.goes_down(till);
    }
    let region: state::Region = tillwatch_sdk::decode_state(&bench.state).expect("it decodes");
    assert_eq!(region.gathering.expect("they come together").places.len(), PLACES_MAX);
    assert_eq!(region.notices.len(), NOTICES_MAX);
    bench.pass(36_000);
    assert!(bench.opened().len() <= state::INCIDENTS_MAX);
    assert!(bench.largest < 64 << 10, "{} bytes of state", bench.largest);
}
