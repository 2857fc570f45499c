//! Members that come, go, and hand partitions to one another, and one that only seemed to have gone.

use std::collections::BTreeSet;

use tillwatch_it::running::deployment::{Deployment, SIGHTED};
use tillwatch_it::running::feed::{WINDOWS, feed};
use tillwatch_it::running::process::Member;
use tillwatch_it::running::verdict::assert_plenty;

/// What a member says of partitions of the events; its second stage has a slot of its own.
const ASSIGNED: &str = "partitions assigned slot=0";

/// The partitions that a line of a member's log names.
fn partitions(line: &str) -> BTreeSet<i32> {
    let (_, list) = line.split_once("partitions=[").unwrap_or_else(|| panic!("no partitions in: {line}"));
    let list = list.split(']').next().expect("a list ends");
    list.split(", ").filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn partitions_move_between_live_members_and_nothing_is_lost_or_doubled_on_kafka() {
    let deployment = Deployment::new("moving");
    deployment.configure(&format!("{WINDOWS}{SIGHTED}"));
    let a = deployment.member("a");
    let all = partitions(&a.says(ASSIGNED));
    assert_eq!(all.len(), 3, "one member has all");
    let feed = feed(11);
    let (mut b, mut c) = (None, None);
    let mut said = Vec::new();
    deployment.play(&feed, &mut said, |index| match index * 10 / feed.len() {
        2 if b.is_none() => b = Some(deployment.member("b")),
        4 if c.is_none() => c = Some(deployment.member("c")),
        7 => b.take().into_iter().for_each(Member::stop),
        _ => {}
    });
    // The last to come has been given one by a member that lives: cooperatively, so the others kept theirs.
    let c = c.expect("it was started");
    let moved = partitions(&c.says(ASSIGNED));
    assert!(!moved.is_empty() && moved.len() < all.len(), "{moved:?}");
    let told = a.said();
    let released = told.iter().filter(|line| line.contains("partition released slot=0"));
    assert!(released.clone().count() > 0, "one had to give some up:\n{}", told.join("\n"));
    assert!(released.clone().all(|line| line.contains("revoked")), "none was lost:\n{}", told.join("\n"));
    deployment.fall_silent(&mut said);
    assert_plenty(&deployment.judge(said));
    a.stop();
    c.stop();
}

#[test]
fn a_member_that_was_stopped_past_its_session_commits_nothing_and_comes_back_on_kafka() {
    let deployment = Deployment::new("zombie");
    deployment.configure(&format!("{WINDOWS}{SIGHTED}"));
    let a = deployment.member("a");
    a.says(ASSIGNED);
    let b = deployment.member("b");
    let before = partitions(&b.says(ASSIGNED));
    let feed = feed(12);
    let mut said = Vec::new();
    let (mut stopped, mut woken) = (false, false);
    deployment.play(&feed, &mut said, |index| match index * 10 / feed.len() {
        3 if !stopped => {
            a.signal("STOP");
            stopped = true;
        }
        9 if !woken => {
            // The group took it for dead and gave all it had to the other.
            let taken = partitions(&b.says(ASSIGNED));
            assert!(taken.is_disjoint(&before) && before.len() + taken.len() == 3, "{taken:?}");
            drop(a.said());
            a.signal("CONT");
            woken = true;
        }
        _ => {}
    });
    assert!(woken);
    a.says(ASSIGNED);
    deployment.fall_silent(&mut said);
    assert_plenty(&deployment.judge(said));
    a.stop();
    b.stop();
}
