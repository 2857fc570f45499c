//! What is remembered of a region, whatever comes and for however long.

use tillwatch_sdk::evidence::Census;

use super::{Bench, cohorts};
use crate::{signs, state, tally};

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
    assert!(bench.largest < 64 << 10, "{} bytes of state", bench.largest);
    let region: state::Region = tillwatch_sdk::decode_state(&bench.state).expect("it decodes");
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
    let region: state::Region = tillwatch_sdk::decode_state(&bench.state).expect("it decodes");
    assert_eq!(region.payments.len(), 5, "{:?}", region.payments);
}
