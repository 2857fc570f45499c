//! Both stages: the same incidents by replay, whatever the cut, and behind the embedded log and Kafka.

mod embedded;
mod kafka;
mod scene;

use std::collections::BTreeSet;

use scene::{Scene, replayed};
use tillwatch::replay::Options;

fn options() -> Options {
    Options { until: scene::until(), ..Options::default() }
}

#[test]
fn a_host_that_stops_answering_is_one_incident_and_every_payment_is_told() {
    let out = replayed(&Scene::new(), &options());
    let of = |name: &str| out.iter().filter(|line| line.contains(&format!(r#""type":"{name}""#))).count();
    assert_eq!((of("pos.incident.opened"), of("pos.incident.resolved")), (1, 1), "{out:#?}");
    assert!(of("pos.evidence.stuck") >= 6 && of("pos.finding.updated") >= 6, "{}", out.len());
    let opened = out.iter().find(|line| line.contains("pos.incident.opened")).expect("just counted");
    assert!(opened.contains(r#""scope":"host:A01/h1""#) && opened.contains(r#""topic":"pos.incidents""#), "{opened}");
}

#[test]
fn cuts_and_crashes_do_not_matter() {
    let scene = Scene::new();
    let golden = replayed(&scene, &options());
    for batch in [1, 2, 7, 64, usize::MAX] {
        assert!(replayed(&scene, &Options { batch, ..options() }) == golden, "batches of {batch}");
    }
    for every in [1, 3, 10] {
        assert!(
            replayed(&scene, &Options { crash_every: Some(every), ..options() }) == golden,
            "crashed every {every}"
        );
    }
}

#[test]
fn partitions_do_not_matter() {
    let scene = Scene::new();
    let all = |partitions| -> BTreeSet<String> {
        replayed(&scene, &Options { partitions, ..options() }).into_iter().collect()
    };
    assert_eq!(all(3), all(1));
    let with_crashes = Options { partitions: 3, crash_every: Some(2), ..options() };
    assert_eq!(replayed(&scene, &with_crashes).into_iter().collect::<BTreeSet<_>>(), all(1));
}
