//! Injected faults at every level: the truth about them agrees with the events.

use proptest::prelude::*;

use super::*;
use crate::simulate::{Cause, Family, Inject, Injected};

const LEVELS: [&str; 6] = ["terminal", "site", "host", "version", "operator", "region"];

/// Twelve terminals in two regions, one fault from the fifth to the fifteenth minute.
fn with(cause: Cause, level: &str, strength: u8, seed: u64) -> Options {
    let text = format!("{cause}@{level},from=5m,for=10m,strength={strength}");
    Options {
        seed,
        terminals: 12,
        sites: 4,
        regions: 2,
        acquirers: 2,
        inject: vec![text.parse().unwrap()],
        ..options(Faults::none())
    }
}

fn instant(text: &str) -> Instant {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// The terminals that are at a scope, by what events say; of a host those whose payments its gateway told of.
fn at(scope: &str, events: &[Value]) -> BTreeSet<String> {
    let (level, id) = scope.split_once(':').unwrap();
    let there = |event: &&Value| match level {
        "host" => event["data"]["host"]
            .as_str()
            .is_some_and(|host| id == format!("{}/{host}", event["data"]["acquirer"].as_str().unwrap())),
        "version" => event["data"]["app_version"] == id,
        field => event["data"][field] == id,
    };
    let there = events.iter().filter(there);
    there.filter_map(|event| event["data"]["terminal"].as_str().map(str::to_owned)).collect()
}

#[test]
fn every_cause_at_every_level_is_blamed_only_for_what_it_did() {
    for (number, cause) in Cause::ALL.iter().enumerate() {
        for (level_number, level) in LEVELS.iter().enumerate() {
            let options = with(*cause, level, 80, u64::try_from(number * 10 + level_number).unwrap());
            let fleet = Fleet::new(options.clone()).unwrap();
            let injected = fleet.injected();
            let (emitted, truths) = run_for(options, 20 * 60_000);
            let events = parsed(&emitted);
            assert_eq!(injected.len(), if *cause == Cause::Mixed { 2 } else { 1 });
            for fault in &injected {
                assert!(fault.scope.starts_with(level) && !fault.near_miss, "{fault:?}");
                let terminals = at(&fault.scope, &events);
                let known = if *level == "host" {
                    terminals.len() <= fault.terminals
                } else {
                    terminals.len() == fault.terminals
                };
                assert!(known && fault.terminals > 0, "{fault:?}: {terminals:?}");
                let (from, until) = (instant(&fault.from), instant(&fault.until));
                assert_eq!(until - from, 600_000);
                for truth in truths.iter().filter(|truth| truth.blame == Some(fault.injected)) {
                    assert_eq!(truth.cause, Some(fault.cause), "{truth:?}");
                    assert!(terminals.contains(&truth.terminal), "{truth:?} {fault:?}");
                    let started = instant(&truth.started_at);
                    assert!((from - 120_000..until + 300_000).contains(&started), "{truth:?} {fault:?}");
                }
            }
            for truth in truths.iter().filter(|truth| truth.blame.is_none()) {
                let well = truth.settled && truth.approved && truth.shown && truth.printed && truth.money == "taken";
                assert!(well && truth.cause.is_none() && truth.fault.is_none(), "{cause} at {level}: {truth:?}");
            }
        }
    }
}

#[test]
fn what_a_payment_became_is_what_its_events_say() {
    for cause in Cause::ALL {
        // Some causes find few payments to change in ten minutes.
        let blamed = (1..=8).any(|seed| {
            let (emitted, truths) = run_for(with(*cause, "region", 80, seed), 20 * 60_000);
            let stories = stories(&emitted);
            for truth in &truths {
                agrees(truth, &stories[&truth.txn]);
            }
            truths.iter().any(|truth| truth.blame.is_some())
        });
        assert!(blamed, "{cause} changes no payment");
    }
}

fn agrees(truth: &Truth, story: &[String]) {
    let host = has(story, "payment.response host approved") || has(story, "payment.notify approved");
    assert!(!host || truth.approved, "{truth:?} {story:?}");
    assert_eq!(has(story, "print.result printed"), truth.printed, "{truth:?} {story:?}");
    let shown = has(story, "payment.display approved") || has(story, "payment.display declined");
    assert_eq!(shown, truth.shown, "{truth:?} {story:?}");
    let reversed = has(story, "payment.reversal response approved");
    assert!(truth.money != "back" || reversed, "{truth:?} {story:?}");
}

#[test]
fn a_site_that_is_cut_off_stores_its_events_and_sends_them_later() {
    let options = with(Cause::N3, "site:S0001", 90, 1);
    let start = options.start;
    let (emitted, truths) = run(options, 1);
    let events = parsed(&emitted);
    let own = |event: &&Value| event["data"]["site"] == "S0001" && event["source"].as_str().unwrap().contains("/t/");
    let stored = events
        .iter()
        .zip(&emitted)
        .filter(|(event, emitted)| own(event) && emitted.ingest - instant(event["time"].as_str().unwrap()) > 10_000);
    assert!(stored.count() > 50);
    let silent = events.iter().zip(&emitted).filter(|(event, _)| own(event));
    let silent = silent.filter(|(_, emitted)| (start + 320_000..start + 895_000).contains(&emitted.ingest));
    assert_eq!(silent.count(), 0, "nothing comes out while the line is dead");
    let blamed: Vec<_> = truths.iter().filter(|truth| truth.blame == Some(0)).collect();
    assert!(blamed.len() > 10);
    assert!(blamed.iter().all(|truth| truth.site == "S0001" && !truth.shown));
    assert!(
        blamed.iter().filter(|truth| !truth.approved).count() > 10,
        "hosts never hear of what is sent into a dead line"
    );
}

#[test]
fn what_happens_at_other_places_is_left_as_it_was() {
    let fault = with(Cause::N3, "site:S0001", 90, 1);
    let (_, plain) = run(Options { inject: Vec::new(), ..fault.clone() }, 1);
    let (_, changed) = run(fault, 1);
    let elsewhere = |truths: &[Truth]| {
        let elsewhere = truths.iter().filter(|truth| truth.site != "S0001").cloned();
        elsewhere.map(|truth| (truth.txn.clone(), truth)).collect::<BTreeMap<_, _>>()
    };
    assert!(plain.len() > 500);
    assert_eq!(elsewhere(&plain), elsewhere(&changed));
}

#[test]
fn a_mixed_fault_is_two_and_each_is_told() {
    let fleet = Fleet::new(with(Cause::Mixed, "site", 80, 5)).unwrap();
    let [one, other]: [Injected; 2] = fleet.injected().try_into().unwrap();
    assert_eq!((one.part_of, other.part_of), (Some(Cause::Mixed), Some(Cause::Mixed)));
    assert!(one.cause.family() != other.cause.family() && one.cause.family() != Family::Label);
    assert_eq!((one.injected, other.injected), (0, 1));
    assert_eq!(one.scope, other.scope);
}

#[test]
fn an_operator_s_fault_holds_only_while_they_work() {
    let inject: Inject = "P2@operator:op-0000,from=0s,for=24h,strength=100".parse().unwrap();
    let options = Options { terminals: 1, sites: 1, acquirers: 1, inject: vec![inject], ..options(Faults::none()) };
    let (emitted, _) = run(options, 24);
    let mut idle: BTreeMap<String, usize> = BTreeMap::new();
    for event in parsed(&emitted).iter().filter(|event| event["data"]["action"] == "idle") {
        *idle.entry(event["data"]["operator"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(idle.keys().collect::<Vec<_>>(), ["op-0000"]);
    assert!(idle["op-0000"] > 30, "{idle:?}");
}

#[test]
fn paper_runs_out_on_a_normal_day_and_somebody_finds_a_new_roll() {
    let day = Options { roll: 200, busy_hours: true, ..options(Faults::none()) };
    let (emitted, truths) = run(day, 24);
    let states = |state: &str| {
        let events = parsed(&emitted);
        events.iter().filter(|event| event["type"] == "pos.device.status" && event["data"]["printer"] == state).count()
    };
    assert!(states("paper-low") > 10 && states("no-paper") > 10 && states("ok") > 100);
    let failed: Vec<_> = truths.iter().filter(|truth| !truth.printed).collect();
    assert!(failed.len() > 10 && failed.len() * 20 < truths.len(), "{} of {}", failed.len(), truths.len());
    assert!(failed.iter().all(|truth| truth.cause == Some(Cause::H1) && truth.blame.is_none()));
}

fn arbitrary() -> impl Strategy<Value = Options> {
    let inject = (0..Cause::ALL.len(), 0..LEVELS.len(), 0_i64..600, 1_i64..900, 1_u8..=100);
    let fleet = (any::<u64>(), 1_u32..12, 1_u32..4, 1_u32..3, 0_u32..50, 0_usize..3);
    (fleet, proptest::collection::vec(inject, 0..4)).prop_map(
        |((seed, terminals, versions, hosts, roll, preset), inject)| Options {
            seed,
            terminals,
            sites: terminals.div_ceil(3),
            versions,
            hosts,
            roll,
            payments_per_hour: 120.0,
            busy_hours: false,
            faults: [Faults::none(), Faults::some(), Faults::day()][preset].clone(),
            inject: inject
                .into_iter()
                .map(|(cause, level, from, lasts, strength)| Inject {
                    cause: Cause::ALL[cause],
                    at: LEVELS[level].parse().unwrap(),
                    from: from * 1_000,
                    lasts: lasts * 1_000,
                    strength,
                })
                .collect(),
            ..Options::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_options_give_the_same_bytes(options in arbitrary()) {
        let (one, truths) = run(options.clone(), 1);
        let (two, same) = run(options, 1);
        prop_assert!(one.is_sorted_by_key(|event| event.ingest));
        prop_assert_eq!(one, two);
        prop_assert_eq!(truths, same);
    }
}
