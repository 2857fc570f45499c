//! What is remembered of a region, whatever comes and for however long.

use tillwatch_sdk::{
    encode_state,
    evidence::{Census, Cohorts, Sign, Stuck},
    ids,
};

use super::{Bench, T0, cohorts};
use crate::{
    judge::MAINTENANCE,
    life::opened,
    scan::Family,
    signs,
    state::{self, Announced, Cohort, Gathering, Open, Region},
    tally,
};

/// What one state may have: `state_bytes_max` of `[rules.incident.limits]`.
const STATE_BYTES_MAX: usize = 512 << 10;

#[test]
fn bounds_hold_whatever_comes() {
    let mut bench = Bench::new();
    for till in 0..2_000 {
        bench.send(&Census { cohorts: cohorts(till), payments: 1, from: 0, until: 1 }.derived());
        bench.sign(till, "N3", &format!("site:S{till}"), (1, 1));
        if till % 3 == 0 {
            bench.stuck(till, 1, "no-answer");
        }
        if till % 50 == 0 {
            bench.pass(700);
        }
    }
    assert!(bench.largest < STATE_BYTES_MAX, "{} bytes of state", bench.largest);
    let region: Region = tillwatch_sdk::decode_state(&bench.state).expect("it decodes");
    assert!(region.waiting.len() < state::WAITING_MAX && region.signs.len() <= signs::SIGNS_MAX);
    assert!(region.payments.len() <= tally::COHORTS_MAX);
}

#[test]
fn a_quiet_day_keeps_five_minutes() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        bench.usual();
        bench.pass(30_000);
    }
    let kept = bench.state.len();
    assert_eq!(bench.wake, None, "nothing is stuck, and nothing wakes the rule up");
    for _ in 0..500 {
        bench.usual();
        bench.pass(30_000);
    }
    assert_eq!(bench.state.len(), kept, "the window slides all the same");
    assert!(bench.incidents.is_empty() && bench.told.is_empty());
    // A cohort that is no more makes room.
    let last = Census { cohorts: cohorts(2_000), payments: 1, from: bench.now, until: bench.now };
    bench.pass(600_000);
    bench.send(&last.derived());
    let region: Region = tillwatch_sdk::decode_state(&bench.state).expect("it decodes");
    assert_eq!(region.payments.len(), 5, "{:?}", region.payments);
}

/// A name as long as they may be.
fn name(word: &str, number: usize) -> String {
    format!("{word}-{number:0>width$}", width = state::NAME_BYTES_MAX - word.len() - 1)
}

fn full_stuck(number: usize) -> Stuck {
    let cohorts = Cohorts {
        region: name("region", 1),
        site: name("site", number),
        terminal: name("terminal", number),
        acquirer: name("a", number)[..40].to_owned(),
        host: name("h", number)[..50].to_owned(),
        app_version: name("version", number),
        operator: name("operator", number),
    };
    Stuck {
        cohorts,
        finding: ids::finding("rule", "kind", &number.to_string(), ""),
        kind: "k".repeat(state::TEXT_BYTES_MAX),
        txn: "t".repeat(state::TXN_BYTES_MAX),
        broke_at: String::new(),
        amount: i64::MAX,
        currency: "c".repeat(state::TEXT_BYTES_MAX),
        cause: "s".repeat(state::TEXT_BYTES_MAX),
        confidence: 1.0,
    }
}

fn full_open(region: &mut Region, number: usize, members: usize) -> Open {
    let mut open = opened(region, format!("site:{}", name("site", number)), Family::Way, MAINTENANCE, T0);
    open.runner_up = Some("maintenance".to_owned());
    open.money = (0..8).map(|of| (format!("{of:0>width$}", width = state::TEXT_BYTES_MAX), i64::MAX)).collect();
    open.evidence = (0..8).map(|of| ("e".repeat(64), name("event", of), T0)).collect();
    (0..members).for_each(|of| open.members.add(&format!("p{of:0>15}")));
    open.ended = (0..=state::ENDED_MAX).map(|of| (format!("{of:0>32}"), u64::MAX)).collect();
    open.shared = Cohort::of(&full_stuck(number).cohorts).0;
    open.inhibits = (0..2 * state::INCIDENTS_MAX)
        .map(|of| ids::incident("scope", "cause", u32::try_from(of).expect("few")))
        .collect();
    open.inhibited_by = open.inhibits.first().cloned();
    open.mended = (0..12).map(|of| (format!("{of:0>32}"), u64::MAX)).collect();
    (open.findings, open.payments, open.announced, open.begun) = (u64::MAX, u64::MAX, u64::MAX, u64::MAX);
    (open.since, open.until) = ((u64::MAX, u64::MAX), T0);
    open
}

#[test]
fn a_region_with_all_that_it_may_have_has_room() {
    let mut region = Region::default();
    region.payments.catch_up(T0);
    for number in 0..tally::COHORTS_MAX {
        region.payments.add(&format!("terminal:{}", name("terminal", number)), u32::MAX, || true);
    }
    for number in 0..signs::SIGNS_MAX {
        let sign = Sign {
            cause: "maintenance".to_owned(),
            about: name("terminal", number),
            strength: 1.0,
            count: i64::MAX,
            of: i64::MAX,
            event: "e".repeat(64),
            event_id: name("event", number),
            event_time: T0,
            ..Sign::default()
        };
        region.signs.add(&sign, T0);
    }
    for number in 0..state::WAITING_MAX {
        assert!(region.stuck(&full_stuck(number), T0));
    }
    for number in 0..state::NOTICES_MAX {
        region.notices.push(Announced { about: name("site", number), from: T0, until: i64::MAX });
    }
    for number in 0..state::GENERATIONS_MAX {
        region.next_generation(&format!("terminal:{}", name("terminal", number)), "undetermined");
    }
    let places = (0..state::PLACES_MAX).map(|number| (name("site", number), u64::MAX)).collect();
    region.gathering = Some(Gathering { since: T0, until: T0, places });
    for number in 0..state::INCIDENTS_MAX {
        let open = full_open(&mut region, number, state::MEMBERS_MAX / state::INCIDENTS_MAX);
        region.incidents.push(open);
    }
    let bytes = encode_state(&region).expect("it can be written").len();
    assert!((300 << 10..STATE_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    // What has more than that is not kept.
    let long = Stuck { txn: "t".repeat(state::TXN_BYTES_MAX + 1), ..full_stuck(1_000) };
    assert!(!region.stuck(&long, T0));
    let long = Stuck { currency: "c".repeat(state::TEXT_BYTES_MAX + 1), ..full_stuck(1_001) };
    assert!(!region.stuck(&long, T0));
}
